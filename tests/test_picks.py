"""A pick always picks: random timelines through the public surface alone, for every strategy."""

import collections
import os
import random
from collections.abc import Sequence

import pytest
from tenacity import stop_after_attempt

from headless_discovery import (
    Change,
    Endpoint,
    LeastLoaded,
    NoEndpoints,
    Peers,
    Policy,
    Session,
    Sticky,
    Strategy,
)
from headless_discovery.testing import FakeCluster, FakeService

pytestmark = pytest.mark.slow

Key = str | bytes | int
TIMELINES = int(os.environ.get("TIMELINES", "60"))
"""Of each strategy; in CI ten times as many."""
FAILED = ConnectionRefusedError("refused")


class First:
    """A strategy of a user's own, with no more than it must have."""

    def select(self, endpoints: Sequence[Endpoint], key: Key | None) -> Endpoint:
        return endpoints[0]


STRATEGIES: dict[str, type[Strategy] | str] = {
    **{name: name for name in ("round-robin", "random", "sticky", "least-loaded", "session")},
    "bounded": Sticky,
    "own": First,
    "least-loaded object": LeastLoaded,
    "session object": Session,
}


def strategy_of(name: str) -> Strategy | str:
    kind = STRATEGIES[name]
    if isinstance(kind, str):
        return kind
    return Sticky(bound=1.25) if kind is Sticky else kind()


class Timeline:
    """One service, one Peers, and what is expected of it at each moment."""

    def __init__(self, seed: int, strategy: str) -> None:
        self.rng = random.Random(seed)
        self.cluster = FakeCluster(ttl=self.rng.choice([5, 30]), seed=seed)
        self.service: FakeService = self.cluster.add_service("web", ports={"http": 80})
        self.service.scale(self.rng.randint(1, 6))
        self.peers: Peers = self.cluster.peers(
            "web",
            port="http",
            strategy=strategy_of(strategy),
            policy=Policy(eject_after=self.rng.choice([1, 3])),
            rng=random.Random(seed),
        )
        self.session = strategy.startswith("session")
        self.replayed: dict[tuple[str, str], Endpoint] = {}

    def replay(self, change: Change) -> None:
        for endpoint in change.removed:
            assert self.replayed.pop(endpoint.identity) is not None
        for old, new in change.moved:
            assert self.replayed[old.identity] == old
            self.replayed[new.identity] = new
        for endpoint in change.added:
            assert endpoint.identity not in self.replayed
            self.replayed[endpoint.identity] = endpoint

    def key(self) -> Key | None:
        return self.rng.choice([None, None, "user:1", b"user:2", 3, "user:4"])

    def something_happens(self) -> None:
        rng, pods = self.rng, self.service.pods
        what = rng.random()
        if what < 0.35 and pods:
            pod = rng.choice(pods)
            pod.ready = not pod.ready
        elif what < 0.45 and pods:
            rng.choice(pods).move_to(f"10.7.{rng.randrange(250)}.{rng.randrange(1, 250)}")
        elif what < 0.55:
            self.service.scale(rng.randint(0, 6))
        elif what < 0.75 and self.peers.snapshot.endpoints:
            endpoint = rng.choice(self.peers.snapshot.endpoints)
            self.peers.report(endpoint, rng.choice([FAILED, FAILED, None]))
        elif what < 0.8:
            self.cluster.fail(rng.choice(["servfail", "timeout"]), times=rng.randint(1, 3))
        self.cluster.clock.advance(rng.choice([0, 0.1, 1, 3, 6, 31, 70]))

    def holds(self) -> None:
        """What must be true whenever somebody asks."""
        peers, key = self.peers, self.key()
        listed = peers.endpoints()
        snapshot = peers.snapshot
        avoided = {*snapshot.departing, *peers.ejected}
        good = set(listed) - avoided
        if not listed:
            with pytest.raises(NoEndpoints):
                peers.pick(key)
            return
        picked = peers.pick(key)
        assert picked in listed
        homes = set(snapshot.departing) if self.session and key is not None else set()
        assert not good or picked in good | homes, "avoided ones only if nobody else is left"
        with peers.use(key) as used:
            assert used in listed
        seen: list[Endpoint] = []
        attempts = peers.attempts(key, stop=stop_after_attempt(len(listed)))
        while len(seen) < len(listed):
            good = set(listed) - {*snapshot.departing, *peers.ejected} - set(seen)
            attempt = next(attempts)
            if not (homes and attempt.number == 1):
                assert not good or attempt.endpoint in good, "avoided ones come last"
            with attempt as peer:
                seen.append(peer)
                if len(seen) < len(listed):
                    raise FAILED
        assert collections.Counter(seen) == collections.Counter(listed), "each was tried once"
        for peer in seen:
            peers.report(peer)
        assert peers.in_flight == {}


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_pick_never_fails_while_somebody_is_listed(strategy: str) -> None:
    first = random.randrange(10**9) if "RANDOM_SEEDS" in os.environ else 0
    for seed in range(first, first + TIMELINES):
        timeline = Timeline(seed, strategy)
        print(f"seed {seed}")  # shown where it fails
        with timeline.peers as peers:
            changes = peers.watch()
            timeline.replay(next(changes)) if peers.endpoints() else None
            peers.on_change(timeline.replay)
            for _ in range(12):
                timeline.something_happens()
                timeline.holds()
            assert tuple(sorted(timeline.replayed.values(), key=lambda one: one.identity)) == (
                peers.snapshot.endpoints
            ), "changes replayed give the snapshot"
