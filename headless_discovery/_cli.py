"""The command line: what discovery sees, for people and (``--json``) for programs.

It says what the library says; the exit code tells a script the same.
"""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from typing import Any, TextIO

from ._clock import Clock
from ._endpoint import Endpoint, Snapshot, State
from ._errors import ConfigurationError, DiscoveryError, NoSuchPort, NotHeadless
from ._peers import Peers, peers
from ._questions import FAMILIES, RECORDS
from ._service import PROTOCOLS
from ._transport import NAMESERVER_VARIABLE, Resolver

FOUND, NONE, USAGE, FAILED, NOT_HEADLESS, NO_SUCH_PORT = range(6)

_EXIT_CODES = f"""\
exit code:
  {FOUND}  found            {FAILED}  DNS failed, so nothing is known
  {NONE}  none             {NOT_HEADLESS}  not a headless Service
  {USAGE}  wrong argument   {NO_SUCH_PORT}  no such port
"""


def main(arguments: Sequence[str] | None = None, *, out: TextIO | None = None) -> int:
    """Runs one command and returns its exit code; ``arguments`` default to ``sys.argv``."""
    asked = _parser().parse_args(arguments)
    run: Callable[[argparse.Namespace, TextIO], int] = asked.run
    try:
        return run(asked, sys.stdout if out is None else out)
    except BrokenPipeError:
        # The reader (`| head`) has seen enough. The interpreter must not flush into it again.
        sys.stdout = None
        return FOUND


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="headless-discovery",
        description="Finds the pods of a Kubernetes headless Service, as an app's peers.",
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    resolve = commands.add_parser(
        "resolve",
        help="list the pods of a Service",
        description="Lists the pods of a headless Service: names, addresses, ports.",
        epilog=(
            "examples:\n"
            "  headless-discovery resolve kubia-headless --port http\n"
            "  headless-discovery resolve nginx.shop --json\n"
            "  headless-discovery resolve gossip.default.svc.cluster.local "
            "--nameserver 127.0.0.1:5353\n\n" + _EXIT_CODES
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    resolve.set_defaults(run=_resolve)
    _add_service(resolve)
    resolve.add_argument("--json", action="store_true", help="print one JSON object")
    return parser


def _add_service(command: argparse.ArgumentParser) -> None:
    command.add_argument("service", metavar="SERVICE", help="svc, svc.namespace or a full name")
    command.add_argument("--port", type=_port, help="a port's name, or its number")
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
        "--lifetime", type=float, default=5.0, metavar="SECONDS", help="for the whole lookup"
    )


def _port(text: str) -> str | int:
    return int(text) if text.isdigit() else text


def _store(asked: argparse.Namespace) -> Peers:
    return peers(
        asked.service,
        port=asked.port,
        protocol=asked.protocol,
        namespace=asked.namespace,
        cluster_domain=asked.cluster_domain,
        family=asked.family,
        records=asked.records,
        resolver=Resolver(asked.nameserver, lifetime=asked.lifetime),
    )


def _resolve(asked: argparse.Namespace, out: TextIO) -> int:
    clock = Clock()
    began = clock.now()
    store = None
    try:
        store = _store(asked)
        snapshot = store.refresh()
        error = snapshot.error
    except DiscoveryError as raised:
        snapshot = Snapshot()
        error = raised
    seconds = clock.now() - began
    queries = (store.stats.queries_udp, store.stats.queries_tcp) if store is not None else (0, 0)
    if asked.json:
        json.dump(_as_json(asked, snapshot, error, queries, seconds), out, indent=2)
        print(file=out)
    elif snapshot.endpoints:
        print(_as_table(snapshot.endpoints), file=out)
        print(
            f"\n{len(snapshot.endpoints)} endpoints, TTL {snapshot.ttl:g} s; queries: "
            f"{queries[0]} over UDP, {queries[1]} over TCP; {seconds * 1000:.1f} ms",
            file=out,
        )
    if error is not None and not asked.json:
        print(f"headless-discovery: {type(error).__name__}: {error}", file=sys.stderr)
    return exit_code(snapshot, error)


def exit_code(snapshot: Snapshot, error: DiscoveryError | None) -> int:
    """What a script is told."""
    match error:
        case ConfigurationError():
            return USAGE
        case NotHeadless():
            return NOT_HEADLESS
        case NoSuchPort():
            return NO_SUCH_PORT
    if snapshot.state is State.EMPTY:
        return NONE
    return FOUND if error is None else FAILED


def _as_json(
    asked: argparse.Namespace,
    snapshot: Snapshot,
    error: DiscoveryError | None,
    queries: tuple[int, int],
    seconds: float,
) -> dict[str, Any]:
    return {
        "service": asked.service,
        "state": str(snapshot.state),
        "endpoints": [
            {
                "name": endpoint.name,
                "hostname": endpoint.hostname,
                "ordinal": endpoint.ordinal,
                "address": endpoint.address,
                "addresses": list(endpoint.addresses),
                "port": endpoint.port,
            }
            for endpoint in snapshot.endpoints
        ],
        "ttl": snapshot.ttl,
        "queries": {"udp": queries[0], "tcp": queries[1]},
        "seconds": round(seconds, 6),
        "error": None if error is None else {"type": type(error).__name__, "message": str(error)},
    }


def _as_table(endpoints: Sequence[Endpoint]) -> str:
    rows = [("NAME", "ADDRESS", "PORT")] + [
        (
            endpoint.name,
            ", ".join(endpoint.addresses),
            "-" if endpoint.port is None else str(endpoint.port),
        )
        for endpoint in endpoints
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )
