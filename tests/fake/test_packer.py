"""Messages in and out: what is refused, and how replies are packed. Hostile bytes included."""

import random
import struct

import dns.edns
import dns.flags
import dns.message
import pytest

from headless_discovery.testing import FakeCluster
from tests.fake.asking import WEB, ask, query
from tests.fake.rows import about


@pytest.fixture
def cluster() -> FakeCluster:
    cluster = FakeCluster()
    cluster.add_service("web", ports={"http": 8080}).scale(3)
    return cluster


def header(flags: int, *counts: int, number: int = 7) -> bytes:
    return struct.pack("!6H", number, flags, *counts)


@pytest.mark.parametrize("wire", [b"", b"\0" * 11, header(0x8000, 1, 0, 0, 0) + query()[12:]])
def test_what_is_no_query_gets_no_answer(cluster: FakeCluster, wire: bytes) -> None:
    assert cluster.answer(wire) is None


@pytest.mark.parametrize(
    ("wire", "reply"),
    [
        (header(0x0100, 0, 0, 0, 0), header(0x8101, 0, 0, 0, 0)),
        (header(0x0100, 2, 0, 0, 0), header(0x8101, 0, 0, 0, 0)),
        (header(0, 1, 2, 0, 0), header(0x8001, 0, 0, 0, 0)),
        (header(0, 1, 0, 2, 0), header(0x8001, 0, 0, 0, 0)),
        (header(0, 1, 0, 0, 3), header(0x8001, 0, 0, 0, 0)),
        (header(0x2800, 1, 0, 0, 0), header(0xA804, 0, 0, 0, 0)),
    ],
)
def test_what_is_no_question_is_refused_by_a_header(
    cluster: FakeCluster, wire: bytes, reply: bytes
) -> None:
    assert cluster.answer(wire) == reply


@pytest.mark.parametrize(
    "rest",
    [
        b"",
        b"\x03we",
        b"\x03web",
        b"\xc0\x0c\0\x01\0\x01",
        (b"\x3f" + b"a" * 63) * 4 + b"\0\0\x01\0\x01",
        b"\x03web\0\0",
    ],
)
def test_a_question_that_cannot_be_read_is_a_format_error(
    cluster: FakeCluster, rest: bytes
) -> None:
    assert cluster.answer(header(0, 1, 0, 0, 0) + rest) == header(0x8001, 0, 0, 0, 0)


@pytest.mark.parametrize(
    "opt",
    [
        b"\0\0\x29\x04\xd0\0\0\0\0\0",
        b"\0\0\x29\x04\xd0\0\0\0\0\0\x05ab",
        b"\0\0\x29\x04\xd0\0\0\0\0\0\x05\0\x0a\0\x09a",
        b"\0\0\x29\x04\xd0\0\0\0\0\0\x02\0\x0a",
    ],
)
def test_an_opt_record_that_cannot_be_read_is_a_format_error(
    cluster: FakeCluster, opt: bytes
) -> None:
    question = query(edns=None)[12:]
    wire = header(0, 1, 0, 0, 1) + question + opt
    assert cluster.answer(wire) == header(0x8001, 1, 0, 0, 0) + question


def test_no_bytes_break_it() -> None:
    cluster = FakeCluster()
    cluster.add_service("web").add_pod("10.0.0.1")
    rng = random.Random(1)
    whole = query(f"_http._tcp.{WEB}", "SRV")
    for _ in range(3000):
        wire = bytearray(whole)
        for _ in range(rng.randint(1, 4)):
            wire[rng.randrange(len(wire))] = rng.randrange(256)
        del wire[rng.randint(0, len(wire)) :]
        reply = cluster.answer(bytes(wire))
        assert reply is None or reply[:2] == wire[:2]


def test_a_notify_is_answered_with_its_opcode_and_without_flags(cluster: FakeCluster) -> None:
    asked = bytearray(query())
    asked[2] = 0x21
    reply = cluster.answer(bytes(asked))
    assert reply is not None
    assert reply[2] == 0xA4


@about(82)
def test_the_options_of_edns_do_not_come_back(cluster: FakeCluster) -> None:
    cookie = dns.edns.GenericOption(dns.edns.COOKIE, b"12345678")
    unknown = dns.edns.GenericOption("65001", b"x")
    reply = ask(cluster, options=[cookie, unknown])
    assert reply.edns == 0
    assert not reply.options


@pytest.mark.parametrize("target", ["a" * 64, ".".join(["a" * 63] * 4)])
@about(80)
def test_a_name_that_is_too_long_is_not_sent(cluster: FakeCluster, target: str) -> None:
    cluster.add_service("alias", external_name=target)
    assert cluster.answer(query(WEB.replace("web", "alias"))) is None


def test_a_cluster_says_nothing_where_a_name_would_be_too_long() -> None:
    cluster = FakeCluster(".".join(["d" * 63] * 2))
    cluster.add_service("s" * 63, "n" * 55, ports={"http": 80}).add_pod("10.0.0.1")
    assert cluster.answer(query(f"{'s' * 63}.{'n' * 55}.svc.{cluster.domain}.", "SRV")) is None


def test_garbage_announces_a_record_that_is_not_there(cluster: FakeCluster) -> None:
    cluster.fail("garbage")
    wire = cluster.answer(query())
    assert wire is not None
    assert struct.unpack("!4H", wire[4:12]) == (1, 1, 0, 0)


def test_the_rest_of_a_message_behind_its_records_is_ignored(cluster: FakeCluster) -> None:
    reply = cluster.answer(query() + b"more")
    assert reply is not None
    assert dns.message.from_wire(reply).flags & dns.flags.AA


def test_records_other_than_opt_behind_a_question_are_passed_over(cluster: FakeCluster) -> None:
    other = b"\x03key\0\0\xfa\0\xff\0\0\0\0\0\x02ab"
    reply = cluster.answer(header(0, 1, 0, 0, 1) + query(edns=None)[12:] + other)
    assert reply is not None
    assert dns.message.from_wire(reply).edns == -1


@about(80)
def test_a_negative_reply_that_does_not_fit_is_compressed() -> None:
    domain = ".".join(["z" * 60] * 3)
    wire = FakeCluster(domain).answer(query(f"web.{domain}.", edns=None))
    assert wire is not None
    message = dns.message.from_wire(wire)
    assert not message.flags & dns.flags.TC
    assert str(message.authority[0].name) == f"{domain}."
    assert len(wire) < 300
