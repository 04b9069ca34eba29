"""What is measured about a `Peers`, for any library of metrics. Pure; reads `Peers.stats` alone."""

import collections
from collections.abc import Iterable, Iterator
from typing import Literal

import attrs

from .._endpoint import State
from .._peers import Peers
from ..aio import Peers as AsyncPeers

AnyPeers = Peers | AsyncPeers
"""For threads or for tasks."""


@attrs.frozen
class Metric:
    """One metric: what it is called, which kind it is, and what it says."""

    name: str
    kind: Literal["counter", "gauge"]
    help: str
    seconds: bool = False

    @property
    def full_name(self) -> str:
        """The name as Prometheus has it, with the unit, and without the ``_total`` of counters."""
        unit = "_seconds" if self.seconds and not self.name.endswith("_seconds") else ""
        return f"headless_discovery_{self.name}{unit}"


METRICS = (
    Metric("lookups", "counter", "Completed lookups"),
    Metric("found", "counter", "Lookups that returned the complete set of endpoints"),
    Metric("empty", "counter", "Lookups that were answered with no endpoints"),
    Metric("unknown", "counter", "Lookups that failed or were incomplete"),
    Metric("wrong", "counter", "Lookups that found no headless Service or no such port"),
    Metric("queries_udp", "counter", "DNS queries sent over UDP, including retries"),
    Metric("queries_tcp", "counter", "DNS queries sent over TCP, including retries"),
    Metric("changes", "counter", "Changes of the endpoints, including address changes"),
    Metric("attempts", "counter", "Attempts on an endpoint"),
    Metric("failures", "counter", "Attempts that failed because of the endpoint"),
    Metric("endpoints", "gauge", "Endpoints that are known now"),
    Metric("departing", "gauge", "Endpoints that the last answer lacked"),
    Metric("ejected", "gauge", "Endpoints that are ejected because of failures"),
    Metric("in_flight", "gauge", "Calls in progress, on all endpoints together"),
    Metric("lookup_seconds", "gauge", "Duration of the last lookup", seconds=True),
    Metric("answer_age", "gauge", "Seconds since the last answer", seconds=True),
)
"""Each is the field of `Stats` with the same name."""
STATE = Metric("state", "gauge", "1 for the state that the Peers is in, 0 for the others")


def labels_of(peers: Iterable[AnyPeers]) -> list[dict[str, str]]:
    """The labels of each `Peers`: its Service, and a number from the second of one Service on.

    A set of labels must not repeat, and a process may have two `Peers` of one Service.
    """
    seen: collections.Counter[str] = collections.Counter()
    labels: list[dict[str, str]] = []
    for each in peers:
        service = str(each._store)
        seen[service] += 1
        number = {"number": str(seen[service])} if seen[service] > 1 else {}
        labels.append({"service": service, **number})
    return labels


def rows(peers: AnyPeers, labels: dict[str, str]) -> Iterator[tuple[Metric, dict[str, str], float]]:
    """Each number with its labels; those that nothing is known of yet are left out."""
    stats = peers.stats
    labels = {**labels, "source": stats.source}
    for metric in METRICS:
        value = getattr(stats, metric.name)
        if value is not None:
            yield metric, labels, float(value)
    for state in State:
        yield STATE, {**labels, "state": state.value}, float(state is stats.state)
