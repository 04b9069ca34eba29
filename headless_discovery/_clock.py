"""Time, handed in: the only place where the library reads a clock, sleeps, or starts a thread."""

import threading
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from ._exchange import Reply
from ._steps import Converse, Steps


class Work(Protocol):
    """Something to be done again and again, each time that it is due."""

    guard: threading.Condition
    """Notified when `due` may have changed."""

    def due(self) -> float | None:
        """When the next turn is to begin, on the clock; ``None``: never again, it is over."""
        ...

    def turn(self) -> None:
        """One turn, blocking."""
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


class Clock:
    """Real, monotonic time in seconds; ``headless_discovery.testing.FakeClock`` is the other one.

    Time is read, waited for and worked by in these calls alone, so that a clock of another kind
    moves everything that was built on it.
    """

    def now(self) -> float:
        """Seconds since some fixed moment; never goes back."""
        return time.monotonic()

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

    def start(self, work: Work) -> Callable[[], None]:
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

    def _run(self, work: Work) -> None:
        while True:
            with work.guard:
                due = work.due()
                while due is not None and due > self.now():
                    work.guard.wait(min(due - self.now(), threading.TIMEOUT_MAX))
                    due = work.due()
            if due is None:
                return
            work.turn()
