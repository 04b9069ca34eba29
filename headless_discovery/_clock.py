"""Time, handed in: the only place where the library reads a clock, sleeps, or starts a thread."""

import functools
import math
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from ._async import Bell, library
from ._exchange import Reply
from ._steps import Converse, Steps


class Work(Protocol):
    """Something to be done again and again, each time that it is due."""

    def due(self) -> float | None:
        """When the next turn is to begin, on the clock; ``None``: never again, it is over."""
        ...

    def begin(self) -> Steps[object] | None:
        """The steps of one turn, for a clock that takes them apart; ``None``: not now."""
        ...

    def foretell(self, step: Converse) -> tuple[Sequence[Reply], float]:
        """What a step comes to, and how many seconds it takes."""
        ...

    def end(self) -> None:
        """The steps are done with."""
        ...


class ThreadWork(Work, Protocol):
    """The same, for a thread."""

    guard: threading.Condition
    """Notified when `due` may have changed."""

    def turn(self) -> None:
        """One turn, blocking."""
        ...


class TaskWork(Work, Protocol):
    """The same, for a task."""

    bell: Bell
    """Rung when `due` may have changed."""

    async def turn(self) -> None:
        """One turn."""
        ...


class Clock:
    """Real, monotonic time in seconds; ``headless_discovery.testing.FakeClock`` is the other one.

    Time is read, waited for and worked by in these calls alone, so that a clock of another kind
    moves everything that was built on it.
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
        guard: threading.Condition,
        predicate: Callable[[], bool],
        until: float | None = None,
    ) -> bool:
        """Waits with the guard held until the predicate holds, or until then; tells which."""
        timeout = None if until is None else max(until - self.now(), 0)
        return guard.wait_for(predicate, timeout)

    def start(self, work: ThreadWork) -> Callable[[], None]:
        """Does the work in the background, in a daemon thread; returns what waits for its end."""
        thread = threading.Thread(
            target=self._run, args=(work,), name="headless-discovery", daemon=True
        )
        thread.start()

        def join() -> None:
            if thread is not threading.current_thread():
                thread.join()

        return join

    def spawn(self, call: Callable[[], None]) -> None:
        """Makes a call without waiting for it, in a daemon thread."""
        threading.Thread(target=call, name="headless-discovery-call", daemon=True).start()

    def _run(self, work: ThreadWork) -> None:
        while True:
            with work.guard:
                due = work.due()
                while due is not None and due > self.now():
                    work.guard.wait(min(due - self.now(), threading.TIMEOUT_MAX))
                    due = work.due()
            if due is None:
                return
            work.turn()

    # For tasks.

    async def sleep_async(self, seconds: float) -> None:
        """Returns that many seconds later."""
        await library().sleep(seconds)

    async def wait_for_async(
        self, bell: Bell, predicate: Callable[[], bool], until: float = math.inf
    ) -> bool:
        """Waits until the predicate holds, looking when the bell rings, or until then."""
        while not predicate():
            left = until - self.now()
            if left <= 0:
                return False
            await bell.wait(left)
        return True

    def start_async(self, work: TaskWork) -> Callable[[], Awaitable[None]]:
        """Does the work in the background, in a task; returns what ends it."""
        task = library().spawn(functools.partial(self._run_async, work), _no_more)

        async def end() -> None:
            task.cancel()
            await task.ended()

        return end

    async def _run_async(self, work: TaskWork) -> None:
        while (due := work.due()) is not None:
            if due > self.now():
                await self.wait_for_async(work.bell, functools.partial(_is_new, work, due), due)
            else:
                await work.turn()


def _is_new(work: Work, due: float) -> bool:
    return work.due() != due


def _no_more() -> None:
    """Nothing is left to do at the end of the background."""
