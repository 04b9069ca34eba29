"""The doctor on a real control plane: each broken state, produced once."""

import re
import socket
from pathlib import Path
from typing import Any

import attrs
import pytest

from headless_discovery import Clock, Endpoint, Resolver
from headless_discovery._cli import _doctor, make_parser
from headless_discovery._cli._doctor import CHECKS, findings
from headless_discovery._cli._finding import Finding, Level
from headless_discovery._cli._observe import Connect, Listen, connect, listen
from headless_discovery._cli._options import FAILED, NONE, Arguments
from tests.cluster.api import port
from tests.cluster.conftest import Namespace, as_a_pod, eventually, free_address
from tests.cluster.control_plane import Corefile, NameServers
from tests.cluster.relays import Ask, Handle, pass_on, relay, without_edns, without_srv

ONLY_OUTSIDE = {"inside a cluster", "namespace and domain", "am I among them"}
"""What is to be looked at wherever the control plane's tests run: that is no pod."""


def examine(
    namespace: Namespace,
    service: str,
    *options: str,
    resolver: Resolver | None = None,
    listen: Listen | None = None,
    connect: Connect | None = None,
) -> dict[str, Finding]:
    asked = make_parser().parse_args(
        ["doctor", service, "-n", namespace.name, "--nameserver", namespace.nameserver, *options],
        Arguments(),
    )
    resolver = Resolver([namespace.nameserver]) if resolver is None else resolver
    read = None if asked.source == "dns" else lambda: _doctor.read_slices(asked)
    seen = _doctor.examine(
        asked, resolver, Clock(), connect=connect, listen=listen, read_slices=read
    )
    return {one.title: one for one in findings(seen)}


def eventually_says(
    title: str, level: Level, said: str, namespace: Namespace, service: str, *options: str
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
        wrong = {title for title, one in found.items() if one.level is not Level.OK}
        assert wrong - {"other tools in this image"} <= ONLY_OUTSIDE
        assert found["port"].seen == "http over TCP: 80"
        assert found["cluster domain"].seen.endswith("and has its dns-version")

    eventually(check)


def test_no_such_namespace(namespace: Namespace) -> None:
    other = Namespace(namespace.api, f"{namespace.name}-not", namespace.nameserver)
    assert examine(other, "web")["namespace exists"].level is Level.FAIL
    assert examine(namespace, "web")["namespace exists"].level is Level.OK


def test_no_such_service_no_matching_pod_and_nobody_ready_look_alike(namespace: Namespace) -> None:
    namespace.service("none", ports=[port(80, "http")])
    namespace.service("unready", ports=[port(80, "http")])
    namespace.pod("unready-0", app="unready", ready=False)
    for service in ("nobody", "none", "unready"):
        found = examine(namespace, service)["published pods"]
        assert (found.level, found.code) == (Level.FAIL, NONE)
        assert found.seen.endswith("NXDOMAIN")


def test_a_cluster_ip_service(namespace: Namespace) -> None:
    namespace.service("vip", cluster_ip=None, ports=[port(80, "http")])
    namespace.pod("vip-0", app="vip")
    eventually_says("headless Service", Level.FAIL, "has a virtual IP", namespace, "vip")


def test_an_external_name_service(namespace: Namespace) -> None:
    namespace.service("away", external_name="ext.example.com")
    eventually_says("headless Service", Level.FAIL, "ext.example.com", namespace, "away")


def test_a_port_that_is_not_there_or_of_another_protocol(namespace: Namespace) -> None:
    namespace.service("swim", ports=[port(7946, "swim", protocol="UDP")])
    namespace.pod("swim-0", app="swim")
    said = "no swim over TCP, but over UDP"
    eventually_says("port", Level.FAIL, said, namespace, "swim", "--port", "swim")
    found = examine(namespace, "swim", "--port", "http")["port"]
    assert found.seen == "no port named http over TCP; DNS shows 7946 over UDP"


def test_several_ports_are_told_by_protocol(namespace: Namespace) -> None:
    namespace.service("db", ports=[port(5432, "sql"), port(53, "dns", protocol="UDP")])
    namespace.pod("db-0", app="db")
    said = "DNS shows 5432 over TCP, 53 over UDP"
    eventually_says("port", Level.WARN, said, namespace, "db")


def test_a_pod_that_lacks_the_target_port_is_in_a_alone(namespace: Namespace) -> None:
    namespace.service("mixed", ports=[port(80, "http", target="http")])
    namespace.pod("mixed-0", app="mixed", ports={"http": 8080})
    without = namespace.pod("mixed-1", app="mixed", ports={"other": 9090})
    said = f"only A and AAAA have {without}; only SRV has none"
    eventually_says("SRV and A agree", Level.WARN, said, namespace, "mixed")


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
            assert found["name servers over UDP"].level is Level.OK
            assert found["name servers over TCP"].level is Level.FAIL
            assert found["answer sizes"].level is Level.FAIL

        eventually(check)
    eventually_says("answer sizes", Level.OK, "for 40 pods, over TCP", namespace, "many")


def test_a_name_server_that_is_not_there(namespace: Namespace) -> None:
    with relay(namespace.nameserver, tcp=False) as nameserver:
        gone = nameserver
    found = examine(namespace, "web", resolver=Resolver([gone], timeout=0.2, lifetime=0.5))
    assert found["name servers over UDP"].level is Level.FAIL
    assert len(found) == len(CHECKS) - 2  # those that are not asked for


def test_a_name_server_of_another_domain(namespace: Namespace, name_servers: NameServers) -> None:
    resolver = Resolver([name_servers.stranger()])
    found = examine(namespace, "web", resolver=resolver)["cluster domain"]
    assert found.level is Level.FAIL
    other = examine(namespace, "web", "--cluster-domain", "k8s.example")["cluster domain"]
    assert other.level is Level.FAIL


def test_a_name_server_that_has_not_read_the_services_yet(
    namespace: Namespace, name_servers: NameServers
) -> None:
    unsynced = Resolver([name_servers.coredns(Corefile(synced=False))], lifetime=1)
    found = examine(namespace, "web", resolver=unsynced)
    assert found["published pods"].level is Level.FAIL
    assert "SERVFAIL" in found["published pods"].seen


def test_a_cache_on_the_way(namespace: Namespace, name_servers: NameServers) -> None:
    cached = Resolver([name_servers.coredns(Corefile(ttl=30, cache=30))])
    found = examine(namespace, "nobody", resolver=cached)["caches in between"]
    assert found.level is Level.WARN
    assert "a cache answers" in found.seen


def test_a_nodes_resolv_conf_in_a_pod(
    namespace: Namespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The files of a pod on the host's network, told as it reads them."""
    conf, own = tmp_path / "resolv.conf", tmp_path / "namespace"
    conf.write_text("nameserver 192.0.2.1\nsearch corp.example\n")
    own.write_text(namespace.name)
    monkeypatch.setattr("headless_discovery._dns.surroundings.RESOLV_CONF", conf)
    monkeypatch.setattr("headless_discovery._dns.surroundings.NAMESPACE_FILE", own)
    monkeypatch.delenv("HEADLESS_DISCOVERY_NAMESERVER", raising=False)
    asked = make_parser().parse_args(["doctor", "web"], Arguments())
    seen = _doctor.examine(asked, Resolver([namespace.nameserver]), Clock())
    found = CHECKS["resolv.conf is a pod's"](seen)
    assert (found.level, found.code) == (Level.FAIL, 2)


# What lies between this process and a name server that works.


@pytest.fixture
def web(namespace: Namespace) -> str:
    """Three pods of a Service, which the name server knows of."""
    namespace.service("web", ports=[port(80, "http")])
    for number in range(3):
        namespace.pod(f"web-{number}", app="web", hostname=f"web-{number}", subdomain="web")
    eventually_says("published pods", Level.OK, "3 pods", namespace, "web")
    return "web"


@pytest.mark.parametrize(
    ("handle", "ways", "line", "level", "said"),
    [
        (pass_on, {"udp": False}, "name servers over UDP", Level.FAIL, "no answer in"),
        (pass_on, {"sender": "127.0.0.3"}, "name servers over UDP", Level.FAIL, "127.0.0.3:"),
        (without_edns, {}, "EDNS gets through", Level.WARN, "only queries without EDNS"),
        (without_srv, {}, "SRV and A agree", Level.WARN, "SRV is not: REFUSED"),
    ],
)
def test_what_is_between_us_and_the_name_server_is_told(
    namespace: Namespace,
    web: str,
    handle: Handle,
    ways: dict[str, Any],
    *,
    line: str,
    level: Level,
    said: str,
) -> None:
    with relay(namespace.nameserver, handle, **ways) as nameserver:
        resolver = Resolver([nameserver], timeout=0.5, lifetime=2)
        found = examine(namespace, web, resolver=resolver, listen=listen)
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
    assert found.level is Level.WARN
    assert "answered 3 of 5 at once" in found.seen


def test_pods_that_do_not_accept_connections_are_told_from_those_that_do(
    namespace: Namespace, web: str
) -> None:
    """The API takes no address of loopback for a pod: the listener stands in for two of three."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listening = listener.getsockname()[1]

        def at_loopback(endpoint: Endpoint) -> str | None:
            where = 1 if endpoint.hostname == "web-1" else listening
            return connect(attrs.evolve(endpoint, addresses=("127.0.0.1",), port=where))

        found = examine(namespace, web, "--port", "http", connect=at_loopback)
    found_one = found["pods accept connections"]
    assert (found_one.level, found_one.code) == (Level.FAIL, FAILED)
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
    assert found["cluster domain"].level is Level.OK
    assert found[line].level is Level.WARN
    assert found[line].means


def test_pods_that_share_a_host_name_or_an_address(namespace: Namespace) -> None:
    namespace.service("same", ports=[port(80, "http")])
    for number in range(2):
        namespace.pod(f"same-{number}", app="same", hostname="one", subdomain="same")
    eventually_says(
        "a name for each pod", Level.WARN, f"one.same.{namespace.name}", namespace, "same"
    )
    namespace.service("node", ports=[port(80, "http")])
    address = free_address()
    for number in range(2):
        namespace.pod(
            f"node-{number}", address, app="node", hostname=f"node-{number}", subdomain="node"
        )
    eventually_says("published pods", Level.OK, "2 pods", namespace, "node")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("POD_IP", address)
        environment.setenv("POD_NAME", "node-1")
        assert "we are node-1.node" in examine(namespace, "node")["am I among them"].seen
        environment.setenv("POD_NAME", "elsewhere")
        assert examine(namespace, "node")["am I among them"].level is Level.WARN


def test_whether_endpoint_slices_can_be_read(
    namespace: Namespace,
    environment: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    namespace.service("web", ports=[port(80, "http")])
    namespace.pod("web-0", app="web")
    as_a_pod(environment, namespace.token("app"), tmp_path, monkeypatch)
    eventually(lambda: examine(namespace, "web")["published pods"].level is Level.OK)
    found = examine(namespace, "web", "--source", "api")["EndpointSlices"]
    assert (found.level, found.code) == (Level.FAIL, FAILED)
    assert "403" in found.seen
    assert f"Role in namespace {namespace.name}" in found.do
    namespace.allow("app")

    def check() -> None:
        found = examine(namespace, "web", "--source", "api")["EndpointSlices"]
        assert found.level is Level.OK
        # Its node has a zone once another test has given it one.
        assert re.fullmatch(
            r"1 pod in EndpointSlices( \(1 in 'z1'\))?, the same as by DNS", found.seen
        )

    eventually(check)
