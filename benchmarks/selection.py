"""Choosing a peer beside what users would take instead: random.choice, cycle, uhashring, tenacity.

A `Peers` on a fixed list, or refreshed in the background, need not look at the clock; one that asks
by itself does. So both are measured.
"""

import importlib
import itertools
import random
import tracemalloc
from collections.abc import Callable, Sequence
from typing import Any

from tenacity import Retrying, retry_if_exception_type, stop_after_attempt

from headless_discovery import Endpoint, Peers, Policy, Sticky, peers
from headless_discovery.testing import FakeCluster

from ._measure import Contender, Table

HashRing: Any = importlib.import_module("uhashring").HashRing  # it has no types
SIZES = (3, 100, 1000)
KEYS = 100_000
MULTIPLIED = "a list comprehension that multiplies and masks"


def run() -> list[Table]:
    """All tables."""
    return [picks(), keys(), changes(), attempts(), memory()]


def pods(count: int) -> tuple[Endpoint, ...]:
    return Peers.static([f"10.0.{n // 250}.{n % 250}:80" for n in range(count)]).endpoints()


def fixed(count: int, strategy: str = "round-robin") -> Peers:
    web = Peers.static([str(endpoint) for endpoint in pods(count)], strategy=strategy)
    web.pick()
    return web


def asking(count: int, strategy: str = "round-robin") -> Peers:
    """One that looks at the clock before each choice, to ask by itself when that is due."""
    cluster, policy = FakeCluster(), Policy(min_refresh=3600, max_refresh=3600)
    cluster.add_service("web").scale(count)
    web = peers(
        "web",
        namespace="default",
        port=80,
        strategy=strategy,
        policy=policy,
        resolver=cluster.resolver,
    )
    web.pick()
    return web


def picks() -> Table:
    table = Table("pick() and use()", base="random.choice")
    for count in SIZES:
        column, endpoints = f"N={count}", pods(count)
        using = fixed(count)

        def choice(endpoints: Sequence[Endpoint] = endpoints) -> Endpoint:
            return random.choice(endpoints)

        def use(using: Peers = using) -> None:
            with using.use():
                pass

        table.measure(
            column,
            {
                "random.choice": choice,
                "itertools.cycle": itertools.cycle(endpoints).__next__,
                **{
                    f"pick(), {strategy}": fixed(count, strategy).pick
                    for strategy in ("round-robin", "random", "sticky", "least-loaded", "session")
                },
                "asking by itself, round-robin": asking(count).pick,
                "use(), round-robin": use,
            },
            rounds=15,
        )
        table.promise("pick(), round-robin", column, 1)
        table.promise("pick(), least-loaded", column, 3)
        extra = table.difference("use(), round-robin", column, than="pick(), round-robin") * 1e6
        table.notes.append(
            f"{column}: use() takes {extra:.2f} us of CPU time more than pick(); wanted <= 2: "
            f"{'met' if extra <= 2 else '**missed**'}."
        )
    return table


def keys() -> Table:
    table = Table("pick(key)", base="uhashring get_node")
    for count in SIZES:
        column = f"N={count}"
        table.measure(column, by_key(count), rounds=15)
        table.promise("Sticky.select, known key", column, 0.2)
        if count >= 100:
            table.promise("Sticky.select, new key", column, 1.6, than=MULTIPLIED)
    return table


def by_key(count: int) -> dict[str, Contender]:
    """All called in the same way, from Python, as an app does."""
    endpoints, strategy = pods(count), Sticky()
    get_node = HashRing([endpoint.name for endpoint in endpoints]).get_node
    pick, asks, select = fixed(count).pick, asking(count).pick, strategy.select
    others, more, many = new_keys(), new_keys(), new_keys()
    seeds, factor = [random.getrandbits(64) for _ in range(count)], random.getrandbits(64) | 1
    for _ in range(100):
        pick(more()), asks("user:42"), select(endpoints, many())
    return {
        MULTIPLIED: lambda: [seed * factor & 0xFFFF_FFFF_FFFF_FFFF for seed in seeds],
        "uhashring get_node": lambda: get_node("user:42"),
        "uhashring get_node, new key": lambda: get_node(others()),
        "pick(key), known key": lambda: pick("user:42"),
        "pick(key), new key": lambda: pick(more()),
        "asking by itself, known key": lambda: asks("user:42"),
        "Sticky.select, known key": lambda: select(endpoints, "user:42"),
        "Sticky.select, new key": lambda: select(endpoints, many()),
    }


def new_keys() -> Callable[[], str]:
    """Gives a key again only after more others than anybody remembers."""
    return itertools.cycle([f"user:{number}" for number in range(KEYS)]).__next__


def changes() -> Table:
    table = Table("one pod leaves and comes back", base="uhashring")
    for count in (100, 1000):
        endpoints = pods(count)
        names = [endpoint.name for endpoint in endpoints]
        ring, strategy = HashRing(names), Sticky()
        strategy.select(endpoints, "user:42")

        def theirs(ring: Any = ring, name: str = names[count // 2]) -> None:
            ring.remove_node(name)
            ring.get_node("user:42")
            ring.add_node(name)
            ring.get_node("user:42")

        fewer = endpoints[: count // 2] + endpoints[count // 2 + 1 :]

        def ours(
            strategy: Sticky = strategy,
            fewer: tuple[Endpoint, ...] = fewer,
            endpoints: tuple[Endpoint, ...] = endpoints,
        ) -> None:
            strategy.select(fewer, "user:42")
            strategy.select(endpoints, "user:42")

        column = f"N={count}"
        table.measure(column, {"uhashring": theirs, "Sticky": ours}, rounds=7)
    table.promise("Sticky", "N=1000", 0.2)
    return table


def attempts() -> Table:
    table = Table("a call that succeeds at once", base="tenacity, a Retrying each time")
    web = fixed(10)
    endpoint = web.pick()
    retrying = Retrying(
        stop=stop_after_attempt(3), retry=retry_if_exception_type(OSError), reraise=True
    )

    def work(peer: Endpoint) -> Endpoint:
        return peer

    def bare() -> Endpoint:
        try:
            return work(endpoint)
        except OSError:  # noqa: TRY203 - it is measured what it costs
            raise

    def as_documented() -> Endpoint:
        for attempt in Retrying(
            stop=stop_after_attempt(3), retry=retry_if_exception_type(OSError), reraise=True
        ):
            with attempt:
                return work(endpoint)
        raise AssertionError

    def once_more() -> Endpoint:
        for attempt in retrying:
            with attempt:
                return work(endpoint)
        raise AssertionError

    def ours() -> Endpoint:
        for attempt in web.attempts():
            with attempt as peer:
                return work(peer)
        raise AssertionError

    def pick_and_three() -> Endpoint:
        web.pick()
        bare()
        bare()
        return bare()

    table.measure(
        "N=10",
        {
            "try/except": bare,
            "pick() + 3 x try/except": pick_and_three,
            "tenacity, a Retrying each time": as_documented,
            "tenacity, one Retrying": once_more,
            "for attempt in attempts()": ours,
            "call()": lambda: web.call(work),
        },
        rounds=15,
    )
    table.promise("call()", "N=10", 1 / 3)
    table.promise("for attempt in attempts()", "N=10", 1 / 3)
    return table


def memory() -> Table:
    """What keys leave behind, and how evenly they spread; no times."""
    table = Table("memory and evenness of sticky keys", base="")
    web = fixed(100)
    tracemalloc.start()
    for name, count in (("the first", KEYS), ("two more", 3 * KEYS)):
        for key in range(count):
            web.pick(f"user:{key}")
        size, peak = tracemalloc.get_traced_memory()
        table.notes.append(
            f"After {name} ({count:,} different keys): {size / 1024:,.0f} KiB kept, "
            f"{peak / 1024:,.0f} KiB at most."
        )
    tracemalloc.stop()
    counted = dict.fromkeys(web.endpoints(), 0)
    for key in range(KEYS):
        counted[web.pick(f"user:{key}")] += 1
    ratio = max(counted.values()) * len(counted) / KEYS
    table.notes.append(
        f"{KEYS:,} keys over {len(counted)} pods: the busiest has {ratio:.3f} of its share."
    )
    return table
