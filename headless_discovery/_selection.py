"""Whom to pick: the strategies.

Pure: they are handed endpoints and chance, and answer at once. They may not know where endpoints
come from, nor what is done with the one they chose; no DNS, no time.
"""

import itertools
import random
import threading
from collections.abc import Iterator, Sequence
from typing import NoReturn, Protocol, runtime_checkable

from ._endpoint import Endpoint, by_identity, identity_of
from ._errors import ConfigurationError
from ._sticky import Key, Sticky

__all__ = ["Key", "Random", "RoundRobin", "Sticky", "Strategy", "nobody", "strategy_from"]


@runtime_checkable
class Strategy(Protocol):
    """How to choose: anything with this method can be given as ``strategy``."""

    def select(self, endpoints: Sequence[Endpoint], key: Key | None) -> Endpoint:
        """One of the endpoints, of which there is at least one, for a key, if there is one.

        The endpoints are a tuple sorted by identity, and the same object until something changes.
        Called from any thread, so it must not wait.
        """
        ...


class RoundRobin:
    """Each in turn, from a random start; the key is not looked at.

    Exactly even as long as the endpoints stay the same. They are a queue: whoever was chosen goes
    to its end, and so do the new ones, in random order. So between two turns of one endpoint each
    other one has exactly one turn, whoever comes and goes meanwhile. Safe to share between
    threads. ``rng`` is where chance comes from. Raises `IndexError` if there is no endpoint.
    """

    def __init__(self, *, rng: random.Random | None = None) -> None:
        self._rng = random.Random() if rng is None else rng
        self._lock = threading.Lock()
        self._order: list[Endpoint] = []
        self._turns: tuple[Sequence[Endpoint] | None, Iterator[Endpoint]] = (None, iter(()))

    def select(self, endpoints: Sequence[Endpoint], key: Key | None = None) -> Endpoint:  # noqa: ARG002 - the protocol has it
        """The next in turn."""
        return next(self._draws(endpoints))

    def _after_fork(self) -> None:  # pragma: no cover - in a child: tests/test_life.py
        """In the child: another thread may have held the lock."""
        self._lock = threading.Lock()

    def _draws(self, endpoints: Sequence[Endpoint]) -> Iterator[Endpoint]:
        """Gives the next in turn, without end, as long as the endpoints stay the same."""
        known, following = self._turns
        if known is endpoints:
            return following
        if not endpoints:
            nobody()
        with self._lock:
            known, following = self._turns
            if known is not endpoints:  # pragma: no branch - or another thread was quicker
                self._order = self._queue(endpoints, following)
                following = itertools.cycle(self._order)  # one step in C: needs no lock
                # The tuple of a tuple is the same object; a list may change, and is looked at anew.
                self._turns = tuple(endpoints), following
        return following

    def _queue(
        self, endpoints: Sequence[Endpoint], following: Iterator[Endpoint]
    ) -> list[Endpoint]:
        newcomers = by_identity(endpoints)
        order = self._order
        if order:
            # Asking whose turn it is uses up that turn of the old cycle, which ends here.
            upcoming = order.index(next(following))
            order = order[upcoming:] + order[:upcoming]
        staying = [
            newcomers.pop(identity) for identity in map(identity_of, order) if identity in newcomers
        ]
        return staying + self._rng.sample(list(newcomers.values()), len(newcomers))


def nobody(*_: object) -> NoReturn:
    """Chooses from nobody."""
    raise IndexError("there is no endpoint to choose from")


class Random:
    """Any of them, each as likely as the other; the key is not looked at.

    ``rng`` is where chance comes from. Raises `IndexError` if there is no endpoint.
    """

    def __init__(self, *, rng: random.Random | None = None) -> None:
        self._bits = (random.Random() if rng is None else rng).getrandbits

    def select(self, endpoints: Sequence[Endpoint], key: Key | None = None) -> Endpoint:  # noqa: ARG002 - the protocol has it
        """Any of them."""
        # Of 2**30 numbers no endpoint has more than one too many.
        return endpoints[self._bits(30) * len(endpoints) >> 30]

    def _draws(self, endpoints: tuple[Endpoint, ...]) -> Iterator[Endpoint]:
        """Gives any of these endpoints, without end.

        All of it is done in C, and keeps nothing between two draws but ``rng``, so that threads
        need no lock. A random place of a table in which each endpoint has equally many; the rest,
        less than a quarter, is empty, and then it is drawn again.
        """
        bits = len(endpoints).bit_length() + 2
        each, rest = divmod(1 << bits, len(endpoints))
        table = [*endpoints * each, *[None] * rest]
        return filter(None, map(table.__getitem__, map(self._bits, itertools.repeat(bits))))


def strategy_from(argument: object, rng: random.Random) -> Strategy:
    """The strategy that the argument ``strategy`` means; raises `ConfigurationError`."""
    match argument:
        case "round-robin":
            return RoundRobin(rng=rng)
        case "random":
            return Random(rng=rng)
        case "sticky":
            return Sticky()
        case str() | type():
            pass
        case Strategy():
            return argument
    raise ConfigurationError(
        f"strategy must be 'round-robin', 'random', 'sticky', or an object with a method "
        f"select(endpoints, key), not {argument!r}"
    )
