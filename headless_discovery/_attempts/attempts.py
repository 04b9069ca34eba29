"""Attempts: one thing tried on one endpoint after the other, until it succeeds or has to end.

Decides where to try next, whether to go on, and how long to pause before that. It may not wait, ask
DNS or know what is tried: the shells carry out its steps, blocking or awaiting. tenacity is called,
and imported, only after a failure, and only if the caller gave an object of its.
"""

import contextlib
import functools
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import attrs

from .._endpoint import Endpoint, Row, row_of
from .._errors import (
    ConfigurationError,
    LookupFailed,
    LookupTimeout,
    NoEndpoints,
    check_is_a,
    check_seconds,
)
from .._selection import Key
from .._store.shared import Shared
from .._store.steps import Call, Wait
from .predicates import Verdict, judged
from .use import InUse

if TYPE_CHECKING:
    from tenacity import RetryCallState
else:
    RetryCallState = Any  # so that `typing.get_type_hints` need not import it

On = type[BaseException] | tuple[type[BaseException], ...] | Callable[[Exception], bool]
"""Which errors lead on to the next attempt: types, or a predicate."""
Stop = Callable[[RetryCallState], bool]
"""tenacity's ``stop_after_delay(10)`` and the like."""
Pause = Callable[[RetryCallState], float]
"""tenacity's ``wait_fixed(1)`` and the like."""

_MOST = 100
"""Upper bound on the attempts, whatever ``stop`` says."""
_USUAL = 3
_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 2.0
_NOTED = 10
"""The number of attempts that the note lists, the last ones."""


@attrs.frozen
class Rules:
    """The arguments; see `Peers.attempts`."""

    on: On | None = None
    idempotent: bool = False
    stop: Stop | None = None
    wait: Pause | None = None
    timeout: float | None = None
    need_time: bool = True
    """Whether they may ask when the attempts began."""

    def lead_on(self, error: Exception, verdict: Verdict) -> bool:
        """Whether this error leads on to the next attempt."""
        on = self.on
        if on is None:
            return verdict >= (Verdict.FAILED if self.idempotent else Verdict.NOT_REACHED)
        return isinstance(error, on) if isinstance(on, type | tuple) else bool(on(error))

    @property
    def usual(self) -> int:
        """How many attempts are made at most, as far as ``stop`` says so beforehand."""
        most = getattr(self.stop, "max_attempt_number", None)
        return most if isinstance(most, int) else _USUAL


_USUAL_RULES = {given: Rules(idempotent=given, need_time=False) for given in (False, True)}
"""Those of most calls, by ``idempotent``."""


def rules(
    on: On | None,
    idempotent: bool,
    stop: Stop | None,
    wait: Pause | None,
    timeout: float | None,
) -> Rules:
    """The rules, checked; raises `ConfigurationError`."""
    usual = on is None and stop is None and wait is None and timeout is None
    if usual and isinstance(idempotent, bool):
        return _USUAL_RULES[idempotent]
    types = on if isinstance(on, tuple) else (on,)
    if isinstance(on, type | tuple):
        right = all(isinstance(each, type) and issubclass(each, BaseException) for each in types)
    else:
        right = on is None or callable(on)
    if not right:
        raise ConfigurationError(
            f"on must be an exception type, a tuple of them, or a predicate, not {on!r:.80}",
            hint="A predicate takes an error, and returns whether to retry on the next endpoint.",
        )
    check_is_a("idempotent", idempotent, bool)
    if idempotent and on is not None:
        raise ConfigurationError(
            "on and idempotent were both given",
            hint="idempotent=True means on=connection_failed: leave out one of them.",
        )
    for name, given in (("stop", stop), ("wait", wait)):
        if given is not None and (isinstance(given, type) or not callable(given)):
            raise ConfigurationError(
                f"{name} must be an object such as tenacity's {name}_..., not {given!r:.80}"
            )
    if timeout is not None:
        check_seconds("timeout", timeout, zero=False)
    return Rules(on, idempotent, stop, wait, timeout)


@attrs.define(eq=False)
class Attempt:
    """One attempt, on one endpoint: ``with attempt as peer: ...``.

    Leaving the ``with`` block without an error, also by ``break`` or ``return``, is a success and
    ends the loop. An error that is retried (see `Peers.attempts`) is suppressed unless this was the
    last attempt. Use the result inside the block, since after a suppressed error the code behind
    it runs too. An attempt that is not entered reports nothing.
    """

    endpoint: Endpoint
    """The endpoint of this attempt."""
    number: int
    """1 for the first attempt."""
    _attempts: "Attempts"
    _in_use: InUse | None = None

    @property
    def remaining(self) -> float | None:
        """Seconds left of the ``timeout`` of all attempts, at least 0; ``None`` without a timeout.

        Use it as the timeout of the call in this attempt.
        """
        return self._attempts.remaining

    def __enter__(self) -> Endpoint:
        in_use = self._in_use = self._attempts.entered(self.endpoint)
        in_use.mark_attempted()
        self.endpoint = in_use.endpoint
        return self.endpoint

    def __exit__(self, _kind: object, error: BaseException | None, _at: object) -> bool:
        in_use, self._in_use = self._in_use, None
        return self._attempts.left(self.endpoint, in_use, error)

    def _keep(self) -> InUse:
        """Called in the block: the use continues after it, until the caller ends the result."""
        in_use, self._in_use = self._in_use, None
        assert in_use is not None  # noqa: S101 - for type checkers: within the block there is one
        return in_use


@attrs.define(eq=False)
class _Failures:
    """What is kept once an attempt did not succeed."""

    tried: set[Row] = attrs.field(factory=set)
    """By their values: an endpoint that changed may be tried again."""
    this_round: set[Row] = attrs.field(factory=set)
    """Those tried since all were."""
    lines: list[str] = attrs.field(factory=list)
    """What was tried where, with what error."""
    pause: float = 0.0
    """Before the next attempt."""
    pauses: int = 0
    error: Exception | None = None
    """The last one swallowed."""
    state: RetryCallState | None = None


class Attempts:
    """All attempts of one call. A shell iterates over it."""

    # What an attempt that succeeds at once does not touch is not set for each call.
    began = 0.0
    number = 0
    """Of the last attempt."""
    over = False
    _failures: _Failures | None = None
    _undecided: Endpoint | None = None
    """Whose attempt was not entered, or left by an error that does not lead on."""

    def __init__(self, peers: Shared, key: Key | None, rules: Rules) -> None:
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

    # Where to try.

    def first(self) -> Attempt | None:
        """The first attempt, if it needs no lookup."""
        if self.number:
            return None
        choice = self.store.choice
        self.store.budget.calls += 1
        if choice.ages or self.rules.need_time:
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
        if self._failures is None:
            try:
                yield from store.looked_up(self._deadline)
            except LookupFailed as error:  # nothing is known
                if isinstance(error, LookupTimeout) or self.remaining != 0:
                    raise
            if self.remaining == 0:
                raise LookupTimeout(
                    f"the lookup of {store} took all {self.rules.timeout:g} s of the attempts",
                    hint="Give them a longer timeout, or find out why DNS is slow.",
                )
            return self.begun(store.chosen().one(self.key))
        if self._failures.pause > 0:
            yield Wait(lambda: store.closed, store.clock.now() + self._failures.pause)
        store.check_open()
        return self.begun(self._another(self._failures))

    def _another(self, failures: _Failures) -> Endpoint:
        try:
            # What failed twice here may be a failure of the zone.
            elsewhere = self.number + 1 >= min(self.rules.usual, _USUAL)
            another = functools.partial(self.store.another, self.key, elsewhere=elsewhere)
            endpoint = another(failures.this_round)
            if endpoint is None:
                failures.this_round.clear()
                endpoint = another(failures.this_round)
        except NoEndpoints:
            if failures.error is None:
                raise
            raise self._noted(failures.error) from None
        assert endpoint is not None  # noqa: S101 - for type checkers: none was tried this round
        return endpoint

    def entered(self, endpoint: Endpoint) -> InUse:
        """The attempt begins on this endpoint, or on another one if others filled it meanwhile."""
        tried = () if self._failures is None else self._failures.this_round
        in_use = InUse(self.peers, self.key, tried).begin(endpoint)
        self._undecided = in_use.endpoint
        return in_use

    # What became of it.

    def left(self, endpoint: Endpoint, in_use: InUse | None, error: BaseException | None) -> bool:
        """An attempt was left; returns whether to suppress its error."""
        if error is None:
            self._undecided, self._failures, self.over = None, None, True
            if in_use is not None:
                in_use.end()
            return False
        verdict = judged(error)
        try:
            leads_on = isinstance(error, Exception) and self.rules.lead_on(error, verdict)
        except BaseException:  # a predicate of the caller's: it says nothing of the endpoint
            if in_use is not None:
                in_use.drop()
            raise
        if in_use is not None:
            in_use.end(error, failed=leads_on)
        if not leads_on:
            return False
        assert isinstance(error, Exception)  # noqa: S101 - for type checkers: it leads on
        self._undecided = None
        failures = self._met(endpoint)
        failures.lines.append(f"{self.number}. {endpoint} ({endpoint.name}): {_text_of(error)}")
        failures.error = error
        self.over = self._is_last(endpoint, error)
        if not self.over and verdict is not Verdict.NOT_REACHED:
            self.over = not self.store.budget.take(self.store.clock.now())
            if self.over:
                failures.lines.append("and no more: too many calls were tried again of late")
        if self.over:
            self._noted(error)
            self._failures = None  # an error must not hold itself by its traceback
        return not self.over

    def _met(self, endpoint: Endpoint) -> _Failures:
        """The failures so far, with this endpoint."""
        failures = self._failures
        if failures is None:
            failures = self._failures = _Failures()
        failures.tried.add(row_of(endpoint))
        failures.this_round.add(row_of(endpoint))
        return failures

    def _is_last(self, endpoint: Endpoint, error: Exception | None) -> bool:
        """Whether the present attempt, which did not succeed, is the last; and the pause after."""
        now, rules, failures = self.store.clock.now(), self.rules, self._met(endpoint)
        ends = self.number >= _USUAL
        failures.pause = 0.0 if error is None else self._usual_pause(failures)
        if rules.stop is not None or rules.wait is not None:
            state = self._as_tenacity_has_it(failures, error, now)
            if rules.wait is not None and error is not None:
                failures.pause = max(float(rules.wait(state)), 0.0)
            state.upcoming_sleep = failures.pause
            if rules.stop is not None:
                ends = bool(rules.stop(state))
            state.idle_for += failures.pause
        return ends or self.number >= _MOST or now + failures.pause >= self._deadline

    def _usual_pause(self, failures: _Failures) -> float:
        """None before one that was not tried; then full jitter in a window that doubles."""
        if self.rules.wait is not None or self.store.has_more_than(failures.tried):
            return 0.0
        window = min(_FIRST_PAUSE * 2.0**failures.pauses, _LONGEST_PAUSE)
        failures.pauses += 1
        return self.store.selecting.rng.uniform(0, window)

    def _as_tenacity_has_it(
        self, failures: _Failures, error: Exception | None, now: float
    ) -> RetryCallState:
        """What tenacity's objects read; its times are those of the `Clock`."""
        from tenacity import RetryCallState, Retrying  # noqa: PLC0415 - it is slow to import

        state = failures.state
        if state is None:
            state = failures.state = RetryCallState(Retrying(), None, (), {})
            state.start_time = self.began
        state.prepare_for_next_attempt()
        state.attempt_number = self.number
        if error is not None:
            state.set_exception((type(error), error, error.__traceback__))
        state.outcome_timestamp = now
        return state

    def _noted(self, error: Exception) -> Exception:
        """With a note of what was tried where."""
        assert self._failures is not None  # noqa: S101 - for type checkers: an attempt failed
        listed = self._failures.lines
        count = sum(line[0].isdigit() for line in listed)
        lines = [f"tried {count} times to reach one of {self.store}:"]
        if len(listed) > _NOTED:
            lines.append(f"(the first {len(listed) - _NOTED} are left out)")
        with contextlib.suppress(Exception):  # of a class that lets nothing be set
            error.add_note("\n  ".join(lines + listed[-_NOTED:]))
        return error


def _text_of(error: Exception) -> str:
    """Its kind, and the first line of what it says."""
    try:
        text = str(error)
    except Exception:  # it must not take the place of the caller's own
        text = "(its text cannot be had)"
    return f"{type(error).__name__}: {text}".partition("\n")[0][:200]
