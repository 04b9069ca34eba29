"""Looking: asks over the Resolver, reads files, connects. It judges nothing."""

import concurrent.futures
import contextlib
import platform
import socket
from collections.abc import Callable, Generator, Iterable, Sequence
from typing import cast

import attrs

from .._clock import Clock
from .._endpoint import Endpoint
from .._errors import ConfigurationError, DiscoveryError
from .._exchange import Asking, NoReply, Question, Send, Server, Traffic
from .._options import Finding as Asked
from .._options import check_selecting, own_addresses
from .._peers import Peers
from .._questions import reverse_name
from .._service import PROTOCOLS
from .._steps import Converse
from .._transport import Resolver
from .._wire import Answer, MalformedReplyError, Type, query, read
from ._observations import Connection, Observations, Probe, Reach

UDP_TRIES = 5
"""Datagrams to each server: enough to tell one that is lost from a server that is."""
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
_Looking = Generator[Send, bytes | NoReply, Probe]


def observe(
    given: Observations, asked: Asked, clock: Clock, *, connect: Connect | None
) -> Observations:
    """Looks at everything there is to see; ``given`` is what is known without asking anybody."""
    ask = _Asker(asked.resolver, clock)
    seen = attrs.evolve(given, reach=_reach(ask, asked))
    server = next((reach.server for reach in seen.reach if reach.answers), None)
    if server is None:
        return seen
    wanted, began = asked.wanted, clock.now()
    probes = ask(_questions(seen, server), server)
    cut = [p.question for p in probes if p.answer is not None and p.answer.truncated]
    seen = attrs.evolve(
        seen, probes=_by_name(probes), over_tcp=_by_name(ask(cut, server, tcp=True))
    )
    peers = Peers(check_selecting("round-robin", None, clock, None), asked)
    error: DiscoveryError | None = None
    try:
        error = peers.refresh().error
    except DiscoveryError as raised:
        error = raised
    endpoints = peers.snapshot.endpoints
    names = _by_name(ask(_both_ways(endpoints[:NAMES_CHECKED]), server))
    clock.sleep(max(began + CACHE_SHOWS_AFTER - clock.now(), 0))
    [later] = ask([Question(str(wanted.service), Type.A)], server)
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


def look_around(
    text: str,
    asked: Asked,
    *,
    namespace: str | None,
    cluster_domain: str | None,
    nameservers_from: str,
    namespace_known: bool,
) -> Observations:
    """What is known without asking anybody."""
    no_servers: str | None = None
    try:
        asked.resolver.servers()
    except ConfigurationError as error:
        no_servers = str(error)
    own: tuple[str, ...] = ()
    with contextlib.suppress(ConfigurationError):  # then they are not known
        own = own_addresses(asked, needed_for=None)
    return Observations(
        asked=text,
        given_namespace=namespace,
        given_domain=cluster_domain,
        nameservers_from=nameservers_from,
        surroundings=asked.surroundings,
        libc=" ".join(filter(None, platform.libc_ver())),
        own_addresses=own,
        own_hostname=asked.resolver.own_hostname(),
        namespace_known=namespace_known,
        wanted=asked.wanted,
        no_servers=no_servers,
    )


class _Asker:
    """Puts questions side by side, each once and to one server."""

    def __init__(self, resolver: Resolver, clock: Clock) -> None:
        self._resolver = resolver
        self._clock = clock

    def __call__(
        self, questions: Iterable[Question], server: Server, *, tcp: bool = False
    ) -> list[Probe]:
        return self.each((question, server, tcp) for question in questions)

    def each(self, asks: Iterable[tuple[Question, Server, bool]]) -> list[Probe]:
        """Each question to its own server."""
        lookings = [self._look(*ask) for ask in asks]
        step = Converse(
            # The transport hands back what a conversation returns, whatever that is.
            [cast("Asking", looking) for looking in lookings],
            self._clock.now() + 2 * self._resolver.timeout,
        )
        replies = self._resolver.converse(step, self._clock, Traffic(), _never)
        return [cast("Probe", reply) for reply in replies]

    def _look(self, question: Question, server: Server, tcp: bool) -> _Looking:
        began = self._clock.now()
        edns: int | None = self._resolver.edns
        came = yield Send(query(question.name, question.rdtype, edns=edns), server, tcp)
        answer, reason = _read(came)
        if answer is not None and answer.rcode in ("FORMERR", "BADVERS", "NOTIMP"):
            came = yield Send(query(question.name, question.rdtype, edns=None), server, tcp)
            answer, reason = _read(came)
        size = 0 if isinstance(came, NoReply) else len(came)
        return Probe(question, server, tcp, answer, size, self._clock.now() - began, reason)


def _read(came: bytes | NoReply) -> tuple[Answer | None, str | None]:
    if isinstance(came, NoReply):
        return None, came.reason
    try:
        return read(came), None
    except MalformedReplyError as error:
        return None, f"a malformed reply ({error})"


def _never() -> bool:
    return False


def _by_name(probes: Iterable[Probe]) -> dict[tuple[str, Type], Probe]:
    return {(probe.question.name, probe.question.rdtype): probe for probe in probes}


def _reach(ask: _Asker, asked: Asked) -> tuple[Reach, ...]:
    try:
        servers = asked.resolver.servers()
    except ConfigurationError:
        return ()
    question = Question(asked.wanted.service.domain, Type.A)
    tries = [*[False] * UDP_TRIES, True]
    probes = ask.each((question, server, tcp) for server in servers for tcp in tries)
    return tuple(
        Reach(server, tuple(probes[start : start + UDP_TRIES]), probes[start + UDP_TRIES])
        for start, server in zip(range(0, len(probes), len(tries)), servers, strict=True)
    )


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
    for address in known_addresses(seen, server):
        names[reverse_name(address), Type.PTR] = None
    return [Question(name, rdtype) for name, rdtype in names]


def known_addresses(seen: Observations, server: Server) -> tuple[str, ...]:
    """Addresses of Services that are in every cluster, whose names tell its domain."""
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
    """To every pod at its port; where there are none, to the Service's virtual IP."""
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
