"""asyncio or trio, whichever runs the present task: the few primitives that the async shell needs.

Each is imported only when it runs, so that importing this imports neither. It knows no DNS.
"""

import contextlib
import importlib
import sys
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Protocol, TypeVar

_T = TypeVar("_T")
Job = Callable[[], Coroutine[Any, Any, None]]


class Event(Protocol):
    """Set once, for tasks of one loop that wait for it."""

    def set(self) -> object:
        """Wakes who waits; may be called anywhere, and when the loop has ended."""
        ...

    async def wait(self) -> object:
        """Returns when it is set."""
        ...


class Task(Protocol):
    """A task that is independent of the task that started it."""

    def runs(self) -> bool:
        """Whether it has not ended, and can: its loop is the one that runs here."""
        ...

    def stop(self) -> None:
        """Stops it."""
        ...

    async def ended(self) -> None:
        """Waits for its end."""
        ...


class Spawned(Task, Protocol):
    """One of a loop."""

    def runs_elsewhere(self) -> bool:
        """Whether it has not ended, and its loop runs in another thread."""
        ...


class Library(Protocol):
    """What asyncio and trio have in common here."""

    name: str

    def event(self) -> Event:
        """One that is not set."""
        ...

    def task(self) -> object:
        """The task that runs."""
        ...

    def loop(self) -> object:
        """The event loop that runs: one object for each."""
        ...

    def spawn(self, job: Job, at_end: Callable[[], None]) -> Spawned:
        """Begins a job without a parent and must not raise.

        ``at_end`` is called in any case: a task that is cancelled early enough never begins.
        """
        ...

    async def within(self, seconds: float, call: Callable[[], Awaitable[_T]]) -> _T:
        """What the call returns, or `TimeoutError`."""
        ...

    async def readable(self, descriptor: int, seconds: float) -> None:
        """Returns when there is something to read, or so many seconds later."""
        ...

    async def in_thread(self, call: Callable[[], None]) -> None:
        """Makes a call in another thread, and waits for its end."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Yields to other tasks, for so long."""
        ...


def prepare() -> None:
    """Imports what the libraries need that the program has imported.

    Later there may be no file descriptor to import it with, and it is needed to wait that out.
    """
    for name in ("asyncio", "trio"):
        if name in sys.modules:
            importlib.import_module(f"{__package__}.on_{name}")


def library() -> Library:
    """That of the present task; raises `RuntimeError` outside of both."""
    # Not imported: it does not run. trio first, since it can be a guest of asyncio's loop.
    trio = sys.modules.get("trio")
    if trio is not None and trio.lowlevel.in_trio_task():
        from . import on_trio as _on_trio  # noqa: PLC0415 - imported only when it runs

        return _on_trio.TRIO
    from . import on_asyncio as _on_asyncio  # noqa: PLC0415 - imported only when it runs

    return _on_asyncio.running()


class TaskWaiters:
    """Tasks that wait until something changes, on either library and on any loop."""

    def __init__(self) -> None:
        self._waiting: set[Event] = set()

    def wake(self) -> None:
        """Wakes all of them to check again."""
        for event in tuple(self._waiting):
            event.set()

    async def wait_for(self, predicate: Callable[[], bool], seconds: Callable[[], float]) -> bool:
        """Waits until the predicate holds, for so long at most; returns whether it does."""
        while True:
            running = library()
            event = running.event()
            # In this order: who changes something in another thread finds it here.
            self._waiting.add(event)
            try:
                if predicate():
                    return True
                left = seconds()
                if left <= 0:
                    return False
                with contextlib.suppress(TimeoutError):
                    await running.within(left, event.wait)
            finally:
                self._waiting.discard(event)
