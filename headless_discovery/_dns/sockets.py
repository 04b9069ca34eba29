"""A lookup carried out over plain sockets, blocking; `aio_sockets` is the twin that awaits.

What to send, the next server and the meaning of a reply: see `exchange`: here bytes go out
and come in, and time runs out.
"""

import contextlib
import math
import select
import signal
import socket
import traceback
from collections.abc import Callable, Iterable
from typing import Any, Protocol, TypeVar

import attrs

from .._time.clock import Clock, ThreadWaiters
from .message import Server
from .steps import Event, GaveUp, Send, Step, Steps

_T = TypeVar("_T")
_LENGTH = 2
"""Bytes: what precedes each message on a stream (RFC 1035, 4.2.2)."""
_READABLE, _WRITABLE = 1, 4
"""As poll(2) and epoll(7) have it, on every system."""
_STOP_CHECK = 0.05
"""Seconds until a lookup in progress notices that it was cancelled."""


def run(steps: Steps[_T], clock: Clock, stop: Callable[[], bool], until: float = math.inf) -> _T:
    """Carries a lookup out; returns what it returns.

    Raises:
        GaveUp: ``stop``, which is called from time to time, became true, or ``until`` is over.
    """
    sockets = Sockets(getattr(select, "poll", Select))
    try:
        step = next(steps)
        while True:
            events = sockets.do(step)
            if step.work is not None:
                step.work()
            end = min(step.until, until)
            while not events and (left := end - (now := clock.now())) > 0:
                events = sockets.wait(min(left, _STOP_CHECK))
                if not events and clock.now() == now:
                    clock.sleep(left)  # one that moves only by hand
                if stop():
                    raise GaveUp
            if until != math.inf and clock.now() >= until:
                raise GaveUp
            step = steps.send(events)
    except StopIteration as done:
        result: _T = done.value
        return result
    finally:
        sockets.close()
        steps.close()


class Poller(Protocol):
    """`select.poll`, `select.epoll`."""

    def register(self, descriptor: int, mask: int, /) -> object:
        """Watches it from now on."""
        ...

    def modify(self, descriptor: int, mask: int, /) -> object:
        """Watches for other events."""
        ...

    def unregister(self, descriptor: int, /) -> object:
        """Does not watch it any longer."""
        ...

    def poll(self, timeout: int, /) -> list[tuple[int, int]]:
        """Waits for so many milliseconds at most; what can be read, or written to."""
        ...


class Sockets:
    """The sockets of one lookup, none of which blocks."""

    def __init__(self, poller: Callable[[], Poller]) -> None:
        self._open: dict[Send, _Open] = {}
        self._by_descriptor: dict[int, _Open] = {}
        self._new_poller = poller
        self.poller: Poller | None = None
        """Made for the first message: that may fail as a socket may."""

    def close(self) -> None:
        """Leaves none open."""
        for one in self._open.values():
            one.opened.close()

    def do(self, step: Step) -> list[Event]:
        """Closes and sends; returns what failed at once."""
        for sent in step.closes:
            self._close(sent)
        failed: list[Event] = []
        for send in step.sends:
            try:
                self._send(send)
            except OSError as error:
                if is_an_interrupt(error):
                    raise
                self._close(send)
                failed.append((send, error))
        return failed

    def wait(self, seconds: float) -> list[Event]:
        """Waits for the first event, for so long at most."""
        return self.receive(self.ready(seconds))

    def ready(self, seconds: float) -> list[tuple[int, int]]:
        """The wait alone: `is_an_interrupt` knows by this what is raised in it."""
        assert self.poller is not None  # noqa: S101 - for type checkers: something was sent
        return self.poller.poll(math.ceil(seconds * 1000))

    def receive(self, ready: Iterable[tuple[int, int]]) -> list[Event]:
        """What the sockets have that are said to have something."""
        return [
            event
            for descriptor, _ in ready
            if (event := self._receive(self._by_descriptor[descriptor])) is not None
        ]

    def _send(self, send: Send) -> None:
        # A new socket for each message: its source port is random, and A and AAAA never leave from
        # the same one, which trips connection tracking (kubernetes/kubernetes#56903). It is
        # connected: others' datagrams are not seen.
        tcp, server = send.tcp, send.server
        kind = socket.SOCK_STREAM if tcp else socket.SOCK_DGRAM
        opened = socket.socket(address_family(server), kind)
        self._open[send] = one = _Open(send, opened)
        opened.setblocking(False)
        to = socket_address(server)
        if tcp:
            one.unsent = len(send.wire).to_bytes(_LENGTH, "big") + send.wire
            one.stream = _Stream()
            with contextlib.suppress(BlockingIOError):  # it is being connected
                opened.connect(to)
        else:
            opened.connect(to)
            opened.send(send.wire)
        if self.poller is None:
            self.poller = self._new_poller()
        descriptor = opened.fileno()
        # A stream can be written to once it is connected.
        self.poller.register(descriptor, _WRITABLE if tcp else _READABLE)
        self._by_descriptor[descriptor] = one

    def _receive(self, one: "_Open") -> Event | None:
        """What the socket has: a message, an error, or nothing yet."""
        opened = one.opened
        try:
            if one.unsent:
                one.unsent = one.unsent[opened.send(one.unsent) :]
                if not one.unsent and self.poller is not None:
                    self.poller.modify(opened.fileno(), _READABLE)
                    one.send.left = True
                return None
            came = opened.recv(65535) if one.stream is None else one.stream.message(opened)
        except BlockingIOError:
            return None
        except OSError as error:
            if is_an_interrupt(error):
                raise
            self._close(one.send)
            return one.send, error
        return None if came is None else (one.send, came)

    def _close(self, send: Send) -> None:
        one = self._open.pop(send, None)
        if one is not None:
            descriptor = one.opened.fileno()
            if self._by_descriptor.pop(descriptor, None) is not None and self.poller is not None:
                self.poller.unregister(descriptor)
            one.opened.close()


def is_an_interrupt(error: Exception) -> bool:
    """Whether it came into a lookup from outside: then it is its caller's, whatever its class.

    From a signal handler (Celery's soft time limit), or into a wait (``gevent.Timeout`` with an
    error of the caller's own). A wait by itself raises `OSError`, or of `select` `ValueError`.
    """
    codes: set[object] = set()
    for handler in filter(callable, map(signal.getsignal, range(1, signal.NSIG))):
        called: Any = getattr(handler, "func", handler)  # of `functools.partial`
        codes |= {getattr(each, "__code__", None) for each in (called, type(called).__call__)}
    if isinstance(error, TimeoutError) or not isinstance(error, OSError | ValueError):
        codes |= {Sockets.ready.__code__, ThreadWaiters.wait_for.__code__}
    return any(frame.f_code in codes for frame, _ in traceback.walk_tb(error.__traceback__))


class Select:
    """`select.poll` where there is none: eventlet takes it away, and Windows has none."""

    def __init__(self) -> None:
        self._masks: dict[int, int] = {}

    def register(self, descriptor: int, mask: int) -> None:
        self._masks[descriptor] = mask

    modify = register

    def unregister(self, descriptor: int) -> None:
        del self._masks[descriptor]

    def poll(self, timeout: int) -> list[tuple[int, int]]:
        reads = [one for one, mask in self._masks.items() if mask == _READABLE]
        writes = [one for one, mask in self._masks.items() if mask == _WRITABLE]
        readable, writable, _ = select.select(reads, writes, (), timeout / 1000)
        return [(one, self._masks[one]) for one in (*readable, *writable)]


def socket_address(server: Server) -> tuple[object, ...]:
    """As `connect` takes it: with the number of the zone of ``fe80::1%eth0``."""
    if "%" not in server.address:
        return server
    numeric = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
    return socket.getaddrinfo(*server, address_family(server), flags=numeric)[0][4]


def address_family(server: Server) -> socket.AddressFamily:
    """Of its address."""
    return socket.AF_INET6 if ":" in server.address else socket.AF_INET


class _Stream:
    """RFC 1035, 4.2.2: each message is preceded by its length; never more than that is read."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._missing = _LENGTH
        self._in_message = False

    def message(self, opened: socket.socket) -> bytes | None:
        """The next message; ``None`` if more of it has to come first."""
        while True:
            came = opened.recv(self._missing)
            if not came:
                raise ConnectionAbortedError("the connection was closed before the complete answer")
            self._parts.append(came)
            self._missing -= len(came)
            if self._missing:
                return None
            whole = b"".join(self._parts)
            self._parts = []
            if self._in_message:
                self._in_message, self._missing = False, _LENGTH
                return whole
            if not (length := int.from_bytes(whole, "big")):
                self._missing = _LENGTH
                return b""
            # The message itself may have come already.
            self._in_message, self._missing = True, length


@attrs.define(eq=False)
class _Open:
    """A socket, and what is being sent or received on it."""

    send: Send
    opened: socket.socket
    unsent: bytes = b""
    stream: _Stream | None = None
    """For TCP."""
