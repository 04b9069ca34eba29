"""The command line, on a fake cluster over a real socket."""

import io
import json
import runpy
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from headless_discovery._cli import main
from headless_discovery.testing import FakeCluster


@pytest.fixture
def nameserver() -> Iterator[str]:
    cluster = FakeCluster()
    cluster.add_service("web", ports={"http": 8080}).scale(2)
    cluster.add_service("bare").add_pod("10.1.1.1")
    cluster.add_service("vip", ports=[80], cluster_ip="10.96.1.1")
    cluster.add_service("none", ports=[80])
    cluster.fail("servfail", name="broken.default.svc.cluster.local")
    with cluster.serve() as server:
        yield server.nameserver


def run(nameserver: str, *arguments: str) -> tuple[int, str]:
    out = io.StringIO()
    code = main(["resolve", *arguments, "-n", "default", "--nameserver", nameserver], out=out)
    return code, out.getvalue()


def test_resolve_prints_a_table(nameserver: str) -> None:
    code, out = run(nameserver, "web", "--port", "http")
    assert code == 0
    assert [line.split() for line in out.splitlines()[:3]] == [
        ["NAME", "ADDRESS", "PORT"],
        ["web-0.web.default.svc.cluster.local", "10.244.0.2", "8080"],
        ["web-1.web.default.svc.cluster.local", "10.244.0.3", "8080"],
    ]
    assert "2 endpoints, TTL 5 s; queries: 1 over UDP, 0 over TCP" in out


def test_a_port_that_there_is_none_of_is_a_dash(nameserver: str) -> None:
    _, out = run(nameserver, "bare")
    assert out.splitlines()[1].split() == [
        "10-1-1-1.bare.default.svc.cluster.local",
        "10.1.1.1",
        "-",
    ]


def test_resolve_as_json_is_one_object(nameserver: str) -> None:
    code, out = run(nameserver, "web", "--json")
    found: dict[str, Any] = json.loads(out)
    assert code == 0
    assert found.pop("seconds") > 0
    assert found == {
        "service": "web",
        "state": "live",
        "endpoints": [
            {
                "name": f"web-{number}.web.default.svc.cluster.local",
                "hostname": f"web-{number}",
                "ordinal": number,
                "address": f"10.244.0.{number + 2}",
                "addresses": [f"10.244.0.{number + 2}"],
                "port": 8080,
            }
            for number in range(2)
        ],
        "ttl": 5,
        "queries": {"udp": 1, "tcp": 0},
        "error": None,
    }


@pytest.mark.parametrize(
    ("arguments", "code", "error"),
    [
        (["none"], 1, "NoEndpoints"),
        (["web", "--namespace", "UPPER_case"], 2, "ConfigurationError"),
        (["broken"], 3, "LookupFailed"),
        (["vip"], 4, "NotHeadless"),
        (["web", "--port", "grpc"], 5, "NoSuchPort"),
    ],
)
def test_the_exit_code_tells_what_went_wrong(
    nameserver: str,
    arguments: list[str],
    code: int,
    error: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked = ["resolve", "-n", "default", "--nameserver", nameserver, *arguments]
    assert main(asked, out=io.StringIO()) == code
    assert f"headless-discovery: {error}: " in capsys.readouterr().err
    out = io.StringIO()
    assert main([*asked, "--json"], out=out) == code
    assert json.loads(out.getvalue())["error"]["type"] == error


def test_a_wrong_option_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["resolve"])
    assert exit_.value.code == 2
    assert "SERVICE" in capsys.readouterr().err


def test_a_wrong_lifetime_is_a_usage_error(nameserver: str) -> None:
    assert run(nameserver, "web", "--lifetime", "0")[0] == 2


def test_it_runs_as_a_module(nameserver: str) -> None:
    done = subprocess.run(
        [
            sys.executable, "-m", "headless_discovery", "resolve", "web",
            "-n", "default", "--port", "9", "--nameserver", nameserver,
        ],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert "10.244.0.2  9" in done.stdout


def test_a_reader_that_goes_away_is_no_error(nameserver: str) -> None:
    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    stdout = sys.stdout
    try:
        code = main(["resolve", "web", "-n", "default", "--nameserver", nameserver], out=Gone())
        assert code == 0
    finally:
        sys.stdout = stdout


def test_the_demo_shows_the_three_steps(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_module("examples.demo", run_name="__main__")
    out = capsys.readouterr().out
    one, two, three = out.split("\n(")[1:]
    assert "NotHeadless" in one
    assert "10.254.129.235" in one
    for address in ("172.30.35.3", "172.30.14.3"):
        assert f"{address.replace('.', '-')}.kubia-headless.default.svc.cluster.local" in two
    assert "172.30.35.2" not in two
    assert "172-30-35-2.kubia-headless.default.svc.cluster.local" in three
