"""The numbers that a program may choose; the others are constants of the module that uses them."""

from typing import Any, Literal

import attrs

from .._errors import ConfigurationError, check_count, check_seconds


def _seconds(_policy: "Policy", attribute: "attrs.Attribute[Any]", value: object) -> None:
    check_seconds(f"Policy: {attribute.name}", value)


def _positive(_policy: "Policy", attribute: "attrs.Attribute[Any]", value: object) -> None:
    check_seconds(f"Policy: {attribute.name}", value, zero=False)


def _share(_policy: "Policy", attribute: "attrs.Attribute[Any]", value: object) -> None:
    check_seconds(f"Policy: {attribute.name}", value, unit="")


def _count(_policy: "Policy", attribute: "attrs.Attribute[Any]", value: object) -> None:
    check_count(f"Policy: {attribute.name}", value, least=1)


def _on_empty(_policy: "Policy", _attribute: "attrs.Attribute[Any]", value: object) -> None:
    if value not in ("grace", "keep", "clear"):
        raise ConfigurationError(
            f'Policy: on_empty must be "grace", "keep" or "clear", not {value!r}'
        )


@attrs.frozen(kw_only=True)
class Policy:
    """Settings for refresh, staleness and outlier ejection. Times are in seconds.

    Raises:
        ConfigurationError: A number makes no sense.
    """

    min_refresh: float = attrs.field(default=5, validator=_positive)
    """Lower bound on the refresh interval; a shorter TTL is raised to it. 5 by default."""
    max_refresh: float = attrs.field(default=10, validator=_positive)
    """Upper bound on the refresh interval; a longer TTL is clamped to it. 10 by default."""
    jitter: float = attrs.field(default=0.2, validator=_share)
    """Each interval is lengthened by a random share up to this one, so that processes do not query
    at the same time. 0.2 by default."""
    refresh_floor: float = attrs.field(default=1, validator=_positive)
    """Minimum time between two lookups, also for `refresh()`. 1 by default."""
    on_empty: Literal["grace", "keep", "clear"] = attrs.field(default="grace", validator=_on_empty)
    """What to do when the Service becomes empty; ``"grace"`` by default.

    ``"grace"``: keep the endpoints until later answers confirm it; ``"keep"``: keep them without a
    time limit; ``"clear"``: drop them at once.
    """
    empty_grace: float = attrs.field(default=30, validator=_seconds)
    """How long the answers must stay empty with ``on_empty="grace"``. 30 by default."""
    backoff_max: float = attrs.field(default=30, validator=_positive)
    """Upper bound on the random backoff after failed lookups. 30 by default."""
    eject_after: int = attrs.field(default=3, validator=_count)
    """Consecutive failures after which an endpoint is ejected. 3 by default."""
    eject_for: float = attrs.field(default=1, validator=_positive)
    """Duration of the first ejection; doubled at each further failure. 1 by default."""
    eject_max: float = attrs.field(default=30, validator=_positive)
    """Maximum duration of an ejection. 30 by default."""

    def __attrs_post_init__(self) -> None:
        for low, high in (("min_refresh", "max_refresh"), ("eject_for", "eject_max")):
            if getattr(self, low) > getattr(self, high):
                raise ConfigurationError(
                    f"Policy: {low} ({getattr(self, low)}) must not be more than "
                    f"{high} ({getattr(self, high)})"
                )
