"""``demo``: a cluster's life in some seconds, as `Peers` sees it, on the fake cluster."""

import contextlib
from collections.abc import Iterator
from typing import TextIO

import attrs

from .._endpoint import Snapshot, difference
from .._time.clock import Clock
from ..testing import FakeCluster, FakeService
from ._options import FOUND, Arguments
from ._show import Moment, lines_of, state_text

_SPEED = 20
"""Seconds of the cluster in one of ours."""


def run(arguments: Arguments, out: TextIO) -> int:
    """Shows the tour."""
    with contextlib.suppress(KeyboardInterrupt):
        if not arguments.plain and out.isatty():
            with contextlib.suppress(ImportError):  # rich is an extra
                from ._live import can_draw, show_tour  # noqa: PLC0415 - which needs it

                if can_draw(out):
                    show_tour(tour(), out, lambda: Clock().sleep(1 / _SPEED))
                    return FOUND
        write_text(tour(), out)
    return FOUND


def tour() -> Iterator[Moment]:
    """The story, second by second; always the same."""
    cluster = FakeCluster()
    gossip = cluster.add_service("gossip", ports={"swim": 7946})
    elapsed, seen = 0, Snapshot()
    with cluster.peers("gossip", port="swim") as peers:
        for title, seconds in story(cluster, gossip):
            for _ in range(seconds):
                yield Moment(elapsed, title, difference(seen.endpoints, peers.snapshot), peers)
                seen = peers.snapshot
                cluster.clock.advance(1)
                elapsed += 1


def story(cluster: FakeCluster, gossip: FakeService) -> Iterator[tuple[str, int]]:
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
    for number, pod in enumerate(reversed(gossip.pods)):
        pod.ready = False
        yield "Rolling update: pods restart one by one, with the same names and new addresses.", 4
        pod.move_to(f"10.244.1.{number + 1}")
        pod.ready = True
        yield "Rolling update: pods restart one by one, with the same names and new addresses.", 8
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


def write_text(moments: Iterator[Moment], out: TextIO) -> None:
    """Lines of text, as fast as it goes."""
    title = ""
    state: tuple[object, ...] = ()
    for moment in moments:
        snapshot, at = moment.change.snapshot, f"{moment.elapsed:4} s"
        if moment.title != title:
            title = moment.title
            print(f"\n{title}", file=out)
        for line in lines_of(moment.change):
            print(f"{at}  {line}", file=out)
        now = (snapshot.state, len(snapshot.endpoints), len(snapshot.departing))
        if now != state:
            state = now
            departing = f", {len(snapshot.departing)} departing" if snapshot.departing else ""
            print(f"{at}  {state_text(attrs.evolve(snapshot, reason=None))}{departing}", file=out)
