"""Writes what the documents show, from what the library does: `scripts/generate`.

- Below ``<!-- recorded: STATE NAME TYPE -->`` stands what the real CoreDNS answered, from
  ``tests/recorded``.
- Below ``<!-- help: COMMAND -->`` stands what the command line takes, from its parser; below
  ``<!-- demo -->`` and ``<!-- doctor -->`` what these commands print.
- ``figures/*.svg`` are drawn, one of them from a run of the library on a fake cluster.

The same input gives the same bytes; a test holds the files equal to what is written here.
"""

import argparse
import io
import json
import os
import re
from binascii import crc32
from collections.abc import Iterator, Sequence
from pathlib import Path
from unittest import mock

import dns.message
import dns.rcode
import dns.rdatatype

from docs.pictures import (
    AMBER,
    BLUE,
    GREEN,
    LINE,
    PALE,
    RED,
    Even,
    arrow,
    bar,
    box,
    meeting,
    refresh,
    states,
    svg,
    text,
)
from headless_discovery import Endpoint, Peers, State, Sticky
from headless_discovery.__main__ import main, make_parser
from headless_discovery.testing import FakeCluster
from headless_discovery.testing._resolver import FakeResolver

DOCS = Path(__file__).parent
RECORDED = DOCS.parent / "tests" / "recorded"
MARKED = re.compile(
    r"(<!-- (recorded|help|demo|doctor)(?:: (.*?))? -->\n\n```text\n).*?(^```$)",
    re.MULTILINE | re.DOTALL,
)


def files() -> Iterator[tuple[Path, str]]:
    """Every file with something generated, and what it is to hold."""
    for page in sorted(DOCS.glob("*.md")):
        text = page.read_text()
        if MARKED.search(text):
            yield page, MARKED.sub(lambda m: m[1] + generated(m[2], m[3]) + m[4], text)
    yield DOCS / "figures" / "cluster-ip-and-headless.svg", cluster_ip_and_headless()
    yield DOCS / "figures" / "through-trouble.svg", through_trouble()
    yield DOCS / "figures" / "a-pod-leaves.svg", a_pod_leaves()
    yield DOCS / "figures" / "states.svg", states()
    yield DOCS / "figures" / "refresh.svg", refresh()
    yield DOCS / "figures" / "meeting.svg", meeting()


def generated(kind: str, of: str) -> str:
    """What stands below a mark."""
    match kind:
        case "recorded":
            return recorded(*of.split())
        case "help":
            return help_of(of)
        case "doctor":
            return a_doctors_walk()
    out = io.StringIO()
    main(["demo", "--plain"], out=out)
    return out.getvalue().lstrip()


# The command line.


def help_of(command: str) -> str:
    """What a command takes, laid out the same by every version of Python."""
    [commands] = [a for a in make_parser()._actions if isinstance(a, argparse._SubParsersAction)]
    parser = commands.choices[command]
    parts = [str(parser.usage), str(parser.description)]
    for group in parser._action_groups:
        options = [action for action in group._group_actions if action.dest != "help"]
        if options:
            lines = [f"  {invocation(action):<28}{action.help}" for action in options]
            parts.append("\n".join([f"{group.title}:", *lines]))
    return "\n\n".join([*parts, str(parser.epilog)])


def a_doctors_walk() -> str:
    """What ``doctor`` prints where a port's name is wrong; on the fake clock, and on any libc."""
    cluster = FakeCluster(ttl=30, cache=30)
    gossip = cluster.add_service("gossip", "shop", ports={"swim": (7946, "udp")})
    gossip.scale(2)
    resolver = FakeResolver(
        cluster, domain="cluster.local", namespace="shop", addresses=gossip.pods[0].addresses
    )
    out = io.StringIO()
    with (
        mock.patch("platform.libc_ver", return_value=("glibc", "2.41")),
        mock.patch.dict(os.environ, {"COLUMNS": "96"}),
    ):
        arguments = ["doctor", "gossip", "--port", "swim"]
        main(arguments, out=out, resolver=resolver, clock=cluster.clock)
    return out.getvalue()


def invocation(action: argparse.Action) -> str:
    """How an option is written."""
    names = ", ".join(action.option_strings)
    value = "" if action.nargs == 0 else str(action.metavar or action.dest.upper())
    return " ".join(filter(None, (names, value)))


# What CoreDNS answered.


def recorded(state: str, name: str, kind: str) -> str:
    """One recorded reply as text: the code, and the records that matter, section by section."""
    exchanges = json.loads((RECORDED / f"{state}.json").read_text())["exchanges"]
    [reply] = [
        dns.message.from_wire(bytes.fromhex(exchange["reply"]))
        for exchange in exchanges
        if exchange["question"]["name"] == f"{name}." and exchange["question"]["type"] == kind
        if exchange["transport"] == "udp" and exchange["edns"] == 1232
    ]
    lines = [f"{name}. {kind}?  {dns.rcode.to_text(reply.rcode())}"]
    for title, section in (
        ("answer", reply.answer),
        ("authority", reply.authority),
        ("additional", reply.additional),
    ):
        lines += [f"  {title}"] if section else []
        lines += [
            f"    {rrset.name} {rrset.ttl} {dns.rdatatype.to_text(rrset.rdtype)} {data}"
            for rrset in section
            for data in rrset
        ]
    return "".join(f"{line}\n" for line in lines)


# Figures.


def cluster_ip_and_headless() -> str:
    """The two kinds of Services, side by side."""
    bold = 'font-weight="bold"'
    pods = ("172.30.35.3", "172.30.14.3", "172.30.35.2")
    parts = [
        text(30, 34, "ClusterIP: one address, and the node picks", style=bold),
        box(30, 130, 90, "client"),
        box(170, 60, 110, "DNS"),
        box(170, 130, 110, "10.254.129.235", "virtual IP"),
        arrow(95, 128, 172, 94, dashed=True),
        arrow(120, 150, 168, 150),
        text(86, 104, "one A", anchor="middle", style='font-size="12"'),
        text(450, 34, "Headless: every address, and the client picks", style=bold),
        box(450, 130, 90, "client"),
        box(556, 60, 80, "DNS"),
        arrow(505, 128, 560, 94, dashed=True),
        text(490, 104, "SRV, A", anchor="middle", style='font-size="12"'),
    ]
    for n, pod in enumerate(pods):
        y = 60 + 52 * n
        ready = n < 2
        label = pod if ready else f"{pod}, not ready"
        parts += [
            box(320, y, 110, pod, fill=PALE if ready else "#ffffff"),
            box(720, y, 160, label, fill=PALE if ready else "#ffffff"),
        ]
        if ready:
            parts += [
                arrow(280, 150, 318, y + 18),
                arrow(540, 152, 718, y + 18),
            ]
    parts.append(
        text(
            375, 222, "not ready: left out", anchor="middle", style=f'fill="{LINE}" font-size="12"'
        )
    )
    return svg(900, 240, "A ClusterIP Service and a headless Service", parts)


def a_pod_leaves() -> str:
    """Which keys move when one of six pods leaves: by Sticky, and by a remainder."""
    pods = Peers.static([f"10.0.0.{n}" for n in range(1, 7)]).endpoints()
    left, keys, sticky = pods[2], [f"user:{n}" for n in range(600)], Sticky()

    def by_remainder(endpoints: Sequence[Endpoint], key: str) -> Endpoint:
        return endpoints[crc32(key.encode()) % len(endpoints)]

    parts = []
    stay = tuple(pod for pod in pods if pod is not left)
    for x, title, owner in ((30, "sticky", sticky.select), (480, "hash % pods", by_remainder)):
        before = {key: owner(pods, key) for key in keys}
        after = {key: owner(stay, key) for key in keys}
        moved = [key for key in keys if before[key] is not after[key]]
        told = f"{title}: {len(moved)} of {len(keys)} keys move"
        parts.append(text(x, 34, told, style='font-weight="bold"'))
        for row, pod in enumerate(pods):
            y = 56 + 30 * row
            came = sum(after[key] is pod for key in moved)
            kept = sum(after[key] is pod for key in keys) - came
            parts.append(text(x, y + 14, pod.address, style='font-size="12"'))
            if pod is left:
                parts.append(text(x + 70, y + 14, "leaves", style=f'fill="{RED}" font-size="12"'))
            parts += [
                f'<rect x="{x + 70 + start * 2}" y="{y}" width="{count * 2}" height="20" '
                f'fill="{colour}" />'
                for start, count, colour in ((0, kept, BLUE), (kept, came, AMBER))
            ]
    parts += [
        text(30, 262, "blue: keys that stay where they were", style=f'fill="{BLUE}"'),
        text(480, 262, "amber: keys that come from another pod", style=f'fill="{AMBER}"'),
    ]
    return svg(900, 280, "Which keys move when a pod leaves", parts)


class Story:
    """A Peers through eight minutes of trouble, looked at every second."""

    SECONDS = 480
    EVENTS = (
        (0, "3 pods"),
        (60, "c is deleted"),
        (120, "DNS fails"),
        (240, "DNS is back"),
        (300, "no pod is ready"),
        (420, "ready again"),
    )

    def __init__(self) -> None:
        cluster = FakeCluster(ttl=5)
        self.service = cluster.add_service("web", ports={"http": 8080})
        self.pods = dict(zip("abc", self.service.scale(3), strict=True))
        self.dns: list[str] = []
        self.states: list[State] = []
        self.published: list[set[str]] = []
        self.shown: list[dict[str, bool]] = []
        with cluster.peers("web", port="http", rng=Even()) as web:
            web.endpoints()
            for second in range(self.SECONDS):
                self._event(second, cluster)
                cluster.clock.advance(1)
                self._look(web, failing=120 <= second < 240)

    def _event(self, second: int, cluster: FakeCluster) -> None:
        match second:
            case 60:
                self.pods["c"].delete()
            case 120:
                cluster.fail("servfail")
            case 240:
                cluster.heal()
            case 300 | 420:
                for pod in (self.pods["a"], self.pods["b"]):
                    pod.ready = second == 420

    def _look(self, web: Peers, *, failing: bool) -> None:
        snapshot = web.snapshot
        self.dns.append("fails" if failing else "answers")
        self.states.append(snapshot.state)
        existing = self.service.pods
        self.published.append(
            {name for name, pod in self.pods.items() if pod in existing and pod.ready}
        )
        departing = {endpoint.hostname for endpoint in snapshot.departing}
        here = {endpoint.hostname for endpoint in snapshot.endpoints}
        self.shown.append(
            {
                name: pod.hostname in departing
                for name, pod in self.pods.items()
                if pod.hostname in here
            }
        )


def through_trouble() -> str:
    """What is published, and what a Peers shows of it, over time."""
    story = Story()
    left, scale = 130, 1.6
    colours = {State.LIVE: GREEN, State.STALE: AMBER, State.EMPTY: RED, State.PENDING: LINE}
    parts = [
        text(left + second * scale, 26 + 16 * (n % 2), words, style='font-size="12"')
        for n, (second, words) in enumerate(story.EVENTS)
    ]
    parts += [
        f'<line x1="{left + second * scale:g}" y1="48" x2="{left + second * scale:g}" y2="216" '
        f'stroke="{LINE}" stroke-dasharray="2 3"/>'
        for second, _ in story.EVENTS
    ]
    y = 56
    for name in story.pods:
        parts.append(text(20, y + 14, f"pod {name}"))
        published = [name in names for names in story.published]
        shown = [names.get(name) for names in story.shown]
        looks = {False: BLUE, True: "#93c5fd"}
        parts += strips(left, y, 8, scale, [LINE if here else None for here in published])
        parts += strips(
            left, y + 10, 12, scale, [None if one is None else looks[one] for one in shown]
        )
        y += 36
    parts.append(text(20, y + 14, "DNS"))
    parts += strips(left, y, 18, scale, [RED if one == "fails" else None for one in story.dns])
    y += 30
    parts.append(text(20, y + 14, "snapshot.state"))
    parts += strips(left, y, 18, scale, [colours[state] for state in story.states])
    began = 0
    for second, state in enumerate([*story.states[1:], None], 1):
        if state is not story.states[began]:
            if second - began > 20:
                middle = left + (began + second) / 2 * scale
                white = 'fill="#ffffff" font-size="12"'
                parts.append(
                    text(middle, y + 13, story.states[began], anchor="middle", style=white)
                )
            began = second
    y += 48
    parts += [
        text(left + second * scale, y, f"{second} s", anchor="middle", style='font-size="12"')
        for second in range(0, story.SECONDS + 1, 60)
    ]
    y += 24
    x = left
    for colour, words in (
        (LINE, "published by the Service"),
        (BLUE, "in endpoints()"),
        ("#93c5fd", "in endpoints(), departing"),
        (RED, "SERVFAIL"),
    ):
        parts += [bar(x, y - 10, 14, 10, colour), text(x + 20, y, words, style='font-size="12"')]
        x += 190
    width = int(left + story.SECONDS * scale + 40)
    return svg(width, y + 16, "What a Peers shows through trouble, second by second", parts)


def strips(
    left: float, y: float, height: float, scale: float, colours: list[str | None]
) -> Iterator[str]:
    """One bar for each run of a colour."""
    began = 0
    for second, colour in enumerate([*colours[1:], ""], 1):
        if colour != colours[began]:
            if (fill := colours[began]) is not None:
                yield bar(left + began * scale, y, (second - began) * scale, height, fill)
            began = second


if __name__ == "__main__":
    for path, content in files():
        path.write_text(content)
