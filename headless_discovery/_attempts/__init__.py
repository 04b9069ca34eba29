"""Calls of endpoints: what an error says, one use of an endpoint, attempts on several, clients.

It decides; the shells wait. It knows neither DNS nor what is called.
"""

from .attempts import Attempt
from .calls import Calls, Clients
from .predicates import connection_failed, not_reached

__all__ = ["Attempt", "Calls", "Clients", "connection_failed", "not_reached"]
