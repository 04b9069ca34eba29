"""The examples of clients, each against real servers on loopback, one of which is not there."""

import asyncio
import concurrent.futures
import http.server
import socketserver
import threading
import urllib.error
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import aiohttp
import grpc
import httpx
import pytest
import requests

from examples.clients import (
    with_aiohttp,
    with_grpc,
    with_httpx,
    with_requests,
    with_stream,
    with_urllib,
)
from headless_discovery import Peers, aio
from headless_discovery.testing import FakeCluster

PODS = ("127.0.0.2", "127.0.0.3", "127.0.0.4")


class Http(http.server.BaseHTTPRequestHandler):
    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.client_address[0])
        body = f"{self.headers['Host']}".encode()
        self.send_response(404 if self.path == "/missing" else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing is written to stderr."""


class Line(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        line = self.rfile.readline().strip().decode()
        if line != "hang up":
            address, _ = self.request.getsockname()
            self.wfile.write(f"{address} {line}\n".encode())


def serving(stack: ExitStack, server: socketserver.TCPServer) -> None:
    server.daemon_threads = True  # type: ignore[attr-defined]  # of ThreadingMixIn
    stack.enter_context(server)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    stack.callback(thread.join)
    stack.callback(server.shutdown)


def on_all_but_the_first(
    stack: ExitStack, make: Callable[[tuple[str, int]], socketserver.TCPServer]
) -> int:
    """A port on which the other pods listen and the first does not; tells which."""
    _, *others = PODS
    for _ in range(20):
        server = make((others[0], 0))
        port = server.server_address[1]
        assert isinstance(port, int)
        try:
            more = [make((address, port)) for address in others[1:]]
        except OSError:
            server.server_close()
            continue
        for each in (server, *more):
            serving(stack, each)
        return port
    raise AssertionError("no port is free on all addresses")


def cluster_on(port: int) -> FakeCluster:
    cluster = FakeCluster()
    web = cluster.add_service("web", ports={"http": port})
    for n, address in enumerate(PODS):
        web.add_pod(address, hostname=f"web-{n}")
    return cluster


def key_of(store: Peers, hostname: str) -> str:
    """A key that belongs to that pod."""
    return next(key for key in map(str, range(1000)) if store.pick(key).hostname == hostname)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """One entry for each HTTP request that came."""
    found: list[str] = []
    monkeypatch.setattr(Http, "asked", found, raising=False)
    return found


@pytest.fixture
def http_port(asked: list[str]) -> Iterator[int]:
    with ExitStack() as stack:
        yield on_all_but_the_first(stack, lambda at: http.server.ThreadingHTTPServer(at, Http))


@pytest.mark.parametrize(
    ("fetch", "error"),
    [
        (with_urllib.fetch, urllib.error.HTTPError),
        (with_requests.fetch, requests.HTTPError),
        (with_httpx.fetch, httpx.HTTPStatusError),
    ],
    ids=["urllib", "requests", "httpx"],
)
def test_a_client_goes_on_to_the_keys_next_pod_but_not_after_a_404(
    http_port: int, asked: list[str], fetch: Callable[..., str], error: type[Exception]
) -> None:
    store = cluster_on(http_port).peers("web", port="http")
    key = key_of(store, "web-0")
    second = store.ranked(key, 2)[1]
    assert fetch(store, "/", key).partition(":")[0] == second.name
    assert len(asked) == 1
    with pytest.raises(error):
        fetch(store, "/missing", key_of(store, "web-1"))
    assert len(asked) == 2


def test_aiohttp_goes_on_to_the_keys_next_pod_but_not_after_a_404(
    http_port: int, asked: list[str]
) -> None:
    cluster = cluster_on(http_port)
    plain = cluster.peers("web", port="http")
    key, other = key_of(plain, "web-0"), key_of(plain, "web-1")

    async def main() -> None:
        store = cluster.aio.peers("web", port="http")
        assert (await with_aiohttp.fetch(store, "/", key)).partition(":")[0] == (
            store.ranked(key, 2)[1].name
        )
        with pytest.raises(aiohttp.ClientResponseError, match="404"):
            await with_aiohttp.fetch(store, "/missing", other)
        with pytest.raises(OSError, match="no pod of"):
            await with_aiohttp.PeerResolver(store).resolve("elsewhere")

    asyncio.run(main())
    assert len(asked) == 2


def test_a_stream_goes_on_to_the_keys_next_pod_also_when_one_hangs_up() -> None:
    with ExitStack() as stack:
        port = on_all_but_the_first(stack, lambda at: socketserver.ThreadingTCPServer(at, Line))
        cluster = cluster_on(port)
        key = key_of(cluster.peers("web", port="http"), "web-0")

        async def main() -> None:
            store: aio.Peers = cluster.aio.peers("web", port="http")
            assert await with_stream.fetch(store, "hello", key) == (
                f"{store.ranked(key, 2)[1].address} hello"
            )
            with pytest.raises(asyncio.IncompleteReadError) as raised:
                await with_stream.fetch(store, "hang up", key)
            assert "ConnectionRefusedError" in raised.value.__notes__[0]

        asyncio.run(main())


def test_grpc_goes_on_to_the_keys_next_pod_but_not_after_an_answer() -> None:
    def name(_request: bytes, context: Any) -> bytes:
        calls.append(1)
        return bytes(dict(context.invocation_metadata()).get("authority", "answered"), "ascii")

    def refuse(_request: bytes, context: Any) -> bytes:
        calls.append(1)
        context.abort(grpc.StatusCode.NOT_FOUND, "no such state")
        raise AssertionError

    calls: list[int] = []
    handlers: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
        "Get": grpc.unary_unary_rpc_method_handler(name),
        "Missing": grpc.unary_unary_rpc_method_handler(refuse),
    }
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        server = grpc.server(pool, options=(("grpc.so_reuseport", 0),))
        server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler("demo.State", handlers),)
        )
        port = server.add_insecure_port(f"{PODS[1]}:0")
        assert server.add_insecure_port(f"{PODS[2]}:{port}") == port
        server.start()
        try:
            store = cluster_on(port).peers("web", port="http")
            key = key_of(store, "web-0")
            assert with_grpc.fetch(store, "/demo.State/Get", key) == "answered"
            with pytest.raises(grpc.RpcError, match="no such state"):
                with_grpc.fetch(store, "/demo.State/Missing", key_of(store, "web-1"))
            assert len(calls) == 2
            assert with_grpc.target(store) == (
                "ipv4:" + ",".join(f"{address}:{port}" for address in PODS)
            )
        finally:
            server.stop(None).wait()
