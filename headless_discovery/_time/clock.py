"""Time as an object: the only place where the library reads a clock, sleeps or starts a thread."""

import collections
import contextlib
import contextvars
import functools
import math
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from .tasks import Task, TaskWaiters, library

# Among threads, whatever interrupts them. A signal handler may raise between any two instructions,
# on the way into a ``with`` statement and out of it too, and `threading.Condition` is itself Python
# code: what it holds then stays held. Here what an interrupt can leave behind is noticed, and done
# without.

_ABANDONED = 1.0
"""Seconds: a lock held for so long was left locked by an interrupt; work under one takes less."""


class Lock:
    """A reentrant lock that does without a holder that was interrupted.

    Nothing may wait under it. What it protects must be right at each moment, since an interrupt may
    end the work there: it only keeps two threads from changing the same thing at once.
    """

    def __init__(self) -> None:
        self._lock: Any = threading.RLock()  # of a type that has no name

    def __enter__(self) -> None:
        while not (lock := self._lock).acquire(timeout=_ABANDONED):
            if self._lock is lock:  # pragma: no branch - or another thread was quicker
                self._lock = threading.RLock()  # the former was left locked

    def __exit__(self, *_error: object) -> None:
        try:
            self._lock.release()
        except RuntimeError:  # another took its place, since it was held for so long
            return


class ThreadWaiters:
    """Threads that wait until something changes."""

    def __init__(self) -> None:
        self._waiting: collections.deque[threading.Lock] = collections.deque()

    def wake(self) -> None:
        """Wakes all of them to check again."""
        while self._waiting:
            try:
                self._waiting.popleft().release()
            except IndexError:  # pragma: no cover - another thread woke the last one, in some runs
                return

    def wait_for(self, predicate: Callable[[], bool], seconds: Callable[[], float]) -> bool:
        """Waits until the predicate holds, for so long at most; returns whether it does."""
        while True:
            mine = threading.Lock()
            mine.acquire()
            # In this order: who changes something in between finds it here.
            self._waiting.append(mine)
            try:
                if predicate():
                    return True
                left = seconds()
                if left <= 0:
                    return False
                mine.acquire(timeout=min(left, threading.TIMEOUT_MAX))
            finally:
                if mine in self._waiting:
                    self._waiting.remove(mine)


class Work(Protocol):
    """Something to be done again and again, each time that it is due."""

    def due(self) -> float | None:
        """When the next turn is to begin, on the clock; ``None``: never again, it is over."""
        ...

    def paced(self) -> Iterator[float]:
        """One turn, for a clock that decides by itself how late it is: seconds to let pass."""
        ...


class RealWork(Work, Protocol):
    """The same, for a thread or a task."""

    waiters: Any
    """Those of threads, or those of tasks; woken when `due` may have changed."""

    def turn(self) -> Any:
        """One turn: blocking, or to be awaited."""
        ...


class Background(Protocol):
    """Work in the background."""

    def runs(self) -> bool:
        """Whether it does: a thread may not have been to be had, or a fork have left it behind."""
        ...

    def start(self) -> None:
        """Begins; raises `RuntimeError` if no thread can be had."""
        ...

    def stop(self) -> None:
        """Wakes it up to end."""
        ...

    def join(self) -> None:
        """Waits for its end."""
        ...


class DaemonThread(threading.Thread):
    """A daemon thread that does some work."""

    def __init__(self, run: Callable[[], None], name: str) -> None:
        super().__init__(target=run, name=name)

    def start(self) -> None:
        self.daemon = True  # only here: an isolated subinterpreter has no such thread, and raises
        # In an empty context. Free-threaded Python lets a thread inherit the caller's, by which it
        # would hold, and go on in, the request that happened to begin it.
        contextvars.Context().run(super().start)

    def runs(self) -> bool:
        return self.is_alive()

    def stop(self) -> None:
        """It ends when the work is over."""

    def join(self, timeout: float | None = None) -> None:
        if self is not threading.current_thread() and self.is_alive():
            super().join(timeout)


class Clock:
    """Real, monotonic time in seconds; ``headless_discovery.testing.FakeClock`` is the other one.

    The library reads time and waits by these calls only, so a clock of another kind controls
    everything that uses it.
    """

    def now(self) -> float:
        """Seconds since some fixed moment; never goes back."""
        return time.monotonic()

    def _reading(self) -> Callable[[], float]:
        """`now`, to be called for each choice: real time is read without a step through Python."""
        now = self.now
        return time.monotonic if getattr(now, "__func__", None) is Clock.now else now

    def sleep(self, seconds: float) -> None:
        """Returns that many seconds later."""
        time.sleep(seconds)

    def wait_for(
        self,
        waiters: ThreadWaiters,
        predicate: Callable[[], bool],
        until: float = math.inf,
        *,
        overdue: float = math.inf,
    ) -> bool:
        """Waits until the predicate holds, looking when woken.

        Args:
            waiters: What wakes it.
            predicate: What is waited for.
            until: When to give up, on the clock.
            overdue: When to stop because the caller that was to cause it was interrupted.

        Returns:
            Whether it holds.
        """
        end = min(until, overdue)
        return waiters.wait_for(predicate, lambda: end - self.now())

    def background(self, work: RealWork) -> Background:
        """Work to be done in the background, in a daemon thread, once it is started."""
        return DaemonThread(functools.partial(self._run, work), "headless-discovery")

    def spawn(self, call: Callable[[], None]) -> None:
        """Makes a call without waiting for it, in a daemon thread.

        Raises:
            RuntimeError: No thread can be had.
        """
        DaemonThread(call, "headless-discovery-call").start()

    def stand_by(self, call: Callable[[], None]) -> bool:
        """Makes a call that waits for what may go wrong elsewhere; whether it could be begun."""
        with contextlib.suppress(RuntimeError):  # no thread can be had, so none stands by
            self.spawn(call)
            return True
        return False

    def _run(self, work: RealWork) -> None:
        while (due := work.due()) is not None:
            if due > self.now():
                self.wait_for(work.waiters, functools.partial(_is_new, work, due), due)
            else:
                work.turn()

    # For tasks.

    async def sleep_async(self, seconds: float) -> None:
        """Returns that many seconds later."""
        await library().sleep(seconds)

    async def wait_for_async(
        self,
        waiters: TaskWaiters,
        predicate: Callable[[], bool],
        until: float = math.inf,
        *,
        overdue: float = math.inf,
    ) -> bool:
        """As `wait_for`, for a task."""
        end = min(until, overdue)
        return await waiters.wait_for(predicate, lambda: end - self.now())

    def start_async(self, work: RealWork) -> Task:
        """Does the work in the background, in a task."""
        return library().spawn(functools.partial(self._run_async, work), lambda: None)

    async def _run_async(self, work: RealWork) -> None:
        while (due := work.due()) is not None:
            if due > self.now():
                await self.wait_for_async(work.waiters, functools.partial(_is_new, work, due), due)
            else:
                await work.turn()


def _is_new(work: Work, due: float) -> bool:
    return work.due() != due
