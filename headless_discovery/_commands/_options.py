"""What the commands about a Service are asked, and the `Peers` that follows from it."""

import argparse
import re
from typing import Any

from .._peers import Peers, peers
from .._transport import Resolver

_DURATION = re.compile(r"(\d+(?:\.\d+)?|\.\d+)(ms|s|m|h)?")
_UNITS = {"ms": 0.001, None: 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}


class Asked(argparse.Namespace):
    """The parsed command line."""

    service: str
    port: str | int | None
    protocol: str
    namespace: str | None
    cluster_domain: str | None
    family: Any
    records: Any
    nameserver: list[str] | None
    lifetime: float
    json: bool
    plain: bool
    exclude_self: bool
    at_least: int
    stable_for: float
    timeout: float | None
    see_self: bool
    connect: bool
    manifests: list[str]
    listen: str
    allow_remote: bool
    ttl: int


def duration(text: str) -> float:
    """Seconds, from ``5s``, ``500ms``, ``1m``, ``2h`` or ``5``."""
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time such as 5s, 500ms or 1m")
    return float(match[1]) * _UNITS[match[2]]


def port(text: str) -> str | int:
    """A number, or a name."""
    return int(text) if text.isdigit() else text


def resolver_of(asked: Asked) -> Resolver:
    """Whom to ask."""
    return Resolver(asked.nameserver, lifetime=asked.lifetime)


def store_of(asked: Asked) -> Peers:
    """What the library makes of it; raises `ConfigurationError`."""
    return peers(
        asked.service,
        port=asked.port,
        protocol=asked.protocol,
        namespace=asked.namespace,
        cluster_domain=asked.cluster_domain,
        family=asked.family,
        records=asked.records,
        include_self=not asked.exclude_self,
        resolver=resolver_of(asked),
    )
