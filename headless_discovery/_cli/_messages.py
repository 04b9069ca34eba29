"""What goes to stderr: errors in terms of the command line, and progress on a terminal."""

import re
import shutil
import sys
from collections.abc import Callable, Iterator

from .._dns.resolver import NAMESERVER_VARIABLE
from .._errors import ConfigurationError, DiscoveryError, NoSuchPort, NotHeadless
from .._time.clock import Clock, ThreadWaiters
from ._options import Arguments, in_pod
from ._show import can_redraw, fitted, width_of

_CLEAR = "\r\x1b[K"
"""Takes a terminal's last line away: progress may stand there."""


def note(text: str) -> None:
    """One line of the program's own, or as many as a terminal needs for it."""
    lines = fitted(text, width_of(sys.stderr), "headless-discovery: ", "  ")
    clear = _CLEAR if can_redraw(sys.stderr) else ""
    print(clear + "\n".join(lines), file=sys.stderr, flush=True)


OUTSIDE = """\
This is not a pod, so the cluster's DNS is probably out of reach. Without a cluster:
  headless-discovery demo              a tour, in memory
  headless-discovery serve MANIFEST    answers as the cluster's DNS would
In a pod, headless-discovery doctor SERVICE checks what is wrong."""
_PLACE = re.compile("no (namespace|name server|API server)")
"""What is wrong with the place, and not with an argument."""


def complain(arguments: Arguments, error: DiscoveryError) -> None:
    """An error, and below it what to do about it, in terms of the command line."""
    note(f"{type(error).__name__}: {by_options(str(error))}")
    hints = [by_options(error.hint)] if error.hint else []
    wrong_argument = isinstance(error, ConfigurationError) and not _PLACE.search(str(error))
    if not wrong_argument and not isinstance(error, NotHeadless | NoSuchPort):
        around = arguments.resolver.surroundings()
        if not (arguments.nameserver or around.environ.get(NAMESERVER_VARIABLE) or in_pod(around)):
            hints.append(OUTSIDE)
    for text in hints:
        print("\n".join(fitted(text, width_of(sys.stderr), "  hint: ", "  ")), file=sys.stderr)


_OPTIONS = {
    "service": "SERVICE", "namespace": "-n", "nameservers": "--nameserver",
    **{
        name: "--" + name.replace("_", "-")
        for name in (
            "cluster_domain", "port", "protocol", "family", "records", "lifetime", "at_least",
            "stable_for", "timeout", "see_self", "source", "zone",
        )
    },
}  # fmt: skip
_ANY = "|".join(_OPTIONS)
_PYTHON = {
    "include_self=False": "--exclude-self",
    ", or give self_address (with the port, if pods share it) or self_name": "",
    "self_address or $POD_IP": "$POD_IP",
    "; for a number give port= as an int": "",  # which the command line does by itself
    "port= as a number": "--port NUMBER",
    ", or None, not": ", not",
    '"auto" or None, not': "or auto, not",
}
_ARGUMENT = re.compile(rf"\b({_ANY})=(True\b|'[^']*'|\"[^\"]*\"|\[[^\]]*\]|[\w.:-]+)")
_NAME = re.compile(rf"^(?:{_ANY})(?= (?:must|needs|is)\b|:)|\b(?=[a-z]+_)(?:{_ANY})\b")


def by_options(text: str) -> str:
    """An error's text, which names Python arguments, for people in a shell."""
    text = re.sub(r"\bResolver\(\[?'?([^'\])]*)'?\]?\)", r"--nameserver \1", text)
    text = re.sub(r"; elsewhere give EndpointSlices\([^)]*\)", "", text)  # no option gives these
    for python, shell in _PYTHON.items():
        text = text.replace(python, shell)
    return _NAME.sub(lambda match: _OPTIONS[match[0]], _ARGUMENT.sub(_option, text))


def _option(match: re.Match[str]) -> str:
    name, value = match.groups()
    if value == "True":
        return _OPTIONS[name]
    return f"{_OPTIONS[name]} {value.strip('[]').strip(chr(34) + chr(39)) or value}"


def error_json(error: DiscoveryError | None) -> dict[str, str | None] | None:
    """An error, in every command's JSON."""
    if error is None:
        return None
    hint = error.hint and by_options(error.hint)
    return {"type": type(error).__name__, "message": by_options(str(error)), "hint": hint}


class Progress:
    """A line on a terminal's stderr while something takes long; none in a pipe.

    ``doing`` gives the text; how long it has taken so far is put before it each second.
    """

    def __init__(self, clock: Clock, doing: Callable[[], str]) -> None:
        self.waiters = ThreadWaiters()
        self._clock, self._doing = clock, doing
        self._began = clock.now()
        self._seconds = 1
        """Since then, when it is written next."""
        self._is_over = self._is_shown = False

    def __enter__(self) -> None:
        """Begins to show it."""
        self._background = self._clock.background(self) if can_redraw(sys.stderr) else None
        if self._background is not None:
            self._background.start()

    def __exit__(self, *_error: object) -> None:
        """Takes the line away."""
        self._is_over = True
        if self._background is not None:
            self.waiters.wake()
            self._background.join()
            if self._is_shown:
                print(end=_CLEAR, file=sys.stderr, flush=True)

    def due(self) -> float | None:
        """When the line is written again."""
        return None if self._is_over else self._began + self._seconds

    def turn(self) -> None:
        """Writes it."""
        width = shutil.get_terminal_size().columns - 1
        text = f"{self._seconds} s: {self._doing()}"
        shown = text if len(text) <= width else f"{text[: width - 3]}..."
        print(end=_CLEAR + shown, file=sys.stderr, flush=True)
        self._is_shown = True
        self._seconds += 1

    def paced(self) -> Iterator[float]:
        """The same, on a clock that moves by hand."""
        self.turn()
        yield from ()
