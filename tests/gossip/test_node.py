"""A node, tested as an app that uses the library is: real peers on a `FakeCluster`.

Only the wire between nodes is replaced here, by a dict of who is at which address.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable

import pytest

from examples.gossip.entries import MAX_VERSION, Entry, Map, highest
from examples.gossip.messages import Look, Reply, Request, Swap
from examples.gossip.node import READY_FOR, Node, NotAcknowledgedError, PeerError
from headless_discovery import Endpoint
from headless_discovery.testing import FakeCluster, FakePod

pytestmark = pytest.mark.slow


class Memory:
    """A disk."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.full = False

    def load(self) -> list[Entry]:
        return list(self.entries)

    async def append(self, entries: Iterable[Entry], _held: Map) -> None:
        if self.full:
            raise OSError(28, "No space left on device")
        self.entries.extend(entries)


class Cluster:
    """Nodes behind one headless Service."""

    def __init__(self, size: int) -> None:
        self.fake = FakeCluster()
        self.clock = self.fake.clock
        self.service = self.fake.add_service("gossip", ports={"http": 8080}, publish_not_ready=True)
        self.at: dict[str, Node] = {}
        self.disks: dict[str, Memory] = {}
        for pod in self.service.scale(size):
            self.start(pod)

    def start(self, pod: FakePod) -> Node:
        disk = self.disks.setdefault(pod.name, Memory())
        # This is all it takes: the pod's own view of the cluster, by the real library.
        peers = pod.aio.peers("gossip", port="http", include_self=False)
        node = Node(
            pod.name,
            peers,
            self,
            disk,
            clock=self.clock,
            wall=self.clock.now,
            rng=random.Random(0),
        )
        self.at[pod.addresses[0]] = node
        return node

    @property
    def nodes(self) -> list[Node]:
        return [self.at[pod.addresses[0]] for pod in self.service.pods]

    def silence(self, node: Node) -> None:
        """It is still published, but does not answer."""
        self.at = {address: other for address, other in self.at.items() if other is not node}

    async def ask(self, peer: Endpoint, request: Request) -> Reply:
        """The transport of all of them."""
        if peer.address not in self.at:
            raise PeerError(f"nobody is at {peer}")
        return await self.at[peer.address].answer(request)


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        await scenario()

    asyncio.run(main())


def values(nodes: Iterable[Node], key: str) -> list[str | None]:
    """What each holds by itself."""
    return [None if (held := node.held(key)) is None else held.value for node in nodes]


# Writing.


def test_a_write_is_acknowledged_once_a_second_node_holds_it_on_its_disk() -> None:
    async def scenario() -> None:
        cluster = Cluster(5)
        await cluster.nodes[0].put("a", "1")
        assert sorted(values(cluster.nodes, "a"), key=str) == ["1", "1", None, None, None]
        assert sum(len(disk.entries) for disk in cluster.disks.values()) == 2

    run(scenario)


def test_a_write_that_nobody_else_can_hold_is_not_acknowledged_but_kept() -> None:
    async def scenario() -> None:
        cluster = Cluster(1)
        (node,) = cluster.nodes
        with pytest.raises(NotAcknowledgedError, match="only gossip-0 holds 'a' yet"):
            await node.put("a", "1")
        assert values([node], "a") == ["1"]
        assert (node.counters.acknowledged, node.counters.unacknowledged) == (0, 1)

    run(scenario)


def test_a_peer_that_does_not_answer_is_passed_over_for_the_next() -> None:
    async def scenario() -> None:
        cluster = Cluster(4)
        writer, *others = cluster.nodes
        first = (await writer.peers.pick("a")).hostname
        cluster.silence(next(node for node in others if node.name == first))
        await writer.put("a", "1")
        assert values(others, "a").count("1") == 1

    run(scenario)


def test_an_address_that_is_this_node_s_own_by_now_acknowledges_nothing() -> None:
    async def scenario() -> None:
        cluster = Cluster(2)
        node, other = cluster.nodes
        cluster.at = dict.fromkeys(cluster.at, node)
        with pytest.raises(NotAcknowledgedError, match="is this node itself"):
            await node.put("a", "1")
        assert values([other], "a") == [None]

    run(scenario)


def test_the_later_write_wins_wherever_it_was_made() -> None:
    async def scenario() -> None:
        cluster = Cluster(5)
        for number in range(10):
            await cluster.nodes[number % 5].put("a", str(number))
        for node in cluster.nodes:
            entry = await node.get("a")
            assert entry is not None
            assert entry.value == "9"

    run(scenario)


def test_a_node_that_lost_its_disk_stamps_no_other_write_with_a_stamp_it_gave_before() -> None:
    async def scenario() -> None:
        cluster = Cluster(2)
        before = await cluster.nodes[0].put("a", "1")
        cluster.disks["gossip-0"].entries.clear()
        cluster.at.clear()
        again = cluster.start(cluster.service.pods[0])
        again._writer += "'"  # the tests' chance is the same each time; a real one's is not
        with pytest.raises(NotAcknowledgedError):
            await again.put("a", "2")
        after = again.held("a")
        assert after is not None
        assert after.version == before.version
        assert after.stamp != before.stamp

    run(scenario)


def test_a_full_disk_acknowledges_nothing_and_ends_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def scenario() -> None:
        cluster = Cluster(2)
        node, other = cluster.nodes
        tasks = await life(cluster, node, other)
        await other.put("before", "1")
        for disk in cluster.disks.values():
            disk.full = True
        with pytest.raises(NotAcknowledgedError, match=r"cannot keep 'a': .*No space left"):
            await node.put("a", "1")
        cluster.disks["gossip-1"].full = False
        await other._keep([Entry("b", "1", 9, "x")])
        await cluster.clock.advance_async(30)
        assert not any(task.done() for task in tasks)
        assert values([node], "b") == [None]
        assert "gossip-0 cannot keep what" in caplog.text
        entry = await node.get("b")
        assert entry is None, "it is told as it is held here"
        cluster.disks["gossip-0"].full = False
        await cluster.clock.advance_async(5)
        assert values([node], "b") == ["1"]
        await node.put("a", "1")
        await end(tasks)

    run(scenario)


def test_one_message_about_the_far_future_stops_no_write() -> None:
    async def scenario() -> None:
        cluster = Cluster(3)
        node, other, third = cluster.nodes
        for version in (MAX_VERSION - 1, MAX_VERSION // 2, int(highest(cluster.clock.now())) + 1):
            await node.answer(Swap("evil", (Entry("a", "evil", version, "evil"),)))
            assert values([node], "a") == [None]
        await node.answer(Swap("evil", (Entry("a", "evil", int(highest(0)), "evil"),)))
        for number in range(5):
            await node.put("a", str(number))
            await other.put("b", str(number))
        await third.delete("a")
        again = cluster.start(cluster.service.pods[0])
        assert values([again], "a") != ["evil"]

    run(scenario)


# Reading.


def test_a_read_finds_at_any_node_what_was_written_at_any_other_before_they_gossip() -> None:
    async def scenario() -> None:
        cluster = Cluster(5)
        for number in range(50):
            key = f"key-{number}"
            await cluster.nodes[number % 5].put(key, "here")
            for node in cluster.nodes:
                entry = await node.get(key)
                assert entry is not None, (key, node.name)

    run(scenario)


def test_a_deleted_key_is_gone_for_every_reader() -> None:
    async def scenario() -> None:
        cluster = Cluster(3)
        one, other, third = cluster.nodes
        await one.put("a", "1")
        await other.delete("a")
        entry = await third.get("a")
        assert entry is not None
        assert entry.value is None

    run(scenario)


def test_a_read_that_reaches_nobody_tells_what_is_held_here() -> None:
    async def scenario() -> None:
        cluster = Cluster(2)
        node, other = cluster.nodes
        await node.put("a", "1")
        cluster.silence(other)
        entry = await node.get("a")
        assert entry is not None
        assert entry.value == "1"

    run(scenario)


# Gossip.


def test_a_few_rounds_of_gossip_bring_everything_to_all() -> None:
    async def scenario() -> None:
        cluster = Cluster(5)
        for number, node in enumerate(cluster.nodes):
            await node.put(f"key-{number}", "x")
        for _ in range(4):
            for node in cluster.nodes:
                await node.gossip()
        assert {node.view().fingerprint for node in cluster.nodes} == {
            cluster.nodes[0].view().fingerprint
        }
        assert [node.view().keys for node in cluster.nodes] == [5] * 5

    run(scenario)


def test_what_is_on_the_disk_is_there_after_a_restart() -> None:
    async def scenario() -> None:
        cluster = Cluster(2)
        await cluster.nodes[0].put("a", "1")
        again = cluster.start(cluster.service.pods[0])
        assert values([again], "a") == ["1"]

    run(scenario)


def test_old_tombstones_are_forgotten_as_it_gossips() -> None:
    async def scenario() -> None:
        cluster = Cluster(2)
        node, other = cluster.nodes
        await node.delete("a")
        assert values([node], "a") == [None]
        await cluster.clock.advance_async(8 * 86_400)
        await node.gossip()
        await other.gossip()
        await node.gossip()
        assert (node.held("a"), other.held("a")) == (None, None)

    run(scenario)


# Its life.


async def life(cluster: Cluster, *nodes: Node) -> list["asyncio.Task[None]"]:
    tasks = [asyncio.create_task(node.run()) for node in nodes]
    await cluster.clock.advance_async(5)
    return tasks


async def end(tasks: Iterable["asyncio.Task[None]"]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


def test_nodes_that_are_not_ready_find_each_other_and_become_ready() -> None:
    async def scenario() -> None:
        cluster = Cluster(3)
        for pod in cluster.service.pods:
            pod.ready = False
        assert not any(node.ready for node in cluster.nodes)
        tasks = await life(cluster, *cluster.nodes)
        assert all(node.ready for node in cluster.nodes)
        await end(tasks)

    run(scenario)


def test_alone_it_waits_for_another_and_is_not_ready() -> None:
    async def scenario() -> None:
        cluster = Cluster(1)
        (first,) = cluster.nodes
        tasks = await life(cluster, first)
        await cluster.clock.advance_async(60)
        assert not first.ready
        second = cluster.start(cluster.service.scale(2)[1])
        tasks += await life(cluster, second)
        await cluster.clock.advance_async(10)
        assert first.ready
        assert second.ready
        await end(tasks)

    run(scenario)


@pytest.mark.parametrize("failure", ["servfail", "timeout", "truncate", "garbage"])
def test_when_dns_fails_it_goes_on_with_the_peers_it_knows(failure: str) -> None:
    async def scenario() -> None:
        cluster = Cluster(3)
        tasks = await life(cluster, *cluster.nodes)
        cluster.fake.fail(failure)  # type: ignore[arg-type] # one of the list above
        await cluster.clock.advance_async(300)
        node = cluster.nodes[0]
        assert (node.view().state, node.ready) == ("stale", True)
        await node.put("a", "1")
        await end(tasks)

    run(scenario)


def test_it_is_not_ready_once_nobody_was_reached_for_a_while() -> None:
    async def scenario() -> None:
        cluster = Cluster(2)
        node, other = cluster.nodes
        tasks = await life(cluster, *cluster.nodes)
        cluster.silence(other)
        await cluster.clock.advance_async(READY_FOR / 2)
        assert node.ready
        await cluster.clock.advance_async(READY_FOR)
        assert not node.ready
        await end(tasks)

    run(scenario)


def test_what_it_alone_holds_it_tells_before_it_leaves() -> None:
    async def scenario() -> None:
        cluster = Cluster(2)
        node, other = cluster.nodes
        tasks = await life(cluster, node)
        await node.answer(Swap("client", (Entry("a", "1", 1, "x"),)))
        await end(tasks)
        assert values([other], "a") == ["1"]

    run(scenario)


def test_it_gathers_how_all_see_the_cluster_from_those_that_answer() -> None:
    async def scenario() -> None:
        cluster = Cluster(3)
        node, _, silent = cluster.nodes
        await node.peers.endpoints()
        cluster.silence(silent)
        assert [view.node for view in await node.views()] == ["gossip-0", "gossip-1"]
        assert node.view().knows == ("gossip-1", "gossip-2")
        assert await node.answer(Look("client")) == node.view()

    run(scenario)
