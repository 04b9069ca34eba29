"""The shapes of the figures, and three figures that are as wide as a phone: `scripts/generate`.

The state diagram is drawn from a run: a `Peers` on a fake cluster is put into each state, and each
answer of DNS is repeated until the state changes.
"""

import random
from collections.abc import Iterable
from xml.sax.saxutils import escape

from headless_discovery import DiscoveryError, Peers, Policy, State
from headless_discovery.testing import FakeCluster

INK, PALE, LINE = "#1f2937", "#f3f4f6", "#6b7280"
GREEN, AMBER, RED, BLUE = "#15803d", "#d97706", "#b91c1c", "#1d4ed8"


def svg(width: int, height: int, title: str, parts: Iterable[str], *, size: int = 13) -> str:
    """A picture with a white ground, so that it can be read on a dark page too."""
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
            f'width="{width}" height="{height}" role="img" font-family="sans-serif" '
            f'font-size="{size}" fill="{INK}">',
            f"<title>{escape(title)}</title>",
            f'<rect width="{width}" height="{height}" rx="8" fill="#ffffff"/>',
            '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" '
            f'markerHeight="7" orient="auto"><path d="M0 0 L8 4 L0 8 z" fill="{LINE}"/>'
            "</marker></defs>",
            *parts,
            "</svg>\n",
        ]
    )


def text(x: float, y: float, words: str, *, anchor: str = "start", style: str = "") -> str:
    """Words; ``style`` is more attributes."""
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}" {style}>{escape(words)}</text>'


def bar(x: float, y: float, width: float, height: float, fill: str, *, style: str = "") -> str:
    """A rectangle."""
    return (
        f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" fill="{fill}" {style}/>'
    )


def box(x: float, y: float, width: float, *lines: str, fill: str = PALE) -> str:
    """A rectangle with words in its middle."""
    height = 18 * len(lines) + 14
    return "\n".join(
        [
            bar(x, y, width, height, fill, style=f'stroke="{LINE}" rx="6"'),
            *(
                text(x + width / 2, y + 20 + 18 * n, line, anchor="middle")
                for n, line in enumerate(lines)
            ),
        ]
    )


def arrow(x1: float, y1: float, x2: float, y2: float, *, dashed: bool = False) -> str:
    """An arrow."""
    dashes = 'stroke-dasharray="5 4"' if dashed else ""
    return (
        f'<line x1="{x1:g}" y1="{y1:g}" x2="{x2:g}" y2="{y2:g}" stroke="{LINE}" '
        f'stroke-width="1.5" marker-end="url(#tip)" {dashes}/>'
    )


class Even(random.Random):
    """Chance that is always in the middle, so that the figure tells of rules and not of luck."""

    def random(self) -> float:
        """In the middle."""
        return 0.5


PODS, NONE, FAILS = "pods listed", "no pods", "DNS fails"
"""What DNS answers."""


def peers_after(answers: Iterable[str]) -> tuple[FakeCluster, Peers]:
    """A `Peers` after one lookup with each of these answers."""
    cluster = FakeCluster(ttl=5)
    cluster.add_service("web", ports={"http": 8080}).scale(2)
    peers = cluster.peers("web", port="http", rng=Even())
    for answer in answers:
        look_up(cluster, peers, answer)
    return cluster, peers


def look_up(cluster: FakeCluster, peers: Peers, answer: str) -> None:
    """One more lookup, with this answer."""
    cluster.heal()
    if answer == FAILS:
        cluster.fail("servfail")
    for pod in cluster.service("web").pods:
        pod.ready = answer == PODS
    cluster.clock.advance(2)
    try:
        peers.refresh()
    except DiscoveryError:
        if answer == PODS:
            raise


def transitions() -> dict[tuple[State, str], tuple[State, float]]:
    """From each state, by each answer: the next state, and the seconds until then."""
    found: dict[tuple[State, str], tuple[State, float]] = {}
    ways: dict[State, list[str]] = {State.PENDING: []}
    for state, way in ways_to_all(ways):
        for answer in (PODS, NONE, FAILS):
            cluster, peers = peers_after(way)
            began = cluster.clock.now()
            for _ in range(30):
                look_up(cluster, peers, answer)
                if peers.snapshot.state is not state:
                    break
            reached = peers.snapshot.state
            found[state, answer] = reached, cluster.clock.now() - began
            ways.setdefault(reached, [*way, answer])
    return found


def ways_to_all(ways: dict[State, list[str]]) -> Iterable[tuple[State, list[str]]]:
    """The states in the order in which they are found, also while that goes on."""
    done: set[State] = set()
    while left := [state for state in ways if state not in done]:
        done.add(left[0])
        yield left[0], ways[left[0]]


PLACES = {
    State.PENDING: (130, 20, LINE), State.LIVE: (10, 210, GREEN),
    State.STALE: (250, 210, AMBER), State.EMPTY: (130, 400, RED),
}  # fmt: skip
LINES = {
    (State.PENDING, State.LIVE): (150, 84, 80, 206),
    (State.PENDING, State.EMPTY): (200, 84, 200, 396),
    (State.LIVE, State.STALE): (150, 228, 246, 228),
    (State.STALE, State.LIVE): (250, 254, 154, 254),
    (State.STALE, State.EMPTY): (330, 274, 258, 396),
    (State.EMPTY, State.STALE): (230, 400, 302, 278),
    (State.EMPTY, State.LIVE): (150, 400, 80, 278),
}
"""Where the arrows are; a transition that is not here has to be given a place."""
LABELS = {
    (State.PENDING, State.LIVE): (66, 140), (State.PENDING, State.EMPTY): (200, 140),
    (State.LIVE, State.STALE): (200, 218), (State.STALE, State.LIVE): (200, 272),
    (State.STALE, State.EMPTY): (337, 352), (State.EMPTY, State.STALE): (236, 330),
    (State.EMPTY, State.LIVE): (66, 352),
}  # fmt: skip


def states() -> str:
    """The states of a snapshot, and which answers of DNS lead from one to the other."""
    stays: dict[State, list[str]] = {state: [] for state in State}
    moves: dict[tuple[State, State], list[str]] = {}
    for (state, answer), (reached, seconds) in transitions().items():
        if reached is state:
            stays[state].append(answer)
        else:
            grace = Policy().empty_grace
            words = answer if seconds < grace else f"{answer} for {grace:g} s"
            moves.setdefault((state, reached), []).append(words)
    parts = [arrow(*LINES[move]) for move in moves]
    for move, answers in moves.items():
        x, y = LABELS[move]
        for line, answer in enumerate(answers):
            parts += label(x, y - 16 * (len(answers) - 1 - line), answer)
    for state, (x, y, colour) in PLACES.items():
        parts += [
            bar(x, y, 140, 64, "#ffffff", style=f'stroke="{colour}" stroke-width="2" rx="6"'),
            text(x + 70, y + 26, state.name, anchor="middle", style='font-weight="bold"'),
            text(x + 70, y + 48, f"while {' or '.join(stays[state])}", anchor="middle"),
        ]
    return svg(400, 484, "The states of a snapshot", parts, size=14)


def label(x: float, y: float, words: str) -> list[str]:
    """Words in the middle of a line, on white."""
    width = 7 * len(words)
    return [bar(x - width / 2, y - 13, width, 18, "#ffffff"), text(x, y, words, anchor="middle")]


def refresh() -> str:
    """How a refresh goes, from top to bottom."""
    parts = [
        box(90, 16, 220, "the TTL expires,", "or an attempt failed"),
        arrow(200, 66, 200, 88),
        box(90, 90, 220, "one lookup for all callers:", "SRV, then A and AAAA if needed"),
        *(arrow(200, 140, x, 176) for x in (70, 200, 330)),
        *(
            box(x, 178, 120, *lines)
            for x, lines in (
                (10, ("all pods", "listed")),
                (140, ("no pods, from", "the cluster's DNS")),
                (270, ("failed or", "incomplete")),
            )
        ),
        *(arrow(x, 228, x, 262) for x in (70, 200, 330)),
        box(10, 264, 120, "new: at once,", "missing:", "departing until", "confirmed"),
        box(
            140,
            264,
            120,
            "keep them until",
            "confirmed for",
            "30 s; then there",
            "are none",
        ),
        box(270, 264, 120, "keep the last", "ones; look up", "again with", "backoff"),
        *(arrow(x, 350, 200 + (x - 200) / 3, 384) for x in (70, 200, 330)),
        box(90, 386, 220, "a new snapshot, and a change", "for watch() and on_change()"),
    ]
    return svg(400, 450, "How a refresh goes", parts)


def meeting() -> str:
    """Where sources, membership and selection meet."""
    bold = 'font-weight="bold"'
    parts = [
        *(box(x, 16, 120, *lines) for x, lines in (
            (10, ("DNS", "lookups")), (140, ("EndpointSlices", "a watch")),
            (270, ("Peers.static", "a list")),
        )),
        *(arrow(x, 66, 200 + (x - 200) / 3, 96) for x in (70, 200, 330)),
        text(330, 92, "outcomes", anchor="middle"),
        box(90, 98, 220, "membership", "adds, keeps, removes", fill="#dbeafe"),
        arrow(200, 148, 200, 184),
        text(208, 172, "a snapshot"),
        box(90, 186, 220, "selection", "strategy, zone, ejection", fill="#dcfce7"),
        arrow(150, 236, 150, 272),
        text(142, 260, "an endpoint", anchor="end"),
        arrow(250, 272, 250, 238),
        text(258, 260, "how the call went"),
        box(90, 274, 220, "your call", "use, attempts, clients"),
        text(200, 352, "A Peers holds all three.", anchor="middle", style=bold),
    ]  # fmt: skip
    return svg(400, 370, "Where sources, membership and selection meet", parts)
