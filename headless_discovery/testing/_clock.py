"""FakeClock: time that moves only when it is told to, and does on the way what is due."""

import functools
import heapq
import itertools
import math
import threading
import time
from collections.abc import Awaitable, Callable, Generator, Sequence

from .._async import Bell, library
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
_ROUNDS = 20
"""How often other tasks are let run before time goes on: they hand things to one another."""


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
        self._advancing = 0  # how many tasks are in `advance_async`
        self._background: list[_Background] = []

    def __repr__(self) -> str:
        return f"FakeClock({self._now:g})"

    def now(self) -> float:
        """Seconds."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Moves the clock on, and runs on the way what is due, at its time and in its order.

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
            raise ValueError(f"advance({seconds!r}): time goes on, by a number of seconds")
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
                raise _for_ever()
        return predicate()

    async def sleep_async(self, seconds: float) -> None:
        """Returns at once, that many seconds later."""
        await self.wait_for_async(Bell(), _never, self._now + seconds)

    async def wait_for_async(
        self, bell: Bell, predicate: Callable[[], bool], until: float = math.inf
    ) -> bool:
        """As `wait_for`; but time goes on only when no other task has anything to do."""
        horizon = min(until, self._now + _FOR_EVER)
        cancel = self.call_at(until, bell.ring) if until <= horizon else _nothing
        try:
            while not predicate() and self._now < until:
                await _let_others_run()
                if self._advancing or predicate() or self._now >= until:
                    continue
                if not self._run_next(horizon):
                    await bell.wait(_PATIENCE)
                    if not predicate():  # pragma: no branch - or another thread brought it about
                        raise _for_ever()
        finally:
            cancel()
        return predicate()

    def start(self, work: Work) -> Callable[[], None]:
        """Does the work when it is due, as `advance` comes by."""
        background = _Background(self, work)
        self._background.append(background)
        background.schedule()
        return _nothing

    def start_async(self, work: Work) -> Callable[[], Awaitable[None]]:
        """The same: there is no task either."""
        self.start(work)
        return _nothing_async

    def spawn(self, call: Callable[[], None]) -> None:
        """Makes the call at once."""
        call()

    def _run_next(self, until: float) -> bool:
        with self._lock:
            self._background = [each for each in self._background if each.goes_on()]
            if not self._agenda or self._agenda[0][0] > until:
                return False
            when, _, call = heapq.heappop(self._agenda)
            self._now = max(self._now, when)
            call()
        return True


def _nothing() -> None:
    """What there is to wait for at the end of work that has no thread."""


async def _nothing_async() -> None:
    """The same."""


def _never() -> bool:
    return False


async def _let_others_run() -> None:
    for _ in range(_ROUNDS):
        await library().sleep(0)


def _for_ever() -> RuntimeError:
    return RuntimeError(
        "this would wait for ever: for a day of the fake clock nothing came of it. "
        "Change the cluster before waiting for a change"
    )


class _Background:
    """Work on a fake clock: its turns, and within a turn the steps that take time."""

    _LOOK_AGAIN = 1.0
    """Seconds: how often work that has no next time is asked whether it has one by now."""

    def __init__(self, clock: FakeClock, work: Work) -> None:
        self._clock = clock
        self._work = work
        self._at = math.inf
        self._cancel = _nothing

    def schedule(self) -> None:
        due = self._work.due()
        if due is None:
            return
        self._at = self._clock.now() + self._LOOK_AGAIN if due == math.inf else due
        self._cancel = self._clock.call_at(self._at, self._turn)

    def goes_on(self) -> bool:
        """Whether there will be turns; the next one is put forward if it is due sooner by now."""
        due = self._work.due()
        if due is not None and due < self._at < math.inf:
            self._cancel()
            self.schedule()
        return due is not None

    def _turn(self) -> None:
        self._at = math.inf
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
                replies, took = self._work.foretell(step)
            except StopIteration:
                self._work.end()
                self.schedule()
                return
            except BaseException:
                self._work.end()
                raise
            if took > 0:
                going_on = functools.partial(self._go, steps, replies)
                self._clock.call_at(self._clock.now() + took, going_on)
                return
