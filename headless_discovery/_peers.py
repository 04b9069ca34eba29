"""Peers: the pods of one Service, for threads. The sync shell.

It waits, and keeps to one lookup at a time. `headless_discovery.aio` is the same with ``await``.

Each `Peers` has a daemon thread of its own for background refresh, so that a name server that does
not reply delays no other, and closing one ends its thread.
"""

import atexit
import contextlib
import functools
import math
import os
import threading
import warnings
import weakref
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Self, TypeVar

from ._attempts import Calls
from ._dns.sockets import is_an_interrupt
from ._dns.steps import GaveUp
from ._endpoint import Change, Endpoint, Snapshot
from ._errors import check_is_a, log
from ._selection import Key
from ._store.arguments import Selecting, Target, service_arguments, taking
from ._store.delivery import Delivery
from ._store.readiness import Readiness, ready
from ._store.shell import Shell
from ._store.steps import Call, Step, Wait
from ._store.store import Flight, Store
from ._time.clock import Lock, ThreadWaiters

if TYPE_CHECKING:
    from ._api.protocol import Watch
    from ._api.server import EndpointSlices, Following

_T = TypeVar("_T")


class _Flights(Shell):
    """The shell for threads."""

    waiters: ThreadWaiters

    def __init__(self, store: Store) -> None:
        super().__init__(store, ThreadWaiters())
        self.delivery = Delivery(store, self.listeners)
        self._beginning = Lock()
        self.explicit = False
        """Whether background refresh was started."""

    def carry_out(self, call: Call[_T]) -> _T:
        """Does what the call says, blocking; returns what it returns."""
        try:
            while True:
                self.do(next(call))
        except StopIteration as done:
            result: _T = done.value
            return result
        finally:
            call.close()

    def do(self, step: Step) -> None:
        """One step of a call."""
        store = self.store
        if isinstance(step, Wait):
            self.clock.wait_for(self.waiters, step.over, step.until)
            return
        before = store.view.lookups
        while store.flight is not None and (flight := store.under_way) is not None:
            if flight.leader == threading.get_ident():
                # This very thread: it was interrupted, or has been by what calls this.
                store.end(flight)
                break
            over = functools.partial(store.is_over, flight)
            self.clock.wait_for(self.waiters, over, step.until, overdue=flight.expires)
            if store.view.lookups != before or store.closed or self.clock.now() >= step.until:
                return
        # No lookup is in progress, or its leader was interrupted.
        self.lead(step.until)

    def lead(self, until: float = math.inf) -> None:
        """One lookup, blocking; nothing if another caller was quicker.

        Its leader may be interrupted; then another caller that waits for it starts a new one.
        """
        store = self.store
        flight = Flight()
        flight.leader = threading.get_ident()
        try:
            if store.begin(flight):  # pragma: no branch - or another thread was quicker
                if store.undecided:
                    self.carry_out(store.source_chosen(until))
                store.resolver.run(
                    store.steps(flight), self.clock, stop=lambda: store.closed, until=until
                )
        except GaveUp:
            store.gave_up()
        except Exception as error:  # what goes wrong must not end the background, nor raise here
            # The background has no caller to take it; gevent may call a handler there, too.
            if threading.current_thread() is not self._worker and is_an_interrupt(error):
                raise
            store.broke(flight, error)
        finally:
            # As `Store.end`, but without a call: on the way into one Python runs signal handlers,
            # and one that raises there would leave the place taken until the lookup's time is over.
            if store.flight is flight:
                store.flight = None
            self.landed()

    def landed(self) -> None:
        """Wakes all that wait, and has the listeners called."""
        self.waiters.wake()
        if self.listeners:
            self.delivery.look()

    # The background.

    @property
    def started(self) -> bool:
        """Whether it is to be refreshed in the background."""
        return self._background is not None and not self.store.closed

    def start(self) -> None:
        """Starts background refresh."""
        self.explicit = True
        self._runs_or_begins()

    def runs(self) -> bool:
        """Whether background refresh runs; slices are always followed in the background."""
        return (self.store.pushes or self._worker is not None) and self._runs_or_begins()

    def _runs_or_begins(self) -> bool:
        """Whether it runs by now; a thread that has ended is replaced."""
        if self._runs_now():
            return True
        store, pushes = self.store, self.store.pushes
        # Made by all who come at the same time, since that may take long; started by one of them.
        background = store.follow() if pushes else self.clock.background(self)
        if background is None:
            return False
        with self._beginning:
            if self._runs_now():
                return True
            # It is stored before it runs: after an interrupt in between, it is started again. If it
            # cannot be started, callers look up, and try to start it, when a refresh is due.
            if pushes:
                store.followed_by(background)
            else:
                self._worker = background
            if store.closed:  # else `close` finds it, since it was stored before
                return False
            try:
                background.start()
            except RuntimeError as error:
                log.warning("%s: the refresh thread cannot be started: %s", store, error)
                return False
        return True

    def follow(self, slices: "EndpointSlices", watch: "Watch") -> "Following":
        """What follows slices in a thread, once it is started."""
        return slices.background(watch, self.clock)

    def close(self) -> None:
        """Gives up, and waits for the end of the background."""
        self.give_up()
        with self._beginning:  # one that is just being started is waited for too
            going_on = self._going_on()
        for each in going_on:
            each.join()
        self.delivery.close()

    def turn(self) -> None:
        """One lookup in the background."""
        with contextlib.suppress(Exception):  # of a handler that gevent calls here, at its very end
            self.lead()

    def after_fork(self) -> None:  # pragma: no cover - in a child: tests/test_life.py
        """In the child: other threads are gone, and with them what they held."""
        self.waiters = ThreadWaiters()
        self._beginning = Lock()
        self.delivery.after_fork()
        started = self.started
        self.store.following = None  # it shares the parent's connection: not to be shut down here
        if started:
            self.runs()


class Peers(Calls):
    """The pods of one headless Service; made by `peers`.

    It may be shared by threads, and keeps working after a fork. Use it in a ``with`` statement, or
    call `start`, to refresh it in the background: then no caller waits for DNS once something is
    known.
    """

    _flights: _Flights

    def __init__(self, selecting: Selecting, target: Target | None) -> None:
        super().__init__(selecting, target)
        self._flights = _Flights(self._store)
        _all.add(self)

    # What is known.

    def endpoints(self) -> tuple[Endpoint, ...]:
        """The current endpoints; looks them up if none are known or the refresh is due.

        Once endpoints are known, a failed lookup does not remove them.

        Returns:
            The endpoints, sorted by identity; ``()`` if DNS says authoritatively that none exist.

        Raises:
            DiscoveryError: No answer came within `Resolver.lifetime` (5 s), or it was closed.
        """
        store = self._store
        if store.now() >= store.view.fresh_until:
            self._flights.carry_out(store.looked_up())
        return store.view.snapshot.endpoints

    def __iter__(self) -> Iterator[Endpoint]:
        """Iterates over `endpoints`."""
        return iter(self.endpoints())

    def get(self, name: str) -> Endpoint | None:
        """One endpoint by its name; looks up the Service when `endpoints` would.

        Args:
            name: Its full name or host name.

        Returns:
            The endpoint, or ``None``.

        Raises:
            ConfigurationError: Several endpoints have that name, or it is not a ``str``.
            DiscoveryError: As `endpoints` does.
        """
        check_is_a("name", name, str)  # before anything is looked up
        return self._store.named(name, self.endpoints())

    def refresh(self) -> Snapshot:
        """Looks up the Service now, even during backoff. Concurrent calls share one lookup.

        Within `Policy.refresh_floor` (1 s) of the last answer, that answer is returned.

        Returns:
            The snapshot after the lookup.

        Raises:
            DiscoveryError: As `endpoints` does.
        """
        return self._flights.carry_out(self._store.refreshed())

    def wait_ready(
        self,
        at_least: int = 1,
        *,
        stable_for: float = 0,
        timeout: float | None = None,
        see_self: bool = False,
    ) -> Snapshot:
        """Waits until enough peers are listed, for a cold start; looks up every 1 to 5 seconds.

        Args:
            at_least: The number of peers, without this pod if ``include_self=False``. Default: 1.
            stable_for: Seconds during which all answers must list the same peers. Default: 0.
            timeout: Seconds after which `NotReady` is raised; ``None`` (default): no limit, but a
                `static` one is not waited for.
            see_self: Whether this pod must be listed too, even if ``include_self=False``.

        Returns:
            The snapshot that meets these conditions.

        Raises:
            NotReady: The timeout expired; its attributes say what was seen.
            ConfigurationError: At once, for example if this pod's own address cannot be found.
            NotHeadless: At once.
            Closed: The `Peers` was closed.
        """
        wanted = Readiness.of(self._store, at_least, stable_for, timeout, see_self=see_self)
        return self._flights.carry_out(ready(self._store, wanted))

    # Choosing.

    def pick(self, key: Key | None = None) -> Endpoint:
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
            self._flights.carry_out(store.looked_up())
            choice = store.chosen()
        # As `Choice.one`, without a call.
        return choice.select(choice.near if key is None else choice.endpoints, key)

    def sample(self, k: int) -> tuple[Endpoint, ...]:
        """Different random endpoints, all equally likely: for gossip.

        Args:
            k: The number of endpoints. Departing and ejected ones are included only if there are
                fewer than ``k`` others.

        Returns:
            Up to ``k`` endpoints; ``()`` if there are none.

        Raises:
            ConfigurationError: ``k`` is not a whole number. Other errors are those of `endpoints`.
        """
        self.endpoints()
        return self._store.sample(k)

    def ranked(self, key: Key, k: int) -> tuple[Endpoint, ...]:
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
        self.endpoints()
        return self._store.ranked(key, k)

    # Changes.

    def watch(self) -> Iterator[Change]:
        """Iterates over changes; the first one has all current endpoints in ``added``.

        It waits for the first answer, and between changes. Changes are merged for a slow reader,
        and empty ones are not delivered. It ends when the `Peers` is closed. Without background
        refresh, the waiting thread does the lookups.
        """
        self._store.check_open()
        return self._changes()

    def _changes(self) -> Iterator[Change]:
        for step in self._store.watched():
            if isinstance(step, Change):
                yield step
            else:
                self._flights.do(step)

    def on_change(self, call: Callable[[Change], object]) -> Callable[[], None]:
        """Calls a function for each later change; starts background refresh if necessary.

        One thread calls all functions in turn. If one blocks for 0.25 s, another thread calls the
        others. Changes during a call are merged into one; its exceptions are logged.

        Args:
            call: Called with the change. It may call every method of this `Peers`.

        Returns:
            A function that ends the calls.

        Raises:
            ConfigurationError: ``call`` is no function, or an ``async`` one.
            Closed: The `Peers` was closed.
        """
        self._store.check_open()
        stop = self._flights.listen(call)  # first: the background may bring a change at once
        try:
            self.start()
        except BaseException:  # an interrupt, after which the caller could not stop it
            stop()
            raise
        return stop

    # Life.

    def start(self) -> None:
        """Starts background refresh. Calling it twice is safe."""
        self._store.check_open()
        if self._store.target is not None:
            self._flights.start()

    def close(self) -> None:
        """Stops background refresh, cancels a lookup in progress and joins the thread.

        Later calls raise `Closed`, and no function of `on_change` is called any more; it waits for
        one that is being called, unless that blocks for 0.25 s. Calling it twice is safe.
        """
        self._flights.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def __del__(self) -> None:
        store: Store | None = getattr(self, "_store", None)
        if store is not None and self._flights.started:
            if self._flights.explicit:
                warnings.warn(
                    f"{self!r} was started and never closed",
                    ResourceWarning,
                    stacklevel=2,
                    source=self,
                )
            # Not waiting for the thread: it is unknown where this is called, nor in which thread.
            self._flights.give_up()


_all: weakref.WeakSet[Peers] = weakref.WeakSet()


def _after_fork() -> None:  # pragma: no cover - in a child: tests/test_life.py
    for peers in list(_all):
        peers._store.after_fork()
        peers._flights.after_fork()


def _at_exit() -> None:  # pragma: no cover - at the end of a process: tests/test_life.py
    # One that was started for the life of the process ends with it, in peace. Registered when
    # this is imported, so it runs after what an app registers later.
    for peers in list(_all):
        if peers._flights.started:
            peers._flights.give_up()


os.register_at_fork(after_in_child=_after_fork)
atexit.register(_at_exit)


@taking(service_arguments)
def peers(selecting: Selecting, target: Target) -> Peers:  # noqa: D417 - see `taking`
    """Makes the `Peers` of a headless Service, without any lookup until it is first used.

    Args:
        service: ``svc``, ``svc.ns``, ``svc.ns.svc`` or ``svc.ns.svc.<domain>``.
        port: A port's name (looked up as ``_name._protocol``), a number (used as it is), or
            ``None``: the Service's only port, else ``None`` on each endpoint.
        protocol: The named port's protocol: ``"tcp"`` (default), ``"udp"`` or ``"sctp"``.
        namespace: By default the name's, ``$POD_NAMESPACE``, the service account's, or the one of
            resolv.conf's search list.
        cluster_domain: By default the name's, resolv.conf's, or ``cluster.local``.
        family: ``"prefer-ipv4"`` (default), ``"prefer-ipv6"``, ``"ipv4"``, ``"ipv6"`` or ``"any"``.
        strategy: ``"round-robin"`` (default), ``"random"``, ``"least-loaded"``, ``"sticky"``,
            ``"session"``, or an object with ``select``.
        source: ``"dns"`` (default); ``"api"``: EndpointSlices, watched; ``"auto"``: chosen once,
            at the first lookup: EndpointSlices if they can be read then, else DNS.
        zone: A topology zone, or ``"auto"`` (``$POD_ZONE``), whose pods are chosen first; needs
            ``source="api"`` or ``"auto"``.
        include_self: ``False`` leaves this pod out. Default: ``True``.
        self_address: This pod's own addresses, ``"10.0.0.5:8001"`` where several processes share
            one; by default ``$POD_IPS``, ``$POD_IP``, or the local address that routes to the name
            server, unless that is loopback or link-local and no endpoint has it.
        self_name: This pod's name, for pods that share an address; by default ``$POD_NAME``, or
            the host name.
        records: ``"auto"`` (default); ``"address"`` queries A and AAAA alone and names each pod by
            its dashed address: only if no pod has a host name, with a port number or no port.
        policy: Settings for refresh, staleness and ejection. Default: ``Policy()``.
        resolver: Name servers and the limits of a lookup. Default: ``Resolver()``.
        clock: The source of time; replace it in tests.
        rng: The source of randomness; replace it in tests.

    Returns:
        A `Peers` in the state PENDING.

    Raises:
        ConfigurationError: An argument is wrong, or no source gives the namespace.
    """
    return Peers(selecting, target)
