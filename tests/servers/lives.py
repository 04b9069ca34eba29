"""Random lives of some Services, and what `peers` finds held against what was done to them.

The same lives go by on the fake cluster and on the real one: `Cluster` is what both can do.
"""

import random
import time
from collections.abc import Callable
from typing import Any, Protocol

import attrs

from headless_discovery import Endpoint, LookupFailed, Peers, Policy

IMPATIENT = Policy(min_refresh=0.05, max_refresh=0.1, refresh_floor=0.05, on_empty="clear")
_AT_MOST = 6  # pods
_IN_TIME = 20.0
"""Seconds for which what was known before may differ from what DNS says by now."""
_IN_DNS = 120.0
"""Seconds after which DNS says what was done, on the slowest machine."""


class Cluster(Protocol):
    """What a life needs of a cluster."""

    def service(self, name: str, *, ports: dict[str, int]) -> None:
        """Makes a headless Service, whose pods are those with its name as label."""
        ...

    def pod(self, name: str, service: str, *, hostname: str | None) -> str:
        """Makes a ready pod; returns its address."""
        ...

    def set_ready(self, name: str, address: str, *, ready: bool) -> None:
        """Its readiness probe's result."""
        ...

    def delete(self, name: str) -> None:
        """Removes a pod at once."""
        ...


@attrs.define
class Life:
    """One Service's: a StatefulSet's or a Deployment's, with a named port or with none."""

    name: str
    cluster: Cluster
    rng: random.Random
    told: list[str] = attrs.field(factory=list)
    """What was done, for whoever looks at a difference."""
    ports: dict[str, int] = attrs.field(init=False)
    _named: bool = attrs.field(init=False)
    _pods: dict[str, tuple[str, bool]] = attrs.field(factory=dict)
    _ever: set[str] = attrs.field(factory=set)

    def begin(self) -> None:
        """Makes the Service, and some pods or none."""
        self._named = self.rng.random() < 0.5
        self.ports = self.rng.choice([{"http": 8080}, {"http": 8080}, {}])
        self.cluster.service(self.name, ports=self.ports)
        self.told.append(f"{self.name}: ports {self.ports}, host names: {self._named}")
        for _ in range(self.rng.randint(0, 3)):
            self._add()

    def step(self) -> None:
        """One to three changes, or the end of all pods."""
        if self.rng.random() < 0.15:
            for name in list(self._pods):
                self._delete(name)
            return
        for _ in range(self.rng.randint(1, 3)):
            if len(self._pods) < _AT_MOST and (not self._pods or self.rng.random() < 0.4):
                self._add()
            else:
                name = self.rng.choice(list(self._pods))
                self.rng.choice([self._flip, self._flip, self._delete, self._again])(name)

    def _add(self, name: str | None = None) -> None:
        if name is None:
            free = {f"{self.name}-{number}" for number in range(_AT_MOST)} - self._pods.keys()
            name = self.rng.choice(sorted(free))
        address = self.cluster.pod(name, self.name, hostname=name if self._named else None)
        self._pods[name] = address, True
        self._ever.add(address)
        self.told.append(f"added {name} at {address}")

    def _flip(self, name: str) -> None:
        address, ready = self._pods[name]
        self.cluster.set_ready(name, address, ready=not ready)
        self._pods[name] = address, not ready
        self.told.append(f"{name} is {'not ready' if ready else 'ready'}")

    def _delete(self, name: str) -> None:
        self.cluster.delete(name)
        del self._pods[name]
        self.told.append(f"deleted {name}")

    def _again(self, name: str) -> None:
        """Under the same name, at another address."""
        self._delete(name)
        self._add(name)

    @property
    def truth(self) -> set[tuple[str, str, int | None]]:
        """(host name, address, port) of each ready pod."""
        return {
            (name if self._named else address.replace(".", "-"), address, self.ports.get("http"))
            for name, (address, ready) in self._pods.items()
            if ready
        }

    def hold(self, peers: Callable[..., Peers], kept: Peers) -> None:
        """Asks until one that knows the past and one that knows nothing both tell the truth.

        Who departs is no longer in the answer: how long it is kept is not what is tried here. On
        the way each may be late, but tells of no pod that never was.
        """
        until = time.monotonic() + _IN_DNS
        while True:
            found: list[Any] = []
            for one in (kept, peers(self.name)):
                try:
                    snapshot = one.refresh()
                except LookupFailed as error:  # as it is: nobody is told of fewer
                    found.append(error)
                    continue
                assert {each.address for each in snapshot.endpoints} <= self._ever, self.told
                found.append(set(map(_row, set(snapshot.endpoints) - set(snapshot.departing))))
            if all(each == self.truth for each in found):
                return
            if found[-1] == self.truth:
                until = min(until, time.monotonic() + _IN_TIME)
            assert time.monotonic() < until, (self.told, self.truth, found, kept.snapshot.reason)
            time.sleep(0.05)


def _row(endpoint: Endpoint) -> tuple[str, str, int | None]:
    return endpoint.hostname, endpoint.address, endpoint.port


def live(
    cluster: Cluster, peers: Callable[..., Peers], *, seed: int, lives: int, steps: int, name: str
) -> int:
    """So many lives side by side; returns how many sets were compared."""
    rng = random.Random(seed)
    all_lives = [Life(f"{name}{number}", cluster, rng) for number in range(lives)]
    for life in all_lives:
        life.begin()
    kept = {life.name: peers(life.name) for life in all_lives}
    compared = 0
    for number in range(steps + 1):
        for life in all_lives:
            if number:
                life.step()
        for life in all_lives:
            life.hold(peers, kept[life.name])
            compared += 2
    return compared
