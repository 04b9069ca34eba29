"""A and AAAA: which addresses are listed, what an empty answer means, SRV targets without glue."""

import itertools
import math
import operator
from collections.abc import Iterable, Mapping, Sequence

import attrs

from .._endpoint import Found, Outcome, Unknown, all_dashed
from .._errors import LookupFailed
from . import meaning
from .meaning import StopError, Worth
from .message import Answer, Type
from .naming import check_lone, checked, checks, learn_names
from .steps import Question, Reply, is_silence
from .wanted import (
    AT_ONCE,
    KEPT,
    Asking,
    Listed,
    Look,
    Members,
    Names,
    Told,
    Wanted,
    family_of,
    impossible,
)

_NO_SRV = 300
"""Seconds for which a server that refuses SRV is not queried for it."""
_FLOOR = 5
"""Seconds: minimum time between two queries for an SRV target, whatever its TTL."""
_DENIED = 60
"""Seconds after which a record type that a name lacks, or SRV that failed, is queried again."""

_ADDRESSES = operator.attrgetter("addresses")

Came = Listed | Answer | Outcome


def by_addresses(look: Look, said: Reply | None = None) -> Asking[Came]:
    """The listed addresses; or a complete SRV answer that came at the same time.

    ``said`` is the last SRV answer, if there is one.
    """
    wanted, memory = look.wanted, look.memory
    questions = [look.question(rdtype, needed=look.needs(rdtype)) for rdtype in wanted.types]
    failed_before = memory.srv_failed
    if beside := said is None and look.asks_srv_beside:
        # A truncated answer is enough for the port's number: TCP is not tried.
        whole, needed = memory.too_large is None, not look.can_do_without_srv
        questions.append(look.question(Type.SRV, tcp=whole, needed=needed))
    to_check = checks(look)
    replies = yield from _ask([*questions, *to_check.values()])
    doubtful = checked(look, to_check, replies[len(questions) :]) if to_check else ()
    families: Mapping[Type, Reply] = dict(zip(wanted.types, replies, strict=False))
    look.learn(families)
    if beside:
        said = replies[len(wanted.types)]
        meaning.learn_services(look, said)
        if isinstance(said, Answer) and said.services and not said.truncated:
            memory.too_large = None  # it fits again
            return said
    if any(isinstance(reply, Answer) and reply.alias for reply in families.values()):
        if said is None:
            [said] = yield [Question(wanted.below, Type.SRV)]
        families = _no_alias(wanted, families, said)
    meaning.check_whole(questions, families.values())
    if not any(isinstance(reply, Answer) and reply.addresses for reply in families.values()):
        return (yield from _nobody(look, families, said))
    if isinstance(wanted.port, str) and isinstance(said, Answer) and said.negative:
        return (yield from diagnose(look, said))
    if meaning.is_no_such_name(said):
        said = yield from _srv_again(look)
        if isinstance(said, Answer) and said.services and not said.truncated:
            return said
    services = said if isinstance(said, Answer) and not said.negative else None
    rest = _from_addresses(look, families, services, doubtful)
    if said is None or not (isinstance(said, LookupFailed) or meaning.is_no_such_name(said)):
        return (yield from rest)
    if isinstance(said, LookupFailed) and not failed_before and not meaning.is_refused(said):
        return Unknown(said)
    return (yield from _without_srv(look, said, rest))


def _ask(questions: list[Question]) -> Asking[Sequence[Reply]]:
    """The replies to queries for addresses, among others.

    A family that is not required is waited for only briefly; where the other one has no addresses,
    it is all there may be: it is queried again, and waited for.
    """
    replies = yield questions
    if not any(map(is_silence, replies)):  # nearly always
        return replies
    pairs = list(zip(questions, replies, strict=True))
    late = [
        index
        for index, (each, reply) in enumerate(pairs)
        if not each.needed and each.rdtype is not Type.SRV and is_silence(reply)
    ]
    answers = [
        (each.name, reply)
        for each, reply in pairs
        if each.rdtype is not Type.SRV and isinstance(reply, Answer)
    ]
    lacking = {name for name, reply in answers if reply.negative and not reply.no_such_name}
    lacking -= {name for name, reply in answers if not reply.negative}
    late = [index for index in late if questions[index].name in lacking]
    if late:
        again = yield [attrs.evolve(questions[index], needed=True) for index in late]
        replies = list(replies)
        for index, reply in zip(late, again, strict=True):
            replies[index] = reply
    return replies


def _srv_again(look: Look) -> Asking[Reply]:
    """SRV once more: perhaps it was denied just before the first pod came."""
    [said] = yield [look.question(Type.SRV)]
    meaning.learn_services(look, said)
    return said


def _without_srv(look: Look, said: Reply, rest: Asking[Came]) -> Asking[Came]:
    """SRV failed, or there are addresses and no SRV records."""
    if look.can_do_without_srv:
        try:
            found = yield from rest
        except StopError as stop:
            if not isinstance(stop.outcome, Unknown) or not meaning.is_refused(stop.outcome.error):
                raise
        else:
            holds = _NO_SRV if meaning.is_refused(said) else _DENIED
            look.memory.no_srv_until = look.now + holds
            return found
    return Unknown(meaning.no_srv(look.wanted, said))


def _from_addresses(
    look: Look, families: Mapping[Type, Reply], services: Answer | None, doubtful: Sequence[str]
) -> Asking[Came]:
    wanted, memory = look.wanted, look.memory
    ttl, stale, error = _take_in(look, families)
    basis: tuple[object, ...] = tuple(map(memory.addresses.get, wanted.types))
    if services is not None:
        basis += (services.services, services.glue)
    if list(map(id, basis)) == list(map(id, memory.made.basis)) and not doubtful:
        return Found(memory.made.endpoints, ttl, error=error, stale=stale)
    listed = {rdtype: memory.addresses.get(rdtype, ()) for rdtype in wanted.types}
    published = tuple(itertools.chain.from_iterable(listed.values()))
    if left_out := impossible("\n".join(["", *published, ""])):
        listed = {
            rdtype: tuple(address for address in each if address not in left_out)
            for rdtype, each in listed.items()
        }
        published = tuple(itertools.chain.from_iterable(listed.values()))
        if not published:
            return Unknown(meaning.impossible_addresses(wanted, left_out))
    memory.remember_size(len(published))
    if len(published) > AT_ONCE:
        yield []
    memory.keep_names_of(published)
    members: Members = {}
    dashed = None
    if wanted.records == "address":
        yield from check_lone(look, listed.values())
        dashed = _dashed(wanted, list(listed.values()))
    else:
        names = yield from learn_names(look, published, services, doubtful)
        if len(published) > AT_ONCE:
            yield []
        members = _by_name(published, names)
        if len(published) > AT_ONCE:
            yield []
    return Listed(
        members,
        basis,
        ttl,
        port=meaning.common_port(wanted, services),
        error=error,
        stale=stale,
        left_out=left_out,
        dashed=dashed,
    )


def _by_name(published: Sequence[str], names: Mapping[str, Names]) -> Members:
    members: dict[str, Names] = {}
    for address in published:
        for name in names[address]:
            members[name] = (*members.get(name, ()), address)
    return members


def _dashed(
    wanted: Wanted, listed: Sequence[Sequence[str]]
) -> tuple[Sequence[str], Iterable[Names]]:
    """Pods of which each address is one, by its dashed name; of one family if one is preferred."""
    if wanted.family.startswith("prefer"):
        ours, others = listed
        listed = [ours if 2 * len(ours) >= len(others) else others]
    addresses = sorted(itertools.chain.from_iterable(listed))
    names = all_dashed(addresses, below=f".{wanted.below}")
    if any(":" in each[0] for each in listed if each):
        pods = dict(zip(names, zip(addresses), strict=True))
        names = sorted(pods)
        return names, map(pods.__getitem__, names)
    # IPv4 addresses are in the order of their names: digits follow dots as they do dashes.
    return names, zip(addresses)


def _take_in(look: Look, families: Mapping[Type, Reply]) -> tuple[float, bool, LookupFailed | None]:
    """Takes the addresses of all queried families.

    Returns:
        The smallest TTL, whether an answer calls itself stale, and what is too old.
    """
    wanted, memory, now = look.wanted, look.memory, look.now
    ttls: list[int] = []
    error = None
    for rdtype, reply in families.items():
        # NXDOMAIN beside another family's addresses has no meaning.
        if isinstance(reply, Answer) and (reply.addresses or not reply.no_such_name):
            memory.addresses[rdtype] = reply.addresses
            if not reply.addresses:
                memory.listed.pop(rdtype, None)
                continue
            ttls.append(reply.ttl)
            named = map(memory.names.get, reply.addresses, itertools.repeat(True))
            if any(named):  # not one of DNS64's
                memory.listed[rdtype] = now
        elif memory.addresses.get(rdtype):
            age = now - memory.listed.get(rdtype, now)
            if age > KEPT:
                error = meaning.family_failed(wanted, rdtype, age, reply)
        elif isinstance(reply, LookupFailed) and wanted.needed is rdtype:
            raise StopError(Unknown(reply))
    stale = any(isinstance(reply, Answer) and reply.stale for reply in families.values())
    return min(ttls), stale, error


# No addresses, and what that means.


def _nobody(look: Look, families: Mapping[Type, Reply], said: Reply | None) -> Asking[Came]:
    """No address came."""
    wanted = look.wanted
    failures = [reply for reply in families.values() if isinstance(reply, LookupFailed)]
    gone = any(isinstance(reply, Answer) and reply.no_such_name for reply in families.values())
    if failures and not (gone or meaning.is_refused(said) or meaning.is_no_such_name(said)):
        return Unknown(failures[0])
    if isinstance(said, Answer) and said.services:
        if gone or len(wanted.types) == 2:
            question = Question(wanted.name, wanted.types[0])
            return Unknown(meaning.contradiction(wanted, question))
    elif isinstance(wanted.port, str):
        return (yield from diagnose(look, said))
    replies = dict(families)
    if isinstance(said, LookupFailed) or (said is not None and said.negative):
        replies[Type.SRV] = said
    return (yield from _judge(look, replies))


def _judge(look: Look, replies: Mapping[Type, Reply]) -> Asking[Outcome]:
    """Whether an empty answer counts."""
    wanted, memory = look.wanted, look.memory
    verdict = meaning.worth(wanted, replies, known=memory.known)
    answers = [reply for reply in replies.values() if isinstance(reply, Answer)]
    doubted = [answer for answer in answers if not wanted.service.serves(answer.soa)]
    domain: Sequence[Reply] = ()
    if verdict is Worth.CHECK and meaning.has_addresses(wanted, answers):
        return Unknown(meaning.withheld(wanted, doubted[0]))
    if verdict is Worth.CHECK:
        said = [answer.servers or (answer.server,) for answer in doubted]
        servers = dict.fromkeys(itertools.chain.from_iterable(said))
        name = wanted.service.domain
        domain = yield [Question(name, Type.A, at=server) for server in servers]
        verdict = meaning.worth(wanted, replies, domain, known=memory.known)
    if verdict is Worth.EMPTY:
        return meaning.empty(wanted, answers)
    if verdict is Worth.NOT_SERVED:
        return meaning.not_served(wanted, doubted[0])
    if verdict is Worth.ONCE:
        memory.known = False
        return meaning.said_once(wanted, doubted[0])
    return Unknown(next(r for r in (*replies.values(), *domain) if isinstance(r, LookupFailed)))


def diagnose(look: Look, said: Reply | None) -> Asking[Came]:
    """No such port name, no pods, or another kind of Service? Queries the Service's own name.

    ``said`` is what SRV has just answered at the port's name.
    """
    wanted = look.wanted
    name = wanted.below
    types = (Type.SRV, Type.A, Type.AAAA)
    came = yield [
        Question(name, rdtype, needed=rdtype is Type.SRV or look.needs(rdtype)) for rdtype in types
    ]
    services = came[0]
    replies = _no_alias(wanted, dict(zip(types, came, strict=True)), services)
    if isinstance(services, Answer):
        meaning.check_headless(wanted, services)
    if meaning.worth(wanted, replies) is not Worth.LISTED:
        return (yield from _judge(look, replies))
    if not isinstance(services, Answer):  # these may be a virtual IP's addresses
        refused = meaning.is_refused(services)
        return Unknown(meaning.no_srv(wanted, services) if refused else services)
    if services.negative and not (
        services.rcode == "NOERROR" and wanted.service.serves(services.soa)
    ):  # a server without SRV support says the same
        return Unknown(meaning.no_srv(wanted, services))
    if isinstance(said, LookupFailed):
        return Unknown(said)
    if said is not None and not wanted.service.serves(said.soa):
        said_so = said.servers or (said.server,)
        if services.server not in said_so:  # who lists pods said no such thing
            return meaning.not_served(wanted, said)
    again = yield from _srv_again(look)
    if isinstance(again, LookupFailed):
        return Unknown(again)
    meaning.check_whole([look.question(Type.SRV)], [again])
    if again.services:
        return again
    return meaning.no_such_port(wanted, [number for _, number in services.services])


def _no_alias(
    wanted: Wanted, replies: Mapping[Type, Reply], services: Reply | None
) -> Mapping[Type, Reply]:
    """Raises `StopError` for a CNAME, which is an ExternalName's.

    Where the name has addresses of its own it is none, but one of its EndpointSlices holds names.
    Where SRV is NXDOMAIN it is none: CoreDNS's autopath makes one of another search domain then.
    """
    answers = {rdtype: each for rdtype, each in replies.items() if isinstance(each, Answer)}
    aliases = {rdtype: each for rdtype, each in answers.items() if each.alias is not None}
    if not aliases:
        return replies
    if not any(each.addresses and each.alias is None for each in answers.values()):
        if isinstance(services, LookupFailed):
            raise StopError(Unknown(services))
        if not meaning.is_no_such_name(services):
            alias = next(iter(aliases.values())).alias
            raise StopError(meaning.external(wanted, str(alias)))
    plain = {
        rdtype: attrs.evolve(each, alias=None, addresses=()) for rdtype, each in aliases.items()
    }
    return {**replies, **plain}


# SRV targets without glue.


def ask_targets(
    look: Look, targets: Sequence[str], glue: Members
) -> Asking[tuple[Members, float, LookupFailed | None, bool]]:
    """The addresses of SRV targets without glue, each queried once in its TTL.

    Args:
        look: The lookup.
        targets: Their names.
        glue: The addresses that came along for some of them, if not of each wanted family.

    Returns:
        The addresses by target; for how many seconds they hold; what failed for too long; and
        whether an answer calls itself stale.
    """
    wanted, memory, now = look.wanted, look.memory, look.now
    came = {target: set(map(family_of, glue.get(target, ()))) for target in targets}
    told = {
        target: {
            rdtype: each
            for rdtype, each in memory.targets.get(target, {}).items()
            if rdtype not in types
        }
        for target, types in came.items()
    }
    memory.targets = told
    questions = [
        Question(target, rdtype, needed=look.needs(rdtype))
        for target, known in told.items()
        for rdtype in wanted.types
        if rdtype not in came[target]
        if rdtype not in known
        or known[rdtype].ask_at <= now
        or not (came[target] or any(map(_ADDRESSES, known.values())))  # nothing to go on with
    ]
    replies = (yield from _ask(questions)) if questions else []
    for family in {question.rdtype for question in questions}:
        pairs = zip(questions, replies, strict=True)
        of_it = [reply for each, reply in pairs if each.rdtype is family]
        look.note(family, silent=all(map(is_silence, of_it)))
    failed: dict[str, LookupFailed] = {}
    unanswered: dict[Type, LookupFailed] = {}
    error: LookupFailed | None = None
    for question, reply in zip(questions, replies, strict=True):
        target, rdtype = question.name, question.rdtype
        before = told[target].get(rdtype)
        failure = _failure(wanted, question, reply)
        if before is not None and before.addresses and failure is not None:
            # NXDOMAIN of one family has no meaning beside addresses of the other.
            failed.setdefault(target, failure)
            if now - before.heard > KEPT:
                error = meaning.family_failed(wanted, rdtype, now - before.heard, reply)
        elif isinstance(reply, LookupFailed):
            failed[target] = reply
            unanswered.setdefault(rdtype, reply)
        else:
            meaning.check_whole([question], [reply])
            lacks = not reply.addresses and len(wanted.types) == 2
            holds = _DENIED if lacks else max(reply.ttl, _FLOOR)
            told[target][rdtype] = Told(reply.addresses, now, now + reply.ttl, now + holds)
            if failure is not None:
                failed.setdefault(target, failure)
    if wanted.needed in unanswered:  # what came is known to the next lookup
        raise StopError(Unknown(unanswered[wanted.needed]))
    members = {
        target: tuple(itertools.chain(glue.get(target, ()), *map(_ADDRESSES, known.values())))
        for target, known in told.items()
    }
    for target in [target for target, addresses in members.items() if not addresses]:
        failure = failed.pop(target, None)
        if failure or len(wanted.types) == 2:
            question = Question(target, wanted.types[0])
            raise StopError(Unknown(failure or meaning.contradiction(wanted, question)))
    holding = [
        each
        for known in told.values()
        for each in known.values()
        if each.addresses and (each.ask_at > now or each.heard == now)
    ]
    if not holding and failed.keys() - glue.keys():  # all of it is old
        raise StopError(Unknown(next(iter(failed.values()))))
    for each in holding:
        memory.listed[family_of(each.addresses[0])] = now
    lasts = math.inf if glue.keys() == told.keys() else 0
    remaining = max(0, min((each.expires - now for each in holding), default=lasts))
    stale = any(isinstance(reply, Answer) and reply.stale for reply in replies)
    return members, remaining, error, stale


def _failure(wanted: Wanted, question: Question, reply: Reply) -> LookupFailed | None:
    if isinstance(reply, LookupFailed):
        return reply
    return meaning.contradiction(wanted, question) if reply.no_such_name else None
