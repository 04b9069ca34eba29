"""What the doctor has seen, as frozen values. Nothing here says what it means."""

from collections.abc import Mapping

import attrs

from .._endpoint import Endpoint, Snapshot
from .._errors import DiscoveryError
from .._exchange import Question, Server
from .._questions import Wanted
from .._surroundings import Surroundings
from .._wire import Answer, Type


@attrs.frozen
class Probe:
    """One question put to one server, once, and what came back."""

    question: Question
    server: Server
    tcp: bool
    answer: Answer | None
    size: int
    """Bytes of the reply; 0 without one."""
    seconds: float
    reason: str | None = None
    """Why there is no answer."""


@attrs.frozen
class Reach:
    """A name server: a question sent several times at once over UDP, and once over TCP."""

    server: Server
    udp: tuple[Probe, ...]
    tcp: Probe

    @property
    def lost(self) -> int:
        """How many datagrams went without an answer."""
        return sum(probe.answer is None for probe in self.udp)

    @property
    def answers(self) -> bool:
        """Whether it answered at all, over UDP."""
        return self.lost < len(self.udp)


@attrs.frozen
class Connection:
    """An attempt to connect over TCP."""

    endpoint: Endpoint
    failure: str | None
    """``None``: it was accepted."""


@attrs.frozen(kw_only=True)
class Observations:
    """All of it."""

    asked: str
    """The Service as it was written."""
    given_namespace: str | None
    given_domain: str | None
    nameservers_from: str
    """Who named the name servers."""
    surroundings: Surroundings
    libc: str
    """``glibc 2.36``; empty if it is another."""
    own_addresses: tuple[str, ...]
    own_hostname: str
    namespace_known: bool
    """Otherwise ``default`` stands in for it."""
    wanted: Wanted
    no_servers: str | None
    """Why there is nobody to ask."""
    reach: tuple[Reach, ...] = ()
    probes: Mapping[tuple[str, Type], Probe] = attrs.field(factory=dict)
    """By name and type: what the first server that answers said over UDP."""
    over_tcp: Mapping[tuple[str, Type], Probe] = attrs.field(factory=dict)
    """The same over TCP, where UDP brought a part only."""
    snapshot: Snapshot = attrs.field(factory=Snapshot)
    error: DiscoveryError | None = None
    """What the library itself makes of the Service."""
    queries: tuple[int, int] = (0, 0)
    """That it took, over UDP and TCP."""
    later: Probe | None = None
    """The Service's addresses once more, `later_after` seconds after the first time."""
    later_after: float = 0.0
    connections: tuple[Connection, ...] | None = None
    """``None``: not tried."""

    @property
    def servers_answer(self) -> bool:
        """Whether any name server does."""
        return any(reach.answers for reach in self.reach)

    def probe(self, name: str, rdtype: Type) -> Probe | None:
        """What came of that question; the whole of it, if only TCP brought that."""
        whole = self.over_tcp.get((name, rdtype))
        if whole is not None and whole.answer is not None:
            return whole
        return self.probes.get((name, rdtype))

    def answer(self, name: str, rdtype: Type) -> Answer | None:
        """Its answer, if one came."""
        probe = self.probe(name, rdtype)
        return None if probe is None else probe.answer
