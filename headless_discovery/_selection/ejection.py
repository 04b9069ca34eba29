"""Ejection: which endpoints are avoided for a while, because calls to them failed.

Its input is the results of calls, and the time. The rules:

ejected
    After `Policy.eject_after` failures in a row, for `eject_for` seconds; after that, one more
    failure does so again, for twice as long each time, up to `eject_max`. What fails while it is
    ejected was called before, and does not count.
back
    When the time is over, or at once with one success, which clears everything.
never too many
    At most half of the endpoints, rounded down, are ejected: those that are due first come back.
forgotten
    When the endpoint leaves, or is at another address or port number.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import attrs

from .._endpoint import Endpoint, by_identity

if TYPE_CHECKING:
    from .._membership import Policy


@attrs.define
class _Record:
    place: tuple[str, int | None]
    failures: int = 0
    until: float = float("-inf")


class Ejection:
    """The failures in a row of each endpoint, and which are ejected because of them."""

    def __init__(self, policy: "Policy") -> None:
        self.failing: dict[tuple[str, ...], _Record] = {}
        """By identity; only those whose last call failed."""
        self._policy = policy

    def see(self, endpoints: Sequence[Endpoint]) -> None:
        """Forgets those that are not among the endpoints, or are at another place now."""
        here = by_identity(endpoints)
        for identity, record in list(self.failing.items()):
            if identity not in here or place(here[identity]) != record.place:
                del self.failing[identity]

    def succeeded(self, endpoint: Endpoint) -> None:
        """A call to it went well."""
        record = self.failing.get(endpoint.identity)
        if record is not None and record.place == place(endpoint):
            del self.failing[endpoint.identity]

    def failed(self, endpoint: Endpoint, now: float) -> None:
        """A call to it failed."""
        policy = self._policy
        record = self.failing.setdefault(endpoint.identity, _Record(place(endpoint)))
        if now < record.until:
            return
        record.failures += 1
        further = record.failures - policy.eject_after
        if further >= 0:
            # Not 2 ** 5000: a float ends at 2 ** 1024.
            record.until = now + min(policy.eject_for * 2.0 ** min(further, 64), policy.eject_max)

    def ejected(self, endpoints: Sequence[Endpoint], now: float) -> dict[Endpoint, float]:
        """Which of them are ejected, until when; in the order in which they come back."""
        until = {
            endpoint: record.until
            for identity, endpoint in by_identity(endpoints).items()
            if (record := self.failing.get(identity)) is not None and now < record.until
        }
        last_first = sorted(until, key=lambda endpoint: (until[endpoint], endpoint.identity))[::-1]
        return {endpoint: until[endpoint] for endpoint in last_first[: len(endpoints) // 2][::-1]}


def place(endpoint: Endpoint) -> tuple[str, int | None]:
    """Where it is."""
    return endpoint.address, endpoint.port
