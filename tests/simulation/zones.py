"""Calls that stay in their zone: how many do, and what that does to the pods, as a table.

Three zones with as many calls each, from four processes of its own; each knows the pods by
EndpointSlices of a fake cluster, with ``zone=`` or without. The pods are as in `load`.
"""

import contextlib
import itertools
import statistics
from collections.abc import Iterator
from typing import Any

import attrs

from headless_discovery import Endpoint
from headless_discovery.testing import FakeClock, FakeCluster

from .load import SEEDS, Speed, World, full, one_slow, plain

ZONES = "abc"
CLIENTS = 4
"""Processes in each zone."""
CALLS = 8_000
LOAD = 0.5


class _Clock(FakeClock):
    began = 0.0

    @property
    def time(self) -> float:
        return self.now() - self.began

    @time.setter
    def time(self, time: float) -> None:
        self.advance(max(self.began + time - self.now(), 0))


@attrs.frozen
class Case:
    """How many pods each zone has, and how fast they are."""

    title: str
    pods: tuple[int, int, int]
    speed: Speed = full


EVEN, UNEVEN, SLOW = CASES = (
    Case("3, 3 and 3 pods", (3, 3, 3)),
    Case("4, 3 and 2 pods", (4, 3, 2)),
    Case("3, 3 and 3 pods, one at 0.3 of its speed", (3, 3, 3), one_slow),
)


@attrs.frozen
class Outcome:
    """What the calls came to."""

    crossing: float
    """The share of calls that left their zone."""
    p50: float
    p99: float
    busiest: float
    """The busiest pod's calls, in shares of what each would have if all had equally many."""


class Zoned(World):
    """Clients in zones."""

    def __init__(
        self,
        stack: contextlib.ExitStack,
        seed: int,
        case: Case,
        strategy: str,
        *,
        zoned: bool,
        calls: int,
    ) -> None:
        clock = _Clock()
        cluster = FakeCluster(seed=seed, clock=clock)
        web = cluster.add_service("web", ports={"http": 80})
        zones = [zone for zone, pods in zip(ZONES, case.pods, strict=True) for _ in range(pods)]
        for number, zone in enumerate(zones, 1):
            web.add_pod(f"10.0.0.{number}", zone=zone)
        self.clients = []
        for zone in ZONES * CLIENTS:
            peers = cluster.peers(
                "web", port="http", source="api", strategy=strategy, zone=zone if zoned else None
            )
            self.clients.append((zone, peers))
            stack.enter_context(peers)
            peers.endpoints()
        self.crossed, clock.began = 0, clock.now()
        super().__init__(seed, peers, clock, case.speed, calls)

    def call(self, key: str | None, talk: Any = None) -> Endpoint:
        zone, self.peers = self.rng.choice(self.clients)
        peer = super().call(key, talk)
        self.crossed += peer.zone != zone
        return peer


def outcome(case: Case, strategy: str, seed: int, *, zoned: bool, calls: int = CALLS) -> Outcome:
    """One run."""
    with contextlib.ExitStack() as stack:
        world = Zoned(stack, seed, case, strategy, zoned=zoned, calls=calls)
        plain(world, LOAD)
    load = world.outcome()
    return Outcome(world.crossed / calls, load.p50, load.p99, load.busiest)


def table() -> Iterator[str]:
    """As Markdown; medians over the seeds."""
    for case in CASES:
        yield f"| {case.title} | leave their zone | p50 | p99 | busiest pod |"
        yield "|---|---:|---:|---:|---:|"
        for zoned, strategy in itertools.product((False, True), ("round-robin", "least-loaded")):
            runs = [attrs.astuple(outcome(case, strategy, seed, zoned=zoned)) for seed in SEEDS]
            crossing, *times = map(statistics.median, zip(*runs, strict=True))
            name = f"{strategy}, within the zone" if zoned else strategy
            yield f"| {name} | {crossing:.0%} | {' | '.join(f'{time:.1f}' for time in times)} |"
        yield ""
