"""What the EndpointSlices of a Service come to: the endpoints that DNS would publish of them."""

import logging
from collections.abc import Generator, Iterable
from typing import Any, TypeVar

import pytest

from headless_discovery import Endpoint, NoEndpoints, NoSuchPort, NotHeadless, ServiceName
from headless_discovery._api.parse import MalformedSliceError, SliceQuery
from headless_discovery._api.slices import Slices
from headless_discovery._endpoint import Empty, Found, Outcome, Wrong
from tests.slices import Object, endpoint, many, slice_of

T = TypeVar("T")
BELOW = "web.shop.svc.cluster.local"
MANAGED = {"endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io"}
HEADLESS = {**MANAGED, "service.kubernetes.io/headless": ""}


def all_of(steps: Generator[None, None, T]) -> T:
    """What comes of it, without the pauses."""
    while True:
        try:
            next(steps)
        except StopIteration as done:
            result: T = done.value
            return result


class Set:
    """The slices, at times that a test names."""

    def __init__(self, *slices: Object, **wanted: Any) -> None:
        self.query = SliceQuery(service=ServiceName("web", "shop"), **{"port": "http"} | wanted)
        self.slices = Slices(self.query)
        for one in slices:
            self.put(one)

    def put(self, one: Object, at: float = 0) -> bool:
        return all_of(self.slices.put(all_of(self.query.read(one)), at))

    def drop(self, name: str, at: float = 0) -> bool:
        return all_of(self.slices.drop(name, at))

    def settle(self, at: float = 0) -> Outcome:
        return all_of(self.slices.settle(at))

    def found(self, at: float = 0) -> tuple[Endpoint, ...]:
        outcome = self.settle(at)
        assert isinstance(outcome, Found)
        assert outcome.authoritative
        # What it says of the difference is what a comparison of both sets comes to.
        base = outcome.base or ()
        gone, come = Found(outcome.endpoints, 0).compared_with(base)
        assert (list(map(id, outcome.gone)), list(map(id, outcome.come))) == (
            list(map(id, gone)),
            list(map(id, come)),
        )
        return outcome.endpoints

    def shown(self, at: float = 0) -> list[str]:
        return shown(self.found(at))


def shown(endpoints: Iterable[Endpoint]) -> list[str]:
    return [f"{each.hostname} {' '.join(each.addresses)} {each.port}" for each in endpoints]


# Names.


def test_a_pod_is_called_by_its_host_name_or_by_its_address() -> None:
    web = Set(slice_of("a", endpoint("10.0.0.2"), endpoint("10.0.0.1", hostname="web-0")))
    assert web.shown() == ["10-0-0-2 10.0.0.2 8080", "web-0 10.0.0.1 8080"]
    assert web.found()[1].name == f"web-0.{BELOW}"


def test_a_pod_is_called_by_its_own_name_where_coredns_does_so() -> None:
    long = "p" * 64
    web = Set(
        slice_of(
            "a",
            endpoint("10.0.0.1", pod="web-x7k2p"),
            endpoint("10.0.0.2", pod=long),
            endpoint("10.0.0.3", pod="web-0", hostname="own"),
        ),
        pod_names=True,
    )
    assert [each.hostname for each in web.found()] == ["10-0-0-2", "own", "web-x7k2p"]


@pytest.mark.parametrize(
    ("pod", "label"),
    [
        ("my.app-5b9f7-x7k2p", "my.app-5b9f7-x7k2p"),
        ("My_Node", "my_node"),
        ("a" * 31 + "." + "b" * 31, "a" * 31 + "." + "b" * 31),
        ("a" * 32 + "." + "b" * 31, "10-0-0-1"),
        ("vm/7", "10-0-0-1"),
        ("a b", "10-0-0-1"),
        ("a..b", "10-0-0-1"),
        (".", "10-0-0-1"),
        ("pod.", "10-0-0-1"),
        ("knoten-ä", "10-0-0-1"),
    ],
)
def test_a_pod_whose_name_is_no_label_hides_no_other(pod: str, label: str) -> None:
    slices = slice_of("a", endpoint("10.0.0.1", pod=pod), endpoint("10.0.0.2", pod="web-x7k2p"))
    assert {
        each.name: (each.address, each.pod) for each in Set(slices, pod_names=True).found()
    } == {
        f"{label}.{BELOW}": ("10.0.0.1", pod),
        f"web-x7k2p.{BELOW}": ("10.0.0.2", "web-x7k2p"),
    }


@pytest.mark.parametrize("hostname", ["a\nb", "h" * 64, "-.", "*"])
def test_a_host_name_that_cannot_be_one_hides_nobody(hostname: str) -> None:
    slices = slice_of("a", endpoint("10.0.0.1", hostname=hostname), endpoint("10.0.0.2"))
    assert Set(slices).shown() == ["10-0-0-1 10.0.0.1 8080", "10-0-0-2 10.0.0.2 8080"]


def test_it_tells_zone_node_and_pod() -> None:
    (peer,) = Set(slice_of("a", endpoint("10.0.0.1", zone="z1", node="n1", pod="web-0"))).found()
    assert (peer.zone, peer.node, peer.pod) == ("z1", "n1", "web-0")


def test_they_are_sorted_by_identity() -> None:
    names = ["web-10", "web-2", "a", "web-1"]
    pods = [endpoint(f"10.0.0.{at}", hostname=name) for at, name in enumerate(names)]
    assert [each.hostname for each in Set(slice_of("a", *pods)).found()] == sorted(names)


# Readiness.


@pytest.mark.parametrize("ready", [True, None])
def test_ready_is_who_is_not_said_to_be_unready(ready: bool | None) -> None:
    assert len(Set(slice_of("a", endpoint("10.0.0.1", ready=ready))).found()) == 1


def test_who_serves_but_terminates_is_not_published() -> None:
    pod = endpoint("10.0.0.1", ready=False, serving=True, terminating=True)
    outcome = Set(slice_of("a", pod)).settle()
    assert isinstance(outcome, Empty)
    assert isinstance(outcome.error, NoEndpoints)
    assert "no ready" in str(outcome.error)


def test_ready_in_any_slice_wins() -> None:
    web = Set(slice_of("a", endpoint("10.0.0.1", ready=False)), slice_of("b", endpoint("10.0.0.1")))
    assert web.shown() == ["10-0-0-1 10.0.0.1 8080"]


@pytest.mark.parametrize("nothing", [None, [], "absent"])
@pytest.mark.parametrize("field", ["endpoints", "ports", "conditions", "addresses", "metadata"])
def test_null_absent_and_empty_are_the_same(field: str, nothing: object) -> None:
    one = slice_of("a", endpoint("10.0.0.1"))
    where = {"metadata": one["metadata"], "conditions": one["endpoints"][0]}
    where["addresses"] = where["conditions"]
    within, key = where.get(field, one), "labels" if field == "metadata" else field
    if nothing == "absent":
        del within[key]
    else:
        within[key] = nothing
    outcome = Set(one).settle()
    match field:
        case "conditions" | "metadata":
            assert isinstance(outcome, Found)
        case "ports":
            assert isinstance(outcome, Wrong)
        case _:
            assert isinstance(outcome, Empty)


# Ports.


def test_a_port_is_that_of_the_name_and_the_protocol() -> None:
    ports = [{"name": "HTTP", "port": 80}, {"name": "http", "port": 53, "protocol": "UDP"}]
    one = slice_of("a", endpoint("10.0.0.1"), ports=ports)
    assert Set(one).found()[0].port == 80
    assert Set(one, protocol="udp").found()[0].port == 53


def test_a_number_is_used_as_it_is() -> None:
    assert Set(slice_of("a", endpoint("10.0.0.1")), port=9).found()[0].port == 9
    assert Set(slice_of("a", endpoint("10.0.0.1"), ports=None), port=9).found()[0].port == 9


def test_without_a_port_it_is_the_only_one_or_none() -> None:
    both = [{"name": "a", "port": 1}, {"name": "b", "port": 2}]
    assert Set(slice_of("a", endpoint("10.0.0.1")), port=None).found()[0].port == 8080
    assert Set(slice_of("a", endpoint("10.0.0.1"), ports=None), port=None).found()[0].port is None
    web = Set(
        slice_of("a", endpoint("10.0.0.1"), ports=both), slice_of("b", endpoint("10.0.0.2")),
        port=None,
    )  # fmt: skip
    assert [each.port for each in web.found()] == [None, None]


def test_those_without_a_number_are_left_out_while_any_has_one() -> None:
    for port in (None, 9):
        web = Set(slice_of("a", endpoint("10.0.0.1"), ports=[{"name": "http"}]), port=port)
        assert len(web.found()) == 1
        web.put(slice_of("b", endpoint("10.0.0.2")))
        assert [each.address for each in web.found()] == ["10.0.0.2"]
        web.drop("b", at=20)
        assert len(web.found(20)) == 2
        assert [each.address for each in web.found(22)] == ["10.0.0.1"]


@pytest.mark.parametrize("number", [65536, -1, 2**31 - 1, -(2**31)])
def test_a_number_that_no_port_can_have_is_none(number: int) -> None:
    ports = [{"name": "http", "port": 80}, {"name": "odd", "port": number}]
    slices = slice_of("a", endpoint("10.0.0.1"), ports=ports), slice_of("b", endpoint("10.0.0.2"))
    assert [each.port for each in Set(*slices).found()] == [80, 8080]
    assert [each.port for each in Set(*slices, port=None).found()] == [80, 8080]
    assert isinstance(Set(*slices, port="odd").settle(), Wrong)


def test_two_numbers_under_one_name_are_two_endpoints() -> None:
    pod = endpoint("10.0.0.1", hostname="web-0", pod="web-0")
    web = Set(slice_of("a", pod), slice_of("b", pod, ports=[{"name": "http", "port": 81}]))
    first, second = web.found()
    assert first.identity == (f"web-0.{BELOW}", "http")
    assert second.identity == (f"web-0.{BELOW}", "http:8080")
    assert (first.port, second.port) == (81, 8080)


@pytest.mark.parametrize("port", ["http", None])
def test_a_pod_whose_port_changes_is_never_two(port: str | None) -> None:
    pod = endpoint("10.0.0.1", pod="p")
    web = Set(slice_of("old", pod), port=port)
    (old,) = web.found()
    web.put(slice_of("new", pod, ports=[{"name": "http", "port": 9}]), at=10)
    (new,) = web.found(10)
    assert (new.identity, new.port) == (old.identity, 9)
    assert web.found(11) == (new,)
    assert web.slices.due == 12
    web.drop("old", at=11)
    assert web.found(11)[0] is new
    assert web.found(20)[0] is new


@pytest.mark.parametrize("port", ["http", None])
def test_one_that_stays_in_two_slices_is_as_dns_has_it(port: str | None) -> None:
    pod = endpoint("10.0.0.1", pod="p")
    web = Set(slice_of("old", pod), port=port)
    web.found()
    web.put(slice_of("new", pod, ports=[{"name": "http", "port": 9}]), at=10)
    assert [each.port for each in web.found(10)] == [9]
    assert [each.port for each in web.found(12)] == ([9, 8080] if port else [None])
    assert web.slices.due == float("inf")


def test_ready_endpoints_none_of_which_has_the_port_are_no_empty_set() -> None:
    outcome = Set(slice_of("a", endpoint("10.0.0.1"))).settle()
    assert isinstance(outcome, Found)
    outcome = Set(slice_of("a", endpoint("10.0.0.1")), port="grpc").settle()
    assert isinstance(outcome, Wrong)
    assert isinstance(outcome.error, NoSuchPort)
    assert "kubectl" in (outcome.error.hint or "")


def test_those_of_another_family_tell_whether_there_is_such_a_port() -> None:
    one = slice_of("a", endpoint("10.0.0.1"))
    assert isinstance(Set(one, family="ipv6").settle(), Empty)
    outcome = Set(one, family="ipv6", port="grpc").settle()
    assert isinstance(outcome, Wrong)
    assert isinstance(outcome.error, NoSuchPort)
    assert isinstance(Set(one, family="ipv6", port=None).settle(), Empty)
    unready = slice_of("a", endpoint("10.0.0.1", ready=False))
    assert isinstance(Set(unready, family="ipv6", port="grpc").settle(), Empty)


# Families.


def dual(*slices: Object, family: str) -> list[str]:
    return [" ".join(each.addresses) for each in Set(*slices, family=family).found()]


def test_a_pod_with_a_host_name_has_its_addresses_of_both_families() -> None:
    four = slice_of("a", endpoint("10.0.0.1", hostname="web-0", pod="web-0"))
    six = slice_of("b", endpoint("fd00::1", hostname="web-0", pod="web-0"), kind="IPv6")
    assert dual(four, six, family="prefer-ipv4") == ["10.0.0.1 fd00::1"]
    assert dual(four, six, family="prefer-ipv6") == ["fd00::1 10.0.0.1"]
    assert dual(four, six, family="any") == ["10.0.0.1 fd00::1"]
    assert dual(four, six, family="ipv6") == ["fd00::1"]


def test_so_does_one_of_which_no_pod_is_told() -> None:
    four = slice_of("a", endpoint("10.0.0.1", hostname="web-0"))
    six = slice_of("b", endpoint("fd00::1", hostname="web-0"), kind="IPv6")
    assert dual(four, six, family="prefer-ipv4") == ["10.0.0.1 fd00::1"]
    assert dual(six, family="prefer-ipv4") == ["fd00::1"]


def test_of_dashed_names_one_family_is_used() -> None:
    four = [endpoint(f"10.0.0.{at}", pod=f"p{at}") for at in range(1, 5)]
    six = [endpoint(f"fd00::{at}", pod=f"p{at}") for at in range(1, 5)]
    both = slice_of("a", *four[:2]), slice_of("b", *six, kind="IPv6")
    assert dual(*both, family="prefer-ipv4") == ["10.0.0.1", "10.0.0.2"]
    fewer = slice_of("a", *four[:1]), slice_of("b", *six, kind="IPv6")
    assert dual(*fewer, family="prefer-ipv4") == [f"fd00::{at}" for at in range(1, 5)]
    assert len(dual(*both, family="any")) == 6


def test_an_address_is_told_in_canonical_text() -> None:
    (peer,) = Set(slice_of("a", endpoint("FD00:0::A"), kind="IPv6")).found()
    assert (peer.hostname, peer.address) == ("fd00--a", "fd00::a")


@pytest.mark.parametrize(
    ("address", "dashed"),
    [("::1:2", "--1-2"), ("fd00::", "fd00--0"), ("64:ff9b::a00:1", "64-ff9b--a00-1")],
)
def test_any_address_has_the_dashed_name_that_dns_gives_it(address: str, dashed: str) -> None:
    (peer,) = Set(slice_of("a", endpoint(address), kind="IPv6")).found()
    assert (peer.hostname, peer.address) == (dashed, address)


def test_slices_of_names_are_left_out_with_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        web = Set(slice_of("a", endpoint("db.example.com"), kind="FQDN"))
        web.put(slice_of("b", endpoint("db.example.com"), kind="FQDN"))
        web.put(slice_of("c", endpoint("10.0.0.1")))
    assert web.shown() == ["10-0-0-1 10.0.0.1 8080"]
    assert len(caplog.records) == 1
    assert "FQDN" in caplog.text


def test_addresses_that_no_pod_can_have_are_left_out_with_one_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING):
        web = Set(slice_of("a", endpoint("10.0.0.1", "239.1.1.1"), endpoint("255.255.255.255")))
        web.put(slice_of("b", endpoint("0.0.0.0"), endpoint("10.0.0.2", "224.0.0.1", hostname="b")))
        web.put(slice_of("c", endpoint("::ffff:10.0.0.1"), endpoint("ff02::1"), kind="IPv6"))
    assert web.shown() == ["10-0-0-1 10.0.0.1 8080", "b 10.0.0.2 8080"]
    assert len(caplog.records) == 1
    assert "no pod can have: 239.1.1.1" in caplog.text


@pytest.mark.parametrize(
    ("odd", "kind"),
    [
        ("010.0.0.2", "IPv4"),
        ("::ffff:10.0.0.2", "IPv4"),
        ("fd00::1", "IPv4"),
        ("10.0.0.999", "IPv4"),
        ("10.0.0.2", "IPv6"),
        ("fd00::g", "IPv6"),
        ("fe80::1%eth0", "IPv6"),
        ("web\n", "IPv6"),
    ],
)
def test_so_are_addresses_that_cannot_be_read(
    odd: str, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    good = "10.0.0.1" if kind == "IPv4" else "fd00::2"
    with caplog.at_level(logging.WARNING):
        web = Set(slice_of("a", endpoint(odd), endpoint(good), kind=kind))
    assert [each.address for each in web.found()] == [good]
    [record] = caplog.records
    assert record.getMessage().endswith(f"no pod can have: {odd!r}")


# One and several.


def test_several_addresses_are_one_endpoint_with_a_host_name_else_one_each() -> None:
    one = slice_of("a", endpoint("10.0.0.2", "10.0.0.1", hostname="web-0"))
    assert Set(one).shown() == ["web-0 10.0.0.1 10.0.0.2 8080"]
    one = slice_of("a", endpoint("10.0.0.2", "10.0.0.1"))
    assert Set(one).shown() == ["10-0-0-1 10.0.0.1 8080", "10-0-0-2 10.0.0.2 8080"]


def test_pods_that_share_a_name_are_several() -> None:
    pods = [endpoint(f"10.0.0.{at}", hostname="web", pod=f"p{at}") for at in (2, 1)]
    first, second = Set(slice_of("a", *pods)).found()
    assert first.identity == (f"web.{BELOW}", "http")
    assert second.identity == (f"web.{BELOW}", "http@10.0.0.2")
    assert (first.address, second.address) == ("10.0.0.1", "10.0.0.2")


def test_whatever_has_an_address_in_common_is_one_pod() -> None:
    web = Set(
        slice_of("a", endpoint("10.0.0.1", hostname="db", pod="p", uid="1")),
        slice_of("b", endpoint("10.0.0.2", hostname="db", pod="q", uid="2")),
    )
    assert len(web.found()) == 2
    web.put(slice_of("c", endpoint("10.0.0.2", "10.0.0.1", hostname="db", pod="r", uid="3")))
    assert web.shown() == ["db 10.0.0.1 10.0.0.2 8080"]
    web.drop("a", at=10)
    web.drop("c", at=10)
    assert web.shown(20) == ["db 10.0.0.2 8080"]


def test_thousands_of_pods_may_share_a_name() -> None:
    """Each step takes as long for one more: else these would take minutes."""
    count = 20
    web = Set()
    for at in range(count):
        pods = [endpoint(f"10.{at}.{n >> 8}.{n & 255}", hostname="db") for n in range(1000)]
        web.put(slice_of(f"s{at}", *pods))
    assert len(web.found()) == count * 1000
    web.put(slice_of("s0", endpoint("10.0.0.0", hostname="db")))
    web.drop("s1")
    web.found(1)
    assert len(web.found(20)) == (count - 2) * 1000 + 1


def test_the_newest_of_them_has_the_name_until_it_goes() -> None:
    def pod(at: int, **options: Any) -> Object:
        return endpoint(f"10.0.0.{at}", hostname="web", pod=f"p{at}", **options)

    web = Set(slice_of("a", pod(1)))
    (one,) = web.found()
    web.put(slice_of("a", pod(1), pod(2)))
    newest, other = web.found()
    assert (newest.address, other.address) == ("10.0.0.2", "10.0.0.1")
    web.put(slice_of("a", pod(1), pod(2, ready=False)))
    assert web.found() == (one,)
    assert web.found()[0].identity == one.identity


def test_two_pods_on_one_address_are_one_endpoint() -> None:
    old = endpoint("10.0.0.1", pod="old", zone="z1", terminating=True)
    new = endpoint("10.0.0.1", pod="new", zone="z2")
    for pods in ((old, new), (new, old)):
        (peer,) = Set(slice_of("a", *pods)).found()
        assert (peer.pod, peer.zone) == ("new", "z2")
    silent = endpoint("10.0.0.1", pod="silent", serving=False)
    (peer,) = Set(slice_of("a", silent, new)).found()
    assert peer.pod == "new"


@pytest.mark.parametrize("service", ["db", "web-0", "web.shop", ""])
def test_slices_of_another_service_do_not_count(service: str) -> None:
    other = slice_of("b", endpoint("10.0.0.2"), ports=None, service=service)
    assert Set(slice_of("a", endpoint("10.0.0.1")), other).shown() == ["10-0-0-1 10.0.0.1 8080"]
    web = Set(slice_of("a", endpoint("10.0.0.1")), slice_of("b", endpoint("10.0.0.2")))
    web.put(other, at=10)
    assert [each.address for each in web.found(20)] == ["10.0.0.1"]


def test_a_slice_without_the_label_counts_since_it_was_selected() -> None:
    bare = slice_of("a", endpoint("10.0.0.1"))
    bare["metadata"]["labels"] = None
    assert Set(bare).shown()


def test_one_that_is_in_two_slices_is_one_and_stays_when_one_goes() -> None:
    pod = endpoint("10.0.0.1", pod="p")
    web = Set(slice_of("a", pod), slice_of("b", pod))
    (one,) = web.found()
    web.drop("a")
    assert web.found()[0] is one


# What changes.


def test_what_did_not_change_is_the_same_object() -> None:
    web = Set(slice_of("a", endpoint("10.0.0.1"), endpoint("10.0.0.2")))
    one, two = before = web.found()
    assert web.found() is before
    web.put(slice_of("a", endpoint("10.0.0.1"), endpoint("10.0.0.2", zone="z")))
    assert web.found()[0] is one
    assert web.found()[1].identity == two.identity
    assert not web.put(slice_of("a", endpoint("10.0.0.1"), endpoint("10.0.0.2", zone="z")))
    assert not web.drop("b")


def test_who_is_listed_as_unready_goes_at_once() -> None:
    web = Set(slice_of("a", endpoint("10.0.0.1"), endpoint("10.0.0.2")))
    web.found()
    web.put(slice_of("a", endpoint("10.0.0.1"), endpoint("10.0.0.2", ready=False)))
    assert web.shown() == ["10-0-0-1 10.0.0.1 8080"]


def test_who_vanishes_while_ready_is_kept_until_nothing_changed_for_two_seconds() -> None:
    web = Set(slice_of("a", endpoint("10.0.0.1"), endpoint("10.0.0.2")))
    before = web.found()
    web.put(slice_of("a", endpoint("10.0.0.1")), at=10)
    assert web.found(10) is before
    assert web.slices.due == 12
    web.put(slice_of("b", endpoint("10.0.0.3")), at=11)
    assert len(web.found(11)) == 3
    assert web.slices.due == 13
    assert len(web.found(12.9)) == 3
    assert web.shown(13) == ["10-0-0-1 10.0.0.1 8080", "10-0-0-3 10.0.0.3 8080"]
    assert web.slices.due == float("inf")


def test_but_ten_seconds_at_most() -> None:
    web = Set(slice_of("a", endpoint("10.0.0.1"), endpoint("10.0.0.2")))
    web.found()
    web.put(slice_of("a", endpoint("10.0.0.1")), at=10)
    for at in range(10, 20):
        web.put(slice_of("b", endpoint("10.0.1.1", zone=str(at))), at=at)
        assert len(web.found(at)) == 3
    assert len(web.found(20)) == 2


def test_who_comes_back_meanwhile_was_never_away() -> None:
    web = Set(slice_of("a", endpoint("10.0.0.1", pod="p")))
    before = web.found()
    web.drop("a", at=10)
    assert web.found(10) is before
    web.put(slice_of("b", endpoint("10.0.0.1", pod="p")), at=11)
    assert web.found(11) is before
    assert web.found(30) is before


def test_one_that_comes_back_with_another_port_has_moved() -> None:
    web = Set(slice_of("a", endpoint("10.0.0.1", pod="p")))
    (old,) = web.found()
    web.drop("a", at=10)
    web.found(10)
    web.put(slice_of("b", endpoint("10.0.0.1", pod="p"), ports=[{"name": "http", "port": 9}]), 11)
    (new,) = web.found(11)
    assert (new.identity, new.port) == (old.identity, 9)


def test_a_name_that_comes_back_at_another_address_has_moved_at_once() -> None:
    web = Set(slice_of("a", endpoint("10.0.0.1", hostname="web-0", pod="web-0", uid="1")))
    (old,) = web.found()
    web.drop("a", at=10)
    web.found(10)
    web.put(slice_of("b", endpoint("10.0.0.9", hostname="web-0", pod="web-0", uid="2")), at=10.5)
    (new,) = web.found(10.5)
    assert (new.identity, new.address) == (old.identity, "10.0.0.9")
    assert web.slices.due == float("inf")


def test_one_that_vanished_is_gone_once_it_is_listed_as_unready() -> None:
    web = Set(slice_of("a", endpoint("10.0.0.1"), endpoint("10.0.0.2")))
    web.found()
    web.put(slice_of("a", endpoint("10.0.0.1")), at=10)
    web.found(10)
    web.put(slice_of("b", endpoint("10.0.0.2", ready=False)), at=10.1)
    assert web.shown(10.1) == ["10-0-0-1 10.0.0.1 8080"]


def test_one_of_several_under_a_name_that_vanishes_is_kept_as_well() -> None:
    pods = [endpoint(f"10.0.0.{at}", hostname="web", pod=f"p{at}") for at in (1, 2)]
    web = Set(slice_of("a", *pods))
    before = web.found()
    web.put(slice_of("a", pods[1]), at=10)
    assert web.found(10) == before
    after = web.found(12)
    assert [each.address for each in after] == ["10.0.0.2"]
    assert after[0].identity == (f"web.{BELOW}", "http")


def test_all_that_a_new_list_lacks_has_vanished() -> None:
    web = Set(slice_of("a", endpoint("10.0.0.1")), slice_of("b", endpoint("10.0.0.2")))
    one, two = web.found()
    new = all_of(web.query.read(slice_of("a", endpoint("10.0.0.1"))))
    assert len(list(web.slices.replace({"a": new}, 10))) == 2
    assert web.found(10) == (one, two)
    assert web.found(12)[0] is one
    assert len(web.found(12)) == 1


# Nobody.


def test_the_last_that_turned_unready_are_told_from_those_that_went() -> None:
    web = Set(slice_of("a", endpoint("10.0.0.1"), endpoint("10.0.0.2")))
    one, _ = web.found()
    web.put(
        slice_of(
            "a",
            endpoint("10.0.0.1", ready=False),
            endpoint("10.0.0.2", ready=False, terminating=True),
        )
    )
    outcome = web.settle()
    assert isinstance(outcome, Empty)
    assert outcome.kept == (one,)
    web.put(slice_of("a", endpoint("10.0.0.1", ready=False, terminating=True)))
    outcome = web.settle()
    assert isinstance(outcome, Empty)
    assert outcome.kept == ()


def test_the_last_that_vanish_are_kept_for_a_while_and_then_gone() -> None:
    web = Set(slice_of("a", endpoint("10.0.0.1")))
    web.found()
    web.drop("a", at=10)
    assert len(web.found(10)) == 1
    outcome = web.settle(12)
    assert isinstance(outcome, Empty)
    assert outcome.kept == ()
    assert "no EndpointSlice" in str(outcome.error)


# Other kinds of Services.


def test_slices_that_the_controller_does_not_call_headless_are_a_cluster_ips() -> None:
    outcome = Set(slice_of("a", endpoint("10.0.0.1"), labels=MANAGED)).settle()
    assert isinstance(outcome, Wrong)
    assert isinstance(outcome.error, NotHeadless)


def test_those_of_a_service_made_headless_count_beside_the_old_ones() -> None:
    web = Set(slice_of("old", endpoint("10.0.0.1"), labels=MANAGED))
    web.settle()
    web.put(slice_of("new", endpoint("10.0.0.1"), labels=HEADLESS))
    assert web.shown() == ["10-0-0-1 10.0.0.1 8080"]


def test_those_that_others_wrote_say_nothing_of_it() -> None:
    mirrored = {"endpointslice.kubernetes.io/managed-by": "endpointslicemirroring-controller"}
    assert Set(slice_of("a", endpoint("10.0.0.1"), labels=mirrored)).shown()


# What is no EndpointSlice.


@pytest.mark.parametrize(
    "nonsense",
    [
        None,
        [],
        {},
        {"metadata": {"name": 5}, "addressType": "IPv4"},
        slice_of("a", endpoint("10.0.0.1"), ports=[{"name": "http", "port": "80"}]),
        slice_of("a", endpoint("10.0.0.1"), ports=[{"name": 5, "port": 80}]),
        slice_of("a", {"addresses": [5]}),
        slice_of("a", endpoint("10.0.0.1") | {"zone": ["a"]}),
        slice_of("a", endpoint("10.0.0.1") | {"nodeName": 5}),
        slice_of("a", endpoint("10.0.0.1") | {"targetRef": {"name": {"a": "b"}}}),
        slice_of("a", endpoint("10.0.0.1") | {"targetRef": {"uid": ["a"]}}),
        slice_of("a", endpoint("10.0.0.1") | {"hostname": 5}),
        slice_of("a", endpoint("10.0.0.1")) | {"endpoints": 5},
        slice_of("a") | {"endpoints": ["text"]},
    ],
)
def test_nonsense_is_refused_whole(nonsense: object) -> None:
    with pytest.raises(MalformedSliceError):
        all_of(Set().query.read(nonsense))


@pytest.mark.parametrize("nothing", [None, "", [], {}])
def test_where_a_pod_runs_is_text_or_not_known(nothing: object) -> None:
    told = {"zone": nothing, "nodeName": nothing, "targetRef": {"name": nothing, "uid": nothing}}
    [found] = Set(slice_of("a", endpoint("10.0.0.1") | told)).found()
    assert (found.zone, found.node) == (None, None)


# A result that is given up halfway.


@pytest.mark.parametrize("pauses", [1, 2, 3])
@pytest.mark.parametrize(
    "after", [many(600), many(600, start=300), many(900), many(600, ready=False)]
)
def test_a_result_that_was_given_up_halfway_loses_nothing(after: Object, pauses: int) -> None:
    web, whole = Set(many(700)), Set(many(700))
    for one in (web, whole):
        one.found()
        one.put(after, at=1)
    settling = web.slices.settle(1)
    for _ in range(pauses):
        next(settling, None)
    settling.close()
    for at in (1, 20):
        assert same(web.settle(at), whole.settle(at))


def test_the_first_result_may_be_given_up_too() -> None:
    web = Set(many(600))
    next(settling := web.slices.settle(0))
    settling.close()
    assert len(web.found()) == 600


def test_what_comes_back_after_a_result_was_given_up_is_shown() -> None:
    web = Set(many(600))
    web.found()
    web.put(many(600, ready=False), at=1)
    next(settling := web.slices.settle(1))
    settling.close()
    web.put(many(600), at=2)
    assert len(web.found(at=2)) == 600


def test_a_slice_that_was_taken_in_halfway_was_not_taken_in() -> None:
    web = Set(many(700))
    assert len(web.found()) == 700
    for steps in (web.slices.put(all_of(web.query.read(many(1000))), 1), web.slices.drop("s0", 1)):
        next(steps)
        steps.close()
        assert len(web.found(20)) == 700
    web.put(many(1000), at=1)
    assert len(web.found(1)) == 1000


def same(one: Outcome, other: Outcome) -> bool:
    if isinstance(one, Found) and isinstance(other, Found):
        return shown(one.endpoints) == shown(other.endpoints)
    return type(one) is type(other)
