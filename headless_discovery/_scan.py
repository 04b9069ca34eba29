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
import operator
import re
import socket
import struct
from collections.abc import Callable, Collection, Sequence

import attrs

from ._answer import NEGATIVE_TTL, Answer, Type

_HEADER = struct.Struct("!6H")
_TYPE_AND_CLASS = struct.Struct("!2H")
_TTL_AND_LENGTH = struct.Struct("!IH")
_IN = 1
_SHAPE_OF_FLAGS = 0xF800  # whether it is a response, and the opcode
_RESPONSE = 0x8000
_TRUNCATED = 0x0200
_RCODES = {0: "NOERROR", 3: "NXDOMAIN"}
_POINTER = 0xC0
_TO_QUESTION = b"\xc0\x0c"
_LONGEST_TTL = 0x7FFFFFFF  # RFC 2181, 8: what is above counts as 0
_LONGEST_LABEL = 63  # RFC 1035, 2.3.4
_LONGEST_TAIL = 255 - 1 - _LONGEST_LABEL  # of a name, so that any first label fits
_HOSTS = re.compile(rb"[A-Za-z0-9_.-]*")
_EDNS = re.compile(rb"\0\0\x29..\0\0\0\0\0\0", re.DOTALL)  # any payload size, no options
_SRV_HEAD = b"\0\x21\0\x01"
_PTR_HEAD = b"\0\x0c\0\x01"
_SOA_HEAD = b"\0\x06\0\x01"
_SOA_NUMBERS = 20
_ADDRESS_LENGTHS = {b"\0\x01\0\x01": 4, b"\0\x1c\0\x01": 16}  # by type and class


class _OddError(Exception):
    """It has none of the shapes."""


@attrs.define
class _Reply:
    """A reply's bytes, and what its head says."""

    wire: bytes
    at: int
    """Where the records begin."""
    owner: bytes
    """The name that was asked, as it stands before each answer."""
    answers: int
    authorities: int
    additionals: int


def scan(wire: bytes, before: Answer | None = None) -> Answer | None:
    """What the reply says, if it has one of the shapes; ``None`` if not.

    ``before`` is what an earlier reply to the same question said. Where the records are the same,
    whatever their order and TTLs, its values are taken over, the same objects.
    """
    try:
        return _scan(wire, before)
    except (_OddError, IndexError, ValueError, struct.error):  # the others: it is cut short
        return None


def _scan(wire: bytes, before: Answer | None) -> Answer:
    _, flags, questions, answers, authorities, additionals = _HEADER.unpack_from(wire)
    rcode = _RCODES.get(flags & 0xF)
    if flags & _SHAPE_OF_FLAGS != _RESPONSE or rcode is None or questions != 1:
        raise _OddError
    at = wire.index(0, _HEADER.size) + 1
    name = wire[_HEADER.size : at]
    _check_question(name)
    rdtype, rdclass = _TYPE_AND_CLASS.unpack_from(wire, at)
    at += _TYPE_AND_CLASS.size
    if rdclass != _IN or (answers and authorities):
        raise _OddError
    owner = _TO_QUESTION if wire.startswith(_TO_QUESTION, at) else name
    reply = _Reply(wire, at, owner, answers, authorities, additionals)
    match rdtype:
        case Type.A | Type.AAAA if answers:
            answer = _addresses(reply, rdtype, before)
        case Type.SRV if answers:
            answer = _services(reply, before)
        case Type.PTR if answers:
            answer = _pointers(reply)
        case Type.A | Type.AAAA | Type.SRV | Type.PTR:
            answer = _denial(reply)
        case _:
            raise _OddError
    if rcode == answer.rcode and not flags & _TRUNCATED:
        return answer
    return attrs.evolve(answer, rcode=rcode, truncated=bool(flags & _TRUNCATED), records=None)


def _again(before: Answer, ttl: int) -> Answer:
    """The same with another TTL; `attrs.evolve` is slow."""
    return Answer(
        "NOERROR",
        ttl=ttl,
        addresses=before.addresses,
        services=before.services,
        glue=before.glue,
        records=before.records,
    )


@functools.lru_cache(maxsize=64)  # the same few are asked for all day
def _check_question(name: bytes) -> None:
    _Names(name).check((name,))


def _check_end(reply: _Reply, at: int) -> None:
    """Nothing follows, or an EDNS record alone."""
    if reply.additionals == 1:
        ends = _EDNS.fullmatch(reply.wire, at) is not None
    else:
        ends = not reply.additionals and at == len(reply.wire)
    if not ends:
        raise _OddError


# A and AAAA.


def _addresses(reply: _Reply, rdtype: int, before: Answer | None) -> Answer:
    """All records at once, for they are equally long: bytes one record apart are a slice.

    With the addresses blanked, what came must be the first record as often as there are records:
    that one comparison checks every owner, type, class, TTL and length.
    """
    wire, at, count = reply.wire, reply.at, reply.answers
    size = 4 if rdtype == Type.A else 16
    head = reply.owner + _TYPE_AND_CLASS.pack(rdtype, _IN)
    ttl, _ = _TTL_AND_LENGTH.unpack_from(wire, at + len(head))
    record = head + _TTL_AND_LENGTH.pack(ttl, size) + bytes(size)
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
    if came != record * count or ttl > _LONGEST_TTL:
        raise _OddError
    # A small number is told from another sooner than bytes are.
    addresses = struct.unpack(f"!{count}I" if size == 4 else "16s" * count, packed)
    records = frozenset(addresses)
    if before is not None and before.records == records:
        return _again(before, ttl)
    texts = _v4_texts(packed) if size == 4 else list(map(_v6_text, addresses))
    if len(records) < count:
        texts = list(dict.fromkeys(texts))
    return Answer("NOERROR", ttl=ttl, addresses=tuple(texts), records=records)


# SRV: targets, which are written out (RFC 2782), and their addresses as glue.


def _services(reply: _Reply, before: Answer | None) -> Answer:
    wire, at = reply.wire, reply.at
    head = reply.owner + _SRV_HEAD
    services: list[bytes] = []
    targets: dict[int, bytes] = {}  # by where they stand
    ttls: set[int] = set()
    for _ in range(reply.answers):
        start = at + len(head)
        ttl, length = _TTL_AND_LENGTH.unpack_from(wire, start)
        if not wire.startswith(head, at):
            raise _OddError
        at = start + 6 + length
        service = wire[start + 6 : at]
        services.append(service)
        targets[start + 12] = service[6:]
        ttls.add(ttl)
    names = _Names(wire)
    names.check(targets.values())
    owners, addresses = _glue(names, at, reply.additionals, targets, ttls)
    if max(ttls) > _LONGEST_TTL:
        raise _OddError
    records = frozenset(services), frozenset(map(operator.add, owners, addresses))
    if len(records[0]) < len(services):
        raise _OddError
    if before is not None and before.records == records:
        return _again(before, min(ttls))
    texts = names.texts({*targets.values(), *owners})
    named = tuple([(texts[service[6:]], service[4] << 8 | service[5]) for service in services])
    if len(set(named)) != len(named):  # dnspython may take them for one record
        raise _OddError
    found: dict[str, list[bytes]] = {}
    for name, address in zip(owners, addresses, strict=True):
        found.setdefault(texts[name], []).append(address)
    return Answer(
        "NOERROR",
        ttl=min(ttls),
        services=named,
        glue={name: _texts(packed) for name, packed in found.items()},
        records=records,
    )


def _glue(
    names: "_Names", at: int, count: int, targets: dict[int, bytes], ttls: set[int]
) -> tuple[list[bytes], list[bytes]]:
    """Owners and addresses, up to the end; one EDNS record may stand among them."""
    wire = names.wire
    known = frozenset(targets.values())
    owners: list[bytes] = []
    addresses: list[bytes] = []
    tail_at: dict[bytes, bytes] = {}  # by pointer
    edns = False
    for _ in range(count):
        first = wire[at]
        if not first:
            found = _EDNS.match(wire, at)
            if edns or found is None:
                raise _OddError
            edns = True
            at = found.end()
            continue
        # Nearly all stand before, as a target: that needs no second look.
        label_end = at + 1 + first
        if first >= _POINTER:
            owner = targets.get(_pointed(wire, at))
            end = at + 2
        elif wire[label_end] >= _POINTER:  # targets further on cannot be pointed to
            end = label_end + 2
            owner = wire[at:label_end] + tail_at.get(wire[label_end:end], b"")
        else:
            end = wire.index(0, at) + 1
            owner = wire[at:end]
        if owner not in known:
            owner, end = names.read(at)
            if first < _POINTER:
                tail_at[wire[label_end:end]] = owner[1 + first :]
        ttl, length = _TTL_AND_LENGTH.unpack_from(wire, end + 4)
        if _ADDRESS_LENGTHS.get(wire[end : end + 4]) != length:
            raise _OddError
        at = end + 10 + length
        ttls.add(ttl)
        owners.append(owner)
        addresses.append(wire[end + 10 : at])
    if at != len(wire):
        raise _OddError
    return owners, addresses


# PTR.


def _pointers(reply: _Reply) -> Answer:
    wire, at = reply.wire, reply.at
    head = reply.owner + _PTR_HEAD
    names = _Names(wire)
    pointers: list[bytes] = []
    ttls: set[int] = set()
    for _ in range(reply.answers):
        start = at + len(head)
        ttl, length = _TTL_AND_LENGTH.unpack_from(wire, start)
        name, end = names.read(start + 6)
        if not wire.startswith(head, at) or end != start + 6 + length:
            raise _OddError
        pointers.append(name)
        ttls.add(ttl)
        at = end
    _check_end(reply, at)
    if max(ttls) > _LONGEST_TTL:
        raise _OddError
    texts = names.texts(pointers)
    return Answer(
        "NOERROR",
        ttl=min(ttls),
        pointers=tuple(dict.fromkeys([texts[name] for name in pointers])),
    )


# No.


def _denial(reply: _Reply) -> Answer:
    """NXDOMAIN or NODATA; with the zone's SOA, or without."""
    wire, at = reply.wire, reply.at
    if not reply.authorities:
        _check_end(reply, at)
        return Answer("NOERROR", ttl=NEGATIVE_TTL)
    names = _Names(wire)
    zone, at = names.read(at)
    ttl, length = _TTL_AND_LENGTH.unpack_from(wire, at + 4)
    if reply.authorities > 1 or not wire.startswith(_SOA_HEAD, at) or ttl > _LONGEST_TTL:
        raise _OddError
    start = at + 10
    _, at = names.read(start)  # the name server
    _, at = names.read(at)  # who is responsible
    if at + _SOA_NUMBERS != start + length:
        raise _OddError
    _check_end(reply, start + length)
    return Answer("NOERROR", ttl=ttl, soa=names.texts([zone])[zone])


# Names.


class _Names:
    """Reads the names of one message, and knows their tails: what follows the first label.

    Few tails belong to many names, so each is looked at once.
    """

    def __init__(self, wire: bytes) -> None:
        self.wire = wire
        self._tails: dict[bytes, str] = {}

    def read(self, at: int) -> tuple[bytes, int]:
        """The name there, written out and checked, and where it ends.

        It may be a pointer, or a label and a pointer, to a name that stands before it, written out.
        """
        wire = self.wire
        first = wire[at]
        label_end = at if first >= _POINTER else at + 1 + first
        if wire[label_end] >= _POINTER:
            place = _pointed(wire, label_end)
            tail_end = wire.index(0, place) + 1
            if tail_end > at:
                raise _OddError
            name = wire[at:label_end] + wire[place:tail_end]
            end = label_end + 2
        else:
            end = wire.index(0, label_end) + 1
            name = wire[at:end]
        self.check((name,))
        return name, end

    def check(self, names: Collection[bytes]) -> None:
        """They are names, written out, and their tails are a host's."""
        for length in {name[0] for name in names}:
            if not 0 < length <= _LONGEST_LABEL:
                raise _OddError
        for tail in {name[1 + name[0] :] for name in names} - self._tails.keys():
            if len(tail) > _LONGEST_TAIL:
                raise _OddError
            labels: list[bytes] = []
            at = 0
            while length := tail[at]:
                labels.append(tail[at + 1 : at + 1 + length])
                at += 1 + length
            if at + 1 != len(tail) or any(len(label) > _LONGEST_LABEL for label in labels):
                raise _OddError
            self._tails[tail] = "".join([f".{label}" for label in _plain(labels)])

    def texts(self, names: Collection[bytes]) -> dict[bytes, str]:
        """Checked names as text: lower case, no final dot."""
        labels = _plain([name[1 : 1 + name[0]] for name in names])
        return {
            name: label + self._tails[name[1 + name[0] :]]
            for name, label in zip(names, labels, strict=True)
        }


def _plain(labels: Sequence[bytes]) -> Sequence[str]:
    """A host's labels as text, all at once: dots part them, for one with a dot in it is odd."""
    joined = b".".join(labels)
    texts = joined.decode("latin-1").lower().split(".") if labels else []
    if _HOSTS.fullmatch(joined) is None or len(texts) != len(labels):
        raise _OddError
    return texts


def _pointed(wire: bytes, at: int) -> int:
    """Where a pointer points to (RFC 1035, 4.1.4)."""
    return (wire[at] & 0x3F) << 8 | wire[at + 1]


# Addresses.

_LAST = [str(octet) for octet in range(256)]
_OTHER = [f"{octet}." for octet in _LAST]


def _v4_texts(packed: bytes | bytearray) -> list[str]:
    """Of addresses in a row; one by one, the C library takes twice as long."""
    last, other = _LAST, _OTHER
    octets = zip(packed[::4], packed[1::4], packed[2::4], packed[3::4], strict=True)
    return [f"{other[a]}{other[b]}{other[c]}{last[d]}" for a, b, c, d in octets]


def _text(address: bytes) -> str:
    return socket.inet_ntoa(address) if len(address) == 4 else _v6_text(address)


def _texts(addresses: list[bytes]) -> tuple[str, ...]:
    """Without repeats; where there are both families, that of the first comes first."""
    if len(addresses) == 1:
        return (_text(addresses[0]),)
    first = len(addresses[0])
    addresses.sort(key=lambda address: len(address) != first)
    return tuple(dict.fromkeys(map(_text, addresses)))


def _v6_by_dnspython(address: bytes) -> str:
    import dns.ipv6  # noqa: PLC0415 - only where the C library cannot do it

    return dns.ipv6.inet_ntoa(address)


_v6_by_libc = functools.partial(socket.inet_ntop, socket.AF_INET6)


def _keeps_to_rfc_5952() -> bool:
    """Whether the C library's text is everybody's: musl shortens a single zero."""
    return all(
        _v6_by_libc(socket.inet_pton(socket.AF_INET6, text)) == text
        for text in ("fd00:0:1:1:1:1:1:1", "::1.2.3.4")
    )


_v6_text: Callable[[bytes], str] = _v6_by_libc if _keeps_to_rfc_5952() else _v6_by_dnspython
