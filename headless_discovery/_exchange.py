"""One question and its name servers: whom to ask, over what, and when to give up. Pure.

`ask` is a generator: it yields what to send, is sent what came back, and returns the reply. It
knows no socket and no clock, and nothing of what an answer means for the Service, except which
answers may be believed: those of a server that serves the cluster's domain.
"""

from collections.abc import Generator, Sequence
from typing import Self

import attrs

from ._errors import IncompleteAnswer, LookupFailed, LookupTimeout
from ._service import ServiceName
from ._wire import Answer, MalformedReplyError, Type, is_cut, query, read


@attrs.frozen
class Server:
    """A name server: an IP address and a port."""

    address: str
    port: int

    def __str__(self) -> str:
        """``10.96.0.10:53``, ``[fd00::a]:53``."""
        return (
            f"[{self.address}]:{self.port}"
            if ":" in self.address
            else f"{self.address}:{self.port}"
        )


@attrs.frozen
class Question:
    """A name (lower case, no final dot) and a record type."""

    name: str
    rdtype: Type
    tcp: bool = True
    """Whether to ask again over TCP when the answer was cut."""
    before: Answer | None = attrs.field(default=None, eq=False, repr=False)
    """The last answer to it, if that is known: equal records are then recognised."""

    def __str__(self) -> str:
        """As ``dig`` would have it: ``web.shop.svc.cluster.local. SRV``."""
        return f"{self.name}. {self.rdtype.name}"


@attrs.frozen
class Send:
    """Something to send, and over what."""

    wire: bytes
    server: Server
    tcp: bool = False


@attrs.frozen
class NoReply:
    """What came back instead of an answer that can be used, in words."""

    reason: str
    rcode: str | None = None
    """The DNS response code, if that is what came back."""
    timed_out: bool = False
    final: bool = False
    """The time for the whole lookup is over."""

    @classmethod
    def in_time(cls, seconds: float) -> Self:
        """No answer to one try."""
        return cls(f"no answer in {seconds:.3g} s", timed_out=True)

    @classmethod
    def because_of(cls, error: OSError) -> Self:
        """The socket failed."""
        return cls(error.strerror or str(error) or type(error).__name__)


OUT_OF_TIME = NoReply("no answer before the lookup's time was over", timed_out=True, final=True)
HUNG_UP = NoReply("the connection was closed before the whole answer had come")

AT_MOST_IN_FLIGHT = 64
"""Questions of one lookup."""


@attrs.define
class Traffic:
    """What was put on the wire."""

    udp: int = 0
    tcp: int = 0

    def count(self, send: Send) -> None:
        """One more message."""
        if send.tcp:
            self.tcp += 1
        else:
            self.udp += 1


Reply = Answer | LookupFailed
Asking = Generator[Send, bytes | NoReply, Reply]
_Try = Generator[Send, bytes | NoReply, Answer | NoReply]


def ask(question: Question, service: ServiceName, servers: Sequence[Server], edns: int) -> Asking:
    """Asks one server after the other until one gives an answer that may be believed.

    A server that fails (SERVFAIL, REFUSED, nonsense, another zone's "no") is not asked again; one
    that stays silent is, after the others, for as long as there is time: UDP loses packets. A cut
    answer is kept in case no server gives the whole.
    """
    tried: list[tuple[Server, NoReply]] = []
    cut: list[Answer] = []
    waiting = list(servers)
    while waiting:
        server = waiting.pop(0)
        came = yield from _ask_server(question, service, server, edns)
        if isinstance(came, NoReply):
            tried.append((server, came))
            if came.final:
                break
            if came.timed_out:
                waiting.append(server)
        elif came.no_tcp is not None:
            cut.append(came)
        else:
            return came
    if cut:
        why = "; ".join(f"{answer.nameserver}: {answer.no_tcp}" for answer in cut)
        return attrs.evolve(cut[0], no_tcp=why)
    return _failure(question, tried)


def _ask_server(question: Question, service: ServiceName, server: Server, edns: int) -> _Try:
    """UDP; without EDNS if the server cannot do it (RFC 6891, 7); then TCP if it was cut."""
    name, rdtype = question.name, question.rdtype
    offered: int | None = edns
    while True:
        came = yield Send(query(name, rdtype, edns=offered), server)
        if question.tcp and not isinstance(came, NoReply) and is_cut(came):
            break  # TCP is to bring the whole
        said = _meaning(came, question, service, server)
        if offered is None or said.rcode not in ("FORMERR", "BADVERS", "NOTIMP"):
            return said
        offered = None
    whole = _meaning(
        (yield Send(query(name, rdtype, edns=offered), server, tcp=True)), question, service, server
    )
    if not isinstance(whole, NoReply):
        return whole
    # Only now is the part of any use.
    said = _meaning(came, question, service, server)
    return said if isinstance(said, NoReply) else attrs.evolve(said, no_tcp=whole.reason)


def _meaning(
    came: bytes | NoReply, question: Question, service: ServiceName, server: Server
) -> Answer | NoReply:
    """What the server said, if that may be believed."""
    if isinstance(came, NoReply):
        return came
    try:
        answer = read(came, question.before)
    except MalformedReplyError as error:
        return NoReply(f"a malformed reply of {len(came)} bytes ({error})")
    if (reason := _unusable(answer, question, service)) is not None:
        return NoReply(reason, rcode=answer.rcode)
    return attrs.evolve(answer, nameserver=str(server)) if answer.truncated else answer


def _unusable(answer: Answer, question: Question, service: ServiceName) -> str | None:
    """Why this server's answer says nothing about the Service, if so."""
    if answer.rcode not in ("NOERROR", "NXDOMAIN"):
        return answer.rcode
    # Reverse zones are not the cluster domain's: there, anybody may say no.
    if question.rdtype is Type.PTR or not answer.negative:
        return None
    if answer.soa is None or service.serves(answer.soa):
        return None
    return (
        f"{answer.rcode}: this server does not serve {service.domain} (its answer speaks for "
        f"{'the root' if answer.soa == '.' else answer.soa}); is this a pod with the node's "
        f"resolv.conf (hostNetwork without dnsPolicy: ClusterFirstWithHostNet), or is "
        f"cluster_domain wrong?"
    )


def _failure(question: Question, tried: Sequence[tuple[Server, NoReply]]) -> LookupFailed:
    said = "; ".join(f"{server}: {came.reason}" for server, came in dict.fromkeys(tried))
    text = f"asked for {question} and got no usable answer: {said}"
    server, last = tried[-1]
    if all(came.timed_out for _, came in tried):
        return LookupTimeout(
            f"{text}. Check that these name servers are the cluster's and that no NetworkPolicy "
            f"keeps UDP and TCP port 53 from them",
            name=question.name,
            nameserver=str(server),
        )
    # A server that said something tells more than one that stayed silent.
    server, last = next(
        ((server, came) for server, came in reversed(tried) if came.rcode), (server, last)
    )
    return LookupFailed(
        f"{text}. Check that these name servers are the cluster's, and that its DNS pods are "
        f"ready and say nothing of it in their logs",
        rcode=last.rcode,
        name=question.name,
        nameserver=str(server),
    )


def incomplete(question: Question, answer: Answer) -> IncompleteAnswer:
    """The error for an answer that was cut and that nothing else completes."""
    came = len(answer.addresses) or len(answer.services) or len(answer.pointers)
    text = (
        f"asked {answer.nameserver} for {question} and got an answer that was cut "
        f"(records that came: {came})"
    )
    if answer.no_tcp is not None:
        text += (
            f", and TCP gave no more ({answer.no_tcp}). Allow TCP port 53 to the name server, "
            f"in NetworkPolicy too"
        )
    else:
        text += (
            ", over TCP too: DNS carries at most 64 KiB, about 4,000 pods. Split the Service, "
            "or list its EndpointSlices through the Kubernetes API"
        )
    return IncompleteAnswer(
        text, rcode=answer.rcode, name=question.name, nameserver=answer.nameserver
    )
