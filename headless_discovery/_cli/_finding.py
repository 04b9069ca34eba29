"""What the doctor observed and concluded: frozen values, and how they are shown.

A `Finding` is *ok*, *warn* (it works, or may; but know this) or *fail*: what was seen, what that
means, and what to do about it. What could not be checked says so: no check stops the others.
"""

import enum
from collections.abc import Mapping

import attrs

from .._dns.message import Answer, Server, Type
from .._dns.resolver import NAMESERVER_VARIABLE
from .._dns.steps import Question
from .._dns.surroundings import RESOLV_CONF, Surroundings, asks_over_tcp
from .._dns.wanted import Wanted
from .._endpoint import Endpoint, Snapshot, ThisPod
from .._errors import DiscoveryError, NotHeadless
from .._store.arguments import Target
from ._options import Arguments

LOGS = "  kubectl logs -n kube-system -l k8s-app=kube-dns"
COREFILE = "  kubectl get configmap -n kube-system coredns -o yaml"
ADDRESSES = (Type.A, Type.AAAA)


@attrs.frozen
class Probe:
    """One question put to one server, once, and what came back."""

    question: Question
    server: Server
    tcp: bool = False
    edns: bool = True
    """Whether the query has EDNS."""
    answer: Answer | None = None
    size: int = 0
    """Bytes of the reply; 0 without one."""
    seconds: float = 0.0
    reason: str | None = None
    """Why there is no answer."""


@attrs.frozen
class Reach:
    """A name server, queried for the cluster's domain by each transport."""

    server: Server
    udp: tuple[Probe, ...]
    """Several times at once, with EDNS."""
    plain: Probe
    """Over UDP without EDNS."""
    tcp: Probe
    elsewhere: str | None = None
    """From which other address a reply came, where none came from the server."""

    @property
    def lost(self) -> int:
        """How many datagrams with EDNS went without an answer."""
        return sum(probe.answer is None for probe in self.udp)

    @property
    def drops_edns(self) -> bool:
        """Whether it answers over UDP, but not with EDNS."""
        return self.lost == len(self.udp) and self.plain.answer is not None

    @property
    def over_udp(self) -> bool:
        """Whether it answered over UDP at all."""
        return self.lost < len(self.udp) or self.drops_edns

    @property
    def answered(self) -> tuple[Probe, ...]:
        """Those of its probes that have an answer."""
        return tuple(p for p in (*self.udp, self.plain, self.tcp) if p.answer is not None)


@attrs.frozen(kw_only=True)
class Observations:
    """All of it."""

    arguments: Arguments
    target: Target
    """What they mean."""
    namespace_known: bool
    """Otherwise ``default`` stands in for it."""
    libc: str
    """``glibc 2.36``; empty if it is another."""
    this_pod: ThisPod
    """Who we are, as far as that is known."""
    made_up: str
    """A label that does not exist, to find wildcards."""
    no_servers: str | None = None
    """Why there is no name server."""
    reach: tuple[Reach, ...] = ()
    probes: Mapping[tuple[str, Type], Probe] = attrs.field(factory=dict)
    """By name and type: what the first server that answers said, over UDP if it does."""
    over_tcp: Mapping[tuple[str, Type], Probe] = attrs.field(factory=dict)
    """The same over TCP, if the reply over UDP was truncated."""
    snapshot: Snapshot = attrs.field(factory=Snapshot)
    error: DiscoveryError | None = None
    """What the library itself makes of the Service."""
    queries: tuple[int, int] = (0, 0)
    """That it took, over UDP and TCP."""
    later: Probe | None = None
    """The Service's addresses once more, `later_after` seconds after the first time."""
    later_after: float = 0.0
    connections: Mapping[Endpoint, str | None] | None = None
    """Why each failed, if it did; ``None``: not tried."""
    by_slices: tuple[Snapshot, DiscoveryError | None] | None = None
    """What EndpointSlices have, and why they could not be read; ``None``: not tried."""

    @property
    def wanted(self) -> Wanted:
        """The Service, and its port."""
        return self.target.wanted

    @property
    def surroundings(self) -> Surroundings:
        """The environment and the files of this process."""
        return self.target.surroundings

    @property
    def nameservers_from(self) -> str:
        """Who named the name servers."""
        if self.arguments.nameserver:
            return "--nameserver"
        is_set = self.surroundings.environ.get(NAMESERVER_VARIABLE)
        return f"${NAMESERVER_VARIABLE}" if is_set else str(RESOLV_CONF)

    @property
    def over_tcp_first(self) -> bool:
        """Whether lookups ask over TCP first."""
        around = self.surroundings
        of_file = self.nameservers_from == str(RESOLV_CONF)
        return of_file and asks_over_tcp(around.resolv_conf, around.environ)

    @property
    def made_up_names(self) -> tuple[str, str]:
        """Names that do not exist: below the Service, and beside it."""
        service = self.wanted.service
        beside = f"{self.made_up}.{service.namespace}.svc.{service.domain}"
        return (f"{self.made_up}.{service}", beside)

    @property
    def servers_answer(self) -> bool:
        """Whether any name server does, over UDP or TCP."""
        return any(reach.answered for reach in self.reach)

    def probe(self, name: str, rdtype: Type) -> Probe | None:
        """The reply to that question; the one over TCP if UDP truncated it."""
        whole = self.over_tcp.get((name, rdtype))
        if whole is not None and whole.answer is not None:
            return whole
        return self.probes.get((name, rdtype))

    def answer(self, name: str, rdtype: Type) -> Answer | None:
        """Its answer, if one came."""
        probe = self.probe(name, rdtype)
        return None if probe is None else probe.answer

    def answered(self, name: str, rdtype: Type) -> Answer:
        """Its answer; raises `Unseen` if none came that can be judged."""
        answer = self.answer(name, rdtype)
        if answer is None:
            raise self.no_answer(self.probe(name, rdtype))
        return answer

    def no_answer(self, probe: Probe | None) -> "Unseen":
        """Why there is no answer to judge."""
        if not self.servers_answer:
            return Unseen("no name server answers")
        if probe is not None and probe.answer is not None:
            if is_usable(probe.answer):
                return Unseen("the answer was truncated")
            return Unseen(f"{probe.server} answers {probe.answer.rcode}")
        return Unseen(probe.reason or "no answer" if probe is not None else "it was not queried")

    @property
    def is_foreign(self) -> bool:
        """Whether the name server's replies about the domain cannot be trusted."""
        answer = self.answer(self.wanted.service.domain, Type.A)
        return answer is not None and not serves(answer)

    def expect_served(self) -> None:
        """Raises `Unseen` if the name server's replies about the domain cannot be trusted."""
        if self.is_foreign:
            raise Unseen("the name server does not serve the domain")

    @property
    def is_headless(self) -> bool:
        """Whether the library found no other kind of Service."""
        return not isinstance(self.error, NotHeadless)

    def expect_headless(self) -> None:
        """Raises `Unseen` if it is another kind of Service."""
        if not self.is_headless:
            raise Unseen("the Service is not headless")

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """The pods that were found; raises `Unseen` if there are none."""
        if not self.snapshot.endpoints:
            raise Unseen("no pod was found")
        return self.snapshot.endpoints

    def kubectl(self, verb: str, what: str) -> str:
        """A command to paste, in the Service's namespace."""
        return f"  kubectl {verb} -n {self.wanted.service.namespace} {what}"

    def doctor(self, options: str) -> str:
        """This command to paste, with other options."""
        return f"  headless-discovery doctor {self.arguments.service} {options}"

    @property
    def policies(self) -> str:
        """The command that lists what may block a port."""
        return self.kubectl("get", "networkpolicies")

    @property
    def list_slices(self) -> str:
        """The command that lists what DNS is made from."""
        name = self.wanted.service.service
        return self.kubectl("get", f"endpointslices -l kubernetes.io/service-name={name}")

    @property
    def show_service(self) -> str:
        """The command that shows the Service."""
        return self.kubectl("get", f"service {self.wanted.service.service} -o yaml")


class Unseen(Exception):
    """What a check needs is not there: that is not ok."""


class Level(enum.StrEnum):
    """How bad it is."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@attrs.frozen
class Finding:
    """One line of the checklist."""

    level: Level
    seen: str
    means: str = ""
    do: str = ""
    """Commands, and YAML to paste, stand on lines that begin with two blanks."""
    code: int = 0
    """The command's exit code, if this is the first that is broken."""
    title: str = attrs.field(default="", eq=False)


def ok(seen: str) -> Finding:
    """All is well."""
    return Finding(Level.OK, seen)


def warn(seen: str, means: str, do: str = "") -> Finding:
    """It works, or may; but know this."""
    return Finding(Level.WARN, seen, means, do)


def fail(code: int, seen: str, means: str, do: str) -> Finding:
    """It does not work."""
    return Finding(Level.FAIL, seen, means, do, code)


def is_usable(answer: Answer | None) -> bool:
    """Whether it says something of the name, and is no refusal or failure."""
    return answer is not None and answer.rcode in ("NOERROR", "NXDOMAIN")


def serves(answer: Answer) -> bool:
    """Whether this answer to the domain's own name is that of a server that serves the domain.

    It exists and has no address: CoreDNS says so, with ``fallthrough`` too, and caches copy it. A
    server of elsewhere says NXDOMAIN, one that makes up answers gives an address.
    """
    says_something = answer.addresses or answer.alias or answer.truncated
    return answer.rcode == "NOERROR" and not says_something
