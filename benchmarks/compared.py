"""What other libraries do with a headless Service: the trials of docs/compared-with.md.

Each takes the name of the Service, as its documents show, and asks port 53 of the fake cluster. So
it runs only where the network is our own (`_place`).
"""

import asyncio
import socket
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal

import aiodns
import aiohttp
import dns.flags
import dns.resolver
import grpc
import httpx
import redis
import srvlookup
from pymemcache import HashClient

from headless_discovery.testing import FakeCluster, FakeService

from ._measure import Table
from ._place import OWN_NETWORK

_NAME = "web.default.svc.cluster.local"
_PODS = ("127.0.2.1", "127.0.2.2", "127.0.2.3")
_REFUSES = "127.0.2.9"
_AGE = [("grpc.max_connection_age_ms", 5000), ("grpc.max_connection_age_grace_ms", 1000)]
_ROUND_ROBIN = [("grpc.service_config", '{"loadBalancingConfig":[{"round_robin":{}}]}')]
_LONG = 45.0
"""Seconds that gRPC is watched after a pod was added."""
_KEYS = [f"user:{number}" for number in range(25_000)]
_Get = Callable[[], Awaitable[str]]


class _Hello(BaseHTTPRequestHandler):
    """Answers with the address that was called, and keeps the connection."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = self.connection.getsockname()[0].encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing."""


def _serve_http(address: str) -> None:
    server = ThreadingHTTPServer((address, 8080), _Hello)
    threading.Thread(target=server.serve_forever, daemon=True).start()


def _serve_grpc(address: str, port: int, options: list[tuple[str, int]]) -> grpc.Server:
    server = grpc.server(ThreadPoolExecutor(4), options=options)
    method: Any = grpc.unary_unary_rpc_method_handler(lambda _request, _context: address.encode())
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("t.T", {"M": method}),))
    server.add_insecure_port(f"{address}:{port}")
    server.start()
    return server


def _shares(addresses: Iterable[str]) -> str:
    """How often each came, by its last number."""
    counts = sorted(Counter(addresses).items())
    return ", ".join(f"pod {address.rpartition('.')[2]}: {count}" for address, count in counts)


def _grpc(web: FakeService) -> Iterator[str]:
    """Channels to servers that keep connections, and to servers that limit their age."""
    running = [_serve_grpc(address, 8081, []) for address in _PODS]
    running += [_serve_grpc(address, 8082, _AGE) for address in _PODS]

    def caller(port: int) -> Callable[[], str]:
        channel = grpc.insecure_channel(f"dns:///{_NAME}:{port}", options=_ROUND_ROBIN)
        method: Any = channel.unary_unary("/t.T/M")
        return lambda: method(b"", timeout=10, wait_for_ready=True).decode()

    kept, aged = caller(8081), caller(8082)
    kept(), aged()
    time.sleep(1)
    yield f"grpcio, two pods, 40 calls: {_shares(kept() for _ in range(40))}"
    web.add_pod(_PODS[2])
    began = time.monotonic()
    after = None
    while time.monotonic() < began + _LONG:
        if after is None and _PODS[2] in {aged() for _ in range(30)}:
            after = time.monotonic() - began
        time.sleep(0.5)
    shares = _shares(kept() for _ in range(60))
    yield f"grpcio, {_LONG:.0f} s after a third was added, 60 calls: {shares}"
    seen = "no call" if after is None else f"its first call after {after:.0f} s"
    yield f"grpcio, the same where servers limit the age of connections to 5 s: {seen}"
    for server in running:
        server.stop(0)
    web.pods[2].delete()


@asynccontextmanager
async def _aiohttp(url: str) -> AsyncIterator[_Get]:
    async with aiohttp.ClientSession() as session:

        async def get() -> str:
            async with session.get(url) as reply:
                return await reply.text()

        yield get


@asynccontextmanager
async def _httpx(url: str) -> AsyncIterator[_Get]:
    async with httpx.AsyncClient() as client:

        async def get() -> str:
            return (await client.get(url)).text

        yield get


async def _http(web: FakeService) -> list[str]:
    """A session that is kept, and new ones beside a pod that refuses."""
    url = f"http://{_NAME}:8080/"
    told = []
    for name, session in (("aiohttp", _aiohttp), ("httpx", _httpx)):
        async with session(url) as get:
            shares = _shares([await get() for _ in range(20)])
            told.append(f"{name}, 20 requests in sequence: {shares}")
        async with session(url) as get:
            shares = _shares(await asyncio.gather(*[get() for _ in range(20)]))
            told.append(f"{name}, 20 at once: {shares}")
        refusing = web.add_pod(_REFUSES)
        replies = []
        for _ in range(30):
            async with session(url) as get:
                replies.append(await get())
        refusing.delete()
        told.append(f"{name}, 30 new sessions beside a pod that refuses: {_shares(replies)}")
    return told


def _redis() -> str:
    """A server that takes a command and closes."""
    taken = 0
    with socket.create_server(("127.0.0.1", 0)) as server:

        def take() -> None:
            nonlocal taken
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    taken += bool(connection.recv(4096))

        threading.Thread(target=take, daemon=True).start()
        began = time.monotonic()
        try:
            redis.Redis(*server.getsockname()).get("key")
        except redis.ConnectionError:
            took = time.monotonic() - began
        server.shutdown(socket.SHUT_RDWR)
    return f"redis-py, a command whose connection is closed: sent {taken} times in {took:.1f} s"


def _pymemcache() -> str:
    """One of five pods comes back with another address."""

    def owners(*last: int) -> dict[str, object]:
        client = HashClient([(f"10.0.0.{number}", 11211) for number in last])
        return {key: client._get_client(key).server for key in _KEYS}

    before, after = owners(1, 2, 3, 4, 5), owners(1, 2, 3, 4, 77)
    theirs = sum(before[key] != after[key] for key in _KEYS)
    cluster = FakeCluster()
    service = cluster.add_service("m", ports=[11211])
    service.scale(5)
    peers = cluster.peers("m")
    named = {key: peers.pick(key).name for key in _KEYS}
    service.pods[4].move_to("10.0.0.77")
    cluster.clock.advance(30)
    ours = sum(named[key] != peers.pick(key).name for key in _KEYS)
    return f"of {len(_KEYS)} keys moved: pymemcache {theirs}, this library {ours}"


def _resolvers(cluster: FakeCluster) -> Iterator[str]:
    """5,000 pods, IPv6 targets, and what libc asks."""
    big = cluster.add_service("big", ports={"http": 8080})
    for number in range(5000):
        big.add_pod(f"10.{number // 200}.1.{number % 200 + 1}")
    cluster.add_service("six", ports={"http": 8080}, families=("ipv6",)).add_pod("fd00::1")
    name = "big.default.svc.cluster.local."

    answer = dns.resolver.resolve(name, "A")
    truncated = bool(answer.response.flags & dns.flags.TC)
    yield f"dnspython, 5,000 addresses: {len(answer)}, TC flag {truncated}"

    async def by_aiodns() -> int:
        resolver = aiodns.DNSResolver(nameservers=["127.0.0.1"], timeout=5)
        return len((await resolver.query_dns(name, "A")).answer)

    yield f"aiodns, 5,000 addresses: {asyncio.run(by_aiodns())}"
    found = socket.getaddrinfo(name, 80, socket.AF_INET, socket.SOCK_STREAM)
    yield f"getaddrinfo, 5,000 addresses: {len(found)}"
    records = srvlookup.lookup("http", "tcp", "big.default.svc.cluster.local")
    yield f"srvlookup, 5,000 pods: {len(records)}"
    records = srvlookup.lookup("http", "tcp", "six.default.svc.cluster.local")
    yield f"srvlookup, one pod with an IPv6 address: {len(records)}"
    faults: dict[str, Literal["refused", "servfail"] | None] = {
        "it does not exist": None,
        "the server refuses it": "refused",
        "the server fails": "servfail",
    }
    for answers, fault in faults.items():
        if fault is not None:
            cluster.fail(fault)
        before = len(cluster.queries)
        try:
            socket.getaddrinfo("nosuch.example", 80)
        except socket.gaierror as error:
            what = f"{len(cluster.queries) - before} queries, {error.strerror}"
            yield f"getaddrinfo, nosuch.example, {answers}: {what}"
        cluster.heal()


@contextmanager
def _search_list() -> Iterator[None]:
    """That of a pod, in the resolv.conf that is ours alone."""
    path = Path("/etc/resolv.conf")
    before = path.read_text()
    search = "search default.svc.cluster.local svc.cluster.local cluster.local\noptions ndots:5\n"
    path.write_text(f"nameserver 127.0.0.1\n{search}")
    yield
    path.write_text(before)


def run() -> list[Table]:
    table = Table("Other libraries and a headless Service", base="")
    if not OWN_NETWORK:
        table.notes.append("Left out: port 53 and /etc/resolv.conf are not ours.")
        return [table]
    for address in _PODS:
        _serve_http(address)
    cluster = FakeCluster(ttl=5)
    web = cluster.add_service("web", ports={"http": 8080, "grpc": 8081})
    for address in _PODS[:2]:
        web.add_pod(address)
    with _search_list(), cluster.serve(port=53):
        table.notes += _resolvers(cluster)
        table.notes += asyncio.run(_http(web))
        table.notes += _grpc(web)
    table.notes += [_redis(), _pymemcache()]
    return [table]
