"""``doctor``: the checklist from the name to the pod."""

import json
import os
import shutil
import sys
import textwrap
from collections.abc import Sequence
from typing import Any, TextIO

from .._clock import Clock
from .._doctor._finding import Finding, Level
from .._doctor._findings import findings, worst_code
from .._doctor._observations import Observations
from .._doctor._observe import Connect, connect, look_around, observe
from .._errors import ConfigurationError
from .._options import Finding as Wanted
from .._options import check_finding
from .._surroundings import RESOLV_CONF
from .._transport import NAMESERVER_VARIABLE, Resolver
from ._exit import USAGE
from ._options import Asked, resolver_of
from ._show import error_text

_COLOURS = {Level.OK: "32", Level.LOOK: "33", Level.BROKEN: "1;31"}
_WIDEST = 100


def run(asked: Asked, out: TextIO) -> int:
    """Looks, judges, and prints every line."""
    try:
        seen = examine(
            asked, resolver_of(asked), Clock(), connect=connect if asked.connect else None
        )
    except ConfigurationError as error:
        print(error_text(error), file=sys.stderr)
        return USAGE
    found = findings(seen)
    if asked.json:
        print(json.dumps(as_json(seen, found), indent=2), file=out)
    else:
        width = min(shutil.get_terminal_size().columns, _WIDEST)
        print(as_text(seen, found, width, colours=_has_colours(out)), file=out)
    return worst_code(found)


def examine(
    asked: Asked, resolver: Resolver, clock: Clock, *, connect: Connect | None = None
) -> Observations:
    """Everything there is to see; raises `ConfigurationError` for a name that is not one."""
    surroundings = resolver.surroundings()
    known = "." in asked.service.removesuffix(".") or bool(
        asked.namespace or surroundings.namespace
    )
    wanted: Wanted = check_finding(
        asked.service,
        port=asked.port,
        protocol=asked.protocol,
        namespace=asked.namespace if known else "default",
        cluster_domain=asked.cluster_domain,
        family=asked.family,
        include_self=True,
        self_address=None,
        records=asked.records,
        resolver=resolver,
    )
    if asked.nameserver:
        nameservers_from = "--nameserver"
    elif surroundings.environ.get(NAMESERVER_VARIABLE):
        nameservers_from = f"${NAMESERVER_VARIABLE}"
    else:
        nameservers_from = str(RESOLV_CONF)
    around = look_around(
        asked.service,
        wanted,
        namespace=asked.namespace,
        cluster_domain=asked.cluster_domain,
        nameservers_from=nameservers_from,
        namespace_known=known,
    )
    return observe(around, wanted, clock, connect=connect)


def as_text(
    seen: Observations, found: Sequence[Finding], width: int, *, colours: bool = False
) -> str:
    """A line each; under it what it means and what to do, unless it is ok."""
    lines = [f"{seen.wanted.name}", ""]
    for one in found:
        level = f"{one.level:<6}"
        if colours:
            level = f"\x1b[{_COLOURS[one.level]}m{level}\x1b[0m"
        lines.append(f"{level}  {one.title}")
        if one.level is Level.OK:
            lines += _wrapped(one.seen, width)
            continue
        for text in filter(None, (one.seen, one.means, one.do)):
            lines += _wrapped(text, width)
    counts = ", ".join(f"{sum(o.level is level for o in found)} {level}" for level in Level)
    return "\n".join([*lines, "", counts])


def _wrapped(text: str, width: int) -> list[str]:
    """Sentences fitted to the width; lines to be pasted as they are."""
    indent = " " * 8
    lines: list[str] = []
    for line in text.splitlines():
        if line.startswith("  "):
            lines.append(indent + line)
        else:
            lines += textwrap.wrap(
                line,
                max(width, 40),
                initial_indent=indent,
                subsequent_indent=indent,
                break_long_words=False,
                break_on_hyphens=False,
            )
    return lines


def as_json(seen: Observations, found: Sequence[Finding]) -> dict[str, Any]:
    """As docs/schemas/doctor.json describes it."""
    return {
        "service": str(seen.wanted.service),
        "exit_code": worst_code(found),
        "findings": [
            {
                "level": str(one.level),
                "title": one.title,
                "seen": one.seen,
                "means": one.means,
                "do": one.do,
            }
            for one in found
        ],
    }


def _has_colours(out: TextIO) -> bool:
    dumb = os.environ.get("TERM", "dumb") == "dumb"
    return out.isatty() and not dumb and not os.environ.get("NO_COLOR")
