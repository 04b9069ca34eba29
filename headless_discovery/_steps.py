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
_Asked = TypeVar("_Asked")
_Said = TypeVar("_Said")


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


def carry_out(asking: Generator[_Asked, _Said, _T], answer: Callable[[_Asked], _Said]) -> _T:
    """Answers all that it asks, blocking: the steps of a lookup, a conversation's messages."""
    try:
        asked = next(asking)
        while True:
            asked = asking.send(answer(asked))
    except StopIteration as done:
        result: _T = done.value
        return result


async def carry_out_async(
    asking: Generator[_Asked, _Said, _T], answer: Callable[[_Asked], Awaitable[_Said]]
) -> _T:
    """The same, awaiting."""
    try:
        asked = next(asking)
        while True:
            asked = asking.send(await answer(asked))
    except StopIteration as done:
        result: _T = done.value
        return result
