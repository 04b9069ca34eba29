"""SRV records with their targets' addresses as glue, read by the scan. Pure functions.

A name server writes them alike: one TTL, and targets that differ in their first labels, for they
are pods of one Service. So they are cut apart, all at once, at the bytes that stand between what
differs. Other records are walked through one by one.
"""

import bisect
import itertools
import operator
import socket
import struct
from collections.abc import Iterable, Iterator
from itertools import repeat

import attrs

from ._answer import Answer
from ._scan_base import (
    EDNS,
    LONGEST_LABEL,
    LONGEST_TTL,
    POINTER,
    TTL_AND_LENGTH,
    Names,
    OddError,
    Reply,
    again,
    pointed,
    v4_texts,
    v6_text,
)

_HEAD = b"\0\x21\0\x01"
_ADDRESS_LENGTHS = {b"\0\x01\0\x01": 4, b"\0\x1c\0\x01": 16}  # by type and class
_NUMBERS = 8  # bytes before a target: the length, the priority, the weight and the port
_TARGET = operator.itemgetter(slice(_NUMBERS, None))
_FRONT = operator.itemgetter(slice(_NUMBERS + 1))
_IN_FRONT = struct.Struct("!H4xHB")  # the length of the data, the port, that of the first label
_TO_ANYWHERE = struct.Struct("!H")
_FARTHEST = 0x3FFF  # that a pointer can point to
_FIRST_POINTER = bytes((POINTER, 0))
_UNKNOWN = b""


@attrs.define(eq=False, repr=False)
class _Served:
    """The records as they came, but for TTLs, and with all names written out."""

    tail: bytes
    """What all names end with, which is left out below; empty if they differ."""
    services: list[bytes]
    """From the length of the data on."""
    targets: list[bytes]
    """The last part of these."""
    owners: list[bytes]
    addresses: list[bytes]
    """By owner."""
    sizes: frozenset[int]
    """Of the addresses."""
    ttl: int
    """The smallest."""
    records: tuple[object, ...] = attrs.field(init=False)
    """For `Answer.records`. The sizes tell where an owner ends and its address begins."""

    @records.default
    def _in_no_order(self) -> tuple[object, ...]:
        return (
            self.tail,
            len(self.services),
            frozenset(self.services),
            self.sizes,
            frozenset(map(operator.add, self.owners, self.addresses)),
        )


def services(reply: Reply, before: Answer | None) -> Answer:
    """What the reply says. Targets are written out (RFC 2782)."""
    names = Names(reply.wire)
    served = _cut(reply)
    if served is not None:
        # What equals records that were good when they came is good, too.
        if before is not None and served.records == before.records:
            return again(before, served.ttl)
        ports = _ports(served)
        if ports is not None:
            names.check_tails({served.tail})
            texts = names.texts(served.targets, served.tail)
            return _answer(served, texts, ports, names.tail_text(served.tail))
    served = _walk(reply, names)
    if before is not None and served.records == before.records:
        return again(before, served.ttl)
    texts = names.texts({*served.targets, *served.owners}, served.tail)
    return _answer(served, texts, _each_port(served), None)


def _answer(
    served: _Served, texts: dict[bytes, str], ports: Iterable[int], below: str | None
) -> Answer:
    hosts = list(map(texts.__getitem__, served.targets))
    services = tuple(zip(hosts, ports, strict=False))
    if len(frozenset(hosts)) < len(hosts) and len(frozenset(services)) < len(services):
        raise OddError  # dnspython may take them for one record
    return Answer(
        "NOERROR",
        ttl=served.ttl,
        services=services,
        below=below,
        glue=_glue(list(map(texts.__getitem__, served.owners)), served),
        records=served.records,
    )


def _glue(hosts: list[str], served: _Served) -> dict[str, tuple[str, ...]]:
    """By host, without repeats; where there are both families, that of the first comes first."""
    addresses = served.addresses
    if served.sizes == {4}:
        texts = v4_texts(b"".join(addresses))
    else:
        texts = [v6_text(each) if len(each) == 16 else socket.inet_ntoa(each) for each in addresses]
    found: dict[str, tuple[str, ...]] = dict(zip(hosts, zip(texts, strict=True), strict=True))
    if len(found) == len(hosts):
        return found
    several: dict[str, dict[int, dict[str, None]]] = {}
    for host, address, text in zip(hosts, addresses, texts, strict=True):
        several.setdefault(host, {}).setdefault(len(address), {})[text] = None
    return {
        host: tuple([text for family in families.values() for text in family])
        for host, families in several.items()
    }


# All at once.


def _cut(reply: Reply) -> _Served | None:
    """The records, cut apart at what one has in common with the next; ``None`` if they differ.

    Together, pieces and cuts are all the bytes that came. So if each piece is one service, or one
    address and the owner of the next (`_good` tells), there is no other way to read them.
    """
    wire = reply.wire
    at = reply.at + len(reply.owner) + 8
    head = wire[reply.at : at]  # the owner, the type, the class and the TTL
    target = at + _NUMBERS
    rest = target + 1 + wire[target]
    tail = wire[rest : wire.index(0, rest) + 1]
    between = tail + head
    *pieces, last = wire[at:].split(between, reply.answers - 1)
    end = 2 + int.from_bytes(last[:2], "big") - len(tail)
    ttl = int.from_bytes(head[-4:], "big")
    if (
        not head.startswith(reply.owner + _HEAD)
        or ttl > LONGEST_TTL
        or len(pieces) + 1 != reply.answers
        or not last.startswith(tail, end)
    ):
        return None
    pieces.append(last[:end])
    at = len(wire) - len(last) + end + len(tail)
    glue = _cut_glue(reply, at, tail, head[-4:])
    if glue is None:
        return None
    owners, addresses, sizes, shortened = glue
    targets = list(map(_TARGET, pieces))
    if shortened:
        pointers = _pointers(pieces, target, len(between))
        owners = _spelt_out(owners, wire[:at], tail, targets, pointers)
    strange = _UNKNOWN in owners if shortened else not frozenset(targets).issuperset(owners)
    if strange:
        return None
    return _Served(tail, pieces, targets, owners, addresses, sizes, ttl)


def _cut_glue(
    reply: Reply, at: int, tail: bytes, ttl: bytes
) -> tuple[list[bytes], list[bytes], frozenset[int], bool] | None:
    """Owners without the tail, addresses, their sizes, and whether pointers end the owners."""
    wire, count = reply.wire, reply.additionals
    if at == len(wire) or (count == 1 and EDNS.fullmatch(wire, at)):
        return ([], [], frozenset(), False) if count == (at < len(wire)) else None
    end = at + 1 + wire[at]
    shortened = not wire.startswith(tail, end)
    if shortened:
        tail = b""
        end = at + 2 if wire[at] >= POINTER else end + 2
    else:
        end += len(tail)
    kind = wire[end : end + 4]
    size = _ADDRESS_LENGTHS.get(kind, 0)
    owner, *pieces = wire[at:].split(tail + kind + ttl + size.to_bytes(2, "big"))
    if not size or not pieces:
        return None
    addresses = [piece[:size] for piece in pieces]
    owners = [owner, *[piece[size:] for piece in pieces]]
    behind = owners.pop()
    if len(addresses[-1]) < size or len(pieces) + bool(behind) != count:
        return None
    if behind and EDNS.fullmatch(behind) is None:
        return None
    return owners, addresses, frozenset((size,)), shortened


def _pointers(services: list[bytes], at: int, between: int) -> list[bytes]:
    """To the targets, as far as pointers reach: the first stands at ``at``, the others in steps."""
    steps = map(operator.add, map(len, services), repeat(between))
    places = list(itertools.accumulate(steps, initial=at))[:-1]
    reached = places[: bisect.bisect_right(places, _FARTHEST)]
    return list(map(_TO_ANYWHERE.pack, map(operator.or_, reached, repeat(POINTER << 8))))


def _spelt_out(
    owners: list[bytes], answers: bytes, tail: bytes, targets: list[bytes], pointers: list[bytes]
) -> list[bytes]:
    """Owners that are pointers to targets; beyond their reach, labels with one to the tail."""
    spelt = dict(zip(pointers, targets, strict=False))
    to_tail = next((owner[-2:] for owner in owners if len(owner) > 2), b"")
    if to_tail >= _FIRST_POINTER and answers.startswith(tail, pointed(to_tail, 0)):
        beyond = targets[len(pointers) :]
        spelt.update(zip(map(operator.add, beyond, repeat(to_tail)), beyond, strict=True))
    return list(map(spelt.get, owners, repeat(_UNKNOWN)))


def _ports(served: _Served) -> Iterable[int] | None:
    """The ports, if the lengths of all pieces are what they say."""
    rest = _NUMBERS - 2 + 1 + len(served.tail)
    ports: set[int] = set()
    services = served.services
    for length, front in set(zip(map(len, services), map(_FRONT, services), strict=True)):
        if length < _IN_FRONT.size:
            return None
        whole, port, label = _IN_FRONT.unpack(front)
        if not (0 < label <= LONGEST_LABEL and label == length - len(front) == whole - rest):
            return None
        ports.add(port)
    return repeat(ports.pop()) if len(ports) == 1 else _each_port(served)


def _each_port(served: _Served) -> Iterator[int]:
    return (port for _, port, _ in map(_IN_FRONT.unpack_from, served.services))


# One by one.


def _walk(reply: Reply, names: Names) -> _Served:
    wire, at = reply.wire, reply.at
    head = reply.owner + _HEAD
    services: list[bytes] = []
    targets: dict[int, bytes] = {}  # by where they stand
    ttls: set[int] = set()
    for _ in range(reply.answers):
        start = at + len(head)
        ttl, length = TTL_AND_LENGTH.unpack_from(wire, start)
        if not wire.startswith(head, at):
            raise OddError
        at = start + 6 + length
        services.append(wire[start + 4 : at])
        targets[start + 12] = wire[start + 12 : at]
        ttls.add(ttl)
    names.check(targets.values())
    owners, addresses = _walk_glue(names, at, reply.additionals, targets, ttls)
    if max(ttls) > LONGEST_TTL:
        raise OddError
    tails = {name[1 + name[0] :] for name in (*targets.values(), *owners)}
    tail = tails.pop() if len(tails) == 1 else b""
    end = -len(tail) or None
    services = [service[:end] for service in services]
    return _Served(
        tail,
        services,
        list(map(_TARGET, services)),
        [owner[:end] for owner in owners],
        addresses,
        frozenset(map(len, addresses)),
        min(ttls),
    )


def _walk_glue(
    names: Names, at: int, count: int, targets: dict[int, bytes], ttls: set[int]
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
            found = EDNS.match(wire, at)
            if edns or found is None:
                raise OddError
            edns = True
            at = found.end()
            continue
        # Nearly all stand before, as a target: that needs no second look.
        label_end = at + 1 + first
        if first >= POINTER:
            owner = targets.get(pointed(wire, at))
            end = at + 2
        elif wire[label_end] >= POINTER:  # targets further on cannot be pointed to
            end = label_end + 2
            owner = wire[at:label_end] + tail_at.get(wire[label_end:end], b"")
        else:
            end = wire.index(0, at) + 1
            owner = wire[at:end]
        if owner not in known:
            owner, end = names.read(at)
            if first < POINTER:
                tail_at[wire[label_end:end]] = owner[1 + first :]
        ttl, length = TTL_AND_LENGTH.unpack_from(wire, end + 4)
        if _ADDRESS_LENGTHS.get(wire[end : end + 4]) != length:
            raise OddError
        at = end + 10 + length
        ttls.add(ttl)
        owners.append(owner)
        addresses.append(wire[end + 10 : at])
    if at != len(wire):
        raise OddError
    return owners, addresses
