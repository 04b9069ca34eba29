"""``resolve``: one lookup, told."""

import json
import sys
from typing import Any, TextIO

import attrs

from .._clock import Clock
from .._endpoint import Endpoint, Snapshot
from .._errors import ConfigurationError, DiscoveryError
from .._peers import Peers
from .._questions import Origin
from ._exit import exit_code
from ._options import Asked, store_of
from ._show import counted, endpoint_json, error_json, error_text, origin_text, port_text, table


@attrs.frozen
class Resolved:
    """What one lookup came to, and what it took."""

    service: str
    snapshot: Snapshot
    origins: tuple[Origin, ...]
    """Of the snapshot's endpoints, in their order."""
    error: DiscoveryError | None
    queries: tuple[int, int]
    """Over UDP, over TCP."""
    seconds: float


def run(asked: Asked, out: TextIO) -> int:
    """Looks up once and prints what came."""
    found = resolve(asked, Clock())
    if asked.json:
        json.dump(as_json(found), out, indent=2)
        print(file=out)
    elif found.snapshot.endpoints:
        print(as_text(found), file=out)
    if found.error is not None and not asked.json:
        print(error_text(found.error), file=sys.stderr)
    return exit_code(found.snapshot, found.error)


def resolve(asked: Asked, clock: Clock) -> Resolved:
    """One lookup; whatever it comes to is a value."""
    began = clock.now()
    snapshot, queries = Snapshot(), (0, 0)
    origins: tuple[Origin, ...] = ()
    failed: DiscoveryError | None = None
    try:
        peers = store_of(asked)
        snapshot, failed = refreshed(peers)
        origins = tuple(peers._store.origin(endpoint) for endpoint in snapshot.endpoints)
        queries = (peers.stats.queries_udp, peers.stats.queries_tcp)
    except ConfigurationError as error:
        failed = error
    return Resolved(asked.service, snapshot, origins, failed, queries, clock.now() - began)


def refreshed(peers: Peers) -> tuple[Snapshot, DiscoveryError | None]:
    """What is known after one lookup, and the error if there is one, raised or not."""
    try:
        snapshot = peers.refresh()
    except DiscoveryError as error:
        return peers.snapshot, error
    return snapshot, snapshot.error


def as_text(found: Resolved) -> str:
    """A table, and a line about the lookup."""
    endpoints, (udp, tcp) = found.snapshot.endpoints, found.queries
    rows = [
        (e.name, ", ".join(e.addresses), port_text(e), origin_text(origin, e))
        for e, origin in zip(endpoints, found.origins, strict=True)
    ]
    return (
        f"{table(('NAME', 'ADDRESS', 'PORT', 'FROM'), *rows)}\n\n"
        f"{counted(len(endpoints), 'endpoint')}, TTL {found.snapshot.ttl:g} s; queries: "
        f"{udp} over UDP, {tcp} over TCP; {found.seconds * 1000:.1f} ms"
    )


def as_json(found: Resolved) -> dict[str, Any]:
    """As docs/schemas/resolve.json describes it."""

    def with_origin(endpoint: Endpoint, origin: Origin) -> dict[str, Any]:
        return {**endpoint_json(endpoint), "from": str(origin)}

    return {
        "service": found.service,
        "state": str(found.snapshot.state),
        "endpoints": [
            with_origin(endpoint, origin)
            for endpoint, origin in zip(found.snapshot.endpoints, found.origins, strict=True)
        ],
        "ttl": found.snapshot.ttl,
        "queries": {"udp": found.queries[0], "tcp": found.queries[1]},
        "seconds": round(found.seconds, 6),
        "error": error_json(found.error),
    }
