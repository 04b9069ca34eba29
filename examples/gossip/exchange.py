"""Anti-entropy: how two maps become equal by two questions. Pure functions of maps and messages.

First the summaries are compared. Where they differ, one side tells its stamps; the other gives what
is newer here, and asks for what is newer there. Messages are bounded: what does not fit now is a
difference still at the next exchange.
"""

from collections.abc import Iterable

from .entries import Entry, Map, Stamp, differing
from .messages import Compare, Differences, Swap, Swapped

MAX_STAMPS = 2_000
"""But always one bucket."""
MAX_WEIGHT = 1_000_000
"""Characters of the entries in one message; but always one entry."""


def differences(held: Map, asked: Compare, node: str) -> Differences:
    """The answer to a summary."""
    there_are = differing(held.summary(), asked.summary)
    listed: list[int] = []
    stamps: dict[str, Stamp] = {}
    for number in there_are:
        of_bucket = {entry.key: entry.stamp for entry in held.bucket(number)}
        if listed and len(stamps) + len(of_bucket) > MAX_STAMPS:
            break
        listed.append(number)
        stamps.update(of_bucket)
    return Differences(node, tuple(listed), stamps, more=len(listed) < len(there_are))


def to_swap(held: Map, theirs: Differences, node: str) -> Swap | None:
    """What to give and to ask for, once the differences are known; ``None``: there are none."""
    ours = {entry.key: entry for number in theirs.buckets for entry in held.bucket(number)}
    given = [entry for key, entry in ours.items() if theirs.stamps.get(key, (0, "")) < entry.stamp]
    wanted = [
        key
        for key, stamp in theirs.stamps.items()
        if (held_entry := ours.get(key)) is None or held_entry.stamp < stamp
    ]
    if not given and not wanted:
        return None
    return Swap(node, fitting(given), tuple(wanted))


def swapped(held: Map, asked: Swap, node: str) -> Swapped:
    """What is held of the keys that were wanted."""
    found = (held.get(key) for key in asked.wanted)
    return Swapped(node, fitting(entry for entry in found if entry is not None))


def fitting(entries: Iterable[Entry]) -> tuple[Entry, ...]:
    """As many as fit into one message."""
    found: list[Entry] = []
    weight = 0
    for entry in entries:
        weight += len(entry.key) + len(entry.value or "")
        if found and weight > MAX_WEIGHT:
            break
        found.append(entry)
    return tuple(found)
