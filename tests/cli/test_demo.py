"""``demo``: the tour, as text and on a terminal."""

import io
import re
import sys

import pytest

from headless_discovery import Clock
from tests.cli.command import Done, Terminal, run


class Counting(Clock):
    """Time that is not waited for."""

    def __init__(self) -> None:
        self.pauses = 0

    def sleep(self, seconds: float) -> None:
        """Returns at once."""
        assert 0 < seconds < 1
        self.pauses += 1


def plain() -> str:
    done = run("demo", "--plain")
    assert (done.code, done.err) == (0, "")
    return done.out


def on_a_terminal(monkeypatch: pytest.MonkeyPatch, term: str) -> tuple[Done, Counting]:
    monkeypatch.setenv("TERM", term)
    clock = Counting()
    return run("demo", out=Terminal(), clock=clock), clock


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
def test_a_terminal_sees_it_live_second_by_second(monkeypatch: pytest.MonkeyPatch) -> None:
    done, clock = on_a_terminal(monkeypatch, "xterm")
    assert done.code == 0
    for seen in ("\x1b[?1049h", "Rolling update", "departing", "last changes", "175 s  Scaled to"):
        assert seen in done.out
    assert clock.pauses > 175
    assert done.out.splitlines()[-1].endswith(
        "The demo has ended; headless-discovery demo --plain shows it as text."
    )


@pytest.mark.slow
@pytest.mark.parametrize("columns", ["0", "1", "20"])
def test_no_width_of_a_terminal_ends_it(monkeypatch: pytest.MonkeyPatch, columns: str) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    done, _ = on_a_terminal(monkeypatch, "xterm")
    assert done.code == 0
    assert ("Rolling" in done.out) == (columns != "1")


@pytest.mark.parametrize("term", ["dumb", "unknown"])
def test_a_dumb_terminal_gets_text(monkeypatch: pytest.MonkeyPatch, term: str) -> None:
    done, clock = on_a_terminal(monkeypatch, term)
    assert (done.out, clock.pauses) == (plain(), 0)


def test_without_rich_a_terminal_gets_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "headless_discovery._cli._live", None)
    assert on_a_terminal(monkeypatch, "xterm")[0].out == plain()


@pytest.mark.parametrize("kind", [io.StringIO, Terminal])
def test_interrupting_it_is_no_error(
    monkeypatch: pytest.MonkeyPatch, kind: type[io.StringIO]
) -> None:
    class Interrupted(kind):  # type: ignore[misc,valid-type]  # it is one of the two
        def write(self, text: str) -> int:
            if "ready" in text:
                raise KeyboardInterrupt
            return len(text)

    monkeypatch.setenv("TERM", "xterm")
    assert run("demo", out=Interrupted(), clock=Counting()).code == 0
