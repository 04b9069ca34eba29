"""Real HTTP servers on loopback addresses, as pods of a fake cluster: they count what arrives."""

import collections
import contextlib
import hashlib
import http.server
import json
import socket
import ssl
import struct
import threading
import time
from collections.abc import Iterator
from typing import Any, ClassVar, Self

from headless_discovery.testing import FakeCluster, FakeService


class Pod:
    """One server; `arrived` counts requests by their ``X-Id``, in all its lives."""

    def __init__(self, address: str, port: int, context: ssl.SSLContext | None = None) -> None:
        self.address, self.port = address, port
        self.arrived: collections.Counter[str] = collections.Counter()
        self.hosts: collections.Counter[str] = collections.Counter()
        self.status = 200
        self.fault = ""
        """``reset``: read the request, reset the connection; ``reset-once``: the next one alone.
        ``late``: answer after a second.
        ``cut``: half of the reply. ``hang-up``: close each connection after one reply, unsaid."""
        self.connections = 0
        self.open: set[socket.socket] = set()
        self.names: list[str | None] = []
        """By what name each TLS handshake asked for the certificate."""
        self._context = context
        if context is not None:
            context.sni_callback = lambda _socket, name, _context: self.names.append(name)
        self._server: Any = None

    def start(self) -> Self:
        """Listens; again after `stop`."""
        pod = self

        class Handler(_Handler):
            the_pod: ClassVar[Pod] = pod

        server = _server_class(self.address)((self.address, self.port), Handler)
        server.daemon_threads = True
        if self._context is not None:
            server.socket = self._context.wrap_socket(server.socket, server_side=True)
        self._server = server
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def stop(self) -> None:
        """Refuses connections from now on, and ends those that are open."""
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            server.server_close()
        self.close_connections()

    def wait_for_no_connection(self) -> set[socket.socket]:
        """Those that are still open after at most a second."""
        for _ in range(100):
            if not self.open:
                break
            time.sleep(0.01)
        return self.open

    def close_connections(self) -> None:
        """Ends each connection, as a server does that finds it idle for too long."""
        for opened in list(self.open):
            with contextlib.suppress(OSError):
                opened.shutdown(socket.SHUT_RDWR)


class _Server6(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6


def _server_class(address: str) -> type[http.server.ThreadingHTTPServer]:
    return _Server6 if ":" in address else http.server.ThreadingHTTPServer


class _Handler(http.server.BaseHTTPRequestHandler):
    the_pod: ClassVar[Pod]
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def setup(self) -> None:
        self.the_pod.connections += 1
        self.the_pod.open.add(self.request)
        super().setup()

    def finish(self) -> None:
        with contextlib.suppress(OSError):
            super().finish()
        self.the_pod.open.discard(self.request)

    def log_message(self, *_arguments: object) -> None:
        """Says nothing."""

    def handle(self) -> None:
        with contextlib.suppress(OSError):
            super().handle()

    def _answer(self) -> None:
        pod = self.the_pod
        body = self._body()
        pod.arrived[self.headers.get("X-Id", "")] += 1
        pod.hosts[self.headers["Host"]] += 1
        if pod.fault.startswith("reset"):
            pod.fault = pod.fault.removesuffix("reset-once")
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
            self.connection.close()
            return
        if pod.fault == "late":
            time.sleep(1)
        if self.path.startswith("/moved"):
            self.send_response(307)
            self.send_header("Location", f"http://{self.headers['Host']}/state")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if self.path.startswith("/private") and "Authorization" not in self.headers:
            self.send_response(401)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if (events := _model_stream(self.path, pod.address, body)) is not None:
            self._stream(events)
            return
        if (model := _model_reply(self.path, pod.address)) is not None:
            self._say(model)
            return
        said = json.dumps(
            {
                "pod": pod.address,
                "sha": hashlib.sha256(body).hexdigest(),
                "host": self.headers["Host"],
                "authorization": self.headers.get("Authorization"),
                "cookie": self.headers.get("Cookie"),
                "path": self.path,
            }
        ).encode()
        self.send_response(pod.status)
        self.send_header("Content-Type", "application/json")
        if self.path == "/login":
            self.send_header("Set-Cookie", "session=1; Path=/; HttpOnly")
        self.send_header("Content-Length", str(len(said) + (100 if pod.fault == "cut" else 0)))
        self.end_headers()
        if pod.fault == "slow-body":
            self.wfile.write(said[:10])
            time.sleep(0.2)
            said = said[10:]
        self.wfile.write(said)
        if pod.fault in ("cut", "hang-up"):
            self.close_connection = True

    def _say(self, said: bytes) -> None:
        self.send_response(self.the_pod.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def _stream(self, events: list[tuple[str, object]]) -> None:
        """Until the client has had enough."""
        self.close_connection = True
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        for name, data in events:
            said = data if isinstance(data, str) else json.dumps(data)
            self.wfile.write(f"event: {name}\ndata: {said}\n\n".encode())

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    do_GET = do_POST = do_PUT = do_DELETE = _answer  # noqa: N815 - the names that http.server calls


def _model_reply(path: str, pod: str) -> bytes | None:
    """What a model server says, by the protocols of OpenAI and Anthropic; its text is the pod."""
    if path.endswith("/chat/completions"):
        message = {"role": "assistant", "content": pod}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        said: dict[str, object] = {
            "id": "1",
            "object": "chat.completion",
            "created": 1,
            "model": "m",
            "choices": [choice],
        }
    elif path.endswith("/messages"):
        said = {
            "id": "1",
            "type": "message",
            "role": "assistant",
            "model": "m",
            "content": [{"type": "text", "text": pod}],
            "stop_reason": "end_turn",
            "stop_sequence": None,
            "usage": {"input_tokens": 1, "output_tokens": 1},
        }
    else:
        return None
    return json.dumps(said).encode()


def _model_stream(path: str, pod: str, body: bytes) -> list[tuple[str, object]] | None:
    """The same as server-sent events: the pod's address again and again."""
    if b'"stream":true' not in body.replace(b" ", b""):
        return None
    if path.endswith("/chat/completions"):
        choice = {"index": 0, "delta": {"role": "assistant", "content": pod}}
        chunk = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
        return [("chunk", {**chunk, "choices": [choice]})] * 100 + [("end", "[DONE]")]
    message = json.loads(_model_reply(path, pod) or b"{}") | {"content": []}
    delta = {"type": "text_delta", "text": pod}
    part = {"type": "content_block_delta", "index": 0, "delta": delta}
    start = {
        "type": "content_block_start",
        "index": 0,
        "content_block": {"type": "text", "text": ""},
    }
    return [
        ("message_start", {"type": "message_start", "message": message}),
        ("content_block_start", start),
        *[("content_block_delta", part)] * 100,
        ("message_stop", {"type": "message_stop"}),
    ]


class Pods:
    """Servers that a Service of a fake cluster publishes."""

    def __init__(self, count: int, context: ssl.SSLContext | None = None) -> None:
        self.port = _free_port()
        self.cluster = FakeCluster()
        self.service: FakeService = self.cluster.add_service("web", ports={"http": self.port})
        self.pods = [
            Pod(f"127.0.9.{number + 1}", self.port, context).start() for number in range(count)
        ]
        for number, pod in enumerate(self.pods):
            self.service.add_pod(pod.address, hostname=f"web-{number}")

    def arrived(self, request_id: str) -> int:
        """How many times a request arrived anywhere."""
        return sum(pod.arrived[request_id] for pod in self.pods)

    def leave(self, number: int) -> None:
        """The pod is no longer published; its server goes on."""
        self.service.pods[number].delete()

    def stop(self) -> None:
        """Ends all."""
        for pod in self.pods:
            pod.stop()


@contextlib.contextmanager
def serving(count: int, context: ssl.SSLContext | None = None) -> Iterator[Pods]:
    """So many pods."""
    pods = Pods(count, context)
    try:
        yield pods
    finally:
        pods.stop()


def _free_port() -> int:
    with contextlib.closing(socket.socket()) as opened:
        opened.bind(("127.0.9.1", 0))
        port: int = opened.getsockname()[1]
        return port


def requests_of(pods: Pods) -> list[int]:
    """How many requests each pod got."""
    return [pod.arrived.total() for pod in pods.pods]


def sha_of(body: bytes) -> str:
    """As a pod says it of a body that it got."""
    return hashlib.sha256(body).hexdigest()
