"""FakeClock: time that moves only when it is told to, and does on the way what is due."""

import functools
import heapq
import itertools
import math
import threading
import time
from collections.abc import Callable, Generator, Sequence

from .._clock import Clock, Work
from .._exchange import Reply
from .._steps import Converse

_Going = Generator[Converse, Sequence[Reply], object]
_FOR_EVER = 86_400.0
"""Seconds: whoever waits for longer waits for something that will not come."""
_PATIENCE = 1.0
"""Seconds of real time for other threads."""
_START = 1000.0
"""Not 0, so that code which takes a time for a duration, or for a truth value, shows."""


class FakeClock(Clock):
    """A clock for tests: `advance` moves it, and runs what is due on the way, in order.

    What runs in the background of other clocks has no thread here: it is done by `advance`, and by
    whoever waits in the foreground, since a wait advances the clock and returns at once.
    """

    def __init__(self, start: float = _START) -> None:
        self._now = start
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._lock = threading.RLock()

    def __repr__(self) -> str:
        return f"FakeClock({self._now:g})"

    def now(self) -> float:
        """Seconds."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Moves the clock on, and runs on the way what is due, at its time and in its order.

        Raises `ValueError` for a negative number: time does not go back.
        """
        if not seconds >= 0 or math.isinf(seconds):
            raise ValueError(f"advance({seconds!r}): time goes on, by a number of seconds")
        with self._lock:
            until = self._now + seconds
            while self._run_next(until):
                pass
            self._now = max(self._now, until)

    def sleep(self, seconds: float) -> None:
        """Returns at once, that many seconds later."""
        self.advance(max(seconds, 0))

    def call_at(self, when: float, call: Callable[[], None]) -> Callable[[], None]:
        """Makes the call when the clock comes to that time; returns a function that cancels it."""
        entry = (max(when, self._now), next(self._order), call)
        with self._lock:
            heapq.heappush(self._agenda, entry)

        def cancel() -> None:
            with self._lock:
                if entry in self._agenda:
                    self._agenda.remove(entry)
                    heapq.heapify(self._agenda)

        return cancel

    def wait_for(
        self,
        guard: threading.Condition,
        predicate: Callable[[], bool],
        until: float | None = None,
    ) -> bool:
        """Runs what is due, one thing after the other, until the predicate holds or until then."""
        horizon = self._now + _FOR_EVER if until is None else until
        patience = time.monotonic() + _PATIENCE
        while not predicate():
            guard.release()
            try:
                with self._lock:
                    ran = self._run_next(horizon)
                    if not ran and until is not None:
                        self._now = max(self._now, until)
                        break
            finally:
                guard.acquire()
            # Where nothing is due, only another thread can still bring it about.
            if not ran and not guard.wait_for(predicate, patience - time.monotonic()):
                raise RuntimeError(
                    "this would wait for ever: for a day of the fake clock nothing came of it. "
                    "Change the cluster before waiting for a change"
                )
        return predicate()

    def start(self, work: Work) -> Callable[[], None]:
        """Does the work when it is due, as `advance` comes by."""
        _Background(self, work).schedule()
        return _nothing

    def spawn(self, call: Callable[[], None]) -> None:
        """Makes the call at once."""
        call()

    def _run_next(self, until: float) -> bool:
        if not self._agenda or self._agenda[0][0] > until:
            return False
        when, _, call = heapq.heappop(self._agenda)
        self._now = max(self._now, when)
        call()
        return True


def _nothing() -> None:
    """What there is to wait for at the end of work that has no thread."""


class _Background:
    """Work on a fake clock: its turns, and within a turn the steps that take time."""

    _LOOK_AGAIN = 1.0
    """Seconds: how often work that has no next time is asked whether it has one by now."""

    def __init__(self, clock: FakeClock, work: Work) -> None:
        self._clock = clock
        self._work = work

    def schedule(self) -> None:
        due = self._work.due()
        if due is None:
            return
        at = self._clock.now() + self._LOOK_AGAIN if math.isinf(due) and due > 0 else due
        self._clock.call_at(at, self._turn)

    def _turn(self) -> None:
        due = self._work.due()
        if due is None:
            return
        steps = self._work.begin() if due <= self._clock.now() else None
        if steps is None:
            self.schedule()
        else:
            self._go(steps, None)

    def _go(self, steps: _Going, replies: Sequence[Reply] | None) -> None:
        while True:
            try:
                step = next(steps) if replies is None else steps.send(replies)
            except StopIteration:
                self._work.end()
                self.schedule()
                return
            except BaseException:
                self._work.end()
                raise
            replies, took = self._work.foretell(step)
            if took > 0:
                going_on = functools.partial(self._go, steps, replies)
                self._clock.call_at(self._clock.now() + took, going_on)
                return
