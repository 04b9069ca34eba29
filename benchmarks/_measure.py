"""Contenders measured side by side: medians, ratios within a round, targets, tables.

The machine may be loaded, so a figure alone says little. Contenders take turns within a round, and
a ratio is the median of the rounds' own ratios: what slows one round down slows all of it down.
"""

import gc
import random
import statistics
import time
from collections.abc import Callable, Mapping

import attrs

Contender = Callable[[], object]


@attrs.frozen
class Prepared:
    """A contender that is made ready for each call, before the time is taken."""

    make: Callable[[], Contender]


@attrs.frozen
class Samples:
    """Seconds for each call, one figure a round."""

    wall: list[float]
    cpu: list[float]

    def best(self, rounds: int) -> "Samples":
        """The shortest of so many rounds, in their order."""
        return Samples(sorted(self.wall)[:rounds], sorted(self.cpu)[:rounds])


@attrs.frozen
class Target:
    """A promise: one contender takes at most so many times as long as another."""

    row: str
    column: str
    than: str
    at_most: float
    wall: bool = False
    """Of wall time: where other processes do the work."""


@attrs.define
class Table:
    """Contenders by row, cases by column; every cell against ``base`` in the same column."""

    title: str
    base: str
    columns: dict[str, dict[str, Samples]] = attrs.field(factory=dict)
    targets: list[Target] = attrs.field(factory=list)
    taken: str = "Median"
    """What is shown of the rounds."""
    notes: list[str] = attrs.field(factory=list)
    """Whatever else is to be told, a line each."""

    def measure(
        self,
        column: str,
        contenders: Mapping[str, Contender | Prepared],
        *,
        rounds: int = 9,
        turn: float = 0.02,
    ) -> None:
        """Takes the figures of one column; each turn of a contender lasts about ``turn`` s."""
        self.columns.setdefault(column, {}).update(
            interleaved(contenders, rounds=rounds, turn=turn)
        )

    def promise(
        self,
        row: str,
        column: str,
        at_most: float,
        *,
        than: str | None = None,
        wall: bool = False,
    ) -> None:
        """Holds a ratio of CPU (or wall) time to a target; by default that to the base."""
        than = self.base if than is None else than
        self.targets.append(Target(row, column, than, at_most, wall))

    def ratio(self, row: str, column: str, *, than: str | None = None, cpu: bool = False) -> float:
        """The median of the rounds' ratios of one contender to another."""
        samples = self.columns[column]
        one, other = samples[row], samples[self.base if than is None else than]
        pairs = zip(one.cpu if cpu else one.wall, other.cpu if cpu else other.wall, strict=True)
        return statistics.median(a / b for a, b in pairs if b > 0)

    def difference(self, row: str, column: str, *, than: str) -> float:
        """How much longer one contender takes than another: seconds of CPU time.

        Of their quickest rounds: other load on the machine can only slow down a round.
        """
        samples = self.columns[column]
        return min(samples[row].cpu) - min(samples[than].cpu)

    def markdown(self) -> str:
        """The table, if there is one, then its targets and notes."""
        lines = [f"### {self.title}"]
        if self.columns:
            lines += [
                "",
                f"| | {' | '.join(self.columns)} |",
                f"|---|{'---:|' * len(self.columns)}",
            ]
            rows = dict.fromkeys(row for samples in self.columns.values() for row in samples)
            for row in rows:
                cells = [
                    self._cell(row, column) if row in samples else "-"
                    for column, samples in self.columns.items()
                ]
                lines.append(f"| {row} | {' | '.join(cells)} |")
            lines += ["", f"{self.taken} wall time of a call (times {self.base}: wall / CPU)."]
        if self.targets:
            lines += ["", "| target (CPU time) | wanted | measured | |", "|---|---:|---:|---|"]
            lines += [self._verdict(target) for target in self.targets]
        for note in self.notes:
            lines += ["", note]
        return "\n".join(lines)

    def _cell(self, row: str, column: str) -> str:
        wall = statistics.median(self.columns[column][row].wall)
        if self.base not in self.columns[column]:
            return duration(wall)
        return (
            f"{duration(wall)} ({self.ratio(row, column):.3g} / "
            f"{self.ratio(row, column, cpu=True):.3g})"
        )

    def _verdict(self, target: Target) -> str:
        # By CPU time: on a machine with other work, wall time tells of that.
        ratio = self.ratio(target.row, target.column, than=target.than, cpu=not target.wall)
        kind = " (wall)" if target.wall else ""
        return (
            f"| {target.row}, {target.column}, times {target.than}{kind} | "
            f"<= {target.at_most:.3g} | {ratio:.3g} | "
            f"{'met' if ratio <= target.at_most else '**missed**'} |"
        )


def interleaved(
    contenders: Mapping[str, Contender | Prepared], *, rounds: int = 9, turn: float = 0.02
) -> dict[str, Samples]:
    """Each contender once in each round, in an order drawn anew; warming up is not counted."""
    calls = {  # the most of three: a busy machine makes them fewer, and each of a few is slower
        name: max(calls_in(contender, turn) for _ in range(3))
        for name, contender in contenders.items()
    }
    samples = {name: Samples([], []) for name in contenders}
    order = list(contenders)
    for _ in range(rounds):
        random.shuffle(order)
        for name in order:
            gc.collect()
            wall, cpu = turn_of(contenders[name], calls[name])
            samples[name].wall.append(wall)
            samples[name].cpu.append(cpu)
    return samples


def turn_of(contender: Contender | Prepared, calls: int) -> tuple[float, float]:
    """Seconds of each of so many calls: wall, and CPU."""
    if isinstance(contender, Prepared):
        ready = [contender.make() for _ in range(calls)]
    else:
        ready = [contender] * calls
    cpu = time.process_time()
    wall = time.perf_counter()
    while ready:
        ready.pop()()  # what it was made ready with goes before the next one, as all results do
    return (time.perf_counter() - wall) / calls, (time.process_time() - cpu) / calls


def calls_in(contender: Contender | Prepared, seconds: float) -> int:
    """How many calls take about that long; warms up, too."""
    turn_of(contender, 1)  # the first call may make what all others use
    calls = 1
    # The quickest of three: one that other work interrupts would make it too few.
    while (taken := min(turn_of(contender, calls)[0] for _ in range(3)) * calls) < seconds / 2:
        calls = max(calls * 2, min(int(calls * seconds / max(taken, 1e-9)), calls * 100))
    return calls


def duration(seconds: float) -> str:
    """``130 ns``, ``2.13 ms``."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 1e-9:.3g} ns"
