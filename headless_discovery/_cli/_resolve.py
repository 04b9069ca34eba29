"""``resolve``: one lookup; ``wait``: until enough pods are there."""

import contextlib

from .._dns.wanted import Origin
from .._endpoint import Endpoint, Snapshot, Stats
from .._errors import ConfigurationError, DiscoveryError, NotHeadless
from .._peers import Peers
from .._store.readiness import Readiness, ready
from ._messages import Progress, complain, error_json, note
from ._options import FOUND, NONE, Arguments, exit_code, peers_of, refreshed
from ._show import (
    counted,
    endpoint_json,
    fitted,
    in_order,
    news,
    origin_text,
    port_text,
    print_json,
    state_text,
    table,
    width_of,
)


def run(arguments: Arguments) -> int:
    """Looks up once, and prints a table, or what docs/schemas/resolve.json describes."""
    began = arguments.clock.now()
    snapshot, stats = Snapshot(), Stats()
    origins: dict[Endpoint, Origin | None] = {}  # None: EndpointSlices
    failed: DiscoveryError | None
    try:
        with contextlib.closing(peers_of(arguments)) as peers:
            snapshot, failed = refreshed(peers)
            stats = peers.stats
            for one in in_order(snapshot.endpoints):
                origins[one] = peers._store.origin(one) if snapshot.source == "dns" else None
    except ConfigurationError as error:
        failed = error
    seconds = arguments.clock.now() - began
    if arguments.json:
        found = {
            "service": arguments.service,
            "state": str(snapshot.state),
            "endpoints": [
                {**endpoint_json(one), "from": str(origin or "endpoint-slice")}
                for one, origin in origins.items()
            ],
            "ttl": snapshot.ttl,
            "queries": {"udp": stats.queries_udp, "tcp": stats.queries_tcp},
            "seconds": round(seconds, 6),
            "error": error_json(failed),
        }
        print_json(found, arguments.out)
        return exit_code(snapshot, failed)
    if origins:
        ttl = "" if snapshot.ttl is None else f", TTL {snapshot.ttl:g} s"
        about = (
            f"{counted(len(origins), 'endpoint')}{ttl}; queries: {stats.queries_udp} over UDP, "
            f"{stats.queries_tcp} over TCP; {seconds * 1000:.1f} ms"
        )
        width = width_of(arguments.out)
        lines = [_listed(origins, width), "", *fitted(about, width)]
        print("\n".join(lines), file=arguments.out)
    if failed is not None:
        complain(arguments, failed)
    return exit_code(snapshot, failed)


def _listed(origins: dict[Endpoint, Origin | None], width: int | None) -> str:
    """A table; with the host names alone if it is too wide."""
    titles = ("NAME", "ADDRESS", "PORT", "FROM")
    rows = [
        (one.name, ", ".join(one.addresses), port_text(one), origin_text(origin, one))
        for one, origin in origins.items()
    ]
    text = table(titles, *rows)
    if width is None or max(map(len, text.splitlines())) <= width:
        return text
    short = [one.hostname for one in origins]
    return table(titles, *((name, *row[1:]) for name, row in zip(short, rows, strict=True)))


def run_wait(arguments: Arguments) -> int:
    """Waits, and says what is there then; in JSON as docs/schemas/wait.json describes it."""
    began = arguments.clock.now()
    snapshot, failed = Snapshot(), None
    try:
        with contextlib.closing(peers_of(arguments)) as peers:
            try:
                _wait(arguments, peers)
            finally:
                snapshot = peers.snapshot
    except DiscoveryError as error:
        failed = error
    seconds, endpoints = arguments.clock.now() - began, in_order(snapshot.endpoints)
    if arguments.json:
        found = {
            "service": arguments.service,
            "ready": failed is None,
            "endpoints": [endpoint_json(endpoint) for endpoint in endpoints],
            "seconds": round(seconds, 6),
            "error": error_json(failed),
        }
        print_json(found, arguments.out)
    elif failed is None:
        names = ", ".join(f"{endpoint.hostname} {endpoint}" for endpoint in endpoints)
        there = f"{counted(len(endpoints), 'endpoint')}{': ' if names else ''}{names}"
        print(f"ready after {seconds:.1f} s: {there}", file=arguments.out)
    else:
        complain(arguments, failed)
    if isinstance(failed, ConfigurationError | NotHeadless):
        return exit_code(snapshot, failed)
    return FOUND if failed is None else NONE


def _wait(arguments: Arguments, peers: Peers) -> None:
    """As `Peers.wait_ready`, with a line on stderr for each change of what is there meanwhile."""
    store, seen = peers._store, Snapshot()
    wanted = Readiness.of(
        store,
        arguments.at_least,
        arguments.stable_for,
        arguments.timeout,
        see_self=arguments.see_self,
    )

    def doing() -> str:
        return f"waiting for {wanted} of {store}: {state_text(store.snapshot)}"

    with Progress(arguments.clock, doing):
        for step in ready(store, wanted):
            peers._flights.do(step)
            if news(store.snapshot) != news(seen):
                seen = store.snapshot
                note(f"{store}: {state_text(seen)}")
