"""A small API server on the loopback that holds EndpointSlices, for tests. It can misbehave."""

import json
import queue
import select
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from headless_discovery.kubernetes import EndpointSlices
from tests.slices import Object, bookmark, event

PATH = "/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices"
_POLL = 0.05


class Request(BaseHTTPRequestHandler):
    """One request; a fault may do with it what it likes."""

    protocol_version = "HTTP/1.1"
    server: "_Server"

    def do_GET(self) -> None:
        """Answers, or fails as the test wants."""
        api = self.server.api
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        with api.lock:
            api.requests.append(query)
            api.tokens.append(self.headers.get("Authorization"))
            fault = api.faults.popleft() if api.faults else api.always
        if fault is not None:
            fault(self)
        elif parts.path != PATH:
            self.say(404, {})
        elif "watch" in query:
            self._stream(query)
        else:
            self._list(query)

    def say(self, code: int, body: object, headers: Mapping[str, str] | None = None) -> None:
        """A whole response."""
        data = json.dumps(body).encode()
        self.send_response(code)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def begin(self) -> None:
        """The head of a stream."""
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def chunk(self, data: bytes) -> None:
        """A part of it."""
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def break_off(self) -> None:
        """Ends the connection, whatever is under way."""
        self.close_connection = True

    def hold(self) -> None:
        """Keeps the connection, and says nothing until the server is closed."""
        while not self.server.api.closed:
            time.sleep(_POLL)
        self.close_connection = True

    def first_state(self) -> None:
        """The head of a stream, and all there is."""
        api = self.server.api
        self.begin()
        with api.lock:
            found = [event("ADDED", one) for one in api.slices.values()]
            end = bookmark(api.version, end=True)
        self.chunk(b"".join(found) + end)

    def _stream(self, query: Mapping[str, str]) -> None:
        api = self.server.api
        events = api.subscribe(query.get("resourceVersion"))
        until = time.monotonic() + float(query["timeoutSeconds"])
        self.begin()
        try:
            while not api.closed and time.monotonic() < until:
                try:
                    data: bytes | None = events.get(timeout=_POLL)
                except queue.Empty:
                    if self._is_left():
                        break
                    continue
                if data is None:
                    self.break_off()
                    return
                self.chunk(data)
            if not self._is_left():
                self.chunk(b"")
        except OSError:
            self.break_off()
        finally:
            with api.lock:
                api.streams.remove(events)

    def _is_left(self) -> bool:
        """Whether the client has gone away: it has nothing to say meanwhile."""
        readable, _, _ = select.select([self.connection], [], [], 0)
        self.close_connection = self.close_connection or bool(readable)
        return bool(readable)

    def _list(self, query: Mapping[str, str]) -> None:
        api = self.server.api
        with api.lock:
            items = sorted(api.slices.items())
            start, limit = int(query.get("continue", 0)), int(query["limit"])
            metadata: Object = {"resourceVersion": str(api.version)}
            if start + limit < len(items):
                metadata["continue"] = str(start + limit)
            self.say(
                200, {"metadata": metadata, "items": [v for _, v in items[start : start + limit]]}
            )

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server has it so
        """Nobody reads it."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    api: "ApiServer"

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients may go away at any time."""


Fault = Callable[[Request], None]


class ApiServer:
    """A context manager."""

    def __init__(self, *slices: Object, tls: ssl.SSLContext | None = None) -> None:
        self.lock = threading.RLock()
        self.slices = {one["metadata"]["name"]: one for one in slices}
        self.version = 10
        self.history: list[tuple[int, bytes]] = []
        self.streams: list[queue.SimpleQueue[bytes | None]] = []
        self.requests: list[Mapping[str, str]] = []
        self.tokens: list[str | None] = []
        self.faults: deque[Fault] = deque()
        """For the next requests, one each."""
        self.always: Fault | None = None
        self.bookmarks = True
        self.closed = False
        self._tls = tls
        self._port = 0
        self._open()
        # What the process has learned of an earlier server at the same port is not true of this.
        EndpointSlices(server=self.url).no_streams.discard(self.url)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self._port}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.kill()

    def _open(self) -> None:
        self.closed = False
        self._server = _Server(("127.0.0.1", self._port), Request)
        self._port = self._server.server_address[1]
        if self._tls is not None:
            self._server.socket = self._tls.wrap_socket(self._server.socket, server_side=True)
        self._server.api = self
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
        )
        self._thread.start()

    def kill(self) -> None:
        """Ends all connections, and listens no more."""
        self.closed = True
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        self.cut()
        while self.streams:
            time.sleep(_POLL)

    def restart(self) -> None:
        """At the same port."""
        self._open()

    def put(self, one: Object) -> None:
        """Writes a slice."""
        self._change("MODIFIED" if one["metadata"]["name"] in self.slices else "ADDED", one)

    def drop(self, name: str) -> None:
        """Deletes one."""
        self._change("DELETED", self.slices[name])

    def _change(self, kind: str, one: Object) -> None:
        with self.lock:
            self.version += 1
            one = {**one, "metadata": {**one["metadata"], "resourceVersion": str(self.version)}}
            name = one["metadata"]["name"]
            if kind == "DELETED":
                del self.slices[name]
            else:
                self.slices[name] = one
            self.history.append((self.version, event(kind, one)))
            self.send(event(kind, one))

    def send(self, data: bytes) -> None:
        """Sends any bytes to all that watch."""
        with self.lock:
            for events in self.streams:
                events.put(data)

    def subscribe(self, since: str | None) -> queue.SimpleQueue[bytes | None]:
        """A stream's events: all there is and a bookmark, or what came after a version."""
        events: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        with self.lock:
            if since is None:
                found = [event("ADDED", one) for one in self.slices.values()]
                if self.bookmarks:
                    found.append(bookmark(self.version, end=True))
            else:
                found = [data for version, data in self.history if version > int(since)]
            for data in found:
                events.put(data)
            self.streams.append(events)
        return events

    def cut(self) -> None:
        """Ends all watches as if the network had."""
        with self.lock:
            for events in self.streams:
                events.put(None)


def refusal(code: int, body: object = None, **headers: str) -> Fault:
    """Answers so."""
    return lambda request: request.say(
        code, body or {}, {name.replace("_", "-"): value for name, value in headers.items()}
    )
