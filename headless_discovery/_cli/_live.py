"""The live view, with rich."""

import collections
import shutil
from collections.abc import Callable, Iterable
from typing import TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from .._endpoint import Snapshot, State
from ._show import Moment, counted, in_order, lines_of, port_text

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


def draw(moments: Iterable[Moment], out: TextIO, last: Callable[[], str]) -> None:
    """Draws until there are no further moments; what is said last stays on the terminal."""
    console = Console(file=out)
    if not console.width:  # $COLUMNS is 0, as some programs that run others have it
        console.width = shutil.get_terminal_size().columns
    changes: collections.deque[Text] = collections.deque(maxlen=_CHANGES)  # the newest first
    state: State | None = None
    with Live(console=console, screen=True, auto_refresh=False) as live:
        try:
            for moment in moments:
                snapshot = moment.change.snapshot
                if state not in (None, State.PENDING):  # what was there at first is no change
                    changes.extendleft(_line(moment.at, line) for line in lines_of(moment.change))
                if snapshot.state is not state:
                    state = snapshot.state
                    changes.appendleft(_line(moment.at, str(state)))
                live.update(_picture(moment, [*changes], console.width, console.height))
                live.refresh()
        finally:
            live.stop()  # the screen is the terminal's own again
            console.print(last(), highlight=False, markup=False)


def _picture(moment: Moment, changes: list[Text], width: int, height: int) -> RenderableType:
    """All that is drawn, in that many columns and lines."""
    snapshot, stats, store = moment.change.snapshot, moment.peers.stats, moment.peers._store
    parts: list[RenderableType] = []
    if moment.title:
        title = Text(f"{moment.at.strip()}  {moment.title}\n", style="bold cyan")
        height -= len(_wrapped(title, width))
        parts.append(title)
    state = Text(f"{snapshot.state}", style=f"bold {_COLOURS[snapshot.state]}")
    state.append(f", {counted(len(snapshot.endpoints), 'endpoint')}", style="not bold default")
    if snapshot.reason:  # whole sentences, but never more than a third of the screen
        lines = _wrapped(Text(snapshot.reason), width)[: max(height // 3, 1)]
        state.append("".join(f"\n{line}" for line in lines))
    ttl = "" if snapshot.ttl is None else f"TTL {snapshot.ttl:g} s, "
    about = (
        f"{ttl}next lookup in {max(store.next_turn - store.clock.now(), 0):.0f} s; "
        f"{counted(stats.lookups, 'lookup')} ({stats.unknown + stats.wrong} failed), "
        f"{stats.queries_udp} over UDP, {stats.queries_tcp} over TCP"
    )
    parts += [_one_line(str(store), "bold"), state, _one_line(about, "dim")]
    changes = changes[: height // 4] if height >= _LOW else []
    taken = 3 + state.plain.count("\n") + bool(changes) * (len(changes) + 2)
    room = max(height - taken - 4, 1)  # titles, the line below them, "and more", the last line
    if snapshot.endpoints:
        parts.append(_endpoints(snapshot, narrow=width < _NARROW, room=room))
        if len(snapshot.endpoints) > room:
            parts.append(Text(f"and {len(snapshot.endpoints) - room:,} more", style="dim"))
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


def _line(at: str, line: str) -> Text:
    """A change, or a state."""
    return _one_line(f"{at}  ").append(line, style=_SIGNS.get(line[0], "default"))


def _one_line(text: str, style: str = "") -> Text:
    return Text(text, style=style, no_wrap=True, overflow="ellipsis")


def _wrapped(text: Text, width: int) -> list[str]:
    return [line.plain for line in text.wrap(Console(width=width, color_system=None), width)]
