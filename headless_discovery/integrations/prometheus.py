"""Prometheus: a collector that reads the counters of `Peers` when it is scraped.

In multiprocess mode prometheus_client collects the files of all processes and no collectors:
register this one on the registry of the process that answers the scrape.
"""

import collections
from collections.abc import Iterator

try:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
    from prometheus_client.metrics_core import Metric as Family
    from prometheus_client.registry import Collector
except ImportError as _error:  # pragma: no cover - tests/integrations does it in its own process
    raise ImportError(
        "headless_discovery.integrations.prometheus needs prometheus_client: "
        "install headless_discovery[prometheus]"
    ) from _error

from ._metrics import METRICS, STATE, AnyPeers, Metric, labels_of, rows

__all__ = ["PeersCollector"]


class PeersCollector(Collector):
    """Collects the metrics of one or more `Peers`; it does no I/O.

    Args:
        *peers: the `Peers` to observe, sync or async. Give all of a process to one collector:
            a registry refuses two that have metrics of the same name.

    Example:
        >>> from prometheus_client import CollectorRegistry, generate_latest
        >>> from headless_discovery import Peers
        >>> registry = CollectorRegistry()
        >>> registry.register(PeersCollector(Peers.static(["10.0.0.1:8080"])))
        >>> "headless_discovery_endpoints{" in generate_latest(registry).decode()
        True
    """

    def __init__(self, *peers: AnyPeers) -> None:
        self._peers = list(zip(peers, labels_of(peers), strict=True))

    def describe(self) -> list[Family]:
        """Returns the families without samples, so that registering collects nothing."""
        return [_family(metric, []) for metric in (*METRICS, STATE)]

    def collect(self) -> Iterator[Family]:
        """Yields one family for each metric; called by prometheus_client at each scrape."""
        samples: dict[Metric, list[tuple[dict[str, str], float]]] = collections.defaultdict(list)
        for peers, of_peers in self._peers:
            for metric, labels, value in rows(peers, of_peers):
                samples[metric].append((labels, value))
        for metric, values in samples.items():
            yield _family(metric, values)


def _family(metric: Metric, values: list[tuple[dict[str, str], float]]) -> Family:
    kind = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
    # The client puts `_total` behind a counter's name by itself.
    family = kind(metric.full_name, metric.help)
    for labels, value in values:
        suffix = "_total" if metric.kind == "counter" else ""
        family.add_sample(metric.full_name + suffix, labels, value)
    return family
