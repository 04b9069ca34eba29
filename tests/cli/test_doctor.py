"""The doctor's checks one by one: each is made to say ok, and to say that something is wrong."""

import io
import re
import socket
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import attrs
import pytest

from headless_discovery import (
    ConfigurationError,
    DiscoveryError,
    Endpoint,
    LookupFailed,
    Peers,
    Resolver,
    Snapshot,
)
from headless_discovery._cli import main, make_parser
from headless_discovery._cli._dns_checks import libc_asks
from headless_discovery._cli._doctor import (
    CHECKS,
    examine,
    findings,
    judged,
    read_slices,
    worst_code,
)
from headless_discovery._cli._finding import Finding, Level, Observations, Reach
from headless_discovery._cli._observe import connect, listen
from headless_discovery._cli._options import Arguments
from headless_discovery._dns.message import Answer, Server, Type, query
from headless_discovery._dns.surroundings import ResolvConf, Surroundings
from headless_discovery._endpoint import ThisPod
from headless_discovery.testing import FakeClock, FakeCluster
from headless_discovery.testing._resolver import FakeResolver
from headless_discovery.testing._server import Wire

SVC = "svc.cluster.local"
WEB = f"web.default.{SVC}"
ONLY_IF_ASKED_FOR = ("pods accept connections", "EndpointSlices")
USUAL = [title for title in CHECKS if title not in ONLY_IF_ASKED_FOR]


def asked(service: str, *options: str) -> Arguments:
    return make_parser().parse_args(["doctor", service, *options], Arguments())


def resolver(wire: Wire, domain: str = "cluster.local", **around: Any) -> FakeResolver:
    return FakeResolver(wire, domain=domain, **({"namespace": "default"} | around))


def observe(
    cluster: FakeCluster,
    service: str = "web",
    *options: str,
    wire: Wire | None = None,
    connect: Callable[[Endpoint], str | None] | None = None,
    **around: Any,
) -> Observations:
    """What the doctor sees in a pod of namespace ``default``."""
    wire = cluster if wire is None else wire
    return examine(
        asked(service, *options), resolver(wire, **around), cluster.clock, connect=connect
    )


def judge(title: str, seen: Observations) -> Finding:
    return judged(CHECKS[title], seen)


@pytest.fixture
def cluster() -> FakeCluster:
    """Three pods of a Service ``web``, with the cluster's own Services."""
    cluster = FakeCluster()
    cluster.add_service("web", ports={"http": 8080}).scale(3)
    cluster.add_service("kube-dns", "kube-system", ports=[53], cluster_ip="10.96.0.10")
    return cluster


def is_ok(finding: Finding) -> bool:
    return finding.level is Level.OK


def test_all_is_well_in_a_pod_of_a_service_that_works(cluster: FakeCluster) -> None:
    seen = observe(cluster, "web", "--port", "http", addresses=("10.244.0.2",), hostname="web-0")
    found = findings(attrs.evolve(seen, libc="glibc 2.36"))
    assert [one.title for one in found if one.level is not Level.OK] == []
    assert worst_code(found) == 0


def test_every_check_judges_whatever_there_is_to_see(cluster: FakeCluster) -> None:
    cluster.fail("timeout")
    found = findings(observe(cluster))
    assert [one.title for one in found] == USUAL
    assert worst_code(found) == 3


@pytest.mark.parametrize("kind", ["servfail", "refused", "nxdomain", "truncate", "garbage"])
def test_no_failure_stops_the_walk(cluster: FakeCluster, kind: Any) -> None:
    cluster.fail(kind)
    found = findings(observe(cluster, "web", "--port", "http"))
    assert len(found) == len(USUAL)
    assert worst_code(found) != 0


# Where we are.


def test_a_pod_is_inside_a_cluster(cluster: FakeCluster) -> None:
    found = judge("inside a cluster", observe(cluster))
    assert is_ok(found)
    assert found.seen == ("/etc/resolv.conf searches svc.cluster.local; there is a service account")


def outside(seen: Observations, **around: Any) -> Observations:
    return attrs.evolve(seen, surroundings=Surroundings(**around))


def test_a_laptop_is_told_how_to_get_in(cluster: FakeCluster) -> None:
    found = judge("inside a cluster", outside(observe(cluster)))
    assert found.level is Level.WARN
    assert "  kubectl run -n default doctor --rm -it" in found.do
    assert "headless-discovery serve" in found.do


def test_the_api_servers_variables_are_a_sign_of_a_cluster(cluster: FakeCluster) -> None:
    seen = outside(observe(cluster), environ={"KUBERNETES_SERVICE_HOST": "10.96.0.1"})
    assert judge("inside a cluster", seen).seen == "$KUBERNETES_SERVICE_HOST is set"


CONF = "resolv.conf is a pod's"


def test_a_pods_resolv_conf_is_told(cluster: FakeCluster) -> None:
    found = judge(CONF, observe(cluster))
    assert is_ok(found)
    assert found.seen == f"name servers 10.96.0.10; search default.{SVC} {SVC}"


def test_name_servers_given_by_hand_are_told(cluster: FakeCluster) -> None:
    seen = attrs.evolve(observe(cluster), nameservers_from="--nameserver")
    assert is_ok(judge(CONF, seen))
    assert "come from --nameserver" in judge(CONF, seen).seen


def test_a_pod_on_the_hosts_network_has_the_nodes_resolv_conf(cluster: FakeCluster) -> None:
    node = ResolvConf(("192.168.0.1",), ("corp.example",))
    seen = outside(observe(cluster), resolv_conf=node, namespace_file="default")
    found = judge(CONF, seen)
    assert (found.level, found.code) == (Level.FAIL, 2)
    assert "dnsPolicy: ClusterFirstWithHostNet" in found.do


def test_outside_of_pods_a_resolv_conf_is_only_told(cluster: FakeCluster) -> None:
    home = ResolvConf(("192.168.0.1",), ("home.arpa",))
    assert "outside of a pod" in judge(CONF, outside(observe(cluster), resolv_conf=home)).means


def test_a_resolv_conf_that_cannot_be_read_is_not_ok(cluster: FakeCluster) -> None:
    found = judge(CONF, outside(observe(cluster)))
    assert found.seen == "could not be checked: /etc/resolv.conf is empty or cannot be read"


NAME = "namespace and domain"


@pytest.mark.parametrize(
    ("service", "options", "said"),
    [
        ("web", [], "default (the service account's), domain cluster.local (from /etc/resolv"),
        ("web", ["-n", "default"], "default (given), domain cluster.local (from /etc/resolv.conf)"),
        ("web.default", [], "default (in the name), domain cluster.local (from /etc/resolv.conf)"),
        ("web", ["--cluster-domain", "cluster.local"], "domain cluster.local (given)"),
        (f"web.default.{SVC}.", [], "domain cluster.local (in the name)"),
    ],
)
def test_it_tells_who_said_the_namespace_and_the_domain(
    cluster: FakeCluster, service: str, options: list[str], said: str
) -> None:
    found = judge(NAME, observe(cluster, service, *options))
    assert is_ok(found)
    assert said in found.seen


@pytest.mark.parametrize(
    ("around", "said"),
    [
        ({"environ": {"POD_NAMESPACE": "default"}}, "(from $POD_NAMESPACE)"),
        ({"resolv_conf": ResolvConf((), (f"default.{SVC}",))}, "(from /etc/resolv.conf)"),
    ],
)
def test_a_namespace_may_come_from_elsewhere(
    cluster: FakeCluster, around: Mapping[str, Any], said: str
) -> None:
    assert said in judge(NAME, outside(observe(cluster), **around)).seen


def test_a_domain_that_nobody_says_is_an_assumption(cluster: FakeCluster) -> None:
    found = judge(NAME, outside(observe(cluster), namespace_file="default"))
    assert found.level is Level.WARN
    assert "(assumed)" in found.seen


def test_a_namespace_that_nobody_says_is_broken_and_default_is_looked_at(
    cluster: FakeCluster,
) -> None:
    seen = observe(cluster, namespace=None)
    found = judge(NAME, seen)
    assert (found.level, found.code) == (Level.FAIL, 2)
    assert "doctor web -n <namespace>" in found.do
    assert is_ok(judge("published pods", seen))


# The name servers.

UDP, TCP, LOST = "name servers over UDP", "name servers over TCP", "no datagrams are lost"


class NoTcp:
    """A name server whose TCP port is closed off."""

    def __init__(self, cluster: FakeCluster) -> None:
        self._cluster = cluster

    def answer(self, wire: bytes, *, tcp: bool = False) -> bytes | None:
        return None if tcp else self._cluster.answer(wire)


def test_name_servers_that_answer_are_told_with_their_times(cluster: FakeCluster) -> None:
    seen = observe(cluster)
    assert is_ok(judge(UDP, seen))
    assert judge(UDP, seen).seen == "10.96.0.10:53 in 0.0 to 0.0 ms"
    assert is_ok(judge(TCP, seen))
    assert judge(LOST, seen) == Finding(Level.OK, "10.96.0.10:53 answered 5 of 5 at once")


def test_a_name_server_that_is_silent_is_broken(cluster: FakeCluster) -> None:
    cluster.fail("timeout")
    seen = observe(cluster)
    assert (judge(UDP, seen).level, judge(UDP, seen).code) == (Level.FAIL, 3)
    assert "get networkpolicies" not in judge(UDP, seen).seen
    assert "networkpolicies" in judge(UDP, seen).do
    assert (
        judge(LOST, seen).seen
        == "could not be checked: no name server answers over UDP, or none with EDNS"
    )


def with_another(seen: Observations, **other: Any) -> Observations:
    [reach] = seen.reach
    if "udp" in other:
        other = {"plain": other["udp"][0]} | other
    second = attrs.evolve(reach, server=Server("10.96.0.11", 53), **other)
    return attrs.evolve(seen, reach=(reach, second))


def silent(reach: Reach) -> tuple[Any, ...]:
    return tuple(attrs.evolve(probe, answer=None, reason="no answer in 2 s") for probe in reach.udp)


def test_one_of_two_name_servers_that_is_silent_is_warned_of(cluster: FakeCluster) -> None:
    seen = observe(cluster)
    found = judge(UDP, with_another(seen, udp=silent(seen.reach[0])))
    assert found.level is Level.WARN
    assert "10.96.0.11:53: no answer in 2 s" in found.seen


def test_a_slow_name_server_is_warned_of(cluster: FakeCluster) -> None:
    seen = observe(cluster)
    slow = tuple(attrs.evolve(probe, seconds=0.7) for probe in seen.reach[0].udp)
    found = judge(UDP, with_another(seen, udp=slow))
    assert found.level is Level.WARN
    assert "10.96.0.11:53 in 700.0 to 700.0 ms" in found.seen


def test_without_any_name_server_the_rest_is_still_judged(cluster: FakeCluster) -> None:
    class Nobody(FakeResolver):
        def servers(self) -> tuple[Server, ...]:
            raise ConfigurationError("no name server: resolv.conf names none")

    nobody = Nobody(cluster, domain="cluster.local", namespace="default")
    seen = examine(asked("web"), nobody, cluster.clock)
    assert (judge(UDP, seen).level, judge(UDP, seen).code) == (Level.FAIL, 2)
    assert judge(TCP, seen).seen == "could not be checked: there is no name server"
    assert len(findings(seen)) == len(USUAL)


def test_tcp_that_does_not_get_through_is_broken(cluster: FakeCluster) -> None:
    seen = observe(cluster, wire=NoTcp(cluster))
    assert is_ok(judge(UDP, seen))
    assert (judge(TCP, seen).level, judge(TCP, seen).code) == (Level.FAIL, 3)
    assert "10.96.0.10:53: no answer in 2 s" in judge(TCP, seen).seen


def test_tcp_to_one_of_two_name_servers_is_warned_of(cluster: FakeCluster) -> None:
    seen = observe(cluster)
    cut_off = attrs.evolve(seen.reach[0].tcp, answer=None, reason="Connection refused")
    assert judge(TCP, with_another(seen, tcp=cut_off)).level is Level.WARN


def test_datagrams_that_get_lost_are_the_pattern_of_five_second_lookups(
    cluster: FakeCluster,
) -> None:
    cluster.fail("timeout", times=2, name="cluster.local", qtype="A")
    found = judge(LOST, observe(cluster))
    assert found.level is Level.WARN
    assert found.seen == "10.96.0.10:53 answered 3 of 5 at once"
    assert "pause for 5 s" in found.means
    assert "single-request-reopen" in found.do


class OldServer:
    """A name server that knows no EDNS."""

    def __init__(self, cluster: FakeCluster) -> None:
        self._cluster = cluster

    def answer(self, wire: bytes, *, tcp: bool = False) -> bytes | None:
        if wire[11]:  # an additional record: the OPT
            return wire[:2] + b"\x80\x01" + b"\0" * 8
        return self._cluster.answer(wire, tcp=tcp)


def test_a_name_server_without_edns_is_asked_without(cluster: FakeCluster) -> None:
    assert is_ok(judge("cluster domain", observe(cluster, wire=OldServer(cluster))))


class NoUdp:
    """A name server whose UDP port is closed off."""

    def __init__(self, cluster: FakeCluster) -> None:
        self._cluster = cluster

    def answer(self, wire: bytes, *, tcp: bool = False) -> bytes | None:
        return self._cluster.answer(wire, tcp=True) if tcp else None


def test_udp_that_is_dead_while_tcp_is_alive_is_told_apart(cluster: FakeCluster) -> None:
    seen = observe(cluster, wire=NoUdp(cluster))
    found = judge(UDP, seen)
    assert (found.level, found.code) == (Level.FAIL, 3)
    assert found.means == (
        "10.96.0.10:53 replies over TCP but not over UDP: something blocks UDP port 53."
    )
    assert "name: use-vc" in found.do
    assert is_ok(judge(TCP, seen))
    # What is left is asked over TCP.
    assert is_ok(judge("cluster domain", seen))
    assert judge("SRV and A agree", seen).seen == "the same 3 addresses"
    assert "over TCP" in judge("answer sizes", seen).seen
    for title in (EDNS, LOST):
        assert judge(title, seen).seen.startswith("could not be checked: no name server answers")


def test_with_use_vc_a_dead_udp_is_only_warned_of(cluster: FakeCluster) -> None:
    class Around(FakeResolver):
        def surroundings(self) -> Surroundings:
            found = super().surroundings()
            conf = ResolvConf.parse(
                f"nameserver 10.96.0.10\nsearch default.{SVC} {SVC}\noptions use-vc"
            )
            return attrs.evolve(found, resolv_conf=conf)

    around = Around(NoUdp(cluster), domain="cluster.local", namespace="default")
    seen = examine(asked("web"), around, cluster.clock)
    assert judge(UDP, seen).level is Level.WARN
    assert "use-vc" in judge(UDP, seen).means


def test_replies_that_come_from_elsewhere_are_not_silence(cluster: FakeCluster) -> None:
    cluster.fail("timeout")
    seen = examine(
        asked("web"), resolver(cluster), cluster.clock, listen=lambda *_: "10.244.1.5:53"
    )
    found = judge(UDP, seen)
    assert (found.level, found.code) == (Level.FAIL, 3)
    assert found.seen == ("10.96.0.10:53: the reply came from another address, 10.244.1.5:53")
    assert "modprobe br_netfilter" in found.do


@pytest.mark.parametrize(
    ("sender", "found"), [("127.0.0.3", "127.0.0.3:"), ("127.0.0.1", None)], ids=["else", "same"]
)
def test_a_real_socket_hears_who_replies(sender: str, found: str | None) -> None:
    with (
        socket.socket(type=socket.SOCK_DGRAM) as server,
        socket.socket(type=socket.SOCK_DGRAM) as other,
    ):
        server.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.3", 0))

        def reply() -> None:
            wire, client = server.recvfrom(4096)
            answer = bytearray(wire)
            answer[2] |= 0x80  # it is a reply
            (other if sender == "127.0.0.3" else server).sendto(answer, client)

        thread = threading.Thread(target=reply)
        thread.start()
        wire = query("cluster.local", Type.A, edns=None)
        heard = listen(Server("127.0.0.1", server.getsockname()[1]), wire, 5)
        thread.join()
    assert (heard or "").startswith(found or "")
    assert (heard is None) is (found is None)


def test_where_nobody_replies_nobody_is_heard() -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as silent_one:
        silent_one.bind(("127.0.0.1", 0))
        server = Server("127.0.0.1", silent_one.getsockname()[1])
        assert listen(server, query("cluster.local", Type.A, edns=None), 0.01) is None


EDNS = "EDNS gets through"


class DropsEdns(NoTcp):
    """A firewall that drops what has an OPT record."""

    def answer(self, wire: bytes, *, tcp: bool = False) -> bytes | None:
        return None if wire[11] else self._cluster.answer(wire, tcp=tcp)


def test_edns_that_gets_through_is_ok(cluster: FakeCluster) -> None:
    assert judge(EDNS, observe(cluster)) == Finding(Level.OK, "answered by 10.96.0.10:53")


def test_edns_that_is_dropped_is_told_apart_from_silence(cluster: FakeCluster) -> None:
    seen = observe(cluster, wire=DropsEdns(cluster))
    assert is_ok(judge(UDP, seen))
    found = judge(EDNS, seen)
    assert found.level is Level.WARN
    assert found.seen == "10.96.0.10:53: only queries without EDNS are answered"
    assert judge(LOST, seen).seen.startswith("could not be checked")
    assert is_ok(judge("cluster domain", seen))


def test_a_name_server_that_knows_no_edns_is_warned_of(cluster: FakeCluster) -> None:
    assert judge(EDNS, observe(cluster, wire=OldServer(cluster))).seen.endswith("knows no EDNS")


# The domain and the namespace.

DOMAIN = "cluster domain"


def test_the_name_server_confirms_the_domain(cluster: FakeCluster) -> None:
    assert judge(DOMAIN, observe(cluster)) == Finding(
        Level.OK, "10.96.0.10:53 serves cluster.local, and has its dns-version"
    )


def test_a_domain_without_dns_version_is_confirmed_too(cluster: FakeCluster) -> None:
    cluster.fail("refused", qtype="TXT")
    assert judge(DOMAIN, observe(cluster)).seen == "10.96.0.10:53 serves cluster.local"


def test_a_wrong_domain_is_told_with_the_right_one() -> None:
    cluster = FakeCluster("k8s.example")
    cluster.add_service("kube-dns", "kube-system", ports=[53], cluster_ip="10.96.0.10")
    seen = observe(cluster, "web", "--cluster-domain", "cluster.local", domain="k8s.example")
    found = judge(DOMAIN, seen)
    assert (found.level, found.code) == (Level.FAIL, 2)
    assert found.means == "The cluster's domain is k8s.example, not cluster.local."
    assert "--cluster-domain k8s.example" in found.do


def test_a_name_server_that_is_not_the_clusters_is_broken(cluster: FakeCluster) -> None:
    cluster.fail("nxdomain")
    seen = observe(cluster)
    found = judge(DOMAIN, seen)
    assert (found.level, found.code) == (Level.FAIL, 2)
    assert "does not serve cluster.local" in found.means
    # What else it says is not believed.
    assert judge("namespace exists", seen).level is Level.WARN
    assert judge("published pods", seen).level is Level.WARN


@pytest.mark.parametrize(("soa", "zone"), [(".", "the root"), ("corp.example", "corp.example")])
def test_the_zone_that_it_speaks_for_is_told(cluster: FakeCluster, soa: str, zone: str) -> None:
    cluster.fail("nxdomain")
    seen = observe(cluster)
    key = ("cluster.local", Type.A)
    answer = seen.probes[key].answer
    assert answer is not None
    foreign = attrs.evolve(seen.probes[key], answer=attrs.evolve(answer, soa=soa))
    seen = attrs.evolve(seen, probes={**seen.probes, key: foreign})
    assert judge(DOMAIN, seen).seen.endswith(f"NXDOMAIN for cluster.local, with the SOA of {zone}")


def test_a_name_server_with_a_name_of_its_own_tells_no_domain(cluster: FakeCluster) -> None:
    cluster.fail("nxdomain", name="cluster.local")
    seen = observe(cluster)
    key = ("10.0.96.10.in-addr.arpa", Type.PTR)
    probe = seen.probes[key]
    own_name = Answer("NOERROR", pointers=("dns.example",))
    seen = attrs.evolve(seen, probes={**seen.probes, key: attrs.evolve(probe, answer=own_name)})
    assert "another domain, or not the cluster's server" in judge(DOMAIN, seen).means


def test_a_server_that_cannot_answer_yet_is_broken(cluster: FakeCluster) -> None:
    cluster.fail("servfail")
    found = judge(DOMAIN, observe(cluster))
    assert (found.level, found.code) == (Level.FAIL, 3)


def test_a_negative_answer_without_soa_shows_no_zone(cluster: FakeCluster) -> None:
    class NoSoa(NoTcp):
        def answer(self, wire: bytes, *, tcp: bool = False) -> bytes | None:
            if b"\x07cluster\x05local" in wire[:30]:
                end = wire.index(0, 12) + 5
                return wire[:2] + b"\x80\x03\0\1" + b"\0" * 6 + wire[12:end]
            return super().answer(wire)

    found = judge(DOMAIN, observe(cluster, wire=NoSoa(cluster)))
    assert found.seen == "10.96.0.10:53 answers NXDOMAIN for cluster.local"


def answering(seen: Observations, name: str, answer: Answer) -> Observations:
    """With another answer to the question for the addresses of a name."""
    key = (name, Type.A)
    probe = seen.probes.get(key) or next(iter(seen.probes.values()))
    return attrs.evolve(seen, probes={**seen.probes, key: attrs.evolve(probe, answer=answer)})


def test_a_second_name_server_of_another_domain_is_warned_of(cluster: FakeCluster) -> None:
    seen = observe(cluster)
    foreign = attrs.evolve(seen.reach[0].tcp, answer=Answer("NXDOMAIN", soa="."))
    other = with_another(seen, udp=(foreign,), tcp=foreign)
    found = judge(DOMAIN, other)
    assert found.level is Level.WARN
    assert "; 10.96.0.11:53 answers NXDOMAIN for cluster.local" in found.seen


def test_an_address_for_the_domain_itself_is_made_up(cluster: FakeCluster) -> None:
    seen = answering(
        observe(cluster), "cluster.local", Answer("NOERROR", addresses=("203.0.113.1",))
    )
    found = judge(DOMAIN, seen)
    assert (found.level, found.code) == (Level.FAIL, 2)
    assert "NOERROR and the address 203.0.113.1 for cluster.local" in found.seen
    for title in ("negative answers", "namespace exists", "headless Service", "caches in between"):
        assert judge(title, seen).level is Level.WARN


def test_a_domain_that_a_cache_confirms_without_soa_is_served(cluster: FakeCluster) -> None:
    seen = answering(observe(cluster), "cluster.local", Answer("NOERROR"))
    assert is_ok(judge(DOMAIN, seen))


NEGATIVE, WILDCARDS = "negative answers", "no wildcards"


def test_a_negative_answer_of_the_clusters_own_zone_is_ok(cluster: FakeCluster) -> None:
    found = judge(NEGATIVE, observe(cluster))
    assert found == Finding(Level.OK, "NXDOMAIN comes from cluster.local")


@pytest.mark.parametrize(
    ("soa", "said"), [(".", "comes from the root"), ("", "says no zone (no SOA)")]
)
def test_with_fallthrough_the_domain_is_served_and_a_no_comes_from_elsewhere(
    cluster: FakeCluster, soa: str, said: str
) -> None:
    seen = observe(cluster)
    name = f"{seen.made_up}.web.default.{SVC}"
    seen = answering(seen, name, Answer("NXDOMAIN", soa=soa))
    assert is_ok(judge(DOMAIN, seen))
    found = judge(NEGATIVE, seen)
    assert found.level is Level.WARN
    assert found.seen == f"NXDOMAIN for a name that does not exist {said}"
    assert "fallthrough in-addr.arpa ip6.arpa" in found.do


def test_a_refusal_is_no_negative_answer(cluster: FakeCluster) -> None:
    seen = observe(cluster)
    seen = answering(seen, f"{seen.made_up}.web.default.{SVC}", Answer("SERVFAIL"))
    assert judge(NEGATIVE, seen).seen.startswith("could not be checked: ")


def test_names_that_nothing_has_do_not_resolve(cluster: FakeCluster) -> None:
    assert is_ok(judge(WILDCARDS, observe(cluster)))
    cluster.fail("timeout", name=f"default.{SVC}", qtype="A")
    for title in (NEGATIVE, WILDCARDS):
        assert judge(title, observe(cluster)).seen == "could not be checked: no answer in 2 s"


def test_a_failure_for_one_name_alone_is_no_verdict(cluster: FakeCluster) -> None:
    seen = observe(cluster)
    beside, failing = f"{seen.made_up}.default.{SVC}", Answer("SERVFAIL")
    assert judge(WILDCARDS, answering(seen, beside, failing)).seen.endswith("SERVFAIL")
    assert judge("namespace exists", answering(seen, f"default.{SVC}", failing)).seen == (
        f"could not be checked: default.{SVC}: SERVFAIL"
    )


def test_a_wildcard_in_the_zone_is_found(cluster: FakeCluster) -> None:
    seen = observe(cluster)
    made_up = Answer("NOERROR", addresses=("203.0.113.1",))
    seen = answering(seen, f"{seen.made_up}.default.{SVC}", made_up)
    found = judge(WILDCARDS, seen)
    assert found.level is Level.WARN
    assert found.seen == f"{seen.made_up}.default.{SVC} has the address 203.0.113.1"
    seen = answering(seen, f"default.{SVC}", made_up)
    assert judge("namespace exists", seen).seen.endswith("has an address: a wildcard answers")


def test_a_wildcard_in_the_search_list_is_found(cluster: FakeCluster) -> None:
    around = resolver(cluster)
    conf = ResolvConf(("10.96.0.10",), (SVC, "corp.example"), 5)
    around.surroundings = lambda: Surroundings(resolv_conf=conf, namespace_file="default")  # type: ignore[method-assign]  # a pod's with a domain of the company
    seen = examine(asked("web"), around, cluster.clock)
    assert is_ok(judge("cost of the search list", seen))
    name = f"web.default.{SVC}.corp.example"
    seen = answering(seen, name, Answer("NOERROR", addresses=("203.0.113.1",)))
    found = judge("cost of the search list", seen)
    assert found.level is Level.WARN
    assert f"{name} has the address 203.0.113.1" in found.seen


EXISTS = "namespace exists"


def test_a_namespace_that_is_there(cluster: FakeCluster) -> None:
    assert is_ok(judge(EXISTS, observe(cluster)))


def test_a_namespace_that_is_not_there_is_broken(cluster: FakeCluster) -> None:
    found = judge(EXISTS, observe(cluster, "web.shop"))
    assert (found.level, found.code) == (Level.FAIL, 1)
    assert found.seen == "shop.svc.cluster.local: NXDOMAIN"


def test_a_namespace_of_which_nothing_came_is_not_judged(cluster: FakeCluster) -> None:
    cluster.fail("timeout", name="default.svc.cluster.local")
    assert judge(EXISTS, observe(cluster)).seen == "could not be checked: no answer in 2 s"


# The Service.

HEADLESS, PODS, PORT = "headless Service", "published pods", "port"


def test_a_headless_service_names_its_pods(cluster: FakeCluster) -> None:
    seen = observe(cluster)
    assert is_ok(judge(HEADLESS, seen))
    assert judge(PODS, seen).seen == "3 pods; queries: 1 over UDP, 0 over TCP"


def test_a_virtual_ip_is_not_headless(cluster: FakeCluster) -> None:
    cluster.add_service("vip", ports=[80], cluster_ip="10.96.1.1")
    seen = observe(cluster, "vip")
    found = judge(HEADLESS, seen)
    assert (found.level, found.code) == (Level.FAIL, 4)
    assert found.seen == "vip.default.svc.cluster.local has a virtual IP: 10.96.1.1"
    assert "cannot be pinged" in found.means
    assert "clusterIP: None" in found.do
    for title in (PODS, PORT, "SRV and A agree"):
        assert judge(title, seen).seen == "could not be checked: the Service is not headless"


def test_the_yaml_to_paste_is_a_headless_service(cluster: FakeCluster) -> None:
    cluster.add_service("vip", ports=[80], cluster_ip="10.96.1.1")
    text = judge(HEADLESS, observe(cluster, "vip")).do.partition("\n")[2]
    cluster.apply(text.replace("<label of its pods>", "a").replace("<name>", "b").replace(
        "<port>", "80"
    ))  # fmt: skip
    assert cluster._model.services["default", "vip-headless"].headless


def test_an_alias_is_not_headless(cluster: FakeCluster) -> None:
    cluster.add_service("away", external_name="web.default.svc.cluster.local")
    found = judge(HEADLESS, observe(cluster, "away"))
    assert (found.level, found.code) == (Level.FAIL, 4)
    assert "is an alias of web.default.svc.cluster.local" in found.seen


def test_a_lone_address_without_srv_may_be_a_virtual_ip(cluster: FakeCluster) -> None:
    cluster.add_service("vip", ports=[80], cluster_ip="10.96.1.1")
    cluster.fail("timeout", name="vip.default.svc.cluster.local", qtype="SRV")
    found = judge(HEADLESS, observe(cluster, "vip", "--records", "address"))
    assert (found.level, found.code) == (Level.FAIL, 4)


def test_without_pods_the_kind_of_a_service_does_not_show(cluster: FakeCluster) -> None:
    cluster.add_service("none", ports=[80])
    assert judge(HEADLESS, observe(cluster, "none")).level is Level.WARN


@pytest.mark.parametrize("service", ["nobody", "none", "unready"])
def test_no_pods_are_broken_with_all_three_causes(cluster: FakeCluster, service: str) -> None:
    cluster.add_service("none", ports=[80])
    cluster.add_service("unready", ports=[80]).add_pod("10.1.1.1", ready=False)
    found = judge(PODS, observe(cluster, service))
    assert (found.level, found.code) == (Level.FAIL, 1)
    assert found.seen == f"{service}.default.svc.cluster.local: NXDOMAIN"
    assert "kubectl get -n default endpointslices -l kubernetes.io/service-name" in found.do
    assert "publishNotReadyAddresses: true" in found.do


def test_pods_of_no_asked_family_are_no_address(cluster: FakeCluster) -> None:
    found = judge(PODS, observe(cluster, "web", "--family", "ipv6"))
    assert found.seen == "web.default.svc.cluster.local: no address"


def test_a_failed_lookup_is_not_no_pods(cluster: FakeCluster) -> None:
    cluster.fail("servfail", name="web.default.svc.cluster.local")
    found = judge(PODS, observe(cluster))
    assert (found.level, found.code) == (Level.FAIL, 3)
    assert found.seen.startswith("the lookup failed: asked for web.default.svc.cluster.local. SRV")


def test_a_named_port_that_is_there(cluster: FakeCluster) -> None:
    assert judge(PORT, observe(cluster, "web", "--port", "http")).seen == "http over TCP: 8080"


def test_a_named_port_that_is_not_there_is_broken(cluster: FakeCluster) -> None:
    seen = observe(cluster, "web", "--port", "grpc")
    found = judge(PORT, seen)
    assert (found.level, found.code) == (Level.FAIL, 5)
    assert found.seen == "no port named grpc over TCP; DNS shows 8080 over TCP"
    assert judge(PODS, seen).level is Level.WARN


def test_a_port_of_another_protocol_is_broken_and_found(cluster: FakeCluster) -> None:
    cluster.add_service("gossip", ports={"swim": (7946, "udp")}).scale(1)
    found = judge(PORT, observe(cluster, "gossip", "--port", "swim"))
    assert (found.level, found.code) == (Level.FAIL, 5)
    assert found.seen == "no swim over TCP, but over UDP"
    assert "--protocol udp" in found.do


def test_ports_are_told_by_protocol(cluster: FakeCluster) -> None:
    cluster.add_service("dns", ports={"tcp": (53, "tcp"), "udp": (53, "udp")}).scale(1)
    found = judge(PORT, observe(cluster, "dns"))
    assert is_ok(found)
    assert found.seen == "DNS shows 53 over TCP, 53 over UDP"


def test_ports_of_unknown_protocol_are_told_by_number(cluster: FakeCluster) -> None:
    for protocol in ("tcp", "udp", "sctp"):
        cluster.fail("refused", name=f"_._{protocol}.web.default.svc.cluster.local")
    assert judge(PORT, observe(cluster)).seen == "DNS shows 8080"


def test_a_number_that_is_none_of_the_services_is_warned_of(cluster: FakeCluster) -> None:
    assert is_ok(judge(PORT, observe(cluster, "web", "--port", "8080")))
    found = judge(PORT, observe(cluster, "web", "--port", "80"))
    assert found.level is Level.WARN
    assert "targetPort" in found.means


def test_several_ports_want_to_be_told_apart(cluster: FakeCluster) -> None:
    cluster.add_service("db", ports={"sql": 5432, "metrics": 9187}).scale(1)
    found = judge(PORT, observe(cluster, "db"))
    assert found.level is Level.WARN
    assert found.seen == "DNS shows 5432 over TCP, 9187 over TCP"


def test_a_service_without_pods_has_no_ports_to_judge(cluster: FakeCluster) -> None:
    seen = observe(cluster, "nobody")
    assert judge(PORT, seen).seen == "could not be checked: no pod is published"
    assert judge("SRV and A agree", seen).seen == "could not be checked: no pod is published"


def test_a_port_of_which_nothing_came_is_not_judged(cluster: FakeCluster) -> None:
    cluster.fail("timeout", name="web.default.svc.cluster.local", qtype="SRV")
    seen = observe(cluster)
    assert judge(PORT, seen).seen == "could not be checked: no answer in 2 s"


AGREE = "SRV and A agree"


def test_srv_and_a_have_the_same_pods(cluster: FakeCluster) -> None:
    assert judge(AGREE, observe(cluster)) == Finding(Level.OK, "the same 3 addresses")


def test_without_ports_there_is_nothing_to_agree_with(cluster: FakeCluster) -> None:
    cluster.add_service("bare").scale(2)
    assert is_ok(judge(AGREE, observe(cluster, "bare")))
    assert is_ok(judge(PORT, observe(cluster, "bare")))


def test_a_pod_that_lacks_the_target_port_is_in_a_alone(cluster: FakeCluster) -> None:
    cluster.apply(
        {
            "kind": "EndpointSlice",
            "metadata": {"name": "x", "labels": {"kubernetes.io/service-name": "web"}},
            "endpoints": [{"addresses": [f"10.9.9.{number}"]} for number in range(7)],
            "ports": [],
        }
    )
    found = judge(AGREE, observe(cluster))
    assert found.level is Level.WARN
    assert found.seen == (
        "only A and AAAA have 10.9.9.0, 10.9.9.1, 10.9.9.2, 10.9.9.3, 10.9.9.4 and 2 more; "
        "only SRV has none"
    )


def test_srv_that_is_refused_while_addresses_are_answered_is_told_apart(
    cluster: FakeCluster,
) -> None:
    cluster.fail("refused", qtype="SRV")
    found = judge(AGREE, observe(cluster))
    assert found.level is Level.WARN
    assert found.seen == "A is answered, SRV is not: REFUSED"
    named = judge(AGREE, observe(cluster, "web", "--port", "http"))
    assert (named.level, named.code) == (Level.FAIL, 3)
    assert "--records address --port <number>" in named.do
    assert (
        judge(PORT, observe(cluster)).seen == "could not be checked: SRV is answered with REFUSED"
    )


def test_a_lone_address_of_which_srv_is_not_known_may_be_a_virtual_ip() -> None:
    cluster = FakeCluster()
    cluster.add_service("one", ports=[80]).add_pod("10.1.1.1")
    cluster.fail("refused", qtype="SRV")
    found = judge(HEADLESS, observe(cluster, "one"))
    assert found.seen == "could not be checked: SRV, A and AAAA were not all answered"


BOTH_WAYS = "names forward and back"


def test_names_resolve_both_ways(cluster: FakeCluster) -> None:
    assert judge(BOTH_WAYS, observe(cluster)).seen == "3 of 3 pods checked, all both ways"


def test_a_name_that_does_not_resolve_is_broken(cluster: FakeCluster) -> None:
    cluster.fail("nxdomain", name="web-1.web.default.svc.cluster.local")
    found = judge(BOTH_WAYS, observe(cluster))
    assert (found.level, found.code) == (Level.FAIL, 3)
    assert found.seen == "web-1.web.default.svc.cluster.local does not resolve to 10.244.0.3"
    cluster.fail("nxdomain", name="web-2.web.default.svc.cluster.local")
    assert judge(BOTH_WAYS, observe(cluster)).seen.endswith(" (and 1 more pod)")


def test_an_address_that_names_no_pod_is_warned_of(cluster: FakeCluster) -> None:
    cluster.fail("nxdomain", name="3.0.244.10.in-addr.arpa")
    found = judge(BOTH_WAYS, observe(cluster))
    assert found.level is Level.WARN
    assert found.seen == "PTR of 10.244.0.3 does not name the pod"


def test_ipv6_names_resolve_both_ways() -> None:
    cluster = FakeCluster()
    cluster.add_service("web", ports=[80], families=["ipv6"]).scale(2)
    assert is_ok(judge(BOTH_WAYS, observe(cluster)))


SELF = "am I among them"


def test_a_pod_of_the_service_finds_itself(cluster: FakeCluster) -> None:
    found = judge(SELF, observe(cluster, addresses=("10.244.0.3",)))
    assert found == Finding(Level.OK, "web-1.web.default.svc.cluster.local, 10.244.0.3")


def test_a_pod_that_is_not_published_is_told_so(cluster: FakeCluster) -> None:
    found = judge(SELF, observe(cluster, addresses=("10.9.9.9",)))
    assert found.level is Level.WARN
    assert "(10.9.9.9)" in found.seen
    assert judge(SELF, observe(cluster)).seen.startswith("could not be checked: this pod's own ad")


# Names, and who we are.

DISTINCT = "a name for each pod"


def test_pods_have_names_of_their_own(cluster: FakeCluster) -> None:
    assert (
        judge(DISTINCT, observe(cluster)).seen == "3 of 3 pods checked, each with a name of its own"
    )
    assert judge(DISTINCT, observe(cluster, "nobody")).level is Level.WARN


def test_pods_that_share_a_name_are_listed() -> None:
    cluster = FakeCluster()
    web = cluster.add_service("web", ports=[80])
    for number in (1, 2):
        web.add_pod(f"10.1.1.{number}", name=f"pod-{number}", hostname="same")
    found = judge(DISTINCT, observe(cluster))
    assert found.level is Level.WARN
    assert found.seen == "same.web.default.svc.cluster.local has 10.1.1.1, 10.1.1.2"
    assert "'hostname' in its template" in found.means


@pytest.fixture
def node() -> FakeCluster:
    """Two pods of a Service on the network of one node."""
    cluster = FakeCluster()
    cluster.add_service("web", ports=[80])
    cluster.apply(
        {
            "kind": "EndpointSlice",
            "metadata": {"name": "x", "labels": {"kubernetes.io/service-name": "web"}},
            "endpoints": [
                {"addresses": ["10.1.1.1"], "hostname": name} for name in ("web-a", "web-b")
            ],
            "ports": [{"name": "", "port": 80, "protocol": "TCP"}],
        }
    )
    return cluster


def test_of_two_pods_on_one_address_the_name_says_which_is_this_one(node: FakeCluster) -> None:
    found = judge(SELF, observe(node, addresses=("10.1.1.1",), hostname="web-b"))
    assert is_ok(found)
    assert found.seen == (
        "2 pods have our address 10.1.1.1; by our name we are web-b.web.default.svc.cluster.local"
    )


def test_of_two_pods_on_one_address_nobody_knows_which_without_a_name(node: FakeCluster) -> None:
    found = judge(SELF, observe(node, addresses=("10.1.1.1",), hostname="node-1"))
    assert found.level is Level.WARN
    assert found.seen.endswith("; none is called node-1")
    assert "fieldPath: metadata.name" in found.do


# On the way.

SIZES, CACHES = "answer sizes", "caches in between"


def of_many(pods: int) -> FakeCluster:
    cluster = FakeCluster()
    found = cluster.add_service("many", ports=[80])
    for number in range(pods):
        found.add_pod(f"10.1.1.{number + 1}")
    return cluster


def test_a_small_answer_fits_over_udp(cluster: FakeCluster) -> None:
    found = judge(SIZES, observe(cluster))
    assert is_ok(found)
    assert found.seen.endswith("bytes, fits over UDP")


def test_a_larger_answer_goes_over_tcp() -> None:
    found = judge(SIZES, observe(of_many(40), "many"))
    assert is_ok(found)
    assert "for 40 pods, over TCP; about " in found.seen


def over_tcp(seen: Observations, **changes: Any) -> Observations:
    """With another answer over TCP to the question for all pods."""
    key = (seen.wanted.name, Type.SRV)
    probe = seen.over_tcp[key]
    assert probe.answer is not None
    answer = attrs.evolve(probe.answer, truncated=changes.pop("truncated", False))
    changed = attrs.evolve(probe, answer=answer, **changes)
    return attrs.evolve(seen, over_tcp={**seen.over_tcp, key: changed})


def test_an_answer_near_the_limit_is_warned_of() -> None:
    found = judge(SIZES, over_tcp(observe(of_many(40), "many"), size=40_000))
    assert found.level is Level.WARN
    assert found.seen.endswith("40000 bytes for 40 pods, over TCP; about 65 fit")
    assert found.means == "More than half of what DNS can carry."


def test_srv_that_does_not_fit_is_warned_of_while_addresses_do() -> None:
    seen = over_tcp(observe(of_many(40), "many"), truncated=True)
    assert judge(SIZES, seen).level is Level.WARN
    assert "A and AAAA have all 40 pods" in judge(SIZES, seen).seen
    assert judge(AGREE, seen).seen == "could not be checked: an answer was truncated"


def test_what_fits_nowhere_is_broken(cluster: FakeCluster) -> None:
    cluster.fail("truncate", name="web.default.svc.cluster.local")
    found = judge(SIZES, observe(cluster))
    assert (found.level, found.code) == (Level.FAIL, 3)
    assert "is truncated over TCP too" in found.seen


def test_an_answer_that_needs_tcp_where_there_is_none_is_broken() -> None:
    cluster = of_many(40)
    found = judge(SIZES, observe(cluster, "many", wire=NoTcp(cluster)))
    assert (found.level, found.code) == (Level.FAIL, 3)
    assert "TCP: no answer in 2 s" in found.seen


def test_without_a_cache_a_new_pod_is_seen_soon(cluster: FakeCluster) -> None:
    found = judge(CACHES, observe(cluster))
    assert found == Finding(
        Level.OK,
        "the TTL of the answer is 5 s, and no cache counts it down: a new pod is seen within "
        "about 6 s",
    )


def test_a_cache_shows_by_its_ttl_that_counts_down() -> None:
    cluster = FakeCluster(ttl=30, cache=30)
    cluster.add_service("web", ports=[80]).scale(1)
    found = judge(CACHES, observe(cluster))
    assert found.level is Level.WARN
    assert re.fullmatch(
        "the TTL of the answer went from 30 to 2[89] s in 1.1 s: a cache answers", found.seen
    )


def test_a_negative_answer_in_a_cache_hides_new_pods() -> None:
    found = judge(CACHES, observe(FakeCluster(ttl=30, cache=30), "nobody"))
    assert found.level is Level.WARN
    assert found.seen.startswith("the TTL of the negative answer went from 30 to 2")


def test_a_long_ttl_is_warned_of() -> None:
    cluster = FakeCluster(ttl=120)
    cluster.add_service("web", ports=[80]).scale(1)
    assert judge(CACHES, observe(cluster)).seen == "the TTL of the answer is 120 s"


class Coming(FakeClock):
    """A pod comes while the doctor waits."""

    def __init__(self) -> None:
        super().__init__()
        self.come: Callable[[], object] = list

    def sleep(self, seconds: float) -> None:
        self.come()
        super().sleep(seconds)


def test_a_service_that_changes_meanwhile_is_told() -> None:
    clock = Coming()
    cluster = FakeCluster(clock=clock)
    web = cluster.add_service("web", ports=[80])
    clock.come = lambda: web.scale(1)
    found = judge(CACHES, observe(cluster))
    assert found.level is Level.WARN
    assert found.seen == "first NXDOMAIN, 1.1 s later 1 pod"


def test_caches_of_which_nothing_came_are_not_judged(cluster: FakeCluster) -> None:
    cluster.fail("timeout", name="web.default.svc.cluster.local", qtype="A")
    assert judge(CACHES, observe(cluster)).seen == "could not be checked: no answer in 2 s"


CONNECT = "pods accept connections"


def test_connections_are_tried_only_if_asked_for(cluster: FakeCluster) -> None:
    assert CONNECT not in [one.title for one in findings(observe(cluster))]
    found = findings(observe(cluster, connect=lambda endpoint: None))
    assert CONNECT in [one.title for one in found]


def test_pods_that_accept_are_ok(cluster: FakeCluster) -> None:
    found = judge(CONNECT, observe(cluster, connect=lambda endpoint: None))
    assert found == Finding(Level.OK, "3 of 3 accept")


def test_it_is_told_when_not_all_pods_were_tried(
    cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headless_discovery._cli._observe.CONNECT_AT_MOST", 2)
    found = judge(CONNECT, observe(cluster, connect=lambda endpoint: None))
    assert found == Finding(Level.OK, "2 of 2 accept (of 3 pods)")


@pytest.mark.parametrize(
    ("refusing", "means"),
    [({"10.244.0.3"}, "these pods are not"), ({"10.244.0.2", "10.244.0.3", "10.244.0.4"}, "Refus")],
)
def test_pods_that_refuse_are_broken(cluster: FakeCluster, refusing: set[str], means: str) -> None:
    found = judge(
        CONNECT,
        observe(cluster, connect=lambda e: "Connection refused" if e.address in refusing else None),
    )
    assert (found.level, found.code) == (Level.FAIL, 3)
    assert "10.244.0.3:8080: Connection refused" in found.seen
    assert means in found.means


@pytest.mark.parametrize(
    ("failure", "level", "said"),
    [
        (None, Level.OK, "1 of 1 accept: the Service itself works"),
        ("no answer", Level.FAIL, "0 of 1 accept; 10.96.1.1:80: no answer"),
    ],
)
def test_a_service_that_is_not_headless_is_tried_at_its_virtual_ip(
    cluster: FakeCluster, failure: str | None, level: Level, said: str
) -> None:
    cluster.add_service("vip", ports=[80], cluster_ip="10.96.1.1")
    found = judge(CONNECT, observe(cluster, "vip", connect=lambda endpoint: failure))
    assert (found.level, found.seen) == (level, said)


SLICES = "EndpointSlices"


def test_endpoint_slices_are_read_only_if_asked_for(cluster: FakeCluster) -> None:
    assert SLICES not in [one.title for one in findings(observe(cluster))]


def by_slices(
    cluster: FakeCluster, snapshot: Snapshot, error: DiscoveryError | None, **around: Any
) -> Finding:
    seen = examine(
        asked("web", "--source", "api"),
        resolver(cluster),
        cluster.clock,
        read_slices=lambda: (snapshot, error),
    )
    assert SLICES in [one.title for one in findings(seen)]
    return judge(SLICES, outside(seen, **around))


def test_endpoint_slices_that_say_what_dns_says_are_ok(cluster: FakeCluster) -> None:
    found = by_slices(cluster, cluster.peers("web").refresh(), None)
    assert found == Finding(Level.OK, "3 pods in EndpointSlices, the same as by DNS")


@pytest.mark.parametrize(
    ("own", "level", "said"),
    [
        (None, Level.OK, "the same as by DNS"),
        ("eu-1a", Level.OK, "the same as by DNS"),
        ("eu-1c", Level.WARN, "none in this pod's zone 'eu-1c'"),
    ],
)
def test_the_zones_of_the_pods_are_shown_and_one_without_pods_is_warned_of(
    own: str | None, level: Level, said: str
) -> None:
    cluster = FakeCluster()
    web = cluster.add_service("web", ports={"http": 8080})
    for number, zone in enumerate(("eu-1a", "eu-1b", "eu-1a"), 1):
        web.add_pod(f"10.0.0.{number}", zone=zone)
    environ = {} if own is None else {"POD_ZONE": own}
    found = by_slices(cluster, cluster.peers("web", source="api").refresh(), None, environ=environ)
    assert (found.level, found.seen) == (
        level,
        f"3 pods in EndpointSlices (2 in 'eu-1a', 1 in 'eu-1b'), {said}",
    )


def test_endpoint_slices_that_differ_from_dns_are_warned_of(cluster: FakeCluster) -> None:
    found = by_slices(cluster, Snapshot(), None)
    assert (found.level, found.seen) == (Level.WARN, "0 pods in EndpointSlices, 3 by DNS")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (LookupFailed("403 Forbidden", hint="make a Role"), 3),
        (ConfigurationError("no extra", hint="pip install it"), 2),
    ],
)
def test_endpoint_slices_that_cannot_be_read_fail_with_what_to_do(
    cluster: FakeCluster, error: DiscoveryError, code: int
) -> None:
    found = by_slices(cluster, Snapshot(), error)
    assert (found.level, found.code) == (Level.FAIL, code)
    assert (found.seen, found.do) == (str(error), error.hint)


def test_the_command_reads_slices_as_the_library_does(
    cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_api(arguments: Arguments) -> Peers:
        assert arguments.source == "api"
        raise ConfigurationError("no API here")

    arguments = asked("web", "--source", "auto")
    monkeypatch.setattr("headless_discovery._cli._doctor.peers_of", no_api)
    assert str(read_slices(arguments)[1]) == "no API here"
    monkeypatch.setattr(
        "headless_discovery._cli._doctor.peers_of", lambda arguments: cluster.peers("web")
    )
    snapshot, error = read_slices(arguments)
    assert (len(snapshot.endpoints), error) == (3, None)


def test_without_a_hint_the_command_says_who_may_read_slices(cluster: FakeCluster) -> None:
    found = by_slices(cluster, Snapshot(), LookupFailed("403 Forbidden"))
    assert "kubectl auth can-i list endpointslices -n default" in found.do


def test_without_a_port_nobody_can_be_tried(cluster: FakeCluster) -> None:
    cluster.add_service("bare").scale(1)
    found = judge(CONNECT, observe(cluster, "bare", connect=lambda endpoint: None))
    assert found.seen == "could not be checked: their port is not known: give --port"
    found = judge(CONNECT, observe(cluster, "nobody", connect=lambda endpoint: None))
    assert found.seen == "could not be checked: no pod was found"


def test_a_real_connection_is_opened_and_closed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert connect(Endpoint("web", ("127.0.0.1",), port)) is None
    assert connect(Endpoint("web", ("127.0.0.1",), port)) == "Connection refused"


def test_a_connection_that_takes_too_long_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(address: object, timeout: float) -> None:
        raise TimeoutError("timed out")

    monkeypatch.setattr(socket, "create_connection", never)
    assert connect(Endpoint("web", ("127.0.0.1",), 1)) == "no answer"


# Other programs in the pod.

SEARCH = "cost of the search list"


def searching(seen: Observations, *search: str, ndots: int = 5) -> Observations:
    return outside(seen, resolv_conf=ResolvConf((), search, ndots))


def test_a_pods_search_list_is_told_with_its_cost(cluster: FakeCluster) -> None:
    found = judge(SEARCH, observe(cluster))
    assert is_ok(found)
    assert found.seen == (
        "2 domains, ndots:5: for web.default.svc.cluster.local libc sends 4 extra queries; "
        "this library sends none"
    )
    lone = outside(observe(cluster), resolv_conf=ResolvConf(("10.96.0.10",)))
    assert judge(SEARCH, lone).seen.startswith("no search list")
    empty = judge(SEARCH, outside(observe(cluster)))
    assert empty.seen == "could not be checked: /etc/resolv.conf is empty or cannot be read"


def test_a_long_search_list_is_costly(cluster: FakeCluster) -> None:
    found = judge(SEARCH, searching(observe(cluster), *(f"{n}.example" for n in range(5))))
    assert found.level is Level.WARN
    assert "libc sends 10 extra queries" in found.seen


def test_a_search_list_that_some_libcs_cut_is_warned_of(cluster: FakeCluster) -> None:
    for search in ([f"{n}.example" for n in range(7)], ["x" * 250 + ".example"]):
        assert "older glibc" in judge(SEARCH, searching(observe(cluster), *search)).means


def test_libc_asks_the_search_list_first_for_names_of_few_dots() -> None:
    assert libc_asks("a.b", ["x", "y"], 5) == ["a.b.x", "a.b.y", "a.b"]
    assert libc_asks("a.b", ["x", "y"], 1) == ["a.b"]


def test_images_without_glibc_have_tools_that_mislead(cluster: FakeCluster) -> None:
    seen = observe(cluster)
    title = "other tools in this image"
    assert is_ok(judge(title, attrs.evolve(seen, libc="glibc 2.36")))
    found = judge(title, attrs.evolve(seen, libc=""))
    assert found.level is Level.WARN
    assert "nslookup" in found.do


def test_the_api_servers_address_tells_the_domain_too() -> None:
    cluster = FakeCluster("k8s.example")
    cluster.add_service("kubernetes", ports=[443], cluster_ip="10.96.0.1")

    class Around(FakeResolver):
        def surroundings(self) -> Surroundings:
            found = super().surroundings()
            return attrs.evolve(found, environ={"KUBERNETES_SERVICE_HOST": "10.96.0.1"})

    resolver = Around(cluster, domain="k8s.example", namespace="default")
    seen = examine(asked("web", "--cluster-domain", "a.b"), resolver, cluster.clock)
    assert "The cluster's domain is k8s.example" in judge(DOMAIN, seen).means


def test_an_own_address_that_is_none_is_not_known(
    cluster: FakeCluster,
) -> None:
    class Around(FakeResolver):
        def surroundings(self) -> Surroundings:
            return attrs.evolve(super().surroundings(), environ={"POD_IP": "mine"})

    resolver = Around(cluster, domain="cluster.local", namespace="default")
    assert examine(asked("web"), resolver, cluster.clock).this_pod == ThisPod()


# The page of symptoms.

PAGE = Path(__file__).parents[2] / "docs" / "when-it-does-not-work.md"


def test_the_page_speaks_of_lines_that_there_are() -> None:
    text = PAGE.read_text()
    lines = {line for line in CHECKS if f"*{line}*" in text}
    assert set(CHECKS) - lines == {"namespace and domain"}  # which needs no explanation


def test_each_line_of_the_usual_checklist_is_decided_by_a_check_or_names_a_command() -> None:
    table = PAGE.read_text().partition("## The usual checklist")[2].split("|---|---|\n")[1]
    rows = [line.strip("|").split("|") for line in table.splitlines() if line.startswith("|")]
    assert len(rows) == 8
    for _, here in rows:
        named = re.findall(r"\*([^*]+)\*", here)
        assert named, here
        assert set(named) <= set(CHECKS)


def vip(cluster: FakeCluster) -> None:
    cluster.add_service("vip", ports=[80], cluster_ip="10.96.1.1")


def away(cluster: FakeCluster) -> None:
    cluster.add_service("away", external_name="db.example")


def unready(cluster: FakeCluster) -> None:
    cluster.add_service("unready", ports=[80]).add_pod("10.1.1.1", ready=False)


def many(cluster: FakeCluster) -> None:
    cluster.add_service("many", ports=[80]).scale(100)


def failing(kind: Any, **which: Any) -> Callable[[FakeCluster], None]:
    return lambda cluster: cluster.fail(kind, **which)


def nothing(cluster: FakeCluster) -> None:
    """It is as it was."""


@pytest.mark.parametrize(
    ("breaks", "wire", "arguments", "line", "code"),
    [
        (nothing, None, "nobody", "published pods", 1),
        (nothing, None, "web.nowhere", "namespace exists", 1),
        (unready, None, "unready", "published pods", 1),
        (vip, None, "vip", "headless Service", 4),
        (away, None, "away", "headless Service", 4),
        (nothing, None, "web --port grpc", "port", 5),
        (nothing, None, "web --port http --protocol udp", "port", 5),
        (failing("timeout"), None, "web", "name servers over UDP", 3),
        (failing("garbage"), None, "web", "name servers over UDP", 3),
        (nothing, NoUdp, "web", "name servers over UDP", 3),
        (nothing, NoTcp, "web", "name servers over TCP", 3),
        (nothing, DropsEdns, "web", "EDNS gets through", 0),
        (failing("servfail"), None, "web", "cluster domain", 3),
        (failing("refused", qtype="SRV"), None, "web --port http", "SRV and A agree", 3),
        (nothing, None, "web --cluster-domain k8s.example", "cluster domain", 2),
        (
            failing("timeout", times=2, name="cluster.local", qtype="A"),
            None, "web", "no datagrams are lost", 0,
        ),
        (many, NoTcp, "many", "answer sizes", 3),
    ],
)  # fmt: skip
def test_each_broken_state_of_the_page_has_its_line(
    cluster: FakeCluster,
    breaks: Callable[[FakeCluster], None],
    wire: Callable[[FakeCluster], Wire] | None,
    *,
    arguments: str,
    line: str,
    code: int,
) -> None:
    breaks(cluster)
    seen = observe(
        cluster,
        *arguments.split(),
        wire=wire(cluster) if wire else None,
        addresses=("10.244.0.2",),
        hostname="web-0",
    )
    found = findings(attrs.evolve(seen, libc="glibc 2.36"))
    level = Level.FAIL if code else Level.WARN
    assert line in [one.title for one in found if one.level is level]
    assert worst_code(found) == code


@pytest.mark.parametrize(
    "kind", ["servfail", "refused", "nxdomain", "truncate", "garbage", "timeout", "wrong-id"]
)
def test_no_line_says_ok_about_what_it_could_not_check(cluster: FakeCluster, kind: Any) -> None:
    """Whatever every server answers to everything: of the Service nothing is known then."""
    cluster.fail(kind)
    of_the_service = list(CHECKS)[list(CHECKS).index("cluster domain") : -2]
    for one in findings(observe(cluster, "web", "--port", "http", connect=lambda endpoint: None)):
        if one.title in of_the_service:
            assert one.level is not Level.OK, one


EVIDENCE = {
    "cluster domain": [("cluster.local", Type.A)],
    "no wildcards": [("made-up", Type.A)],
    "namespace exists": [("default.svc.cluster.local", Type.A)],
    "SRV and A agree": [(WEB, Type.A), (WEB, Type.SRV)],
    "names forward and back": [(f"web-1.{WEB}", Type.A), ("3.0.244.10.in-addr.arpa", Type.PTR)],
    "a name for each pod": [(f"web-1.{WEB}", Type.A)],
    "answer sizes": [(f"_http._tcp.{WEB}", Type.SRV)],
    "caches in between": [(WEB, Type.A)],
}
"""What a line looks at before it can say ok."""


@pytest.mark.parametrize(
    ("line", "name", "rdtype"), [(line, *key) for line, keys in EVIDENCE.items() for key in keys]
)
def test_without_an_answer_to_what_it_looks_at_a_line_is_not_ok(
    cluster: FakeCluster, line: str, name: str, rdtype: Type
) -> None:
    seen = observe(cluster, "web", "--port", "http")
    assert is_ok(judge(line, seen))
    silent = {
        key: attrs.evolve(probe, answer=None, size=0, reason="no answer in 2 s")
        if key[0].startswith(name) and key[1] is rdtype
        else probe
        for key, probe in seen.probes.items()
    }
    assert silent != seen.probes
    assert not is_ok(judge(line, attrs.evolve(seen, probes=silent)))


# The command.


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No waiting in real time; the tests of what it is for are on the fake clock."""
    monkeypatch.setattr("headless_discovery._cli._observe.CACHE_SHOWS_AFTER", 0.0)


def run(nameserver: str, *arguments: str, out: io.StringIO | None = None) -> tuple[int, str]:
    out = io.StringIO() if out is None else out
    code = main(["doctor", *arguments, "--nameserver", nameserver], out=out)
    return code, out.getvalue()


@pytest.mark.usefixtures("quick")
def test_the_command_prints_each_line_and_what_to_do(cluster: FakeCluster) -> None:
    with cluster.serve() as server:
        code, out = run(server.nameserver, "web.default", "--port", "grpc")
    assert code == 5
    lines = out.splitlines()
    assert lines[0] == "_grpc._tcp.web.default.svc.cluster.local"
    at = lines.index("fail  port")
    assert lines[at + 1] == "        no port named grpc over TCP; DNS shows 8080 over TCP"
    assert "          kubectl get -n default service web -o yaml" in lines[at:]
    assert lines[-1].endswith(" 1 fail")
    assert max(len(line) for line in lines if "kubectl" not in line) <= 100


@pytest.mark.usefixtures("quick")
def test_its_json_is_as_its_schema_says(
    cluster: FakeCluster, check_schema: Callable[[str, str], Any]
) -> None:
    with cluster.serve() as server:
        code, out = run(server.nameserver, "nobody.default", "--json")
    found = check_schema("doctor", out)
    assert code == found["exit_code"] == 1
    assert [one["title"] for one in found["findings"]] == USUAL


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.usefixtures("quick")
def test_a_terminal_gets_colours_unless_told_otherwise(
    cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    with cluster.serve() as server:
        assert "\x1b[32mok" in run(server.nameserver, "web.default", out=Terminal())[1]
        assert "\x1b[" not in run(server.nameserver, "web.default")[1]
        monkeypatch.setenv("NO_COLOR", "1")
        assert "\x1b[" not in run(server.nameserver, "web.default", out=Terminal())[1]


@pytest.mark.usefixtures("quick")
def test_connections_are_tried_from_the_command(cluster: FakeCluster) -> None:
    local = cluster.add_service("local", ports=[1])
    local.add_pod("127.0.0.1")
    with cluster.serve() as server:
        code, out = run(server.nameserver, "local.default", "--connect")
    assert code == 3
    assert "127.0.0.1:1: Connection refused" in out


@pytest.mark.usefixtures("quick")
def test_a_name_that_is_none_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("127.0.0.1:1", "not a name.default")[0] == 2
    assert "ConfigurationError" in capsys.readouterr().err


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    ("nameserver", "variable", "said"),
    [
        (None, "127.0.0.1:1", "$HEADLESS_DISCOVERY_NAMESERVER"),
        (["127.0.0.1:1"], "127.0.0.1:1", "--nameserver"),
    ],
)
def test_it_tells_who_named_the_name_servers(
    nameserver: list[str] | None, variable: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADLESS_DISCOVERY_NAMESERVER", variable)
    options = [f"--nameserver={text}" for text in nameserver or ()]
    seen = examine(asked("web.default", *options), Resolver(nameserver), FakeClock())
    assert seen.nameservers_from == said
