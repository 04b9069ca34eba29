"""Texts of the API server: JSON that is not too much, messages for people, versions. Pure.

The parser of JSON lets no other code run, in another thread either: it keeps the interpreter's
lock. So what it is given must have an end that is soon reached.
"""

import json
from typing import Any

_MOST_VALUES = 100_000
"""Of one text; a slice that the controller makes has at most 1,000 endpoints with some 35 each."""
_UNCOUNTED = 64 * 1024
"""Bytes: fewer cannot have too many."""
_LONGEST_NUMBER = 20
"""Digits: a longer one takes time that grows with its square."""
_MOST_WORDS = 14
"""Of what the server says of an error: an error of ours has 25 in all."""


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


def message_of(status: Any) -> str:
    """What a Status says, for people: on one line, and not too long."""
    said = status.get("message") if isinstance(status, dict) else None
    words = "".join(filter(str.isprintable, str(said or ""))).split()
    return " ".join(words[:_MOST_WORDS])[:160]


def is_lower(version: str, than: str | None) -> bool:
    """Versions are growing whole numbers; anything else is ignored."""
    if than is None or not (version.isdecimal() and than.isdecimal()):
        return False
    return (len(version), version) < (len(than), than)  # however large
