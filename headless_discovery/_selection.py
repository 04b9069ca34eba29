"""Whom to pick: strategies. Pure but for a counter and the chance handed in; no DNS, no time."""

import binascii
import functools
import hashlib
import itertools
import random
import socket
import struct
import threading
from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import Protocol, Self, runtime_checkable

import attrs

from ._endpoint import Endpoint
from ._errors import ConfigurationError

Key = str | bytes | int | None
_SPREAD = 0x9E3779B1  # 2**32 over the golden ratio, and odd: multiplying loses nothing


@runtime_checkable
class Strategy(Protocol):
    """How to choose one of several endpoints; an object of one's own needs this one method."""

    def select(self, endpoints: Sequence[Endpoint], key: Key) -> Endpoint:
        """One of the endpoints: there is at least one, and they are sorted by identity."""
        ...


class Random:
    """Each endpoint with the same chance, each time."""

    def __init__(self, *, rng: random.Random | None = None) -> None:
        self._random = (random.Random() if rng is None else rng).random

    def select(self, endpoints: Sequence[Endpoint], key: Key = None) -> Endpoint:  # noqa: ARG002 - a key does not matter here
        """One of them by chance."""
        return endpoints[int(self._random() * len(endpoints))]


class RoundRobin:
    """One after the other, from a random start, so that many processes do not start alike.

    After a change it goes on behind the endpoint picked last, so that it stays even.
    """

    def __init__(self, *, rng: random.Random | None = None) -> None:
        self._rng = random.Random() if rng is None else rng
        self._turn: tuple[Sequence[Endpoint] | None, Callable[[], Endpoint]] = (None, _nobody)
        self._last: tuple[str, str] | None = None

    def select(self, endpoints: Sequence[Endpoint], key: Key = None) -> Endpoint:  # noqa: ARG002 - a key does not matter here
        """The next one."""
        known, following = self._turn
        if known is not endpoints:
            following = self._begin(endpoints)
        return following()

    def _begin(self, endpoints: Sequence[Endpoint]) -> Callable[[], Endpoint]:
        known, following = self._turn
        if known is None:
            start = self._rng.randrange(len(endpoints))
        else:
            # Where the old turn stands is only told by taking its next one.
            due = following().identity
            start = next((i for i, e in enumerate(endpoints) if e.identity >= due), 0)
        rotated = (*endpoints[start:], *endpoints[:start])
        self._turn = (endpoints, itertools.cycle(rotated).__next__)
        return self._turn[1]


def _nobody() -> Endpoint:
    raise IndexError("no endpoints")


class Sticky:
    """Consistent hashing: the same endpoint for a key, in every process and on every machine.

    The algorithm, which changes only with a major version: each endpoint has 256 points on a
    ring of 2**32. They are the big-endian 32-bit words of 16 BLAKE2b digests of 64 bytes, of
    ``name NUL port NUL i`` in UTF-8, where (name, port) is its identity and ``i`` is 0 to 15 in
    decimal. A key's place is the CRC-32 (ISO 3309) of its bytes times 0x9E3779B1, modulo 2**32: CRC
    alone would put similar keys side by side. A key belongs to the endpoint of the first point
    above its place, round the ring; of several endpoints at one point, to the lowest identity.

    So an endpoint that leaves moves its own keys and no others, and a new address moves none.
    Without a key it is ``own``, by default this host's name, that is placed: one endpoint for
    this process, until it goes.
    """

    _REMEMBERED = 4096  # keys, so that memory is bounded whatever the keys

    def __init__(self, *, own: str | None = None) -> None:
        self._own = own
        self._lock = threading.Lock()
        self._placing: _Placing | None = None

    def select(self, endpoints: Sequence[Endpoint], key: Key = None) -> Endpoint:
        """The key's endpoint; raises `TypeError` for a key that is not str, bytes or int."""
        placing = self._placing
        if placing is None or placing.endpoints is not endpoints:
            placing = self._place(endpoints)
        remembered = placing.remembered
        # By kind too: 1 == 1.0 == True, and only one of them is a key.
        found = remembered.get((key.__class__, key))
        if found is None:
            point = _place(self._own_key() if key is None else key)
            found = placing.endpoints[placing.owners[bisect_right(placing.points, point)]]
            if len(remembered) >= self._REMEMBERED:
                remembered.clear()
            remembered[key.__class__, key] = found
        return found

    def ranked(self, endpoints: Sequence[Endpoint], key: Key, k: int) -> tuple[Endpoint, ...]:
        """The key's first ``k`` endpoints: each would get the key if those before it left."""
        placing = self._place(endpoints)
        start = bisect_right(placing.points, _place(self._own_key() if key is None else key))
        wanted = min(k, len(endpoints))
        found: dict[int, None] = {}
        for owner in itertools.chain(placing.owners[start:-1], placing.owners[:start]):
            if len(found) >= wanted:
                break
            found[owner] = None
        return tuple(placing.endpoints[owner] for owner in found)

    def _own_key(self) -> str:
        if self._own is None:
            self._own = socket.gethostname()
        return self._own

    def _place(self, endpoints: Sequence[Endpoint]) -> "_Placing":
        with self._lock:
            if self._placing is None or self._placing.endpoints is not endpoints:
                self._placing = _Placing.of(endpoints)
            return self._placing


@attrs.frozen
class _Placing:
    """A set of endpoints on the ring."""

    endpoints: Sequence[Endpoint]
    points: Sequence[int]
    owners: Sequence[int]
    """The index of the endpoint of each point; the first again at the end, round the ring."""
    remembered: dict[object, Endpoint] = attrs.field(factory=dict)

    @classmethod
    def of(cls, endpoints: Sequence[Endpoint]) -> Self:
        ranks = sorted(range(len(endpoints)), key=lambda index: endpoints[index].identity)
        # One number for a point and its owner's rank: sorts by point, then by identity.
        packed = sorted(
            point << 32 | rank
            for rank, index in enumerate(ranks)
            for point in _points(endpoints[index].identity)
        )
        owners = [ranks[number & 0xFFFFFFFF] for number in packed]
        return cls(endpoints, [number >> 32 for number in packed], [*owners, owners[0]])


@functools.lru_cache(maxsize=8192)
def _points(identity: tuple[str, str]) -> tuple[int, ...]:
    name, port = identity
    return tuple(
        point
        for block in range(16)
        for point in struct.unpack(
            "!16I", hashlib.blake2b(f"{name}\0{port}\0{block}".encode()).digest()
        )
    )


def _place(key: str | bytes | int) -> int:
    match key:
        case bool():
            pass
        case str():
            return binascii.crc32(key.encode("utf-8", "surrogatepass")) * _SPREAD & 0xFFFFFFFF
        case bytes():
            return binascii.crc32(key) * _SPREAD & 0xFFFFFFFF
        case int():
            return binascii.crc32(b"%d" % key) * _SPREAD & 0xFFFFFFFF
    raise TypeError(f"a key must be str, bytes or int, not {key!r}")


def strategy_from(strategy: object, rng: random.Random) -> Strategy:
    """The ``strategy`` argument; raises `ConfigurationError`."""
    match strategy:
        case "round-robin":
            return RoundRobin(rng=rng)
        case "random":
            return Random(rng=rng)
        case "sticky":
            return Sticky()
        case str():
            pass
        case Strategy() if not isinstance(strategy, type):
            return strategy
    raise ConfigurationError(
        f"strategy must be 'round-robin', 'random', 'sticky', or an object with "
        f"select(endpoints, key), not {strategy!r}"
    )
