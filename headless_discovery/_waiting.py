"""Who is there: when a caller of `wait_ready` may go on, and whether this pod is seen. Pure.

Which answers count:

- LIVE ones only, asked for lately: what is kept through trouble proves nothing about the start.
- Members that the last answer lacked (`departing`) are not counted.
- `stable_for`: two answers at least, so far apart, that confirm each other (`_membership`), with
  the same set in each answer between them; a failed lookup between them says nothing.
- `see_self` looks at the answer before this pod is left out.

It knows no clock: times are handed in.
"""

import copy
import math
from collections.abc import Sequence

import attrs

from ._endpoint import Change, Endpoint, Snapshot, State
from ._errors import ConfigurationError, NotHeadless, NotReady
from ._membership import Run
from ._self import ThisPod

_AT_MOST_NAMED = 5


@attrs.frozen
class Sight:
    """What is known at one moment, and about this pod in it."""

    snapshot: Snapshot = attrs.field(factory=Snapshot)
    """Before leaving anybody out."""
    run: Run | None = None
    """The answers in a row that held the present set."""
    this_pod: ThisPod = attrs.field(factory=ThisPod)

    @property
    def own(self) -> tuple[Endpoint, ...]:
        """Those of the snapshot that are this pod."""
        return self.this_pod.among(self.snapshot.endpoints)


@attrs.define
class Presence:
    """Whether this pod went missing from its own Service; said once.

    A member that an answer lacks is kept until that is confirmed, so this pod is lost only when a
    confirmed answer lacks it, or when it is believed that there is nobody at all.
    """

    _told: bool = False

    def is_lost(self, this_pod: ThisPod, before: Sequence[Endpoint], change: Change) -> bool:
        """Whether to say so now; ``before`` is what was there."""
        if self._told or not (change.removed or change.moved):
            return False
        # Of all, not of those that went: who shares an address is told by all who do.
        here = this_pod.among(change.snapshot.endpoints)
        self._told = not here and bool(this_pod.among(before))
        return self._told


@attrs.frozen(kw_only=True)
class Wanted:
    """The arguments of `wait_ready`, checked."""

    at_least: int
    stable_for: float
    timeout: float | None
    see_self: bool
    include_self: bool

    def __attrs_post_init__(self) -> None:
        at_least = self.at_least
        if isinstance(at_least, bool) or not isinstance(at_least, int) or at_least < 0:
            raise ConfigurationError(
                f"at_least must be a whole number from 0 on, not {self.at_least!r}"
            )
        for name in ("stable_for", "timeout"):
            value = getattr(self, name)
            if value is None and name == "timeout":
                continue
            if (
                isinstance(value, bool)
                or not isinstance(value, int | float)
                or not 0 <= value < math.inf
            ):
                raise ConfigurationError(f"{name} must be a number of seconds, not {value!r}")

    def __str__(self) -> str:
        """For people."""
        text = f"at least {self.at_least} peer{'' if self.at_least == 1 else 's'}"
        if not self.include_self:
            text += " besides this pod"
        if self.see_self:
            text += ", this pod in the answer"
        if self.stable_for:
            text += f", the same set for {self.stable_for:g} s"
        return text

    def counted(self, sight: Sight) -> tuple[Endpoint, ...]:
        """Those that count towards `at_least`."""
        if sight.snapshot.state is not State.LIVE or sight.run is None:
            return ()
        if self.include_self:
            return sight.run.endpoints
        own = {endpoint.identity for endpoint in sight.own}
        return tuple(one for one in sight.run.endpoints if one.identity not in own)

    def sees_self(self, sight: Sight) -> bool:
        """Whether this pod is in the answer, or need not be."""
        if not self.see_self:
            return True
        published = () if sight.run is None else sight.run.endpoints
        return any(endpoint in published for endpoint in sight.own)

    def is_met_by(self, sight: Sight) -> bool:
        """Whether the caller may go on.

        Raises the error at once where waiting cannot help: the configuration is wrong, or the
        Service is not headless. A port name may still come, as may everything else.
        """
        error = sight.snapshot.error
        if isinstance(error, ConfigurationError | NotHeadless):
            raise copy.copy(error)
        if sight.snapshot.state is not State.LIVE or sight.run is None:
            return False
        return (
            len(self.counted(sight)) >= self.at_least
            and self.sees_self(sight)
            and (not self.stable_for or sight.run.confirmed_for >= self.stable_for)
        )

    def not_ready(self, service: object, sight: Sight, waited: float, now: float) -> NotReady:
        """What was seen, for how long, the last outcome, and what to check."""
        snapshot = sight.snapshot
        seen = self.counted(sight)
        lines = [f"{service} was not ready after {waited:.3g} s: wanted {self}"]
        if snapshot.state is State.LIVE and sight.run is not None:
            names = ", ".join(endpoint.hostname for endpoint in seen[:_AT_MOST_NAMED])
            more = ", ..." if len(seen) > _AT_MOST_NAMED else ""
            listed = f" ({names}{more})" if names else ""
            lines.append(f"saw {len(seen)}{listed}, so for {now - sight.run.first.at:.3g} s")
            lines.append("the last lookup found them")
        else:
            kept = len(snapshot.endpoints)
            told = f"saw none ({kept} known from before)" if kept else "saw none"
            lines.append(f"{told}; the state is {snapshot.state}")
            lines.append(
                f"the last lookup said: {snapshot.reason}"
                if snapshot.reason
                else "no lookup came to an end in that time"
            )
        return NotReady(
            "; ".join(lines) + ". " + self._check(sight, len(seen)),
            seen=len(seen),
            wanted=self.at_least,
            state=snapshot.state,
            reason=snapshot.reason,
        )

    def _check(self, sight: Sight, seen: int) -> str:
        """What to look at."""
        answered = sight.snapshot.state in (State.LIVE, State.EMPTY)
        if answered and not self.sees_self(sight):
            return (
                "Check that the Service selects this pod, and self_address or $POD_IP; and if "
                f"this pod waits here before it is ready: {_DEADLOCK}"
            )
        if answered and seen < self.at_least:
            return (
                "Check the number of running pods (kubectl get endpointslices), and if they wait "
                f"here before they are ready: {_DEADLOCK}"
            )
        if answered:
            return (
                "The set changed, or no later answer has confirmed it: a DNS cache gives the same "
                "copy until its TTL is over (30 s in CoreDNS's usual configuration), so wait for "
                "longer than that"
            )
        return "Check the DNS of the cluster: what is kept from before does not count here"


_DEADLOCK = (
    "DNS does not list pods that are not ready, so pods that wait for one another never become "
    "ready (readiness deadlock): set publishNotReadyAddresses: true on the Service"
)
