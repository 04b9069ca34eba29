"""`tasks.Library` on asyncio. Imported only where asyncio runs."""

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

_T = TypeVar("_T")
_Job = Callable[[], Coroutine[Any, Any, None]]
_LONGEST = 86_400.0
"""Seconds: a loop takes no timer without an end."""


class _Event(asyncio.Event):
    """One that may be set in another loop than that of who waits, and after that has ended."""

    def __init__(self) -> None:
        super().__init__()
        self._home = asyncio.get_running_loop()

    def set(self) -> None:
        if self._home is asyncio._get_running_loop():
            super().set()
            return
        with contextlib.suppress(RuntimeError):  # it is closed
            self._home.call_soon_threadsafe(super().set)


class _Task:
    def __init__(self, job: _Job, at_end: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        # Whatever it waits for has a timer or a thread, by which the loop holds it, and it ends
        # with a loop that is closed before it is through.
        # Not made by the loop: an eager task would begin before it is known here.
        self._task = asyncio.Task(job(), loop=self._loop, name="headless-discovery")
        self._task.add_done_callback(lambda _: at_end())

    def runs(self) -> bool:
        return not self._task.done() and self._is_here()

    def runs_elsewhere(self) -> bool:
        # A loop whose end was interrupted says that it runs, but not where another one does by now.
        in_another_thread = threading.get_ident() != self._thread
        return not self._task.done() and in_another_thread and self._loop.is_running()

    def stop(self) -> None:
        with contextlib.suppress(RuntimeError):  # it is closed: no task waits for the end
            if self._is_here():
                self._task.cancel()
            else:
                self._loop.call_soon_threadsafe(self._task.cancel)

    def _is_here(self) -> bool:
        return self._loop is asyncio._get_running_loop()

    async def ended(self) -> None:
        if self.runs():
            # Not awaited itself: its cancellation is not ours.
            await asyncio.wait([self._task])


class _Asyncio:
    name = "asyncio"

    event = _Event
    task = staticmethod(asyncio.current_task)
    loop = staticmethod(asyncio.get_running_loop)
    spawn = _Task
    sleep = staticmethod(asyncio.sleep)

    async def within(self, seconds: float, call: Callable[[], Awaitable[_T]]) -> _T:
        async with asyncio.timeout(min(seconds, _LONGEST)):
            return await call()

    async def readable(self, descriptor: int, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        woken = loop.create_future()
        timer = loop.call_later(min(seconds, _LONGEST), _wake, woken)
        try:
            loop.add_reader(descriptor, _wake, woken)
            await woken
        finally:
            timer.cancel()
            if not loop.is_closed():
                loop.remove_reader(descriptor)

    async def in_thread(self, call: Callable[[], None]) -> None:
        await asyncio.get_running_loop().run_in_executor(None, call)


def _wake(woken: asyncio.Future[None]) -> None:
    if not woken.done():
        woken.set_result(None)


_ASYNCIO = _Asyncio()


def running() -> _Asyncio:
    """Raises `RuntimeError` if no loop runs here."""
    asyncio.get_running_loop()
    return _ASYNCIO
