"""For every test: random examples are judged by what they show, not by how long they take."""

from hypothesis import HealthCheck, settings

settings.register_profile(
    "any machine",
    deadline=None,  # a loaded machine is no reason to fail
    suppress_health_check=[HealthCheck.too_slow],
    print_blob=True,  # a failure is replayed by what it prints
)
settings.load_profile("any machine")
