"""A lookup carried out in a task of asyncio or trio: `sockets` with ``await``.

Importing this loads neither asyncio nor trio.
"""

import select
from typing import TypeVar

from .._time.clock import Clock
from .._time.tasks import library
from .sockets import Poller, Select, Sockets
from .steps import Event, Steps

_T = TypeVar("_T")
_AT_ONCE = 8
"""Replies that are taken without letting other tasks run: some 0.5 ms."""
_LOOK_AGAIN = 0.005
"""Seconds between two polls of the sockets where there is no epoll to wait for all at once."""


async def run(steps: Steps[_T], clock: Clock) -> _T:
    """Carries a lookup out; returns what it returns."""
    sockets = _Sockets()
    try:
        step = next(steps)
        while True:
            events = sockets.do(step)
            if step.work is not None:
                try:
                    await library().in_thread(step.work)
                except RuntimeError:  # no thread can be had: it takes some 50 ms at most
                    step.work()
            elif step.until <= clock.now():
                await library().sleep(0)
            while not events and (left := step.until - (now := clock.now())) > 0:
                events = await sockets.wait_async(left)
                if not events and clock.now() == now:
                    await clock.sleep_async(left)  # one that moves only by hand
            step = steps.send(events)
    except StopIteration as done:
        result: _T = done.value
        return result
    finally:
        sockets.close()
        steps.close()


class _Sockets(Sockets):
    def __init__(self) -> None:
        super().__init__(self._new_epoll if hasattr(select, "epoll") else Select)
        self._epoll: select.epoll | None = None

    def _new_epoll(self) -> Poller:
        self._epoll = select.epoll()
        return self._epoll

    async def wait_async(self, seconds: float) -> list[Event]:
        """Waits for the first event, for so long at most."""
        if self._epoll is None:
            await library().sleep(min(seconds, _LOOK_AGAIN))
            return self.wait(0)
        await library().readable(self._epoll.fileno(), seconds)
        return self.receive(self._epoll.poll(0, _AT_ONCE))

    def close(self) -> None:
        """Leaves none open, nor what waits for them."""
        super().close()
        if self._epoll is not None:
            self._epoll.close()
