"""The strategies that use the calls in flight from this process: least-loaded and sessions."""

import contextlib
import copy
import os
import random
import weakref
from collections import OrderedDict
from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import Self

import attrs

from .._endpoint import Endpoint, by_identity
from .._errors import check_count, check_is_a, check_seconds
from .in_flight import InFlight
from .sticky import Key, Sticky, encoded

_COMES_BACK = 30.0
"""Seconds: a session goes back to an endpoint that serves again within this time."""
_LONGEST = 64
"""Longer keys are kept by their digest, so that memory is bounded whatever the keys."""
Identity = tuple[str, str]


_own_chances: "weakref.WeakSet[random.Random]" = weakref.WeakSet()
"""The sources of randomness that no caller gave."""


def chance(rng: random.Random | None) -> random.Random:
    """The source of randomness that was given, or one of its own, which a fork reseeds."""
    if rng is not None:
        return check_is_a("rng", rng, random.Random)
    own = random.Random()
    _own_chances.add(own)
    return own


def _after_fork() -> None:  # pragma: no cover - in a child: tests/test_life.py
    """Parent and child must not continue with the same random numbers."""
    for own in list(_own_chances):
        own.seed()


os.register_at_fork(after_in_child=_after_fork)


@attrs.define(eq=False)
class Context:
    """What a built-in strategy may use besides the endpoints; of one `Peers`."""

    now: Callable[[], float]
    rng: random.Random
    in_flight: InFlight = attrs.field(factory=InFlight)
    departing: dict[Identity, Endpoint] = attrs.field(factory=dict)
    """Those that are not chosen because they are departing; by identity."""
    ejected: frozenset[Identity] = frozenset()


class LeastLoaded:
    """Strategy: of two endpoints drawn at random, the one with fewer uses in flight.

    Uses are counted in this process alone, by `Peers.use`, `attempts`, `call` and `clients`; `pick`
    alone is not counted, so its choice is random. A tie is decided at random. A key has its owner
    by `Sticky`. Safe to share between threads.

    Args:
        rng: The source of randomness.
    """

    def __init__(self, *, rng: random.Random | None = None) -> None:
        self._bits = chance(rng).getrandbits
        self._keys = Sticky()
        self._in_flight = InFlight()
        self._uses: tuple[Sequence[Endpoint] | None, list[dict[int, Endpoint]]] = (None, [])

    def _of(self, context: Context) -> Self:
        """The same for one `Peers`."""
        new = copy.copy(self)
        new._keys, new._uses = Sticky(), (None, [])
        new._in_flight = context.in_flight
        return new

    def select(self, endpoints: Sequence[Endpoint], key: Key | None = None) -> Endpoint:
        """The less loaded one of two, or the owner of a key.

        Args:
            endpoints: At least one.
            key: ``str``, ``bytes`` or ``int``.

        Returns:
            One of the endpoints.

        Raises:
            TypeError: The key is of another type.
            IndexError: There is no endpoint.
        """
        if key is not None:
            return self._keys.select(endpoints, key)
        known, uses = self._uses
        if known is not endpoints:
            if not endpoints:
                raise IndexError("there is no endpoint to choose from")
            uses = [self._in_flight.at(each) for each in endpoints]
            # The tuple of a tuple is the same object; a list may change, and is read again.
            self._uses = tuple(endpoints), uses
        return self._drawn(endpoints, uses)

    def _drawn(
        self, endpoints: Sequence[Endpoint], uses: Sequence[dict[int, Endpoint]]
    ) -> Endpoint:
        count = len(uses)
        if count == 1:
            return endpoints[0]
        # Of 2**30 numbers no endpoint has more than one too many.
        one = self._bits(30) * count >> 30
        other = self._bits(30) * (count - 1) >> 30
        if other >= one:
            other += 1
        return endpoints[one if len(uses[one]) <= len(uses[other]) else other]

    def _further(self, left: Sequence[Endpoint], key: Key | None) -> Endpoint:
        """One of those left of a call; what is remembered of all of them stays."""
        if key is not None:
            return self._keys._further(left, key)
        return self._drawn(left, [self._in_flight.at(each) for each in left])


@attrs.define(eq=False)
class _Binding:
    """One session."""

    home: Identity | None
    """The endpoint that it is bound to; ``None``: its first use failed there."""
    used: float
    """When it was last used."""
    answered: bool = False
    away_since: float | None = None
    """Since when it is served elsewhere, because its home is ejected."""
    meanwhile: Identity | None = None
    """Where it is served then."""


class Session:
    """Strategy: a key stays with the endpoint that first answered it, as long as that is there.

    For sessions whose state is in the endpoint: conversations with an LLM, caches by user. The
    first use of a key goes to an endpoint as `LeastLoaded` chooses it, and uses that begin before
    it has answered go to the same one; the key is then bound to the endpoint that first answered.
    It stays until that endpoint is removed, also while it is departing, or until the key was not
    used for ``idle`` seconds. While the endpoint is ejected the key is served elsewhere, and goes
    back if the endpoint answers again within 30 s; after that it is bound to the other one. Without
    a key it is `LeastLoaded`.

    Bindings are known to this process alone: another process may bind the same key elsewhere. Safe
    to share between threads.

    Args:
        idle: Seconds without use after which a key is forgotten.
        most: How many keys are remembered; with more, those that are idle longest are forgotten.

    Raises:
        ConfigurationError: An argument is out of range.
    """

    def __init__(self, *, idle: float = 600, most: int = 100_000) -> None:
        check_seconds("idle", idle, zero=False)
        check_count("most", most, least=1)
        self._idle = idle
        self._most = most
        self._reset(Context(lambda: 0.0, random.Random()))

    def _of(self, context: Context) -> Self:
        """The same for one `Peers`."""
        new = copy.copy(self)
        new._reset(context)
        return new

    def _reset(self, context: Context) -> None:
        self._context = context
        self._least = LeastLoaded(rng=context.rng)._of(context)
        self._bindings: OrderedDict[bytes, _Binding] = OrderedDict()
        self._here: tuple[Sequence[Endpoint], dict[Identity, Endpoint]] = ((), {})

    @property
    def _keys(self) -> Sticky:
        return self._least._keys

    def select(self, endpoints: Sequence[Endpoint], key: Key | None = None) -> Endpoint:
        """The endpoint that the key is bound to.

        Args:
            endpoints: At least one.
            key: ``str``, ``bytes`` or ``int``.

        Returns:
            One of the endpoints, or the key's own while it is departing.

        Raises:
            TypeError: The key is of another type.
            IndexError: There is no endpoint.
        """
        if key is None:
            return self._least.select(endpoints)
        now, name = self._context.now(), _name(key)
        binding = self._bindings.get(name)
        if binding is None or now - binding.used > self._idle:
            first = _Binding(self._least.select(endpoints).identity, now)
            if binding is None:  # uses at the same time go along with the first of them
                binding = self._bindings.setdefault(name, first)
            else:
                binding = self._bindings[name] = first
            while len(self._bindings) > self._most:
                self._bindings.popitem(last=False)
        self._used(name, binding, now)
        return self._place(endpoints, binding, now)

    def _place(self, endpoints: Sequence[Endpoint], binding: _Binding, now: float) -> Endpoint:
        known, here = self._here
        if known is not endpoints:
            here = by_identity(endpoints)
            self._here = tuple(endpoints), here
        context, home, ejected = self._context, None, False
        if binding.home is not None:
            home = here.get(binding.home) or context.departing.get(binding.home)
            ejected = home is None and binding.home in context.ejected
        if ejected and binding.away_since is None:
            binding.away_since = now
        away = binding.away_since is not None and now - binding.away_since <= _COMES_BACK
        if home is not None and (binding.away_since is None or away):
            return home
        meanwhile = None if binding.meanwhile is None else here.get(binding.meanwhile)
        if meanwhile is None:
            meanwhile = self._least.select(endpoints)
        if ejected and away and binding.answered:
            binding.meanwhile = meanwhile.identity
        else:
            binding.home, binding.answered = meanwhile.identity, False
            binding.away_since = binding.meanwhile = None
        return meanwhile

    def _further(self, left: Sequence[Endpoint], key: Key | None) -> Endpoint:
        """Failover moves no binding: only this call is served elsewhere."""
        del key
        return self._least._further(left, None)

    def _ended(self, endpoint: Endpoint, key: Key, *, well: bool) -> None:
        """A use of a key ended."""
        name = _name(key)
        binding = self._bindings.get(name)
        if binding is None:
            return
        if well and (not binding.answered or binding.home == endpoint.identity):
            binding.home, binding.answered = endpoint.identity, True
            binding.away_since = binding.meanwhile = None
        elif not well and not binding.answered and binding.home == endpoint.identity:
            binding.home = None  # another one may answer
        self._used(name, binding, self._context.now())

    def _used(self, name: bytes, binding: _Binding, now: float) -> None:
        binding.used = now
        with contextlib.suppress(KeyError):  # it was forgotten meanwhile
            self._bindings.move_to_end(name)  # in one step: a use that finds none binds the key


def _name(key: Key) -> bytes:
    data = encoded(key)
    return data if len(data) <= _LONGEST else blake2b(data).digest() + b"+"
