"""redis-py: a client for each pod, or the primary that the sentinels name.

redis-py sends a command again up to ten times by default; here that is off, and the program says
which commands may arrive twice.
"""

import redis
import redis.sentinel
from redis.backoff import NoBackoff
from redis.retry import Retry

from headless_discovery import Clients, Endpoint, Peers


def _once() -> Retry:
    """Every command is sent once."""
    return Retry(NoBackoff(), 0)


def clients(web: Peers) -> Clients[redis.Redis]:
    """For a ``with`` statement that lasts as long as the program."""
    return web.clients(
        lambda peer: redis.Redis(
            peer.address, peer.port or 6379, socket_timeout=1, retry=_once(), decode_responses=True
        )
    )


def read(web: Peers, kept: Clients[redis.Redis], key: str) -> object:
    """From the key's pod, or the next one: its errors do not tell whether a command arrived."""

    def get(peer: Endpoint) -> object:
        with kept.use_of(peer) as client:
            return client.get(key)

    return web.call(get, key=key, idempotent=True)


def count(kept: Clients[redis.Redis], key: str) -> object:
    """A command that must not arrive twice: one pod, and no other."""
    with kept.use(key) as client:
        return client.incr(key)


def primary(sentinels: Peers, name: str = "mymaster") -> redis.Redis:
    """The primary, as long as the sentinels that are there now know it.

    It follows a failover by itself. Call this again when the sentinels have changed.
    """
    sentinel = redis.sentinel.Sentinel(  # type: ignore[no-untyped-call]  # redis-py has no types here
        [(peer.address, peer.port or 26379) for peer in sentinels.endpoints()],
        sentinel_kwargs={"socket_timeout": 0.5, "retry": _once()},
    )
    client: redis.Redis = sentinel.master_for(  # type: ignore[no-untyped-call]  # nor here
        name, socket_timeout=1, retry=_once(), decode_responses=True
    )
    return client
