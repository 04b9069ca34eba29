"""A `Store` by EndpointSlices, which push changes.

With ``source="auto"`` the first outcome decides, once: what could be read comes from there for
good, anything else makes it DNS.
"""

import math
from typing import TYPE_CHECKING, Any

from .._dns.steps import GaveUp
from .._endpoint import Empty, Outcome, Snapshot, State, Unknown, Wrong
from .._errors import ConfigurationError, DiscoveryError, LookupFailed, LookupTimeout, log
from .arguments import Selecting, Target
from .steps import Call, Wait
from .store import Store, failed
from .view import find_this_pod

if TYPE_CHECKING:
    from .._api.protocol import Watch
    from .._api.server import EndpointSlices

_NEXT_WORD = 1.0
"""Seconds that a refresh waits at most for a source that is all right."""


def store_of(selecting: Selecting, target: Target | None) -> Store:
    """The store of a Service, or of a fixed list."""
    if target is None or target.slices is None:
        return Store(selecting, target)
    return FedStore(selecting, target, target.slices)


class FedStore(Store):
    """One whose source are EndpointSlices, or may become they."""

    def __init__(self, selecting: Selecting, target: Target, slices: "EndpointSlices") -> None:
        super().__init__(selecting, target)
        self.slices = slices
        self._target = target
        self._watch: Watch | None = None
        """What is listened to; one that was stopped may still say something."""
        self._patience = self.resolver.lifetime
        """Seconds left until, without a word, the source is DNS."""

    def looked_up(self, until: float = math.inf) -> Call[None]:
        """Sees to it that slices are followed, and waits for what is known at first."""
        self.check_open()
        if self.pushes and self.shell.runs() and not self.known and not self._pauses():
            yield self._next(min(until, self.now() + self.resolver.lifetime))
        yield from super().looked_up(until)

    def refreshed(self) -> Call[Snapshot]:
        """Waits for what comes next: an event or a bookmark, or the end of trouble."""
        self.check_open()
        if not self.pushes:
            return (yield from super().refreshed())
        if self.shell.runs():
            self.hurry()
            live = self.snapshot.state in (State.LIVE, State.EMPTY)
            yield self._next(self.now() + (_NEXT_WORD if live else self.resolver.lifetime))
            self.check_open()
        self.raise_if_unknown()
        return self.snapshot

    def nothing_yet(self) -> LookupFailed:
        """The same; it names the server that has not answered yet."""
        if not (self.pushes and self._watch):
            return super().nothing_yet()
        server = self._watch.server
        return LookupTimeout(
            f"asked {server} for the EndpointSlices of {self}, and no answer came yet",
            name=str(self),
            nameserver=server,
            hint="Check the server's address, and NetworkPolicy.",
        )

    def _pauses(self) -> bool:
        """Whether nothing is to be expected just now: the last try failed."""
        return self._watch is not None and self._watch.pauses(self.now())

    def _next(self, until: float) -> Wait:
        return Wait(self.after(self.view.lookups), until)

    def hurry(self) -> None:
        """Requests them now, even during backoff."""
        self.following.hurry()

    def follow(self) -> Any:
        """What may follow them, not started yet; ``None`` if nothing says where."""
        try:
            self.slices.check()
            watch = self._new_watch()
        except ConfigurationError as error:
            if self.undecided:
                self._give_up(error)
            else:
                self.learn(Wrong(error), self.now())
            self.shell.landed()
            return None
        return self.shell.follow(self.slices, watch)

    def followed_by(self, following: Any) -> None:
        """From now on that follows them, and nothing else does."""
        former, self.following = self.following, following
        self._watch = following.watch
        if former is not None:
            former.stop()

    def _new_watch(self) -> "Watch":
        # A bare `import headless_discovery` does without all of it.
        from .._api.parse import SliceQuery  # noqa: PLC0415 - as said above
        from .._api.protocol import Watch  # noqa: PLC0415 - as said above

        landed = self.shell.landed  # and not the shell, which may be gone by then

        def learn(outcome: Outcome, at: float) -> float:
            if self._watch is not watch:
                return math.inf  # it came too late
            again_at = self._said(outcome, at)
            landed()
            return again_at

        wanted = self._target.wanted
        watch = Watch(
            SliceQuery(
                service=wanted.service,
                port=wanted.port,
                protocol=wanted.protocol,
                family=wanted.family,
                pod_names=self.slices.endpoint_pod_names,
            ),
            server=self.slices.server,
            learn=learn,
            rng=self.selecting.rng,
            backoff_max=self.selecting.policy.backoff_max,
            lists=self.slices.no_streams,
        )
        return watch

    def source_chosen(self, until: float = math.inf) -> Call[None]:
        """Waits until the source is decided, or for so long at most: then it is DNS.

        A caller that has to leave before that, or is interrupted, decides nothing. What it waited
        counts for the next one: else DNS would never be reached by callers that are all in haste.

        Raises:
            GaveUp: The caller's time is over.
        """
        following = self.follow() if self.undecided else None
        if following is None:
            return
        try:
            self.followed_by(following)
            following.start()
            over = self.now() + self._patience
            yield Wait(lambda: self.closed or not self.undecided, min(over, until))
            if self.undecided and not self.closed:
                if until < over:
                    self._patience = over - until
                    raise GaveUp
                self._give_up(LookupTimeout(f"no answer came in {self.resolver.lifetime:g} s"))
        finally:
            if self.closed or not self.pushes:
                self._watch = None
                following.stop()

    def _said(self, outcome: Outcome, at: float) -> float:
        """Applies an outcome of the watch; returns when to apply the same again."""
        if self.undecided and isinstance(outcome, Unknown):
            self._give_up(outcome.error)
        elif self.undecided:
            self.source, self.undecided = "api", False
            log.info("%s: found by EndpointSlices", self)
        if not self.pushes:
            return math.inf
        this_pod = self.view.this_pod
        try:
            this_pod = this_pod or find_this_pod(self._target, self.source)
        except DiscoveryError as error:
            if not isinstance(outcome, Unknown):  # which says more
                outcome = failed(error)
        self.learn(outcome, at, this_pod)
        # When grace is over, or to find this pod again.
        return self.view.membership.due if isinstance(outcome, Empty | Unknown) else math.inf

    def _give_up(self, error: DiscoveryError) -> None:
        """It is DNS then, unless it was decided meanwhile."""
        if self.undecided:  # pragma: no branch - or another thread was quicker
            self.undecided = False
            log.info("%s: found by DNS, since EndpointSlices cannot be read: %s", self, error)
