"""The doctor's lines one by one: each is made to say ok, and to say that something is wrong."""

import contextlib
import re
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest

from headless_discovery import Clock, ConfigurationError, Resolver
from headless_discovery.testing import FakeCluster
from tests.cli.command import Ask, Behind, Line, Report, Terminal, doctor, place, run

SVC = "svc.cluster.local"
ADDRESSES = (dns.rdatatype.A, dns.rdatatype.AAAA)
WEB = f"web.default.{SVC}"
ONLY_IF_ASKED_FOR = ["pods accept connections", "EndpointSlices"]
INSIDE = f"nameserver 10.96.0.10\nsearch default.{SVC} {SVC}\noptions ndots:5\n"


@pytest.fixture(autouse=True)
def glibc(monkeypatch: pytest.MonkeyPatch) -> None:
    """The image has glibc, wherever these tests run."""
    monkeypatch.setattr("platform.libc_ver", lambda: ("glibc", "2.36"))


def filled(cluster: FakeCluster) -> FakeCluster:
    """Three pods of a Service ``web``, with the cluster's own Services."""
    cluster.add_service("web", ports={"http": 8080}).scale(3)
    cluster.add_service("kube-dns", "kube-system", ports=[53], cluster_ip="10.96.0.10")
    return cluster


@pytest.fixture
def cluster() -> FakeCluster:
    return filled(FakeCluster())


def behind(handle: Callable[[bytes, bool, Ask], bytes | None]) -> FakeCluster:
    """The same, behind something that is in the way."""
    return filled(Behind(handle))


def test_all_is_well_in_a_pod_of_a_service_that_works(cluster: FakeCluster) -> None:
    there = place(cluster, POD_IP="10.244.0.2", POD_NAME="web-0")
    found = doctor(cluster, "web", "--port", "http", resolver=there)
    assert set(found.titles("ok")) == set(found.lines)
    assert found.code == 0


@pytest.mark.parametrize(
    "kind", ["servfail", "refused", "nxdomain", "truncate", "garbage", "timeout"]
)
def test_no_failure_stops_the_walk(cluster: FakeCluster, kind: Any) -> None:
    every = doctor(cluster, "web", "--port", "http").lines.keys()
    cluster.fail(kind)
    found = doctor(cluster, "web", "--port", "http")
    assert found.lines.keys() == every
    assert found.code != 0


# Where we are.


def test_a_pod_is_inside_a_cluster(cluster: FakeCluster) -> None:
    assert doctor(cluster)["inside a cluster"].said == (
        "ok",
        "/etc/resolv.conf searches svc.cluster.local; there is a service account",
    )


def outside(cluster: FakeCluster, conf: str = "", **environ: str) -> Resolver:
    """On a laptop."""
    return place(cluster, conf, namespace=None, **environ)


def test_a_laptop_is_told_how_to_get_in(cluster: FakeCluster) -> None:
    found = doctor(cluster, resolver=outside(cluster))["inside a cluster"]
    assert found.level == "warn"
    assert "  kubectl run -n default doctor --rm -it" in found.do
    assert "headless-discovery serve" in found.do


def test_the_api_servers_variables_are_a_sign_of_a_cluster(cluster: FakeCluster) -> None:
    there = outside(cluster, KUBERNETES_SERVICE_HOST="10.96.0.1")
    assert doctor(cluster, resolver=there)["inside a cluster"].seen == (
        "$KUBERNETES_SERVICE_HOST is set"
    )


CONF = "resolv.conf is a pod's"


def test_a_pods_resolv_conf_is_told(cluster: FakeCluster) -> None:
    assert doctor(cluster)[CONF].said == (
        "ok",
        f"name servers 10.96.0.10; search default.{SVC} {SVC}",
    )


@pytest.mark.parametrize(
    ("words", "environ", "said"),
    [
        (["--nameserver", "127.0.0.1:1"], {}, "--nameserver"),
        (
            ["--nameserver", "127.0.0.1:1"],
            {"HEADLESS_DISCOVERY_NAMESERVER": "127.0.0.1:2"},
            "--nameserver",
        ),
        (
            [],
            {"HEADLESS_DISCOVERY_NAMESERVER": "127.0.0.1:1"},
            "$HEADLESS_DISCOVERY_NAMESERVER",
        ),
    ],
)
def test_it_tells_who_named_the_name_servers(
    cluster: FakeCluster, words: list[str], environ: dict[str, str], said: str
) -> None:
    found = doctor(cluster, "web", *words, resolver=place(cluster, **environ))
    assert found.json["place"]["nameservers_from"] == said
    assert found[CONF].said == ("ok", f"not needed: the name servers come from {said}")


def test_a_pod_on_the_hosts_network_has_the_nodes_resolv_conf(cluster: FakeCluster) -> None:
    node = place(cluster, "nameserver 192.168.0.1\nsearch corp.example")
    found = doctor(cluster, resolver=node)
    assert (found[CONF].level, found.code) == ("fail", 2)
    assert "dnsPolicy: ClusterFirstWithHostNet" in found[CONF].do


def test_outside_of_pods_a_resolv_conf_is_only_told(cluster: FakeCluster) -> None:
    home = outside(cluster, "nameserver 192.168.0.1\nsearch home.arpa")
    assert "outside of a pod" in doctor(cluster, resolver=home)[CONF].means


def test_a_resolv_conf_that_cannot_be_read_is_not_ok(cluster: FakeCluster) -> None:
    assert doctor(cluster, resolver=outside(cluster))[CONF].said == (
        "warn",
        "could not be checked: /etc/resolv.conf is empty or cannot be read",
    )


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
    found = doctor(cluster, service, *options)[NAME]
    assert found.level == "ok"
    assert said in found.seen


def test_a_namespace_may_come_from_elsewhere(cluster: FakeCluster) -> None:
    variable = doctor(cluster, resolver=place(cluster, POD_NAMESPACE="default"))
    assert "(from $POD_NAMESPACE)" in variable[NAME].seen
    search = doctor(cluster, resolver=outside(cluster, INSIDE))
    assert "(from /etc/resolv.conf), domain" in search[NAME].seen


def test_a_domain_that_nobody_says_is_an_assumption(cluster: FakeCluster) -> None:
    found = doctor(cluster, resolver=place(cluster, ""))[NAME]
    assert found.level == "warn"
    assert "(assumed)" in found.seen


def test_a_namespace_that_nobody_says_is_broken_and_default_is_looked_at(
    cluster: FakeCluster,
) -> None:
    found = doctor(cluster, resolver=outside(cluster))
    assert (found[NAME].level, found.code) == ("fail", 2)
    assert "doctor web -n <namespace>" in found[NAME].do
    assert found["published pods"].level == "ok"


# The name servers.

UDP, TCP, LOST = "name servers over UDP", "name servers over TCP", "no datagrams are lost"


def no_tcp(_wire: bytes, tcp: bool, ask: Ask) -> bytes | None:
    """A name server whose TCP port is closed off."""
    return None if tcp else ask()


def no_udp(_wire: bytes, tcp: bool, ask: Ask) -> bytes | None:
    """A name server whose UDP port is closed off."""
    return ask() if tcp else None


def knows_no_edns(wire: bytes, _tcp: bool, ask: Ask) -> bytes | None:
    """An old name server."""
    return wire[:2] + b"\x80\x01" + b"\0" * 8 if wire[11] else ask()


def drops_edns(wire: bytes, _tcp: bool, ask: Ask) -> bytes | None:
    """A firewall that drops what has an additional record: the OPT."""
    return None if wire[11] else ask()


def test_name_servers_that_answer_are_told_with_their_times(cluster: FakeCluster) -> None:
    found = doctor(cluster)
    assert found[UDP].said == ("ok", "10.96.0.10:53 in 0.0 to 0.0 ms")
    assert found[TCP].said == ("ok", "10.96.0.10:53 in 0.0 ms")
    assert found[LOST].said == ("ok", "10.96.0.10:53 answered 5 of 5 at once")


def test_a_name_server_that_is_silent_is_broken(cluster: FakeCluster) -> None:
    cluster.fail("timeout")
    found = doctor(cluster)
    assert (found[UDP].level, found.code) == ("fail", 3)
    assert found[UDP].seen == "10.96.0.10:53: no answer in 2 s"
    assert "networkpolicies" in found[UDP].do
    assert found[LOST].seen == (
        "could not be checked: no name server answers over UDP, or none with EDNS"
    )


class Hasty(Clock):
    """Real time, for real sockets, but without the pauses."""

    def sleep(self, seconds: float) -> None:
        """Returns at once."""


@contextlib.contextmanager
def silent() -> Iterator[str]:
    """A name server that takes questions, over both transports, and never answers."""
    with (
        socket.create_server(("127.0.0.1", 0)) as tcp,
        socket.socket(type=socket.SOCK_DGRAM) as udp,
    ):
        udp.bind(tcp.getsockname())
        yield f"127.0.0.1:{tcp.getsockname()[1]}"


def by_sockets(nameservers: list[str], *words: str, timeout: float = 0.2) -> Report:
    """What it says of these real name servers."""
    resolver = Resolver(nameservers, timeout=timeout)
    return doctor(None, "web.default", *words, resolver=resolver, clock=Hasty())


def test_one_of_two_name_servers_that_is_silent_is_warned_of(cluster: FakeCluster) -> None:
    with cluster.serve() as server, silent() as other:
        found = by_sockets([server.nameserver, other])
    assert found[UDP].level == "warn"
    assert f"{other}: no answer in 0.2 s" in found[UDP].seen
    assert found[TCP].level == "warn"
    assert f"{other}: no answer in 0.2 s" in found[TCP].seen


def test_a_slow_name_server_is_warned_of() -> None:
    def slow(_wire: bytes, _tcp: bool, ask: Ask) -> bytes | None:
        there.clock.advance(0.1)
        return ask()

    there = behind(slow)
    found = doctor(there)[UDP]
    assert found.level == "warn"
    assert re.fullmatch(r"10\.96\.0\.10:53 in \d00\.0 to 700\.0 ms", found.seen)
    assert found.means == "Slow: the DNS pods are overloaded or far away."


def test_without_any_name_server_the_rest_is_still_judged(cluster: FakeCluster) -> None:
    def none() -> None:
        raise ConfigurationError("no name server: resolv.conf names none")

    usual = doctor(cluster).lines.keys()
    without = cluster.resolver
    vars(without)["servers"] = none
    found = doctor(cluster, resolver=without)
    assert (found[UDP].level, found.code) == ("fail", 2)
    assert found[TCP].seen == "could not be checked: there is no name server"
    assert found.lines.keys() == usual


def test_tcp_that_does_not_get_through_is_broken() -> None:
    found = doctor(behind(no_tcp))
    assert found[UDP].level == "ok"
    assert (found[TCP].level, found.code) == ("fail", 3)
    assert "10.96.0.10:53: no answer in 2 s" in found[TCP].seen


def test_datagrams_that_get_lost_are_the_pattern_of_five_second_lookups(
    cluster: FakeCluster,
) -> None:
    cluster.fail("timeout", times=2, name="cluster.local", qtype="A")
    found = doctor(cluster)[LOST]
    assert found.said == ("warn", "10.96.0.10:53 answered 3 of 5 at once")
    assert "pause for 5 s" in found.means
    assert "single-request-reopen" in found.do


def test_udp_that_is_dead_while_tcp_is_alive_is_told_apart() -> None:
    found = doctor(behind(no_udp))
    assert (found[UDP].level, found.code) == ("fail", 3)
    assert found[UDP].means == (
        "10.96.0.10:53 replies over TCP but not over UDP: something blocks UDP port 53."
    )
    assert "name: use-vc" in found[UDP].do
    assert found[TCP].level == "ok"
    # What is left is asked over TCP.
    assert found["cluster domain"].level == "ok"
    assert found["SRV and A agree"].seen == "the same 3 addresses"
    assert "over TCP" in found["answer sizes"].seen
    for title in (EDNS, LOST):
        assert found[title].seen.startswith("could not be checked: no name server answers")


@pytest.mark.parametrize(
    ("conf", "environ"),
    [
        ("options use-vc", {}),
        ("", {"RES_OPTIONS": "use-vc"}),
        ("", {"RES_OPTIONS": "edns0 use-vc"}),
    ],
)
def test_with_use_vc_a_dead_udp_is_only_warned_of(conf: str, environ: dict[str, str]) -> None:
    cluster = behind(no_udp)
    found = doctor(cluster, resolver=place(cluster, INSIDE + conf, **environ))
    assert found[UDP].level == "warn"
    assert "use-vc" in found[UDP].means


def test_use_vc_is_of_the_name_servers_in_resolv_conf_alone() -> None:
    cluster = behind(no_udp)
    around = place(cluster, f"{INSIDE}options use-vc", HEADLESS_DISCOVERY_NAMESERVER="10.96.0.10")
    found = doctor(cluster, resolver=around)[UDP]
    assert found.level == "fail"


@contextlib.contextmanager
def replying_from(sender: str) -> Iterator[str]:
    """A name server that takes questions at one address and replies from another."""
    with (
        socket.socket(type=socket.SOCK_DGRAM) as server,
        socket.socket(type=socket.SOCK_DGRAM) as other,
    ):
        server.bind(("127.0.0.1", 0))
        other.bind((sender, 0))

        def reply() -> None:
            while (came := server.recvfrom(4096))[0]:
                wire, client = bytearray(came[0]), came[1]
                wire[2] |= 0x80  # it is a reply
                with contextlib.suppress(OSError):  # that client expects no reply from here
                    other.sendto(wire, client)

        thread = threading.Thread(target=reply)
        thread.start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        other.sendto(b"", server.getsockname())
        thread.join()


def test_replies_that_come_from_elsewhere_are_not_silence() -> None:
    with replying_from("127.0.0.3") as nameserver:
        found = by_sockets([nameserver])
    assert (found[UDP].level, found.code) == ("fail", 3)
    assert f"{nameserver}: the reply came from another address, 127.0.0.3:" in found[UDP].seen
    assert "modprobe br_netfilter" in found[UDP].do


def test_replies_that_come_twice_are_taken_once(cluster: FakeCluster) -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as server, silent() as other:
        server.bind(("127.0.0.1", 0))

        def reply_twice() -> None:
            while (came := server.recvfrom(4096))[0]:
                for _ in range(2):
                    server.sendto(cluster.answer(came[0]) or b"", came[1])

        thread = threading.Thread(target=reply_twice)
        thread.start()
        nameserver = f"127.0.0.1:{server.getsockname()[1]}"
        found = by_sockets([nameserver, other])
        server.sendto(b"", server.getsockname())
        thread.join()
    assert found[UDP].level == "warn"
    assert f"{nameserver} in " in found[UDP].seen


def test_a_name_server_that_wakes_up_at_last_replies_from_its_own_address() -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))

        def reply_to_the_second_without_edns() -> None:
            seen: set[bytes] = set()
            while (came := server.recvfrom(4096))[0]:
                wire, client = bytearray(came[0]), came[1]
                if wire[11] == 0:  # no additional record
                    seen.add(bytes(wire[:2]))
                if len(seen) == 2:
                    wire[2] |= 0x80  # it is a reply
                    server.sendto(wire, client)

        thread = threading.Thread(target=reply_to_the_second_without_edns)
        thread.start()
        found = by_sockets([f"127.0.0.1:{server.getsockname()[1]}"])
        server.sendto(b"", server.getsockname())
        thread.join()
    assert found[UDP].level == "fail"
    assert "came from another address" not in found[UDP].seen


EDNS = "EDNS gets through"


def test_edns_that_gets_through_is_ok(cluster: FakeCluster) -> None:
    assert doctor(cluster)[EDNS].said == ("ok", "answered by 10.96.0.10:53")


def test_edns_that_is_dropped_is_told_apart_from_silence() -> None:
    found = doctor(behind(drops_edns))
    assert found[UDP].level == "ok"
    assert found[EDNS].said == ("warn", "10.96.0.10:53: only queries without EDNS are answered")
    assert found[LOST].seen.startswith("could not be checked")
    assert found["cluster domain"].level == "ok"


def test_a_name_server_that_knows_no_edns_is_asked_without_and_warned_of() -> None:
    found = doctor(behind(knows_no_edns))
    assert found[EDNS].said == ("warn", "10.96.0.10:53: knows no EDNS")
    assert found["cluster domain"].level == "ok"


# The domain and the namespace.

DOMAIN = "cluster domain"

Reply = Callable[[dns.message.Message], None]


def says(name: str, kind: str, reply: Reply) -> Callable[[bytes, bool, Ask], bytes | None]:
    """Something in the way that makes up the answers to one question; ``*`` stands for any label.

    ``reply`` fills in what is answered.
    """

    def handle(wire: bytes, _tcp: bool, ask: Ask) -> bytes | None:
        query = dns.message.from_wire(wire)
        [question] = query.question
        asked = question.name.to_text(omit_final_dot=True)
        pattern = re.escape(name).replace(r"\*", "[^.]+")
        if dns.rdatatype.to_text(question.rdtype) != kind or not re.fullmatch(pattern, asked):
            return ask()
        made = dns.message.make_response(query)
        reply(made)
        return made.to_wire()

    return handle


def refusing(code: str, soa: str = "") -> Reply:
    """A failure, or a negative answer of that zone."""

    def fill(made: dns.message.Message) -> None:
        made.set_rcode(dns.rcode.from_text(code))
        if soa:
            made.authority.append(dns.rrset.from_text(soa, 5, "IN", "SOA", "a. b. 1 2 3 4 5"))

    return fill


def answering(kind: str, text: str) -> Reply:
    """One record."""

    def fill(made: dns.message.Message) -> None:
        made.answer.append(dns.rrset.from_text(made.question[0].name, 5, "IN", kind, text))

    return fill


MADE_UP = answering("A", "203.0.113.1")
NOTHING = refusing("NOERROR")


def test_the_name_server_confirms_the_domain(cluster: FakeCluster) -> None:
    assert doctor(cluster)[DOMAIN].said == (
        "ok",
        "10.96.0.10:53 serves cluster.local, and has its dns-version",
    )


def test_a_domain_without_dns_version_is_confirmed_too(cluster: FakeCluster) -> None:
    cluster.fail("refused", qtype="TXT")
    assert doctor(cluster)[DOMAIN].said == ("ok", "10.96.0.10:53 serves cluster.local")


def of_another_domain(**service: Any) -> FakeCluster:
    cluster = FakeCluster("k8s.example")
    cluster.add_service(**service)
    return cluster


@pytest.mark.parametrize(
    ("service", "environ"),
    [
        ({"name": "kube-dns", "namespace": "kube-system", "cluster_ip": "10.96.0.10"}, {}),
        (
            {"name": "kubernetes", "ports": [443], "cluster_ip": "10.96.0.1"},
            {"KUBERNETES_SERVICE_HOST": "10.96.0.1"},
        ),
    ],
)
def test_a_wrong_domain_is_told_with_the_right_one(
    service: dict[str, Any], environ: dict[str, str]
) -> None:
    cluster = of_another_domain(**service)
    words = ["web", "--cluster-domain", "cluster.local"]
    found = doctor(cluster, *words, resolver=place(cluster, **environ))
    assert (found[DOMAIN].level, found.code) == ("fail", 2)
    assert found[DOMAIN].means == "The cluster's domain is k8s.example, not cluster.local."
    assert "--cluster-domain k8s.example" in found[DOMAIN].do


def test_a_name_server_that_is_not_the_clusters_is_broken(cluster: FakeCluster) -> None:
    cluster.fail("nxdomain")
    found = doctor(cluster)
    assert (found[DOMAIN].level, found.code) == ("fail", 2)
    assert "does not serve cluster.local" in found[DOMAIN].means
    # What else it says is not believed.
    assert found["namespace exists"].level == "warn"
    assert found["published pods"].level == "warn"


@pytest.mark.parametrize(
    ("soa", "said"),
    [
        (".", ", with the SOA of the root"),
        ("corp.example.", ", with the SOA of corp.example"),
        ("", ""),
    ],
)
def test_the_zone_that_it_speaks_for_is_told(soa: str, said: str) -> None:
    found = doctor(behind(says("cluster.local", "A", refusing("NXDOMAIN", soa))))
    assert found[DOMAIN].seen == f"10.96.0.10:53 answers NXDOMAIN for cluster.local{said}"


def test_a_name_server_with_a_name_of_its_own_tells_no_domain() -> None:
    cluster = behind(says("10.0.96.10.in-addr.arpa", "PTR", answering("PTR", "dns.example.")))
    cluster.fail("nxdomain", name="cluster.local")
    assert "another domain, or not the cluster's server" in doctor(cluster)[DOMAIN].means


def test_a_server_that_cannot_answer_yet_is_broken(cluster: FakeCluster) -> None:
    cluster.fail("servfail")
    found = doctor(cluster)
    assert (found[DOMAIN].level, found.code) == ("fail", 3)


def test_a_second_name_server_of_another_domain_is_warned_of(cluster: FakeCluster) -> None:
    with cluster.serve() as server, FakeCluster("k8s.example").serve() as other:
        found = by_sockets([server.nameserver, other.nameserver])[DOMAIN]
    assert found.level == "warn"
    assert f"; {other.nameserver} answers SERVFAIL for cluster.local" in found.seen


def test_an_address_for_the_domain_itself_is_made_up() -> None:
    found = doctor(behind(says("cluster.local", "A", MADE_UP)))
    assert (found[DOMAIN].level, found.code) == ("fail", 2)
    assert "NOERROR and the address 203.0.113.1 for cluster.local" in found[DOMAIN].seen
    for title in ("negative answers", "namespace exists", "headless Service", "caches in between"):
        assert found[title].level == "warn"


def test_a_domain_that_a_cache_confirms_without_soa_is_served() -> None:
    assert doctor(behind(says("cluster.local", "A", NOTHING)))[DOMAIN].level == "ok"


NEGATIVE, WILDCARDS = "negative answers", "no wildcards"
BELOW, BESIDE = f"made-up-*.{WEB}", f"made-up-*.default.{SVC}"


def test_a_negative_answer_of_the_clusters_own_zone_is_ok(cluster: FakeCluster) -> None:
    assert doctor(cluster)[NEGATIVE].said == ("ok", "NXDOMAIN comes from cluster.local")


@pytest.mark.parametrize(
    ("soa", "said"), [(".", "comes from the root"), ("", "says no zone (no SOA)")]
)
def test_with_fallthrough_the_domain_is_served_and_a_no_comes_from_elsewhere(
    soa: str, said: str
) -> None:
    found = doctor(behind(says(BELOW, "A", refusing("NXDOMAIN", soa))))
    assert found[DOMAIN].level == "ok"
    assert found[NEGATIVE].said == ("warn", f"NXDOMAIN for a name that does not exist {said}")
    assert "fallthrough in-addr.arpa ip6.arpa" in found[NEGATIVE].do


def test_a_refusal_is_no_negative_answer() -> None:
    found = doctor(behind(says(BELOW, "A", refusing("SERVFAIL"))))
    assert found[NEGATIVE].seen.startswith("could not be checked: ")


def test_names_that_nothing_has_do_not_resolve(cluster: FakeCluster) -> None:
    assert doctor(cluster)[WILDCARDS].level == "ok"
    cluster.fail("timeout", name=f"default.{SVC}", qtype="A")
    found = doctor(cluster)
    for title in (NEGATIVE, WILDCARDS):
        assert found[title].seen == "could not be checked: no answer in 2 s"


def test_a_failure_for_one_name_alone_is_no_verdict() -> None:
    failing = refusing("SERVFAIL")
    assert doctor(behind(says(BESIDE, "A", failing)))[WILDCARDS].seen.endswith("SERVFAIL")
    assert doctor(behind(says(f"default.{SVC}", "A", failing)))["namespace exists"].seen == (
        f"could not be checked: default.{SVC}: SERVFAIL"
    )


def test_a_wildcard_in_the_zone_is_found() -> None:
    found = doctor(behind(says(BESIDE, "A", MADE_UP)))[WILDCARDS]
    assert found.level == "warn"
    assert re.fullmatch(
        rf"made-up-[0-9a-f]+\.default\.{SVC} has the address 203\.0\.113\.1", found.seen
    )
    found = doctor(behind(says(f"default.{SVC}", "A", MADE_UP)))["namespace exists"]
    assert found.seen.endswith("has an address: a wildcard answers")


def test_a_wildcard_in_the_search_list_is_found() -> None:
    conf = f"nameserver 10.96.0.10\nsearch {SVC} corp.example\noptions ndots:5\n"
    name, title = f"{WEB}.corp.example", "cost of the search list"
    cluster = behind(says(name, "A", refusing("NXDOMAIN", ".")))
    assert doctor(cluster, resolver=place(cluster, conf))[title].level == "ok"
    cluster = behind(says(name, "A", MADE_UP))
    found = doctor(cluster, resolver=place(cluster, conf))[title]
    assert found.level == "warn"
    assert f"{name} has the address 203.0.113.1" in found.seen


EXISTS = "namespace exists"


def test_a_namespace_that_is_there(cluster: FakeCluster) -> None:
    assert doctor(cluster)[EXISTS].level == "ok"


def test_a_namespace_that_is_not_there_is_broken(cluster: FakeCluster) -> None:
    found = doctor(cluster, "web.shop")
    assert (found[EXISTS].level, found.code) == ("fail", 1)
    assert found[EXISTS].seen == "shop.svc.cluster.local: NXDOMAIN"


def test_a_namespace_of_which_nothing_came_is_not_judged(cluster: FakeCluster) -> None:
    cluster.fail("timeout", name="default.svc.cluster.local")
    assert doctor(cluster)[EXISTS].seen == "could not be checked: no answer in 2 s"


# The Service.

HEADLESS, PODS, PORT = "headless Service", "published pods", "port"


def test_a_headless_service_names_its_pods(cluster: FakeCluster) -> None:
    found = doctor(cluster)
    assert found[HEADLESS].level == "ok"
    assert found[PODS].seen == "3 pods; queries: 1 over UDP, 0 over TCP"


def vip(cluster: FakeCluster) -> None:
    cluster.add_service("vip", ports=[80], cluster_ip="10.96.1.1")


def away(cluster: FakeCluster) -> None:
    cluster.add_service("away", external_name=WEB)


def test_a_virtual_ip_is_not_headless(cluster: FakeCluster) -> None:
    vip(cluster)
    found = doctor(cluster, "vip")
    assert (found[HEADLESS].level, found.code) == ("fail", 4)
    assert found[HEADLESS].seen == "vip.default.svc.cluster.local has a virtual IP: 10.96.1.1"
    assert "cannot be pinged" in found[HEADLESS].means
    assert "clusterIP: None" in found[HEADLESS].do
    for title in (PODS, PORT, "SRV and A agree"):
        assert found[title].seen == "could not be checked: the Service is not headless"


def test_the_yaml_to_paste_is_a_headless_service(cluster: FakeCluster) -> None:
    vip(cluster)
    text = doctor(cluster, "vip")[HEADLESS].do.partition("\n")[2]
    for placeholder, value in {"<label of its pods>": "a", "<name>": "b", "<port>": "80"}.items():
        text = text.replace(placeholder, value)
    cluster.apply(text)
    pod = "{kind: Pod, metadata: {name: one, labels: {app: a}}, spec: {containers: []}}"
    cluster.apply(pod)
    assert run("resolve", "vip-headless", on=cluster).code == 0


def test_an_alias_is_not_headless(cluster: FakeCluster) -> None:
    away(cluster)
    found = doctor(cluster, "away")
    assert (found[HEADLESS].level, found.code) == ("fail", 4)
    assert f"is an alias of {WEB}" in found[HEADLESS].seen


def with_a_slice_of_names(_wire: bytes, _tcp: bool, ask: Ask) -> bytes | None:
    """As CoreDNS answers where one of the Service's EndpointSlices holds a host name."""
    said = dns.message.from_wire(ask() or b"")
    [asked] = said.question
    if str(asked.name) == f"{WEB}." and asked.rdtype in ADDRESSES:
        said.answer.insert(0, dns.rrset.from_text(asked.name, 5, "IN", "CNAME", "db.example.com."))
        said.authority.clear()
    return said.to_wire()


@pytest.mark.parametrize("words", [[], ["--port", "http"], ["--port", "8080"]])
def test_an_alias_beside_pods_is_no_external_name(words: list[str]) -> None:
    found = doctor(behind(with_a_slice_of_names), "web", *words)
    assert found[HEADLESS].level == "ok"
    assert found.code == 0


def test_a_lone_address_without_srv_may_be_a_virtual_ip(cluster: FakeCluster) -> None:
    vip(cluster)
    cluster.fail("timeout", name="vip.default.svc.cluster.local", qtype="SRV")
    found = doctor(cluster, "vip", "--records", "address")
    assert (found[HEADLESS].level, found.code) == ("fail", 4)


def test_without_pods_the_kind_of_a_service_does_not_show(cluster: FakeCluster) -> None:
    cluster.add_service("none", ports=[80])
    assert doctor(cluster, "none")[HEADLESS].level == "warn"


@pytest.mark.parametrize("service", ["nobody", "none", "unready"])
def test_no_pods_are_broken_with_all_three_causes(cluster: FakeCluster, service: str) -> None:
    cluster.add_service("none", ports=[80])
    cluster.add_service("unready", ports=[80]).add_pod("10.1.1.1", ready=False)
    found = doctor(cluster, service)
    assert (found[PODS].level, found.code) == ("fail", 1)
    assert found[PODS].seen == f"{service}.default.svc.cluster.local: NXDOMAIN"
    assert "kubectl get -n default endpointslices -l kubernetes.io/service-name" in found[PODS].do
    assert "publishNotReadyAddresses: true" in found[PODS].do


def test_pods_of_no_asked_family_are_no_address(cluster: FakeCluster) -> None:
    assert doctor(cluster, "web", "--family", "ipv6")[PODS].seen == f"{WEB}: no address"


def test_a_failed_lookup_is_not_no_pods(cluster: FakeCluster) -> None:
    cluster.fail("servfail", name=WEB)
    found = doctor(cluster)
    assert (found[PODS].level, found.code) == ("fail", 3)
    assert found[PODS].seen.startswith(f"the lookup failed: asked for {WEB}. SRV")


def test_a_named_port_that_is_there(cluster: FakeCluster) -> None:
    assert doctor(cluster, "web", "--port", "http")[PORT].seen == "http over TCP: 8080"


def test_a_named_port_that_is_not_there_is_broken(cluster: FakeCluster) -> None:
    found = doctor(cluster, "web", "--port", "grpc")
    assert (found[PORT].level, found.code) == ("fail", 5)
    assert found[PORT].seen == "no port named grpc over TCP; DNS shows 8080 over TCP"
    assert found[PODS].level == "warn"


def test_a_port_of_another_protocol_is_broken_and_found(cluster: FakeCluster) -> None:
    cluster.add_service("gossip", ports={"swim": (7946, "udp")}).scale(1)
    found = doctor(cluster, "gossip", "--port", "swim")
    assert (found[PORT].level, found.code) == ("fail", 5)
    assert found[PORT].seen == "no swim over TCP, but over UDP"
    assert "--protocol udp" in found[PORT].do


def test_ports_are_told_by_protocol(cluster: FakeCluster) -> None:
    cluster.add_service("dns", ports={"tcp": (53, "tcp"), "udp": (53, "udp")}).scale(1)
    assert doctor(cluster, "dns")[PORT].said == ("ok", "DNS shows 53 over TCP, 53 over UDP")


def test_ports_of_unknown_protocol_are_told_by_number(cluster: FakeCluster) -> None:
    for protocol in ("tcp", "udp", "sctp"):
        cluster.fail("refused", name=f"_._{protocol}.{WEB}")
    assert doctor(cluster)[PORT].seen == "DNS shows 8080"


def test_a_number_that_is_none_of_the_services_is_warned_of(cluster: FakeCluster) -> None:
    assert doctor(cluster, "web", "--port", "8080")[PORT].level == "ok"
    found = doctor(cluster, "web", "--port", "80")[PORT]
    assert found.level == "warn"
    assert "targetPort" in found.means


def test_several_ports_want_to_be_told_apart(cluster: FakeCluster) -> None:
    cluster.add_service("db", ports={"sql": 5432, "metrics": 9187}).scale(1)
    assert doctor(cluster, "db")[PORT].said == ("warn", "DNS shows 5432 over TCP, 9187 over TCP")


def test_a_service_without_pods_has_no_ports_to_judge(cluster: FakeCluster) -> None:
    found = doctor(cluster, "nobody")
    assert found[PORT].seen == "could not be checked: no pod is published"
    assert found["SRV and A agree"].seen == "could not be checked: no pod is published"


def test_a_port_of_which_nothing_came_is_not_judged(cluster: FakeCluster) -> None:
    cluster.fail("timeout", name=WEB, qtype="SRV")
    assert doctor(cluster)[PORT].seen == "could not be checked: no answer in 2 s"


AGREE = "SRV and A agree"


def test_srv_and_a_have_the_same_pods(cluster: FakeCluster) -> None:
    assert doctor(cluster)[AGREE].said == ("ok", "the same 3 addresses")


def test_without_ports_there_is_nothing_to_agree_with(cluster: FakeCluster) -> None:
    cluster.add_service("bare").scale(2)
    found = doctor(cluster, "bare")
    assert (found[AGREE].level, found[PORT].level) == ("ok", "ok")


def slice_of_web(*endpoints: dict[str, Any], ports: list[Any]) -> dict[str, Any]:
    return {
        "kind": "EndpointSlice",
        "metadata": {"name": "x", "labels": {"kubernetes.io/service-name": "web"}},
        "endpoints": endpoints,
        "ports": ports,
    }


def test_a_pod_that_lacks_the_target_port_is_in_a_alone(cluster: FakeCluster) -> None:
    lacking = [{"addresses": [f"10.9.9.{number}"]} for number in range(7)]
    cluster.apply(slice_of_web(*lacking, ports=[]))
    assert doctor(cluster)[AGREE].said == (
        "warn",
        "only A and AAAA have 10.9.9.0, 10.9.9.1, 10.9.9.2, 10.9.9.3, 10.9.9.4 and 2 more; "
        "only SRV has none",
    )


def test_srv_that_is_refused_while_addresses_are_answered_is_told_apart(
    cluster: FakeCluster,
) -> None:
    cluster.fail("refused", qtype="SRV")
    found = doctor(cluster)
    assert found[AGREE].said == ("warn", "A is answered, SRV is not: REFUSED")
    assert found[PORT].seen == "could not be checked: SRV is answered with REFUSED"
    named = doctor(cluster, "web", "--port", "http")
    assert (named[AGREE].level, named.code) == ("fail", 3)
    assert "--records address --port <number>" in named[AGREE].do


def test_a_lone_address_of_which_srv_is_not_known_may_be_a_virtual_ip(
    cluster: FakeCluster,
) -> None:
    cluster.add_service("one", ports=[80]).add_pod("10.1.1.1")
    cluster.fail("refused", qtype="SRV")
    assert doctor(cluster, "one")[HEADLESS].seen == (
        "could not be checked: SRV, A and AAAA were not all answered"
    )


BOTH_WAYS = "names forward and back"


def test_names_resolve_both_ways(cluster: FakeCluster) -> None:
    assert doctor(cluster)[BOTH_WAYS].seen == "3 of 3 pods checked, all both ways"


def test_a_name_that_does_not_resolve_is_broken(cluster: FakeCluster) -> None:
    cluster.fail("nxdomain", name=f"web-1.{WEB}")
    found = doctor(cluster)
    assert (found[BOTH_WAYS].level, found.code) == ("fail", 3)
    assert found[BOTH_WAYS].seen == f"web-1.{WEB} does not resolve to 10.244.0.3"
    cluster.fail("nxdomain", name=f"web-2.{WEB}")
    assert doctor(cluster)[BOTH_WAYS].seen.endswith(" (and 1 more pod)")


def test_an_address_that_names_no_pod_is_warned_of(cluster: FakeCluster) -> None:
    cluster.fail("nxdomain", name="3.0.244.10.in-addr.arpa")
    assert doctor(cluster)[BOTH_WAYS].said == ("warn", "PTR of 10.244.0.3 does not name the pod")


def test_ipv6_names_resolve_both_ways() -> None:
    cluster = FakeCluster()
    cluster.add_service("web", ports=[80], families=["ipv6"]).scale(2)
    assert doctor(cluster)[BOTH_WAYS].level == "ok"


# Names, and who we are.

SELF, DISTINCT = "am I among them", "a name for each pod"


def test_a_pod_of_the_service_finds_itself(cluster: FakeCluster) -> None:
    found = doctor(cluster, resolver=place(cluster, POD_IP="10.244.0.3"))[SELF]
    assert found.said == ("ok", f"web-1.{WEB}, 10.244.0.3")


def test_a_pod_that_is_not_published_is_told_so(cluster: FakeCluster) -> None:
    found = doctor(cluster, resolver=place(cluster, POD_IP="10.9.9.9"))[SELF]
    assert found.level == "warn"
    assert "(10.9.9.9)" in found.seen


def test_an_own_address_that_there_is_none_of_is_not_known(cluster: FakeCluster) -> None:
    found = doctor(cluster)
    assert found[SELF].seen.startswith("could not be checked: this pod's own address is not known")
    assert found.json["place"]["own_addresses"] == []


@pytest.mark.parametrize("address", ["mine", "10.1.1.1:80", "10.1.1"])
def test_an_own_address_that_is_none_is_a_wrong_configuration(
    cluster: FakeCluster, address: str
) -> None:
    found = doctor(cluster, resolver=place(cluster, POD_IP=address))
    assert (found[PODS].level, found.code) == ("fail", 2)
    assert found[PODS].seen.startswith(f"$POD_IPS or $POD_IP: '{address}'")


def test_pods_have_names_of_their_own(cluster: FakeCluster) -> None:
    assert doctor(cluster)[DISTINCT].seen == "3 of 3 pods checked, each with a name of its own"
    assert doctor(cluster, "nobody")[DISTINCT].level == "warn"


def test_pods_that_share_a_name_are_listed() -> None:
    cluster = FakeCluster()
    web = cluster.add_service("web", ports=[80])
    for number in (1, 2):
        web.add_pod(f"10.1.1.{number}", name=f"pod-{number}", hostname="same")
    found = doctor(cluster)[DISTINCT]
    assert found.said == ("warn", f"same.{WEB} has 10.1.1.1, 10.1.1.2")
    assert "'hostname' in its template" in found.means


@pytest.mark.parametrize(
    ("own", "said"),
    [
        ("web-b", ("ok", f"2 pods have our address 10.1.1.1; by our name we are web-b.{WEB}")),
        (
            "node-1",
            (
                "warn",
                f"2 pods have our address 10.1.1.1: web-a.{WEB}, web-b.{WEB}; none is called "
                "node-1",
            ),
        ),
    ],
)
def test_of_two_pods_on_one_address_the_name_says_which_is_this_one(
    own: str, said: tuple[str, str]
) -> None:
    cluster = FakeCluster()
    cluster.add_service("web", ports=[80])
    ports = [{"name": "", "port": 80, "protocol": "TCP"}]
    pods = [{"addresses": ["10.1.1.1"], "hostname": name} for name in ("web-a", "web-b")]
    cluster.apply(slice_of_web(*pods, ports=ports))
    found = doctor(cluster, resolver=place(cluster, POD_IP="10.1.1.1", POD_NAME=own))[SELF]
    assert found.said == said
    assert ("fieldPath: metadata.name" in found.do) is (found.level == "warn")


# On the way.

SIZES, CACHES = "answer sizes", "caches in between"


def many(pods: int) -> Callable[[FakeCluster], None]:
    def add(cluster: FakeCluster) -> None:
        service = cluster.add_service("many", ports=[80])
        for number in range(pods):
            service.add_pod(f"10.1.{number // 250}.{number % 250 + 1}")

    return add


def of_many(pods: int) -> FakeCluster:
    cluster = FakeCluster()
    many(pods)(cluster)
    return cluster


def test_a_small_answer_fits_over_udp(cluster: FakeCluster) -> None:
    found = doctor(cluster)[SIZES]
    assert found.level == "ok"
    assert found.seen.endswith("bytes, fits over UDP")


def test_a_larger_answer_goes_over_tcp() -> None:
    found = doctor(of_many(40), "many")[SIZES]
    assert found.level == "ok"
    assert "for 40 pods, over TCP; about " in found.seen


def test_an_answer_near_the_limit_is_warned_of() -> None:
    found = doctor(of_many(400), "many")[SIZES]
    assert found.level == "warn"
    assert re.search(r": \d{5} bytes for 400 pods, over TCP; about \d{3} fit$", found.seen)
    assert found.means == "More than half of what DNS can carry."


@pytest.mark.parametrize("kind", ["servfail", "refused"])
@pytest.mark.parametrize("pods", [100, 400, 1000])
def test_where_srv_fails_the_pods_of_the_addresses_are_counted(
    pods: int, kind: Literal["servfail", "refused"]
) -> None:
    cluster = of_many(pods)
    cluster.fail(kind, qtype="SRV")
    found = doctor(cluster, "many")[SIZES]
    assert f" bytes for {pods:,} pods, over TCP; about 14" in found.seen


@pytest.mark.parametrize(("kind", "rcode"), [("refused", "REFUSED"), ("servfail", "SERVFAIL")])
@pytest.mark.parametrize("title", ["headless Service", "published pods"])
def test_a_server_that_answers_nothing_of_the_service_is_quoted(
    cluster: FakeCluster, title: str, kind: Literal["servfail", "refused"], rcode: str
) -> None:
    cluster.fail(kind, name=WEB)
    assert rcode in doctor(cluster)[title].seen


def test_srv_that_does_not_fit_is_warned_of_while_addresses_do() -> None:
    found = doctor(of_many(800), "many")
    assert found[SIZES].level == "warn"
    assert "is truncated over TCP too; A and AAAA have all 800 pods" in found[SIZES].seen
    assert found[AGREE].seen == "could not be checked: an answer was truncated"


def test_what_fits_nowhere_is_broken(cluster: FakeCluster) -> None:
    cluster.fail("truncate", name=WEB)
    found = doctor(cluster)
    assert (found[SIZES].level, found.code) == ("fail", 3)
    assert "is truncated over TCP too" in found[SIZES].seen


def test_an_answer_that_needs_tcp_where_there_is_none_is_broken() -> None:
    cluster = Behind(no_tcp)
    many(40)(cluster)
    found = doctor(cluster, "many")
    assert (found[SIZES].level, found.code) == ("fail", 3)
    assert "TCP: no answer in 2 s" in found[SIZES].seen


def test_without_a_cache_a_new_pod_is_seen_soon(cluster: FakeCluster) -> None:
    assert doctor(cluster)[CACHES].said == (
        "ok",
        "the TTL of the answer is 5 s, and no cache counts it down: a new pod is seen within "
        "about 6 s",
    )


@pytest.mark.parametrize(("service", "answer"), [("web", "answer"), ("nobody", "negative answer")])
def test_a_cache_shows_by_its_ttl_that_counts_down(service: str, answer: str) -> None:
    found = doctor(filled(FakeCluster(ttl=30, cache=30)), service)[CACHES]
    assert found.level == "warn"
    assert re.fullmatch(
        f"the TTL of the {answer} went from 30 to 2[89] s in 1.1 s: a cache answers", found.seen
    )


def test_a_long_ttl_is_warned_of() -> None:
    found = doctor(filled(FakeCluster(ttl=120)))[CACHES]
    assert found.said == ("warn", "the TTL of the answer is 120 s")


def test_a_service_that_changes_meanwhile_is_told(cluster: FakeCluster) -> None:
    late = cluster.add_service("late", ports=[80])

    def come() -> None:
        late.scale(1)

    cluster.clock.call_at(cluster.clock.now() + 1, come)
    assert doctor(cluster, "late")[CACHES].said == ("warn", "first NXDOMAIN, 1.1 s later 1 pod")


def test_caches_of_which_nothing_came_are_not_judged(cluster: FakeCluster) -> None:
    cluster.fail("timeout", name=WEB, qtype="A")
    assert doctor(cluster)[CACHES].seen == "could not be checked: no answer in 2 s"


def test_of_a_name_server_that_goes_silent_meanwhile_caches_are_not_judged(
    cluster: FakeCluster,
) -> None:
    def go() -> None:
        cluster.fail("timeout")

    cluster.clock.call_at(cluster.clock.now() + 1, go)
    assert doctor(cluster)[CACHES].seen == "could not be checked: no answer in 2 s"


# Connections.

CONNECT = "pods accept connections"


def test_connections_are_tried_only_if_asked_for(cluster: FakeCluster) -> None:
    assert CONNECT not in doctor(cluster).lines


@pytest.fixture
def port() -> Iterator[int]:
    """One at which something listens, at 127.0.0.1 alone."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def local(port: int, *addresses: str) -> FakeCluster:
    """Pods on this machine."""
    cluster = FakeCluster()
    web = cluster.add_service("web", ports=[port])
    for address in addresses:
        web.add_pod(address)
    return cluster


def test_pods_that_accept_are_ok(port: int) -> None:
    found = doctor(local(port, "127.0.0.1"), "web", "--connect")
    assert found[CONNECT].said == ("ok", "1 of 1 accept")


@pytest.mark.parametrize(
    ("accepting", "said", "means"),
    [(["127.0.0.1"], "1 of 3", "these pods are not"), ([], "0 of 2", "Refused: the app listens")],
)
def test_pods_that_refuse_are_broken(
    port: int, accepting: list[str], said: str, means: str
) -> None:
    found = doctor(local(port, *accepting, "127.0.0.8", "127.0.0.9"), "web", "--connect")
    assert (found[CONNECT].level, found.code) == ("fail", 3)
    assert found[CONNECT].seen == (
        f"{said} accept; 127.0.0.8:{port}: Connection refused; 127.0.0.9:{port}: Connection refused"
    )
    assert means in found[CONNECT].means


def test_a_connection_that_takes_too_long_is_no_answer(
    cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(address: object, timeout: float) -> None:
        raise TimeoutError("timed out")

    monkeypatch.setattr(socket, "create_connection", never)
    found = doctor(cluster, "web", "--connect")[CONNECT]
    assert found.seen.startswith("0 of 3 accept; 10.244.0.2:8080: no answer; ")


def test_it_is_told_when_not_all_pods_were_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    class Accepted:
        def close(self) -> None:
            """It was accepted."""

    monkeypatch.setattr(socket, "create_connection", lambda address, timeout: Accepted())
    found = doctor(of_many(300), "many", "--connect")
    assert found[CONNECT].said == ("ok", "256 of 256 accept (of 300 pods)")


@pytest.mark.parametrize(
    ("address", "level", "said"),
    [
        ("127.0.0.1", "ok", "1 of 1 accept: the Service itself works"),
        ("127.0.0.9", "fail", "0 of 1 accept; 127.0.0.9:{port}: Connection refused"),
    ],
)
def test_a_service_that_is_not_headless_is_tried_at_its_virtual_ip(
    cluster: FakeCluster, port: int, address: str, level: str, said: str
) -> None:
    cluster.add_service("vip", ports=[port], cluster_ip=address)
    found = doctor(cluster, "vip", "--connect")[CONNECT]
    assert found.said == (level, said.format(port=port))


def test_without_a_port_nobody_can_be_tried(cluster: FakeCluster) -> None:
    cluster.add_service("bare").scale(1)
    found = doctor(cluster, "bare", "--connect")[CONNECT]
    assert found.seen == "could not be checked: their port is not known: give --port"
    found = doctor(cluster, "nobody", "--connect")[CONNECT]
    assert found.seen == "could not be checked: no pod was found"


# EndpointSlices.

SLICES = "EndpointSlices"


def test_endpoint_slices_are_read_only_if_asked_for(cluster: FakeCluster) -> None:
    assert SLICES not in doctor(cluster).lines


@pytest.mark.parametrize("source", ["api", "auto"])
def test_endpoint_slices_that_say_what_dns_says_are_ok(cluster: FakeCluster, source: str) -> None:
    found = doctor(cluster, "web", "--source", source)
    assert found[SLICES].said == ("ok", "3 pods in EndpointSlices, the same as by DNS")


@pytest.mark.parametrize(
    ("environ", "level", "said"),
    [
        ({}, "ok", "the same as by DNS"),
        ({"POD_ZONE": "eu-1a"}, "ok", "the same as by DNS"),
        ({"POD_ZONE": "eu-1c"}, "warn", "none in this pod's zone 'eu-1c'"),
    ],
)
def test_the_zones_of_the_pods_are_shown_and_one_without_pods_is_warned_of(
    environ: dict[str, str], level: str, said: str
) -> None:
    cluster = FakeCluster()
    web = cluster.add_service("web", ports={"http": 8080})
    for number, zone in enumerate(("eu-1a", "eu-1b", "eu-1a"), 1):
        web.add_pod(f"10.0.0.{number}", zone=zone)
    found = doctor(cluster, "web", "--source", "api", resolver=place(cluster, **environ))
    assert found[SLICES].said == (
        level,
        f"3 pods in EndpointSlices (2 in 'eu-1a', 1 in 'eu-1b'), {said}",
    )


def test_endpoint_slices_that_differ_from_dns_are_warned_of(cluster: FakeCluster) -> None:
    there = FakeCluster(clock=cluster.clock)
    there.add_service("web", ports={"http": 8080}).scale(1)
    found = doctor(cluster, "web", "--source", "api", slices=there.slices)
    assert found[SLICES].said == ("warn", "1 pod in EndpointSlices, 3 by DNS")


def test_endpoint_slices_that_cannot_be_read_fail_with_what_to_do(cluster: FakeCluster) -> None:
    cluster.fail("api-forbidden")
    found = doctor(cluster, "web", "--source", "api")
    assert (found[SLICES].level, found.code) == ("fail", 3)
    assert "403" in found[SLICES].seen
    assert "Make a Role in namespace default" in found[SLICES].do


@pytest.mark.parametrize("kind", ["api-forbidden", "api-down"])
def test_with_source_auto_slices_that_cannot_be_read_are_only_warned_of(
    cluster: FakeCluster, kind: Literal["api-forbidden", "api-down"]
) -> None:
    cluster.fail(kind)
    found = doctor(cluster, "web", "--source", "auto")
    assert (found[SLICES].level, found.code) == ("warn", 0)
    assert found[SLICES].means.endswith("--source auto uses DNS.")


@pytest.mark.parametrize("source", ["api", "auto"])
def test_without_this_pod_dns_and_slices_are_compared_whole(
    cluster: FakeCluster, source: str
) -> None:
    [own, *_] = cluster.service("web").pods
    around = place(cluster, POD_IP=own.addresses[0])
    found = doctor(cluster, "web", "--source", source, "--exclude-self", resolver=around)
    assert found[SLICES].said == ("ok", "3 pods in EndpointSlices, the same as by DNS")


def test_an_api_server_that_does_not_answer_is_told(cluster: FakeCluster) -> None:
    cluster.fail("api-down")
    found = doctor(cluster, "web", "--source", "api")
    assert (found[SLICES].level, found.code) == ("fail", 3)
    assert found[SLICES].do.startswith("No reply came. Check the server's address")


def test_where_there_is_no_api_server_the_line_says_so(cluster: FakeCluster) -> None:
    there = {"resolver": cluster.resolver, "clock": cluster.clock}
    found = doctor(None, "web.default", "--source", "api", **there)
    assert (found[SLICES].level, found.code) == ("fail", 2)
    assert "no API server" in found[SLICES].seen


def test_without_the_extra_the_line_says_what_to_install(
    cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "httpx2", None)
    for module in ("watch", "aio_watch"):  # which another test may have imported
        monkeypatch.delitem(sys.modules, f"headless_discovery._api.{module}", raising=False)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.96.0.1")
    there = {"resolver": cluster.resolver, "clock": cluster.clock}
    found = doctor(None, "web.default", "--source", "api", **there)
    assert (found[SLICES].level, found.code) == ("fail", 2)
    assert "pip install 'headless_discovery[api]'" in found[SLICES].do


# Other programs in the pod.

SEARCH = "cost of the search list"


def searching(cluster: FakeCluster, *search: str) -> Line:
    conf = f"nameserver 10.96.0.10\nsearch {' '.join(search)}\noptions ndots:5\n"
    return doctor(cluster, resolver=place(cluster, conf))[SEARCH]


def test_a_pods_search_list_is_told_with_its_cost(cluster: FakeCluster) -> None:
    assert doctor(cluster)[SEARCH].said == (
        "ok",
        f"2 domains, ndots:5: for {WEB} libc sends 4 extra queries; this library sends none",
    )
    lone = doctor(cluster, resolver=place(cluster, "nameserver 10.96.0.10"))
    assert lone[SEARCH].seen.startswith("no search list")
    assert doctor(cluster, resolver=place(cluster, ""))[SEARCH].seen == (
        "could not be checked: /etc/resolv.conf is empty or cannot be read"
    )


def test_names_of_more_dots_than_ndots_cost_nothing(cluster: FakeCluster) -> None:
    conf = INSIDE.replace("ndots:5", "ndots:4")
    found = doctor(cluster, resolver=place(cluster, conf))[SEARCH]
    assert "ndots:4" in found.seen
    assert "libc sends 0 extra queries" in found.seen


def test_a_long_search_list_is_costly(cluster: FakeCluster) -> None:
    found = searching(cluster, *(f"{n}.example" for n in range(5)))
    assert found.level == "warn"
    assert "libc sends 10 extra queries" in found.seen


@pytest.mark.parametrize(
    "search", [[f"{n}.example" for n in range(7)], [f"{'x' * 60}.{n}.example" for n in range(4)]]
)
def test_a_search_list_that_some_libcs_cut_is_warned_of(
    cluster: FakeCluster, search: list[str]
) -> None:
    assert "older glibc" in searching(cluster, *search).means


@pytest.mark.parametrize("libc", [("", ""), ("musl", "1.2")])
def test_images_without_glibc_have_tools_that_mislead(
    cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch, libc: tuple[str, str]
) -> None:
    title = "other tools in this image"
    assert doctor(cluster)[title].said == ("ok", "glibc 2.36")
    monkeypatch.setattr("platform.libc_ver", lambda: libc)
    found = doctor(cluster)[title]
    assert found.level == "warn"
    assert "nslookup" in found.do


# The page of symptoms.

PAGE = Path(__file__).parents[2] / "docs" / "when-it-does-not-work.md"


def every_title(cluster: FakeCluster) -> set[str]:
    return set(doctor(cluster, "web", "--connect", "--source", "api").lines)


def test_the_page_speaks_of_lines_that_there_are(cluster: FakeCluster) -> None:
    text, titles = PAGE.read_text(), every_title(cluster)
    assert set(ONLY_IF_ASKED_FOR) < titles
    unsaid = {title for title in titles if f"*{title}*" not in text}
    assert unsaid == {"namespace and domain"}  # which needs no explanation


def test_each_line_of_the_usual_checklist_is_decided_by_a_check_or_names_a_command(
    cluster: FakeCluster,
) -> None:
    table = PAGE.read_text().partition("## The usual checklist")[2].split("|---|---|\n")[1]
    rows = [line.strip("|").split("|") for line in table.splitlines() if line.startswith("|")]
    titles = every_title(cluster)
    assert len(rows) == 8
    for _, here in rows:
        named = re.findall(r"\*([^*]+)\*", here)
        assert named, here
        assert set(named) <= titles


def unready(cluster: FakeCluster) -> None:
    cluster.add_service("unready", ports=[80]).add_pod("10.1.1.1", ready=False)


def failing(kind: Any, **which: Any) -> Callable[[FakeCluster], None]:
    return lambda cluster: cluster.fail(kind, **which)


def nothing(cluster: FakeCluster) -> None:
    """It is as it was."""


def through(_wire: bytes, _tcp: bool, ask: Ask) -> bytes | None:
    """Nothing is in the way."""
    return ask()


@pytest.mark.parametrize(
    ("breaks", "handle", "arguments", "line", "code"),
    [
        (nothing, through, "nobody", "published pods", 1),
        (nothing, through, "web.nowhere", "namespace exists", 1),
        (unready, through, "unready", "published pods", 1),
        (vip, through, "vip", "headless Service", 4),
        (away, through, "away", "headless Service", 4),
        (nothing, through, "web --port grpc", "port", 5),
        (nothing, through, "web --port http --protocol udp", "port", 5),
        (failing("timeout"), through, "web", "name servers over UDP", 3),
        (failing("garbage"), through, "web", "name servers over UDP", 3),
        (nothing, no_udp, "web", "name servers over UDP", 3),
        (nothing, no_tcp, "web", "name servers over TCP", 3),
        (nothing, drops_edns, "web", "EDNS gets through", 0),
        (failing("servfail"), through, "web", "cluster domain", 3),
        (failing("refused", qtype="SRV"), through, "web --port http", "SRV and A agree", 3),
        (nothing, through, "web --cluster-domain k8s.example", "cluster domain", 2),
        (
            failing("timeout", times=2, name="cluster.local", qtype="A"),
            through, "web", "no datagrams are lost", 0,
        ),
        (many(100), no_tcp, "many", "answer sizes", 3),
    ],
)  # fmt: skip
def test_each_broken_state_of_the_page_has_its_line(
    breaks: Callable[[FakeCluster], None],
    handle: Callable[[bytes, bool, Ask], bytes | None],
    *,
    arguments: str,
    line: str,
    code: int,
) -> None:
    cluster = behind(handle)
    breaks(cluster)
    there = place(cluster, POD_IP="10.244.0.2", POD_NAME="web-0")
    found = doctor(cluster, *arguments.split(), resolver=there)
    assert line in found.titles("fail" if code else "warn")
    assert found.code == code


@pytest.mark.parametrize(
    "kind", ["servfail", "refused", "nxdomain", "truncate", "garbage", "timeout", "wrong-id"]
)
def test_no_line_says_ok_about_what_it_could_not_check(cluster: FakeCluster, kind: Any) -> None:
    """Whatever every server answers to everything: of the Service nothing is known then."""
    cluster.fail(kind)
    found = doctor(cluster, "web", "--port", "http", "--connect").lines
    of_the_service = list(found)[list(found).index("cluster domain") : -2]
    assert not [title for title in of_the_service if found[title].level == "ok"]


EVIDENCE = {
    "cluster domain": [("cluster.local", "A")],
    "no wildcards": [(BELOW, "A"), (BESIDE, "A")],
    "namespace exists": [("default.svc.cluster.local", "A")],
    "SRV and A agree": [(WEB, "A"), (WEB, "SRV")],
    "names forward and back": [(f"web-1.{WEB}", "A"), ("3.0.244.10.in-addr.arpa", "PTR")],
    "a name for each pod": [(f"web-1.{WEB}", "A")],
    "answer sizes": [(f"_http._tcp.{WEB}", "SRV")],
    "caches in between": [(WEB, "A")],
}
"""What a line looks at before it can say ok."""


@pytest.mark.parametrize(
    ("line", "name", "kind"), [(line, *key) for line, keys in EVIDENCE.items() for key in keys]
)
def test_without_an_answer_to_what_it_looks_at_a_line_is_not_ok(
    cluster: FakeCluster, line: str, name: str, kind: str
) -> None:
    # The lookup itself, which says who the pods are, has its answer.
    asked = 0

    def silent(made: dns.message.Message) -> None:
        nonlocal asked
        asked += 1
        made.flags &= ~dns.flags.QR  # which is no reply

    assert doctor(cluster, "web", "--port", "http")[line].level == "ok"
    found = doctor(behind(says(name, kind, silent)), "web", "--port", "http")
    assert asked
    assert found[line].level != "ok"


# What it prints.


def test_the_command_prints_each_line_and_what_to_do(cluster: FakeCluster) -> None:
    done = run("doctor", "web", "--port", "grpc", on=cluster)
    assert done.code == 5
    lines = done.out.splitlines()
    assert lines[0] == f"_grpc._tcp.{WEB}"
    at = lines.index("fail  port")
    assert lines[at + 1] == "        no port named grpc over TCP; DNS shows 8080 over TCP"
    assert "          kubectl get -n default service web -o yaml" in lines[at:]
    assert lines[-1].endswith(" 1 fail")
    assert max(len(line) for line in lines if "kubectl" not in line) <= 100


def test_its_json_is_as_its_schema_says(
    cluster: FakeCluster, check_schema: Callable[[str, str], Any]
) -> None:
    done = run("doctor", "nobody", "--json", on=cluster)
    assert done.code == check_schema("doctor", done.out)["exit_code"] == 1


def test_a_terminal_gets_colours_unless_told_otherwise(
    cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b[32mok" in run("doctor", "web", on=cluster, out=Terminal()).out
    assert "\x1b[" not in run("doctor", "web", on=cluster).out
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[" not in run("doctor", "web", on=cluster, out=Terminal()).out


def test_a_name_that_is_none_is_a_usage_error(cluster: FakeCluster) -> None:
    done = run("doctor", "not a name.default", on=cluster)
    assert done.code == 2
    assert "ConfigurationError" in done.err
