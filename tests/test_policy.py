"""Policy checks its numbers when it is made."""

import math

import pytest

from headless_discovery import ConfigurationError, Policy


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("min_refresh", 0),
        ("max_refresh", -1),
        ("jitter", math.nan),
        ("backoff_max", "1"),
        ("empty_grace", True),
        ("eject_after", 1.5),
        ("eject_after", 0),
        ("refresh_floor", 0),
        ("on_empty", "panic"),
    ],
)
def test_a_number_that_makes_no_sense_is_an_error_that_names_it(name: str, value: object) -> None:
    with pytest.raises(ConfigurationError, match=name):
        Policy(**{name: value})  # type: ignore[arg-type]  # wrong on purpose


def test_jitter_is_a_share_and_no_number_of_seconds() -> None:
    with pytest.raises(ConfigurationError, match=r"jitter must be a number, 0 or more, not -1"):
        Policy(jitter=-1)


@pytest.mark.parametrize(
    ("low", "high"),
    [("min_refresh", "max_refresh"), ("eject_for", "eject_max")],
)
def test_a_lower_bound_above_its_upper_bound_is_an_error_that_names_both(
    low: str, high: str
) -> None:
    with pytest.raises(ConfigurationError, match=f"{low}.*{high}"):
        Policy(**{low: 9, high: 8})  # type: ignore[arg-type]  # every one of these is a number
