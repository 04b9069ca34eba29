"""The errors: one tree, and what they carry."""

import copy
import inspect
import pickle

import pytest

import headless_discovery
from headless_discovery import (
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
    tree = inspect.getdoc(inspect.getmodule(DiscoveryError)) or ""
    for name, value in vars(headless_discovery).items():
        if isinstance(value, type) and issubclass(value, DiscoveryError):
            assert name in tree


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


def test_a_hint_is_an_attribute_and_a_note_of_the_traceback() -> None:
    error = LookupFailed("no luck", hint="ask again")
    assert (str(error), error.hint) == ("no luck", "ask again")
    assert error.__notes__ == ["Hint: ask again"]
    assert DiscoveryError("no luck").hint is None


def test_a_copy_keeps_the_hint_and_shares_no_notes() -> None:
    first = NotReady("no luck", seen=1, wanted=2, hint="wait")
    second = copy.copy(first)
    second.add_note("tried twice")
    assert (second.hint, second.seen, second.wanted) == ("wait", 1, 2)
    assert first.__notes__ == ["Hint: wait"]
