"""DNS messages: a question to bytes, and bytes to what they say. Pure functions.

Nothing here knows what an answer means for the Service, who was asked, or when.
"""

import enum
import secrets
import struct
from collections.abc import Iterable, Mapping
from typing import Any

import attrs
import dns.exception
import dns.flags
import dns.message
import dns.rcode
import dns.rrset
from dns.rcode import Rcode
from dns.rdatatype import RdataType

NEGATIVE_TTL = 5
"""Seconds to keep a negative answer that came without an SOA: CoreDNS's own default TTL."""

_HEADER = struct.Struct("!6H")
_RESPONSE = 0x8000
_OPCODE = 0x7800
_RECURSION_DESIRED = 0x0100
_WITHOUT_QUESTION = (Rcode.FORMERR, Rcode.SERVFAIL, Rcode.NOTIMP, Rcode.REFUSED)
_IN = 1
_ADDRESS = (RdataType.A, RdataType.AAAA)


class Type(enum.IntEnum):
    """The record types that are asked for (RFC 1035, 2782, 3596)."""

    A = 1
    PTR = 12
    TXT = 16
    AAAA = 28
    SRV = 33


@attrs.frozen
class Answer:
    """What one reply says about the name that was asked. Names are lower case, no final dot."""

    rcode: str
    truncated: bool = False
    ttl: int = NEGATIVE_TTL
    """Seconds: the smallest of the records below; the SOA's if there are none."""
    addresses: tuple[str, ...] = ()
    services: tuple[tuple[str, int], ...] = ()
    """(target, port) of the SRV records."""
    glue: Mapping[str, tuple[str, ...]] = attrs.field(factory=dict)
    """The addresses that came along for SRV targets, by target."""
    pointers: tuple[str, ...] = ()
    alias: str | None = None
    """Where a CNAME record sends the asker."""
    soa: str | None = None
    """The zone that says no: the owner of a negative answer's SOA, or of its NS (a referral)."""
    nameserver: str | None = None
    """Who gave a cut answer."""
    no_tcp: str | None = None
    """Why the whole of a cut answer did not come over TCP."""

    @property
    def negative(self) -> bool:
        """NXDOMAIN or NODATA: there is no record of the type that was asked (RFC 2308)."""
        return not (
            self.addresses or self.services or self.pointers or self.alias or self.truncated
        )

    @property
    def no_such_name(self) -> bool:
        """NXDOMAIN: there is no record of any type."""
        return self.negative and self.rcode == "NXDOMAIN"


class MalformedReplyError(ValueError):
    """The bytes are a reply to our question, and make no sense."""


def encode_name(name: str) -> bytes:
    """A name in wire form, uncompressed.

    Whoever asks has seen to it that the name fits: `ServiceName` and `ServiceName.owns`.
    """
    return (
        b"".join(bytes((len(label),)) + label for label in name.encode("ascii").split(b".")) + b"\0"
    )


def query(name: str, rdtype: Type, *, edns: int | None) -> bytes:
    """A question with a fresh random id; ``edns`` is the payload size offered (RFC 6891)."""
    header = _HEADER.pack(secrets.randbits(16), _RECURSION_DESIRED, 1, 0, 0, int(edns is not None))
    question = encode_name(name) + struct.pack("!2H", rdtype, _IN)
    if edns is None:
        return header + question
    return header + question + struct.pack("!BHHIH", 0, 41, edns, 0, 0)


def is_reply(asked: bytes, wire: bytes) -> bool:
    """Whether the bytes claim to answer that question: its id, and the question echoed.

    Names compare without case. A server that does not take the question may leave it out.
    """
    if len(wire) < _HEADER.size or wire[:2] != asked[:2]:
        return False
    _, flags, questions, *_ = _HEADER.unpack_from(wire)
    if not flags & _RESPONSE or flags & _OPCODE:
        return False
    if questions == 0:
        return flags & 0xF in _WITHOUT_QUESTION
    end = asked.index(0, _HEADER.size) + 5
    return questions == 1 and wire[_HEADER.size : end].lower() == asked[_HEADER.size : end].lower()


def read(wire: bytes) -> Answer:
    """What the reply says; raises `MalformedReplyError`."""
    try:
        message = dns.message.from_wire(wire)
        return _meaning(message)
    except (dns.exception.DNSException, ValueError) as error:
        raise MalformedReplyError(f"{type(error).__name__}: {error}") from error


def _meaning(message: dns.message.Message) -> Answer:
    if not message.question:  # a refusal: `is_reply` lets nothing else through without one
        return Answer(dns.rcode.to_text(message.rcode()))
    [question] = message.question
    aliases = _of(message.answer, RdataType.CNAME)
    answers = _of(message.answer, question.rdtype)
    for rrset in answers:
        if rrset.name != question.name and not aliases:
            raise ValueError(f"it holds an answer about {rrset.name}, which was not asked")
    services = _rdatas(answers) if question.rdtype == RdataType.SRV else []
    glue = _of(message.additional, *_ADDRESS) if services else []
    saying_no: list[dns.rrset.RRset] = []
    if not answers and not aliases:
        saying_no = _of(message.authority, RdataType.SOA) or _of(message.authority, RdataType.NS)
    addresses_of: dict[str, list[dns.rrset.RRset]] = {}
    for rrset in glue:
        addresses_of.setdefault(_text(rrset.name), []).append(rrset)
    return Answer(
        rcode=dns.rcode.to_text(message.rcode()),
        truncated=bool(message.flags & dns.flags.TC),
        ttl=min(
            (rrset.ttl for rrset in (*aliases, *answers, *glue, *saying_no)), default=NEGATIVE_TTL
        ),
        addresses=_addresses(answers) if question.rdtype in _ADDRESS else (),
        services=tuple((_text(rdata.target), rdata.port) for rdata in services),
        glue={target: _addresses(rrsets) for target, rrsets in addresses_of.items()},
        pointers=(
            tuple(_text(rdata.target) for rdata in _rdatas(answers))
            if question.rdtype == RdataType.PTR
            else ()
        ),
        alias=_text(_rdatas(aliases)[0].target) if aliases else None,
        soa=_text(saying_no[0].name) if saying_no else None,
    )


def _of(section: Iterable[dns.rrset.RRset], *types: RdataType) -> list[dns.rrset.RRset]:
    """The Internet records of these types."""
    return [rrset for rrset in section if rrset.rdclass == _IN and rrset.rdtype in types]


def _rdatas(rrsets: Iterable[dns.rrset.RRset]) -> list[Any]:
    return [rdata for rrset in rrsets for rdata in rrset]


def _addresses(rrsets: Iterable[dns.rrset.RRset]) -> tuple[str, ...]:
    """Without repeats, in the order of the reply; dnspython writes RFC 5952 text already."""
    return tuple(dict.fromkeys(rdata.address for rrset in rrsets for rdata in rrset))


def _text(name: Any) -> str:
    text: str = name.to_text(omit_final_dot=True)
    return text.lower()
