"""The doctor on a real control plane: each broken state, produced once."""

import re
import socket
from pathlib import Path
from typing import Any

import pytest

from headless_discovery import Resolver
from tests.cli.command import Report, doctor, place
from tests.cluster.api import port
from tests.cluster.conftest import Namespace, as_a_pod, eventually, free_address
from tests.cluster.control_plane import Corefile, NameServers
from tests.cluster.relays import Ask, Handle, pass_on, relay, without_edns, without_srv

ONLY_OUTSIDE = {"inside a cluster", "namespace and domain", "am I among them"}
"""What is to be looked at wherever the control plane's tests run: that is no pod."""


def examine(
    namespace: Namespace, service: str, *options: str, resolver: Resolver | None = None
) -> Report:
    words = [service, "-n", namespace.name, "--nameserver", namespace.nameserver, *options]
    return doctor(None, *words, resolver=resolver or Resolver([namespace.nameserver]))


def eventually_says(
    title: str, level: str, said: str, namespace: Namespace, service: str, *options: str
) -> None:
    def check() -> None:
        found = examine(namespace, service, *options)[title]
        assert (found.level, said) == (level, said if said in found.seen else found.seen)

    eventually(check)


def test_a_service_that_works_is_ok_from_the_name_to_the_pod(namespace: Namespace) -> None:
    namespace.service("web", ports=[port(80, "http")])
    for number in range(3):
        namespace.pod(f"web-{number}", app="web", hostname=f"web-{number}", subdomain="web")

    def check() -> None:
        found = examine(namespace, "web", "--port", "http")
        assert found["published pods"].seen.startswith("3 pods")
        wrong = found.lines.keys() - found.titles("ok")
        assert wrong - {"other tools in this image"} <= ONLY_OUTSIDE
        assert found["port"].seen == "http over TCP: 80"
        assert found["cluster domain"].seen.endswith("and has its dns-version")

    eventually(check)


def test_no_such_namespace(namespace: Namespace) -> None:
    other = Namespace(namespace.api, f"{namespace.name}-not", namespace.nameserver)
    assert examine(other, "web")["namespace exists"].level == "fail"
    assert examine(namespace, "web")["namespace exists"].level == "ok"


def test_no_such_service_no_matching_pod_and_nobody_ready_look_alike(namespace: Namespace) -> None:
    namespace.service("none", ports=[port(80, "http")])
    namespace.service("unready", ports=[port(80, "http")])
    namespace.pod("unready-0", app="unready", ready=False)
    for service in ("nobody", "none", "unready"):
        found = examine(namespace, service)
        assert (found["published pods"].level, found.code) == ("fail", 1)
        assert found["published pods"].seen.endswith("NXDOMAIN")


def test_a_cluster_ip_service(namespace: Namespace) -> None:
    namespace.service("vip", cluster_ip=None, ports=[port(80, "http")])
    namespace.pod("vip-0", app="vip")
    eventually_says("headless Service", "fail", "has a virtual IP", namespace, "vip")


def test_an_external_name_service(namespace: Namespace) -> None:
    namespace.service("away", external_name="ext.example.com")
    eventually_says("headless Service", "fail", "ext.example.com", namespace, "away")


def test_a_port_that_is_not_there_or_of_another_protocol(namespace: Namespace) -> None:
    namespace.service("swim", ports=[port(7946, "swim", protocol="UDP")])
    namespace.pod("swim-0", app="swim")
    said = "no swim over TCP, but over UDP"
    eventually_says("port", "fail", said, namespace, "swim", "--port", "swim")
    found = examine(namespace, "swim", "--port", "http")["port"]
    assert found.seen == "no port named http over TCP; DNS shows 7946 over UDP"


def test_several_ports_are_told_by_protocol(namespace: Namespace) -> None:
    namespace.service("db", ports=[port(5432, "sql"), port(53, "dns", protocol="UDP")])
    namespace.pod("db-0", app="db")
    said = "DNS shows 5432 over TCP, 53 over UDP"
    eventually_says("port", "warn", said, namespace, "db")


def test_a_pod_that_lacks_the_target_port_is_in_a_alone(namespace: Namespace) -> None:
    namespace.service("mixed", ports=[port(80, "http", target="http")])
    namespace.pod("mixed-0", app="mixed", ports={"http": 8080})
    without = namespace.pod("mixed-1", app="mixed", ports={"other": 9090})
    said = f"only A and AAAA have {without}; only SRV has none"
    eventually_says("SRV and A agree", "warn", said, namespace, "mixed")


def test_a_cut_off_tcp_port(namespace: Namespace) -> None:
    namespace.service("many", ports=[port(80, "http")], selector={})
    namespace.slice(
        "many-1",
        of="many",
        endpoints=[{"addresses": [free_address()]} for _ in range(40)],
        ports=[{"name": "http", "port": 80, "protocol": "TCP"}],
    )
    with relay(namespace.nameserver, tcp=False) as nameserver:

        def check() -> None:
            found = examine(namespace, "many", resolver=Resolver([nameserver], lifetime=1))
            assert found["name servers over UDP"].level == "ok"
            assert found["name servers over TCP"].level == "fail"
            assert found["answer sizes"].level == "fail"

        eventually(check)
    eventually_says("answer sizes", "ok", "for 40 pods, over TCP", namespace, "many")


def test_a_name_server_that_is_not_there(namespace: Namespace) -> None:
    with relay(namespace.nameserver, tcp=False) as nameserver:
        gone = nameserver
    found = examine(namespace, "web", resolver=Resolver([gone], timeout=0.2, lifetime=0.5))
    assert found["name servers over UDP"].level == "fail"
    assert found.lines.keys() == examine(namespace, "web").lines.keys()


def test_a_name_server_of_another_domain(namespace: Namespace, name_servers: NameServers) -> None:
    resolver = Resolver([name_servers.stranger()])
    found = examine(namespace, "web", resolver=resolver)["cluster domain"]
    assert found.level == "fail"
    other = examine(namespace, "web", "--cluster-domain", "k8s.example")["cluster domain"]
    assert other.level == "fail"


def test_a_name_server_that_has_not_read_the_services_yet(
    namespace: Namespace, name_servers: NameServers
) -> None:
    unsynced = Resolver([name_servers.coredns(Corefile(synced=False))], lifetime=1)
    found = examine(namespace, "web", resolver=unsynced)
    assert found["published pods"].level == "fail"
    assert "SERVFAIL" in found["published pods"].seen


def test_a_cache_on_the_way(namespace: Namespace, name_servers: NameServers) -> None:
    cached = Resolver([name_servers.coredns(Corefile(ttl=30, cache=30))])
    found = examine(namespace, "nobody", resolver=cached)["caches in between"]
    assert found.level == "warn"
    assert "a cache answers" in found.seen


def test_a_nodes_resolv_conf_in_a_pod(namespace: Namespace) -> None:
    """A pod on the host's network, told as its files have it."""
    there = place(
        Resolver([namespace.nameserver]),
        "nameserver 192.0.2.1\nsearch corp.example\n",
        namespace=namespace.name,
    )
    found = doctor(None, "web", resolver=there)
    assert (found["resolv.conf is a pod's"].level, found.code) == ("fail", 2)


# What lies between this process and a name server that works.


@pytest.fixture
def web(namespace: Namespace) -> str:
    """Three pods of a Service, which the name server knows of."""
    namespace.service("web", ports=[port(80, "http")])
    for number in range(3):
        namespace.pod(f"web-{number}", app="web", hostname=f"web-{number}", subdomain="web")
    eventually_says("published pods", "ok", "3 pods", namespace, "web")
    return "web"


@pytest.mark.parametrize(
    ("handle", "ways", "line", "level", "said"),
    [
        (pass_on, {"udp": False}, "name servers over UDP", "fail", "no answer in"),
        (pass_on, {"sender": "127.0.0.3"}, "name servers over UDP", "fail", "127.0.0.3:"),
        (without_edns, {}, "EDNS gets through", "warn", "only queries without EDNS"),
        (without_srv, {}, "SRV and A agree", "warn", "SRV is not: REFUSED"),
    ],
)
def test_what_is_between_us_and_the_name_server_is_told(
    namespace: Namespace,
    web: str,
    handle: Handle,
    ways: dict[str, Any],
    *,
    line: str,
    level: str,
    said: str,
) -> None:
    with relay(namespace.nameserver, handle, **ways) as nameserver:
        resolver = Resolver([nameserver], timeout=0.5, lifetime=2)
        found = examine(namespace, web, resolver=resolver)
    assert (found[line].level, said) == (
        level,
        said if said in found[line].seen else found[line].seen,
    )
    if "udp" in ways:
        assert "replies over TCP" in found[line].means
        assert found["SRV and A agree"].seen == "the same 3 addresses"


def test_datagrams_that_get_lost_are_told(namespace: Namespace, web: str) -> None:
    seen = 0

    def lossy(wire: bytes, ask: Ask) -> bytes | None:
        nonlocal seen
        seen += wire[11]  # those with EDNS, of which five are sent at once
        return ask(wire) if seen > 2 or not wire[11] else None

    with relay(namespace.nameserver, lossy) as nameserver:
        resolver = Resolver([nameserver], timeout=0.5, lifetime=2)
        found = examine(namespace, web, resolver=resolver)["no datagrams are lost"]
    assert found.level == "warn"
    assert "answered 3 of 5 at once" in found.seen


def test_pods_that_do_not_accept_connections_are_told_from_those_that_do(
    namespace: Namespace, web: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The API takes no address of loopback for a pod: the listener stands in for two of three."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listening, connect = listener.getsockname()[1], socket.create_connection
        endpoints = examine(namespace, web).json["snapshot"]["endpoints"]
        [hung] = [one["address"] for one in endpoints if one["hostname"] == "web-1"]

        def at_loopback(address: tuple[str, int], timeout: float) -> socket.socket:
            where = 1 if address[0] == hung else listening
            return connect(("127.0.0.1", where), timeout)

        monkeypatch.setattr(socket, "create_connection", at_loopback)
        found = examine(namespace, web, "--port", "http", "--connect")
    found_one = found["pods accept connections"]
    assert (found_one.level, found.code) == ("fail", 3)
    assert "refused" in found_one.seen
    assert "web-1" in found_one.do
    assert "DNS is right" in found_one.means


MADE_UP = "IN A cluster.local {\nmatch ^made-up\nfallthrough\n"


@pytest.mark.parametrize(
    ("template", "line"),
    [
        (MADE_UP + 'answer "{{ .Name }} 5 IN A 203.0.113.1"\n}', "no wildcards"),
        (MADE_UP + 'rcode NXDOMAIN\nauthority ". 5 IN SOA a. b. 1 2 3 4 5"\n}', "negative answers"),
    ],
)
def test_a_zone_that_answers_for_others_is_told(
    namespace: Namespace, web: str, name_servers: NameServers, template: str, line: str
) -> None:
    resolver = Resolver([name_servers.coredns(Corefile(template=template))])
    found = examine(namespace, web, resolver=resolver)
    assert found["cluster domain"].level == "ok"
    assert found[line].level == "warn"
    assert found[line].means


def test_pods_that_share_a_host_name_or_an_address(namespace: Namespace) -> None:
    namespace.service("same", ports=[port(80, "http")])
    for number in range(2):
        namespace.pod(f"same-{number}", app="same", hostname="one", subdomain="same")
    eventually_says("a name for each pod", "warn", f"one.same.{namespace.name}", namespace, "same")
    namespace.service("node", ports=[port(80, "http")])
    address = free_address()
    for number in range(2):
        namespace.pod(
            f"node-{number}", address, app="node", hostname=f"node-{number}", subdomain="node"
        )
    eventually_says("published pods", "ok", "2 pods", namespace, "node")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("POD_IP", address)
        environment.setenv("POD_NAME", "node-1")
        assert "we are node-1.node" in examine(namespace, "node")["am I among them"].seen
        environment.setenv("POD_NAME", "elsewhere")
        assert examine(namespace, "node")["am I among them"].level == "warn"


def test_whether_endpoint_slices_can_be_read(
    namespace: Namespace,
    environment: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    namespace.service("web", ports=[port(80, "http")])
    namespace.pod("web-0", app="web")
    as_a_pod(environment, namespace.token("app"), tmp_path, monkeypatch)
    eventually_says("published pods", "ok", "1 pod", namespace, "web")
    found = examine(namespace, "web", "--source", "api")
    assert (found["EndpointSlices"].level, found.code) == ("fail", 3)
    assert "403" in found["EndpointSlices"].seen
    assert f"Role in namespace {namespace.name}" in found["EndpointSlices"].do
    namespace.allow("app")

    def check() -> None:
        found = examine(namespace, "web", "--source", "api")["EndpointSlices"]
        assert found.level == "ok"
        # Its node has a zone once another test has given it one.
        assert re.fullmatch(
            r"1 pod in EndpointSlices( \(1 in 'z1'\))?, the same as by DNS", found.seen
        )

    eventually(check)
