"""A Service that changes while it is looked up, and the name servers that tell of it.

`World` has the whole history: who was published when. Its name servers answer from it as CoreDNS
does, each question from a moment of its own: replicas are late, caches keep single answers.
"""

import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

import attrs
import dns.reversename

from headless_discovery import LookupFailed, LookupTimeout
from tests.lookups import NAMESPACE, SERVICE, Answer, Question, Reply, Server, Type, dashed, full

BELOW = str(SERVICE)
OWN_SOA = SERVICE.domain
POOLS = {
    Type.A: tuple(f"10.0.0.{number}" for number in range(1, 7)),
    Type.AAAA: tuple(f"fd00::{number}" for number in range(1, 7)),
}
HOSTS = ("web-0", "web-1", "web-2", "web-3")
MOST = 5
"""Pods; there are more addresses."""
VIRTUAL = {Type.A: "10.96.0.1", Type.AAAA: "fd00:96::1"}
REVERSE = {
    dns.reversename.from_address(address).to_text(omit_final_dot=True): address
    for address in (*POOLS[Type.A], *POOLS[Type.AAAA], *VIRTUAL.values())
}
SERVER = Server("10.96.0.10", 53)
"""Of all replicas: they are behind one address."""
_LEAST_CACHED = 5
"""Seconds: CoreDNS's cache keeps nothing for less."""
ALL_FIT = 1000
"""SRV records."""

Ports = tuple[tuple[str, int], ...]


@attrs.frozen
class Pod:
    """One that is ready."""

    host: str | None
    addresses: tuple[str, ...]
    ports: Ports

    def __str__(self) -> str:
        ports = ",".join(f"{name}:{number}" for name, number in self.ports)
        return f"{self.host or 'a pod'} {','.join(self.addresses)} {ports}".strip()

    @property
    def rows(self) -> tuple[tuple[str, str], ...]:
        """Each name with each of its addresses."""
        return tuple((full(f"{self.host or dashed(a)}.web"), a) for a in self.addresses)


@attrs.frozen
class State:
    """What there is at a moment."""

    kind: Literal["headless", "absent", "virtual", "external"] = "headless"
    pods: tuple[Pod, ...] = ()

    def __str__(self) -> str:
        return f"{self.kind}: {'; '.join(map(str, self.pods)) or 'no pods'}"

    @property
    def ready(self) -> tuple[Pod, ...]:
        """The pods that a lookup is to find."""
        return self.pods if self.kind == "headless" else ()

    def numbers(self, name: str | None = None, port: str | None = None) -> set[int]:
        """The port numbers of a name's pods, or of all."""
        return {
            number
            for pod in self.ready
            for called, number in pod.ports
            if port in (None, called) and (name is None or name in dict(pod.rows))
        }


@attrs.frozen
class Ways:
    """How the name servers are."""

    soa: str | None = OWN_SOA
    """Whose SOA a "no" has."""
    no_srv: Reply | None = None
    """What every SRV query is answered with."""
    no_ptr: Reply | None = None
    glue: bool = True
    fits: int = ALL_FIT
    """SRV records in one answer; more are cut, over TCP too."""
    ttl: int = 30
    cached: bool = False
    late: tuple[float, ...] = (0,)
    """Seconds by which each replica is behind."""

    @property
    def cuts(self) -> bool:
        return self.fits < ALL_FIT

    @property
    def holds(self) -> int:
        """Seconds for which an answer may be kept, by a cache or by the library."""
        return max(self.ttl, _LEAST_CACHED)

    @property
    def age(self) -> float:
        """How old an answer's records may be; without glue, addresses are remembered, too."""
        return max(self.late) + self.holds * (self.cached + (not self.glue))


NO_SRV: tuple[Reply, ...] = (
    LookupFailed("SRV is refused", rcode="REFUSED"),
    LookupTimeout("SRV is dropped"),
    Answer("NXDOMAIN"),
    Answer("NOERROR"),
)
NO_PTR: tuple[Reply, ...] = (
    LookupFailed("PTR is refused", rcode="REFUSED"),
    LookupTimeout("PTR is dropped"),
    Answer("NXDOMAIN", soa="in-addr.arpa"),
)


def any_ways(rng: random.Random) -> Ways:
    """Those of CoreDNS, but for up to three things."""
    others: Mapping[str, Callable[[], Any]] = {
        "soa": lambda: rng.choice([".", None]),
        "no_srv": lambda: rng.choice(NO_SRV),
        "no_ptr": lambda: rng.choice(NO_PTR),
        "glue": lambda: False,
        "fits": lambda: rng.choice([1, 2, 3]),
        "cached": lambda: True,
        "late": lambda: (0, rng.choice([1.0, 3.0])),
    }
    chosen = rng.sample(sorted(others), rng.choice([0, 1, 1, 2, 2, 3]))
    return Ways(ttl=rng.choice([0, 5, 30]), **{name: others[name]() for name in chosen})


@attrs.frozen
class Workload:
    """What can become of the Service."""

    rng: random.Random
    named: bool | None
    """Whether pods have host names: all, none, or some."""
    families: tuple[Type, ...]
    has_ports: bool | None
    """Whether the Service has ports: always, never, or now and then."""
    alike: bool
    """Whether all pods have the same port."""
    stays: bool
    """Whether it is never made anew as another kind."""

    def after(self, state: State) -> State:
        """Something happens."""
        if state.kind != "headless":
            return State("headless", state.pods)
        chance = self.rng.random()
        if chance < 0.05:
            others: Sequence[Literal["virtual", "external"]] = ("virtual", "external")
            return State("absent") if self.stays else State(self.rng.choice(others), state.pods)
        if not state.pods or chance < 0.35:
            return State(pods=(*state.pods, *self._new(state.pods)))
        return State(pods=tuple(self._changed(state.pods)))

    def _new(self, pods: Sequence[Pod]) -> Iterator[Pod]:
        ports = pods[0].ports if pods else self._ports()
        together = list(pods)
        for _ in range(min(self.rng.choice([1, 1, 2, 3]), MOST - len(pods))):
            together.append(self._pod(together, ports))
            yield together[-1]

    def _changed(self, pods: Sequence[Pod]) -> list[Pod]:
        rng = self.rng
        number = rng.randrange(len(pods))
        one, others = pods[number], [*pods[:number], *pods[number + 1 :]]
        another = self._pod(pods, one.ports)
        came_back = attrs.evolve(another, host=one.host)
        match rng.randrange(7):
            case 0:
                return others
            case 1:
                return [*others, came_back]
            case 2:  # while its old address is still listed
                return [*others, one, *([came_back] if len(pods) < MOST else [])]
            case 3:  # another one has its address now
                return [*others, attrs.evolve(another, addresses=one.addresses)]
            case 4:
                ports = self._ports()
                if self.has_ports is None:
                    ports = () if one.ports else (("http", 8080),)
                return [attrs.evolve(pod, ports=ports) for pod in pods]
            case 5 if self.has_ports and not self.alike:  # a rollout
                return [*others, attrs.evolve(another, ports=self._ports())]
            case _:
                return []

    def _ports(self) -> Ports:
        if not self.has_ports:
            return ()
        http, admin = ("http", self.rng.choice([8080, 8080, 8081])), ("admin", 9000)
        if self.alike:
            return (http,)
        return self.rng.choice([(http,), (http,), (http, admin), (admin,)])

    def _pod(self, pods: Iterable[Pod], ports: Ports) -> Pod:
        rng, pods = self.rng, list(pods)
        taken = {address for pod in pods for address in pod.addresses}
        pools = map(POOLS.__getitem__, self.families)
        addresses = tuple(rng.choice([a for a in pool if a not in taken]) for pool in pools)
        named = rng.random() < 0.5 if self.named is None else self.named
        free = [host for host in HOSTS if host not in {pod.host for pod in pods}]
        return Pod(rng.choice(free or HOSTS) if named else None, addresses, ports)


class World:
    """The Service's history, and what is said of it."""

    def __init__(self, ways: Ways, workload: Workload, rng: random.Random) -> None:
        self.now = 1000.0
        self.moves = 0.0
        """How likely it is that something happens between two answers."""
        self.history = [(0.0, workload.after(State()))]
        self._ways = ways
        self._workload = workload
        self._rng = rng
        self._kept: dict[tuple[int, Question], tuple[float, Answer]] = {}
        self._same: dict[Any, Any] = {}

    # What happens.

    def happen(self) -> None:
        """Something, now."""
        self.history.append((self.now, self._workload.after(self.history[-1][1])))

    def go_on(self, seconds: float) -> None:
        """For so long; then something may happen."""
        self.now += seconds
        if self._rng.random() < self.moves:
            self.happen()

    def within(self, since: float, until: float) -> list[State]:
        """All states of that time."""
        later = [state for began, state in self.history if since < began <= until]
        return [self.at(since), *later]

    def at(self, time: float) -> State:
        """The state at a moment."""
        return next(state for began, state in reversed(self.history) if began <= time)

    # What is said.

    def answers(self, questions: Sequence[Question]) -> list[Reply]:
        """To questions that are sent together: in any order, each at its moment."""
        replies: dict[int, Reply] = {}
        for number in self._rng.sample(range(len(questions)), len(questions)):
            self.go_on(self._rng.uniform(0, 0.02))
            replies[number] = self._answer(questions[number])
        return [replies[number] for number in range(len(questions))]

    def _answer(self, question: Question) -> Reply:
        ways = self._ways
        replica = self._rng.randrange(len(ways.late))
        key = replica, attrs.evolve(question, needed=True, tcp=True, at=None)
        since, answer = self._kept.get(key, (self.now, None))
        if answer is None or self.now >= since + answer.ttl:
            said = self._said(self.at(self.now - ways.late[replica]), question)
            if isinstance(said, LookupFailed):
                return said
            ttl = ways.holds if ways.cached else said.ttl
            since, answer = self.now, attrs.evolve(said, ttl=ttl, server=SERVER)
            if ways.cached:
                self._kept[key] = since, answer
        return attrs.evolve(answer, ttl=answer.ttl - int(self.now - since))

    def _said(self, state: State, question: Question) -> Reply:
        """As CoreDNS's kubernetes plugin does it."""
        name, rdtype, ways = question.name, question.rdtype, self._ways
        if rdtype is Type.PTR:
            return ways.no_ptr or self._pointers(state, REVERSE[name])
        if rdtype is Type.SRV and ways.no_srv is not None:
            return ways.no_srv
        if name == SERVICE.domain or (name == BELOW and state.kind == "external"):
            alias = name == BELOW and rdtype is not Type.SRV
            return attrs.evolve(self._no("NOERROR"), alias="example.org" if alias else None)
        port = None
        if name.startswith("_"):
            port = name.removesuffix(f"._tcp.web{NAMESPACE}").removeprefix("_")
        if state.kind == "virtual" and (name == BELOW or port is not None):
            return self._virtual(state, port, rdtype)
        rows = [
            (own, address, number)
            for pod in state.pods
            for called, number in (pod.ports or ((None, None),))
            if port in (None, called)
            for own, address in pod.rows
            if port is not None or name in (BELOW, own)
        ]
        if not rows or state.kind in ("absent", "external"):
            return self._no("NXDOMAIN")
        return self._services(rows) if rdtype is Type.SRV else self._addresses(rows, rdtype)

    def _no(self, rcode: str, soa: str | None = None) -> Answer:
        return Answer(rcode, ttl=self._ways.ttl, soa=soa or self._ways.soa)

    def _same_as(self, records: Any) -> Any:
        """Equal records are the same objects, as a reader recognises them."""
        return self._same.setdefault(str(records), records)

    def _addresses(self, rows: Sequence[tuple[str, str, int | None]], rdtype: Type) -> Answer:
        found = dict.fromkeys(a for _, a, _ in rows if (":" in a) is (rdtype is Type.AAAA))
        if not found:
            return self._no("NOERROR")
        return Answer("NOERROR", ttl=self._ways.ttl, addresses=self._same_as(tuple(found)))

    def _services(self, rows: Sequence[tuple[str, str, int | None]]) -> Answer:
        numbered = {(own, number): None for own, _, number in rows if number is not None}
        if not numbered:
            return self._no("NOERROR")
        services = tuple(numbered)[: self._ways.fits]
        glue: dict[str, tuple[str, ...]] = {}
        for own, address in dict.fromkeys((own, address) for own, address, _ in rows):
            if self._ways.glue and own in dict(services):
                glue[own] = (*glue.get(own, ()), address)
        truncated = len(services) < len(numbered)
        return Answer(
            "NOERROR",
            truncated=truncated,
            ttl=self._ways.ttl,
            services=self._same_as(services),
            below=None if truncated else BELOW,
            glue=self._same_as(glue),
        )

    def _virtual(self, state: State, port: str | None, rdtype: Type) -> Answer:
        ports = {each for pod in state.pods for each in pod.ports} or {("https", 443)}
        numbers = sorted({number for called, number in ports if port in (None, called)})
        if not numbers:
            return self._no("NXDOMAIN")
        addresses = tuple(VIRTUAL[family] for family in self._workload.families)
        if rdtype is not Type.SRV:
            return self._addresses([(BELOW, address, None) for address in addresses], rdtype)
        services = tuple((BELOW, number) for number in numbers)
        return Answer("NOERROR", ttl=self._ways.ttl, services=services, glue={BELOW: addresses})

    def _pointers(self, state: State, address: str) -> Answer:
        names = [own for pod in state.pods for own, each in pod.rows if each == address]
        if address in VIRTUAL.values() and state.kind == "virtual":
            names = [BELOW]
        if not names or state.kind in ("absent", "external"):
            return self._no("NXDOMAIN", "ip6.arpa" if ":" in address else "in-addr.arpa")
        return Answer("NOERROR", ttl=self._ways.ttl, pointers=tuple(dict.fromkeys(names)))
