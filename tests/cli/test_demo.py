"""``demo``: the tour, as text and on a terminal."""

import io
import re
import sys

import pytest

from headless_discovery._cli import main
from headless_discovery._cli._demo import tour
from headless_discovery._cli._live import show_tour


def plain() -> str:
    out = io.StringIO()
    assert main(["demo", "--plain"], out=out) == 0
    return out.getvalue()


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_tour_is_the_same_each_time() -> None:
    assert plain() == plain()


def test_the_tour_tells_a_cluster_s_life_in_order() -> None:
    told = re.findall(
        r"^ *\d+ s  (\w+, \d+ endpoints?(?:, \d+ departing)?)$", plain(), re.MULTILINE
    )
    assert told[:5] == [
        "pending, 0 endpoints",
        "empty, 0 endpoints",
        "live, 1 endpoint",
        "live, 2 endpoints",
        "live, 3 endpoints",
    ]
    assert told[5] == "live, 5 endpoints"
    assert told[-6:] == [
        "stale, 5 endpoints",  # DNS fails
        "live, 5 endpoints",
        "stale, 5 endpoints",  # DNS says that there is nobody
        "live, 5 endpoints",
        "live, 5 endpoints, 2 departing",
        "live, 3 endpoints",
    ]


def test_no_pod_is_lost_to_a_failure_of_dns() -> None:
    story = plain()
    trouble = story[story.index("DNS fails.") : story.index("Scaled to three.")]
    assert "  - " not in trouble


def test_a_rolling_update_moves_each_pod_under_its_name() -> None:
    moved = re.findall(r"~ (\S+)  \S+ -> 10\.244\.1\.\d+:7946", plain())
    assert moved == [f"gossip-{number}" for number in (4, 3, 2, 1, 0)]


@pytest.mark.slow
def test_a_terminal_sees_it_live(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("headless_discovery._cli._demo._SPEED", 10_000)
    out = Terminal()
    assert main(["demo"], out=out) == 0
    assert "Rolling update" in out.getvalue()
    assert "departing" in out.getvalue()


@pytest.mark.slow
def test_its_pace_is_that_of_the_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    pauses: list[None] = []
    moments = list(tour())
    show_tour(moments, Terminal(), lambda: pauses.append(None))
    assert len(pauses) == len(moments) == moments[-1].elapsed + 1


def test_a_dumb_terminal_gets_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    out = Terminal()
    assert main(["demo"], out=out) == 0
    assert out.getvalue() == plain()


def test_without_rich_a_terminal_gets_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "headless_discovery._cli._live", None)
    out = Terminal()
    assert main(["demo"], out=out) == 0
    assert out.getvalue() == plain()


def test_interrupting_it_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    class Interrupted(io.StringIO):
        def write(self, text: str) -> int:
            raise KeyboardInterrupt

    assert main(["demo"], out=Interrupted()) == 0
