"""The steps of a call of `Peers`, which a shell carries out."""

import math
from collections.abc import Callable, Generator
from typing import NamedTuple, TypeVar

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
