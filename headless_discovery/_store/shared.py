"""What `Peers` is for threads and for tasks alike: all of it that does not wait."""

import random
from collections.abc import Callable, Iterable
from typing import Self

from .._endpoint import Change, Endpoint, Snapshot, Stats, difference
from .._errors import check_callable, check_is_a
from .._membership import Policy
from .._selection import Strategy
from .._time.clock import Clock
from .arguments import Selecting, Target, selection_arguments
from .store import Store, log


class Shared:
    """What is known, and the making of a fixed list."""

    def __init__(self, selecting: Selecting, target: Target | None) -> None:
        self._store = Store(selecting, target)

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
        self._changed()

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
            self._hasten()

    def _listener(self, call: Callable[[Change], object]) -> "Listener":
        """A caller's function that is to be called with later changes."""
        self._store.check_open()
        check_callable("call", call)
        return Listener(self._store, call)

    def _hasten(self) -> None:
        """Notifies the background that a lookup is due sooner."""
        raise NotImplementedError

    def _changed(self) -> None:
        """Wakes those that wait or listen: something may have changed."""
        raise NotImplementedError

    def __repr__(self) -> str:
        store = self._store
        state = "closed" if store.closed else str(store.snapshot.state)
        return f"<Peers of {store}: {len(store.snapshot.endpoints)}, {state}>"


class Listener:
    """A caller's function, called with what changed since it was last called."""

    def __init__(self, store: Store, call: Callable[[Change], object]) -> None:
        self._store = store
        self._call = call
        self._seen: tuple[Endpoint, ...] = store.snapshot.endpoints
        self.is_called = False
        """Whether the call is in progress."""

    @property
    def has_news(self) -> bool:
        """Whether there is something that it was not called with."""
        return self._seen is not self._store.snapshot.endpoints

    def tell(self) -> None:
        """Calls the function with what changed; what that raises does not stop the others."""
        snapshot = self._store.snapshot
        change = difference(self._seen, snapshot)
        self._seen = snapshot.endpoints
        if change:  # else all is as before again
            try:
                self._call(change)
            except Exception:
                log.exception("%s: a function given to on_change failed", self._store)
