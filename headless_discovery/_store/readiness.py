"""`wait_ready`: when it returns, and its lookups until then.

Which answers count:

- Recent LIVE ones only: what is kept during an outage proves nothing about the start.
- Members that the last answer lacked (`departing`) are not counted.
- `stable_for`: two answers at least, so far apart, that confirm each other (`_membership`), with
  the same set in each answer between them; a failed lookup between them does not count.
- `see_self` refers to the answer before this pod is left out.
"""

import contextlib
import copy
import math

import attrs

from .._endpoint import Endpoint, Snapshot, State
from .._errors import (
    ConfigurationError,
    LookupFailed,
    NotHeadless,
    NotReady,
    check_count,
    check_is_a,
    check_seconds,
    in_seconds,
)
from .._membership import WAITER_ASKS
from .steps import Call, Share, Wait
from .store import Store
from .view import View, find_this_pod

_AT_MOST_NAMED = 5


def ready(store: Store, wanted: "Readiness") -> Call[Snapshot]:
    """Waits until what is wanted is there, asking every 1 to 5 seconds; raises `NotReady`."""
    store.check_open()
    began = store.clock.now()
    deadline = began + wanted.timeout
    before = store.view.lookups
    while True:
        if store.pushes:
            return (yield from _told(store, wanted, began))
        view, now = store.view, store.clock.now()
        asked, live = view.lookups != before, view.snapshot.state is State.LIVE
        fresh = live and now < view.fresh_until
        # What is known counts if nothing newer can be had, or if it is as good as new.
        if (asked or fresh or not store.may_ask(in_need=True)) and wanted.is_met_by(view, now):
            return view.snapshot
        # A fixed list may be updated by the program; without a timeout that may never come.
        fixed = store.target is None
        if now >= deadline or (fixed and deadline == math.inf):
            raise wanted.not_ready(store, view, now - began, now)
        if fixed:
            yield Wait(store.after(view.lookups), deadline)
            store.check_open()
            continue
        asks_at = view.membership.asks_for_waiter_at(wanted.stable_for, at_once=not (asked or live))
        if store.under_way or now >= asks_at:
            yield Share(deadline)
        else:
            yield Wait(store.after(view.lookups), min(asks_at, deadline))
        store.check_open()


def _told(store: Store, wanted: "Readiness", began: float) -> Call[Snapshot]:
    """The same for a source that pushes changes: the set is stable if none came since."""
    deadline = began + wanted.timeout
    while True:
        runs = store.shell.runs()
        view, now = store.view, store.clock.now()
        if wanted.is_met_by(view, now):
            return view.snapshot
        if now >= deadline or not runs:
            raise wanted.not_ready(store, view, now - began, now)
        run = view.membership.run
        looks_at = now + WAITER_ASKS
        if view.snapshot.state is State.LIVE and run is not None and wanted.stable_for:
            looks_at = run.first.at + wanted.stable_for
            looks_at = looks_at if looks_at > now else math.inf
        yield Wait(store.after(view.lookups), min(looks_at, deadline))
        if view.lookups == store.view.lookups and view.snapshot.state is not State.LIVE:
            store.hurry()
        store.check_open()


@attrs.frozen(kw_only=True)
class Readiness:
    """The arguments of `wait_ready`, checked."""

    at_least: int
    stable_for: float
    timeout: float
    see_self: bool
    include_self: bool

    @classmethod
    def of(
        cls,
        store: Store,
        at_least: int,
        stable_for: float,
        timeout: float | None,
        *,
        see_self: bool,
    ) -> "Readiness":
        """What a caller waits for; raises `ConfigurationError` for what cannot be meant.

        A fixed list needs no confirmation, and who this pod is in it cannot be known.
        """
        fixed = store.target is None
        check_is_a("see_self", see_self, bool)
        # While the source is undecided, so is what an address of this pod's routes to.
        if see_self and store.target is not None and not store.undecided:
            with contextlib.suppress(LookupFailed):  # that may pass, and is looked for again
                find_this_pod(store.target, store.source, needed_for="see_self=True")
        return cls(
            at_least=check_count("at_least", at_least),
            stable_for=min(check_seconds("stable_for", stable_for), 0 if fixed else math.inf),
            timeout=math.inf if timeout is None else check_seconds("timeout", timeout),
            see_self=see_self and not fixed,
            include_self=store.include_self,
        )

    def __str__(self) -> str:
        """For people, in few words: an error has 25 in all."""
        text = f"at least {self.at_least} peer{'' if self.at_least == 1 else 's'}"
        if self.see_self:
            text += ", this pod among them" if self.include_self else " and this pod"
        elif not self.include_self:
            text += " besides this pod"
        if self.stable_for:
            text += f", unchanged for {self.stable_for:g} s"
        return text

    def counted(self, view: View) -> tuple[Endpoint, ...]:
        """Those that count towards `at_least`."""
        if view.membership.snapshot.state is not State.LIVE or view.membership.run is None:
            return ()
        if self.include_self:
            return view.membership.run.endpoints
        own = {endpoint.identity for endpoint in view.own}
        return tuple(one for one in view.membership.run.endpoints if one.identity not in own)

    def sees_self(self, view: View) -> bool:
        """Whether this pod is in the answer, or need not be."""
        if not self.see_self:
            return True
        published = () if view.membership.run is None else view.membership.run.endpoints
        return any(endpoint in published for endpoint in view.own)

    def is_met_by(self, view: View, now: float) -> bool:
        """Whether the conditions are met.

        Raises the error at once where waiting cannot help: the configuration is wrong, or the
        Service is not headless. A port name may still come, as may everything else.
        """
        error = view.membership.snapshot.error
        if isinstance(error, ConfigurationError | NotHeadless):
            raise copy.copy(error)
        state, run = view.membership.snapshot.state, view.membership.run
        told = view.snapshot.source == "api"
        if state is State.EMPTY:
            return not (self.at_least or self.stable_for or self.see_self)
        if state is not State.LIVE or run is None:
            return False
        return (
            len(self.counted(view)) >= self.at_least
            and self.sees_self(view)
            and self.stable_for <= (now - run.first.at if told else run.confirmed_for)
        )

    def not_ready(self, service: object, view: View, waited: float, now: float) -> NotReady:
        """What was seen, for how long, the last outcome, and what to check."""
        snapshot, run = view.membership.snapshot, view.membership.run
        seen = self.counted(view)
        if snapshot.state is State.LIVE and run is not None:
            saw = f"saw {len(seen)}, for {in_seconds(now - run.first.at)}"
        else:
            kept = len(snapshot.endpoints)
            saw = f"saw none ({snapshot.state}{f', {kept} kept' if kept else ''})"
        return NotReady(
            f"{service} was not ready after {in_seconds(waited)}: wanted {self}; {saw}",
            hint=self._hint(view, seen),
            seen=len(seen),
            wanted=self.at_least,
            state=snapshot.state,
            reason=snapshot.reason,
        )

    def _hint(self, view: View, seen: tuple[Endpoint, ...]) -> str:
        """The result of the last lookup, and what to check."""
        snapshot = view.membership.snapshot
        said = f"The last lookup said: {snapshot.reason}. " if snapshot.reason else ""
        if seen:
            names = sorted((one.hostname for one in seen), key=lambda name: (len(name), name))
            more = f" and {len(names) - _AT_MOST_NAMED} more" * (len(names) > _AT_MOST_NAMED)
            said = f"Seen: {', '.join(names[:_AT_MOST_NAMED])}{more}. "
        if snapshot.source == "static":
            return f"{said}Check the list, and what calls update."
        if snapshot.state not in (State.LIVE, State.EMPTY):
            said = said or "No lookup was completed in that time. "
            error = snapshot.error
            return said + ((error and error.hint) or "Check the DNS of the cluster.")
        if not self.sees_self(view):
            return (
                f"{said}Check that the Service selects this pod, and self_address or $POD_IP; and "
                f"if this pod waits here before it is ready: {_DEADLOCK}"
            )
        if len(seen) < self.at_least:
            return (
                f"{said}Check the number of running pods (kubectl get endpointslices), and if they "
                f"wait here before they are ready: {_DEADLOCK}"
            )
        return (
            f"{said}The set changed, or no later answer has confirmed it: a DNS cache gives the "
            "same copy until its TTL is over (usually 30 s in CoreDNS), so wait for longer."
        )


_DEADLOCK = (
    "DNS does not list pods that are not ready, so pods that wait for one another never become "
    "ready (readiness deadlock): set publishNotReadyAddresses: true on the Service."
)
