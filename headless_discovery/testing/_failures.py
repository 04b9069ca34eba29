"""The queries to a fake cluster, and its injected failures."""

from typing import Literal, get_args

import attrs
import dns.rdatatype

from ._packer import Received

Failure = Literal["servfail", "refused", "nxdomain", "timeout", "truncate", "garbage", "wrong-id"]
FAILURES: tuple[Failure, ...] = get_args(Failure)


@attrs.frozen(repr=False)
class Query:
    """A query to the cluster."""

    name: str
    """The queried name, without the final dot."""
    type: str
    tcp: bool
    at: float
    """On the cluster's clock, in seconds."""

    def __str__(self) -> str:
        """As ``dig`` would have it."""
        return f"{self.name}. {self.type} over {'TCP' if self.tcp else 'UDP'}"

    def __repr__(self) -> str:
        return f"<{self} at {self.at:g}>"


@attrs.define
class Rule:
    """Which questions are to fail, and how."""

    kind: Failure
    left: int | None
    name: str | None
    type: int | None

    @classmethod
    def read(
        cls, kind: Failure, times: int | None, name: str | None, qtype: str | None, domain: str
    ) -> "Rule":
        """Of the arguments of `FakeCluster.fail`; raises `ValueError` for what cannot be meant."""
        if kind not in FAILURES:
            raise ValueError(f"fail({kind!r}): it is one of {', '.join(map(repr, FAILURES))}")
        if times is not None and (
            isinstance(times, bool) or not isinstance(times, int) or times < 1
        ):
            raise ValueError(f"times={times!r}: give a number from 1 on, or leave it out")
        number = None
        if qtype is not None:
            try:
                number = int(dns.rdatatype.from_text(qtype))
            except (dns.rdatatype.UnknownRdatatype, AttributeError):
                raise ValueError(
                    f"qtype={qtype!r}: it is a record type such as 'SRV', 'A' or 'AAAA'"
                ) from None
        return cls(kind, times, None if name is None else _full_name(name, domain), number)

    def takes(self, question: Received) -> bool:
        """Whether it holds for this question; counts it if so."""
        if self.left == 0 or self.type not in (None, question.type):
            return False
        lower = question.name.lower()
        if self.name is not None and lower != self.name and not lower.endswith(f".{self.name}"):
            return False
        if self.left is not None:
            self.left -= 1
        return True


def check_text(what: str, text: object) -> str:
    """Any text; raises `ValueError` that says what it is of."""
    if isinstance(text, str):
        return text
    raise ValueError(f"{what} {text!r:.80} is not text")


def _full_name(name: str, domain: str) -> str:
    """A name with a final dot, of the domain or a reverse one is full; others are a Service's."""
    lower = check_text("name", name).lower()
    full = lower.removesuffix(".")
    if lower != full or full == domain or full.endswith((f".{domain}", ".arpa")):
        return full
    match full.split("."):
        case [service]:
            return f"{service}.default.svc.{domain}"
        case [service, namespace] | [service, namespace, "svc"]:
            return f"{service}.{namespace}.svc.{domain}"
    raise ValueError(f"name={name!r}: give a Service ('web', 'web.shop') or a full name")
