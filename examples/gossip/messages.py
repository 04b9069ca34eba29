"""What nodes say to one another, and how it is written as JSON. It decides nothing.

Each message tells who speaks: an address may have passed on to another pod, or to this one.
"""

import json
import reprlib
from collections.abc import Callable, Mapping
from typing import Any

import attrs

from .entries import BUCKETS, MAX_VERSION, Entry, Stamp, check, check_version

SUMMARY = 16 * BUCKETS
"""Characters."""
MAX_MESSAGE = 16 * 2**20
"""Bytes: more than any node says. And of what it lists:"""
MAX_ITEMS = 100_000


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
    """Raises `ValueError` for anything that no node says, whatever it is."""
    if len(text) > MAX_MESSAGE:
        raise ValueError(f"a message of more than {MAX_MESSAGE} bytes")
    try:
        body = json.loads(text)
    except RecursionError as error:
        raise ValueError("not a message: nested too deeply") from error
    kind = body.get("kind") if isinstance(body, dict) else None
    if not isinstance(kind, str) or kind not in _READERS:
        raise ValueError(f"not a message: {reprlib.repr(body)}")
    return _READERS[kind](body)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"not text: {reprlib.repr(value)}")  # noqa: TRY004 - bad data, as all here
    check(value, None)
    return value


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"not true or false: {reprlib.repr(value)}")  # noqa: TRY004 - the same
    return value


def _number(value: object, end: int) -> int:
    if type(value) is not int or not 0 <= value < end:
        raise ValueError(f"not a number from 0 to {end - 1}: {reprlib.repr(value)}")
    return value


def _many(values: object, kind: type[list[Any]] | type[dict[Any, Any]] = list) -> Any:
    if not isinstance(values, kind) or len(values) > MAX_ITEMS:
        raise ValueError(f"not a {kind.__name__}, or too long: {reprlib.repr(values)}")
    return values


def _texts(values: object) -> tuple[str, ...]:
    return tuple(map(_text, _many(values)))


def _entries(rows: object) -> tuple[Entry, ...]:
    return tuple(map(Entry.from_json, _many(rows)))


def _stamp(value: object) -> Stamp:
    match value:
        case [version, writer]:
            return check_version(version), _text(writer)
    raise ValueError(f"not a stamp: {reprlib.repr(value)}")


def _compare(body: Mapping[str, object]) -> Compare:
    summary = body.get("summary")
    if not isinstance(summary, str) or len(summary) != SUMMARY:
        raise ValueError(f"not a summary of {SUMMARY} characters: {reprlib.repr(summary)}")
    return Compare(_text(body.get("node")), summary)


def _differences(body: Mapping[str, object]) -> Differences:
    buckets = [_number(bucket, BUCKETS) for bucket in _many(body.get("buckets"))]
    stamps = _many(body.get("stamps"), dict)
    return Differences(
        _text(body.get("node")),
        tuple(dict.fromkeys(buckets)),
        {_text(key): _stamp(stamp) for key, stamp in stamps.items()},
        _flag(body.get("more")),
    )


_READERS: dict[str, Callable[[Mapping[str, object]], Message]] = {
    "Compare": _compare,
    "Differences": _differences,
    "Swap": lambda body: Swap(
        _text(body.get("node")), _entries(body.get("entries")), _texts(body.get("wanted"))
    ),
    "Swapped": lambda body: Swapped(_text(body.get("node")), _entries(body.get("entries"))),
    "Look": lambda body: Look(_text(body.get("node"))),
    "View": lambda body: View(
        _text(body.get("node")),
        _flag(body.get("ready")),
        _number(body.get("keys"), MAX_VERSION),
        _text(body.get("state")),
        _text(body.get("fingerprint")),
        _texts(body.get("knows")),
    ),
}
