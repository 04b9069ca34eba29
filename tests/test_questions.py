"""A lookup: what it asks, and what it makes of the answers."""

from collections.abc import Mapping, Sequence
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headless_discovery import (
    Endpoint,
    IncompleteAnswer,
    LookupFailed,
    LookupTimeout,
    NoEndpoints,
    NoSuchPort,
    NotHeadless,
)
from headless_discovery.testing import FakeCluster
from tests.conftest import MOST_WORDS
from tests.lookups import (
    FAMILIES,
    NODATA,
    NXDOMAIN,
    SERVFAIL,
    SERVICE,
    Answer,
    Empty,
    Family,
    Found,
    Looked,
    Memory,
    Question,
    Reply,
    Type,
    Unknown,
    Wrong,
    Zone,
    addresses,
    cut,
    dashed,
    full,
    look,
    named,
    playing_of,
    pods,
    shown,
    srv,
)

# Rule 2: SRV first, and its glue.


def test_one_question_where_glue_suffices() -> None:
    looked = look({"web SRV": pods(web_1="10.0.0.2", web_0="10.0.0.1")})
    assert looked.found == ["web-0 10.0.0.1 8080", "web-1 10.0.0.2 8080"]
    assert looked.batches == [["web SRV"]]


def test_a_named_port_is_asked_for_by_name_and_protocol() -> None:
    looked = look({"_dns._udp.web SRV": pods(53, web_0="10.0.0.1")}, port="dns", protocol="udp")
    assert looked.found == ["web-0 10.0.0.1 53"]
    assert looked.batches == [["_dns._udp.web SRV"]]


def test_a_numbered_port_is_used_as_it_is() -> None:
    assert look({"web SRV": pods(8080, web_0="10.0.0.1")}, port=9000).found == [
        "web-0 10.0.0.1 9000"
    ]


def test_endpoints_have_full_names_and_the_smallest_ttl_is_kept() -> None:
    outcome = look({"web SRV": pods(web_0="10.0.0.1")}).outcome
    assert outcome == Found(
        (Endpoint("web-0.web.shop.svc.cluster.local", ("10.0.0.1",), 8080),), ttl=30
    )


@pytest.mark.parametrize(
    ("port", "name", "asked_for"),
    [(None, "web", ""), ("http", "_http._tcp.web", "http"), (80, "web", "80")],
)
def test_an_endpoints_identity_is_its_name_and_the_port_asked_for(
    port: str | int | None, name: str, asked_for: str
) -> None:
    outcome = look({f"{name} SRV": pods(8080, web_0="10.0.0.1")}, port=port).outcome
    assert isinstance(outcome, Found)
    assert outcome.endpoints[0].identity == (full("web-0.web"), asked_for)


def test_port_zero_is_no_port() -> None:
    assert look({"web SRV": pods(0, web_0="10.0.0.1")}).found == ["web-0 10.0.0.1"]
    assert look({"_http._tcp.web SRV": pods(0, web_0="10.0.0.1")}, port="http").found == [
        "web-0 10.0.0.1"
    ]


TWO_PORTS = srv(
    ("web-0.web", 80),
    ("web-0.web", 443),
    ("web-1.web", 80),
    glue={"web-0.web": ["10.0.0.1"], "web-1.web": ["10.0.0.2"]},
)


def test_several_numbers_and_no_port_asked_for_are_no_port_on_every_pod() -> None:
    assert look({"web SRV": TWO_PORTS}).found == ["web-0 10.0.0.1", "web-1 10.0.0.2"]


def test_several_numbers_matter_not_where_the_number_is_given() -> None:
    assert look({"web SRV": TWO_PORTS}, port=443).found == [
        "web-0 10.0.0.1 443",
        "web-1 10.0.0.2 443",
    ]


def test_several_numbers_of_one_named_port_are_several_endpoints() -> None:
    outcome = look({"_http._tcp.web SRV": TWO_PORTS}, port="http").outcome
    assert isinstance(outcome, Found)
    assert [shown(endpoint) for endpoint in outcome.endpoints] == [
        "web-0 10.0.0.1 80",
        "web-0 10.0.0.1 443",
        "web-1 10.0.0.2 80",
    ]
    assert len({endpoint.identity for endpoint in outcome.endpoints}) == 3


def test_each_pod_may_have_its_own_number() -> None:
    answer = srv(
        ("web-0.web", 80),
        ("web-1.web", 81),
        glue={"web-0.web": ["10.0.0.1"], "web-1.web": ["10.0.0.2"]},
    )
    assert look({"web SRV": answer}).found == ["web-0 10.0.0.1 80", "web-1 10.0.0.2 81"]


def test_pods_that_share_an_address_are_pods_of_their_own() -> None:
    looked = look({"web SRV": pods(web_0="10.0.0.1", web_1="10.0.0.1")})
    assert looked.found == ["web-0 10.0.0.1 8080", "web-1 10.0.0.1 8080"]


def test_of_several_addresses_the_lowest_comes_first() -> None:
    answer = srv(("web-0.web", 80), glue={"web-0.web": ["10.0.0.10", "10.0.0.9"]})
    assert look({"web SRV": answer}).found == ["web-0 10.0.0.9,10.0.0.10 80"]


# Rule 2: targets without glue.


def test_a_target_without_glue_is_asked_for() -> None:
    looked = look(
        {
            "web SRV": srv(("web-0.web", 80), ("web-1.web", 80), glue={"web-0.web": ["10.0.0.1"]}),
            "web-1.web A": addresses("10.0.0.2", ttl=7),
            "web-1.web AAAA": NODATA,
        }
    )
    assert looked.found == ["web-0 10.0.0.1 80", "web-1 10.0.0.2 80"]
    lacking = ["web-1.web A", "web-1.web AAAA", "web-0.web AAAA"]
    assert looked.batches == [["web SRV"], lacking]
    assert isinstance(looked.outcome, Found)
    assert looked.outcome.ttl == 7


def test_a_target_is_asked_for_the_wanted_family_alone() -> None:
    zone: Zone = {"web SRV": srv(("web-0.web", 80)), "web-0.web AAAA": addresses("fd00::1")}
    looked = look(zone, family="ipv6")
    assert looked.found == ["web-0 fd00::1 80"]
    assert looked.batches[1] == ["web-0.web AAAA"]


@pytest.mark.parametrize("family", ["ipv4", "prefer-ipv4"])
def test_a_target_whose_needed_family_fails_makes_it_unknown(family: str) -> None:
    zone: Zone = {
        "web SRV": srv(("web-0.web", 80)),
        "web-0.web A": SERVFAIL,
        "web-0.web AAAA": addresses("fd00::1"),
    }
    assert look(zone, family=family).outcome == Unknown(SERVFAIL)


@pytest.mark.parametrize(
    "reply",
    [SERVFAIL, LookupTimeout("no answer"), LookupFailed("REFUSED", rcode="REFUSED")],
)
@pytest.mark.parametrize("fails", range(3))
def test_what_came_for_the_others_is_not_asked_for_again(fails: int, reply: LookupFailed) -> None:
    """A server that limits rates answers some of hundreds of questions."""
    memory = Memory()
    zone: dict[str, Reply] = {"web SRV": srv(*((f"web-{n}.web", 80) for n in range(3)))}
    zone |= {f"web-{n}.web A": addresses(f"10.0.0.{n + 1}") for n in range(3)}
    failing = {**zone, f"web-{fails}.web A": reply}
    assert look(failing, memory, family="ipv4").outcome == Unknown(reply)
    looked = look(zone, memory, now=10, family="ipv4")
    assert looked.batches == [["web SRV"], [f"web-{fails}.web A"]]
    assert looked.found == [f"web-{n} 10.0.0.{n + 1} 80" for n in range(3)]


@pytest.mark.parametrize("family", ["any", "prefer-ipv4"])
def test_a_target_without_any_address_because_a_family_failed_makes_it_unknown(
    family: str,
) -> None:
    zone: Zone = {
        "web SRV": srv(("web-0.web", 80), ("web-1.web", 80), glue={"web-0.web": ["10.0.0.1"]}),
        "web-1.web A": NODATA,
        "web-1.web AAAA": SERVFAIL,
    }
    assert look(zone, family=family).outcome == Unknown(SERVFAIL)


def test_a_target_whose_other_family_fails_has_the_preferred_one() -> None:
    zone: Zone = {
        "web SRV": srv(("web-0.web", 80)),
        "web-0.web A": addresses("10.0.0.1"),
        "web-0.web AAAA": SERVFAIL,
    }
    assert look(zone).found == ["web-0 10.0.0.1 80"]


def test_a_targets_family_that_fails_keeps_its_last_addresses() -> None:
    zone: Zone = {
        "web SRV": srv(("web-0.web", 80)),
        "web-0.web A": addresses("10.0.0.1"),
        "web-0.web AAAA": addresses("fd00::1"),
    }
    memory = Memory()
    look(zone, memory)
    one = {**zone, "web-0.web A": SERVFAIL}
    assert look(one, memory, now=30).found == ["web-0 10.0.0.1,fd00::1 80"]
    both = {**one, "web-0.web AAAA": SERVFAIL}
    assert look(both, memory, now=60).outcome == Unknown(SERVFAIL)


@pytest.mark.parametrize("no", [NXDOMAIN, NODATA])
def test_a_target_that_dns_does_not_know_is_a_contradiction_and_no_smaller_set(
    no: Answer,
) -> None:
    zone: Zone = {
        "web SRV": srv(("web-0.web", 80), ("web-1.web", 80), glue={"web-0.web": ["10.0.0.1"]}),
        "web-1.web A": no,
        "web-1.web AAAA": no,
    }
    looked = look(zone)
    assert isinstance(looked.outcome, Unknown)
    assert "contradicts itself" in str(looked.error)


@pytest.mark.parametrize("first", [NXDOMAIN, NODATA, SERVFAIL])
@pytest.mark.parametrize("second", [NXDOMAIN, NODATA, SERVFAIL])
@pytest.mark.parametrize("family", ["prefer-ipv4", "any", "ipv4"])
def test_all_such_targets_are_asked_for_again_by_the_next_lookup(
    family: str, first: Reply, second: Reply
) -> None:
    zone: Zone = {"web SRV": srv(("web-0.web", 80), ("web-1.web", 80), ("web-2.web", 80))}
    pods = {f"web-{n}.web A": addresses(f"10.0.0.{n}") for n in range(3)}
    nobody = {"web-0.web A": first, "web-1.web A": second, "web-2.web A": first}
    memory = Memory()
    looked = look({**zone, **nobody, **without_v6(3)}, memory, family=family)
    assert not isinstance(looked.outcome, Found)
    later = look({**zone, **pods, **without_v6(3)}, memory, now=5, family=family)
    assert later.found == ["web-0 10.0.0.0 80", "web-1 10.0.0.1 80", "web-2 10.0.0.2 80"]


def without_v6(pods: int) -> Zone:
    return {f"web-{number}.web AAAA": NODATA for number in range(pods)}


def test_a_target_without_a_record_of_the_only_family_asked_for_is_left_out() -> None:
    zone: Zone = {
        "web SRV": srv(("web-0.web", 80), ("web-1.web", 80)),
        "web-0.web A": addresses("10.0.0.1"),
        "web-1.web A": NODATA,
    }
    assert look(zone, family="ipv4").found == ["web-0 10.0.0.1 80"]


def test_a_targets_answer_that_is_cut_is_incomplete() -> None:
    zone: Zone = {"web SRV": srv(("web-0.web", 80)), "web-0.web A": cut(addresses("10.0.0.1"))}
    assert isinstance(look(zone).error, IncompleteAnswer)


@pytest.mark.parametrize(
    "target", ["web-0.other.shop.svc.cluster.local", "www.example.com", full(r"a\032b.web")]
)
@pytest.mark.parametrize("truncated", [True, False])
def test_a_target_that_is_no_host_name_below_the_service_makes_it_unknown(
    target: str, truncated: bool
) -> None:
    answer = Answer("NOERROR", services=((target, 80),), truncated=truncated)
    looked = look({"web SRV": answer})
    assert isinstance(looked.outcome, Unknown)
    assert target in str(looked.error)
    assert looked.batches == [["web SRV"]]


# Rule 3: a Service without ports. A and AAAA give the members, PTR their names.


PORTLESS: Zone = {
    "web SRV": NODATA,
    "web A": addresses("10.0.0.2", "10.0.0.1"),
    "web AAAA": NODATA,
    "10.0.0.1 PTR": named("web-0.web"),
    "10.0.0.2 PTR": named("web-1.web"),
}


def test_a_service_without_ports_has_its_addresses_and_their_names_asked_for() -> None:
    looked = look(PORTLESS)
    assert looked.found == ["web-0 10.0.0.1", "web-1 10.0.0.2"]
    assert looked.batches == [
        ["web SRV"],
        ["web A", "web AAAA"],
        ["10.0.0.2 PTR", "10.0.0.1 PTR"],
    ]


def test_its_port_is_the_number_that_is_given() -> None:
    assert look(PORTLESS, port=7000).found == ["web-0 10.0.0.1 7000", "web-1 10.0.0.2 7000"]


def test_an_address_is_asked_for_its_name_once() -> None:
    memory = Memory()
    look(PORTLESS, memory)
    grown = dict(PORTLESS) | {
        "web A": addresses("10.0.0.1", "10.0.0.2", "10.0.0.3"),
        "10.0.0.3 PTR": named("web-2.web"),
    }
    looked = look(grown, memory)
    assert looked.found == ["web-0 10.0.0.1", "web-1 10.0.0.2", "web-2 10.0.0.3"]
    assert looked.batches[2:] == [["10.0.0.3 PTR"]]


def test_an_address_that_went_and_came_back_is_asked_again() -> None:
    memory = Memory()
    look(PORTLESS, memory)
    look(dict(PORTLESS) | {"web A": addresses("10.0.0.1")}, memory)
    assert look(PORTLESS, memory).batches[2:] == [["10.0.0.2 PTR"]]


def test_a_name_that_turns_up_at_a_new_address_is_asked_for_anew_at_its_old_one() -> None:
    memory = Memory()
    look(PORTLESS, memory)
    # web-1 came back at 10.0.0.3, and web-0 at the address that web-1 had.
    moved = {
        **PORTLESS,
        "web A": addresses("10.0.0.2", "10.0.0.3"),
        "10.0.0.3 PTR": named("web-1.web"),
        "10.0.0.2 PTR": named("web-0.web"),
    }
    looked = look(moved, memory)
    assert looked.found == ["web-0 10.0.0.2", "web-1 10.0.0.3"]
    assert looked.batches[2:] == [["10.0.0.3 PTR"]], "and 10.0.0.2 was checked in its turn"


def test_a_name_in_doubt_that_is_not_told_anew_makes_it_unknown() -> None:
    memory = Memory()
    look(PORTLESS, memory)
    moved = {
        **PORTLESS,
        "web A": addresses("10.0.0.2", "10.0.0.3"),
        "10.0.0.3 PTR": named("web-1.web"),
        "10.0.0.2 PTR": SERVFAIL,
    }
    assert isinstance(look(moved, memory).outcome, Unknown)
    assert look({**moved, "10.0.0.2 PTR": named("web-0.web")}, memory).found == [
        "web-0 10.0.0.2",
        "web-1 10.0.0.3",
    ]


def test_names_of_other_services_and_no_names_at_all_are_passed_over() -> None:
    zone = dict(PORTLESS) | {
        "web A": addresses("10.0.0.1"),
        "10.0.0.1 PTR": attrs.evolve(
            named("web-0.web", "10-0-0-1.api"),
            pointers=(full("10-0-0-1.api"), full(r"a\032b.web"), full("web"), full("web-0.web")),
        ),
    }
    assert look(zone).found == ["web-0 10.0.0.1"]


def test_an_address_with_several_names_below_the_service_is_several_pods() -> None:
    zone = dict(PORTLESS) | {
        "web A": addresses("10.0.0.1"),
        "10.0.0.1 PTR": named("web-0.web", "web-1.web"),
    }
    assert look(zone).found == ["web-0 10.0.0.1", "web-1 10.0.0.1"]


def test_a_pod_of_two_families_is_one_endpoint() -> None:
    zone = dict(PORTLESS) | {
        "web A": addresses("10.0.0.1"),
        "web AAAA": addresses("fd00::1", ttl=9),
        "fd00::1 PTR": named("web-0.web"),
    }
    looked = look(zone)
    assert looked.found == ["web-0 10.0.0.1,fd00::1"]
    assert isinstance(looked.outcome, Found)
    assert looked.outcome.ttl == 9


def test_without_a_ptr_name_the_dashed_name_counts_if_an_address_query_confirms_it() -> None:
    zone = dict(PORTLESS) | {
        "web A": addresses("10.0.0.1"),
        "web AAAA": addresses("fd00::"),
        "10.0.0.1 PTR": NXDOMAIN,
        "10-0-0-1.web A": addresses("10.0.0.1"),
        "fd00--0.web AAAA": addresses("fd00::"),
    }
    memory = Memory()
    looked = look(zone, memory, family="any")
    assert looked.found == ["10-0-0-1 10.0.0.1", "fd00--0 fd00::"]
    assert looked.batches[3:] == [
        ["10-0-0-1.web A", "fd00--0.web AAAA", "made-up.web A", "made-up.web AAAA"]
    ]
    assert len(look(zone, memory, family="any").batches) == 2


def test_the_dashed_name_serves_where_reverse_lookups_fail() -> None:
    zone = dict(PORTLESS) | {
        "web A": addresses("10.0.0.1"),
        "10.0.0.1 PTR": SERVFAIL,
        "10-0-0-1.web A": addresses("10.0.0.1"),
    }
    assert look(zone).found == ["10-0-0-1 10.0.0.1"]


@pytest.mark.parametrize("dashed_answer", [NXDOMAIN, NODATA, addresses("10.9.9.9")])
def test_a_name_is_never_guessed(dashed_answer: Answer) -> None:
    zone = dict(PORTLESS) | {"10.0.0.1 PTR": NXDOMAIN, "10-0-0-1.web A": dashed_answer}
    looked = look(zone)
    assert isinstance(looked.outcome, Unknown)
    assert "10.0.0.1 is a pod of web.shop.svc.cluster.local" in str(looked.error)


def test_a_name_that_could_not_be_had_makes_it_unknown_and_the_others_are_kept() -> None:
    memory = Memory()
    failing = dict(PORTLESS) | {"10.0.0.1 PTR": SERVFAIL}
    assert look(failing, memory).outcome == Unknown(SERVFAIL)
    looked = look(PORTLESS, memory)
    assert looked.found == ["web-0 10.0.0.1", "web-1 10.0.0.2"]
    assert looked.batches[2:] == [["10.0.0.1 PTR"]]


def test_dashed_names_that_were_confirmed_are_kept_when_another_fails() -> None:
    memory = Memory()
    zone = dict(PORTLESS) | {
        "10.0.0.1 PTR": NXDOMAIN,
        "10.0.0.2 PTR": NXDOMAIN,
        "10-0-0-1.web A": addresses("10.0.0.1"),
        "10-0-0-2.web A": SERVFAIL,
    }
    assert look(zone, memory).outcome == Unknown(SERVFAIL)
    healed = {**zone, "10-0-0-2.web A": addresses("10.0.0.2")}
    looked = look(healed, memory)
    assert looked.found == ["10-0-0-1 10.0.0.1", "10-0-0-2 10.0.0.2"]
    assert looked.batches[2:] == [["10.0.0.2 PTR"], ["10-0-0-2.web A", "made-up.web A"]]


def test_names_that_were_cut_off_are_not_all_names() -> None:
    zone = dict(PORTLESS) | {"10.0.0.1 PTR": cut(named("web-0.web"))}
    assert isinstance(look(zone).error, IncompleteAnswer)


# Rule 3: an SRV answer that does not fit.


LARGE: Zone = {
    "_http._tcp.web SRV": cut(
        srv(("web-0.web", 80), ("web-1.web", 80), glue={"web-0.web": ["10.0.0.1"]})
    ),
    "_http._tcp.web A": addresses(*(f"10.0.0.{n}" for n in range(1, 5))),
    "_http._tcp.web AAAA": NODATA,
    **{f"10.0.0.{n} PTR": named(f"web-{n - 1}.web") for n in range(1, 5)},
}
OF_LARGE = [f"web-{n} 10.0.0.{n + 1} 80" for n in range(4)]
PART = {"_http._tcp.web SRV (UDP alone)": LARGE["_http._tcp.web SRV"]}


def test_a_cut_srv_answer_gives_names_and_the_port_and_addresses_give_the_members() -> None:
    looked = look(LARGE, port="http")
    assert looked.found == OF_LARGE
    assert looked.batches == [
        ["_http._tcp.web SRV"],
        ["_http._tcp.web A", "_http._tcp.web AAAA"],
        ["10.0.0.2 PTR", "10.0.0.3 PTR", "10.0.0.4 PTR"],
    ]


def test_then_addresses_are_asked_first_and_a_part_of_srv_for_the_ports_number() -> None:
    memory = Memory()
    look(LARGE, memory, port="http")
    looked = look({**LARGE, **PART}, memory, port="http")
    assert looked.found == OF_LARGE
    addresses_and_port = ["_http._tcp.web A", "_http._tcp.web AAAA", *PART]
    assert looked.batches == [addresses_and_port + [f"10.0.0.{n} PTR" for n in (1, 2, 3, 4)]]


def test_but_no_srv_where_the_number_is_given() -> None:
    memory = Memory()
    zone: Zone = {key.replace("_http._tcp.", ""): reply for key, reply in LARGE.items()}
    look(zone, memory, port=9000)
    looked = look(zone, memory, port=9000)
    assert looked.found == [f"web-{n} 10.0.0.{n + 1} 9000" for n in range(4)]
    assert looked.batches == [["web A", "web AAAA"] + [f"10.0.0.{n} PTR" for n in (1, 2, 3, 4)]]


def test_srv_is_asked_first_again_once_the_set_is_well_below_that_size() -> None:
    memory = Memory()
    look(LARGE, memory, port="http")
    two = {**LARGE, **PART, "_http._tcp.web A": addresses("10.0.0.1", "10.0.0.2")}
    assert look(two, memory, port="http").found == OF_LARGE[:2]
    assert look(two, memory, port="http").batches[0] != ["_http._tcp.web SRV"]
    one = {**two, "_http._tcp.web A": addresses("10.0.0.1")}
    assert look(one, memory, port="http").found == OF_LARGE[:1]
    assert look(one, memory, port="http").batches[0] == ["_http._tcp.web SRV"]


def test_srv_that_comes_whole_again_says_it_all() -> None:
    memory = Memory()
    look(LARGE, memory, port="http")
    whole = {**LARGE, "_http._tcp.web SRV (UDP alone)": pods(80, web_0="10.0.0.1")}
    looked = look({**whole, "_http._tcp.web A": SERVFAIL}, memory, port="http")
    assert looked.found == ["web-0 10.0.0.1 80"]
    assert look(whole, memory, port="http").batches[0] == ["_http._tcp.web SRV"]


def test_srv_is_asked_first_again_after_the_set_was_empty() -> None:
    memory = Memory()
    look(LARGE, memory, port="http")
    assert isinstance(look({}, memory, port="http").outcome, Empty)
    assert look({}, memory, port="http").batches[0] == ["_http._tcp.web SRV"]


def test_that_srv_did_not_fit_is_remembered_even_if_the_rest_fails() -> None:
    memory = Memory()
    zone: Zone = {**LARGE, "_http._tcp.web A": SERVFAIL, "_http._tcp.web AAAA": SERVFAIL}
    assert look(zone, memory, port="http").outcome == Unknown(SERVFAIL)
    assert look({**LARGE, **PART}, memory, port="http").batches[0][0] == "_http._tcp.web A"


def test_a_part_of_srv_that_fails_leaves_the_port_unknown() -> None:
    memory = Memory()
    look(LARGE, memory, port="http")
    zone: Zone = {**LARGE, "_http._tcp.web SRV (UDP alone)": SERVFAIL}
    assert look(zone, memory, port="http").outcome == Unknown(SERVFAIL)


def test_the_port_is_found_as_well_where_none_was_asked_for() -> None:
    zone: Zone = {key.replace("_http._tcp.", ""): reply for key, reply in LARGE.items()}
    assert look(zone).found == OF_LARGE


def test_numbers_that_do_not_agree_are_no_port_where_none_was_asked_for() -> None:
    zone: Zone = {
        **{key.replace("_http._tcp.", ""): reply for key, reply in LARGE.items()},
        "web SRV": cut(srv(("web-0.web", 80), ("web-0.web", 443))),
    }
    assert look(zone).found == [entry.removesuffix(" 80") for entry in OF_LARGE]


def test_numbers_of_a_named_port_that_do_not_agree_are_incomplete() -> None:
    answer = cut(srv(("web-0.web", 80), ("web-1.web", 81)))
    looked = look({**LARGE, "_http._tcp.web SRV": answer}, port="http")
    assert isinstance(looked.outcome, Unknown)
    assert isinstance(looked.error, IncompleteAnswer)
    assert "80, 81" in str(looked.error)
    assert "port= as a number" in looked.advice


@pytest.mark.parametrize(
    ("count", "seen"),
    [(4, "80, 81, 82, 83)"), (5, "80, 81, 82, 83, ...)"), (30, "80, 81, 82, 83, ...)")],
)
def test_of_many_numbers_some_are_named(count: int, seen: str) -> None:
    answer = cut(srv(*((f"web-{each}.web", 80 + each) for each in range(count))))
    looked = look({**LARGE, "_http._tcp.web SRV": answer}, port="http")
    assert f"(numbers seen: {seen}" in str(looked.error)
    assert len(str(looked.error).split()) <= MOST_WORDS
    cluster = FakeCluster()
    ports = {f"p{each}": 80 + each for each in range(count)}
    cluster.add_service("web", ports=ports).scale(1)
    with pytest.raises(NoSuchPort) as raised:
        cluster.peers("web", port="http").endpoints()
    assert str(raised.value).endswith(f"the port numbers that DNS shows: {seen.rstrip(')')}")
    assert len(str(raised.value).split()) <= MOST_WORDS


def test_a_cut_srv_answer_without_any_number_is_incomplete_for_a_named_port() -> None:
    looked = look({**LARGE, "_http._tcp.web SRV": cut(srv())}, port="http")
    assert isinstance(looked.error, IncompleteAnswer)
    assert "numbers seen: none" in str(looked.error)


def test_newer_glue_corrects_a_name_and_a_part_of_the_names_takes_none_away() -> None:
    memory = Memory()
    zone: Zone = {**LARGE, "10.0.0.2 PTR": named("web-1.web", "web-7.web")}
    look(zone, memory, port="http")
    part = srv(
        ("web-9.web", 80),
        ("web-7.web", 80),
        glue={"web-9.web": ["10.0.0.1"], "web-7.web": ["10.0.0.2", "10.0.0.99"]},
    )
    looked = look({**zone, "_http._tcp.web SRV (UDP alone)": cut(part)}, memory, port="http")
    assert looked.found == [
        "web-1 10.0.0.2 80",
        "web-2 10.0.0.3 80",
        "web-3 10.0.0.4 80",
        "web-7 10.0.0.2 80",
        "web-9 10.0.0.1 80",
    ]
    assert len(looked.batches) == 1


def test_a_large_service_that_became_a_cluster_ip_is_found_out() -> None:
    memory = Memory()
    zone: Zone = {key.replace("_http._tcp.", ""): reply for key, reply in LARGE.items()}
    look(zone, memory, port=80)
    virtual = {
        "web SRV": srv(("web", 80), glue={"web": ["10.96.0.20"]}),
        "web A": addresses("10.96.0.20"),
        "web AAAA": NODATA,
        "10.96.0.20 PTR": named("web"),
    }
    assert isinstance(look(virtual, memory, port=80).outcome, Unknown)
    assert isinstance(look(virtual, memory, port=80).error, NotHeadless)


@pytest.mark.parametrize("no", [NXDOMAIN, NODATA])
def test_a_cut_list_of_pods_and_no_addresses_is_a_contradiction(no: Answer) -> None:
    zone: Zone = {**LARGE, "_http._tcp.web A": no, "_http._tcp.web AAAA": no}
    looked = look(zone, port="http")
    assert isinstance(looked.outcome, Unknown)
    assert "contradicts itself" in str(looked.error)


def test_four_thousand_new_addresses_are_at_most_four_thousand_questions() -> None:
    many = [f"10.0.{n // 250}.{n % 250}" for n in range(4000)]
    looked = look({"web SRV": NODATA, "web A": addresses(*many), "web AAAA": NODATA})
    assert isinstance(looked.outcome, Unknown)
    asked_for = [len(batch) for batch in looked.batches if batch]
    assert asked_for == [1, 2, 4000, 4001], "and one name that no pod has"
    assert looked.batches.count([]) > 4 * 4000 // 250, "others run meanwhile"


# Rule 3: records="address".


FOURS = ("99.0.0.1", "10.0.0.2", "10.0.0.12", "10.0.0.1", "10.0.10.1")
SIXES = ("2001:db8::1", "fd00::", "fd00::1:1", "fd00::11", "fd00::1", "fd00:1::1")


@pytest.mark.parametrize(
    ("family", "listed"),
    [
        ("ipv4", FOURS),
        ("ipv6", SIXES),
        ("any", FOURS + SIXES),
        ("prefer-ipv4", FOURS),
        ("prefer-ipv6", SIXES),
    ],
)
def test_each_address_is_a_pod_with_its_dashed_name_in_the_order_of_names(
    family: str, listed: Sequence[str]
) -> None:
    zone = {"web A": addresses(*FOURS), "web AAAA": addresses(*SIXES)}
    found = found_by(zone, Memory(), records="address", family=family)
    assert [(each.name, each.addresses) for each in found] == sorted(
        (full(f"{dashed(address)}.web"), (address,)) for address in listed
    )


def test_with_address_records_each_pod_is_named_by_its_dashed_address() -> None:
    zone: Zone = {"web A": addresses("10.0.0.2", "10.0.0.1"), "web AAAA": NODATA}
    looked = look(zone, records="address", port=80)
    assert looked.found == ["10-0-0-1 10.0.0.1 80", "10-0-0-2 10.0.0.2 80"]
    assert looked.batches == [["web A", "web AAAA"]]


def test_a_lone_address_has_its_dashed_name_asked_once() -> None:
    zone: Zone = {"web A": addresses("10.0.0.1"), "web AAAA": NODATA}
    pod = {**zone, "10-0-0-1.web A": addresses("10.0.0.1")}
    memory = Memory()
    looked = look(pod, memory, records="address")
    assert looked.found == ["10-0-0-1 10.0.0.1"]
    assert looked.batches == [["web A", "web AAAA"], ["10-0-0-1.web A", "made-up.web A"]]
    assert look(pod, memory, records="address").batches == [["web A", "web AAAA"]]


def test_a_lone_address_of_each_family_is_asked_for_side_by_side() -> None:
    zone: Zone = {
        "web A": addresses("10.0.0.1"),
        "web AAAA": addresses("fd00::1"),
        "10-0-0-1.web A": addresses("10.0.0.1"),
        "fd00--1.web AAAA": addresses("fd00::1"),
    }
    assert look(zone, records="address").batches[1:] == [
        ["10-0-0-1.web A", "fd00--1.web AAAA", "made-up.web A", "made-up.web AAAA"]
    ]


LONE: Zone = {"web A": addresses("10.96.0.20"), "web AAAA": NODATA, "web SRV": NODATA}


@pytest.mark.parametrize(
    "names_the_service",
    [
        {"web SRV": srv(("web", 80), glue={"web": ["10.96.0.20"]})},
        {"10.96.0.20 PTR": named("web")},
        {"web SRV": SERVFAIL, "10.96.0.20 PTR": named("web")},
    ],
)
def test_a_lone_address_without_a_dashed_name_that_the_service_has_is_a_virtual_ip(
    names_the_service: Zone,
) -> None:
    looked = look({**LONE, **names_the_service}, records="address")
    assert isinstance(looked.outcome, Wrong)
    assert isinstance(looked.error, NotHeadless)
    assert "10.96.0.20" in str(looked.error)
    assert "clusterIP: None" in looked.advice


KUBE_DNS = "3339386563373339.web"


@pytest.mark.parametrize(
    "of_a_pod",
    [
        {"web SRV": srv((KUBE_DNS, 0), glue={KUBE_DNS: ["10.96.0.20"]})},
        {"web SRV": NODATA, "10.96.0.20 PTR": NXDOMAIN},
        {"web SRV": NXDOMAIN, "10.96.0.20 PTR": SERVFAIL},
        {"web SRV": SERVFAIL, "10.96.0.20 PTR": named(KUBE_DNS)},
    ],
)
def test_otherwise_it_is_a_pod_of_a_server_without_dashed_names(of_a_pod: Zone) -> None:
    memory = Memory()
    zone = {**LONE, **of_a_pod}
    assert look(zone, memory, records="address").found == ["10-96-0-20 10.96.0.20"]
    assert len(look(zone, memory, records="address").batches) == 1


def test_a_lone_address_that_nobody_tells_of_is_unknown() -> None:
    zone: Zone = {**LONE, "web SRV": SERVFAIL, "10.96.0.20 PTR": NXDOMAIN}
    assert look(zone, records="address").outcome == Unknown(SERVFAIL)


@pytest.mark.parametrize("reply", [SERVFAIL, NODATA, addresses("10.9.9.9")])
def test_a_dashed_name_that_nobody_denies_or_confirms_is_unknown(reply: Reply) -> None:
    zone: Zone = {"web A": addresses("10.0.0.1"), "web AAAA": NODATA, "10-0-0-1.web A": reply}
    assert isinstance(look(zone, records="address").outcome, Unknown)


# Rule 4 and the end of rule 3: what cannot be completed.


def test_where_tcp_is_impossible_addresses_that_fit_over_udp_serve() -> None:
    zone: Zone = {**LARGE, "_http._tcp.web SRV": cut(srv(("web-0.web", 80)), "Connection refused")}
    assert look(zone, port="http").found == OF_LARGE


@pytest.mark.parametrize("rdtype", ["A", "AAAA"])
def test_addresses_that_do_not_fit_either_are_incomplete(rdtype: str) -> None:
    zone: Zone = {
        "web SRV": cut(srv(), "Connection refused"),
        "web A": addresses("10.0.0.1"),
        "web AAAA": addresses("fd00::1"),
        f"web {rdtype}": cut(addresses("10.0.0.1"), "Connection refused"),
    }
    looked = look(zone)
    assert isinstance(looked.outcome, Unknown)
    assert isinstance(looked.error, IncompleteAnswer)
    assert "TCP port 53" in (looked.error.hint or "")
    assert "NetworkPolicy" in (looked.error.hint or "")


def test_addresses_that_do_not_fit_over_tcp_are_incomplete() -> None:
    zone: Zone = {"web SRV": cut(srv()), "web A": cut(addresses("10.0.0.1")), "web AAAA": NODATA}
    looked = look(zone)
    assert isinstance(looked.error, IncompleteAnswer)
    assert "64 KiB" in str(looked.error)


# Rule 5: other kinds of Services, and ports that are not there.


@pytest.mark.parametrize("port", [None, 80])
def test_a_target_that_is_the_service_itself_is_a_cluster_ip(port: int | None) -> None:
    looked = look({"web SRV": srv(("web", 80), glue={"web": ["10.254.129.235"]})}, port=port)
    assert isinstance(looked.outcome, Wrong)
    assert isinstance(looked.error, NotHeadless)
    for part in ("ClusterIP", "10.254.129.235"):
        assert part in str(looked.error)
    assert "clusterIP: None" in looked.advice


def test_a_virtual_ip_that_was_not_told_is_not_made_up() -> None:
    assert "not listed" in str(look({"web SRV": srv(("web", 80))}).error)


@pytest.mark.parametrize("family", ["prefer-ipv4", "prefer-ipv6", "any"])
@pytest.mark.parametrize("more", [{}, {"port": 80}, {"port": 80, "records": "address"}])
def test_an_alias_beside_addresses_is_an_endpoint_slice_of_names(
    family: str, more: dict[str, Any]
) -> None:
    """CoreDNS gives a name that such a slice holds as an alias, to AAAA as well."""
    zone: Zone = {
        "web SRV": NODATA,
        "web A": addresses("10.0.0.1", "10.0.0.2"),
        "web AAAA": Answer("NOERROR", alias="db.example.com"),
        "10.0.0.1 PTR": named("10-0-0-1.web"),
        "10.0.0.2 PTR": named("10-0-0-2.web"),
    }
    looked = look(zone, family=family, **more)
    assert isinstance(looked.outcome, Found)
    assert [each.address for each in looked.outcome.endpoints] == ["10.0.0.1", "10.0.0.2"]


def test_an_alias_is_an_external_name() -> None:
    alias = attrs.evolve(addresses("192.0.2.1"), alias="db.example.com")
    looked = look({"web SRV": NODATA, "web A": alias, "web AAAA": NODATA})
    assert isinstance(looked.outcome, Wrong)
    assert isinstance(looked.error, NotHeadless)
    assert "ExternalName" in str(looked.error)
    assert "db.example.com" in str(looked.error)


POD_BUT_NO_SUCH_PORT: Zone = {
    "web SRV": srv(("web-0.web", 443), ("web-0.web", 80), glue={"web-0.web": ["10.0.0.1"]}),
    "web A": addresses("10.0.0.1"),
    "web AAAA": NODATA,
}


@pytest.mark.parametrize("no", [NXDOMAIN, NODATA])
def test_a_named_port_that_no_pod_has_is_no_such_port(no: Answer) -> None:
    looked = look({**POD_BUT_NO_SUCH_PORT, "_grpc._tcp.web SRV": no}, port="grpc")
    assert isinstance(looked.outcome, Wrong)
    assert isinstance(looked.error, NoSuchPort)
    for part in ("'grpc'", "TCP", "80, 443"):
        assert part in str(looked.error)
    for part in ("kubectl get endpointslices", "caches may differ"):
        assert part in looked.advice
    again = ["_grpc._tcp.web SRV"]
    assert looked.batches == [again, ["web SRV", "web A", "web AAAA"], again]


def test_a_named_port_of_a_service_without_ports_is_no_such_port() -> None:
    looked = look({**PORTLESS}, port="http")
    assert isinstance(looked.error, NoSuchPort)
    assert "DNS shows: none" in str(looked.error)


def test_a_named_port_of_a_cluster_ip_is_not_headless() -> None:
    zone: Zone = {"web SRV": srv(("web", 80)), "web A": addresses("10.96.0.20"), "web AAAA": NODATA}
    assert isinstance(look(zone, port="grpc").error, NotHeadless)


def test_a_named_port_of_an_external_name_is_not_headless() -> None:
    zone: Zone = {"web SRV": NODATA, "web A": attrs.evolve(addresses(), alias="db.example.com")}
    assert isinstance(look(zone, port="grpc").error, NotHeadless)


def test_a_named_port_of_a_service_without_pods_is_empty() -> None:
    looked = look({}, port="grpc")
    assert isinstance(looked.outcome, Empty)
    assert looked.batches == [["_grpc._tcp.web SRV"], ["web SRV", "web A", "web AAAA"]]


def test_a_named_port_is_no_such_port_even_if_a_family_fails() -> None:
    zone: Zone = {**POD_BUT_NO_SUCH_PORT, "web AAAA": SERVFAIL}
    assert isinstance(look(zone, port="grpc").error, NoSuchPort)


@pytest.mark.parametrize(
    "zone",
    [
        {**POD_BUT_NO_SUCH_PORT, "web SRV": SERVFAIL},
        {"web SRV": NODATA, "web A": SERVFAIL, "web AAAA": NODATA},
        {"web SRV": SERVFAIL, "web A": SERVFAIL, "web AAAA": SERVFAIL},
    ],
)
def test_a_missing_port_that_cannot_be_explained_is_unknown(zone: Zone) -> None:
    assert look(zone, port="grpc").outcome == Unknown(SERVFAIL)


def test_one_no_such_name_explains_it_though_another_question_fails() -> None:
    zone: Zone = {"web SRV": NXDOMAIN, "web A": SERVFAIL, "web AAAA": SERVFAIL}
    assert isinstance(look(zone, port="grpc").outcome, Empty)


# Rule 6: authoritatively nobody.


def test_no_such_name_is_empty_after_one_question() -> None:
    looked = look({"web SRV": attrs.evolve(NXDOMAIN, ttl=17)})
    assert isinstance(looked.outcome, Empty)
    assert looked.outcome.ttl == 17
    assert looked.batches == [["web SRV"]]


def test_no_record_of_either_family_is_empty() -> None:
    zone: Zone = {"web SRV": NODATA, "web A": NODATA, "web AAAA": attrs.evolve(NODATA, ttl=3)}
    looked = look(zone)
    assert isinstance(looked.outcome, Empty)
    assert looked.outcome.ttl == 3
    assert "no A or AAAA record" in str(looked.error)
    assert looked.batches == [["web SRV"], ["web A", "web AAAA"]]


def test_no_record_of_the_only_family_asked_for_is_empty() -> None:
    zone: Zone = {"web SRV": pods(web_0="fd00::1"), "web A": NODATA}
    looked = look(zone, family="ipv4")
    assert isinstance(looked.outcome, Empty)
    assert "no A record" in str(looked.error)


def test_nor_is_it_no_such_port_where_one_was_named() -> None:
    zone: Zone = {
        "_http._tcp.web SRV": pods(web_0="fd00::1"),
        "_http._tcp.web A": NODATA,
        "web SRV": pods(web_0="fd00::1"),
    }
    assert isinstance(look(zone, port="http", family="ipv4").outcome, Empty)


def test_an_empty_services_error_says_what_dns_cannot_tell_and_what_to_look_at() -> None:
    looked = look({})
    assert isinstance(looked.error, NoEndpoints)
    for part in ("web.shop.svc.cluster.local", "'no such Service'", "'no ready pod'"):
        assert part in str(looked.error)
    for part in (
        "kubectl get endpointslices -n shop -l kubernetes.io/service-name=web",
        "readiness probe",
        "publishNotReadyAddresses: true",
    ):
        assert part in looked.advice


def test_glue_of_the_other_family_alone_leaves_it_to_addresses() -> None:
    zone: Zone = {
        "web SRV": pods(web_0="fd00::1"),
        "web A": addresses("10.0.0.1"),
        "10.0.0.1 PTR": named("web-0.web"),
    }
    looked = look(zone, family="ipv4")
    assert looked.found == ["web-0 10.0.0.1 8080"]


# Rule 7 and rule 9: failures.


def test_a_failure_is_unknown() -> None:
    assert look({"web SRV": SERVFAIL}).outcome == Unknown(SERVFAIL)


@pytest.mark.parametrize("memory", [Memory(), Memory(addresses={Type.A: ("10.0.0.1",)})])
def test_addresses_that_all_fail_are_unknown_whatever_was_known(memory: Memory) -> None:
    zone: Zone = {"web SRV": NODATA, "web A": SERVFAIL, "web AAAA": SERVFAIL}
    assert look(zone, memory).outcome == Unknown(SERVFAIL)


def test_one_family_that_fails_and_one_that_has_nothing_are_unknown() -> None:
    zone: Zone = {"web SRV": NODATA, "web A": NODATA, "web AAAA": SERVFAIL}
    assert look(zone).outcome == Unknown(SERVFAIL)


def test_no_such_name_counts_for_both_families() -> None:
    zone: Zone = {"web SRV": NODATA, "web A": NXDOMAIN, "web AAAA": SERVFAIL}
    assert isinstance(look(zone).outcome, Empty)


DUAL: Zone = {
    "web SRV": NODATA,
    "web A": addresses("10.0.0.1"),
    "web AAAA": addresses("fd00::1"),
    "10.0.0.1 PTR": named("web-0.web"),
    "fd00::1 PTR": named("web-0.web"),
}


@pytest.mark.parametrize("reply", [SERVFAIL, NXDOMAIN])
@pytest.mark.parametrize("rdtype", ["A", "AAAA"])
def test_a_family_that_fails_beside_one_that_answers_keeps_its_last_addresses(
    reply: Reply, rdtype: str
) -> None:
    memory = Memory()
    look(DUAL, memory)
    looked = look({**DUAL, f"web {rdtype}": reply}, memory)
    assert looked.found == ["web-0 10.0.0.1,fd00::1"]


@pytest.mark.parametrize(
    ("family", "rdtype"), [("prefer-ipv4", "A"), ("prefer-ipv6", "AAAA"), ("ipv4", "A")]
)
def test_a_needed_family_that_fails_with_nothing_known_is_unknown(family: str, rdtype: str) -> None:
    assert look({**DUAL, f"web {rdtype}": SERVFAIL}, family=family).outcome == Unknown(SERVFAIL)


def test_another_family_that_fails_with_nothing_known_is_left_out() -> None:
    assert look({**DUAL, "web AAAA": SERVFAIL}).found == ["web-0 10.0.0.1"]
    assert look({**DUAL, "web A": SERVFAIL}, family="any").found == ["web-0 fd00::1"]


def test_a_family_without_records_has_no_addresses_any_more() -> None:
    memory = Memory()
    look(DUAL, memory)
    assert look({**DUAL, "web AAAA": NODATA}, memory).found == ["web-0 10.0.0.1"]
    assert look({**DUAL, "web AAAA": SERVFAIL}, memory).found == ["web-0 10.0.0.1"]


def test_nothing_is_kept_of_a_set_that_went_empty() -> None:
    memory = Memory()
    look(DUAL, memory)
    assert isinstance(look({"web SRV": NODATA}, memory).outcome, Empty)
    looked = look({**DUAL, "web AAAA": SERVFAIL}, memory)
    assert looked.found == ["web-0 10.0.0.1"]
    assert looked.batches[2:] == [["10.0.0.1 PTR"]]


def test_what_addresses_said_before_an_srv_answer_is_not_kept() -> None:
    memory = Memory()
    look(DUAL, memory)
    look({"web SRV": pods(web_0="10.0.0.1")}, memory)
    assert look({**DUAL, "web AAAA": SERVFAIL}, memory).found == ["web-0 10.0.0.1"]


# Rule 9: dual stack.


STATEFUL_SET = srv(
    ("web-0.web", 80),
    ("web-1.web", 80),
    glue={"web-0.web": ["fd00::1", "10.0.0.1"], "web-1.web": ["fd00::2"]},
)
"""One SRV record for each pod, with its addresses of both families."""


@pytest.mark.parametrize(
    ("family", "found"),
    [
        ("prefer-ipv4", ["web-0 10.0.0.1,fd00::1 80", "web-1 fd00::2 80"]),
        ("prefer-ipv6", ["web-0 fd00::1,10.0.0.1 80", "web-1 fd00::2 80"]),
        ("any", ["web-0 10.0.0.1,fd00::1 80", "web-1 fd00::2 80"]),
        ("ipv4", ["web-0 10.0.0.1 80"]),
        ("ipv6", ["web-0 fd00::1 80", "web-1 fd00::2 80"]),
    ],
)
def test_pods_with_host_names_stay_with_the_preferred_family_first(
    family: str, found: list[str]
) -> None:
    looked = look({"web SRV": STATEFUL_SET}, family=family)
    assert looked.found == found
    assert looked.batches[1:] == ([["web-1.web A"]] if family != "ipv6" else [])


def deployment(v4: int, v6: int) -> Zone:
    """Each pod published twice, under two dashed names."""
    found = [f"10.0.0.{n}" for n in range(1, v4 + 1)] + [f"fd00::{n}" for n in range(1, v6 + 1)]
    glue = {f"{dashed(address)}.web": [address] for address in found}
    return {"web SRV": srv(*((target, 80) for target in glue), glue=glue)}


def families(looked: Looked) -> tuple[int, int]:
    v6 = sum(":" in entry for entry in looked.found)
    return len(looked.found) - v6, v6


@pytest.mark.parametrize(
    ("family", "counts"),
    [
        ("prefer-ipv4", (3, 0)),
        ("prefer-ipv6", (0, 3)),
        ("ipv4", (3, 0)),
        ("ipv6", (0, 3)),
        ("any", (3, 3)),
    ],
)
def test_of_pods_published_twice_one_family_is_used(family: str, counts: tuple[int, int]) -> None:
    looked = look(deployment(3, 3), family=family)
    assert families(looked) == counts
    assert len(looked.batches) == 1


@pytest.mark.parametrize(
    ("listed", "family", "used"),
    [
        ((3, 3), "prefer-ipv4", (3, 0)),
        ((3, 6), "prefer-ipv4", (3, 0)),
        ((3, 7), "prefer-ipv4", (0, 7)),
        ((3, 6), "prefer-ipv6", (0, 6)),
        ((6, 3), "prefer-ipv6", (0, 3)),
        ((7, 3), "prefer-ipv6", (7, 0)),
        ((3, 0), "prefer-ipv6", (3, 0)),
    ],
)
def test_the_preferred_family_is_used_if_it_has_half_as_many_as_the_other(
    listed: tuple[int, int], family: str, used: tuple[int, int]
) -> None:
    assert families(look(deployment(*listed), family=family)) == used


def test_which_family_was_used_before_makes_no_difference_so_all_processes_agree() -> None:
    old = Memory()
    for v4, v6 in [(4, 4), (1, 4), (2, 4), (4, 1), (3, 7), (3, 6)]:
        new = look(deployment(v4, v6))
        assert look(deployment(v4, v6), old).found == new.found


def test_a_pod_that_is_called_like_an_address_has_a_host_name() -> None:
    answer = srv(
        ("1-2-3-4.web", 80),
        ("10-0-0-1.web", 80),
        ("fd00--1.web", 80),
        glue={
            "1-2-3-4.web": ["10.0.0.9"],
            "10-0-0-1.web": ["10.0.0.1"],
            "fd00--1.web": ["fd00::1"],
        },
    )
    found = ["1-2-3-4 10.0.0.9 80", "fd00--1 fd00::1 80"]
    assert look({"web SRV": answer}, family="prefer-ipv6").found == found


# Whatever happens.


Pods = list[tuple[str, str]]
"""Pairs (host name, address)."""


@st.composite
def worlds(draw: st.DrawFn, *, host_names: bool) -> tuple[dict[str, Answer], Pods]:
    """The pods of a Service, and all that DNS would say about them."""
    numbers = sorted(draw(st.sets(st.integers(1, 5), max_size=4)))
    found = [(n, f"10.0.0.{n}") for n in numbers]
    if draw(st.booleans()):
        found += [(n, f"fd00::{n}") for n in numbers]
    labels = [f"web-{n}" if host_names else dashed(address) for n, address in found]
    members = [(label, address) for label, (_, address) in zip(labels, found, strict=True)]
    zone: dict[str, Answer] = {}
    if not members:
        return zone, members
    own: dict[str, list[str]] = {}
    for label, address in members:
        own.setdefault(f"{label}.web", []).append(address)
        if draw(st.booleans()):
            zone[f"{address} PTR"] = named(f"{label}.web")
    ports = draw(st.sampled_from([[80], [80, 81], []]))
    glue = own if draw(st.booleans()) else {}
    everything = [address for _, address in members]
    for owner, numbers_there in (
        ("web", ports),
        *((f"_p{port}._tcp.web", [port]) for port in ports),
    ):
        targets = [(target, number) for target in own for number in numbers_there]
        zone[f"{owner} SRV"] = srv(*targets, glue=glue) if targets else NODATA
        zone[f"{owner} SRV (UDP alone)"] = zone[f"{owner} SRV"]
        zone |= of_both_types(owner, everything)
    for target, target_addresses in own.items():
        zone |= of_both_types(target, target_addresses)
    return zone, members


def of_both_types(owner: str, found: Sequence[str]) -> dict[str, Answer]:
    v4 = [address for address in found if ":" not in address]
    v6 = [address for address in found if ":" in address]
    return {
        f"{owner} A": addresses(*v4) if v4 else NODATA,
        f"{owner} AAAA": addresses(*v6) if v6 else NODATA,
    }


class Spoilt(dict[str, Reply]):
    """A zone some of whose answers are lost or cut, and which notes what came in full."""

    def __init__(self, zone: Mapping[str, Answer], how: Sequence[str]) -> None:
        super().__init__(zone)
        self.how = list(how)
        self.addresses: set[str] = set()
        self.targets: set[str] = set()
        self.lost: set[str] = set()

    def get(self, key: str, default: Any = None) -> Any:
        """The reply, as it arrives."""
        answer: Answer = super().get(key, default)
        how = self.how.pop() if self.how else "keep"
        if how == "fail":
            self.lost.add(key)
            return SERVFAIL
        if how == "cut" and not answer.negative:
            self.lost.add(key)
            return attrs.evolve(
                cut(answer),
                addresses=answer.addresses[:-1],
                services=answer.services[:-1],
                glue=dict(list(answer.glue.items())[:-2]),
                pointers=answer.pointers[:-1],
            )
        self.addresses |= set(answer.addresses)
        self.targets |= {target.partition(".")[0] for target, _ in answer.services}
        return answer

    def names(self, members: "Pods") -> bool:
        """Whether PTR named every address."""
        keys = {f"{address} PTR" for _, address in members}
        return self.keys() >= keys and not self.lost & keys


def _own_question(label: str, address: str) -> str:
    return f"{label}.web {'AAAA' if ':' in address else 'A'}"


@pytest.mark.slow
@settings(max_examples=500, deadline=None)
@given(
    data=st.data(),
    family=st.sampled_from(FAMILIES),
    port=st.sampled_from([None, 80, "p80"]),
)
def test_no_mixture_of_failures_makes_a_smaller_set_or_an_empty_one(
    data: st.DataObject, family: Family, port: str | int | None
) -> None:
    memory = Memory()
    # Of pods that are published under two dashed names, "prefer" leaves one out: not used here.
    host_names = family.startswith("prefer") or data.draw(st.booleans())
    for number in range(data.draw(st.integers(1, 4))):
        zone, members = data.draw(worlds(host_names=host_names))
        how = st.lists(st.sampled_from(["keep", "keep", "fail", "cut"]), max_size=12)
        came = Spoilt(zone, data.draw(how))
        outcome = look(came, memory, now=number * 100, port=port, family=family).outcome
        unwanted = {"ipv4": ":", "ipv6": "."}.get(family, "never")
        members = [(label, address) for label, address in members if unwanted not in address]
        if not came.names(members):
            # Then those of a family that is not needed may be left out, as DNS64's are.
            other = {"prefer-ipv4": ":", "prefer-ipv6": ".", "any": ""}.get(family, "none")
            members = [(label, address) for label, address in members if other not in address]
        if isinstance(outcome, Empty):
            assert not members
        if isinstance(outcome, Found):
            found = [(e.hostname, address) for e in outcome.endpoints for address in e.addresses]
            assert {
                (label, address)
                for label, address in members
                # Whose address it is only the pod's own name tells, if SRV came without glue.
                if address in came.addresses and _own_question(label, address) not in came.lost
            } <= set(found)
            assert {label for label, _ in members if label in came.targets} <= {
                label for label, _ in found
            }


NONSENSE: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "A": st.sampled_from(
        [{}, {"addresses": ("10.0.0.1",)}, {"addresses": ("10.0.0.1", "10.0.0.2")}]
    ),
    "AAAA": st.sampled_from([{}, {"addresses": ("fd00::1",)}]),
    "PTR": st.sampled_from([(), (full("web-0.web"),), ("www.example.com",)]).map(
        lambda names: {"pointers": names}
    ),
    "SRV": st.fixed_dictionaries(
        {
            "services": st.lists(
                st.tuples(
                    st.sampled_from(
                        [full("web-0.web"), full("web-1.web"), full("web"), "www.example.com"]
                    ),
                    st.integers(0, 2),
                ),
                max_size=3,
                unique=True,
            ).map(tuple),
            "glue": st.sampled_from(
                [{}, {full("web-0.web"): ("10.0.0.1",), full("web-1.web"): ("fd00::1",)}]
            ),
        }
    ),
}


class Nonsense(dict[str, Reply]):
    """A server that says anything at all."""

    def __init__(self, data: st.DataObject) -> None:
        super().__init__()
        self.data = data
        self.said_no = False

    def get(self, key: str, _default: Any = None) -> Any:
        """Some reply to that question."""
        if self.data.draw(st.integers(0, 5)) == 0:
            return SERVFAIL
        answer = Answer(
            self.data.draw(st.sampled_from(["NOERROR", "NOERROR", "NXDOMAIN"])),
            truncated=self.data.draw(st.sampled_from([False, False, True])),
            alias=self.data.draw(st.sampled_from([None, None, None, "www.example.com"])),
            **self.data.draw(NONSENSE[key.split()[1]]),
        )
        self.said_no = self.said_no or answer.negative
        return answer


@pytest.mark.slow
@settings(deadline=None)
@given(
    data=st.data(),
    family=st.sampled_from(FAMILIES),
    port=st.sampled_from([None, 80, "http"]),
    records=st.sampled_from(["auto", "address"]),
)
def test_no_nonsense_of_a_server_makes_anything_but_an_outcome(
    data: st.DataObject, family: Family, port: str | int | None, records: str
) -> None:
    memory = Memory()
    for _ in range(3):
        server = Nonsense(data)
        outcome = look(server, memory, port=port, family=family, records=records).outcome
        match outcome:
            case Found(endpoints):
                identities = [endpoint.identity for endpoint in endpoints]
                assert identities
                assert identities == sorted(set(identities))
                assert all(SERVICE.owns(endpoint.name) for endpoint in endpoints)
            case Empty():
                assert server.said_no
            case Unknown(error) | Wrong(error):
                assert str(error)


# Unchanged answers: their values are the same objects, as `_wire.read` gives them.


@pytest.mark.parametrize(
    ("zone", "wanted"),
    [
        ({"web SRV": pods(web_0="10.0.0.1", web_1="10.0.0.2")}, {}),
        (PORTLESS, {}),
        ({"web A": addresses("10.0.0.1", "10.0.0.2")}, {"records": "address", "family": "ipv4"}),
    ],
    ids=["srv", "portless", "address"],
)
def test_an_unchanged_answer_gives_the_same_tuple_with_its_own_ttl(
    zone: Zone, wanted: dict[str, Any]
) -> None:
    memory = Memory()
    first = look(zone, memory, **wanted).outcome
    later = {
        key: attrs.evolve(reply, ttl=3) if isinstance(reply, Answer) else reply
        for key, reply in zone.items()
    }
    second = look(later, memory, **wanted).outcome
    assert isinstance(first, Found)
    assert isinstance(second, Found)
    assert second.endpoints is first.endpoints
    assert second.ttl == 3


def test_after_an_answer_of_another_kind_the_same_one_is_looked_at_anew() -> None:
    memory = Memory()
    zone = {"web SRV": pods(web_0="10.0.0.1")}
    first = look(zone, memory).outcome
    for between in ({}, {"web SRV": SERVFAIL}, {"web SRV": pods(web_0="10.0.0.2")}):
        look(between, memory)
        again = look(zone, memory).outcome
        assert isinstance(again, Found)
        assert isinstance(first, Found)
        assert again.endpoints == first.endpoints


def test_names_are_asked_for_again_after_there_was_nobody() -> None:
    memory = Memory()
    look(PORTLESS, memory)
    look({"web SRV": NODATA}, memory)
    assert look(PORTLESS, memory).batches[2:] == [["10.0.0.2 PTR", "10.0.0.1 PTR"]]


def test_a_question_about_the_pods_brings_its_last_answer_along() -> None:
    memory = Memory()
    answer = attrs.evolve(pods(web_0="10.0.0.1"), records="its bytes")
    look({"web SRV": answer}, memory)
    [question] = next(playing_of(memory))
    assert question.before is answer
    assert question == Question(question.name, Type.SRV)


def found_by(zone: Zone, memory: Memory, **wanted: Any) -> tuple[Endpoint, ...]:
    outcome = look(zone, memory, **wanted).outcome
    assert isinstance(outcome, Found)
    return outcome.endpoints


def test_a_pod_about_which_nothing_is_new_is_the_same_object_beside_others() -> None:
    memory = Memory()
    listed = [
        pods(web_0="10.0.0.1", web_1="10.0.0.2", web_2="10.0.0.3"),
        pods(web_0="10.0.0.1", web_1="10.0.0.9", web_3="10.0.0.4"),
        pods(8081, web_0="10.0.0.1", web_3="10.0.0.4"),
    ]
    one, other, third = (found_by({"web SRV": answer}, memory) for answer in listed)
    assert other[0] is one[0]
    assert [each in one for each in other] == [True, False, False], "moved; new"
    assert [shown(each) for each in third] == ["web-0 10.0.0.1 8081", "web-3 10.0.0.4 8081"]


def test_it_is_the_same_object_after_a_failure_too() -> None:
    memory = Memory()
    zones = [{"web A": addresses("10.0.0.1", "10.0.0.2")}, {"web A": addresses("10.0.0.2")}]
    zones[1]["10-0-0-2.web A"] = addresses("10.0.0.2")
    one = found_by(zones[0], memory, records="address", family="ipv4")
    look({"web A": SERVFAIL}, memory, records="address", family="ipv4")
    assert found_by(zones[1], memory, records="address", family="ipv4")[0] is one[1]


# Others run meanwhile.


def test_a_large_set_is_made_in_parts_with_pauses_between_them() -> None:
    memory = Memory()
    many = addresses(*(f"10.0.{number >> 8}.{number & 255}" for number in range(1200)))
    first = look({"web A": many}, memory, records="address", family="ipv4")
    assert len(first.found) == 1200
    assert [len(batch) for batch in first.batches] == [1, 0, 0, 0, 0, 0]
    other = attrs.evolve(many, addresses=("10.1.1.1", *many.addresses[1:]))
    later = look({"web A": other}, memory, records="address", family="ipv4")
    assert [len(batch) for batch in later.batches] == [1, 0, 0, 0, 0, 0, 0], "they are compared"


def test_addresses_of_both_families_are_put_in_order_with_more_pauses() -> None:
    glue = {
        f"web-{number}.web": (f"10.0.{number >> 8}.{number & 255}", f"fd00::{number:x}")
        for number in range(1, 1201)
    }
    targets = [(target, 8080) for target in glue]
    both = look({"web SRV": srv(*targets, glue=glue)})
    one = look({"web SRV": srv(*targets, glue={each: glue[each][:1] for each in glue})})
    assert len(both.batches) == len(one.batches) + 2
    assert "web-7 10.0.0.7,fd00::7 8080" in both.found
