"""Names for addresses: from PTR, else the dashed name where DNS confirms it; never a guess.

An address is not a name. A name ends when its address left, and the others are checked in turn,
since an address can come back as another pod. A check that fails changes nothing.
"""

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence

import attrs

from .._endpoint import Unknown
from .._errors import LookupFailed
from .failures import incomplete
from .meaning import (
    StopError,
    any_name,
    check_headless,
    contradiction,
    dashed_name,
    no_name,
    virtual,
)
from .message import Answer, Type
from .steps import Question, Reply, is_silence
from .wanted import AT_ONCE, Asking, Look, Names, Origin, family_of, packed

_AT_ONCE = 250
"""Addresses that are checked without yielding to other tasks."""


def reverse_name(address: str) -> str:
    """The name of an address's PTR record (RFC 1035, 3.5; RFC 3596, 2.5)."""
    if ":" in address:
        return ".".join(reversed(packed(address).hex())) + ".ip6.arpa"
    return ".".join(reversed(address.split("."))) + ".in-addr.arpa"


def checks(look: Look) -> Mapping[str, Question]:
    """Some known names that are to be checked now, by address: as they were learnt."""
    if look.wanted.records == "address":
        return {}
    origins = look.memory.origins
    asked = {
        address: (_dashed if origins.get(address) is Origin.DASHED else _ptr)(look, address)
        for address in look.memory.next_to_check()
    }
    return {address: attrs.evolve(each, needed=False) for address, each in asked.items()}


def checked(look: Look, asked: Mapping[str, Question], replies: Sequence[Reply]) -> list[str]:
    """Takes in what became of the names; returns those that PTR gives no more.

    Their present names may follow from their dashed names.
    """
    memory = look.memory
    doubtful: list[str] = []
    for (address, question), reply in zip(asked.items(), replies, strict=True):
        if not isinstance(reply, Answer) or reply.truncated:
            continue
        if question.rdtype is not Type.PTR:
            if reply.no_such_name and look.wanted.service.serves(reply.soa):
                memory.unname(address)
        elif below := _below(look, reply):
            if set(below) != set(memory.names[address]):
                memory.name(address, below, Origin.POINTER)
        elif memory.origins.get(address) is Origin.POINTER:
            doubtful.append(address)
    return doubtful


def learn_names(
    look: Look, published: Sequence[str], services: Answer | None, doubtful: Iterable[str]
) -> Asking[Mapping[str, Names]]:
    """A name for every address: known, from truncated glue, from PTR, or dashed and confirmed.

    None for an address of a family that is not needed and has no names at all. The doubtful ones
    keep their name unless a dashed one is confirmed.
    """
    memory = look.memory
    names = memory.names
    before = dict(names)
    listed = frozenset(published)
    for address, targets in _from_glue(services).items():
        # A part of what is known is nothing new; anything else is newer.
        if address in listed and not set(targets) <= set(names.get(address, ())):
            memory.name(address, tuple(targets), Origin.TARGET)
    new = [address for address in published if address not in names]
    told = _Told()
    beside = memory.no_ptr
    yield from _ask(look, told, new, pointers=True, dashed=beside)
    # A name that came with a new address may have left its old one, and another pod taken that.
    came: dict[Type, set[str]] = {Type.A: set(), Type.AAAA: set()}
    for address, learnt in names.items():
        if learnt is not before.get(address):
            came[family_of(address)].update(learnt)
    moved = [
        address
        for address, known in before.items()
        if not came[family_of(address)].isdisjoint(known) and names.get(address) is known
    ]
    for address in moved:
        memory.unname(address)
    yield from _ask(look, told, moved, pointers=True, dashed=memory.no_ptr)
    nameless = [address for address in published if not names.get(address)]
    if nameless:
        families = {family_of(address) for address, known in names.items() if known}
        # One that had none may have one, now that its family has names.
        again = [a for a in nameless if a in names and family_of(a) in families]
        yield from _ask(look, told, again, pointers=True)
        nameless = [a for a in nameless if (a in again or a not in names) and not names.get(a)]
    tried = [*nameless, *filter(listed.__contains__, doubtful)]
    yield from _ask(look, told, [a for a in tried if a not in told.tried], dashed=True)
    if beside:  # what has no dashed name depends on PTR: now it is waited for
        nameless = [a for a in nameless if a in told.denied and look.matters(family_of(a))]
        yield from _ask(look, told, nameless, pointers=True)
    _leave_out(look, published, told)
    return names


def _leave_out(look: Look, published: Sequence[str], told: "_Told") -> None:
    """Raises `StopError` for an address without a name, unless it is one of DNS64's.

    Those are of a family that is not needed, has no names at all, and is beside another where each
    address has one.
    """
    names, wanted = look.memory.names, look.wanted
    for rdtype in {family_of(address) for address in published if not names.get(address)}:
        ours = [address for address in published if family_of(address) is rdtype]
        others = [address for address in published if family_of(address) is not rdtype]
        if (
            rdtype is wanted.needed
            or not others
            or any(map(names.get, ours))
            or not all(map(names.get, others))
        ):
            nameless = next(address for address in ours if not names.get(address))
            raise StopError(Unknown(told.failures.get(nameless) or no_name(wanted, nameless)))
        for address in ours:
            names[address] = ()
        look.memory.listed.pop(rdtype, None)


@attrs.define
class _Told:
    """What came of questions for names."""

    failures: dict[str, LookupFailed] = attrs.field(factory=dict)
    """By address."""
    denied: set[str] = attrs.field(factory=set)
    """The addresses that have no dashed name."""
    tried: set[str] = attrs.field(factory=set)
    """Those whose dashed names were queried."""


def _ask(
    look: Look,
    told: _Told,
    addresses: Sequence[str],
    *,
    pointers: bool = False,
    dashed: bool = False,
) -> Asking[None]:
    """Learns PTR names below the Service, and dashed names that an address query confirms.

    A dashed name counts only if a random one does not exist: a wildcard confirms every name.
    """
    if not addresses:
        return
    questions: dict[tuple[str, Type], Question] = {}
    for part in _parts(addresses):
        if pointers:
            questions |= {(each, Type.PTR): _ptr(look, each) for each in part}
        if dashed:
            questions |= {(each, family_of(each)): _dashed(look, each) for each in part}
        if len(addresses) > AT_ONCE:
            yield []  # hundreds of queries take time
    if dashed:
        told.tried.update(addresses)
        for family in dict.fromkeys(map(family_of, addresses)):
            made_up_name = f"no-pod-{look.rng.getrandbits(48):012x}.{look.wanted.below}"
            questions["", family] = Question(made_up_name, family, needed=look.matters(family))
    listed = list(questions.values())
    if not any(each.needed for each in listed):  # what is asked for now is all that is missing
        listed = [attrs.evolve(each, needed=True) for each in listed]
    replies = dict(zip(questions, (yield listed), strict=True))
    made_up = {rdtype: reply for (address, rdtype), reply in replies.items() if not address}
    if pointers:
        came = [replies[each, Type.PTR] for each in addresses]
        look.memory.no_ptr = all(map(is_silence, came))
    for part in _parts(addresses):
        if len(addresses) > AT_ONCE:
            yield []
        for address in part:
            rdtypes = [Type.PTR] * pointers + [family_of(address)] * dashed
            said = [(questions[address, each], replies[address, each]) for each in rdtypes]
            _take_in(look, told, address, said, made_up)


def _parts(addresses: Sequence[str]) -> Iterator[Sequence[str]]:
    return (addresses[at : at + _AT_ONCE] for at in range(0, len(addresses), _AT_ONCE))


def _take_in(
    look: Look,
    told: _Told,
    address: str,
    said: Iterable[tuple[Question, Reply]],
    made_up: Mapping[Type, Reply],
) -> None:
    """The answers to an address's PTR query, if sent, and to that for its dashed name."""
    for question, reply in said:
        by_name = question.rdtype is not Type.PTR
        if not isinstance(reply, Answer):
            told.failures[address] = reply
        elif names := _named(look, question, reply, address):
            if by_name:
                _check_made_up(look, made_up[question.rdtype])
            look.memory.name(address, names, Origin.DASHED if by_name else Origin.POINTER)
            return
        elif reply.truncated:
            told.failures[address] = incomplete(question, reply)
        elif by_name and reply.no_such_name:
            told.denied.add(address)
        elif by_name:
            told.failures[address] = no_name(look.wanted, address)


def _named(look: Look, question: Question, reply: Answer, address: str) -> Names:
    """The names that a complete answer gives the address."""
    if reply.truncated:
        return ()
    if question.rdtype is Type.PTR:
        return _below(look, reply)
    return (question.name,) if address in reply.addresses else ()


def _check_made_up(look: Look, reply: Reply) -> None:
    if not isinstance(reply, Answer):
        raise StopError(Unknown(reply))
    if not reply.negative:
        raise StopError(Unknown(any_name(look.wanted, reply.addresses)))


def _ptr(look: Look, address: str) -> Question:
    needed = look.matters(family_of(address)) and not look.memory.no_ptr
    return Question(reverse_name(address), Type.PTR, needed=needed)


def _dashed(look: Look, address: str) -> Question:
    family = family_of(address)
    return Question(dashed_name(look.wanted, address), family, needed=look.matters(family))


def _below(look: Look, reply: Answer) -> Names:
    return tuple(name for name in reply.pointers if look.wanted.service.owns(name))


def _from_glue(services: Answer | None) -> Mapping[str, list[str]]:
    """Names by address, for the SRV targets whose glue is in the truncated answer."""
    names: dict[str, list[str]] = {}
    if services is not None:
        for target in dict.fromkeys(target for target, _ in services.services):
            for address in services.glue.get(target, ()):
                names.setdefault(address, []).append(target)
    return names


def check_lone(look: Look, listed: Iterable[Sequence[str]]) -> Asking[None]:
    """``records="address"``: the caller promises that no pod has a host name.

    Whether the Service is headless at all shows only where a family has one address: a virtual
    IP has no dashed name, so that name is queried, once (CoreDNS, row 58). kube-dns has no dashed
    names at all, so it is one only if SRV or PTR names the Service itself.
    """
    wanted, memory = look.wanted, look.memory
    lone = [each[0] for each in listed if len(each) == 1 and each[0] not in memory.names]
    if not lone:
        return
    told = _Told()
    yield from _ask(look, told, lone, dashed=True)
    if told.failures:
        raise StopError(Unknown(next(iter(told.failures.values()))))
    if not told.denied:
        return
    denied = [address for address in lone if address in told.denied]
    questions = [_ptr(look, address) for address in denied]
    services, *pointers = yield [Question(wanted.below, Type.SRV), *questions]
    if isinstance(services, Answer):
        check_headless(wanted, services)
    for address, reply in zip(denied, pointers, strict=True):
        names = reply.pointers if isinstance(reply, Answer) else ()
        if wanted.below in names:
            raise StopError(virtual(wanted, address))
        if isinstance(services, Answer) and _is_another(services, address):
            question = Question(dashed_name(wanted, address), family_of(address))
            raise StopError(Unknown(contradiction(wanted, question)))
        if isinstance(services, LookupFailed) and not any(map(wanted.service.owns, names)):
            raise StopError(Unknown(services))
    for address in told.denied:
        memory.name(address, (dashed_name(wanted, address),), Origin.DASHED)


def _is_another(services: Answer, address: str) -> bool:
    """Whether SRV's glue has addresses of this one's family, and not this one."""
    glue = itertools.chain.from_iterable(services.glue.values())
    alike = [each for each in glue if family_of(each) is family_of(address)]
    return bool(alike) and address not in alike
