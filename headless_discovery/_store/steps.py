"""The steps of a call of `Peers`, and the shell that carries them out."""

import math
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar

if TYPE_CHECKING:
    from .._api.protocol import Watch
    from .._api.server import EndpointSlices

_T = TypeVar("_T")


class Share(NamedTuple):
    """Lead a lookup, or wait for the end of the one in progress."""

    until: float = math.inf
    """The caller's deadline; a lookup that it leads is then cancelled."""


class Wait(NamedTuple):
    """Wait until it is over, or until then."""

    over: Callable[[], bool]
    until: float = math.inf


Step = Share | Wait
Call = Generator[Step, None, _T]


class Driver(Protocol):
    """The shell, as far as a store knows it."""

    def runs(self) -> bool:
        """Whether background refresh runs; a thread that has ended is replaced."""
        ...

    def landed(self) -> None:
        """Something was learnt: wakes all that wait, and calls those who listen."""
        ...

    def follow(self, slices: "EndpointSlices", watch: "Watch") -> Any:
        """What follows slices in a thread or task, once it is started."""
        ...
