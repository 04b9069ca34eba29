"""Whatever DNS answers, fails at and caches, and whenever it is asked: what always holds.

A world with pods, name servers and their caches is made up; the membership hears of it only what
the caches say. It is judged by what the world knows: when each pod was published, and which copy
of an answer is which. Nothing here looks into the membership.
"""

import itertools
import random
from collections.abc import Iterable, Mapping

import attrs
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from headless_discovery import (
    Change,
    Endpoint,
    LookupFailed,
    NoEndpoints,
    NotHeadless,
    Policy,
    Snapshot,
    State,
)
from headless_discovery._membership import Membership
from tests.lookups import Empty, Found, Outcome, Unknown, Wrong

pytestmark = pytest.mark.slow

START = 1000.0
STALE_FOR = 60
"""Seconds: how long a cache that serves stale answers goes on doing so."""
ROUNDING = 1e-6
PODS = st.sampled_from("abcde")
SECONDS = st.one_of(
    st.floats(0, 8), st.floats(0, 100), st.sampled_from([0, 1, 2, 5, 30, 60, 61, 1000])
)
TOOK = st.integers(0, 500).map(lambda hundredths: hundredths / 100)
PAUSE = st.floats(0, 7)
CACHED = st.sampled_from([True, True, False])

Members = Mapping[str, int]
"""The number of the address by the pod's name."""


@attrs.frozen
class Copy:
    """One answer as a cache keeps it; told from every other one by its number."""

    number: int
    members: Members
    made: float
    expires: float


@attrs.frozen
class Heard:
    """A copy as it was given to the membership."""

    copy: Copy
    asked: float
    answered: float
    ttl: int

    def confirms(self, earlier: "Heard") -> bool:
        """As section "confirmed" of the rules has it."""
        apart = self.asked - earlier.asked
        if self.ttl == 0:
            return earlier.ttl == 0 and apart >= 30  # else it may be the same one, served stale
        return apart >= 5 and self.asked + self.ttl > earlier.answered + earlier.ttl + 2


class NameServer:
    """A name server with a cache, like CoreDNS: whole seconds, counted down."""

    def __init__(self, ttl: int, cached: bool, stale: bool) -> None:
        self.ttl = ttl
        self.cached = cached
        self.stale = stale
        self._kept: Copy | None = None

    @property
    def oldest(self) -> float:
        """Seconds: how old what it says may be."""
        return self.cached * (self.ttl + self.stale * STALE_FOR)

    def ask(self, truth: Members, now: float, number: int) -> tuple[Copy, int]:
        """A copy, and the TTL that it is given with."""
        fresh = Copy(number, dict(truth), now, now + self.ttl)
        kept = self._kept
        if not self.cached or kept is None:
            self._kept = fresh
            return fresh, self.ttl
        if now < kept.expires:
            return kept, int(kept.expires - now)
        self._kept = fresh
        if self.stale and now < kept.expires + STALE_FOR:
            return kept, 0
        return fresh, self.ttl


def endpoints(members: Members) -> tuple[Endpoint, ...]:
    """New objects each time, as a lookup makes them."""
    return tuple(
        Endpoint(name, (f"10.0.0.{number}",), 80, asked_for="http")
        for name, number in sorted(members.items())
    )


def by_name(snapshot: Snapshot) -> dict[str, Endpoint]:
    return {endpoint.name: endpoint for endpoint in snapshot.endpoints}


def within(low: float, value: float, high: float) -> bool:
    return low - ROUNDING <= value <= high + ROUNDING


class World(RuleBasedStateMachine):
    """Pods that come, go and move; name servers that cache; failures; and one membership."""

    @initialize(
        seed=st.integers(0, 2**32),
        on_empty=st.sampled_from(["grace", "grace", "grace", "keep", "clear"]),
        servers=st.lists(
            st.builds(NameServer, st.sampled_from([0, 5, 30, 3600]), CACHED, st.booleans()),
            min_size=1,
            max_size=2,
        ),
        pods=st.sets(PODS),
    )
    def begin(
        self, seed: int, on_empty: str, servers: list[NameServer], pods: Iterable[str]
    ) -> None:
        self.policy = Policy(on_empty=on_empty)  # type: ignore[arg-type]  # one of the three
        self.members = Membership(self.policy, random.Random(seed))
        self.servers = servers
        self.now = START
        self.numbers = itertools.count()
        self.truth: dict[str, int] = dict.fromkeys(pods, 1)
        self.gone: dict[str, float] = {}  # when each pod was unpublished last
        self.heard: list[Heard] = []
        self.lookups = 0
        self.failures = 0  # in a row
        self.ended: float | None = None  # the last lookup
        self.told: dict[str, Endpoint] = {}  # by the changes so far

    # What happens.

    @rule(pod=PODS)
    def publish(self, pod: str) -> None:
        self.truth.setdefault(pod, 1)

    @rule(pod=PODS)
    def unpublish(self, pod: str) -> None:
        if self.truth.pop(pod, None) is not None:
            self.gone[pod] = self.now

    @precondition(lambda self: self.truth)
    @rule()
    def scale_to_zero(self) -> None:
        for pod in list(self.truth):
            self.unpublish(pod)

    @precondition(lambda self: self.truth)
    @rule(data=st.data())
    def move(self, data: st.DataObject) -> None:
        self.truth[data.draw(st.sampled_from(sorted(self.truth)))] += 1

    @precondition(lambda self: self.truth)
    @rule(data=st.data(), away=st.integers(1, 3), pause=PAUSE)
    def blink(self, data: st.DataObject, away: int, pause: float) -> None:
        """A pod is away while so many answers come in, a short time apart."""
        pod = data.draw(st.sampled_from(sorted(self.truth)))
        self.unpublish(pod)
        self.ask_in_need(data, away, pause, 0)
        self.publish(pod)

    @rule(seconds=SECONDS)
    def time_goes_by(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def a_connection_fails(self) -> None:
        before = self.members.due
        self.members.hurry(self.now)
        assert self.members.due <= max(before, self.now, self.members.ask_at(in_need=False))

    @rule(data=st.data(), times=st.integers(1, 12), took=TOOK)
    def ask_when_due(self, data: st.DataObject, times: int, took: float) -> None:
        for _ in range(times):
            self.now = max(self.now, self.members.due, self.members.ask_at(in_need=False))
            self.answer(data.draw(st.sampled_from(self.servers)), took, data.draw(st.booleans()))

    @rule(data=st.data(), times=st.integers(1, 6), pause=PAUSE, took=TOOK)
    def ask_in_need(self, data: st.DataObject, times: int, pause: float, took: float) -> None:
        for _ in range(times):
            self.now = max(self.now + pause, self.members.ask_at(in_need=True))
            self.answer(data.draw(st.sampled_from(self.servers)), took, data.draw(st.booleans()))

    @rule(times=st.integers(1, 8), took=TOOK, wrong=st.booleans())
    def a_lookup_fails(self, times: int, took: float, wrong: bool) -> None:
        for _ in range(times):
            self.now = max(self.now, self.members.due, self.members.ask_at(in_need=False))
            before = self.members.snapshot
            error = NotHeadless("a ClusterIP") if wrong else LookupFailed("SERVFAIL")
            self.learn(Wrong(error) if wrong else Unknown(error), took)
            self.failures += 1
            after = self.members.snapshot
            assert after.endpoints is before.endpoints, "a failure took or gave somebody"
            assert after.departing == before.departing
            assert after.state is (State.STALE if self.heard else State.PENDING)
            assert after.error is error
            bound = min(2 ** (self.failures - 1), 30)
            assert within(1, self.pause, bound), "back-off is out of bounds"
            assert self.members.ask_at(in_need=False) >= self.members.due - ROUNDING
            assert within(1, self.members.ask_at(in_need=True) - self.now, 1)

    # What it comes to.

    def learn(self, outcome: Outcome, took: float) -> None:
        asked = self.now
        self.now += took
        before = self.members.snapshot
        change = self.members.learn(outcome, asked, self.now)
        self.ended = self.now
        self.lookups += 1
        self.replay(change)
        self.compare(before, self.members.snapshot)

    @property
    def pause(self) -> float:
        assert self.ended is not None
        return self.members.due - self.ended

    def answer(self, server: NameServer, took: float, late: bool) -> None:
        """``late``: the first question was lost, so that the name server hears it at the end."""
        copy, ttl = server.ask(self.truth, self.now + took * late, next(self.numbers))
        heard = Heard(copy, self.now, self.now + took, ttl)
        before = by_name(self.members.snapshot)
        self.heard.append(heard)
        if heard.copy.members:
            self.learn(Found(endpoints(heard.copy.members), heard.ttl), took)
            self.check_found(heard, before)
        else:
            self.learn(Empty(heard.ttl, NoEndpoints("nobody")), took)
            self.check_empty(heard, before)
        self.failures = 0
        assert self.members.ask_at(in_need=False) == self.members.ask_at(in_need=True), (
            "an answer ends back-off"
        )

    def replay(self, change: Change | None) -> None:
        """Every published change, one after the other, gives the snapshot."""
        if change is not None:
            assert change
            assert change.snapshot is self.members.snapshot
            for gone in change.removed:
                assert self.told.pop(gone.name) == gone
            for new in change.added:
                assert self.told.setdefault(new.name, new) is new
            for old, new in change.moved:
                assert self.told[old.name] == old
                self.told[new.name] = new
        assert tuple(self.told[name] for name in sorted(self.told)) == (
            self.members.snapshot.endpoints
        ), "the changes do not add up to the snapshot"

    def compare(self, before: Snapshot, after: Snapshot) -> None:
        """What is unchanged is the same object, and is not counted."""
        same = before.endpoints == after.endpoints
        assert (after.endpoints is before.endpoints) is same
        assert after.generation == before.generation + (not same)
        old = by_name(before)
        for endpoint in after.endpoints:
            if old.get(endpoint.name) == endpoint:
                assert endpoint is old[endpoint.name]

    def check_found(self, heard: Heard, before: Mapping[str, Endpoint]) -> None:
        snapshot = self.members.snapshot
        after = by_name(snapshot)
        departing = {endpoint.name for endpoint in snapshot.departing}
        assert snapshot.state is State.LIVE
        assert (snapshot.reason, snapshot.error) == (None, None)
        for published in endpoints(heard.copy.members):
            assert after.get(published.name) == published, "who is in the answer is not shown so"
        assert departing == after.keys() - heard.copy.members.keys()
        for name in before.keys() - heard.copy.members.keys():
            lacking = self.lacking(name)
            last = self.last_heard(name)
            assert last is not None
            if name in after:
                assert heard.asked - last.asked <= 60, "forgotten, and still shown"
                assert not heard.confirms(lacking[0]), "confirmed to be gone, and still shown"
            elif heard.asked - last.asked <= 60:
                assert heard.ttl == 0 or len({one.copy.number for one in lacking}) > 1, (
                    "a cached copy confirmed itself"
                )
                assert heard.confirms(lacking[0])
        full = min(max(heard.ttl, 5), 10)
        least, most = (0.5, 1.0) if self.lookups == 1 else (1.0, 1.2)
        soon = 5 if departing else full * most
        assert within(min(full * least, soon), self.pause, min(full * most, soon))

    def check_empty(self, heard: Heard, before: Mapping[str, Endpoint]) -> None:
        snapshot = self.members.snapshot
        assert within(1, self.pause / min(max(heard.ttl, 1), 5), 1.2)
        if before and not self.empty_is_believed(heard):
            assert by_name(snapshot) == before, "an empty answer took somebody too early"
            assert snapshot.state is State.STALE
        else:
            assert snapshot.endpoints == snapshot.departing == ()
            assert snapshot.state is State.EMPTY
        assert isinstance(snapshot.error, NoEndpoints)

    def empty_is_believed(self, heard: Heard) -> bool:
        if self.policy.on_empty != "grace":
            return self.policy.on_empty == "clear"
        full = [one for one in self.heard if one.copy.members][-1]
        run = self.heard[self.heard.index(full) + 1 :]
        if heard.asked - full.asked > 60:
            return True
        confirmed = [run[0]]
        for one in run[1:]:
            if one.confirms(confirmed[-1]):
                # One that is served stale, with a TTL of 0, tells nothing of its age.
                assert one.ttl == 0 or one.copy is not confirmed[-1].copy, (
                    "a cached copy confirmed itself"
                )
                confirmed.append(one)
        return len(confirmed) > 2 and heard.asked - run[0].asked >= 30

    def last_heard(self, name: str) -> Heard | None:
        return next((one for one in reversed(self.heard) if name in one.copy.members), None)

    def lacking(self, name: str) -> list[Heard]:
        """The full answers without that pod, since the last one with it."""
        last = self.last_heard(name)
        after = self.heard if last is None else self.heard[self.heard.index(last) + 1 :]
        return [one for one in after if one.copy.members]

    # What always holds.

    @invariant()
    def nobody_asks_faster_than_the_floor(self) -> None:
        if self.ended is not None:
            for in_need in (False, True):
                assert self.members.ask_at(in_need=in_need) >= self.ended + 1 - ROUNDING
            assert self.members.due >= self.ended + 1 - ROUNDING
            assert self.members.due <= self.ended + 36 + ROUNDING

    @invariant()
    def nobody_is_shown_who_was_not_published_within_the_grace_window(self) -> None:
        full = [one for one in self.heard if one.copy.members]
        if not full or self.policy.on_empty == "keep":
            return
        # Failures and empty answers keep what the last full answer left.
        since = full[-1].asked - 60 - max(server.oldest for server in self.servers)
        for name in by_name(self.members.snapshot):
            assert name in self.truth or self.gone[name] >= since - ROUNDING

    @invariant()
    def what_is_shown_is_sorted_and_departing_is_part_of_it(self) -> None:
        snapshot = self.members.snapshot
        names = [endpoint.name for endpoint in snapshot.endpoints]
        assert names == sorted(set(names))
        shown = {id(endpoint) for endpoint in snapshot.endpoints}
        assert all(id(endpoint) in shown for endpoint in snapshot.departing)


TestWhateverHappens = World.TestCase
TestWhateverHappens.settings = settings(
    max_examples=150, stateful_step_count=40, deadline=None, print_blob=True
)
