"""What nodes say to one another, and how it is written as JSON. It decides nothing.

Each message tells who speaks: an address may have passed on to another pod, or to this one.
"""

import json
from typing import Any

import attrs

from .entries import BUCKETS, Entry, Stamp

SUMMARY = 16 * BUCKETS
"""Characters."""


@attrs.frozen
class Compare:
    """Is there a difference? This is the summary of my map."""

    node: str
    summary: str


@attrs.frozen
class Differences:
    """In these buckets, of which I hold these stamps. More: there are others."""

    node: str
    buckets: tuple[int, ...]
    stamps: dict[str, Stamp]
    more: bool


@attrs.frozen
class Swap:
    """Hold these entries, and tell me what you then hold of these keys."""

    node: str
    entries: tuple[Entry, ...] = ()
    wanted: tuple[str, ...] = ()


@attrs.frozen
class Swapped:
    """I hold what you gave me, or newer; and here is what you wanted."""

    node: str
    entries: tuple[Entry, ...]


@attrs.frozen
class Look:
    """Tell me how you see the cluster."""

    node: str


@attrs.frozen
class View:
    """I see it like so."""

    node: str
    ready: bool
    keys: int
    state: str
    """That of the answer of DNS: live, stale and so on."""
    fingerprint: str
    """The same for two nodes that hold the same."""
    knows: tuple[str, ...]
    """The other nodes' host names."""


Request = Compare | Swap | Look
Reply = Differences | Swapped | View
Message = Request | Reply


def encode(message: Message) -> bytes:
    """As JSON, with its kind."""
    body = attrs.asdict(message, recurse=False)
    if isinstance(message, Swap | Swapped):
        body["entries"] = [entry.to_json() for entry in message.entries]
    return json.dumps({"kind": type(message).__name__} | body).encode()


def decode(text: bytes) -> Message:
    """Raises `ValueError` for anything that no node says."""
    try:
        body = json.loads(text)
        message: Message = _READERS[body["kind"]](body)
    except (KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"not a message: {error!r}") from error
    return message


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"not text: {value!r}")  # noqa: TRY004 - bad data, as all else here
    return value


def _texts(values: Any) -> tuple[str, ...]:
    return tuple(_text(value) for value in values)


def _number(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"not a number: {value!r}")  # noqa: TRY004 - bad data, as all else here
    return value


def _entries(rows: Any) -> tuple[Entry, ...]:
    return tuple(Entry.from_json(row) for row in rows)


def _compare(body: Any) -> Compare:
    summary = _text(body["summary"])
    if len(summary) != SUMMARY:
        raise ValueError(f"a summary of {len(summary)} characters, not {SUMMARY}")
    return Compare(_text(body["node"]), summary)


def _differences(body: Any) -> Differences:
    return Differences(
        _text(body["node"]),
        tuple(_number(bucket) % BUCKETS for bucket in body["buckets"]),
        {
            _text(key): (_number(version), _text(writer))
            for key, (version, writer) in dict(body["stamps"]).items()
        },
        bool(body["more"]),
    )


_READERS: dict[str, Any] = {
    "Compare": _compare,
    "Differences": _differences,
    "Swap": lambda body: Swap(
        _text(body["node"]), _entries(body["entries"]), _texts(body["wanted"])
    ),
    "Swapped": lambda body: Swapped(_text(body["node"]), _entries(body["entries"])),
    "Look": lambda body: Look(_text(body["node"])),
    "View": lambda body: View(
        _text(body["node"]),
        bool(body["ready"]),
        _number(body["keys"]),
        _text(body["state"]),
        _text(body["fingerprint"]),
        _texts(body["knows"]),
    ),
}
