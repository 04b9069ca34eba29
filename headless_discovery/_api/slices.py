"""The EndpointSlices of one Service, and the endpoints that DNS would publish of them. Pure.

All slices with the Service's label count together (Kubernetes, *EndpointSlices*; what CoreDNS makes
of them: its ``plugin/kubernetes``). Changes are taken in one by one, and `Slices.settle` says what
they result in. Times are passed in. The rules about pods that are no longer published:

listed, but not ready in any slice
    They go at once: so drains leave as fast as additions come.
in no slice, though ready when last seen
    They are kept until they are back, or no slice changed for `_QUIET`, `_KEPT_AT_MOST` at most:
    when a port changes, the controller moves ready endpoints from one slice to another through
    nowhere. If their name comes back meanwhile, at whatever address, they have moved.
in two slices, with two numbers of the requested port
    The newest counts, until no slice changed for `_QUIET`: the old slice is about to go.
the last ones, still listed, neither ready nor terminating
    `Empty.kept`: kubelets that lose the API server turn every pod unready while all still serve.
"""

import itertools
import math
from collections import Counter
from collections.abc import Container, Generator, Iterable, Iterator, Mapping, Sequence
from operator import add, is_, sub
from typing import NamedTuple

from .._dns.names import ServiceName
from .._endpoint import (
    Empty,
    Endpoint,
    Found,
    Outcome,
    Wrong,
    identity_of,
    port_asked_for,
    without,
)
from .._errors import NoEndpoints, NoSuchPort, NotHeadless, log
from .parse import SERVICE, ParsedSlice, Row, SliceQuery, family_of, packed

_QUIET = 2.0
"""Seconds without a change after which a missing pod is removed (measured: 1.26 s)."""
_KEPT_AT_MOST = 10.0
"""Seconds: however much else changes."""
_AT_ONCE = 250
"""Names that are settled without a pause."""


class _Pod(NamedTuple):
    """One pod, put together from its rows."""

    addresses: tuple[str, ...]
    numbers: tuple[int, ...]
    zone: str | None
    node: str | None
    pod: str | None
    newest: tuple[int, ...] = ()
    """The numbers that it came with last."""


class Slices:
    """The slices of one Service, by their names."""

    def __init__(self, query: SliceQuery) -> None:
        self.query = query
        self._asked_for = port_asked_for(query.port)
        self._slices: dict[str, ParsedSlice] = {}
        self._rows: dict[str, tuple[Row, ...]] = {}  # by the name of the endpoint
        self._counts = (0,) * 7  # the sum of `_counted` over all names
        self._modes: tuple[bool, bool, int] = (False, False, 0)
        self._changed: dict[str, None] = {}  # names that are not settled yet
        self._shown: dict[str, tuple[Endpoint, ...]] = {}
        self._names: list[str] = []  # of those, in order
        self._vanished: dict[tuple[str, str], float] = {}  # by identity: since when
        self._in_two: set[str] = set()  # names with different numbers in different slices
        self._is_passing = False  # whether that may be about to end
        self._changed_at = -math.inf
        self._last: tuple[Endpoint, ...] = ()  # the last members
        self._found = Found((), math.inf, authoritative=True)
        self._said = False

    # Taking in.

    def put(self, new: ParsedSlice, now: float) -> Generator[None, None, bool]:
        """Adds a slice, or replaces the one of its name; returns whether anything is new."""
        old = self._slices.get(new.name, ParsedSlice(new.name))
        if old == new and new.name in self._slices:
            return False
        if new.left_out is not None and not self._said:
            self._said = True
            log.warning(
                "%s: left out of its EndpointSlices: %s",
                self.query.service,
                new.left_out,
            )
        yield from self._exchange(old.rows, new.rows, now)
        self._slices[new.name] = new
        return True

    def drop(self, name: str, now: float) -> Generator[None, None, bool]:
        """Removes a slice; returns whether it was there."""
        old = self._slices.get(name)
        if old is None:
            return False
        yield from self._exchange(old.rows, (), now)
        del self._slices[name]
        return True

    def replace(self, slices: Mapping[str, ParsedSlice], now: float) -> Iterator[None]:
        """Takes these for all there are, with pauses: what they lack has vanished."""
        for name in self._slices.keys() - slices.keys():
            yield from self.drop(name, now)
            yield
        for new in slices.values():
            yield from self.put(new, now)
            yield

    def _exchange(self, old: Sequence[Row], new: Sequence[Row], now: float) -> Iterator[None]:
        same = set(old).intersection(new)
        less, more = _by_name(old, same), _by_name(new, same)
        rows: dict[str, tuple[Row, ...]] = {}
        counts = self._counts
        for count, name in enumerate(less | more, 1):
            before = self._rows.get(name, ())
            rows[name] = after = _without(before, less.get(name, ())) + tuple(more.get(name, ()))
            counts = tuple(map(add, counts, map(sub, _counted(after), _counted(before))))
            if count % _AT_ONCE == 0:
                yield
        # All of it or nothing, if it is ended halfway.
        self._changed_at = now
        self._counts = counts
        for name, after in rows.items():
            (self._in_two.add if _is_in_two(after) else self._in_two.discard)(name)
            if after:
                self._rows[name] = after
            else:
                del self._rows[name]
            self._changed[name] = None

    # The result.

    @property
    def due(self) -> float:
        """When the result changes without an event: a missing pod is then removed."""
        settles = self._changed_at + _QUIET if self._is_passing else math.inf
        return min(settles, *map(self._believed_at, self._vanished.values()), math.inf)

    def _believed_at(self, since: float) -> float:
        return min(since + _KEPT_AT_MOST, self._changed_at + _QUIET)

    def settle(self, now: float) -> Generator[None, None, Outcome]:
        """What all changes so far come to, with pauses; what did not change is the same object."""
        was_passing = self._is_passing
        self._is_passing = bool(self._in_two) and now < self._changed_at + _QUIET
        if was_passing and not self._is_passing:
            self._changed |= dict.fromkeys(self._in_two)
        modes = self._modes_now()
        if modes != self._modes:
            self._modes = modes
            self._changed |= dict.fromkeys([*self._rows, *self._shown])
        for identity, since in self._vanished.items():
            if self._believed_at(since) <= now:
                self._changed[identity[0]] = None
        # Kept apart until all are settled: an error or an end halfway loses none of them.
        settled: dict[str, tuple[Endpoint, ...]] = {}
        left: list[Endpoint] = []
        joined: list[Endpoint] = []
        for count, name in enumerate(self._changed, 1):
            before = self._shown.get(name, ())
            after = yield from self._settled(name, before, now)
            if after is not before:
                settled[name] = after
                left += without(before, after) if after else before
                joined += without(after, before) if before else after
            if count % _AT_ONCE == 0:
                yield
        if settled:
            come = [name for name, after in settled.items() if after and name not in self._shown]
            gone = {name for name, after in settled.items() if not after}
            names = [name for name in self._names if name not in gone] if gone else self._names
            names = sorted(names + come) if come else names
            yield
            for name, after in settled.items():
                if after:
                    self._shown[name] = after
                else:
                    del self._shown[name]
            self._names = names
            endpoints = itertools.chain.from_iterable(map(self._shown.__getitem__, self._names))
            self._found = Found(
                tuple(endpoints),
                math.inf,
                authoritative=True,
                base=self._found.endpoints,
                gone=sorted(left, key=identity_of),
                come=sorted(joined, key=identity_of),
            )
        self._changed = {}
        return self._outcome()

    def _outcome(self) -> Outcome:
        query, service = self.query, self.query.service
        kinds = {each.virtual for each in self._slices.values()}
        if True in kinds and False not in kinds:
            return Wrong(
                NotHeadless(
                    f"{service} is a ClusterIP Service: its EndpointSlices are not marked as "
                    f"those of a headless one",
                    hint="Set clusterIP: None; it cannot be changed in place, so make a second "
                    "Service with the same selector.",
                )
            )
        if self._found.endpoints:
            self._last = self._found.endpoints
            return self._found
        elsewhere = {each.elsewhere for each in self._slices.values()}
        if (self._counts[0] or False in elsewhere) and not (
            True in elsewhere or not isinstance(query.port, str)
        ):
            return Wrong(
                NoSuchPort(
                    f"{service} has ready endpoints, but no port named {query.port!r} over "
                    f"{query.protocol.upper()} in its EndpointSlices",
                    hint=f"Compare with: {_kubectl(service)} -o yaml",
                )
            )
        waiting = {
            (row.name, address)
            for row in itertools.chain.from_iterable(self._rows.values())
            if not row.terminating
            for address in row.addresses
        }
        self._last = tuple(
            each
            for each in self._last
            if any((each.name, address) in waiting for address in each.addresses)
        )
        return Empty(
            math.inf,
            NoEndpoints(
                f"no endpoints of {service}: "
                + (
                    "its EndpointSlices list no ready one"
                    if self._rows
                    else "it has no EndpointSlice with an endpoint"
                ),
                hint=f"See {_kubectl(service)}; if pods are listed as not ready, look at their "
                "readiness probe; if they must find one another before they are ready, set "
                "publishNotReadyAddresses: true on the Service.",
            ),
            kept=self._last,
        )

    def _modes_now(self) -> tuple[bool, bool, int]:
        """What holds for all endpoints alike, as DNS has it.

        Whether only those with a number count (an SRV record needs one); whether there is a pod
        with several, so that none has *the* port; and the family whose dashed names are left out,
        since a dual-stack pod without a host name has two.
        """
        _, with_number, with_several, four, six, four_with, six_with = self._counts
        wanted = self.query
        needed = isinstance(wanted.port, str) or with_number > 0
        left_out = 0
        if wanted.family.startswith("prefer"):
            ours, others = (four_with, six_with) if needed else (four, six)
            if wanted.families[0] == 6:
                ours, others = others, ours
            if ours or others:
                left_out = wanted.families[1 if 2 * ours >= others else 0]
        several = with_several > 0 or (bool(self._in_two) and not self._is_passing)
        return needed, several, left_out

    def _settled(
        self, name: str, before: tuple[Endpoint, ...], now: float
    ) -> Generator[None, None, tuple[Endpoint, ...]]:
        """The endpoints of one name, those that vanished and are kept among them."""
        needed, _, left_out = self._modes
        rows = self._rows.get(name, ())
        ready = [
            row
            for row in rows
            if row.ready and (row.numbers or not needed) and not 0 < row.dashed == left_out
        ]
        if len(rows) == len(ready) == 1 and len(before) < 2 and len(rows[0].numbers) < 2:
            pods = [_Pod(*rows[0][1:3], *rows[0][7:10])]  # nearly always
            kept: list[Endpoint] = []
        else:
            pods = yield from self._pods(ready, rows)
            kept = self._kept(before, rows, pods, now)
        if self._vanished:
            for identity in {each.identity for each in before} - {each.identity for each in kept}:
                self._vanished.pop(identity, None)
        if not pods and not kept:
            return ()
        return self._made(name, before, pods, kept)

    def _pods(self, ready: Sequence[Row], rows: Sequence[Row]) -> Generator[None, None, list[_Pod]]:
        """Rows of one pod, or of one address, are one: in another slice, of the other family."""
        groups: dict[int, list[Row]] = {}
        group_of: dict[object, list[Row]] = {}  # by what they have in common
        for count, row in enumerate(ready, 1):
            if count % _AT_ONCE == 0:
                yield
            shared = [("uid", row.uid), *row.addresses]
            ours = {id(group): group for key in shared if (group := group_of.get(key))}
            group = max(ours.values(), key=len, default=[])
            for other in ours.values():
                if other is not group:
                    group += groups.pop(id(other))
                    group_of |= {key: group for each in other for key in each.addresses}
                    group_of |= {("uid", each.uid): group for each in other}
            group.append(row)
            groups[id(group)] = group
            group_of |= dict.fromkeys(shared, group)
        first = self.query.families[0]
        newest = {key: group[-1].numbers for key, group in groups.items()}
        joined: list[list[Row]] = []
        loose: list[list[Row]] = []
        for group in groups.values():
            is_loose = all(
                row.uid is row.addresses and family_of(row.addresses[0]) != first for row in group
            )
            (loose if is_loose else joined).append(group)
        # Without uids it is unknown which addresses of two families belong together; DNS joins all.
        if joined:
            joined[0] += itertools.chain.from_iterable(loose)
        else:
            joined = loose
        listed: dict[str, list[Row]] = {}
        for row in rows:
            for address in row.addresses:
                listed.setdefault(address, []).append(row)
        found: list[_Pod] = []
        for count, group in enumerate(joined, 1):
            if count % _AT_ONCE == 0:
                yield
            addresses = {address for row in group for address in row.addresses}
            told = min(
                itertools.chain.from_iterable(map(listed.__getitem__, addresses)),
                key=lambda row: (row.terminating, not row.serving),
            )
            found.append(
                _Pod(
                    tuple(
                        sorted(addresses, key=lambda text: (family_of(text) != first, packed(text)))
                    ),
                    tuple(sorted({number for row in group for number in row.numbers})),
                    told.zone,
                    told.node,
                    told.pod,
                    newest[id(group)],  # of the row that came last
                )
            )
        return found

    def _kept(
        self, before: Sequence[Endpoint], rows: Sequence[Row], pods: Sequence[_Pod], now: float
    ) -> list[Endpoint]:
        """Those in no slice any more, unless another pod came under their name instead."""
        listed = {address for row in rows for address in row.addresses}
        known = {address for each in before for address in each.addresses}
        fresh = sum(known.isdisjoint(pod.addresses) for pod in pods)
        vanished: dict[tuple[str, ...], list[Endpoint]] = {}
        for each in before:
            since = self._vanished.get(each.identity, now)
            if listed.isdisjoint(each.addresses) and (
                since == now or self._believed_at(since) > now
            ):
                vanished.setdefault(each.addresses, []).append(each)
        kept = list(itertools.chain.from_iterable(list(vanished.values())[fresh:]))
        for each in kept:
            self._vanished.setdefault(each.identity, now)
        return kept

    def _made(
        self,
        name: str,
        before: tuple[Endpoint, ...],
        pods: Sequence[_Pod],
        kept: Sequence[Endpoint],
    ) -> tuple[Endpoint, ...]:
        """The newest pod has the identity (name, port); further ones add their address."""
        if len(pods) + len(kept) > 1:
            rank = {address: at for at, each in enumerate(before) for address in each.addresses}
            pods = sorted(
                pods, key=lambda pod: (rank.get(pod.addresses[0], -1), packed(pod.addresses[0]))
            )
        shown = {each.port for each in before}
        made: list[Endpoint] = []
        held = {each.asked_for for each in kept}
        for pod in pods:
            asked_for = self._asked_for
            if made or asked_for in held:
                asked_for = f"{asked_for}@{pod.addresses[0]}"
            for at, number in enumerate(self._ports(pod, shown)):
                made.append(
                    Endpoint(
                        name,
                        pod.addresses,
                        number,
                        asked_for=asked_for if at == 0 else f"{asked_for}:{number}",
                        zone=pod.zone,
                        node=pod.node,
                        pod=pod.pod,
                    )
                )
        made += kept
        if len(made) > 1:
            made.sort(key=lambda each: each.asked_for)
        known = {each.identity: each for each in before}
        after = tuple(
            [
                old if (old := known.get(each.identity)) == each and old is not None else each
                for each in made
            ]
        )
        unchanged = len(after) == len(before) and all(map(is_, after, before))
        return before if unchanged else after

    def _ports(self, pod: _Pod, shown: Container[int | None]) -> tuple[int | None, ...]:
        port, numbers = self.query.port, pod.numbers
        if isinstance(port, int):
            return (port,)
        if self._is_passing and shown and not all(number in shown for number in numbers):
            numbers = pod.newest or numbers
        if port is not None:
            return numbers
        return (None,) if self._modes[1] or not numbers else numbers[:1]


def _by_name(rows: Iterable[Row], but: Container[Row]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for row in rows:
        if row not in but:
            found.setdefault(row.name, []).append(row)
    return found


def _without(rows: tuple[Row, ...], some: Sequence[Row]) -> tuple[Row, ...]:
    """Each once less: another slice may have the same row."""
    if len(some) in (0, len(rows)):
        return () if some else rows
    left = Counter(some)
    kept: list[Row] = []
    for row in rows:
        if left.get(row):
            left[row] -= 1
        else:
            kept.append(row)
    return tuple(kept)


def _counted(rows: Sequence[Row]) -> tuple[int, ...]:
    """Of one name: whether any is ready, has a number, several, a dashed name (with a number)."""
    ready = [row for row in rows if row.ready]
    if not ready:
        return (0,) * 7
    numbers = max(len(row.numbers) for row in ready)
    four, six = (any(row.dashed == family for row in ready) for family in (4, 6))
    return (
        1, numbers > 0, numbers > 1, four, six, four and numbers > 0, six and numbers > 0
    )  # fmt: skip


def _is_in_two(rows: Sequence[Row]) -> bool:
    """Whether slices differ in the number of one name's port."""
    if len(rows) < 2:
        return False
    found = {row.numbers for row in rows if row.ready and row.numbers}
    return len(found) > 1 and max(map(len, found)) < 2


def _kubectl(service: ServiceName) -> str:
    return f"kubectl get endpointslices -n {service.namespace} -l {SERVICE}={service.service}"
