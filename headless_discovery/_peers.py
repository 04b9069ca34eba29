"""Peers: the pods of one Service, for threads. The sync shell.

It waits, and sees to it that one lookup goes on at a time; what to ask and what to believe is
decided elsewhere. `headless_discovery.aio` is its twin, and differs by ``await``.

In the background there is one daemon thread for each `Peers`, not one for all: a name server that
stays silent then holds up nobody else, and closing one ends its thread without asking who else
needs it. It sleeps but for a few milliseconds each time that the answer is due.
"""

import atexit
import math
import os
import random
import threading
import warnings
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from sys import exception
from types import TracebackType
from typing import Self, TypeVar

from ._attempts import DEFAULT, Attempt, Course, On, Pause, Stop, connection_failed, rules
from ._calls import Call, Step, Wait, known, ready, refreshed, watched
from ._clock import Clock
from ._endpoint import Change, Endpoint, Snapshot
from ._exchange import Reply
from ._options import Finding, Selecting, check_finding, check_selecting
from ._policy import Policy
from ._questions import Family, Records
from ._selection import Key, Strategy
from ._shared import Listener, Shared
from ._steps import Converse, Steps, carry_out
from ._store import Store, log
from ._transport import Resolver

_T = TypeVar("_T")


class _Flights:
    """One lookup at a time, for all callers and for the background.

    It knows nothing of its `Peers`, so that a `Peers` that was forgotten can be told: the thread
    in the background holds this, not that.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self.clock = store.clock
        self.guard = threading.Condition()
        self.listeners: list[_Listener] = []
        self._join: Callable[[], None] | None = None
        self._sharing = 0  # how many wait for the end of a lookup that another leads

    def carry_out(self, call: Call[_T]) -> _T:
        """Does what the call says, blocking; returns what it returns."""
        try:
            while True:
                self.do(next(call))
        except StopIteration as done:
            result: _T = done.value
            return result

    def do(self, step: Step) -> None:
        """One step of a call."""
        if isinstance(step, Wait):
            with self.guard:
                self._wait(step.over, step.until)
            return
        store = self.store
        with self.guard:
            flight = store.flight
            if flight is not None:
                self._sharing += 1
                try:
                    self._wait(lambda: store.flight is not flight or store.closed, step.until)
                finally:
                    self._sharing -= 1
        if flight is None:
            self.lead(step.until)

    def _wait(self, over: Callable[[], bool], until: float) -> None:
        self.clock.wait_for(self.guard, over, None if until == math.inf else until)

    def start(self) -> None:
        """Asks in the background from now on, by itself."""
        with self.guard:
            if not self.store.in_background:
                self.store.in_background = True
                self._join = self.clock.start(self)

    def close(self) -> None:
        """A lookup under way is given up, the background ends, everybody who waits is woken."""
        self.give_up()
        with self.guard:
            join, self._join = self._join, None
        if join is not None:
            join()

    def give_up(self) -> None:
        """The same without waiting for the end of the background."""
        with self.guard:
            self.store.close()
            self.guard.notify_all()

    def after_fork(self) -> None:  # pragma: no cover - in a child: tests/test_life.py
        """In the child: other threads are gone, and with them what they held."""
        self.guard = threading.Condition()
        self._sharing = 0
        if self.store.in_background and not self.store.closed:
            self._join = self.clock.start(self)

    # As work for the clock.

    def due(self) -> float | None:
        """When the background is to ask next; after the lookup that goes on, if one does."""
        return self.store.background_due()

    def turn(self) -> None:
        """One lookup in the background; what goes wrong in it must not end the background."""
        try:
            self.lead()
        except Exception:
            log.exception("%s: a lookup in the background failed", self.store)

    def lead(self, until: float = math.inf) -> None:
        """One lookup, blocking; nothing if another caller was quicker.

        Whoever leads it may give it up; then another who waits for it begins anew.
        """
        steps = self.begin()
        if steps is None:
            return  # pragma: no cover - another thread was quicker, in some runs
        try:
            carry_out(steps, lambda step: self.converse(step, until))
        except BaseException as error:
            if not self._sharing:
                self.store.gave_up()
            if not isinstance(error, _GaveUpError):
                raise
        finally:
            self.end()

    def begin(self) -> Steps[object] | None:
        """Takes the one place there is for a lookup."""
        with self.guard:
            if self.store.under_way or self.store.closed:
                return None  # pragma: no cover - another thread was quicker, in some runs
            self.store.flight = object()
        return self.store.steps()

    def converse(self, step: Converse, until: float) -> Sequence[Reply]:
        """Over the resolver's wire; given up as soon as the store is closed."""
        store, clock = self.store, self.clock
        hurried = until < step.deadline
        if hurried:
            step = Converse(step.asks, until)
        replies = store.resolver.converse(step, clock, store.traffic, lambda: store.closed)
        if hurried and clock.now() >= until:
            raise _GaveUpError
        return replies

    def foretell(self, step: Converse) -> tuple[Sequence[Reply], float]:
        """The same, for a clock that decides by itself when it is that late."""
        return self.store.resolver.foretell(step, self.clock, self.store.traffic)

    def end(self) -> None:
        """Makes place for the next lookup, and wakes everybody who waited for this one."""
        with self.guard:
            self.store.flight = None
            self.guard.notify_all()
            waking = [listener for listener in self.listeners if listener.wake()]
        for listener in waking:
            self.clock.spawn(listener.deliver)


class _GaveUpError(Exception):
    """Whoever led a lookup has no more time."""


class _Listener(Listener):
    """For threads.

    Calls come one after the other, in a thread of their own that lives while there is something to
    tell: whoever blocks or fails holds up nobody else, and gets one merged change afterwards.
    """

    def __init__(self, flights: _Flights, call: Callable[[Change], object]) -> None:
        super().__init__(flights.store, call)
        self._flights = flights
        self._busy = False

    def wake(self) -> bool:
        """Whether there is something to tell and nobody who tells it yet; with the guard held."""
        if self._busy or not self.has_news:
            return False
        self._busy = True
        return True

    def deliver(self) -> None:
        """Tells what there is to tell."""
        while True:
            with self._flights.guard:
                if self not in self._flights.listeners or not self.has_news:
                    self._busy = False
                    return
                change = self.news()
            if change:
                self.tell(change)


class _Attempts(Course["Peers"]):
    """What `Peers.attempts` returns."""

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Attempt:
        attempt = self.first() or self.peers._flights.carry_out(self.following())
        if attempt is None:
            raise StopIteration
        return attempt


class Peers(Shared):
    """The pods of one headless Service; made by `peers`.

    It may be shared by threads, and goes on working after a fork. Use it in a ``with`` statement,
    or call `start`, to have it ask in the background: then nobody waits for DNS once something
    is known.
    """

    def __init__(self, selecting: Selecting, finding: Finding | None) -> None:
        super().__init__(selecting, finding)
        self._flights = _Flights(self._store)
        _all.add(self)

    # What is known.

    def endpoints(self) -> tuple[Endpoint, ...]:
        """The current endpoints, sorted by identity; ``()`` if DNS says that there are none.

        Asks DNS if nothing is known or the answer is due; that takes `Resolver.lifetime` seconds
        at most. If nothing is known and DNS fails, it raises the reason: `LookupFailed`,
        `LookupTimeout`, `IncompleteAnswer`, `NotHeadless`, `NoSuchPort` or `ConfigurationError`.
        Once something is known, no failure of DNS takes it away. After `close`: `Closed`.
        """
        store = self._store
        if store.serves_until != math.inf and store.now() >= store.serves_until:
            self._flights.carry_out(known(store))
        return store.snapshot.endpoints

    def __iter__(self) -> Iterator[Endpoint]:
        """Over `endpoints`."""
        return iter(self.endpoints())

    def get(self, name: str) -> Endpoint | None:
        """The endpoint with that full name or host name, or ``None``.

        Asks DNS, and raises, as `endpoints` does.
        """
        self.endpoints()
        return self._store.get(name)

    def refresh(self) -> Snapshot:
        """Asks now, and returns what is then known.

        It passes over back-off; but within `Policy.refresh_floor` (1 s) of the last answer, that
        one is returned. Calls at the same time share one lookup. Raises as `endpoints` does.
        """
        return self._flights.carry_out(refreshed(self._store))

    def wait_ready(
        self,
        at_least: int = 1,
        *,
        stable_for: float = 0,
        timeout: float | None = None,
        see_self: bool = False,
    ) -> Snapshot:
        """Waits until that many peers are there, for a cold start; returns what is then known.

        It asks every 1 to 5 seconds, and goes by LIVE answers alone. ``at_least`` is counted after
        this pod was left out, if it is. ``stable_for``: the same set in all answers for so many
        seconds, two at least that are not one cached copy. ``see_self``: this pod must be in the
        answer, whether it is left out or not. ``timeout`` is in seconds; ``None``: no limit.

        Raises `NotReady`, which says what was seen, for how long, and what to check. At once:
        `ConfigurationError`, also for ``see_self`` without an own address to be found, and
        `NotHeadless`. After `close`: `Closed`. A fixed list is ready at once or never.
        """
        wanted = self._store.wanted(at_least, stable_for, timeout, see_self=see_self)
        return self._flights.carry_out(ready(self._store, wanted))

    # Choosing.

    def pick(self, key: Key | None = None) -> Endpoint:
        """One endpoint by the strategy; with a key, the same one for it in every process.

        A key is ``str``, ``bytes`` or ``int``. Endpoints that are departing, or set aside because
        of failures, are picked only if nobody else is left. Raises `NoEndpoints` if there is
        none, `TypeError` for another kind of key, and what `endpoints` raises.
        """
        store = self._store
        choice = store.choice
        if choice.ages and store.now() >= choice.until:
            self._flights.carry_out(known(store))
            choice = store.chosen()
        # As `Choice.one`, written out: a call would take a third of the time.
        if key is None:
            return next(choice.draws)
        owner = choice.texts.get(key) if type(key) is str else None
        return choice.keyed(choice.among, key) if owner is None else owner

    def sample(self, k: int) -> tuple[Endpoint, ...]:
        """Up to ``k`` different endpoints at random, for gossip: each as likely as the other.

        Those that are departing or set aside are among them only if there are not ``k`` others.
        Raises what `endpoints` raises; if there is none, it is ``()``.
        """
        self.endpoints()
        return self._store.sample(k)

    def ranked(self, key: Key, k: int) -> tuple[Endpoint, ...]:
        """The key's first ``k`` endpoints in order, or all if there are fewer.

        The first is the one that `pick` gives for the key; when it leaves, the second is. For
        placing data and its replicas: departing endpoints and this pod are among them. Raises
        what `endpoints` raises, and `TypeError` for what cannot be a key.
        """
        self.endpoints()
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
    ) -> Iterator[Attempt]:
        """Attempts on one endpoint after the other: ``for attempt in ...: with attempt as peer:``.

        The first is on the one that `pick` would give. Each is on another until all were tried:
        with a key in the key's order, else at random; endpoints that are departing or set aside
        come last. Then it begins again from the best. `Attempt` says what is a success. A failure
        is reported, makes the next lookup due, and waits for no DNS.

        ``on``: which errors are failures of the endpoint, types or a predicate; others come out at
        once. ``stop``: an object of tenacity's; by default three attempts. ``wait``: the pause
        before each further attempt, an object of tenacity's; by default none before an endpoint
        that was not tried, then a random part of 0.1 s, doubled each time, up to 2 s. After 100
        attempts it ends in any case. ``timeout``: seconds for the whole, `Attempt.remaining`.

        The last error comes out as it is, with a note of what was tried. Raises what `pick` raises,
        and `ConfigurationError` for a wrong argument.
        """
        return _Attempts(self, key, rules(on, stop, wait, timeout))

    def call(
        self,
        fn: Callable[[Endpoint], _T],
        /,
        *,
        key: Key | None = None,
        on: On = connection_failed,
        stop: Stop | None = None,
        wait: Pause | None = None,
        timeout: float | None = None,
    ) -> _T:
        """Calls ``fn(endpoint)`` under `attempts`, with the same arguments; returns its result."""
        if on is connection_failed and stop is None and wait is None and timeout is None:
            # As the loop below would, without its objects: most calls succeed at once.
            store, handled = self._store, exception()
            choice = store.choice
            # Here and there as `pick` would.
            endpoint = next(choice.draws) if key is None and not choice.ages else self.pick(key)
            try:
                result = fn(endpoint)
            except Exception as error:
                course = _Attempts(self, key, DEFAULT)
                course.handled = handled
                course.begun(endpoint)
                if not course.failed(endpoint, error):
                    raise
            else:
                if store.failing:
                    self.report(endpoint)
                return result
        else:
            course = _Attempts(self, key, rules(on, stop, wait, timeout))
        for attempt in course:
            with attempt as endpoint:
                return fn(endpoint)
        raise AssertionError  # pragma: no cover - it ends with a result or an error

    def _hasten(self) -> None:
        with self._flights.guard:
            self._flights.guard.notify_all()

    # Being told.

    def watch(self) -> Iterator[Change]:
        """Iterates over changes: first what is there as ``added``, then each difference.

        It waits for the first known state, and between changes. Whoever is slow gets one merged
        change; empty ones are not sent. Ends when the `Peers` is closed. Without background
        refresh it asks DNS itself, in the thread that waits.
        """
        self._store.check_open()
        return self._changes()

    def _changes(self) -> Iterator[Change]:
        for step in watched(self._store):
            if isinstance(step, Change):
                yield step
            else:
                self._flights.do(step)

    def on_change(self, call: Callable[[Change], object]) -> Callable[[], None]:
        """Calls ``call(change)`` for each later change; returns a function that stops it.

        It is called in a thread of its own and may call anything here, `close` too. What it
        raises is logged. While it runs, changes are merged into one.
        """
        self._store.check_open()
        listener = _Listener(self._flights, call)
        with self._flights.guard:
            self._flights.listeners.append(listener)

        def stop() -> None:
            with self._flights.guard:
                if listener in self._flights.listeners:
                    self._flights.listeners.remove(listener)

        return stop

    # Life.

    def start(self) -> None:
        """Asks in the background from now on; calling it again is fine."""
        self._store.check_open()
        if self._store.finding is not None:
            self._flights.start()

    def close(self) -> None:
        """Ends it: a lookup under way is given up, no thread is left, later calls raise `Closed`.

        Closing again is fine.
        """
        self._flights.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        store: Store | None = getattr(self, "_store", None)
        if store is not None and store.in_background and not store.closed:
            warnings.warn(
                f"{self!r} was started and never closed", ResourceWarning, stacklevel=2, source=self
            )
            # Not waiting for the thread: nobody knows where this is called, nor in which thread.
            self._flights.give_up()


_all: weakref.WeakSet[Peers] = weakref.WeakSet()


def _after_fork() -> None:  # pragma: no cover - in a child: tests/test_life.py
    for store in list(_all):
        store._store.after_fork()
        store._flights.after_fork()


def _at_exit() -> None:  # pragma: no cover - at the end of a process: tests/test_life.py
    # One that was started for the life of the process ends with it, in peace. Registered when
    # this is imported, so it runs after what an app registers later.
    for store in list(_all):
        if store._store.in_background:
            store._flights.give_up()


os.register_at_fork(after_in_child=_after_fork)
atexit.register(_at_exit)


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
    """The pods of a headless Service. Asks DNS when it is first used, not here.

    ``service``: ``svc``, ``svc.ns``, ``svc.ns.svc`` or ``svc.ns.svc.<domain>``.
    ``port``: a port's name (looked up as ``_name._protocol``), a number (used as it is), or
    ``None``: the Service's only port, else ``None`` on each endpoint.
    ``protocol``: ``"tcp"``, ``"udp"`` or ``"sctp"``, of the named port.
    ``namespace``: by default the name's, ``$POD_NAMESPACE``, the service account's, or the one
    of resolv.conf's search list.
    ``cluster_domain``: by default the name's, resolv.conf's, or ``cluster.local``.
    ``family``: ``"prefer-ipv4"``, ``"prefer-ipv6"``, ``"ipv4"``, ``"ipv6"`` or ``"any"``.
    ``strategy``: ``"round-robin"``, ``"random"``, ``"sticky"``, or an object with ``select``.
    ``include_self``: ``False`` leaves this pod out.
    ``self_address``: this pod's own addresses; by default ``$POD_IPS``, ``$POD_IP``, or the
    local address that routes to the name server.
    ``records``: ``"address"`` asks for A and AAAA alone and names each pod by its dashed
    address: for Services none of whose pods has a host name, with a port number or no port.
    ``policy``: the numbers of refresh, grace and ejection. ``resolver``: name servers and the
    limits of a lookup. ``clock``, ``rng``: time and chance.

    Raises `ConfigurationError` for a wrong argument, or if nobody says the namespace.
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
