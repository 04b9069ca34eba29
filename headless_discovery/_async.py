"""asyncio or trio, whichever runs the present task: the few primitives that the async shell needs.

Each is imported only when it runs, so that importing this imports neither. It knows no DNS.
"""

import sys
from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType
from typing import Protocol, Self, TypeVar, cast

from dns.asyncbackend import get_backend

_T = TypeVar("_T")
Job = Callable[[], Awaitable[None]]


class Event(Protocol):
    """Set once, for tasks that wait for it."""

    def set(self) -> object:
        """Wakes who waits."""
        ...

    async def wait(self) -> object:
        """Returns when it is set."""
        ...


class Task(Protocol):
    """Something that goes on beside its starter, whatever becomes of that one."""

    def cancel(self) -> None:
        """Asks it to end."""
        ...

    async def ended(self) -> None:
        """Waits for its end."""
        ...


class Library(Protocol):
    """What asyncio and trio have in common here."""

    name: str

    def event(self) -> Event:
        """One that is not set."""
        ...

    def spawn(self, job: Job, at_end: Callable[[], None]) -> Task:
        """Begins a job that is nobody's child and must not raise.

        ``at_end`` is called in any case: a task that is cancelled early enough never begins.
        """
        ...

    async def within(self, seconds: float, call: Callable[[], Awaitable[_T]]) -> _T:
        """What the call returns, or `TimeoutError`."""
        ...

    async def side_by_side(self, jobs: Sequence[Job], at_once: int) -> None:
        """Does the jobs, so many at once."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Lets others run, for so long."""
        ...


def library() -> Library:
    """That of the present task; raises `RuntimeError` outside of both."""
    # Not imported: it does not run. trio first, since it can be a guest of asyncio's loop.
    trio = sys.modules.get("trio")
    if trio is not None and trio.lowlevel.in_trio_task():
        from . import _on_trio  # noqa: PLC0415 - imported only when it runs

        return _on_trio.TRIO
    from . import _on_asyncio  # noqa: PLC0415 - imported only when it runs

    return _on_asyncio.running()


class Opened(Protocol):
    """A socket of dnspython's, which has no types of its own."""

    async def __aenter__(self) -> Self:
        """Closed at the end of ``async with``."""
        ...

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Closes it."""
        ...

    async def sendto(self, what: bytes, destination: None, timeout: None) -> int:  # noqa: ASYNC109 - dnspython has it
        """A datagram, to whom the socket is connected."""
        ...

    async def recvfrom(self, size: int, timeout: None) -> tuple[bytes, object]:  # noqa: ASYNC109 - dnspython has it
        """A datagram, and from whom."""
        ...

    async def sendall(self, what: bytes, timeout: None) -> None:  # noqa: ASYNC109 - dnspython has it
        """Bytes of a stream."""
        ...

    async def recv(self, size: int, timeout: None) -> bytes:  # noqa: ASYNC109 - dnspython has it
        """At most so many bytes; none at the end of the stream."""
        ...


class _Sockets(Protocol):
    async def make_socket(
        self, af: int, socktype: int, *, destination: tuple[str, int]
    ) -> Opened: ...


def sockets() -> _Sockets:
    """Where sockets come from; not dnspython's default, which is that of whatever ran first."""
    return cast("_Sockets", get_backend(library().name))


class Bell:
    """Wakes every task that waits for it, on either library and on any loop."""

    def __init__(self) -> None:
        self._waiting: set[Event] = set()

    def ring(self) -> None:
        """Wakes them all."""
        for event in self._waiting:
            event.set()

    async def wait(self, seconds: float) -> None:
        """Returns when it rings, or so many seconds later."""
        running = library()
        event = running.event()
        self._waiting.add(event)
        try:
            await running.within(seconds, event.wait)
        except TimeoutError:
            return
        finally:
            self._waiting.discard(event)
