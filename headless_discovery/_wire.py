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
from dns.rdatatype import RdataType

NEGATIVE_TTL = 5
"""Seconds to keep a negative answer that came without an SOA: CoreDNS's own default TTL."""

_HEADER = struct.Struct("!6H")
_RESPONSE = 0x8000
_OPCODE = 0x7800
_RECURSION_DESIRED = 0x0100
_IN = 1
_ADDRESS = (RdataType.A, RdataType.AAAA)


class Type(enum.IntEnum):
    """The record types that are asked for (RFC 1035, 2782, 3596)."""

    A = 1
    PTR = 12
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
    """The owner of a negative answer's SOA: the zone that says no."""
    no_tcp: str | None = None
    """Why the whole of a cut answer did not come over TCP."""

    @property
    def negative(self) -> bool:
        """NXDOMAIN or NODATA: no record of the type that was asked (RFC 2308)."""
        return not (self.addresses or self.services or self.pointers or self.alias)


class MalformedReplyError(ValueError):
    """The bytes are a reply to our question, and make no sense."""


def encode_name(name: str) -> bytes:
    """A name in wire form, uncompressed. The names asked here are ASCII and already checked."""
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

    Names compare without case. A server that refuses may leave the question out (FORMERR).
    """
    if len(wire) < _HEADER.size or wire[:2] != asked[:2]:
        return False
    _, flags, questions, *_ = _HEADER.unpack_from(wire)
    if not flags & _RESPONSE or flags & _OPCODE:
        return False
    if questions == 0:
        return flags & 0xF != 0 and len(wire) >= _HEADER.size
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
    answers = _of(message.answer)
    aliases = [rdata.target for rrset in _of(answers, RdataType.CNAME) for rdata in rrset]
    asked = {question.name for question in message.question}
    for rrset in answers:
        if rrset.name not in asked and not aliases:
            raise ValueError(f"it holds an answer about {rrset.name}, which was not asked")
    services = [rdata for rrset in _of(answers, RdataType.SRV) for rdata in rrset]
    glue = _of(message.additional, *_ADDRESS) if services else []
    soas = [] if answers else _of(message.authority, RdataType.SOA)
    return Answer(
        rcode=dns.rcode.to_text(message.rcode()),
        truncated=bool(message.flags & dns.flags.TC),
        ttl=min((rrset.ttl for rrset in (*answers, *glue, *soas)), default=NEGATIVE_TTL),
        addresses=_addresses(_of(answers, *_ADDRESS)),
        services=tuple((_text(rdata.target), rdata.port) for rdata in services),
        glue={
            target: _addresses(rrset for rrset in glue if _text(rrset.name) == target)
            for target in dict.fromkeys(_text(rrset.name) for rrset in glue)
        },
        pointers=tuple(
            _text(rdata.target) for rrset in _of(answers, RdataType.PTR) for rdata in rrset
        ),
        alias=_text(aliases[0]) if aliases else None,
        soa=_text(soas[0].name) if soas else None,
    )


def _of(section: Iterable[dns.rrset.RRset], *types: RdataType) -> list[dns.rrset.RRset]:
    """The Internet records of a section, of these types or of any."""
    return [
        rrset for rrset in section if rrset.rdclass == _IN and (not types or rrset.rdtype in types)
    ]


def _addresses(rrsets: Iterable[dns.rrset.RRset]) -> tuple[str, ...]:
    """Without repeats, in the order of the reply; dnspython writes RFC 5952 text already."""
    return tuple(dict.fromkeys(rdata.address for rrset in rrsets for rdata in rrset))


def _text(name: Any) -> str:
    text: str = name.to_text(omit_final_dot=True)
    return text.lower()
