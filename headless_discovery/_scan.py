"""The replies that come all day, read by a checked scan of their bytes. Pure functions.

CoreDNS answers A, AAAA, SRV with glue, PTR and "no" in a few shapes. `scan` reads those and checks
every byte that it relies on: counts, owners, types, classes, lengths, that nothing is left over.
Any other shape it leaves, as ``None``, to dnspython's parser; what it reads, it reads as that would
(held by ``tests/test_scan.py`` and ``tests/fuzz``). It takes as few Python steps for each record as
it can: a parser that makes objects of names and records needs a hundred times as long.

The shapes: one question; the records' owner written out or as a pointer to the question; names of
letters, digits, dashes and underscores, written out, or ended by a pointer to one that is; one EDNS
record without options at most.
"""

import functools
import struct

import attrs

from ._answer import NEGATIVE_TTL, Answer, Type
from ._scan_base import (
    EDNS,
    LONGEST_TTL,
    TTL_AND_LENGTH,
    Names,
    OddError,
    Reply,
    again,
    v4_texts,
    v6_text,
)
from ._scan_srv import services

_HEADER = struct.Struct("!6H")
_TYPE_AND_CLASS = struct.Struct("!2H")
_IN = 1
_SHAPE_OF_FLAGS = 0xF800  # whether it is a response, and the opcode
_RESPONSE = 0x8000
_TRUNCATED = 0x0200
_RCODES = {0: "NOERROR", 3: "NXDOMAIN"}
_TO_QUESTION = b"\xc0\x0c"
_PTR_HEAD = b"\0\x0c\0\x01"
_SOA_HEAD = b"\0\x06\0\x01"
_SOA_NUMBERS = 20


def scan(wire: bytes, before: Answer | None = None) -> Answer | None:
    """What the reply says, if it has one of the shapes; ``None`` if not.

    ``before`` is what an earlier reply to the same question said. Where the records are the same,
    whatever their order and TTLs, its values are taken over, the same objects.
    """
    try:
        return _scan(wire, before)
    except (OddError, IndexError, ValueError, struct.error):  # the others: it is cut short
        return None


def _scan(wire: bytes, before: Answer | None) -> Answer:
    _, flags, questions, answers, authorities, additionals = _HEADER.unpack_from(wire)
    rcode = _RCODES.get(flags & 0xF)
    if flags & _SHAPE_OF_FLAGS != _RESPONSE or rcode is None or questions != 1:
        raise OddError
    at = wire.index(0, _HEADER.size) + 1
    name = wire[_HEADER.size : at]
    _check_question(name)
    rdtype, rdclass = _TYPE_AND_CLASS.unpack_from(wire, at)
    at += _TYPE_AND_CLASS.size
    if rdclass != _IN or (answers and authorities):
        raise OddError
    owner = _TO_QUESTION if wire.startswith(_TO_QUESTION, at) else name
    reply = Reply(wire, at, owner, answers, authorities, additionals)
    match rdtype:
        case Type.A | Type.AAAA if answers:
            answer = _addresses(reply, rdtype, before)
        case Type.SRV if answers:
            answer = services(reply, before)
        case Type.PTR if answers:
            answer = _pointers(reply)
        case Type.A | Type.AAAA | Type.SRV | Type.PTR:
            answer = _denial(reply)
        case _:
            raise OddError
    if rcode == answer.rcode and not flags & _TRUNCATED:
        return answer
    return attrs.evolve(answer, rcode=rcode, truncated=bool(flags & _TRUNCATED), records=None)


@functools.lru_cache(maxsize=64)  # the same few are asked for all day
def _check_question(name: bytes) -> None:
    Names(name).check((name,))


def _check_end(reply: Reply, at: int) -> None:
    """Nothing follows, or an EDNS record alone."""
    if reply.additionals == 1:
        ends = EDNS.fullmatch(reply.wire, at) is not None
    else:
        ends = not reply.additionals and at == len(reply.wire)
    if not ends:
        raise OddError


# A and AAAA.


def _addresses(reply: Reply, rdtype: int, before: Answer | None) -> Answer:
    """All records at once, for they are equally long: bytes one record apart are a slice.

    With the addresses blanked, what came must be the first record as often as there are records:
    that one comparison checks every owner, type, class, TTL and length.
    """
    wire, at, count = reply.wire, reply.at, reply.answers
    size = 4 if rdtype == Type.A else 16
    head = reply.owner + _TYPE_AND_CLASS.pack(rdtype, _IN)
    ttl, _ = TTL_AND_LENGTH.unpack_from(wire, at + len(head))
    record = head + TTL_AND_LENGTH.pack(ttl, size) + bytes(size)
    step = len(record)
    end = at + count * step
    _check_end(reply, end)
    came = bytearray(wire[at:end])
    packed = bytearray(size * count)
    blank = bytes(count)
    for place in range(size):
        column = slice(step - size + place, None, step)
        packed[place::size] = came[column]
        came[column] = blank
    if came != record * count or ttl > LONGEST_TTL:
        raise OddError
    # A small number is told from another sooner than bytes are.
    addresses = struct.unpack(f"!{count}I" if size == 4 else "16s" * count, packed)
    records = frozenset(addresses)
    if before is not None and before.records == records:
        return again(before, ttl)
    texts = v4_texts(packed) if size == 4 else list(map(v6_text, addresses))
    if len(records) < count:
        texts = list(dict.fromkeys(texts))
    return Answer("NOERROR", ttl=ttl, addresses=tuple(texts), records=records)


# PTR.


def _pointers(reply: Reply) -> Answer:
    wire, at = reply.wire, reply.at
    head = reply.owner + _PTR_HEAD
    names = Names(wire)
    pointers: list[bytes] = []
    ttls: set[int] = set()
    for _ in range(reply.answers):
        start = at + len(head)
        ttl, length = TTL_AND_LENGTH.unpack_from(wire, start)
        name, end = names.read(start + 6)
        if not wire.startswith(head, at) or end != start + 6 + length:
            raise OddError
        pointers.append(name)
        ttls.add(ttl)
        at = end
    _check_end(reply, at)
    if max(ttls) > LONGEST_TTL:
        raise OddError
    texts = names.texts(pointers)
    return Answer(
        "NOERROR",
        ttl=min(ttls),
        pointers=tuple(dict.fromkeys([texts[name] for name in pointers])),
    )


# No.


def _denial(reply: Reply) -> Answer:
    """NXDOMAIN or NODATA; with the zone's SOA, or without."""
    wire, at = reply.wire, reply.at
    if not reply.authorities:
        _check_end(reply, at)
        return Answer("NOERROR", ttl=NEGATIVE_TTL)
    names = Names(wire)
    zone, at = names.read(at)
    ttl, length = TTL_AND_LENGTH.unpack_from(wire, at + 4)
    if reply.authorities > 1 or not wire.startswith(_SOA_HEAD, at) or ttl > LONGEST_TTL:
        raise OddError
    start = at + 10
    _, at = names.read(start)  # the name server
    _, at = names.read(at)  # who is responsible
    if at + _SOA_NUMBERS != start + length:
        raise OddError
    _check_end(reply, start + length)
    return Answer("NOERROR", ttl=ttl, soa=names.texts([zone])[zone])
