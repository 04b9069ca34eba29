"""The calls of `aio.Peers`, for tasks: use, attempts, clients. `calls` does it for threads."""

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Any, Generic, Self, TypeVar, overload

from .._endpoint import Endpoint
from .._errors import check_callable, check_is_a
from .._selection import Key
from .._store.shared import Shared
from .._time.tasks import library
from .attempts import Attempt, Attempts, On, Pause, Stop, rules
from .pool import C, Claim, Entry, Lease, Pool, log_failed_close
from .use import InUse, in_attempt

T = TypeVar("T")


class Use(InUse):
    """What `aio.Peers.use` returns."""

    _pick: Callable[[Key | None], Awaitable[Endpoint]]

    async def __aenter__(self) -> Endpoint:
        return self.begin(await self._pick(self._key)).endpoint

    async def __aexit__(self, _kind: object, error: BaseException | None, _at: object) -> None:
        self.end(error)


class Clients(Pool[C]):
    """One client for each endpoint, created at its first use; made by `Peers.clients`.

    A client whose endpoint left or moved is closed by the next use once it is not in use; all
    others are closed at the end of the ``async with`` statement.
    """

    _peers: "Calls"

    def use(self, key: Key | None = None) -> "ClientUse[C]":
        """A client, in use while the block lasts: ``async with clients.use() as client: ...``.

        Everything else is as in `headless_discovery.Clients.use`.
        """
        return ClientUse(self, self._peers.use(key))

    def use_of(self, endpoint: Endpoint) -> "ClientUse[C]":
        """The client of an endpoint, in use while the block lasts.

        Everything else is as in `headless_discovery.Clients.use_of`.
        """
        check_is_a("endpoint", endpoint, Endpoint)
        if in_attempt(self._peers, endpoint):  # which counts and reports
            return ClientUse(self, nullcontext(endpoint))

        async def pick(_: Key | None) -> Endpoint:
            return endpoint

        return ClientUse(self, Use(self._peers, pick=pick))

    async def _borrow(self, endpoint: Endpoint) -> Lease[C]:
        """The client of an endpoint, without counting or reporting a use of the endpoint."""
        if self._has_news:
            await self._close_all(self._to_close())
        lease, entry = self._lease(endpoint)
        while not entry.is_made:
            running = library()
            me = id(running.task())
            claim = Claim(running.event(), me, running.loop())
            try:
                first = entry.claims.setdefault(None, claim)
                if first is claim and not entry.is_made:
                    made: Any = self._make(endpoint)
                    entry.client = await made if inspect.isawaitable(made) else made
                    entry.is_made = True
            except Exception as error:
                claim.error = error
                raise
            finally:
                if entry.is_claimed_by(claim):
                    entry.claims = {}
                claim.done.set()
            if first.loop is not claim.loop:
                entry.claims = {}  # of a loop that is gone: there it is not made any more
            elif first is not claim:
                with first.awaited_by(me):
                    await first.done.wait()
                if first.error is not None:
                    raise first.error
        if self._closed:  # while it was made
            await self._close_all(self._made_too_late(entry))
            self._check_open()
        return lease

    async def _close_all(self, entries: Iterator[Entry[C]]) -> None:
        interrupt: BaseException | None = None
        for entry in entries:
            try:
                await self._close_one(entry)
            except BaseException as error:  # the others are closed all the same
                interrupt = error
        if interrupt is not None:
            raise interrupt

    async def _close_one(self, entry: Entry[C]) -> None:
        try:
            closing = self._begin_to_close(entry.client, "aclose", "close")
            if inspect.isawaitable(closing):
                await closing
        except Exception:
            log_failed_close(entry.endpoint)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self._close_all(self._all())


class ClientUse(Generic[C]):
    """What `Clients.use` returns."""

    _lease: Lease[C]

    def __init__(self, clients: Clients[C], use: AbstractAsyncContextManager[Endpoint]) -> None:
        self._clients = clients
        self._use = use

    async def __aenter__(self) -> C:
        endpoint = await self._use.__aenter__()
        try:
            self._lease = await self._clients._borrow(endpoint)
        except BaseException as error:
            await self._use.__aexit__(type(error), error, error.__traceback__)
            raise
        return self._lease.client

    async def __aexit__(self, *error: Any) -> None:
        self._lease.back()
        await self._use.__aexit__(*error)


class _Attempts(Attempts):
    """What `Peers.attempts` returns; not an async generator either."""

    peers: "Calls"

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Attempt:
        if self.key is not None:
            await self.peers._prepare(self.store.snapshot.endpoints)
        attempt = self.first() or await self.peers._flights.carry_out(self.following())
        if attempt is None:
            raise StopAsyncIteration
        return attempt


class Calls(Shared):
    """What `aio.Peers` has for calls."""

    async def pick(self, key: Key | None = None) -> Endpoint:
        """See `Peers`."""
        raise NotImplementedError

    async def _prepare(self, endpoints: Sequence[Endpoint]) -> None:
        """Computes the seeds of a new set in parts, and yields to other tasks between them."""
        for _ in self._store.chooser.keys._prepare(endpoints):
            await library().sleep(0)

    def use(self, key: Key | None = None) -> Use:
        """One endpoint, in use while the block lasts: ``async with peers.use() as peer: ...``.

        Everything else is as in `headless_discovery.Peers.use`.
        """
        return Use(self, key, (), self.pick)

    def attempts(
        self,
        key: Key | None = None,
        *,
        idempotent: bool = False,
        on: On | None = None,
        stop: Stop | None = None,
        wait: Pause | None = None,
        timeout: float | None = None,
    ) -> AsyncIterator[Attempt]:
        """Attempts: ``async for attempt in peers.attempts(): with attempt as peer: ...``.

        Everything else is as in `headless_discovery.Peers.attempts`. An attempt that is cancelled
        is neither a success nor a failure.
        """
        return _Attempts(self, key, rules(on, idempotent, stop, wait, timeout))

    async def call(
        self,
        fn: Callable[[Endpoint], Awaitable[T]],
        /,
        *,
        key: Key | None = None,
        idempotent: bool = False,
        on: On | None = None,
        stop: Stop | None = None,
        wait: Pause | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - a budget, shared by all attempts
    ) -> T:
        """Awaits ``fn(endpoint)`` under `attempts`, with the same arguments; returns its result."""
        check_callable("fn", fn)
        async for attempt in _Attempts(self, key, rules(on, idempotent, stop, wait, timeout)):
            with attempt as endpoint:
                return await fn(endpoint)
        raise AssertionError  # pragma: no cover - it ends with a result or an error

    @overload
    def clients(
        self,
        make: Callable[[Endpoint], Awaitable[T]],
        *,
        close: Callable[[T], object] | None = None,
    ) -> Clients[T]: ...

    @overload
    def clients(
        self, make: Callable[[Endpoint], T], *, close: Callable[[T], object] | None = None
    ) -> Clients[T]: ...

    def clients(
        self,
        make: Callable[[Endpoint], T | Awaitable[T]],
        *,
        close: Callable[[T], object] | None = None,
    ) -> Clients[T]:
        """One client for each endpoint: ``async with peers.clients(make) as clients: ...``.

        Everything else is as in `headless_discovery.Peers.clients`. ``make`` and ``close`` may be
        async; by default a client's ``aclose`` or ``close`` method is called, if it has one.
        """
        return Clients(self, make, close)
