"""Runs many seeds, and prints what they came to. See `scripts/simulate --help`."""

import argparse
import collections
import concurrent.futures
import logging
import os
import statistics
import sys
import time
from pathlib import Path

from . import load, picture, zones
from .world import Result, World

DOCS = Path(__file__).parent.parent.parent / "docs"
PICTURE = DOCS / "images" / "membership.svg"
QUEUES = DOCS / "figures" / "queues.svg"
EVERY = {100: 125, 10: 5}
"""Every so many seeds run with so many nodes; the others with 3."""


def nodes_of(seed: int) -> int:
    return next((nodes for nodes, every in EVERY.items() if seed % every == 0), 3)


def run(seed: int) -> Result:
    logging.getLogger("headless_discovery").setLevel(logging.ERROR)  # outages are no news here
    return World(seed, nodes_of(seed)).run()


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="scripts/simulate",
        description="Nodes that find one another by this library, on a fake clock, through outages "
        "of DNS, rolling updates, new addresses, and scaling to zero and back.",
    )
    parser.add_argument(
        "what",
        nargs="?",
        choices=("nodes", "load", "zones"),
        default="nodes",
        help="nodes that find one another (default), or how long calls take, by strategy or zone",
    )
    parser.add_argument("--seeds", type=int, default=1000, help="how many seeds (1000)")
    parser.add_argument("--first", type=int, default=1, help="the first of them (1)")
    parser.add_argument("--seed", type=int, help="replays this one, and tells what happens")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes")
    parser.add_argument(
        "--picture", action="store_true", help="draws one story for the documents instead"
    )
    given = parser.parse_args()
    if given.what == "zones":
        print("\n".join(zones.table()))
        return 0
    if given.what == "load":
        told = list(load.tell())
        print(load.table(told))
        if given.picture:
            load.draw(told, QUEUES)
            QUEUES.with_suffix(".inc").write_text(load.table(told))
        return 0
    if given.picture:
        story = picture.tell()
        print(picture.table(story))
        picture.draw(story, PICTURE)
        return 0
    if given.seed is not None:
        result = World(given.seed, nodes_of(given.seed), print).run()
        return report([result])
    began = time.monotonic()
    seeds = range(given.first, given.first + given.seeds)
    # The longest first, so that no process is left with one of them at the end.
    seeds_in_order = sorted(seeds, key=nodes_of, reverse=True)
    with concurrent.futures.ProcessPoolExecutor(given.jobs) as pool:
        results = list(pool.map(run, seeds_in_order, chunksize=1))
    failed = report(results)
    print(f"{len(results)} seeds in {time.monotonic() - began:.0f} s")
    return failed


def report(results: list[Result]) -> int:
    by_nodes: dict[int, list[Result]] = collections.defaultdict(list)
    for result in results:
        by_nodes[result.nodes].append(result)
    print("nodes  seeds  to full membership (s)   lookups      queries   shown after leaving (s)")
    print("               median   p99   worst   /node/min    /node/min      worst")
    for nodes, group in sorted(by_nodes.items()):
        full = sorted(seconds for result in group for seconds in result.full)
        minutes = sum(result.node_seconds for result in group) / 60
        print(
            f"{nodes:5}  {len(group):5}  {statistics.median(full):6.1f}"
            f"  {full[int(len(full) * 0.99)]:6.1f}  {full[-1]:6.1f}"
            f"  {sum(result.lookups for result in group) / minutes:9.2f}"
            f"  {sum(result.queries for result in group) / minutes:11.2f}"
            f"  {max(result.longest_gone for result in group):12.1f}"
        )
    bad = [result for result in results if result.problems]
    for result in bad:
        print(f"seed {result.seed} ({result.nodes} nodes) failed: {result.problems[0]}")
        print(f"  replay it: scripts/simulate --seed {result.seed}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
