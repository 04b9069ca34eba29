"""`_async` on asyncio. Imported only where asyncio runs."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import ClassVar, TypeVar

from ._async import Job

_T = TypeVar("_T")
_LONGEST = 86_400.0
"""Seconds: a loop takes no timer without an end."""


class _Asyncio:
    name = "asyncio"

    def event(self) -> asyncio.Event:
        return asyncio.Event()

    def spawn(self, job: Job, at_end: Callable[[], None]) -> "_Task":
        return _Task(job, at_end)

    async def within(self, seconds: float, call: Callable[[], Awaitable[_T]]) -> _T:
        async with asyncio.timeout(min(seconds, _LONGEST)):
            return await call()

    async def side_by_side(self, jobs: Sequence[Job], at_once: int) -> None:
        room = asyncio.Semaphore(at_once)

        async def do(job: Job) -> None:
            async with room:
                await job()

        async with asyncio.TaskGroup() as group:
            for job in jobs:
                group.create_task(do(job))

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class _Task:
    _all: ClassVar[set[asyncio.Task[None]]] = set()
    """The loop itself holds its tasks only weakly."""

    def __init__(self, job: Job, at_end: Callable[[], None]) -> None:
        async def do() -> None:
            await job()

        self._task = asyncio.get_running_loop().create_task(do(), name="headless-discovery")
        self._all.add(self._task)
        self._task.add_done_callback(self._all.discard)
        self._task.add_done_callback(lambda _: at_end())

    def cancel(self) -> None:
        self._task.cancel()

    async def ended(self) -> None:
        # Not awaited itself: its cancellation is not ours.
        await asyncio.wait([self._task])


_ASYNCIO = _Asyncio()


def running() -> _Asyncio:
    """Raises `RuntimeError` if no loop runs here."""
    asyncio.get_running_loop()
    return _ASYNCIO
