"""What a call of Peers does, as steps that a shell carries out, blocking or awaiting. Pure.

A call asks (`Share`: leads a lookup, or waits for the end of the one that goes on) and waits
(`Wait`). When to do which, and what to raise, is decided here, once for sync and async.
"""

import math
from collections.abc import Callable, Generator
from typing import TypeVar

import attrs

from ._endpoint import Change, Endpoint, Snapshot, State, difference
from ._store import Store
from ._waiting import Wanted

_T = TypeVar("_T")


@attrs.frozen
class Share:
    """Lead a lookup, or wait for the end of the one that goes on."""

    until: float = math.inf
    """When the caller gives up; a lookup that it leads is then given up too."""


@attrs.frozen
class Wait:
    """Wait until it is over, or until then."""

    over: Callable[[], bool]
    until: float = math.inf


Step = Share | Wait
Call = Generator[Step, None, _T]


def known(store: Store, until: float = math.inf) -> Call[None]:
    """Asks if that may bring something; raises if nothing is known after that, or by then."""
    store.check_open()
    if store.known:
        # In the background, or while somebody asks, or during back-off: what is known serves.
        if not store.in_background and not store.under_way and store.turn_is_due():
            yield Share(until)
        return
    while not store.known and (store.under_way or store.may_ask(in_need=False)):
        if store.clock.now() >= until:
            break
        yield Share(until)
        store.check_open()
    store.raise_if_unknown()


def refreshed(store: Store) -> Call[Snapshot]:
    """Asks now, but not within the floor."""
    store.check_open()
    before = store.lookups
    while store.lookups == before and (store.under_way or store.may_ask(in_need=True)):
        yield Share()
        store.check_open()
    store.raise_if_unknown()
    return store.snapshot


def watched(store: Store) -> Generator[Step | Change, None, None]:
    """Changes, and what to do between them; ends when the store is closed."""
    seen: tuple[Endpoint, ...] = ()

    def something_new() -> bool:
        return store.closed or store.snapshot.endpoints is not seen

    while not store.closed:
        snapshot = store.snapshot
        change = difference(seen, snapshot)
        seen = snapshot.endpoints
        if change:
            yield change
        elif not store.in_background and not store.under_way and store.turn_is_due():
            yield Share()
        else:
            yield Wait(something_new, math.inf if store.in_background else store.next_turn)


def ready(store: Store, wanted: Wanted) -> Call[Snapshot]:
    """Waits until what is wanted is there, asking every 1 to 5 seconds; raises `NotReady`."""
    store.check_open()
    began = store.clock.now()
    deadline = math.inf if wanted.timeout is None else began + wanted.timeout
    before = store.lookups

    while True:
        lookups, snapshot, sight = store.lookups, store.snapshot, store.sight
        now, live = store.clock.now(), sight.snapshot.state is State.LIVE
        asked = lookups != before
        # What is known counts if nothing newer can be had, or if it is as good as new.
        if asked or not store.may_ask(in_need=True) or (live and store.is_fresh()):
            if wanted.is_met_by(sight):
                return snapshot
            if store.finding is None:
                raise wanted.not_ready(store, sight, now - began, now)
        if now >= deadline:
            raise wanted.not_ready(store, sight, now - began, now)
        asks_at = store.asks_for_waiter_at(wanted.stable_for, at_once=not (asked or live))
        if store.under_way or now >= asks_at:
            yield Share(deadline)
        else:
            yield Wait(_more_lookups(store, lookups), min(asks_at, deadline))
        store.check_open()


def _more_lookups(store: Store, than: int) -> Callable[[], bool]:
    return lambda: store.closed or store.lookups != than
