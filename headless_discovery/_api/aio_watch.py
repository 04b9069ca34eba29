"""A task that follows EndpointSlices, over httpx2, on asyncio or trio. It decides nothing.

As `watch` does in a thread; here a read is ended by cancelling it, which loses no bytes.
"""

import ssl
from collections import deque
from collections.abc import Iterable
from typing import Any

import httpcore2
import httpx2

from .._time.clock import Clock
from .._time.tasks import TaskWaiters, library
from .protocol import Pauses, Watch
from .watch import TIMEOUT, Access, said


class Watcher:
    """The task, and what it holds."""

    def __init__(self, source: Access, watch: Watch, clock: Clock) -> None:
        self.watch = watch
        self.clock = clock
        self.stopped = False
        self.source = source
        self._received: deque[bytes] = deque()
        self._client: httpx2.AsyncClient | None = None
        self._waiters = TaskWaiters()
        self._task = library().spawn(self._run, lambda: None)

    def start(self) -> None:
        """It has begun: a task, unlike a thread, can always be had."""

    def hurry(self) -> None:
        """Requests them now, even during backoff."""
        self.watch.hurry(self.clock.now())
        self._waiters.wake()

    def runs(self) -> bool:
        """Whether it has not ended, and can: its loop is the one that runs here."""
        return self._task.runs()

    def stop(self) -> None:
        """Cancels it."""
        self.stopped = True
        self._task.stop()

    async def ended(self) -> None:
        """Waits for its end."""
        await self._task.ended()

    async def look_after(self) -> float:
        """Does what is due; returns the seconds until more is due; at its end, 0."""
        await self._take_in()
        now = self.clock.now()
        await _all_of(self.watch.tick(now))
        return 0 if self.stopped else self.watch.seconds_left(now)

    async def _take_in(self) -> None:
        # Here and not where it is received: every error or cancellation is then raised by
        # a read, and passes through all the generators in between.
        while self._received:
            await _all_of(self.watch.received(self._received.popleft(), self.clock.now()))

    async def _run(self) -> None:
        try:
            while not self.stopped:  # pragma: no branch - unless a library swallowed its end
                path = self.watch.next(self.clock.now())
                if path is None:
                    await self._pause()
                    continue
                try:
                    await self._ask(path)
                except Exception as error:  # what goes wrong must not end the background
                    await self._disconnect()
                    self.watch.broke(error, self.clock.now())
        finally:
            await self._disconnect()

    async def _pause(self) -> None:
        await _all_of(self.watch.tick(self.clock.now()))
        until = self.watch.wake_at
        await self.clock.wait_for_async(self._waiters, lambda: self.watch.wake_at < until, until)

    async def _ask(self, path: str) -> None:
        watch, now = self.watch, self.clock.now
        self._received.clear()
        error: str | None = None
        try:
            async with self._connected().stream(
                "GET", self.source.server + path, headers=dict(self.source.headers())
            ) as response:
                watch.answered(response.status_code, response.headers, now())
                async for data in response.aiter_raw():
                    self._received.append(data)
        except (httpx2.HTTPError, OSError) as failed:
            error = said(failed)
        if error is not None:
            await self._disconnect()
        await self._take_in()
        await _all_of(watch.ended(error, now()))

    def _connected(self) -> httpx2.AsyncClient:
        if self._client is None:
            context = self.source.context()
            transport = httpx2.AsyncHTTPTransport(verify=context, trust_env=False)
            # Where httpx2 keeps its connections; it hands no sockets of our own on to them.
            transport._pool = httpcore2.AsyncConnectionPool(
                ssl_context=context, network_backend=_Network(self)
            )
            self._client = httpx2.AsyncClient(transport=transport, timeout=TIMEOUT, trust_env=False)
        return self._client

    async def _disconnect(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()


async def _all_of(pauses: Pauses) -> None:
    for _ in pauses:
        await library().sleep(0)


class _Network(httpcore2.AsyncNetworkBackend):
    """Makes connections that wait in turns."""

    def __init__(self, watcher: Watcher) -> None:
        self._watcher = watcher
        trio = library().name == "trio"
        self._network = httpcore2.TrioBackend() if trio else httpcore2.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore2 has it
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        self._watcher.watch.connects()
        stream = await self._network.connect_tcp(host, port, timeout, local_address, socket_options)
        self._watcher.source.connected(stream.get_extra_info("client_addr")[0])
        return _WatchedStream(self._watcher, stream)


class _WatchedStream(httpcore2.AsyncNetworkStream):
    def __init__(self, watcher: Watcher, stream: httpcore2.AsyncNetworkStream) -> None:
        self._watcher = watcher
        self._stream = stream

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002, ASYNC109 - httpcore2 has it, and the watch knows better
        while seconds := await self._watcher.look_after():
            try:
                return await self._stream.read(max_bytes, seconds)
            except httpcore2.ReadTimeout:
                continue
        raise httpcore2.ReadTimeout("nothing came")

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109 - httpcore2 has it
        await self._stream.write(buffer, timeout)

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore2 has it
    ) -> httpcore2.AsyncNetworkStream:
        try:
            stream = await self._stream.start_tls(ssl_context, server_hostname, timeout)
        except BaseException:  # a cancelled handshake leaves it open
            await self._stream.aclose()
            raise
        return _WatchedStream(self._watcher, stream)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)
