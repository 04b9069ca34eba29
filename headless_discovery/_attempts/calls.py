"""The calls of `Peers`, for threads: use, attempts, clients. `aio_calls` does it for tasks."""

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Generic, Self, TypeVar

from .._dns.sockets import is_an_interrupt
from .._endpoint import Endpoint
from .._errors import check_callable, check_is_a
from .._selection import Key
from .._store.shared import Shared
from .attempts import Attempt, Attempts, On, Pause, Stop, rules
from .pool import C, Claim, Entry, Lease, Pool, log_failed_close
from .use import InUse, in_attempt

T = TypeVar("T")
_LOOK_AGAIN = 1.0
"""Seconds after which one that waits for a client checks that another thread creates it at all."""


class Use(InUse):
    """What `Peers.use` returns."""

    _pick: Callable[[Key | None], Endpoint]

    def __enter__(self) -> Endpoint:
        return self.begin(self._pick(self._key)).endpoint

    def __exit__(self, _kind: object, error: BaseException | None, _at: object) -> None:
        self.end(error)


class Clients(Pool[C]):
    """One client for each endpoint, created at its first use; made by `Peers.clients`.

    A client whose endpoint left or moved is closed by the next use once it is not in use; all
    others are closed at the end of the ``with`` statement. After a fork, the child forgets them
    without closing them. Safe to share between threads.
    """

    _peers: "Calls"

    def use(self, key: Key | None = None) -> "ClientUse[C]":
        """A client, in use while the block lasts: ``with clients.use() as client: ...``.

        Its endpoint is chosen, counted and reported as by `Peers.use`. If the client is just being
        created, this waits; an error in that is raised to all that wait, and reported.

        Args:
            key: As in `Peers.pick`.

        Returns:
            A context manager that yields the client.

        Raises:
            Closed: On entering, after the end of the ``with`` statement.
        """
        return ClientUse(self, self._peers.use(key))

    def use_of(self, endpoint: Endpoint) -> "ClientUse[C]":
        """The client of an endpoint, in use while the block lasts.

        Within an attempt on the endpoint, which counts and reports itself, it is not counted again;
        within a block of `Peers.use` it is, so call `use` here instead.

        Args:
            endpoint: One of the endpoints.

        Returns:
            A context manager that yields the client, as `use` does.
        """
        check_is_a("endpoint", endpoint, Endpoint)
        if in_attempt(self._peers, endpoint):  # which counts and reports
            return ClientUse(self, nullcontext(endpoint))
        return ClientUse(self, Use(self._peers, pick=lambda _: endpoint))

    def _borrow(self, endpoint: Endpoint) -> Lease[C]:
        """The client of an endpoint, without counting or reporting a use of the endpoint."""
        if self._has_news:
            self._close_all(self._to_close())
        lease, entry = self._lease(endpoint)
        while not entry.is_made:
            me = threading.get_ident()
            claim = Claim(threading.Event(), me)
            try:
                first = entry.claims.setdefault(None, claim)
                if first is claim and not entry.is_made:
                    entry.client = self._make(endpoint)
                    entry.is_made = True
            except Exception as error:
                if not is_an_interrupt(error):  # which is this caller's own
                    claim.error = error
                raise
            finally:
                # Without a call: on the way into one Python runs signal handlers, and one that
                # raises there would leave the claim behind.
                claims = entry.claims
                if None in claims and claims[None] is claim:
                    entry.claims = {}
                claim.done.set()
            if first is not claim:
                with first.awaited_by(me):
                    # An interrupt may have kept the event from being set.
                    while not first.done.wait(_LOOK_AGAIN) and entry.is_claimed_by(first):
                        pass
                if first.error is not None:
                    raise first.error
        if self._closed:  # while it was made
            self._close_all(self._made_too_late(entry))
            self._check_open()
        return lease

    def _close_all(self, entries: Iterator[Entry[C]]) -> None:
        interrupt: BaseException | None = None
        for entry in entries:
            try:
                self._close_one(entry)
            except BaseException as error:  # the others are closed all the same
                interrupt = error
        if interrupt is not None:
            raise interrupt

    def _close_one(self, entry: Entry[C]) -> None:
        try:
            self._begin_to_close(entry.client, "close")
        except Exception:
            log_failed_close(entry.endpoint)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._close_all(self._all())


class ClientUse(Generic[C]):
    """What `Clients.use` returns."""

    _lease: Lease[C]

    def __init__(self, clients: Clients[C], use: AbstractContextManager[Endpoint]) -> None:
        self._clients = clients
        self._use = use

    def __enter__(self) -> C:
        endpoint = self._use.__enter__()
        try:
            self._lease = self._clients._borrow(endpoint)
        except BaseException as error:
            self._use.__exit__(type(error), error, error.__traceback__)
            raise
        return self._lease.client

    def __exit__(self, *error: Any) -> None:
        self._lease.back()
        self._use.__exit__(*error)


class _Attempts(Attempts):
    """What `Peers.attempts` returns."""

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Attempt:
        attempt = self.first() or self.peers._flights.carry_out(self.following())
        if attempt is None:
            raise StopIteration
        return attempt


class Calls(Shared):
    """What `Peers` has for calls."""

    def pick(self, key: Key | None = None) -> Endpoint:
        """See `Peers`."""
        raise NotImplementedError

    def use(self, key: Key | None = None) -> Use:
        """One endpoint, in use while the block lasts: ``with peers.use() as peer: ...``.

        It is chosen as by `pick`, and counted as in flight (`in_flight`), on entering. Leaving the
        block reports the result. No error, or one with an HTTP status, is a success. The statuses
        502, 503 and 504, and errors for which `connection_failed` is true, are failures. For all
        other errors and for cancellation nothing is reported, so set timeouts inside the block.

        Args:
            key: As in `pick`.

        Returns:
            A context manager that yields the endpoint. Entering it raises what `pick` raises.
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
    ) -> Iterator[Attempt]:
        """Attempts on different endpoints: ``for attempt in ...: with attempt as peer: ...``.

        The first endpoint is the one that `pick` would return; the next ones follow in the key's
        order, or at random without a key, departing and ejected ones last. Once all were tried, it
        starts over. Each result is reported as by `use`; a failure triggers an early refresh in
        the background, and the loop does not wait for it.

        An error is suppressed if another attempt follows. By default that is only if the endpoint
        was `not_reached`, so that no call is executed twice (unless the client itself retries).
        Any other error is raised at once. The error of the last attempt is raised unchanged, with
        a note that lists the attempts.

        Args:
            key: As in `pick`.
            idempotent: Whether the call may be executed twice. If ``True``, every error for which
                `connection_failed` is true is retried, within a budget of 10 a second plus 20 %
                of all calls of this `Peers`. Default: ``False``.
            on: The errors to retry instead, as types or a predicate; they count as failures.
            stop: A stop object of tenacity; by default after 3 attempts, and always after 100.
            wait: A wait object of tenacity. By default there is no pause before an endpoint that
                was not tried yet, and random exponential backoff from 0.1 to 2 s before others.
            timeout: Seconds for all attempts together; see `Attempt.remaining`.

        Returns:
            An iterator of `Attempt`.

        Raises:
            ConfigurationError: An argument is wrong, or ``on`` and ``idempotent`` were both given.
            NoEndpoints: No endpoint is available.
            DiscoveryError: As `pick` does.
        """
        return _Attempts(self, key, rules(on, idempotent, stop, wait, timeout))

    def call(
        self,
        fn: Callable[[Endpoint], T],
        /,
        *,
        key: Key | None = None,
        idempotent: bool = False,
        on: On | None = None,
        stop: Stop | None = None,
        wait: Pause | None = None,
        timeout: float | None = None,
    ) -> T:
        """Calls ``fn(endpoint)`` under `attempts`.

        Args:
            fn: The function, called once for each attempt.
            key: As in `attempts`, like all that follow.
            idempotent: Whether the call may be executed twice.
            on: The errors to retry on the next endpoint instead.
            stop: When to stop, a stop object of tenacity.
            wait: How long to pause, a wait object of tenacity.
            timeout: Seconds for all attempts together.

        Returns:
            What ``fn`` returns.

        Raises:
            ConfigurationError: An argument is wrong.
            DiscoveryError: As `attempts` does.
            Exception: The error of ``fn`` in the last attempt.
        """
        check_callable("fn", fn)
        for attempt in _Attempts(self, key, rules(on, idempotent, stop, wait, timeout)):
            with attempt as endpoint:
                return fn(endpoint)
        raise AssertionError  # pragma: no cover - it ends with a result or an error

    def clients(
        self, make: Callable[[Endpoint], T], *, close: Callable[[T], object] | None = None
    ) -> Clients[T]:
        """One client for each endpoint: ``with peers.clients(make) as clients: ...``.

        ``with clients.use() as client: ...`` then yields the client of an endpoint that is chosen
        as by `use`.

        Args:
            make: Called with an endpoint at its first use, to create its client.
            close: Called with a client after its endpoint left or moved, and at the end; by default
                the client's ``close`` method, if it has one. Its exceptions are logged.

        Returns:
            The pool of clients.
        """
        return Clients(self, make, close)
