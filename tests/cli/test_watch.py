"""``watch``: lines of JSON, lines of text, and the live view."""

import contextlib
import io
import os
import pty
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest

from headless_discovery.__main__ import main
from headless_discovery.testing import FakeCluster, FakeService
from tests.cli.command import Done, Terminal, place, run, without_escapes


class Acting:
    """Something is done to the cluster after each line that is flushed; at last comes Ctrl-C."""

    def __init__(self, *acts: Callable[[], object]) -> None:
        super().__init__()
        self._acts = list(acts)

    def flush(self) -> None:
        if not self._acts:
            raise KeyboardInterrupt
        self._acts.pop(0)()


class Pipe(Acting, io.StringIO):
    """Programs read it."""


class Lines(Acting, Terminal):
    """People read it."""


class Unread(io.TextIOWrapper):
    """A pipe that nobody reads any more after so many lines; before, something is done at each."""

    def __init__(self, lines: int, act: Callable[[], object]) -> None:
        self._reader, writer = os.pipe()
        super().__init__(os.fdopen(writer, "wb"))
        self._left, self._act = lines, act
        self._is_written = False

    def write(self, text: str) -> int:
        self._is_written = True
        return super().write(text)

    def flush(self) -> None:
        super().flush()
        written, self._is_written = self._is_written, False
        self._left -= written
        if written:
            self._act() if self._left else os.close(self._reader)


pytestmark = pytest.mark.slow


@pytest.fixture
def cluster() -> FakeCluster:
    return FakeCluster()


@pytest.fixture
def web(cluster: FakeCluster) -> FakeService:
    web = cluster.add_service("web", ports={"http": 80})
    web.scale(2)
    return web


def moves(web: FakeService) -> Callable[[], object]:
    return lambda: web.pods[0].move_to("10.9.9.9")


def nothing() -> None:
    """It goes on."""


def test_each_change_is_a_line_of_json(
    cluster: FakeCluster, web: FakeService, check_schema: Callable[[str, str], Any]
) -> None:
    pipe = Pipe(moves(web), lambda: web.scale(1), nothing)
    done = run("watch", "web", on=cluster, out=pipe)
    assert done.code == 0
    first, moved, departing, removed = (
        check_schema("watch", line) for line in done.out.splitlines()
    )
    assert first["state"] == "live"
    assert first["service"] == "web.default.svc.cluster.local"
    assert [pod["hostname"] for pod in first["added"]] == ["web-0", "web-1"]
    assert [(pair["old"]["address"], pair["new"]["address"]) for pair in moved["moved"]] == [
        ("10.244.0.2", "10.9.9.9")
    ]
    assert departing["departing"] == ["web-1.web.default.svc.cluster.local"]
    assert [pod["hostname"] for pod in removed["removed"]] == ["web-1"]
    assert removed["endpoints"] == 1


def text_of(done: Done) -> list[str]:
    """Its lines, without their times."""
    assert done.code == 0
    lines = done.out.splitlines()
    assert all(re.match(r"\d\d:\d\d:\d\d  ", line) for line in lines)
    return [line[10:] for line in lines]


def test_a_change_of_state_is_told_with_its_reason(cluster: FakeCluster, web: FakeService) -> None:
    out = Lines(lambda: cluster.fail("servfail"), cluster.heal)
    lines = text_of(run("watch", "web", "--plain", on=cluster, out=out))
    assert lines[:3] == ["+ web-0  10.244.0.2:80", "+ web-1  10.244.0.3:80", "live, 2 endpoints"]
    assert lines[3].startswith("stale, 2 endpoints: ")
    assert "SERVFAIL" in lines[3]
    assert lines[4:] == ["live, 2 endpoints"]


def test_lines_of_text_tell_of_moves_departures_and_removals(
    cluster: FakeCluster, web: FakeService
) -> None:
    out = Pipe(moves(web), lambda: web.scale(1), nothing)
    assert text_of(run("watch", "web", "--plain", on=cluster, out=out))[3:] == [
        "~ web-0  10.244.0.2:80 -> 10.9.9.9:80",
        "live, 2 endpoints, 1 departing",
        "- web-1  10.244.0.3:80",
        "live, 1 endpoint",
    ]


# How it shows them.


@pytest.mark.parametrize(
    ("kind", "term", "options", "begins"),
    [
        (Pipe, "xterm", [], r"\{"),
        (Lines, "xterm", ["--json"], r"\{"),
        (Lines, "xterm", ["--plain"], r"\d\d:"),
        (Pipe, "xterm", ["--plain"], r"\d\d:"),
        (Lines, "dumb", [], r"\d\d:"),
        (Lines, "", [], r"\d\d:"),
    ],
)
def test_the_options_and_the_terminal_say_how(
    cluster: FakeCluster,
    web: FakeService,
    monkeypatch: pytest.MonkeyPatch,
    *,
    kind: type[Pipe | Lines],
    term: str,
    options: list[str],
    begins: str,
) -> None:
    monkeypatch.setenv("TERM", term)
    done = run("watch", "web", *options, on=cluster, out=kind())
    assert done.code == 0
    assert re.match(begins, done.out)


def test_without_rich_a_terminal_gets_lines_of_text(
    cluster: FakeCluster, web: FakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setitem(sys.modules, "headless_discovery._cli._live", None)
    lines = text_of(run("watch", "web", on=cluster, out=Lines()))
    assert lines[0] == "+ web-0  10.244.0.2:80"


@pytest.mark.parametrize("options", [[], ["--json"], ["--plain"]])
@pytest.mark.parametrize("lines", [1, 2])
def test_it_ends_once_nobody_reads_it_though_nothing_changes(
    cluster: FakeCluster, web: FakeService, options: list[str], lines: int
) -> None:
    with Unread(lines, moves(web)) as out:
        began = cluster.clock.now()
        assert run("watch", "web", *options, on=cluster, out=out).code == 0
        assert cluster.clock.now() - began < 15


def test_a_wrong_argument_is_a_usage_error(cluster: FakeCluster) -> None:
    done = run("watch", "not a name", on=cluster)
    assert done.code == 2
    assert "ConfigurationError" in done.err


@pytest.mark.usefixtures("web")
@pytest.mark.parametrize("options", [[], ["--plain"]])
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--source", "api"], "ConfigurationError: no API server"),
        (["--exclude-self"], "ConfigurationError: --exclude-self, but this pod's own address"),
        (["--exclude-self", "--port=80"], "ConfigurationError: --exclude-self, but this pod's own"),
    ],
)
def test_what_no_lookup_can_mend_ends_it(
    cluster: FakeCluster,
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    said: str,
    options: list[str],
) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    there = place(cluster)
    done = run("watch", "web.default", *words, *options, resolver=there, clock=cluster.clock)
    assert (done.code, done.out) == (2, "")
    assert said in done.err


# The live view.


class Screen(Terminal):
    """Something is done to the cluster with some of the pictures; at last comes Ctrl-C."""

    def __init__(self, acts: dict[int, Callable[[], object]], last: int) -> None:
        super().__init__()
        self._acts = acts
        self._last = last
        self._seen = 0

    def write(self, text: str) -> int:
        if "next lookup" in text:
            self._seen += 1
            self._acts.get(self._seen, nothing)()
        return super().write(text)

    def flush(self) -> None:
        if self._seen >= self._last:
            self._seen = 0  # and what is left to be written may be
            raise KeyboardInterrupt


Watch = Callable[..., Done]


@pytest.fixture
def watch(cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch) -> Watch:
    """A terminal of that size, on which so many pictures are drawn."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")

    def watch(
        acts: dict[int, Callable[[], object]] | None = None,
        *,
        last: int = 1,
        columns: int = 100,
        lines: int = 24,
    ) -> Done:
        monkeypatch.setenv("COLUMNS", str(columns))
        monkeypatch.setenv("LINES", str(lines))
        done = run("watch", "web", on=cluster, out=Screen(acts or {}, last))
        assert done.code == 0
        return done

    return watch


def pictures(done: Done) -> list[list[str]]:
    """Each as its lines."""
    screen = done.out.partition("\x1b[?1049l")[0]
    shown = [without_escapes(one).rstrip() for one in screen.split("\x1b[H")[2:]]
    return [[line.rstrip() for line in one.splitlines()] for one in shown if one]


def test_the_view_shows_pods_state_and_countdown(web: FakeService, watch: Watch) -> None:
    [*_, lines] = pictures(watch({3: moves(web)}, last=40))
    told = re.compile(
        r"TTL 5 s, next lookup in \d s; (\d) lookups \(0 failed\), \1 over UDP, 0 over TCP"
    )
    assert told.fullmatch(lines.pop(2))
    assert [re.sub(r"^\d\d:\d\d:\d\d", "12:00:00", line) for line in lines] == [
        "web.default.svc.cluster.local",
        "live, 2 endpoints",
        "NAME                                 ADDRESS     PORT",
        "web-0.web.default.svc.cluster.local  10.9.9.9    80",
        "web-1.web.default.svc.cluster.local  10.244.0.3  80",
        "",
        "last changes",
        "12:00:00  ~ web-0  10.244.0.2:80 -> 10.9.9.9:80",
        "12:00:00  live",
    ]


def test_what_is_drawn_follows_the_cluster(web: FakeService, watch: Watch) -> None:
    text = watch({2: lambda: web.scale(3)}, last=40).out
    assert "+ web-2" in text
    assert "+ web-1" not in text  # was there from the start
    assert text.rstrip().endswith("web.default.svc.cluster.local: live, 3 endpoints")


def test_a_narrow_terminal_has_host_names(web: FakeService, watch: Watch) -> None:
    [*_, lines] = pictures(watch(last=2, columns=40))
    assert lines[4:6] == ["web-0  10.244.0.2  80", "web-1  10.244.0.3  80"]
    assert all(len(line) <= 40 for line in lines)


@pytest.mark.parametrize(("columns", "lines"), [(200, 50), (80, 24), (40, 10), (30, 8)])
def test_a_thousand_pods_never_fill_more_than_the_screen(
    web: FakeService, watch: Watch, columns: int, lines: int
) -> None:
    web.scale(300)
    [*_, shown] = pictures(
        watch({2: lambda: web.scale(290)}, last=60, columns=columns, lines=lines)
    )
    assert len(shown) <= lines
    assert any(line.endswith(" more") for line in shown)


def test_without_pods_there_is_no_table(cluster: FakeCluster, watch: Watch) -> None:
    cluster.add_service("web")
    [*_, lines] = pictures(watch(last=3))
    assert lines[1] == "empty, 0 endpoints"
    assert not [line for line in lines if line.startswith("NAME")]


def test_colours_tell_the_state_and_no_color_is_heard(
    web: FakeService, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "\x1b[32m" not in watch(last=2).out
    monkeypatch.delenv("NO_COLOR")
    assert "\x1b[1;32mlive" in watch(last=2).out


def test_a_long_reason_leaves_room_for_the_pods(
    cluster: FakeCluster, web: FakeService, watch: Watch
) -> None:
    acts = {2: web.pods[0].delete, 25: lambda: cluster.fail("servfail")}
    [*_, lines] = pictures(watch(acts, last=60, columns=40, lines=14))
    assert lines[1] == "stale, 2 endpoints"
    assert lines[2].startswith("asked for")
    assert len(lines) <= 14
    assert [line for line in lines if re.fullmatch(r"web-0 +10\.244\.0\.2 +80 +departing", line)]


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_a_terminal_without_that_character_gets_another(
    cluster: FakeCluster,
    web: FakeService,
    monkeypatch: pytest.MonkeyPatch,
    encoding: str,
) -> None:
    """Of lines that are too long the end is left out, which rich shows by an ellipsis."""

    class Encoding(io.TextIOWrapper):
        def isatty(self) -> bool:
            return True

        def write(self, text: str) -> int:
            written = super().write(text)
            if "next lookup" in text:
                raise KeyboardInterrupt
            return written

    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "40")
    screen = io.BytesIO()
    out = Encoding(screen, encoding)
    with contextlib.redirect_stderr(io.StringIO()):
        assert main(["watch", "web"], out=out, clock=cluster.clock, resolver=cluster.resolver) == 0
    out.flush()
    assert "next lookup in" in screen.getvalue().decode(encoding)


def test_what_is_left_on_the_terminal_is_told_as_it_is(
    cluster: FakeCluster, web: FakeService, watch: Watch
) -> None:
    cluster.fail("servfail")
    last = without_escapes(watch(last=3, columns=300).out).rstrip().splitlines()[-1]
    assert "web.default.svc.cluster.local: pending, 0 endpoints: asked for" in last
    assert "SERVFAIL from 10.96.0.10:53" in last


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
