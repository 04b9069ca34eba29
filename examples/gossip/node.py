"""A node: when a write is acknowledged, whom it gossips with, when it is ready.

Peers, transport, disk, time and chance are handed in. So the tests run whole clusters of these in
one process, and `__main__` runs one in a pod.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Iterable
from typing import Protocol

import attrs

from headless_discovery import Clock, DiscoveryError, Endpoint
from headless_discovery.aio import Peers

from .entries import Entry, Map
from .exchange import differences, swapped, to_swap
from .journal import Disk
from .messages import Compare, Differences, Look, Reply, Request, Swap, Swapped, View

log = logging.getLogger(__name__)

FAN_OUT = 2
INTERVAL = 1.0
"""Seconds between two rounds of gossip, give or take a fifth."""
PATIENCE = 2.0
"""Seconds that a write or a read may take, over all attempts."""
READY_FOR = 10.0
"""Seconds: who has reached nobody for so long is not ready."""
_TRIES = 3


class PeerError(Exception):
    """A peer could not be reached, refused, or spoke nonsense: says who and what."""


class NotAcknowledgedError(Exception):
    """No second node is known to hold the write. It is kept here, and may be seen by others yet."""


class Transport(Protocol):
    """How a request comes to a peer, and its reply back."""

    async def ask(self, peer: Endpoint, request: Request) -> Reply:
        """Raises `PeerError`."""
        ...


@attrs.define
class Counters:
    """What a node has done."""

    exchanges: int = 0
    failures: int = 0
    """Of exchanges."""
    acknowledged: int = 0
    unacknowledged: int = 0


class Node:
    """One member of the cluster. ``peers`` are the others: made with ``include_self=False``."""

    def __init__(
        self,
        name: str,
        peers: Peers,
        transport: Transport,
        disk: Disk,
        *,
        clock: Clock,
        wall: Callable[[], float],
        rng: random.Random,
    ) -> None:
        self.name = name
        self.peers = peers
        self.counters = Counters()
        # A node that lost its disk counts from the start again: each life signs for itself, so
        # that no stamp is ever used for two writes.
        self._writer = f"{name}/{rng.getrandbits(64):016x}"
        self._transport = transport
        self._disk = disk
        self._clock = clock
        self._wall = wall
        self._rng = rng
        self._map = Map(disk.load())
        self._keeping = asyncio.Lock()
        self._complete = False  # whether it has had all that some other node held
        self._reached_at: float | None = None

    # For clients.

    async def put(self, key: str, value: str) -> Entry:
        """Writes; returns once two nodes hold it. Raises `NotAcknowledgedError`."""
        return await self._write(key, value)

    async def delete(self, key: str) -> Entry:
        """The same for a deletion."""
        return await self._write(key, None)

    async def get(self, key: str) -> Entry | None:
        """The newest entry that this node or the key's first peer holds.

        A write went to its node and to the key's first peer there; of all nodes, the key's first
        is one of these two, and of the two that a read asks as well. So a read sees each
        acknowledged write as long as both see the same peers, and that node answers.
        """
        held = self.held(key)
        asked = Swap(self.name, () if held is None else (held,), (key,))
        try:
            await self._keep((await self._ask_first(key, asked)).entries)
        except (PeerError, DiscoveryError, OSError) as error:
            log.info("%s: %r is given as it is held here: %s", self.name, key, error)
        return self.held(key)

    def held(self, key: str) -> Entry | None:
        """What this node holds, without a look at others."""
        return self._map.get(key)

    # For other nodes.

    async def answer(self, request: Request) -> Reply:
        """What it replies. When it says that it holds something, that is on its disk.

        Raises `OSError` if the disk takes nothing.
        """
        match request:
            case Compare():
                return differences(self._map, request, self.name)
            case Swap():
                await self._keep(request.entries)
                return swapped(self._map, request, self.name)
            case Look():
                return self.view()

    # Life.

    @property
    def ready(self) -> bool:
        """Whether it has all that another node had, and could have a write acknowledged now."""
        reached_at = self._reached_at
        recent = reached_at is not None and self._clock.now() - reached_at <= READY_FOR
        return self._complete and recent

    def view(self) -> View:
        """How it sees the cluster."""
        snapshot = self.peers.snapshot
        return View(
            self.name,
            self.ready,
            keys=sum(entry.value is not None for entry in self._map),
            state=str(snapshot.state),
            fingerprint=self._map.fingerprint,
            knows=tuple(peer.hostname for peer in snapshot.endpoints),
        )

    async def views(self) -> list[View]:
        """How all see it: this node, and those of its peers that answer."""
        peers = self.peers.snapshot.endpoints
        found = await asyncio.gather(*(self._look(peer) for peer in peers))
        return [self.view(), *(view for view in found if view is not None)]

    async def run(self) -> None:
        """Gossips until it is cancelled."""
        async with self.peers:
            # Alone it could acknowledge nothing. It waits for as long as it takes: meanwhile it
            # serves, and says that it is not ready.
            await self.peers.wait_ready(at_least=1)
            try:
                while True:
                    await self.gossip()
                    await self._clock.sleep_async(INTERVAL * self._rng.uniform(0.8, 1.2))
            finally:
                await self.gossip()  # what it alone holds is told before it leaves

    async def gossip(self) -> None:
        """One round: becomes equal with some peers, taken at random."""
        chosen = await self.peers.sample(FAN_OUT)
        await asyncio.gather(*(self._exchange(peer) for peer in chosen))
        self._map.forget_tombstones(self._wall())

    # How it is done.

    async def _write(self, key: str, value: str | None) -> Entry:
        try:
            for _ in range(_TRIES):
                written = await self._keep_own(key, value)
                reply = await self._ask_first(key, Swap(self.name, (written,), (key,)))
                if reply.entries == (written,):
                    self.counters.acknowledged += 1
                    return written
                # That node knew of a later write, unseen here: so this one is made again, after it.
                await self._keep(reply.entries)
        except (PeerError, DiscoveryError) as error:
            self.counters.unacknowledged += 1
            raise NotAcknowledgedError(f"only {self.name} holds {key!r} yet: {error}") from error
        except OSError as error:
            self.counters.unacknowledged += 1
            raise NotAcknowledgedError(f"{self.name} cannot keep {key!r}: {error}") from error
        self.counters.unacknowledged += 1
        raise NotAcknowledgedError(f"{key!r} was written {_TRIES} times, by others later each time")

    async def _ask_first(self, key: str, asked: Swap) -> Swapped:
        """Asks the peer that comes first for this key, or the next ones if it does not answer."""
        async for attempt in self.peers.attempts(key, on=PeerError, timeout=PATIENCE):
            with attempt as peer:
                return await self._swap(peer, asked)
        raise AssertionError("attempts end with a result or an error")

    async def _exchange(self, peer: Endpoint) -> None:
        try:
            complete = await self._become_equal(peer)
        except PeerError as error:
            self.counters.failures += 1
            self.peers.report(peer, error)
        except OSError as error:
            # The disk's: the peer did well. It may have room again at the next round.
            self.counters.failures += 1
            log.error("%s cannot keep what %s has: %s", self.name, peer, error)  # noqa: TRY400 - no traceback each second
        else:
            self.counters.exchanges += 1
            self.peers.report(peer)
            self._reached_at = self._clock.now()
            self._complete = self._complete or complete

    async def _become_equal(self, peer: Endpoint) -> bool:
        """Tells whether all that the peer held is now held here."""
        theirs = await self._ask(peer, Compare(self.name, self._map.summary()))
        if not isinstance(theirs, Differences):
            raise PeerError(f"{peer} named no differences")
        asked = to_swap(self._map, theirs, self.name)
        if asked is None:
            return not theirs.more
        reply = await self._swap(peer, asked)
        await self._keep(reply.entries)
        return not theirs.more and {entry.key for entry in reply.entries} >= set(asked.wanted)

    async def _swap(self, peer: Endpoint, asked: Swap) -> Swapped:
        reply = await self._ask(peer, asked)
        if not isinstance(reply, Swapped):
            raise PeerError(f"{peer} swapped nothing")
        return reply

    async def _look(self, peer: Endpoint) -> View | None:
        try:
            reply = await self._ask(peer, Look(self.name))
        except PeerError:
            return None
        return reply if isinstance(reply, View) else None

    async def _ask(self, peer: Endpoint, request: Request) -> Reply:
        reply = await self._transport.ask(peer, request)
        if reply.node == self.name:
            # An address that another pod had: two copies here are one.
            raise PeerError(f"{peer} is this node itself")
        return reply

    async def _keep_own(self, key: str, value: str | None) -> Entry:
        async with self._keeping:
            entry = self._map.write(key, value, self._writer, self._wall())
            await self._disk.append([entry], self._map)
            self._map.merge([entry])
        return entry

    async def _keep(self, entries: Iterable[Entry]) -> None:
        """On the disk first: only what is in the map is told to others."""
        async with self._keeping:
            news = self._map.news(entries, self._wall())
            if news:
                await self._disk.append(news, self._map)
                self._map.merge(news)
                # Or nodes would hand an old tombstone to each other for ever.
                self._map.forget_tombstones(self._wall(), news)
