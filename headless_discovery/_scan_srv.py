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
_FIRST_POINTER = bytes((POINTER, 0))


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
    """Records that are alike: one address for a target at most, and targets with one tail."""

    tail: bytes
    """Of all targets: what follows the first label."""
    services: list[bytes]
    """From the length of the data up to the tail."""
    addresses: list[bytes]
    """In the order of the services; empty for a target without one."""
    ttl: int
    records: tuple[object, ...] = attrs.field(init=False)
    """For `Answer.records`."""

    @records.default
    def _in_no_order(self) -> tuple[object, ...]:
        services, addresses = self.services, self.addresses
        bare: frozenset[bytes] = frozenset()
        if not all(addresses):
            bare = frozenset(itertools.compress(services, map(operator.not_, addresses)))
            services = list(itertools.compress(services, addresses))
            addresses = list(filter(None, addresses))
        size = len(addresses[0]) if addresses else 0
        pods = frozenset(map(operator.add, services, addresses))
        return self.tail, len(self.services), size, pods, bare


def _meaning(cut: _Cut, names: Names) -> Answer | None:
    """What they say; ``None`` if they are not what they look like."""
    ports = _ports(cut)
    if ports is None:
        return None
    names.check_tails({cut.tail})
    hosts = names.hosts(list(map(_FIRST_LABEL, cut.services)), cut.tail)
    said = tuple(zip(hosts, ports, strict=False))
    texts = _texts(list(filter(None, cut.addresses)))
    glue = dict(zip(itertools.compress(hosts, cut.addresses), zip(texts), strict=True))
    if len(glue) < len(hosts):  # a target comes twice, or has no address
        targets = list(map(_TARGET, cut.services))
        pods = frozenset(zip(targets, cut.addresses, strict=True))
        different = len(frozenset(hosts)) == len(frozenset(targets)) == len(pods)
        if not different or len(frozenset(said)) < len(said):
            return None
    return Answer(
        "NOERROR",
        ttl=cut.ttl,
        services=said,
        below=names.tail_text(cut.tail),
        glue=glue,
        records=cut.records,
    )


def _texts(addresses: Sequence[bytes]) -> Iterable[str]:
    """Of addresses of one family."""
    if not addresses or len(addresses[0]) == 4:
        return v4_texts(b"".join(addresses))
    return map(v6_text, addresses)


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

    Together, pieces and cuts are all the bytes that came. So if each piece is one service (`_ports`
    tells), or one address and the owner of the next (`_in_order`), there is no other way to read
    them.
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
    cut = _cut_glue(reply, at, tail, head[-4:])
    if cut is None:
        return None
    glue, whole = cut
    targets = owners = list(map(_TARGET, services))
    if not whole:
        owners = _pointers(services, target, len(between))
        to_tail = next((owner[-2:] for owner in glue if len(owner) > 2), b"\0\0")
        # What is no pointer may look like that, too, but for its first two bits.
        if to_tail >= _FIRST_POINTER and wire[:at].startswith(tail, pointed(to_tail, 0)):
            owners += map(operator.add, targets[len(owners) :], repeat(to_tail))
    addresses = _in_order(glue, owners, targets)
    return None if addresses is None else _Cut(tail, services, addresses, ttl)


def _in_order(
    glue: dict[bytes, bytes], owners: list[bytes], targets: list[bytes]
) -> list[bytes] | None:
    """The targets' addresses, by ``owners``, which stand for them; ``None`` if there are others."""
    # Nearly always, each target has one. If it comes twice, two of its owners may be the same.
    one_each = len(glue) == len(owners) == len(targets)
    if one_each and (owners is not targets or len(frozenset(owners)) == len(owners)):
        try:
            return list(map(glue.__getitem__, owners))
        except KeyError:
            pass
    target_of = dict(zip(owners, targets, strict=False))
    found = {target_of.get(owner): address for owner, address in glue.items()}
    if None in found or len(found) < len(glue):
        return None
    return list(map(found.get, targets, repeat(b"")))


def _cut_glue(
    reply: Reply, at: int, tail: bytes, ttl: bytes
) -> tuple[dict[bytes, bytes], bool] | None:
    """Each owner's one address, and whether owners are whole, without the tail; or ``None``.

    Otherwise they end in a pointer, with or without a first label.
    """
    wire = reply.wire
    end = len(wire) - at
    if not end or EDNS.fullmatch(wire, at):
        return ({}, True) if reply.additionals == bool(end) else None
    end = at + 1 + wire[at]
    whole = wire[at] < POINTER and wire.startswith(tail, end)
    if whole:
        end += len(tail)
    else:
        tail = b""
        end = at + 2 if wire[at] >= POINTER else end + 2
    kind = wire[end : end + 4]
    size = _ADDRESS_LENGTHS.get(kind, 0)
    owner, *pieces = wire[at:].split(tail + kind + ttl + size.to_bytes(2, "big"))
    if not size or not pieces:
        return None
    addresses = list(map(operator.itemgetter(slice(size)), pieces))
    owners = [owner, *map(operator.itemgetter(slice(size, None)), pieces)]
    behind = owners.pop()
    if len(addresses[-1]) < size or len(pieces) + bool(behind) != reply.additionals:
        return None
    if behind and EDNS.fullmatch(behind) is None:
        return None
    glue = dict(zip(owners, addresses, strict=True))
    return (glue, whole) if len(glue) == len(owners) else None


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
    spelt = list(targets.values())
    names.check(spelt)
    owners, addresses = _walk_glue(names, at, reply.additionals, targets, ttls)
    if max(ttls) > LONGEST_TTL:
        raise OddError
    records = _records(services, spelt, owners, addresses)
    if before is not None and before.records == records:
        return again(before, min(ttls))
    texts = names.texts({*spelt, *owners})
    hosts = map(texts.__getitem__, spelt)
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
    services: list[bytes], targets: list[bytes], owners: list[bytes], addresses: list[bytes]
) -> tuple[object, ...]:
    """Those that are alike in all but how they are written are as `_Cut.records`."""
    glue = dict(zip(owners, addresses, strict=True))
    tails = {target[1 + target[0] :] for target in targets}
    one_at_most = len(glue) == len(owners) and glue.keys() <= frozenset(targets)
    if one_at_most and len(tails) == 1 and len(frozenset(map(len, addresses))) < 2:
        [tail] = tails
        firsts = [service[: -len(tail)] for service in services]
        return _Cut(tail, firsts, [glue.get(target, b"") for target in targets], ttl=0).records
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
