"""What is believed about the members, and when to ask again. Pure: outcomes and times in.

It knows neither DNS nor sockets; times are seconds on any clock. The rules:

next lookup
    The TTL, clamped to `min_refresh` and `max_refresh`, after the end of the last lookup, plus
    jitter; the second one of a process after 0.5 to 1 times that, so that processes which start
    together part.
confirmed
    An answer confirms an earlier one if it was asked for `confirm_after` later and is not the same
    cached copy: it expires more than 2 s later or, if both had a TTL of 0, was asked for 30 s
    later. (A TTL of 0 after a longer one may be the same copy, served stale.) A copy's age is
    counted when it leaves the cache, somewhere between question and answer: the earlier one is
    taken to expire as late as it may, the later one as early.
additions, moves
    At once.
removals
    A missing member stays, `departing`, until the answer that first lacked it is confirmed; it is
    asked again after `confirm_after`. Last seen more than `forget_after` before the answer was
    asked for, it goes at once.
Empty after Found
    "grace": kept, STALE, until `empty_grace` and `empty_confirmations` are over; believed at once
    if the set was last confirmed more than `forget_after` ago. "keep": kept. "clear": believed.
Empty from the start
    EMPTY; asked again after its TTL, clamped to 1 and `empty_retry_max`.
Unknown
    Everything is kept without limit, STALE. Back-off with full jitter: a random time up to a
    bound that starts at `backoff` and doubles to `backoff_max`, but not less than `refresh_floor`.
Wrong
    As Unknown.
an unchanged answer
    The same tuple, the same generation.
a waiter
    Asks every `refresh_floor` (1 s) to 5 s, over back-off. The answers in a row that held the same
    set are a `Run`, which tells for how long that set has been confirmed.
"""

import itertools
import operator
import random
from collections.abc import Sequence

import attrs

from ._endpoint import (
    Change,
    Endpoint,
    Snapshot,
    State,
    by_identity,
    change_of,
    identity_of,
    without,
)
from ._errors import DiscoveryError
from ._outcomes import Empty, Found, Outcome
from ._policy import Policy

_SAME_COPY = 2
"""Seconds: answers whose expiry differs by no more are taken for the same cached copy."""
_UNCACHED_AGAIN = 30
"""Seconds: with TTL 0 (a cache serving stale), an answer confirms only one so much older."""
_WAITER_ASKS = 5
"""Seconds: whoever waits for members asks at least this often."""


@attrs.frozen
class Asked:
    """When an answer was asked for, when it was there, and for how long a cache may keep it."""

    at: float
    answered: float
    ttl: float

    def confirms(self, earlier: "Asked", confirm_after: float) -> bool:
        if self.at - earlier.at < confirm_after:
            return False
        if self.ttl <= 0:
            return earlier.ttl <= 0 and self.at - earlier.at >= _UNCACHED_AGAIN
        return self.at + self.ttl > earlier.answered + earlier.ttl + _SAME_COPY


@attrs.frozen
class Run:
    """Answers in a row that held the same set; a failed lookup between them says nothing."""

    endpoints: tuple[Endpoint, ...]
    """The whole answer, sorted by identity: no departing ones."""
    first: Asked
    confirmed_for: float = 0
    """From the first to the last answer that confirms it."""


@attrs.define
class _Grace:
    """Empty answers after a full one."""

    since: Asked
    last: Asked
    confirmations: int = 0


@attrs.frozen
class _Missing:
    """Members that the last answers lacked, since the same one."""

    last_seen: float
    """When the last answer that held it was asked for."""
    first: Asked
    """The first answer that lacked it."""


class Membership:
    """The members of one Service, as far as the answers so far say."""

    def __init__(self, policy: Policy, rng: random.Random) -> None:
        self.snapshot = Snapshot()
        self.due: float = float("-inf")
        """When the next lookup is due."""
        self.error: DiscoveryError | None = None
        """Why nothing is known, while nothing is."""
        self.run: Run | None = None
        """The answers up to the last one, if it held somebody."""
        self._policy = policy
        self._rng = rng
        self._not_before = float("-inf")  # the end of back-off
        self._last_end = float("-inf")  # of the last lookup
        self._failures = 0
        self._lookups = 0
        self._published: tuple[Endpoint, ...] | None = None  # the last answer, if it held somebody
        self._missing: dict[tuple[str, str], _Missing] = {}
        self._appeared: dict[tuple[str, str], dict[str, float]] = {}  # when each address did
        self._grace: _Grace | None = None
        self._confirmed_at = float("-inf")  # when the set was last confirmed

    def ask_at(self, *, in_need: bool) -> float:
        """The earliest time for a lookup that somebody wants now.

        Whoever is in need passes over back-off, never over `Policy.refresh_floor`.
        """
        floor = self._last_end + self._policy.refresh_floor
        return floor if in_need else max(floor, self._not_before)

    def asks_for_waiter_at(self, stable_for: float, *, at_once: bool) -> float:
        """When to ask for somebody who waits for members, and for the same ones for a while."""
        floor = self.ask_at(in_need=True)
        if at_once:
            return floor
        asks_at = min(self.due, self._last_end + _WAITER_ASKS)
        if stable_for and self.run is not None:
            proof = self.run.first.at + max(stable_for, self._policy.confirm_after)
            # If it is over already, only another copy than the cache's can prove it; and an answer
            # shortly before would only put it off, because of the floor.
            if proof > self._last_end and proof - asks_at < self._policy.refresh_floor:
                asks_at = proof
        return max(floor, asks_at)

    def gave_up(self, now: float) -> None:
        """A lookup was given up before it came to anything: the floor holds for the next."""
        self._last_end = now

    def hurry(self, now: float) -> None:
        """A connection failed: the answer is due, as soon as floor and back-off allow."""
        self.due = min(self.due, max(now, self.ask_at(in_need=False)))

    def learn(self, outcome: Outcome, asked_at: float, now: float) -> Change | None:
        """Takes in what a lookup came to; returns what changed, if anything did."""
        self._last_end = now
        self._lookups += 1
        match outcome:
            case Found():
                self._answered()
                return self._found(outcome, Asked(asked_at, now, outcome.ttl), now)
            case Empty():
                self._answered()
                return self._empty(outcome, Asked(asked_at, now, outcome.ttl), now)
            case _:
                self._failed(outcome.error, now)
                return None

    def _answered(self) -> None:
        self._failures = 0
        self._not_before = float("-inf")
        self.error = None

    def _failed(self, error: DiscoveryError, now: float) -> None:
        policy = self._policy
        bound = min(policy.backoff * 2 ** min(self._failures, 64), policy.backoff_max)
        self._failures += 1
        pause = max(policy.refresh_floor, self._rng.uniform(0, bound))
        self._not_before = self.due = now + pause
        if self.snapshot.state is State.PENDING:
            self.error = error
        state = State.PENDING if self.snapshot.state is State.PENDING else State.STALE
        self.snapshot = attrs.evolve(self.snapshot, state=state, reason=str(error), error=error)

    def _found(self, found: Found, asked: Asked, now: float) -> Change | None:
        policy = self._policy
        members, departing = self.snapshot.endpoints, self.snapshot.departing
        gone: Sequence[Endpoint] = ()
        come: Sequence[Endpoint] = ()
        if departing or found.endpoints is not self._published:  # else all is as it was
            members, gone, come = self._members(found, asked)
            departing = self._departing(gone, come, asked)
        self._published = found.endpoints
        self._grace = None
        self._confirmed_at = asked.at
        self.run = self._run_on(members, asked)
        self.due = now + self._pause(found.ttl)
        if departing:
            self.due = min(self.due, now + policy.confirm_after)
        endpoints = _merged(members, departing) if departing else members
        changed = self._show(
            State.LIVE, endpoints=endpoints, departing=departing, ttl=found.ttl, now=now
        )
        return change_of(without(gone, departing), come, self.snapshot) if changed else None

    def _members(
        self, found: Found, asked: Asked
    ) -> tuple[tuple[Endpoint, ...], Sequence[Endpoint], Sequence[Endpoint]]:
        """Those that the answer holds; the objects no longer there; and those not there before.

        All sorted by identity. Mostly few of thousands are other objects than before, so only
        these are looked at one by one.
        """
        before, members = self.snapshot.endpoints, found.endpoints
        if not before:
            return members, (), members
        gone, fresh = without(before, members), without(members, before)
        old = map(by_identity(gone).get, map(identity_of, fresh))
        shown = [self._current(*pair, asked.at) for pair in zip(fresh, old, strict=True)]
        if any(map(operator.is_not, shown, fresh)):
            instead = dict(zip(map(id, fresh), shown, strict=True))
            members = tuple([instead.get(id(each), each) for each in members])
        return members, without(gone, shown), without(shown, gone)

    def _departing(
        self, gone: Sequence[Endpoint], come: Sequence[Endpoint], asked: Asked
    ) -> tuple[Endpoint, ...]:
        """Of those gone, whoever has not moved, and stays until that is confirmed."""
        policy = self._policy
        unlisted = by_identity(gone)
        if unlisted:  # else whoever has come has not moved
            for endpoint in come:
                unlisted.pop(endpoint.identity, None)
        for identity in self._missing.keys() - unlisted.keys():
            del self._missing[identity]
        departing: list[Endpoint] = []
        from_now = _Missing(self._confirmed_at, asked)
        for identity, endpoint in unlisted.items():
            missing = self._missing.setdefault(identity, from_now)
            forgotten = asked.at - missing.last_seen > policy.forget_after
            if forgotten or asked.confirms(missing.first, policy.confirm_after):
                self._forget(identity)
            else:
                departing.append(endpoint)
        return tuple(departing)

    def _run_on(self, members: tuple[Endpoint, ...], asked: Asked) -> Run:
        run = self.run
        if run is None or not (run.endpoints is members or run.endpoints == members):
            return Run(members, asked)
        if asked.confirms(run.first, self._policy.confirm_after):
            return Run(members, run.first, asked.at - run.first.at)
        return run

    def _current(self, endpoint: Endpoint, before: Endpoint | None, at: float) -> Endpoint:
        """The endpoint as it is to be shown: the same object if nothing about it is new."""
        if len(endpoint.addresses) > 1 or (before is not None and len(before.addresses) > 1):
            endpoint = self._newest_first(endpoint, before, at)
        return before if before is not None and before == endpoint else endpoint

    def _newest_first(self, endpoint: Endpoint, before: Endpoint | None, at: float) -> Endpoint:
        """Of several addresses of the preferred family, the one that appeared last comes first.

        That is a pod that came back with another address while its old one is still listed.
        """
        listed = endpoint.addresses
        known = self._appeared.get(endpoint.identity, {})
        for address in before.addresses if before is not None else ():
            known.setdefault(address, float("-inf"))
        appeared = {address: known.get(address, at) for address in listed}
        self._appeared[endpoint.identity] = appeared
        six = ":" in endpoint.address
        newest_first = sorted(
            listed, key=lambda address: ((":" in address) is not six, -appeared[address])
        )
        return attrs.evolve(endpoint, addresses=tuple(newest_first))

    def _forget(self, identity: tuple[str, str]) -> None:
        self._missing.pop(identity, None)
        self._appeared.pop(identity, None)

    def _empty(self, empty: Empty, asked: Asked, now: float) -> Change | None:
        policy = self._policy
        self.run = None
        self.due = now + self._jittered(min(max(empty.ttl, 1), policy.empty_retry_max))
        kept = self.snapshot.endpoints
        if kept and not self._believes(asked):
            self.snapshot = attrs.evolve(
                self.snapshot, state=State.STALE, reason=str(empty.error), error=empty.error
            )
            return None
        for endpoint in kept:
            self._forget(endpoint.identity)
        self._published = None
        self._grace = None
        changed = self._show(State.EMPTY, ttl=empty.ttl, now=now, error=empty.error)
        return change_of(kept, (), self.snapshot) if changed else None

    def _believes(self, asked: Asked) -> bool:
        """Whether an empty answer after a full one is believed by now."""
        policy = self._policy
        if policy.on_empty != "grace":
            return policy.on_empty == "clear"
        if asked.at - self._confirmed_at > policy.forget_after:
            return True
        grace = self._grace
        if grace is None:
            self._grace = _Grace(asked, asked)
            return False
        if asked.confirms(grace.last, policy.confirm_after):
            grace.last = asked
            grace.confirmations += 1
        return (
            asked.at - grace.since.at >= policy.empty_grace
            and grace.confirmations >= policy.empty_confirmations
        )

    def _show(
        self,
        state: State,
        *,
        endpoints: tuple[Endpoint, ...] = (),
        departing: tuple[Endpoint, ...] = (),
        ttl: float,
        now: float,
        error: DiscoveryError | None = None,
    ) -> bool:
        """Keeps the old tuple if nothing changed, and counts the generation; whether one did."""
        before = self.snapshot
        old = before.endpoints
        changed = endpoints is not old and not (
            len(endpoints) == len(old) and all(map(operator.is_, endpoints, old))
        )
        self.snapshot = Snapshot(
            endpoints=endpoints if changed else old,
            departing=departing,
            state=state,
            reason=None if error is None else str(error),
            error=error,
            ttl=ttl,
            answered_at=now,
            generation=before.generation + changed,
        )
        return changed

    def _pause(self, ttl: float) -> float:
        policy = self._policy
        pause = min(max(ttl, policy.min_refresh), policy.max_refresh)
        if self._lookups == 1:
            # Processes that started together part here.
            return pause * self._rng.uniform(0.5, 1)
        return self._jittered(pause)

    def _jittered(self, pause: float) -> float:
        return pause * (1 + self._rng.uniform(0, self._policy.jitter))


def _merged(*parts: tuple[Endpoint, ...]) -> tuple[Endpoint, ...]:
    return tuple(sorted(itertools.chain(*parts), key=identity_of))
