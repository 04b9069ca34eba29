"""What choosing a pod for each request costs: the transport beside httpx2's own.

Both ask one server on loopback, a process of its own, over one connection that is kept.
"""

import contextlib
import subprocess
import sys
from collections.abc import Iterator

import httpx2

from headless_discovery import Peers
from headless_discovery.integrations.httpx2 import _LIBRARY, PeersTransport

from ._measure import Table

_SERVER = """
import socketserver
REPLY = b"HTTP/1.1 200 OK\\r\\nContent-Type: text/plain\\r\\nContent-Length: 2\\r\\n\\r\\nok"
class Handler(socketserver.StreamRequestHandler):
    disable_nagle_algorithm = True
    def handle(self):
        while self.rfile.readline().startswith(b"GET"):
            while self.rfile.readline().strip():
                pass
            self.wfile.write(REPLY)
class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
server = Server(("127.0.0.1", 0), Handler)
print(server.server_address[1], flush=True)
server.serve_forever()
"""


@contextlib.contextmanager
def _serving() -> Iterator[int]:
    """Its port."""
    command = [sys.executable, "-c", _SERVER]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 - fixed
        assert process.stdout is not None  # noqa: S101 - for type checkers: it is a pipe
        try:
            yield int(process.stdout.readline())
        finally:
            process.kill()


class _Moved(httpx2.BaseTransport):
    """The least that a transport can do which sends requests elsewhere."""

    def __init__(self, transport: httpx2.BaseTransport, url: httpx2.URL) -> None:
        self._transport = transport
        self._url = url

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        request.url = self._url
        return self._transport.handle_request(request)


def _transport() -> httpx2.HTTPTransport:
    """The same for all: with the limits that `PeersTransport` has by default."""
    return httpx2.HTTPTransport(limits=_LIBRARY.limits)


def run() -> list[Table]:
    table = Table("A GET over a kept connection", base="httpx2's own transport")
    with _serving() as port:
        one = Peers.static([f"127.0.0.1:{port}"])
        url = f"http://127.0.0.1:{port}/"
        # No pod's own address, so that one is chosen; and an address, which takes as long to read.
        service = f"http://127.0.0.2:{port}/"
        moved = _Moved(_transport(), httpx2.URL(url))
        with (
            httpx2.Client(transport=_transport()) as plain,
            httpx2.Client(transport=moved) as elsewhere,
            httpx2.Client(transport=PeersTransport(one, make=_transport)) as with_peers,
        ):
            contenders = {
                "httpx2's own transport": lambda: plain.get(url),
                "a transport that sends it elsewhere": lambda: elsewhere.get(url),
                "PeersTransport": lambda: with_peers.get(service),
            }
            table.measure("one pod", contenders, rounds=101, turn=0.05)
    table.promise("PeersTransport", "one pod", 1.15)
    return [table]
