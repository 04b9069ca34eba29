"""What `Peers` is for threads and for tasks alike: all of it that does not wait."""

import random
from collections.abc import Iterable
from typing import NoReturn, Self

from .._endpoint import Endpoint, Snapshot, Stats
from .._errors import check_is_a
from .._membership import Policy
from .._selection import Strategy
from .._time.clock import Clock
from .arguments import Selecting, Target, selection_arguments
from .feed import store_of
from .shell import Shell


class Shared:
    """What is known, and the making of a fixed list."""

    _flights: Shell

    def __init__(self, selecting: Selecting, target: Target | None) -> None:
        self._store = store_of(selecting, target)

    @classmethod
    def static(
        cls,
        endpoints: Iterable[str],
        *,
        strategy: str | Strategy = "round-robin",
        policy: Policy | None = None,
        clock: Clock | None = None,
        rng: random.Random | None = None,
    ) -> Self:
        """A `Peers` of a list that the program maintains itself, without DNS.

        For a laptop, a test, Consul or a file; `update` replaces the list.

        Args:
            endpoints: Such as ``["10.0.0.1:8080", "[fd00::1]:8080"]``.
            strategy: As `headless_discovery.peers` has it, like all that follow.
            policy: Settings for ejection.
            clock: The source of time; replace it in tests.
            rng: The source of randomness; replace it in tests.

        Returns:
            A `Peers` that does no lookups.

        Raises:
            ConfigurationError: Something is not an address with or without a port.
        """
        peers = cls(
            selection_arguments(strategy=strategy, policy=policy, clock=clock, rng=rng), None
        )
        peers._store.fix(endpoints)
        return peers

    def update(self, endpoints: Iterable[str]) -> None:
        """Replaces the list of a `static` one; listeners and clients see the change.

        Args:
            endpoints: As `static` takes them.

        Raises:
            ConfigurationError: Something is not an address, or this is not a `static` one.
            Closed: The `Peers` was closed.
        """
        self._store.fix(endpoints)
        self._flights.landed()

    @property
    def snapshot(self) -> Snapshot:
        """The endpoints and their state as known now, without a lookup."""
        return self._store.snapshot

    @property
    def stats(self) -> Stats:
        """Counters as plain numbers."""
        return self._store.stats()

    @property
    def ejected(self) -> dict[Endpoint, float]:
        """Ejected endpoints, with the time (`Clock.now`) at which each becomes eligible again.

        Sorted by that time. Departing endpoints are avoided anyway, and are not included.
        """
        return self._store.ejected()

    @property
    def in_flight(self) -> dict[Endpoint, int]:
        """The number of calls in flight from this process, for each endpoint that has any.

        `use`, `attempts`, `call` and `clients` are counted, while `pick` alone is not. A use that
        was interrupted or garbage-collected is not counted any more.
        """
        return self._store.chooser.in_flight.counts()

    def report(self, endpoint: Endpoint, error: BaseException | None = None) -> None:
        """Reports the result of a call; `use`, `attempts` and `call` do so themselves.

        After `Policy.eject_after` consecutive failures the endpoint is ejected: `pick` avoids it
        for a time. A success ends that. A failure also triggers an early refresh, without waiting
        for it. An endpoint that is no longer listed, or has another address now, is ignored.

        Args:
            endpoint: The endpoint that was called.
            error: What it failed with; ``None`` for a success.

        Raises:
            ConfigurationError: An argument is of another type.
        """
        check_is_a("endpoint", endpoint, Endpoint)
        if error is not None:
            check_is_a("error", error, BaseException)
        if self._store.report(endpoint, error):
            self._flights.waiters.wake()

    def __reduce__(self) -> NoReturn:
        """A copy would share the background, and end it when it goes."""
        raise TypeError(
            "a Peers cannot be copied or pickled: share this one, or make another where it is used"
        )

    def __repr__(self) -> str:
        store = self._store
        state = "closed" if store.closed else str(store.snapshot.state)
        return f"<Peers of {store}: {len(store.snapshot.endpoints)}, {state}>"
