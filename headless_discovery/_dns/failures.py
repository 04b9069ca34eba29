"""What came instead of an answer that can be used, and the errors that are made of it."""

import itertools
from collections.abc import Mapping
from typing import Self

import attrs

from .._errors import IncompleteAnswer, LookupFailed, LookupTimeout
from .message import Answer, Server
from .steps import Question

_AT_MOST_NAMED = 3
"""Servers in an error's message."""


@attrs.frozen
class NoReply:
    """What came back instead of an answer that can be used, in words."""

    reason: str
    rcode: str | None = None
    """The DNS response code, if that is what came back."""
    timed_out: bool = False
    detail: str | None = None
    """What the reader said about it."""

    @classmethod
    def in_time(cls, seconds: float) -> Self:
        """No answer to one try."""
        return cls(f"no answer in {seconds:.3g} s", timed_out=True)

    @classmethod
    def refusal(cls, rcode: str) -> Self:
        """An answer that says so."""
        return cls(rcode, rcode)

    @classmethod
    def referral(cls, zone: str) -> Self:
        """Other servers are named, which are not queried: no resolver does that."""
        return cls(f"only a referral to the servers of {zone}", "NOERROR")

    @classmethod
    def policy(cls, rcode: str, withheld: str) -> Self:
        """The server calls its own answer withheld: it says nothing of what there is."""
        detail = "exempt the cluster's domain there from block lists and from rebinding protection."
        return cls(f"{rcode} ({withheld} by policy)", rcode, detail=detail)

    @classmethod
    def because_of(cls, error: OSError) -> Self:
        """The socket failed."""
        return cls(error.strerror or str(error) or type(error).__name__)


OUT_OF_TIME = NoReply("no answer in time", timed_out=True)
NOT_WAITED_FOR = NoReply("no answer soon enough", timed_out=True)


def failure(question: Question, failed: Mapping[Server, NoReply]) -> LookupFailed:
    """The error for a question to which no server gave an answer; what each did instead."""
    said: dict[str, list[str]] = {}
    for server, why in itertools.islice(failed.items(), _AT_MOST_NAMED):
        said.setdefault(why.reason, []).append(str(server))
    text = "; ".join(f"{reason} from {', '.join(servers)}" for reason, servers in said.items())
    message = f"asked for {question} and got {text}"
    if all(why.timed_out for why in failed.values()):
        return LookupTimeout(
            message,
            name=question.name,
            nameserver=str(next(iter(failed))),
            hint="Check that these name servers are the cluster's, and that no NetworkPolicy "
            "keeps UDP and TCP port 53 from them.",
        )
    # A server that said something tells more than one that stayed silent.
    server, last = max(failed.items(), key=lambda item: (item[1].rcode is not None, 0))
    hint = (
        "Check that these name servers are the cluster's, and that its DNS pods are ready and log "
        "no errors."
    )
    return LookupFailed(
        message,
        rcode=last.rcode,
        name=question.name,
        nameserver=str(server),
        hint=hint if last.detail is None else f"{hint} Detail: {last.detail}",
    )


def incomplete(question: Question, answer: Answer) -> IncompleteAnswer:
    """The error for an answer that was truncated and that nothing else completes."""
    came = len(answer.addresses) or len(answer.services) or len(answer.pointers)
    text = f"asked {answer.nameserver} for {question} and got only {came} records"
    if answer.no_tcp is not None:
        text += f"; over TCP: {answer.no_tcp}"
        hint = "Allow TCP port 53 to the name server, in NetworkPolicy too."
    else:
        text += ", over TCP too: an answer holds 64 KiB"
        hint = (
            "DNS carries some 4,000 pods in one answer: split the Service, or take its "
            'EndpointSlices from the Kubernetes API (source="api").'
        )
    return IncompleteAnswer(
        text, rcode=answer.rcode, name=question.name, nameserver=answer.nameserver, hint=hint
    )
