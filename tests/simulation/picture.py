"""Membership over time through an outage and a rolling update, as a table and a picture.

Three who look at the same Service: DNS itself, a straightforward client whose set is always the
last answer (and nobody, if there was none), and this library. The same bytes each time.
"""

import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path

import attrs
import dns.message
import dns.rcode
import dns.rdatatype

from benchmarks._plot import drawing
from headless_discovery import Snapshot
from headless_discovery.testing import FakeCluster

PODS = 5
OUTAGE = range(60, 120)
"""Seconds in which DNS answers SERVFAIL."""
UPDATE = 180
"""When the rolling update begins."""
AWAY, BETWEEN = 9, 15
"""Seconds: how long a pod is away, and from one pod to the next."""
END = 300
ASKS_EVERY = 5
"""Seconds: the straightforward client."""

_NAME = "web.default.svc.cluster.local"
_HERE, _DEPARTING, _GONE = "here", "departing", "gone"

Row = Mapping[str, str]
"""What somebody believes of each pod in one second."""


@attrs.frozen
class Story:
    """What happened, second by second."""

    published: list[Row]
    said: list[Row]
    naive: list[Row]
    library: list[Row]

    def wrong(self, believed: list[Row]) -> tuple[int, int]:
        """Seconds, summed over the pods: published and not shown; not published and shown."""
        pairs = [
            (was[pod] == _HERE, told[pod] != _GONE)
            for was, told in zip(self.published, believed, strict=True)
            for pod in was
        ]
        return pairs.count((True, False)), pairs.count((False, True))


def tell() -> Story:
    cluster = FakeCluster(ttl=5)
    service = cluster.add_service("web", ports={"peer": 7000})
    pods = dict(enumerate(service.scale(PODS)))
    names = [pod.hostname for pod in pods.values()]
    story = Story([], [], [], [])
    naive: frozenset[str] = frozenset()
    with cluster.peers("web", port="peer") as web:
        for second in range(END):
            if second == OUTAGE.start:
                cluster.fail("servfail")
            if second == OUTAGE.stop:
                cluster.heal()
            number, phase = divmod(second - UPDATE, BETWEEN)
            number = PODS - 1 - number  # the highest first, as a StatefulSet does it
            if number in range(PODS) and second >= UPDATE:
                if phase == 0:
                    pods.pop(number).delete()
                if phase == AWAY:
                    pods[number] = service.add_pod(f"10.0.1.{number}", hostname=names[number])
            cluster.clock.advance(1)
            said = ask(cluster)
            if second % ASKS_EVERY == 0:
                naive = said
            story.published.append(_row(names, {pod.hostname for pod in pods.values()}))
            story.said.append(_row(names, said))
            story.naive.append(_row(names, naive))
            story.library.append(_believed(names, web.snapshot))
    return story


def ask(cluster: FakeCluster) -> frozenset[str]:
    """As many a program does: an answer is the set, and no answer is nobody."""
    query = dns.message.make_query(_NAME, dns.rdatatype.SRV, use_edns=0, payload=1232)
    wire = cluster.answer(query.to_wire())
    if wire is None:
        return frozenset()
    reply = dns.message.from_wire(wire)
    if reply.rcode() != dns.rcode.NOERROR:
        return frozenset()
    return frozenset(record.target.labels[0].decode() for rrset in reply.answer for record in rrset)


def _row(names: list[str], here: frozenset[str] | set[str]) -> Row:
    return {name: _HERE if name in here else _GONE for name in names}


def _believed(names: list[str], snapshot: Snapshot) -> Row:
    departing = {endpoint.hostname for endpoint in snapshot.departing}
    shown = {endpoint.hostname for endpoint in snapshot.endpoints}
    return {
        name: _DEPARTING if name in departing else _HERE if name in shown else _GONE
        for name in names
    }


def table(story: Story) -> str:
    lines = ["who                      published, not shown   not published, shown"]
    for who, believed in (
        ("the last answer's set", story.naive),
        ("this library", story.library),
    ):
        missing, extra = story.wrong(believed)
        lines.append(f"{who:24} {missing:12} s         {extra:12} s")
    return "\n".join([*lines, f"(summed over {PODS} pods, in {END} s)"])


def draw(story: Story, path: Path) -> None:
    panels = {
        "what DNS said": story.said,
        "what a naive client believed": story.naive,
        "what this library believed": story.library,
    }
    with drawing(path, width=9, height=6, panels=len(panels)) as all_axes:
        for axes, (title, rows) in zip(all_axes, panels.items(), strict=True):
            axes.axvspan(OUTAGE.start, OUTAGE.stop, color="#f4cccc", zorder=0)
            axes.axvspan(UPDATE, UPDATE + PODS * BETWEEN, color="#eeeeee", zorder=0)
            for height, pod in enumerate(rows[0]):
                for colour, kind in (("#4c72b0", _HERE), ("#dd8452", _DEPARTING)):
                    axes.broken_barh(
                        list(runs(rows, pod, kind)), (height - 0.35, 0.7), color=colour
                    )
            axes.set_yticks(range(PODS), list(rows[0]))
            axes.set(ylim=(-0.6, PODS - 0.4), xlim=(0, END))
            axes.set_title(title, loc="left", fontsize=10)
        all_axes[-1].set_xlabel(
            "seconds; red: DNS fails (SERVFAIL); grey: a rolling update; orange: departing"
        )


def runs(rows: list[Row], pod: str, kind: str) -> Iterator[tuple[int, int]]:
    """(start, length) of each stretch of seconds."""
    at = 0
    for value, group in itertools.groupby(row[pod] for row in rows):
        length = len(list(group))
        if value == kind:
            yield at, length
        at += length
