"""Servers that can do less: no SRV, no AAAA, no glue, families that fail; and what is needed."""

from typing import Any

import attrs
import pytest

from headless_discovery import (
    IncompleteAnswer,
    LookupFailed,
    LookupTimeout,
    NoSuchPort,
    NotHeadless,
)
from tests.lookups import (
    NODATA,
    NXDOMAIN,
    SERVFAIL,
    Answer,
    Found,
    Later,
    Memory,
    Reply,
    Unknown,
    Wrong,
    Zone,
    addresses,
    asked,
    cut,
    dashed,
    full,
    look,
    named,
    pods,
    srv,
)

SILENT = LookupTimeout("no answer")
NO_TCP = LookupFailed("Connection refused")
"""Silence over UDP, from a server that does not listen on TCP."""
REFUSED = LookupFailed("REFUSED", rcode="REFUSED")
NOTIMP = LookupFailed("NOTIMP", rcode="NOTIMP")
BARE_NO = Answer("NXDOMAIN")
"""NXDOMAIN without an SOA."""

PODS: Zone = {
    "web A": addresses("10.0.0.1", "10.0.0.2"),
    "web AAAA": NODATA,
    "10.0.0.1 PTR": named("web-0.web"),
    "10.0.0.2 PTR": named("web-1.web"),
}
NO_SRV = [REFUSED, NOTIMP, BARE_NO, attrs.evolve(BARE_NO, soa=".")]


# No SRV.


@pytest.mark.parametrize("reply", NO_SRV)
@pytest.mark.parametrize(
    ("port", "found"),
    [
        (None, ["web-0 10.0.0.1", "web-1 10.0.0.2"]),
        (80, ["web-0 10.0.0.1 80", "web-1 10.0.0.2 80"]),
    ],
)
def test_where_the_port_needs_no_srv_it_is_done_without(
    port: int | None, found: list[str], reply: Reply
) -> None:
    assert look({**PODS, "web SRV": reply}, port=port).found == found


@pytest.mark.parametrize("reply", NO_SRV)
def test_then_it_is_not_asked_for_until_five_minutes_or_a_minute_after_a_denial(
    reply: Reply,
) -> None:
    memory = Memory()
    zone = {**PODS, "web SRV": reply}
    until = 60 if isinstance(reply, Answer) else 300
    look(zone, memory, port=80)
    assert look(zone, memory, now=until - 1, port=80).batches[0][:2] == ["web A", "web AAAA"]
    better = {**zone, "web SRV": pods(web_2="10.0.0.3")}
    assert look(better, memory, now=until, port=80).found == ["web-2 10.0.0.3 80"]
    assert look(better, memory, now=until + 10, port=80).batches == [["web SRV"]]


@pytest.mark.parametrize("reply", [*NO_SRV, Answer("NOERROR"), Answer("NOERROR", soa=".")])
def test_a_named_port_cannot_be_told_without_srv_and_the_error_names_the_way_out(
    reply: Reply,
) -> None:
    looked = look({**PODS, "_http._tcp.web SRV": reply, "web SRV": reply}, port="http")
    assert isinstance(looked.outcome, Unknown)
    assert 'records="address" and port= as a number' in looked.advice


@pytest.mark.parametrize("reply", NO_SRV)
def test_nor_where_addresses_are_told_at_the_ports_own_name(reply: Reply) -> None:
    zone = {**PODS, "_http._tcp.web SRV": reply, "_http._tcp.web A": PODS["web A"]}
    looked = look({**zone, "web SRV": reply}, port="http")
    assert isinstance(looked.outcome, Unknown)
    assert 'records="address"' in looked.advice


@pytest.mark.parametrize("port", [None, 80])
def test_where_names_are_refused_too_the_error_names_the_way_out(port: int | None) -> None:
    zone = {key: REFUSED if "A" not in key.split()[1] else each for key, each in PODS.items()}
    zone |= {"web SRV": REFUSED, "10-0-0-1.web A": REFUSED, "10-0-0-2.web A": REFUSED}
    memory = Memory()
    for _ in range(2):
        looked = look(zone, memory, port=port)
        assert isinstance(looked.outcome, Unknown)
        assert 'records="address"' in looked.advice
    assert look(zone, records="address", port=80).found == [
        "10-0-0-1 10.0.0.1 80",
        "10-0-0-2 10.0.0.2 80",
    ]


@pytest.mark.parametrize("port", [None, 80])
def test_a_refusal_after_srv_has_served_changes_no_port_and_no_member(port: int | None) -> None:
    memory = Memory()
    look({**PODS, "web SRV": pods(8080, web_0="10.0.0.1")}, memory, port=port)
    refused = {**PODS, "web SRV": REFUSED}
    assert isinstance(look(refused, memory, now=30, port=port).outcome, Unknown)
    later = look(refused, memory, now=100, port=port)
    assert isinstance(later.outcome, Unknown if port is None else Found)


@pytest.mark.parametrize("reply", [SILENT, SERVFAIL])
def test_where_srv_failed_addresses_are_asked_for_beside_it_the_next_time(reply: Reply) -> None:
    memory = Memory()
    zone = {**PODS, "web SRV": reply}
    first = look(zone, memory, port=80)
    assert first.outcome == Unknown(reply)  # type: ignore[arg-type]  # it is an error
    looked = look(zone, memory, port=80)
    assert looked.batches[0] == ["web A", "web AAAA", "web SRV"]
    assert not looked.needed("web SRV")
    assert looked.found == ["web-0 10.0.0.1 80", "web-1 10.0.0.2 80"]
    assert "web SRV" not in look(zone, memory, now=10, port=80).batches[0]


@pytest.mark.parametrize("reply", [SILENT, SERVFAIL, REFUSED])
@pytest.mark.parametrize("port", [None, 80])
def test_nor_does_the_set_depend_on_srv_where_that_is_tried_again_after_one_or_five_minutes(
    port: int | None, reply: Reply
) -> None:
    memory = Memory()
    zone = {**PODS, "web SRV": reply}
    for now in (0, 10):
        look(zone, memory, now=now, port=port)
    for now in (300, 600) if reply is REFUSED else (70, 130):
        assert "web SRV" not in look(zone, memory, now=now - 1, port=port).batches[0]
        looked = look(zone, memory, now=now, port=port)
        assert looked.batches[0][:3] == ["web A", "web AAAA", "web SRV"]
        assert len(looked.found) == 2


def test_srv_that_comes_then_says_it_all() -> None:
    memory = Memory()
    look({"web SRV": SILENT}, memory, port=80)
    zone = {**PODS, "web SRV": pods(web_5="10.0.0.5")}
    assert look(zone, memory, port=80).found == ["web-5 10.0.0.5 80"]
    assert look(zone, memory, port=80).batches == [["web SRV"]]


def test_a_named_ports_srv_that_fails_again_beside_addresses_names_the_way_out() -> None:
    memory = Memory()
    zone = {**PODS, "_http._tcp.web A": PODS["web A"], "_http._tcp.web SRV": SILENT}
    assert look(zone, memory, port="http").outcome == Unknown(SILENT)
    again = look(zone, memory, port="http")
    assert 'records="address"' in again.advice
    assert again.needed("_http._tcp.web SRV")


@pytest.mark.parametrize("no", [NXDOMAIN, NODATA])
def test_no_such_port_takes_an_answer_for_the_port_itself(no: Answer) -> None:
    zone = {**PODS, "web SRV": pods(443, web_0="10.0.0.1")}
    assert isinstance(look({**zone, "_x._tcp.web SRV": no}, port="x").error, NoSuchPort)
    refused = look({**zone, "_x._tcp.web SRV": REFUSED}, port="x")
    assert refused.outcome == Unknown(REFUSED)


@pytest.mark.parametrize("no", [NODATA, NXDOMAIN, Answer("NOERROR"), BARE_NO])
@pytest.mark.parametrize("before", [SILENT, cut(pods(8080, web_0="10.0.0.1"))])
def test_nor_has_a_named_port_no_number_where_addresses_are_asked_for_beside_srv(
    before: Reply, no: Answer
) -> None:
    zone = {**PODS, "_http._tcp.web A": PODS["web A"], "_http._tcp.web AAAA": NODATA}
    memory = Memory()
    look({**zone, HTTP: before}, memory, port="http")
    lacks_it = {**zone, "web SRV": NODATA, HTTP: no, f"{HTTP} (UDP alone)": no}
    looked = look(lacks_it, memory, port="http", now=10)
    assert looked.batches[0][:2] == ["_http._tcp.web A", "_http._tcp.web AAAA"]
    assert isinstance(looked.error, NoSuchPort)
    without_srv = {**lacks_it, "web SRV": BARE_NO}
    assert 'records="address"' in look(without_srv, memory, port="http", now=20).advice


# Pods that come between two questions of one lookup.

NOT_YET: Zone = {**PODS, "web SRV": attrs.evolve(BARE_NO, soa=".")}


@pytest.mark.parametrize("port", [None, 80])
def test_pods_that_come_before_their_addresses_are_queried_have_port_and_name(
    port: int | None,
) -> None:
    memory = Memory()
    zone = Later(NOT_YET, "web SRV", pods(8080, web_0="10.0.0.1", web_1="10.0.0.2"))
    looked = look(zone, memory, port=port)
    number = port or 8080
    assert looked.found == [f"web-0 10.0.0.1 {number}", f"web-1 10.0.0.2 {number}"]
    assert looked.batches == [["web SRV"], ["web A", "web AAAA"], ["web SRV"]]
    assert look(zone, memory, port=port).batches == [["web SRV"]]


def test_nor_does_a_server_lack_srv_that_fails_the_second_time() -> None:
    memory = Memory()
    assert look(Later(NOT_YET, "web SRV", SILENT), memory).outcome == Unknown(SILENT)
    zone = {**PODS, "web SRV": pods(8080, web_0="10.0.0.1")}
    assert look(zone, memory).found == ["web-0 10.0.0.1 8080"]


def test_and_of_many_pods_that_came_the_addresses_count() -> None:
    looked = look(Later(NOT_YET, "web SRV", cut(pods(8080, web_0="10.0.0.1"))), port=80)
    assert looked.found == ["web-0 10.0.0.1 80", "web-1 10.0.0.2 80"]


HTTP = "_http._tcp.web SRV"


@pytest.mark.parametrize("no", [NXDOMAIN, NODATA])
def test_nor_is_a_named_port_missing_that_is_there_once_the_service_is_queried(no: Answer) -> None:
    zone = {**PODS, "web SRV": pods(8080, web_0="10.0.0.1"), HTTP: no}
    looked = look(Later(zone, HTTP, pods(8080, web_0="10.0.0.1")), port="http")
    assert looked.found == ["web-0 10.0.0.1 8080"]
    assert looked.batches == [[HTTP], ["web SRV", "web A", "web AAAA"], [HTTP]]


@pytest.mark.parametrize("reply", [SILENT, SERVFAIL])
def test_whether_a_port_is_there_is_unknown_where_the_second_query_fails(reply: Reply) -> None:
    zone = {**PODS, "web SRV": pods(8080, web_0="10.0.0.1"), HTTP: NXDOMAIN}
    assert look(Later(zone, HTTP, reply), port="http").outcome == Unknown(reply)  # type: ignore[arg-type]  # it is an error


def test_or_where_its_answer_is_incomplete() -> None:
    many = pods(8080, web_0="10.0.0.1")
    zone = {**PODS, "web SRV": many, HTTP: NXDOMAIN}
    assert isinstance(look(Later(zone, HTTP, cut(many)), port="http").error, IncompleteAnswer)


# kube-dns: pods are called by a number, and have port 0 where the Service has none.


def test_kube_dns_names_pods_by_a_number() -> None:
    glue = {"3339386563373339.web": ["10.0.0.1"], "6234396238363761.web": ["10.0.0.2"]}
    unnamed = srv(*((name, 0) for name in glue), glue=glue)
    http = srv(*((name, 8080) for name in glue), glue=glue)
    zone: Zone = {"web SRV": unnamed, "_http._tcp.web SRV": http}
    assert look(zone).found == ["3339386563373339 10.0.0.1", "6234396238363761 10.0.0.2"]
    assert look(zone, port="http").found[0] == "3339386563373339 10.0.0.1 8080"
    assert look(zone, port=9000).found[0] == "3339386563373339 10.0.0.1 9000"


@pytest.mark.parametrize("found", [("10.0.0.1", ()), ("10.0.0.1", ("fd00::1",))])
def test_its_lone_pod_is_no_virtual_ip(found: tuple[str, tuple[str, ...]]) -> None:
    four, sixes = found
    name = "3339386563373339.web"
    zone: Zone = {
        "web A": addresses(four),
        "web AAAA": addresses(*sixes) if sixes else NODATA,
        "web SRV": srv((name, 0), glue={name: [four, *sixes]}),
    }
    assert look(zone, records="address", port=80).found == ["10-0-0-1 10.0.0.1 80"]


@pytest.mark.parametrize("address", ["192.0.2.1", "2001:db8::1"])
@pytest.mark.parametrize("family", ["prefer-ipv4", "any"])
def test_a_lone_address_that_srv_does_not_list_is_no_pod(family: str, address: str) -> None:
    """One of two servers gives an address of its own for every name, and the other knows better."""
    listed = "10.0.0.1" if "." in address else "fd00::1"
    zone: Zone = {
        "web A": addresses(address) if "." in address else NODATA,
        "web AAAA": addresses(address) if ":" in address else NODATA,
        "web SRV": srv(("web-0.web", 80), glue={"web-0.web": [listed]}),
    }
    looked = look(zone, records="address", port=80, family=family)
    assert isinstance(looked.outcome, Unknown)
    assert "contradicts" in str(looked.error)


def test_a_virtual_ip_of_two_families_is_one_whichever_ptr_tells() -> None:
    zone: Zone = {
        "web A": addresses("10.96.0.20"),
        "web AAAA": addresses("fd00::96"),
        "web SRV": REFUSED,
        "fd00::96 PTR": named("web"),
        "10.96.0.20 PTR": named("web"),
    }
    looked = look(zone, records="address")
    assert isinstance(looked.outcome, Wrong)
    assert isinstance(looked.error, NotHeadless)


# SRV without glue.


def unglued(*numbers: int) -> dict[str, Reply]:
    names = [f"web-{n}.web" for n in numbers]
    zone: dict[str, Reply] = {"web SRV": srv(*((name, 80) for name in names))}
    for n, name in zip(numbers, names, strict=True):
        zone |= {f"{name} A": addresses(f"10.0.0.{n}"), f"{name} AAAA": NODATA}
    return zone


@pytest.mark.parametrize("no", [NXDOMAIN, BARE_NO, NODATA, SERVFAIL, SILENT])
@pytest.mark.parametrize("family", ["prefer-ipv4", "any"])
def test_a_targets_other_family_says_nothing_of_the_one_that_is_there(
    family: str, no: Reply
) -> None:
    zone = unglued(0, 1) | {"web-0.web AAAA": no, "web-1.web AAAA": no}
    assert look(zone, family=family).found == ["web-0 10.0.0.0 80", "web-1 10.0.0.1 80"]


def test_nor_does_nxdomain_of_the_preferred_one() -> None:
    zone: Zone = {
        "web SRV": srv(("web-0.web", 80)),
        "web-0.web A": BARE_NO,
        "web-0.web AAAA": addresses("fd00::1"),
    }
    assert look(zone).found == ["web-0 fd00::1 80"]


HALF: dict[str, Reply] = {
    "web SRV": srv(
        ("web-0.web", 80),
        ("web-1.web", 80),
        glue={"web-0.web": ["10.0.0.1"], "web-1.web": ["fd00::2"]},
    ),
    "web-0.web A": addresses("10.0.0.1"),
    "web-0.web AAAA": addresses("fd00::1"),
    "web-1.web A": addresses("10.0.0.2"),
    "web-1.web AAAA": addresses("fd00::2"),
}
"""What a cache answers that adds the addresses which it happens to have."""


@pytest.mark.parametrize(
    ("family", "lacks", "found"),
    [
        ("ipv4", "web-1.web A", ["web-0 10.0.0.1 80", "web-1 10.0.0.2 80"]),
        ("ipv6", "web-0.web AAAA", ["web-0 fd00::1 80", "web-1 fd00::2 80"]),
    ],
)
def test_a_target_whose_glue_is_of_the_other_family_alone_is_asked_for(
    family: str, lacks: str, found: list[str]
) -> None:
    memory = Memory()
    first = look(HALF, memory, family=family)
    assert first.found == found
    assert first.batches == [["web SRV"], [lacks]]
    assert look(HALF, memory, now=1, family=family).batches == [["web SRV"]], "once in its TTL"
    assert look({**HALF, lacks: SERVFAIL}, family=family).outcome == Unknown(SERVFAIL)
    for no in (NODATA, NXDOMAIN, BARE_NO):
        assert len(look({**HALF, lacks: no}, family=family).found) == 1, "it has none"


@pytest.mark.parametrize("family", ["any", "prefer-ipv4", "prefer-ipv6", "ipv4", "ipv6"])
def test_dashed_names_of_two_families_are_not_asked_for(family: str) -> None:
    names = {"10-0-0-1.web": ["10.0.0.1"], "fd00--1.web": ["fd00::1"]}
    looked = look({"web SRV": srv(*((name, 80) for name in names), glue=names)}, family=family)
    assert looked.batches == [["web SRV"]]


@pytest.mark.parametrize("ttl", [0, 1, 5, 30, 59])
def test_a_target_is_asked_for_once_in_its_ttl_and_at_most_each_five_seconds(ttl: int) -> None:
    memory = Memory()
    zone = unglued(*range(1, 6))
    for n in range(1, 6):
        zone[f"web-{n}.web A"] = addresses(f"10.0.0.{n}", ttl=ttl)
    first = look(zone, memory)
    assert len(first.batches[1]) == 10
    holds = max(ttl, 5)
    kept = look(zone, memory, now=holds - 0.5)
    assert kept.batches == [["web SRV"]]
    assert kept.found == first.found
    later = look(zone, memory, now=holds)
    assert {key.split()[1] for key in later.batches[1]} == {"A"}, "AAAA has none for a minute"


def test_what_is_kept_of_a_target_makes_the_answer_expire_with_it() -> None:
    memory = Memory()
    look(unglued(0), memory)
    outcome = look(unglued(0), memory, now=20).outcome
    assert isinstance(outcome, Found)
    assert outcome.ttl == 10


def test_a_new_target_is_asked_for_beside_those_that_are_kept() -> None:
    memory = Memory()
    look(unglued(0, 1), memory)
    looked = look(unglued(1, 2), memory)
    assert looked.batches[1] == ["web-2.web A", "web-2.web AAAA"]
    assert looked.found == ["web-1 10.0.0.1 80", "web-2 10.0.0.2 80"]
    assert set(memory.targets) == {full("web-1.web"), full("web-2.web")}, "no others are kept"


def test_a_target_that_could_not_be_told_is_asked_for_again_at_once() -> None:
    memory = Memory()
    failing = unglued(0, 1) | {"web-1.web A": NXDOMAIN, "web-1.web AAAA": NXDOMAIN}
    assert isinstance(look(failing, memory).outcome, Unknown)
    looked = look(unglued(0, 1), memory)
    assert looked.batches[1] == ["web-1.web A", "web-1.web AAAA"]
    assert len(looked.found) == 2


# A family that fails.


DUAL: Zone = {
    "web SRV": NODATA,
    "web A": addresses("10.0.0.1", "10.0.0.2"),
    "web AAAA": addresses("fd00::1", "fd00::2"),
    **{f"{address} PTR": named("web-0.web") for address in ("10.0.0.1", "fd00::1")},
    **{f"{address} PTR": named("web-1.web") for address in ("10.0.0.2", "fd00::2")},
}
UNGLUED: Zone = {
    "web SRV": srv(("web-0.web", 80)),
    "web-0.web A": addresses("10.0.0.1"),
    "web-0.web AAAA": addresses("fd00::1"),
}


@pytest.mark.parametrize("reply", [SERVFAIL, SILENT, REFUSED, NXDOMAIN, BARE_NO])
@pytest.mark.parametrize(
    ("zone", "key"),
    [
        (DUAL, "web AAAA"),
        (DUAL, "web A"),
        (UNGLUED, "web-0.web AAAA"),
        (UNGLUED, "web-0.web A"),
    ],
)
def test_a_family_keeps_its_addresses_and_after_a_minute_that_is_told(
    zone: Zone, key: str, reply: Reply
) -> None:
    memory = Memory()
    first = look(zone, memory).outcome
    assert isinstance(first, Found)
    for now, old in [(10, False), (60, False), (61, True), (3600, True)]:
        outcome = look({**zone, key: reply}, memory, now=now).outcome
        assert isinstance(outcome, Found)
        assert [e.addresses for e in outcome.endpoints] == [e.addresses for e in first.endpoints]
        assert (outcome.error is not None) is old, now
        if outcome.error is not None:
            assert f"{key.split()[1]} at" in str(outcome.error)
            assert f"{now} s" in str(outcome.error)
    healed = look(zone, memory, now=3610).outcome
    assert isinstance(healed, Found)
    assert healed.error is None


def test_meanwhile_the_other_familys_pods_come_and_go() -> None:
    memory = Memory()
    look(DUAL, memory)
    zone = {**DUAL, "web AAAA": SERVFAIL, "web A": addresses("10.0.0.1", "10.0.0.3")}
    zone["10.0.0.3 PTR"] = named("web-2.web")
    looked = look(zone, memory, now=100)
    assert looked.found == ["web-0 10.0.0.1,fd00::1", "web-1 fd00::2", "web-2 10.0.0.3"]


# What is needed.


@pytest.mark.parametrize(
    ("family", "needed"),
    [
        ("prefer-ipv4", {"A"}),
        ("prefer-ipv6", {"AAAA"}),
        ("ipv4", {"A"}),
        ("ipv6", {"AAAA"}),
        ("any", {"A", "AAAA"}),
    ],
)
def test_at_first_the_family_that_is_alone_or_preferred_is_needed(
    family: str, needed: set[str]
) -> None:
    looked = look({"web SRV": NODATA}, family=family)
    asked_for = {each.rdtype.name for each in looked.questions if each.needed}
    assert asked_for - {"SRV"} == needed


@pytest.mark.parametrize(
    ("zone", "key"), [(DUAL, "web AAAA"), (UNGLUED, "web-0.web AAAA")], ids=["dual", "unglued"]
)
def test_another_is_needed_for_a_minute_after_it_had_addresses(zone: Zone, key: str) -> None:
    memory = Memory()
    assert not look(zone, memory).needed(key)
    failing = {**zone, key: SILENT}
    assert look(failing, memory, now=60).needed(key)
    assert not look(failing, memory, now=61).needed(key)
    look(zone, memory, now=100)
    assert look(zone, memory, now=160).needed(key)


@pytest.mark.parametrize("reply", [SILENT, NO_TCP])
@pytest.mark.parametrize("silent", ["A", "AAAA"])
@pytest.mark.parametrize(
    ("zone", "wanted"),
    [
        ({**PODS, "web SRV": NODATA}, {}),
        (PODS, {"records": "address", "port": 80}),
        (unglued(0, 1), {}),
    ],
    ids=["portless", "addresses", "unglued"],
)
def test_of_two_equal_families_one_that_stayed_silent_is_not_needed_the_next_time(
    zone: Zone, wanted: dict[str, Any], silent: str, reply: Reply
) -> None:
    memory = Memory()
    asked_for = "web-0.web" if "web-0.web A" in zone else "web"
    other = {"A": "AAAA", "AAAA": "A"}[silent]
    failing = {key: reply if key.endswith(f" {silent}") else each for key, each in zone.items()}
    assert look(failing, memory, family="any", **wanted).needed(f"{asked_for} {silent}")
    again = look(failing, memory, now=100, family="any", **wanted)
    first = {asked(each): each.needed for each in reversed(again.questions)}
    assert not first[f"{asked_for} {silent}"]
    assert first[f"{asked_for} {other}"]
    look(zone, memory, now=200, family="any", **wanted)
    assert look(zone, memory, now=300, family="any", **wanted).needed(f"{asked_for} {silent}")


@pytest.mark.parametrize("reply", [SILENT, NO_TCP])
@pytest.mark.parametrize(("family", "slow"), [("prefer-ipv4", "AAAA"), ("prefer-ipv6", "A")])
@pytest.mark.parametrize(
    ("asked_for", "wanted"),
    [("web", {}), ("web", {"records": "address"}), ("web-0.web", {})],
    ids=["portless", "addresses", "unglued"],
)
def test_one_that_is_not_needed_is_waited_for_where_the_other_has_no_addresses(
    asked_for: str, wanted: dict[str, Any], family: str, slow: str, reply: Reply
) -> None:
    other = {"A": "AAAA", "AAAA": "A"}[slow]
    found = "fd00::1" if slow == "AAAA" else "10.0.0.1"
    zone: dict[str, Reply] = {
        "web SRV": srv(("web-0.web", 80)) if asked_for == "web-0.web" else NODATA,
        f"{asked_for} {other}": NODATA,
        f"{found} PTR": named("web-0.web"),
        f"{dashed(found)}.web {slow}": addresses(found),
    }
    late = Later(zone | {f"{asked_for} {slow}": reply}, f"{asked_for} {slow}", addresses(found))
    looked = look(late, family=family, **wanted)
    assert [shown.split()[1] for shown in looked.found] == [found]
    asked_twice = [each for each in looked.questions if asked(each) == f"{asked_for} {slow}"]
    assert [each.needed for each in asked_twice] == [False, True]


@pytest.mark.parametrize("no", [NXDOMAIN, BARE_NO])
def test_it_is_not_where_the_other_says_that_there_is_no_such_name(no: Reply) -> None:
    looked = look({"web SRV": NODATA, "web A": no, "web AAAA": SILENT, "cluster.local A": NODATA})
    assert looked.batches.count(["web AAAA"]) == 0


@pytest.mark.parametrize("reply", [SILENT, NO_TCP])
def test_of_two_equal_families_that_both_stayed_silent_both_are_needed(reply: Reply) -> None:
    memory = Memory()
    look({"web SRV": NODATA, "web A": reply, "web AAAA": reply}, memory, family="any")
    again = look({**PODS, "web SRV": NODATA}, memory, now=100, family="any")
    assert again.needed("web A")
    assert again.needed("web AAAA")


@pytest.mark.parametrize(
    ("family", "needed"), [("prefer-ipv4", "A"), ("prefer-ipv6", "AAAA"), ("ipv4", "A")]
)
@pytest.mark.parametrize(
    "zone",
    [{}, {"web SRV": pods(443, web_0="10.0.0.1")}, {"web SRV": srv(("web", 80)), "web A": NODATA}],
    ids=["nobody", "another port", "a virtual IP"],
)
def test_nor_is_the_other_one_needed_to_tell_why_a_named_port_is_not_there(
    zone: Zone, family: str, needed: str
) -> None:
    other = {"A": "AAAA", "AAAA": "A"}[needed]
    looked = look({**zone, f"web {other}": SILENT}, port="http", family=family)
    assert looked.needed(f"web {needed}")
    assert not looked.needed(f"web {other}")
    assert not isinstance(looked.outcome, Unknown)


def test_a_family_without_addresses_is_needed_no_more() -> None:
    memory = Memory()
    look(DUAL, memory)
    look({**DUAL, "web AAAA": NODATA}, memory, now=5)
    assert not look(DUAL, memory, now=10).needed("web AAAA")


# Addresses that no pod can have.


IMPOSSIBLE = [
    "::ffff:10.0.0.1",
    "0.0.0.0",
    "255.255.255.255",
    "224.0.0.1",
    "239.9.9.9",
    "::",
    "ff02::1",
    "ff0e::1",
]
POSSIBLE = ["127.0.0.1", "169.254.1.1", "::1", "fe80::1", "240.0.0.1", "223.1.1.1", "2.24.0.1"]


def world_of(*found: str) -> list[tuple[Zone, dict[str, Any]]]:
    """The same addresses of one pod by glue, by a target's own, by PTR, and dashed."""
    fours = [address for address in found if ":" not in address]
    sixes = [address for address in found if ":" in address]
    both: dict[str, Reply] = {
        "web A": addresses(*fours) if fours else NODATA,
        "web AAAA": addresses(*sixes) if sixes else NODATA,
    }
    own = {key.replace("web", "web-0.web"): each for key, each in both.items()}
    names = {f"{address} PTR": named("web-0.web") for address in found}
    return [
        ({"web SRV": srv(("web-0.web", 80), glue={"web-0.web": found}), **both}, {}),
        ({"web SRV": srv(("web-0.web", 80)), **both, **own}, {}),
        ({"web SRV": NODATA, **both, **names}, {}),
        (both, {"records": "address"}),
    ]


@pytest.mark.parametrize("address", IMPOSSIBLE)
@pytest.mark.parametrize("how", range(4))
def test_an_address_that_no_pod_can_have_is_left_out_and_told(how: int, address: str) -> None:
    beside = ["10.0.0.1", "10.0.0.2"] if ":" not in address else ["fd00::1", "fd00::2"]
    zone, wanted = world_of(*beside, address)[how]
    outcome = look(zone, **wanted).outcome
    assert isinstance(outcome, Found)
    assert {a for each in outcome.endpoints for a in each.addresses} == set(beside)
    assert outcome.left_out == (address,)


@pytest.mark.parametrize("address", IMPOSSIBLE)
@pytest.mark.parametrize("how", range(4))
def test_where_nobody_is_left_it_is_unknown(how: int, address: str) -> None:
    zone, wanted = world_of(address)[how]
    outcome = look(zone, **wanted).outcome
    assert isinstance(outcome, Unknown)
    assert address in str(outcome.error)


@pytest.mark.parametrize("address", POSSIBLE)
@pytest.mark.parametrize("how", range(3))
def test_any_other_address_is_handed_on(how: int, address: str) -> None:
    zone, wanted = world_of(address)[how]
    outcome = look(zone, **wanted).outcome
    assert isinstance(outcome, Found)
    assert outcome.endpoints[0].addresses == (address,)
    assert outcome.left_out == ()


def test_a_part_of_srv_beside_failing_addresses_is_no_smaller_set() -> None:
    zone: Zone = {"web SRV": cut(srv(("web-0.web", 80))), "web A": SILENT, "web AAAA": NODATA}
    assert look(zone).outcome == Unknown(SILENT)
