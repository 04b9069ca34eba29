"""How slow this machine is just now, so that a promised time can be held on any machine."""

import time
import timeit

USUAL = 0.009
"""CPU seconds of `_turns` where the promised times were measured."""
OFF = 1.5
"""How far off a measurement may be that other processes disturb."""


def _turns() -> None:
    total = 0
    for number in range(200_000):
        total += number & 7


def allowed(seconds: float) -> float:
    """A promised time, as it is to be measured here."""
    turns = min(timeit.repeat(_turns, number=1, repeat=5, timer=time.process_time))
    return seconds * max(1.0, turns / USUAL) * OFF
