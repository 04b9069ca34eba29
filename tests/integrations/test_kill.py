"""A pod is killed in the middle of load: nothing is done twice, only what was in flight is lost."""

import asyncio
import concurrent.futures
import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

import aiohttp
import grpc
import httpx2
import pytest
import requests

from headless_discovery.integrations.aiohttp import PeersMiddleware
from headless_discovery.integrations.httpx2 import PeersTransport
from headless_discovery.testing import FakeCluster

from .callers import PATIENCE
from .servers import Pods, requests_of, serving

pytestmark = pytest.mark.slow

WORKERS = 6
REQUESTS = 300
"""The pod is killed as half of them are sent; the others go on meanwhile."""
Post = Callable[[str], None]
"""Sends a request with that id, or raises."""


class Load:
    """What became of each request, by its id."""

    def __init__(self) -> None:
        self.numbers = iter(range(REQUESTS))
        self.went: list[str] = []
        self.failed: list[str] = []
        self.lost: list[str] = []
        """Those that failed although they began after the kill."""
        self.killed = threading.Event()

    @contextlib.contextmanager
    def noting(self, number: int) -> Iterator[str]:
        """Around one request."""
        after = self.killed.is_set()
        try:
            yield str(number)
        except Exception as error:
            print(number, repr(error), getattr(error, "__notes__", ""))  # shown if it fails
            (self.lost if after else self.failed).append(str(number))
        else:
            self.went.append(str(number))

    def check(self) -> None:
        """All went well, but at most what each worker had in flight at the kill."""
        assert self.killed.is_set()
        assert self.lost == []
        assert len(self.failed) <= WORKERS
        assert len(self.went) + len(self.failed) == REQUESTS


@contextlib.contextmanager
def with_httpx2(pods: Pods) -> Iterator[Post]:
    transport = PeersTransport(pods.cluster.peers("web", port="http"))
    with httpx2.Client(mounts={"all://web": transport}, timeout=PATIENCE) as client:

        def post(number: str) -> None:
            client.post("http://web/", content=b"x", headers={"X-Id": number}).raise_for_status()

        yield post


@contextlib.contextmanager
def with_requests(pods: Pods) -> Iterator[Post]:
    web = pods.cluster.peers("web", port="http")
    with web.clients(lambda _peer: requests.Session()) as clients:

        def post(number: str) -> None:
            for attempt in web.attempts():
                with attempt as peer, clients.use_of(peer) as session:
                    headers = {"X-Id": number, "Host": f"web:{peer.port}"}
                    session.post(
                        f"http://{peer}/", data=b"x", headers=headers, timeout=PATIENCE
                    ).raise_for_status()
                    return

        yield post


def load(post: Post, kill: Callable[[], None]) -> Load:
    """Requests from several threads, and a kill in the middle by one of them."""
    load = Load()

    def work() -> None:
        for number in load.numbers:
            if number == REQUESTS // 2:
                kill()
                load.killed.set()
            with load.noting(number) as request_id:
                post(request_id)

    with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
        for worker in [pool.submit(work) for _ in range(WORKERS)]:
            worker.result(timeout=60)
    return load


def check(pods: Pods, load: Load) -> None:
    load.check()
    assert all(pods.arrived(number) == 1 for number in load.went)
    assert all(pods.arrived(number) <= 1 for number in load.failed)
    assert min(requests_of(pods)) > 0, "the one that is killed served some before"


@pytest.mark.parametrize("client", [with_httpx2, with_requests])
def test_no_post_is_done_twice_or_lost_that_was_not_in_flight(
    client: Callable[[Pods], contextlib.AbstractContextManager[Post]],
) -> None:
    with serving(4) as pods, client(pods) as post:
        check(pods, load(post, pods.pods[0].stop))


def test_nor_with_aiohttp() -> None:
    async def main(pods: Pods) -> Load:
        load = Load()
        web = pods.cluster.aio.peers("web", port="http")
        timeout = aiohttp.ClientTimeout(total=PATIENCE)

        async def work(session: aiohttp.ClientSession) -> None:
            for number in load.numbers:
                if number == REQUESTS // 2:
                    await asyncio.to_thread(pods.pods[0].stop)
                    # aiohttp takes a connection for open until its loop has seen the end of it.
                    await asyncio.sleep(0.1)
                    load.killed.set()
                with load.noting(number) as request_id:
                    async with session.post("http://web/", headers={"X-Id": request_id}) as reply:
                        await reply.read()

        async with (
            aiohttp.ClientSession(middlewares=[PeersMiddleware(web)], timeout=timeout) as session,
            asyncio.timeout(60),
            asyncio.TaskGroup() as group,
        ):
            for _ in range(WORKERS):
                group.create_task(work(session))
        return load

    with serving(4) as pods:
        check(pods, asyncio.run(main(pods)))


def test_reads_by_grpc_are_repeated_on_another_pod() -> None:
    cluster = FakeCluster()
    servers: list[Any] = []
    for number in range(3):
        server = grpc.server(concurrent.futures.ThreadPoolExecutor(4))
        handler: Any = grpc.unary_unary_rpc_method_handler(lambda request, _context: request)
        server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler("test.Echo", {"Say": handler}),)
        )
        port = server.add_insecure_port(f"127.0.8.{number + 1}:{servers[0][1] if servers else 0}")
        server.start()
        servers.append((server, port))
    service = cluster.add_service("echo", ports={"grpc": servers[0][1]})
    for number in range(3):
        service.add_pod(f"127.0.8.{number + 1}")
    echo = cluster.peers("echo", port="grpc")
    said: list[bytes] = []
    with echo.clients(lambda peer: grpc.insecure_channel(str(peer))) as channels:

        def read(number: str) -> None:
            for attempt in echo.attempts(idempotent=True):
                with attempt as peer, channels.use_of(peer) as channel:
                    say: Any = channel.unary_unary("/test.Echo/Say")
                    said.append(say(number.encode(), timeout=PATIENCE))
                    return

        def kill() -> None:
            servers[0][0].stop(None).wait(PATIENCE)

        told = load(read, kill)
    for server, _ in servers:
        server.stop(None)
    told.check()
    assert sorted(said) == sorted(number.encode() for number in told.went)
