"""Observations: queries by the Resolver, reads files, connects. It draws no conclusions."""

import concurrent.futures
import contextlib
import platform
import secrets
import socket
from collections.abc import Iterable, Mapping, Sequence

import attrs

from .._dns.exchange import KNOWS_NO_EDNS
from .._dns.failures import NoReply
from .._dns.message import Answer, MalformedReplyError, Server, Type, is_reply, query
from .._dns.names import PROTOCOLS
from .._dns.naming import reverse_name
from .._dns.read import read
from .._dns.resolver import Resolver
from .._dns.steps import Question, Send, Step, Steps
from .._dns.wanted import family_of
from .._endpoint import Endpoint, Snapshot, ThisPod
from .._errors import ConfigurationError, DiscoveryError
from .._store.arguments import Target
from .._store.view import find_this_pod
from .._time.clock import Clock
from ._finding import ADDRESSES, Observations, Probe, Reach
from ._options import Arguments, has_namespace, peers_of, refreshed

_UDP_TRIES = 5
"""Datagrams to each server: enough to distinguish packet loss from a dead server."""
_NAMES_CHECKED = 32
"""Pods whose names are resolved forward and back."""
_CACHE_SHOWS_AFTER = 1.1
"""Seconds after which a cached TTL has gone down by one at least."""
_CONNECT_TIMEOUT = 1.0
_CONNECT_AT_ONCE = 16
_CONNECT_AT_MOST = 256
"""Pods: with none of them answering that takes 16 seconds."""


def observe(arguments: Arguments) -> Observations:
    """Everything there is to see; raises `ConfigurationError` for a name that is not one."""
    known, clock = has_namespace(arguments), arguments.clock
    namespace = arguments.namespace if known else "default"
    peers = peers_of(arguments, source="dns", namespace=namespace, zone=None, include_self=True)
    target = peers._store.target
    assert target is not None  # noqa: S101 - it is no fixed list
    servers, no_servers = _servers(target.resolver)
    seen = Observations(
        arguments=arguments,
        target=target,
        namespace_known=known,
        libc=" ".join(filter(None, platform.libc_ver())),
        this_pod=_this_pod(target),
        made_up=f"made-up-{secrets.token_hex(4)}",
        no_servers=no_servers,
        reach=tuple(_reach(arguments, target, server) for server in servers),
        by_slices=None if arguments.source == "dns" else _by_slices(arguments),
    )
    # The first that answers over UDP, else over TCP.
    best = min(
        (reach for reach in seen.reach if reach.answered),
        key=lambda reach: not reach.over_udp,
        default=None,
    )
    if best is None:
        return seen
    service, began = str(seen.wanted.service), clock.now()
    to_best = Probe(Question(service, Type.A), best.server, not best.over_udp, not best.drops_edns)

    def ask(names: Iterable[tuple[str, Type]], *, tcp: bool = to_best.tcp) -> list[Probe]:
        asked = [attrs.evolve(to_best, question=Question(*name), tcp=tcp) for name in names]
        return _ask(target.resolver, clock, asked)

    probes = _by_name(ask(_names(seen, best.server)))
    truncated = [name for name, one in probes.items() if one.answer and one.answer.truncated]
    over_tcp = _by_name(ask(truncated, tcp=True))
    snapshot, error = refreshed(peers)
    names = _by_name(ask(_both_ways(snapshot.endpoints[:_NAMES_CHECKED])))
    clock.sleep(max(began + _CACHE_SHOWS_AFTER - clock.now(), 0))
    [later] = ask([(service, Type.A)])
    seen = attrs.evolve(
        seen,
        probes={**probes, **names},
        over_tcp=over_tcp,
        snapshot=snapshot,
        error=error,
        queries=(peers.stats.queries_udp, peers.stats.queries_tcp),
        later=later,
        later_after=clock.now() - began,
    )
    return attrs.evolve(seen, connections=_connect(seen)) if arguments.connect else seen


def _servers(resolver: Resolver) -> tuple[tuple[Server, ...], str | None]:
    """The name servers, and why there is none."""
    try:
        return resolver.servers(), None
    except ConfigurationError as error:
        return (), str(error)


def _this_pod(target: Target) -> ThisPod:
    with contextlib.suppress(DiscoveryError):
        return find_this_pod(target, target.source) or ThisPod()
    return ThisPod()


def _by_slices(arguments: Arguments) -> tuple[Snapshot, DiscoveryError | None]:
    """What EndpointSlices have of the Service, as this process may read them."""
    try:
        peers = peers_of(arguments, source="api", records="auto", include_self=True)
        with contextlib.closing(peers):
            return refreshed(peers)
    except ConfigurationError as error:
        return Snapshot(), error


# Queries.


def _ask(resolver: Resolver, clock: Clock, probes: Sequence[Probe]) -> list[Probe]:
    """These, each with its reply: put side by side, once, and to one server."""
    return resolver.run(_steps(resolver, clock, probes), clock)


def _steps(resolver: Resolver, clock: Clock, asked: Sequence[Probe]) -> Steps[list[Probe]]:
    """Each once; and once more without EDNS where the server knows none."""
    began, patience = clock.now(), resolver.timeout
    silence = NoReply.in_time(patience).reason
    probes = [
        attrs.evolve(one, seconds=patience, reason=silence, edns=one.edns and bool(resolver.edns))
        for one in asked
    ]
    waiting: dict[Send, int] = {}  # and which probe it is for

    def send(which: int) -> Send:
        probe = probes[which]
        edns = resolver.edns if probe.edns else None
        wire = query(probe.question.name, probe.question.rdtype, edns=edns)
        sent = Send(wire, probe.server, probe.tcp)
        waiting[sent] = which
        return sent

    sends = list(map(send, range(len(probes))))
    while waiting and clock.now() < began + patience:
        events = yield Step(began + patience, sends)
        sends = []
        for sent, came in events:
            if sent not in waiting:
                continue
            if not isinstance(came, OSError) and not is_reply(sent.wire, came):
                continue
            which = waiting.pop(sent)
            answer, reason = _read(came)
            if answer and answer.rcode in KNOWS_NO_EDNS and probes[which].edns:
                probes[which] = attrs.evolve(probes[which], edns=False)
                sends.append(send(which))
                continue
            probes[which] = attrs.evolve(
                probes[which],
                answer=answer,
                size=len(came) if isinstance(came, bytes) else 0,
                seconds=clock.now() - began,
                reason=reason,
            )
    return probes


def _read(came: bytes | OSError) -> tuple[Answer | None, str | None]:
    if isinstance(came, OSError):
        return None, NoReply.because_of(came).reason
    try:
        return read(came), None
    except MalformedReplyError as error:
        return None, f"a malformed reply ({error})"


def _by_name(probes: Iterable[Probe]) -> Mapping[tuple[str, Type], Probe]:
    return {(probe.question.name, probe.question.rdtype): probe for probe in probes}


def _reach(arguments: Arguments, target: Target, server: Server) -> Reach:
    by_udp = Probe(Question(target.wanted.service.domain, Type.A), server)
    plain = attrs.evolve(by_udp, edns=False)
    asked = [*[by_udp] * _UDP_TRIES, plain, attrs.evolve(plain, tcp=True)]
    *udp, plain, tcp = _ask(target.resolver, arguments.clock, asked)
    reach = Reach(server, tuple(udp), plain, tcp)
    if reach.over_udp:
        return reach
    wire = query(plain.question.name, Type.A, edns=None)
    return attrs.evolve(reach, elsewhere=target.resolver.reply_from_elsewhere(server, wire))


def _names(seen: Observations, server: Server) -> Iterable[tuple[str, Type]]:
    """The domain, the namespace, the Service, its ports; and who the server itself is."""
    wanted, service = seen.wanted, seen.wanted.service
    names: dict[tuple[str, Type], None] = {
        (service.domain, Type.A): None,
        (f"dns-version.{service.domain}", Type.TXT): None,
        (f"{service.namespace}.svc.{service.domain}", Type.A): None,
    }
    for rdtype in (Type.SRV, *ADDRESSES):
        names[str(service), rdtype] = None
    for protocol in PROTOCOLS:
        if isinstance(wanted.port, str):
            names[f"_{wanted.port}._{protocol}.{service}", Type.SRV] = None
        names[f"_._{protocol}.{service}", Type.SRV] = None  # any port (CoreDNS)
    for name in seen.made_up_names:
        names[name, Type.A] = None
    for domain in seen.surroundings.resolv_conf.search:
        if not service.serves(domain):  # where a wildcard may answer in the Service's place
            names[f"{service}.{domain}", Type.A] = None
    # Services that are in every cluster, whose names contain its domain.
    names[reverse_name(server.address), Type.PTR] = None
    api = seen.surroundings.environ.get("KUBERNETES_SERVICE_HOST", "")
    with contextlib.suppress(OSError):
        socket.inet_pton(socket.AF_INET6 if ":" in api else socket.AF_INET, api)
        names[reverse_name(api), Type.PTR] = None
    return names


def _both_ways(endpoints: Sequence[Endpoint]) -> Iterable[tuple[str, Type]]:
    for endpoint in endpoints:
        yield endpoint.name, family_of(endpoint.address)
        yield reverse_name(endpoint.address), Type.PTR


# Connections.


def _connect(seen: Observations) -> dict[Endpoint, str | None]:
    """To every pod at its port; where there is none, to the Service's virtual IP."""
    service, endpoints = str(seen.wanted.service), seen.snapshot.endpoints
    targets = [endpoint for endpoint in endpoints if endpoint.port is not None]
    answer = seen.answer(service, Type.SRV)
    if not endpoints and answer is not None:
        targets = [
            Endpoint(service, (address,), port)
            for target, port in answer.services
            if target == service
            for address in answer.glue.get(service, ())
        ]
    targets = targets[:_CONNECT_AT_MOST]
    with concurrent.futures.ThreadPoolExecutor(_CONNECT_AT_ONCE) as pool:
        return dict(zip(targets, pool.map(_failure, targets), strict=True))


def _failure(endpoint: Endpoint) -> str | None:
    """Opens a connection and closes it; ``None`` if that worked, else why not."""
    try:
        socket.create_connection((endpoint.address, endpoint.port), _CONNECT_TIMEOUT).close()
    except OSError as error:
        return "no answer" if isinstance(error, TimeoutError) else error.strerror or str(error)
    return None
