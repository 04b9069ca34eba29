"""Sticky: rendezvous hashing of keys over the identities of endpoints.

Nothing is built but a seed for each identity, so nothing is locked, and a fork needs no care.
"""

import copy
import heapq
import math
import socket
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import Self

from .._endpoint import Endpoint, identity_of
from .._errors import ConfigurationError, check_count
from .in_flight import InFlight

Key = str | bytes | int
"""What an endpoint can be chosen by; ``"42"``, ``b"42"`` and ``42`` are one key."""

_MASK = 0xFFFF_FFFF_FFFF_FFFF
_REMEMBERED = 1 << 12
"""Keys whose owner is remembered: text, and as many others."""
_LONGEST = 128
"""Longer keys are not remembered, so that memory is bounded whatever the keys."""
_IN_ONE_TURN = 500
"""Seeds made without letting others run: less than a millisecond."""


def encoded(key: Key) -> bytes:
    """The bytes that stand for a key; raises `TypeError` for what cannot be one."""
    if isinstance(key, str):
        return key.encode("utf-8", "surrogatepass")
    if isinstance(key, bytes):
        return key
    if isinstance(key, int) and not isinstance(key, bool):
        return _decimal(key)
    raise TypeError(f"a key is a str, bytes or an int, not {type(key).__name__}: {key!r:.80}")


def _decimal(number: int) -> bytes:
    """Its digits; by halves if there are more than Python writes at once, usually 4,300."""
    try:
        return b"%d" % number
    except ValueError:
        half = number.bit_length() * 3 // 20
        head, rest = divmod(abs(number), 10**half)
        return b"-"[: number < 0] + _decimal(head) + _decimal(rest).rjust(half, b"0")


def _hash(data: bytes) -> int:
    return int.from_bytes(blake2b(data, digest_size=8).digest(), "big")


def _scores(seeds: Iterable[int], key: Key) -> list[int]:
    """One for each seed; the highest is the owner's."""
    factor = _hash(encoded(key)) | 1  # odd, so that no two seeds have the same score
    return [seed * factor & _MASK for seed in seeds]


class _Seeds(dict[tuple[str, str], int]):
    """Of each identity, made when it is first wanted."""

    def __missing__(self, identity: tuple[str, str]) -> int:
        seed = self[identity] = _hash("\0".join(identity).encode())
        return seed


class _Owners:
    """One tuple of endpoints, their seeds, and the owners of recent keys."""

    def __init__(self, endpoints: tuple[Endpoint, ...], seeds: list[int]) -> None:
        self.endpoints = endpoints
        self.seeds = seeds
        self.uses: list[dict[int, Endpoint]] = []
        """What is in flight at each, where that counts."""
        # Apart, since Python may warn of comparing str with bytes.
        self.of_text = lru_cache(_REMEMBERED)(self.of)
        self.of_bytes = lru_cache(_REMEMBERED)(self.of)

    def of(self, key: Key) -> int:
        """The index of a key's owner."""
        scores = _scores(self.seeds, key)
        return scores.index(max(scores))


_NONE = _Owners((), [])


class Sticky:
    """Strategy: the same key always goes to the same endpoint, in every process.

    When an endpoint leaves, only its own keys move, spread over all others; a new one takes its
    share from each of the others and moves no key between them; a new address moves nothing.
    Without a key the endpoint is that of ``own``: each process stays with one endpoint until it
    goes.

    The algorithm is rendezvous hashing, and changes only with a major version:

    1. The seed of an endpoint is the 8-byte BLAKE2b digest of its identity, as a big-endian
       number: the name and the requested port, joined by a NUL character, in UTF-8.
    2. A key is bytes: a ``str`` in UTF-8 (lone surrogates as by ``surrogatepass``), an ``int`` in
       decimal digits. Its factor is the 8-byte BLAKE2b digest of these bytes, as a big-endian
       number, with the lowest bit set.
    3. The score of an endpoint for a key is ``seed * factor mod 2**64``.
    4. The key's owners, in order, are the endpoints by falling score; on a tie the lower identity
       comes first.

    With a ``bound`` the owner is passed over while it is full: an endpoint takes at most
    ``ceil(bound * (uses in flight + 1) / endpoints)`` uses, but always ``floor``; the key then goes
    to the next of its owners, and comes back when there is room. What is in flight is counted in
    this process alone, by `Peers.use`, `attempts`, `call` and `clients`; threads that choose at the
    same instant see each other.

    It is no defence against hostile keys: a client that chooses keys can choose their endpoint.
    Safe to share between threads.

    Args:
        own: The key that is used where none is given; by default this machine's host name (in a
            pod, the pod's own name).
        bound: How much more than its share an endpoint may have in flight, such as 1.25; by default
            there is no bound.
        floor: The number of uses that an endpoint may always have. Default: 0.

    Raises:
        TypeError: ``own`` cannot be a key.
        ConfigurationError: ``bound`` or ``floor`` is out of range.
    """

    def __init__(
        self, *, own: Key | None = None, bound: float | None = None, floor: int = 0
    ) -> None:
        if own is not None:
            encoded(own)
        if bound is not None and (
            isinstance(bound, bool) or not isinstance(bound, int | float) or not 1 <= bound < 1e9
        ):
            raise ConfigurationError(
                f"bound must be a number from 1 on, or None, not {bound!r:.80}"
            )
        self._own = own
        self._bound = bound or 0  # 0: there is none
        self._floor = check_count("floor", floor)
        self._reset(InFlight())

    def _of(self, in_flight: InFlight) -> Self:
        """The same for one `Peers`."""
        new = copy.copy(self)
        new._reset(in_flight)
        return new

    def _reset(self, in_flight: InFlight) -> None:
        self._in_flight = in_flight
        self._seeds = _Seeds()
        self._owners = _NONE
        self._mine: tuple[Sequence[Endpoint], Endpoint | None] = ((), None)

    def select(self, endpoints: Sequence[Endpoint], key: Key | None = None) -> Endpoint:
        """The endpoint that the key belongs to.

        Args:
            endpoints: At least one.
            key: ``str``, ``bytes`` or ``int``.

        Returns:
            The key's first owner.

        Raises:
            TypeError: The key is of another type (``bool`` too).
            IndexError: There is no endpoint.
        """
        if key is None:
            return self._for_this_process(endpoints)
        owners = self._owners
        if owners.endpoints is not endpoints or owners is _NONE:
            owners = self._owners_of(endpoints)
        if type(key) is str:
            index = owners.of_text(key) if len(key) <= _LONGEST else owners.of(key)
        else:
            data = encoded(key)
            index = owners.of_bytes(data) if len(data) <= _LONGEST else owners.of(data)
        if self._bound:
            most = self._most_at_each(owners)
            if len(owners.uses[index]) >= most:
                return self._below(most, owners.endpoints, key)
        return owners.endpoints[index]

    def ranked(self, endpoints: Sequence[Endpoint], key: Key, k: int) -> tuple[Endpoint, ...]:
        """The first owners of a key.

        Args:
            endpoints: At least one.
            key: As in `select`.
            k: How many are wanted.

        Returns:
            The first ``k`` owners in order, or all if there are fewer.

        Raises:
            TypeError: The key is of another type.
            IndexError: There is no endpoint.
        """
        if not endpoints:
            raise IndexError("there is no endpoint to choose from")
        scores = _scores(self._seeds_of(endpoints), key)
        order = heapq.nlargest(k, range(len(scores)), key=scores.__getitem__)
        return tuple([endpoints[index] for index in order])

    def _further(self, left: Sequence[Endpoint], key: Key | None) -> Endpoint:
        """The first owner among those left of a call; what is remembered of all stays."""
        key = self._own_key() if key is None else key
        if self._bound:
            return self._below(self._most_at_each(self._owners), left, key)
        scores = _scores(self._seeds_of(left), key)
        return left[scores.index(max(scores))]

    def _most_at_each(self, owners: _Owners) -> int:
        """The number of uses that an endpoint may have."""
        total, count = sum(map(len, owners.uses)), len(owners.endpoints)
        return max(math.ceil(self._bound * (total + 1) / max(count, 1)), self._floor)

    def _is_full(self, endpoint: Endpoint) -> bool:
        """Whether this endpoint has as many uses as the bound allows."""
        return len(self._in_flight.at(endpoint)) >= self._most_at_each(self._owners)

    def _below(self, most: int, endpoints: Sequence[Endpoint], key: Key) -> Endpoint:
        """The key's first owner that has fewer uses; if all are full, its first."""
        order = self.ranked(endpoints, key, len(endpoints))
        at = self._in_flight.at
        return next((each for each in order if len(at(each)) < most), order[0])

    def _prepare(self, endpoints: Sequence[Endpoint]) -> Iterator[None]:
        """Makes the seeds of a set ahead, if they are many, and pauses after each few hundred."""
        if self._owners.endpoints is not endpoints and len(endpoints) > _IN_ONE_TURN:
            for start in range(0, len(endpoints), _IN_ONE_TURN):
                self._seeds_of(endpoints[start : start + _IN_ONE_TURN])
                yield

    def _for_this_process(self, endpoints: Sequence[Endpoint]) -> Endpoint:
        known, mine = self._mine
        if mine is None or known is not endpoints or self._bound:
            mine = self.select(endpoints, self._own_key())
            self._mine = tuple(endpoints), mine
        return mine

    def _own_key(self) -> Key:
        if self._own is None:
            self._own = socket.gethostname()
        return self._own

    def _owners_of(self, endpoints: Sequence[Endpoint]) -> _Owners:
        if not endpoints:
            raise IndexError("there is no endpoint to choose from")
        # The tuple of a tuple is the same object; a list may change, and is read again.
        fixed = tuple(endpoints)
        seeds = self._seeds_of(fixed)
        if len(self._seeds) > 4 * len(fixed) + _IN_ONE_TURN:  # most of them left
            self._seeds = _Seeds(zip(map(identity_of, fixed), seeds, strict=True))
        owners = _Owners(fixed, seeds)
        if self._bound:
            owners.uses = [self._in_flight.at(each) for each in fixed]
        self._owners = owners
        return owners

    def _seeds_of(self, endpoints: Sequence[Endpoint]) -> list[int]:
        owners = self._owners  # read once: another thread may replace it
        if owners.endpoints is endpoints:
            return owners.seeds
        return list(map(self._seeds.__getitem__, map(identity_of, endpoints)))
