"""The errors: one tree, and what they carry."""

import copy
import pickle

import pytest

from headless_discovery import _errors
from headless_discovery._errors import (
    Closed,
    ConfigurationError,
    DiscoveryError,
    IncompleteAnswer,
    LookupFailed,
    LookupTimeout,
    NoEndpoints,
    NoSuchPort,
    NotHeadless,
    NotReady,
)


@pytest.mark.parametrize(
    ("error", "bases"),
    [
        (DiscoveryError, (Exception,)),
        (ConfigurationError, (DiscoveryError, ValueError)),
        (NoEndpoints, (DiscoveryError,)),
        (NotHeadless, (DiscoveryError,)),
        (NoSuchPort, (DiscoveryError,)),
        (LookupFailed, (DiscoveryError,)),
        (LookupTimeout, (LookupFailed, TimeoutError)),
        (IncompleteAnswer, (LookupFailed,)),
        (NotReady, (DiscoveryError, TimeoutError)),
        (Closed, (DiscoveryError, RuntimeError)),
    ],
)
def test_the_errors_are_one_tree(
    error: type[DiscoveryError], bases: tuple[type[Exception], ...]
) -> None:
    assert error.__bases__ == bases
    assert str(error("what happened")) == "what happened"


def test_the_tree_in_the_modules_text_lists_every_error() -> None:
    errors = {name for name, value in vars(_errors).items() if isinstance(value, type)}
    assert {name for name in errors if name in (_errors.__doc__ or "")} == errors


@pytest.mark.parametrize("error", [LookupFailed, LookupTimeout, IncompleteAnswer])
@pytest.mark.parametrize("copied", [copy.copy, lambda error: pickle.loads(pickle.dumps(error))])
def test_a_failed_lookup_says_what_was_asked_of_whom_and_what_came_back(
    error: type[LookupFailed], copied: object
) -> None:
    assert callable(copied)
    first = error("no luck", rcode="SERVFAIL", name="web.shop", nameserver="10.96.0.10:53")
    for one in (first, copied(first)):
        assert (one.rcode, one.name, one.nameserver) == ("SERVFAIL", "web.shop", "10.96.0.10:53")
        assert str(one) == "no luck"
        assert type(one) is error


def test_what_is_not_known_of_a_failed_lookup_is_none() -> None:
    error = LookupFailed("no luck")
    assert (error.rcode, error.name, error.nameserver) == (None, None, None)
