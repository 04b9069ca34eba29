"""Membership: the members according to all answers so far, and the next lookup. Pure."""

from .members import WAITER_ASKS, Membership
from .policy import Policy

__all__ = ["WAITER_ASKS", "Membership", "Policy"]
