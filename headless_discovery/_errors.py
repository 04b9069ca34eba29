"""The errors of the library, one tree.

    DiscoveryError
    ├── ConfigurationError (ValueError)      a wrong argument, no name server, no namespace
    ├── NoEndpoints                          no endpoint to pick
    ├── NotHeadless                          a ClusterIP or ExternalName Service
    ├── NoSuchPort                           pods, but no such port name or protocol
    ├── LookupFailed                         DNS said SERVFAIL, REFUSED or nonsense
    │   ├── LookupTimeout (TimeoutError)
    │   └── IncompleteAnswer                 not all pods fitted in one answer
    ├── NotReady (TimeoutError)              the timeout of wait_ready
    └── Closed (RuntimeError)

Each message names the query, the server and the reply, in at most 25 words; what to do next
is the error's ``hint``. This module knows nothing of how an error comes about.
"""

import contextlib
import logging
import sys
from enum import StrEnum
from typing import Any, Self, TypeVar


class DiscoveryError(Exception):
    """The base class of all errors of this library.

    ``hint`` says what to do about it, or is ``None``; a traceback shows it as a note.
    """

    def __init__(self, message: str = "", *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint
        if hint is not None:
            self.add_note(f"Hint: {hint}")

    def __copy__(self) -> Self:
        """One with the same message and notes, whose traceback and further notes are its own."""
        new = type(self).__new__(type(self))
        new.args = self.args
        new.__dict__.update(self.__dict__)
        new.__cause__ = self.__cause__
        if hasattr(self, "__notes__"):
            new.__notes__ = list(self.__notes__)
        return new


class ConfigurationError(DiscoveryError, ValueError):
    """An argument or the environment is wrong; a retry cannot help."""


class NoEndpoints(DiscoveryError):
    """No endpoint is available: the Service has no published pod, or all were left out.

    DNS answers "no such Service" and "no ready pod" alike with NXDOMAIN (Kubernetes DNS
    specification, 2.4.1), so the message names both.
    """


class NotHeadless(DiscoveryError):
    """The Service has a virtual IP (ClusterIP) or is an alias (ExternalName): no pods to list."""


class NoSuchPort(DiscoveryError):
    """The Service has pods, but none of them publishes that port name and protocol."""


class LookupFailed(DiscoveryError):
    """DNS gave no usable answer, so nothing is known: this is not "no peers".

    ``rcode`` is the DNS response code as text (``"SERVFAIL"``), ``name`` the queried name, and
    ``nameserver`` the server that was queried (``host:port``); each is ``None`` if not applicable.
    """

    def __init__(
        self,
        message: str,
        *,
        rcode: str | None = None,
        name: str | None = None,
        nameserver: str | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.rcode = rcode
        self.name = name
        self.nameserver = nameserver


class LookupTimeout(LookupFailed, TimeoutError):
    """No name server answered in time."""


class IncompleteAnswer(LookupFailed):
    """The server could not fit every pod in one answer, and nothing else completes it."""


class NotReady(DiscoveryError, TimeoutError):
    """The timeout of ``wait_ready`` expired; the message says what was seen, and for how long.

    ``seen`` and ``wanted`` are numbers of peers; ``state`` and ``reason`` are the snapshot's.
    """

    def __init__(
        self,
        message: str,
        *,
        seen: int = 0,
        wanted: int = 1,
        state: StrEnum | None = None,
        reason: str | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.seen = seen
        self.wanted = wanted
        self.state = state
        self.reason = reason


class Closed(DiscoveryError, RuntimeError):
    """The ``Peers`` was closed."""


def in_seconds(seconds: float) -> str:
    """A duration in messages, to a tenth, and never as ``3.6e+03``."""
    return f"{seconds:.1f}".removesuffix(".0") + " s"


# The checks of arguments, for every module.

_T = TypeVar("_T")


def check_is_a(argument: str, value: Any, kind: type[_T]) -> _T:
    """The value, if it is of that kind; raises `ConfigurationError` if it is not."""
    if isinstance(value, kind):
        return value
    raise ConfigurationError(f"{argument} must be of type {kind.__name__}, not {value!r:.80}")


def check_callable(argument: str, value: object) -> None:
    """Raises `ConfigurationError` for what cannot be called."""
    if not callable(value):
        raise ConfigurationError(f"{argument} must be a function, not {value!r:.80}")


def check_seconds(
    argument: str, value: object, *, zero: bool = True, unit: str = " of seconds"
) -> float:
    """A finite number, from 0 on or above it; raises `ConfigurationError` for anything else."""
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or not 0 <= value <= sys.float_info.max
        or (value == 0 and not zero)
    ):
        least = "0 or more" if zero else "more than 0"
        raise ConfigurationError(f"{argument} must be a number{unit}, {least}, not {value!r:.80}")
    return value


def check_count(argument: str, value: object, *, least: int = 0) -> int:
    """A whole number that is large enough; raises `ConfigurationError` for anything else."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ConfigurationError(
            f"{argument} must be a whole number from {least} on, not {value!r:.80}"
        )
    return value


class _Log(logging.LoggerAdapter[logging.Logger]):
    """What a handler of the program raises must hide no answer and end no thread."""

    def log(self, level: int, msg: object, *args: object, **kwargs: Any) -> None:
        with contextlib.suppress(Exception):
            super().log(level, msg, *args, stacklevel=2, **kwargs)  # of the caller


log = _Log(logging.getLogger("headless_discovery"), {})
