"""The examples of clients, each against real servers on loopback, one of which is not there."""

import asyncio
import concurrent.futures
import http.server
import socketserver
import threading
import urllib.error
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack
from typing import Any

import aiohttp
import grpc
import httpx2
import pytest
import requests
import trustme

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

pytestmark = pytest.mark.slow

PODS = ("127.0.0.2", "127.0.0.3", "127.0.0.4")


class Http(http.server.BaseHTTPRequestHandler):
    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        address, _ = self.request.getsockname()
        body = f"{address} {self.headers['Host']}".encode()
        self.send_response(404 if self.path == "/missing" else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        self.asked.append(self.path)
        self.close_connection = True  # the reply is lost

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


def key_of(web: Peers, hostname: str) -> str:
    """A key that belongs to that pod."""
    return next(key for key in map(str, range(1000)) if web.pick(key).hostname == hostname)


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
        (with_httpx.fetch, httpx2.HTTPStatusError),
    ],
    ids=["urllib", "requests", "httpx2"],
)
def test_a_client_goes_on_to_the_keys_next_pod_but_not_after_a_404(
    http_port: int, asked: list[str], fetch: Callable[..., str], error: type[Exception]
) -> None:
    web = cluster_on(http_port).peers("web", port="http")
    key = key_of(web, "web-0")
    second = web.ranked(key, 2)[1]
    assert fetch(web, "/", key).startswith(f"{second.address} web")
    assert len(asked) == 1
    with pytest.raises(error) as raised:
        fetch(web, "/missing", key_of(web, "web-1"))
    assert len(asked) == 2
    if isinstance(raised.value, urllib.error.HTTPError):
        raised.value.close()  # Python 3.14 warns of one that was not


@pytest.mark.parametrize(
    ("fetch", "error"),
    [
        (with_aiohttp.fetch, aiohttp.ClientResponseError),
        (with_httpx.fetch_async, httpx2.HTTPStatusError),
    ],
    ids=["aiohttp", "httpx2"],
)
def test_an_asyncio_client_goes_on_to_the_keys_next_pod_but_not_after_a_404(
    http_port: int,
    asked: list[str],
    fetch: Callable[..., Coroutine[Any, Any, str]],
    error: type[Exception],
) -> None:
    cluster = cluster_on(http_port)
    plain = cluster.peers("web", port="http")
    key, other = key_of(plain, "web-0"), key_of(plain, "web-1")
    second = plain.ranked(key, 2)[1]

    async def main() -> None:
        web = cluster.aio.peers("web", port="http")
        assert (await fetch(web, "/", key)).startswith(f"{second.address} web")
        with pytest.raises(error):
            await fetch(web, "/missing", other)

    asyncio.run(main())
    assert len(asked) == 2


@pytest.mark.parametrize("fetch", [with_urllib.fetch, with_requests.fetch])
def test_host_is_the_service_with_the_port(http_port: int, fetch: Callable[..., str]) -> None:
    web = cluster_on(http_port).peers("web", port="http")
    assert fetch(web, "/", key_of(web, "web-1")) == f"{PODS[1]} web:{http_port}"


def test_a_post_arrives_once_also_when_its_reply_is_lost(http_port: int, asked: list[str]) -> None:
    web = cluster_on(http_port).peers("web", port="http", include_self=True)
    reached = 0
    with web.clients(with_requests.session) as sessions:
        for _ in range(6):
            with pytest.raises(requests.ConnectionError):
                with_requests.post(web, sessions, "/", b"an order")
            reached += 1
    assert len(asked) == reached


def test_a_post_by_urllib_goes_to_one_pod_and_is_reported(http_port: int, asked: list[str]) -> None:
    web = cluster_on(http_port).peers("web", port="http")
    failed = 0
    for _ in range(6):
        try:
            with_urllib.post(web, "/", b"an order")
        except OSError:
            failed += 1
    assert failed == 6
    assert len(asked) < 6  # one pod is not there, and gets its share of the first calls
    assert web.stats.failures == 6


def test_a_stream_goes_on_to_the_keys_next_pod_also_when_one_hangs_up() -> None:
    with ExitStack() as stack:
        port = on_all_but_the_first(stack, lambda at: socketserver.ThreadingTCPServer(at, Line))
        cluster = cluster_on(port)
        key = key_of(cluster.peers("web", port="http"), "web-0")

        async def main() -> None:
            web: aio.Peers = cluster.aio.peers("web", port="http")
            assert await with_stream.fetch(web, "hello", key) == (
                f"{(await web.ranked(key, 2))[1].address} hello"
            )
            with pytest.raises(asyncio.IncompleteReadError) as raised:
                await with_stream.fetch(web, "hang up", key)
            assert "ConnectionRefusedError" in raised.value.__notes__[0]

        asyncio.run(main())


@pytest.fixture
def greeter() -> Iterator[tuple[FakeCluster, list[int]]]:
    """The first of three pods is not there; and one entry for each call that came."""

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
            yield cluster_on(port), calls
        finally:
            server.stop(None).wait()


def test_grpc_goes_on_to_the_keys_next_pod_but_not_after_an_answer(
    greeter: tuple[FakeCluster, list[int]],
) -> None:
    cluster, calls = greeter
    web = cluster.peers("web", port="http")
    with with_grpc.channels(web) as channels:
        key = key_of(web, "web-0")
        assert with_grpc.read(web, channels, "/demo.State/Get", key) == "answered"
        with pytest.raises(grpc.RpcError, match="no such state"):
            with_grpc.read(web, channels, "/demo.State/Missing", key_of(web, "web-1"))
        assert len(calls) == 2


def test_grpc_sends_a_write_to_one_pod_alone(greeter: tuple[FakeCluster, list[int]]) -> None:
    cluster, calls = greeter
    web = cluster.peers("web", port="http")
    refused = 0
    with with_grpc.channels(web) as channels:
        for _ in range(3):
            try:
                with_grpc.write(channels, "/demo.State/Get", b"an order")
            except grpc.RpcError:
                refused += 1
    assert refused == 1
    assert len(calls) == 2


def test_grpc_channels_are_kept_and_follow_the_pods(
    greeter: tuple[FakeCluster, list[int]],
) -> None:
    cluster, calls = greeter
    web = cluster.peers("web", port="http")
    with with_grpc.channels(web) as channels:
        for _ in range(6):
            with_grpc.read(web, channels, "/demo.State/Get")
        assert len(channels) == 3
        cluster.service("web").pods[0].delete()
        for _ in range(3):  # the removal is confirmed by a second answer
            cluster.clock.advance(20)
            web.endpoints()
        with_grpc.read(web, channels, "/demo.State/Get")
        assert len(channels) == 2
    assert len(calls) == 7


def test_grpc_in_asyncio_goes_on_to_the_keys_next_pod(
    greeter: tuple[FakeCluster, list[int]],
) -> None:
    cluster, calls = greeter
    key = key_of(cluster.peers("web", port="http"), "web-0")

    async def main() -> str:
        web = cluster.aio.peers("web", port="http")
        async with with_grpc.async_channels(web) as channels:
            return await with_grpc.read_async(web, channels, "/demo.State/Get", key)

    assert asyncio.run(main()) == "answered"
    assert len(calls) == 1


def test_grpc_with_tls_takes_the_certificate_of_the_service() -> None:
    ca = trustme.CA()
    certificate = ca.issue_cert(with_grpc.SERVER_NAME)
    credentials = grpc.ssl_server_credentials(
        [(certificate.private_key_pem.bytes(), certificate.cert_chain_pems[0].bytes())]
    )
    handlers: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
        "Get": grpc.unary_unary_rpc_method_handler(lambda _request, _context: b"by TLS")
    }
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        server = grpc.server(pool)
        server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler("demo.State", handlers),)
        )
        port = server.add_secure_port(f"{PODS[0]}:0", credentials)
        server.start()
        try:
            web = Peers.static([f"{PODS[0]}:{port}"])
            trusted = grpc.ssl_channel_credentials(ca.cert_pem.bytes())
            with with_grpc.secure_channels(web, trusted) as channels:
                assert with_grpc.read(web, channels, "/demo.State/Get") == "by TLS"
        finally:
            server.stop(None).wait()
