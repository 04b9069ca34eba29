"""Choosing by load against real HTTP servers on loopback, as ratios within one run.

Eight asyncio servers work on one request at a time; a request takes a random time (exponential).
Calls begin at random (Poisson) at a share of what the servers can do, whether or not earlier ones
have ended; each is timed from its beginning to the end of its reply.
"""

import asyncio
import contextlib
import itertools
import random
import statistics
from collections.abc import AsyncIterator, Callable

from headless_discovery import Endpoint, LeastLoaded, RoundRobin, Sticky, Strategy, aio

from ._measure import Table

_SERVERS = 8
_WORK = 0.03
"""Seconds: what a request takes on average at full speed."""
_KEYS = 200
_KEY_SETS = 10


@contextlib.asynccontextmanager
async def _serving(speeds: list[float]) -> AsyncIterator[list[str]]:
    """Where they listen."""
    rng = random.Random(1)
    async with contextlib.AsyncExitStack() as stack:
        places = []
        for speed in speeds:
            busy = asyncio.Lock()

            async def answer(
                reader: asyncio.StreamReader,
                writer: asyncio.StreamWriter,
                busy: asyncio.Lock = busy,
                speed: float = speed,
            ) -> None:
                await reader.readuntil(b"\r\n\r\n")
                async with busy:
                    await asyncio.sleep(rng.expovariate(speed / _WORK))
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
                with contextlib.suppress(ConnectionError):
                    await writer.drain()
                writer.close()

            server = await stack.enter_async_context(
                await asyncio.start_server(answer, "127.0.0.1")
            )
            host, port = server.sockets[0].getsockname()
            places.append(f"{host}:{port}")
        yield places


async def _get(peer: Endpoint) -> None:
    reader, writer = await asyncio.open_connection(peer.address, peer.port)
    writer.write(f"GET / HTTP/1.1\r\nHost: {peer}\r\n\r\n".encode())
    await reader.read()
    writer.close()


async def _p99(
    strategy: Strategy,
    speeds: list[float],
    load: float,
    calls: int,
    key: Callable[[], str | None],
) -> float:
    """Seconds."""
    taken: list[float] = []
    rng, loop = random.Random(2), asyncio.get_running_loop()

    async def call(web: aio.Peers, key: str | None) -> None:
        began = loop.time()
        async with web.use(key) as peer:
            await _get(peer)
        taken.append(loop.time() - began)

    async with _serving(speeds) as places:
        web = aio.Peers.static(places, strategy=strategy)
        at = loop.time()
        async with asyncio.TaskGroup() as group:
            for _ in range(calls):
                at += rng.expovariate(load * _SERVERS / _WORK)
                await asyncio.sleep(max(at - loop.time(), 0))
                group.create_task(call(web, key()))
    return sorted(taken)[int(len(taken) * 0.99)]


def _zipf(seed: int) -> Callable[[], str]:
    rng = random.Random(seed)
    keys = [f"key:{rng.random()}" for _ in range(_KEYS)]
    weights = list(itertools.accumulate(1 / rank for rank in range(1, _KEYS + 1)))
    return lambda: rng.choices(keys, cum_weights=weights)[0]


def run() -> list[Table]:
    table = Table("p99 of a call against real servers", base="")
    one_slow, alike = [0.3] + [1.0] * (_SERVERS - 1), [1.0] * _SERVERS

    def p99(
        strategy: Strategy,
        speeds: list[float],
        load: float,
        calls: int,
        key: Callable[[], str | None],
    ) -> float:
        return asyncio.run(_p99(strategy, speeds, load, calls, key))

    even = p99(RoundRobin(), one_slow, 0.6, 1500, lambda: None)
    least = p99(LeastLoaded(), one_slow, 0.6, 1500, lambda: None)
    table.notes.append(
        f"One of {_SERVERS} servers at 0.3 of its speed, load 0.6: least-loaded "
        f"{least * 1e3:.0f} ms, round-robin {even * 1e3:.0f} ms: {least / even:.2f} of it; "
        f"wanted <= 0.33."
    )
    ratios = []
    for seed in range(_KEY_SETS):
        plain = p99(Sticky(), alike, 0.5, 500, _zipf(seed))
        bounded = p99(Sticky(bound=1.25), alike, 0.5, 500, _zipf(seed))
        ratios.append(bounded / plain)
    table.notes.append(
        f"Keys of which few are hot (Zipf), load 0.5, {_KEY_SETS} sets of keys: with bound=1.25 "
        f"the median is {statistics.median(ratios):.2f} of plain sticky (from {min(ratios):.2f} to "
        f"{max(ratios):.2f}); wanted <= 0.6."
    )
    return [table]
