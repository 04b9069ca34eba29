"""`tasks.Library` on asyncio. Imported only where asyncio runs."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

_T = TypeVar("_T")
_Job = Callable[[], Coroutine[Any, Any, None]]
_LONGEST = 86_400.0
"""Seconds: a loop takes no timer without an end."""


class _Task:
    def __init__(self, job: _Job, at_end: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        # Whatever it waits for has a timer or a thread, by which the loop holds it, and it ends
        # with a loop that is closed before it is through.
        self._task = self._loop.create_task(job(), name="headless-discovery")
        self._task.add_done_callback(lambda _: at_end())

    def runs(self) -> bool:
        # Not `get_running_loop`, which raises where trio runs by now.
        return not self._task.done() and self._loop is asyncio._get_running_loop()

    def stop(self) -> None:
        if not self._loop.is_closed():  # else it will never end, and no task waits for that
            self._task.cancel()

    async def ended(self) -> None:
        if self.runs():
            # Not awaited itself: its cancellation is not ours.
            await asyncio.wait([self._task])


class _Asyncio:
    name = "asyncio"

    event = asyncio.Event
    task = staticmethod(asyncio.current_task)
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
