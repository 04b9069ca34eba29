"""Peer discovery for asyncio and trio: `headless_discovery` with ``await``.

>>> from headless_discovery.aio import peers
>>> web = peers("kubia-headless", port="http", namespace="default")

A lookup runs in a task of its own, which all callers share: cancelling one of them, or its time
running out, neither ends the lookup nor fails the others. On trio, where a task needs a nursery,
it is a system task; it ends with the lookup, with `Peers.aclose`, or with the main task.

It is not for threads: use a `Peers` in one event loop at a time.
"""

import functools
import warnings
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Self, TypeVar

from ._attempts.aio_calls import Calls, Clients
from ._endpoint import Change, Endpoint, Snapshot
from ._errors import ConfigurationError, check_is_a
from ._selection import Key
from ._store.arguments import Selecting, Target, service_arguments, taking
from ._store.readiness import Readiness, ready
from ._store.shell import Shell
from ._store.steps import Call, Step, Wait
from ._store.store import Flight, Store
from ._time.tasks import TaskWaiters, library, prepare

if TYPE_CHECKING:
    from ._api.protocol import Watch
    from ._api.server import EndpointSlices, FollowingTask

__all__ = ["Clients", "Peers", "peers"]

_T = TypeVar("_T")


class _Flights(Shell):
    """The shell for tasks."""

    waiters: TaskWaiters

    def __init__(self, store: Store) -> None:
        super().__init__(store, TaskWaiters())
        self.entered = False

    async def carry_out(self, call: Call[_T]) -> _T:
        """Does what the call says; returns what it returns."""
        try:
            while True:
                await self.do(next(call))
        except StopIteration as done:
            result: _T = done.value
            return result
        finally:
            call.close()

    async def do(self, step: Step) -> None:
        """One step of a call."""
        self._check_entered()
        if isinstance(step, Wait):
            await self.clock.wait_for_async(self.waiters, step.over, step.until)
            return
        flight = self._under_way() or self._take_off()
        over = functools.partial(self.store.is_over, flight)
        await self.clock.wait_for_async(self.waiters, over, step.until, overdue=flight.expires)

    def _under_way(self) -> Flight | None:
        """The lookup in progress; not one whose event loop has ended."""
        flight = self.store.under_way
        if flight is None or (task := flight.task) is None or task.runs() or task.runs_elsewhere():
            return flight
        self.store.end(flight)
        return None

    def _take_off(self) -> Flight:
        flight = Flight()
        self.store.begin(flight)  # it was free just now, and in one loop none is quicker
        try:
            flight.task = library().spawn(lambda: self._look_up(flight), lambda: self._end(flight))
        except BaseException:
            self.store.end(flight)
            raise
        return flight

    async def _look_up(self, flight: Flight) -> None:
        store = self.store
        try:
            if store.undecided:
                await self.carry_out(store.source_chosen())
            await store.resolver.run_async(store.steps(flight), self.clock)
        except Exception as error:  # what goes wrong must not end the background, nor raise here
            store.broke(flight, error)

    def _end(self, flight: Flight) -> None:
        """Makes place for the next lookup, and wakes all that waited for this one."""
        self.store.end(flight)
        self.landed()

    def landed(self) -> None:
        """Wakes all that wait, and calls those who listen."""
        self.waiters.wake()
        for listener in tuple(self.listeners):
            if listener in self.listeners and listener.has_news:
                listener.tell()

    # The background.

    def start(self) -> None:
        """Starts background refresh, in the present event loop; a fixed list asks no server."""
        self.entered = True
        if self.store.target is not None:
            self._under_way()  # one of a loop that has ended is not waited for
            self._runs_or_begins()

    def runs(self) -> bool:
        """Whether background refresh runs here; slices that could not be followed are by now."""
        self._check_entered()
        return self._runs_or_begins() if self.store.pushes else self._runs_now()

    def _runs_or_begins(self) -> bool:
        """Whether it runs by now; what another event loop has left behind is replaced."""
        if self._runs_now():
            return True
        if not self.store.pushes:
            self._worker = self.clock.start_async(self)
            return True
        following = self.store.follow()
        if following is None:
            return False
        self.store.followed_by(following)
        following.start()
        return True

    def _check_entered(self) -> None:
        if not self.entered and (self.store.pushes or self.store.undecided):
            raise ConfigurationError(
                f"{self.store} reads EndpointSlices, and was used outside of its async with block",
                hint="The watch runs in a task of that block: use it inside.",
            )

    def follow(self, slices: "EndpointSlices", watch: "Watch") -> "FollowingTask":
        """What follows slices in a task, once it is started."""
        return slices.background_async(watch, self.clock)

    async def close(self) -> None:
        """Gives up, and waits for the end of its tasks."""
        self.give_up()
        for each in self._going_on():
            await each.ended()

    async def turn(self) -> None:
        """One lookup in the background's own task; it is due only while there is no other."""
        flight = Flight()
        flight.task = self._worker
        self.store.begin(flight)
        try:
            await self._look_up(flight)
        finally:
            self._end(flight)


class Peers(Calls):
    """The pods of one headless Service, for asyncio and trio; made by `peers`.

    It belongs to one event loop, and does not survive a fork. Use it in an ``async with`` statement
    to refresh it in the background: then no task waits for DNS once something is known.
    """

    _flights: _Flights

    def __init__(self, selecting: Selecting, target: Target | None) -> None:
        super().__init__(selecting, target)
        self._flights = _Flights(self._store)
        prepare()

    # What is known.

    async def endpoints(self) -> tuple[Endpoint, ...]:
        """The current endpoints; looks them up if none are known or the refresh is due.

        Everything else is as in `headless_discovery.Peers.endpoints`.
        """
        store = self._store
        if store.now() >= store.view.fresh_until:
            await self._flights.carry_out(store.looked_up())
        return store.view.snapshot.endpoints

    def __aiter__(self) -> AsyncIterator[Endpoint]:
        """Iterates over `endpoints`."""
        return _Endpoints(self)

    async def get(self, name: str) -> Endpoint | None:
        """One endpoint by its name, as `headless_discovery.Peers.get` returns it."""
        check_is_a("name", name, str)  # before anything is looked up
        return self._store.named(name, await self.endpoints())

    async def refresh(self) -> Snapshot:
        """Looks up the Service now, as `headless_discovery.Peers.refresh` does."""
        return await self._flights.carry_out(self._store.refreshed())

    async def wait_ready(
        self,
        at_least: int = 1,
        *,
        stable_for: float = 0,
        timeout: float | None = None,  # noqa: ASYNC109 - it raises `NotReady`, which says more
        see_self: bool = False,
    ) -> Snapshot:
        """Waits until enough peers are listed, as `headless_discovery.Peers.wait_ready` does."""
        wanted = Readiness.of(self._store, at_least, stable_for, timeout, see_self=see_self)
        return await self._flights.carry_out(ready(self._store, wanted))

    # Choosing.

    async def pick(self, key: Key | None = None) -> Endpoint:
        """One endpoint, chosen by the strategy.

        Endpoints that are departing or ejected are chosen only if there are no others. Prefer
        `use`, which also counts the use as in flight and reports its result.

        Args:
            key: ``str``, ``bytes`` or ``int``. A key has the same endpoint in every process,
                except with the strategy ``"session"``.

        Returns:
            The endpoint.

        Raises:
            NoEndpoints: No endpoint is available. Other errors are those of `endpoints`.
            TypeError: The key is of another type.
        """
        store = self._store
        choice = store.choice
        if choice.ages and store.now() >= choice.until:
            await self._flights.carry_out(store.looked_up())
            choice = store.chosen()
        if key is not None:
            await self._prepare(choice.endpoints)
        return choice.one(key)

    async def sample(self, k: int) -> tuple[Endpoint, ...]:
        """Different random endpoints, all equally likely: for gossip.

        Args:
            k: The number of endpoints. Departing and ejected ones are included only if there are
                fewer than ``k`` others.

        Returns:
            Up to ``k`` endpoints; ``()`` if there are none.

        Raises:
            ConfigurationError: ``k`` is not a whole number. Other errors are those of `endpoints`.
        """
        await self.endpoints()
        return self._store.sample(k)

    async def ranked(self, key: Key, k: int) -> tuple[Endpoint, ...]:
        """The first owners of a key, for placing data and its replicas.

        The first is the endpoint that `pick` returns for the key (except with ``"session"``); when
        it leaves, the second one takes its place. Departing and ejected endpoints are included, and
        this pod, also with ``include_self=False``.

        Args:
            key: As in `pick`.
            k: The number of owners.

        Returns:
            The first ``k`` endpoints in the key's order, or all if there are fewer.

        Raises:
            TypeError: The key is of another type. Other errors are those of `endpoints`.
        """
        await self._prepare(await self.endpoints())
        return self._store.ranked(key, k)

    # Changes.

    def watch(self) -> AsyncIterator[Change]:
        """Iterates over changes; the first one has all current endpoints in ``added``.

        It waits for the first answer, and between changes. Changes are merged for a slow reader,
        and empty ones are not delivered. It ends when the `Peers` is closed. Without background
        refresh, the waiting task does the lookups.
        """
        self._store.check_open()
        return _Changes(self._store, self._flights)

    def on_change(self, call: Callable[[Change], object]) -> Callable[[], None]:
        """Calls a function for each later change, in the event loop: it must not block.

        Args:
            call: Called with the change, and not awaited. Its exceptions are logged.

        Returns:
            A function that ends the calls.

        Raises:
            ConfigurationError: Outside of ``async with``: without a refresh there are no changes;
                or ``call`` is no function, or an ``async`` one.
            Closed: The `Peers` was closed.
        """
        self._store.check_open()
        if not self._flights.entered:
            raise ConfigurationError(
                f"on_change of {self._store} was called outside of its async with block",
                hint="There is no background refresh: use it inside, or iterate over watch().",
            )
        return self._flights.listen(call)

    # Life.

    async def aclose(self) -> None:
        """Stops background refresh, cancels a lookup in progress and waits for its task.

        Later calls raise `Closed`. Calling it twice is safe.
        """
        await self._flights.close()

    async def __aenter__(self) -> Self:
        self._store.check_open()
        self._flights.start()
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.aclose()

    def __del__(self) -> None:
        store: Store | None = getattr(self, "_store", None)
        if store is not None and self._flights.entered and not store.closed:
            warnings.warn(
                f"{self!r} was entered and never closed", ResourceWarning, stacklevel=2, source=self
            )
            self._flights.give_up()


class _Endpoints:
    """Iterates over the endpoints that are known when it begins.

    Not an async generator: one that is left early has to be closed by the event loop.
    """

    def __init__(self, peers: Peers) -> None:
        self._peers = peers
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
        self._steps = store.watched()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Change:
        for step in self._steps:
            if isinstance(step, Change):
                return step
            await self._flights.do(step)
        raise StopAsyncIteration


@taking(service_arguments)
def peers(selecting: Selecting, target: Target) -> Peers:
    """Makes the `Peers` of a headless Service, for asyncio and trio; it does no lookup.

    The arguments, and what it raises, are those of `headless_discovery.peers`.
    """
    return Peers(selecting, target)
