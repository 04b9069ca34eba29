"""A real UDP and TCP name server for a fake cluster, on loopback. It decides nothing.

Whatever clients send, memory and time stay bounded: so many connections, none for long without a
whole question, and no next question for a client that does not take its replies.
"""

import contextlib
import ipaddress
import selectors
import socket
import threading
import time
from typing import Protocol, Self

_CONNECTIONS = 64
_IDLE = 10.0
"""Seconds without a whole question."""
_UNSENT = 65537
"""Bytes of replies that a client has yet to take: one, of the greatest length."""
_DATAGRAMS = 64
"""In a row; then connections have their turn."""


class Wire(Protocol):
    """What answers."""

    def answer(self, wire: bytes, *, tcp: bool = False) -> bytes | None:
        """One message in, one out, or none."""
        ...


class NameServer:
    """Serves from ``with`` to its end, in one thread; ``nameserver`` is its ``host:port``.

    At most 64 connections are open at a time: one more replaces the one that has been idle for the
    longest time, and a connection is closed after 10 idle seconds.
    """

    def __init__(self, cluster: Wire, host: str, port: int, *, allow_remote: bool) -> None:
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            raise ValueError(
                f"serve({host!r}): give an address, such as '127.0.0.1' or '::1'"
            ) from None
        if not address.is_loopback and not allow_remote:
            raise ValueError(
                f"serve({host!r}): this name server is for tests on one host; give a loopback "
                f"address, or allow_remote=True if other hosts must reach it"
            )
        if isinstance(port, bool) or not isinstance(port, int) or not 0 <= port < 65536:
            raise ValueError(f"serve(port={port!r}): it is a number, 0 for any that is free")
        self._cluster = cluster
        self._host = str(address)
        self._port = port
        self._running: tuple[threading.Thread, socket.socket] | None = None

    @property
    def nameserver(self) -> str:
        """``127.0.0.1:5353``, as `Resolver` takes it; known once it serves."""
        if not self._port:
            raise RuntimeError("it has no port yet: use it in a 'with' statement")
        return f"[{self._host}]:{self._port}" if ":" in self._host else f"{self._host}:{self._port}"

    def __enter__(self) -> Self:
        if self._running is not None:
            raise RuntimeError(f"it serves at {self.nameserver} already")
        udp, tcp = self._bind()
        stopped, stop = socket.socketpair()
        loop = _Loop(self._cluster, udp, tcp, stopped)
        thread = threading.Thread(target=loop.run, name="fake-cluster", daemon=True)
        self._running = thread, stop
        thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        assert self._running is not None  # noqa: S101 - `__enter__` came before
        thread, stop = self._running
        stop.close()
        thread.join()
        self._running = None

    def _bind(self) -> tuple[socket.socket, socket.socket]:
        """Both kinds of socket at one port; raises `OSError` if it is taken."""
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        tries = 1 if self._port else 20
        while True:
            tries -= 1
            udp = socket.socket(family, socket.SOCK_DGRAM)
            tcp = socket.socket(family, socket.SOCK_STREAM)
            try:
                tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                tcp.bind((self._host, self._port))
                port = tcp.getsockname()[1]
                udp.bind((self._host, port))
                tcp.listen(_CONNECTIONS)
            except OSError:
                udp.close()
                tcp.close()
                if not tries:
                    raise
            else:
                self._port = port
                return udp, tcp


class _Loop:
    """What runs in the server's thread, until the other end of ``stopped`` is closed."""

    def __init__(
        self, cluster: Wire, udp: socket.socket, tcp: socket.socket, stopped: socket.socket
    ) -> None:
        self._cluster = cluster
        self._udp, self._tcp, self._stopped = udp, tcp, stopped
        self._selector = selectors.DefaultSelector()
        self._connections: dict[socket.socket, _Connection] = {}

    def run(self) -> None:
        with contextlib.ExitStack() as stack:
            stack.enter_context(self._selector)
            for opened in (self._udp, self._tcp, self._stopped):
                opened.setblocking(False)
                stack.enter_context(opened)
                self._selector.register(opened, selectors.EVENT_READ)
            stack.callback(self._close_connections)
            while True:
                for key, events in self._selector.select(1 if self._connections else None):
                    match key.data:
                        case _Connection() as connection:
                            connection.go_on(events, self._selector)
                        case _ if key.fileobj is self._udp:
                            self._receive()
                        case _ if key.fileobj is self._tcp:
                            self._accept()
                        case _:
                            return
                idle = time.monotonic() - _IDLE
                for connection in list(self._connections.values()):
                    if connection.over or connection.heard < idle:
                        self._close(connection)

    def _receive(self) -> None:
        # A client that is gone, or that takes nothing more, is no concern of the others.
        with contextlib.suppress(OSError):
            for _ in range(_DATAGRAMS):
                wire, client = self._udp.recvfrom(65535)
                reply = self._cluster.answer(wire)
                if reply is not None:
                    self._udp.sendto(reply, client)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            opened, _ = self._tcp.accept()
            opened.setblocking(False)
            if len(self._connections) >= _CONNECTIONS:  # closed at the end of this round
                min(self._connections.values(), key=lambda one: one.heard).over = True
            connection = _Connection(opened, self._cluster)
            self._connections[opened] = connection
            self._selector.register(opened, selectors.EVENT_READ, connection)

    def _close(self, connection: "_Connection") -> None:
        del self._connections[connection.opened]
        self._selector.unregister(connection.opened)
        connection.opened.close()

    def _close_connections(self) -> None:
        for connection in list(self._connections.values()):
            self._close(connection)


class _Connection:
    """One client over TCP: messages in, each behind its length, and replies out."""

    def __init__(self, opened: socket.socket, cluster: Wire) -> None:
        self.opened = opened
        self.heard = time.monotonic()
        """When a whole question came last."""
        self.over = False
        self._cluster = cluster
        self._received = bytearray()
        self._unsent = bytearray()

    def go_on(self, events: int, selector: selectors.BaseSelector) -> None:
        """Takes what came, and sends what there is."""
        try:
            with contextlib.suppress(BlockingIOError):  # it will tell when it is writable
                if events & selectors.EVENT_READ:
                    came = self.opened.recv(65535)
                    self.over |= not came
                    self._received += came
                self._answer()
                if self._unsent:
                    del self._unsent[: self.opened.send(self._unsent)]
                    self._answer()
        except OSError:
            self.over = True
        if not self.over:
            # No more queries are read from a client that does not take the replies.
            wanted = selectors.EVENT_WRITE if self._unsent else selectors.EVENT_READ
            selector.modify(self.opened, wanted, self)

    def _answer(self) -> None:
        while len(self._unsent) < _UNSENT and len(self._received) >= 2:
            end = 2 + int.from_bytes(self._received[:2], "big")
            if len(self._received) < end:
                return
            reply = self._cluster.answer(bytes(self._received[2:end]), tcp=True)
            del self._received[:end]
            self.heard = time.monotonic()
            if reply is not None:
                self._unsent += len(reply).to_bytes(2, "big") + reply
