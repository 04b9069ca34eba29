"""A proxy in front of the API server that can fall silent, dawdle, cut, and answer in its place."""

import contextlib
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Self


class Proxy:
    """A context manager; bytes pass unless told otherwise."""

    def __init__(self, port: int, certificate: Path | None = None) -> None:
        """With the server's certificate it speaks HTTP to its clients, and can read along."""
        self._to = port
        self._tls = certificate and ssl.create_default_context(cafile=certificate)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self.silent = False
        """Whether it keeps connections, and hands nothing on."""
        self.delay = 0.0
        """Seconds before each part is handed on."""
        self.largest = 65536
        """Bytes handed on at once."""
        self.replies: deque[bytes] = deque()
        """Whole responses for the next requests, one connection each: the server gets none."""
        self.rewrite: Callable[[bytes], bytes] = bytes
        """Changes what is handed on, in either direction."""

    @property
    def url(self) -> str:
        """Of the API server through it."""
        return f"http{'' if self._tls else 's'}://127.0.0.1:{self._listening.getsockname()[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._listening.close()
        self.cut()

    def cut(self) -> None:
        """Ends all connections, wherever they are."""
        for pair in self._pairs:
            for end in pair:
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
                end.close()
        self._pairs.clear()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                if self.replies:
                    client.recv(self.largest)
                    client.sendall(self.replies.popleft())
                    client.close()
                    continue
                try:
                    server = socket.create_connection(("127.0.0.1", self._to))
                    if self._tls:
                        server = self._tls.wrap_socket(server, server_hostname="127.0.0.1")
                except OSError:
                    client.close()
                    continue
                self._pairs.append((client, server))
                for pair in ((client, server), (server, client)):
                    threading.Thread(target=self._hand_on, args=pair, daemon=True).start()

    def _hand_on(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(self.largest):
                while self.silent:
                    time.sleep(0.01)
                time.sleep(self.delay)
                target.sendall(self.rewrite(data))
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_RDWR)
