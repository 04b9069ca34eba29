"""Whatever happens to pods, DNS and calls: a pick always picks, and what is shown is true.

Random timelines over the public surface alone: readiness, moves, failures of DNS, reports, every
strategy, keys or none, and time between calls. ``TIMELINES=5000 SEED=7`` says how many, and from
which seed on; each failure names its seed.
"""

import os
import random
from collections.abc import Iterator

import pytest
import tenacity

from headless_discovery import Change, DiscoveryError, Endpoint, Policy, State
from headless_discovery.testing import FakeCluster, FakePod

pytestmark = pytest.mark.slow

TIMELINES = int(os.environ.get("TIMELINES", "300"))
SEED = int(os.environ.get("SEED", "0")) or random.randrange(1 << 32)
STRATEGIES = ("round-robin", "random", "sticky", "least-loaded", "session")
POLICY = Policy()
ANSWERED_WITHIN = POLICY.max_refresh * (1 + POLICY.jitter) + 5
"""Seconds from one answer to the next: the pause, and the longest lookup."""
FORGOTTEN_AFTER = 60 + ANSWERED_WITHIN
"""Seconds: what no answer published for so long is gone, as docs/how-it-decides.md has it."""


class Timeline:
    """One run: what happens, and what must hold after each step."""

    def __init__(self, seed: int) -> None:
        self.rng = rng = random.Random(seed)
        self.cached = rng.choice([0, 0, 30])
        self.cluster = FakeCluster(
            ttl=rng.choice([0, 5, 30]), cache=self.cached or None, seed=rng.randrange(1000)
        )
        service = self.cluster.add_service("web", ports={"http": 80})
        self.pods: list[FakePod] = list(service.scale(rng.randint(1, 5)))
        self.strategy = rng.choice(STRATEGIES)
        self.peers = self.cluster.peers("web", port="http", strategy=self.strategy, policy=POLICY)
        self.background = rng.random() < 0.5
        self.told: dict[tuple[str, ...], Endpoint] | None = None
        if self.background:
            self.peers.start()
        # When each was ready last, and since when it has been so; DNS fails since, if it does.
        self.always = set(self.names())
        self.unready_since: dict[str, float] = {}
        self.failing = False
        self.healed_at = self.cluster.clock.now()
        self.moves = 0

    def names(self) -> Iterator[str]:
        return (str(pod.hostname) for pod in self.pods if pod.ready)

    # What happens.

    def step(self) -> None:
        rng, now = self.rng, self.cluster.clock.now()
        match rng.randrange(8):
            case 0 | 1:
                pod = rng.choice(self.pods)
                pod.ready = not pod.ready
                self.always.discard(str(pod.hostname))
                if pod.ready:
                    self.unready_since.pop(str(pod.hostname), None)
                else:
                    self.unready_since[str(pod.hostname)] = now
            case 2:
                self.moves += 1
                rng.choice(self.pods).move_to(f"10.9.9.{self.moves}")
            case 3:
                if self.failing:
                    self.heal()
                else:
                    self.failing = True
                    kind = rng.choice(["servfail", "refused", "timeout", "garbage", "nxdomain"])
                    self.cluster.fail(kind)  # type: ignore[arg-type]  # each of them is one
                    if kind == "nxdomain":
                        self.always.clear()  # an answer that lacks everybody
            case 4:
                if self.peers.snapshot.endpoints:
                    peer = rng.choice(self.peers.snapshot.endpoints)
                    failed = rng.random() < 0.7
                    for _ in range(rng.randint(1, 4)):
                        self.peers.report(peer, ConnectionRefusedError() if failed else None)
            case _:
                self.cluster.clock.advance(rng.choice([0.1, 1, 4, 6, 11, 31, 70]))

    def heal(self) -> None:
        self.cluster.heal()
        self.failing = False
        self.healed_at = self.cluster.clock.now()

    # What must hold.

    def check(self) -> None:
        try:
            listed = self.peers.endpoints()
        except DiscoveryError:
            assert self.peers.snapshot.state is State.PENDING
            return
        snapshot = self.peers.snapshot
        assert snapshot.endpoints is listed
        assert set(snapshot.departing) <= set(listed)
        self.check_listed(listed)
        self.check_changes(listed)
        if listed:
            self.check_picks()
            if self.rng.random() < 0.2:
                self.check_attempts()

    def check_listed(self, listed: tuple[Endpoint, ...]) -> None:
        shown = {one.hostname for one in listed}
        assert self.always <= shown, "what every answer published is never missing"
        now = self.cluster.clock.now()
        if self.background and not self.failing:
            bound = now - self.cached - self.longest_ttl() - FORGOTTEN_AFTER
            if self.healed_at < bound - POLICY.backoff_max:
                gone = {name for name, since in self.unready_since.items() if since < bound}
                assert not gone & shown, "what no answer published for so long is gone"

    def longest_ttl(self) -> float:
        return 30 if self.cached else 0

    def check_changes(self, listed: tuple[Endpoint, ...]) -> None:
        if not self.background:
            return
        if self.told is None:
            self.told = {one.identity: one for one in listed}
            self.peers.on_change(self.tell)
        assert sorted(self.told.values(), key=lambda one: one.identity) == list(listed)

    def tell(self, change: Change) -> None:
        assert self.told is not None
        for one in change.removed:
            del self.told[one.identity]
        for old, new in change.moved:
            assert self.told.pop(old.identity) == old
            self.told[new.identity] = new
        for one in change.added:
            assert one.identity not in self.told
            self.told[one.identity] = one

    def check_picks(self) -> None:
        for key in (None, "user:42", str(self.rng.random())):
            picked = self.peers.pick(key)
            listed = set(self.peers.snapshot.endpoints)  # a pick may ask before it chooses
            best = listed - set(self.peers.snapshot.departing) - set(self.peers.ejected)
            if key is not None and self.strategy == "session":
                best = listed  # a session stays with a pod while it is departing
            assert picked in (best or listed), "avoided ones only if nobody else is left"
        assert set(self.peers.sample(2)) <= listed
        assert set(self.peers.ranked("user:42", 9)) == listed

    def check_attempts(self) -> None:
        listed = self.peers.snapshot.endpoints
        tried: list[Endpoint] = []
        with pytest.raises(ConnectionRefusedError):
            for attempt in self.peers.attempts(
                self.rng.choice([None, "user:42"]),
                stop=tenacity.stop_after_attempt(len(listed) + 1),
                wait=tenacity.wait_none(),
            ):
                with attempt as peer:
                    tried.append(peer)
                    raise ConnectionRefusedError
        assert set(tried[: len(listed)]) == set(listed), "each on another, until all were tried"
        assert len(tried) == len(listed) + 1

    def end(self) -> None:
        """Once all is quiet for long enough, the truth is shown, and nothing else."""
        self.heal()
        # The backoff and the cached copy end; then an answer comes, and one when all is forgotten.
        for seconds in (POLICY.backoff_max + 1, FORGOTTEN_AFTER, ANSWERED_WITHIN):
            self.cluster.clock.advance(seconds)
            self.peers.endpoints()
        assert {one.hostname for one in self.peers.endpoints()} == set(self.names())
        assert not self.peers.snapshot.departing
        self.peers.close()


@pytest.mark.parametrize("first", range(0, TIMELINES, 100))  # the same for each worker
def test_in_random_timelines_a_pick_always_picks_and_what_is_shown_is_true(first: int) -> None:
    for each in range(SEED + first, SEED + min(first + 100, TIMELINES)):
        print(f"SEED={each}")
        timeline = Timeline(each)
        for _ in range(timeline.rng.randint(5, 20)):
            timeline.check()
            timeline.step()
        timeline.end()
