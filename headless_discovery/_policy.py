"""Policy: every number of membership and ejection, checked when it is made."""

import math
from typing import Any, Literal

import attrs

from ._errors import ConfigurationError


def _number(_policy: "Policy", attribute: "attrs.Attribute[Any]", value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ConfigurationError(f"Policy: {attribute.name} must be a number, not {value!r}")
    if value < 0:
        raise ConfigurationError(f"Policy: {attribute.name} must not be negative: {value!r}")


def _positive(_policy: "Policy", attribute: "attrs.Attribute[Any]", value: float) -> None:
    _number(_policy, attribute, value)
    if value == 0:
        raise ConfigurationError(f"Policy: {attribute.name} must be more than 0")


def _count(_policy: "Policy", attribute: "attrs.Attribute[Any]", value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ConfigurationError(
            f"Policy: {attribute.name} must be a whole number from 1 on, not {value!r}"
        )


def _on_empty(_policy: "Policy", _attribute: "attrs.Attribute[Any]", value: object) -> None:
    if value not in ("grace", "keep", "clear"):
        raise ConfigurationError(
            f'Policy: on_empty must be "grace", "keep" or "clear", not {value!r}'
        )


@attrs.frozen(kw_only=True)
class Policy:
    """How long to believe what, when to ask again, and when to set an endpoint aside.

    Times are in seconds. Raises `ConfigurationError` for a number that makes no sense.
    """

    min_refresh: float = attrs.field(default=5, validator=_positive)
    """An answer is not asked for again sooner, whatever its TTL."""
    max_refresh: float = attrs.field(default=30, validator=_positive)
    """Nor later, whatever its TTL."""
    jitter: float = attrs.field(default=0.2, validator=_number)
    """Up to this share is added to each wait, so that processes do not ask in step."""
    refresh_floor: float = attrs.field(default=1, validator=_positive)
    """Not even `refresh()` asks again within this time of the last answer."""
    confirm_after: float = attrs.field(default=5, validator=_number)
    """An answer confirms an earlier one only if it was asked for so much later."""
    on_empty: Literal["grace", "keep", "clear"] = attrs.field(default="grace", validator=_on_empty)
    """What an empty answer after a full one means: believed after a while, never, or at once."""
    empty_grace: float = attrs.field(default=30, validator=_number)
    """How long empty answers must go on to be believed."""
    empty_confirmations: int = attrs.field(default=2, validator=_count)
    """And how many times the first must have been confirmed."""
    empty_retry_max: float = attrs.field(default=5, validator=_positive)
    """While empty, it is asked again at least this often, but for the jitter."""
    forget_after: float = attrs.field(default=60, validator=_number)
    """What was last seen longer ago goes at the first answer that lacks it."""
    backoff: float = attrs.field(default=1, validator=_positive)
    """The first bound of the random pause after a failed lookup; doubled each time."""
    backoff_max: float = attrs.field(default=30, validator=_positive)
    """The last bound of that pause."""
    eject_after: int = attrs.field(default=3, validator=_count)
    """So many failures in a row set an endpoint aside."""
    eject_for: float = attrs.field(default=1, validator=_positive)
    """For how long at first; doubled at each further failure."""
    eject_max: float = attrs.field(default=30, validator=_positive)
    """For how long at most."""

    def __attrs_post_init__(self) -> None:
        for low, high in (
            ("min_refresh", "max_refresh"),
            ("backoff", "backoff_max"),
            ("eject_for", "eject_max"),
        ):
            if getattr(self, low) > getattr(self, high):
                raise ConfigurationError(
                    f"Policy: {low} ({getattr(self, low)}) must not be more than "
                    f"{high} ({getattr(self, high)})"
                )
