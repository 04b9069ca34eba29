"""DNS messages: a question to bytes, and bytes to what they say."""

import struct

import dns.message
import dns.rcode
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.agreement import outcome
from tests.lookups import (
    NEGATIVE_TTL,
    Answer,
    MalformedReplyError,
    Type,
    encode_name,
    is_reply,
    query,
    read,
)
from tests.messages import SOA, nodata, nxdomain, reply

WEB = "web.shop.svc.cluster.local"
ASKED = query(WEB, Type.A, edns=1232)
ASKED_SRV = query(WEB, Type.SRV, edns=1232)
ASKED_PTR = query("1.0.0.10.in-addr.arpa", Type.PTR, edns=1232)


# Questions.


@pytest.mark.parametrize("rdtype", list(Type))
def test_a_question_asks_for_one_name_and_type_and_wants_recursion(rdtype: Type) -> None:
    message = dns.message.from_wire(query(WEB, rdtype, edns=None))
    [question] = message.question
    assert question.to_text() == f"{WEB}. IN {rdtype.name}"
    assert message.flags == dns.flags.RD
    assert message.edns == -1


@pytest.mark.parametrize("size", [512, 1232, 65535])
def test_edns_offers_the_payload_size(size: int) -> None:
    message = dns.message.from_wire(query(WEB, Type.A, edns=size))
    assert (message.edns, message.payload, message.ednsflags) == (0, size, 0)


def test_ids_are_random() -> None:
    ids = {query(WEB, Type.A, edns=None)[:2] for _ in range(100)}
    assert len(ids) > 90
    assert len({first for first, _ in ids}) > 50
    assert len({second for _, second in ids}) > 50


def test_a_name_is_written_label_by_label() -> None:
    assert encode_name("web-0.shop") == b"\x05web-0\x04shop\x00"


# Which bytes are a reply.


def test_a_reply_has_the_questions_id_and_the_question() -> None:
    assert is_reply(ASKED, nxdomain(ASKED))


def test_the_question_may_come_back_in_another_case() -> None:
    wire = nxdomain(ASKED)
    assert is_reply(ASKED, wire.replace(b"\x03web\x04shop", b"\x03WeB\x04SHOP"))


@pytest.mark.parametrize(
    ("what", "wire"),
    [
        ("nothing", b""),
        ("half a header", nxdomain(ASKED)[:11]),
        ("another id", bytes([ASKED[0] ^ 1]) + nxdomain(ASKED)[1:]),
        ("a question", ASKED),
        ("another name", nxdomain(ASKED).replace(b"\x03web", b"\x03wab")),
        ("another type", ASKED[:2] + nxdomain(ASKED_SRV)[2:]),
        (
            "another class",
            nxdomain(ASKED).replace(b"\x00\x00\x01\x00\x01", b"\x00\x00\x01\x00\x03"),
        ),
        ("half the question", nxdomain(ASKED)[:20]),
        ("two questions", nxdomain(ASKED)[:4] + b"\0\2" + nxdomain(ASKED)[6:]),
        ("an update", ASKED[:2] + b"\xa8\x00" + nxdomain(ASKED)[4:]),
    ],
)
def test_anything_else_is_not_a_reply(what: str, wire: bytes) -> None:
    assert not is_reply(ASKED, wire), what


@pytest.mark.parametrize("rcode", ["FORMERR", "SERVFAIL", "NOTIMP", "REFUSED"])
def test_a_refusal_may_leave_the_question_out(rcode: str) -> None:
    wire = ASKED[:2] + struct.pack("!5H", 0x8000 | dns.rcode.from_text(rcode), 0, 0, 0, 0)
    assert is_reply(ASKED, wire)
    assert read(wire).rcode == rcode


@pytest.mark.parametrize("rcode", ["NOERROR", "NXDOMAIN", "YXDOMAIN"])
def test_an_answer_may_not(rcode: str) -> None:
    wire = ASKED[:2] + struct.pack("!5H", 0x8000 | dns.rcode.from_text(rcode), 0, 0, 0, 0)
    assert not is_reply(ASKED, wire)


# What a reply says.


def test_a_records_are_addresses() -> None:
    wire = reply(ASKED, f"{WEB}. 30 IN A 10.0.0.2", f"{WEB}. 20 IN A 10.0.0.1")
    assert read(wire) == Answer("NOERROR", ttl=20, addresses=("10.0.0.2", "10.0.0.1"))


def test_aaaa_records_are_addresses_in_canonical_text() -> None:
    asked = query(WEB, Type.AAAA, edns=None)
    wire = reply(asked, f"{WEB}. 30 IN AAAA FD00:0:0:0:0:0:0:1", f"{WEB}. 30 IN AAAA fd00:0:1::")
    assert read(wire).addresses == ("fd00::1", "fd00:0:1::")


def test_srv_records_are_targets_and_ports_in_lower_case_and_their_glue_is_kept() -> None:
    wire = reply(
        ASKED_SRV,
        f"{WEB}. 30 IN SRV 0 50 8080 WEB-0.{WEB}.",
        f"{WEB}. 30 IN SRV 0 50 8081 web-1.{WEB}.",
        additional=[
            f"web-0.{WEB}. 30 IN A 10.0.0.1",
            f"web-0.{WEB}. 10 IN AAAA fd00::1",
            f"WEB-1.{WEB}. 30 IN A 10.0.0.2",
            f"web-1.{WEB}. 5 IN TXT unrelated",
        ],
    )
    assert read(wire) == Answer(
        "NOERROR",
        ttl=10,
        services=((f"web-0.{WEB}", 8080), (f"web-1.{WEB}", 8081)),
        glue={f"web-0.{WEB}": ("10.0.0.1", "fd00::1"), f"web-1.{WEB}": ("10.0.0.2",)},
    )


def test_ptr_records_are_names() -> None:
    wire = reply(
        ASKED_PTR,
        f"1.0.0.10.in-addr.arpa. 30 IN PTR WEB-0.{WEB}.",
        "1.0.0.10.in-addr.arpa. 30 IN PTR api.other.svc.cluster.local.",
    )
    assert read(wire).pointers == (f"web-0.{WEB}", "api.other.svc.cluster.local")


@pytest.mark.parametrize("after", [[], ["db.example.com. 1 IN A 192.0.2.1"]])
@pytest.mark.parametrize("first", [0, 1])
def test_a_cname_beside_addresses_of_the_name_is_none(first: int, after: list[str]) -> None:
    both = [f"{WEB}. 1 IN CNAME db.example.com.", f"{WEB}. 5 IN A 10.0.0.1"]
    read_of = read(reply(ASKED, both[first], both[1 - first], *after))
    assert read_of == Answer("NOERROR", ttl=5, addresses=("10.0.0.1",))


def test_a_cname_is_an_alias_and_what_follows_it_is_read() -> None:
    wire = reply(ASKED, f"{WEB}. 5 IN CNAME Db.Example.com.", "db.example.com. 300 IN A 192.0.2.1")
    assert read(wire) == Answer("NOERROR", ttl=5, addresses=("192.0.2.1",), alias="db.example.com")


def test_a_cname_alone_is_not_a_negative_answer() -> None:
    answer = read(reply(ASKED, f"{WEB}. 5 IN CNAME db.example.com.", authority=[SOA]))
    assert not answer.negative
    assert (answer.alias, answer.ttl, answer.soa) == ("db.example.com", 5, None)


def test_a_negative_answer_tells_its_zone_and_how_long_it_holds() -> None:
    assert read(nodata(ASKED)) == Answer("NOERROR", ttl=30, soa="cluster.local")
    assert read(nxdomain(ASKED)) == Answer("NXDOMAIN", ttl=30, soa="cluster.local")
    assert read(nodata(ASKED)).negative
    assert not read(nodata(ASKED)).no_such_name
    assert read(nxdomain(ASKED)).no_such_name


def test_a_negative_answer_without_an_soa_holds_for_five_seconds() -> None:
    assert read(reply(ASKED, rcode="NXDOMAIN")) == Answer("NXDOMAIN", ttl=NEGATIVE_TTL)
    assert NEGATIVE_TTL == 5


def test_a_referral_names_the_zone_whose_servers_it_refers_to_and_no_soa() -> None:
    answer = read(reply(ASKED, authority=[". 3600 IN NS a.root-servers.net."]))
    assert (answer.referral, answer.soa) == (".", None)


def test_an_soa_beside_records_says_nothing() -> None:
    wire = reply(ASKED, f"{WEB}. 60 IN A 10.0.0.1", authority=[SOA])
    assert read(wire) == Answer("NOERROR", ttl=60, addresses=("10.0.0.1",))


def test_a_cut_answer_says_so_and_is_never_negative() -> None:
    answer = read(reply(ASKED, truncated=True))
    assert answer.truncated
    assert not answer.negative


def test_owners_compare_without_case() -> None:
    assert read(reply(ASKED, f"{WEB.upper()}. 30 IN A 10.0.0.1")).addresses == ("10.0.0.1",)


def test_records_of_another_type_or_class_are_passed_over() -> None:
    wire = reply(
        ASKED,
        f"{WEB}. 1 IN AAAA fd00::1",
        f"{WEB}. 1 IN TXT hello",
        f"{WEB}. 30 IN A 10.0.0.1",
    )
    assert read(wire) == Answer("NOERROR", ttl=30, addresses=("10.0.0.1",))
    hesiod = reply(ASKED, f"{WEB}. 30 IN A 10.0.0.1").replace(
        b"\x00\x01\x00\x01\x00\x00\x00\x1e", b"\x00\x01\x00\x04\x00\x00\x00\x1e"
    )
    assert read(hesiod) == Answer("NOERROR")


def test_an_extended_response_code_is_read_from_edns() -> None:
    assert read(reply(ASKED, rcode="BADVERS")).rcode == "BADVERS"


def test_an_answer_about_another_name_is_malformed() -> None:
    with pytest.raises(MalformedReplyError, match="which was not queried"):
        read(reply(ASKED, "other.shop.svc.cluster.local. 30 IN A 10.0.0.1"))


@pytest.mark.parametrize(
    ("what", "wire"),
    [
        ("nothing", b""),
        ("half of it", nxdomain(ASKED)[:40]),
        ("two questions", nxdomain(ASKED)[:4] + b"\0\2" + nxdomain(ASKED)[6:12] + 2 * ASKED[12:]),
        ("a name that points at itself", ASKED[:2] + b"\x80\0\0\1\0\0\0\0\0\0\xc0\x0c\0\1\0\1"),
    ],
)
def test_what_makes_no_sense_is_malformed(what: str, wire: bytes) -> None:
    with pytest.raises(MalformedReplyError):
        read(wire)


LABEL_OF_ANY_BYTES = b"\x07a b.\\\xff\x00"


def test_a_target_of_odd_bytes_is_read_as_escaped_text() -> None:
    wire = reply(ASKED_SRV, rf"{WEB}. 30 IN SRV 0 1 80 a\032b\.\\\255\000.{WEB}.")
    assert LABEL_OF_ANY_BYTES in wire
    assert read(wire).services == ((rf"a\032b\.\\\255\000.{WEB}", 80),)


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_random_bytes_are_an_answer_or_malformed_and_nothing_else(data: bytes) -> None:
    assert outcome(data)
    assert outcome(ASKED[:2] + b"\x80\x00" + data)


ANSWERS = [
    reply(ASKED, f"{WEB}. 30 IN A 10.0.0.1", f"{WEB}. 30 IN A 10.0.0.2"),
    reply(ASKED, f"{WEB}. 5 IN CNAME db.example.com.", "db.example.com. 300 IN A 192.0.2.1"),
    reply(
        ASKED_SRV,
        f"{WEB}. 30 IN SRV 0 50 8080 web-0.{WEB}.",
        additional=[f"web-0.{WEB}. 30 IN A 10.0.0.1", f"web-0.{WEB}. 10 IN AAAA fd00::1"],
    ),
    reply(ASKED_PTR, f"1.0.0.10.in-addr.arpa. 30 IN PTR web-0.{WEB}."),
    nxdomain(ASKED),
]


@settings(deadline=None)
@given(
    wire=st.sampled_from(ANSWERS),
    changes=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=6),
    length=st.integers(0, 400),
)
def test_a_reply_with_bytes_changed_or_cut_off_is_an_answer_or_malformed_and_nothing_else(
    wire: bytes, changes: list[tuple[int, int]], length: int
) -> None:
    changed = bytearray(wire)
    for place, byte in changes:
        changed[place % len(changed)] = byte
    for data in (bytes(changed), bytes(changed[:length])):
        assert outcome(data)
        is_reply(ASKED, data)
