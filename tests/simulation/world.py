"""One run of the simulation: nodes, each with its own `Peers`, on one fake cluster behind a cache.

The nodes are the library's users: they start in any order, wait for one another, and go through
outages of DNS, rolling updates, new addresses, and scaling to zero and back. All chance comes from
the seed. What each node believes is held against what was published, all the time:

- Nobody loses a peer that was published throughout the last `Bounds.appear` seconds.
- While DNS works, nobody lacks such a peer either, and nobody shows one that has been gone for
  longer than `Bounds.gone`.
- When all is quiet, all agree with the truth.
"""

import functools
import random
from collections.abc import Callable, Sequence
from typing import Literal

import attrs

from headless_discovery import Change, Endpoint, NotReady, Peers, Policy, Resolver, State
from headless_discovery.testing import FakeCluster, FakePod

Outage = Literal["servfail", "nxdomain", "timeout", "refused", "garbage"]
CACHE = 30
"""Seconds: of the name server, for names that there are and for those that there are not."""
CHURN = 180.0
"""Seconds in which things happen."""
TICK = 2.0
"""Seconds between two looks at what everybody believes."""
_START_WITHIN = 600.0
FORGET_AFTER = 60.0
"""Seconds: what was last seen longer ago goes at the first answer that lacks it."""
_LIE_AT_MOST = 20.0
"""Seconds: shorter than `Policy.empty_grace`, so that no lie is believed."""

Pair = tuple[str, str]
"""A host name and an address."""


@attrs.frozen
class Bounds:
    """What follows from the policy, in seconds, for answers that a cache may keep for ``kept``."""

    kept: float
    policy: Policy = attrs.field(factory=Policy)
    resolver_lifetime: float = attrs.field(factory=lambda: Resolver().lifetime)

    @property
    def refresh(self) -> float:
        """From one lookup to the next at most."""
        policy = self.policy
        pause = min(max(self.kept, policy.min_refresh), policy.max_refresh)
        return pause * (1 + policy.jitter)

    @property
    def recovery(self) -> float:
        """From the end of an outage to the next lookup at most: one that began, and back-off."""
        return self.resolver_lifetime + self.policy.backoff_max

    @property
    def appear(self) -> float:
        """From a pod's publishing to its being known: the next lookup finds an old copy."""
        return max(self.refresh, self.recovery) + self.kept

    @property
    def gone(self) -> float:
        """From a pod's leaving to its being dropped.

        An old copy is the last that shows it; after 60 s any answer without it will do.
        """
        return self.kept + FORGET_AFTER + max(self.refresh, self.recovery)


@attrs.define(eq=False)
class Node:
    """A place for a pod, and the process in it, if there is one."""

    number: int
    pod: FakePod | None = None
    peers: Peers | None = None
    believed: frozenset[Pair] = frozenset()
    born: float = 0
    full_at: float | None = None
    """When it first knew everybody."""


@attrs.frozen
class Result:
    """What one run came to."""

    seed: int
    nodes: int
    problems: tuple[str, ...]
    full: tuple[float, ...]
    """Seconds to full membership, for each node, since everybody was published."""
    lookups: int
    queries: int
    node_seconds: float
    longest_gone: float
    """Seconds: the longest that a pod was still shown after it had gone, while DNS worked."""


class World:
    """The cluster, its nodes, and what is true."""

    def __init__(self, seed: int, nodes: int, tell: Callable[[str], None] | None = None) -> None:
        self.seed = seed
        self.rng = rng = random.Random(seed)
        self.tell = tell
        # The larger is kubeadm's; so many nodes with the smaller would take most of the time.
        ttl = 30 if nodes > 10 else rng.choice([5, 30, 30])
        self.cluster = FakeCluster(ttl=ttl, cache=CACHE, seed=seed)
        self.clock = self.cluster.clock
        self.bounds = Bounds(min(ttl, CACHE))
        self.stateful = rng.random() < 0.75
        self.before_ready = rng.random() < 0.5
        self.service = self.cluster.add_service(
            "web", ports={"peer": 7000}, publish_not_ready=self.before_ready
        )
        self.nodes = [Node(number) for number in range(nodes)]
        self.problems: list[str] = []
        self.published: dict[Pair, float] = {}  # since when
        self.left: dict[Pair, float] = {}  # until when
        self.healthy_since: float | None = self.clock.now()  # None: DNS is failing
        self.all_published_at: float | None = None
        self.longest_gone = 0.0
        self.lookups = self.queries = 0
        self.node_seconds = 0.0
        self._addresses = 0
        self._freed: list[str] = []

    # What happens to nodes.

    def boot(self, node: Node) -> None:
        """Makes a pod for the node, and its process starts at once."""
        if node.pod is not None:
            return
        name = f"web-{node.number}" if self.stateful else None
        self.say(f"{node.number} starts")
        pod = self.service.add_pod(
            self.address(), name=f"pod-{node.number}", hostname=name, ready=False
        )
        node.pod = pod
        node.peers = pod.peers("web", port="peer")
        node.born = self.clock.now()
        node.believed = frozenset()
        node.peers.on_change(functools.partial(self.hears, node))
        node.peers.start()
        self.after(self.rng.uniform(1, 10), functools.partial(self.set_ready, node, pod, True))
        self.note()

    def stop(self, node: Node) -> None:
        """The process ends, and its pod is gone."""
        if node.pod is None or node.peers is None:
            return
        self.say(f"{node.number} stops")
        self.count(node)
        node.peers.close()
        self._freed.append(node.pod.addresses[0])
        node.pod.delete()
        node.pod = node.peers = None
        self.note()

    def restart(self, node: Node) -> None:
        self.stop(node)
        self.after(self.rng.uniform(1, 15), functools.partial(self.boot, node))

    def move(self, node: Node) -> None:
        """Its sandbox is made anew: another address for the same pod."""
        if node.pod is not None:
            self.say(f"{node.number} moves")
            node.pod.move_to(self.address())
            self.note()

    def flap(self, node: Node) -> None:
        """Its readiness probe fails for a while."""
        pod = node.pod
        if pod is not None:
            self.set_ready(node, pod, False)
            self.after(self.rng.uniform(1, 60), functools.partial(self.set_ready, node, pod, True))

    def set_ready(self, node: Node, pod: FakePod, ready: bool) -> None:
        if node.pod is pod:
            self.say(f"{node.number} is {'ready' if ready else 'not ready'}")
            pod.ready = ready
            self.note()

    def address(self) -> str:
        """A new one, or one that another pod had a moment ago."""
        if self._freed and self.rng.random() < 0.3:
            return self._freed.pop()
        self._addresses += 1
        high, low = divmod(self._addresses, 250)
        return f"10.0.{high}.{low + 1}"

    # What happens to all of them.

    def rolling_update(self) -> None:
        """One after the other, the highest number first; more at a time if there are many."""
        at = 0.0
        for node in reversed(self.nodes):
            self.after(at, functools.partial(self.restart, node))
            at += self.rng.uniform(4, 16) / max(1, len(self.nodes) / 10)

    def scale_to_zero_and_back(self) -> None:
        away = self.rng.choice([5.0, 20.0, 60.0, 150.0])
        for node in self.nodes:
            self.stop(node)
            self.after(away + self.rng.uniform(0, 10), functools.partial(self.boot, node))

    def scale_down_and_up(self) -> None:
        for node in self.some():
            self.stop(node)
            self.after(self.rng.uniform(5, 150), functools.partial(self.boot, node))

    def new_addresses(self) -> None:
        for node in self.some():
            self.after(self.rng.uniform(0, 10), functools.partial(self.move, node))

    def flaps(self) -> None:
        for node in self.some():
            self.after(self.rng.uniform(0, 20), functools.partial(self.flap, node))

    def some(self) -> Sequence[Node]:
        return self.rng.sample(self.nodes, self.rng.randint(1, len(self.nodes)))

    # What happens to DNS.

    def outage(self, kind: Outage, seconds: float) -> None:
        self.say(f"DNS: {kind} for {seconds:.0f} s")
        self.healthy_since = None
        self.cluster.fail(kind)
        self.after(seconds, self.heal)

    def restart_of_dns(self, seconds: float) -> None:
        """It has not seen the Service yet; what its cache keeps it still says."""
        self.say(f"DNS: not synced for {seconds:.0f} s")
        self.healthy_since = None
        self.cluster.synced = False
        self.after(seconds, self.heal)

    def heal(self) -> None:
        self.say("DNS: works again")
        self.cluster.heal()
        if not self.cluster.synced:
            self.cluster.synced = True
            self.after(5, self.heal)  # SERVFAIL too is kept for so long
            return
        self.healthy_since = self.clock.now()

    def a_failure(self) -> None:
        """Of some kind, for some time."""
        seconds = self.rng.choice([3.0, 15.0, 45.0, 90.0])
        kinds: list[Outage | None] = ["servfail", "timeout", "refused", "garbage", None]
        kind = self.rng.choice(kinds)
        if kind is None:
            self.restart_of_dns(min(seconds, 30))
        else:
            self.outage(kind, seconds)

    def a_lie(self) -> None:
        """DNS says that there is no such name."""
        self.outage("nxdomain", self.rng.uniform(3, _LIE_AT_MOST))

    # What is true, and what is believed.

    def note(self) -> None:
        """Takes down what is published now."""
        now = self.clock.now()
        current = {
            (f"web-{node.number}" if self.stateful else address.replace(".", "-"), address)
            for node in self.nodes
            if node.pod is not None and (self.before_ready or node.pod.ready)
            for address in node.pod.addresses
        }
        for pair in self.published.keys() - current:
            del self.published[pair]
            self.left[pair] = now
        for pair in current - self.published.keys():
            self.published[pair] = now
            self.left.pop(pair, None)
        if self.all_published_at is None and len(current) == len(self.nodes):
            self.all_published_at = now

    def hears(self, node: Node, change: Change) -> None:
        node.believed = frozenset(map(_pair, change.snapshot.endpoints))
        now = self.clock.now()
        if self.tell is not None:
            told = ", ".join(
                [f"+{e.hostname} {e.address}" for e in change.added]
                + [f"-{e.hostname} {e.address}" for e in change.removed]
                + [f"{o.hostname} {o.address}>{n.address}" for o, n in change.moved]
            )
            self.say(f"{node.number} hears: {told}")
        for lost in (*change.removed, *(old for old, _ in change.moved)):
            since = self.published.get(_pair(lost))
            if since is not None and since <= now - self.bounds.appear:
                self.problem(node, f"lost {lost.name}, published for {now - since:.1f} s")
        if node.full_at is None and len(node.believed) == len(self.nodes):
            node.full_at = now

    def look(self) -> None:
        """Holds what everybody believes against what is true."""
        now = self.clock.now()
        bounds, healthy = self.bounds, self.healthy_since
        must: frozenset[Pair] = frozenset()
        if healthy is not None and healthy <= now - bounds.appear:
            must = frozenset(
                pair for pair, since in self.published.items() if since <= now - bounds.appear
            )
        may = self.published.keys() | self.left.keys()
        if healthy is not None and healthy <= now - bounds.gone:
            may -= {pair for pair, until in self.left.items() if until <= now - bounds.gone}
        for node in self.nodes:
            if node.peers is None or node.peers.snapshot.state is State.PENDING:
                continue
            if not must <= node.believed:
                self.problem(node, f"lacks {sorted(must - node.believed)}")
            if not node.believed <= may:
                self.problem(node, f"still shows {sorted(node.believed - may)}")
            if healthy is not None:
                for pair in node.believed - self.published.keys():
                    since = max(self.left.get(pair, now), healthy)
                    self.longest_gone = max(self.longest_gone, now - since)

    def agree(self) -> None:
        """After some quiet: everybody knows the truth."""
        truth = frozenset(self.published)
        for node in self.nodes:
            if node.peers is not None:
                snapshot = node.peers.snapshot
                wanted = State.LIVE if truth else State.EMPTY
                if node.believed != truth or snapshot.departing or snapshot.state is not wanted:
                    self.problem(
                        node,
                        f"is {snapshot.state} after a long quiet, too many "
                        f"{sorted(node.believed - truth)}, missing {sorted(truth - node.believed)}",
                    )

    def problem(self, node: Node, text: str) -> None:
        self.say(f"PROBLEM: {node.number} {text}")
        self.problems.append(f"at {self.clock.now():.1f}: node {node.number} {text}")

    def count(self, node: Node) -> None:
        assert node.peers is not None
        stats = node.peers.stats
        self.lookups += stats.lookups
        self.queries += stats.queries_udp + stats.queries_tcp
        self.node_seconds += self.clock.now() - node.born

    # The run.

    def run(self) -> Result:
        self.tick()
        self.cold_start()
        self.churn()
        self.clock.advance(max(self.bounds.appear, self.bounds.gone) + TICK)
        self.agree()
        for node in self.nodes:
            self.stop(node)
        assert self.all_published_at is not None
        return Result(
            seed=self.seed,
            nodes=len(self.nodes),
            problems=tuple(self.problems),
            full=tuple(
                node.full_at - self.all_published_at
                for node in self.nodes
                if node.full_at is not None
            ),
            lookups=self.lookups,
            queries=self.queries,
            node_seconds=self.node_seconds,
            longest_gone=self.longest_gone,
        )

    def tick(self) -> None:
        self.look()
        self.after(TICK, self.tick)

    def cold_start(self) -> None:
        """They start in any order, and wait for one another."""
        spread = self.rng.choice([0.0, 5.0, 60.0])
        for node in self.rng.sample(self.nodes, len(self.nodes)):
            self.after(self.rng.uniform(0, spread), functools.partial(self.boot, node))
        if self.rng.random() < 0.2:
            self.outage("servfail", self.rng.uniform(1, 60))
        self.clock.advance(spread)
        for node in self.rng.sample(self.nodes, len(self.nodes)):
            self.wait_for_everybody(node)

    def wait_for_everybody(self, node: Node) -> None:
        assert node.peers is not None
        try:
            snapshot = node.peers.wait_ready(
                len(self.nodes),
                stable_for=self.rng.choice([0, 5]),
                timeout=_START_WITHIN,
                see_self=True,
            )
        except NotReady as error:
            self.problem(node, f"was never ready: {error}")
        else:
            if len(snapshot.endpoints) < len(self.nodes):
                self.problem(node, f"was told to be ready with {len(snapshot.endpoints)}")

    def churn(self) -> None:
        """Several things happen, at times of their own; DNS fails for one reason at a time."""
        happenings = [
            self.rolling_update,
            self.scale_to_zero_and_back,
            self.scale_down_and_up,
            self.new_addresses,
            self.flaps,
        ]
        for happening in self.rng.choices(happenings, k=self.rng.randint(1, 3)):
            self.after(self.rng.uniform(0, CHURN / 2), happening)
        # A lie is told apart from the truth only by whoever knew the truth a short while ago.
        failing = self.rng.choice([self.a_failure, self.a_failure, self.a_lie, None])
        if failing is not None:
            self.after(self.rng.uniform(0, CHURN / 2), failing)
        self.clock.advance(CHURN)

    def after(self, seconds: float, call: Callable[[], None]) -> None:
        self.clock.call_at(self.clock.now() + seconds, call)

    def say(self, text: str) -> None:
        if self.tell is not None:
            self.tell(f"{self.clock.now():8.1f} {text}")


def _pair(endpoint: Endpoint) -> Pair:
    return endpoint.hostname, endpoint.address
