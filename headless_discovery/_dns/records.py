"""Records in bulk: A, AAAA, and SRV with glue; and the names in a reply. Pure functions.

What records have in common is checked once for all of them, in one call of C code: A and AAAA are
read as columns, SRV and its glue are split at the bytes between two targets. Other glue of those
targets must match a possessive regular expression made for them: hostile bytes are not slower.
"""

import bisect
import functools
import itertools
import operator
import re
import socket
import struct
from collections.abc import Callable, Collection, Iterable, Sequence, Set
from typing import NamedTuple

from .message import Answer

FIXED = struct.Struct("!HHIH")
"""Of a record, what follows the owner: type, class, TTL, and the length of its data."""
LONGEST_TTL = 0x7FFFFFFF  # RFC 2181, 8: what is above counts as 0
POINTER = 0xC0
_LONGEST_TAIL = 255 - 1 - 63  # of a name, so that any first label fits (RFC 1035, 2.3.4)
_LONGEST_NAME, _LONGEST_LABEL, MOST_LABELS = 253, 63, 127  # RFC 1035, 2.3.4; as text
_HOST = re.compile(r"[a-z0-9_.-]*")


class OddError(Exception):
    """It has none of the shapes that are read here."""


number: Callable[[bytes], int] = int.from_bytes
"""As encoded in a message: the most significant byte comes first, as Python has it by default."""


def least(ttls: Collection[bytes]) -> int:
    """In seconds."""
    if number(max(ttls)) > LONGEST_TTL:
        raise OddError
    return number(min(ttls))


def _again(before: Answer, ttl: int) -> Answer:
    """The same with that TTL; `attrs.evolve` is slow."""
    if ttl == before.ttl:
        return before
    return Answer(
        "NOERROR",
        ttl=ttl,
        addresses=before.addresses,
        services=before.services,
        below=before.below,
        glue=before.glue,
        server=before.server,  # nearly always; the caller checks the rest
        records=before.records,
    )


# A and AAAA.

_BLANKS = {b"\0\x01\0\x01": b"\0\x04" + bytes(4), b"\0\x1c\0\x01": b"\0\x10" + bytes(16)}
"""What follows the TTL, the address blanked, by type and class."""


def addresses_of(
    wire: bytes, at: int, head: bytes, count: int, before: Answer | None
) -> tuple[Answer, int]:
    """The values of so many records from there on, and where they end.

    Each begins with that head: the owner, the type and the class.

    All are equally long, so what stands at one place of each is a slice. With addresses blanked,
    and TTLs where they differ, what came must be the first record as often as there are records.
    """
    rest, start = _BLANKS[head[-4:]], len(head)
    ttls: Sequence[bytes] = [wire[at + start : at + start + 4]]
    size, step = len(rest) - 2, start + 4 + len(rest)
    end = at + count * step
    came = bytearray(wire[at:end])
    packed = _taken(came, step - size, step, size, count)
    if came != (head + ttls[0] + rest) * count:  # or their TTLs differ
        ttls = struct.unpack("4s" * count, _taken(came, start, step, 4, count))
        if came != (head + bytes(4) + rest) * count:
            raise OddError
    ttl = least(ttls)
    # Small numbers compare faster than bytes.
    addresses = struct.unpack(f"!{count}I" if size == 4 else "16s" * count, packed)
    records = frozenset(addresses)
    if before is not None and before.records == records:
        return _again(before, ttl), end
    texts = _v4_texts(packed) if size == 4 else list(map(v6_text, addresses))
    if len(records) < count:
        texts = list(dict.fromkeys(texts))
    return Answer("NOERROR", ttl=ttl, addresses=tuple(texts), records=records), end


def _taken(records: bytearray, at: int, step: int, size: int, count: int) -> bytearray:
    """The bytes there in each record, one after the other; in their place remain zeros."""
    column = bytearray(count * size)
    blank = bytes(count)
    for place in range(size):
        column[place::size] = records[at + place :: step]
        records[at + place :: step] = blank
    return column


_LAST = [str(octet) for octet in range(256)]
_OTHER = [f"{octet}." for octet in _LAST]


def _v4_texts(packed: bytes | bytearray) -> list[str]:
    """Of addresses in a row; one by one, the C library takes twice as long."""
    last, other = _LAST, _OTHER
    octets = zip(packed[::4], packed[1::4], packed[2::4], packed[3::4], strict=True)
    return [f"{other[a]}{other[b]}{other[c]}{last[d]}" for a, b, c, d in octets]


def v6_by_dnspython(address: bytes) -> str:
    import dns.ipv6  # noqa: PLC0415 - only where the C library cannot do it

    return dns.ipv6.inet_ntoa(address)


_v6_by_libc = functools.partial(socket.inet_ntop, socket.AF_INET6)


def _keeps_to_rfc_5952() -> bool:
    """Whether the C library writes canonical text: musl shortens a single zero."""
    return all(
        _v6_by_libc(socket.inet_pton(socket.AF_INET6, text)) == text
        for text in ("fd00:0:1:1:1:1:1:1", "::1.2.3.4")
    )


v6_text: Callable[[bytes], str] = _v6_by_libc if _keeps_to_rfc_5952() else v6_by_dnspython


# SRV, with their targets' addresses as glue.


_SERVICE = b"\0\x21\0\x01"
_FARTHEST = 0x3FFF  # that a pointer can point to
_POINTER_TO = struct.Struct("!H")
# Of a service, from the length of its data on: what stands before its first label, the label's
# length included; and the label, with its length and without.
_FRONT, _COUNTED_LABEL, _PLAIN_LABEL = (
    operator.itemgetter(slice(*places)) for places in ((9,), (8, None), (9, None))
)


class _Glue(NamedTuple):
    """Addresses of targets."""

    owners: Sequence[bytes]
    """The targets' first labels."""
    addresses: Sequence[bytes]
    ttls: Set[bytes]
    end: int
    """Where they end."""


def services_of(
    wire: bytes, at: int, owner: bytes, count: int, before: Answer | None
) -> tuple[Answer, int, int]:
    """Their values, where glue ends, and how much of it there is.

    A name server writes them alike: one TTL, and targets that differ in their first labels, written
    out (RFC 2782). So they are cut apart at what stands between what differs. Pieces and cuts are
    all the bytes; if each piece is as long as it says, there is no other way to read them.
    """
    start = at + len(owner) + FIXED.size - 2
    head = wire[at:start]  # the owner, the type, the class and the TTL
    target = start + 8
    first = target + 1 + wire[target]
    tail = wire[first : wire.index(0, first) + 1]
    *rows, last = wire[start:].split(tail + head, count - 1)
    size = 2 + number(last[:2]) - len(tail)
    rows.append(last[:size])
    if (
        len(rows) != count
        or not head.startswith(owner + _SERVICE)
        or not last.startswith(tail, size)
    ):
        raise OddError
    at = len(wire) - len(last) + size + len(tail)
    labels = list(map(_COUNTED_LABEL, rows))
    steps = map(operator.add, map(len, rows), itertools.repeat(len(tail) + len(head)))
    places = list(itertools.accumulate(steps, initial=target))[:-1]
    glue = _cut(wire, at, tail, labels, places)
    if glue is None:
        glue = _matched(wire, at, tail, dict(zip(places, labels, strict=True)))
    ttl = least({head[-4:], *glue.ttls})
    pods = frozenset(map(operator.add, rows, _told(labels, glue)))
    if len(pods) < count:  # dnspython takes equal ones for one
        raise OddError
    records = tail, count, pods
    if before is not None and before.records == records:  # then it was checked
        return _again(before, ttl), glue.end, len(glue.owners)
    fronts = list(map(_FRONT, rows))
    ports: dict[bytes, int] = {}
    for front, size in set(zip(fronts, map(len, rows), strict=True)):
        label = size - len(front)
        if front[8:] != bytes((label,)) or number(front[:2]) != 7 + label + len(tail):
            raise OddError
        if not 0 < label <= _LONGEST_LABEL:
            raise OddError
        ports[front] = number(front[6:8])
    below = host(tail)
    text = b".".join([*map(_PLAIN_LABEL, rows), b""]).decode("ascii")
    if _HOST.fullmatch(text) is None or text.count(".") != count or len(tail) > _LONGEST_TAIL:
        raise OddError
    hosts = text.replace(".", f".{below} ").split(" ")[:-1]
    owners = hosts
    if glue.owners is not labels:
        owners = list(map(dict(zip(labels, hosts, strict=True)).__getitem__, glue.owners))
    answer = Answer(
        "NOERROR",
        ttl=ttl,
        services=tuple(zip(hosts, map(ports.__getitem__, fronts), strict=True)),
        below=below,
        glue=_by_host(owners, glue.addresses),
        records=records,
    )
    return answer, glue.end, len(glue.owners)


def _told(labels: Sequence[bytes], glue: _Glue) -> Iterable[bytes]:
    """The addresses of each target, in no order; one by itself, several with their lengths."""
    if glue.owners is labels:
        return glue.addresses
    found: dict[bytes, set[bytes]] = {}
    for label, address in zip(glue.owners, glue.addresses, strict=True):
        found.setdefault(label, set()).add(address)
    told = {
        label: b"".join(addresses)
        if len(addresses) == 1
        else b"".join([bytes((len(each),)) + each for each in sorted(addresses)])
        for label, addresses in found.items()
    }
    return map(told.get, labels, itertools.repeat(b""))


def _cut(
    wire: bytes, at: int, tail: bytes, labels: Sequence[bytes], places: Sequence[int]
) -> _Glue | None:
    """Glue of one family and TTL, one for each target: cut apart as services are."""
    if at == len(wire) or not wire[at]:
        return None
    end = at + 1 + wire[at]
    whole = wire[at] < POINTER and wire.startswith(tail, end)
    between = tail if whole else b""
    end = at + 2 if wire[at] >= POINTER else end + (len(tail) if whole else 2)
    head = wire[end : end + FIXED.size]
    blank = _BLANKS.get(head[:4])
    if blank is None or not blank.startswith(head[-2:]):
        return None
    size = len(blank) - 2
    first, *pieces = wire[at:].split(between + head)
    addresses = map(operator.itemgetter(slice(size)), pieces)
    owners = [first, *map(operator.itemgetter(slice(size, None)), pieces)]
    behind = owners.pop()
    found = dict(zip(owners, addresses, strict=True))
    if not len(found) == len(owners) == len(labels) or behind[:1] not in (b"", b"\0"):
        return None
    # As the targets' owners are written: pointers, as far as they reach; then what all end with.
    written = labels
    if not whole:
        reached = bisect.bisect_right(places, _FARTHEST)
        ending = next((owner[-2:] for owner in owners if len(owner) > 2), b"")
        if ending and not _is_to(ending, tail, wire[:at]):
            return None
        bits = map(operator.or_, places[:reached], itertools.repeat(POINTER << 8))
        written = list(map(_POINTER_TO.pack, bits))
        written += map(operator.add, labels[reached:], itertools.repeat(ending))
    try:
        in_order = list(map(found.__getitem__, written))
    except KeyError:
        return None
    if len(pieces[-1]) < size or len(frozenset(labels)) < len(labels):
        return None
    return _Glue(labels, in_order, {head[4:8]}, len(wire) - len(behind))


@functools.lru_cache(maxsize=256)
def _expressions(tail: bytes) -> tuple[re.Pattern[bytes], re.Pattern[bytes]]:
    """Of all glue, and of one: its owner is a target, a pointer, or a label and a pointer."""
    owner = rb"[\xc0-\xff].|[\x01-\x3f][-0-9_a-z]{1,63}(?:[\xc0-\xff].|%b)" % re.escape(tail)
    record = rb"(%b)(\0\x01\0\x01....\0\x04....|\0\x1c\0\x01....\0\x10.{16})" % owner
    # Without groups, for which possessive repeats have errors in CPython.
    every = b"(?:%b)*+" % re.sub(rb"\((?!\?)", b"(?:", record)
    return re.compile(every, re.DOTALL), re.compile(record, re.DOTALL)


def _matched(wire: bytes, at: int, tail: bytes, label_at: dict[int, bytes]) -> _Glue:
    """Any glue of the targets: both families, several addresses for one, owners in three ways."""
    every, one = _expressions(tail)
    whole = every.match(wire, at)
    end = at if whole is None else whole.end()
    labels = frozenset(label_at.values())
    owners: list[bytes] = []
    addresses: list[bytes] = []
    ttls: set[bytes] = set()
    for owner, data in one.findall(wire, at, end):
        label = owner[: 1 + owner[0]]
        ending = owner[1 + owner[0] :]
        if owner[0] >= POINTER:
            label = label_at[number(owner) & _FARTHEST]
        elif ending != tail and not _is_to(ending, tail, wire[:at]):
            raise OddError
        if label not in labels:
            raise OddError
        owners.append(label)
        addresses.append(data[10:])
        ttls.add(data[4:8])
    return _Glue(owners, addresses, ttls, end)


def _is_to(pointer: bytes, tail: bytes, before: bytes) -> bool:
    """Whether it is a pointer to the tail, in what stands before."""
    return (
        len(pointer) == _POINTER_TO.size
        and pointer[0] >= POINTER
        and before.startswith(tail, number(pointer) & _FARTHEST)
    )


def _by_host(hosts: Sequence[str], addresses: Sequence[bytes]) -> dict[str, tuple[str, ...]]:
    """Addresses without repeats; where there are both families, that of the first comes first."""
    if set(map(len, addresses)) == {4}:
        texts = _v4_texts(b"".join(addresses))
    else:
        texts = [
            v6_text(address) if len(address) == 16 else socket.inet_ntoa(address)
            for address in addresses
        ]
    glue: dict[str, tuple[str, ...]] = dict(zip(hosts, zip(texts), strict=True))
    if len(glue) == len(texts):
        return glue
    found: dict[str, dict[bool, dict[str, None]]] = {}
    for name, text in zip(hosts, texts, strict=True):
        found.setdefault(name, {}).setdefault(":" in text, {})[text] = None
    return {name: tuple(itertools.chain(*families.values())) for name, families in found.items()}


# Names.


@functools.lru_cache(maxsize=256)  # the same few come all day
def host(name: bytes) -> str:
    """As text in small letters; it ends at its first zero, and its labels are a host's."""
    text, _ = name_at(name, 0)
    return text


def name_at(wire: bytes, at: int) -> tuple[str, int]:
    """The name there as text in small letters, and where it ends; its labels are a host's."""
    labels: list[bytes] = []
    start, bound, end = at, len(wire), 0
    for _ in range(MOST_LABELS):
        length = wire[at]
        if at + 1 + (length >= POINTER) > bound:
            raise OddError
        if length >= POINTER:  # to what stands before (RFC 1035, 4.1.4)
            end = end or at + 2
            at = (length & 0x3F) << 8 | wire[at + 1]
            if at >= start:
                raise OddError
            start, bound = at, start
        elif length:
            labels.append(wire[at + 1 : at + 1 + length])
            at += 1 + length
        else:
            break
    text = b".".join(labels).decode("ascii").lower()
    if (
        wire[at]
        or not 0 < len(text) <= _LONGEST_NAME
        or max(map(len, labels)) > _LONGEST_LABEL
        or text.count(".") != len(labels) - 1
        or _HOST.fullmatch(text) is None
    ):
        raise OddError
    return text, end or at + 1
