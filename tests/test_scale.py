"""A thousand pods that watch one Service: on their own policy, with fixed chance, no herd."""

import pytest

from benchmarks.scale import HEALED, OUTAGE, STEADY_FROM, rates

pytestmark = pytest.mark.slow


def test_pods_ask_at_most_twice_as_much_as_usual_together() -> None:
    found = rates(1000)
    # All started within a second.
    assert found.times_steady(STEADY_FROM, OUTAGE) <= 2
    # An outage of a minute ended.
    assert found.times_steady(HEALED, HEALED + 120) <= 2
    # Every 10 to 12 seconds.
    assert found.steady == pytest.approx(1000 / 11, rel=0.1)


def test_behind_one_cache_pods_ask_when_its_copy_ends_and_an_outage_makes_that_no_worse() -> None:
    found = rates(1000, cached=True)
    usual = found.times_steady(STEADY_FROM, OUTAGE)
    assert 1.5 < usual < 6
    assert found.times_steady(HEALED, HEALED + 120) <= usual * 1.1
