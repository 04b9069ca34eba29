"""Conversations with name servers over plain sockets, blocking. The twin of `_aio_transport`.

What to send, whom to ask next and what a reply means is decided in `_exchange`; here bytes go out
and come in, and time runs out.
"""

import collections
import contextlib
import math
import select
import socket
from collections.abc import Callable
from typing import TypeVar

from ._clock import Clock
from ._exchange import (
    AT_MOST_IN_FLIGHT,
    HUNG_UP,
    OUT_OF_TIME,
    Asking,
    NoReply,
    Reply,
    Send,
    Traffic,
)
from ._steps import Converse, carry_out
from ._wire import is_reply

_LENGTH = 2
"""Bytes: what precedes each message on a stream (RFC 1035, 4.2.2)."""
_STOP_CHECK = 0.05
"""Seconds: how soon a lookup under way notices that nobody wants it any more."""

_In = TypeVar("_In")
_Out = TypeVar("_Out")


def converse(
    step: Converse, clock: Clock, traffic: Traffic, per_try: float, stop: Callable[[], bool]
) -> list[Reply]:
    """Carries out one step; ``per_try`` is in seconds.

    ``stop`` is asked now and then; once it is true the step ends as if time were over.
    """
    if len(step.asks) == 1:
        alone = _Alone(clock, traffic, per_try, step.deadline, stop)
        return [carry_out(step.asks[0], alone.exchange)]
    conversations = [_Conversation(asking) for asking in step.asks]
    if not conversations:
        return []
    waiting = collections.deque(conversations)
    going = _Going(traffic, per_try, clock.now(), step.deadline)
    try:
        while True:
            if stop():
                going.end()
            while waiting and len(going.open) < AT_MOST_IN_FLIGHT:
                waiting.popleft().go_on(None, going)
            if not going.open:
                return [conversation.reply for conversation in conversations]
            until = min([conversation.until for conversation in going.open.values()])
            until = min(until, going.deadline)
            ready = going.wait(min(max(until - going.now, 0), _STOP_CHECK))
            going.now = clock.now()
            for number, _ in ready:
                going.open[number].receive(going)
            if going.now >= until:
                for conversation in tuple(going.open.values()):
                    conversation.check_time(going)
    finally:
        for conversation in tuple(going.open.values()):
            conversation.hang_up(going)


class _Going:
    """What the conversations of one round share."""

    def __init__(self, traffic: Traffic, timeout: float, now: float, deadline: float) -> None:
        self.traffic = traffic
        self.timeout = timeout
        self.now = now
        self.deadline = deadline
        self.open: dict[int, _Conversation] = {}
        """By the number of the socket that each has open."""
        # Not epoll, nor a selector: for a few sockets that costs more than it saves.
        self.sockets = select.poll()

    def wait(self, seconds: float) -> list[tuple[int, int]]:
        """The sockets that have something, after so long at most."""
        return self.sockets.poll(math.ceil(seconds * 1000))

    def end(self) -> None:
        """Time is over at once."""
        self.deadline = min(self.deadline, self.now)


class _Conversation:
    """One question's generator, and the socket of what it is sending at the moment."""

    reply: Reply
    _send: Send
    _stream: "_Stream"

    def __init__(self, asking: Asking) -> None:
        self._asking = asking
        self._socket: socket.socket | None = None
        self._unsent = b""
        self.until = 0.0
        """When to give up waiting for what was sent."""

    def hang_up(self, going: _Going) -> None:
        """Closes the socket, if there is one."""
        opened, self._socket = self._socket, None
        if opened is not None:
            number = opened.fileno()
            del going.open[number]
            going.sockets.unregister(number)
            opened.close()

    def go_on(self, came: bytes | NoReply | None, going: _Going) -> None:
        """Hands over what came, and sends what is to be sent next."""
        while True:
            self.hang_up(going)
            try:
                asking = self._asking
                send = next(asking) if came is None else asking.send(came)
            except StopIteration as done:
                self.reply = done.value
                return
            if going.now >= going.deadline:
                came = OUT_OF_TIME
                continue
            self._send = send
            self.until = min(going.now + going.timeout, going.deadline)
            going.traffic.count(send)
            try:
                self._open(send, going)
            except OSError as error:
                came = NoReply.because_of(error)
            else:
                return

    def check_time(self, going: _Going) -> None:
        """Gives up a try whose time is over."""
        if going.now >= going.deadline:
            self.go_on(OUT_OF_TIME, going)
        elif going.now >= self.until:
            self.go_on(NoReply.in_time(going.timeout), going)

    def receive(self, going: _Going) -> None:
        """Takes what the socket has; goes on if that is a whole reply, or tells of none."""
        opened, send = self._socket, self._send
        assert opened is not None  # noqa: S101 - for type checkers: it has something
        came: bytes | NoReply | None
        try:
            if not send.tcp:
                came = opened.recv(65535)
            elif self._unsent:
                came = None
                self._unsent = self._unsent[opened.send(self._unsent) :]
                if not self._unsent:
                    going.sockets.modify(opened, select.POLLIN)
            else:
                came = self._stream.message(opened)
        except BlockingIOError:
            return
        except OSError as error:
            came = NoReply.because_of(error)
        if isinstance(came, NoReply) or (came is not None and is_reply(send.wire, came)):
            self.go_on(came, going)

    def _open(self, send: Send, going: _Going) -> None:
        opened = _connected(send)
        try:
            if send.tcp:
                self._unsent = _framed(send.wire)
                self._stream = _Stream()
                going.sockets.register(opened, select.POLLOUT)  # once it is connected
            else:
                opened.send(send.wire)
                going.sockets.register(opened, select.POLLIN)
        except BaseException:
            opened.close()
            raise
        self._socket = opened
        going.open[opened.fileno()] = self


class _Alone:
    """A conversation that is the only one of its round: the socket itself waits, which is cheaper.

    In slices, so that time and whether anybody wants it still are looked at.
    """

    def __init__(
        self,
        clock: Clock,
        traffic: Traffic,
        timeout: float,
        deadline: float,
        stop: Callable[[], bool],
    ) -> None:
        self._clock = clock
        self._traffic = traffic
        self._timeout = timeout
        self._deadline = deadline
        self._stop = stop

    def exchange(self, send: Send) -> bytes | NoReply:
        """One message, and what comes back."""
        now = self._clock.now()
        until = min(now + self._timeout, self._deadline)
        if now >= until:
            return OUT_OF_TIME
        self._traffic.count(send)
        try:
            with _connected(send) as opened:
                opened.settimeout(min(until - now, _STOP_CHECK))
                return (
                    self._over_tcp(send, opened, until)
                    if send.tcp
                    else self._over_udp(send, opened, until)
                )
        except _TimeOverError:
            return (
                OUT_OF_TIME
                if until == self._deadline or self._stop()
                else NoReply.in_time(self._timeout)
            )
        except OSError as error:
            return NoReply.because_of(error)

    def _over_udp(self, send: Send, opened: socket.socket, until: float) -> bytes:
        opened.send(send.wire)
        while True:
            wire = self._in_time(until, opened, opened.recv, 65535)
            if is_reply(send.wire, wire):
                return wire

    def _over_tcp(self, send: Send, opened: socket.socket, until: float) -> bytes | NoReply:
        unsent = _framed(send.wire)
        while unsent:
            unsent = unsent[self._in_time(until, opened, opened.send, unsent) :]
        stream = _Stream()
        while True:
            came = self._in_time(until, opened, stream.message, opened)
            if isinstance(came, NoReply) or (came is not None and is_reply(send.wire, came)):
                return came

    def _in_time(
        self, until: float, opened: socket.socket, call: Callable[[_In], _Out], argument: _In
    ) -> _Out:
        """What the call returns; raises `_TimeOverError` if that takes too long."""
        while True:
            left = until - self._clock.now()
            if left <= 0 or self._stop():
                raise _TimeOverError
            try:
                return call(argument)
            except TimeoutError as error:
                if error.errno is not None:  # the connection's, not the slice's
                    raise
                opened.settimeout(min(left, _STOP_CHECK))


class _TimeOverError(Exception):
    """Nothing came in time, or nobody wants it any more."""


def _connected(send: Send) -> socket.socket:
    """A socket connected to the server, or on the way there; it does not wait.

    A new one for each message: its source port is random, and A and AAAA never leave from the same
    one, which trips connection tracking (kubernetes/kubernetes#56903). Others' datagrams are not
    seen.
    """
    server = send.server
    family = socket.AF_INET6 if ":" in server.address else socket.AF_INET
    opened = socket.socket(family, socket.SOCK_STREAM if send.tcp else socket.SOCK_DGRAM)
    try:
        opened.setblocking(False)
        with contextlib.suppress(BlockingIOError):  # it is on its way
            opened.connect((server.address, server.port))
    except BaseException:
        opened.close()
        raise
    return opened


def _framed(wire: bytes) -> bytes:
    """A message as it goes over TCP (RFC 1035, 4.2.2)."""
    return len(wire).to_bytes(_LENGTH, "big") + wire


class _Stream:
    """RFC 1035, 4.2.2: each message is preceded by its length; never more than that is read."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._missing = _LENGTH
        self._in_message = False

    def message(self, opened: socket.socket) -> bytes | NoReply | None:
        """The next message; ``None`` if more of it has to come first."""
        if self._missing:
            came = opened.recv(self._missing)
            if not came:
                return HUNG_UP
            self._parts.append(came)
            self._missing -= len(came)
        if self._missing:
            return None
        whole = b"".join(self._parts)
        self._parts.clear()
        self._in_message = not self._in_message
        self._missing = int.from_bytes(whole, "big") if self._in_message else _LENGTH
        # The message itself may have come already; an empty one has.
        return self.message(opened) if self._in_message else whole
