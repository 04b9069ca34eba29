"""The command line: its grammar, and which module runs each command."""

import argparse
import contextlib
import functools
import importlib
import io
import logging
import signal
import sys
from collections.abc import Sequence
from typing import Any, TextIO

from .. import Clock, Resolver, __version__
from .._api.server import EndpointSlices
from .._dns.names import PROTOCOLS
from .._dns.resolver import NAMESERVER_VARIABLE
from .._dns.wanted import FAMILIES, RECORDS
from . import _options
from ._messages import note
from ._options import (
    FOUND,
    INTERRUPTED,
    LIFETIME,
    USAGE,
    Arguments,
    count,
    duration,
    network,
    port,
    ttl,
)

_Group = argparse._ActionsContainer

_EXIT_CODES = f"""\
exit code:
  {_options.FOUND}  found            {_options.FAILED}  DNS or the API failed
  {_options.NONE}  none             {_options.NOT_HEADLESS}  not a headless Service
  {_options.USAGE}  wrong argument   {_options.NO_SUCH_PORT}  no such port
"""
_STOPPED = "exit code:\n  0  stopped by the user   2  wrong argument\n"
_FILES = {
    "bash": "_shtab_compgen_files",
    "zsh": "_files",
    "fish": "(__fish_complete_path (commandline -ct))",
}
"""What shtab, which may not be installed, calls the completion of files (``shtab.FILE``)."""


def main(
    arguments: Sequence[str] | None = None,
    *,
    out: TextIO | None = None,
    clock: Clock | None = None,
    resolver: Resolver | None = None,
    slices: EndpointSlices | None = None,
) -> int:
    """Runs one command and returns its exit code.

    Tests give a `FakeCluster`'s ``clock``, ``resolver`` and ``slices``: all that a command does
    then happens there, in an environment that is the resolver's.

    Args:
        arguments: Those after the command's name; by default the process's.
        out: Where results go; by default stdout.
        clock: What it waits by; by default real time.
        resolver: In place of the name servers, the files and variables of this process.
        slices: In place of the API server, where ``--source`` asks for it.

    Returns:
        The exit code; see ``--help`` of each command.
    """
    if arguments is None:
        # As a container's first process it would not end by SIGTERM without that.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    # The commands report by themselves what the library logs.
    if not (log := logging.getLogger("headless_discovery")).handlers:
        log.addHandler(logging.NullHandler())
    # A shell that closes them (>&-) leaves none.
    sys.stdout, sys.stderr = sys.stdout or io.StringIO(), sys.stderr or io.StringIO()
    given = Arguments(
        out=sys.stdout if out is None else out,
        clock=Clock() if clock is None else clock,
        given_resolver=resolver,
        given_slices=slices,
    )
    if isinstance(given.out, io.TextIOWrapper):
        given.out.reconfigure(errors="replace")  # of characters that the terminal does not have
    try:
        make_parser().parse_args(arguments, given)
        if (wrong := given.contradiction()) is not None:
            given.command.error(wrong)
        # Only what the command needs is imported: some need the fake cluster, others do not.
        module, _, function = given.run.partition(":")
        run = getattr(importlib.import_module(f".{module}", __package__), function)
        code: int = run(given)
        given.out.flush()
    except BrokenPipeError:
        # The reader (`| head`) has seen enough. The interpreter must not flush into it again.
        sys.stdout = None
        return FOUND
    except OSError as error:  # a full disk, for example
        sys.stdout = None
        with contextlib.suppress(OSError):
            note(f"the output cannot be written: {error.strerror or error}")
        return USAGE
    except KeyboardInterrupt:
        return FOUND if vars(given).get("until_stopped") else INTERRUPTED
    return code


class _PrintCompletion(argparse.Action):
    """``--print-completion``: by shtab, if it is installed."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,  # noqa: ARG002 - nothing is kept
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        try:
            import shtab  # noqa: PLC0415 - an extra
        except ImportError:
            parser.error(f"{option_string} needs shtab: pip install 'headless_discovery[cli]'")
        print(shtab.complete(parser, str(values)))
        parser.exit()


def make_parser() -> argparse.ArgumentParser:
    """The grammar; the documentation and shell completion are made from it."""
    parser = argparse.ArgumentParser(
        prog="headless-discovery",
        description="Finds the pods of a Kubernetes headless Service, as an app's peers.\n\n"
        "examples:\n"
        "  headless-discovery resolve kubia-headless    which pods there are now\n"
        "  headless-discovery doctor kubia-headless     why one is missing\n"
        "  headless-discovery demo                      without a cluster",
        epilog="headless-discovery COMMAND --help describes a command.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    version = f"%(prog)s {__version__}"
    parser.add_argument(
        "--version", action="version", version=version, help="print the version and exit"
    )
    parser.add_argument(
        "--print-completion",
        action=_PrintCompletion,
        choices=("bash", "zsh", "fish"),
        help="print the completion script for that shell",
    )
    add = functools.partial(
        _command, parser.add_subparsers(metavar="COMMAND", required=True, title="commands")
    )
    resolve = add(
        "resolve",
        run="_resolve:run",
        summary="list the pods of a Service",
        description="""\
Lists the pods of a headless Service, and which DNS records each was found by.

examples:
  headless-discovery resolve kubia-headless --port http
  headless-discovery resolve nginx -n shop --json
  headless-discovery resolve gossip.default.svc.cluster.local --nameserver 127.0.0.1:5353""",
    )
    _add_service(resolve)
    watch = add(
        "watch",
        run="_watch:run",
        summary="follow the pods of a Service as they come and go",
        description="""\
Shows the pods of a headless Service, and each change.
On a terminal it is a live view, in a pipe one JSON line for each change. Ctrl-C stops it.

examples:
  headless-discovery watch kubia-headless --port http
  headless-discovery watch gossip.default --plain
  headless-discovery watch gossip.default | jq -r '.added[].address'""",
        exit_codes=_STOPPED,
        until_stopped=True,
    )
    _add_service(watch, json="print one JSON line for each change, on a terminal too")
    _flag(watch, "--plain", "print lines of text")
    wait = add(
        "wait",
        run="_resolve:run_wait",
        summary="wait until enough pods are published",
        description="""\
Waits until enough pods of a headless Service are published.
For an init container, or a script.

examples:
  headless-discovery wait gossip --at-least 3 --stable-for 5s --timeout 60s
  headless-discovery wait gossip --exclude-self && exec my-app""",
        exit_codes="""\
exit code:
  0  ready             2  wrong argument
  1  not ready         4  not a headless Service
""",
    )
    _add_service(wait)
    wait.add_argument(
        "--at-least",
        type=count,
        default=1,
        metavar="N",
        help="number of pods; 0: only until DNS has answered; default: 1",
    )
    _time(wait, "--stable-for", 0.0, "and the same pods in every answer for this time; default: 0")
    _time(wait, "--timeout", None, "fail after this time; default: never")
    _flag(wait, "--see-self", "this pod must be published too")
    doctor = add(
        "doctor",
        run="_doctor:run",
        summary="check why pods do not find one another",
        description="""\
Checks each step from the name to the pod.
For each it reports ok, warn or fail, what was found, what it means and what to do.
It needs only DNS.

examples:
  headless-discovery doctor kubia-headless --port http
  headless-discovery doctor gossip -n shop --connect
  kubectl run doctor -n shop --rm -it --restart=Never --image=<image> -- doctor gossip""",
        exit_codes="""\
exit code: that of the first failed check
  0  none failed                         3  DNS or the network
  1  no pods                             4  not a headless Service
  2  wrong argument or configuration     5  no such port
""",
    )
    _add_service(doctor, json="print one JSON object, for bug reports")
    _flag(doctor, "--connect", "connect to each pod's port: 1 s each, 16 at once")
    demo = add(
        "demo",
        run="_demo:run",
        summary="show what happens to peers in a cluster's life",
        description="""\
Shows peers in a fake cluster in memory.
Start, scaling, a rolling update, an outage of DNS, recovery: it takes some seconds, and no network.

examples:
  headless-discovery demo
  headless-discovery demo --plain""",
        exit_codes="exit code:\n  0  always\n",
        operand="",
        until_stopped=True,
    )
    _flag(demo, "--plain", "print lines of text, at once")
    serve = add(
        "serve",
        run="_serve:run",
        summary="run a name server for some manifests, without a cluster",
        description="""\
Answers as the cluster's name server would, for the Services of some manifests.
For developing an app without a cluster. Manifests are YAML or JSON; files are read again when
they change.

examples:
  headless-discovery serve cluster.yaml --pod-network 127.0.1.0/24
  headless-discovery serve deploy/ --strict
  kubectl get services,endpointslices -A -o json | headless-discovery serve -""",
        exit_codes=_STOPPED,
        operand="MANIFEST...",
        until_stopped=True,
    )
    manifests = serve.add_argument(
        "manifests", metavar="MANIFEST", nargs="+", help="a file, a folder, or - for stdin"
    )
    manifests.complete = _FILES  # type: ignore[attr-defined]  # shtab reads it
    serve.add_argument(
        "--listen",
        default="127.0.0.1:10053",
        metavar="HOST:PORT",
        help="default: 127.0.0.1:10053; port 0: any free port",
    )
    serve.add_argument(
        "--pod-network",
        type=network,
        metavar="NETWORK",
        help="where the pods get their addresses from, such as 127.0.1.0/24",
    )
    _flag(serve, "--strict", "exit with 2 if a manifest cannot be used")
    _flag(serve, "--allow-remote", "allow an address that other hosts can reach")
    serve.add_argument("--cluster-domain", metavar="DOMAIN", help="default: cluster.local")
    serve.add_argument(
        "--ttl", type=ttl, default=5, metavar="SECONDS", help="of every record; default: 5"
    )
    return parser


def _command(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    *,
    run: str,
    summary: str,
    description: str,
    exit_codes: str = _EXIT_CODES,
    operand: str = "SERVICE",
    until_stopped: bool = False,
) -> argparse.ArgumentParser:
    """One command, and where it is: ``module:function``."""
    command = commands.add_parser(
        name,
        usage=f"headless-discovery {name} {operand} [OPTION...]".replace("  ", " "),
        help=summary,
        description=description,
        epilog=exit_codes,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.set_defaults(run=run, command=command, until_stopped=until_stopped)
    return command


def _add_service(command: argparse.ArgumentParser, json: str = "print one JSON object") -> None:
    command.add_argument("service", metavar="SERVICE", help="svc, svc.namespace or a full name")
    what = command.add_argument_group("what to look up")
    what.add_argument("--port", type=port, help="a port's name, or its number")
    _choice(what, "--protocol", PROTOCOLS, "of a port's name: {}", default=None)
    what.add_argument("-n", "--namespace", help="default: this pod's own")
    what.add_argument(
        "--cluster-domain", metavar="DOMAIN", help="default: resolv.conf's, or cluster.local"
    )
    _choice(what, "--family", FAMILIES, "of addresses: {}")
    _choice(what, "--records", RECORDS, "{}: A and AAAA alone")
    _flag(what, "--exclude-self", "leave this pod out")
    sources = ("dns", "api", "auto")
    _choice(
        what, "--source", sources, "{}; api: EndpointSlices; auto: api if it can be read, else dns"
    )
    what.add_argument("--zone", help="prefer its pods; auto: that of $POD_ZONE")
    servers = command.add_argument_group("name servers")
    servers.add_argument(
        "--nameserver",
        action="append",
        metavar="ADDRESS[:PORT]",
        help=f"may be repeated; default: ${NAMESERVER_VARIABLE}, or resolv.conf's",
    )
    _time(servers, "--lifetime", LIFETIME, "for one lookup, such as 500ms; default: 5s")
    _flag(command, "--json", json)


def _flag(group: _Group, name: str, text: str) -> None:
    group.add_argument(name, action="store_true", help=text)


def _time(group: _Group, name: str, default: float | None, text: str) -> None:
    group.add_argument(name, type=duration, default=default, metavar="TIME", help=text)


def _choice(
    group: _Group, name: str, choices: Sequence[str], text: str, default: str | None = ""
) -> None:
    """One of the choices; the help lists them, the first as the default."""
    first, *others = choices
    group.add_argument(
        name,
        choices=choices,
        default=first if default == "" else default,
        metavar=name.removeprefix("--").upper(),
        help=text.format(f"{first} (default), {', '.join(others)}"),
    )
