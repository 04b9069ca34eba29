"""httpx and httpx2, sync and async, behind one blocking interface."""

import asyncio
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any, Protocol

import httpx
import httpx2

from headless_discovery.integrations import httpx as with_httpx
from headless_discovery.integrations import httpx2 as with_httpx2
from headless_discovery.testing import FakeCluster

PATIENCE = 20.0
"""Seconds for a reply: more than a slow machine takes."""
KINDS = ["httpx2", "httpx2-async", "httpx", "httpx-async"]


class OfCluster(Protocol):
    """Pods of a Service ``web`` with a port ``http``."""

    cluster: FakeCluster


class Caller:
    """A client with the transport mounted for the Service, and the `Peers` that it is for."""

    def __init__(self, kind: str, pods: OfCluster, **transport: Any) -> None:
        library, _, self._is_async = kind.partition("-")
        self.library: ModuleType = {"httpx": httpx, "httpx2": httpx2}[library]
        self.integration: ModuleType = {"httpx": with_httpx, "httpx2": with_httpx2}[library]
        self._runner = asyncio.Runner()
        self.peers: Any
        if self._is_async:
            self.peers = pods.cluster.aio.peers("web", port="http")
        else:
            self.peers = pods.cluster.peers("web", port="http")
        self._options = transport
        try:
            self.client: Any = self.run(self._make)
        except BaseException:
            self._runner.close()
            raise

    async def _make_async(self) -> Any:
        transport = self.integration.AsyncPeersTransport(self.peers, **self._options)
        return self.library.AsyncClient(
            transport=transport, timeout=PATIENCE, follow_redirects=True
        )

    def _make(self) -> Any:
        if self._is_async:
            return self._make_async()
        transport = self.integration.PeersTransport(self.peers, **self._options)
        return self.library.Client(transport=transport, timeout=PATIENCE, follow_redirects=True)

    def run(self, call: Callable[[], Any]) -> Any:
        """What the call returns, awaited where it is to be awaited."""
        if not self._is_async:
            return call()

        async def awaited() -> Any:
            return await call()

        return self._runner.run(awaited())

    def request(self, method: str, path: str, *, host: str = "web", **options: Any) -> Any:
        """A whole reply."""
        return self.run(lambda: self.client.request(method, f"http://{host}{path}", **options))

    def get(self, path: str = "/", **options: Any) -> Any:
        """A whole reply to GET."""
        return self.request("GET", path, **options)

    def open(self, path: str = "/") -> Any:
        """A reply whose body was not read."""
        request = self.client.build_request("GET", f"http://web{path}")
        return self.run(lambda: self.client.send(request, stream=True))

    def read_reply(self, reply: Any) -> None:
        """Reads all of one, so that its connection is idle."""
        self.run(reply.aread if self._is_async else reply.read)

    def read_some(self, reply: Any) -> bytes:
        """Reads the first part of one."""
        if not self._is_async:
            return bytes(next(reply.iter_raw()))

        async def first() -> bytes:
            return bytes(await anext(reply.aiter_raw()))

        return self._runner.run(first())

    def close_reply(self, reply: Any) -> None:
        """Closes one."""
        self.run(reply.aclose if self._is_async else reply.close)

    def close(self) -> None:
        """Ends all."""
        self.run(self.client.aclose if self._is_async else self.client.close)
        self.run(self.peers.aclose if self._is_async else self.peers.close)
        self._runner.close()

    def __enter__(self) -> "Caller":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def streamed(kind: str, parts: list[bytes]) -> Any:
    """A body that can be sent once."""

    def parts_of() -> Iterator[bytes]:
        yield from parts

    async def async_parts() -> Any:
        for part in parts:
            yield part

    return async_parts() if kind.endswith("async") else parts_of()
