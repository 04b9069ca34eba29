"""The versioned map: which write to a key wins. Pure; it knows nothing of nodes and networks.

A write is stamped with a version, one higher than any that its node has seen (a Lamport clock), and
with the name of its writer. The higher stamp wins, everywhere: so it does not matter in which order
entries arrive, how often, or by which way. A deletion is a write too, of a *tombstone*.

A tombstone is kept for `TOMBSTONES_FOR`, counted from the deletion. That is a promise with a limit:
a node that was cut off for longer, and missed the deletion, brings the key back. It is not made to
forget what it holds, since to lose a write is worse than to see a deleted one again.
"""

import functools
import hashlib
import operator
import reprlib
from collections.abc import Iterable, Iterator
from math import inf
from typing import Self

import attrs

BUCKETS = 64
TOMBSTONES_FOR = 7 * 86_400.0
"""Seconds."""
MAX_KEY = 512
"""Bytes of UTF-8; and of a value:"""
MAX_VALUE = 65_536
MAX_VERSION = 2**53
"""No version is as high, whatever a message says: numbers in JSON are exact up to here."""
_ROOM = 2**32
_WRITES_A_SECOND = 1_000_000

Stamp = tuple[int, str]
"""Version, then the writer's name: equal for one write alone."""


@attrs.frozen
class Entry:
    """One write to one key; without a value, its deletion."""

    key: str
    value: str | None
    version: int
    writer: str
    deleted_at: float | None = None
    """Unix time, of a tombstone."""

    @property
    def stamp(self) -> Stamp:
        """What decides who wins."""
        return self.version, self.writer

    def to_json(self) -> list[object]:
        """A row; `from_json` reads it."""
        return [self.key, self.value, self.version, self.writer, self.deleted_at]

    @classmethod
    def from_json(cls, row: object) -> Self:
        """Raises `ValueError` for anything that no node writes."""
        match row:
            case [str(key), str(value), version, str(writer), None]:
                deleted_at = None
            case [str(key), None as value, version, str(writer), int() | float() as deleted_at]:
                # Compared first: not every number has a place among the floats.
                if isinstance(deleted_at, bool) or not 0 <= deleted_at < MAX_VERSION:
                    raise ValueError(f"nothing was deleted at {reprlib.repr(deleted_at)}")
                deleted_at = float(deleted_at)
            case _:
                raise ValueError(f"not an entry: {reprlib.repr(row)}")
        check(key, value)
        if len(writer.encode()) > MAX_KEY:
            raise ValueError(f"no node is called {writer[:50]!r}...")
        return cls(key, value, check_version(version), writer, deleted_at)


def check(key: str, value: str | None) -> None:
    """Raises `ValueError` for what is too long, and for text that is not Unicode."""
    for text, limit in ((key, MAX_KEY), (value or "", MAX_VALUE)):
        if len(text.encode()) > limit:
            raise ValueError(f"{text[:40]!r}... has more than {limit} bytes")


def check_version(version: object) -> int:
    """Raises `ValueError` for what no node stamps."""
    if type(version) is not int or not 0 < version < MAX_VERSION:
        raise ValueError(f"no node stamps like this: {reprlib.repr(version)}")
    return version


def highest(now: float = inf) -> float:
    """The highest version that can be true at a time: no cluster writes faster than this.

    A version above it is no node's, or the clock of its node is wrong. If it were believed, the
    next write would have to be higher still, and one message could bring all nodes to the last
    version that there is. What is refused here is true a moment later, at any rate.
    """
    return min(_ROOM + _WRITES_A_SECOND * max(now, 0), MAX_VERSION - _ROOM)


def differing(one: str, other: str) -> list[int]:
    """The buckets in which two summaries differ."""
    if one == other:
        return []
    width = len(one) // BUCKETS
    parts = range(0, len(one), width)
    return [at // width for at in parts if one[at : at + width] != other[at : at + width]]


def bucket_of(key: str) -> int:
    """Which part of the map a key belongs to; the same in every process."""
    return hashlib.blake2b(key.encode(), digest_size=1).digest()[0] % BUCKETS


class Map:
    """The newest entry of each key. `merge` is commutative, associative and idempotent."""

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        self._buckets: list[dict[str, Entry]] = [{} for _ in range(BUCKETS)]
        self._fingerprints = [0] * BUCKETS
        self.version = 0
        """The highest seen or given out; it outlives what carried it."""
        self.merge(entries)

    def __iter__(self) -> Iterator[Entry]:
        for bucket in self._buckets:
            yield from bucket.values()

    def __len__(self) -> int:
        return sum(map(len, self._buckets))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Map) and self._buckets == other._buckets

    __hash__ = None  # type: ignore[assignment] # it changes

    def get(self, key: str) -> Entry | None:
        """The newest entry, a tombstone too."""
        return self._buckets[bucket_of(key)].get(key)

    def write(self, key: str, value: str | None, writer: str, now: float) -> Entry:
        """A write that wins over all that was seen here; it is not merged yet.

        Its version is given out once, whether it is merged or not: a stamp is one write's alone.
        """
        self.version += 1
        deleted_at = now if value is None else None
        return Entry(key, value, self.version, writer, deleted_at)

    def news(self, entries: Iterable[Entry], now: float = inf) -> list[Entry]:
        """Those that win over what is held, and that can be true at this time."""
        limit = highest(now)
        return [entry for entry in entries if entry.version <= limit and self._wins(entry)]

    def merge(self, entries: Iterable[Entry]) -> None:
        """Takes over those that win."""
        for entry in entries:
            if entry.version > highest():
                continue
            self.version = max(self.version, entry.version)
            if self._wins(entry):
                self._drop(entry.key)
                number = bucket_of(entry.key)
                self._buckets[number][entry.key] = entry
                self._fingerprints[number] ^= _fingerprint(entry)

    def forget_tombstones(self, now: float, among: Iterable[Entry] | None = None) -> None:
        """Drops the tombstones that are old enough, of all or of those given."""
        for entry in list(self if among is None else among):
            old = entry.deleted_at is not None and now - entry.deleted_at > TOMBSTONES_FOR
            if old and self.get(entry.key) == entry:
                self._drop(entry.key)

    def summary(self) -> str:
        """One fingerprint for each bucket: maps with the same summary hold the same writes."""
        return b"".join(number.to_bytes(8, "big") for number in self._fingerprints).hex()

    @property
    def fingerprint(self) -> str:
        """That of all buckets, for people."""
        return f"{functools.reduce(operator.xor, self._fingerprints):016x}"

    def bucket(self, number: int) -> Iterable[Entry]:
        """The entries of one bucket."""
        return self._buckets[number].values()

    def _wins(self, entry: Entry) -> bool:
        held = self.get(entry.key)
        return held is None or held.stamp < entry.stamp

    def _drop(self, key: str) -> None:
        number = bucket_of(key)
        held = self._buckets[number].pop(key, None)
        if held is not None:
            self._fingerprints[number] ^= _fingerprint(held)


def _fingerprint(entry: Entry) -> int:
    """Of the write; taken together by XOR, so that one comes and goes without the others."""
    text = f"{entry.key}\0{entry.version}\0{entry.writer}"
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")
