"""``watch``: the peers as they come and go: a live view, lines of text, or lines of JSON."""

import contextlib
import datetime
import io
import json
import select
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TextIO

from .._endpoint import Change, Snapshot, State, difference
from .._errors import ConfigurationError
from .._peers import Peers
from .._store.steps import Wait
from ._messages import complain
from ._options import FOUND, USAGE, Arguments, peers_of
from ._show import (
    Moment,
    can_redraw,
    counts_text,
    endpoint_json,
    lines_of,
    news,
    state_text,
)

_TICK = 0.25
"""Seconds between two updates of the countdown of the live view."""
_LOOK_AGAIN = 1.0
"""Seconds: how soon it is noticed that the reader of a pipe has gone."""


def run(arguments: Arguments) -> int:
    """Watches until it is interrupted."""
    try:
        with peers_of(arguments) as peers:
            _show(peers, arguments)
    except ConfigurationError as error:
        complain(arguments, error)
        return USAGE
    return FOUND  # pragma: no cover - an interrupt ends it, see `main`


def _show(peers: Peers, arguments: Arguments) -> None:
    out = arguments.out
    if arguments.json or not (arguments.plain or out.isatty()):
        for change in _follow(peers, out):  # pragma: no branch - an interrupt ends it
            print(json.dumps(_as_json(str(peers._store), change)), file=out, flush=True)
    draw = drawing(arguments)
    moments = (
        Moment(f"{datetime.datetime.now():%H:%M:%S}", change, peers)
        for change in _follow(peers, out if draw is None else None)
    )
    if draw is None:
        print_lines(moments, out, reasons=True)
    else:
        draw(moments, out, lambda: f"{peers._store}: {state_text(peers.snapshot)}")


def _follow(peers: Peers, out: TextIO | None) -> Iterator[Change]:
    """Each difference, of state too, while ``out`` has a reader; without it, a few a second.

    The `Peers` is refreshed in the background. Raises `ConfigurationError` if it cannot be.
    """
    store, seen = peers._store, Snapshot()
    tick = _TICK if out is None else _LOOK_AGAIN

    def is_news() -> bool:
        return news(store.snapshot) != news(seen)

    while True:
        peers._flights.do(Wait(is_news, store.clock.now() + tick))
        error = store.snapshot.error
        if isinstance(error, ConfigurationError) and store.snapshot.state is State.PENDING:
            raise error
        if out is not None and not is_news():
            _expect_reader(out)
            continue
        change = difference(seen.endpoints, store.snapshot)
        seen = change.snapshot
        yield change


def _expect_reader(out: TextIO) -> None:
    """Raises `BrokenPipeError`, as a write would, if the other end of a pipe is closed."""
    with contextlib.suppress(AttributeError, io.UnsupportedOperation):  # no poll, or no file
        poll = select.poll()
        poll.register(out.fileno(), 0)
        if poll.poll(0):
            raise BrokenPipeError


def _as_json(service: str, change: Change) -> dict[str, Any]:
    """One line, as docs/schemas/watch.json describes it."""
    snapshot = change.snapshot
    return {
        "at": datetime.datetime.now().astimezone().isoformat(timespec="milliseconds"),
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


def print_lines(moments: Iterable[Moment], out: TextIO, *, reasons: bool) -> None:
    """What happens, in lines of text."""
    title, before = "", ""
    for moment in moments:
        snapshot = moment.change.snapshot
        lines = [f"{moment.at}  {line}" for line in lines_of(moment.change)]
        if moment.title != title:
            title = moment.title
            lines.insert(0, f"\n{title}")
        state = f"{counts_text(snapshot)} {type(snapshot.error)}"
        if state != before:
            before = state
            lines.append(f"{moment.at}  {(state_text if reasons else counts_text)(snapshot)}")
        if lines:
            print("\n".join(lines), file=out, flush=True)


Draw = Callable[[Iterable[Moment], TextIO, Callable[[], str]], None]
"""Shows moments on a terminal; the last argument says what stays there at the end."""


def drawing(arguments: Arguments) -> Draw | None:
    """How to draw; ``None``: it is not wanted, or the terminal cannot, or rich is not there."""
    if not arguments.plain and can_redraw(arguments.out):
        with contextlib.suppress(ImportError):  # rich is an extra
            from ._live import draw  # noqa: PLC0415 - which needs it

            return draw
    return None
