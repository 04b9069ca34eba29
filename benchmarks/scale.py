"""What many pods that watch one Service cost CoreDNS; and the herd after an outage.

When to ask is decided by the library's own `Membership`, one for each pod, on numbers for times.
What a lookup costs is counted in the messages of a real lookup on the fake cluster. The same seed
gives the same figures; none of them depends on the machine.
"""

import heapq
import random
from collections.abc import Sequence
from pathlib import Path

import attrs

from headless_discovery import Endpoint, LookupFailed, Policy, State
from headless_discovery._endpoint import Found, Outcome, Unknown
from headless_discovery._membership import Membership
from headless_discovery.testing import FakeCluster

from ._plot import drawing

PICTURE = Path(__file__).parent.parent / "docs" / "images" / "scale.svg"
TTL = 30
"""Seconds: what kubeadm's Corefile sets."""
ROLLOUT = 1.0
"""Seconds in which all pods start: the worst case."""
STEADY_FROM, OUTAGE, HEALED, END = 300, 600, 660, 960
"""Seconds since the first pod started."""
WINDOW = 5
"""Seconds: a peak is that of a mean over so many, or it would be chance's alone."""

_FAILED = Unknown(LookupFailed("SERVFAIL"))
_FOUND = Found((Endpoint("web-0", ("10.0.0.1",)),), TTL)


@attrs.frozen
class Rates:
    """Lookups in each second, of all pods."""

    each_second: Sequence[int]

    def mean(self, start: int, end: int) -> float:
        """Lookups per second."""
        return sum(self.each_second[start:end]) / (end - start)

    def peak(self, start: int, end: int) -> float:
        """The highest mean over `WINDOW`."""
        return max(self.mean(at, at + WINDOW) for at in range(start, end - WINDOW + 1))

    @property
    def steady(self) -> float:
        """The mean, long after the start and before the outage."""
        return self.mean(STEADY_FROM, OUTAGE)

    def times_steady(self, start: int, end: int) -> float:
        """The peak, as a multiple of the steady rate."""
        return self.peak(start, end) / self.steady


def rates(
    pods: int,
    *,
    ttl: int = TTL,
    cached: bool = False,
    policy: Policy | None = None,
    carried: bool = True,
    seed: int = 0,
    end: int = END,
) -> Rates:
    """The lookups of so many pods that start within `ROLLOUT`; DNS fails from `OUTAGE` on.

    ``cached``: one cache for all, that counts its copy's TTL down. ``carried``: whether answers
    can hold the whole set; if not, every lookup fails.
    """
    rng = random.Random(seed)
    policy = Policy() if policy is None else policy
    members = [Membership(policy, random.Random(rng.random())) for _ in range(pods)]
    agenda = [(rng.uniform(0, ROLLOUT), number) for number in range(pods)]
    heapq.heapify(agenda)
    each_second = [0] * end
    expires = float("-inf")
    while (now := agenda[0][0]) < end:
        _, number = agenda[0]
        each_second[int(now)] += 1
        outcome: Outcome = _FAILED
        if carried and not OUTAGE <= now < HEALED:
            left = ttl
            if cached:
                if now >= expires:
                    expires = now + ttl
                left = int(expires - now)
            outcome = attrs.evolve(_FOUND, ttl=left)
        member = members[number]
        member.learn(outcome, now, now)
        heapq.heapreplace(agenda, (max(member.due, member.ask_at(in_need=False)), number))
    return Rates(each_second)


class _Counting(FakeCluster):
    """Counts messages and their bytes."""

    def __init__(self) -> None:
        super().__init__(ttl=TTL)
        self.udp = self.tcp = self.asked = self.answered = 0

    def answer(self, wire: bytes, *, tcp: bool = False) -> bytes | None:
        reply = super().answer(wire, tcp=tcp)
        self.tcp += tcp
        self.udp += not tcp
        self.asked += len(wire)
        self.answered += len(reply or b"")
        return reply


@attrs.frozen
class Cost:
    """The messages of one lookup, and what came of it."""

    udp: int
    tcp: int
    asked: int
    """Bytes of the questions, without UDP's, TCP's and IP's headers."""
    answered: int
    state: State
    error: str


def costs(pods: int) -> tuple[Cost, Cost]:
    """Of a process's first lookup, and of those that follow."""
    cluster = _Counting()
    cluster.add_service("web", ports={"peer": 7000}).scale(pods)
    web = cluster.peers("web", port="peer")
    found = []
    for _ in range(3):  # the second one may still learn what did not fit into the first's time
        before = cluster.udp, cluster.tcp, cluster.asked, cluster.answered
        cluster.clock.advance(60)
        try:
            snapshot = web.refresh()
        except LookupFailed:
            snapshot = web.snapshot
        after = cluster.udp, cluster.tcp, cluster.asked, cluster.answered
        udp, tcp, asked, answered = (b - a for a, b in zip(before, after, strict=True))
        error = type(snapshot.error).__name__ if snapshot.error else ""
        found.append(Cost(udp, tcp, asked, answered, snapshot.state, error))
    return found[0], found[-1]


@attrs.frozen
class Section:
    """A table, as text."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[object]]
    notes: str = ""

    def markdown(self) -> str:
        """For the documents."""
        lines = [
            f"### {self.title}",
            "",
            f"| {' | '.join(self.head)} |",
            f"|{'---|' * len(self.head)}",
            *(f"| {' | '.join(map(str, row))} |" for row in self.rows),
        ]
        return "\n".join([*lines, "", self.notes] if self.notes else lines)


def run() -> list[Section]:
    """The tables; draws the picture too."""
    draw()
    return [of_a_lookup(), of_all_pods(), of_jitter()]


def of_a_lookup() -> Section:
    rows = []
    for pods in (3, 100, 600, 1000, 4000, 10_000):
        for name, cost in zip(("first", "next"), costs(pods), strict=True):
            came = cost.error or cost.state
            size = f"{cost.answered:,}"
            rows.append((f"{pods:,}", name, cost.udp, cost.tcp, f"{cost.asked:,}", size, came))
    head = ("pods", "lookup", "UDP", "TCP", "bytes asked", "bytes answered", "comes to")
    return Section("Messages of one lookup, by a port's name", head, rows)


def of_all_pods() -> Section:
    rows = []
    for watching, pods in ((100, 100), (1000, 1000), (10_000, 1000), (10_000, 10_000)):
        _, cost = costs(pods)
        carried = cost.state is State.LIVE
        found = rates(watching, carried=carried)
        steady = found.steady
        queries = cost.udp + cost.tcp
        after = f"{found.times_steady(HEALED, END):.2f}" if carried else "-"
        rows.append(
            (
                f"{watching:,}",
                f"{pods:,}",
                f"{steady:.1f}",
                f"{steady * queries:,.0f}",
                f"{steady * cost.answered / 1e6:.2f}",
                f"{found.times_steady(STEADY_FROM, OUTAGE):.2f}",
                after,
            )
        )
    head = (
        "watching", "pods", "lookups/s", "queries/s", "MB/s answered", "steady peak", "after outage"
    )  # fmt: skip
    notes = (
        f"Peaks over {WINDOW} s, times the steady mean; an outage of {HEALED - OUTAGE} s in which "
        f"DNS fails at once; TTL {TTL}."
    )
    return Section("All pods together", head, rows, notes)


def of_jitter() -> Section:
    rows = []
    for ttl, cached in ((30, False), (30, True), (5, False)):
        for jitter in (0.0, 0.2, 0.5):
            found = rates(1000, ttl=ttl, cached=cached, policy=Policy(jitter=jitter))
            rows.append(
                (
                    ttl,
                    "yes" if cached else "no",
                    f"{jitter:.0%}",
                    f"{found.steady:.1f}",
                    f"{found.times_steady(STEADY_FROM, OUTAGE):.2f}",
                    f"{found.times_steady(OUTAGE, HEALED):.2f}",
                    f"{found.times_steady(HEALED, END):.2f}",
                )
            )
    head = (
        "TTL", "cache", "jitter", "lookups/s", "steady peak", "in the outage", "after the outage"
    )  # fmt: skip
    return Section("What jitter does, 1,000 pods", head, rows)


def draw() -> None:
    """Lookups over time, as a picture: the same bytes each time."""
    with drawing(PICTURE, width=9, height=3.6) as [axes]:
        for jitter, colour in ((0.0, "#c44e52"), (0.2, "#4c72b0")):
            found = rates(1000, policy=Policy(jitter=jitter))
            seconds = range(0, END, WINDOW)
            axes.plot(
                seconds,
                [found.mean(at, at + WINDOW) / found.steady for at in seconds],
                drawstyle="steps-post",
                color=colour,
                label=f"jitter {jitter:.0%}" + (" (the default)" if jitter else ""),
            )
        axes.axvspan(OUTAGE, HEALED, color="#dddddd", label="DNS fails", zorder=0)
        axes.axhline(2, color="#888888", linewidth=0.8, linestyle="--")
        axes.set(
            xlabel="seconds since 1,000 pods started",
            ylabel="lookups, times the steady rate",
            xlim=(0, END),
            ylim=(0, None),
        )
        axes.legend(loc="upper left", frameon=False)
