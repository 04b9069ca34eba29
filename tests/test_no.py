"""What a "no" is worth: every combination of what may have been said, and by whom."""

import itertools
from collections.abc import Callable
from typing import Any

import attrs
import dns.message
import dns.rdatatype
import pytest

from headless_discovery import NotHeadless
from headless_discovery.testing import FakeCluster
from tests.lookups import (
    NODATA,
    NXDOMAIN,
    SERVFAIL,
    SERVICE,
    Answer,
    Empty,
    Found,
    Memory,
    Outcome,
    Reply,
    Send,
    Server,
    Type,
    Unknown,
    Wanted,
    Worth,
    Wrong,
    Zone,
    addresses,
    look,
    named,
    playing_of,
    pods,
    srv,
    worth,
)
from tests.messages import nodata, nxdomain, reply
from tests.test_exchange import SERVERS, Later, World, referral_to

OWN, FOREIGN, NONE = "cluster.local", ".", None
RCODES = ("NXDOMAIN", "NOERROR")
DOMAIN: dict[str, Reply] = {
    "serves": Answer("NOERROR"),
    "serves, says the root": Answer("NOERROR", soa="."),
    "knows no such name": Answer("NXDOMAIN"),
    "gives an address": addresses("192.0.2.1"),
    "gives an alias": Answer("NOERROR", alias="search.example.com"),
    "fails": SERVFAIL,
}
"""What a server says of the cluster domain itself."""


def no(rcode: str, soa: str | None) -> Answer:
    return Answer(rcode, ttl=30, soa=soa)


def is_served(domain: tuple[str, ...]) -> bool | None:
    """Whether one of the servers serves the domain; ``None``: that is not known."""
    if any(said.startswith("serves") for said in domain):
        return True
    return None if "fails" in domain else False


@pytest.mark.parametrize("asked_of", [1, 2])
@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("owner", [OWN, "svc.cluster.local", FOREIGN, "example.com", NONE])
@pytest.mark.parametrize("rcode", RCODES)
@pytest.mark.parametrize("srv", ["not asked", "same", "refused"])
@pytest.mark.parametrize("a_says", ["addresses", "no", "nothing"])
def test_a_no_is_worth_what_its_soa_or_the_cluster_domain_makes_it(
    a_says: str, srv: str, rcode: str, owner: str | None, asked_of: int, *, known: bool
) -> None:
    wanted = Wanted(SERVICE)
    said: dict[str, Reply] = {
        "addresses": addresses("10.0.0.1"),
        "no": no(rcode, owner),
        "nothing": SERVFAIL,
    }
    replies: dict[Type, Reply] = {Type.A: said[a_says], Type.AAAA: no(rcode, owner)}
    if srv != "not asked":
        replies[Type.SRV] = no(rcode, owner) if srv == "same" else SERVFAIL
    proven = owner is not None and owner.endswith("cluster.local")
    decided = worth(wanted, replies, known=known)
    if a_says == "addresses":
        assert decided is Worth.LISTED
    elif srv == "same" and rcode == "NXDOMAIN" and proven:
        assert decided is Worth.EMPTY, "there is no record of any type"
    elif a_says == "nothing":
        assert decided is Worth.UNKNOWN, "the other family says nothing of the preferred one"
    else:
        assert decided is (Worth.EMPTY if proven else Worth.CHECK)
    if decided is not Worth.CHECK:
        return
    for domain in itertools.product(DOMAIN, repeat=asked_of):
        decided = worth(wanted, replies, [DOMAIN[each] for each in domain], known=known)
        match is_served(domain):
            case True:
                assert decided is (Worth.ONCE if known else Worth.EMPTY), domain
            case False:
                assert decided is Worth.NOT_SERVED, domain
            case None:
                assert decided is Worth.UNKNOWN, domain


@pytest.mark.parametrize("rcode", RCODES)
@pytest.mark.parametrize(
    ("family", "failed", "counts"),
    [
        ("prefer-ipv4", Type.AAAA, True),
        ("prefer-ipv4", Type.A, False),
        ("prefer-ipv6", Type.A, True),
        ("prefer-ipv6", Type.AAAA, False),
        ("any", Type.A, False),
        ("any", Type.AAAA, False),
    ],
)
def test_beside_a_family_that_failed_only_nxdomain_of_the_preferred_one_counts(
    family: str, failed: Type, rcode: str, *, counts: bool
) -> None:
    wanted = Wanted(SERVICE, family=family)  # type: ignore[arg-type]  # each is one
    replies = {rdtype: SERVFAIL if rdtype is failed else no(rcode, OWN) for rdtype in wanted.types}
    empty = counts and rcode == "NXDOMAIN"
    assert worth(wanted, replies) is (Worth.EMPTY if empty else Worth.UNKNOWN)


def test_an_answer_that_was_cut_is_no_no() -> None:
    cut = Answer("NOERROR", truncated=True)
    replies: dict[Type, Reply] = {Type.A: cut, Type.AAAA: no("NOERROR", OWN)}
    assert worth(Wanted(SERVICE), replies) is Worth.LISTED


# The same, seen from the outcome.


def everywhere(answer: Answer, domain: Reply) -> Zone:
    """A server that says the same to all questions but that for the cluster domain."""
    names = ("web", "_http._tcp.web")
    zone = {f"{name} {rdtype}": answer for name in names for rdtype in ("SRV", "A", "AAAA")}
    return {**zone, "cluster.local A": domain}


@pytest.mark.parametrize("port", [None, "http", 80])
@pytest.mark.parametrize("records", ["auto", "address"])
@pytest.mark.parametrize("soa", [FOREIGN, "example.com", NONE])
@pytest.mark.parametrize("rcode", RCODES)
@pytest.mark.parametrize("domain", DOMAIN)
def test_without_the_clusters_soa_the_domain_is_asked_for_before_it_is_empty(
    domain: str, rcode: str, soa: str | None, records: str, port: str | int | None
) -> None:
    if records == "address" and isinstance(port, str):
        return
    zone = everywhere(no(rcode, soa), DOMAIN[domain])
    looked = look(zone, port=port, records=records)
    assert looked.batches[-1] == ["cluster.local A"]
    assert isinstance(looked.outcome, Empty if domain.startswith("serves") else Unknown)
    if is_served((domain,)) is False:
        assert "does not serve cluster.local" in str(looked.error)
        assert "resolv.conf" in looked.advice


def test_the_domain_is_asked_of_the_server_that_said_no() -> None:
    server = Server("10.0.0.2", 53)
    said = attrs.evolve(no("NXDOMAIN", NONE), server=server)
    looked = look(everywhere(said, DOMAIN["gives an address"]))
    assert looked.questions[-1].at == server
    assert str(server) in str(looked.error)


@pytest.mark.parametrize("rcode", RCODES)
@pytest.mark.parametrize("soa", [FOREIGN, NONE])
def test_one_such_no_does_not_empty_a_known_set_and_a_second_one_does(
    rcode: str, soa: str | None
) -> None:
    memory = Memory()
    zone = everywhere(no(rcode, soa), DOMAIN["serves"])
    found = {"web SRV": pods(web_0="10.0.0.1")}
    assert isinstance(look(found, memory).outcome, Found)
    assert isinstance(look(zone, memory).outcome, Unknown)
    assert isinstance(look(zone, memory).outcome, Empty)
    assert isinstance(look(found, memory).outcome, Found)
    assert isinstance(look(zone, memory).outcome, Unknown), "it is known again"


def test_the_clusters_own_no_empties_it_at_once_whatever_was_known() -> None:
    memory = Memory()
    look({"web SRV": pods(web_0="10.0.0.1")}, memory)
    assert isinstance(look({"web SRV": NXDOMAIN}, memory).outcome, Empty)


def test_a_bare_fallthrough_says_the_root_of_a_service_without_pods_and_is_believed() -> None:
    """CoreDNS with ``fallthrough`` hands what it does not have to the forwarder."""
    zone = everywhere(no("NXDOMAIN", "."), NODATA)
    assert isinstance(look(zone, port="http").outcome, Empty)


# Answers that call themselves stale.


@pytest.mark.parametrize(
    "zone",
    [
        {"web SRV": pods(web_0="10.0.0.1")},
        {"web SRV": NXDOMAIN},
        {"web SRV": srv(("web-0.web", 80)), "web-0.web A": addresses("10.0.0.1")},
        {"web SRV": NODATA, "web A": addresses("10.0.0.1"), "10.0.0.1 PTR": named("web-0.web")},
        {"web SRV": NODATA, "web A": NODATA, "web AAAA": NODATA},
    ],
)
def test_what_calls_itself_stale_is_told_as_such(zone: Zone) -> None:
    memory = Memory()
    for _ in range(2):
        fresh = look(zone, memory).outcome
        stale = look(
            {
                key: attrs.evolve(each, stale=True) if isinstance(each, Answer) else each
                for key, each in zone.items()
            },
            memory,
        ).outcome
        assert isinstance(fresh, Found | Empty)
        assert isinstance(stale, Found | Empty)
        assert (fresh.stale, stale.stale) == (False, True)


# An alias: an ExternalName's, or autopath's.


ALIAS = attrs.evolve(addresses("192.0.2.1"), alias="web.corp.example")


@pytest.mark.parametrize("wanted", [{}, {"port": "http"}, {"port": 80, "records": "address"}])
@pytest.mark.parametrize("of_type", ["A", "AAAA"])
def test_an_alias_beside_nxdomain_for_srv_is_autopaths_and_nobody_is_ready(
    of_type: str, wanted: dict[str, Any]
) -> None:
    zone: Zone = {"web SRV": NXDOMAIN, f"web {of_type}": ALIAS}
    assert isinstance(look(zone, **wanted).outcome, Empty)


@pytest.mark.parametrize("wanted", [{}, {"port": "http"}, {"port": 80, "records": "address"}])
def test_beside_any_other_answer_it_is_an_external_names(wanted: dict[str, Any]) -> None:
    looked = look({"web SRV": NODATA, "web A": ALIAS, "web AAAA": NODATA}, **wanted)
    assert isinstance(looked.outcome, Wrong)
    assert isinstance(looked.error, NotHeadless)


def test_an_alias_that_nobody_explains_is_unknown() -> None:
    zone: Zone = {"web SRV": SERVFAIL, "web A": ALIAS, "web AAAA": NODATA}
    assert look(zone, port=80, records="address").outcome == Unknown(SERVFAIL)
    assert look(zone, port="http").outcome == Unknown(SERVFAIL)


def test_an_alias_to_nowhere_without_proof_is_checked_like_any_other_no() -> None:
    nowhere = Answer("NXDOMAIN", alias="web.corp.example")
    zone: Zone = {"web SRV": nowhere, "web A": ALIAS, "web AAAA": ALIAS}
    assert isinstance(look({**zone, "cluster.local A": NODATA}).outcome, Empty)
    assert isinstance(look({**zone, "cluster.local A": NXDOMAIN}).outcome, Unknown)


# Several name servers, of which some are not the cluster's.


def stub(asked: bytes) -> bytes:
    """A node's: it knows no cluster, and names no zone."""
    return reply(asked, rcode="NXDOMAIN")


def hijacker(asked: bytes) -> bytes:
    """It gives every name an address."""
    question = dns.message.from_wire(asked).question[0]
    if question.rdtype != dns.rdatatype.A:
        return reply(asked, rcode="NXDOMAIN")
    return reply(asked, f"{question.name} 30 IN A 192.0.2.1")


def cluster_with(*pods: str) -> Callable[[bytes], bytes]:
    """The cluster's own."""

    def answer(asked: bytes) -> bytes:
        question = dns.message.from_wire(asked).question[0]
        if question.rdtype == dns.rdatatype.SRV and pods:
            records = [f"{question.name} 30 IN SRV 0 1 80 {pod}.{SERVICE}." for pod in pods]
            glue = [f"{pod}.{SERVICE}. 30 IN A 10.0.0.{n}" for n, pod in enumerate(pods, 1)]
            return reply(asked, *records, additional=glue)
        return nodata(asked) if str(question.name) == "cluster.local." else nxdomain(asked)

    return answer


def cache(asked: bytes) -> bytes:
    """One before the cluster's that keeps no SOA, as dnsmasq does; nobody is ready."""
    domain = str(dns.message.from_wire(asked).question[0].name) == "cluster.local."
    return reply(asked) if domain else reply(asked, rcode="NXDOMAIN")


def silent(asked: bytes) -> None:
    """Nobody is there."""


Server_ = Callable[[bytes], bytes | None]


def lookup_at(
    *servers: Server_, memory: Memory | None = None, port: str | None = "http"
) -> Outcome:
    world = World(servers=len(servers))

    def handler(send: Send) -> Any:
        server = servers[SERVERS.index(send.server)]
        return None if server is silent else server

    memory = Memory() if memory is None else memory
    return world.play(playing_of(memory, port=port), handler)


@pytest.mark.parametrize("first", [stub, cache, silent, hijacker])
def test_pods_that_a_later_server_lists_are_found(first: Server_) -> None:
    outcome = lookup_at(first, cluster_with("web-0"))
    assert isinstance(outcome, Found)


@pytest.mark.parametrize("first", [stub, cache])
def test_and_named_by_that_server_where_there_is_no_srv(first: Server_) -> None:
    cluster = FakeCluster()
    cluster.add_service("web", "shop").scale(2)
    outcome = lookup_at(first, cluster.answer, port=None)
    assert isinstance(outcome, Found)
    assert [endpoint.hostname for endpoint in outcome.endpoints] == ["web-0", "web-1"]


@pytest.mark.parametrize("first", [stub, cache, silent, hijacker])
@pytest.mark.parametrize("last", [cluster_with(), cache])
def test_a_later_servers_no_counts_if_it_serves_the_domain(first: Server_, last: Server_) -> None:
    expected = Unknown if first is hijacker and last is cache else Empty
    assert isinstance(lookup_at(first, last), expected)
    assert isinstance(lookup_at(last, first), expected)


ZONES = [".", "local.", "cluster.local.", "svc.cluster.local."]


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("port", [None, "http"])
def test_a_referral_says_nothing_whatever_zone_it_names(zone: str, port: str | None) -> None:
    lame = referral_to(zone)
    memory = Memory()
    assert isinstance(lookup_at(lame, memory=memory, port=port), Unknown)
    assert isinstance(lookup_at(lame, cluster_with("web-0"), memory=memory, port=port), Found)
    for _ in range(5):
        assert isinstance(lookup_at(lame, memory=memory, port=port), Unknown)


@pytest.mark.parametrize("first", [stub, cache, hijacker])
@pytest.mark.parametrize("seconds", [0.3, 0.7, 1.2])
@pytest.mark.parametrize("port", [None, "http"])
def test_pods_that_a_slow_server_lists_are_found(
    first: Server_, seconds: float, port: str | None
) -> None:
    slow: Any = Later(seconds, cluster_with("web-0"))
    assert isinstance(lookup_at(first, slow, port=port), Found)


@pytest.mark.parametrize("rcode", RCODES)
def test_one_servers_no_to_a_port_is_not_held_against_pods_that_another_lists(rcode: str) -> None:
    def deaf_to_ports(send: Send) -> Any:
        cluster = cluster_with("web-0")
        return None if b"\5_http" in send.wire else cluster

    def handler(send: Send) -> Any:
        if send.server == SERVERS[0]:
            return lambda asked: reply(asked, rcode=rcode)
        return deaf_to_ports(send)

    outcome = World(servers=2).play(playing_of(port="http"), handler)
    assert isinstance(outcome, Unknown), "no NoSuchPort"
    assert "10.0.0.1:53 says" in str(outcome.error)


@pytest.mark.parametrize("others", [(stub,), (silent,), (hijacker,), (stub, stub), (silent, stub)])
def test_a_known_set_outlives_servers_that_are_not_the_clusters(others: tuple[Any, ...]) -> None:
    memory = Memory()
    assert isinstance(lookup_at(cluster_with("web-0"), memory=memory), Found)
    for servers in ((stub, *others), (*others, stub)):
        for _ in range(5):
            assert isinstance(lookup_at(*servers, memory=memory), Unknown)
