"""Replies are read as dnspython reads them, and the usual ones fast."""

import ipaddress
import json
import os
import random
import re
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headless_discovery.testing import FakeCluster
from tests.agreement import check_read, outcome
from tests.hostile import HOSTILE, SIZE, START, full, pointing
from tests.lookups import Answer, Type, encode_name, query, read, scan, v6_by_dnspython
from tests.raw import EDNS, TO_QUESTION, message, record, service
from tests.speed import allowed

pytestmark = pytest.mark.slow

TESTS = Path(__file__).parent
WEB = "web.shop.svc.cluster.local"
HOT = (Type.A, Type.AAAA, Type.SRV, Type.PTR)
REVERSE = "1.0.0.10.in-addr.arpa"
OWNERS = {"a pointer": TO_QUESTION, "written out": encode_name(WEB)}
SOA = encode_name("ns.dns.cluster.local") + encode_name("hostmaster.cluster.local") + bytes(20)
DENIAL = record(encode_name("cluster.local"), 6, SOA)


# The same as dnspython.


def recorded() -> Iterator[tuple[str, bytes]]:
    for path in sorted((TESTS / "recorded").glob("*.json")):
        for exchange in json.loads(path.read_text())["exchanges"]:
            if exchange["reply"]:
                yield exchange["question"]["type"], bytes.fromhex(exchange["reply"])


def test_every_recorded_reply_is_read_as_dnspython_reads_it_and_nearly_all_are_scanned() -> None:
    hot = scanned = 0
    for rdtype, wire in recorded():
        found = check_read(wire)
        if rdtype in {each.name for each in HOT} and wire[3] & 0xF in (0, 3):
            hot += 1
            scanned += found is not None
    assert hot > 430
    assert scanned >= hot - 9, "aliases, wildcards, and owners in another case than the question's"


@pytest.mark.parametrize(
    "path", sorted((TESTS / "fuzz" / "corpus").iterdir()), ids=lambda path: path.name
)
def test_what_the_fuzzer_starts_from_is_scanned_unless_its_name_says_odd(path: Path) -> None:
    wire = path.read_bytes()
    assert (check_read(wire) is None) is path.name.endswith("-odd")


def cluster_reply(pods: int, rdtype: Type, *, tcp: bool, ip: str = "10.0.{}.{}") -> bytes:
    """What the fake of CoreDNS answers about so many pods."""
    cluster = FakeCluster()
    web = cluster.add_service(
        "web", ports={"http": 80}, families=("ipv6",) if ":" in ip else ("ipv4",)
    )
    for number in range(1, pods + 1):
        web.add_pod(ip.format(number >> 8, number & 0xFF))
    port = "_http._tcp." if rdtype is Type.SRV else ""
    wire = cluster.answer(query(f"{port}web.default.svc.cluster.local", rdtype, edns=1232), tcp=tcp)
    assert wire is not None
    return wire


@pytest.mark.parametrize("tcp", [False, True], ids=["udp", "tcp"])
@pytest.mark.parametrize("pods", [1, 3, 20, 100])
@pytest.mark.parametrize("ip", ["10.0.{}.{}", "fd00::{}:{}"])
@pytest.mark.parametrize("srv", [False, True], ids=["address", "srv"])
def test_what_coredns_answers_about_pods_is_scanned_whole_or_cut(
    srv: bool, ip: str, pods: int, tcp: bool
) -> None:
    rdtype = Type.SRV if srv else Type.AAAA if ":" in ip else Type.A
    answer = check_read(cluster_reply(pods, rdtype, tcp=tcp, ip=ip))
    assert answer is not None
    assert answer.truncated or len(answer.addresses) + len(answer.services) == pods


@pytest.mark.parametrize(("rdtype", "pods"), [(Type.A, 1300), (Type.SRV, 450), (Type.SRV, 700)])
def test_answers_that_take_all_of_64_kib_are_scanned_too(rdtype: Type, pods: int) -> None:
    # Compressed; glue whose target stands too far back for a pointer; glue that was cut off.
    assert check_read(cluster_reply(pods, rdtype, tcp=True)) is not None


# Shape by shape.


def web(address: str) -> bytes:
    return ipaddress.ip_address(address).packed


def scanned(wire: bytes) -> Any:
    """What the scan reads, and must read."""
    answer = check_read(wire)
    assert answer is not None, "left to dnspython"
    return answer


@pytest.mark.parametrize("owner", OWNERS.values(), ids=OWNERS)
@pytest.mark.parametrize("additional", [[], [EDNS]], ids=["", "edns"])
def test_addresses_are_read_in_their_order_and_once(owner: bytes, additional: list[bytes]) -> None:
    addresses = ["10.0.0.3", "10.0.0.1", "10.0.0.3", "10.0.0.2"]
    records = [record(owner, 1, web(address)) for address in addresses]
    answer = scanned(message(WEB, Type.A, records, additional=additional))
    assert answer.addresses == ("10.0.0.3", "10.0.0.1", "10.0.0.2")
    assert answer.ttl == 30


@pytest.mark.parametrize(
    "address", ["fd00::1", "::", "::1", "::ffff:10.0.0.1", "1:0:2:0:3:0:4:5", "fd00:0:0:1::5"]
)
def test_an_ipv6_address_is_written_as_dnspython_writes_it_by_any_c_library(address: str) -> None:
    packed = web(address)
    answer = scanned(message(WEB, Type.AAAA, [record(TO_QUESTION, 28, packed)]))
    assert answer.addresses == (v6_by_dnspython(packed),)


@pytest.mark.parametrize("owner", OWNERS.values(), ids=OWNERS)
def test_glue_belongs_to_its_target_however_its_owner_is_written(owner: bytes) -> None:
    targets = [encode_name(f"web-{number}.{WEB}") for number in range(4)]
    wire = message(WEB, Type.SRV, [record(owner, 33, service(target, 8080)) for target in targets])
    place = wire.index(targets[0])
    wire = message(
        WEB,
        Type.SRV,
        [record(owner, 33, service(target, 8080)) for target in targets],
        additional=[
            record(targets[3], 1, web("10.0.0.3"), ttl=20),
            EDNS,
            record(b"\5web-2" + TO_QUESTION, 1, web("10.0.0.2")),
            record((0xC000 | place).to_bytes(2, "big"), 28, web("fd00::")),
            record(targets[0], 1, web("10.0.0.0")),
            record(targets[0].upper(), 28, web("fd00::a")),
            record(b"\5WEB-1" + TO_QUESTION, 1, web("10.0.0.1")),
            record(TO_QUESTION, 1, web("10.9.9.9")),
        ],
    )
    answer = anyhow(wire)
    assert answer.services == tuple((f"web-{number}.{WEB}", 8080) for number in range(4))
    assert answer.ttl == 20
    assert answer.glue == {
        f"web-0.{WEB}": ("fd00::", "fd00::a", "10.0.0.0"),
        f"web-1.{WEB}": ("10.0.0.1",),
        f"web-2.{WEB}": ("10.0.0.2",),
        f"web-3.{WEB}": ("10.0.0.3",),
        WEB: ("10.9.9.9",),
    }


def test_pointers_are_names_written_out_or_ended_by_a_pointer() -> None:
    first = record(TO_QUESTION, 12, encode_name(f"web-0.{WEB}"))
    place = len(message(REVERSE, Type.PTR)) + 12 + len(b"\5web-0")
    shortened = b"\5WEB-1" + (0xC000 | place).to_bytes(2, "big")
    again = record(TO_QUESTION, 12, encode_name(f"web-0.{WEB}"), ttl=9)
    wire = message(
        REVERSE, Type.PTR, [first, record(TO_QUESTION, 12, shortened), again], additional=[EDNS]
    )
    answer = scanned(wire)
    assert answer.pointers == (f"web-0.{WEB}", f"web-1.{WEB}")
    assert answer.ttl == 9


@pytest.mark.parametrize("rdtype", HOT)
@pytest.mark.parametrize("rcode", [0, 3])
def test_a_denial_tells_the_zone_and_its_ttl(rdtype: Type, rcode: int) -> None:
    answer = scanned(
        message(WEB, rdtype, authority=[DENIAL], additional=[EDNS], flags=0x8400 | rcode)
    )
    assert (answer.soa, answer.ttl, answer.negative) == ("cluster.local", 30, True)
    assert answer.no_such_name is (rcode == 3)


def test_a_denial_without_a_zone_is_read_too() -> None:
    assert scanned(message(WEB, Type.A)).soa is None


def test_a_cut_answer_says_so_and_is_never_taken_for_known() -> None:
    answer = scanned(message(WEB, Type.A, [record(TO_QUESTION, 1, web("10.0.0.1"))], flags=0x8600))
    assert answer.truncated
    assert answer.records is None


def anyhow(wire: bytes) -> Answer:
    """What is read by the one reader or the other."""
    check_read(wire)
    return read(wire)


# What is odd.


def a(*answers: bytes, **more: Any) -> bytes:
    return message(WEB, Type.A, answers, **more)


def srv(*answers: bytes, **more: Any) -> bytes:
    return message(WEB, Type.SRV, answers, **more)


def with_glue(*answers: bytes, ttl: int = 30) -> bytes:
    """The services, and one address for each target, whose owner is a pointer to that."""
    glue, place = [], len(srv()) + len(TO_QUESTION) + 10 + 6
    for number, answer in enumerate(answers):
        pointer = (0xC000 | place).to_bytes(2, "big")
        glue.append(record(pointer, 1, bytes((10, 0, 0, number)), ttl=ttl))
        place += len(answer)
    return srv(*answers, additional=glue)


def ptr(*answers: bytes) -> bytes:
    return message(REVERSE, Type.PTR, answers)


def about_it(rdtype: int, data: bytes, **more: Any) -> bytes:
    return record(TO_QUESTION, rdtype, data, **more)


def srv_to(target: bytes) -> bytes:
    return srv(about_it(33, service(target)))


def counting(wire: bytes, answers: int, additionals: int) -> bytes:
    """The same with other numbers of records in its head."""
    return wire[:6] + struct.pack("!3H", answers, 0, additionals) + wire[12:]


def soa(data: bytes = SOA, *, owner: bytes = encode_name("local"), **more: Any) -> bytes:
    return a(authority=[record(owner, 6, data, **more)])


FOUR = bytes(4)
ONE = about_it(1, FOUR)
TARGET = encode_name(f"web-0.{WEB}")
SERVED = about_it(33, service(TARGET))
OTHER = about_it(33, service(encode_name(f"web-1.{WEB}")))
THIRD = about_it(33, service(encode_name(f"web-2.{WEB}")))
GLUE = record(TARGET, 1, FOUR)
GROWN = SERVED.replace(b"\5web-0", b"\5web-00")
LONG = ".".join(["w" * 62] * 4)
NO_EDNS = EDNS[:5] + b"\1" + EDNS[6:]
WRONG = {
    "a service shorter than it says": SERVED[:11] + bytes((SERVED[11] + 1,)) + SERVED[12:],
    "a service longer than it says": GROWN,
    "a service whose label alone says how long it is": GROWN.replace(b"\5", b"\6"),
    "a service whose length alone is right": about_it(33, service(b"\4" + TARGET[1:])),
    "a service without a label": about_it(33, service(b"\0" + TARGET[6:])),
    "a service with a label of 64": about_it(33, service(b"\x40" + b"w" * 64 + TARGET[6:])),
}
ODD = {
    "half a header": bytes(11),
    "a query": a(flags=0x0100),
    "an update": a(flags=0xA800),
    "SERVFAIL": a(flags=0x8402),
    "no question": a()[:4] + bytes(8),
    "another class": a(rdclass=3),
    "a type that is not asked for": a().replace(b"\0\x01\0\x01", b"\0\x10\0\x01"),
    "a label of 64": message("w" * 63 + ".x", Type.A).replace(b"\x3f", b"\x40", 1),
    "a name of 256": message(LONG + ".xx", Type.A),
    "a name with a tilde": message("web.sh~p", Type.A),
    "something behind it": a(ONE) + b"x",
    "less than it counts": a(ONE)[:-1],
    "more than it counts": a(ONE) + ONE,
    "another type": a(ONE, about_it(28, bytes(16))),
    "an address too long": a(about_it(1, bytes(5))),
    "another class of record": a(about_it(1, FOUR, rdclass=3)),
    "another owner": a(record(encode_name("web.shap"), 1, FOUR)),
    "an owner in capitals": a(record(encode_name(WEB.upper()), 1, FOUR)),
    "owners written in two ways": a(ONE, record(encode_name(WEB), 1, FOUR)),
    "two TTLs": a(ONE, about_it(1, FOUR, ttl=5)),
    "a TTL of 2^31": a(about_it(1, FOUR, ttl=2**31)),
    "an authority beside addresses": a(ONE, authority=[DENIAL]),
    "an alias": a(about_it(5, TARGET), ONE),
    "EDNS with an option": a(ONE, additional=[EDNS[:-1] + b"\4\0\3\0\0"]),
    "EDNS with an rcode": a(ONE, additional=[NO_EDNS]),
    "EDNS twice": a(ONE, additional=[EDNS, EDNS]),
    "EDNS twice among glue": srv(SERVED, additional=[EDNS, EDNS]),
    "EDNS with an rcode behind glue": srv(SERVED, additional=[GLUE, NO_EDNS]),
    "EDNS with an rcode among glue": srv(SERVED, additional=[NO_EDNS]),
    "glue beside addresses": a(ONE, additional=[GLUE]),
    "a service of another name": srv(record(encode_name("web.shap"), 33, service(TARGET))),
    "services with a TTL of 2^31": srv(about_it(33, service(TARGET), ttl=2**31)),
    "services and glue with a TTL of 2^31": with_glue(
        about_it(33, service(TARGET), ttl=2**31), ttl=2**31
    ),
    "one service with a TTL of 2^31": srv(SERVED, about_it(33, service(TARGET, 81), ttl=2**31)),
    "a service twice": srv(SERVED, about_it(33, service(TARGET, priority=1))),
    **{f"{odd}, without glue": srv(OTHER, wrong, THIRD) for odd, wrong in WRONG.items()},
    **{f"{odd}, with glue": with_glue(OTHER, wrong, THIRD) for odd, wrong in WRONG.items()},
    "a service less than it counts": counting(srv(SERVED, additional=[GLUE]), 2, 1),
    "a target with a pointer": srv_to(b"\3abc" + TO_QUESTION),
    "the root as target": srv_to(b"\0"),
    "a root before the target": srv_to(b"\0" + TARGET),
    "a target with a dot": srv_to(b"\3a.b" + TARGET),
    "a target with a space": srv_to(b"\3a b" + TARGET),
    "a target with letters above 127": srv_to(b"\2\xc3\xb6" + TARGET),
    "a target and more": srv_to(TARGET + b"x"),
    "half a target": srv_to(TARGET[:-1]),
    "no target": srv(about_it(33, b"\0\0\0\0\0\x50")),
    "a target too long": srv_to(encode_name(LONG + ".xx")),
    "a first label of 64 in a target": srv_to(b"\x40" + b"b" * 64 + TARGET),
    "a label of 64 in a target": srv_to(b"\1a\x40" + b"b" * 64 + b"\0"),
    "no glue where it is counted": counting(srv(SERVED), 1, 1),
    "glue less than it counts": counting(srv(SERVED, additional=[GLUE]), 1, 2),
    "glue cut short": srv(SERVED, additional=[GLUE])[:-1],
    "glue of another type without data": srv(SERVED, additional=[record(TARGET, 99, b"")]),
    "glue of another type": srv(SERVED, additional=[record(TARGET, 16, b"\3abc")]),
    "glue too long": srv(SERVED, additional=[record(TARGET, 1, bytes(5))]),
    "glue that points forward": srv(SERVED, additional=[record(b"\xc1\0", 1, FOUR)]),
    "glue with half a pointer": srv(
        SERVED, additional=[record(b"\5web-0\0" + TO_QUESTION[1:], 1, FOUR)]
    ),
    "glue that points into its own address": srv(
        about_it(33, service(b"\1a\1x\0")),
        additional=[
            record(
                b"\1a"
                + (0xC000 | len(srv(about_it(33, service(b"\1a\1x\0")))) + 14).to_bytes(2, "big"),
                1,
                b"\1x\0\0",
            )
        ],
    ),
    "glue that points at itself": srv(
        SERVED,
        additional=[record(b"\1a" + (0xC000 | len(srv(SERVED))).to_bytes(2, "big"), 1, FOUR)],
    ),
    "something behind glue": srv(SERVED, additional=[GLUE]) + b"x",
    "a pointer of another name": ptr(record(encode_name("1.arpa"), 12, TARGET)),
    "a pointer and more": ptr(about_it(12, TARGET + b"x")),
    "a pointer with a TTL of 2^31": ptr(about_it(12, TARGET, ttl=2**31)),
    "a pointer with a backslash": ptr(about_it(12, b"\3a\\b" + TARGET)),
    "something behind a pointer": ptr(about_it(12, TARGET)) + b"x",
    "a pointer that runs into itself": ptr(about_it(12, b"\1a" + pointing(len(ptr()) + 11)))
    + bytes(8),
    "a pointer to a name of 127 labels": ptr(about_it(12, b"\1a" * 127 + b"\0")),
    "a pointer to a name of 128 labels": ptr(about_it(12, b"\1a" * 128 + b"\0")),
    "two SOAs": a(authority=[DENIAL, DENIAL]),
    "an NS": a(authority=[record(encode_name("local"), 2, TARGET)]),
    "an SOA of the root": soa(owner=b"\0"),
    "an SOA too short": soa(SOA[:-1]),
    "an SOA too long": soa(SOA + b"x"),
    "an SOA with a TTL of 2^31": soa(ttl=2**31),
    "something behind a denial": soa() + b"x",
}


@pytest.mark.parametrize("wire", ODD.values(), ids=ODD)
def test_an_odd_shape_is_read_as_dnspython_reads_it_if_it_does(wire: bytes) -> None:
    check_read(wire)


# What is known already.


def addresses(order: list[int], ttl: int) -> bytes:
    return message(
        WEB, Type.A, [record(TO_QUESTION, 1, bytes((10, 0, 0, last)), ttl=ttl) for last in order]
    )


def services(order: list[int], ttl: int) -> bytes:
    targets = [encode_name(f"web-{number}.{WEB}") for number in order]
    return message(
        WEB,
        Type.SRV,
        [record(TO_QUESTION, 33, service(target), ttl=ttl) for target in targets],
        additional=[
            record(target, 1, bytes((10, 0, 0, last)), ttl=ttl)
            for target, last in random.Random(ttl).sample(
                list(zip(targets, order, strict=True)), len(order)
            )
        ],
    )


@pytest.mark.parametrize("made", [addresses, services])
def test_the_same_records_in_another_order_with_another_ttl_are_the_same_objects(
    made: Callable[[list[int], int], bytes],
) -> None:
    known = scanned(made([1, 2, 3], 30))
    again = scan(made([3, 1, 2], 7), known)
    assert again is not None
    assert again.ttl == 7
    assert again.addresses is known.addresses
    assert again.services is known.services
    assert again.glue is known.glue


@pytest.mark.parametrize("made", [addresses, services])
def test_one_record_more_less_or_other_is_another_answer(
    made: Callable[[list[int], int], bytes],
) -> None:
    known = scanned(made([1, 2, 3], 30))
    for other in ([1, 2], [1, 2, 3, 4], [1, 2, 4]):
        assert scan(made(other, 30), known) == scanned(made(other, 30)) != known


def test_the_same_targets_with_exchanged_addresses_are_another_answer() -> None:
    one = services([1, 2], 30)
    other = one.replace(b"\n\0\0\1", b"\n\0\0\3").replace(b"\n\0\0\2", b"\n\0\0\1")
    known = scanned(one)
    exchanged = scan(other.replace(b"\n\0\0\3", b"\n\0\0\2"), known)
    assert exchanged is not None
    assert exchanged.glue == {f"web-1.{WEB}": ("10.0.0.2",), f"web-2.{WEB}": ("10.0.0.1",)}


def test_other_targets_with_the_same_first_labels_are_another_answer() -> None:
    one = services([1, 2], 30)
    records = len(message(WEB, Type.SRV))
    other = one[:records] + one[records:].replace(b"shop", b"shap")
    known = scanned(one)
    assert scan(other, known) == scanned(other) != known


def test_a_service_that_comes_twice_is_not_taken_for_one() -> None:
    twice = with_glue(SERVED, SERVED).replace(b"\n\0\0\1", b"\n\0\0\0")
    assert scan(twice, scanned(with_glue(SERVED))) is None


def test_two_addresses_of_a_target_are_not_taken_for_one() -> None:
    one, other = (record(TARGET, 1, bytes((10, 0, 0, last))) for last in (1, 2))
    known = scanned(srv(SERVED, additional=[one, other]))
    for left in (one, other):
        less = srv(SERVED, additional=[left])
        assert scan(less, known) == scanned(less) != known


# Two replies to one question, one after the other.


class Layout(NamedTuple):
    """How a server writes its answers."""

    rdtype: Type
    compressed: bool
    families: tuple[int, ...]
    """Of the glue: sizes of addresses."""
    edns: bool
    """Whether it stands at the end of the additional section."""
    older: int
    """How much less than that of the services the TTL of glue is."""


class Pod(NamedTuple):
    number: int
    address: int


LAYOUTS = st.builds(
    Layout,
    st.sampled_from([Type.A, Type.AAAA, Type.SRV, Type.SRV, Type.SRV]),
    st.booleans(),
    st.sampled_from([(4,), (4,), (16,), (4, 16), ()]),
    st.booleans(),
    st.sampled_from([0, 0, 0, 5]),
)
PODS = st.lists(
    st.builds(Pod, st.integers(0, 12), st.integers(1, 4)), min_size=1, max_size=5, unique=True
)


def laid_out(layout: Layout, pods: list[Pod], ttl: int, rng: random.Random) -> bytes:
    """The reply that holds these pods, in this order; the glue in any."""
    owner = TO_QUESTION if layout.compressed else encode_name(WEB)
    if layout.rdtype is not Type.SRV:
        size = 4 if layout.rdtype is Type.A else 16
        records = [
            record(owner, layout.rdtype, bytes((10, pod.number, pod.address)).rjust(size), ttl=ttl)
            for pod in pods
        ]
        return message(WEB, layout.rdtype, records, additional=[EDNS] * layout.edns)
    records, glue = [], []
    at = len(message(WEB, Type.SRV))
    for pod in pods:
        label = f"web-{pod.number}"
        target = encode_name(f"{label}.{WEB}")
        records.append(record(owner, 33, service(target), ttl=ttl))
        at += len(records[-1])
        place = 0xC000 | at - len(target)
        written = [place.to_bytes(2, "big"), target[: 1 + len(label)] + TO_QUESTION]
        glue += [
            record(
                rng.choice(written) if layout.compressed else target,
                1 if size == 4 else 28,
                bytes((10, 0, pod.address)).rjust(size),
                ttl=ttl - layout.older,
            )
            for size in layout.families
        ]
    rng.shuffle(glue)
    return message(WEB, Type.SRV, records, additional=[*glue, *[EDNS] * layout.edns])


@st.composite
def other_pods(draw: st.DrawFn, pods: list[Pod]) -> list[Pod]:
    """The same in another order; or one of them again, another, gone or moved."""
    other = draw(st.permutations(pods))
    which = draw(st.integers(0, len(pods) - 1))
    match draw(st.sampled_from(["same", "same", "instead", "again", "new", "gone", "moved"])):
        case "instead":
            other[which] = draw(st.sampled_from(pods))
        case "again":
            other.append(other[which])
        case "new":
            other.append(Pod(13, 1))
        case "gone":
            del other[which]
        case "moved":
            other[which] = other[which]._replace(address=5)
    return other


@settings(max_examples=400, deadline=None)
@given(st.data(), LAYOUTS, PODS, st.randoms(use_true_random=False))
def test_a_later_reply_is_read_as_if_it_were_the_first_and_the_same_records_are_taken_over(
    data: st.DataObject, layout: Layout, pods: list[Pod], rng: random.Random
) -> None:
    ttls = st.sampled_from([30, 30, 7])
    if layout.rdtype is Type.SRV and not layout.families:
        pods = [pod._replace(address=0) for pod in pods]
    known = scan(laid_out(layout, pods, data.draw(ttls), rng))
    others = data.draw(other_pods(pods))
    if layout.rdtype is Type.SRV and not layout.families:  # nothing tells of addresses
        others = [pod._replace(address=0) for pod in others]
    if data.draw(st.booleans()):
        layout = layout._replace(compressed=not layout.compressed, older=5 - layout.older)
    wire = laid_out(layout, others, data.draw(ttls), rng)
    fresh = check_read(wire, known)
    again = scan(wire, known)
    if layout.rdtype is not Type.SRV or len({pod.number for pod in others}) == len(others):
        assert fresh is not None, "left to dnspython"
    if known is None or again is None or set(pods) != set(others):
        assert again == fresh, "not in the order of before either"
    else:
        assert again.addresses is known.addresses
        assert again.services is known.services
        assert again.glue is known.glue


@settings(max_examples=400, deadline=None)
@given(st.data(), LAYOUTS, PODS, st.randoms(use_true_random=False))
def test_a_later_reply_with_any_one_byte_changed_is_read_as_if_it_were_the_first(
    data: st.DataObject, layout: Layout, pods: list[Pod], rng: random.Random
) -> None:
    wire = bytearray(laid_out(layout, pods, 30, rng))
    known = scan(bytes(wire))
    place = data.draw(st.integers(0, len(wire) - 1))
    wire[place] = data.draw(
        st.sampled_from([0, 1, 4, 16, 28, wire[place] ^ 1]) | st.integers(0, 255)
    )
    check_read(bytes(wire), known)


def test_an_address_is_not_taken_for_one_of_the_other_family() -> None:
    target = encode_name(f"web-1.{WEB}")
    known = scanned(srv(SERVED, OTHER, additional=[GLUE, record(target, 28, bytes(16))]))
    owner = target[:6] + bytes(12) + target[6:]
    assert scan(srv(SERVED, OTHER, additional=[GLUE, record(owner, 1, FOUR)]), known) is None


@pytest.mark.parametrize("made", [srv, with_glue], ids=["without glue", "with glue"])
def test_numbers_of_a_service_that_look_like_the_head_of_another_confuse_nobody(
    made: Callable[..., bytes],
) -> None:
    looks = struct.pack("!3H", 0x00C0, 0x0C00, 0x2100) + b"\1a\0"
    others = [service(b"\1b\0"), service(b"\1c\0")]
    records = [about_it(33, data, ttl=0x6100C00C) for data in (looks, *others)]
    answer = anyhow(made(*records))
    assert answer.services == (("a", 0x2100), ("b", 80), ("c", 80))


def test_a_target_is_one_in_small_letters_and_in_capitals() -> None:
    loud = about_it(33, service(TARGET.replace(b"web-0", b"WEB-0"), 81))
    answer = anyhow(with_glue(SERVED, loud))
    assert answer.services == ((f"web-0.{WEB}", 80), (f"web-0.{WEB}", 81))
    assert answer.glue == {f"web-0.{WEB}": ("10.0.0.0", "10.0.0.1")}


def test_glue_of_others_than_the_targets_is_read_too() -> None:
    other = record(encode_name(f"web-9.{WEB}"), 1, FOUR)
    assert anyhow(srv(SERVED, additional=[GLUE, other])).glue == {
        f"web-0.{WEB}": ("0.0.0.0",),
        f"web-9.{WEB}": ("0.0.0.0",),
    }


def test_the_last_target_may_end_in_another_name_of_the_same_length() -> None:
    other = about_it(33, service(encode_name(f"web-1.{WEB}".replace("shop", "shap"))))
    answer = anyhow(with_glue(SERVED, other))
    assert list(answer.glue) == [f"web-0.{WEB}", f"web-1.{WEB}".replace("shop", "shap")]


def test_each_target_has_its_own_port() -> None:
    answer = scanned(with_glue(SERVED, about_it(33, service(encode_name(f"web-1.{WEB}"), 81))))
    assert answer.services == ((f"web-0.{WEB}", 80), (f"web-1.{WEB}", 81))


def test_glue_too_far_from_its_target_for_a_pointer_may_end_in_a_pointer_to_anything() -> None:
    wire = cluster_reply(450, Type.SRV, tcp=True)
    tails = set(re.findall(rb"(?s)[0-9](\xc0.)\x00\x01\x00\x01", wire))
    assert len(tails) == 1, "one pointer to what all targets end with"
    known = anyhow(wire)
    other = anyhow(wire.replace(tails.pop() + b"\0\1", TO_QUESTION + b"\0\1"))
    assert len(known.glue) == 450
    assert other.services == known.services
    assert any(name.endswith("._http._tcp.web.default.svc.cluster.local") for name in other.glue)


def test_a_pointer_reaches_no_farther_than_its_14_bits_say() -> None:
    targets = [encode_name(f"{'w' * 50}-{number:03}.{WEB}") for number in range(170)]
    wire = with_glue(*[about_it(33, service(target)) for target in targets])
    assert wire.index(targets[-1]) > 0x3FFF, "its pointer lacks a bit, and is to somewhere else"
    check_read(wire)


# Owners that look like what they are not.

TYPE_AND_CLASS = [30, 0, 0x00010001, 0x00010000, 0x1000001C, 0x00040001]
"""TTLs, of which most look like a type and a class."""


@st.composite
def glued(draw: st.DrawFn) -> bytes:
    """Services, and glue whose owners are targets, pointers, parts of both, and nonsense."""
    some = st.sampled_from
    tail = draw(some([b"\0", b"\1a\0", b"\3web\4shop\0"]))
    ttl = draw(some(TYPE_AND_CLASS))
    base = len(message("web.shop", Type.SRV))
    answers: list[bytes] = []
    owners: list[bytes] = []
    place = base
    for number in range(draw(st.integers(1, 3))):
        label = draw(some([b"p%d" % number, b"p%d" % number, b"a", b"A", b"ab", b"\xc0\x0c"]))
        first = bytes((len(label),)) + label
        port = draw(some([80, 80, 81]))
        answers.append(record(TO_QUESTION, 33, service(first + tail, port), ttl=ttl))
        bits = draw(some([0xC000, 0xC000, 0xC000, 0x4000, 0]))
        to_target = (bits | place + 18).to_bytes(2, "big")
        to_tail = (bits | place + 18 + len(first)).to_bytes(2, "big")
        owner = draw(some([first + tail, to_target, first + to_tail, first, to_target + tail]))
        owners.append(owner)
        place += len(answers[-1])
    if draw(st.booleans()):
        owners *= 2
    additional = [
        record(owner, 1, bytes(draw(some([0, 1, 10, 192])) for _ in range(4)), ttl=ttl)
        for owner in draw(st.permutations(owners))
    ]
    if draw(st.booleans()):
        additional.append(EDNS)
    wire = bytearray(message("web.shop", Type.SRV, answers, additional=additional))
    for _ in range(draw(st.integers(0, 2))):
        place = draw(st.integers(base, len(wire) - 1))
        match draw(some(["set", "delete", "repeat"])):
            case "set":
                wire[place] = draw(some([0, 1, 2, 4, 12, 33, 0xC0]) | st.integers(0, 255))
            case "delete":
                del wire[place : place + draw(some([1, 2, 4]))]
            case _:
                wire[place:place] = wire[place - draw(some([1, 2, 4, 10])) : place]
    return bytes(wire)


@settings(max_examples=600, deadline=None)
@given(glued(), glued())
def test_glue_is_read_as_dnspython_reads_it_whatever_its_owners_look_like(
    wire: bytes, other: bytes
) -> None:
    check_read(wire, scan(other))


def test_a_bare_label_is_no_owner_though_the_ttl_looks_like_type_and_class() -> None:
    wire = bytes.fromhex(
        "000184000001000100000001016101610000210001c00c0021000100010001000c00010021210002703001610002"
        "703000010001000100010004c00a0a00"
    )
    assert check_read(wire) is None


def test_a_pointer_before_what_all_targets_end_with_is_the_whole_owner() -> None:
    tail = encode_name(".".join(["aaaaaaa", "a", "m" * 63, "m" * 63, "m" * 33, "x"]))
    assert len(tail) == 175, "so that it stands where the length of a label would lead to"
    answers = [about_it(33, service(b"\5web-%d" % number + tail)) for number in range(2)]
    places = [len(srv()) + 18, len(srv()) + 18 + len(answers[0])]
    glue = [
        record((0xC000 | place).to_bytes(2, "big") + tail, 1, bytes((10, 0, 0, number)))
        for number, place in enumerate(places)
    ]
    wire = srv(*answers, additional=glue)
    check_read(wire)


@pytest.mark.parametrize(("ttl", "bits"), [(30, 0x41), (0x10000005, 0x03)])
def test_glue_too_far_for_a_pointer_ends_in_one_and_not_in_what_looks_alike(
    ttl: int, bits: int
) -> None:
    targets = [b"\4p%03d" % number + encode_name(WEB) for number in range(330)]
    answers = [about_it(33, service(target), ttl=ttl) for target in targets]
    place = len(srv()) + 18
    places = [place := place + len(answer) for answer in [b"", *answers[:-1]]]
    to_tail = next(at + 5 for at in places if (at + 5) >> 8 == bits & 0x3F)
    glue = [
        record(
            (0xC000 | at).to_bytes(2, "big")
            if at <= 0x3FFF
            else target[:5] + bytes((bits, to_tail & 0xFF)),
            1,
            bytes((10, 0, 1, number & 0xFF)),
            ttl=ttl,
        )
        for number, (at, target) in enumerate(zip(places, targets, strict=True))
    ]
    assert places[-1] > 0x3FFF
    wire = srv(*answers, additional=glue)
    check_read(wire)


def test_a_target_with_two_ports_has_its_glue_once() -> None:
    other = about_it(33, service(TARGET, 81))
    pointer = (len(srv()) + 18 | 0xC000).to_bytes(2, "big")
    for owner in (TARGET, pointer):
        answer = scanned(srv(SERVED, other, additional=[record(owner, 1, FOUR)]))
        assert answer.services == ((f"web-0.{WEB}", 80), (f"web-0.{WEB}", 81))
        assert answer.glue == {f"web-0.{WEB}": ("0.0.0.0",)}


def test_a_target_with_two_ports_may_have_an_address_for_each() -> None:
    other = about_it(33, service(TARGET, 81))
    both = {f"web-0.{WEB}": ("10.0.0.0", "10.0.0.1")}
    assert scanned(with_glue(SERVED, other)).glue == both
    whole = with_glue(SERVED, other)
    more = srv(SERVED, other, OTHER, additional=[whole[-32:-16], whole[-16:]])
    assert scanned(more).glue == both, "and another target has none"


def test_a_target_with_two_ports_does_not_hide_glue_of_others() -> None:
    other = about_it(33, service(TARGET, 81))
    stranger = record(encode_name(f"web-9.{WEB}"), 1, FOUR)
    answer = anyhow(srv(SERVED, other, additional=[GLUE, stranger]))
    assert list(answer.glue) == [f"web-0.{WEB}", f"web-9.{WEB}"]


# Anything.

LABELS = [b"web", b"WEB", b"Web", b"shop", b"svc", b"x-1", b"_http", b"a.b", b"a b", b"\0", b"\xff"]
NAMES = st.lists(st.sampled_from(LABELS), min_size=0, max_size=4).map(tuple)
TTLS = st.sampled_from([0, 5, 30, 30, 30, 2**31 - 1, 2**31, 2**32 - 1])
TYPES = [*Type, 5, 6, 41]


@st.composite
def messages(draw: st.DrawFn) -> bytes:
    """Replies with every legal way to write names: compressed anywhere, in any case and bytes."""
    counts = [draw(st.integers(0, 3)) for _ in range(3)]
    wire = bytearray(draw(st.binary(min_size=2, max_size=2)))
    flags = draw(st.sampled_from([0x8400, 0x8400, 0x8403, 0x8600, 0x8180, 0x8402]))
    wire += flags.to_bytes(2, "big") + b"\0\1"
    for count in counts:
        wire += count.to_bytes(2, "big")
    places: dict[tuple[bytes, ...], list[int]] = {}
    plain = draw(st.booleans())

    def put(name: tuple[bytes, ...]) -> None:
        for start in range(len(name)):
            known = places.setdefault(tuple(label.lower() for label in name[start:]), [])
            if known and (plain or draw(st.booleans())):
                wire.extend((0xC000 | draw(st.sampled_from(known))).to_bytes(2, "big"))
                return
            known.append(len(wire))
            wire.extend(bytes((len(name[start]),)) + name[start])
        wire.append(0)

    def put_data(rdtype: int) -> None:
        if rdtype == Type.SRV:
            wire.extend(draw(st.sampled_from([b"\0\0\0\x21\0\x50", b"\0\1\0\0\x1f\x90"])))
        if rdtype in (Type.SRV, Type.PTR, 5, 6):
            put(draw(st.sampled_from([asked, (b"web-0", *asked)]) | NAMES))
        if rdtype == 6:
            put(draw(NAMES))
        length = {1: 4, 28: 16, 6: 20, 16: 2}.get(rdtype, 0)
        wire.extend(
            b"\1x" if rdtype == 16 else draw(st.sampled_from([bytes(length), b"\n" * length]))
        )

    asked = draw(st.sampled_from([(b"web", b"shop"), (b"_http", b"web", b"shop")]) | NAMES)
    kind = draw(st.sampled_from(list(Type)))
    put(asked)
    wire += kind.to_bytes(2, "big") + b"\0\1"
    for section, usual in enumerate((kind, 6, 1)):
        for _ in range(counts[section]):
            rdtype = draw(st.just(usual) | st.sampled_from(TYPES) if not plain else st.just(usual))
            put(draw(st.just(asked) | NAMES) if rdtype != 41 else ())
            rdclass = draw(st.sampled_from([1, 1, 1, 1, 3]))
            wire += rdtype.to_bytes(2, "big") + rdclass.to_bytes(2, "big")
            wire += draw(TTLS).to_bytes(4, "big")
            start = len(wire)
            wire += b"\0\0"
            put_data(rdtype)
            off = draw(st.sampled_from([0] * 20 + [1, -1]))
            wire[start : start + 2] = max(len(wire) - start - 2 + off, 0).to_bytes(2, "big")
    return bytes(wire)


@settings(max_examples=250, deadline=None)
@given(messages(), messages())
def test_a_made_message_is_read_as_dnspython_reads_it(wire: bytes, other: bytes) -> None:
    check_read(wire, check_read(other))


SEEDS = [path.read_bytes() for path in sorted((TESTS / "fuzz" / "corpus").iterdir())]
CHANGES = st.lists(
    st.tuples(
        st.sampled_from(["set", "set", "set", "insert", "delete", "repeat"]),
        st.integers(0, 600),
        st.integers(0, 255),
    ),
    max_size=4,
)


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(SEEDS), CHANGES, st.none() | st.integers(0, 600))
def test_a_reply_with_bytes_changed_put_in_or_taken_out_is_read_as_dnspython_reads_it(
    wire: bytes, changes: list[tuple[str, int, int]], length: int | None
) -> None:
    changed = bytearray(wire)
    for kind, where, byte in changes:
        place = where % (len(changed) + 1)
        match kind:
            case "set":
                changed[place : place + 1] = bytes((byte,))
            case "insert":
                changed[place:place] = bytes((byte,))
            case "delete":
                del changed[place : place + 1 + byte % 16]
            case "repeat":
                changed[place:place] = changed[place : place + byte]
    data = bytes(changed[:length])
    check_read(data, scan(wire))


@pytest.mark.parametrize("wire", SEEDS, ids=lambda wire: f"{len(wire)} bytes")
def test_a_reply_that_ends_anywhere_is_read_as_dnspython_reads_it(wire: bytes) -> None:
    for length in range(len(wire)):
        check_read(wire[:length], scan(wire))


# What spoils nothing.

USUAL = {
    "addresses": message(WEB, Type.A, [record(TO_QUESTION, 1, FOUR)], additional=[EDNS]),
    "services": srv(SERVED, additional=[GLUE, EDNS]),
    "pointers": message(REVERSE, Type.PTR, [record(TO_QUESTION, 12, TARGET)], additional=[EDNS]),
    "a denial": message(WEB, Type.A, authority=[DENIAL], additional=[EDNS]),
    "an alias": message(WEB, Type.A, [record(TO_QUESTION, 5, TARGET), ONE], additional=[EDNS]),
}
OPTIONS = {
    "cut short": b"\0\x0a\0\x18\1\2\3",
    "half of one": b"\0\x0a\0",
    "a client subnet of no family": b"\0\x08\0\4\0\x09\0\0",
    "a cookie too short": b"\0\x0a\0\1\1",
    "an extended error too short": b"\0\x0f\0\1\0",
    "a text that is none": b"\0\x0f\0\4\0\1\xff\xfe",
}


def with_options(wire: bytes, options: bytes, length: int | None = None) -> bytes:
    """The same with these EDNS options, and a length of them that may be wrong."""
    return wire[:-2] + struct.pack("!H", len(options) if length is None else length) + options


@pytest.mark.parametrize("wire", USUAL.values(), ids=USUAL)
@pytest.mark.parametrize("behind", [b"\0", b"\0" * 4, ONE, b"\xff" * 500])
def test_bytes_behind_the_message_spoil_nothing(wire: bytes, behind: bytes) -> None:
    check_read(wire + behind)
    assert read(wire + behind) == read(wire)


@pytest.mark.parametrize("wire", USUAL.values(), ids=USUAL)
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_edns_options_that_cannot_be_read_spoil_nothing(wire: bytes, options: bytes) -> None:
    for length in (None, len(options) + 1, 0xFFFF):
        odd = with_options(wire, options, length)
        check_read(odd)
        assert read(odd) == read(wire)


@pytest.mark.parametrize("wire", USUAL.values(), ids=USUAL)
@pytest.mark.parametrize(("code", "stale"), [(3, True), (19, True), (0, False), (22, False)])
def test_an_answer_that_calls_itself_stale_is(wire: bytes, code: int, stale: bool) -> None:
    for text in (b"", b"upstream is down"):
        error = struct.pack("!3H", 15, 2 + len(text), code) + text
        for options in (error, b"\0\x0a\0\x08" + bytes(8) + error, error + b"\0\x0a\0"):
            odd = with_options(wire, options)
            check_read(odd)
            assert read(odd).stale is stale
            assert attrs.evolve(read(odd), stale=False) == read(wire)


@pytest.mark.parametrize(
    ("code", "word"),
    [(15, "blocked"), (16, "censored"), (17, "filtered"), (18, "prohibited"), (14, None)],
)
@pytest.mark.parametrize("wire", USUAL.values(), ids=USUAL)
def test_an_answer_that_calls_itself_withheld_is(wire: bytes, code: int, word: str | None) -> None:
    option = struct.pack("!3H", 15, 2, code)
    odd = with_options(wire, option)
    check_read(odd)
    assert read(odd).withheld == word
    assert attrs.evolve(read(odd), withheld=None) == read(wire)
    for cut in range(1, len(option)):
        assert read(with_options(wire, option[:cut])).withheld is None


def test_what_is_stale_is_still_known_again() -> None:
    fresh, stale = USUAL["services"], with_options(USUAL["services"], b"\0\x0f\0\2\0\3")
    before = read(fresh)
    again = read(stale, before)
    assert again.stale
    assert again.services is before.services
    assert not read(fresh, again).stale


def test_a_refusal_needs_no_question() -> None:
    refusal = struct.pack("!6H", 4711, 0x8005, 0, 0, 0, 0)
    assert check_read(refusal) == Answer("REFUSED")
    assert check_read(message(WEB, Type.SRV, additional=[EDNS], flags=0x8402)) == Answer("SERVFAIL")


# Hostile bytes.


@pytest.fixture(scope="module")
def seconds() -> dict[str, tuple[float, float]]:
    """What each takes to read, and to be seen to be no usual shape; by a process of its own.

    Measuring coverage takes longer than what is measured.
    """
    environment = {name: text for name, text in os.environ.items() if "COVERAGE" not in name}
    command = [sys.executable, "-m", "tests.hostile"]
    told = subprocess.run(command, env=environment, check=True, capture_output=True).stdout
    found: dict[str, tuple[float, float]] = json.loads(told)
    return found


@pytest.mark.parametrize("name", HOSTILE)
def test_no_reply_takes_longer_than_50_ms_to_read(
    name: str, seconds: dict[str, tuple[float, float]]
) -> None:
    assert len(HOSTILE[name]) <= SIZE
    outcome(HOSTILE[name])
    assert seconds[name][0] < allowed(0.05)


@pytest.mark.parametrize("name", HOSTILE)
def test_the_fast_reader_sees_at_once_that_a_reply_is_not_for_it(
    name: str, seconds: dict[str, tuple[float, float]]
) -> None:
    assert seconds[name][1] < allowed(0.004), "it runs on event loops"


LARGE = {
    "with a tail each": message(
        WEB,
        Type.SRV,
        [about_it(33, service(encode_name(f"a.b{n}.c"))) for n in range(1000)],
        additional=[record(encode_name(f"a.b{n}.c"), 1, FOUR) for n in range(1000)],
    ),
    "in another case": full(
        WEB.upper(), Type.A, then=lambda n: record(encode_name(WEB), 1, n.to_bytes(4, "big"))
    ),
    "below an alias": full(
        WEB,
        Type.A,
        about_it(5, TARGET),
        then=lambda n: record(pointing(START), 1, n.to_bytes(4, "big")),
    ),
    "with a TTL each": full(
        WEB, Type.A, then=lambda n: about_it(1, n.to_bytes(4, "big"), ttl=5 + n % 25)
    ),
    "of another cluster each": full(
        WEB, Type.SRV, then=lambda n: about_it(33, service(encode_name(f"web-{n}.c{n}.{WEB}")))
    ),
}


@pytest.mark.parametrize("wire", LARGE.values(), ids=LARGE)
def test_a_large_answer_is_read_whole_whatever_its_shape(wire: bytes) -> None:
    answer = anyhow(wire)
    assert len(answer.addresses) + len(answer.services) >= int.from_bytes(wire[6:8], "big") - 1
