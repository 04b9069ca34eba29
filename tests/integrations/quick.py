"""Many pods in one event loop, that answer at once and count their connections."""

import asyncio
import contextlib
import threading
from collections import Counter
from collections.abc import Iterator

from headless_discovery.testing import FakeCluster

from .callers import PATIENCE


class _Connection(asyncio.Protocol):
    """Takes one request after the other, each with its body in the same part or with none."""

    def __init__(self, pods: "QuickPods", number: int) -> None:
        self._pods = pods
        self._number = number

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._pods.connections[self._number] += 1
        self._pods.open[self._number].add(transport)

    def connection_lost(self, _error: Exception | None) -> None:
        self._pods.open[self._number].discard(self._transport)

    def data_received(self, data: bytes) -> None:
        head = data.partition(b"\r\n\r\n")[0]
        for line in head.split(b"\r\n"):
            if line.lower().startswith(b"x-id:"):
                self._pods.arrived[line[5:].strip().decode()] += 1
        if head.startswith((b"GET", b"POST")):  # else it is the rest of a body
            self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")


class QuickPods:
    """So many listen, at ``127.0.6.*``; the first ``published`` are pods of the Service ``web``."""

    def __init__(self, count: int, published: int | None = None) -> None:
        self.connections: Counter[int] = Counter()
        self.open: list[set[asyncio.Transport]] = [set() for _ in range(count)]
        self.arrived: Counter[str] = Counter()
        self.cluster = FakeCluster()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._port = 0
        self._servers: dict[int, asyncio.Server] = {}
        for number in range(count):
            self.start(number)
        self.service = self.cluster.add_service("web", ports={"http": self._port})
        for number in range(count if published is None else published):
            self.publish(number)

    def publish(self, number: int) -> None:
        """It is a pod of the Service from now on."""
        self.service.add_pod(f"127.0.6.{number + 1}", hostname=f"web-{number}")

    def start(self, number: int) -> None:
        """Listens; again after `stop`."""
        asyncio.run_coroutine_threadsafe(self._start(number), self._loop).result(PATIENCE)

    async def _start(self, number: int) -> None:
        address = f"127.0.6.{number + 1}"
        server = await self._loop.create_server(
            lambda: _Connection(self, number), address, self._port
        )
        self._servers[number] = server
        self._port = server.sockets[0].getsockname()[1]

    def stop(self, number: int) -> None:
        """As a graceful stop does it: refuses connections, and closes those that are idle."""
        asyncio.run_coroutine_threadsafe(self._stop(number), self._loop).result(PATIENCE)

    async def _stop(self, number: int) -> None:
        server = self._servers.pop(number)
        for listening in server.sockets:
            self._loop.remove_reader(listening.fileno())
        # asyncio forgets to close a connection that it accepted just before the server's end.
        await self._settle()
        server.close()
        for transport in list(self.open[number]):
            transport.close()

    def still_open(self, at_most: int) -> list[int]:
        """How many connections each has; waits a while for so few in all."""
        for _ in range(500):
            asyncio.run_coroutine_threadsafe(asyncio.sleep(0.002), self._loop).result(PATIENCE)
            if sum(len(each) for each in self.open) <= at_most:
                break
        return [len(each) for each in self.open]

    def close(self) -> None:
        """Ends all."""
        for number in list(self._servers):
            self.stop(number)
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(PATIENCE)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE)
        self._loop.close()

    async def _end(self) -> None:
        for transport in [transport for each in self.open for transport in each]:
            transport.abort()
        await self._settle()

    @staticmethod
    async def _settle() -> None:
        for _ in range(5):
            await asyncio.sleep(0)


@contextlib.contextmanager
def quick(count: int, published: int | None = None) -> Iterator[QuickPods]:
    """So many pods."""
    with contextlib.closing(QuickPods(count, published)) as pods:
        yield pods
