"""Runs a test's coroutine on asyncio or on trio, and what both have for tests."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Literal

import trio

LibraryName = Literal["asyncio", "trio"]
LIBRARIES: tuple[LibraryName, ...] = ("asyncio", "trio")


def run(library: LibraryName, main: Callable[[], Awaitable[Any]]) -> Any:
    """What the coroutine returns."""
    if library == "trio":
        return trio.run(main)

    async def do() -> Any:
        return await main()

    return asyncio.run(do())


async def give_up_after(seconds: float, call: Callable[[], Awaitable[object]]) -> bool:
    """Cancels the call after so many seconds of real time; tells whether that was needed."""
    if running_on_trio():
        with trio.move_on_after(seconds) as scope:
            await call()
        return scope.cancelled_caught
    try:
        async with asyncio.timeout(seconds):
            await call()
    except TimeoutError:
        return True
    return False


async def together(*calls: Callable[[], Awaitable[object]]) -> None:
    """Makes the calls in tasks side by side."""
    if running_on_trio():
        async with trio.open_nursery() as nursery:
            for call in calls:
                nursery.start_soon(call)
        return

    async def do(call: Callable[[], Awaitable[object]]) -> None:
        await call()

    async with asyncio.TaskGroup() as group:
        for call in calls:
            group.create_task(do(call))


async def pause(seconds: float = 0) -> None:
    """Lets others run."""
    if running_on_trio():
        await trio.sleep(seconds)
    else:
        await asyncio.sleep(seconds)


def tasks() -> int:
    """How many tasks of ours are there."""
    if running_on_trio():
        root = trio.lowlevel.current_root_task()
        assert root is not None
        left, count = [root], 0
        while left:
            task = left.pop()
            count += task.name.startswith("headless-discovery")
            left += [child for nursery in task.child_nurseries for child in nursery.child_tasks]
        return count
    return sum(task.get_name().startswith("headless-discovery") for task in asyncio.all_tasks())


def running_on_trio() -> bool:
    """Or on asyncio."""
    return trio.lowlevel.in_trio_task()
