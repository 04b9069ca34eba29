"""What a command is given, the `Peers` that follows, and how it ends."""

import argparse
import ipaddress
import re
from typing import TextIO, Unpack

from .._api.server import EndpointSlices
from .._dns.names import DEFAULT_DOMAIN, ServiceName
from .._dns.resolver import Resolver
from .._dns.surroundings import Surroundings
from .._endpoint import Snapshot, State
from .._errors import ConfigurationError, DiscoveryError, NoSuchPort, NotHeadless
from .._peers import Peers, peers
from .._store.arguments import PeersArguments
from .._time.clock import Clock

LIFETIME = 5.0
"""Seconds of one lookup by default."""
FOUND, NONE, USAGE, FAILED, NOT_HEADLESS, NO_SUCH_PORT = range(6)
"""The exit codes."""
INTERRUPTED = 130
"""As a shell has it: 128 and the signal's number (SIGINT)."""

_DURATION = re.compile(r"(\d+(?:\.\d+)?|\.\d+)(ms|s|m|h)?", re.ASCII)
_UNITS = {"ms": 0.001, None: 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}


class Arguments(argparse.Namespace):
    """The parsed command line, option by option, and what `main` was given beside it."""

    out: TextIO
    clock: Clock
    given_resolver: Resolver | None
    given_slices: EndpointSlices | None

    @property
    def resolver(self) -> Resolver:
        """The name servers to query; raises `ConfigurationError` for options that are wrong."""
        by_options = Resolver(self.nameserver, lifetime=self.lifetime)
        return self.given_resolver or by_options

    def contradiction(self) -> str | None:
        """Two options that cannot both hold, said in one sentence; argparse sees only one each."""
        given = vars(self).get
        if given("json") and given("plain"):
            return "--json and --plain exclude each other"
        if given("protocol") and not isinstance(given("port"), str):
            return "--protocol belongs to the name of a port: give --port NAME, or leave it out"
        if given("records") == "address" and isinstance(given("port"), str):
            return "--records address cannot look up the name of a port: give --port NUMBER"
        waits = given("lifetime") not in (None, LIFETIME)
        about_dns = given("nameserver") or given("records") == "address" or waits
        if given("source") == "api" and about_dns and "connect" not in vars(self):  # the doctor's
            return (
                "--nameserver, --records and --lifetime are about DNS: leave them out with "
                "--source api"
            )
        if given("zone") and given("source") == "dns":
            return "--zone needs --source api or auto: by DNS the zone of a pod is not known"
        timeout, stable_for = given("timeout"), given("stable_for") or 0
        if timeout is not None and stable_for > timeout:
            return "--stable-for is longer than --timeout: it could never be reached"
        if given("at_least") == 0 and (stable_for or given("see_self")):
            return "--at-least 0 waits for no pod: leave out --stable-for and --see-self"
        return None


def duration(text: str) -> float:
    """Seconds, from ``5s``, ``500ms``, ``1m``, ``2h`` or ``5``."""
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time such as 5s, 500ms or 1m")
    return float(match[1]) * _UNITS[match[2]]


def count(text: str) -> int:
    """A whole number from 0 on."""
    if text.isascii() and text.isdecimal():
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0 on")


def ttl(text: str) -> int:
    """Of DNS records, as CoreDNS takes it."""
    if text.isascii() and text.isdecimal() and int(text) <= 3600:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds from 0 to 3600")


def network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    """Addresses for pods."""
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not such as 127.0.1.0/24") from None


def port(text: str) -> str | int:
    """A number, or a name."""
    return int(text) if text.isascii() and text.isdigit() else text


def peers_of(arguments: Arguments, **others: Unpack[PeersArguments]) -> Peers:
    """What the library makes of it; raises `ConfigurationError`."""
    source = others.pop("source", arguments.source)
    slices = None if source == "dns" else arguments.given_slices
    if "namespace" not in others and not has_namespace(arguments):
        raise ConfigurationError(
            f"{arguments.service} has no namespace, and outside of a pod there is no default",
            hint=f"Write -n NAMESPACE, or {arguments.service}.NAMESPACE.",
        )
    asked: PeersArguments = {
        "port": arguments.port,
        "protocol": arguments.protocol or "tcp",
        "namespace": arguments.namespace,
        "cluster_domain": arguments.cluster_domain,
        "family": arguments.family,
        "records": arguments.records,
        "source": slices or source,
        "zone": arguments.zone,
        "include_self": not arguments.exclude_self,
        "resolver": None if slices or source == "api" else arguments.resolver,
        "clock": arguments.clock,
    }
    asked |= others
    return peers(arguments.service, **asked)


def refreshed(peers: Peers) -> tuple[Snapshot, DiscoveryError | None]:
    """What is known after one lookup, and the error if there is one, raised or not."""
    try:
        snapshot = peers.refresh()
    except DiscoveryError as error:
        return peers.snapshot, error
    return snapshot, snapshot.error


def has_namespace(arguments: Arguments) -> bool:
    """Whether anything says the namespace; raises `ConfigurationError` for what is no name."""
    if arguments.namespace or "." in arguments.service.removesuffix("."):
        return True
    surroundings = arguments.resolver.surroundings()
    # The name comes first: what is no name needs no namespace.
    ServiceName.parse(arguments.service, namespace="default", surroundings=surroundings)
    return bool(surroundings.namespace)


def in_pod(surroundings: Surroundings) -> list[str]:
    """The signs that this process runs in a pod; empty outside."""
    domain = surroundings.resolv_conf.cluster_domain
    signs = {
        f"/etc/resolv.conf searches svc.{domain or DEFAULT_DOMAIN}": domain,
        "there is a service account": surroundings.namespace_file,
        "$KUBERNETES_SERVICE_HOST is set": surroundings.environ.get("KUBERNETES_SERVICE_HOST"),
    }
    return [sign for sign, seen in signs.items() if seen]


def exit_code(snapshot: Snapshot, error: DiscoveryError | None) -> int:
    """Of a lookup with this outcome."""
    match error:
        case ConfigurationError():
            return USAGE
        case NotHeadless():
            return NOT_HEADLESS
        case NoSuchPort():
            return NO_SUCH_PORT
    if snapshot.state is State.EMPTY:
        return NONE
    return FOUND if error is None else FAILED
