"""Stats: what a Peers has done, as plain numbers for a collector of metrics."""

import attrs

from ._endpoint import State


@attrs.frozen
class Stats:
    """Counters since the `Peers` was made, and the state now. Times are the store's clock's."""

    lookups: int = 0
    """Lookups that came to an outcome; the next four add up to it."""
    found: int = 0
    """DNS listed the whole set."""
    empty: int = 0
    """DNS said with authority that nobody is published; whether or not that was believed yet."""
    unknown: int = 0
    """DNS failed, or the answer was incomplete."""
    wrong: int = 0
    """Not a headless Service, no such port, or a configuration that cannot work."""
    queries_udp: int = 0
    """DNS messages sent, second tries too."""
    queries_tcp: int = 0
    changes: int = 0
    """How often the endpoints changed, moves too."""
    endpoints: int = 0
    """How many are known now."""
    departing: int = 0
    """How many of these the last answer lacked."""
    ejected: int = 0
    """How many are set aside now, because of failures."""
    state: State = State.PENDING
    state_since: float | None = None
    """When the state was first the present one."""
