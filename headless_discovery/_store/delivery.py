"""Listeners among threads: one thread calls them all, and one that blocks holds up only itself.

Calls come one after the other, in a thread that lives while there is something to tell. While
several are to be called a second one stands by: where a call lasts too long, it takes over the
others, and the first ends with its call. So there is never more than one thread for each listener
that blocks, and one for the rest. What came meanwhile is one merged change.
"""

import functools
import threading

from .._errors import log
from .._time.clock import DaemonThread, Lock, ThreadWaiters
from .shell import Listener
from .store import Store

_TOO_LONG = 0.25
"""Seconds that a call may last while other listeners wait."""


class Delivery:
    """Calls the listeners of one `Peers`."""

    def __init__(self, store: Store, listeners: list[Listener]) -> None:
        self._listeners = listeners
        self._store = store
        self._clock = store.clock
        self._turn: object | None = None
        """What the thread that calls them holds; another one: that has taken over."""
        self._calls = 0
        self._ended = ThreadWaiters()
        self._threads: set[threading.Thread] = set()
        """Those that call them, or stand by; and those that did, until they have ended."""
        self._lock = Lock()

    def look(self) -> None:
        """Has those called that are to be, unless that is being done."""
        turn = object()
        try:
            with self._lock:
                if self._turn is not None or not self._waiting():
                    return
                self._turn = turn
            self._clock.spawn(functools.partial(self._deliver, turn))
        except BaseException as error:
            # Of an interrupt too: no other thread ends this turn. If its thread did start, that
            # sees that it has no turn any more, and has the others called by a new one.
            if self._turn is turn:
                self._turn = None  # it is tried again at the end of the next lookup
            if not isinstance(error, RuntimeError):
                raise
            log.warning("%s: the thread of on_change cannot be started: %s", self._store, error)

    def close(self) -> None:
        """Waits for the end of a call in progress, unless it blocks, or is what closes."""
        if threading.current_thread() in self._threads:
            return
        until = self._clock.now() + _TOO_LONG
        self._clock.wait_for(self._ended, lambda: self._turn is None, until)
        for each in list(self._threads):
            each.join(max(until - self._clock.now(), 0))

    def after_fork(self) -> None:  # pragma: no cover - in a child: tests/test_life.py
        """In the child: the threads that called them are gone."""
        self._turn = None
        self._threads = set()
        self._lock = Lock()
        for listener in self._listeners:
            listener.is_called = False

    def _waiting(self) -> list[Listener]:
        """Those to be called; none after the end."""
        if self._store.closed:
            return []
        return [each for each in self._listeners if each.has_news and not each.is_called]

    def _next(self, turn: object) -> Listener | None:
        with self._lock:
            waiting = self._waiting() if self._turn is turn else []
            if not waiting:
                return None
            self._calls += 1
            waiting[0].is_called = True
        return waiting[0]

    def _enter(self) -> None:
        ended = [each for each in list(self._threads) if not each.is_alive()]
        self._threads.difference_update(ended)
        self._threads.add(threading.current_thread())

    def _leave(self) -> None:
        here = threading.current_thread()
        if not isinstance(here, DaemonThread):  # the caller's: it does not end here
            self._threads.discard(here)

    def _deliver(self, turn: object) -> None:
        stands_by = False
        self._enter()
        try:
            while (listener := self._next(turn)) is not None:
                if not stands_by and self._waiting():
                    stands_by = self._clock.stand_by(functools.partial(self._stand_by, turn))
                try:
                    listener.tell()
                finally:
                    listener.is_called = False
        finally:  # one that ends this thread does not end the others' turn
            if self._turn is turn:
                self._turn = None
            self._ended.wake()
            self.look()  # what came in between
            self._leave()

    def _stand_by(self, turn: object) -> None:
        self._enter()
        self._take_over(turn)

    def _take_over(self, turn: object) -> None:
        while self._turn is turn:
            calls = self._calls
            if self._clock.wait_for(
                self._ended, lambda: self._turn is not turn, self._clock.now() + _TOO_LONG
            ):
                return
            with self._lock:
                blocked = self._turn is turn and self._calls == calls and self._waiting()
                if blocked:
                    self._turn = mine = object()
            if blocked:
                self._deliver(mine)
