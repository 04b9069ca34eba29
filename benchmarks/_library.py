"""The library as it is measured, and the Services that are asked for.

Public names alone, so that an older commit's library can be measured by it, too.
"""

import time
from collections.abc import Callable, Coroutine

from headless_discovery import Clock, Peers, Resolver, aio, peers

from ._measure import Contender

SRV = 33
ADDRESSES = (3, 100, 1000, 4000)
SERVICES = (3, 100, 600)
DOMAIN = "default.svc.cluster.local"


def name(pods: int, rdtype: int) -> str:
    """What to ask about so many pods."""
    return f"web{pods}.{DOMAIN}" if rdtype != SRV else f"_http._tcp.srv{pods}.{DOMAIN}"


def rolling(pods: int, rdtype: int) -> str:
    """What to ask about so many pods of which some are replaced each time."""
    asked = f"roll{pods}.{DOMAIN}"
    return asked if rdtype != SRV else f"_http._tcp.s{asked}"


def service_of(asked: str) -> str:
    """Whose name that is."""
    return asked.removeprefix("_http._tcp.").partition(".")[0]


class Hurrying(Clock):
    """Real time, in which the next lookup may always begin: no floor holds a refresh up."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def now(self) -> float:
        """Real seconds, and those that were passed over."""
        return time.monotonic() + self.ahead  # a call of `Clock.now` would be counted, too


class Library:
    """Two `Peers` of ours: one made anew each time, one that knows the set already."""

    def __init__(self, pods: int, rdtype: int, port: int, *, asked: str | None = None) -> None:
        self._clock = Hurrying()
        self._pods = pods
        self._service = service_of(name(pods, rdtype) if asked is None else asked)
        self._port: str | int = "http" if rdtype == SRV else 8080
        self._resolver = Resolver([f"127.0.0.1:{port}"])
        self.known = self._peers()

    def _arguments(self) -> dict[str, object]:
        arguments: dict[str, object] = {
            "namespace": "default",
            "cluster_domain": "cluster.local",
            "port": self._port,
            "resolver": self._resolver,
            "clock": self._clock,
            "self_address": "10.255.0.1",
        }
        if isinstance(self._port, int):
            arguments |= {"records": "address", "family": "ipv4"}
        return arguments

    def _peers(self) -> Peers:
        return peers(self._service, **self._arguments())  # type: ignore[arg-type]  # by name

    def new(self) -> Contender:
        """What makes the first lookup of a `Peers` that was just made."""
        fresh = self._peers()

        def first() -> None:
            assert len(fresh.refresh().endpoints) == self._pods  # noqa: S101 - or no figure

        return first

    def same(self) -> None:
        """A later one."""
        self._clock.ahead += 60
        known = self.known.snapshot
        found = self.known.refresh()
        assert len(found.endpoints) == self._pods  # noqa: S101 - or no figure
        assert found is not known  # noqa: S101 - it asked

    def awaited(self) -> Callable[[], Coroutine[object, object, None]]:
        """What makes the same lookup in asyncio: a first one, and then later ones."""
        known = aio.peers(self._service, **self._arguments())  # type: ignore[arg-type]  # by name

        async def again() -> None:
            self._clock.ahead += 60
            assert len((await known.refresh()).endpoints) == self._pods  # noqa: S101 - likewise

        return again
