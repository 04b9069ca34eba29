"""Lookups played without sockets: replies come from a dict, by question."""

import random
import re
from collections.abc import Generator, Mapping, Sequence
from typing import Any

import attrs
import dns.name
import dns.reversename

from headless_discovery import Endpoint, LookupFailed, ServiceName
from headless_discovery._dns.exchange import Learnt, exchange
from headless_discovery._dns.failures import incomplete
from headless_discovery._dns.lookup import Lookup, lookup
from headless_discovery._dns.meaning import Worth, worth
from headless_discovery._dns.message import (
    NEGATIVE_TTL,
    Answer,
    MalformedReplyError,
    Server,
    Type,
    encode_name,
    is_reply,
    query,
)
from headless_discovery._dns.names import check_port, check_protocol
from headless_discovery._dns.read import parse, read, scan
from headless_discovery._dns.records import v6_by_dnspython
from headless_discovery._dns.steps import Event, GaveUp, Plan, Question, Reply, Send, Step
from headless_discovery._dns.surroundings import ResolvConf, Surroundings, read_text
from headless_discovery._dns.wanted import FAMILIES, Family, Memory, Wanted
from headless_discovery._endpoint import (
    Empty,
    Found,
    Outcome,
    Unknown,
    Wrong,
    dashed,
    difference,
)
from headless_discovery.testing._resolver import FakeResolver

__all__ = [
    "FAMILIES", "NEGATIVE_TTL", "Answer", "Empty", "Event", "FakeResolver", "Family", "Found",
    "GaveUp", "Learnt", "Lookup", "MalformedReplyError", "Memory", "Outcome", "Plan", "Question",
    "Reply", "ResolvConf", "Send", "Server", "Step", "Surroundings", "Type", "Unknown", "Wanted",
    "Worth", "Wrong", "check_port", "check_protocol", "dashed", "difference", "encode_name",
    "exchange", "incomplete", "is_reply", "lookup", "parse", "query", "read", "read_text", "scan",
    "v6_by_dnspython", "worth",
]  # fmt: skip
"""The values of a lookup, and its pure functions: other tests have them from here alone."""

SERVICE = ServiceName("web", "shop")
NAMESPACE = ".shop.svc.cluster.local"

# Replies. Names are written without ".shop.svc.cluster.local", as they are in the dicts below.


def full(name: str) -> str:
    return name + NAMESPACE


def addresses(*found: str, ttl: int = 30) -> Answer:
    return Answer("NOERROR", ttl=ttl, addresses=found)


def srv(
    *targets: tuple[str, int], glue: Mapping[str, Sequence[str]] | None = None, ttl: int = 30
) -> Answer:
    return Answer(
        "NOERROR",
        ttl=ttl,
        services=tuple((full(target), port) for target, port in targets),
        glue={full(target): tuple(found) for target, found in (glue or {}).items()},
    )


def pods(port: int = 8080, **glue: str) -> Answer:
    """SRV with glue: ``pods(web_0="10.0.0.1")``."""
    named = {f"{label.replace('_', '-')}.web": [found] for label, found in glue.items()}
    return srv(*((target, port) for target in named), glue=named)


def named(*names: str) -> Answer:
    return Answer("NOERROR", ttl=30, pointers=tuple(full(name) for name in names))


def cut(answer: Answer, no_tcp: str | None = None) -> Answer:
    return attrs.evolve(answer, truncated=True, no_tcp=no_tcp, server=Server("10.96.0.10", 53))


NXDOMAIN = Answer("NXDOMAIN", ttl=30, soa="cluster.local")
NODATA = Answer("NOERROR", ttl=30, soa="cluster.local")
SERVFAIL = LookupFailed("SERVFAIL", rcode="SERVFAIL")

Zone = Mapping[str, Reply]


class Later(dict[str, Reply]):
    """A zone that changes once its first question about ``key`` was answered."""

    def __init__(self, zone: Zone, key: str, then: Reply) -> None:
        super().__init__(zone)
        self._key, self._then = key, then

    def get(self, key: str, default: Any = None) -> Any:
        reply = super().get(key, default)
        if key == self._key:
            self[key] = self._then
        return reply


"""Replies by question: "web SRV", "web-0.web A", "10.0.0.1 PTR". What is not there is NXDOMAIN."""


def asked(question: Question) -> str:
    if question.rdtype is Type.PTR:
        return dns.reversename.to_address(dns.name.from_text(question.name)) + " PTR"
    over = "" if question.tcp else " (UDP alone)"
    name = re.sub(r"^no-pod-[0-9a-f]{12}\b", "made-up", question.name.removesuffix(NAMESPACE))
    return f"{name} {question.rdtype.name}{over}"


@attrs.define
class Looked:
    """What a lookup came to, and what it asked, batch by batch."""

    outcome: Outcome
    batches: list[list[str]]
    questions: list[Question]

    @property
    def found(self) -> list[str]:
        """The endpoints: "web-0 10.0.0.1 8080"."""
        assert isinstance(self.outcome, Found), self.outcome
        return [shown(endpoint) for endpoint in self.outcome.endpoints]

    def needed(self, question: str) -> bool:
        """Whether nothing could be said without the reply to that question."""
        [needed] = {each.needed for each in self.questions if asked(each) == question}
        return needed

    @property
    def error(self) -> Exception:
        assert not isinstance(self.outcome, Found), self.outcome
        return self.outcome.error

    @property
    def advice(self) -> str:
        """What to do about the error."""
        assert not isinstance(self.outcome, Found), self.outcome
        return self.outcome.error.hint or ""


def shown(endpoint: Endpoint) -> str:
    port = "" if endpoint.port is None else f" {endpoint.port}"
    return f"{endpoint.hostname} {','.join(endpoint.addresses)}{port}"


def playing_of(
    memory: Memory | None = None, now: float = 0, seed: int = 0, **wanted: Any
) -> Generator[list[Question], Sequence[Reply], Outcome]:
    memory = Memory() if memory is None else memory
    return lookup(Wanted(SERVICE, **wanted), memory, now, random.Random(seed))


def look(
    zone: Zone, memory: Memory | None = None, *, now: float = 0, seed: int = 0, **wanted: Any
) -> Looked:
    playing = playing_of(memory, now, seed, **wanted)
    batches: list[list[str]] = []
    everything: list[Question] = []
    answers = [each for each in zone.values() if isinstance(each, Answer)]
    large = any(len(each.addresses or each.services) > 500 for each in answers)
    try:
        questions = next(playing)
        while True:
            assert questions or large, "a pause for nothing"
            everything += questions
            batches.append([asked(question) for question in questions])
            questions = playing.send([zone.get(key, NXDOMAIN) for key in batches[-1]])
    except StopIteration as done:
        return Looked(done.value, batches, everything)
