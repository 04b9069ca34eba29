"""One client for each endpoint: which there are, who uses them, and which are to be closed.

What threads and tasks share. No step needs a lock: each is one operation on a dict or a list.
"""

import contextlib
import itertools
import os
import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Generic, TypeVar

from .._endpoint import Endpoint, Row, row_of
from .._errors import Closed, ConfigurationError, check_callable, log
from .._store.shared import Shared

C = TypeVar("C")


class Claim:
    """A client is being created by a thread or task; other callers wait for that event."""

    def __init__(self, done: Any, maker: int, loop: object = None) -> None:
        self.done = done
        self.error: Exception | None = None
        self.loop = loop
        """The event loop of a task; one that has ended leaves a claim behind."""
        self._maker = maker

    @contextlib.contextmanager
    def awaited_by(self, caller: int) -> Iterator[None]:
        """A thread or task waits for it; raises `ConfigurationError` if that would never end."""
        _awaited[caller] = self
        try:
            claim: Claim | None = self
            while claim is not None and not claim.done.is_set():
                if claim._maker == caller:
                    raise ConfigurationError(
                        "make waits for a client that waits for the one that it makes",
                        hint="Do not use these clients inside make.",
                    )
                claim = _awaited.get(claim._maker)
            yield
        finally:
            _awaited.pop(caller, None)


_awaited: "weakref.WeakValueDictionary[int, Claim]" = weakref.WeakValueDictionary()
"""Which claim a thread or task waits for, by its number; this keeps neither, should they be lost
with their event loop."""


class Entry(Generic[C]):
    """One endpoint and its client."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.client: Any = None
        self.is_made = False
        self.claims: dict[None, Claim] = {}
        """At most one: the first to set it makes the client."""
        self.users: dict[int, None] = {}
        """The `id` of each lease that lives."""

    def is_claimed_by(self, claim: Claim) -> bool:
        """Whether this claim is not over yet."""
        return self.claims.get(None) is claim


class Lease(Generic[C]):
    """A client in use, until `back`, or until this is garbage-collected."""

    def __init__(self, entry: Entry[C]) -> None:
        self._entry = entry
        entry.users[id(self)] = None

    @property
    def client(self) -> C:
        """The client; once it is made."""
        client: C = self._entry.client
        return client

    def back(self) -> None:
        """It is used no more."""
        self._entry.users.pop(id(self), None)

    def __del__(self) -> None:
        with contextlib.suppress(AttributeError):  # an interrupt came before it had an entry
            self.back()


class Pool(Generic[C]):
    """The clients, by endpoint."""

    def __init__(
        self,
        peers: Shared,
        make: Callable[[Endpoint], Any],
        close: Callable[[C], object] | None = None,
    ) -> None:
        check_callable("make", make)
        if close is not None:
            check_callable("close", close)
        self._peers = peers
        self._make = make
        self._close = close
        self._entries: dict[Row, Entry[C]] = {}
        self._leaving: list[Entry[C]] = []
        """Their endpoints are gone; closed once they are not in use."""
        self._swept: object = None
        self._closed = False
        _pools.add(self)

    def __len__(self) -> int:
        return sum(entry.is_made for entry in [*self._entries.values(), *self._leaving])

    def _lease(self, endpoint: Endpoint) -> tuple[Lease[C], Entry[C]]:
        """A lease of an endpoint's client, which may have to be made yet."""
        row = row_of(endpoint)
        while True:
            self._check_open()
            entry = self._entries.get(row)
            if entry is None:
                entry = self._entries.setdefault(row, Entry(endpoint))
                self._swept = None  # it may be of an endpoint that is gone already
            lease = Lease(entry)
            if self._entries.get(row) is entry:  # pragma: no branch - or it has just left
                return lease, entry

    @property
    def _has_news(self) -> bool:
        """Whether there may be any to close: asked at each use, so it must be quick."""
        return self._swept is not self._peers._store.view.snapshot.endpoints or bool(self._leaving)

    def _to_close(self) -> Iterator[Entry[C]]:
        """Those to be closed now: their endpoints are gone, and they are not in use."""
        endpoints = self._peers.snapshot.endpoints
        if self._swept is not endpoints:
            try:
                self._swept = endpoints  # first: one that comes meanwhile has it done again
                self._leave(self._entries.keys() - set(map(row_of, endpoints)))
            except BaseException:  # an interrupt
                self._swept = None
                raise
        for entry in list(self._leaving):
            if not entry.users and self._take(entry):
                yield entry

    def _all(self) -> Iterator[Entry[C]]:
        """Those to be closed at the end: all of them, but what is being made then."""
        self._closed = True
        self._leave(list(self._entries))
        for entry in list(self._leaving):
            if entry.is_made and self._take(entry):
                yield entry

    def _leave(self, rows: Iterable[Row]) -> None:
        """These leave, but those that another was quicker to take.

        In one operation: an interrupt between two would lose one that was taken.
        """
        taken = map(self._entries.pop, rows, itertools.repeat(None))
        self._leaving.extend(filter(None, taken))

    def _made_too_late(self, entry: Entry[C]) -> Iterator[Entry[C]]:
        """One that was being made at the end, for the first of those who waited for it."""
        listed = self._entries.pop(row_of(entry.endpoint), None)  # it came while that began
        if listed is entry or self._take(entry):
            yield entry

    def _take(self, entry: Entry[C]) -> bool:
        """Whether it is the caller's to close, if it was made: it is closed once."""
        try:
            self._leaving.remove(entry)
        except ValueError:  # another closes it
            return False
        return entry.is_made

    def _begin_to_close(self, client: Any, *names: str) -> Any:
        """Calls what closes it: the caller's function, or its method of one of these names."""
        methods = filter(None, (getattr(client, name, None) for name in names))
        close: Any = next(methods, None)
        if self._close is not None:
            return self._close(client)
        return None if close is None else close()

    def _check_open(self) -> None:
        """Raises `Closed` after the end."""
        if self._closed:
            raise Closed(
                f"these clients of {self._peers!r} were closed",
                hint="Use them inside their with statement.",
            )


_pools: "weakref.WeakSet[Pool[Any]]" = weakref.WeakSet()


def _after_fork() -> None:  # pragma: no cover - in a child: tests/test_kept_clients.py
    """In the child the clients are the parent's: forgotten, and not closed."""
    for pool in list(_pools):
        pool._entries, pool._leaving = {}, []


os.register_at_fork(after_in_child=_after_fork)


def log_failed_close(endpoint: Endpoint) -> None:
    """Called where the error is handled."""
    log.exception("closing the client of %s failed", endpoint)
