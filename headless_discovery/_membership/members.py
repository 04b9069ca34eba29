"""The members according to all answers so far, and the next lookup. Pure: outcomes and times in.

It knows neither sources nor sockets; times are seconds on any clock. The rules, with the numbers of
`Policy` and the constants of this module:

next lookup
    The TTL, clamped to `min_refresh` and `max_refresh`, after the end of the last lookup, plus
    jitter; the second one of a process after 0.5 to 1 times that, so that processes which start
    together do not stay in step.
confirmed
    An answer confirms an earlier one if it was queried 5 s later and is not the same cached copy:
    it expires more than 2 s later or, if both had a TTL of 0, was queried 30 s later. (A TTL of
    0 after a longer one may be the same copy, served stale.) A copy's age is counted when it
    leaves the cache, somewhere between question and answer: the earlier one is taken to expire as
    late as it may, the later one as early.
additions, moves
    At once.
removals
    A missing member stays, `departing`, until the answer that first lacked it is confirmed; the
    next lookup is after 5 s. Last seen more than 60 s before the query, it is removed at once, but
    not by an answer that is marked as stale.
Empty after Found
    "grace": kept, STALE, until `empty_grace` and 2 confirmations are over; accepted at once if the
    set was last confirmed more than 60 s ago; never while it is marked as stale. "keep": kept.
    "clear": accepted.
Empty from the start
    EMPTY; the next lookup is after its TTL, clamped to `refresh_floor` and 5 s.
Unknown
    Everything is kept without limit, STALE. Backoff with full jitter: a random time up to a bound
    that starts at 1 s and doubles to `backoff_max`, but not less than `refresh_floor`.
Wrong
    As Unknown.
authoritative
    What a source says that no cache stands before holds at once: additions, removals, Empty.
an unchanged answer
    The same tuple, the same generation.
a waiter
    Looks up every `refresh_floor` (1 s) to 5 s, also during backoff. Consecutive answers with the
    same set are a `Run`: it has the time for which that set has been confirmed.
"""

import math
import operator
import random
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple, Self

import attrs

from .._endpoint import (
    Change,
    Empty,
    Endpoint,
    Found,
    Outcome,
    Snapshot,
    State,
    Unknown,
    Wrong,
    by_identity,
    change_of,
    identity_of,
    without,
)
from .._errors import DiscoveryError
from .policy import Policy

_CONFIRM_AFTER = 5
"""Seconds: an answer confirms an earlier one only if it was queried so much later."""
_SAME_COPY = 2
"""Seconds: answers whose expiry differs by no more are taken for the same cached copy."""
_UNCACHED_AGAIN = 30
"""Seconds: with TTL 0 (a cache serving stale), an answer confirms only one so much older."""
WAITER_ASKS = 5
"""Seconds: a caller who waits for members looks up at least this often."""
_FORGET_AFTER = 60
"""Seconds: what was last seen longer ago goes at the first answer that lacks it."""
_EMPTY_CONFIRMATIONS = 2
"""How many times an empty answer after a full one must have been confirmed."""
_EMPTY_ASKS = 5
"""Seconds: maximum refresh interval while empty, without the jitter."""
_FIRST_BACKOFF = 1
"""Seconds: the first bound of the random pause after a failed lookup; doubled each time."""
_SHARED_AFTER = 30
"""Seconds: a name that keeps several addresses for so long is that of as many pods."""

Source = Literal["dns", "api", "static"]
_ADDRESSES = operator.attrgetter("addresses")


class Heard(NamedTuple):
    """When an answer was queried and received, and for how long a cache may keep it."""

    at: float
    answered: float
    ttl: float
    stale: bool = False
    """Whether it says itself that it is."""
    authoritative: bool = False
    """Whether it distinguishes pods that share a name."""

    def confirms(self, earlier: "Heard") -> bool:
        """Whether it confirms the other, and is not a cached copy of it."""
        if self.stale or self.at - earlier.at < _CONFIRM_AFTER:
            return False
        if self.ttl <= 0:
            return earlier.ttl <= 0 and self.at - earlier.at >= _UNCACHED_AGAIN
        return self.at + self.ttl > earlier.answered + earlier.ttl + _SAME_COPY


class Run(NamedTuple):
    """Answers in a row that held the same set; a failed lookup between them says nothing."""

    endpoints: tuple[Endpoint, ...]
    """The whole answer, sorted by identity: no departing ones."""
    first: Heard
    confirmed_for: float = 0
    """From the first to the last answer that confirms it."""


class _Grace(NamedTuple):
    """Empty answers after a full one."""

    since: Heard
    last: Heard
    confirmations: int = 0


class _Missing(NamedTuple):
    """Members that the last answers lacked, since the same one."""

    last_seen: float
    """When the last answer that held it was queried."""
    first: Heard
    """The first answer that lacked it."""


class _Several(NamedTuple):
    """A name with several addresses of the family that is used."""

    first: Heard
    """The answer since which it has had them."""
    kept: frozenset[str]
    """Those that each answer since then had."""
    shared: bool = False
    """Whether they are taken for as many pods; it stays so until one is left."""

    def still(self, addresses: frozenset[str], asked: Heard) -> "_Several":
        """What follows from a later answer."""
        kept = self.kept & addresses
        if self.shared or len(kept) < 2:
            return self if self.shared else _Several(asked, addresses)
        long = asked.at - self.first.at >= _SHARED_AFTER
        return _Several(self.first, kept, shared=long and asked.confirms(self.first))


class Membership:
    """The members of one Service, as far as the answers so far say.

    It changes in several steps: what must be whole at each moment works on a `copy`.
    """

    def __init__(self, policy: Policy, rng: random.Random, source: Source = "dns") -> None:
        self.snapshot = Snapshot(source=source)
        self._source = source
        self.due: float = -math.inf
        """When the next lookup is due."""
        self.run: Run | None = None
        """The answers up to the last one, if it had members."""
        self._policy = policy
        self._rng = rng
        self._not_before = -math.inf  # the end of backoff
        self._last_end = -math.inf  # of the last lookup
        self._failures = 0
        self._lookups = 0
        self._published: tuple[Endpoint, ...] | None = None  # the last answer, if it had members
        self._missing: Mapping[tuple[str, str], _Missing] = {}
        self._appeared: Mapping[tuple[str, str], Mapping[str, float]] = {}  # when each address did
        self._several: Mapping[tuple[str, str], _Several] = {}  # of names with several addresses
        self._grace: _Grace | None = None
        self._confirmed_at = -math.inf  # when the set was last confirmed

    def after(
        self, outcome: Outcome, asked_at: float, now: float, source: Source
    ) -> tuple["Membership", Change | None]:
        """A copy with this outcome applied, and what changed; this one stays as it is."""
        other = self.copy()
        other._source = source
        return other, other.learn(outcome, asked_at, now)

    def copy(self) -> Self:
        """An independent copy; what both share is never modified."""
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        return other

    def ask_at(self, *, in_need: bool) -> float:
        """The earliest time for a lookup that a caller wants now.

        A caller in need passes over backoff, never over `Policy.refresh_floor`.
        """
        floor = self._last_end + self._policy.refresh_floor
        return floor if in_need else max(floor, self._not_before)

    def asks_for_waiter_at(self, stable_for: float, *, at_once: bool) -> float:
        """When to look up for a caller who waits for members, and for a stable set."""
        floor = self.ask_at(in_need=True)
        if at_once:
            return floor
        asks_at = min(self.due, self._last_end + WAITER_ASKS)
        if stable_for and self.run is not None:
            proof = self.run.first.at + max(stable_for, _CONFIRM_AFTER)
            # If it is over already, only another copy than the cache's can prove it; and an answer
            # shortly before would only put it off, because of the floor.
            if proof > self._last_end and proof - asks_at < self._policy.refresh_floor:
                asks_at = proof
        return max(floor, asks_at)

    def gave_up(self, now: float) -> None:
        """A lookup was cancelled: `refresh_floor` still applies to the next one."""
        self._last_end = now

    def hurry(self, now: float) -> None:
        """A connection failed: the answer is due, as soon as floor and backoff allow."""
        if self.due < math.inf:  # else the source pushes changes
            self.due = min(self.due, max(now, self.ask_at(in_need=False)))

    def learn(self, outcome: Outcome, asked_at: float, now: float) -> Change | None:
        """Applies the outcome of a lookup; returns the change, if there is one."""
        self._last_end = now
        self._lookups += 1
        if isinstance(outcome, (Unknown, Wrong)):
            self._failed(outcome.error, now)
            return None
        self._failures, self._not_before = 0, -math.inf
        if isinstance(outcome, Empty):
            return self._empty(outcome, Heard(asked_at, now, outcome.ttl, outcome.stale))
        heard = Heard(asked_at, now, outcome.ttl, outcome.stale, outcome.authoritative)
        return self._found(outcome, heard)

    def _failed(self, error: DiscoveryError, now: float) -> None:
        policy = self._policy
        bound = min(_FIRST_BACKOFF * 2 ** min(self._failures, 64), policy.backoff_max)
        self._failures += 1
        pause = max(policy.refresh_floor, self._rng.uniform(0, bound))
        self._not_before = self.due = now + pause
        state = State.PENDING if self.snapshot.state is State.PENDING else State.STALE
        self.snapshot = attrs.evolve(
            self.snapshot, state=state, source=self._source, reason=str(error), error=error
        )

    def _found(self, found: Found, asked: Heard) -> Change | None:
        members, departing = self.snapshot.endpoints, self.snapshot.departing
        gone: Sequence[Endpoint] = ()
        come: Sequence[Endpoint] = ()
        is_new = found.endpoints is not self._published
        if is_new or departing or self._several:  # else all is as it was
            members, gone, come = self._members(found, asked)
            departing = () if found.authoritative else self._departing(gone, come, asked)
        self._published = found.endpoints
        self._grace = None
        self._confirmed_at = asked.at
        self.run = self._run_on(members, asked)
        pause = math.inf if found.authoritative else self._pause(found.ttl)
        self.due = asked.answered + (min(pause, _CONFIRM_AFTER) if departing else pause)
        changed = self._show(
            State.LIVE if found.error is None else State.STALE,
            endpoints=tuple(sorted(members + departing, key=identity_of)) if departing else members,
            departing=departing,
            ttl=found.ttl,
            now=asked.answered,
            error=found.error,
        )
        gone = without(gone, departing) if departing else gone
        return change_of(gone, come, self.snapshot) if changed else None

    def _members(
        self, found: Found, asked: Heard
    ) -> tuple[tuple[Endpoint, ...], Sequence[Endpoint], Sequence[Endpoint]]:
        """Those that the answer holds; the objects no longer there; and those not there before.

        All sorted by identity. Mostly few of thousands are other objects than before, so only
        these are compared one by one.
        """
        before, members = self.snapshot.endpoints, found.endpoints
        if not before:
            counted = sum(map(len, map(_ADDRESSES, members)))
            if counted == len(members) or not any(map(_has_several, members)):
                return members, (), members
        gone, fresh = found.compared_with(before)
        old, several = by_identity(gone), dict[tuple[str, str], _Several]()
        pairs = zip(fresh, map(old.get, map(identity_of, fresh)), strict=True)
        shown = [part for pair in pairs for part in self._current(*pair, asked, several)]
        if self._several or several:
            self._several = several
            pairs = zip(shown, map(old.get, map(identity_of, shown)), strict=True)
            shown = [was if was == each else each for each, was in pairs]
        if len(shown) != len(fresh) or any(map(operator.is_not, shown, fresh)):
            members = tuple(sorted(without(members, fresh) + shown, key=identity_of))
        return members, without(gone, shown), without(shown, gone)

    def _departing(
        self, gone: Sequence[Endpoint], come: Sequence[Endpoint], asked: Heard
    ) -> tuple[Endpoint, ...]:
        """Of those gone, the ones that have not moved stay until that is confirmed."""
        unlisted = by_identity(gone) if gone else {}
        if unlisted:  # else none has moved
            for endpoint in come:
                unlisted.pop(endpoint.identity, None)
                # Of a name that several share, the newest one has left: this is the next.
                unlisted.pop((endpoint.name, f"{endpoint.asked_for}@{endpoint.address}"), None)
        departing: list[Endpoint] = []
        missing: dict[tuple[str, str], _Missing] = {}
        from_now = _Missing(self._confirmed_at, asked)
        for identity, endpoint in unlisted.items():
            since = self._missing.get(identity, from_now)
            recent = asked.stale or asked.at - since.last_seen <= _FORGET_AFTER
            if recent and not asked.confirms(since.first):
                missing[identity] = since
                departing.append(endpoint)
        left = unlisted.keys() - missing.keys()
        self._appeared = {each: when for each, when in self._appeared.items() if each not in left}
        self._missing = missing
        return tuple(departing)

    def _run_on(self, members: tuple[Endpoint, ...], asked: Heard) -> Run:
        run = self.run
        if run is None or not (run.endpoints is members or run.endpoints == members):
            return Run(members, asked)
        if asked.confirms(run.first):
            return Run(members, run.first, asked.at - run.first.at)
        return run

    def _current(
        self,
        endpoint: Endpoint,
        before: Endpoint | None,
        asked: Heard,
        several: dict[tuple[str, str], _Several],
    ) -> Sequence[Endpoint]:
        """The endpoint as it is to be shown: the same object if nothing about it is new.

        A name that keeps several addresses is that of as many pods (a Deployment whose pods have a
        ``hostname`` and a ``subdomain``): the newest keeps the identity, each of the others has one
        with its address. ``several`` takes up what is known of such names.
        """
        if _has_several(endpoint) or (before is not None and _has_several(before)):
            endpoint = self._newest_first(endpoint, before, asked.at)
            six = ":" in endpoint.address
            used = tuple(each for each in endpoint.addresses if (":" in each) is six)
            if len(used) > 1 and not asked.authoritative:
                known = self._several.get(endpoint.identity)
                addresses = frozenset(used)
                now = known.still(addresses, asked) if known else _Several(asked, addresses)
                several[endpoint.identity] = now
                if now.shared:
                    newest, *others = used
                    return [attrs.evolve(endpoint, addresses=(newest,))] + [
                        attrs.evolve(
                            endpoint, addresses=(one,), asked_for=f"{endpoint.asked_for}@{one}"
                        )
                        for one in others
                    ]
        return (before if before is not None and before == endpoint else endpoint,)

    def _newest_first(self, endpoint: Endpoint, before: Endpoint | None, at: float) -> Endpoint:
        """Of several addresses of the preferred family, the one that appeared last comes first.

        That is a pod that came back with another address while its old one is still listed.
        """
        listed = endpoint.addresses
        known = dict.fromkeys(before.addresses if before is not None else (), -math.inf)
        known.update(self._appeared.get(endpoint.identity, {}))
        appeared = {address: known.get(address, at) for address in listed}
        self._appeared = {**self._appeared, endpoint.identity: appeared}
        six = ":" in endpoint.address
        newest_first = sorted(
            listed, key=lambda address: ((":" in address) is not six, -appeared[address])
        )
        return attrs.evolve(endpoint, addresses=tuple(newest_first))

    def _empty(self, empty: Empty, asked: Heard) -> Change | None:
        policy, before = self._policy, self.snapshot
        self.run = None
        kept = before.endpoints
        if empty.kept is None:
            pause = min(max(empty.ttl, policy.refresh_floor), _EMPTY_ASKS, policy.max_refresh)
            self.due = asked.answered + self._jittered(pause)
            believed = self._believes_copies(asked)
        else:  # the source pushes changes, and lists pods that are not ready
            listed = by_identity(empty.kept)
            kept = tuple([each for each in kept if each.identity in listed])
            self._grace = self._grace or _Grace(asked, asked)
            over = self._grace.since.at + policy.empty_grace
            self.due = over if kept and policy.on_empty == "grace" and asked.at < over else math.inf
            believed = asked.at >= over
        if policy.on_empty != "grace":
            believed = policy.on_empty == "clear"
        if kept and not believed:
            gone = without(before.endpoints, kept)
            changed = self._show(
                State.STALE,
                endpoints=kept,
                departing=tuple(without(before.departing, gone)),
                ttl=before.ttl,
                now=before.answered_at,
                error=empty.error,
            )
            return change_of(gone, (), self.snapshot) if changed else None
        self._missing, self._appeared = {}, {}
        self._published = None
        self._grace = None
        changed = self._show(State.EMPTY, ttl=empty.ttl, now=asked.answered, error=empty.error)
        return change_of(before.endpoints, (), self.snapshot) if changed else None

    def _believes_copies(self, asked: Heard) -> bool:
        """Whether empty answers, which caches may copy, are accepted after a full one by now."""
        if asked.stale:
            return False
        if asked.at - self._confirmed_at > _FORGET_AFTER:
            return True
        grace = self._grace or _Grace(asked, asked)
        if asked.confirms(grace.last):
            grace = _Grace(grace.since, asked, grace.confirmations + 1)
        self._grace = grace
        return (
            asked.at - grace.since.at >= self._policy.empty_grace
            and grace.confirmations >= _EMPTY_CONFIRMATIONS
        )

    def _show(
        self,
        state: State,
        *,
        endpoints: tuple[Endpoint, ...] = (),
        departing: tuple[Endpoint, ...] = (),
        ttl: float | None,
        now: float | None,
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
            source=self._source,
            reason=None if error is None else str(error),
            error=error,
            ttl=None if ttl == math.inf else ttl,  # a source that pushes changes has none
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


def _has_several(endpoint: Endpoint) -> bool:
    """Whether it has more than one address of a family: one of each has an order already."""
    first, *others = endpoint.addresses
    return len(others) > 1 or (len(others) == 1 and (":" in first) is (":" in others[0]))
