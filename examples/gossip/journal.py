"""What a node holds survives its crash: a file of entries, one a line, each behind its checksum.

Entries are on the disk before they are acknowledged. So what a crash or a full disk
leaves behind the last whole line was not acknowledged, and goes before more is written.
"""

import asyncio
import json
import logging
import os
import threading
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from .entries import Entry, Map

log = logging.getLogger(__name__)

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
    """A file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lines = 0
        self._end: int | None = None  # bytes that are safe; None: not looked at yet
        # An append whose caller was cancelled goes on in its thread: the next one waits for it.
        self._writing = threading.Lock()

    def load(self) -> list[Entry]:
        """What was held.

        A last line that was cut by a crash is left out: it was not acknowledged. Raises
        `ValueError` for a file that says anything else: it was damaged since it was written.
        """
        data = self._path.read_bytes() if self._path.exists() else b""
        *lines, cut = data.split(b"\n")
        if cut and _is_whole(cut[:-1]):
            lines.append(cut)  # not cut: its end was changed
        entries = []
        for number, line in enumerate(lines, 1):
            try:
                entries.append(_entry(line))
            except (ValueError, RecursionError) as error:
                raise ValueError(
                    f"{self._path}, line {number}: {error}: the file is damaged; take it away, and "
                    f"this node starts from what the others hold"
                ) from error
        self._lines, self._end = len(lines), len(data) - len(cut)
        newest = {entry.key: entry for entry in sorted(entries, key=lambda one: one.stamp)}
        return list(newest.values())

    async def append(self, entries: Iterable[Entry], held: Map) -> None:
        """In a thread: a slow disk does not stall the event loop."""
        lines = [_line(entry) for entry in entries]
        whole = None
        if self._lines > 2 * len(held) + _SLACK:
            whole = list(held)
        await asyncio.to_thread(self._append, lines, whole)

    def _append(self, lines: list[bytes], whole: list[Entry] | None) -> None:
        with self._writing:
            if self._end is None:
                self.load()
            if whole is not None:
                self._rewrite(whole)
            end = self._end or 0
            file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
            try:
                os.ftruncate(file, end)
                self._end = end + _write(file, b"".join(lines), end)
            finally:
                try:
                    if self._end == end:
                        os.ftruncate(file, end)  # room again; if it fails, the next append does it
                finally:
                    os.close(file)
            self._lines += len(lines)
            if not end:
                self._sync_folder()

    def _rewrite(self, entries: list[Entry]) -> None:
        """There is the old file or the new one, whole, whenever it is cut short."""
        new = self._path.with_suffix(".new")
        try:
            file = os.open(new, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644)
            try:
                end = _write(file, b"".join(map(_line, entries)), 0)
            finally:
                os.close(file)
        except OSError as error:
            # The old file is whole, and may be gone on with: it is tried again after as many lines.
            log.warning("%s cannot be written anew: %s", self._path, error)
            new.unlink(missing_ok=True)
            self._lines = 0
            return
        new.replace(self._path)
        self._lines, self._end = len(entries), end
        self._sync_folder()

    def _sync_folder(self) -> None:
        folder = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _write(file: int, data: bytes, at: int) -> int:
    """Returns how many bytes are on the disk: all of them."""
    left = memoryview(data)
    while left:
        written = os.pwrite(file, left, at)
        left, at = left[written:], at + written
    os.fsync(file)
    return len(data)


def _line(entry: Entry) -> bytes:
    text = json.dumps(entry.to_json()).encode()
    return b"%08x %s\n" % (zlib.crc32(text), text)


def _is_whole(line: bytes) -> bool:
    return line[:9] == b"%08x " % zlib.crc32(line[9:])


def _entry(line: bytes) -> Entry:
    if not _is_whole(line):
        raise ValueError("it does not match its checksum")
    return Entry.from_json(json.loads(line[9:]))
