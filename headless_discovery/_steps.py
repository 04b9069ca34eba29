"""One lookup as steps: asking, waiting, an outcome. A shell carries the steps out.

This is where the pure lookup meets the name servers, and where sync, async and fake time part: the
shells differ only in how they carry out a `Converse`.
"""

from collections.abc import Awaitable, Callable, Generator, Sequence
from typing import TypeVar

import attrs

from ._exchange import Asking, Reply, Server, ask
from ._outcomes import Outcome
from ._questions import Lookup
from ._service import ServiceName

_T = TypeVar("_T")


@attrs.frozen
class Converse:
    """Hold these conversations side by side until each has its reply, or the time is over."""

    asks: Sequence[Asking]
    deadline: float
    """On the store's clock."""


Steps = Generator[Converse, Sequence[Reply], _T]


def steps_of(
    lookup: Lookup,
    service: ServiceName,
    servers: Sequence[Server],
    edns: int,
    deadline: float,
) -> Steps[Outcome]:
    """The lookup's questions, each put to the name servers."""
    try:
        questions = next(lookup)
        while True:
            asks = [ask(question, service, servers, edns) for question in questions]
            questions = lookup.send((yield Converse(asks, deadline)))
    except StopIteration as done:
        outcome: Outcome = done.value
        return outcome


def carry_out(steps: Steps[_T], converse: Callable[[Converse], Sequence[Reply]]) -> _T:
    """Carries the steps out, blocking."""
    try:
        step = next(steps)
        while True:
            step = steps.send(converse(step))
    except StopIteration as done:
        result: _T = done.value
        return result


async def carry_out_async(
    steps: Steps[_T], converse: Callable[[Converse], Awaitable[Sequence[Reply]]]
) -> _T:
    """Carries the steps out, awaiting."""
    try:
        step = next(steps)
        while True:
            step = steps.send(await converse(step))
    except StopIteration as done:
        result: _T = done.value
        return result
