"""Runs the command line in this process, by its entry point: every test of a command goes by it.

`run` takes the words behind ``headless-discovery``. On a fake cluster everything happens on that
cluster's clock, so nothing is waited for; `place` says in which environment.
"""

import contextlib
import io
import json
import re
from collections.abc import Callable, Mapping
from typing import Any, TextIO

import attrs

from headless_discovery import Clock, Resolver
from headless_discovery.__main__ import main
from headless_discovery.kubernetes import EndpointSlices
from headless_discovery.testing import FakeCluster


@attrs.frozen
class Done:
    """How a command ended, and what it printed."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What it printed, read."""
        return json.loads(self.out)


class Terminal(io.StringIO):
    """A stream that is a terminal; what it can show, ``$TERM`` says."""

    def isatty(self) -> bool:
        return True


def run(
    *words: str,
    on: FakeCluster | None = None,
    resolver: Resolver | None = None,
    slices: EndpointSlices | None = None,
    clock: Clock | None = None,
    out: TextIO | None = None,
    err: io.StringIO | None = None,
) -> Done:
    """One command from its start to its end: in a pod of the cluster, or by what else is given."""
    if on is not None:
        resolver, slices = resolver or on.resolver, slices or on.slices
        clock = clock or on.clock
    out, err = out or io.StringIO(), err or io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main(words, out=out, clock=clock, resolver=resolver, slices=slices)
        except SystemExit as exit_:  # argparse
            code = int(exit_.code or 0)
    return Done(code, out.getvalue() if isinstance(out, io.StringIO) else "", err.getvalue())


def place(
    of: FakeCluster | Resolver,
    conf: str | None = None,
    *,
    namespace: str | None = "default",
    **environ: str,
) -> Resolver:
    """A resolver, in another environment.

    Args:
        of: Itself, or the cluster whose it is.
        conf: The text of resolv.conf; by default that of a pod.
        namespace: The service account's, if there is one.
        environ: The variables.
    """
    resolver = of.resolver if isinstance(of, FakeCluster) else of
    around = resolver.surroundings()
    found = around.resolv_conf if conf is None else type(around.resolv_conf).parse(conf)
    around = attrs.evolve(around, environ=environ, resolv_conf=found, namespace_file=namespace)
    vars(resolver)["surroundings"] = lambda: around
    return resolver


Ask = Callable[[], bytes | None]


class Behind(FakeCluster):
    """A cluster behind something that drops messages, or that answers in its place."""

    def __init__(self, handle: Callable[[bytes, bool, Ask], bytes | None], **options: Any) -> None:
        super().__init__(**options)
        self.handle = handle

    def answer(self, wire: bytes, *, tcp: bool = False) -> bytes | None:
        answer = super().answer
        return self.handle(wire, tcp, lambda: answer(wire, tcp=tcp))


# The doctor.


@attrs.frozen
class Line:
    """One line of the doctor's."""

    level: str
    title: str
    seen: str
    means: str
    do: str

    @property
    def said(self) -> tuple[str, str]:
        """How bad it is, and what was seen."""
        return self.level, self.seen


@attrs.frozen
class Report:
    """What the doctor says."""

    code: int
    lines: Mapping[str, Line]
    json: Any

    def __getitem__(self, title: str) -> Line:
        return self.lines[title]

    def titles(self, level: str) -> list[str]:
        """The lines of that level."""
        return [title for title, line in self.lines.items() if line.level == level]


def doctor(cluster: FakeCluster | None, service: str = "web", *words: str, **given: Any) -> Report:
    """The doctor's report, as its JSON has it."""
    done = run("doctor", service, *words, "--json", on=cluster, **given)
    assert not done.err, done.err
    lines = [Line(**found) for found in done.json["findings"]]
    assert done.code == done.json["exit_code"]
    return Report(done.code, {line.title: line for line in lines}, done.json)


def without_escapes(text: str) -> str:
    """What a terminal shows, without colours and movements."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)
