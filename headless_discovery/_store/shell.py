"""What the shells for threads and for tasks have in common, which carry out a store's steps."""

import inspect
import weakref
from collections.abc import Callable, Iterator
from typing import Any

from .._endpoint import Change, Endpoint, difference
from .._errors import ConfigurationError, check_callable, log
from .steps import Call, Driver, Wait
from .store import Flight, Store

_LOOKS = 0.01
"""Seconds of a clock that is not real, after which it is looked whether a source is chosen."""


class Shell(Driver):
    """One lookup at a time, for all callers and for the background.

    It has no reference to its `Peers`, so that one that was not closed can be garbage-collected:
    the background refers to this object.
    """

    def __init__(self, store: Store, waiters: Any) -> None:
        self.store = store
        self.clock = store.clock
        self.waiters = waiters
        self.listeners: list[Listener] = []
        self._worker: Any = None
        """The thread or task that looks up, if one was begun."""
        # Without a cycle: one that is not used any more is then freed at once.
        store.shell = weakref.proxy(self)

    @property
    def _background(self) -> Any:
        """The thread or task that learns of changes, if one was begun."""
        return self.store.following if self.store.pushes else self._worker

    def _runs_now(self) -> bool:
        """Whether it does, among these threads or in the present event loop."""
        return self._background is not None and self._background.runs()

    def listen(self, call: Callable[[Change], object]) -> Callable[[], None]:
        """Calls a function with later changes; returns one that stops it."""
        check_callable("call", call)
        if any(map(inspect.iscoroutinefunction, (call, type(call).__call__))):
            raise ConfigurationError(
                f"call is called and never awaited, so it cannot be async: {call!r:.80}"
            )
        listener = Listener(self.store, call)
        self.listeners.append(listener)

        def stop() -> None:
            if listener in self.listeners:
                self.listeners.remove(listener)

        return stop

    def give_up(self) -> None:
        """Cancels a lookup in progress, ends the background, and wakes all that wait."""
        self.store.close()
        self.waiters.wake()
        for each in self._going_on():
            each.stop()

    def _going_on(self) -> list[Any]:
        """All threads or tasks that were begun, and may not have ended."""
        flight = self.store.flight
        begun = (self._worker, self.store.following, None if flight is None else flight.task)
        return [each for each in begun if each is not None]

    def carry_out(self, call: Call[Any]) -> Any:
        """Does what the call says; returns what it returns, to tasks when it is awaited."""
        raise NotImplementedError

    # As work for the clock.

    def due(self) -> float | None:
        """The time of the next background lookup; after one that is in progress."""
        store = self.store
        if store.closed or store.pushes:
            return None
        flight = store.under_way
        return store.next_turn if flight is None else flight.expires

    def paced(self) -> Iterator[float]:
        """One lookup, for a clock that decides by itself how late it is."""
        store, flight = self.store, Flight()
        if not store.begin(flight):  # pragma: no cover - another thread was quicker, in some runs
            return
        try:
            for step in store.source_chosen():
                while isinstance(step, Wait) and not step.over() and store.now() < step.until:
                    yield _LOOKS
            yield from store.resolver.run_paced(store.steps(flight), self.clock)
        finally:
            store.end(flight)
            self.landed()


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
            except (KeyboardInterrupt, SystemExit):
                raise
            except BaseException:  # CancelledError too: that of something else which it asked
                log.exception("%s: a function given to on_change failed", self._store)
