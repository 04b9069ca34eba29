"""The walk from the name to the pod: each check is a function of what was observed."""

from collections.abc import Callable, Iterable

import attrs

from .._commands import _exit
from . import _place, _published, _servers, _way
from ._finding import Finding, Level
from ._observations import Observations

CHECKS: dict[str, Callable[[Observations], Finding]] = {
    "inside a cluster": _place.inside,
    "resolv.conf is a pod's": _place.pods_resolv_conf,
    "namespace and domain": _place.name_parts,
    "name servers over UDP": _servers.udp,
    "name servers over TCP": _servers.tcp,
    "no datagrams get lost": _servers.lost,
    "cluster domain": _servers.domain,
    "namespace exists": _servers.namespace,
    "headless Service": _published.headless,
    "published pods": _published.pods,
    "port": _published.port,
    "SRV and A agree": _published.agree,
    "names forward and back": _published.names,
    "am I among them": _published.own,
    "answer sizes": _way.sizes,
    "caches on the way": _way.caches,
    "pods accept connections": _way.connections,
    "cost of the search list": _place.search_list,
    "other tools in this image": _place.tools,
}
"""By title, in the order of the walk."""


def findings(seen: Observations) -> tuple[Finding, ...]:
    """The whole walk."""
    return tuple(attrs.evolve(decide(seen), title=title) for title, decide in CHECKS.items())


def worst_code(found: Iterable[Finding]) -> int:
    """The exit code: that of the first line that is broken; the others may follow from it."""
    return next((one.code for one in found if one.level is Level.BROKEN), _exit.FOUND)
