"""`tasks.Library` on trio. Imported only where trio runs.

A task that outlives its starter needs a nursery that does: trio's own, for system tasks. They are
cancelled when the main task ends.
"""

import contextlib
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

import trio

_T = TypeVar("_T")
_Job = Callable[[], Coroutine[Any, Any, None]]


class _Event:
    """One that may be set in another loop than that of who waits, and after that has ended."""

    def __init__(self) -> None:
        self._event = trio.Event()
        self._home = trio.lowlevel.current_trio_token()

    def is_set(self) -> bool:
        return self._event.is_set()

    def set(self) -> None:
        _in_loop(self._home, self._event.set)

    async def wait(self) -> None:
        await self._event.wait()


def _runs_here(home: trio.lowlevel.TrioToken) -> bool:
    return trio.lowlevel.in_trio_run() and trio.lowlevel.current_trio_token() is home


def _in_loop(home: trio.lowlevel.TrioToken, call: Callable[[], object]) -> None:
    """Makes a call in that loop, unless it has ended."""
    if _runs_here(home):
        call()
        return
    with contextlib.suppress(trio.RunFinishedError):
        home.run_sync_soon(call)


class _Task:
    def __init__(self, job: _Job, at_end: Callable[[], None]) -> None:
        self._at_end = at_end
        self._home = trio.lowlevel.current_trio_token()
        self._scope = trio.CancelScope()
        self._ended = trio.Event()
        trio.lowlevel.spawn_system_task(self._do, job, name="headless-discovery")

    async def _do(self, job: _Job) -> None:
        try:
            with self._scope:
                await job()
        finally:
            try:
                self._at_end()
            finally:
                self._ended.set()

    def runs(self) -> bool:
        return not self._ended.is_set() and _runs_here(self._home)

    def runs_elsewhere(self) -> bool:
        return not self._ended.is_set() and not _runs_here(self._home)

    def stop(self) -> None:
        _in_loop(self._home, self._scope.cancel)

    async def ended(self) -> None:
        if not self.runs():
            return
        # A task that leaves `async with` because of a cancellation leaves no task behind either.
        with trio.CancelScope(shield=True):
            await self._ended.wait()


class _Trio:
    name = "trio"

    event = _Event
    task = staticmethod(trio.lowlevel.current_task)
    loop = staticmethod(trio.lowlevel.current_trio_token)
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
