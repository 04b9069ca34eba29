"""Texts of the API server: JSON that is not too much, messages for people, versions. Pure.

The parser of JSON lets no other code run, in another thread either: it keeps the interpreter's
lock. So what it is given must have an end that is soon reached.
"""

import json
import zlib
from collections.abc import Iterator, Mapping
from email.utils import parsedate_to_datetime
from typing import Any

_MOST_VALUES = 100_000
"""Of one text; a slice that the controller makes has at most 1,000 endpoints with some 35 each."""
_UNCOUNTED = 64 * 1024
"""Bytes: fewer cannot have too many."""
_LONGEST_NUMBER = 20
"""Digits: a longer one takes time that grows with its square."""
_PART = 64 * 1024
"""Bytes that are unpacked without a pause."""
_LONGEST_PAUSE = 300.0
"""Seconds."""
_MOST_WORDS = 14
"""Of what the server says of an error: an error of ours has 25 in all."""
_LONGEST = 160
"""Characters of it."""


class TooManyValuesError(ValueError):
    """It would take too long to parse."""


def _whole(text: str) -> int:
    if len(text) > _LONGEST_NUMBER:
        raise ValueError("a number that is too long")
    return int(text)


_DECODER = json.JSONDecoder(parse_int=_whole, parse_float=str)


def parsed(text: bytes) -> Any:
    """What a JSON text says; raises `ValueError`, `RecursionError`, or `TooManyValuesError`."""
    if len(text) > _UNCOUNTED:
        count = len(text) - len(text.translate(None, b",:[{"))
        if count > _MOST_VALUES:
            raise TooManyValuesError(f"it has {count} values")
    return _DECODER.decode(text.decode())


class Unpacked:
    """A body without its encoding: no encoding is requested, but there are proxies that do so."""

    def __init__(self, encoding: str = "") -> None:
        is_packed = encoding.strip().lower() in ("gzip", "x-gzip")
        self._gzip = zlib.decompressobj(wbits=31) if is_packed else None

    def parts(self, data: bytes) -> Iterator[bytes]:
        """More of it, a little at a time; raises `zlib.error`."""
        if self._gzip is None:
            yield data
            return
        while True:
            part = self._gzip.decompress(data, _PART)
            data = self._gzip.unconsumed_tail
            if self._gzip.eof:  # another member may follow (RFC 1952, 2.2)
                data, self._gzip = self._gzip.unused_data, zlib.decompressobj(wbits=31)
            if not (part or data):
                return
            yield part


def pause_of(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait, if the response says so; a date is compared with its own (RFC 9110)."""
    said = headers.get("retry-after", "")
    try:
        if said.isdecimal():
            seconds = float(said)
        else:
            until, now = map(parsedate_to_datetime, (said, headers.get("date", "")))
            seconds = (until - now).total_seconds()
    except (ValueError, TypeError, OverflowError):
        return None
    return min(max(seconds, 0.0), _LONGEST_PAUSE)


def message_of(status: Any) -> str:
    """What a Status says, for people: on one line, and not too long."""
    said = status.get("message") if isinstance(status, dict) else None
    words = "".join(each if each.isprintable() else " " for each in str(said or "")).split()
    text = " ".join(words[:_MOST_WORDS])
    return text if len(text) <= _LONGEST else text[:_LONGEST].rpartition(" ")[0] or text[:_LONGEST]


def is_lower(version: str, than: str | None) -> bool:
    """Versions are growing whole numbers; anything else is ignored."""
    if than is None or not (version.isdecimal() and than.isdecimal()):
        return False
    return (len(version), version) < (len(than), than)  # however large
