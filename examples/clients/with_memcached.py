"""memcached as a ring: each key belongs to two pods, of which one may be gone.

All processes compute the same owners from the same pods, and when a pod joins or leaves, only its
keys move. pymemcache retries nothing by itself.
"""

from pymemcache import MemcacheError, PooledClient

from headless_discovery import Clients, Peers

COPIES = 2
_FAILURES = (OSError, MemcacheError)


def clients(memcached: Peers) -> Clients[PooledClient]:
    """For a ``with`` statement that lasts as long as the program."""
    return memcached.clients(
        lambda peer: PooledClient(
            (peer.address, peer.port or 11211), connect_timeout=0.5, timeout=0.5, max_pool_size=8
        )
    )


def put(memcached: Peers, kept: Clients[PooledClient], key: str, value: bytes) -> int:
    """Returns how many copies were written; to write one twice does no harm."""
    written = 0
    for peer in memcached.ranked(key, COPIES):
        try:
            with kept.use_of(peer) as client:
                written += bool(client.set(key, value, expire=60, noreply=False))
        except _FAILURES:
            continue  # it is reported; the other copy is enough
    return written


def get(memcached: Peers, kept: Clients[PooledClient], key: str) -> bytes | None:
    """The first copy that is found; ``None`` is a miss, as it is when no owner answers."""
    for peer in memcached.ranked(key, COPIES):
        try:
            with kept.use_of(peer) as client:
                value: bytes | None = client.get(key)
        except _FAILURES:
            continue  # it is reported; the next owner has a copy
        if value is not None:
            return value
    return None
