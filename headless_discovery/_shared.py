"""What Peers is for threads and for tasks alike: all of it that does not wait."""

import random
from collections.abc import Callable, Iterable
from typing import Self

from ._clock import Clock
from ._endpoint import Change, Endpoint, Snapshot, difference
from ._options import Finding, Selecting, check_selecting
from ._policy import Policy
from ._selection import Strategy
from ._stats import Stats
from ._store import Store, log


class Shared:
    """What is known, and the making of a fixed list."""

    def __init__(self, selecting: Selecting, finding: Finding | None) -> None:
        self._store = Store(selecting, finding)

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
        """The same on a fixed list such as ``["10.0.0.1:8080", "[fd00::1]:8080"]``, without DNS.

        For a laptop or a test. Raises `ConfigurationError` for what is not an address with or
        without a port.
        """
        store = cls(check_selecting(strategy, policy, clock, rng), None)
        store._store.fix(endpoints)
        return store

    @property
    def snapshot(self) -> Snapshot:
        """What is known now; never asks DNS."""
        return self._store.snapshot

    @property
    def stats(self) -> Stats:
        """Counters as plain numbers."""
        return self._store.stats()

    @property
    def ejected(self) -> dict[Endpoint, float]:
        """What is set aside because of failures, and until when, on the store's clock.

        The first to come back comes first. Departing endpoints are avoided anyway, and are not
        among them.
        """
        return self._store.ejected()

    def report(self, endpoint: Endpoint, error: BaseException | None = None) -> None:
        """Tells how an endpoint did: well, or with an error. `attempts` does it by itself.

        `Policy.eject_after` failures in a row set it aside for a while: `pick` avoids it; one
        success clears that. A failure also makes the next lookup due, but does not wait for it. An
        endpoint that is not there, or at another address by now, is ignored.
        """
        if self._store.report(endpoint, error):
            self._hasten()

    def _hasten(self) -> None:
        """Tells the background that a lookup is due sooner."""
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

    @property
    def has_news(self) -> bool:
        """Whether there is something that it has not been told."""
        return self._seen is not self._store.snapshot.endpoints

    def news(self) -> Change:
        """What it is to be told next; ``False`` if what changed is as before again."""
        snapshot = self._store.snapshot
        change = difference(self._seen, snapshot)
        self._seen = snapshot.endpoints
        return change

    def tell(self, change: Change) -> None:
        """Calls the function; what that raises hurts nobody else."""
        try:
            self._call(change)
        except Exception:
            log.exception("%s: a function given to on_change failed", self._store)
