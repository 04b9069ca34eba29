"""What a node holds survives its crash: a file of entries, one JSON row a line.

Entries are on the disk before anybody is told that they are held.
"""

import asyncio
import json
import os
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Protocol

from .entries import Entry, Map

_SLACK = 1_000
"""Lines that no longer count, before the file is written anew."""


class Disk(Protocol):
    """What a node needs of it."""

    def load(self) -> list[Entry]:
        """What was held."""
        ...

    async def append(self, entries: Iterable[Entry], held: Map) -> None:
        """Returns once they are safe; ``held`` is what else is, and will do in its place."""
        ...


class Journal:
    """A file. One `append` at a time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lines = 0

    def load(self) -> list[Entry]:
        """What was held, and writes the file anew.

        A last line that was cut by a crash is left out: nobody was told that it is held. Raises
        `ValueError` for a file that says anything else.
        """
        entries: list[Entry] = []
        if self._path.exists():
            *lines, _cut = self._path.read_bytes().split(b"\n")
            for number, line in enumerate(lines, 1):
                try:
                    entries.append(Entry.from_json(json.loads(line)))
                except ValueError as error:
                    raise ValueError(f"{self._path}, line {number}: {error}") from error
        newest = {entry.key: entry for entry in sorted(entries, key=lambda one: one.stamp)}
        self._rewrite(newest.values())
        return list(newest.values())

    async def append(self, entries: Iterable[Entry], held: Map) -> None:
        """In a thread: a slow disk does not stall the event loop."""
        text = _text(entries)
        whole = None
        if self._lines > 2 * len(held) + _SLACK:
            whole = list(held)
        await asyncio.to_thread(self._append, text, whole)

    def _append(self, text: bytes, whole: list[Entry] | None) -> None:
        if whole is not None:
            self._rewrite(whole)
        with self._path.open("ab") as file:
            before = file.tell()
            try:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            except OSError:
                # A full disk: half a line must not be gone on with.
                os.truncate(self._path, before)
                raise
        self._lines += text.count(b"\n")

    def _rewrite(self, entries: Collection[Entry]) -> None:
        """There is the old file or the new one, whole, whenever it is cut short."""
        new = self._path.with_suffix(".new")
        with new.open("wb") as file:
            file.write(_text(entries))
            file.flush()
            os.fsync(file.fileno())
        new.replace(self._path)
        folder = os.open(self._path.parent, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)
        self._lines = len(entries)


def _text(entries: Iterable[Entry]) -> bytes:
    return b"".join(json.dumps(entry.to_json()).encode() + b"\n" for entry in entries)
