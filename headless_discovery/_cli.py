"""The command line: its grammar, and who does what is asked. What is done is in `_commands`."""

import argparse
import logging
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Any, TextIO

from ._commands import _doctor, _exit, _resolve, _wait, _watch
from ._commands._options import Asked, duration, port
from ._questions import FAMILIES, RECORDS
from ._service import PROTOCOLS
from ._transport import NAMESERVER_VARIABLE

_EXIT_CODES = f"""\
exit code:
  {_exit.FOUND}  found            {_exit.FAILED}  DNS failed, so nothing is known
  {_exit.NONE}  none             {_exit.NOT_HEADLESS}  not a headless Service
  {_exit.USAGE}  wrong argument   {_exit.NO_SUCH_PORT}  no such port
"""


def main(arguments: Sequence[str] | None = None, *, out: TextIO | None = None) -> int:
    """Runs one command and returns its exit code; ``arguments`` default to ``sys.argv``."""
    if arguments is None:
        # As a container's first process it would not end by SIGTERM without that.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    # The commands tell by themselves what the library logs.
    if not (log := logging.getLogger("headless_discovery")).handlers:
        log.addHandler(logging.NullHandler())
    asked = make_parser().parse_args(arguments, Asked())
    run: Callable[[Asked, TextIO], int] = asked.run
    try:
        return run(asked, sys.stdout if out is None else out)
    except BrokenPipeError:
        # The reader (`| head`) has seen enough. The interpreter must not flush into it again.
        sys.stdout = None
        return _exit.FOUND
    except KeyboardInterrupt:
        return _exit.INTERRUPTED


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
        "  headless-discovery resolve kubia-headless    who is there now\n"
        "  headless-discovery doctor kubia-headless     why somebody is not\n"
        "  headless-discovery demo                      without a cluster",
        epilog="headless-discovery COMMAND --help tells more of a command.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--print-completion",
        action=_PrintCompletion,
        choices=("bash", "zsh"),
        help="print what makes that shell complete this command",
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True, title="commands")
    resolve = _command(
        commands,
        "resolve",
        _resolve.run,
        help="list the pods of a Service",
        description="Lists the pods of a headless Service: names, addresses, ports, and which "
        "DNS records told of them.",
        examples=(
            "headless-discovery resolve kubia-headless --port http",
            "headless-discovery resolve nginx.shop --json",
            "headless-discovery resolve gossip.default.svc.cluster.local "
            "--nameserver 127.0.0.1:5353",
        ),
    )
    _add_service(resolve)
    _add_watch(commands)
    _add_wait(commands)
    _add_doctor(commands)
    _add_demo(commands)
    _add_serve(commands)
    return parser


def _add_watch(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    watch = _command(
        commands,
        "watch",
        _watch.run,
        help="follow the pods of a Service as they come and go",
        description="Shows the pods of a headless Service, and each change: a live view on a "
        "terminal,\none JSON line for each change in a pipe. Ctrl-C ends it.",
        examples=(
            "headless-discovery watch kubia-headless --port http",
            "headless-discovery watch gossip.default --plain",
            "headless-discovery watch gossip.default | jq -r '.added[].address'",
        ),
        exit_codes="exit code:\n  0  it was ended   2  wrong argument\n",
    )
    _add_service(watch, json="print one JSON line for each change, on a terminal too")
    watch.add_argument("--plain", action="store_true", help="print lines of text")


def _add_wait(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    wait = _command(
        commands,
        "wait",
        _wait.run,
        help="wait until enough pods are there",
        description="Waits until so many pods of a headless Service are there, for an init "
        "container or a script.",
        examples=(
            "headless-discovery wait gossip --at-least 3 --stable-for 5s --timeout 60s",
            "headless-discovery wait gossip --exclude-self && exec my-app",
        ),
        exit_codes="exit code:\n"
        "  0  ready             2  wrong argument\n"
        "  1  not ready         4  not a headless Service\n",
    )
    _add_service(wait)
    wait.add_argument("--at-least", type=int, default=1, metavar="N", help="default: 1")
    wait.add_argument(
        "--stable-for",
        type=duration,
        default=0.0,
        metavar="TIME",
        help="the same pods in every answer for so long; default: 0",
    )
    wait.add_argument(
        "--timeout", type=duration, metavar="TIME", help="give up then; default: never"
    )
    wait.add_argument("--see-self", action="store_true", help="this pod must be published too")


def _add_doctor(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    doctor = _command(
        commands,
        "doctor",
        _doctor.run,
        help="say why pods do not find one another",
        description="Walks from the name to the pod, and says of each step whether it is ok, what "
        "was seen, what\nthat means and what to do. Needs nothing but DNS.",
        examples=(
            "headless-discovery doctor kubia-headless --port http",
            "headless-discovery doctor gossip.shop --connect",
            "kubectl run doctor -n shop --rm -it --restart=Never --image=<image> -- doctor gossip",
        ),
        exit_codes="exit code: that of the first line that is broken\n"
        "  0  nothing is broken                   3  DNS or the network\n"
        "  1  no pods                             4  not a headless Service\n"
        "  2  wrong argument or configuration     5  no such port\n",
    )
    _add_service(doctor)
    doctor.add_argument(
        "--connect", action="store_true", help="connect to each pod's port: 1 s each, 16 at once"
    )


def _add_demo(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    demo = _command(
        commands,
        "demo",
        _demo,
        operand="",
        help="show what happens to peers in a cluster's life",
        description="A tour of a cluster's life, on a fake cluster in memory: start, scaling, a "
        "rolling update,\nan outage of DNS, recovery. It takes some seconds and no network.",
        examples=("headless-discovery demo", "headless-discovery demo --plain"),
        exit_codes="exit code:\n  0  always\n",
    )
    demo.add_argument("--plain", action="store_true", help="print lines of text, at once")


def _demo(asked: Asked, out: TextIO) -> int:
    from ._commands import _demo  # noqa: PLC0415 - the fake cluster is needed for this alone

    return _demo.run(asked, out)


def _add_serve(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    serve = _command(
        commands,
        "serve",
        _serve,
        operand="MANIFEST...",
        help="answer DNS for a cluster that is not there",
        description="A name server for the Services and Pods of some manifests (YAML or JSON), "
        "which answers\nas the cluster's would; for developing an app without a cluster. Files "
        "are read again when\nthey change.",
        examples=(
            "headless-discovery serve cluster.yaml",
            "kubectl get services,endpointslices -A -o json | headless-discovery serve -",
            "headless-discovery serve cluster.yaml --listen 127.0.0.1:10053",
        ),
        exit_codes="exit code:\n  0  it was ended   2  wrong argument\n",
    )
    serve.add_argument("manifests", metavar="MANIFEST", nargs="+", help="a file, or - for stdin")
    serve.add_argument(
        "--listen",
        default="127.0.0.1:5353",
        metavar="ADDRESS:PORT",
        help="default: 127.0.0.1:5353; port 0: one that is free",
    )
    serve.add_argument(
        "--allow-remote", action="store_true", help="listen at an address that others can reach"
    )
    serve.add_argument("--cluster-domain", metavar="DOMAIN", help="default: cluster.local")
    serve.add_argument("--ttl", type=int, default=5, help="of every record, in seconds; default: 5")


def _serve(asked: Asked, out: TextIO) -> int:
    from ._commands import _serve  # noqa: PLC0415 - the fake cluster is needed for this alone

    return _serve.run(asked, out)


def _command(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    run: Callable[[Asked, TextIO], int],
    *,
    operand: str = "SERVICE",
    help: str,  # noqa: A002 - argparse's own word
    description: str,
    examples: Sequence[str],
    exit_codes: str = _EXIT_CODES,
) -> argparse.ArgumentParser:
    """One command; its help begins with examples."""
    shown = "\n".join(f"  {example}" for example in examples)
    command = commands.add_parser(
        name,
        usage=f"headless-discovery {name} {operand} [OPTION...]".replace("  ", " "),
        help=help,
        description=f"{description}\n\nexamples:\n{shown}",
        epilog=exit_codes,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.set_defaults(run=run)
    return command


def _add_service(command: argparse.ArgumentParser, json: str = "print one JSON object") -> None:
    command.add_argument("service", metavar="SERVICE", help="svc, svc.namespace or a full name")
    what = command.add_argument_group("what to find")
    what.add_argument("--port", type=port, metavar="PORT", help="a port's name, or its number")
    what.add_argument(
        "--protocol",
        choices=PROTOCOLS,
        default="tcp",
        metavar="PROTOCOL",
        help=f"of a port's name: {_listed(PROTOCOLS)}",
    )
    what.add_argument("-n", "--namespace", metavar="NAMESPACE", help="default: this pod's own")
    what.add_argument(
        "--cluster-domain", metavar="DOMAIN", help="default: resolv.conf's, or cluster.local"
    )
    what.add_argument(
        "--family",
        choices=FAMILIES,
        default=FAMILIES[0],
        metavar="FAMILY",
        help=f"of addresses: {_listed(FAMILIES)}",
    )
    what.add_argument(
        "--records",
        choices=RECORDS,
        default=RECORDS[0],
        metavar="RECORDS",
        help=f"{_listed(RECORDS)}: A and AAAA alone",
    )
    what.add_argument("--exclude-self", action="store_true", help="leave this pod out")
    whom = command.add_argument_group("whom to ask")
    whom.add_argument(
        "--nameserver",
        action="append",
        metavar="ADDRESS[:PORT]",
        help=f"may be given again; default: ${NAMESERVER_VARIABLE}, or resolv.conf's",
    )
    whom.add_argument(
        "--lifetime",
        type=duration,
        default=5.0,
        metavar="TIME",
        help="for one lookup, such as 500ms; default: 5s",
    )
    command.add_argument("--json", action="store_true", help=json)


def _listed(choices: Sequence[str]) -> str:
    """The choices, the default first."""
    first, *others = choices
    return f"{first} (default), {', '.join(others)}"
