"""Observations: queries by the Resolver, reads files, connects. It draws no conclusions."""

import concurrent.futures
import contextlib
import socket
from collections.abc import Callable, Iterable, Sequence

import attrs

from .._dns.exchange import KNOWS_NO_EDNS
from .._dns.failures import NoReply
from .._dns.message import Answer, MalformedReplyError, Server, Type, is_reply, query
from .._dns.names import PROTOCOLS
from .._dns.naming import reverse_name
from .._dns.read import read
from .._dns.resolver import Resolver
from .._dns.steps import Question, Send, Step, Steps
from .._endpoint import Endpoint, Snapshot, ThisPod
from .._errors import ConfigurationError, DiscoveryError
from .._peers import Peers
from .._store.arguments import Target, selection_arguments
from .._store.view import find_this_pod
from .._time.clock import Clock
from ._finding import Connection, Observations, Probe, Reach

UDP_TRIES = 5
"""Datagrams to each server: enough to distinguish packet loss from a dead server."""
NAMES_CHECKED = 32
"""Pods whose names are resolved forward and back."""
CACHE_SHOWS_AFTER = 1.1
"""Seconds after which a cached TTL has gone down by one at least."""
CONNECT_TIMEOUT = 1.0
CONNECT_AT_ONCE = 16
CONNECT_AT_MOST = 256
"""Pods: with none of them answering that takes 16 seconds."""

Connect = Callable[[Endpoint], str | None]
"""Connects, and returns why that failed, or ``None``."""
ReadSlices = Callable[[], tuple[Snapshot, DiscoveryError | None]]
"""Reads the Service's EndpointSlices; the error, if they cannot be read."""
Listen = Callable[[Server, bytes, float], str | None]
"""Sends a question and takes a reply from anywhere; returns from where, if not from the server."""


def observe(
    given: Observations,
    asked: Target,
    clock: Clock,
    *,
    connect: Connect | None = None,
    listen: Listen | None = None,
    read_slices: ReadSlices | None = None,
) -> Observations:
    """Makes every observation; ``given`` is what is known without a query."""
    ask = _Asker(asked.resolver, clock)
    by_slices = None if read_slices is None else read_slices()
    seen = attrs.evolve(given, reach=_reach(ask, asked, listen), by_slices=by_slices)
    # The first that answers over UDP, else over TCP.
    server = min(
        (reach for reach in seen.reach if reach.answered),
        key=lambda reach: not reach.over_udp,
        default=None,
    )
    if server is None:
        return seen
    wanted, began = asked.wanted, clock.now()
    way = attrs.evolve(_Way(server.server), tcp=not server.over_udp, edns=not server.drops_edns)
    probes = ask(_questions(seen, server.server), way)
    truncated = [p.question for p in probes if p.answer is not None and p.answer.truncated]
    whole = ask(truncated, attrs.evolve(way, tcp=True))
    seen = attrs.evolve(seen, probes=_by_name(probes), over_tcp=_by_name(whole))
    peers = Peers(selection_arguments(clock=clock), asked)
    error: DiscoveryError | None = None
    try:
        error = peers.refresh().error
    except DiscoveryError as raised:
        error = raised
    endpoints = peers.snapshot.endpoints
    names = _by_name(ask(_both_ways(endpoints[:NAMES_CHECKED]), way))
    clock.sleep(max(began + CACHE_SHOWS_AFTER - clock.now(), 0))
    [later] = ask([Question(str(wanted.service), Type.A)], way)
    return attrs.evolve(
        seen,
        probes={**seen.probes, **names},
        snapshot=peers.snapshot,
        error=error,
        queries=(peers.stats.queries_udp, peers.stats.queries_tcp),
        later=later,
        later_after=clock.now() - began,
        connections=None if connect is None else _connect_all(seen, endpoints, connect),
    )


def why_no_servers(resolver: Resolver) -> str | None:
    """Why there is no name server to query; ``None``: there is one."""
    try:
        resolver.servers()
    except ConfigurationError as error:
        return str(error)
    return None


def own_pod(asked: Target) -> ThisPod:
    """Which pod this is, as far as that is known."""
    with contextlib.suppress(DiscoveryError):
        return find_this_pod(asked) or ThisPod()
    return ThisPod()


@attrs.frozen
class _Way:
    """How to query."""

    server: Server
    tcp: bool = False
    edns: bool = True


class _Asker:
    """Puts questions side by side, each once and to one server."""

    def __init__(self, resolver: Resolver, clock: Clock) -> None:
        self._resolver = resolver
        self._clock = clock

    def __call__(self, questions: Iterable[Question], way: _Way) -> list[Probe]:
        return self.each((question, way) for question in questions)

    def each(self, asks: Iterable[tuple[Question, _Way]]) -> list[Probe]:
        """The reply to each question, by its own transport."""
        return self._resolver.run(self._steps(list(asks)), self._clock)

    def _steps(self, asks: Sequence[tuple[Question, _Way]]) -> Steps[list[Probe]]:
        """Each once; and once more without EDNS where the server knows none."""
        began, patience = self._clock.now(), self._resolver.timeout
        silence = NoReply.in_time(patience).reason
        offered = [self._resolver.edns if way.edns else None for _, way in asks]
        probes = [
            Probe(question, way.server, way.tcp, None, 0, patience, silence, edns is not None)
            for (question, way), edns in zip(asks, offered, strict=True)
        ]
        waiting: dict[Send, tuple[int, int | None]] = {}  # which question, and with what EDNS

        def send(which: int, edns: int | None) -> Send:
            question, way = asks[which]
            sent = Send(query(question.name, question.rdtype, edns=edns), way.server, way.tcp)
            waiting[sent] = which, edns
            return sent

        sends = list(map(send, range(len(asks)), offered))
        while waiting and self._clock.now() < began + patience:
            events = yield Step(began + patience, sends)
            sends = []
            for sent, came in events:
                if sent not in waiting or came is None or not _is_for(sent.wire, came):
                    continue
                which, edns = waiting.pop(sent)
                answer, reason = _read(came)
                if answer and answer.rcode in KNOWS_NO_EDNS and edns:
                    sends.append(send(which, None))
                    continue
                probes[which] = attrs.evolve(
                    probes[which],
                    answer=answer,
                    size=len(came) if isinstance(came, bytes) else 0,
                    seconds=self._clock.now() - began,
                    reason=reason,
                    edns=edns is not None,
                )
        return probes


def _is_for(wire: bytes, came: bytes | OSError) -> bool:
    return isinstance(came, OSError) or is_reply(wire, came)


def _read(came: bytes | OSError) -> tuple[Answer | None, str | None]:
    if isinstance(came, OSError):
        return None, NoReply.because_of(came).reason
    try:
        return read(came), None
    except MalformedReplyError as error:
        return None, f"a malformed reply ({error})"


def _by_name(probes: Iterable[Probe]) -> dict[tuple[str, Type], Probe]:
    return {(probe.question.name, probe.question.rdtype): probe for probe in probes}


def _reach(ask: _Asker, asked: Target, listen: Listen | None) -> tuple[Reach, ...]:
    try:
        servers = asked.resolver.servers()
    except ConfigurationError:
        return ()
    question = Question(asked.wanted.service.domain, Type.A)
    found = []
    for server in servers:
        ways = [
            *[_Way(server)] * UDP_TRIES,
            _Way(server, edns=False),
            _Way(server, tcp=True, edns=False),
        ]
        *udp, plain, tcp = ask.each((question, way) for way in ways)
        reach = Reach(server, tuple(udp), plain, tcp)
        if listen is not None and not reach.over_udp:
            wire = query(question.name, question.rdtype, edns=None)
            elsewhere = listen(server, wire, asked.resolver.timeout)
            reach = attrs.evolve(reach, elsewhere=elsewhere)
        found.append(reach)
    return tuple(found)


def _questions(seen: Observations, server: Server) -> Iterable[Question]:
    """The domain, the namespace, the Service, its ports; and who the server itself is."""
    wanted, service = seen.wanted, seen.wanted.service
    names: dict[tuple[str, Type], None] = {
        (service.domain, Type.A): None,
        (f"dns-version.{service.domain}", Type.TXT): None,
        (f"{service.namespace}.svc.{service.domain}", Type.A): None,
    }
    for rdtype in (Type.SRV, Type.A, Type.AAAA):
        names[str(service), rdtype] = None
    for protocol in PROTOCOLS:
        if isinstance(wanted.port, str):
            names[f"_{wanted.port}._{protocol}.{service}", Type.SRV] = None
        names[f"_._{protocol}.{service}", Type.SRV] = None  # any port (CoreDNS)
    for name in seen.made_up_names:
        names[name, Type.A] = None
    conf = seen.surroundings.resolv_conf
    for domain in conf.search:
        if not service.serves(domain):  # where a wildcard may answer in the Service's place
            names[f"{service}.{domain}", Type.A] = None
    for address in known_addresses(seen, server):
        names[reverse_name(address), Type.PTR] = None
    return [Question(name, rdtype) for name, rdtype in names]


def known_addresses(seen: Observations, server: Server) -> tuple[str, ...]:
    """Addresses of Services that are in every cluster, whose names contain its domain."""
    api = seen.surroundings.environ.get("KUBERNETES_SERVICE_HOST", "")
    try:
        socket.inet_pton(socket.AF_INET6 if ":" in api else socket.AF_INET, api)
    except OSError:
        return (server.address,)
    return (server.address, api)


def _both_ways(endpoints: Sequence[Endpoint]) -> Iterable[Question]:
    for endpoint in endpoints:
        rdtype = Type.AAAA if ":" in endpoint.address else Type.A
        yield Question(endpoint.name, rdtype)
        yield Question(reverse_name(endpoint.address), Type.PTR)


def _connect_all(
    seen: Observations, endpoints: Sequence[Endpoint], connect: Connect
) -> tuple[Connection, ...]:
    """To every pod at its port; where there is none, to the Service's virtual IP."""
    service = str(seen.wanted.service)
    targets = [endpoint for endpoint in endpoints if endpoint.port is not None]
    answer = seen.answer(service, Type.SRV)
    if not endpoints and answer is not None:
        targets = [
            Endpoint(service, (address,), port)
            for target, port in answer.services
            if target == service
            for address in answer.glue.get(service, ())
        ]
    with concurrent.futures.ThreadPoolExecutor(CONNECT_AT_ONCE) as pool:
        targets = targets[:CONNECT_AT_MOST]
        failures = pool.map(connect, targets)
        return tuple(
            Connection(endpoint, failure)
            for endpoint, failure in zip(targets, failures, strict=True)
        )


def connect(endpoint: Endpoint) -> str | None:
    """Opens a connection and closes it; ``None`` if that worked, else why not."""
    try:
        socket.create_connection((endpoint.address, endpoint.port), CONNECT_TIMEOUT).close()
    except OSError as error:
        return "no answer" if isinstance(error, TimeoutError) else error.strerror or str(error)
    return None


def listen(server: Server, wire: bytes, seconds: float) -> str | None:
    """Queries over a socket that accepts replies from any address; returns another sender, if any.

    The sockets of a lookup are connected: they never see such replies.
    """
    family = socket.AF_INET6 if ":" in server.address else socket.AF_INET
    with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as unconnected:
        unconnected.settimeout(seconds)
        unconnected.sendto(wire, (server.address, server.port))
        reply, (address, port, *_) = unconnected.recvfrom(65535)
        if is_reply(wire, reply) and (address, port) != (server.address, server.port):
            return str(Server(address, port))
    return None
