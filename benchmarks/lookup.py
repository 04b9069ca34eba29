"""Lookups: the library beside bare sockets and what users would take instead."""

import asyncio
import contextlib
import importlib
import socket
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from pathlib import Path

import dns.asyncresolver
import dns.resolver

from headless_discovery._dns.message import Type

from . import _floor
from ._library import ADDRESSES, DOMAIN, SERVICES, Library, name, rolling
from ._measure import Contender, Prepared, Table
from ._place import OWN_NETWORK
from ._plot import drawing
from ._replay import Replay

FLOOR = "bare sockets and a scan"
NEW = "library, all new"
NEW_ASYNC = "library, all new, asyncio"
SAME = "library, unchanged"
ASYNC = "library, unchanged, asyncio"
CHANGED = "library, some pods replaced"
DNSPYTHON = "dnspython"
AIODNS = "aiodns"
SRVLOOKUP = "srvlookup"


Run = Callable[[Awaitable[object]], object]


def _contenders(pods: int, rdtype: Type, port: int, run: Run) -> dict[str, Contender | Prepared]:
    asked = name(pods, rdtype)
    scan = _floor.services if rdtype is Type.SRV else _floor.addresses
    library = Library(pods, rdtype, port)
    again = library.awaited()
    changing = Library(pods, rdtype, port, asked=rolling(pods, rdtype))
    for each in (library, changing):
        each.same()  # the first ones, which are all new, are over
    run(again())
    by_dnspython = dns.resolver.Resolver(configure=False)
    by_dnspython.nameservers, by_dnspython.port = ["127.0.0.1"], port
    by_dnspython_async = dns.asyncresolver.Resolver(configure=False)
    by_dnspython_async.nameservers, by_dnspython_async.port = ["127.0.0.1"], port
    kind = rdtype.name
    contenders: dict[str, Contender | Prepared] = {
        "bare sockets": lambda: _floor.ask(asked, rdtype, port),
        FLOOR: lambda: scan(_floor.ask(asked, rdtype, port)),
        NEW: Prepared(library.new),
        NEW_ASYNC: Prepared(lambda: _once(library.awaited(), run)),
        SAME: library.same,
        ASYNC: lambda: run(again()),
        CHANGED: changing.same,
        DNSPYTHON: lambda: by_dnspython.resolve(f"{asked}.", kind),
        f"{DNSPYTHON}, asyncio": lambda: run(by_dnspython_async.resolve(f"{asked}.", kind)),
    }
    with contextlib.suppress(ImportError):
        aiodns = importlib.import_module("aiodns")

        async def resolver() -> object:
            return aiodns.DNSResolver(
                nameservers=["127.0.0.1"], udp_port=port, tcp_port=port, timeout=2
            )

        by_aiodns = run(resolver())
        contenders[AIODNS] = lambda: run(by_aiodns.query_dns(f"{asked}.", kind))  # type: ignore[attr-defined]  # untyped
    if rdtype is Type.SRV:
        with contextlib.suppress(ImportError):
            srvlookup = importlib.import_module("srvlookup")
            dns.resolver.default_resolver = by_dnspython
            contenders[SRVLOOKUP] = lambda: srvlookup.lookup("http", "tcp", f"srv{pods}.{DOMAIN}")
    elif OWN_NETWORK:
        contenders["socket.getaddrinfo"] = lambda: socket.getaddrinfo(
            f"{asked}.", 8080, socket.AF_INET, socket.SOCK_STREAM
        )
    return contenders


def _once(ask: Callable[[], Coroutine[object, object, None]], run: Run) -> Contender:
    return lambda: run(ask())


@contextlib.contextmanager
def _loop() -> Iterator[Run]:
    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        asyncio.set_event_loop(loop)
        yield lambda awaitable: loop.run_until_complete(asyncio.ensure_future(awaitable, loop=loop))


def run() -> list[Table]:
    """A and AAAA; SRV with glue."""
    a = Table('A (`records="address"`), by pods', FLOOR)
    srv = Table("SRV with glue, by pods", FLOOR)
    with Replay(53 if OWN_NETWORK else 0) as replay, _loop() as loop:
        for table, rdtype, sizes in ((a, Type.A, ADDRESSES), (srv, Type.SRV, SERVICES)):
            for pods in sizes:
                table.measure(
                    str(pods),
                    _contenders(pods, rdtype, replay.port, loop),
                    rounds=11,
                )
    if not OWN_NETWORK:
        a.notes.append(
            "socket.getaddrinfo was left out: it asks port 53 of resolv.conf's servers, and only "
            "root may have both of its own (unshare)."
        )
    for pods, at_most in ((3, 1.3), (100, 1.5), (1000, 0.8), (4000, 0.7)):
        a.promise(SAME, str(pods), at_most)
    for pods, at_most in ((100, 1.5), (1000, 2.6), (4000, 3.2)):
        a.promise(NEW, str(pods), at_most)
    a.promise(NEW, "1000", 1 / 30, than=DNSPYTHON)
    a.promise(SAME, "1000", 1 / 100, than=DNSPYTHON)
    if AIODNS in a.columns["1000"]:
        a.promise(NEW_ASYNC, "1000", 1 / 2, than=AIODNS)
    for pods in SERVICES[1:]:
        srv.promise(NEW, str(pods), 1.5)
        srv.promise(SAME, str(pods), 1.5)
    return [a, srv]


def draw(tables: Sequence[Table], path: Path) -> None:
    """How many times as long as the floor each one takes, by the number of pods."""
    with drawing(path, width=9.5, height=8, panels=len(tables)) as panels:
        for table, axes in zip(tables, panels, strict=True):
            rows = dict.fromkeys(row for samples in table.columns.values() for row in samples)
            for row in rows:
                pods = [column for column, samples in table.columns.items() if row in samples]
                axes.plot(
                    [int(column) for column in pods],
                    [table.ratio(row, column) for column in pods],
                    marker="o",
                    linewidth=2.5 if row.startswith("library") else 1,
                    label=row,
                )
            axes.set(title=table.title.replace("`", ""), xscale="log", yscale="log", xlabel="pods")
            axes.set_ylabel(f"times {table.base}")
            axes.grid(visible=True, which="major", alpha=0.3)
            axes.legend(fontsize="small", loc="center left", bbox_to_anchor=(1, 0.5))
