"""What choosing by load is worth: the promises of docs/choosing-a-peer.md, on short simulations."""

import re
from pathlib import Path

import pytest

from .load import COLD, HOT_KEYS, ONE_SLOW, SESSIONS, Scenario, outcome

pytestmark = pytest.mark.slow

CALLS = 6000
DOCS = Path(__file__).parents[2] / "docs"


def p99(scenario: Scenario, strategy: str, seed: int) -> float:
    return outcome(scenario, strategy, seed, CALLS).p99


@pytest.mark.parametrize("scenario", [ONE_SLOW, COLD], ids=["one slow", "cold restarts"])
def test_least_loaded_takes_a_third_of_round_robin_where_a_pod_is_slow(scenario: Scenario) -> None:
    for seed in range(3):
        assert p99(scenario, "least-loaded", seed) <= p99(scenario, "round-robin", seed) / 3


def test_a_bound_takes_less_than_0_6_of_plain_sticky_for_hot_keys() -> None:
    ratios = [
        p99(HOT_KEYS, "sticky, bound=1.25", seed) / p99(HOT_KEYS, "sticky", seed)
        for seed in range(10)
    ]
    assert sorted(ratios)[5] <= 0.6, ratios


def test_a_slow_pod_gets_less_and_a_hot_key_is_spread() -> None:
    assert outcome(ONE_SLOW, "least-loaded", 1, CALLS).busiest < 1.2
    assert outcome(HOT_KEYS, "sticky", 1, CALLS).busiest > 1.5
    assert outcome(HOT_KEYS, "sticky, bound=1.25", 1, CALLS).busiest < 1.3


def test_sessions_by_load_take_less_than_by_hash() -> None:
    ratios = [
        p99(SESSIONS, "session", seed) / p99(SESSIONS, "sticky (by hash)", seed)
        for seed in range(3)
    ]
    assert sorted(ratios)[1] < 1, ratios


def test_the_page_about_choosing_gives_the_figures_of_the_table() -> None:
    page = " ".join((DOCS / "choosing-a-peer.md").read_text().split())
    table = (DOCS / "figures" / "queues.inc").read_text()
    figures = re.findall(r"a p99 of (\d+\.\d) instead of (\d+\.\d)", page)
    assert len(figures) == 3
    for figure in figures:
        assert all(re.search(rf"\| {value} \| [\d.]+ \|$", table, re.MULTILINE) for value in figure)
