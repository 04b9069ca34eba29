"""``resolve``, on a fake cluster over a real socket."""

import io
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from headless_discovery import Endpoint
from headless_discovery._cli import main
from headless_discovery._cli._options import duration
from headless_discovery._cli._show import origin_text
from headless_discovery._dns.wanted import Memory, Origin
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
        ["NAME", "ADDRESS", "PORT", "FROM"],
        ["web-0.web.default.svc.cluster.local", "10.244.0.2", "8080", "SRV", "glue"],
        ["web-1.web.default.svc.cluster.local", "10.244.0.3", "8080", "SRV", "glue"],
    ]
    assert "2 endpoints, TTL 5 s; queries: 1 over UDP, 0 over TCP" in out


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_narrow_terminal_gets_host_names_alone(
    nameserver: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    out = Terminal()
    main(["resolve", "web", "--port", "http", "-n", "default", "--nameserver", nameserver], out=out)
    assert out.getvalue().splitlines()[:5] == [
        "NAME   ADDRESS     PORT  FROM",
        "web-0  10.244.0.2  8080  SRV glue",
        "web-1  10.244.0.3  8080  SRV glue",
        "",
        "2 endpoints, TTL 5 s; queries: 1 over",
    ]


def test_a_port_that_there_is_none_of_is_a_dash(nameserver: str) -> None:
    _, out = run(nameserver, "bare")
    assert out.splitlines()[1].split() == [
        "10-1-1-1.bare.default.svc.cluster.local",
        "10.1.1.1",
        "-",
        "A",
        "+",
        "PTR",
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
                "zone": None,
                "node": None,
                "from": "srv-glue",
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
    told = capsys.readouterr().err
    assert f"headless-discovery: {error}: " in told
    assert "an int" not in told
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


@pytest.mark.parametrize("arguments", [["web"], ["bare"], ["none"], ["vip"], ["broken"]])
def test_its_json_is_as_its_schema_says(
    nameserver: str, arguments: list[str], check_schema: Callable[[str, str], Any]
) -> None:
    _, out = run(nameserver, *arguments, "--json")
    assert check_schema("resolve", out)["service"] == arguments[0]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("5s", 5), ("5", 5), ("500ms", 0.5), ("1m", 60), ("2h", 7200), ("1.5s", 1.5), (".5", 0.5)],
)
def test_times_are_written_with_their_unit(text: str, seconds: float) -> None:
    assert duration(text) == seconds


@pytest.mark.parametrize("text", ["", "s", "-1s", "5 parsecs", "1e3", "nan"])
def test_what_is_no_time_is_a_usage_error(
    text: str, nameserver: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit_:
        run(nameserver, "web", f"--lifetime={text}")
    assert exit_.value.code == 2
    assert "is not a time such as 5s" in capsys.readouterr().err


def test_an_interrupted_command_ends_as_a_shell_has_it(
    nameserver: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(asked: object, clock: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("headless_discovery._cli._resolve.resolve", interrupted)
    assert run(nameserver, "web")[0] == 130


# Where each endpoint came from.


def origins(cluster: FakeCluster, **arguments: Any) -> list[str]:
    kubia = cluster.peers("web", **arguments)
    return [origin_text(kubia._store.origin(endpoint), endpoint) for endpoint in kubia.endpoints()]


def test_glue_is_where_most_come_from() -> None:
    cluster = FakeCluster()
    cluster.add_service("web", ports={"http": 80}).scale(2)
    assert origins(cluster) == ["SRV glue"] * 2


def test_what_no_record_told_of_comes_from_endpoint_slices() -> None:
    assert origin_text(None, Endpoint("web-0.web", ("10.1.1.1",))) == "EndpointSlice"


def test_without_ports_names_come_from_ptr() -> None:
    cluster = FakeCluster()
    cluster.add_service("web", families=["ipv6"]).add_pod("fd00::1", hostname="web-0")
    assert origins(cluster) == ["AAAA + PTR"]


def test_where_ptr_fails_a_dashed_name_is_confirmed() -> None:
    cluster = FakeCluster()
    cluster.add_service("web").add_pod("10.1.1.1")
    cluster.fail("nxdomain", name="in-addr.arpa")
    assert origins(cluster) == ["A + dashed name"]


def test_by_addresses_alone_names_are_the_dashed_ones() -> None:
    cluster = FakeCluster()
    web = cluster.add_service("web", ports={"http": 80})
    web.add_pod("10.1.1.1")
    web.add_pod("10.1.1.2")
    assert origins(cluster, records="address") == ["A + dashed name"] * 2


def test_a_target_without_glue_is_asked_for() -> None:
    memory = Memory(targets={"web-0.web": {}})
    assert memory.origin(Endpoint("web-0.web", ("10.1.1.1",))) is Origin.TARGET
    assert memory.origin(Endpoint("web-1.web", ("10.1.1.2",))) is Origin.GLUE


def test_names_from_the_part_of_a_cut_srv_answer_that_came() -> None:
    cluster = FakeCluster()
    service = cluster.add_service("w" * 63, "n" * 63, ports={"http": 80})
    for number in range(330):  # too many for one answer of such long names
        service.add_pod(f"10.1.{number // 250}.{number % 250 + 1}")
    kubia = cluster.peers(f"{'w' * 63}.{'n' * 63}")
    origins = {kubia._store.origin(endpoint) for endpoint in kubia}
    assert origins == {Origin.TARGET, Origin.POINTER}
