"""How long a lookup holds the event loop: the longest time between two turns of another task."""

import asyncio
import contextlib
import importlib
import statistics
import time
from collections.abc import Awaitable, Callable

import dns.asyncresolver

from headless_discovery._dns.message import Type
from headless_discovery.testing import FakeCluster

from ._library import Library, name, rolling
from ._measure import Samples, Table
from ._place import OWN_NETWORK
from ._replay import Replay
from .lookup import AIODNS, CHANGED, DNSPYTHON, NEW, SAME

_ROUNDS = 9
_WANTED = {1000: 0.002, 4000: 0.004}
_BY_KEY = ("the first pick with a key", "ranked", "a pick with a key after half were replaced")


def run() -> list[Table]:
    """Held by the lookup itself (CPU), and seen by the other task (wall), which load lengthens."""
    table = Table("The longest turn of the event loop during one lookup, by pods", "nothing to do")
    with Replay(53 if OWN_NETWORK else 0) as replay:
        for pods in _WANTED:
            table.columns[str(pods)] = asyncio.run(_column(pods, replay.port))
    for pods, wanted in _WANTED.items():
        for row in (NEW, SAME, CHANGED, *_BY_KEY):
            held = statistics.median(table.columns[str(pods)][row].cpu)
            table.notes.append(
                f"{row}, {pods} pods: holds the loop for {held * 1e3:.2f} ms of CPU at most; "
                f"wanted <= {wanted * 1e3:g} ms."
            )
    return [table]


async def _column(pods: int, port: int) -> dict[str, Samples]:
    asked = f"{name(pods, Type.A)}."
    library = Library(pods, Type.A, port)
    by_dnspython = dns.asyncresolver.Resolver(configure=False)
    by_dnspython.nameservers, by_dnspython.port = ["127.0.0.1"], port
    same = library.awaited()
    changed = Library(pods, Type.A, port, asked=rolling(pods, Type.A)).awaited()
    contenders: dict[str, Callable[[], Awaitable[object]]] = {
        "nothing to do": lambda: asyncio.sleep(0.001),
        NEW: lambda: library.awaited()(),  # noqa: PLW0108 - made anew each time
        SAME: same,
        CHANGED: changed,
        DNSPYTHON: lambda: by_dnspython.resolve(asked, "A"),
    }
    with contextlib.suppress(ImportError):
        aiodns = importlib.import_module("aiodns")
        by_aiodns = aiodns.DNSResolver(nameservers=["127.0.0.1"], udp_port=port, tcp_port=port)
        contenders[AIODNS] = lambda: by_aiodns.query_dns(asked, "A")
    samples = {row: Samples([], []) for row in (*contenders, *_BY_KEY)}
    for number in range(_ROUNDS + 1):
        chosen = await _by_key(pods)
        for row, call in (contenders | chosen).items():
            wall, cpu = await _longest_turn(call)
            if number:  # the first warms up
                samples[row].wall.append(wall)
                samples[row].cpu.append(cpu)
    return samples


async def _by_key(pods: int) -> dict[str, Callable[[], Awaitable[object]]]:
    """Choosing by a key in a set that is known by then."""
    cluster = FakeCluster()
    web = cluster.add_service("web")
    web.scale(pods)
    new, changed = (cluster.aio.peers("web", port=80) for _ in range(2))
    await changed.pick("user:42")
    web.scale(pods // 2)
    web.scale(pods)
    cluster.clock.advance(60)
    for web_peers in (new, changed):
        await web_peers.refresh()

    return dict(
        zip(
            _BY_KEY,
            (
                lambda: new.pick("user:42"),
                lambda: new.ranked("user:42", 3),
                lambda: changed.pick("user:42"),
            ),
            strict=True,
        )
    )


async def _longest_turn(call: Callable[[], Awaitable[object]]) -> tuple[float, float]:
    """Wall and CPU seconds, the longest of each."""
    walls, cpus = [0.0], [0.0]

    async def tick() -> None:
        while True:
            wall, cpu = time.perf_counter(), time.thread_time()
            await asyncio.sleep(0)
            walls.append(time.perf_counter() - wall)
            cpus.append(time.thread_time() - cpu)

    ticking = asyncio.create_task(tick())
    await asyncio.sleep(0)
    await call()
    await asyncio.sleep(0)  # or the last turn would not be seen
    ticking.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await ticking
    return max(walls), max(cpus)
