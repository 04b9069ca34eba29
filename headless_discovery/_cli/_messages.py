"""What goes to stderr: errors in terms of the command line, and progress on a terminal."""

import re
import shutil
import sys
import threading
import time
from collections.abc import Callable
from typing import Self, TextIO

from .._dns.resolver import NAMESERVER_VARIABLE
from .._dns.surroundings import Surroundings
from .._errors import ConfigurationError, DiscoveryError, NoSuchPort, NotHeadless
from ._options import Arguments, in_pod
from ._show import can_redraw, fitted, width_of

_CLEAR = "\r\x1b[K"
"""Takes a terminal's last line away: progress may stand there."""


def note(text: str) -> None:
    """One line of the program's own, or as many as a terminal needs for it."""
    lines = fitted(text, width_of(sys.stderr), "headless-discovery: ", "  ")
    clear = _CLEAR if can_redraw(sys.stderr) else ""
    print(clear + "\n".join(lines), file=sys.stderr, flush=True)


def complain(arguments: Arguments, error: DiscoveryError) -> None:
    """An error, and below it what to do about it."""
    note(f"{type(error).__name__}: {by_options(str(error))}")
    for text in advice(arguments, error):
        print("\n".join(fitted(text, width_of(sys.stderr), "  hint: ", "  ")), file=sys.stderr)


OUTSIDE = """\
this is not a pod, so the cluster's DNS is probably out of reach. Without a cluster:
  headless-discovery demo              a tour, in memory
  headless-discovery serve MANIFEST    answers as the cluster's DNS would
In a pod, headless-discovery doctor SERVICE checks what is wrong."""


def advice(arguments: Arguments, error: DiscoveryError) -> list[str]:
    """What to do about an error, in terms of the command line."""
    said = [by_options(error.hint)] if error.hint else []
    surroundings = Surroundings.read()
    named = arguments.nameserver or surroundings.environ.get(NAMESERVER_VARIABLE)
    wrong_argument = isinstance(error, ConfigurationError) and not _PLACE.search(str(error))
    from_here = not named and not in_pod(surroundings)
    if from_here and not wrong_argument and not isinstance(error, NotHeadless | NoSuchPort):
        said.append(OUTSIDE)
    return said


_PLACE = re.compile("no (namespace|name server|API server)")
"""What is wrong with the place, and not with an argument."""

_OPTIONS = {
    "service": "SERVICE", "namespace": "-n", "nameservers": "--nameserver",
    **{
        name: "--" + name.replace("_", "-")
        for name in (
            "cluster_domain", "port", "protocol", "family", "records", "lifetime", "at_least",
            "stable_for", "timeout", "see_self", "source", "zone", "allow_remote",
        )
    },
}  # fmt: skip
_PYTHON = {
    "include_self=False": "--exclude-self",
    ", or give self_address (with the port, if pods share it) or self_name": "",
    "self_address or $POD_IP": "$POD_IP",
    "; for a number give port= as an int": "",  # which the command line does by itself
    "port= as a number": "--port NUMBER",
    ", or None, not": ", not",
    '"auto" or None, not': "or auto, not",
}
_VALUE = r"('[^']*'|\"[^\"]*\"|\[[^\]]*\]|[\w.:-]+)"
_ARGUMENT = re.compile(rf"\b({'|'.join(_OPTIONS)})(?:=(\.\.\.|True|None|{_VALUE}))")
_SUBJECT = re.compile(rf"^({'|'.join(_OPTIONS)})(?= (?:must|needs|is)\b|:)")

_UNDERSCORE = re.compile(rf"\b({'|'.join(name for name in _OPTIONS if '_' in name)})\b")


def by_options(text: str) -> str:
    """An error's text, which names Python arguments, for people in a shell."""
    text = re.sub(r"\bResolver\(\[?'?([^'\])]*)'?\]?\)", r"--nameserver \1", text)
    text = re.sub(r"; elsewhere give EndpointSlices\([^)]*\)", "", text)  # no option gives these
    for python, shell in _PYTHON.items():
        text = text.replace(python, shell)

    def option(match: re.Match[str]) -> str:
        name = _OPTIONS[match[1]]
        value = match[2]
        if value == "True":
            return name
        if value == "...":
            return f"{name} {match[1].replace('_', '-').upper()}"
        return f"{name} {value.strip('[]').strip(chr(34) + chr(39)) or value}"

    text = _ARGUMENT.sub(option, text)
    for pattern in (_SUBJECT, _UNDERSCORE):
        text = pattern.sub(lambda match: _OPTIONS[match[1]], text)
    return text


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

    def __init__(self, doing: Callable[[], str], stream: TextIO | None = None) -> None:
        self._doing = doing
        self._stream = sys.stderr if stream is None else stream
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._show, daemon=True)

    def __enter__(self) -> Self:
        """Begins to show it."""
        if can_redraw(self._stream):
            self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        """Takes the line away."""
        self._over.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _show(self) -> None:
        began, shown = time.monotonic(), False
        while not self._over.wait(1):
            text = f"{time.monotonic() - began:.0f} s: {self._doing()}"
            width = shutil.get_terminal_size().columns - 1
            self._stream.write(
                f"{_CLEAR}{text if len(text) <= width else text[: width - 3] + '...'}"
            )
            self._stream.flush()
            shown = True
        if shown:
            self._stream.write(_CLEAR)
            self._stream.flush()
