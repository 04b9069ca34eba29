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
from ._wire import Answer, MalformedReplyError, Type, query, read


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
    """What came back instead of bytes, in words."""

    reason: str
    timed_out: bool = False
    final: bool = False
    """The time for the whole lookup is over."""

    @classmethod
    def in_time(cls, seconds: float) -> Self:
        """No answer to one try."""
        return cls(f"no answer in {seconds:.3g} s", timed_out=True)


OUT_OF_TIME = NoReply("no answer before the lookup's time was over", timed_out=True, final=True)

Reply = Answer | LookupFailed
Asking = Generator[Send, bytes | NoReply, Reply]


@attrs.define
class _Log:
    """What was tried for one question, for the error's text."""

    question: Question
    tried: list[tuple[Server, NoReply | str]] = attrs.field(factory=list)
    tcp: list[tuple[Server, str]] = attrs.field(factory=list)
    """Servers whose answer was cut, and why TCP did not give the whole."""

    def failure(self) -> LookupFailed:
        lines = "; ".join(
            f"{server}: {what.reason if isinstance(what, NoReply) else what}"
            for server, what in dict.fromkeys(self.tried)
        )
        text = f"asked for {self.question} and got no usable answer: {lines or 'no time left'}"
        server = str(self.tried[-1][0]) if self.tried else None
        if all(isinstance(what, NoReply) and what.timed_out for _, what in self.tried):
            return LookupTimeout(
                f"{text}. Check that these name servers are the cluster's and that no "
                f"NetworkPolicy keeps UDP and TCP port 53 from them",
                name=self.question.name,
                nameserver=server,
            )
        rcodes = [what.split(":")[0] for _, what in self.tried if isinstance(what, str)]
        return LookupFailed(
            text,
            rcode=rcodes[-1] if rcodes and rcodes[-1].isupper() else None,
            name=self.question.name,
            nameserver=server,
        )


def ask(
    question: Question, service: ServiceName, servers: Sequence[Server], edns: int | None
) -> Asking:
    """Asks one server after the other until one gives an answer that may be believed.

    A server that fails (SERVFAIL, REFUSED, nonsense, another zone's "no") is not asked again; one
    that stays silent is, after the others, for as long as there is time: UDP loses packets.
    """
    log = _Log(question)
    cut: Answer | None = None
    waiting = list(servers)
    while waiting:
        server = waiting.pop(0)
        came = yield from _ask_one(question, server, edns, log)
        if isinstance(came, NoReply):
            log.tried.append((server, came))
            if came.final:
                break
            if came.timed_out:
                waiting.append(server)
        elif (trouble := _trouble(came, question, service)) is not None:
            log.tried.append((server, trouble))
        elif came.truncated and log.tcp and log.tcp[-1][0] == server:
            cut = cut or came
        else:
            return came
    if cut is not None:
        return attrs.evolve(cut, no_tcp="; ".join(f"{server}: {why}" for server, why in log.tcp))
    return log.failure()


def _ask_one(
    question: Question, server: Server, edns: int | None, log: _Log
) -> Generator[Send, bytes | NoReply, Answer | NoReply]:
    """UDP; without EDNS if the server cannot do it (RFC 6891, 7); then TCP if it was cut."""
    answer = yield from _send(question, server, edns)
    if isinstance(answer, Answer) and answer.rcode in ("FORMERR", "BADVERS", "NOTIMP"):
        edns = None
        answer = yield from _send(question, server, edns)
    if isinstance(answer, NoReply) or not answer.truncated or not question.tcp:
        return answer
    whole = yield from _send(question, server, edns, tcp=True)
    if isinstance(whole, Answer):
        return whole
    log.tcp.append((server, whole.reason))
    return answer


def _send(
    question: Question, server: Server, edns: int | None, *, tcp: bool = False
) -> Generator[Send, bytes | NoReply, Answer | NoReply]:
    wire = query(question.name, question.rdtype, edns=edns)
    came = yield Send(wire, server, tcp)
    if isinstance(came, NoReply):
        return came
    try:
        return read(came)
    except MalformedReplyError as error:
        return NoReply(f"a malformed reply of {len(came)} bytes ({error})")


def _trouble(answer: Answer, question: Question, service: ServiceName) -> str | None:
    """Why this server's answer says nothing about the Service, if so."""
    if answer.rcode not in ("NOERROR", "NXDOMAIN"):
        return answer.rcode
    if question.rdtype is Type.PTR or not answer.negative or answer.truncated:
        return None
    if answer.soa is None or service.serves(answer.soa):
        return None
    return (
        f"{answer.rcode}: this server does not serve {service.domain} (its answer speaks for "
        f"{answer.soa or 'the root'}); is this a pod with the node's resolv.conf (hostNetwork "
        f"without dnsPolicy: ClusterFirstWithHostNet), or is cluster_domain wrong?"
    )


def incomplete(question: Question, answer: Answer) -> IncompleteAnswer:
    """The error for an answer that was cut and that nothing else completes."""
    text = (
        f"asked for {question} and got an answer that was cut: "
        f"{len(answer.addresses) or len(answer.services)} records came"
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
    return IncompleteAnswer(text, rcode="NOERROR", name=question.name)
