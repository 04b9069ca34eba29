"""``wait``, on a fake cluster over a real socket."""

import io
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from headless_discovery import NotReady
from headless_discovery._cli import main, make_parser
from headless_discovery._cli._options import Arguments
from headless_discovery._cli._resolve import wait
from headless_discovery.testing import FakeCluster


@pytest.fixture
def nameserver() -> Iterator[str]:
    cluster = FakeCluster()
    cluster.add_service("web", ports={"http": 8080}).scale(2)
    cluster.add_service("vip", ports=[80], cluster_ip="10.96.1.1")
    with cluster.serve() as server:
        yield server.nameserver


def run(nameserver: str, *arguments: str) -> tuple[int, str]:
    out = io.StringIO()
    code = main(["wait", *arguments, "-n", "default", "--nameserver", nameserver], out=out)
    return code, out.getvalue()


def test_it_ends_when_enough_pods_are_there(nameserver: str) -> None:
    code, out = run(nameserver, "web", "--at-least", "2")
    assert code == 0
    assert out.startswith("ready after 0.")
    assert out.endswith("s: 2 endpoints: web-0 10.244.0.2:8080, web-1 10.244.0.3:8080\n")


def test_whoever_reads_the_log_is_told_why_it_waits(capsys: pytest.CaptureFixture[str]) -> None:
    cluster = FakeCluster()
    asked = make_parser().parse_args(["wait", "nobody", "--timeout", "10s"], Arguments())
    with pytest.raises(NotReady):
        wait(asked, cluster.peers("nobody"))
    [told] = capsys.readouterr().err.splitlines()
    assert told.startswith(
        "headless-discovery: nobody.default.svc.cluster.local: empty, 0 endpoints: no endpoints of"
    )


def test_it_waits_until_the_last_pod_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    cluster = FakeCluster()
    web = cluster.add_service("web", ports=[80])
    web.scale(1)

    def grow() -> None:
        web.scale(3)

    cluster.clock.call_at(cluster.clock.now() + 3, grow)
    asked = make_parser().parse_args(
        ["wait", "web", "--at-least", "3", "--stable-for=5s"], Arguments()
    )
    found = wait(asked, cluster.peers("web"))
    assert len(found.endpoints) == 3
    assert [line.rpartition(": ")[2] for line in capsys.readouterr().err.splitlines()] == [
        "live, 1 endpoint",
        "live, 3 endpoints",
    ]


def test_it_fails_when_the_time_is_over(
    nameserver: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(nameserver, "web", "--at-least", "3", "--timeout", "50ms") == (1, "")
    assert "NotReady: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "error"),
    [
        (["web"], 0, None),
        (["web", "--at-least", "3", "--timeout", "50ms"], 1, "NotReady"),
        (["nope", "--timeout", "50ms"], 1, "NotReady"),
        (["nope", "--at-least", "0", "--timeout", "5s"], 0, None),
        (["vip", "--at-least", "0"], 4, "NotHeadless"),
        (["web.not a name"], 2, "ConfigurationError"),
        (["vip"], 4, "NotHeadless"),
    ],
)
def test_its_json_and_exit_code_tell_what_came_of_it(
    nameserver: str,
    arguments: list[str],
    code: int,
    error: str | None,
    check_schema: Callable[[str, str], Any],
) -> None:
    given, out = run(nameserver, *arguments, "--json")
    found = check_schema("wait", out)
    assert given == code
    assert found["ready"] is (error is None)
    assert (found["error"] or {}).get("type") == error
