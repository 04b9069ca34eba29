"""Values as text and as JSON, and what a stream can show of them."""

import json
import os
import re
import shutil
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TextIO

import attrs

from .._dns.wanted import Origin
from .._endpoint import Change, Endpoint, Snapshot
from .._peers import Peers

_ORIGINS = {
    Origin.GLUE: "SRV glue",
    Origin.TARGET: "SRV + {}",
    Origin.POINTER: "{} + PTR",
    Origin.DASHED: "{} + dashed name",
}


def origin_text(origin: Origin | None, endpoint: Endpoint) -> str:
    """For people: ``SRV glue``, ``A + PTR``; ``None``: not from DNS."""
    if origin is None:
        return "EndpointSlice"
    return _ORIGINS[origin].format("AAAA" if ":" in endpoint.address else "A")


def in_order(endpoints: Iterable[Endpoint]) -> list[Endpoint]:
    """As people count: ``web-2`` before ``web-10``."""
    return sorted(endpoints, key=lambda endpoint: _numbers_as_such(endpoint.name))


def _numbers_as_such(name: str) -> list[tuple[int, str]]:
    # Digits and what stands between them alternate, so numbers are compared with numbers.
    return [(int(part) if part.isdecimal() else 0, part) for part in re.split(r"(\d+)", name)]


def port_text(endpoint: Endpoint) -> str:
    """The port's number, or a dash."""
    return "-" if endpoint.port is None else str(endpoint.port)


def table(*rows: Sequence[str]) -> str:
    """Columns as wide as they need be, the first row their titles."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def fitted(text: str, width: int | None, first: str = "", others: str = "") -> list[str]:
    """Sentences in lines of that width, if there is one; lines to be pasted as they are."""
    lines: list[str] = []
    for line in text.splitlines():
        if width is None or line.startswith("  "):
            lines.append((others if lines else first) + line)
        else:
            lines += textwrap.wrap(
                line,
                max(width, 40),
                initial_indent=others if lines else first,
                subsequent_indent=others,
                break_long_words=False,
                break_on_hyphens=False,
            )
    return lines


def width_of(stream: TextIO) -> int | None:
    """The columns of a terminal; ``None``: it is none, and lines stay whole."""
    return shutil.get_terminal_size().columns if stream.isatty() else None


def can_redraw(stream: TextIO) -> bool:
    """Whether it is a terminal that knows more than lines of text."""
    return stream.isatty() and os.environ.get("TERM") not in (None, "", "dumb", "unknown")


def print_json(found: object, out: TextIO) -> None:
    """One object, for programs and for readers."""
    print(json.dumps(found, indent=2), file=out)


def endpoint_json(endpoint: Endpoint) -> dict[str, Any]:
    """An endpoint, in every command's JSON."""
    return {
        "name": endpoint.name,
        "hostname": endpoint.hostname,
        "ordinal": endpoint.ordinal,
        "address": endpoint.address,
        "addresses": list(endpoint.addresses),
        "port": endpoint.port,
        "zone": endpoint.zone,
        "node": endpoint.node,
    }


def counted(number: int, noun: str) -> str:
    """``1 endpoint``, ``2 endpoints``, ``3 addresses``, ``1,000 pods``."""
    plural = "es" if noun.endswith("s") else "s"
    return f"{number:,} {noun}{'' if number == 1 else plural}"


def listed(texts: Iterable[str]) -> str:
    """The first five of them in order, and how many more there are."""
    found = sorted(texts, key=_numbers_as_such)
    more = f" and {len(found) - 5} more" if len(found) > 5 else ""
    return (", ".join(found[:5]) or "none") + more


def news(snapshot: Snapshot) -> tuple[object, ...]:
    """What a reader is shown; a reason in other words is no news."""
    return (snapshot.endpoints, snapshot.departing, snapshot.state, type(snapshot.error))


def lines_of(change: Change) -> Iterator[str]:
    """What changed, a line each: ``+`` added, ``-`` removed, ``~`` moved."""
    for sign, endpoints in (("+", change.added), ("-", change.removed)):
        for endpoint in in_order(endpoints):
            yield f"{sign} {endpoint.hostname}  {endpoint}"
    for old, new in change.moved:
        yield f"~ {new.hostname}  {old} -> {new}"


def counts_text(snapshot: Snapshot) -> str:
    """``live, 3 endpoints, 1 departing``."""
    departing = f", {len(snapshot.departing):,} departing" if snapshot.departing else ""
    return f"{snapshot.state}, {counted(len(snapshot.endpoints), 'endpoint')}{departing}"


def state_text(snapshot: Snapshot) -> str:
    """The same, with the reason if the state is anything but live."""
    reason = f": {snapshot.reason}" if snapshot.reason else ""
    return counts_text(snapshot) + reason


@attrs.frozen
class Moment:
    """A change, or a moment without one."""

    at: str
    """When, for people."""
    change: Change
    peers: Peers
    title: str = ""
    """What happens, where that is known."""
