"""What the library costs beside time in a lookup: memory, imports, and calls that ask nobody."""

import compileall
import gc
import statistics
import subprocess
import sys
import timeit
import tracemalloc
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import headless_discovery
from headless_discovery import Policy, Resolver, peers
from headless_discovery._dns.message import Type

from ._library import Library
from ._measure import Contender, Table, duration
from ._place import OWN_NETWORK
from ._replay import Replay

_PODS = 4000
_REFRESHES = 10_000
_KNOWN = ("snapshot", "endpoints()")


def run() -> list[Table]:
    """Calls on a fresh set; imports; and notes on memory."""
    with Replay(53 if OWN_NETWORK else 0) as replay:
        calls = _calls(replay.port)
        calls.notes += [_bytes_for_each(replay.port), _growth(replay.port)]
    return [calls, _imports()]


def _calls(port: int) -> Table:
    known = peers(
        "web100",
        port=8080,
        family="ipv4",
        records="address",
        namespace="default",
        cluster_domain="cluster.local",
        policy=Policy(min_refresh=3600, max_refresh=3600),
        resolver=Resolver([f"127.0.0.1:{port}"]),
    )
    known.refresh()
    table = Table("What is known already (100 pods), 1,000 times", "an attribute")
    timed = {"an attribute": "_store"} | {call: call for call in _KNOWN}
    contenders: dict[str, Contender] = {
        row: partial(timeit.Timer(f"known.{call}", globals={"known": known}).timeit, 1000)
        for row, call in timed.items()
    }
    table.measure("1,000 calls", contenders)
    for row in _KNOWN:
        each = statistics.median(table.columns["1,000 calls"][row].cpu) / 1000
        table.notes.append(f"{row}: {duration(each)} each; wanted <= 200 ns.")
    return table


def _traced(work: Callable[[], object]) -> int:
    """Bytes that are held after the work and were not before."""
    gc.collect()
    before = tracemalloc.get_traced_memory()[0]
    kept = work()
    gc.collect()
    grown = tracemalloc.get_traced_memory()[0] - before
    del kept
    return grown


def _bytes_for_each(port: int) -> str:
    Library(3, Type.A, port).same()  # what is loaded and cached once

    def twice() -> object:
        library = Library(_PODS, Type.A, port)
        library.same()
        library.same()
        return library

    tracemalloc.start()
    held = _traced(twice) / _PODS
    tracemalloc.stop()
    return f"Memory at {_PODS:,} endpoints (tracemalloc): {held:.0f} bytes each; wanted <= 600."


def _growth(port: int) -> str:
    library = Library(3, Type.A, port)
    for _ in range(100):
        library.same()

    def refresh() -> None:
        for _ in range(_REFRESHES):
            library.same()

    tracemalloc.start()
    _traced(library.same)
    grown = _traced(refresh)
    tracemalloc.stop()
    return f"Memory that {_REFRESHES:,} refreshes leave behind: {grown} bytes; wanted: none."


def _imports() -> Table:
    # As pip leaves every package; this one may run from its sources, and Python may write nothing.
    compileall.compile_dir(Path(headless_discovery.__file__).parent, quiet=1)
    table = Table("A process that imports it and ends", "kubernetes.client")
    names = ["headless_discovery", "dns.resolver", "asyncio"]
    if find_spec("kubernetes"):
        names.append("kubernetes.client")
        table.promise("headless_discovery", "import", 0.5, wall=True)
    else:
        table.base = "headless_discovery"
        table.notes.append("kubernetes was left out: it is not installed.")
    contenders: dict[str, Contender] = {"nothing": lambda: _process("pass")}
    for name in names:
        contenders[name] = lambda name=name: _process(f"import {name}")  # type: ignore[misc]
    table.measure("import", contenders)
    return table


def _process(code: str) -> None:
    subprocess.run([sys.executable, "-c", code], check=True)  # noqa: S603 - this Python
