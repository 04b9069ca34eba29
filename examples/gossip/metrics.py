"""What a node and its `Peers` count, in the text format of Prometheus."""

from collections.abc import Iterable

from headless_discovery import State, Stats

from .messages import View
from .node import Counters


def text(stats: Stats, counters: Counters, view: View) -> str:
    """One scrape."""
    return "".join(f"{name} {value:g}\n" for name, value in _samples(stats, counters, view))


def _samples(stats: Stats, counters: Counters, view: View) -> Iterable[tuple[str, float]]:
    for outcome in ("found", "empty", "unknown", "wrong"):
        yield f'discovery_lookups_total{{outcome="{outcome}"}}', getattr(stats, outcome)
    yield 'discovery_queries_total{protocol="udp"}', stats.queries_udp
    yield 'discovery_queries_total{protocol="tcp"}', stats.queries_tcp
    yield "discovery_changes_total", stats.changes
    yield "discovery_endpoints", stats.endpoints
    yield "discovery_endpoints_departing", stats.departing
    yield "discovery_endpoints_ejected", stats.ejected
    for state in State:
        yield f'discovery_state{{state="{state}"}}', stats.state is state
    yield "gossip_exchanges_total", counters.exchanges
    yield "gossip_exchanges_failed_total", counters.failures
    yield 'gossip_writes_total{acknowledged="true"}', counters.acknowledged
    yield 'gossip_writes_total{acknowledged="false"}', counters.unacknowledged
    yield "gossip_keys", view.keys
    yield "gossip_ready", view.ready
