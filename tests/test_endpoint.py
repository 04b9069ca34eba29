"""Endpoint, Snapshot, Change, State: the values that users see."""

import copy
import pickle
from typing import Literal

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headless_discovery import Change, Endpoint, Snapshot, State
from headless_discovery.testing import FakeCluster

ZONE = "web.shop.svc.cluster.local"
RECORDS: tuple[Literal["auto"], Literal["address"]] = ("auto", "address")
POD_ADDRESSES = st.ip_addresses(network="10.0.0.0/8") | st.ip_addresses(network="fd00::/16")


def endpoint(label: str = "web-0", *addresses: str, port: int | None = 8080) -> Endpoint:
    return Endpoint(f"{label}.{ZONE}", addresses or ("10.0.0.1",), port)


@pytest.mark.parametrize(
    ("address", "port", "text"),
    [
        ("10.0.0.1", 8080, "10.0.0.1:8080"),
        ("10.0.0.1", None, "10.0.0.1"),
        ("fd00::1", 8080, "[fd00::1]:8080"),
        ("fd00::1", None, "[fd00::1]"),
    ],
)
def test_as_text_it_is_what_goes_into_a_url(address: str, port: int | None, text: str) -> None:
    assert str(endpoint("web-0", address, port=port)) == text


def test_its_host_name_is_the_first_label_of_its_name() -> None:
    assert endpoint("web-0").hostname == "web-0"
    assert Endpoint("web-0", ("10.0.0.1",)).hostname == "web-0"
    assert Endpoint("10.0.0.1", ("10.0.0.1",)).hostname == "10.0.0.1", "of a fixed list"


@pytest.mark.parametrize(
    ("label", "ordinal"),
    [
        ("web-0", 0),
        ("web-12", 12),
        ("my-web-3", 3),
        ("1-2-3-4", 4),  # a pod may be called that: it is not its address
        ("web", None),
        ("web0", None),
        ("web-0-canary", None),
        ("3339386563373339", None),
    ],
)
def test_its_ordinal_is_the_number_at_the_end_of_a_statefulset_pods_name(
    label: str, ordinal: int | None
) -> None:
    assert endpoint(label).ordinal == ordinal


@pytest.mark.parametrize(
    ("address", "label"),
    [("10.0.0.1", "10-0-0-1"), ("fd00::1", "fd00--1"), ("fd00::", "fd00--0"), ("::1", "--1")],
)
def test_a_dashed_address_has_no_ordinal(address: str, label: str) -> None:
    assert endpoint(label, address, "10.9.9.9").ordinal is None


@pytest.mark.parametrize(
    ("address", "label"),
    [
        ("172.30.35.3", "172-30-35-3"),
        ("fd00::", "fd00--0"),
        ("::1", "--1"),
        ("2001:db8:3333:4444:5555:6666::", "2001-db8-3333-4444-5555-6666--0"),
        ("fd00:0:0:1::5", "fd00-0-0-1--5"),
        ("fd00:10:244:1::6", "fd00-10-244-1--6"),
    ],
)
def test_the_dashed_form_of_an_address_is_the_host_name_that_coredns_gives(
    address: str, label: str
) -> None:
    cluster = FakeCluster()
    families = ("ipv6",) if ":" in address else ("ipv4",)
    cluster.add_service("web", families=families).add_pod(address, name="a")
    for records in RECORDS:
        web = cluster.peers("web", port=80, family="any", records=records)
        assert [each.hostname for each in web] == [label]


def test_the_first_of_its_addresses_is_the_one_to_use() -> None:
    assert endpoint("web-0", "10.0.0.2", "fd00::2").address == "10.0.0.2"


def test_it_cannot_be_changed() -> None:
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        endpoint().port = 1  # type: ignore[misc]  # wrong on purpose
    assert not hasattr(endpoint(), "__dict__")


@pytest.mark.parametrize("addresses", [(), ["10.0.0.1"], "10.0.0.1"])
def test_its_addresses_are_a_tuple_with_something_in_it(addresses: object) -> None:
    with pytest.raises(TypeError, match="addresses must be a tuple"):
        Endpoint("web-0", addresses)  # type: ignore[arg-type]  # wrong on purpose


def test_its_identity_is_its_name_and_the_port_asked_for() -> None:
    assert endpoint(port=8080).identity == (f"web-0.{ZONE}", "8080")
    assert endpoint(port=None).identity == (f"web-0.{ZONE}", "")
    named = Endpoint(f"web-0.{ZONE}", ("10.0.0.1",), 8080, asked_for="http")
    assert named.identity == (f"web-0.{ZONE}", "http")


def test_equal_endpoints_are_equal_whatever_was_asked_for_and_can_be_set_members() -> None:
    named = Endpoint(f"web-0.{ZONE}", ("10.0.0.1",), 8080, asked_for="http")
    assert named == endpoint()
    assert {named, endpoint()} == {endpoint()}
    assert endpoint() != endpoint("web-1")


def test_it_can_be_pickled() -> None:
    assert pickle.loads(pickle.dumps(endpoint())) == endpoint()


def test_a_snapshot_starts_with_nothing_known() -> None:
    snapshot = Snapshot()
    assert (snapshot.endpoints, snapshot.state, snapshot.generation) == ((), State.PENDING, 0)
    assert (snapshot.ttl, snapshot.answered_at, snapshot.error) == (None, None, None)
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        snapshot.state = State.LIVE  # type: ignore[misc]  # wrong on purpose


def test_states_are_words() -> None:
    assert [str(state) for state in State] == ["pending", "live", "stale", "empty"]


def test_a_change_is_true_if_something_differs() -> None:
    nothing = Change((), (), (), Snapshot())
    assert not nothing
    assert attrs.evolve(nothing, added=(endpoint(),))
    assert attrs.evolve(nothing, removed=(endpoint(),))
    assert attrs.evolve(nothing, moved=((endpoint(), endpoint("web-0", "10.0.0.9")),))


@given(st.lists(POD_ADDRESSES.map(str), min_size=1, max_size=20, unique=True))
def test_those_found_at_once_are_as_those_made_one_by_one(addresses: list[str]) -> None:
    cluster = FakeCluster()
    service = cluster.add_service("web", ports={"http": 8080}, families=("ipv4", "ipv6"))
    for number, address in enumerate(addresses):
        service.add_pod(address, name=f"web-{number}")
    for port, records in (("http", RECORDS[0]), (80, RECORDS[0]), (80, RECORDS[1])):
        found = cluster.peers("web", port=port, family="any", records=records).endpoints()
        made = tuple(
            Endpoint(each.name, each.addresses, 8080 if port == "http" else 80, asked_for=str(port))
            for each in found
        )
        assert {each.address for each in found} == set(addresses)
        assert (found, pickle.loads(pickle.dumps(found))) == (made, made)
        assert [each.identity for each in found] == [each.identity for each in made]


def test_one_by_dns_is_as_if_zone_and_node_were_given_as_none() -> None:
    cluster = FakeCluster()
    cluster.add_service("web", ports={"http": 8080}).scale(1)
    [found] = cluster.peers("web", port="http")
    made = Endpoint(found.name, found.addresses, 8080, asked_for="http")
    assert (found.zone, found.node) == (None, None)
    assert (found, hash(found), repr(found)) == (made, hash(made), repr(made))
    for same in (copy.copy(found), pickle.loads(pickle.dumps(found)), attrs.evolve(found)):
        assert (same, same.identity) == (made, made.identity)
    with pytest.raises(AttributeError, match="no attribute 'region'"):
        getattr(found, "region")  # noqa: B009 - it has none
