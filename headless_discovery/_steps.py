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
_Yield = TypeVar("_Yield")


@attrs.frozen
class Converse:
    """Hold these conversations side by side until each has its reply, or the time is over."""

    asks: Sequence[Asking]
    deadline: float
    """On the store's clock."""


Steps = Generator[Converse, Sequence[Reply], _T]


def resume(
    going: Generator[_Yield, Sequence[Reply], object], replies: Sequence[Reply] | None
) -> _Yield:
    """Goes on with the replies; ``None`` starts it. Raises `StopIteration` with the result."""
    return next(going) if replies is None else going.send(replies)


def steps_of(
    lookup: Lookup,
    service: ServiceName,
    servers: Sequence[Server],
    edns: int,
    deadline: float,
) -> Steps[Outcome]:
    """The lookup's questions, each put to the name servers."""
    replies: Sequence[Reply] | None = None
    while True:
        try:
            questions = resume(lookup, replies)
        except StopIteration as done:
            outcome: Outcome = done.value
            return outcome
        replies = yield Converse(
            [ask(question, service, servers, edns) for question in questions], deadline
        )


def carry_out(steps: Steps[_T], converse: Callable[[Converse], Sequence[Reply]]) -> _T:
    """Carries the steps out, blocking."""
    replies: Sequence[Reply] | None = None
    while True:
        try:
            step = resume(steps, replies)
        except StopIteration as done:
            result: _T = done.value
            return result
        replies = converse(step)


async def carry_out_async(
    steps: Steps[_T], converse: Callable[[Converse], Awaitable[Sequence[Reply]]]
) -> _T:
    """Carries the steps out, awaiting."""
    replies: Sequence[Reply] | None = None
    while True:
        try:
            step = resume(steps, replies)
        except StopIteration as done:
            result: _T = done.value
            return result
        replies = await converse(step)
