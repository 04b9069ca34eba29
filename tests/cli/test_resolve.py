"""``resolve``, on a fake cluster."""

import io
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from headless_discovery.testing import FakeCluster
from tests.cli.command import Terminal, run


@pytest.fixture
def cluster() -> FakeCluster:
    cluster = FakeCluster()
    cluster.add_service("web", ports={"http": 8080}).scale(2)
    cluster.add_service("bare").add_pod("10.1.1.1")
    cluster.add_service("vip", ports=[80], cluster_ip="10.96.1.1")
    cluster.add_service("none", ports=[80])
    cluster.fail("servfail", name="broken.default.svc.cluster.local")
    return cluster


def test_resolve_prints_a_table(cluster: FakeCluster) -> None:
    done = run("resolve", "web", "--port", "http", on=cluster)
    assert done.code == 0
    assert done.out == (
        "NAME                                 ADDRESS     PORT  FROM\n"
        "web-0.web.default.svc.cluster.local  10.244.0.2  8080  SRV glue\n"
        "web-1.web.default.svc.cluster.local  10.244.0.3  8080  SRV glue\n"
        "\n"
        "2 endpoints, TTL 5 s; queries: 1 over UDP, 0 over TCP; 0.0 ms\n"
    )


def test_a_narrow_terminal_gets_host_names_alone(
    cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    done = run("resolve", "web", "--port", "http", on=cluster, out=Terminal())
    assert done.out.splitlines() == [
        "NAME   ADDRESS     PORT  FROM",
        "web-0  10.244.0.2  8080  SRV glue",
        "web-1  10.244.0.3  8080  SRV glue",
        "",
        "2 endpoints, TTL 5 s; queries: 1 over",
        "UDP, 0 over TCP; 0.0 ms",
    ]


def test_pods_are_listed_as_people_count(cluster: FakeCluster) -> None:
    cluster.add_service("many", ports=[80]).scale(12)
    listed = [line.partition(".")[0] for line in run("resolve", "many", on=cluster).out.split("\n")]
    assert listed[1:13] == [f"many-{number}" for number in range(12)]


def test_a_port_that_there_is_none_of_is_a_dash(cluster: FakeCluster) -> None:
    assert run("resolve", "bare", on=cluster).out.splitlines()[1] == (
        "10-1-1-1.bare.default.svc.cluster.local  10.1.1.1  -     A + PTR"
    )


def test_resolve_as_json_is_one_object(cluster: FakeCluster) -> None:
    done = run("resolve", "web", "--json", on=cluster)
    assert done.code == 0
    assert done.json == {
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
        "seconds": 0,
        "error": None,
    }


@pytest.mark.parametrize(
    ("arguments", "code", "error"),
    [
        (["none"], 1, "NoEndpoints"),
        (["web", "--namespace", "UPPER_case"], 2, "ConfigurationError"),
        (["web", "--lifetime", "0"], 2, "ConfigurationError"),
        (["broken"], 3, "LookupFailed"),
        (["vip"], 4, "NotHeadless"),
        (["web", "--port", "grpc"], 5, "NoSuchPort"),
    ],
)
def test_the_exit_code_tells_what_went_wrong(
    cluster: FakeCluster, arguments: list[str], code: int, error: str
) -> None:
    done = run("resolve", *arguments, on=cluster)
    assert (done.code, done.out) == (code, "")
    assert f"headless-discovery: {error}: " in done.err
    assert "an int" not in done.err
    done = run("resolve", *arguments, "--json", on=cluster)
    assert (done.code, done.err) == (code, "")
    assert done.json["error"]["type"] == error


def test_a_wrong_option_is_a_usage_error() -> None:
    done = run("resolve")
    assert done.code == 2
    assert "SERVICE" in done.err


def test_it_runs_as_a_module(cluster: FakeCluster) -> None:
    command = [sys.executable, "-m", "headless_discovery", "resolve", "web", "--port", "9"]
    with cluster.serve() as server:
        done = subprocess.run(
            [*command, "-n", "default", "--nameserver", server.nameserver],
            capture_output=True,
            text=True,
            check=False,
        )
    assert (done.returncode, done.stderr) == (0, "")
    assert "10.244.0.2  9" in done.stdout


def test_a_reader_that_goes_away_is_no_error(cluster: FakeCluster) -> None:
    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    assert run("resolve", "web", on=cluster, out=Gone()).code == 0


@pytest.mark.parametrize(
    ("closed", "code"),
    [("", 0), (">&-", 0), ("2>&-", 0), (">&- 2>&- <&-", 0), ("| true", 0), ("| head -1", 0)],
)
def test_a_shell_may_close_what_it_writes_to(cluster: FakeCluster, closed: str, code: int) -> None:
    command = f"{sys.executable} -m headless_discovery resolve web.default --nameserver"
    with cluster.serve() as server:
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", f"{command} {server.nameserver} {closed}"],
            capture_output=True,
            text=True,
            check=False,
        )
    assert (done.returncode, done.stderr) == (code, "")


@pytest.mark.parametrize("option", ["--json", "--family=any"])
@pytest.mark.parametrize(
    ("full", "said"),
    [
        (">/dev/full", "headless-discovery: the output cannot be written: No space left on device"),
        (">/dev/full 2>&1", ""),
    ],
)
def test_what_cannot_be_written_is_told(
    cluster: FakeCluster, option: str, full: str, said: str
) -> None:
    command = f"{sys.executable} -m headless_discovery resolve web.default {option} --nameserver"
    with cluster.serve() as server:
        done = subprocess.run(
            ["bash", "-c", f"{command} {server.nameserver} {full}"],
            capture_output=True,
            text=True,
            check=False,
        )
    assert (done.returncode, done.stderr.strip()) == (2, said)


@pytest.mark.parametrize("service", ["web", "bare", "none", "vip", "broken"])
def test_its_json_is_as_its_schema_says(
    cluster: FakeCluster, service: str, check_schema: Callable[[str, str], Any]
) -> None:
    done = run("resolve", service, "--json", on=cluster)
    assert check_schema("resolve", done.out)["service"] == service


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("5s", 5), ("5", 5), ("500ms", 0.5), ("1m", 60), ("2h", 7200), ("1.5s", 1.5), (".5", 0.5),
        ("0.25m", 15), (" 5s ", 5),
    ],
)  # fmt: skip
def test_times_are_written_with_their_unit(cluster: FakeCluster, text: str, seconds: float) -> None:
    began = cluster.clock.now()
    assert run("wait", "none", "--timeout", text, on=cluster).code == 1
    assert cluster.clock.now() - began == seconds


@pytest.mark.parametrize("text", ["", "s", "-1s", "5 parsecs", "1e3", "nan", "\u0665s"])
def test_what_is_no_time_is_a_usage_error(cluster: FakeCluster, text: str) -> None:
    done = run("resolve", "web", f"--lifetime={text}", on=cluster)
    assert done.code == 2
    assert "is not a time such as 5s" in done.err


def test_an_interrupted_command_ends_as_a_shell_has_it(cluster: FakeCluster) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    for command in ("resolve", "wait", "doctor"):
        cluster.fail("timeout")
        cluster.clock.call_at(cluster.clock.now() + 1, interrupt)
        done = run(command, "web", on=cluster)
        assert (done.code, done.out, done.err) == (130, "", "")


# Where each endpoint came from.


def origins(cluster: FakeCluster, *words: str) -> list[str]:
    lines = run("resolve", "web", *words, on=cluster).out.partition("\n\n")[0].splitlines()
    at = lines[0].index("FROM")
    return [line[at:] for line in lines[1:]]


def test_glue_is_where_most_come_from(cluster: FakeCluster) -> None:
    assert origins(cluster) == ["SRV glue"] * 2


def test_what_no_record_told_of_comes_from_endpoint_slices(cluster: FakeCluster) -> None:
    assert origins(cluster, "--source", "api") == ["EndpointSlice"] * 2
    done = run("resolve", "web", "--source", "api", "--json", on=cluster)
    assert {one["from"] for one in done.json["endpoints"]} == {"endpoint-slice"}


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
    assert origins(cluster, "--records", "address") == ["A + dashed name"] * 2


def test_names_from_the_part_of_a_cut_srv_answer_that_came() -> None:
    cluster = FakeCluster()
    service = cluster.add_service("w" * 63, "n" * 63, ports={"http": 80})
    for number in range(330):  # too many for one answer of such long names
        service.add_pod(f"10.1.{number // 250}.{number % 250 + 1}")
    found = run("resolve", f"{'w' * 63}.{'n' * 63}", "--json", on=cluster).json
    assert {one["from"] for one in found["endpoints"]} == {"srv-address", "address-ptr"}
