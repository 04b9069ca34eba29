"""What a node counts, in the text format of Prometheus; what its `Peers` counts comes with it."""

from ..metrics import exposition
from .node import Node


def text(node: Node) -> str:
    """One scrape."""
    counters, view = node.counters, node.view()
    own = {
        "gossip_exchanges_total": counters.exchanges,
        "gossip_exchanges_failed_total": counters.failures,
        'gossip_writes_total{acknowledged="true"}': counters.acknowledged,
        'gossip_writes_total{acknowledged="false"}': counters.unacknowledged,
        "gossip_keys": view.keys,
        "gossip_ready": view.ready,
    }
    return exposition(node.peers) + "".join(f"{name} {value:g}\n" for name, value in own.items())
