"""A real UDP and TCP name server for a fake cluster, on loopback. It decides nothing."""

import contextlib
import ipaddress
import selectors
import socket
import threading
import time
from collections.abc import Iterable
from types import TracebackType
from typing import Protocol, Self

_CONNECTIONS = 64
_IDLE = 10.0
_POLL = 0.05


class Wire(Protocol):
    """What answers."""

    def answer(self, wire: bytes, *, tcp: bool = False) -> bytes | None:
        """One message in, one out, or none."""
        ...


class Server:
    """Serves from ``with`` to its end, in one thread; ``nameserver`` is its ``host:port``.

    At most 64 connections are open at a time, and none that says nothing for 10 seconds.
    """

    def __init__(self, cluster: Wire, host: str, port: int, *, allow_remote: bool) -> None:
        address = ipaddress.ip_address(host)
        if not address.is_loopback and not allow_remote:
            raise ValueError(
                f"serve({host!r}): this is no name server for others; give a loopback address, "
                f"or allow_remote=True if they are to reach it all the same"
            )
        self._cluster = cluster
        self._host = str(address)
        self._port = port
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def nameserver(self) -> str:
        """``127.0.0.1:5353``, as `Resolver` takes it."""
        return f"[{self._host}]:{self._port}" if ":" in self._host else f"{self._host}:{self._port}"

    def __enter__(self) -> Self:
        udp, tcp = self._bind()
        self._thread = threading.Thread(
            target=self._run, args=(udp, tcp), name="fake-cluster", daemon=True
        )
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._over.set()
        if self._thread is not None:
            self._thread.join()

    def _bind(self) -> tuple[socket.socket, socket.socket]:
        """Both kinds of socket at one port; raises `OSError` if it is taken."""
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        for last in (*[False] * 20, True):
            tcp = socket.socket(family, socket.SOCK_STREAM)
            udp = socket.socket(family, socket.SOCK_DGRAM)
            try:
                tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                tcp.bind((self._host, self._port))
                port = tcp.getsockname()[1]
                udp.bind((self._host, port))
                tcp.listen(_CONNECTIONS)
            except OSError:
                tcp.close()
                udp.close()
                if last or self._port:
                    raise
                continue
            self._port = port
            return udp, tcp
        raise AssertionError  # pragma: no cover - the last round returns or raises

    def _run(self, udp: socket.socket, tcp: socket.socket) -> None:
        with contextlib.ExitStack() as stack:
            for opened in (udp, tcp):
                stack.enter_context(opened)
                opened.setblocking(False)
            selector = stack.enter_context(selectors.DefaultSelector())
            selector.register(udp, selectors.EVENT_READ)
            selector.register(tcp, selectors.EVENT_READ)
            connections: dict[socket.socket, _Connection] = {}
            stack.callback(_close_all, connections)
            while not self._over.is_set():
                for key, events in selector.select(_POLL):
                    if key.fileobj is udp:
                        self._datagram(udp)
                    elif key.fileobj is tcp:
                        self._accept(tcp, selector, connections)
                    else:
                        connection: _Connection = key.data
                        connection.go_on(events, selector)
                now = time.monotonic()
                for opened, connection in list(connections.items()):
                    if connection.over or now - connection.heard > _IDLE:
                        selector.unregister(opened)
                        opened.close()
                        del connections[opened]

    def _datagram(self, udp: socket.socket) -> None:
        with contextlib.suppress(OSError):  # a client that is gone is no concern of the others
            wire, client = udp.recvfrom(65535)
            reply = self._cluster.answer(wire)
            if reply is not None:
                udp.sendto(reply, client)

    def _accept(
        self,
        tcp: socket.socket,
        selector: selectors.BaseSelector,
        connections: "dict[socket.socket, _Connection]",
    ) -> None:
        with contextlib.suppress(OSError):
            opened, _ = tcp.accept()
            if len(connections) >= _CONNECTIONS:
                opened.close()
                return
            opened.setblocking(False)
            connections[opened] = _Connection(opened, self._cluster)
            selector.register(opened, selectors.EVENT_READ, connections[opened])


def _close_all(connections: Iterable[socket.socket]) -> None:
    for opened in connections:
        opened.close()


class _Connection:
    """One client over TCP: messages in, each behind its length, and replies out."""

    def __init__(self, opened: socket.socket, cluster: Wire) -> None:
        self._opened = opened
        self._cluster = cluster
        self._received = bytearray()
        self._unsent = bytearray()
        self.heard = time.monotonic()
        self.over = False

    def go_on(self, events: int, selector: selectors.BaseSelector) -> None:
        try:
            if events & selectors.EVENT_READ:
                self._receive()
            if self._unsent:
                del self._unsent[: self._opened.send(self._unsent)]
        except BlockingIOError:
            pass  # the socket will tell when it is writable
        except OSError:
            self.over = True
        if not self.over:
            # Who does not take the replies is not asked for more questions.
            wanted = selectors.EVENT_WRITE if self._unsent else selectors.EVENT_READ
            selector.modify(self._opened, wanted, self)

    def _receive(self) -> None:
        came = self._opened.recv(65535)
        if not came:
            self.over = True
            return
        self.heard = time.monotonic()
        self._received += came
        while len(self._received) >= 2:
            length = int.from_bytes(self._received[:2], "big")
            if len(self._received) < length + 2:
                return
            reply = self._cluster.answer(bytes(self._received[2 : length + 2]), tcp=True)
            del self._received[: length + 2]
            if reply is not None:
                self._unsent += len(reply).to_bytes(2, "big") + reply
