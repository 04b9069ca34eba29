"""Whom to choose among now, and how: kept at hand, so that `pick` has next to nothing to do.

Pure: snapshots and times are handed in. It joins membership, ejection and strategy, and may not
know how an answer was had, or what is done with the one that is chosen.
"""

import functools
import itertools
import math
from collections.abc import Callable, Container, Iterator, Sequence

import attrs

from ._ejection import Ejection
from ._endpoint import Endpoint, Snapshot
from ._options import Selecting
from ._selection import Key, Random, RoundRobin, Sticky, nobody


@attrs.frozen(eq=False, repr=False)
class Choice:
    """All that `pick` needs, as long as nothing changes."""

    until: float = -math.inf
    """When to look again, on the clock."""
    ages: bool = True
    """Whether that comes at all; if not, nobody need look at the clock."""
    endpoints: tuple[Endpoint, ...] = ()
    """Whom to choose among; nobody only if nobody is there at all."""
    avoided: tuple[Endpoint, ...] = ()
    """The others: those that are departing or set aside."""
    draws: Iterator[Endpoint] = attrs.field(factory=lambda: iter(()))
    """Gives one of them, by the strategy, without end."""
    keyed: Callable[[Sequence[Endpoint], Key | None], Endpoint] = nobody
    """Given `among` and a key: the one that the key belongs to, by the strategy."""
    among: tuple[Endpoint, ...] = ()
    texts: dict[str, Endpoint] = attrs.field(factory=dict)
    """The owners of some keys, as far as they are known without asking `keyed`."""

    def one(self, key: Key | None) -> Endpoint:
        """One of them, by the strategy."""
        return next(self.draws) if key is None else self.keyed(self.among, key)


UNMADE = Choice()
"""Holds at no time."""


@attrs.frozen(eq=False, repr=False)
class _Seen:
    """What a choice follows from; the times apart."""

    endpoints: tuple[Endpoint, ...]
    departing: tuple[Endpoint, ...]
    everybody: tuple[Endpoint, ...]
    aside: tuple[Endpoint, ...]

    def equals(self, other: "_Seen") -> bool:
        """Tuples stay the same objects until something changes; the short ones are compared."""
        return (
            self.endpoints is other.endpoints
            and self.everybody is other.everybody
            and self.departing == other.departing
            and self.aside == other.aside
        )


class Chooser:
    """Makes choices, and remembers what the next one needs."""

    def __init__(self, selecting: Selecting) -> None:
        self.ejection = Ejection(selecting.policy)
        self._selecting = selecting
        strategy = selecting.strategy
        own = selecting.own_strategy
        self._sticky = strategy if isinstance(strategy, Sticky) and not own else Sticky()
        self._seen = _Seen((), (), (), ())
        self._choice = UNMADE

    def after_fork(self) -> None:  # pragma: no cover - in a child: tests/test_life.py
        """In the child, where other threads are gone."""
        for strategy in (self._sticky, self._selecting.strategy):
            if isinstance(strategy, Sticky | RoundRobin):
                strategy._after_fork()

    def aside(self, snapshot: Snapshot, now: float) -> dict[Endpoint, float]:
        """Who is set aside, until when. Departing ones are avoided anyway."""
        return self.ejection.aside(_staying(snapshot), now)

    def choice(
        self, snapshot: Snapshot, everybody: tuple[Endpoint, ...], now: float, holds_until: float
    ) -> Choice:
        """The choice now. ``everybody``: this pod too, if the snapshot leaves it out.

        It holds until then, or until somebody who is set aside comes back.
        """
        aside = self.aside(snapshot, now)
        seen = _Seen(snapshot.endpoints, snapshot.departing, everybody, tuple(aside))
        if not seen.equals(self._seen):
            self._choice = self._made(seen, _staying(snapshot))
            self._seen = seen
        if seen.endpoints:
            until = min([holds_until, *aside.values()])
            if until != self._choice.until:
                self._choice = attrs.evolve(self._choice, until=until, ages=until < math.inf)
        return self._choice

    def _made(self, seen: _Seen, staying: tuple[Endpoint, ...]) -> Choice:
        if not seen.endpoints:
            return UNMADE
        endpoints = staying
        if seen.aside:
            aside = set(seen.aside)
            endpoints = tuple(endpoint for endpoint in staying if endpoint not in aside)
        if endpoints == self._choice.endpoints:
            # The same tuple as before: strategies know a set by its object.
            endpoints = self._choice.endpoints
        chosen = frozenset(map(id, endpoints))
        strategy, own = self._selecting.strategy, self._selecting.own_strategy
        among, keyed, texts = endpoints, strategy.select, dict[str, Endpoint]()
        if not own:
            # One ring for all purposes, of everybody: whoever is to be avoided is walked past,
            # which comes to the same as a ring without them, and costs no new ring.
            among, keyed = seen.everybody, self._sticky.select
            if len(endpoints) < len(among):
                keyed = functools.partial(self._owner, chosen)
            else:
                texts = self._sticky._texts(among)
        if isinstance(strategy, RoundRobin | Random) and not own:
            draws = strategy._draws(endpoints)
        else:
            draws = map(keyed, itertools.repeat(among), itertools.repeat(None))
        avoided = tuple(endpoint for endpoint in seen.endpoints if id(endpoint) not in chosen)
        return Choice(
            endpoints=endpoints,
            avoided=avoided,
            draws=draws,
            keyed=keyed,
            among=among,
            texts=texts,
        )

    def _owner(
        self, wanted: Container[int], among: Sequence[Endpoint], key: Key | None
    ) -> Endpoint:
        """The first of those wanted (by their `id`) that the key belongs to."""
        owner = self._sticky.select(among, key)
        if id(owner) in wanted:
            return owner
        return next(owner for owner in self._sticky._walk(among, key) if id(owner) in wanted)

    def ranked(self, everybody: tuple[Endpoint, ...], key: Key, k: int) -> tuple[Endpoint, ...]:
        """The key's first owners."""
        return self._sticky.ranked(everybody, key, k)

    def another(self, choice: Choice, key: Key | None, tried: Container[int]) -> Endpoint | None:
        """One that was not tried (by its `id`): the key's next-best, or any; ``None``: all were."""
        for group in (choice.endpoints, choice.avoided):
            left = tuple(endpoint for endpoint in group if id(endpoint) not in tried)
            if left:
                return self._one_of(left, choice, key)
        return None

    def _one_of(self, left: tuple[Endpoint, ...], choice: Choice, key: Key | None) -> Endpoint:
        if self._selecting.own_strategy:
            return self._selecting.strategy.select(left, key)
        if key is None and self._selecting.strategy is not self._sticky:
            return self._selecting.rng.choice(left)
        return self._owner(frozenset(map(id, left)), choice.among, key)

    def sample(self, choice: Choice, k: int) -> tuple[Endpoint, ...]:
        """Some, each as likely as the other; those to be avoided only if more are wanted."""
        sample = self._selecting.rng.sample
        found = sample(choice.endpoints, min(k, len(choice.endpoints)))
        more = min(k - len(found), len(choice.avoided))
        return (*found, *sample(choice.avoided, more))


def _staying(snapshot: Snapshot) -> tuple[Endpoint, ...]:
    """Those that stay; the departing ones only if nobody else is left."""
    if not snapshot.departing:
        return snapshot.endpoints
    departing = set(snapshot.departing)
    staying = tuple(endpoint for endpoint in snapshot.endpoints if endpoint not in departing)
    return staying or snapshot.endpoints
