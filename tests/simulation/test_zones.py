"""What staying in the zone saves and risks: the promises of docs/dns-or-api.md, on short runs."""

import pytest

from .zones import EVEN, SLOW, UNEVEN, Case, Outcome, outcome

pytestmark = pytest.mark.slow

CALLS = 2000


def within(case: Case, strategy: str) -> Outcome:
    return outcome(case, strategy, 1, zoned=True, calls=CALLS)


def test_no_call_leaves_the_zone_and_otherwise_two_of_three_do() -> None:
    assert within(EVEN, "round-robin").crossing == 0
    assert 0.6 < outcome(EVEN, "round-robin", 1, zoned=False, calls=CALLS).crossing < 0.72


def test_the_pods_of_a_small_zone_get_more_than_their_share() -> None:
    assert within(UNEVEN, "least-loaded").busiest > 1.4


def test_least_loaded_takes_less_where_a_pod_of_the_zone_is_slow() -> None:
    assert within(SLOW, "least-loaded").p99 < within(SLOW, "round-robin").p99 / 2
