"""An address is not a name: how names are learnt, checked, corrected, and ended."""

import random
from typing import Any

import attrs
import pytest

from headless_discovery import LookupFailed, LookupTimeout
from tests.lookups import (
    NODATA,
    NXDOMAIN,
    SERVFAIL,
    Answer,
    Empty,
    Found,
    Later,
    Memory,
    Reply,
    Unknown,
    Zone,
    addresses,
    asked,
    cut,
    look,
    named,
    pods,
    srv,
)

SILENT = LookupTimeout("no answer")
NO_TCP = LookupFailed("Connection refused")
"""Silence over UDP, from a server that does not listen on TCP."""
UNREAD = LookupFailed("20 malformed bytes")


def portless(**names: str) -> Zone:
    """A Service without ports: ``portless(web_0="10.0.0.1")``."""
    found = {address: label.replace("_", "-") for label, address in names.items()}
    fours = [address for address in found if ":" not in address]
    sixes = [address for address in found if ":" in address]
    return {
        "web SRV": NODATA,
        "web A": addresses(*fours) if fours else NODATA,
        "web AAAA": addresses(*sixes) if sixes else NODATA,
        **{f"{address} PTR": named(f"{label}.web") for address, label in found.items()},
    }


# A name ends.


def test_an_address_that_another_pod_has_by_the_next_lookup_is_called_by_its_name() -> None:
    memory = Memory()
    look(portless(web_0="10.0.0.1", web_1="10.0.0.2", web_2="10.0.0.3"), memory)
    later = look(portless(web_0="10.0.0.2", web_2="10.0.0.3"), memory)
    assert later.found == ["web-0 10.0.0.2", "web-2 10.0.0.3"]
    assert len(later.batches) == 2, "it was checked beside the addresses"


@pytest.mark.parametrize(
    "nobody",
    [
        {"web SRV": NXDOMAIN},
        {"web SRV": NODATA},
        {"web SRV": NODATA, "web A": NODATA, "web AAAA": NODATA},
    ],
)
def test_after_there_was_nobody_every_address_is_asked_for_its_name(nobody: Zone) -> None:
    memory = Memory()
    look(portless(web_0="10.0.0.1"), memory)
    assert isinstance(look(nobody, memory).outcome, Empty)
    again = look(portless(db_7="10.0.0.1"), memory)
    assert again.found == ["db-7 10.0.0.1"]
    assert again.batches[2:] == [["10.0.0.1 PTR"]]


def test_after_srv_named_the_pods_every_address_is_asked_for_its_name() -> None:
    memory = Memory()
    look(portless(web_0="10.0.0.1"), memory)
    look({"web SRV": pods(web_0="10.0.0.1")}, memory)
    assert look(portless(web_1="10.0.0.1"), memory).found == ["web-1 10.0.0.1"]


def test_nothing_is_remembered_of_addresses_that_left() -> None:
    memory = Memory()
    chance = random.Random(5)
    for _ in range(30):
        hosts = chance.sample(range(1, 200), 20)
        look(portless(**{f"web_{n}": f"10.0.0.{n}" for n in hosts}), memory)
        assert memory.names.keys() == memory.origins.keys()
        assert memory.names.keys() == {f"10.0.0.{n}" for n in hosts}


def test_hundreds_are_named_as_few_are() -> None:
    names = {f"web_{n:03}": f"10.0.{n >> 8}.{n & 255}" for n in range(700)}
    looked = look(portless(**names))
    assert looked.found == [f"{name.replace('_', '-')} {names[name]}" for name in names]


# Checks, in turn.


MANY = portless(**{f"web_{n}": f"10.0.0.{n}" for n in range(1, 21)})


def test_at_most_eight_names_are_checked_in_a_lookup_and_all_in_turn() -> None:
    memory = Memory()
    look(MANY, memory)
    checked = [look(MANY, memory).batches[1][2:] for _ in range(5)]
    assert [len(each) for each in checked] == [8] * 5
    assert {question for each in checked[:3] for question in each} == {
        key for key in MANY if key.endswith("PTR")
    }


def test_a_check_is_not_waited_for() -> None:
    memory = Memory()
    look(MANY, memory)
    looked = look(MANY, memory)
    assert not any(each.needed for each in looked.questions if each.rdtype.name == "PTR")
    assert looked.needed("web A")


@pytest.mark.parametrize(
    "reply", [SERVFAIL, SILENT, NXDOMAIN, NODATA, cut(named("db-0.web")), named("db-0.api")]
)
def test_a_check_that_fails_changes_nothing(reply: Reply) -> None:
    memory = Memory()
    zone = portless(web_0="10.0.0.1", web_1="10.0.0.2")
    first = look(zone, memory)
    later = look({**zone, "10.0.0.1 PTR": reply}, memory)
    assert later.found == first.found
    healed = look({**zone, "10.0.0.1 PTR": named("db-0.web")}, memory)
    assert healed.found == ["db-0 10.0.0.1", "web-1 10.0.0.2"]


def test_an_unchanged_set_is_the_same_tuple_though_names_are_checked() -> None:
    memory = Memory()
    zone = {
        key: attrs.evolve(each, records=key) if isinstance(each, Answer) else each
        for key, each in portless(web_0="10.0.0.1", web_1="10.0.0.2").items()
    }
    outcomes = [look(zone, memory).outcome for _ in range(3)]
    assert all(isinstance(each, Found) for each in outcomes)
    assert len({id(each.endpoints) for each in outcomes if isinstance(each, Found)}) == 1


def test_a_name_that_ptr_denies_gives_way_to_a_dashed_one_that_is_confirmed() -> None:
    """CoreDNS 1.11.4 to 1.12.0 gives PTR to pods with host names alone (row 55)."""
    memory = Memory()
    look(portless(web_0="10.0.0.1"), memory)
    zone = {**portless(web_0="10.0.0.1"), "10.0.0.1 PTR": NXDOMAIN}
    assert look(zone, memory).found == ["web-0 10.0.0.1"], "it was not confirmed"
    zone["10-0-0-1.web A"] = addresses("10.0.0.1")
    assert look(zone, memory).found == ["10-0-0-1 10.0.0.1"]


def test_a_dashed_name_is_checked_as_such_and_ends_where_the_cluster_denies_it() -> None:
    memory = Memory()
    zone = {**portless(web_0="10.0.0.1"), "10.0.0.1 PTR": NXDOMAIN}
    zone["10-0-0-1.web A"] = addresses("10.0.0.1")
    look(zone, memory)
    assert look(zone, memory).batches[1][2:] == ["10-0-0-1.web A"]
    for says_nothing in (SERVFAIL, NODATA, Answer("NXDOMAIN")):
        later = look({**zone, "10-0-0-1.web A": says_nothing}, memory)
        assert later.found == ["10-0-0-1 10.0.0.1"]
    gone = {**zone, "10-0-0-1.web A": NXDOMAIN, "10.0.0.1 PTR": named("web-0.web")}
    assert look(gone, memory).found == ["web-0 10.0.0.1"]


def test_random_lives_end_with_the_names_that_dns_has() -> None:
    seed = random.randrange(10**9)
    print(f"seed {seed}")
    chance = random.Random(seed)
    for _ in range(50):
        memory = Memory()
        for _ in range(8):
            hosts = chance.sample(range(1, 9), chance.randint(0, 5))
            zone = portless(**{f"web_{n}": f"10.0.0.{host}" for n, host in enumerate(hosts)})
            look(zone if hosts else {}, memory)
        if hosts:
            found = look(zone, memory).found
            assert found == [f"web-{n} 10.0.0.{host}" for n, host in enumerate(hosts)]


# Dashed names prove nothing where any name has an address.


@pytest.mark.parametrize(
    "found", [("10.0.0.1",), ("10.0.0.1", "10.0.0.2"), ("10.0.0.1", "fd00::1"), ("192.0.2.7",)]
)
@pytest.mark.parametrize("wanted", [{}, {"port": 80}, {"family": "any"}])
@pytest.mark.parametrize("srv_says", [NODATA, Answer("NXDOMAIN"), Answer("NOERROR")])
def test_a_server_that_answers_any_name_proves_no_pod(
    found: tuple[str, ...], wanted: dict[str, Any], srv_says: Answer
) -> None:
    fours = tuple(address for address in found if ":" not in address)
    sixes = tuple(address for address in found if ":" in address)

    class Hijacker(dict[str, Reply]):
        def get(self, key: str, _default: Any = None) -> Any:
            match key.split()[1]:
                case "A":
                    return addresses(*fours)
                case "AAAA":
                    return addresses(*sixes) if sixes else NODATA
                case "SRV":
                    return srv_says
                case _:
                    return NXDOMAIN

    looked = look(Hijacker(), **wanted)
    assert isinstance(looked.outcome, Unknown)
    assert "random name" in str(looked.error)


def test_nor_does_it_a_lone_one_with_records_address() -> None:
    zone: Zone = {"web A": addresses("10.0.0.1"), "web AAAA": NODATA}
    wildcard = {"10-0-0-1.web A": addresses("10.0.0.1"), "made-up.web A": addresses("10.0.0.1")}
    looked = look({**zone, **wildcard}, records="address")
    assert isinstance(looked.outcome, Unknown)


@pytest.mark.parametrize("reply", [SERVFAIL, SILENT])
def test_a_made_up_name_that_nobody_denies_leaves_it_unknown(reply: Reply) -> None:
    zone = {**portless(web_0="10.0.0.1"), "10.0.0.1 PTR": NXDOMAIN}
    zone |= {"10-0-0-1.web A": addresses("10.0.0.1"), "made-up.web A": reply}
    assert look(zone).outcome == Unknown(reply)  # type: ignore[arg-type]  # it is an error


def test_another_made_up_name_is_asked_for_each_time() -> None:
    zone = {**portless(web_0="10.0.0.1"), "10.0.0.1 PTR": NXDOMAIN}
    names = set()
    for seed in range(5):
        looked = look(zone, seed=seed)
        names |= {each.name for each in looked.questions if each.name.startswith("no-pod-")}
    assert len(names) == 5


# Servers without PTR.


DEPLOYMENT: Zone = {
    **portless(a="10.0.0.1", b="10.0.0.2"),
    "10-0-0-1.web A": addresses("10.0.0.1"),
    "10-0-0-2.web A": addresses("10.0.0.2"),
}


@pytest.mark.parametrize("reply", [SERVFAIL, NXDOMAIN, NODATA])
def test_without_ptr_the_dashed_names_serve(reply: Reply) -> None:
    zone = {**DEPLOYMENT, "10.0.0.1 PTR": reply, "10.0.0.2 PTR": reply}
    assert look(zone).found == ["10-0-0-1 10.0.0.1", "10-0-0-2 10.0.0.2"]


@pytest.mark.parametrize("reply", [SILENT, NO_TCP, UNREAD])
def test_where_ptr_is_silent_dashed_names_are_asked_for_beside_it_the_next_time(
    reply: Reply,
) -> None:
    memory = Memory()
    silent: Zone = {**DEPLOYMENT, "10.0.0.1 PTR": reply, "10.0.0.2 PTR": reply}
    failing = {**silent, "10-0-0-1.web A": SILENT, "10-0-0-2.web A": SILENT}
    assert look(failing, memory).outcome == Unknown(SILENT), "no time was left"
    looked = look(silent, memory)
    assert looked.found == ["10-0-0-1 10.0.0.1", "10-0-0-2 10.0.0.2"]
    assert looked.batches[2:] == [
        ["10.0.0.1 PTR", "10.0.0.2 PTR", "10-0-0-1.web A", "10-0-0-2.web A", "made-up.web A"]
    ]
    assert not looked.needed("10.0.0.1 PTR")


@pytest.mark.parametrize("reply", [SILENT, NO_TCP, UNREAD])
def test_then_ptr_is_waited_for_where_there_is_no_dashed_name(reply: Reply) -> None:
    memory = Memory(no_ptr=True)
    zone = {**portless(web_0="10.0.0.1"), "10.0.0.1 PTR": reply}
    looked = look(Later(zone, "10.0.0.1 PTR", named("web-0.web")), memory)
    assert looked.found == ["web-0 10.0.0.1"]
    pointers = [each for each in looked.questions if asked(each) == "10.0.0.1 PTR"]
    assert [each.needed for each in pointers] == [False, True]
    assert not memory.no_ptr


def test_then_a_name_that_ptr_gives_after_all_goes_first() -> None:
    memory = Memory(no_ptr=True)
    looked = look(DEPLOYMENT, memory)
    assert looked.found == ["a 10.0.0.1", "b 10.0.0.2"]
    assert not memory.no_ptr


@pytest.mark.parametrize(
    ("family", "new"), [("prefer-ipv4", "fd00::2"), ("prefer-ipv6", "10.0.0.2"), ("any", "fd00::2")]
)
def test_a_name_that_is_all_that_is_missing_is_needed_whatever_its_family(
    family: str, new: str
) -> None:
    memory = Memory()
    zone: dict[str, Reply] = {
        **portless(web_0="10.0.0.1"),
        "web AAAA": addresses("fd00::1"),
        "fd00::1 PTR": named("web-0.web"),
        f"{new} PTR": named("web-1.web"),
    }
    look(zone, memory, family=family)
    listed = "web AAAA" if ":" in new else "web A"
    zone[listed] = addresses("fd00::1" if ":" in new else "10.0.0.1", new)
    looked = look(zone, memory, family=family)
    assert looked.batches[-1] == [f"{new} PTR"]
    assert looked.needed(f"{new} PTR")


# DNS64: addresses of the other family that were made up.


DNS64: Zone = {
    **portless(web_0="10.0.0.1", web_1="10.0.0.2"),
    "web AAAA": addresses("64:ff9b::a00:1", "64:ff9b::a00:2"),
}


@pytest.mark.parametrize("ptr", [NXDOMAIN, SERVFAIL, SILENT])
@pytest.mark.parametrize("family", ["prefer-ipv4", "any"])
def test_nameless_addresses_of_a_family_that_is_not_needed_are_left_out(
    family: str, ptr: Reply
) -> None:
    zone = {**DNS64, "64:ff9b::a00:1 PTR": ptr, "64:ff9b::a00:2 PTR": ptr}
    memory = Memory()
    looked = look(zone, memory, family=family)
    assert looked.found == ["web-0 10.0.0.1", "web-1 10.0.0.2"]
    assert look(zone, memory, family=family).found == looked.found
    assert len(look(zone, memory, family=family).batches) == 2, "they are checked in turn alone"


def test_nor_are_they_waited_for() -> None:
    memory = Memory()
    looked = look(DNS64, memory)
    assert not looked.needed("64:ff9b::a00:1 PTR")
    assert not look(DNS64, memory).needed("web AAAA")


def test_of_a_family_that_is_needed_none_is_left_out() -> None:
    assert isinstance(look(DNS64, family="prefer-ipv6").outcome, Unknown)
    assert isinstance(look(DNS64, family="ipv6").outcome, Unknown)


def test_nor_where_some_of_them_have_names() -> None:
    some = {**DNS64, "64:ff9b::a00:1 PTR": named("web-0.web")}
    assert isinstance(look(some).outcome, Unknown)


def test_nor_where_the_other_familys_have_none() -> None:
    assert isinstance(look({**DNS64, "10.0.0.1 PTR": NXDOMAIN}).outcome, Unknown)


def test_once_some_have_names_all_are_asked_again() -> None:
    memory = Memory()
    look(DNS64, memory)
    names = {"64:ff9b::a00:1 PTR": named("web-0.web"), "64:ff9b::a00:2 PTR": named("web-1.web")}
    for _ in range(2):
        looked = look({**DNS64, **names}, memory)
    assert looked.found == ["web-0 10.0.0.1,64:ff9b::a00:1", "web-1 10.0.0.2,64:ff9b::a00:2"]


def test_a_part_of_srv_names_addresses_that_ptr_does_not() -> None:
    part = cut(srv(("web-0.web", 80), glue={"web-0.web": ["10.0.0.1"]}))
    zone = {**portless(web_0="10.0.0.1", web_1="10.0.0.2"), "web SRV": part}
    zone["10.0.0.1 PTR"] = NXDOMAIN
    assert look(zone).found == ["web-0 10.0.0.1 80", "web-1 10.0.0.2 80"]
