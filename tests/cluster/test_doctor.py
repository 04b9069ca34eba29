"""The doctor on a real control plane: each broken state, produced once."""

from pathlib import Path

import pytest

from headless_discovery import Resolver
from headless_discovery._cli import make_parser
from headless_discovery._clock import Clock
from headless_discovery._commands import _doctor
from headless_discovery._commands._options import Asked
from headless_discovery._doctor._finding import Finding, Level
from headless_discovery._doctor._findings import CHECKS, findings
from tests.cluster.api import port
from tests.cluster.conftest import Namespace, eventually, free_address
from tests.cluster.control_plane import Corefile, NameServers
from tests.cluster.udp_only import udp_only

ONLY_OUTSIDE = {"inside a cluster", "namespace and domain", "am I among them"}
"""What is to be looked at wherever the control plane's tests run: that is no pod."""


def examine(
    namespace: Namespace, service: str, *options: str, resolver: Resolver | None = None
) -> dict[str, Finding]:
    asked = make_parser().parse_args(
        ["doctor", service, "-n", namespace.name, "--nameserver", "given", *options], Asked()
    )
    resolver = Resolver([namespace.nameserver]) if resolver is None else resolver
    return {one.title: one for one in findings(_doctor.examine(asked, resolver, Clock()))}


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
        assert found["cluster domain"].seen.endswith("and tells its dns-version")

    eventually(check)


def test_no_such_namespace(namespace: Namespace) -> None:
    other = Namespace(namespace.api, f"{namespace.name}-not", namespace.nameserver)
    assert examine(other, "web")["namespace exists"].level is Level.BROKEN
    assert examine(namespace, "web")["namespace exists"].level is Level.OK


def test_no_such_service_no_matching_pod_and_nobody_ready_look_alike(namespace: Namespace) -> None:
    namespace.service("none", ports=[port(80, "http")])
    namespace.service("unready", ports=[port(80, "http")])
    namespace.pod("unready-0", app="unready", ready=False)
    for service in ("nobody", "none", "unready"):
        found = examine(namespace, service)["published pods"]
        assert (found.level, found.code) == (Level.BROKEN, 1)
        assert found.seen.endswith("NXDOMAIN")


def test_a_cluster_ip_service(namespace: Namespace) -> None:
    namespace.service("vip", cluster_ip=None, ports=[port(80, "http")])
    namespace.pod("vip-0", app="vip")
    eventually_says("headless Service", Level.BROKEN, "has a virtual IP", namespace, "vip")


def test_an_external_name_service(namespace: Namespace) -> None:
    namespace.service("away", external_name="ext.example.com")
    eventually_says("headless Service", Level.BROKEN, "ext.example.com", namespace, "away")


def test_a_port_that_is_not_there_or_of_another_protocol(namespace: Namespace) -> None:
    namespace.service("swim", ports=[port(7946, "swim", protocol="UDP")])
    namespace.pod("swim-0", app="swim")
    said = "no swim over TCP, but over UDP"
    eventually_says("port", Level.BROKEN, said, namespace, "swim", "--port", "swim")
    found = examine(namespace, "swim", "--port", "http")["port"]
    assert found.seen == "no port named http over TCP; DNS shows 7946 over UDP"


def test_several_ports_are_told_by_protocol(namespace: Namespace) -> None:
    namespace.service("db", ports=[port(5432, "sql"), port(53, "dns", protocol="UDP")])
    namespace.pod("db-0", app="db")
    said = "DNS shows 5432 over TCP, 53 over UDP"
    eventually_says("port", Level.LOOK, said, namespace, "db")


def test_a_pod_that_lacks_the_target_port_is_in_a_alone(namespace: Namespace) -> None:
    namespace.service("mixed", ports=[port(80, "http", target="http")])
    namespace.pod("mixed-0", app="mixed", ports={"http": 8080})
    without = namespace.pod("mixed-1", app="mixed", ports={"other": 9090})
    said = f"only A and AAAA have {without}; only SRV has none"
    eventually_says("SRV and A agree", Level.LOOK, said, namespace, "mixed")


def test_a_cut_off_tcp_port(namespace: Namespace) -> None:
    namespace.service("many", ports=[port(80, "http")], selector={})
    namespace.slice(
        "many-1",
        of="many",
        endpoints=[{"addresses": [free_address()]} for _ in range(40)],
        ports=[{"name": "http", "port": 80, "protocol": "TCP"}],
    )
    with udp_only(namespace.nameserver) as nameserver:

        def check() -> None:
            found = examine(namespace, "many", resolver=Resolver([nameserver], lifetime=1))
            assert found["name servers over UDP"].level is Level.OK
            assert found["name servers over TCP"].level is Level.BROKEN
            assert found["answer sizes"].level is Level.BROKEN

        eventually(check)
    eventually_says("answer sizes", Level.OK, "for 40 pods, over TCP", namespace, "many")


def test_a_name_server_that_is_not_there(namespace: Namespace) -> None:
    with udp_only(namespace.nameserver) as nameserver:
        gone = nameserver
    found = examine(namespace, "web", resolver=Resolver([gone], timeout=0.2, lifetime=0.5))
    assert (found["name servers over UDP"].level, len(found)) == (Level.BROKEN, len(CHECKS))


def test_a_name_server_of_another_domain(namespace: Namespace, name_servers: NameServers) -> None:
    resolver = Resolver([name_servers.stranger()])
    found = examine(namespace, "web", resolver=resolver)["cluster domain"]
    assert found.level is Level.BROKEN
    other = examine(namespace, "web", "--cluster-domain", "k8s.example")["cluster domain"]
    assert other.level is Level.BROKEN


def test_a_name_server_that_has_not_read_the_services_yet(
    namespace: Namespace, name_servers: NameServers
) -> None:
    unsynced = Resolver([name_servers.coredns(Corefile(synced=False))], lifetime=1)
    found = examine(namespace, "web", resolver=unsynced)
    assert found["published pods"].level is Level.BROKEN
    assert "SERVFAIL" in found["published pods"].seen


def test_a_cache_on_the_way(namespace: Namespace, name_servers: NameServers) -> None:
    cached = Resolver([name_servers.coredns(Corefile(ttl=30, cache=30))])
    found = examine(namespace, "nobody", resolver=cached)["caches on the way"]
    assert found.level is Level.LOOK
    assert "a cache answers" in found.seen


def test_a_nodes_resolv_conf_in_a_pod(
    namespace: Namespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The files of a pod on the host's network, told as it reads them."""
    conf, own = tmp_path / "resolv.conf", tmp_path / "namespace"
    conf.write_text("nameserver 192.0.2.1\nsearch corp.example\n")
    own.write_text(namespace.name)
    monkeypatch.setattr("headless_discovery._surroundings.RESOLV_CONF", conf)
    monkeypatch.setattr("headless_discovery._surroundings.NAMESPACE_FILE", own)
    monkeypatch.delenv("HEADLESS_DISCOVERY_NAMESERVER", raising=False)
    asked = make_parser().parse_args(["doctor", "web"], Asked())
    seen = _doctor.examine(asked, Resolver([namespace.nameserver]), Clock())
    found = CHECKS["resolv.conf is a pod's"](seen)
    assert (found.level, found.code) == (Level.BROKEN, 2)
