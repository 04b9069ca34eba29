"""Peer discovery for asyncio and trio: `headless_discovery` with ``await``.

>>> from headless_discovery.aio import peers
>>> store = peers("kubia-headless", port="http", namespace="default")

A lookup goes on in a task of its own, which all callers share: cancelling one of them, or its time
running out, neither ends the lookup nor fails the others. On trio, where a task needs a nursery,
it is a system task; it ends with the lookup, with `Peers.aclose`, or with the main task.

It is not for threads: use a `Peers` in one event loop at a time.
"""

import math
import random
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from types import TracebackType
from typing import Self, TypeVar

import attrs

from ._async import Bell, Task, library
from ._attempts import Attempt, Course, On, Pause, Stop, connection_failed, rules
from ._calls import Call, Step, Wait, known, ready, refreshed, watched
from ._clock import Clock
from ._endpoint import Change, Endpoint, Snapshot
from ._exchange import Reply
from ._options import Finding, Selecting, check_finding, check_selecting
from ._policy import Policy
from ._questions import Family, Records
from ._selection import Key, Strategy
from ._shared import Listener, Shared
from ._steps import Converse, Steps, carry_out_async
from ._store import Store, log
from ._transport import Resolver

__all__ = ["Peers", "peers"]

_T = TypeVar("_T")


@attrs.define(eq=False)
class _Flight:
    """A lookup that goes on."""

    task: Task | None = None
    """Its own, unless it is the background's."""
    error: Exception | None = None
    """What went wrong in it that is no outcome."""


class _Flights:
    """One lookup at a time, for all callers and for the background.

    It knows nothing of its `Peers`, so that a `Peers` that was forgotten can be told: the task in
    the background holds this, not that.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self.clock = store.clock
        self.bell = Bell()
        self.listeners: list[Listener] = []
        self._end_background: Callable[[], Awaitable[None]] | None = None
        self._flight = _Flight()

    async def carry_out(self, call: Call[_T]) -> _T:
        """Does what the call says; returns what it returns."""
        try:
            while True:
                await self.do(next(call))
        except StopIteration as done:
            result: _T = done.value
            return result

    async def do(self, step: Step) -> None:
        """One step of a call."""
        store = self.store
        if isinstance(step, Wait):
            await self.clock.wait_for_async(self.bell, step.over, step.until)
            return
        if not store.under_way:
            self._take_off()
        flight = self._flight
        await self.clock.wait_for_async(
            self.bell, lambda: store.flight is not flight or store.closed, step.until
        )
        if flight.error is not None:
            raise flight.error

    def _take_off(self) -> None:
        steps = self.begin()
        if steps is not None:  # pragma: no branch - the task that asks has just looked
            self._flight.task = library().spawn(lambda: self._carry_out(steps), self.end)

    async def _carry_out(self, steps: Steps[object]) -> None:
        try:
            await carry_out_async(steps, self.converse)
        except Exception as error:  # told to whoever shares it
            self._flight.error = error
            self.store.gave_up()

    def start(self) -> None:
        """Asks in the background from now on, by itself."""
        if not self.store.in_background:
            self.store.in_background = True
            self._end_background = self.clock.start_async(self)

    async def close(self) -> None:
        """A lookup under way is given up, the background ends, everybody who waits is woken."""
        self.give_up()
        task, self._flight.task = self._flight.task, None
        end, self._end_background = self._end_background, None
        if end is not None:
            await end()
        if task is not None:
            await task.ended()

    def give_up(self) -> None:
        """The part of it that does not wait."""
        self.store.close()
        self.bell.ring()
        if self._flight.task is not None:
            self._flight.task.cancel()

    # As work for the clock.

    def due(self) -> float | None:
        """When the background is to ask next; after the lookup that goes on, if one does."""
        return self.store.background_due()

    async def turn(self) -> None:
        """One lookup in the background's own task; nothing if a caller was quicker."""
        steps = self.begin()
        if steps is not None:  # pragma: no branch - in one event loop nobody is quicker
            try:
                await self._carry_out(steps)
            finally:
                self.end()
            if self._flight.error is not None:
                log.error(
                    "%s: a lookup in the background failed",
                    self.store,
                    exc_info=self._flight.error,
                )

    def begin(self) -> Steps[object] | None:
        """Takes the one place there is for a lookup."""
        if self.store.under_way or self.store.closed:
            return None  # pragma: no cover - in one event loop nobody is quicker
        self.store.flight = self._flight = _Flight()
        return self.store.steps()

    async def converse(self, step: Converse) -> Sequence[Reply]:
        """Over the resolver's wire."""
        return await self.store.resolver.converse_async(step, self.clock, self.store.traffic)

    def foretell(self, step: Converse) -> tuple[Sequence[Reply], float]:
        """The same, for a clock that decides by itself when it is that late."""
        return self.store.resolver.foretell(step, self.clock, self.store.traffic)

    def end(self) -> None:
        """Makes place for the next lookup, and wakes everybody who waited for this one."""
        self.store.flight = None
        self.bell.ring()
        for listener in tuple(self.listeners):
            if listener in self.listeners and listener.has_news and (change := listener.news()):
                listener.tell(change)


class _Attempts(Course["Peers"]):
    """What `Peers.attempts` returns; not an async generator either."""

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Attempt:
        attempt = self.first() or await self.peers._flights.carry_out(self.following())
        if attempt is None:
            raise StopAsyncIteration
        return attempt


class Peers(Shared):
    """The pods of one headless Service, for asyncio and trio; made by `peers`.

    It is for the tasks of one event loop, and does not survive a fork. Use it in an ``async with``
    statement to have it ask in the background: then nobody waits for DNS once something is known.
    """

    def __init__(self, selecting: Selecting, finding: Finding | None) -> None:
        super().__init__(selecting, finding)
        self._flights = _Flights(self._store)

    # What is known.

    async def endpoints(self) -> tuple[Endpoint, ...]:
        """The current endpoints, sorted by identity; ``()`` if DNS says that there are none.

        Asks DNS if nothing is known or the answer is due; that takes `Resolver.lifetime` seconds
        at most. If nothing is known and DNS fails, it raises the reason: `LookupFailed`,
        `LookupTimeout`, `IncompleteAnswer`, `NotHeadless`, `NoSuchPort` or `ConfigurationError`.
        Once something is known, no failure of DNS takes it away. After `aclose`: `Closed`.
        """
        store = self._store
        if store.serves_until != math.inf and store.now() >= store.serves_until:
            await self._flights.carry_out(known(store))
        return store.snapshot.endpoints

    def __aiter__(self) -> AsyncIterator[Endpoint]:
        """Over `endpoints`."""
        return _Endpoints(self)

    def get(self, name: str) -> Endpoint | None:
        """The endpoint with that full name or host name, or ``None``.

        It does not ask DNS. While nothing is known, it raises as `endpoints` does.
        """
        self._store.check_open()
        self._store.raise_if_unknown()
        return self._store.get(name)

    async def refresh(self) -> Snapshot:
        """Asks now, and returns what is then known.

        It passes over back-off; but within `Policy.refresh_floor` (1 s) of the last answer, that
        one is returned. Calls at the same time share one lookup. Raises as `endpoints` does.
        """
        return await self._flights.carry_out(refreshed(self._store))

    async def wait_ready(
        self,
        at_least: int = 1,
        *,
        stable_for: float = 0,
        timeout: float | None = None,  # noqa: ASYNC109 - it raises `NotReady`, which tells more
        see_self: bool = False,
    ) -> Snapshot:
        """Waits until that many peers are there, for a cold start; returns what is then known.

        It asks every 1 to 5 seconds, and goes by LIVE answers alone. ``at_least`` is counted after
        this pod was left out, if it is. ``stable_for``: the same set in all answers for so many
        seconds, two at least that are not one cached copy. ``see_self``: this pod must be in the
        answer, whether it is left out or not. ``timeout`` is in seconds; ``None``: no limit.

        Raises `NotReady`, which says what was seen, for how long, and what to check. At once:
        `ConfigurationError`, also for ``see_self`` without an own address to be found, and
        `NotHeadless`. After `aclose`: `Closed`. A fixed list is ready at once or never.
        """
        wanted = self._store.wanted(at_least, stable_for, timeout, see_self=see_self)
        return await self._flights.carry_out(ready(self._store, wanted))

    # Choosing.

    async def pick(self, key: Key | None = None) -> Endpoint:
        """One endpoint by the strategy; with a key, the same one for it in every process.

        A key is ``str``, ``bytes`` or ``int``. Endpoints that are departing, or set aside because
        of failures, are picked only if nobody else is left. Raises `NoEndpoints` if there is
        none, `TypeError` for another kind of key, and what `endpoints` raises.
        """
        store = self._store
        choice = store.choice
        if choice.ages and store.now() >= choice.until:
            await self._flights.carry_out(known(store))
            choice = store.chosen()
        return choice.one(key)

    async def sample(self, k: int) -> tuple[Endpoint, ...]:
        """Up to ``k`` different endpoints at random, for gossip: each as likely as the other.

        Those that are departing or set aside are among them only if there are not ``k`` others.
        Raises what `endpoints` raises; if there is none, it is ``()``.
        """
        await self.endpoints()
        return self._store.sample(k)

    def ranked(self, key: Key, k: int) -> tuple[Endpoint, ...]:
        """The key's first ``k`` endpoints in order, or all if there are fewer.

        The first is the one that `pick` gives for the key; when it leaves, the second is. For
        placing data and its replicas: departing endpoints and this pod are among them. It does
        not ask DNS. While nothing is known, it raises as `endpoints` does; and `TypeError` for
        what cannot be a key.
        """
        self._store.check_open()
        self._store.raise_if_unknown()
        return self._store.ranked(key, k)

    # Attempts.

    def attempts(
        self,
        key: Key | None = None,
        *,
        on: On = connection_failed,
        stop: Stop | None = None,
        wait: Pause | None = None,
        timeout: float | None = None,
    ) -> AsyncIterator[Attempt]:
        """Attempts: ``async for attempt in store.attempts(): with attempt as peer: ...``.

        All that `headless_discovery.Peers.attempts` says holds here. An attempt that is cancelled
        is neither a success nor a failure.
        """
        return _Attempts(self, key, rules(on, stop, wait, timeout))

    async def call(
        self,
        fn: Callable[[Endpoint], Awaitable[_T]],
        /,
        *,
        key: Key | None = None,
        on: On = connection_failed,
        stop: Stop | None = None,
        wait: Pause | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - a budget, told to each attempt
    ) -> _T:
        """Awaits ``fn(endpoint)`` under `attempts`, with the same arguments; returns its result."""
        async for attempt in self.attempts(key, on=on, stop=stop, wait=wait, timeout=timeout):
            with attempt as endpoint:
                return await fn(endpoint)
        raise AssertionError  # pragma: no cover - it ends with a result or an error

    def _hasten(self) -> None:
        self._flights.bell.ring()

    # Being told.

    def watch(self) -> AsyncIterator[Change]:
        """Iterates over changes: first what is there as ``added``, then each difference.

        It waits for the first known state, and between changes. Whoever is slow gets one merged
        change; empty ones are not sent. Ends when the `Peers` is closed. Without background
        refresh it asks DNS itself, in the task that waits.
        """
        self._store.check_open()
        return _Changes(self._store, self._flights)

    def on_change(self, call: Callable[[Change], object]) -> Callable[[], None]:
        """Calls ``call(change)`` for each later change; returns a function that stops it.

        It is called in the event loop, so it must not block; it may call anything here. What it
        raises is logged.
        """
        self._store.check_open()
        listener = Listener(self._store, call)
        listeners = self._flights.listeners
        listeners.append(listener)

        def stop() -> None:
            if listener in listeners:
                listeners.remove(listener)

        return stop

    # Life.

    async def aclose(self) -> None:
        """Ends it: a lookup under way is given up, no task is left, later calls raise `Closed`.

        Closing again is fine.
        """
        await self._flights.close()

    async def __aenter__(self) -> Self:
        self._store.check_open()
        if self._store.finding is not None:
            self._flights.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    def __del__(self) -> None:
        store: Store | None = getattr(self, "_store", None)
        if store is not None and store.in_background and not store.closed:
            warnings.warn(
                f"{self!r} was entered and never closed", ResourceWarning, stacklevel=2, source=self
            )
            self._flights.give_up()


class _Endpoints:
    """Iterates over the endpoints that are known when it begins.

    Not an async generator: one that is left early has to be closed by the event loop.
    """

    def __init__(self, store: Peers) -> None:
        self._peers = store
        self._left: list[Endpoint] | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Endpoint:
        if self._left is None:
            self._left = list(reversed(await self._peers.endpoints()))
        if not self._left:
            raise StopAsyncIteration
        return self._left.pop()


class _Changes:
    """What `Peers.watch` returns; nor is this an async generator."""

    def __init__(self, store: Store, flights: _Flights) -> None:
        self._flights = flights
        self._steps = watched(store)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Change:
        for step in self._steps:
            if isinstance(step, Change):
                return step
            await self._flights.do(step)
        raise StopAsyncIteration


def peers(
    service: str,
    *,
    port: str | int | None = None,
    protocol: str = "tcp",
    namespace: str | None = None,
    cluster_domain: str | None = None,
    family: Family = "prefer-ipv4",
    strategy: str | Strategy = "round-robin",
    include_self: bool = True,
    self_address: str | Iterable[str] | None = None,
    records: Records = "auto",
    policy: Policy | None = None,
    resolver: Resolver | None = None,
    clock: Clock | None = None,
    rng: random.Random | None = None,
) -> Peers:
    """The pods of a headless Service, for asyncio and trio. Asks DNS when it is first used.

    The arguments, and what it raises, are those of `headless_discovery.peers`.
    """
    return Peers(
        check_selecting(strategy, policy, clock, rng),
        check_finding(
            service,
            port=port,
            protocol=protocol,
            namespace=namespace,
            cluster_domain=cluster_domain,
            family=family,
            include_self=include_self,
            self_address=self_address,
            records=records,
            resolver=resolver,
        ),
    )
