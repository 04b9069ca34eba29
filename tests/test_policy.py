"""Policy checks its numbers when it is made."""

import math

import pytest

from headless_discovery._errors import ConfigurationError
from headless_discovery._policy import Policy


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("min_refresh", 0),
        ("max_refresh", -1),
        ("jitter", math.nan),
        ("backoff", "1"),
        ("forget_after", True),
        ("empty_confirmations", 0),
        ("eject_after", 1.5),
        ("on_empty", "panic"),
    ],
)
def test_a_number_that_makes_no_sense_is_an_error_that_names_it(name: str, value: object) -> None:
    with pytest.raises(ConfigurationError, match=name):
        Policy(**{name: value})  # type: ignore[arg-type]  # wrong on purpose


@pytest.mark.parametrize(
    ("low", "high"),
    [("min_refresh", "max_refresh"), ("backoff", "backoff_max"), ("eject_for", "eject_max")],
)
def test_a_lower_bound_above_its_upper_bound_is_an_error_that_names_both(
    low: str, high: str
) -> None:
    with pytest.raises(ConfigurationError, match=f"{low}.*{high}"):
        Policy(**{low: 9, high: 8})  # type: ignore[arg-type]  # every one of these is a number
