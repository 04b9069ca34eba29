"""``watch``: the peers as they come and go: a live view, lines of text, or lines of JSON."""

import contextlib
import datetime
import json
import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TextIO

from .._endpoint import Change, Snapshot, difference
from .._errors import ConfigurationError
from .._peers import Peers
from .._store.steps import Wait
from ._messages import complain
from ._options import FOUND, USAGE, Arguments, peers_of
from ._show import endpoint_json, lines_of, news, state_text

WallClock = Callable[[], datetime.datetime]
Writer = Callable[[Peers, Iterable[Change], TextIO, WallClock], None]

_TICK = 0.25
"""Seconds between two updates of the countdown of the live view."""


def run(arguments: Arguments, out: TextIO) -> int:
    """Watches until it is interrupted."""
    try:
        peers = peers_of(arguments)
    except ConfigurationError as error:
        complain(arguments, error)
        return USAGE
    write, tick = writer_for(arguments, out)
    with peers, contextlib.suppress(KeyboardInterrupt):  # which is the way to end it
        write(peers, follow(peers, tick), out, _wall_clock)
    return FOUND


def writer_for(arguments: Arguments, out: TextIO) -> tuple[Writer, float]:
    """How to show it, by the options and the terminal; and the seconds between updates."""
    if arguments.json or not (arguments.plain or out.isatty()):
        return write_json, math.inf
    if not arguments.plain:
        with contextlib.suppress(ImportError):  # rich is an extra
            from ._live import can_draw, show  # noqa: PLC0415 - which needs it

            if can_draw(out):
                return show, _TICK
    return write_text, math.inf


def follow(peers: Peers, tick: float = math.inf) -> Iterator[Change]:
    """Each difference, of state too; and an empty one each ``tick`` seconds without any.

    It ends when the `Peers`, which is refreshed in the background, is closed.
    """
    store, seen = peers._store, Snapshot()

    def is_news() -> bool:
        return store.closed or news(store.snapshot) != news(seen)

    while True:
        peers._flights.do(Wait(is_news, store.clock.now() + tick))
        if store.closed:
            return
        change = difference(seen.endpoints, store.snapshot)
        seen = change.snapshot
        yield change


def write_json(peers: Peers, changes: Iterable[Change], out: TextIO, wall_clock: WallClock) -> None:
    """One line for each change, as docs/schemas/watch.json describes it."""
    for change in changes:
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


def write_text(
    peers: Peers,  # noqa: ARG001 - the writers are called alike
    changes: Iterable[Change],
    out: TextIO,
    wall_clock: WallClock,
) -> None:
    """Lines of text, for a terminal without rich."""
    before: tuple[object, ...] = ()
    for change in changes:
        snapshot, at = change.snapshot, f"{wall_clock():%H:%M:%S}"
        state = (snapshot.state, type(snapshot.error), len(snapshot.endpoints))
        for line in lines_of(change):
            print(f"{at}  {line}", file=out)
        if state != before:
            print(f"{at}  {state_text(snapshot)}", file=out)
            before = state
        out.flush()


def _wall_clock() -> datetime.datetime:
    return datetime.datetime.now().astimezone()
