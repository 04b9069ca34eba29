"""DNS messages: a question to bytes, which bytes are a reply, and what a reply says, as values.

Pure functions, without the meaning of an answer for the Service, its server, or its time.
"""

import enum
import functools
import secrets
import struct
from collections.abc import Mapping
from typing import NamedTuple

import attrs

NEGATIVE_TTL = 5
"""Seconds to keep a negative answer that came without an SOA: CoreDNS's own default TTL."""


class Type(enum.IntEnum):
    """The record types that are queried (RFC 1035, 2782, 3596)."""

    A = 1
    PTR = 12
    TXT = 16
    AAAA = 28
    SRV = 33


class Server(NamedTuple):
    """A name server: an IP address and a port."""

    address: str
    port: int

    def __str__(self) -> str:
        """``10.96.0.10:53``, ``[fd00::a]:53``."""
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"{host}:{self.port}"


@attrs.define
class Answer:
    """One reply about the queried name. Names are lower case, without a final dot.

    Once its server is noted nothing about it changes any more. That it is not frozen makes it in
    a third of the time.
    """

    rcode: str
    truncated: bool = False
    ttl: int = NEGATIVE_TTL
    """Seconds: the smallest of the records below; the SOA's if there are none."""
    addresses: tuple[str, ...] = ()
    services: tuple[tuple[str, int], ...] = ()
    """(target, port) of the SRV records."""
    below: str | None = attrs.field(default=None, eq=False, repr=False)
    """The common parent of all targets, if known: then they need no check."""
    glue: Mapping[str, tuple[str, ...]] = attrs.field(factory=dict)
    """The addresses that came along for SRV targets, by target."""
    pointers: tuple[str, ...] = ()
    alias: str | None = None
    """Where a CNAME record sends the asker."""
    soa: str | None = None
    """The zone that says no: the owner of a negative answer's SOA."""
    referral: str | None = None
    """The zone whose servers it names instead of an answer (RFC 2308, 2.2): it says nothing."""
    stale: bool = False
    """The server calls it out of date: its own source does not answer (RFC 8914: 3, 19)."""
    withheld: str | None = None
    """The server has more than it says, by its policy: its word for that (RFC 8914: 15 to 18)."""
    server: Server | None = attrs.field(default=None, eq=False)
    """Who said it."""
    servers: tuple[Server, ...] = attrs.field(default=(), eq=False)
    """All who said so, where a "no" of another zone than the cluster's is all there is."""
    no_tcp: str | None = None
    """Why the complete answer did not come over TCP."""
    records: object = attrs.field(default=None, eq=False, repr=False)
    """The records in wire form, their TTLs left out, in no order: a reply with equal ones says the
    same. ``None``: unknown."""

    @property
    def nameserver(self) -> str | None:
        """Who said it, for people."""
        return None if self.server is None else str(self.server)

    @property
    def negative(self) -> bool:
        """NXDOMAIN or NODATA: there is no record of the queried type (RFC 2308)."""
        return not (
            self.addresses or self.services or self.pointers or self.alias or self.truncated
        )

    @property
    def no_such_name(self) -> bool:
        """NXDOMAIN: there is no record of any type."""
        return self.negative and self.rcode == "NXDOMAIN"


class MalformedReplyError(ValueError):
    """The bytes are a reply to our question, and make no sense."""


_HEADER = 12
"""Bytes."""
_HEAD = struct.Struct("!5H")
"""Of the header, what follows the id."""
# In the header's third and fourth byte.
_RESPONSE = 0x80
_RESPONSE_AND_OPCODE = 0xF8
_TRUNCATED = 0x02
_RCODE = 0x0F
_RECURSION_DESIRED = 0x0100
_ANSWERS = (0, 3)  # NOERROR, NXDOMAIN
_WITHOUT_QUESTION = (1, 2, 4, 5)  # FORMERR, SERVFAIL, NOTIMP, REFUSED
_IN = 1


def encode_name(name: str) -> bytes:
    """A name in wire form, uncompressed.

    The name must be short enough: see `ServiceName` and `ServiceName.owns`.
    """
    return (
        b"".join(bytes((len(label),)) + label for label in name.encode("ascii").split(b".")) + b"\0"
    )


def query(name: str, rdtype: Type, *, edns: int | None) -> bytes:
    """A question with a fresh random id; ``edns`` is the payload size offered (RFC 6891)."""
    return secrets.token_bytes(2) + _after_id(name, rdtype, edns)


@functools.lru_cache(maxsize=64)  # there are few different ones
def _after_id(name: str, rdtype: Type, edns: int | None) -> bytes:
    head = _HEAD.pack(_RECURSION_DESIRED, 1, 0, 0, int(edns is not None))
    question = encode_name(name) + struct.pack("!2H", rdtype, _IN)
    if edns is None:
        return head + question
    return head + question + struct.pack("!BHHIH", 0, 41, edns, 0, 0)


def is_reply(asked: bytes, wire: bytes) -> bool:
    """Whether the bytes claim to answer that question: its id, and the question echoed.

    Names compare without case. A server that does not take the question may leave it out.
    """
    if wire[:2] != asked[:2] or len(wire) < _HEADER or wire[2] & _RESPONSE_AND_OPCODE != _RESPONSE:
        return False
    questions = wire[4:6]
    if questions == b"\0\1":
        end = asked.index(0, _HEADER) + 5
        return wire[_HEADER:end].lower() == asked[_HEADER:end].lower()
    return questions == b"\0\0" and wire[3] & _RCODE in _WITHOUT_QUESTION


def is_truncated(wire: bytes) -> bool:
    """Whether a reply is truncated, so that TCP can bring all of it (RFC 1035, 4.2.1)."""
    return bool(wire[2] & _TRUNCATED) and wire[3] & _RCODE in _ANSWERS
