"""FakeClock: time that moves only by hand, and then runs what becomes due."""

import functools
import heapq
import itertools
import math
import threading
import time
from collections.abc import Callable, Iterator

from .._time.clock import Clock, ThreadWaiters, Work
from .._time.tasks import TaskWaiters, library

_FOR_EVER = 86_400.0
"""Seconds: who waits for longer waits for something that will not come."""
_PATIENCE = 1.0
"""Seconds of real time for other threads."""
_START = 1000.0
"""Not 0, so that code which takes a time for a duration, or for a truth value, shows."""
_ROUNDS = 20
"""How often other tasks run before time advances: they pass things to one another."""


class FakeClock(Clock):
    """A clock for tests: `advance` moves it, and runs everything that becomes due, in order.

    Background work has no thread here: it is done by `advance`, and by waits in the foreground,
    since a wait advances the clock and returns at once.
    """

    def __init__(self, start: float = _START) -> None:
        self._now = start
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._lock = threading.RLock()
        self._advancing = 0  # how many tasks are in `advance_async`
        self._background: list[_Background] = []

    def __repr__(self) -> str:
        return f"FakeClock({self._now:g})"

    def now(self) -> float:
        """Seconds."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Advances the clock, and runs everything that becomes due, at its time and in order.

        Raises `ValueError` for a negative number: time does not go back.
        """
        with self._lock:
            until = self._later(seconds)
            while self._run_next(until):
                pass
            self._now = max(self._now, until)

    async def advance_async(self, seconds: float) -> None:
        """The same among tasks of asyncio or trio, which run whenever something has changed."""
        until = self._later(seconds)
        self._advancing += 1
        try:
            await _let_others_run()
            while self._run_next(until):
                await _let_others_run()
            self._now = max(self._now, until)
            await _let_others_run()
        finally:
            self._advancing -= 1

    def _later(self, seconds: float) -> float:
        if not seconds >= 0 or math.isinf(seconds):
            raise ValueError(f"advance({seconds!r}): give a number of seconds, not negative")
        return self._now + seconds

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
        waiters: ThreadWaiters,
        predicate: Callable[[], bool],
        until: float = math.inf,
        *,
        overdue: float = math.inf,
    ) -> bool:
        """Runs what is due, one thing after the other, until the predicate holds or until then."""
        horizon = min(until, self._now + _FOR_EVER)
        patience = time.monotonic() + _PATIENCE
        while not predicate():
            with self._lock:
                ran = self._run_next(horizon)
                if not ran and until <= horizon:
                    self._now = max(self._now, until)
                    break
            # Where nothing is due, only another thread can still bring it about.
            if not ran and not waiters.wait_for(predicate, _left(patience)):
                self._now = max(self._now, _not_for_ever(overdue))
                break
        return predicate()

    async def sleep_async(self, seconds: float) -> None:
        """Returns at once, that many seconds later."""
        await self.wait_for_async(TaskWaiters(), lambda: False, self._now + seconds)

    async def wait_for_async(
        self,
        waiters: TaskWaiters,
        predicate: Callable[[], bool],
        until: float = math.inf,
        *,
        overdue: float = math.inf,
    ) -> bool:
        """As `wait_for`; but time advances only when all other tasks wait."""
        horizon = min(until, self._now + _FOR_EVER)
        cancel = self.call_at(until, waiters.wake)
        try:
            while not predicate() and self._now < until:
                if self._advancing:
                    # `advance_async` yields; a longer wait here would make this task late.
                    await library().sleep(0)
                    continue
                await _let_others_run()
                if self._advancing or predicate() or self._now >= until:
                    continue
                if not self._run_next(horizon):
                    patience = time.monotonic() + _PATIENCE
                    if not await waiters.wait_for(predicate, _left(patience)):
                        self._now = max(self._now, _not_for_ever(overdue))
                        break
        finally:
            cancel()
        return predicate()

    def background(self, work: Work) -> "_Background":
        """Work that is done when it is due, as `advance` comes by."""
        return _Background(self, work)

    def start_async(self, work: Work) -> "_Background":
        """The same: there is no task either."""
        background = _Background(self, work)
        background.start()
        return background

    def spawn(self, call: Callable[[], None]) -> None:
        """Makes the call at once."""
        call()

    def stand_by(self, call: Callable[[], None]) -> bool:  # noqa: ARG002 - nothing blocks here
        """Does without: there is no other thread."""
        return True

    def _run_next(self, until: float) -> bool:
        with self._lock:
            self._background = [each for each in self._background if each.reschedules()]
            if not self._agenda or self._agenda[0][0] > until:
                return False
            when, _, call = heapq.heappop(self._agenda)
            self._now = max(self._now, when)
            call()
        return True


def _left(patience: float) -> Callable[[], float]:
    return lambda: patience - time.monotonic()


async def _let_others_run() -> None:
    for _ in range(_ROUNDS):
        await library().sleep(0)


def _not_for_ever(overdue: float) -> float:
    """When what is waited for was interrupted; raises `RuntimeError` if nothing was."""
    if overdue < math.inf:
        return overdue
    raise RuntimeError(
        "this would wait without end: nothing happened during a day of the fake clock. "
        "Change the cluster before waiting for a change"
    )


class _Background:
    """Work on a fake clock: its turns, and within a turn the pauses."""

    def __init__(self, clock: FakeClock, work: Work) -> None:
        self._clock = clock
        self._work = work
        self._at = -math.inf
        """When its next turn is to be; before all times while none is planned."""
        self._cancel: Callable[[], None]

    def runs(self) -> bool:
        """Whether it does: nothing can go wrong with it."""
        return True

    def start(self) -> None:
        """Begins."""
        self._clock._background.append(self)
        self._schedule()

    def stop(self) -> None:
        """It ends when the work is over."""

    def join(self) -> None:
        """Nothing happens while the clock is not advanced."""

    async def ended(self) -> None:
        """The same, of a task."""

    def _schedule(self) -> None:
        due = self._work.due()
        if due is not None:
            self._at = due
            self._cancel = self._clock.call_at(due, self._turn)

    def reschedules(self) -> bool:
        """Puts the next turn forward if it is due sooner by now; whether there will be turns."""
        due = self._work.due()
        if due is not None and due < self._at:
            self._cancel()
            self._schedule()
        return due is not None

    def _turn(self) -> None:
        self._at = -math.inf
        due = self._work.due()
        if due is not None and due <= self._clock.now():
            self._go_on(self._work.paced())
        else:
            self._schedule()

    def _go_on(self, turn: Iterator[float]) -> None:
        pause = next(turn, None)
        if pause is None:
            self._schedule()
        else:
            later = functools.partial(self._go_on, turn)
            self._clock.call_at(self._clock.now() + pause, later)
