"""Selection: which of the endpoints a call goes to.

Pure: endpoints, times and randomness come in. It knows no DNS, waits for nothing, and does not
know what is done with the endpoint that it gives.
"""

from .budget import Budget
from .choosing import UNMADE, Choice, Chooser, Random, RoundRobin, Strategy, strategy_from
from .ejection import Ejection
from .load import LeastLoaded, Session
from .sticky import Key, Sticky

__all__ = [
    "UNMADE",
    "Budget",
    "Choice",
    "Chooser",
    "Ejection",
    "Key",
    "LeastLoaded",
    "Random",
    "RoundRobin",
    "Session",
    "Sticky",
    "Strategy",
    "strategy_from",
]
