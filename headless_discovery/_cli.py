"""The command line: its grammar, and who does what is asked. What is done is in `_commands`."""

import argparse
import signal
import sys
from collections.abc import Callable, Sequence
from typing import TextIO

from ._commands import _exit, _resolve
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


def make_parser() -> argparse.ArgumentParser:
    """The grammar; the documentation and shell completion are made from it."""
    parser = argparse.ArgumentParser(
        prog="headless-discovery",
        description="Finds the pods of a Kubernetes headless Service, as an app's peers.",
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
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
    resolve.add_argument("--json", action="store_true", help="print one JSON object")
    return parser


def _command(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    run: Callable[[Asked, TextIO], int],
    *,
    help: str,  # noqa: A002 - argparse's own word
    description: str,
    examples: Sequence[str],
    exit_codes: str = _EXIT_CODES,
) -> argparse.ArgumentParser:
    """One command; its help begins with examples."""
    shown = "\n".join(f"  {example}" for example in examples)
    command = commands.add_parser(
        name,
        help=help,
        description=f"{description}\n\nexamples:\n{shown}",
        epilog=exit_codes,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.set_defaults(run=run)
    return command


def _add_service(command: argparse.ArgumentParser) -> None:
    command.add_argument("service", metavar="SERVICE", help="svc, svc.namespace or a full name")
    command.add_argument("--port", type=port, help="a port's name, or its number")
    command.add_argument("--protocol", choices=PROTOCOLS, default="tcp", help="of the named port")
    command.add_argument("--namespace", "-n", help="default: this pod's own")
    command.add_argument("--cluster-domain", help="default: from resolv.conf, or cluster.local")
    command.add_argument("--family", choices=FAMILIES, default=FAMILIES[0])
    command.add_argument("--records", choices=RECORDS, default=RECORDS[0])
    command.add_argument(
        "--nameserver",
        action="append",
        metavar="ADDRESS[:PORT]",
        help=f"may be given again; default: ${NAMESERVER_VARIABLE}, or resolv.conf's",
    )
    command.add_argument(
        "--lifetime", type=duration, default=5.0, metavar="TIME", help="for one lookup: 5s, 500ms"
    )
