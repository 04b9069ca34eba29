"""``doctor``: the checklist from the name to the pod."""

import contextlib
import copy
import importlib.metadata
import itertools
import json
import os
import platform
import secrets
import shutil
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TextIO

import attrs

from .. import __version__
from .._dns.resolver import NAMESERVER_VARIABLE, Resolver
from .._dns.surroundings import RESOLV_CONF
from .._endpoint import Snapshot
from .._errors import ConfigurationError, DiscoveryError
from .._store.arguments import service_arguments
from .._time.clock import Clock
from . import _dns_checks, _pod_checks, _way_checks
from ._finding import Finding, Level, Observations, Unseen, warn
from ._messages import Progress, complain, error_json
from ._observe import Connect, Listen, ReadSlices, connect, listen, observe, own_pod, why_no_servers
from ._options import FOUND, USAGE, Arguments, has_namespace, in_pod, peers_of, resolver_of
from ._resolve import refreshed
from ._show import can_redraw, endpoint_json, fitted, in_order

CHECKS: dict[str, Callable[[Observations], Finding]] = {
    "inside a cluster": _dns_checks.inside,
    "resolv.conf is a pod's": _dns_checks.pods_resolv_conf,
    "namespace and domain": _dns_checks.name_parts,
    "name servers over UDP": _dns_checks.udp,
    "name servers over TCP": _dns_checks.tcp,
    "EDNS gets through": _dns_checks.edns,
    "no datagrams are lost": _dns_checks.lost,
    "cluster domain": _dns_checks.domain,
    "negative answers": _dns_checks.negative,
    "no wildcards": _dns_checks.wildcards,
    "namespace exists": _dns_checks.namespace,
    "headless Service": _pod_checks.headless,
    "published pods": _pod_checks.pods,
    "port": _pod_checks.port,
    "SRV and A agree": _pod_checks.agree,
    "names forward and back": _pod_checks.names,
    "a name for each pod": _pod_checks.distinct,
    "am I among them": _pod_checks.own,
    "answer sizes": _way_checks.sizes,
    "caches in between": _way_checks.caches,
    "pods accept connections": _way_checks.connections,
    "EndpointSlices": _way_checks.rights,
    "cost of the search list": _dns_checks.search_list,
    "other tools in this image": _dns_checks.tools,
}
"""By title, in the order of the walk."""


def findings(seen: Observations) -> tuple[Finding, ...]:
    """All checks; those that were not requested are left out."""
    asked_for = {"pods accept connections": seen.connections, "EndpointSlices": seen.by_slices}
    return tuple(
        attrs.evolve(judged(decide, seen), title=title)
        for title, decide in CHECKS.items()
        if asked_for.get(title, True) is not None
    )


def judged(decide: Callable[[Observations], Finding], seen: Observations) -> Finding:
    """What a check finds; no check stops the others."""
    try:
        return decide(seen)
    except Unseen as missing:
        return warn(f"could not be checked: {missing}", "")


def worst_code(found: Iterable[Finding]) -> int:
    """The exit code: that of the first line that says fail; the others may follow from it."""
    return next((one.code for one in found if one.level is Level.FAIL), FOUND)


_COLOURS = {Level.OK: "32", Level.WARN: "33", Level.FAIL: "1;31"}
_WIDEST = 100


def run(arguments: Arguments, out: TextIO) -> int:
    """Observes, judges, and prints every line."""
    try:
        with Progress(lambda: f"checking {arguments.service}"):
            seen = examine(
                arguments,
                resolver_of(arguments),
                Clock(),
                connect=connect if arguments.connect else None,
                listen=listen,
                read_slices=None if arguments.source == "dns" else lambda: read_slices(arguments),
            )
    except ConfigurationError as error:
        complain(arguments, error)
        return USAGE
    found = findings(seen)
    if arguments.json:
        print(json.dumps(as_json(seen, found), indent=2), file=out)
    else:
        width = min(shutil.get_terminal_size().columns, _WIDEST)
        print(as_text(seen, found, width, colours=_has_colours(out)), file=out)
    return worst_code(found)


def examine(
    arguments: Arguments,
    resolver: Resolver,
    clock: Clock,
    *,
    connect: Connect | None = None,
    listen: Listen | None = None,
    read_slices: ReadSlices | None = None,
) -> Observations:
    """Everything there is to see; raises `ConfigurationError` for a name that is not one."""
    surroundings = resolver.surroundings()
    known = has_namespace(arguments, surroundings)
    _, target = service_arguments(
        arguments.service,
        port=arguments.port,
        protocol=arguments.protocol or "tcp",
        namespace=arguments.namespace if known else "default",
        cluster_domain=arguments.cluster_domain,
        family=arguments.family,
        records=arguments.records,
        resolver=resolver,
    )
    variable = surroundings.environ.get(NAMESERVER_VARIABLE) and f"${NAMESERVER_VARIABLE}"
    around = Observations(
        asked=arguments.service,
        given_namespace=arguments.namespace,
        given_domain=arguments.cluster_domain,
        nameservers_from="--nameserver" if arguments.nameserver else variable or str(RESOLV_CONF),
        surroundings=target.surroundings,
        libc=" ".join(filter(None, platform.libc_ver())),
        this_pod=own_pod(target),
        namespace_known=known,
        wanted=target.wanted,
        made_up=f"made-up-{secrets.token_hex(4)}",
        no_servers=why_no_servers(resolver),
    )
    return observe(around, target, clock, connect=connect, listen=listen, read_slices=read_slices)


def read_slices(arguments: Arguments) -> tuple[Snapshot, DiscoveryError | None]:
    """What EndpointSlices have of the Service, as this process may read them."""
    by_api = copy.copy(arguments)
    by_api.source, by_api.records = "api", "auto"
    try:
        with contextlib.closing(peers_of(by_api)) as peers:
            return refreshed(peers)
    except ConfigurationError as error:
        return Snapshot(), error


def as_text(
    seen: Observations, found: Sequence[Finding], width: int, *, colours: bool = False
) -> str:
    """A line each; under it what it means and what to do, unless it is ok."""
    lines = [f"{seen.wanted.name}", ""]
    for one, following in itertools.zip_longest(found, found[1:]):
        level = f"{one.level:<4}"
        if colours:
            level = f"\x1b[{_COLOURS[one.level]}m{level}\x1b[0m"
        lines.append(f"{level}  {one.title}")
        if following is not None and attrs.evolve(following, title=one.title) == one:
            continue  # what is the same for several lines is said once
        for text in filter(None, (one.seen, one.means, one.do)):
            lines += fitted(text, width, *[" " * 8] * 2)
    counts = ", ".join(f"{sum(o.level is level for o in found)} {level}" for level in Level)
    return "\n".join([*lines, "", counts])


def as_json(seen: Observations, found: Sequence[Finding]) -> dict[str, Any]:
    """A bug report, as docs/schemas/doctor.json describes it."""
    conf, snapshot = seen.surroundings.resolv_conf, seen.snapshot
    probes = [
        *(probe for reach in seen.reach for probe in (*reach.udp, reach.plain, reach.tcp)),
        *seen.probes.values(),
        *seen.over_tcp.values(),
    ]
    return {
        "service": str(seen.wanted.service),
        "exit_code": worst_code(found),
        "findings": [
            {name: getattr(one, name) for name in ("level", "title", "seen", "means", "do")}
            for one in found
        ],
        "versions": {
            "headless_discovery": __version__,
            "dnspython": importlib.metadata.version("dnspython"),
            "python": platform.python_version(),
            "libc": seen.libc,
            "platform": platform.platform(),
        },
        "arguments": {
            name: getattr(seen.wanted, name) for name in ("port", "protocol", "family", "records")
        },
        "place": {
            "in_pod": in_pod(seen.surroundings),
            "nameservers": [str(reach.server) for reach in seen.reach],
            "nameservers_from": seen.nameservers_from,
            "search": list(conf.search),
            "ndots": conf.ndots,
            "use_vc": conf.use_vc,
            "own_addresses": [address for address, _ in seen.this_pod.addresses],
            "own_name": next(iter(seen.this_pod.names), ""),
        },
        "snapshot": {
            "state": str(snapshot.state),
            "reason": snapshot.reason,
            "ttl": snapshot.ttl,
            "endpoints": [endpoint_json(endpoint) for endpoint in in_order(snapshot.endpoints)],
            "error": error_json(seen.error),
        },
        "probes": [
            {
                "name": probe.question.name,
                "type": probe.question.rdtype.name,
                "server": str(probe.server),
                "tcp": probe.tcp,
                "edns": probe.edns,
                "answer": probe.answer.rcode if probe.answer else probe.reason,
                "bytes": probe.size,
                "seconds": round(probe.seconds, 6),
            }
            for probe in probes
        ],
    }


def _has_colours(out: TextIO) -> bool:
    return can_redraw(out) and not os.environ.get("NO_COLOR")
