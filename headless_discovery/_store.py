"""What a Peers knows and decides, sync or async: everything but the waiting.

A lookup is told as steps that a shell carries out, blocking or awaiting. Nothing here touches a
socket, a thread or a task; the shells see to it that one lookup goes on at a time.
"""

import copy
import logging
import math
import threading
from bisect import bisect_left
from collections.abc import Container, Iterable

import attrs

from ._choosing import UNMADE, Choice, Chooser
from ._ejection import place
from ._endpoint import Endpoint, Snapshot, State, by_identity, identity_of, without
from ._errors import Closed, ConfigurationError, LookupFailed, NoEndpoints
from ._exchange import Traffic
from ._membership import Membership
from ._options import Finding, Selecting, own_addresses, parse_endpoint
from ._outcomes import Empty, Found, Outcome, Unknown, Wrong
from ._questions import Memory, Origin, lookup
from ._selection import Key
from ._self import ThisPod
from ._stats import Stats
from ._steps import Steps, steps_of
from ._transport import Resolver
from ._waiting import Presence, Sight, Wanted

log = logging.getLogger("headless_discovery")
_NOBODY = ThisPod()


class Store:
    """Membership fed by lookups, selection, and what is counted about them."""

    def __init__(self, selecting: Selecting, finding: Finding | None) -> None:
        self.selecting = selecting
        self.finding = finding
        self.clock = selecting.clock
        self.now = self.clock._reading()
        self.closed = False
        self.snapshot = Snapshot()
        """What is known now: the membership's, without this pod if it is to be left out."""
        self.sight = Sight()
        """The same before leaving out, for whoever waits."""
        self.serves_until = -math.inf
        """Until when what is known is told to callers without a second look."""
        self.lookups = 0
        """How many came to an outcome; counted last of all."""
        self.in_background = False
        self.flight: object | None = None
        """The lookup that goes on, if one does."""
        self.traffic = Traffic()
        self._membership = Membership(selecting.policy, selecting.rng)
        self.choice = UNMADE
        """What `pick` chooses from, and by; it holds until `Choice.until`."""
        self._memory = Memory()
        self._this_pod: ThisPod | None = None
        self._looked_at: tuple[object, object] = ((), None)  # when this pod was last left out
        self._left_out: tuple[Endpoint, ...] = ()
        self._outcomes = dict.fromkeys((Found, Empty, Unknown, Wrong), 0)
        self._changes = 0
        self._state_since: float | None = None
        self._presence = Presence()
        self._chooser = Chooser(selecting)
        self.failing = self._chooser.ejection.failing
        """Those whose last call failed."""
        self._lock = threading.RLock()  # of the membership, the chooser and the choice

    def __str__(self) -> str:
        """For people: which Service."""
        return "a fixed list" if self.finding is None else self.finding.wanted.name

    # What is known.

    @property
    def known(self) -> bool:
        """Whether anything is known about the Service."""
        return self.snapshot.state is not State.PENDING

    @property
    def under_way(self) -> bool:
        """Whether a lookup goes on."""
        return self.flight is not None

    @property
    def resolver(self) -> Resolver:
        """Whom to ask; a fixed list asks nobody."""
        assert self.finding is not None  # noqa: S101 - a fixed list never asks
        return self.finding.resolver

    @property
    def next_turn(self) -> float:
        """When the next lookup is due and may begin, on the clock."""
        if self.finding is None:
            return math.inf
        return max(self._membership.due, self._membership.ask_at(in_need=False))

    def background_due(self) -> float | None:
        """When the background is to ask next; after the lookup that goes on, if one does."""
        if self.closed:
            return None
        return math.inf if self.under_way else self.next_turn

    def turn_is_due(self) -> bool:
        """Whether a lookup is due and may begin."""
        return self.clock.now() >= self.next_turn

    def is_fresh(self) -> bool:
        """Whether what is known is not due to be asked for again."""
        return self.now() < self._fresh_until

    @property
    def _fresh_until(self) -> float:
        if self.closed or not self.known:
            return -math.inf
        return math.inf if self.finding is None else self._membership.due

    def _note_serving(self) -> None:
        """In the background `known` would ask nothing, however old the answer is."""
        until = self._fresh_until
        self.serves_until = math.inf if self.in_background and until > -math.inf else until

    def may_ask(self, *, in_need: bool) -> bool:
        """Whether a lookup may begin now: back-off and the floor are over.

        A caller in need (`refresh`, a waiter) passes over back-off, never over the floor.
        """
        if self.finding is None:
            return False
        return self.clock.now() >= self._membership.ask_at(in_need=in_need)

    def asks_for_waiter_at(self, stable_for: float, *, at_once: bool) -> float:
        """When somebody who waits for members is to ask."""
        return self._membership.asks_for_waiter_at(stable_for, at_once=at_once)

    def get(self, name: str) -> Endpoint | None:
        """The endpoint with that full name or host name."""
        name = name.lower().removesuffix(".")
        for endpoint in self.snapshot.endpoints:
            if name in (endpoint.name, endpoint.hostname):
                return endpoint
        return None

    def origin(self, endpoint: Endpoint) -> Origin:
        """Where one that the last lookup found came from."""
        return self._memory.origin(endpoint)

    def stats(self) -> Stats:
        """The counters."""
        snapshot = self.snapshot
        return Stats(
            lookups=self.lookups,
            found=self._outcomes[Found],
            empty=self._outcomes[Empty],
            unknown=self._outcomes[Unknown],
            wrong=self._outcomes[Wrong],
            queries_udp=self.traffic.udp,
            queries_tcp=self.traffic.tcp,
            changes=self._changes,
            endpoints=len(snapshot.endpoints),
            departing=len(snapshot.departing),
            ejected=len(self.ejected()),
            state=snapshot.state,
            state_since=self._state_since,
        )

    def wanted(
        self, at_least: int, stable_for: float, timeout: float | None, *, see_self: bool
    ) -> Wanted:
        """What somebody waits for; raises `ConfigurationError` for what cannot be meant.

        A fixed list does not change, and who this pod is in it nobody can tell.
        """
        finding = self.finding
        wanted = Wanted(
            at_least=at_least,
            stable_for=stable_for,
            timeout=timeout,
            see_self=see_self,
            include_self=finding is None or finding.include_self,
        )
        if finding is None:
            return attrs.evolve(wanted, stable_for=0, see_self=False)
        if see_self:
            self._find_this_pod(finding, needed_for="see_self=True")
        return wanted

    # Life.

    def close(self) -> None:
        """Nothing is known to anybody after that."""
        with self._lock:
            self.closed = True
            self._choose()

    def after_fork(self) -> None:  # pragma: no cover - in a child: tests/test_life.py
        """In the child: other threads are gone, and with them what they held and led."""
        self._lock = threading.RLock()
        self.flight = None
        self.selecting.after_fork()
        self._chooser.after_fork()

    # Errors.

    def check_open(self) -> None:
        """Raises `Closed` after `close`."""
        if self.closed:
            raise Closed(f"this Peers of {self} was closed; make a new one")

    def raise_if_unknown(self) -> None:
        """Raises why nothing is known: a new copy for each caller, with its own traceback."""
        if self.known:
            return
        error = self._membership.error
        raise LookupFailed(f"nothing is known of {self} yet") if error is None else copy.copy(error)

    def nobody(self) -> NoEndpoints:
        """Why there is nobody to pick."""
        snapshot, error = self.sight.snapshot, self.snapshot.error
        if isinstance(error, NoEndpoints):
            return copy.copy(error)
        if snapshot.endpoints:
            return NoEndpoints(f"no endpoints of {self}: all that DNS lists were left out")
        return NoEndpoints(
            f"no endpoints of {self}: there were none in the last answer, and since then: "
            f"{snapshot.reason}"
        )

    # A lookup.

    def steps(self) -> Steps[None]:
        """One lookup, from asking to believing."""
        asked_at = self.clock.now()
        outcome = yield from self._outcome(asked_at)
        if self.closed:
            return
        now = self.clock.now()
        with self._lock:
            change = self._membership.learn(outcome, asked_at, now)
            before, everybody = self.snapshot, self.sight.snapshot.endpoints
            self._see()
        self._note(outcome, before, now)
        if change is not None and self._presence.is_lost(self.sight.this_pod, everybody, change):
            self._say_lost()
        self.lookups += 1

    def gave_up(self) -> None:
        """The steps were left before they came to an outcome."""
        self._membership.gave_up(self.clock.now())

    def _outcome(self, asked_at: float) -> Steps[Outcome]:
        assert self.finding is not None  # noqa: S101 - a fixed list never asks
        wanted, resolver = self.finding.wanted, self.finding.resolver
        try:
            servers = resolver.servers()
            if self._this_pod is None:
                # Once, and not when a Peers is made: it takes a look at the network.
                include_self = self.finding.include_self
                self._find_this_pod(
                    self.finding, needed_for=None if include_self else "include_self=False"
                )
        except ConfigurationError as error:
            return Wrong(error)
        return (
            yield from steps_of(
                lookup(wanted, self._memory),
                wanted.service,
                servers,
                resolver.edns,
                asked_at + resolver.lifetime,
            )
        )

    def _find_this_pod(self, finding: Finding, *, needed_for: str | None) -> None:
        addresses = own_addresses(finding, needed_for=needed_for)
        self._this_pod = ThisPod(addresses, finding.resolver.own_hostname() if addresses else "")

    def _see(self) -> None:
        """Takes over what the membership knows now."""
        full, finding = self._membership.snapshot, self.finding
        this_pod = self._this_pod or _NOBODY
        shown = full if finding is None or finding.include_self else self._without(this_pod, full)
        self.snapshot, self.sight = shown, Sight(full, self._membership.run, this_pod)
        self._note_serving()
        self._chooser.ejection.see(shown.endpoints)
        self.choice = UNMADE  # until somebody wants it: at thousands it takes its time

    def _without(self, this_pod: ThisPod, full: Snapshot) -> Snapshot:
        """The membership's snapshot; its state is that of the answer before leaving out."""
        before = self.snapshot
        endpoints = before.endpoints
        listed, whose = self._looked_at
        if full.endpoints is not listed or this_pod is not whose:
            self._looked_at = full.endpoints, this_pod
            self._left_out = this_pod.among(full.endpoints)
            others = tuple(without(full.endpoints, self._left_out))
            if others != endpoints:
                endpoints = others
        return attrs.evolve(
            full,
            endpoints=endpoints,
            departing=tuple(without(full.departing, self._left_out)),
            generation=before.generation + (endpoints is not before.endpoints),
        )

    def _note(self, outcome: Outcome, before: Snapshot, now: float) -> None:
        """Counts; and says in the log what became of the state, with its reason."""
        self._outcomes[type(outcome)] += 1
        snapshot = self.snapshot
        self._changes += snapshot.endpoints is not before.endpoints
        if snapshot.state is not before.state:
            self._state_since = now
            level = logging.WARNING if snapshot.state is State.STALE else logging.INFO
            reason = f": {snapshot.reason}" if snapshot.reason else ""
            log.log(level, "%s is %s%s", self, snapshot.state, reason)

    def _say_lost(self) -> None:
        log.warning(
            "%s: this pod (%s) was listed and is no longer, so its peers do not find it: it is "
            "not ready, or terminating, or not selected by the Service any more. Check its "
            "readiness probe and its labels",
            self,
            ", ".join(self.sight.this_pod.addresses),
        )

    # Choosing.

    def chosen(self) -> Choice:
        """What to choose from, and by, at this moment; raises `NoEndpoints`. Never asks."""
        with self._lock:
            self._choose()
            choice = self.choice
        if not choice.endpoints:
            raise self.nobody()
        return choice

    def _choose(self) -> None:
        """Looks again whom to choose among; with the lock held."""
        self._note_serving()
        everybody = self.sight.snapshot.endpoints
        self.choice = self._chooser.choice(self.snapshot, everybody, self.now(), self.serves_until)

    def ranked(self, key: Key, k: int) -> tuple[Endpoint, ...]:
        """The key's first owners, this pod among them: it is for placing data."""
        endpoints = self.sight.snapshot.endpoints
        return self._chooser.ranked(endpoints, key, _count(k)) if endpoints else ()

    def sample(self, k: int) -> tuple[Endpoint, ...]:
        """Some at random."""
        if not _count(k) or not self.snapshot.endpoints:
            return ()
        return self._chooser.sample(self.chosen(), k)

    def another(self, key: Key | None, tried: Container[int]) -> Endpoint | None:
        """One that was not tried; ``None``: all were."""
        return self._chooser.another(self.chosen(), key, tried)

    def has_more_than(self, tried: Container[int]) -> bool:
        """Whether there is one that was not tried."""
        return any(id(endpoint) not in tried for endpoint in self.snapshot.endpoints)

    # How endpoints do.

    def report(self, endpoint: Endpoint, error: BaseException | None) -> bool:
        """Takes in how an endpoint did; tells whether a lookup is due sooner because of that."""
        if error is None and not self.failing:
            return False
        with self._lock:
            if not self._is_current(endpoint):
                return False
            now = self.clock.now()
            if error is None:
                self._chooser.ejection.succeeded(endpoint)
            else:
                self._chooser.ejection.failed(endpoint, now)
                self._membership.hurry(now)
            self._choose()
        return error is not None

    def ejected(self) -> dict[Endpoint, float]:
        """Who is set aside, until when."""
        with self._lock:
            return self._chooser.aside(self.snapshot, self.clock.now())

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
        if isinstance(endpoints, str):
            raise ConfigurationError(f"static takes a list of addresses, not {endpoints!r}")
        listed = by_identity([parse_endpoint(text) for text in endpoints])
        now = self.clock.now()
        if listed:
            found = tuple(sorted(listed.values(), key=identity_of))
            self._membership.learn(Found(found, math.inf), now, now)
        else:
            self._membership.learn(
                Empty(math.inf, NoEndpoints("no endpoints: the fixed list is empty")), now, now
            )
        self._see()
        self._state_since = now


def _count(k: int) -> int:
    if isinstance(k, bool) or not isinstance(k, int) or k < 0:
        raise ConfigurationError(f"k must be a whole number from 0 on, not {k!r}")
    return k
