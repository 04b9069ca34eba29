"""Sticky: consistent hashing of keys over the identities of endpoints.

Pure, but for the host name that stands for this process when no key is given. It may not know of
DNS, sockets, time, ejection or attempts: it is handed endpoints and says whose a key is.
"""

import itertools
import operator
import socket
import sys
import threading
from array import array
from binascii import crc32
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b
from typing import Any

import attrs

from ._endpoint import Endpoint, by_identity

Key = str | bytes | int
"""What an endpoint can be chosen by; ``"42"``, ``b"42"`` and ``42`` are one key."""

Identity = tuple[str, str]

POINTS = 512
"""For each identity. With 256 the busiest of 100 pods exceeds 1.25 of its share for one set of
names in ten; with 512 hardly ever."""
_DIGEST = 64
_GOLDEN = 0x9E3779B1
_REMEMBERED = 1 << 12
"""So many answers of each type of key are kept, the ring does not change them."""
_LONG = 128
"""Longer keys (in bytes) are not remembered, so that memory is bounded whatever the keys."""
_PARTS = 1 << 10
"""The ring's."""
_PART_SHIFT = 32 - 10


def encoded(key: Key) -> bytes:
    """The bytes that stand for a key; raises `TypeError` for what cannot be one."""
    if isinstance(key, str):
        try:
            return key.encode()  # much quicker than with an error handler
        except UnicodeEncodeError:
            return key.encode("utf-8", "surrogatepass")
    if isinstance(key, bytes):
        return key
    if isinstance(key, int) and not isinstance(key, bool):
        return b"%d" % key
    raise TypeError(f"a key is a str, bytes or an int, not {type(key).__name__}: {key!r:.80}")


def position(key: Key) -> int:
    """Where a key stands on the ring."""
    return crc32(encoded(key)) * _GOLDEN & 0xFFFFFFFF


def points(identity: Identity) -> set[int]:
    """Where an identity stands on the ring: `POINTS` places, fewer if two coincide."""
    name, port = (part.encode("utf-8", "surrogatepass") for part in identity)
    text = b"%d:%s%s" % (len(name), name, port)
    digests = b"".join(
        blake2b(text + bytes([number])).digest() for number in range(POINTS * 4 // _DIGEST)
    )
    found = array("I", digests)
    if sys.byteorder == "big":  # pragma: no cover - s390x and the like
        found.byteswap()
    return set(found)


_Part = tuple["array[int]", list[Endpoint]]
"""Some points, and their owners, with that of the next point after them at the end."""


@attrs.frozen(eq=False)
class _Ring:
    """The points of one set of endpoints, sorted, and the slot of the owner of each.

    Nothing but `parts` changes once it is made, so it is read without a lock. Slots stay with
    their identity from ring to ring: a change costs slices of arrays and not a sort.
    """

    endpoints: tuple[Endpoint, ...] = ()
    points: "array[int]" = attrs.field(factory=lambda: array("I"))
    slots: "array[int]" = attrs.field(factory=lambda: array("I"))
    slot_of: dict[Identity, int] = attrs.field(factory=dict)
    owners: list[Endpoint] = attrs.field(factory=list)
    """By slot; in a free one stands somebody, to whom no point leads."""
    parts: list[_Part | None] = attrs.field(init=False, factory=lambda: [None] * _PARTS)
    """Equal parts of the ring, in which a key is found sooner; made as keys come to them."""

    def part(self, number: int) -> _Part:
        """One of the parts, made."""
        start = bisect_left(self.points, number << _PART_SHIFT)
        end = bisect_left(self.points, number + 1 << _PART_SHIFT)
        slots = [*self.slots[start : end + 1], self.slots[0]]  # after the last comes the first
        part = self.points[start:end], [self.owners[slot] for slot in slots]
        self.parts[number] = part
        return part

    def walk(self, place: int) -> Iterator[Endpoint]:
        """Every endpoint once, in the order in which their points follow the place."""
        start = bisect_left(self.points, place)
        seen: set[int] = set()
        slots = self.slots
        indexes = itertools.chain(range(start, len(slots)), range(start))
        while len(seen) < len(self.slot_of):
            slot = slots[next(indexes)]
            if slot not in seen:
                seen.add(slot)
                yield self.owners[slot]


def _changed(ring: _Ring, endpoints: tuple[Endpoint, ...]) -> _Ring:
    """The ring of these endpoints, made from another."""
    wanted = by_identity(endpoints)
    gone = [identity for identity in ring.slot_of if identity not in wanted]
    new = sorted(identity for identity in wanted if identity not in ring.slot_of)
    if (len(gone) + len(new)) * 4 > len(wanted):
        return _built(endpoints, wanted)
    slot_of = ring.slot_of.copy()
    for identity in gone:
        del slot_of[identity]
    free = sorted(set(range(len(wanted) + len(gone))) - set(slot_of.values()))
    slot_of.update(zip(new, free, strict=False))
    owners = [endpoints[0]] * (max(slot_of.values()) + 1)
    for identity, slot in slot_of.items():
        owners[slot] = wanted[identity]
    if not gone and not new:
        return _Ring(endpoints, ring.points, ring.slots, slot_of, owners)
    edits = sorted(
        itertools.chain(_deletions(ring, gone), _insertions(ring, new)),
        key=operator.itemgetter(0, 1, 2, 3),
    )
    places, slots = array("I"), array("I")
    done = 0
    for index, delete, point, identity in edits:
        places += ring.points[done:index]
        slots += ring.slots[done:index]
        done = index
        if delete:
            done += 1
        else:
            places.append(point)
            slots.append(slot_of[identity])
    places += ring.points[done:]
    slots += ring.slots[done:]
    return _Ring(endpoints, places, slots, slot_of, owners)


_Edit = tuple[int, bool, int, Identity]
"""At which index, whether to delete what is there, which point, whose."""


def _deletions(ring: _Ring, gone: Iterable[Identity]) -> Iterator[_Edit]:
    for identity in gone:
        slot = ring.slot_of[identity]
        for point in points(identity):
            index = bisect_left(ring.points, point)
            while ring.slots[index] != slot:
                index += 1
            yield index, True, point, identity


def _insertions(ring: _Ring, new: Iterable[Identity]) -> Iterator[_Edit]:
    identity_of = {slot: identity for identity, slot in ring.slot_of.items()}
    for identity in new:
        for point in points(identity):
            index = bisect_left(ring.points, point)
            while (
                index < len(ring.points)
                and ring.points[index] == point
                and identity_of[ring.slots[index]] < identity
            ):
                index += 1
            yield index, False, point, identity


def _built(endpoints: tuple[Endpoint, ...], wanted: dict[Identity, Endpoint]) -> _Ring:
    """The ring of these endpoints, made from nothing."""
    identities = sorted(wanted)
    # One number for each point sorts faster than a pair; slots rise with identities, as ties do.
    packed = [
        point << 32 | slot for slot, identity in enumerate(identities) for point in points(identity)
    ]
    packed.sort()
    return _Ring(
        endpoints,
        array("I", [entry >> 32 for entry in packed]),
        array("I", [entry & 0xFFFFFFFF for entry in packed]),
        {identity: slot for slot, identity in enumerate(identities)},
        [wanted[identity] for identity in identities],
    )


@attrs.define(eq=False)
class _Known:
    """Some endpoints, and the owners among them of keys that were asked for.

    By type of key: True equals 1, and comparing str with bytes is an error under ``python -bb``.
    """

    endpoints: Sequence[Endpoint]
    texts: dict[Any, Endpoint] = attrs.field(factory=dict)
    others: dict[type, dict[Any, Endpoint]] = attrs.field(factory=lambda: {bytes: {}, int: {}})
    ring: _Ring | None = None
    """Made for the first key: it takes its time."""


class Sticky:
    """The same key always goes to the same endpoint, in every process, as long as it is there.

    When an endpoint leaves, only its own keys move; a new one takes its share from each of the
    others and moves no key between them; a new address moves nothing. Without a key the endpoint
    is that of ``own``, by default this machine's host name (in a pod, the pod's own name): each
    process stays with one endpoint until it goes.

    The algorithm, which changes only with a major version:

    1. The ring is the numbers from 0 to 2**32 - 1; after the last comes the first.
    2. A key is bytes: a ``str`` in UTF-8 (lone surrogates too, as ``surrogatepass`` does), an
       ``int`` in decimal digits. It stands at ``crc32(key) * 0x9E3779B1 mod 2**32``.
    3. An endpoint's identity is its name and the port asked for, both UTF-8. It stands at 512
       points: the BLAKE2b digests (64 bytes) of ``<length of name>:<name><port><n>`` for n = 0 to
       31, the length in decimal digits and n as one byte, each digest read as 16 little-endian
       32-bit numbers.
    4. A key belongs to the identity of the first point at or after it. Where points coincide, the
       lower (name, port) comes first. Further owners follow in the order in which the walk along
       the ring meets them.

    It balances load and is no defence: whoever chooses the keys can choose the endpoint.
    Safe to share between threads. Raises `TypeError` for a key of another type (``bool`` too) and
    `IndexError` if there is no endpoint.
    """

    def __init__(self, *, own: Key | None = None) -> None:
        if own is not None:
            encoded(own)
        self._own = own
        self._ring = _Ring()
        self._known = _Known([])
        self._lock = threading.Lock()

    def select(self, endpoints: Sequence[Endpoint], key: Key | None = None) -> Endpoint:
        """The endpoint that the key belongs to."""
        # Written out at length: calls would take most of the time.
        known = self._known
        if known.endpoints is not endpoints:
            known = self._known_of(endpoints)
        if type(key) is str:
            owners = known.texts
            owner = owners.get(key)
            if owner is not None:
                return owner
        elif key is None:
            return self.select(known.endpoints, self._own_key())
        elif type(key) in known.others:
            owners = known.others[type(key)]
            owner = owners.get(key)
            if owner is not None:
                return owner
        else:  # a subclass, which may compare as it likes, or no key at all
            return next(self._walk(known.endpoints, key))
        ring = known.ring
        if ring is None:
            ring = known.ring = self._ring_of(known.endpoints)
        try:
            data = key.encode() if type(key) is str else encoded(key)
        except UnicodeEncodeError:
            data = encoded(key)
        place = crc32(data) * _GOLDEN & 0xFFFFFFFF
        number = place >> _PART_SHIFT
        points, of_points = ring.parts[number] or ring.part(number)
        owner = of_points[bisect_left(points, place)]
        if len(data) <= _LONG:
            if len(owners) >= _REMEMBERED:
                owners.clear()
            owners[key] = owner
        return owner

    def ranked(self, endpoints: Sequence[Endpoint], key: Key, k: int) -> tuple[Endpoint, ...]:
        """The first ``k`` owners of the key in order, or all, if there are fewer."""
        return tuple(itertools.islice(self._walk(endpoints, key), k))

    def _walk(self, endpoints: Sequence[Endpoint], key: Key | None) -> Iterator[Endpoint]:
        """Every endpoint once, in the order in which the key belongs to them."""
        place = position(self._own_key() if key is None else key)
        return self._ring_of(endpoints).walk(place)

    def _after_fork(self) -> None:  # pragma: no cover - in a child: tests/test_life.py
        """In the child: another thread may have held the lock."""
        self._lock = threading.Lock()

    def _own_key(self) -> Key:
        if self._own is None:
            self._own = socket.gethostname()
        return self._own

    def _texts(self, endpoints: Sequence[Endpoint]) -> dict[str, Endpoint]:
        """The owners of keys that are text, as far as `select` was asked; it goes on adding."""
        return self._known_of(endpoints).texts

    def _known_of(self, endpoints: Sequence[Endpoint]) -> _Known:
        """What is remembered of these endpoints."""
        known = self._known
        if known.endpoints is not endpoints:
            if not endpoints:
                raise IndexError("there is no endpoint to choose from")
            # tuple() of a tuple is the tuple; a list may change, so it is looked at anew
            known = self._known = _Known(tuple(endpoints))
        return known

    def _ring_of(self, endpoints: Sequence[Endpoint]) -> _Ring:
        ring = self._ring
        if ring.endpoints is not endpoints:
            if not endpoints:
                raise IndexError("there is no endpoint to choose from")
            with self._lock:
                ring = self._ring
                if ring.endpoints is not endpoints:  # pragma: no branch - or another was quicker
                    # tuple() of a tuple is the tuple; a list may change, so it is looked at anew
                    ring = self._ring = _changed(ring, tuple(endpoints))
        return ring
