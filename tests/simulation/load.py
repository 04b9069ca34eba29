"""Calls of pods that have queues: how long they take under each strategy, as a table and a picture.

The strategies are the library's own, on a `Peers` of a fixed list and a clock of this simulation.
Each pod works on one call at a time, in the order in which they came; a call takes a random time
with mean 1 (exponential) at a pod of full speed. Calls come at random (Poisson) at a share of what
the pods can do. Times are in those units, each from the call's beginning to its end.
"""

import heapq
import itertools
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

import attrs

from benchmarks._plot import drawing
from headless_discovery import Clock, Endpoint, LeastLoaded, Peers, Session, Sticky, Strategy

Key = str | bytes | int
PODS = 8
CALLS = 20_000
SEEDS = range(5)
KEYS = 1000
_WARM_UP = 0.1
"""The first share of the calls is not counted."""

Speed = Callable[[int, float], float]
"""Of a pod at a time; 1 is full speed."""


class Timed(Protocol):
    """A clock that is set."""

    time: float


class _Clock(Clock):
    time = 0.0

    def now(self) -> float:
        return self.time


@attrs.frozen
class Outcome:
    """What the calls came to."""

    p50: float
    p95: float
    p99: float
    busiest: float
    """The busiest pod's calls, in shares of what each would have if all had equally many."""


@attrs.define
class _Call:
    key: str | None
    began: float
    work: float
    session: "_Talk | None" = None
    use: AbstractContextManager[Endpoint] | None = None


@attrs.define
class _Talk:
    """A session: so many calls, one after the other."""

    name: str
    left: int


class World:
    """Pods with queues, and calls to them."""

    def __init__(self, seed: int, peers: Peers, clock: Timed, speed: Speed, calls: int) -> None:
        self.wanted = calls
        self.rng = random.Random(seed)
        self.clock = clock
        self.peers = peers
        self.speed = speed
        self.queues: dict[Endpoint, list[_Call]] = {peer: [] for peer in self.peers}
        self.numbers = {peer: number for number, peer in enumerate(self.queues)}
        self.events: list[tuple[float, int, Callable[[], object]]] = []
        self.order = itertools.count()
        self.taken: list[tuple[float, float]] = []
        """When each call began, and how long it took."""
        self.calls = dict.fromkeys(self.queues, 0)

    def at(self, time: float, do: Callable[[], object]) -> None:
        heapq.heappush(self.events, (time, next(self.order), do))

    def run(self) -> None:
        while self.events:
            self.clock.time, _, do = heapq.heappop(self.events)
            do()

    def call(self, key: str | None, talk: _Talk | None = None) -> Endpoint:
        call = _Call(key, self.clock.time, self.rng.expovariate(1), talk, self.peers.use(key))
        assert call.use is not None
        peer = call.use.__enter__()
        self.calls[peer] += 1
        self.queues[peer].append(call)
        if len(self.queues[peer]) == 1:
            self.serve(peer)
        return peer

    def serve(self, peer: Endpoint) -> None:
        call, now = self.queues[peer][0], self.clock.time
        self.at(now + call.work / self.speed(self.numbers[peer], now), lambda: self.end(peer))

    def end(self, peer: Endpoint) -> None:
        call = self.queues[peer].pop(0)
        assert call.use is not None
        call.use.__exit__(None, None, None)
        self.taken.append((call.began, self.clock.time - call.began))
        if self.queues[peer]:
            self.serve(peer)
        if call.session is not None:
            self.go_on(call.session)

    def go_on(self, talk: _Talk) -> None:
        talk.left -= 1
        if talk.left:
            pause = self.rng.expovariate(1 / 5)
            self.at(self.clock.time + pause, lambda: self.call(talk.name, talk))

    def outcome(self) -> Outcome:
        counted = sorted(self.taken)[int(len(self.taken) * _WARM_UP) :]
        times = sorted(took for _, took in counted)
        p50, p95, p99 = (times[int(len(times) * share)] for share in (0.5, 0.95, 0.99))
        return Outcome(p50, p95, p99, self.busiest())

    def busiest(self) -> float:
        return max(self.calls.values()) * len(self.calls) / sum(self.calls.values())


def full(_pod: int, _now: float) -> float:
    """All pods are alike."""
    return 1.0


def one_slow(pod: int, _now: float) -> float:
    """One pod is at 0.3 of the others' speed."""
    return 0.3 if pod == 0 else 1.0


def cold(pod: int, now: float) -> float:
    """One pod restarts every 500, and is at 0.2 of its speed for the first 100 after that."""
    return 0.2 if pod == int(now // 500) % PODS and now % 500 < 100 else 1.0


def at_random(world: World, load: float, key: Callable[[], str | None]) -> None:
    """Calls that do not know of one another."""
    now = 0.0
    for _ in range(world.wanted):
        now += world.rng.expovariate(load * len(world.queues))
        world.at(now, lambda: world.call(key()))
    world.run()


def plain(world: World, load: float) -> None:
    """Calls without a key."""
    at_random(world, load, lambda: None)


def zipf(world: World, load: float) -> None:
    """Calls for keys of which few are hot: the n-th of them is asked for 1/n as often."""
    weights = list(itertools.accumulate(1 / rank for rank in range(1, KEYS + 1)))
    keys = [f"key:{world.rng.random()}" for _ in range(KEYS)]

    def key() -> str:
        return world.rng.choices(keys, cum_weights=weights)[0]

    at_random(world, load, key)


def talks(world: World, load: float) -> None:
    """Sessions of 20 calls on average, which begin at random."""
    now, begun = 0.0, 0
    while begun < world.wanted:
        now += world.rng.expovariate(load * PODS / 20)
        talk = _Talk(f"talk:{world.rng.random()}", 1 + int(world.rng.expovariate(1 / 19.5)))
        begun += talk.left
        world.at(now, lambda talk=talk: world.call(talk.name, talk))  # type: ignore[misc]  # bound
    world.run()


class _WithoutKeys(LeastLoaded):
    """For comparison: what there would be without any affinity."""

    def select(self, endpoints: Sequence[Endpoint], key: Key | None = None) -> Endpoint:
        return super().select(endpoints)


Make = Callable[[], str | Strategy]


@attrs.frozen
class Scenario:
    """One question, and the strategies that answer it."""

    title: str
    load: float
    speed: Speed
    calls: Callable[[World, float], None]
    strategies: dict[str, Make]


_KEYLESS: dict[str, Make] = {
    "random": lambda: "random",
    "round-robin": lambda: "round-robin",
    "least-loaded": lambda: "least-loaded",
}
ONE_SLOW, COLD, HOT_KEYS, SESSIONS = SCENARIOS = [
    Scenario("One of 8 pods at 0.3 of its speed, load 0.6", 0.6, one_slow, plain, _KEYLESS),
    Scenario("A pod restarts cold every 500, load 0.6", 0.6, cold, plain, _KEYLESS),
    Scenario(
        "Keys, few of them hot (Zipf), load 0.5",
        0.5,
        full,
        zipf,
        {
            "sticky": Sticky,
            "sticky, bound=1.25": lambda: Sticky(bound=1.25),
            "least-loaded, no affinity": lambda: _WithoutKeys(rng=random.Random(1)),
        },
    ),
    Scenario(
        "Sessions of 20 calls, load 0.6",
        0.6,
        full,
        talks,
        {"sticky (by hash)": Sticky, "session": Session},
    ),
]


def outcome(scenario: Scenario, strategy: str, seed: int, calls: int = CALLS) -> Outcome:
    """One run."""
    clock = _Clock()
    peers = Peers.static(
        [f"10.0.0.{n}:80" for n in range(PODS)],
        strategy=scenario.strategies[strategy](),
        clock=clock,
        rng=random.Random(seed),
    )
    world = World(seed, peers, clock, scenario.speed, calls)
    scenario.calls(world, scenario.load)
    return world.outcome()


def tell() -> Iterator[tuple[Scenario, str, Outcome]]:
    """All of them; medians over the seeds."""
    for scenario in SCENARIOS:
        for name in scenario.strategies:
            runs = [attrs.astuple(outcome(scenario, name, seed)) for seed in SEEDS]
            middle = [sorted(values)[len(values) // 2] for values in zip(*runs, strict=True)]
            yield scenario, name, Outcome(*middle)


def table(told: list[tuple[Scenario, str, Outcome]]) -> str:
    """As Markdown."""
    lines = []
    for title, rows in itertools.groupby(told, key=lambda row: row[0].title):
        lines += [
            f"| {title} | p50 | p95 | p99 | busiest pod |",
            "|---|---:|---:|---:|---:|",
            *(
                f"| {name} | {one.p50:.1f} | {one.p95:.1f} | {one.p99:.1f} | {one.busiest:.2f} |"
                for _, name, one in rows
            ),
            "",
        ]
    return "\n".join(lines)


def draw(told: list[tuple[Scenario, str, Outcome]], path: Path) -> None:
    """p50, p95 and p99 of each strategy, on a logarithmic scale."""
    with drawing(path, width=9, height=7, panels=len(SCENARIOS)) as all_axes:
        for axes, scenario in zip(all_axes, SCENARIOS, strict=True):
            rows = [(name, one) for where, name, one in told if where is scenario][::-1]
            for height, (_, one) in enumerate(rows):
                axes.plot([one.p50, one.p99], [height, height], color="#bbbbbb", zorder=1)
                for value, colour in zip(
                    (one.p50, one.p95, one.p99), ("#4c72b0", "#dd8452", "#c44e52"), strict=True
                ):
                    axes.scatter([value], [height], color=colour, zorder=2)
                axes.annotate(
                    f"{one.p99:.1f}", (one.p99, height), (6, -3), textcoords="offset points"
                )
            axes.set_yticks(range(len(rows)), [name for name, _ in rows])
            axes.set_xscale("log")
            axes.margins(x=0.12)
            axes.set(ylim=(-0.6, len(rows) - 0.4))
            axes.set_title(scenario.title, loc="left", fontsize=10)
        all_axes[-1].set_xlabel(
            "time of a call, in units of its work; blue: p50, orange: p95, red: p99"
        )
