"""``resolve``: one lookup; ``wait``: until enough pods are there."""

import json
from typing import Any, TextIO

import attrs

from .._dns.wanted import Origin
from .._endpoint import Endpoint, Snapshot
from .._errors import ConfigurationError, DiscoveryError, NotHeadless
from .._peers import Peers
from .._store.readiness import Readiness, ready
from .._time.clock import Clock
from ._messages import Progress, complain, error_json, note
from ._options import FOUND, NONE, Arguments, exit_code, peers_of
from ._show import (
    counted,
    endpoint_json,
    fitted,
    in_order,
    news,
    origin_text,
    port_text,
    state_text,
    table,
    width_of,
)


@attrs.frozen
class Resolved:
    """The result of one lookup, and its cost."""

    service: str
    snapshot: Snapshot
    origins: dict[Endpoint, Origin | None]
    """The records behind each endpoint, in the order shown; ``None``: EndpointSlices."""
    error: DiscoveryError | None
    queries: tuple[int, int]
    """Over UDP, over TCP."""
    seconds: float


def run(arguments: Arguments, out: TextIO) -> int:
    """Looks up once and prints the result."""
    found = resolve(arguments, Clock())
    if arguments.json:
        print(json.dumps(as_json(found), indent=2), file=out)
    elif found.origins:
        print(as_text(found, width_of(out)), file=out)
    if found.error is not None and not arguments.json:
        complain(arguments, found.error)
    return exit_code(found.snapshot, found.error)


def resolve(arguments: Arguments, clock: Clock) -> Resolved:
    """One lookup; an error is a value here."""
    began = clock.now()
    snapshot, queries = Snapshot(), (0, 0)
    origins: dict[Endpoint, Origin | None] = {}
    failed: DiscoveryError | None = None
    try:
        peers = peers_of(arguments)
        snapshot, failed = refreshed(peers)
        origins = {
            one: peers._store.origin(one) if snapshot.source == "dns" else None
            for one in in_order(snapshot.endpoints)
        }
        queries = (peers.stats.queries_udp, peers.stats.queries_tcp)
    except ConfigurationError as error:
        failed = error
    return Resolved(arguments.service, snapshot, origins, failed, queries, clock.now() - began)


def refreshed(peers: Peers) -> tuple[Snapshot, DiscoveryError | None]:
    """What is known after one lookup, and the error if there is one, raised or not."""
    try:
        snapshot = peers.refresh()
    except DiscoveryError as error:
        return peers.snapshot, error
    return snapshot, snapshot.error


def as_text(found: Resolved, width: int | None = None) -> str:
    """A table, with the host names alone if it is too wide, and a line about the lookup."""
    udp, tcp = found.queries
    ttl = "" if found.snapshot.ttl is None else f", TTL {found.snapshot.ttl:g} s"
    rows = [
        (one.name, ", ".join(one.addresses), port_text(one), origin_text(origin, one))
        for one, origin in found.origins.items()
    ]
    titles = ("NAME", "ADDRESS", "PORT", "FROM")
    text = table(titles, *rows)
    if width is not None and max(map(len, text.splitlines())) > width:
        short = [one.hostname for one in found.origins]
        text = table(titles, *((name, *row[1:]) for name, row in zip(short, rows, strict=True)))
    about = (
        f"{counted(len(rows), 'endpoint')}{ttl}; queries: "
        f"{udp} over UDP, {tcp} over TCP; {found.seconds * 1000:.1f} ms"
    )
    return "\n".join([text, "", *fitted(about, width)])


def as_json(found: Resolved) -> dict[str, Any]:
    """As docs/schemas/resolve.json describes it."""
    return {
        "service": found.service,
        "state": str(found.snapshot.state),
        "endpoints": [
            {**endpoint_json(one), "from": str(origin or "endpoint-slice")}
            for one, origin in found.origins.items()
        ],
        "ttl": found.snapshot.ttl,
        "queries": {"udp": found.queries[0], "tcp": found.queries[1]},
        "seconds": round(found.seconds, 6),
        "error": error_json(found.error),
    }


def run_wait(arguments: Arguments, out: TextIO) -> int:
    """Waits, and says what is there then."""
    clock = Clock()
    began = clock.now()
    snapshot, failed = Snapshot(), None
    try:
        peers = peers_of(arguments)
        try:
            snapshot = wait(arguments, peers)
        except DiscoveryError:
            snapshot = peers.snapshot
            raise
    except DiscoveryError as error:
        failed = error
    seconds, endpoints = clock.now() - began, in_order(snapshot.endpoints)
    if arguments.json:
        found = {
            "service": arguments.service,
            "ready": failed is None,
            "endpoints": [endpoint_json(endpoint) for endpoint in endpoints],
            "seconds": round(seconds, 6),
            "error": error_json(failed),
        }
        print(json.dumps(found, indent=2), file=out)
    elif failed is None:
        names = ", ".join(f"{endpoint.hostname} {endpoint}" for endpoint in endpoints)
        there = f"{counted(len(endpoints), 'endpoint')}{': ' if names else ''}{names}"
        print(f"ready after {seconds:.1f} s: {there}", file=out)
    else:
        complain(arguments, failed)
    if isinstance(failed, ConfigurationError | NotHeadless):
        return exit_code(snapshot, failed)
    return FOUND if failed is None else NONE


def wait(arguments: Arguments, peers: Peers) -> Snapshot:
    """As `Peers.wait_ready`, with a line on stderr for each change of what is there meanwhile."""
    store, seen = peers._store, Snapshot()
    wanted = Readiness.of(
        store,
        arguments.at_least,
        arguments.stable_for,
        arguments.timeout,
        see_self=arguments.see_self,
    )
    call = ready(store, wanted)
    with Progress(lambda: f"waiting for {wanted} of {store}: {state_text(store.snapshot)}"):
        try:
            while True:
                peers._flights.do(next(call))
                if news(store.snapshot) != news(seen):
                    seen = store.snapshot
                    note(f"{store}: {state_text(seen)}")
        except StopIteration as done:
            found: Snapshot = done.value
            return found
