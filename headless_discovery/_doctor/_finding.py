"""One line of the checklist, and the ways to say it.

*Ok*, *look* (it works, or may; but know this) or *broken*: what was seen, what that means, and what
to do about it. What could not be seen is told as that: no check stops the others.
"""

import enum

import attrs

from .._commands import _exit
from .._errors import NotHeadless
from .._wire import Type
from ._observations import Observations, Probe


class Level(enum.StrEnum):
    """How bad it is."""

    OK = "ok"
    LOOK = "look"
    BROKEN = "broken"


@attrs.frozen
class Finding:
    """One line of the checklist."""

    level: Level
    seen: str
    means: str = ""
    do: str = ""
    """Commands, and YAML to paste, stand on lines that begin with two blanks."""
    code: int = _exit.FOUND
    """The command's exit code, if this is the first that is broken."""
    title: str = ""


def ok(seen: str, means: str = "") -> Finding:
    """All is well."""
    return Finding(Level.OK, seen, means)


def look(seen: str, means: str, do: str = "") -> Finding:
    """It works, or may; but know this."""
    return Finding(Level.LOOK, seen, means, do)


def broken(code: int, seen: str, means: str, do: str) -> Finding:
    """It does not work."""
    return Finding(Level.BROKEN, seen, means, do, code)


def unseen(why: str) -> Finding:
    """There is nothing to judge, since a line above is broken."""
    return look(f"could not be seen: {why}", "")


def no_answer(seen: Observations, probe: Probe | None) -> Finding:
    """There is no answer to judge."""
    if not seen.servers_answer:
        return unseen("no name server answers")
    return unseen(probe.reason or "no answer" if probe is not None else "it was not asked")


def kubectl(seen: Observations, verb: str, what: str) -> str:
    """A command to paste, in the Service's namespace."""
    return f"  kubectl {verb} -n {seen.wanted.service.namespace} {what}"


def slices(seen: Observations) -> str:
    """The command that lists what DNS is made from."""
    name = seen.wanted.service.service
    return kubectl(seen, "get", f"endpointslices -l kubernetes.io/service-name={name}")


def not_headless(seen: Observations) -> bool:
    """Whether the library found another kind of Service."""
    return isinstance(seen.error, NotHeadless)


def is_foreign(seen: Observations) -> bool:
    """Whether what the name server says of the domain is not to be believed."""
    answer = seen.answer(seen.wanted.service.domain, Type.A)
    return answer is not None and answer.rcode != "NOERROR"
