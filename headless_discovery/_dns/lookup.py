"""A lookup: the queries about a Service, in their order. Pure.

`lookup` is a generator: it yields lists of questions to send concurrently, is sent their replies
in the same order, and returns an outcome. It uses no sockets, clocks or threads. An empty list
yields to other tasks.

First, one SRV query gives the names of the pods and, by its glue, their addresses. If that is not
possible (a Service without ports, an answer too large, a server without SRV), A and AAAA give the
members, and the name of each new address is queried. If something is missing, the outcome is
`Unknown`; nothing is guessed, and an incomplete set is never passed off as complete.

Addresses are in `addresses`, names for them in `naming`, and the meaning of answers in `meaning`.
Here are the steps of every lookup: SRV, and the resulting endpoints.
"""

import itertools
import random
from collections.abc import Iterable, Mapping, Sequence
from itertools import repeat

from .._endpoint import Empty, Endpoint, Found, Outcome, Row, Unknown, dashed, endpoints_of, row_of
from .._errors import LookupFailed
from . import meaning
from .addresses import Came, ask_targets, by_addresses, diagnose
from .meaning import StopError
from .message import Answer, Type
from .steps import Question, Reply
from .wanted import (
    AT_ONCE,
    Asking,
    Listed,
    Look,
    Made,
    Members,
    Memory,
    Names,
    Wanted,
    family_of,
    impossible,
    packed,
)

Lookup = Asking[Outcome]
"""A complete lookup."""


def lookup(wanted: Wanted, memory: Memory, now: float, rng: random.Random) -> Lookup:
    """One lookup of one Service, which begins now; what it learns is added to the memory."""
    look = Look(wanted, memory, now, rng)
    outcome: Outcome
    try:
        if (
            wanted.records == "address"
            or memory.too_large is not None
            or memory.srv_failed
            or now < memory.no_srv_until
        ):
            came = yield from by_addresses(look)
        else:
            before = memory.answers.get(Type.SRV)
            [reply] = yield [Question(wanted.name, Type.SRV, before=before)]
            came = yield from _by_services(look, reply)
        outcome = yield from _outcome(look, came)
    except StopError as stop:
        outcome = stop.outcome
    if isinstance(outcome, Found):
        memory.known = True
    else:
        memory.doubt()
    if isinstance(outcome, Empty):
        memory.forget()
    return outcome


def _by_services(look: Look, reply: Reply) -> Asking[Came]:
    """The result of SRV; else the queries to send instead."""
    wanted, memory = look.wanted, look.memory
    if (
        isinstance(reply, Answer)
        and reply.below == wanted.below
        and not (reply.alias or reply.truncated)
    ):  # nearly always: whole, and all targets are pods
        memory.answers[Type.SRV] = reply
        memory.served = look.now
        return reply
    meaning.learn_services(look, reply)
    if not isinstance(reply, Answer):
        if not meaning.is_refused(reply):
            return Unknown(reply)
    elif reply.truncated:
        # Noted at once: should the rest not come in time, the next lookup starts with that.
        memory.too_large = 0
    elif reply.services:
        return reply
    elif isinstance(wanted.port, str):
        return (yield from diagnose(look, reply))
    elif reply.no_such_name and wanted.service.serves(reply.soa):
        return meaning.empty(wanted, [reply])
    return (yield from by_addresses(look, reply))


def _outcome(look: Look, came: Came) -> Lookup:
    """Of SRV records, or of the listed addresses."""
    services = came if isinstance(came, Answer) else None
    if isinstance(came, Answer):
        came = yield from _of_services(look, came)
    while isinstance(came, Listed):
        kept: Members = {}
        if came.dashed is None:
            kept = yield from _of_family(look.wanted, came.members)
        if kept or came.dashed is not None:
            return (yield from _found(look, came, kept))
        # Glue may leave a family out, so an empty one must be queried.
        came = yield from by_addresses(look, services)
    assert not isinstance(came, Answer)  # noqa: S101 - it comes only where SRV was not queried
    return came


def _of_services(look: Look, answer: Answer) -> Asking[Listed | Found]:
    """The members by SRV, and their addresses by glue or by queries."""
    memory = look.memory
    basis = (answer.services, answer.glue)
    if list(map(id, basis)) == list(map(id, memory.made.basis)):
        return Found(memory.made.endpoints, answer.ttl, stale=answer.stale)
    if len(answer.services) > AT_ONCE:
        yield []  # to read so many took its time
    targets = dict(answer.services).keys()
    ttl: float = answer.ttl
    error: LookupFailed | None = None
    stale = answer.stale
    members: Members = answer.glue
    bare: list[str] = []
    if members.keys() != targets:
        members = {target: answer.glue.get(target, ()) for target in targets}
        bare = [target for target, addresses in members.items() if not addresses]
    half = {target: members[target] for target in _half_glued(look.wanted, members)}
    bare += half
    # What other questions found before is older than this.
    memory.names.clear()
    memory.origins.clear()
    memory.addresses.clear()
    if bare:
        asked, remaining, error, old = yield from ask_targets(look, bare, half)
        members, ttl, stale = {**members, **asked}, min(ttl, remaining), stale or old
    else:
        memory.targets.clear()
    everything = itertools.chain.from_iterable(members.values())
    if left_out := impossible("\n".join(["", *everything, ""])):
        members = {
            target: tuple(address for address in addresses if address not in left_out)
            for target, addresses in members.items()
        }
    return Listed(
        members,
        () if bare else basis,
        ttl,
        services=answer.services,
        error=error,
        stale=stale,
        left_out=left_out,
    )


def _half_glued(wanted: Wanted, members: Members) -> list[str]:
    """The targets whose glue lacks a family that is wanted, where glue is not the same for all.

    A cache adds what it happens to have, and a server what fits: it need not say that it left glue
    out (RFC 2181, 9). (A dashed name has but one family.)
    """
    whole = all(members.values())
    if whole and len(_families(members)) < 2:
        return []  # nearly always
    expected = set(wanted.types)
    if whole:
        expected &= set(map(family_of, itertools.chain.from_iterable(members.values())))
    return [
        name
        for name, addresses in members.items()
        if addresses
        and not expected.issubset(map(family_of, addresses))
        and name.partition(".")[0] not in map(dashed, addresses)
    ]


# Endpoints.


def _found(look: Look, listed: Listed, members: Members) -> Lookup:
    """Endpoints of the members: those known already, where nothing about them is new."""
    memory = look.memory
    known = memory.made.endpoints
    names, ports, asked_for = _columns(look.wanted, listed, members)
    addresses = map(members.__getitem__, names) if listed.dashed is None else listed.dashed[1]
    columns = iter(addresses), iter(ports), iter(asked_for)
    pauses = len(names) > AT_ONCE  # there is more to do than an event loop can spare
    if pauses and known:
        yield []
    before: Mapping[Row, Endpoint] = dict(zip(map(row_of, known), known, strict=True))
    made: list[Endpoint] = []
    for at in range(0, len(names), AT_ONCE):
        if pauses:
            yield []
        part = names[at : at + AT_ONCE]
        if before:
            made += _known_or_made(before, list(zip(part, *columns, strict=False)))
        else:
            made += endpoints_of(part, *columns)
    if pauses:
        yield []  # to compare them with those of before takes its time, too
    endpoints = tuple(made)
    memory.made = Made(listed.basis, endpoints)
    left_out = tuple(sorted(set(listed.left_out)))
    return Found(endpoints, listed.ttl, error=listed.error, stale=listed.stale, left_out=left_out)


def _known_or_made(before: Mapping[Row, Endpoint], rows: Sequence[Row]) -> list[Endpoint]:
    known = list(map(before.get, rows))
    new = [row for row, endpoint in zip(rows, known, strict=True) if endpoint is None]
    made = iter(endpoints_of(*zip(*new, strict=True)) if new else ())
    return [next(made) if endpoint is None else endpoint for endpoint in known]


def _columns(
    wanted: Wanted, listed: Listed, members: Members
) -> tuple[Sequence[str], Iterable[int | None], Iterable[str]]:
    """Names, ports, and what tells the port in an identity, in the order of identities."""
    names = sorted(members) if listed.dashed is None else listed.dashed[0]
    services = listed.services
    if isinstance(wanted.port, int):
        return names, repeat(wanted.port), repeat(wanted.asked_for)
    if services is None:
        return names, repeat(listed.port), repeat(wanted.asked_for)
    numbers = dict(services)
    if len(numbers) == len(services) and all(numbers.values()):
        # Nearly always: one port number for each pod.
        return names, map(numbers.__getitem__, names), repeat(wanted.asked_for)
    several = _several_numbers(services)
    if wanted.port is None and max(map(len, several.values())) > 1:  # the Service has several
        return names, repeat(None), repeat(wanted.asked_for)
    # The lowest number has the requested port as identity; further ones have another.
    rows = sorted(
        (name, wanted.asked_for if rank == 0 else f"{wanted.port}:{number}", number)
        for name in names
        for rank, number in enumerate(several[name] or (None,))
    )
    names, asked_for, numbered = zip(*rows, strict=True)
    return names, numbered, asked_for


def _several_numbers(services: Sequence[tuple[str, int]]) -> Mapping[str, Sequence[int]]:
    """The port numbers of each SRV target, the lowest first; kube-dns's 0 is no port."""
    several: dict[str, set[int]] = {}
    for target, number in services:
        several.setdefault(target, set()).update({number} - {0})
    return {target: sorted(found) for target, found in several.items()}


def _of_family(wanted: Wanted, members: Members) -> Asking[Members]:
    """The addresses that the caller wants, the preferred family first, the lowest first.

    A dual-stack Deployment publishes each pod twice, under two dashed names. If a family is
    preferred, one is used of those: the preferred one if it has at least half as many as the other.
    What was used before does not count, so that all processes agree. A pod with a host name has
    both under one name, and stays.
    """
    types = wanted.types
    families = _families(members)
    if (
        set(map(len, members.values())) == {1}
        and families <= set(types)
        and (len(families) == 1 or wanted.family == "any")
    ):
        return members  # nearly always: there is nothing to rank, and none to leave out
    kept: dict[str, Names] = {}
    named_so: dict[Type, set[str]] = {rdtype: set() for rdtype in types}
    for number, (name, addresses) in enumerate(members.items(), 1):
        if number % AT_ONCE == 0:
            yield []
        in_order = sorted(addresses, key=packed)
        kept[name] = tuple([a for rdtype in types for a in in_order if family_of(a) is rdtype])
        label = name.partition(".")[0]
        for address in kept[name]:
            if label == dashed(address):
                named_so[family_of(address)].add(name)
    left_out: set[str] = set()
    if wanted.family.startswith("prefer"):
        ours, others = named_so.values()
        left_out = others if 2 * len(ours) >= len(others) else ours
    return {name: found for name, found in kept.items() if found and name not in left_out}


def _families(members: Members) -> set[Type]:
    """Of all addresses together; both, too, where an IPv6 one ends in dots."""
    text = "".join(itertools.chain.from_iterable(members.values()))
    return {rdtype for mark, rdtype in ((".", Type.A), (":", Type.AAAA)) if mark in text}
