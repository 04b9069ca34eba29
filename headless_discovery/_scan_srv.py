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
from collections.abc import Iterable, Sequence
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
_FRONT = operator.itemgetter(slice(_NUMBERS + 1))
_IN_FRONT = struct.Struct("!H4xHB")  # the length of the data, the port, that of the first label
_TARGET = operator.itemgetter(slice(_NUMBERS, None))
_FIRST_LABEL = operator.itemgetter(slice(_NUMBERS + 1, None))
_TO_ANYWHERE = struct.Struct("!H")
_FARTHEST = 0x3FFF  # that a pointer can point to


def services(reply: Reply, before: Answer | None) -> Answer:
    """What the reply says. Targets are written out (RFC 2782)."""
    cut = _cut(reply)
    if cut is not None:
        # What equals records that were good when they came is good, too.
        if before is not None and cut.records == before.records:
            return again(before, cut.ttl)
        answer = _meaning(cut, Names(reply.wire))
        if answer is not None:
            return answer
    return _walk(reply, before)


# All at once.


@attrs.define(eq=False, repr=False)
class _Cut:
    """Records that are alike: one address for each target, and targets with one tail."""

    tail: bytes
    """Of all targets: what follows the first label."""
    services: list[bytes]
    """From the length of the data up to the tail."""
    addresses: list[bytes]
    """In the order of the services."""
    ttl: int
    records: tuple[object, ...] = attrs.field(init=False)
    """For `Answer.records`."""

    @records.default
    def _in_no_order(self) -> tuple[object, ...]:
        pods = frozenset(map(operator.add, self.services, self.addresses))
        return self.tail, len(self.services), len(self.addresses[0]), pods


def _meaning(cut: _Cut, names: Names) -> Answer | None:
    """What they say; ``None`` if they are not what they look like."""
    ports = _ports(cut)
    if ports is None:
        return None
    names.check_tails({cut.tail})
    hosts = names.hosts(list(map(_FIRST_LABEL, cut.services)), cut.tail)
    glue = dict(zip(hosts, zip(_texts(cut.addresses), strict=True), strict=True))
    if len(glue) < len(hosts):
        return None
    return Answer(
        "NOERROR",
        ttl=cut.ttl,
        services=tuple(zip(hosts, ports, strict=False)),
        below=names.tail_text(cut.tail),
        glue=glue,
        records=cut.records,
    )


def _texts(addresses: Sequence[bytes]) -> Iterable[str]:
    """Of addresses of one family."""
    return v4_texts(b"".join(addresses)) if len(addresses[0]) == 4 else map(v6_text, addresses)


def _ports(cut: _Cut) -> Iterable[int] | None:
    """The services' ports, if the lengths of all pieces are what they say."""
    services = cut.services
    rest = _NUMBERS - 2 + 1 + len(cut.tail)
    ports: set[int] = set()
    for length, front in set(zip(map(len, services), map(_FRONT, services), strict=True)):
        whole, port, label = _IN_FRONT.unpack(front.ljust(_IN_FRONT.size, b"\0"))
        if not (0 < label <= LONGEST_LABEL and label == length - len(front) == whole - rest):
            return None
        ports.add(port)
    return repeat(ports.pop()) if len(ports) == 1 else _each_port(services)


def _each_port(services: Iterable[bytes]) -> Iterable[int]:
    return [port for _, port, _ in map(_IN_FRONT.unpack_from, services)]


def _cut(reply: Reply) -> _Cut | None:
    """The records, cut apart at what one has in common with the next; ``None`` if they differ.

    Together, pieces and cuts are all the bytes that came. So if each piece is one service, or one
    address and the owner of the next (`_ports` tells), there is no other way to read them.
    """
    wire = reply.wire
    at = reply.at + len(reply.owner) + 8
    head = wire[reply.at : at]  # the owner, the type, the class and the TTL
    target = at + _NUMBERS
    rest = target + 1 + wire[target]
    tail = wire[rest : wire.index(0, rest) + 1]
    between = tail + head
    *services, last = wire[at:].split(between, reply.answers - 1)
    end = 2 + int.from_bytes(last[:2], "big") - len(tail)
    ttl = int.from_bytes(head[-4:], "big")
    if (
        not head.startswith(reply.owner + _HEAD)
        or ttl > LONGEST_TTL
        or len(services) + 1 != reply.answers
        or not last.startswith(tail, end)
    ):
        return None
    services.append(last[:end])
    at = len(wire) - len(last) + end + len(tail)
    glue = _cut_glue(reply, at, tail, head[-4:])
    # As many as there are targets: if each target has one, there is none besides.
    if len(glue) != len(services):
        return None
    owners: Iterable[bytes]
    if _TARGET(services[0]) in glue:
        owners = map(_TARGET, services)
    else:
        pointers = _pointers(services, target, len(between))
        beyond = map(_TARGET, services[len(pointers) :])
        to_tail = next((owner[-2:] for owner in glue if len(owner) > 2), b"\0\0")
        if len(pointers) < len(services) and not wire[:at].startswith(tail, pointed(to_tail, 0)):
            return None
        owners = itertools.chain(pointers, map(operator.add, beyond, repeat(to_tail)))
    try:
        addresses = list(map(glue.__getitem__, owners))
    except KeyError:
        return None
    return _Cut(tail, services, addresses, ttl)


def _cut_glue(reply: Reply, at: int, tail: bytes, ttl: bytes) -> dict[bytes, bytes]:
    """Each owner's one address; empty if the records differ in more than these.

    An owner is a first label, if the tail follows it; a pointer; or a first label and a pointer.
    """
    wire = reply.wire
    if at == len(wire):
        return {}
    end = at + 1 + wire[at]
    if wire.startswith(tail, end):
        end += len(tail)
    else:
        tail = b""
        end = at + 2 if wire[at] >= POINTER else end + 2
    kind = wire[end : end + 4]
    size = _ADDRESS_LENGTHS.get(kind, 0)
    owner, *pieces = wire[at:].split(tail + kind + ttl + size.to_bytes(2, "big"))
    if not size or not pieces:
        return {}
    addresses = list(map(operator.itemgetter(slice(size)), pieces))
    owners = [owner, *map(operator.itemgetter(slice(size, None)), pieces)]
    behind = owners.pop()
    if len(addresses[-1]) < size or len(pieces) + bool(behind) != reply.additionals:
        return {}
    if behind and EDNS.fullmatch(behind) is None:
        return {}
    glue = dict(zip(owners, addresses, strict=True))
    return glue if len(glue) == len(owners) else {}


def _pointers(services: list[bytes], at: int, between: int) -> list[bytes]:
    """To the targets, as far as pointers reach: the first stands at ``at``, the others in steps."""
    steps = map(operator.add, map(len, services), repeat(between))
    places = list(itertools.accumulate(steps, initial=at))[:-1]
    reached = places[: bisect.bisect_right(places, _FARTHEST)]
    return list(map(_TO_ANYWHERE.pack, map(operator.or_, reached, repeat(POINTER << 8))))


# One by one.


def _walk(reply: Reply, before: Answer | None) -> Answer:
    wire, at = reply.wire, reply.at
    head = reply.owner + _HEAD
    names = Names(wire)
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
    records = _records(services, owners, addresses)
    if before is not None and before.records == records:
        return again(before, min(ttls))
    texts = names.texts({*targets.values(), *owners})
    hosts = map(texts.__getitem__, map(_TARGET, services))
    said = tuple(zip(hosts, _each_port(services), strict=True))
    if len(frozenset(said)) < len(said):
        raise OddError  # dnspython may take them for one record
    return Answer(
        "NOERROR",
        ttl=min(ttls),
        services=said,
        glue=_glue([texts[owner] for owner in owners], addresses),
        records=records,
    )


def _records(
    services: list[bytes], owners: list[bytes], addresses: list[bytes]
) -> tuple[object, ...]:
    """Those that are alike in all but how they are written are as `_Cut.records`."""
    targets = list(map(_TARGET, services))
    glue = dict(zip(owners, addresses, strict=True))
    tails = {target[1 + target[0] :] for target in targets}
    one_each = len(glue) == len(owners) == len(targets) and glue.keys() == frozenset(targets)
    if one_each and len(tails) == len(frozenset(map(len, addresses))) == 1:
        [tail] = tails
        firsts = [service[: -len(tail)] for service in services]
        return _Cut(tail, firsts, [glue[target] for target in targets], ttl=0).records
    # A name tells by itself where it ends and the address begins.
    pods = frozenset(map(operator.add, owners, addresses))
    return len(services), frozenset(services), pods


def _glue(hosts: Sequence[str], addresses: Sequence[bytes]) -> dict[str, tuple[str, ...]]:
    """By host, without repeats; where there are both families, that of the first comes first."""
    found: dict[str, dict[int, dict[str, None]]] = {}
    for host, address in zip(hosts, addresses, strict=True):
        text = v6_text(address) if len(address) == 16 else socket.inet_ntoa(address)
        found.setdefault(host, {}).setdefault(len(address), {})[text] = None
    return {
        host: tuple([text for family in families.values() for text in family])
        for host, families in found.items()
    }


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
