"""The HTTP API, over real sockets on loopback."""

import asyncio
import contextlib
import io
import random
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING

import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestClient, TestServer
from prometheus_client.parser import text_string_to_metric_families

from examples.gossip.entries import MAX_KEY, MAX_VALUE, Entry
from examples.gossip.messages import Look, Reply, Request, Swap, Swapped, View, encode
from examples.gossip.node import Node, PeerError
from examples.gossip.transport import HTTPTransport
from examples.gossip.web import API
from headless_discovery import Endpoint
from headless_discovery.testing import FakeCluster
from tests.gossip.test_node import Memory

if TYPE_CHECKING:
    # Not generic in the oldest aiohttp that will do.
    Client = TestClient[web.Request, web.Application]


class Pair:
    """The transport of two nodes."""

    def __init__(self) -> None:
        self.nodes: dict[str, Node] = {}

    async def ask(self, peer: Endpoint, request: Request) -> Reply:
        if peer.address not in self.nodes:
            raise PeerError(f"nobody is at {peer}")
        return await self.nodes[peer.address].answer(request)


@contextlib.asynccontextmanager
async def served() -> "AsyncIterator[tuple[Client, Pair]]":
    """A client of the first of two nodes; and what to break between them."""
    cluster = FakeCluster()
    pair = Pair()
    for pod in cluster.add_service("gossip", ports={"http": 8080}).scale(2):
        pair.nodes[pod.addresses[0]] = Node(
            pod.name,
            pod.aio.peers("gossip", port="http", include_self=False),
            pair,
            Memory(),
            clock=cluster.clock,
            wall=cluster.clock.now,
            rng=random.Random(0),
        )
    first = next(iter(pair.nodes.values()))
    async with TestClient(TestServer(API(first).app())) as client:
        yield client, pair


def run(scenario: "Callable[[Client, Pair], Awaitable[None]]") -> None:
    async def main() -> None:
        async with served() as (client, pair):
            await scenario(client, pair)

    asyncio.run(main())


async def said(
    client: "Client", method: str, path: str, body: bytes | io.BytesIO = b""
) -> tuple[int, str]:
    async with client.request(method, path, data=body) as reply:
        return reply.status, await reply.text()


def test_what_is_put_is_got_until_it_is_deleted() -> None:
    async def scenario(client: "Client", _: Pair) -> None:
        assert await said(client, "GET", "/kv/a/b") == (404, "no such key\n")
        status, text = await said(client, "PUT", "/kv/a/b", "välue".encode())
        assert status == 200
        assert text.startswith('{"key": "a/b", "version": 1, "writer": "gossip-0/')
        assert await said(client, "GET", "/kv/a/b") == (200, "välue")
        assert (await said(client, "DELETE", "/kv/a/b"))[0] == 200
        assert await said(client, "GET", "/kv/a/b") == (404, "no such key\n")

    run(scenario)


def test_what_is_not_acknowledged_is_a_503_that_says_why() -> None:
    async def scenario(client: "Client", pair: Pair) -> None:
        pair.nodes.clear()
        for method in ("PUT", "DELETE"):
            status, text = await said(client, method, "/kv/a", b"1")
            assert status == 503
            assert "only gossip-0 holds 'a' yet" in text

    run(scenario)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/kv/a", b"\xff"),
        ("/kv/a", b"1" * (MAX_VALUE + 1)),
        ("/kv/" + "a" * (MAX_KEY + 1), b"1"),
    ],
)
def test_what_cannot_be_stored_is_refused(path: str, body: bytes) -> None:
    async def scenario(client: "Client", _: Pair) -> None:
        assert (await said(client, "PUT", path, body))[0] == 400

    run(scenario)


@pytest.mark.parametrize("body", [b"", b"nonsense", encode(Swapped("x", ()))])
def test_what_no_node_asks_is_refused(body: bytes) -> None:
    async def scenario(client: "Client", _: Pair) -> None:
        assert (await said(client, "POST", "/gossip", body))[0] == 400

    run(scenario)


def test_a_body_without_end_is_refused_before_it_is_read_to_its_end() -> None:
    async def scenario(client: "Client", pair: Pair) -> None:
        for method, path in (("POST", "/gossip"), ("PUT", "/kv/a")):
            status, _ = await said(client, method, path, io.BytesIO(bytes(100_000_000)))
            assert status == 413
        assert (await said(client, "PUT", "/kv/a", b"1"))[0] == 200

    run(scenario)


def test_a_disk_that_takes_nothing_is_told_to_whoever_asks() -> None:
    async def scenario(client: "Client", pair: Pair) -> None:
        first = next(iter(pair.nodes.values()))
        assert isinstance(first._disk, Memory)
        first._disk.full = True
        swap = encode(Swap("x", (Entry("a", "1", 1, "x"),)))
        assert (await said(client, "POST", "/gossip", swap))[0] == 507
        status, text = await said(client, "PUT", "/kv/a", b"1")
        assert (status, "No space left" in text) == (503, True)

    run(scenario)


def test_it_lives_from_the_start_and_is_ready_once_it_has_gossiped() -> None:
    async def scenario(client: "Client", pair: Pair) -> None:
        assert await said(client, "GET", "/healthz") == (200, "ok\n")
        assert (await said(client, "GET", "/readyz"))[0] == 503
        await next(iter(pair.nodes.values())).gossip()
        assert await said(client, "GET", "/readyz") == (200, "ok\n")

    run(scenario)


def test_it_tells_its_peers_and_where_a_key_belongs() -> None:
    async def scenario(client: "Client", pair: Pair) -> None:
        await next(iter(pair.nodes.values())).gossip()
        async with client.get("/peers?key=a") as reply:
            told = await reply.json()
        assert told["state"] == "live"
        assert [peer["port"] for peer in told["peers"]] == [8080]
        assert told["peers"][0]["name"] == "gossip-1.gossip.default.svc.cluster.local"
        assert sorted(told["owners"]) == ["gossip-0", "gossip-1"]

    run(scenario)


def test_the_page_shows_what_the_views_tell() -> None:
    async def scenario(client: "Client", pair: Pair) -> None:
        await next(iter(pair.nodes.values())).gossip()
        status, page = await said(client, "GET", "/")
        assert status == 200
        assert 'fetch("views")' in page
        async with client.get("/views") as reply:
            views = await reply.json()
        assert [(view["node"], view["knows"]) for view in views] == [
            ("gossip-0", ["gossip-1"]),
            ("gossip-1", []),
        ]
        assert set(re.findall(r"view\.(\w+)", page)) <= set(views[0])

    run(scenario)


def test_its_metrics_are_samples_that_prometheus_reads() -> None:
    async def scenario(client: "Client", pair: Pair) -> None:
        await next(iter(pair.nodes.values())).gossip()
        status, text = await said(client, "GET", "/metrics")
        assert status == 200
        values = {
            (sample.name, sample.labels.get("state")): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }
        assert values["headless_discovery_state", "live"] == 1
        assert values["headless_discovery_endpoints", None] == 1
        assert values["gossip_exchanges_total", None] == 1
        assert values["gossip_ready", None] == 1

    run(scenario)


# The transport.


async def asked_of(app: web.Application) -> Reply:
    async with TestServer(app) as server, ClientSession() as session:
        peer = Endpoint("peer", ("127.0.0.1",), server.port)
        return await HTTPTransport(session, timeout=60).ask(peer, Look("client"))


def test_a_request_goes_to_a_node_and_its_reply_comes_back() -> None:
    async def scenario(client: "Client", _: Pair) -> None:
        async with ClientSession() as session:
            peer = Endpoint("peer", ("127.0.0.1",), client.port)
            reply = await HTTPTransport(session, timeout=60).ask(peer, Look("client"))
        assert isinstance(reply, View)
        assert reply.node == "gossip-0"

    run(scenario)


@pytest.mark.parametrize(
    ("status", "body", "says"),
    [
        (500, b"", "500"),
        (307, b"", "did not answer"),
        (200, b"[" * 900, "did not answer"),
        (
            200,
            b'{"kind": "Swapped", "node": "x", "entries": [["a", null, 1, "x", 1'
            + b"0" * 400
            + b"]]}",
            "nothing was deleted at 1000",
        ),
        (200, b'{"kind": "View", "node": "x", "ready": NaN}', "not true or false"),
        (200, b"nonsense", "did not answer"),
        (200, encode(Look("x")), "answered with a request"),
        (200, b"x" * 1001, "says more than 1000 bytes"),
    ],
)
def test_whatever_is_wrong_with_a_reply_is_an_error_of_that_peer(
    monkeypatch: pytest.MonkeyPatch, status: int, body: bytes, says: str
) -> None:
    monkeypatch.setattr("examples.gossip.transport.MAX_MESSAGE", 1000)

    async def answer(_request: web.Request) -> web.Response:
        return web.Response(status=status, body=body, headers={"Location": "/elsewhere"})

    app = web.Application()
    app.add_routes([web.post("/gossip", answer)])
    with pytest.raises(PeerError, match=says):
        asyncio.run(asked_of(app))


def test_a_peer_where_nobody_listens_is_an_error_of_that_peer() -> None:
    async def main() -> None:
        async with ClientSession() as session:
            await HTTPTransport(session, timeout=60).ask(
                Endpoint("peer", ("127.0.0.1",), 1), Look("client")
            )

    with pytest.raises(PeerError, match=r"127\.0\.0\.1:1 did not answer"):
        asyncio.run(main())
