"""The state and the decisions of a `Peers`, for threads and tasks alike; without the waiting.

A call yields steps, which a shell carries out, blocking or awaiting: `Share` leads a lookup or
waits for the one in progress, `Wait` waits. Nothing here touches a socket, a thread or a task.

An interrupt may end any of this at any instruction. So what is known is one value, replaced in one
assignment, and an abandoned lookup is over at its deadline.
"""

import copy
import logging
import math
from bisect import bisect_left
from collections.abc import Callable, Container, Generator, Iterable, Sequence
from typing import Any, Literal

from .._dns.exchange import Learnt, exchange
from .._dns.lookup import lookup
from .._dns.steps import Steps
from .._dns.wanted import Memory, Origin
from .._endpoint import (
    Change,
    Endpoint,
    Outcome,
    Row,
    Snapshot,
    State,
    Stats,
    ThisPod,
    Unknown,
    Wrong,
    difference,
    identity_of,
    row_of,
)
from .._errors import (
    Closed,
    ConfigurationError,
    DiscoveryError,
    LookupFailed,
    NoEndpoints,
    check_count,
    in_seconds,
    log,
)
from .._membership import Membership
from .._selection import UNMADE, Budget, Choice, Chooser, Key
from .._selection.ejection import place
from .._time.clock import Lock
from .arguments import Selecting, Target, fixed
from .steps import Call, Driver, Share, Step, Wait
from .view import View, find_this_pod

_TRIES_AGAIN = 1.0
"""Seconds until a source that pushes changes, and could not be followed, is tried again."""
_OVERDUE = 1.0
"""Seconds past its lifetime after which a lookup is taken for interrupted."""


class Flight:
    """A lookup in progress."""

    expires = math.inf
    """When, by the clock, it is certainly over."""
    leader: int | None = None
    """The thread that does nothing else until it is through, if one does."""
    task: Any = None
    """The task that does, if one does."""


def failed(error: DiscoveryError) -> Wrong | Unknown:
    """The outcome of a lookup that could not even begin."""
    return Wrong(error) if isinstance(error, ConfigurationError) else Unknown(error)


class Store:
    """Membership fed by lookups, selection, and what is counted about them."""

    shell: Driver
    """Sets itself."""
    following: Any = None
    """What follows EndpointSlices, if that was begun."""

    def __init__(self, selecting: Selecting, target: Target | None) -> None:
        self.selecting = selecting
        self.target = target
        self.include_self = target is None or target.include_self
        """Whether this pod is shown."""
        if target is not None:  # a fixed list needs no lookup
            self.resolver = target.resolver
        self.clock = selecting.clock
        self.now = self.clock._reading()
        self.closed = False
        self.learnt = Learnt()
        self.choice = UNMADE
        """What `pick` chooses from, and by; it holds until `Choice.until`."""
        self.flight: Flight | None = None
        """The lookup that was begun last, until it ends."""
        self._memory: Memory | None = Memory()
        self.chooser = Chooser(
            selecting.strategy,
            selecting.rng,
            selecting.policy,
            self.now,
            None if target is None else target.zone,
        )
        self.failing = self.chooser.ejection.failing
        """Those whose last call failed."""
        self.budget = Budget()
        self._lock = Lock()  # of view, chooser and choice
        self.undecided = target is not None and target.source == "auto"
        """Whether the first lookup is to choose the source."""
        self.source: Literal["dns", "api", "static"] = "dns"
        if target is None or target.source == "api":
            self.source = "static" if target is None else "api"
        membership = Membership(selecting.policy, selecting.rng, self.source)
        self.view = View(membership, membership.snapshot)
        """What is known now."""

    def __str__(self) -> str:
        """For people: which Service."""
        return "a fixed list" if self.target is None else self.target.wanted.name

    # What is known.

    @property
    def snapshot(self) -> Snapshot:
        """What callers see."""
        return self.view.snapshot

    @property
    def known(self) -> bool:
        """Whether anything is known about the Service."""
        return self.view.snapshot.state is not State.PENDING

    def named(self, name: str, endpoints: Sequence[Endpoint]) -> Endpoint | None:
        """The endpoint with that full name or host name."""
        name = name.lower().removesuffix(".")
        found = [each for each in endpoints if each.name == name]
        found = found or [each for each in endpoints if each.hostname == name]
        if len(found) > 1:
            listed = ", ".join(f"{each.name} ({each})" for each in found[:5])
            raise ConfigurationError(
                f"{len(found)} endpoints of {self} are called {name!r}: {listed}",
                hint="Give the full name of one, or search endpoints().",
            )
        return found[0] if found else None

    def origin(self, endpoint: Endpoint) -> Origin:
        """Where one that the last lookup found came from."""
        return (self._memory or Memory()).origin(endpoint)

    def stats(self) -> Stats:
        """The counters."""
        return self.view.stats(
            self.clock.now(),
            queries_udp=self.learnt.udp,
            queries_tcp=self.learnt.tcp,
            ejected=len(self.ejected()),
            attempts=self.chooser.in_flight.begun,
            failures=self.chooser.failures,
            in_flight=sum(self.chooser.in_flight.counts().values()),
        )

    def after(self, lookup: int) -> Callable[[], bool]:
        """Whether anything was learnt after that many lookups, or it is closed."""
        return lambda: self.closed or self.view.lookups != lookup

    # A source that pushes changes, and needs no lookup: see `feed`.

    @property
    def pushes(self) -> bool:
        """Whether it does."""
        return self.source == "api"

    def source_chosen(self, until: float = math.inf) -> Call[None]:  # noqa: ARG002 - see `feed`
        """Waits until the source is decided; here it is."""
        yield from ()

    def follow(self) -> Any:
        """What may follow the source, not started yet; ``None`` if it cannot."""

    def followed_by(self, following: Any) -> None:
        """From now on that follows it."""

    def hurry(self) -> None:
        """Has it read now."""

    # When to look up.

    @property
    def under_way(self) -> Flight | None:
        """The lookup in progress, if there is one and its deadline is not over."""
        flight = self.flight
        return None if flight is None or self.now() >= flight.expires else flight

    @property
    def next_turn(self) -> float:
        """When the next lookup is due and may begin, on the clock."""
        membership = self.view.membership
        return max(membership.due, membership.ask_at(in_need=False))

    def turn_is_due(self) -> bool:
        """Whether a lookup is due and may begin."""
        return self.now() >= self.next_turn

    def may_ask(self, *, in_need: bool) -> bool:
        """Whether a lookup may begin now: backoff and the floor are over.

        A caller in need (`refresh`, a waiter) passes over backoff, never over the floor.
        """
        if self.target is None or self.pushes:
            return False
        return self.now() >= self.view.membership.ask_at(in_need=in_need)

    # Calls, as steps.

    def looked_up(self, until: float = math.inf) -> Call[None]:
        """Looks up if that is allowed now; raises if nothing is known after that."""
        self.check_open()
        if self.known:
            # With background refresh, during a lookup or during backoff: use what is known.
            if self.turn_is_due() and not self.under_way and not self.shell.runs():
                yield Share(until)
            return
        while (
            not self.known and not self.pushes and (self.under_way or self.may_ask(in_need=False))
        ):
            if self.now() >= until:
                break
            yield Share(until)
            self.check_open()
        self.raise_if_unknown()

    def refreshed(self) -> Call[Snapshot]:
        """Looks up now, but not within `refresh_floor`."""
        self.check_open()
        before = self.view.lookups
        while self.view.lookups == before and (self.under_way or self.may_ask(in_need=True)):
            yield Share()
            self.check_open()
        self.raise_if_unknown()
        return self.snapshot

    def watched(self) -> Generator[Step | Change, None, None]:
        """Changes, and the steps between them; ends when it is closed."""
        seen: tuple[Endpoint, ...] = ()

        def something_new() -> bool:
            return self.closed or self.snapshot.endpoints is not seen

        while not self.closed:
            snapshot = self.snapshot
            change = difference(seen, snapshot)
            seen = snapshot.endpoints
            if change:
                yield change
            elif self.shell.runs():
                yield Wait(something_new)
            elif self.pushes:  # there is no lookup to do instead
                yield Wait(something_new, self.now() + _TRIES_AGAIN)
            elif self.under_way or self.turn_is_due():
                yield Share()
            else:
                yield Wait(something_new, self.next_turn)

    # Life.

    def close(self) -> None:
        """After that every call raises `Closed`."""
        self.closed = True
        with self._lock:
            self.choice = UNMADE
            self.view = self.view.closed()
            self.choice = UNMADE

    def after_fork(self) -> None:  # pragma: no cover - in a child: tests/test_life.py
        """In the child: other threads are gone, and with them what they held and led."""
        self._lock = Lock()
        self.flight = None
        self._memory = None
        self.chooser.after_fork()

    # Errors.

    def check_open(self) -> None:
        """Raises `Closed` after `close`."""
        if self.closed:
            raise Closed(f"this Peers of {self} was closed", hint="Make a new one.")

    def raise_if_unknown(self) -> None:
        """Raises why nothing is known: a new copy for each caller, with its own traceback."""
        snapshot = self.snapshot
        if snapshot.state is State.PENDING:
            raise copy.copy(snapshot.error) if snapshot.error else self.nothing_yet()

    def nothing_yet(self) -> LookupFailed:
        """Why nothing is known although nothing has failed."""
        return LookupFailed(f"no lookup of {self} has ended yet")

    def no_endpoints(self) -> NoEndpoints:
        """Why there is none to pick."""
        error = self.snapshot.error
        if isinstance(error, NoEndpoints):
            return copy.copy(error)
        if self.view.listed:
            return NoEndpoints(f"no endpoints of {self}: only this pod is listed, and left out")
        return NoEndpoints(
            f"no endpoints of {self}: the last answer had none, and DNS has failed since then",
            hint=f"The last lookup: {self.snapshot.reason}",
        )

    # A lookup.

    def begin(self, flight: Flight) -> bool:
        """Takes the only place for a lookup; returns whether it was free."""
        with self._lock:
            if self.closed or (self.flight is not None and self.under_way):
                return False
            lifetimes = 2 if self.undecided else 1  # to choose the source, and to query it
            flight.expires = self.now() + lifetimes * self.resolver.lifetime + _OVERDUE
            self.flight = flight
        return True

    def is_over(self, flight: Flight) -> bool:
        """Whether there is nothing to wait for any more."""
        return self.under_way is not flight or self.closed

    def end(self, flight: Flight) -> None:
        """Makes place for the next lookup."""
        if self.flight is flight:
            self.flight = None

    def gave_up(self) -> None:
        """A lookup ended without an outcome: `refresh_floor` still applies to the next one."""
        with self._lock:
            self._know(self.view.gave_up(self.now()))

    def steps(self, flight: Flight) -> Steps[None]:
        """One lookup, from asking to believing; nothing if the source pushes changes."""
        if self.pushes:
            return
        assert self.target is not None  # noqa: S101 - a fixed list never looks up
        asked_at = self.now()
        # Taken out while it changes: what an interrupt leaves half done is not used again.
        memory, self._memory = self._memory or Memory(), None
        this_pod = self.view.this_pod
        outcome: Outcome
        try:
            plan = self.resolver.plan()
            # I/O: not when a Peers is made.
            this_pod = this_pod or find_this_pod(self.target, self.source)
        except DiscoveryError as error:
            outcome = failed(error)
        else:
            going = lookup(self.target.wanted, memory, asked_at, self.selecting.rng)
            service = self.target.wanted.service
            outcome = yield from exchange(going, service, plan, self.learnt, self.now)
        if self.flight is flight:  # else it is too late
            self.learn(outcome, asked_at, this_pod)
            self._memory = memory

    def broke(self, flight: Flight, error: Exception) -> None:
        """A lookup ended in an unexpected error: it says nothing about the pods."""
        log.error("%s: unexpected error in a lookup", self, exc_info=error)
        what = f"{type(error).__name__}: {error!s:.80}"
        failure = LookupFailed(f"unexpected error in a lookup of {self}: {what}")
        failure.__cause__ = error
        if self.flight is flight:
            self.learn(Unknown(failure), self.clock.now())

    def learn(self, outcome: Outcome, asked_at: float, this_pod: ThisPod | None = None) -> None:
        """Applies an outcome, and logs a change of the state."""
        with self._lock:
            if self.closed:
                return
            before = self.view
            view = before.after(
                outcome,
                asked_at,
                self.now(),
                this_pod=this_pod or before.this_pod,
                include_self=self.include_self,
                source=self.source,
            )
            self.choice = UNMADE  # until a caller wants it: at thousands it takes its time
            self._know(view)
            self.chooser.see(view.snapshot.endpoints)
            self.choice = UNMADE
        self._log(before, view)

    def _know(self, view: View) -> None:
        """That is known from now on; with the lock held."""
        self.view = view
        if self.closed:  # meanwhile, by a signal handler in this very thread
            self.view = view.closed()

    def _log(self, before: View, view: View) -> None:
        """What became of the state, with its reason, and for how long it was STALE."""
        old, new = before.snapshot, view.snapshot
        level = logging.WARNING if new.state is State.STALE else logging.INFO
        if new.state is not old.state and log.isEnabledFor(level):
            reason = f": {new.reason}" if new.reason else ""
            if old.state is State.STALE and before.state_since is not None:
                reason = f" after {in_seconds(self.now() - before.state_since)}{reason}"
            log.log(level, "%s is %s%s", self, new.state, reason)
        for kind, text in view.warnings.items():
            if kind not in before.warnings:
                log.warning("%s: %s", self, text)
        if view.is_lost and not before.is_lost and before.this_pod is not None:
            log.warning(
                "%s: this pod (%s) was listed and is no longer, so its peers do not find it: it is "
                "not ready, or terminating, or not selected by the Service any more. Check its "
                "readiness probe and its labels",
                self,
                before.this_pod,
            )

    # Choosing.

    def chosen(self) -> Choice:
        """The candidates and the strategy at this moment; raises `NoEndpoints`. No lookup."""
        with self._lock:
            choice = self._choose()
        if not choice.endpoints:
            raise self.no_endpoints()
        return choice

    def _choose(self) -> Choice:
        """Computes the candidates again; with the lock held."""
        view = self.view
        self.choice = choice = self.chooser.choice(view.snapshot, self.now(), view.fresh_until)
        if self.closed:  # meanwhile, as in `_know`
            self.choice = UNMADE
        return choice

    def ranked(self, key: Key, k: int) -> tuple[Endpoint, ...]:
        """The key's first owners, this pod among them: it is for placing data."""
        endpoints = self.view.listed
        return self.chooser.keys.ranked(endpoints, key, check_count("k", k)) if endpoints else ()

    def sample(self, k: int) -> tuple[Endpoint, ...]:
        """Some at random."""
        if not check_count("k", k) or not self.snapshot.endpoints:
            return ()
        return self.chooser.sample(self.chosen(), k)

    def another(
        self, key: Key | None, tried: Container[Row], *, elsewhere: bool
    ) -> Endpoint | None:
        """One that was not tried; ``None``: all were."""
        return self.chooser.another(self.chosen(), key, tried, elsewhere=elsewhere)

    def has_more_than(self, tried: Container[Row]) -> bool:
        """Whether there is one that was not tried."""
        return any(row_of(endpoint) not in tried for endpoint in self.snapshot.endpoints)

    # How endpoints do.

    def report(self, endpoint: Endpoint, error: BaseException | None) -> bool:
        """Applies the result of a call; returns whether a lookup is due sooner because of it."""
        if error is None and not self.failing:
            return False
        with self._lock:
            if self.closed or not self._is_current(endpoint):
                return False
            now = self.clock.now()
            if error is None:
                self.chooser.ejection.succeeded(endpoint)
            else:
                self.chooser.ejection.failed(endpoint, now)
                self._know(self.view.hurried(now))
            self._choose()
        return error is not None

    def ejected(self) -> dict[Endpoint, float]:
        """Who is ejected, until when."""
        with self._lock:
            return self.chooser.ejected(self.snapshot, self.clock.now())

    def _is_current(self, endpoint: Endpoint) -> bool:
        """Whether it is there, at this very place."""
        endpoints, identity = self.snapshot.endpoints, endpoint.identity
        index = bisect_left(endpoints, identity, key=identity_of)
        return (
            index < len(endpoints)
            and endpoints[index].identity == identity
            and place(endpoints[index]) == place(endpoint)
        )

    def fix(self, endpoints: Iterable[str]) -> None:
        """Makes it a fixed list; raises `ConfigurationError` for what is not an address."""
        self.check_open()
        if self.target is not None:
            raise ConfigurationError(
                f"update is for a fixed list: the endpoints of {self} are looked up"
            )
        self.learn(fixed(endpoints), self.clock.now())
