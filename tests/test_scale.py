"""A thousand pods that watch one Service: on their own policy, with fixed chance, no herd."""

import pytest

from benchmarks.scale import HEALED, OUTAGE, STEADY_FROM, rates


@pytest.mark.parametrize("cached", [False, True], ids=["uncached", "cached"])
def test_pods_ask_at_most_twice_as_much_as_usual_together(cached: bool) -> None:
    found = rates(1000, cached=cached)
    # All started within a second, and may share a cache that counts its copy's TTL down.
    assert found.times_steady(STEADY_FROM, OUTAGE) <= 2
    # An outage of a minute ended.
    assert found.times_steady(HEALED, HEALED + 120) <= 2
    # Every 30 to 36 seconds, and a little more often than that until the zone's TTL is heard.
    assert found.steady == pytest.approx(1000 / 33, rel=0.1)
