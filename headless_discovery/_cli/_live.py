"""The live view, with rich: `picture` is a function of it, `show` and `show_tour` draw it."""

import collections
import datetime
from collections.abc import Callable, Iterable, Sequence
from typing import TextIO

import attrs
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from .._endpoint import Change, Snapshot, State, Stats
from .._peers import Peers
from ._show import Moment, counted, in_order, lines_of, port_text, state_text

_COLOURS = {
    State.PENDING: "yellow", State.LIVE: "green", State.STALE: "yellow", State.EMPTY: "red",
}  # fmt: skip
_SIGNS = {"+": "green", "-": "red", "~": "cyan"}
_CHANGES = 6
"""How many of the last changes are shown."""
_LOW = 12
"""With fewer lines, changes are not shown."""
_NARROW = 72
"""Columns below which the pods go by their host names alone."""


@attrs.frozen
class LiveView:
    """All that is drawn."""

    service: str
    snapshot: Snapshot
    stats: Stats
    due_in: float
    """Seconds to the next lookup."""
    changes: Sequence[tuple[datetime.datetime, str]] = ()
    """The newest first."""


def picture(view: LiveView, width: int, height: int) -> RenderableType:
    """The view, in that many columns and lines."""
    snapshot, stats = view.snapshot, view.stats
    head = Text(view.service, style="bold", no_wrap=True, overflow="ellipsis")
    state = Text(f"{snapshot.state}", style=f"bold {_COLOURS[snapshot.state]}")
    state.append(f", {counted(len(snapshot.endpoints), 'endpoint')}", style="not bold default")
    if snapshot.reason:
        # Whole sentences, but never more than a third of the screen.
        wrapped = Text(snapshot.reason).wrap(Console(width=width, color_system=None), width)
        state.append("\n" + "\n".join(line.plain for line in wrapped[: max(height // 3, 1)]))
    ttl = "" if snapshot.ttl is None else f"TTL {snapshot.ttl:g} s, "
    about = Text(
        f"{ttl}next lookup in {max(view.due_in, 0):.0f} s; "
        f"{counted(stats.lookups, 'lookup')} ({stats.unknown + stats.wrong} failed), "
        f"{stats.queries_udp} over UDP, {stats.queries_tcp} over TCP",
        style="dim",
        no_wrap=True,
        overflow="ellipsis",
    )
    shown = view.changes[: min(_CHANGES, height // 4)] if height >= _LOW else ()
    changes = [_change_line(at, line) for at, line in shown]
    taken = 3 + state.plain.count("\n") + bool(changes) * (len(changes) + 2)
    room = max(height - taken - 4, 1)  # titles, the line below them, "and more", the last line
    parts: list[RenderableType] = [head, state, about]
    if snapshot.endpoints:
        parts.append(_endpoints(snapshot, narrow=width < _NARROW, room=room))
        if len(snapshot.endpoints) > room:
            parts.append(Text(f"and {len(snapshot.endpoints) - room} more", style="dim"))
    if changes:
        parts += [Text("\nlast changes", style="bold"), *changes]
    return Group(*parts)


def _endpoints(snapshot: Snapshot, *, narrow: bool, room: int) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for title in ("NAME", "ADDRESS", "PORT", ""):
        table.add_column(title, no_wrap=True, overflow="ellipsis")
    departing = set(snapshot.departing)
    for endpoint in in_order(snapshot.endpoints)[:room]:
        leaves = endpoint in departing
        table.add_row(
            endpoint.hostname if narrow else endpoint.name,
            endpoint.address,
            port_text(endpoint),
            "departing" if leaves else "",
            style="dim" if leaves else None,
        )
    return table


def _change_line(at: datetime.datetime, line: str) -> Text:
    text = Text(f"{at:%H:%M:%S}  ", no_wrap=True, overflow="ellipsis")
    return text.append(line, style=_SIGNS.get(line[0], "default"))


def can_draw(out: TextIO) -> bool:
    """Whether this is a terminal on which lines can be redrawn."""
    console = Console(file=out)
    return console.is_terminal and not console.is_dumb_terminal


class _Following:
    """A `LiveView` after the other, with the last changes."""

    def __init__(self) -> None:
        self._changes: collections.deque[tuple[datetime.datetime, str]] = collections.deque(
            maxlen=_CHANGES
        )
        self._state: State | None = None

    def view(self, peers: Peers, change: Change, at: datetime.datetime) -> LiveView:
        """What there is to see after this change."""
        store, snapshot = peers._store, change.snapshot
        if self._state not in (None, State.PENDING):  # what was there at first is no change
            self._changes.extendleft((at, line) for line in lines_of(change))
        if snapshot.state is not self._state:
            self._state = snapshot.state
            self._changes.appendleft((at, str(snapshot.state)))
        due_in = store.next_turn - store.clock.now()
        return LiveView(str(store), snapshot, peers.stats, due_in, tuple(self._changes))


def show(
    peers: Peers,
    changes: Iterable[Change],
    out: TextIO,
    wall_clock: Callable[[], datetime.datetime],
) -> None:
    """Draws until there are no further changes."""
    console, following = Console(file=out), _Following()
    with Live(console=console, screen=True, auto_refresh=False) as live:
        try:
            for change in changes:
                view = following.view(peers, change, wall_clock())
                live.update(picture(view, console.width, console.height), refresh=True)
        finally:
            live.stop()
            # The screen is the terminal's own again: leave there what was known last.
            last = f"{peers._store}: {state_text(peers.snapshot)}"
            console.print(last, highlight=False, markup=False)


def show_tour(moments: Iterable[Moment], out: TextIO, pause: Callable[[], object]) -> None:
    """Draws the tour of ``demo``, at the pace of ``pause``."""
    console, following = Console(file=out), _Following()
    with Live(console=console, screen=True, auto_refresh=False) as live:
        for moment in moments:
            view = following.view(moment.peers, moment.change, moment.at)
            title = Text(f"{moment.elapsed} s  {moment.title}\n", style="bold cyan")
            lines = len(title.wrap(console, console.width))
            drawn = picture(view, console.width, console.height - lines)
            live.update(Group(title, drawn), refresh=True)
            pause()
    console.print("The demo has ended; headless-discovery demo --plain shows it as text.")
