"""Attempts: one thing tried on one endpoint after the other, until it succeeds or has to end.

Decides whom to try next, whether to go on, and how long to pause before that. It may not wait, ask
DNS or know what is tried: the shells carry out its steps, blocking or awaiting. tenacity is asked,
and imported, only after a failure, and only if the caller gave an object of its.
"""

import errno
import math
import socket
import sys
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import attrs

from ._calls import Call, Wait, known
from ._endpoint import Endpoint
from ._errors import ConfigurationError, DiscoveryError, LookupTimeout, NoEndpoints
from ._selection import Key
from ._shared import Shared

if TYPE_CHECKING:
    from tenacity import RetryCallState

On = type[BaseException] | tuple[type[BaseException], ...] | Callable[[Exception], bool]
"""Which errors are failures of the endpoint: types, or a predicate."""
Stop = Callable[["RetryCallState"], bool]
"""tenacity's ``stop_after_delay(10)`` and the like."""
Pause = Callable[["RetryCallState"], float]
"""tenacity's ``wait_fixed(1)`` and the like."""

_MOST = 100
"""Attempts, whatever ``stop`` says: nothing goes on for ever."""
_USUAL = 3
_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 2.0
_TOLD = 10
"""So many attempts are told of in the note, the last ones."""

_FAILURES = (ConnectionError, TimeoutError, socket.gaierror)
_ERRNOS = frozenset(
    {
        *(errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN, errno.ENETDOWN),
        # Python makes a ConnectionError or a TimeoutError of these; subclasses of OSError that
        # libraries have, such as aiohttp's ClientOSError, come with the number alone.
        *(errno.ECONNREFUSED, errno.ECONNRESET, errno.ECONNABORTED, errno.EPIPE, errno.ESHUTDOWN),
        errno.ETIMEDOUT,
    }
)


def connection_failed(error: BaseException) -> bool:
    """Whether an error says that the endpoint was not reached, or went away.

    True for `ConnectionError`, `TimeoutError`, `socket.gaierror`, `ssl.SSLError` and an `OSError`
    that tells of an unreachable host or network: the error itself, its ``reason``, or one in its
    chain of causes and contexts, so that the errors of urllib, httpx, requests and aiohttp are
    judged by what is behind them. Never for an error that carries an HTTP status, since then the
    endpoint did answer, and never for a `DiscoveryError`. Of an exception group all must say so.
    """
    return _failed(error, None)


def _failed(error: BaseException, handled: BaseException | None) -> bool:
    """The same, without looking at what was handled already when the work began."""
    seen: list[BaseException | None] = [handled]
    pending = [error]
    while pending:
        error = pending.pop()
        if any(error is other for other in seen):
            continue
        seen.append(error)
        if isinstance(error, DiscoveryError) or _has_http_status(error):
            return False
        if isinstance(error, _FAILURES) or _is_ssl_error(error):
            return True
        if isinstance(error, OSError) and error.errno in _ERRNOS:
            return True
        if isinstance(error, BaseExceptionGroup):
            return all(_failed(each, handled) for each in error.exceptions)
        hidden = error.__suppress_context__ or error.__cause__ is not None
        behind = error.__cause__ if hidden else error.__context__
        reason = getattr(error, "reason", None)
        pending += [each for each in (behind, reason) if isinstance(each, BaseException)]
    return False


def _is_ssl_error(error: BaseException) -> bool:
    ssl = sys.modules.get("ssl")  # not imported: slow, and nobody else has made one then
    return ssl is not None and isinstance(error, ssl.SSLError)


def _has_http_status(error: BaseException) -> bool:
    """As urllib, aiohttp (on the error), requests, httpx (on its response) tell it."""
    places = (error, getattr(error, "response", None))
    found = (
        getattr(place, name, None) for place in places for name in ("status", "status_code", "code")
    )
    return any(isinstance(status, int) and 100 <= status <= 599 for status in found)


@attrs.frozen
class Rules:
    """What was asked for; see `Peers.attempts`."""

    on: On = connection_failed
    stop: Stop | None = None
    wait: Pause | None = None
    timeout: float | None = None

    def matches(self, error: BaseException, handled: BaseException | None) -> bool:
        """Whether the error is a failure of the endpoint."""
        on = self.on
        if not isinstance(error, Exception):
            return False  # CancelledError, KeyboardInterrupt, GeneratorExit
        if on is connection_failed:
            return _failed(error, handled)
        if isinstance(on, type | tuple):
            return isinstance(error, on)
        return bool(on(error))


DEFAULT = Rules()
"""What is asked for most of the time."""


def rules(on: On, stop: Stop | None, wait: Pause | None, timeout: float | None) -> Rules:
    """The rules, checked; raises `ConfigurationError`."""
    if on is connection_failed and stop is None and wait is None and timeout is None:
        return DEFAULT
    types = on if isinstance(on, tuple) else (on,)
    if isinstance(on, type | tuple):
        right = all(isinstance(each, type) and issubclass(each, BaseException) for each in types)
    else:
        right = callable(on)
    if not right:
        raise ConfigurationError(
            f"on must be an exception type, a tuple of them, or a function that takes an error and "
            f"returns whether it is a failure of the endpoint, not {on!r}"
        )
    for name, given in (("stop", stop), ("wait", wait)):
        if given is not None and (isinstance(given, type) or not callable(given)):
            raise ConfigurationError(
                f"{name} must be an object such as tenacity's {name}_..., not {given!r}"
            )
    if timeout is not None and (
        isinstance(timeout, bool)
        or not isinstance(timeout, int | float)
        or not 0 < timeout < math.inf
    ):
        raise ConfigurationError(
            f"timeout must be a number of seconds more than 0, or None, not {timeout!r}"
        )
    return Rules(on, stop, wait, timeout)


@attrs.define(eq=False)
class Attempt:
    """One attempt, on one endpoint: ``with attempt as peer: ...``.

    Leaving the ``with`` without an error, by ``break`` or ``return`` too, is a success, and ends
    the loop. A failure of the endpoint is swallowed, and the loop goes on to the next one, unless
    this was the last attempt. What is done with the result belongs into the ``with``: after a
    failure the loop's body goes on behind it. Not entered, an attempt tells nothing.
    """

    endpoint: Endpoint
    number: int
    """1 for the first."""
    _course: "Course[Any]"

    @property
    def remaining(self) -> float | None:
        """Seconds left of the ``timeout`` for the whole, 0 when it is over; ``None`` without one.

        For the timeout of a call that is made in this attempt.
        """
        return self._course.remaining

    def __enter__(self) -> Endpoint:
        return self.endpoint

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        if error is None:
            self._course.succeeded(self.endpoint)
            return False
        return self._course.failed(self.endpoint, error)


@attrs.define(eq=False)
class _Trouble:
    """What is kept once an attempt did not succeed."""

    tried: dict[int, Endpoint] = attrs.field(factory=dict)
    """By `id`: an endpoint that changed is another object, and another chance."""
    this_round: dict[int, Endpoint] = attrs.field(factory=dict)
    """Those tried since all were."""
    told: list[str] = attrs.field(factory=list)
    """What was tried where, with what error."""
    pause: float = 0.0
    """Before the next attempt."""
    pauses: int = 0
    error: Exception | None = None
    """The last one swallowed."""
    state: "RetryCallState | None" = None


P = TypeVar("P", bound=Shared)


class Course(Generic[P]):
    """One course of attempts. A shell iterates over it."""

    # What an attempt that succeeds at once does not touch is not set for each course.
    began = 0.0
    handled: BaseException | None = None
    """What the caller was handling already: the context of all that is raised here."""
    number = 0
    """Of the last attempt."""
    over = False
    _trouble: _Trouble | None = None
    _undecided: Endpoint | None = None
    """Whose attempt was not entered, or left by an error that is not its failure."""

    def __init__(self, peers: P, key: Key | None, rules: Rules) -> None:
        self.peers = peers
        self.store = peers._store
        self.key = key
        self.rules = rules

    @property
    def remaining(self) -> float | None:
        """See `Attempt.remaining`."""
        if self.rules.timeout is None:
            return None
        return max(self._deadline - self.store.clock.now(), 0.0)

    @property
    def _deadline(self) -> float:
        timeout = self.rules.timeout
        return math.inf if timeout is None else self.began + timeout

    # Whom to try.

    def first(self) -> Attempt | None:
        """The first attempt, if it can be made without asking anybody anything."""
        if self.number:
            return None
        choice = self.store.choice
        self.handled = sys.exception()
        if choice.ages or self.rules is not DEFAULT:  # those need no beginning
            self.began = now = self.store.now()
            if now >= choice.until:
                return None
        return self.begun(choice.one(self.key))

    def begun(self, endpoint: Endpoint) -> Attempt:
        """The next attempt, on this endpoint."""
        self.number += 1
        self._undecided = endpoint
        return Attempt(endpoint, self.number, self)

    def following(self) -> Call[Attempt | None]:
        """The next attempt, or ``None`` if it is over."""
        store = self.store
        if self._undecided is not None and self._is_last(self._undecided, None):
            self.over = True
            error = self._met(self._undecided).error
            if error is not None:
                raise self._noted(error)
        if self.over:
            return None
        if self._trouble is None:
            yield from known(store, self._deadline)
            if self.remaining == 0:
                raise LookupTimeout(
                    f"asking for {store} took all of the {self.rules.timeout:g} s that there were "
                    f"for the attempts: give them more, or look at why DNS is slow"
                )
            return self.begun(store.chosen().one(self.key))
        if self._trouble.pause > 0:
            yield Wait(lambda: store.closed, store.clock.now() + self._trouble.pause)
        store.check_open()
        return self.begun(self._another(self._trouble))

    def _another(self, trouble: _Trouble) -> Endpoint:
        try:
            endpoint = self.store.another(self.key, trouble.this_round)
            if endpoint is None:
                trouble.this_round.clear()
                endpoint = self.store.another(self.key, trouble.this_round)
        except NoEndpoints:
            if trouble.error is None:
                raise
            raise self._noted(trouble.error) from None
        assert endpoint is not None  # noqa: S101 - for type checkers: nobody was tried this round
        return endpoint

    # What became of it.

    def succeeded(self, endpoint: Endpoint) -> None:
        """An attempt was left without an error."""
        self._undecided, self._trouble, self.over = None, None, True
        if self.store.failing:
            self.peers.report(endpoint)

    def failed(self, endpoint: Endpoint, error: BaseException) -> bool:
        """An attempt was left by an error; tells whether that is to be swallowed."""
        if not self.rules.matches(error, self.handled):
            return False
        assert isinstance(error, Exception)  # noqa: S101 - for type checkers: it matches
        self.peers.report(endpoint, error)
        self._undecided = None
        trouble = self._met(endpoint)
        text = f"{type(error).__name__}: {error}".partition("\n")[0]
        trouble.told.append(f"{self.number}. {endpoint} ({endpoint.name}): {text:.200}")
        trouble.error = error
        self.over = self._is_last(endpoint, error)
        if self.over:
            self._noted(error)
            self._trouble = None  # an error must not hold itself by its traceback
        return not self.over

    def _met(self, endpoint: Endpoint) -> _Trouble:
        """The trouble so far, with this endpoint."""
        trouble = self._trouble
        if trouble is None:
            trouble = self._trouble = _Trouble()
        trouble.tried[id(endpoint)] = trouble.this_round[id(endpoint)] = endpoint
        return trouble

    def _is_last(self, endpoint: Endpoint, error: Exception | None) -> bool:
        """Whether the present attempt, which did not succeed, is the last; and the pause after."""
        now, rules, trouble = self.store.clock.now(), self.rules, self._met(endpoint)
        ends = self.number >= _USUAL
        trouble.pause = 0.0 if error is None else self._usual_pause(trouble)
        if rules.stop is not None or rules.wait is not None:
            state = self._as_tenacity_has_it(trouble, error, now)
            if rules.wait is not None and error is not None:
                trouble.pause = max(float(rules.wait(state)), 0.0)
            state.upcoming_sleep = trouble.pause
            if rules.stop is not None:
                ends = bool(rules.stop(state))
            state.idle_for += trouble.pause
        return ends or self.number >= _MOST or now + trouble.pause >= self._deadline

    def _usual_pause(self, trouble: _Trouble) -> float:
        """None before one that was not tried; then full jitter in a window that doubles."""
        if self.rules.wait is not None or self.store.has_more_than(trouble.tried):
            return 0.0
        window = min(_FIRST_PAUSE * 2.0**trouble.pauses, _LONGEST_PAUSE)
        trouble.pauses += 1
        return self.store.selecting.rng.uniform(0, window)

    def _as_tenacity_has_it(
        self, trouble: _Trouble, error: Exception | None, now: float
    ) -> "RetryCallState":
        """What tenacity's objects look at; its times are the store's clock's."""
        from tenacity import RetryCallState, Retrying  # noqa: PLC0415 - it is slow to import

        state = trouble.state
        if state is None:
            state = trouble.state = RetryCallState(Retrying(), None, (), {})
            state.start_time = self.began
        state.prepare_for_next_attempt()
        state.attempt_number = self.number
        if error is not None:
            state.set_exception((type(error), error, error.__traceback__))
        state.outcome_timestamp = now
        return state

    def _noted(self, error: Exception) -> Exception:
        """With a note of what was tried where."""
        assert self._trouble is not None  # noqa: S101 - for type checkers: an attempt failed
        told = self._trouble.told
        lines = [f"tried {len(told)} times to reach one of {self.store}:"]
        if len(told) > _TOLD:
            lines.append(f"(the first {len(told) - _TOLD} are left out)")
        error.add_note("\n  ".join(lines + told[-_TOLD:]))
        return error
