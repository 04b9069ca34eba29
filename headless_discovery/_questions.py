"""A lookup: what to ask about a Service, and what the answers mean. Pure.

`lookup` is a generator: it yields lists of questions that may be asked side by side, is sent their
replies in the same order, and returns an outcome. It knows no socket, clock or thread. An empty
list asks nothing, and lets others run meanwhile.

The order of things: SRV names the pods and, by its glue, gives their addresses, in one question.
Where it cannot serve (a Service without ports, an answer too large), A and AAAA give the members
and each new address is asked for its name. What cannot be had makes the outcome `Unknown`; nothing
is guessed, and an incomplete set is never passed off as complete.
"""

import enum
import itertools
import operator
import socket  # for inet_pton alone
from collections.abc import Collection, Generator, Iterable, Iterator, Mapping, Sequence
from itertools import repeat
from typing import Literal

import attrs

from ._endpoint import Endpoint, Row, all_dashed, dashed, endpoints_of, port_asked_for, row_of
from ._errors import IncompleteAnswer, LookupFailed, NoEndpoints, NoSuchPort, NotHeadless
from ._exchange import Question, Reply, incomplete
from ._outcomes import Empty, Found, Outcome, Unknown, Wrong
from ._service import ServiceName
from ._wire import Answer, Type

Family = Literal["prefer-ipv4", "prefer-ipv6", "ipv4", "ipv6", "any"]
Records = Literal["auto", "address"]
FAMILIES: tuple[Family, ...] = ("prefer-ipv4", "prefer-ipv6", "ipv4", "ipv6", "any")
RECORDS: tuple[Records, ...] = ("auto", "address")

_TYPES: Mapping[Family, tuple[Type, ...]] = {
    "prefer-ipv4": (Type.A, Type.AAAA),
    "prefer-ipv6": (Type.AAAA, Type.A),
    "ipv4": (Type.A,),
    "ipv6": (Type.AAAA,),
    "any": (Type.A, Type.AAAA),
}
_AT_ONCE = 500
"""Endpoints that are made without a pause."""
_WELL_BELOW = 0.5
"""SRV is tried again once the set is smaller than this share of the one that did not fit."""


@attrs.frozen
class Wanted:
    """What the caller asked for."""

    service: ServiceName
    port: str | int | None = None
    protocol: str = "tcp"
    family: Family = "prefer-ipv4"
    records: Records = "auto"

    name: str = attrs.field(init=False, eq=False, repr=False)
    """Where the pods of the port are: rows of the port's own name, or of the Service."""
    types: tuple[Type, ...] = attrs.field(init=False, eq=False, repr=False)
    """The address types to ask for, the preferred one first."""

    @name.default
    def _name_of_pods(self) -> str:
        if isinstance(self.port, str):
            return f"_{self.port}._{self.protocol}.{self.service}"
        return str(self.service)

    @types.default
    def _types_of_family(self) -> tuple[Type, ...]:
        return _TYPES[self.family]

    @property
    def asked_for(self) -> str:
        """The port as it is told in an endpoint's identity."""
        return port_asked_for(self.port)

    @property
    def needed(self) -> Type | None:
        """The family without which nothing can be said: asked alone, or preferred."""
        return None if self.family == "any" else self.types[0]


class Origin(enum.StrEnum):
    """Where an endpoint's name and addresses came from."""

    GLUE = "srv-glue"
    """One SRV answer brought both."""
    TARGET = "srv-address"
    """SRV named it, A or AAAA gave its addresses."""
    POINTER = "address-ptr"
    """A or AAAA gave its addresses, PTR named it."""
    DASHED = "address-dashed"
    """A or AAAA gave its addresses; it is called by the dashed one of them."""


@attrs.frozen(eq=False, repr=False)
class _Made:
    """A set of endpoints, and what it was made from: the answers' values, told by identity."""

    basis: tuple[object, ...] = ()
    """Empty: not from these alone, or that is not sure any more."""
    endpoints: tuple[Endpoint, ...] = ()

    def came_of(self, basis: tuple[object, ...]) -> bool:
        return len(basis) == len(self.basis) and all(map(operator.is_, basis, self.basis))


@attrs.define(eq=False)
class Memory:
    """What one lookup leaves for the next of the same `Wanted`."""

    names: dict[str, tuple[str, ...]] = attrs.field(factory=dict)
    """By address: names that DNS gave for it, so that each address is asked once."""
    origins: dict[str, Origin] = attrs.field(factory=dict)
    """By address in ``names``: who gave them."""
    addresses: dict[Type, tuple[str, ...]] = attrs.field(factory=dict)
    """The last addresses of each family, for when that family alone fails."""
    targets: dict[str, tuple[str, ...]] = attrs.field(factory=dict)
    """The last addresses of SRV targets that came without glue, likewise."""
    too_large: int | None = None
    """How many addresses there were when SRV did not fit; 0 until they are counted."""
    answers: dict[Type, Answer] = attrs.field(factory=dict)
    """The last answers about `Wanted.name`, so that equal records are recognised."""
    owned: tuple[tuple[str, int], ...] = ()
    """The last SRV records whose targets were seen to be pods of the Service."""
    made: _Made = attrs.field(factory=_Made)
    """What was found last, and from what."""
    in_use: Type | None = None
    """The family that pods without host names were listed by (`_one_family`)."""

    def question(self, wanted: Wanted, rdtype: Type, *, tcp: bool = True) -> Question:
        """One about the pods of the port, which knows its last answer."""
        return Question(wanted.name, rdtype, tcp, before=self.answers.get(rdtype))

    def learn(self, rdtype: Type, reply: Reply) -> None:
        """Keeps the answer to such a question for the next one."""
        if isinstance(reply, Answer) and reply.records is not None:
            self.answers[rdtype] = reply

    def origin(self, endpoint: Endpoint) -> Origin:
        """Where an endpoint that the last lookup found came from."""
        if not self.addresses:  # SRV served
            return Origin.TARGET if endpoint.name in self.targets else Origin.GLUE
        return self.origins.get(endpoint.address, Origin.DASHED)


Lookup = Generator[list[Question], Sequence[Reply], Outcome]
Members = dict[str, tuple[str, ...]]
"""Addresses by pod name."""
Names = tuple[str, ...]


class _StopError(Exception):
    """The outcome is settled: leaves the steps of a lookup early."""

    def __init__(self, outcome: Outcome) -> None:
        self.outcome = outcome


def lookup(wanted: Wanted, memory: Memory) -> Lookup:
    """One lookup of one Service."""
    outcome: Outcome | None = None
    try:
        if wanted.records == "address" or memory.too_large is not None:
            outcome = yield from _by_addresses(wanted, memory)
        else:
            outcome = yield from _by_services(wanted, memory)
    except _StopError as stop:
        outcome = stop.outcome
    finally:
        if not isinstance(outcome, Found):
            # The same answers may mean others now: their names are to be asked for again.
            memory.made = attrs.evolve(memory.made, basis=())
    return outcome


# SRV: names, ports and addresses in one answer.


def _by_services(wanted: Wanted, memory: Memory) -> Lookup:
    [reply] = yield [memory.question(wanted, Type.SRV)]
    memory.learn(Type.SRV, reply)
    answer = _services(wanted, memory, reply)
    if answer.truncated:
        # Noted at once: should the rest not come in time, the next lookup starts with that.
        memory.too_large = 0
        return (yield from _by_addresses(wanted, memory, answer))
    if answer.services:
        return (yield from _from_services(wanted, memory, answer))
    if isinstance(wanted.port, str):
        return (yield from _diagnose(wanted, answer))
    if answer.no_such_name:
        return _empty(wanted, [answer])
    return (yield from _by_addresses(wanted, memory, answer))


def _from_services(wanted: Wanted, memory: Memory, answer: Answer) -> Lookup:
    basis = (answer.services, answer.glue)
    if memory.made.came_of(basis):
        return Found(memory.made.endpoints, answer.ttl)
    glue, numbers = answer.glue, dict(answer.services)
    ttl = answer.ttl
    members: Mapping[str, Names] = glue
    bare: list[str] = []
    if glue.keys() != numbers.keys():
        members = {target: glue.get(target, ()) for target in numbers}
        bare = [target for target, addresses in members.items() if not addresses]
    if bare:
        asked, extra = yield from _ask_targets(wanted, memory, bare)
        members = {**members, **asked}
        ttl = min(ttl, extra)
    # What other questions found before is older than this.
    memory.addresses.clear()
    memory.targets = {target: members[target] for target in bare}
    yield from _pause(len(members))
    kept = _of_family(wanted, memory, members)
    if not kept:  # glue may leave a family out, so whether there is nobody must be asked
        return (yield from _by_addresses(wanted, memory, answer))
    rows = _rows_of_services(wanted, kept, numbers, answer.services)
    endpoints = yield from _endpoints(rows, memory.made.endpoints)
    memory.made = _Made(() if bare else basis, endpoints)
    return Found(endpoints, ttl)


def _ask_targets(
    wanted: Wanted, memory: Memory, targets: Sequence[str]
) -> Generator[list[Question], Sequence[Reply], tuple[Members, int]]:
    """The addresses of SRV targets that came without glue, and the smallest TTL."""
    questions = [Question(target, rdtype) for target in targets for rdtype in wanted.types]
    replies = yield questions
    members: Members = dict.fromkeys(targets, ())
    ttls: list[int] = []
    failed: dict[str, LookupFailed] = {}
    for question, reply in zip(questions, replies, strict=True):
        if isinstance(reply, Answer):
            if reply.truncated:
                raise _StopError(Unknown(incomplete(question, reply)))
            if reply.no_such_name:
                raise _StopError(Unknown(_contradiction(wanted, question)))
            members[question.name] += reply.addresses
            ttls.append(reply.ttl)
            continue
        kept = tuple(
            address
            for address in memory.targets.get(question.name, ())
            if _family(address) is question.rdtype
        )
        if not kept and wanted.needed is question.rdtype:
            raise _StopError(Unknown(reply))
        members[question.name] += kept
        failed[question.name] = reply
    for question in questions:
        if not members[question.name] and (question.name in failed or len(wanted.types) == 2):
            failure = failed.get(question.name) or _contradiction(wanted, question)
            raise _StopError(Unknown(failure))
    if not ttls:  # all of it is old
        raise _StopError(Unknown(next(iter(failed.values()))))
    return members, min(ttls)


# A and AAAA: the members, whose names are then asked for.


def _by_addresses(wanted: Wanted, memory: Memory, services: Answer | None = None) -> Lookup:
    """``services`` is what SRV has just answered, if asked."""
    questions = [memory.question(wanted, rdtype) for rdtype in wanted.types]
    port_missing = (
        services is None
        and wanted.records == "auto"
        and not isinstance(wanted.port, int)  # a number that was given needs no looking up
    )
    if port_missing:
        # A part of the records is enough for that, so TCP is not tried.
        questions.append(memory.question(wanted, Type.SRV, tcp=False))
    replies = list((yield questions))
    for question, reply in zip(questions, replies, strict=True):
        memory.learn(question.rdtype, reply)
    if port_missing:
        services = _services(wanted, memory, replies.pop())
        if services.services and not services.truncated:  # it fits again, and says it all
            memory.too_large = None
            return (yield from _from_services(wanted, memory, services))
    ttl = yield from _take_in(wanted, memory, replies, services)
    families = [memory.addresses.get(rdtype, ()) for rdtype in wanted.types]
    basis: tuple[object, ...] = tuple(families)
    if services is not None and services.services:
        basis += (services.services, services.glue)
    if memory.made.came_of(basis):
        return Found(memory.made.endpoints, ttl)
    published = tuple(itertools.chain(*families))
    _remember_size(memory, len(published))
    yield from _pause(len(published))
    _forget_all_but(memory, published)
    if wanted.records == "address":
        yield from _check_lone(wanted, memory)
        port = _common_port(wanted, services)
        names, addresses = _dashed_pods(wanted, memory)
    else:
        learnt = yield from _names(wanted, memory, published, services)
        port = _common_port(wanted, services)
        members: Members = {}
        for address in published:
            for name in learnt[address]:
                members[name] = (*members.get(name, ()), address)
        yield from _pause(len(members))
        kept = _of_family(wanted, memory, members)
        names = sorted(kept)
        addresses = map(kept.__getitem__, names)
    rows = _Rows(names, addresses, repeat(port), repeat(wanted.asked_for))
    endpoints = yield from _endpoints(rows, memory.made.endpoints)
    memory.made = _Made(basis, endpoints)
    return Found(endpoints, ttl)


def _take_in(
    wanted: Wanted, memory: Memory, replies: Sequence[Reply], services: Answer | None
) -> Generator[list[Question], Sequence[Reply], int]:
    """Takes over the published addresses of all families asked; the smallest TTL."""
    ttls: list[int] = []
    for rdtype, reply in zip(wanted.types, replies, strict=True):
        if isinstance(reply, Answer):
            if reply.alias is not None:
                _check_headless(wanted, reply)
            if reply.truncated:
                raise _StopError(Unknown(incomplete(Question(wanted.name, rdtype), reply)))
            if reply.addresses:
                ttls.append(reply.ttl)
    if not ttls:
        raise _StopError((yield from _nobody(wanted, memory, replies, services)))
    for rdtype, reply in zip(wanted.types, replies, strict=True):
        if isinstance(reply, Answer):
            # NXDOMAIN beside another family's addresses is an old cache's: it says nothing.
            if reply.addresses or not reply.no_such_name:
                memory.addresses[rdtype] = reply.addresses
        elif wanted.needed is rdtype and not memory.addresses.get(rdtype):
            raise _StopError(Unknown(reply))
    return min(ttls)


def _nobody(
    wanted: Wanted, memory: Memory, replies: Sequence[Reply], services: Answer | None
) -> Lookup:
    """What it means that no address came."""
    answers = [reply for reply in replies if isinstance(reply, Answer)]
    failures = [reply for reply in replies if not isinstance(reply, Answer)]
    no_such_name = any(answer.no_such_name for answer in answers)
    if failures and not no_such_name:
        return Unknown(failures[0])
    listed = services is not None and bool(services.services)
    if listed and (no_such_name or len(wanted.types) == 2):
        return Unknown(_contradiction(wanted, Question(wanted.name, wanted.types[0])))
    memory.addresses.clear()
    memory.names.clear()
    memory.too_large = None
    if isinstance(wanted.port, str) and not listed:
        return (yield from _diagnose(wanted, *answers))
    return _empty(wanted, answers)


def _names(
    wanted: Wanted, memory: Memory, published: Sequence[str], services: Answer | None
) -> Generator[list[Question], Sequence[Reply], Mapping[str, Names]]:
    """A name for every address: learnt before, from glue, from PTR, or dashed and confirmed."""
    names = memory.names
    before = dict(names)
    listed = frozenset(published)
    for address, targets in _from_glue(services).items():
        # Part of what is known already is no news; anything else is newer.
        if address in listed and not set(targets) <= set(names.get(address, ())):
            names[address] = tuple(targets)
            memory.origins[address] = Origin.TARGET
    failure = yield from _ask_names(wanted, memory, [a for a in published if a not in names])
    # A name that came with a new address may have left its old one, and another pod taken that.
    came = {
        (name, _family(address))
        for address, learnt in names.items()
        if learnt is not before.get(address)
        for name in learnt
    }
    doubtful = [
        address
        for address, known in before.items()
        if names[address] is known and any((name, _family(address)) in came for name in known)
    ]
    for address in doubtful:
        del names[address]
    failure = (yield from _ask_names(wanted, memory, doubtful)) or failure
    nameless = [address for address in published if address not in names]
    denied = (yield from _confirm_dashed(wanted, memory, nameless)) if nameless else []
    if denied:
        raise _StopError(Unknown(failure or _no_name(wanted, denied[0])))
    return names


def _ask_names(
    wanted: Wanted, memory: Memory, addresses: Sequence[str]
) -> Generator[list[Question], Sequence[Reply], LookupFailed | None]:
    """Learns the PTR names below the Service; returns a failure, if there was one."""
    failure: LookupFailed | None = None
    questions = [Question(reverse_name(address), Type.PTR) for address in addresses]
    replies = (yield questions) if questions else []
    for address, question, reply in zip(addresses, questions, replies, strict=True):
        if not isinstance(reply, Answer):
            failure = reply
        elif reply.truncated:
            failure = incomplete(question, reply)
        elif below := tuple(name for name in reply.pointers if wanted.service.owns(name)):
            memory.names[address] = below
            memory.origins[address] = Origin.POINTER
    return failure


def _from_glue(services: Answer | None) -> Mapping[str, list[str]]:
    """Names by address, for the SRV targets that came with glue before the answer was cut."""
    names: dict[str, list[str]] = {}
    if services is not None:
        for target in dict.fromkeys(target for target, _ in services.services):
            for address in services.glue.get(target, ()):
                names.setdefault(address, []).append(target)
    return names


def _check_lone(wanted: Wanted, memory: Memory) -> Generator[list[Question], Sequence[Reply], None]:
    """``records="address"``: the caller promises that no pod has a host name.

    Whether the Service is headless at all shows only where a family has one address: a virtual
    IP has no dashed name, so that name is asked for, once (CoreDNS behaviour).
    """
    lone: list[str] = []
    for rdtype in wanted.types:
        addresses = memory.addresses.get(rdtype, ())
        if len(addresses) == 1 and addresses[0] not in memory.names:
            lone += addresses
    denied = (yield from _confirm_dashed(wanted, memory, lone)) if lone else []
    if denied:
        address = denied[0]
        raise _StopError(
            Wrong(
                NotHeadless(
                    f"{wanted.service} has one address, {address}, and no name "
                    f"{_dashed_name(wanted, address)}: a ClusterIP Service's virtual IP, not a "
                    f"pod's. Set clusterIP: None to make it headless (or, if its pods have host "
                    f'names, leave out records="address")'
                )
            )
        )


def _dashed_pods(wanted: Wanted, memory: Memory) -> tuple[list[str], Iterable[Names]]:
    """The pods by name, if each address is one with the dashed name; and their addresses."""
    listed = {rdtype: memory.addresses.get(rdtype, ()) for rdtype in wanted.types}
    if wanted.family.startswith("prefer"):
        in_use = _family_in_use(wanted, memory, *map(len, listed.values()))
        listed = {in_use: listed[in_use]}
    addresses = sorted(itertools.chain(*listed.values()))
    names = all_dashed(addresses, below=f".{wanted.service}")
    if listed.get(Type.AAAA):
        pods = dict(zip(names, zip(addresses), strict=True))
        names = sorted(pods)
        return names, map(pods.__getitem__, names)
    # IPv4 addresses are in the order of their names: digits follow dots as they do dashes.
    return names, zip(addresses)


def _confirm_dashed(
    wanted: Wanted, memory: Memory, addresses: Sequence[str]
) -> Generator[list[Question], Sequence[Reply], list[str]]:
    """Asks whether each address has its dashed name; returns those of which DNS says no."""
    questions = [Question(_dashed_name(wanted, address), _family(address)) for address in addresses]
    replies = yield questions
    denied: list[str] = []
    failure: LookupFailed | None = None
    for address, question, reply in zip(addresses, questions, replies, strict=True):
        if not isinstance(reply, Answer):
            failure = reply
        elif address in reply.addresses:
            memory.names[address] = (question.name,)
            memory.origins[address] = Origin.DASHED
        elif reply.no_such_name:
            denied.append(address)
        else:
            failure = _no_name(wanted, address)
    if failure is not None:
        raise _StopError(Unknown(failure))
    return denied


def _common_port(wanted: Wanted, services: Answer | None) -> int | None:
    """The port's number: the one given, or that of the SRV records that came, if they agree."""
    if isinstance(wanted.port, int):
        return wanted.port
    if services is None:
        return None
    numbers = {number for _, number in services.services if number}
    if len(numbers) == 1:
        return numbers.pop()
    if isinstance(wanted.port, str):
        said = ", ".join(str(number) for number in sorted(numbers)) or "none"
        raise _StopError(
            Unknown(
                IncompleteAnswer(
                    f"asked for {wanted.name}. SRV, of which only a part fits into an answer: the "
                    f"part that came does not tell the number of port {wanted.port!r} on every "
                    f"pod (numbers seen: {said}). Give port= as a number, or split the Service",
                    rcode=services.rcode,
                    name=wanted.name,
                    nameserver=services.nameserver,
                )
            )
        )
    return None


def _forget_all_but(memory: Memory, published: Collection[str]) -> None:
    """Names are kept for addresses that are published."""
    if memory.names or memory.origins:
        listed = frozenset(published)
        for learnt in (memory.names, memory.origins):
            for address in learnt.keys() - listed:
                del learnt[address]


def _remember_size(memory: Memory, size: int) -> None:
    """SRV did not fit: addresses are asked first, until the set is well below that size."""
    if memory.too_large == 0:
        memory.too_large = size
    elif memory.too_large is not None and size < memory.too_large * _WELL_BELOW:
        memory.too_large = None


# A named port that DNS does not know.


def _diagnose(wanted: Wanted, *negatives: Answer) -> Lookup:
    """No such port name, no pods, or another kind of Service? Asks at the Service's own name."""
    name = str(wanted.service)
    replies = yield [Question(name, rdtype) for rdtype in (Type.SRV, Type.A, Type.AAAA)]
    services = replies[0]
    answers = [reply for reply in replies if isinstance(reply, Answer)]
    failures = [reply for reply in replies if not isinstance(reply, Answer)]
    for answer in answers:
        _check_headless(wanted, answer)
    if all(answer.negative for answer in answers):
        if failures and not any(answer.no_such_name for answer in answers):
            return Unknown(failures[0])
        return _empty(wanted, [*negatives, *answers])
    if not isinstance(services, Answer):  # these may be a virtual IP's addresses
        return Unknown(services)
    numbers = sorted({number for _, number in services.services if number})
    return Wrong(
        NoSuchPort(
            f"{wanted.service} has pods, but no port named {wanted.port!r} over "
            f"{wanted.protocol.upper()} (asked for {wanted.name}.); the port numbers that "
            f"DNS shows: {', '.join(map(str, numbers)) or 'none'}. Compare with kubectl get "
            f"endpointslices -n {wanted.service.namespace} -l kubernetes.io/service-name="
            f"{wanted.service.service} -o yaml; if the port is new, caches may differ for "
            f"some seconds"
        )
    )


# What the answers mean.


def _services(wanted: Wanted, memory: Memory, reply: Reply) -> Answer:
    """An SRV answer that speaks of this Service's pods."""
    if not isinstance(reply, Answer):
        raise _StopError(Unknown(reply))
    if reply.services is memory.owned and reply.alias is None:  # seen before
        return reply
    foreign = None
    if reply.below != str(wanted.service):
        _check_headless(wanted, reply)
        foreign = wanted.service.foreign(target for target, _ in reply.services)
    if foreign is not None:
        raise _StopError(
            Unknown(
                LookupFailed(
                    f"asked for {wanted.name}. SRV and got the target {foreign}, which is not "
                    f"a host name below {wanted.service}: is cluster_domain right?",
                    rcode=reply.rcode,
                    name=wanted.name,
                )
            )
        )
    memory.owned = reply.services
    return reply


def _check_headless(wanted: Wanted, answer: Answer) -> None:
    """An SRV target that is the Service itself is a ClusterIP, a CNAME an ExternalName."""
    service = str(wanted.service)
    if answer.alias is not None:
        raise _StopError(
            Wrong(
                NotHeadless(
                    f"{service} is an ExternalName Service: an alias of {answer.alias}, with no "
                    f"pods of its own. Look that name up, or make a headless Service "
                    f"(clusterIP: None) with a selector"
                )
            )
        )
    if any(target == service for target, _ in answer.services):
        virtual = ", ".join(answer.glue.get(service, ())) or "not told"
        raise _StopError(
            Wrong(
                NotHeadless(
                    f"{service} is a ClusterIP Service: DNS gives its virtual IP ({virtual}) and "
                    f"no pods. Set clusterIP: None (it cannot be changed in place: make a second "
                    f"Service with the same selector)"
                )
            )
        )


def _empty(wanted: Wanted, answers: Iterable[Answer]) -> Empty:
    answers = list(answers)
    service = wanted.service
    if any(answer.no_such_name for answer in answers):
        said = "NXDOMAIN, which is DNS's answer to 'no such Service' and to 'no ready pod' alike"
    else:
        said = f"no {' or '.join(rdtype.name for rdtype in wanted.types)} record"
    return Empty(
        ttl=min(answer.ttl for answer in answers),
        error=NoEndpoints(
            f"no endpoints of {service}: asked for {wanted.name}. and got {said}. See kubectl "
            f"get endpointslices -n {service.namespace} -l kubernetes.io/service-name="
            f"{service.service}; if pods are listed there as not ready, look at their readiness "
            f"probe; if they must find one another before they are ready, set "
            f"publishNotReadyAddresses: true on the Service"
        ),
    )


@attrs.frozen(eq=False, repr=False)
class _Rows:
    """What endpoints are to be made of, in the order of their identities; to be read once."""

    names: Sequence[str]
    addresses: Iterable[Names]
    ports: Iterable[int | None]
    asked_for: Iterable[str]


def _rows_of_services(
    wanted: Wanted,
    members: Mapping[str, Names],
    numbers: Mapping[str, int],
    services: Sequence[tuple[str, int]],
) -> _Rows:
    """``numbers``: one port number of each target."""
    names: Sequence[str] = sorted(members)
    asked_for: Iterable[str] = repeat(wanted.asked_for)
    ports: Iterable[int | None]
    if isinstance(wanted.port, int):
        ports = repeat(wanted.port)
    elif len(numbers) == len(services) and all(numbers.values()):
        # Nearly always: one port number for each pod.
        ports = map(numbers.__getitem__, names)
    else:
        several = _several_numbers(services)
        if max(map(len, several.values())) < 2:
            ports = [next(iter(several[name]), None) for name in names]
        elif wanted.port is None:
            # Several mean that the Service has several.
            ports = repeat(None)
        else:
            # The lowest number is the port asked for; further ones are told from it.
            rows = sorted(
                (name, wanted.asked_for if rank == 0 else f"{wanted.port}:{number}", number)
                for name in names
                for rank, number in enumerate(several[name] or (None,))
            )
            names, asked_for, ports = zip(*rows, strict=True)
    return _Rows(names, map(members.__getitem__, names), ports, asked_for)


def _several_numbers(services: Sequence[tuple[str, int]]) -> Mapping[str, Sequence[int]]:
    """The port numbers of each SRV target, the lowest first; kube-dns's 0 is no port."""
    several: dict[str, set[int]] = {}
    for target, number in services:
        several.setdefault(target, set()).update({number} - {0})
    return {target: sorted(found) for target, found in several.items()}


def _endpoints(
    rows: _Rows, known: Sequence[Endpoint]
) -> Generator[list[Question], Sequence[Reply], tuple[Endpoint, ...]]:
    """Endpoints of the rows: those known already, where nothing about them is new."""
    names = rows.names
    columns = iter(rows.addresses), iter(rows.ports), iter(rows.asked_for)
    before: Mapping[Row, Endpoint] = {}
    if known:
        yield from _pause(len(names))
        before = dict(zip(map(row_of, known), known, strict=True))
    endpoints: list[Endpoint] = []
    for at in range(0, len(names), _AT_ONCE):
        yield from _pause(len(names))
        part = names[at : at + _AT_ONCE]
        if before:
            endpoints += _known_or_made(before, list(zip(part, *columns, strict=False)))
        else:
            endpoints += endpoints_of(part, *columns)
    yield from _pause(len(names))  # to compare them with those of before takes its time, too
    return tuple(endpoints)


def _known_or_made(before: Mapping[Row, Endpoint], rows: Sequence[Row]) -> list[Endpoint]:
    known = list(map(before.get, rows))
    new = [row for row, endpoint in zip(rows, known, strict=True) if endpoint is None]
    made = iter(endpoints_of(*zip(*new, strict=True)) if new else ())
    return [next(made) if endpoint is None else endpoint for endpoint in known]


def _pause(size: int) -> Generator[list[Question], Sequence[Reply], None]:
    """Asks nothing: lets others run, where there is more to do than an event loop can spare."""
    if size > _AT_ONCE:
        yield []


def _of_family(wanted: Wanted, memory: Memory, members: Mapping[str, Names]) -> Mapping[str, Names]:
    """The addresses that the caller wants, the preferred family first, the lowest first."""
    types = wanted.types
    if Type.A in types and _have_one_ipv4_each(members):
        # Nearly always: there is nothing to rank, and nobody to leave out.
        if memory.in_use is not Type.A and any(_dashed_of(members, Type.A)):
            memory.in_use = Type.A
        return members
    kept: Members = {}
    for name, addresses in members.items():
        ranked = sorted(
            (types.index(family), _packed(address), address)
            for address in addresses
            if (family := _family(address)) in types
        )
        if ranked:
            kept[name] = tuple(address for _, _, address in ranked)
    return _one_family(wanted, memory, kept) if wanted.family.startswith("prefer") else kept


def _have_one_ipv4_each(members: Mapping[str, Names]) -> bool:
    addresses = list(itertools.chain.from_iterable(members.values()))
    alone = len(addresses) == len(members) and all(members.values())
    return alone and ":" not in "".join(addresses)


def _one_family(wanted: Wanted, memory: Memory, members: Members) -> Members:
    """A dual-stack Deployment publishes each pod twice, under two dashed names.

    One family is used of those. A pod with a host name has both under one name, and stays.
    """
    preferred, other = wanted.types
    ours, others = (frozenset(_dashed_of(members, rdtype)) for rdtype in (preferred, other))
    in_use = _family_in_use(wanted, memory, len(ours), len(others))
    left_out = others if in_use is preferred else ours
    return {name: addresses for name, addresses in members.items() if name not in left_out}


def _family_in_use(wanted: Wanted, memory: Memory, ours: int, others: int) -> Type:
    """The preferred family if it has at least as many dashed names as the other.

    Or if it was in use, and still has half as many.
    """
    preferred, other = wanted.types
    enough = 2 * ours >= others if memory.in_use is preferred else ours >= others
    in_use = preferred if enough else other
    if ours or others:
        memory.in_use = in_use
    return in_use


def _dashed_of(members: Mapping[str, Names], rdtype: Type) -> Iterator[str]:
    """The names that are a dashed address of that family."""
    for name, addresses in members.items():
        label = name.partition(".")[0]
        for address in addresses:
            if _family(address) is rdtype and label == dashed(address):
                yield name


def _family(address: str) -> Type:
    return Type.AAAA if ":" in address else Type.A


def _packed(address: str) -> bytes:
    return socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)


def _dashed_name(wanted: Wanted, address: str) -> str:
    return f"{dashed(address)}.{wanted.service}"


def reverse_name(address: str) -> str:
    """The name of an address's PTR record (RFC 1035, 3.5; RFC 3596, 2.5)."""
    if ":" in address:
        return ".".join(reversed(_packed(address).hex())) + ".ip6.arpa"
    return ".".join(reversed(address.split("."))) + ".in-addr.arpa"


def _contradiction(wanted: Wanted, question: Question) -> LookupFailed:
    return LookupFailed(
        f"DNS contradicts itself: SRV names pods of {wanted.service}, and {question} says that "
        f"there are none. Caches that differ agree again after some seconds",
        name=question.name,
    )


def _no_name(wanted: Wanted, address: str) -> LookupFailed:
    return LookupFailed(
        f"{address} is a pod of {wanted.service}, but DNS gives no name for it: neither PTR "
        f"{reverse_name(address)}. nor {_dashed_name(wanted, address)}. names it. It may just have "
        f"left; if this stays, give the Service a port, so that SRV records name its pods",
        name=wanted.name,
    )
