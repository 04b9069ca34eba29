"""A name server for tests: real sockets on a loopback address, and a script for what it says."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Sequence
from typing import Self

import attrs


@attrs.frozen
class Elsewhere:
    """A datagram that comes from another port than the one that was asked."""

    wire: bytes


@attrs.frozen
class Stream:
    """Bytes that go over a TCP connection as they are, piece by piece."""

    pieces: Sequence[bytes]
    pause: float = 0
    """Seconds between two pieces."""
    close: bool = True
    """Whether the connection is closed afterwards; if not, it is when the server ends."""


Datagram = bytes | Elsewhere
UdpHandler = Callable[[bytes], Datagram | list[Datagram] | None]
TcpHandler = Callable[[bytes], bytes | Stream | None]
"""From a question to a reply, to which the length is added; ``None`` is silence."""

_LOOK_UP = 0.01
"""Seconds: how often the threads look whether the server has ended."""


class NameServer:
    """``with NameServer(udp, tcp) as server:``; without ``tcp`` connections are refused."""

    def __init__(
        self, udp: UdpHandler, tcp: TcpHandler | None = None, *, host: str = "127.0.0.1"
    ) -> None:
        self.asked: list[tuple[str, bytes]] = []
        """What came, in order: ("udp" or "tcp", the question)."""
        self.ports: list[int] = []
        """Where it came from."""
        self._on_udp = udp
        self._on_tcp = tcp
        self._over = threading.Event()
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._udp, self._tcp = _pair(family, host)
        self._elsewhere = socket.socket(family, socket.SOCK_DGRAM)
        self._elsewhere.bind((host, 0))
        self.port: int = self._udp.getsockname()[1]
        self.address = f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"
        self._threads = [threading.Thread(target=self._serve_udp)]
        if tcp is not None:
            self._tcp.listen()
            self._threads.append(threading.Thread(target=self._serve_tcp, args=(tcp,)))

    def __enter__(self) -> Self:
        for opened in (self._udp, self._tcp):
            opened.settimeout(_LOOK_UP)
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()
        for opened in (self._udp, self._elsewhere, self._tcp):
            opened.close()

    def _serve_udp(self) -> None:
        while not self._over.is_set():
            try:
                wire, sender = self._udp.recvfrom(65535)
            except TimeoutError:
                continue
            self.asked.append(("udp", wire))
            self.ports.append(sender[1])
            said = self._on_udp(wire)
            for datagram in said if isinstance(said, list) else [said]:
                if isinstance(datagram, Elsewhere):
                    self._elsewhere.sendto(datagram.wire, sender)
                elif datagram is not None:
                    self._udp.sendto(datagram, sender)

    def _serve_tcp(self, handler: TcpHandler) -> None:
        with contextlib.ExitStack() as kept_open:
            while not self._over.is_set():
                try:
                    opened, _ = self._tcp.accept()
                except TimeoutError:
                    continue
                kept_open.enter_context(opened)
                opened.settimeout(1)
                # Whoever asked may have gone by now.
                with contextlib.suppress(ConnectionError):
                    if self._talk(opened, handler):
                        opened.close()

    def _talk(self, opened: socket.socket, handler: TcpHandler) -> bool:
        """Answers one question; returns whether to close the connection."""
        with opened.makefile("rb") as stream_in:
            wire = stream_in.read(int.from_bytes(stream_in.read(2), "big"))
        if not wire:
            return True
        self.asked.append(("tcp", wire))
        said = handler(wire)
        if said is None:
            return False
        stream = said if isinstance(said, Stream) else Stream([framed(said)])
        for piece in stream.pieces:
            opened.sendall(piece)
            time.sleep(stream.pause)
        return stream.close


def _pair(family: socket.AddressFamily, host: str) -> tuple[socket.socket, socket.socket]:
    """Sockets for UDP and TCP on one port; a free one for both takes some tries now and then."""
    for _ in range(100):
        udp = socket.socket(family, socket.SOCK_DGRAM)
        tcp = socket.socket(family, socket.SOCK_STREAM)
        try:
            udp.bind((host, 0))
            tcp.bind((host, udp.getsockname()[1]))
        except OSError:
            udp.close()
            tcp.close()
        else:
            return udp, tcp
    raise OSError(f"no port of {host} is free for both UDP and TCP")


def framed(wire: bytes) -> bytes:
    """A message as it goes over TCP: after its length."""
    return len(wire).to_bytes(2, "big") + wire


def closed_port() -> int:
    """A port on which nobody listens."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.bind(("127.0.0.1", 0))
        port: int = udp.getsockname()[1]
        return port


def ipv6_works() -> bool:
    """Whether this machine has an IPv6 loopback address."""
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as udp:
            udp.bind(("::1", 0))
    except OSError:
        return False
    return True
