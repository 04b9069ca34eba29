"""`tasks.Library` on trio. Imported only where trio runs.

A task that outlives its starter needs a nursery that does: trio's own, for system tasks. They are
cancelled when the main task ends.
"""

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

import trio

_T = TypeVar("_T")
_Job = Callable[[], Coroutine[Any, Any, None]]


class _Task:
    def __init__(self, job: _Job, at_end: Callable[[], None]) -> None:
        self._at_end = at_end
        self._scope = trio.CancelScope()
        self._ended = trio.Event()
        trio.lowlevel.spawn_system_task(self._do, job, name="headless-discovery")

    async def _do(self, job: _Job) -> None:
        try:
            with self._scope:
                await job()
        finally:
            self._at_end()
            self._ended.set()

    def runs(self) -> bool:
        return not self._ended.is_set()

    def stop(self) -> None:
        self._scope.cancel()

    async def ended(self) -> None:
        # A task that leaves `async with` because of a cancellation leaves no task behind either.
        with trio.CancelScope(shield=True):
            await self._ended.wait()


class _Trio:
    name = "trio"

    event = trio.Event
    task = staticmethod(trio.lowlevel.current_task)
    spawn = _Task
    sleep = staticmethod(trio.sleep)

    async def within(self, seconds: float, call: Callable[[], Awaitable[_T]]) -> _T:
        with trio.move_on_after(seconds):
            return await call()
        raise TimeoutError

    async def readable(self, descriptor: int, seconds: float) -> None:
        with trio.move_on_after(seconds):
            await trio.lowlevel.wait_readable(descriptor)

    async def in_thread(self, call: Callable[[], None]) -> None:
        await trio.to_thread.run_sync(call, abandon_on_cancel=True)


TRIO = _Trio()
