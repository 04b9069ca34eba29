"""Which endpoint to pick: the strategies without state, and what to choose from now.

`Chooser` joins membership, ejection and strategy. What `pick` needs is kept at hand in a `Choice`,
so that there is next to nothing to do.
"""

import functools
import itertools
import math
import random
from bisect import bisect_left
from collections.abc import Callable, Container, Iterator, Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import attrs

from .._endpoint import Endpoint, Row, Snapshot, by_identity, identity_of, row_of
from .._errors import ConfigurationError, log
from .._time.clock import Lock
from .ejection import Ejection
from .load import Context, LeastLoaded, Session, chance
from .sticky import Key, Sticky

if TYPE_CHECKING:
    from .._membership import Policy

_Select = Callable[[Sequence[Endpoint], Key | None], Endpoint]


@runtime_checkable
class Strategy(Protocol):
    """How to choose: any object with this method can be given as ``strategy``.

    Each `Peers` uses a copy of a `Sticky`, `LeastLoaded` or `Session`, and of an object of a class
    derived from these, since it counts its own calls. All other objects are used as they are.
    """

    def select(self, endpoints: Sequence[Endpoint], key: Key | None) -> Endpoint:
        """One of the endpoints.

        Called from any thread, so it must not wait. A strategy may also have ``began(endpoint)``
        and ``ended(endpoint, error)``, called around each `Peers.use`, attempt, `call` and
        `Clients.use`; ``error`` is what ended it, ``None`` if it went well, and a `GeneratorExit`
        if it was dropped. What they raise is logged.

        Args:
            endpoints: At least one; a tuple sorted by identity, and the same object until something
                changes.
            key: The caller's key, or ``None``.

        Returns:
            The endpoint to take, one of ``endpoints``; anything else is a `ConfigurationError`.
        """
        ...


class _Drawn:
    """A strategy whose next endpoint is that of an iterator, as long as they stay the same."""

    def __init__(self, *, rng: random.Random | None = None) -> None:
        self._rng = chance(rng)
        self._keys = Sticky()
        # Replaced as a whole, so that an interrupt leaves both as they were.
        self._draws: tuple[Sequence[Endpoint] | None, Iterator[Endpoint]] = (None, iter(()))

    def select(self, endpoints: Sequence[Endpoint], key: Key | None = None) -> Endpoint:
        """The next one by the strategy, or the owner of a key.

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
        known, draws = self._draws
        return next(draws if known is endpoints else self._begun(endpoints))

    def _further(self, left: Sequence[Endpoint], key: Key | None) -> Endpoint:
        """One of those left of a call; what is remembered of all of them stays."""
        return self._rng.choice(left) if key is None else self._keys._further(left, key)

    def _begun(self, endpoints: Sequence[Endpoint]) -> Iterator[Endpoint]:
        if not endpoints:
            raise IndexError("there is no endpoint to choose from")
        draws = self._drawing(endpoints)
        # The tuple of a tuple is the same object; a list may change, and is read again.
        self._draws = tuple(endpoints), draws
        return draws

    def _drawing(self, endpoints: Sequence[Endpoint]) -> Iterator[Endpoint]:
        """Gives one of these endpoints after the other, without end.

        An iterator in C, so that threads need no lock to draw.
        """
        raise NotImplementedError


class RoundRobin(_Drawn):
    """Strategy: each endpoint in turn, from a random start; with a key its owner by `Sticky`.

    Exactly even as long as the endpoints stay the same. They are a queue: the one that was chosen
    goes to its end, and so do new ones, in random order. So between two turns of one endpoint each
    other one has exactly one turn, even while endpoints come and go. Safe to share between threads.

    Args:
        rng: The source of randomness.
    """

    def __init__(self, *, rng: random.Random | None = None) -> None:
        super().__init__(rng=rng)
        self._lock = Lock()

    def _after_fork(self) -> None:  # pragma: no cover - in a child: tests/test_life.py
        """In the child: another thread may have held the lock, and it starts anywhere again."""
        self._lock = Lock()
        self._draws = None, iter(())

    def _begun(self, endpoints: Sequence[Endpoint]) -> Iterator[Endpoint]:
        with self._lock:
            known, draws = self._draws  # another thread may have been quicker
            return draws if known is endpoints else super()._begun(endpoints)

    def _drawing(self, endpoints: Sequence[Endpoint]) -> Iterator[Endpoint]:
        known, draws = self._draws
        # All of them once, from the one whose turn it is: after that it is its turn again.
        order = list(itertools.islice(draws, len(known or ())))
        newcomers = by_identity(endpoints)
        staying = [
            newcomers.pop(identity) for identity in map(identity_of, order) if identity in newcomers
        ]
        others = self._rng.sample(list(newcomers.values()), len(newcomers))
        return itertools.cycle(staying + others)


class Random(_Drawn):
    """Strategy: any endpoint, each as likely as the other; with a key its owner by `Sticky`.

    Args:
        rng: The source of randomness.
    """

    def _drawing(self, endpoints: Sequence[Endpoint]) -> Iterator[Endpoint]:
        """Gives any of these endpoints, without end.

        A random place of a table in which each endpoint has equally many; the rest, less than a
        quarter, is empty, and then it is drawn again. Nothing is kept between two draws but `rng`.
        """
        bits = len(endpoints).bit_length() + 2
        each, rest = divmod(1 << bits, len(endpoints))
        table = [*tuple(endpoints) * each, *[None] * rest]
        draws = map(self._rng.getrandbits, itertools.repeat(bits))
        return filter(None, map(table.__getitem__, draws))


_SELECTS = [ours.select for ours in (_Drawn, Sticky, LeastLoaded, Session)]
_BY_NAME: dict[str, Callable[[random.Random], Strategy]] = {
    "round-robin": lambda rng: RoundRobin(rng=rng),
    "random": lambda rng: Random(rng=rng),
    "sticky": lambda _: Sticky(),
    "least-loaded": lambda rng: LeastLoaded(rng=rng),
    "session": lambda _: Session(),
}


def strategy_from(argument: object, rng: random.Random) -> Strategy:
    """The strategy that the argument ``strategy`` means; raises `ConfigurationError`."""
    if isinstance(argument, str) and (make := _BY_NAME.get(argument)) is not None:
        return make(rng)
    if isinstance(argument, Strategy) and not isinstance(argument, type):
        return argument
    raise ConfigurationError(
        f"strategy must be one of {', '.join(map(repr, _BY_NAME))} or an object, "
        f"not {argument!r:.80}",
        hint="An object needs a method select(endpoints, key).",
    )


def _checked(strategy: Strategy, endpoints: Sequence[Endpoint], key: Key | None) -> Endpoint:
    """What a strategy of the caller's own selects."""
    try:
        chosen: object = strategy.select(endpoints, key)
    except (StopIteration, StopAsyncIteration) as error:  # it would end a loop over attempts
        name = type(strategy).__name__
        raise RuntimeError(f"{name}.select raised {type(error).__name__}") from error
    if isinstance(chosen, Endpoint):
        index = bisect_left(endpoints, chosen.identity, key=identity_of)
        if endpoints[index : index + 1] == (chosen,):
            return endpoints[index]  # the same object as everywhere, if it gave an equal one
    raise ConfigurationError(
        f"{type(strategy).__name__}.select returned {chosen!r:.60}, which is none of the "
        f"{len(endpoints)} endpoints that it was given"
    )


@attrs.frozen(eq=False, repr=False)
class Choice:
    """Everything that `pick` needs, until something changes."""

    until: float = -math.inf
    """When to compute it again, by the clock."""
    ages: bool = True
    """Whether there is such a time; if not, the clock need not be read."""
    endpoints: tuple[Endpoint, ...] = ()
    """The candidates; empty only if there is no endpoint."""
    near: tuple[Endpoint, ...] = ()
    """The same for calls without a key: those of this process's zone, where one was given."""
    avoided: tuple[Endpoint, ...] = ()
    """The others: those that are departing or ejected."""
    select: _Select = RoundRobin().select
    """The strategy's."""

    def one(self, key: Key | None) -> Endpoint:
        """One of the endpoints, by the strategy."""
        return self.select(self.near if key is None else self.endpoints, key)


UNMADE = Choice()
"""Holds at no time."""


class Chooser:
    """Makes choices, and remembers what the next one needs."""

    def __init__(
        self,
        strategy: Strategy,
        rng: random.Random,
        policy: "Policy",
        now: Callable[[], float],
        zone: str | None = None,
    ) -> None:
        self.ejection = Ejection(policy)
        self._context = Context(now, rng)
        self.in_flight = self._context.in_flight
        self.failures = 0
        """How many uses failed."""
        self.bounded: Sticky | None = None
        """The strategy, if it has a bound: what is chosen must be counted at once."""
        if isinstance(strategy, Sticky):
            strategy = strategy._of(self.in_flight)
            self.bounded = strategy if strategy._bound else None
        elif isinstance(strategy, LeastLoaded | Session):
            strategy = strategy._of(self._context)
        self._strategy = strategy
        # A class of the caller's own that only adds to one of ours chooses as that does.
        own = getattr(type(strategy), "select", None) in _SELECTS
        self._select = strategy.select if own else functools.partial(_checked, strategy)
        self._began = getattr(strategy, "began", None)
        self._ended = getattr(strategy, "ended", None)
        self._session = strategy if isinstance(strategy, Session) else None
        self.hears = not (self._began is self._ended is self._session is None)
        """Whether the strategy wants to know of uses."""
        self._further: _Select = (
            getattr(strategy, "_further", self._select) if own else self._select
        )
        self._rng = rng
        self._zone = zone
        keys = strategy if isinstance(strategy, Sticky) else getattr(strategy, "_keys", None)
        self.keys = keys if isinstance(keys, Sticky) else Sticky()
        """Whose keys; of a strategy of the caller's own as everywhere."""
        self._listed: Sequence[Endpoint] = ()
        self._snapshot = Snapshot()
        self._ejected: tuple[Endpoint, ...] = ()
        self._choice = UNMADE
        self._counting = Lock()

    def after_fork(self) -> None:  # pragma: no cover - in a child: tests/test_life.py
        """In the child, where other threads are gone."""
        self.in_flight.clear()
        self._counting = Lock()
        if isinstance(self._strategy, RoundRobin):
            self._strategy._after_fork()

    def see(self, endpoints: Sequence[Endpoint]) -> None:
        """Forgets what is known of endpoints that are not listed any more."""
        if endpoints is self._listed:  # the same object until something changes
            return
        self._listed = endpoints
        if self.ejection.failing:
            self.ejection.see(endpoints)
        if self.in_flight.uses:
            self.in_flight.see(endpoints)

    def begin_bounded(
        self, use: object, endpoint: Endpoint, key: Key | None, tried: Container[Row]
    ) -> Endpoint:
        """Counts a use of this endpoint, or of the key's next if it is full by now."""
        assert self.bounded is not None  # noqa: S101 - for type checkers
        with self._counting:
            if self.bounded._is_full(endpoint) and (left := _left(self._choice, key, tried)):
                endpoint = self.bounded._further(left, key)  # without a call of the caller's own
            self.in_flight.begin(use, endpoint)
        return endpoint

    def began(self, endpoint: Endpoint) -> None:
        """A use began."""
        if self._began is not None:
            self._call(self._began, endpoint)

    def ended(
        self,
        endpoint: Endpoint,
        key: Key | None,
        error: BaseException | None,
        *,
        well: bool | None,
    ) -> None:
        """A use ended: in success, in a failure of the endpoint, or without saying which."""
        self.failures += well is False
        if self._ended is not None:
            self._call(self._ended, endpoint, error)
        if self._session is not None and key is not None and well is not None:
            self._session._ended(endpoint, key, well=well)

    def _call(self, function: Callable[..., object], *arguments: object) -> None:
        """What a strategy raises must not spoil the call that it is about."""
        try:
            function(*arguments)
        except Exception:
            log.exception("%s of the strategy failed", function)

    def ejected(self, snapshot: Snapshot, now: float) -> dict[Endpoint, float]:
        """Which endpoints are ejected, until when. Departing ones are avoided anyway."""
        return self.ejection.ejected(_staying(snapshot), now) if self.ejection.failing else {}

    def choice(self, snapshot: Snapshot, now: float, holds_until: float) -> Choice:
        """The choice now; it holds until then, or until an ejected endpoint comes back."""
        ejected, before = self.ejected(snapshot, now), self._snapshot
        if (
            snapshot.endpoints is not before.endpoints  # the same object until something changes
            or snapshot.departing != before.departing
            or tuple(ejected) != self._ejected
        ):
            self._choice = self._made(snapshot, tuple(ejected))
        self._snapshot, self._ejected = snapshot, tuple(ejected)
        if snapshot.endpoints:
            until = min([holds_until, *ejected.values()])
            if until != self._choice.until:
                self._choice = attrs.evolve(self._choice, until=until, ages=until < math.inf)
        return self._choice

    def _made(self, snapshot: Snapshot, ejected: tuple[Endpoint, ...]) -> Choice:
        if not snapshot.endpoints:
            return UNMADE
        endpoints = _without(_staying(snapshot), ejected)
        avoided = _without(snapshot.endpoints, endpoints)
        near = endpoints
        if self._zone is not None:
            near = tuple([each for each in endpoints if each.zone == self._zone]) or endpoints
        self._context.ejected = frozenset(map(identity_of, ejected))
        departing = _without(avoided, ejected)
        self._context.departing = by_identity(departing) if departing else {}
        return Choice(endpoints=endpoints, near=near, avoided=avoided, select=self._select)

    def another(
        self, choice: Choice, key: Key | None, tried: Container[Row], *, elsewhere: bool
    ) -> Endpoint | None:
        """One that was not tried, with a key the next-best; ``None``: all were."""
        left = _left(choice, key, tried, elsewhere=elsewhere)
        return self._further(left, key) if left else None

    def sample(self, choice: Choice, k: int) -> tuple[Endpoint, ...]:
        """Some, each as likely as the other; those to be avoided only if more are wanted."""
        sample = self._rng.sample
        found = sample(choice.endpoints, min(k, len(choice.endpoints)))
        more = min(k - len(found), len(choice.avoided))
        return (*found, *sample(choice.avoided, more))


def _left(
    choice: Choice, key: Key | None, tried: Container[Row], *, elsewhere: bool = False
) -> tuple[Endpoint, ...]:
    """Those that were not tried, of the first group that has any.

    Without a key those of the zone are the first; ``elsewhere`` turns that round.
    """
    groups = [choice.endpoints, choice.avoided]
    if key is None and choice.near is not choice.endpoints:
        groups.insert(0, _without(choice.endpoints, choice.near) if elsewhere else choice.near)
    for group in groups:
        left = tuple([endpoint for endpoint in group if row_of(endpoint) not in tried])
        if left:
            return left
    return ()


def _staying(snapshot: Snapshot) -> tuple[Endpoint, ...]:
    """Those that stay; the departing ones only if there are no others."""
    return _without(snapshot.endpoints, snapshot.departing) or snapshot.endpoints


def _without(endpoints: tuple[Endpoint, ...], some: tuple[Endpoint, ...]) -> tuple[Endpoint, ...]:
    if not some:
        return endpoints
    if some is endpoints:  # nearly always, where those left out of all are wanted
        return ()
    gone = set(map(identity_of, some))
    return tuple([endpoint for endpoint in endpoints if identity_of(endpoint) not in gone])
