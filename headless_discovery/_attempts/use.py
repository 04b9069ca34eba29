"""One use of an endpoint: in flight while it lasts, and reported at its end."""

import weakref
from collections.abc import Callable, Container, Iterator
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Self

from .._endpoint import Endpoint, Row
from .._selection import Key
from .predicates import Verdict, judged

if TYPE_CHECKING:
    from .._store.shared import Shared


_attempted: ContextVar["tuple[weakref.ref[InUse], ...]"] = ContextVar("attempted", default=())
"""The attempts that a thread or task is in, within one another; weak, so that one that was
interrupted does not stay."""


class InUse:
    """One use of an endpoint, from `begin` until `end` or `drop`, or until this is forgotten."""

    _over = True
    endpoint: Endpoint

    def __init__(
        self,
        peers: "Shared",
        key: Key | None = None,
        tried: Container[Row] | None = None,
        pick: Callable[[Key | None], Any] | None = None,
    ) -> None:
        self._peers = peers
        self._key = key
        self._tried = tried
        """Should the strategy's bound be reached, one of the others is taken; ``None``: none."""
        self._pick = pick
        """Gives the endpoint of a use in a block, in tasks when it is awaited."""

    def begin(self, endpoint: Endpoint) -> Self:
        """The endpoint is in use from now on, or the one that is taken instead."""
        if not self._over:  # it was entered and never left: an interrupt, or it is entered again
            self.drop()
        self.endpoint = endpoint
        self._over = False
        chooser = self._peers._store.chooser
        try:
            if chooser.bounded is None or self._tried is None:
                chooser.in_flight.begin(self, endpoint)
            else:
                self.endpoint = chooser.begin_bounded(self, endpoint, self._key, self._tried)
            if chooser.hears:
                chooser.began(self.endpoint)
        except BaseException:  # an interrupt, whose traceback holds this
            self.drop()
            raise
        return self

    def end(self, error: BaseException | None = None, *, failed: bool = False) -> None:
        """It went well, or an error ended it; reported if that says something of the endpoint.

        ``failed``: it is a failure of the endpoint, whatever the error says.
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

    def __del__(self) -> None:
        if not self._over:
            self.drop()


def in_attempt(peers: "Shared", endpoint: Endpoint) -> bool:
    """Whether this thread or task is in an attempt on the endpoint: one call must count once."""
    return any(
        in_use._peers is peers and in_use.endpoint is endpoint for in_use in _attempts_here()
    )


def _attempts_here() -> Iterator[InUse]:
    """Those in progress, the innermost first."""
    for reference in _attempted.get():
        in_use = reference()
        if in_use is not None and not in_use._over:
            yield in_use
