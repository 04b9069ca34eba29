"""For every test: the fakes that most begin with; random examples are given all time."""

import pytest
from hypothesis import HealthCheck, settings

from headless_discovery.testing import FakeCluster, FakeService

settings.register_profile(
    "any machine",
    deadline=None,  # a loaded machine is no reason to fail
    suppress_health_check=[HealthCheck.too_slow],
    print_blob=True,  # a failure is replayed by what it prints
)
settings.load_profile("any machine")


@pytest.fixture
def cluster() -> FakeCluster:
    return FakeCluster()


@pytest.fixture
def web(cluster: FakeCluster) -> FakeService:
    """A StatefulSet of three pods."""
    service = cluster.add_service("web", ports={"http": 8080})
    service.scale(3)
    return service
