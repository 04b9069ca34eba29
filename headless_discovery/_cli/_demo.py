"""``demo``: a cluster's life in some seconds, as `Peers` sees it, on the fake cluster."""

from collections.abc import Iterator

from .._endpoint import Snapshot, difference
from ..testing import FakeCluster, FakeService
from ._options import FOUND, Arguments
from ._show import Moment
from ._watch import drawing, print_lines

_SPEED = 20
"""Seconds of the cluster in one of ours."""


def run(arguments: Arguments) -> int:
    """Shows the tour: on a terminal at its pace, in lines of text as fast as it goes."""
    draw = drawing(arguments)
    if draw is None:
        print_lines(_tour(), arguments.out, reasons=False)
        return FOUND

    def paced() -> Iterator[Moment]:
        for moment in _tour():
            yield moment
            arguments.clock.sleep(1 / _SPEED)

    end = "The demo has ended; headless-discovery demo --plain shows it as text."
    draw(paced(), arguments.out, lambda: end)
    return FOUND


def _tour() -> Iterator[Moment]:
    """The story, second by second; always the same."""
    cluster = FakeCluster()
    gossip = cluster.add_service("gossip", ports={"swim": 7946})
    elapsed, seen = 0, Snapshot()
    with cluster.peers("gossip", port="swim") as peers:
        for title, seconds in _story(cluster, gossip):
            for _ in range(seconds):
                change = difference(seen.endpoints, peers.snapshot)
                yield Moment(f"{elapsed:4} s", change, peers, title)
                seen = change.snapshot
                cluster.clock.advance(1)
                elapsed += 1


def _story(cluster: FakeCluster, gossip: FakeService) -> Iterator[tuple[str, int]]:
    """Changes the cluster; yields what it did, and for how many seconds to watch."""
    for pod in gossip.scale(3):
        pod.ready = False
    yield "Start: three pods, none of them ready. DNS lists no pod.", 4
    for pod in gossip.pods:
        pod.ready = True
        yield "One after the other becomes ready.", 7
    yield "Nothing happens: the answer is the same.", 6
    gossip.scale(5)
    yield "Scaled to five. New pods are listed at once.", 10
    rolling = "Rolling update: pods restart one by one, with the same names and new addresses."
    for number, pod in enumerate(reversed(gossip.pods)):
        pod.ready = False
        yield rolling, 4
        pod.move_to(f"10.244.1.{number + 1}")
        pod.ready = True
        yield rolling, 8
    cluster.fail("servfail")
    yield "DNS fails. Unknown is not empty: the last answer is kept, and marked stale.", 30
    cluster.heal()
    yield "DNS is back.", 13
    cluster.fail("nxdomain")
    yield "DNS lists no pod for 15 seconds. The pods are kept until this is confirmed.", 15
    cluster.heal()
    yield "It was a DNS error: no pod was removed.", 10
    gossip.scale(3)
    yield "Scaled to three. Missing pods are departing until a second answer confirms it.", 20
