"""One use of an endpoint: in flight while it lasts, and reported at its end."""

import weakref
from collections.abc import Callable, Container, Iterator
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import attrs

from .._endpoint import Endpoint, Row
from .._selection import Key
from .predicates import Verdict, judged

if TYPE_CHECKING:
    from .._store.shared import Shared


_attempted: ContextVar["tuple[weakref.ref[InUse], ...]"] = ContextVar("attempted", default=())
"""The attempts that a thread or task is in, within one another; weak, so that one that was
interrupted does not stay."""


class InUse:
    """An endpoint is in use, from now on until `end` or `drop`, or until this is forgotten.

    Args:
        peers: Whose endpoint it is.
        endpoint: The one that was chosen.
        key: What it was chosen by.
        tried: Those that may not be taken instead, should the strategy's bound be reached by now;
            by default it is the endpoint that was chosen in any case.
    """

    _over = True

    def __init__(
        self,
        peers: "Shared",
        endpoint: Endpoint,
        key: Key | None,
        *,
        tried: Container[Row] | None = None,
    ) -> None:
        self._peers = peers
        self.endpoint = endpoint
        self._key = key
        self._over = False
        chooser = peers._store.chooser
        try:
            if tried is None or chooser.bounded is None:
                chooser.in_flight.begin(self, endpoint)
            else:
                self.endpoint = endpoint = chooser.begin_bounded(self, endpoint, key, tried)
            if chooser.hears:
                chooser.began(endpoint)
        except BaseException:  # an interrupt, whose traceback holds this
            self.drop()
            raise

    def end(self, error: BaseException | None = None, *, failed: bool = False) -> None:
        """It went well, or an error ended it; reported if that says something of the endpoint.

        Args:
            error: What was raised.
            failed: The error is a failure of the endpoint, whatever it says.
        """
        store = self._peers._store
        counted = store.chooser.in_flight.end(self, self.endpoint)
        self._over = True  # not sooner: an interrupt before would leave it counted
        if counted and (error is not None or store.failing or store.chooser.hears):
            self._went(error, failed=failed)

    def _went(self, error: BaseException | None, *, failed: bool) -> None:
        well: bool | None = True
        if error is not None:
            verdict = Verdict.FAILED if failed else judged(error)
            well = None if verdict is Verdict.NOTHING else verdict is Verdict.ANSWERED
        self._peers._store.chooser.ended(self.endpoint, self._key, error, well=well)
        if well is not None:
            self._peers.report(self.endpoint, None if well else error)

    def drop(self) -> None:
        """It is over, and says nothing of the endpoint."""
        chooser = self._peers._store.chooser
        counted = chooser.in_flight.end(self, self.endpoint)
        self._over = True
        if counted and chooser.hears:
            chooser.ended(self.endpoint, self._key, GeneratorExit(), well=None)

    def mark_attempted(self) -> None:
        """Notes this as the innermost attempt that the thread or task is in."""
        _attempted.set((weakref.ref(self), *[weakref.ref(each) for each in _attempts_here()]))

    def is_of(self, peers: "Shared", endpoint: Endpoint) -> bool:
        """Whether it is on this endpoint."""
        return self._peers is peers and self.endpoint is endpoint

    def __del__(self) -> None:
        if not self._over:
            self.drop()


def in_attempt(peers: "Shared", endpoint: Endpoint) -> bool:
    """Whether this thread or task is in an attempt on the endpoint: one call must count once."""
    return any(in_use.is_of(peers, endpoint) for in_use in _attempts_here())


def _attempts_here() -> Iterator[InUse]:
    """Those in progress, the innermost first."""
    for reference in _attempted.get():
        in_use = reference()
        if in_use is not None and not in_use._over:
            yield in_use


@attrs.define(eq=False)
class UseBase:
    """What a use in a block is for threads and for tasks."""

    _peers: "Shared"
    _pick: Callable[[Key | None], Any]
    """Gives the endpoint, in tasks when it is awaited."""
    _key: Key | None
    _tried: Container[Row] | None = ()
    """See `InUse`."""
    _in_use: InUse | None = attrs.field(default=None, init=False)

    def _keep(self) -> InUse:
        """Called in the block: the use continues after it, until the caller ends the result."""
        in_use, self._in_use = self._in_use, None
        assert in_use is not None  # noqa: S101 - for type checkers: within the block there is one
        return in_use
