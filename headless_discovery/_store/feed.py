"""EndpointSlices as a source, which pushes changes.

With ``source="auto"`` the first outcome decides, once: what could be read comes from there for
good, anything else makes it DNS.
"""

import logging
import math
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

from .._endpoint import Empty, Outcome, State, Unknown, Wrong
from .._errors import ConfigurationError, DiscoveryError, LookupTimeout
from .arguments import Target
from .steps import Call, Wait
from .view import find_this_pod

if TYPE_CHECKING:
    from .._api.protocol import Watch
    from .._api.server import EndpointSlices, Following, FollowingTask
    from .store import Store

log = logging.getLogger("headless_discovery")
_Waiting = Callable[[Callable[[], bool], float], object]
_NEXT_WORD = 1.0
"""Seconds that a refresh waits at most for a source that is all right."""
_LOOKS = 0.01
"""Seconds of a clock that is not real, after which it is looked whether a source is chosen."""


class Feed:
    """Connects slices, a `Store`, and the shell that follows them."""

    def __init__(self, store: "Store", target: Target, slices: "EndpointSlices") -> None:
        self.slices = slices
        self.following: Any = None
        """What the shell made to follow them, if it did."""
        self._watch: Watch | None = None
        self._store = store
        self._target = target

    def begin(self, landed: Callable[[], None]) -> "Following | None":
        """What follows them in a thread, not started yet; ``None`` if nothing says where.

        ``landed`` is called after each change of the `Store`.
        """
        watch = self._new_watch(landed)
        if watch is None:
            return None
        self.following = following = self.slices.background(watch, self._store.clock)
        return following

    def begin_async(self, landed: Callable[[], None]) -> "FollowingTask | None":
        """The same in a task that runs already."""
        watch = self._new_watch(landed)
        if watch is None:
            return None
        self.following = following = self.slices.start_async(watch, self._store.clock)
        return following

    def _new_watch(self, landed: Callable[[], None]) -> "Watch | None":
        self.following = None
        try:
            self.slices.check()
            self._watch = self._made_watch(landed)
        except ConfigurationError as error:
            if self._store.pushes:
                self._store.learn(Wrong(error), self._store.now())
            else:
                self._give_up(error)
            landed()
            return None
        return self._watch

    def _made_watch(self, landed: Callable[[], None]) -> "Watch":
        # A bare `import headless_discovery` does without all of it.
        from .._api.parse import SliceQuery  # noqa: PLC0415 - as said above
        from .._api.protocol import Watch  # noqa: PLC0415 - as said above

        def learn(outcome: Outcome, at: float) -> float:
            again_at = self._learn(outcome, at)
            landed()
            return again_at

        wanted, selecting = self._target.wanted, self._store.selecting
        return Watch(
            SliceQuery(
                service=wanted.service,
                port=wanted.port,
                protocol=wanted.protocol,
                family=wanted.family,
                pod_names=self.slices.endpoint_pod_names,
            ),
            server=self.slices.server,
            learn=learn,
            rng=selecting.rng,
            backoff_max=selecting.policy.backoff_max,
            lists=self.slices.no_streams,
        )

    def choose(self, landed: Callable[[], None], wait: _Waiting) -> "Following | None":
        """Waits until the source is decided, or for so long at most.

        Returns:
            What follows slices, if these are it.
        """
        following = self.begin(landed) if self._store.undecided else None
        if following is None:
            return None
        following.start()
        wait(self.is_chosen, self._store.now() + self._store.resolver.lifetime)
        if self.closes():
            return following
        following.stop()
        following.join()
        return None

    def is_chosen(self) -> bool:
        """Whether there is nothing to wait for any more."""
        return self._store.closed or not self._store.undecided

    def closes(self) -> bool:
        """The time to choose is over: if there is no decision by now, it is DNS."""
        self._give_up(LookupTimeout(f"nothing came in {self._store.resolver.lifetime:g} s"))
        return self._store.pushes

    def first_word(self, until: float) -> Call[None]:
        """Sees to it that they are followed, and waits for what is known at first."""
        store = self._store
        if store.background_runs() and not store.known and not self._pauses():
            yield self._next(min(until, store.now() + store.resolver.lifetime))
            store.check_open()

    def next_word(self) -> Call[None]:
        """Waits for what comes next: an event or a bookmark, or the end of trouble."""
        store = self._store
        if store.background_runs():
            self.hurry()
            live = store.snapshot.state in (State.LIVE, State.EMPTY)
            yield self._next(store.now() + (_NEXT_WORD if live else store.resolver.lifetime))
            store.check_open()

    def _next(self, until: float) -> Wait:
        store, before = self._store, self._store.view.lookups
        return Wait(lambda: store.view.lookups != before or store.closed, until)

    def _pauses(self) -> bool:
        """Whether nothing is to be expected just now: the last try failed."""
        return self._watch is not None and self._watch.pauses(self._store.now())

    def hurry(self) -> None:
        """Requests them now, even during backoff."""
        self.following.hurry()

    def _learn(self, outcome: Outcome, at: float) -> float:
        store = self._store
        if store.feed is not self:
            return math.inf  # it came too late
        if store.undecided:
            if isinstance(outcome, Unknown):
                self._give_up(outcome.error)
                return math.inf
            store.undecided, store.pushes, store.source = False, True, "api"
            log.info("%s: by EndpointSlices", store)
        try:
            this_pod = store.view.this_pod
            if this_pod is None:
                target = self._target
                this_pod = find_this_pod(target, needed_for=target.needs_this_pod)
        except ConfigurationError as error:
            outcome, this_pod = Wrong(error), None
        except DiscoveryError as error:
            outcome, this_pod = Unknown(error), None
        store.learn(outcome, at, this_pod)
        # To apply the same again: when grace is over, or to find this pod again.
        return store.view.membership.due if isinstance(outcome, Empty | Unknown) else math.inf

    def _give_up(self, error: DiscoveryError) -> None:
        """It is DNS then, unless it was decided meanwhile."""
        if self._store.undecided:
            self._store.undecided, self._store.feed = False, None
            log.info(
                "%s: found by DNS, since EndpointSlices cannot be read: %s", self._store, error
            )


def paced_choice(store: "Store", landed: Callable[[], None]) -> Generator[float, None, Any]:
    """The choice of a source for a clock that decides by itself how late it is.

    Returns:
        What follows slices, if these are it: on such a clock threads and tasks have the same.
    """
    feed = store.feed
    following = feed.begin(landed) if feed is not None and store.undecided else None
    if feed is None or following is None:
        return None
    following.start()
    until = store.now() + store.resolver.lifetime
    while not feed.is_chosen() and store.now() < until:
        yield _LOOKS
    if feed.closes():
        return following
    following.stop()
    return None
