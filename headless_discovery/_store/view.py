"""All that a `Peers` knows at one moment, and how it follows from the moment before. Pure."""

import ipaddress
import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, NamedTuple

import attrs

from .._endpoint import (
    Change,
    Empty,
    Endpoint,
    Found,
    Outcome,
    Snapshot,
    State,
    Stats,
    ThisPod,
    Unknown,
    Wrong,
    without,
)
from .._errors import ConfigurationError, LookupFailed
from .._membership import Membership
from .arguments import Target

_TELL_SELF = (
    "Set $POD_IP and $POD_NAME by the downward API, or give self_address (with the port, if pods "
    "share it) or self_name."
)


class View(NamedTuple):
    """What is known; replaced as a whole, in one assignment, so that no interrupt leaves half."""

    membership: Membership
    """Never changed once it is here."""
    snapshot: Snapshot
    """What callers see: the membership's, without this pod if it is to be left out."""
    this_pod: ThisPod | None = None
    left_out: tuple[Endpoint, ...] = ()
    lookups: int = 0
    """How many had an outcome; this is the version of what is known."""
    others: Mapping[type, int] = dict.fromkeys((Empty, Unknown, Wrong), 0)
    """How many had each outcome but `Found`."""
    state_since: float | None = None
    lookup_seconds: float | None = None
    """How long the last lookup took."""
    is_lost: bool = False
    """Whether this pod once went missing from its own Service."""
    warnings: Mapping[str, str] = MappingProxyType({})
    """What is logged once, by kind."""
    fresh_until: float = -math.inf
    """Until when, on the clock, callers are answered without a second look."""

    @property
    def listed(self) -> tuple[Endpoint, ...]:
        """The endpoints before leaving this pod out."""
        return self.membership.snapshot.endpoints

    @property
    def own(self) -> tuple[Endpoint, ...]:
        """Those of listed that are this pod."""
        return () if self.this_pod is None else self.this_pod.among(self.listed)

    def stats(self, now: float, **counted: int) -> Stats:
        """The counters, with those that are kept elsewhere."""
        snapshot = self.snapshot
        answered = snapshot.answered_at
        return Stats(
            lookups=self.lookups,
            found=self.lookups - sum(self.others.values()),
            empty=self.others[Empty],
            unknown=self.others[Unknown],
            wrong=self.others[Wrong],
            changes=snapshot.generation,
            endpoints=len(snapshot.endpoints),
            departing=len(snapshot.departing),
            state=snapshot.state,
            state_since=self.state_since,
            source=snapshot.source,
            lookup_seconds=self.lookup_seconds,
            answer_age=None if answered is None else now - answered,
            **counted,
        )

    def after(
        self,
        outcome: Outcome,
        asked_at: float,
        now: float,
        *,
        this_pod: ThisPod | None,
        include_self: bool,
        source: Literal["dns", "api", "static"],
    ) -> "View":
        """What is known after the outcome of a lookup that began and ended at these times."""
        membership, change = self.membership.after(outcome, asked_at, now, source)
        full, before = membership.snapshot, self.snapshot
        left_out, snapshot, warnings = self.left_out, full, self.warnings
        others = self.others
        if not isinstance(outcome, Found):
            others = {**others, type(outcome): others[type(outcome)] + 1}
        elif outcome.left_out:
            addresses = ", ".join(outcome.left_out[:5])
            warnings = {"left out": f"addresses that no pod can have: {addresses}", **warnings}
        if not include_self:
            same = full.generation == self.membership.snapshot.generation
            known = same and this_pod is self.this_pod and self.lookups
            if this_pod is not None and not known:
                left_out = this_pod.among(full.endpoints)
                if full.endpoints and (doubt := this_pod.doubt(full.endpoints)):
                    warnings = {"self": f"{doubt}: none is left out. {_TELL_SELF}", **warnings}
            snapshot = _without(left_out, full, before)
        return View(
            membership=membership,
            snapshot=snapshot,
            this_pod=this_pod,
            left_out=left_out,
            warnings=warnings,
            lookups=self.lookups + 1,
            others=others,
            state_since=self.state_since if snapshot.state is before.state else now,
            lookup_seconds=now - asked_at,
            fresh_until=_fresh_until(membership),
            is_lost=self.is_lost or (change is not None and self._loses(this_pod, change)),
        )

    def _loses(self, this_pod: ThisPod | None, change: Change) -> bool:
        """Whether this pod went missing from its own Service.

        A member that an answer lacks is kept until that is confirmed, so this pod is lost only
        when a confirmed answer lacks it, or when an empty answer is accepted.
        """
        if this_pod is None or not (change.removed or change.moved):
            return False
        if not this_pod.at([*change.removed, *(was for was, _ in change.moved)]):
            return False
        # Of all, not of those that went: who shares an address is meant by all who do.
        here = this_pod.among(change.snapshot.endpoints)
        return not here and bool(this_pod.among(self.listed))

    def hurried(self, now: float) -> "View":
        """The same after a connection failed: the answer is due."""
        membership = self.membership.copy()
        membership.hurry(now)
        return self._with(membership)

    def gave_up(self, now: float) -> "View":
        """The same after a lookup without an outcome."""
        membership = self.membership.copy()
        membership.gave_up(now)
        return self._with(membership)

    def closed(self) -> "View":
        """The same at the end: every call checks again, and finds that it is closed."""
        return self._replace(fresh_until=-math.inf)

    def _with(self, membership: Membership) -> "View":
        return self._replace(membership=membership, fresh_until=_fresh_until(membership))


def _fresh_until(membership: Membership) -> float:
    return -math.inf if membership.snapshot.state is State.PENDING else membership.due


def _without(left_out: tuple[Endpoint, ...], full: Snapshot, before: Snapshot) -> Snapshot:
    """The snapshot without this pod; its state is that of the answer before leaving out."""
    others: tuple[Endpoint, ...] = tuple(without(full.endpoints, left_out))
    changed = others != before.endpoints
    return attrs.evolve(
        full,
        endpoints=others if changed else before.endpoints,
        departing=tuple(without(full.departing, left_out)),
        generation=before.generation + changed,
    )


def find_this_pod(target: Target, source: str, *, needed_for: str | None = None) -> ThisPod | None:
    """This pod: as given, from the environment, or from the network and the host name.

    The network tells which of its addresses routes to the source, the one that was chosen.

    Without an address it is ``None``, or a `DiscoveryError` if an argument cannot do without one:
    ``include_self=False``, or the one that it is ``needed_for``.
    """
    needed_for = needed_for or (None if target.include_self else "include_self=False")
    environ, resolver = target.surroundings.environ, target.resolver
    found = target.self_address
    if found is None and (given := environ.get("POD_IPS") or environ.get("POD_IP")):
        try:
            each = [ipaddress.ip_address(text.strip()) for text in given.split(",")]
        except ValueError as error:
            raise ConfigurationError(f"$POD_IPS or $POD_IP: {error}") from error
        found = tuple((str(address), None) for address in each)
    if routed := found is None:
        router = target.slices if target.slices and source == "api" else resolver
        try:
            found = tuple((address, None) for address in router.own_addresses())
        except (ConfigurationError, LookupFailed):  # no server, no route: it is looked for again
            if needed_for is not None:
                raise
            return None
    if not found:
        if needed_for is not None:
            raise ConfigurationError(
                f"{needed_for}, but this pod's own address could not be found", hint=_TELL_SELF
            )
        return None
    names = (target.self_name, environ.get("POD_NAME"), resolver.own_hostname())
    return ThisPod(found, tuple(name.lower() for name in names if name), routed=routed)
