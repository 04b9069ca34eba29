"""``watch``: lines of JSON, lines of text, and the live view, on the fake clock."""

import contextlib
import datetime
import io
import os
import pty
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest
from rich.console import Console

from headless_discovery import Endpoint, Peers, Snapshot, State, Stats
from headless_discovery._cli import main, make_parser
from headless_discovery._cli._live import LiveView, can_draw, picture, show
from headless_discovery._cli._options import Arguments
from headless_discovery._cli._watch import follow, write_json, write_text, writer_for
from headless_discovery.testing import FakeCluster, FakeService

pytestmark = pytest.mark.slow

NOON = datetime.datetime(2026, 3, 1, 12, tzinfo=datetime.UTC)


def noon() -> datetime.datetime:
    return NOON


class Acting(io.StringIO):
    """Something is done to the cluster after each line that is flushed; at last it is closed."""

    def __init__(self, peers: Peers, *acts: Callable[[], object]) -> None:
        super().__init__()
        self._peers = peers
        self._acts = iter(acts)

    def flush(self) -> None:
        next(self._acts, self._peers.close)()


@pytest.fixture
def cluster() -> FakeCluster:
    return FakeCluster()


@pytest.fixture
def web(cluster: FakeCluster) -> FakeService:
    web = cluster.add_service("web", ports={"http": 80})
    web.scale(2)
    return web


def test_each_change_is_a_line_of_json(
    cluster: FakeCluster, web: FakeService, check_schema: Callable[[str, str], Any]
) -> None:
    def move() -> None:
        web.pods[0].move_to("10.9.9.9")

    with cluster.peers("web") as peers:
        out = Acting(peers, move, lambda: web.scale(1), lambda: None)
        write_json(peers, follow(peers), out, noon)
    lines = [check_schema("watch", line) for line in out.getvalue().splitlines()]
    first, moved, departing, removed = lines
    assert (first["at"], first["state"]) == ("2026-03-01T12:00:00.000+00:00", "live")
    assert first["service"] == "web.default.svc.cluster.local"
    assert [pod["hostname"] for pod in first["added"]] == ["web-0", "web-1"]
    assert [(pair["old"]["address"], pair["new"]["address"]) for pair in moved["moved"]] == [
        ("10.244.0.2", "10.9.9.9")
    ]
    assert departing["departing"] == ["web-1.web.default.svc.cluster.local"]
    assert [pod["hostname"] for pod in removed["removed"]] == ["web-1"]
    assert removed["endpoints"] == 1


def test_a_change_of_state_is_told_with_its_reason(cluster: FakeCluster, web: FakeService) -> None:
    with cluster.peers("web") as peers:
        out = Acting(peers, lambda: cluster.fail("servfail"), cluster.heal)
        write_text(peers, follow(peers), out, noon)
    lines = out.getvalue().splitlines()
    assert lines[:3] == [
        "12:00:00  + web-0  10.244.0.2:80",
        "12:00:00  + web-1  10.244.0.3:80",
        "12:00:00  live, 2 endpoints",
    ]
    assert lines[3].startswith("12:00:00  stale, 2 endpoints: ")
    assert "SERVFAIL" in lines[3]
    assert lines[4:] == ["12:00:00  live, 2 endpoints"]


def test_lines_of_text_tell_of_moves_and_removals(cluster: FakeCluster, web: FakeService) -> None:
    def move() -> None:
        web.pods[0].move_to("10.9.9.9")

    with cluster.peers("web") as peers:
        out = Acting(peers, move, lambda: web.scale(1), lambda: None)
        write_text(peers, follow(peers), out, noon)
    assert out.getvalue().splitlines()[3:] == [
        "12:00:00  ~ web-0  10.244.0.2:80 -> 10.9.9.9:80",
        "12:00:00  - web-1  10.244.0.3:80",
        "12:00:00  live, 1 endpoint",
    ]


# The live view.


def drawn(view: LiveView, width: int = 100, height: int = 24, **options: Any) -> list[str]:
    console = Console(
        file=io.StringIO(), width=width, height=height, force_terminal=True, **options
    )
    with console.capture() as capture:
        console.print(picture(view, width, height))
    return [line.rstrip() for line in capture.get().splitlines()]


def view(cluster: FakeCluster, *changes: str) -> LiveView:
    peers = cluster.peers("web")
    peers.endpoints()
    return LiveView(
        str(peers._store), peers.snapshot, peers.stats, 4.0, tuple((NOON, text) for text in changes)
    )


def test_the_view_shows_pods_state_and_countdown(cluster: FakeCluster, web: FakeService) -> None:
    assert drawn(view(cluster, "+ web-1  10.244.0.3:80"), color_system=None) == [
        "web.default.svc.cluster.local",
        "live, 2 endpoints",
        "TTL 5 s, next lookup in 4 s; 1 lookup (0 failed), 1 over UDP, 0 over TCP",
        "NAME                                 ADDRESS     PORT",
        "web-0.web.default.svc.cluster.local  10.244.0.2  80",
        "web-1.web.default.svc.cluster.local  10.244.0.3  80",
        "",
        "last changes",
        "12:00:00  + web-1  10.244.0.3:80",
    ]


def test_a_narrow_terminal_has_host_names(cluster: FakeCluster, web: FakeService) -> None:
    lines = drawn(view(cluster), width=40, color_system=None)
    assert lines[4:6] == ["web-0  10.244.0.2  80", "web-1  10.244.0.3  80"]
    assert all(len(line) <= 40 for line in lines)


@pytest.mark.parametrize(("width", "height"), [(200, 50), (80, 24), (40, 10), (30, 8)])
def test_a_thousand_pods_never_fill_more_than_the_screen(width: int, height: int) -> None:
    pods = tuple(Endpoint(f"web-{n}.web.default.svc", (f"10.1.1.{n}",), 80) for n in range(1000))
    changes = tuple((NOON, "- web-1  10.1.1.1:80") for _ in range(6))
    shown = LiveView("web", Snapshot(pods, state=State.LIVE), Stats(), 1.0, changes)
    lines = drawn(shown, width, height, color_system=None)
    assert len(lines) <= height
    assert any(line.endswith(" more") for line in lines)


def test_without_pods_there_is_no_table(cluster: FakeCluster) -> None:
    cluster.add_service("web")
    lines = drawn(view(cluster), color_system=None)
    assert lines[1] == "empty, 0 endpoints"
    assert not [line for line in lines if line.startswith("NAME")]


def test_colours_tell_the_state_and_no_color_is_heard(
    cluster: FakeCluster, web: FakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    assert not [
        line for line in drawn(view(cluster), color_system="standard") if "\x1b[32m" in line
    ]
    monkeypatch.delenv("NO_COLOR")
    assert "\x1b[1;32mlive" in drawn(view(cluster), color_system="standard")[1]


def test_a_long_reason_leaves_room_for_the_pods(cluster: FakeCluster, web: FakeService) -> None:
    found = view(cluster).snapshot
    stale = Snapshot(found.endpoints, found.endpoints[:1], State.STALE, reason="because " * 100)
    lines = drawn(LiveView("web", stale, Stats(), -1.0), 60, 12, color_system=None)
    assert lines[1] == "stale, 2 endpoints"
    assert len([line for line in lines if line.startswith("because")]) == 4
    assert "web-0  10.244.0.2  80    departing" in lines
    assert "next lookup in 0 s" in lines[6]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Screen(Terminal):
    """Something is done to the cluster with each picture; at last it is closed."""

    def __init__(self, peers: Peers, acts: dict[int, Callable[[], object]]) -> None:
        super().__init__()
        self._peers = peers
        self._acts = acts
        self._pictures = 0

    def write(self, text: str) -> int:
        if "next lookup" in text:
            self._pictures += 1
            self._acts.get(self._pictures, lambda: None)()
        return super().write(text)


def test_what_is_drawn_follows_the_cluster(
    cluster: FakeCluster, web: FakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    with cluster.peers("web") as peers:
        out = Screen(peers, {2: lambda: web.scale(3), 9: peers.close})
        show(peers, follow(peers, 1), out, noon)
    text = out.getvalue()
    assert "+ web-2" in text
    assert "+ web-1" not in text  # was there from the start
    assert text.rstrip().endswith("web.default.svc.cluster.local: live, 3 endpoints")


def test_what_is_left_on_the_terminal_is_told_as_it_is(
    cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    peers, out = cluster.peers("web"), Terminal()
    reason = "[fd00::a]:53: SERVFAIL"
    peers._store.view = peers._store.view._replace(
        snapshot=Snapshot(state=State.STALE, reason=reason)
    )
    peers.close()
    show(peers, follow(peers), out, noon)
    assert out.getvalue().rstrip().endswith(f"stale, 0 endpoints: {reason}")


def test_a_terminal_that_can_do_nothing_gets_no_view(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    assert not can_draw(Terminal())
    monkeypatch.setenv("TERM", "xterm")
    assert can_draw(Terminal())


# The command.


def run(nameserver: str, out: io.StringIO, *arguments: str) -> int:
    return main(["watch", "web.default", "--nameserver", nameserver, *arguments], out=out)


class Interrupted(Terminal):
    """Ctrl-C comes after the first line."""

    def flush(self) -> None:
        if self.getvalue():
            raise KeyboardInterrupt


class Pipe(Interrupted):
    def isatty(self) -> bool:
        return False


@pytest.mark.parametrize(
    ("out", "arguments", "first"),
    [
        (Pipe(), [], "{"),
        (Interrupted(), ["--json"], "{"),
        (Interrupted(), ["--plain"], " "),
        (Pipe(), ["--plain"], " "),
    ],
)
def test_interrupting_it_is_the_way_to_end_it(
    cluster: FakeCluster, web: FakeService, out: io.StringIO, arguments: list[str], first: str
) -> None:
    with cluster.serve() as server:
        assert run(server.nameserver, out, *arguments) == 0
    assert out.getvalue()[0 if first == "{" else 8] == first


def test_without_rich_a_terminal_gets_lines_of_text(
    cluster: FakeCluster, web: FakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "headless_discovery._cli._live", None)
    out = Interrupted()
    with cluster.serve() as server:
        assert run(server.nameserver, out) == 0
    assert out.getvalue().splitlines()[0].endswith("+ web-0  10.244.0.2:80")


def test_a_terminal_gets_the_live_view(
    cluster: FakeCluster, web: FakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "dumb")
    asked = make_parser().parse_args(["watch", "web"], Arguments())
    assert writer_for(asked, Terminal())[0] is write_text
    monkeypatch.setenv("TERM", "xterm")
    assert writer_for(asked, Terminal())[0] is show


def test_a_wrong_argument_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("nowhere", io.StringIO()) == 2
    assert "ConfigurationError" in capsys.readouterr().err


def test_it_draws_on_a_real_terminal_and_ends_by_a_signal(
    cluster: FakeCluster, web: FakeService
) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-X", "faulthandler", "-m", "headless_discovery", "watch"]
    with (
        cluster.serve() as server,
        os.fdopen(ours, "rb", buffering=0) as screen,
        subprocess.Popen(
            [*command, "web.default", "--nameserver", server.nameserver],
            stdout=theirs,
            stderr=subprocess.PIPE,
            env=os.environ | {"TERM": "xterm"},
        ) as process,
    ):
        os.close(theirs)
        seen = b""
        # Should it hang, it says where.
        hangs = threading.Timer(30, process.send_signal, [signal.SIGABRT])
        hangs.start()
        try:
            while b"web-1" not in seen:
                seen += screen.read(4096)
            process.terminate()
            with contextlib.suppress(OSError):  # Linux says so that the other end is closed
                while came := screen.read(4096):
                    seen += came
            assert process.wait() == 0, process.stderr and process.stderr.read().decode()
        finally:
            hangs.cancel()
    assert b"live, 2 endpoints" in seen
