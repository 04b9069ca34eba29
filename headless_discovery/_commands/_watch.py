"""``watch``: the peers as they come and go: a live view, lines of text, or lines of JSON."""

import contextlib
import datetime
import json
import math
import sys
from collections.abc import Callable, Iterator
from typing import Any, TextIO

from .._calls import Wait
from .._endpoint import Change, Endpoint, Snapshot, difference
from .._errors import ConfigurationError
from .._peers import Peers
from ._exit import FOUND, USAGE
from ._options import Asked, store_of
from ._show import counted, endpoint_json, error_text

WallClock = Callable[[], datetime.datetime]


def run(asked: Asked, out: TextIO) -> int:
    """Watches until it is interrupted."""
    try:
        peers = store_of(asked)
    except ConfigurationError as error:
        print(error_text(error), file=sys.stderr)
        return USAGE
    with peers, contextlib.suppress(KeyboardInterrupt):  # which is the way to end it
        _writer(asked, out)(peers, out, _wall_clock)
    return FOUND


def _writer(asked: Asked, out: TextIO) -> Callable[[Peers, TextIO, WallClock], None]:
    """How to show it: as asked, and as the terminal can."""
    if asked.json or not (asked.plain or out.isatty()):
        return write_json
    if not asked.plain:
        with contextlib.suppress(ImportError):  # rich is an extra
            from ._live import can_draw, show  # noqa: PLC0415 - which needs it

            if can_draw(out):
                return show
    return write_text


def follow(peers: Peers, tick: float = math.inf) -> Iterator[Change]:
    """Each difference, of state too; and an empty one each ``tick`` seconds without any.

    It ends when the `Peers`, which asks in the background, is closed.
    """
    store, seen = peers._store, Snapshot()

    def news() -> bool:
        return store.closed or told(store.snapshot) != told(seen)

    while True:
        peers._flights.do(Wait(news, store.clock.now() + tick))
        if store.closed:
            return
        change = difference(seen.endpoints, store.snapshot)
        seen = change.snapshot
        yield change


def told(snapshot: Snapshot) -> tuple[object, ...]:
    """What a reader is told of: a reason in other words is no news."""
    return (snapshot.endpoints, snapshot.departing, snapshot.state, type(snapshot.error))


def write_json(peers: Peers, out: TextIO, wall_clock: WallClock) -> None:
    """One line for each change, as docs/schemas/watch.json describes it."""
    for change in follow(peers):
        print(json.dumps(as_json(str(peers._store), change, wall_clock())), file=out, flush=True)


def as_json(service: str, change: Change, at: datetime.datetime) -> dict[str, Any]:
    """One line."""
    snapshot = change.snapshot
    return {
        "at": at.isoformat(timespec="milliseconds"),
        "service": service,
        "state": str(snapshot.state),
        "reason": snapshot.reason,
        "ttl": snapshot.ttl,
        "added": [endpoint_json(endpoint) for endpoint in change.added],
        "removed": [endpoint_json(endpoint) for endpoint in change.removed],
        "moved": [
            {"old": endpoint_json(old), "new": endpoint_json(new)} for old, new in change.moved
        ],
        "departing": [endpoint.name for endpoint in snapshot.departing],
        "endpoints": len(snapshot.endpoints),
    }


def write_text(peers: Peers, out: TextIO, wall_clock: WallClock) -> None:
    """Lines of text, for a terminal without rich."""
    before: tuple[object, ...] = ()
    for change in follow(peers):
        snapshot, at = change.snapshot, f"{wall_clock():%H:%M:%S}"
        state = (snapshot.state, type(snapshot.error), len(snapshot.endpoints))
        for line in lines_of(change):
            print(f"{at}  {line}", file=out)
        if state != before:
            print(f"{at}  {state_text(snapshot)}", file=out)
            before = state
        out.flush()


def lines_of(change: Change) -> Iterator[str]:
    """What changed, a line each: ``+`` added, ``-`` removed, ``~`` moved."""
    for endpoint in change.added:
        yield f"+ {_short(endpoint)}"
    for endpoint in change.removed:
        yield f"- {_short(endpoint)}"
    for old, new in change.moved:
        yield f"~ {new.hostname}  {old} -> {new}"


def state_text(snapshot: Snapshot) -> str:
    """``live, 3 endpoints``, with the reason if it is anything else."""
    text = f"{snapshot.state}, {counted(len(snapshot.endpoints), 'endpoint')}"
    return f"{text}: {snapshot.reason}" if snapshot.reason else text


def _short(endpoint: Endpoint) -> str:
    return f"{endpoint.hostname}  {endpoint}"


def _wall_clock() -> datetime.datetime:
    return datetime.datetime.now().astimezone()
