"""The meaning of answers: negative ones, Services that are not headless, and the errors. Pure.

Each error says what came back; its hint says what to do. `StopError` carries one to the end of a
lookup.
"""

import enum
from collections.abc import Collection, Iterable, Mapping, Sequence

from .._endpoint import Empty, Outcome, Unknown, Wrong, dashed
from .._errors import (
    DiscoveryError,
    IncompleteAnswer,
    LookupFailed,
    NoEndpoints,
    NoSuchPort,
    NotHeadless,
)
from .failures import incomplete
from .message import Answer, Type
from .names import ServiceName
from .steps import Question, Reply
from .wanted import Look, Wanted

_AT_MOST_LISTED = 4
_REFUSALS = ("REFUSED", "NOTIMP", "FORMERR")
"""Response codes of servers that will not, or cannot, answer a record type."""


class StopError(Exception):
    """The outcome is settled: leaves the steps of a lookup early."""

    def __init__(self, outcome: Outcome) -> None:
        self.outcome = outcome


class Worth(enum.StrEnum):
    """Whether a negative answer counts."""

    LISTED = "listed"
    """It is none: there are addresses."""
    EMPTY = "empty"
    """It counts: there are no pods."""
    CHECK = "check"
    """Not certain: those servers must be queried for the cluster domain."""
    ONCE = "once"
    """It would count, but a set is known, which a "no" without proof must not empty at once."""
    NOT_SERVED = "not served"
    """The server that said it does not serve the cluster domain."""
    UNKNOWN = "unknown"
    """A question failed on which it depends."""


def worth(
    wanted: Wanted,
    replies: Mapping[Type, Reply],
    domain: Sequence[Reply] | None = None,
    *,
    known: bool = False,
) -> Worth:
    """What it is worth that no address came; `Worth.EMPTY` alone empties a set.

    The replies are those of the address types, and of SRV if that was queried. ``domain`` is what
    each server that said no without proof says of the cluster domain's own addresses, if that was
    queried; ``known``, whether the last lookup found pods.
    """
    answers = {rdtype: reply for rdtype, reply in replies.items() if isinstance(reply, Answer)}
    if not all(answer.negative for answer in answers.values()):
        return Worth.LISTED
    service, types = wanted.service, wanted.types
    services = answers.get(Type.SRV)
    if services is not None and services.no_such_name and service.serves(services.soa):
        return Worth.EMPTY
    # NXDOMAIN means all types, but counts only if a required family has it.
    matter = types if wanted.needed is None else (wanted.needed,)
    gone = [answers[rdtype] for rdtype in matter if rdtype in answers]
    gone = [answer for answer in gone if answer.no_such_name]
    failed = [rdtype for rdtype in types if rdtype not in answers]
    if failed and (not gone or wanted.needed is None):
        return Worth.UNKNOWN
    said = [answers[rdtype] for rdtype in types if rdtype in answers]
    if any(service.serves(no.soa) for no in gone) or all(service.serves(no.soa) for no in said):
        return Worth.EMPTY
    if domain is None:
        return Worth.CHECK
    # The domain is there and has no address of its own (CoreDNS, row 8). A server that does not
    # serve it knows no such name, or gives the address that a hijacker gives for any.
    came = [reply for reply in domain if isinstance(reply, Answer)]
    if any(reply.rcode == "NOERROR" and reply.negative for reply in came):
        return Worth.ONCE if known else Worth.EMPTY
    return Worth.NOT_SERVED if len(came) == len(domain) else Worth.UNKNOWN


def has_addresses(wanted: Wanted, answers: Iterable[Answer]) -> bool:
    """Whether a name without addresses must have some: the cluster says that it exists."""
    exists = any(no.rcode == "NOERROR" and wanted.service.serves(no.soa) for no in answers)
    return exists and len(wanted.types) == 2


def is_no_such_name(reply: Reply | None) -> bool:
    """NXDOMAIN, behind an alias too."""
    return isinstance(reply, Answer) and reply.rcode == "NXDOMAIN" and not reply.services


def is_refused(reply: Reply | DiscoveryError | None) -> bool:
    """Whether a server will not answer this record type."""
    return isinstance(reply, LookupFailed) and reply.rcode in _REFUSALS


# Outcomes.


def endpointslices(service: ServiceName) -> str:
    """The command that shows what the cluster itself knows of the Service's pods."""
    return (
        f"kubectl get endpointslices -n {service.namespace} "
        f"-l kubernetes.io/service-name={service.service}"
    )


def empty(wanted: Wanted, answers: Iterable[Answer]) -> Empty:
    """DNS says authoritatively that there are no pods."""
    answers = list(answers)
    service = wanted.service
    if any(answer.no_such_name for answer in answers):
        said = "NXDOMAIN, which is both 'no such Service' and 'no ready pod'"
    else:
        said = f"no {' or '.join(rdtype.name for rdtype in wanted.types)} record"
    return Empty(
        ttl=min(answer.ttl for answer in answers),
        stale=any(answer.stale for answer in answers),
        error=NoEndpoints(
            f"no endpoints of {service}: DNS says {said}",
            hint=f"See {endpointslices(service)}: if pods are listed there as not ready, look at "
            f"their readiness probe; if they must find one another before they are ready, set "
            f"publishNotReadyAddresses: true on the Service.",
        ),
    )


def not_served(wanted: Wanted, no: Answer) -> Unknown:
    """The server that says no is not the cluster's."""
    whose = f" and speaks for {'the root' if no.soa == '.' else no.soa}" if no.soa else ""
    return Unknown(
        _failed(
            wanted,
            f"{no.nameserver or 'DNS'} says {no.rcode} to {wanted.name}{whose}: this server does "
            f"not serve {wanted.service.domain}",
            "Is this a pod with the node's resolv.conf (hostNetwork without dnsPolicy: "
            "ClusterFirstWithHostNet), is a DNS proxy in between, or is cluster_domain wrong?",
            said=no,
        )
    )


def withheld(wanted: Wanted, no: Answer) -> LookupFailed:
    """A "no" without proof about a name that exists: a server in between keeps its addresses."""
    return _failed(
        wanted,
        f"{_without_proof(wanted, no)}, and for another record type that it exists",
        "Does this server remove private addresses (rebinding protection) or a family? Exempt the "
        "cluster's domain there.",
        said=no,
    )


def said_once(wanted: Wanted, no: Answer) -> Unknown:
    """A "no" without proof, where pods were known a moment ago."""
    text = f"{_without_proof(wanted, no)}: it is queried again before that counts"
    return Unknown(_failed(wanted, text, said=no))


def _without_proof(wanted: Wanted, no: Answer) -> str:
    """What was said, for people."""
    return (
        f"{no.nameserver or 'DNS'} says {no.rcode} to {wanted.name} without an SOA of "
        f"{wanted.service.domain}"
    )


def _failed(
    wanted: Wanted,
    text: str,
    hint: str | None = None,
    *,
    said: Reply | None = None,
    kind: type[LookupFailed] = LookupFailed,
) -> LookupFailed:
    """The error for the Service's name, and for what a server said of it, if one did."""
    rcode, nameserver = (None, None) if said is None else (said.rcode, said.nameserver)
    return kind(text, rcode=rcode, name=wanted.name, nameserver=nameserver, hint=hint)


def learn_services(look: Look, reply: Reply) -> None:
    """Raises `StopError` for an SRV answer that is not about this Service's pods."""
    wanted, memory = look.wanted, look.memory
    look.learn({Type.SRV: reply})
    memory.srv_failed = not isinstance(reply, Answer)
    if not isinstance(reply, Answer):
        return
    if reply.services:
        memory.served = look.now
    if reply.alias is not None and not is_no_such_name(reply):
        raise StopError(external(wanted, reply.alias))
    if reply.below != wanted.below:
        check_headless(wanted, reply)
        check_targets(wanted, reply)


def check_headless(wanted: Wanted, answer: Answer) -> None:
    """Raises `StopError` where an SRV target is the Service itself (ClusterIP)."""
    service = wanted.below
    if any(target == service for target, _ in answer.services):
        raise StopError(virtual(wanted, ", ".join(answer.glue.get(service, ())) or "not listed"))


def virtual(wanted: Wanted, address: str) -> Wrong:
    """The Service has a virtual IP."""
    return Wrong(
        NotHeadless(
            f"{wanted.service} is a ClusterIP Service: DNS gives its virtual IP ({address}) and no "
            f"pods",
            hint="Set clusterIP: None; since it cannot be changed in place, make a second Service "
            "with the same selector.",
        )
    )


def external(wanted: Wanted, alias: str) -> Wrong:
    """The Service is an alias."""
    return Wrong(
        NotHeadless(
            f"{wanted.service} is an ExternalName Service: an alias of {alias}, with no pods of "
            f"its own",
            hint="Look up that name, or make a headless Service (clusterIP: None) with a selector.",
        )
    )


def no_such_port(wanted: Wanted, numbers: Iterable[int]) -> Wrong:
    """There are pods, none of which publishes the port."""
    service = wanted.service
    seen = _some(set(numbers) - {0})
    return Wrong(
        NoSuchPort(
            f"{service} has pods, but no port named {wanted.port!r} over "
            f"{wanted.protocol.upper()}; the port numbers that DNS shows: {seen}",
            hint=f"Compare with {endpointslices(service)} -o yaml; for a number give port= as an "
            f"int; if the port is new, caches may differ for some seconds.",
        )
    )


def _some(numbers: Collection[int]) -> str:
    """The first ones, for people: a Service may have many ports, and an error has 25 words."""
    listed = [str(number) for number in sorted(numbers)[:_AT_MOST_LISTED]]
    return ", ".join([*listed, *["..."] * (len(numbers) > len(listed))]) or "none"


def check_targets(wanted: Wanted, answer: Answer) -> None:
    """Raises `StopError` unless SRV's targets are host names below the Service."""
    for target, _ in answer.services:
        if not wanted.service.owns(target):
            text = f"{wanted.name}. SRV has the target {target}, which is no host name below "
            hint = "Is cluster_domain right?"
            raise StopError(Unknown(_failed(wanted, f"{text}{wanted.service}", hint, said=answer)))


def check_whole(questions: Iterable[Question], replies: Iterable[Reply]) -> None:
    """Raises `StopError` for an answer that cannot be completed."""
    for question, reply in zip(questions, replies, strict=False):
        if isinstance(reply, Answer) and reply.truncated:
            raise StopError(Unknown(incomplete(question, reply)))


def common_port(wanted: Wanted, services: Answer | None) -> int | None:
    """The port's number: the one given, or that of the SRV records that came, if they agree."""
    if isinstance(wanted.port, int):
        return wanted.port
    if services is None:
        return None
    numbers = {number for _, number in services.services if number}
    if len(numbers) == 1:
        return numbers.pop()
    if isinstance(wanted.port, str):
        text = (
            f"{wanted.name}. SRV does not fit into an answer, and what came has "
            f"no single number for port {wanted.port!r} (numbers seen: {_some(numbers)})"
        )
        hint = "Give port= as a number, or split the Service."
        raise StopError(Unknown(_failed(wanted, text, hint, said=services, kind=IncompleteAnswer)))
    return None


def no_srv(wanted: Wanted, reply: Reply) -> LookupFailed:
    """The server answers address queries but not SRV, which is required here."""
    how = 'records="address"'
    if isinstance(wanted.port, str):
        how += " and port= as a number"
    said = {None: "no answer", "NOERROR": "no record"}.get(reply.rcode, reply.rcode)
    return _failed(
        wanted,
        f"SRV at {wanted.name} is not available ({said}), although A or AAAA is; only {how} "
        f"works without it",
        f"Give {how} if no pod has a host name, or allow SRV in the DNS proxy or policy between.",
        said=reply,
    )


def contradiction(wanted: Wanted, question: Question) -> LookupFailed:
    """Two answers of which only one can be right."""
    return LookupFailed(
        f"DNS contradicts itself: it lists pods of {wanted.service}, and {question} says that "
        f"there are none",
        name=question.name,
        hint="Caches that differ agree again after some seconds.",
    )


def no_name(wanted: Wanted, address: str) -> LookupFailed:
    """A published address has no name."""
    return _failed(
        wanted,
        f"{address} is a pod of {wanted.service}, but neither PTR nor "
        f"{dashed_name(wanted, address)} names it",
        "It may just have left; if this stays, give the Service a port, so that SRV records name "
        "its pods.",
    )


def any_name(wanted: Wanted, addresses: Sequence[str]) -> LookupFailed:
    """A wildcard or a hijacking server: a random name has addresses too, so none can be trusted."""
    found = ", ".join(addresses[:3]) or "an alias"
    return _failed(
        wanted,
        f"a random name below {wanted.service} has {found}: this server answers every name, so "
        f"no name can be verified",
        f"Check that this is the cluster's name server, and no wildcard record hides it. See "
        f"{endpointslices(wanted.service)}",
    )


def impossible_addresses(wanted: Wanted, addresses: Iterable[str]) -> LookupFailed:
    """There are no endpoints without them."""
    seen = ", ".join(sorted(addresses)[:3])
    text = f"all addresses of {wanted.service} are ones that no pod can have: {seen}"
    return _failed(wanted, text, f"Compare with {endpointslices(wanted.service)}")


def family_failed(wanted: Wanted, rdtype: Type, seconds: float, reply: Reply) -> LookupFailed:
    """A family's addresses are old: it had some, and gave none since."""
    return _failed(
        wanted,
        f"{rdtype.name} at {wanted.name} has failed for {seconds:.0f} s "
        f"({reply.rcode or 'no answer'}): its last addresses are kept",
        "If that family has no addresses any more, ask for the other one alone (family=).",
        said=reply,
    )


def dashed_name(wanted: Wanted, address: str) -> str:
    """The name of a pod without a host name."""
    return f"{dashed(address)}.{wanted.service}"
