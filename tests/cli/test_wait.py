"""``wait``, on a fake cluster."""

from collections.abc import Callable
from typing import Any

import pytest

from headless_discovery.testing import FakeCluster, FakeService
from tests.cli.command import Terminal, place, run


@pytest.fixture
def cluster() -> FakeCluster:
    return FakeCluster()


@pytest.fixture(autouse=True)
def web(cluster: FakeCluster) -> FakeService:
    cluster.add_service("vip", ports=[80], cluster_ip="10.96.1.1")
    web = cluster.add_service("web", ports={"http": 8080})
    web.scale(2)
    return web


def grows(cluster: FakeCluster, web: FakeService, seconds: float) -> None:
    def grow() -> None:
        web.scale(3)

    cluster.clock.call_at(cluster.clock.now() + seconds, grow)


def test_it_ends_when_enough_pods_are_there(cluster: FakeCluster) -> None:
    done = run("wait", "web", "--at-least", "2", on=cluster)
    assert done.code == 0
    assert done.out == (
        "ready after 0.0 s: 2 endpoints: web-0 10.244.0.2:8080, web-1 10.244.0.3:8080\n"
    )


def test_whoever_reads_the_log_is_told_why_it_waits(cluster: FakeCluster) -> None:
    done = run("wait", "nobody", "--timeout", "10s", on=cluster)
    assert done.code == 1
    first, second, *_ = done.err.splitlines()
    assert first.startswith(
        "headless-discovery: nobody.default.svc.cluster.local: empty, 0 endpoints: no endpoints of"
    )
    assert second.startswith("headless-discovery: NotReady: ")


def test_it_waits_until_the_last_pod_is_there(cluster: FakeCluster, web: FakeService) -> None:
    grows(cluster, web, 3)
    done = run("wait", "web", "--at-least", "3", "--stable-for=5s", on=cluster)
    assert done.out.partition(": ")[2].startswith("3 endpoints: web-0")
    assert [line.rpartition(": ")[2] for line in done.err.splitlines()] == [
        "live, 2 endpoints",
        "live, 3 endpoints",
    ]


def test_a_pod_that_leaves_meanwhile_is_told_as_departing(
    cluster: FakeCluster, web: FakeService
) -> None:
    def shrink() -> None:
        web.scale(1)

    cluster.clock.call_at(cluster.clock.now() + 2, shrink)
    done = run("wait", "web", "--at-least", "3", "--timeout", "30s", on=cluster)
    assert [line.rpartition(": ")[2] for line in done.err.splitlines()[:3]] == [
        "live, 2 endpoints",
        "live, 2 endpoints, 1 departing",
        "live, 1 endpoint",
    ]


def test_it_fails_when_the_time_is_over(cluster: FakeCluster) -> None:
    done = run("wait", "web", "--at-least", "3", "--timeout", "50ms", on=cluster)
    assert (done.code, done.out) == (1, "")
    assert "NotReady: " in done.err


def test_at_least_none_waits_only_for_an_answer(cluster: FakeCluster) -> None:
    assert run("wait", "nobody", "--at-least", "0", on=cluster).out == (
        "ready after 0.0 s: 0 endpoints\n"
    )


@pytest.mark.parametrize(
    ("arguments", "code", "error"),
    [
        (["web"], 0, None),
        (["web", "--source", "api"], 0, None),
        (["web", "--at-least", "3", "--timeout", "50ms"], 1, "NotReady"),
        (["nope", "--timeout", "50ms"], 1, "NotReady"),
        (["nope", "--at-least", "0", "--timeout", "5s"], 0, None),
        (["vip", "--at-least", "0"], 4, "NotHeadless"),
        (["web.not a name"], 2, "ConfigurationError"),
        (["vip"], 4, "NotHeadless"),
    ],
)
def test_its_json_and_exit_code_tell_what_came_of_it(
    cluster: FakeCluster,
    arguments: list[str],
    code: int,
    error: str | None,
    check_schema: Callable[[str, str], Any],
) -> None:
    done = run("wait", *arguments, "--json", on=cluster)
    found = check_schema("wait", done.out)
    assert done.code == code
    assert found["ready"] is (error is None)
    assert (found["error"] or {}).get("type") == error


# Progress.


def shown(
    cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch, term: str = "xterm", columns: int = 80
) -> str:
    """What a terminal shows of a wait of three and a half seconds, but for what is said at once."""
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TERM", term)
    done = run("wait", "web", "--at-least=3", "--timeout=3.5s", on=cluster, err=Terminal())
    assert done.code == 1
    return done.err.partition("live, 2 endpoints\n")[2].partition("headless-discovery")[0]


def test_a_terminal_shows_what_it_waits_for_and_since_when(
    cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    what = "waiting for at least 3 peers of web.default.svc.cluster.local: live, 2 endpoints"
    assert shown(cluster, monkeypatch, columns=120) == (
        "".join(f"\r\x1b[K{second} s: {what}" for second in (1, 2, 3)) + "\r\x1b[K" * 2
    )


def test_a_narrow_terminal_shows_what_fits(
    cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "\x1b[K1 s: waiting f...\r" in shown(cluster, monkeypatch, columns=18)


@pytest.mark.parametrize("term", ["dumb", ""])
def test_a_dumb_terminal_gets_no_progress(
    cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch, term: str
) -> None:
    assert shown(cluster, monkeypatch, term) == ""


def test_what_is_over_at_once_shows_nothing(
    cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    done = run("wait", "web", on=cluster, err=Terminal())
    assert done.err == (
        "\r\x1b[Kheadless-discovery: web.default.svc.cluster.local: live, 2 endpoints\n"
    )


def test_a_pipe_gets_no_progress(cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    done = run("wait", "web", "--at-least=3", "--timeout=3s", on=cluster)
    assert "waiting for" not in done.err


def test_the_doctor_shows_that_it_is_at_work(
    cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    cluster.fail("timeout")
    assert "1 s: checking web" in run("doctor", "web", on=cluster, err=Terminal()).err


def test_this_pod_is_waited_for_too_if_that_is_asked(cluster: FakeCluster) -> None:
    words = ["wait", "web", "--see-self", "--timeout", "1s"]
    assert run(*words, on=cluster, resolver=place(cluster, POD_IP="10.244.0.2")).code == 0
    assert run(*words, on=cluster, resolver=place(cluster, POD_IP="10.9.9.9")).code == 1
