"""``doctor``: the checklist from the name to the pod."""

import importlib.metadata
import itertools
import os
import platform
import shutil
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import attrs

from .. import __version__
from .._errors import ConfigurationError
from . import _dns_checks, _pod_checks, _way_checks
from ._finding import Finding, Level, Observations, Unseen, warn
from ._messages import Progress, complain, error_json
from ._observe import observe
from ._options import FOUND, USAGE, Arguments, in_pod
from ._show import can_redraw, endpoint_json, fitted, in_order, print_json

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


_COLOURS = {Level.OK: "32", Level.WARN: "33", Level.FAIL: "1;31"}
_WIDEST = 100


def run(arguments: Arguments) -> int:
    """Observes, judges, and prints every line."""
    try:
        with Progress(arguments.clock, lambda: f"checking {arguments.service}"):
            seen = observe(arguments)
    except ConfigurationError as error:
        complain(arguments, error)
        return USAGE
    asked_for = {"pods accept connections": seen.connections, "EndpointSlices": seen.by_slices}
    found = [
        attrs.evolve(_judged(decide, seen), title=title)
        for title, decide in CHECKS.items()
        if asked_for.get(title, True) is not None
    ]
    if arguments.json:
        print_json(_as_json(seen, found), arguments.out)
    else:
        print("\n".join(_as_text(seen, found)), file=arguments.out)
    return _worst_code(found)


def _judged(decide: Callable[[Observations], Finding], seen: Observations) -> Finding:
    """What a check finds; no check stops the others."""
    try:
        return decide(seen)
    except Unseen as missing:
        return warn(f"could not be checked: {missing}", "")


def _worst_code(found: Iterable[Finding]) -> int:
    """The exit code: that of the first line that says fail; the others may follow from it."""
    return next((one.code for one in found if one.level is Level.FAIL), FOUND)


def _as_text(seen: Observations, found: Sequence[Finding]) -> Iterable[str]:
    """A line each; under it what it means and what to do, unless it is ok."""
    width = min(shutil.get_terminal_size().columns, _WIDEST)
    has_colours = can_redraw(seen.arguments.out) and not os.environ.get("NO_COLOR")
    yield f"{seen.wanted.name}\n"
    for one, following in itertools.zip_longest(found, found[1:]):
        level = f"{one.level:<4}"
        if has_colours:
            level = f"\x1b[{_COLOURS[one.level]}m{level}\x1b[0m"
        yield f"{level}  {one.title}"
        if following == one:
            continue  # what is the same for several lines is said once
        for text in filter(None, (one.seen, one.means, one.do)):
            yield from fitted(text, width, *[" " * 8] * 2)
    yield ""
    yield ", ".join(f"{sum(one.level is level for one in found)} {level}" for level in Level)


def _as_json(seen: Observations, found: Sequence[Finding]) -> dict[str, Any]:
    """A bug report, as docs/schemas/doctor.json describes it."""
    conf, snapshot = seen.surroundings.resolv_conf, seen.snapshot
    probes = [
        *(probe for reach in seen.reach for probe in (*reach.udp, reach.plain, reach.tcp)),
        *seen.probes.values(),
        *seen.over_tcp.values(),
    ]
    return {
        "service": str(seen.wanted.service),
        "exit_code": _worst_code(found),
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
            "use_vc": seen.over_tcp_first,
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
