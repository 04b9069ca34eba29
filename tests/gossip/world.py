"""A whole cluster of nodes in one process: real nodes on a fake cluster, a fake clock, a fake
network and fake disks. All chance comes from one seed.
"""

import asyncio
import math
import random
from collections.abc import Callable, Iterable
from typing import Any, Literal

import attrs

from examples.gossip.entries import Entry, Map
from examples.gossip.messages import (
    Compare,
    Differences,
    Look,
    Reply,
    Request,
    Swap,
    Swapped,
    View,
    decode,
    encode,
)
from examples.gossip.node import Node, PeerError
from headless_discovery import Endpoint
from headless_discovery.testing import FakeClock, FakeCluster, FakePod

_FOR_EVER = 3600.0
"""Seconds of real time: longer than any test."""
_STEP = 0.25
"""Seconds of the fake clock, between which every task has so many turns:"""
_TURNS = 10


class CrashedError(Exception):
    """The node is no more; whoever still runs in its name has come to the end."""


@attrs.define(eq=False)
class Life:
    """One life of a node, from its start to its crash: its disk and its transport."""

    world: "World"
    name: str
    pod: FakePod
    over: bool = False
    _node: Node | None = None
    _task: asyncio.Task[None] | None = None

    @property
    def node(self) -> Node:
        assert self._node is not None
        return self._node

    @property
    def address(self) -> str:
        return self.pod.addresses[0]

    def begin(self, node: Node) -> None:
        self._node = node
        self._task = asyncio.create_task(node.run(), name=self.name)

    async def end(self) -> None:
        """The process is told to end, and may say good-bye."""
        assert self._task is not None
        self._task.cancel()
        await asyncio.wait([self._task])
        self.over = True
        if not self._task.cancelled() and (error := self._task.exception()) is not None:
            assert isinstance(error, CrashedError), error

    async def crash(self) -> None:
        """It is no more, whatever it was doing."""
        self.over = True
        await self.end()

    # As a disk.

    def load(self) -> list[Entry]:
        return list(self.world.disks.get(self.name, ()))

    async def append(self, entries: Iterable[Entry], _held: Map) -> None:
        await self.world.pause()
        self.check_alive()
        self.world.disks.setdefault(self.name, []).extend(entries)
        await self.world.pause()

    # As a transport.

    async def ask(self, peer: Endpoint, request: Request) -> Reply:
        self.check_alive()
        try:
            reply = await self.world.carry(peer, request)
        finally:
            self.check_alive()
        return reply

    def check_alive(self) -> None:
        if self.over:
            raise CrashedError(self.name)


class DrivenClock(FakeClock):
    """One driver moves it; nobody else does by waiting, and who waits costs nothing."""

    async def wait_for_async(
        self,
        waiters: Any,
        predicate: Callable[[], bool],
        until: float = math.inf,
        *,
        overdue: float = math.inf,
    ) -> bool:
        cancel = self.call_at(until, waiters.wake) if until < math.inf else None
        try:
            await waiters.wait_for(lambda: predicate() or self.now() >= until, lambda: _FOR_EVER)
        finally:
            if cancel is not None:
                cancel()
        return predicate()


class World:
    """The cluster, its network and its disks. ``loss``: of each message, in each direction."""

    def __init__(
        self,
        seed: int,
        *,
        ttl: int = 5,
        cache: int | None = None,
        source: Literal["dns", "auto"] = "dns",
    ) -> None:
        self.rng = random.Random(seed)
        self.source = source
        self.clock = DrivenClock()
        self.cluster = FakeCluster(seed=seed, ttl=ttl, cache=cache, clock=self.clock)
        self.service = self.cluster.add_service(
            "gossip", ports={"http": 8080}, publish_not_ready=True
        )
        self.loss = 0.0
        self.disks: dict[str, list[Entry]] = {}
        self.lives: dict[str, Life] = {}

    def start(self, name: str, address: str) -> Node:
        """A pod comes up; with what its disk holds, if it has lived before."""
        pod = self.service.add_pod(address, hostname=name)
        life = Life(self, name, pod)
        self.lives[name] = life
        node = Node(
            name,
            pod.aio.peers("gossip", port="http", include_self=False, source=self.source),
            life,
            life,
            clock=self.clock,
            wall=self.clock.now,
            rng=random.Random(self.rng.random()),
        )
        life.begin(node)
        return node

    async def stop(self, name: str, *, crash: bool = False) -> None:
        """A pod goes: as it is told to, or at once."""
        life = self.lives.pop(name)
        await (life.crash() if crash else life.end())
        life.pod.delete()

    async def live(self, seconds: float) -> None:
        """Time goes on."""
        until = self.clock.now() + seconds
        while self.clock.now() < until:
            self.clock.advance(_STEP)
            for _ in range(_TURNS):
                await asyncio.sleep(0)

    async def pause(self) -> None:
        """Others come first, perhaps."""
        for _ in range(self.rng.randrange(4)):
            await asyncio.sleep(0)

    async def carry(self, peer: Endpoint, request: Request) -> Reply:
        """A request to whoever has that address now, and its reply back."""
        await self._deliver(peer)
        there = next((life for life in self.lives.values() if life.address == peer.address), None)
        if there is None:
            raise PeerError(f"nobody is at {peer}")
        asked = decode(encode(request))
        assert isinstance(asked, Compare | Swap | Look)
        try:
            reply = decode(encode(await there.node.answer(asked)))
            there.check_alive()
        except CrashedError as error:
            raise PeerError(f"{peer} crashed") from error
        await self._deliver(peer)
        assert isinstance(reply, Differences | Swapped | View)
        return reply

    async def _deliver(self, peer: Endpoint) -> None:
        await self.pause()
        if self.rng.random() < self.loss:
            raise PeerError(f"a message with {peer} was lost")

    async def close(self) -> None:
        """Ends all."""
        for name in list(self.lives):
            await self.stop(name)
