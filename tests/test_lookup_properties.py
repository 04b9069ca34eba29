"""Whatever goes wrong on the way: a lookup finds the whole truth, or says that it does not know.

Random Services on the fake cluster, random failures of random questions; the lookup, the exchange
with name servers and the reading of bytes are the real ones.
"""

import random
from collections.abc import Sequence
from typing import Literal, get_args

import attrs
import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from headless_discovery import ServiceName
from headless_discovery.testing import FakeCluster
from tests.lookups import (
    FAMILIES,
    Empty,
    FakeResolver,
    Family,
    Found,
    Learnt,
    Memory,
    Outcome,
    Type,
    Unknown,
    Wanted,
    Wrong,
    exchange,
    lookup,
)

pytestmark = pytest.mark.slow

SERVICE = ServiceName("web", "shop")
Failure = Literal["servfail", "refused", "timeout", "truncate", "garbage", "wrong-id"]
BELIEVABLE: tuple[Failure, ...] = get_args(Failure)
"""A name server of the cluster that says NXDOMAIN must be believed: that one is left out."""


@attrs.frozen
class Pod:
    number: int
    ready: bool
    hostname: str | None
    families: tuple[int, ...]
    has_port: bool

    @property
    def addresses(self) -> tuple[str, ...]:
        both = {4: f"10.0.{self.number >> 8}.{self.number & 255}", 6: f"fd00::{self.number + 1:x}"}
        return tuple(both[family] for family in self.families)

    def of(self, types: Sequence[Type]) -> set[str]:
        return {a for a in self.addresses if (Type.AAAA if ":" in a else Type.A) in types}

    def names(self) -> dict[str, tuple[str, ...]]:
        """The names that DNS publishes it by, and their addresses."""
        if self.hostname is not None:
            return {self.hostname: self.addresses}
        return {
            address.replace(".", "-").replace(":", "-"): (address,) for address in self.addresses
        }


@attrs.frozen
class Fault:
    kind: Failure
    times: int | None
    qtype: str | None


def pods(families: st.SearchStrategy[tuple[int, ...]]) -> st.SearchStrategy[list[Pod]]:
    def numbered(drawn: Sequence[tuple[bool, bool, tuple[int, ...], bool]]) -> list[Pod]:
        return [
            Pod(number, ready, f"web-{number}" if named else None, own, has_port)
            for number, (ready, named, own, has_port) in enumerate(drawn)
        ]

    one = st.tuples(st.booleans(), st.booleans(), families, st.booleans())
    # Some shapes, many times over: large sets are where answers are cut.
    return st.builds(
        lambda shapes, times: numbered(shapes * times),
        st.lists(one, max_size=6),
        st.sampled_from([1, 1, 2, 10]),
    )


faults = st.lists(
    st.builds(
        Fault,
        kind=st.sampled_from(BELIEVABLE),
        times=st.none() | st.integers(1, 3),
        qtype=st.sampled_from([None, "A", "AAAA", "SRV", "PTR"]),
    ),
    max_size=3,
)


def cluster_of(published: Sequence[Pod], *, ports: bool, bufsize: int | None) -> FakeCluster:
    """Each pod in EndpointSlices of its own, which is one of the ways in which they come."""
    cluster = FakeCluster(bufsize=bufsize)
    cluster.apply(
        {
            "kind": "Service",
            "metadata": {"name": "web", "namespace": "shop"},
            "spec": {"clusterIP": "None", "ports": [{"name": "http", "port": 80}]},
        }
    )
    for pod in published:
        for address in pod.addresses:
            cluster.apply(
                {
                    "kind": "EndpointSlice",
                    "metadata": {
                        "name": f"web-{pod.number}-{'v6' if ':' in address else 'v4'}",
                        "namespace": "shop",
                        "labels": {"kubernetes.io/service-name": "web"},
                    },
                    "endpoints": [
                        {
                            "addresses": [address],
                            "conditions": {"ready": pod.ready},
                            "hostname": pod.hostname,
                        }
                    ],
                    "ports": [{"name": "http", "port": 8080}] if ports and pod.has_port else [],
                }
            )
    return cluster


@attrs.frozen
class UdpOnly:
    """The way to a cluster's name server where a NetworkPolicy forgot TCP."""

    cluster: FakeCluster

    def answer(self, wire: bytes, *, tcp: bool = False) -> bytes | None:
        return None if tcp else self.cluster.answer(wire)


def look(cluster: FakeCluster, wanted: Wanted, memory: Memory, *, tcp: bool = True) -> Outcome:
    resolver = cluster.resolver
    if not tcp:
        resolver = FakeResolver(UdpOnly(cluster), domain=cluster.domain)
    clock = cluster.clock
    going = lookup(wanted, memory, clock.now(), random.Random(0))
    steps = exchange(going, SERVICE, resolver.plan(), Learnt(), clock.now)
    return resolver.run(steps, clock)


def truth(published: Sequence[Pod], *, by_port: bool) -> dict[str, tuple[str, ...]]:
    return {
        name: addresses
        for pod in published
        if pod.ready and (pod.has_port or not by_port)
        for name, addresses in pod.names().items()
    }


def found_in(outcome: Found) -> dict[str, tuple[str, ...]]:
    return {
        endpoint.name.removesuffix(f".{SERVICE}"): endpoint.addresses
        for endpoint in outcome.endpoints
    }


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(
    published=pods(st.just((4,))),
    ports=st.booleans(),
    port=st.sampled_from([None, "http", 9000]),
    bufsize=st.sampled_from([None, 512]),
    broken=faults,
    rounds=st.integers(1, 3),
    gap=st.sampled_from([0, 5, 70, 400]),
    tcp=st.booleans(),
)
def test_with_one_family_it_is_the_whole_set_or_unknown(
    published: list[Pod],
    *,
    ports: bool,
    port: str | int | None,
    bufsize: int | None,
    broken: list[Fault],
    rounds: int,
    gap: int,
    tcp: bool,
) -> None:
    cluster = cluster_of(published, ports=ports, bufsize=bufsize)
    ready = truth(published, by_port=False)
    listed = ports and any(pod.ready and pod.has_port for pod in published)
    with_port = truth(published, by_port=True) if ports else {}
    for fault in broken:
        cluster.fail(fault.kind, times=fault.times, qtype=fault.qtype)
    memory = Memory()
    for _ in range(rounds):
        cluster.clock.advance(gap)
        outcome = look(cluster, Wanted(SERVICE, port=port), memory, tcp=tcp)
        note(f"{outcome}")
        match outcome:
            case Found():
                found = found_in(outcome)
                # Without a port name SRV lists the pods that have a port, A and AAAA all of them
                # (CoreDNS behaviour, row 38): each is a whole set of the server's own.
                assert found in ([with_port] if port == "http" else [with_port, ready])
            case Empty():
                assert not ready
            case Wrong():
                assert port == "http"
                assert not listed
            case Unknown():
                assert broken or not tcp
    cluster.heal()
    outcome = look(cluster, Wanted(SERVICE, port=port), memory)
    assert not isinstance(outcome, Unknown), outcome


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(
    published=pods(st.sampled_from([(4,), (6,), (4, 6)])),
    family=st.sampled_from(FAMILIES),
    broken=faults,
    rounds=st.integers(1, 3),
    gap=st.sampled_from([0, 5, 70, 400]),
)
def test_with_two_families_nobody_is_made_up_and_no_host_name_left_out(
    published: list[Pod], family: Family, broken: list[Fault], rounds: int, gap: int
) -> None:
    cluster = cluster_of(published, ports=False, bufsize=None)
    ready = truth(published, by_port=False)
    wanted = Wanted(SERVICE, family=family)
    for fault in broken:
        cluster.fail(fault.kind, times=fault.times, qtype=fault.qtype)
    memory = Memory()
    for number in range(rounds + 1):
        cluster.clock.advance(gap)
        if number == rounds:
            cluster.heal()
            for _ in published[::4]:  # names are checked in turn, some in each lookup
                look(cluster, wanted, memory)
        outcome = look(cluster, wanted, memory)
        note(f"{outcome}")
        assert not (number == rounds and isinstance(outcome, Unknown))
        if isinstance(outcome, Empty):
            assert not any(pod.ready and pod.of(wanted.types) for pod in published)
        if not isinstance(outcome, Found):
            continue
        found = found_in(outcome)
        for name, addresses in found.items():
            assert set(addresses) <= set(ready[name])
        due = wanted.types
        if broken and number < rounds:
            # Another family may be missing while it fails; the preferred one never is.
            due = () if wanted.needed is None else (wanted.needed,)
        for pod in published:
            if pod.ready and pod.hostname is not None and (kept := pod.of(due)):
                assert kept <= set(found[pod.hostname])
