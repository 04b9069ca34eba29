"""``serve``: the fake cluster as a name server, for developing an app without a cluster."""

import errno
import ipaddress
import re
import sys
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TextIO

from .._dns.resolver import NAMESERVER_VARIABLE
from .._errors import ConfigurationError
from .._time.clock import Clock
from ..testing import FakeCluster
from ..testing._manifests import to_apply
from ..testing._model import Model, Service, SliceEndpoint
from ..testing._server import NameServer
from ._messages import note
from ._options import FOUND, USAGE, Arguments
from ._show import fitted, width_of

STDIN = "-"
PORT = 10053
"""Not 5353, which is that of mDNS on most laptops."""
_LOOK_AGAIN = 0.5
"""Seconds: how soon a changed file is noticed."""
_SHOWN = 8
"""Endpoints of one Service."""
_LAST_PORT = 65535
_LISTEN = re.compile(r"(?:(?:\[(?P<v6>[^\]]+)\]|(?P<v4>[^:]*)):)?(?P<port>[0-9]{1,5})")


def run(arguments: Arguments, out: TextIO) -> int:
    """Serves until it is interrupted."""
    return serve(arguments, out, lambda: Clock().sleep(_LOOK_AGAIN))


def serve(arguments: Arguments, out: TextIO, pause: Callable[[], object]) -> int:
    """``pause`` returns when the files must be read again."""
    try:
        host, port = listening_at(arguments.listen, allow_remote=arguments.allow_remote)
        served = Served(arguments)
        with NameServer(served, host, port, allow_remote=arguments.allow_remote) as server:
            print(f"export {NAMESERVER_VARIABLE}={server.nameserver}", file=out)
            for line in served.exports():
                print(line, file=out)
            out.flush()
            note("it serves until Ctrl-C ends it:")
            served.say()
            while True:
                pause()
                served.look_again()
    except KeyboardInterrupt:
        return FOUND
    except OSError as error:
        note(_why_not(error, arguments.listen))
    except ValueError as error:
        note(_printable(str(error)))
    return USAGE


def listening_at(text: str, *, allow_remote: bool) -> tuple[str, int]:
    """A host and a port; port 0 is one that is free. Raises `ConfigurationError`."""
    match = _LISTEN.fullmatch(text)
    if match is not None and int(match["port"]) > _LAST_PORT:
        match = None
    host = "" if match is None else match["v6"] or match["v4"] or "127.0.0.1"
    try:
        address = ipaddress.ip_address("127.0.0.1" if host == "localhost" else host)
    except ValueError:
        raise ConfigurationError(
            f"--listen {text}: give an address and a port, such as 127.0.0.1:{PORT} or [::1]:{PORT}"
        ) from None
    if not address.is_loopback and not allow_remote:
        raise ConfigurationError(
            f"--listen {text}: other hosts could reach it there; give --allow-remote if they must"
        )
    return str(address), int(match["port"] if match else 0)


def _why_not(error: OSError, listen: str) -> str:
    """Why no process can listen there, and what to do."""
    match error.errno:
        case errno.EADDRINUSE:
            return f"{listen} is taken by another program: --listen 127.0.0.1:0 takes a free port"
        case errno.EACCES | errno.EPERM:
            return f"{listen} takes rights that you do not have: give --listen a port above 1023"
        case errno.EADDRNOTAVAIL:
            return f"this machine has no address {listen.rpartition(':')[0]}: see --listen"
    return f"{listen}: {error}"


class Served:
    """The objects of the manifests, read again when one of the files changes.

    If a file cannot be used any more, its last usable content is still served.
    """

    def __init__(self, arguments: Arguments) -> None:
        self._arguments = arguments
        self._stdin = sys.stdin.read() if STDIN in arguments.manifests else ""
        self._texts = self._read()
        self._left_out: list[str] = []
        self._readable = set(arguments.manifests)  # what a folder has beside them may be anything
        self._error = ""  # printed, and not printed again at every check
        self._cluster = self._made(None)

    def answer(self, wire: bytes, *, tcp: bool = False) -> bytes | None:
        """As the cluster that holds now."""
        return self._cluster.answer(wire, tcp=tcp)

    def look_again(self) -> None:
        """Reads what has changed."""
        try:
            texts = self._read()
            if texts == self._texts:
                return
            self._texts = texts
            self._cluster = self._made(self._cluster._model)
        except ValueError as error:
            if str(error) != self._error:
                note(f"{_printable(str(error))}; the previous content is still served")
            self._error = str(error)
        else:
            self._error = ""
            note("a manifest changed:")
            self.say()

    def exports(self) -> list[str]:
        """The address of a process that plays the first pod."""
        model = self._cluster._model
        services = [service for service in model.services.values() if service.headless]
        found = [(service, one) for service in services for one in _ready(model, service)]
        if not found:
            return [f"export POD_NAMESPACE={services[0].namespace}"] if services else []
        service, endpoint = found[0]
        return [f"export POD_NAMESPACE={service.namespace}", f"export POD_IP={endpoint.address}"]

    def say(self) -> None:
        """For people: what there is, and what there is not."""
        model = self._cluster._model
        for line in report(model):
            _say(line)
        self._say_left_out()
        if model.networks.used and self._arguments.pod_network is None:
            _say(
                "nothing here can listen at the pods' addresses: --pod-network 127.0.1.0/24 gives "
                "them others"
            )
        sys.stderr.flush()

    def _read(self) -> dict[str, str]:
        return {path: self._text(path) for path in self._paths()}

    def _paths(self) -> Iterator[str]:
        for path in self._arguments.manifests:
            if path != STDIN and Path(path).is_dir():
                files = sorted(Path(path).iterdir())
                yield from (
                    str(one)
                    for one in files
                    if one.suffix in (".yaml", ".yml", ".json") and one.name[0] != "."
                )
            else:
                yield path

    def _text(self, path: str) -> str:
        if path == STDIN:
            return self._stdin
        try:
            data = Path(path).read_bytes()
            # PowerShell's > writes UTF-16.
            return data.decode("utf-16" if data[:2] in (BOM_UTF16_LE, BOM_UTF16_BE) else "utf-8")
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is not text"
            raise ConfigurationError(f"{path} cannot be read: {why}") from error

    def _made(self, before: Model | None) -> FakeCluster:
        cluster = FakeCluster(self._arguments.cluster_domain or "cluster.local",
                              ttl=self._arguments.ttl)  # fmt: skip
        model = cluster._model
        if self._arguments.pod_network is not None:
            network = self._arguments.pod_network
            model.networks.by_family = {network.version: network}
        if before is not None:
            # A process may listen at a pod's address: the pod keeps it.
            model.leases = {key: pod.addresses for key, pod in before.pods.items()}
        effects, left_out = [], []
        for path, text in self._texts.items():
            file = "stdin" if path == STDIN else path
            try:
                reading = to_apply(text, lenient=True)
            except ValueError as error:
                if path in self._readable:
                    raise ConfigurationError(f"{file}: {error}") from error
                left_out.append((file, str(error)))
                continue
            self._readable.add(path)
            effects += [(file, effect) for effect in reading.effects]
            left_out += [(file, line) for line in reading.left_out]
        for file, effect in sorted(effects, key=lambda one: one[1].rank):
            try:
                effect(model)
            except ValueError as error:
                left_out.append((file, str(error)))
        self._left_out = [f"{file}, {line}" for file, line in left_out]
        if left_out and self._arguments.strict:
            self._say_left_out()
            raise ConfigurationError("with --strict nothing is left out")
        return cluster

    def _say_left_out(self) -> None:
        for line in self._left_out:
            _say(f"left out: {line}")


def report(model: Model) -> Iterator[str]:
    """Each Service, how many endpoints it has, and which; or why it has none."""
    if not model.services:
        yield "no Service: nothing can be found here yet"
    width = max((len(f"{one.name}.{one.namespace}") for one in model.services.values()), default=0)
    for service in model.services.values():
        found = _ready(model, service)
        yield f"{f'{service.name}.{service.namespace}':{min(width, 48)}}  " + (
            _counted(len({one.pod or one.address for one in found}), "endpoint")
            if found and service.headless
            else _why_none(model, service, len(found))
        )
        if service.headless:
            yield from (f"  {one.pod or '-'}  {one.address}" for one in found[:_SHOWN])
            if len(found) > _SHOWN:
                yield f"  and {len(found) - _SHOWN:,} more"
        yield from (f"  {line}" for line in _unresolved(model, service))


def _ready(model: Model, service: Service) -> list[SliceEndpoint]:
    return [one for each in model.slices(service.key) for one in each.endpoints if one.ready]


def _why_none(model: Model, service: Service, ready: int) -> str:
    if service.external_name is not None:
        return f"not headless: an alias of {service.external_name}"
    if service.cluster_ips:
        addresses = ", ".join(service.cluster_ips)
        return f"not headless: its cluster IP is {addresses} ({_counted(ready, 'endpoint')})"
    pods = list(model.selected(service))
    published = sum(len(one.endpoints) for one in model.slices(service.key))
    if published:
        return f"no endpoint: none of {_counted(published, 'address', 'es')} is ready"
    if pods and not any(pod.belongs for pod in pods):
        return f"no endpoint: {_counted(len(pods), 'pod')}, finished or without an address"
    if pods:
        families = " or ".join(f"IPv{family}" for family in service.families)
        return f"no endpoint: {_counted(len(pods), 'pod')} without an {families} address"
    if not service.selector:
        return "no endpoint: it has no selector, and there is no EndpointSlice of it"
    selector = ",".join(f"{key}={value}" for key, value in service.selector.items())
    elsewhere = {
        pod.namespace
        for pod in model.pods.values()
        if pod.labels.items() >= service.selector.items()
    }
    where = f"; it does in {', '.join(sorted(elsewhere))}" if elsewhere else ""
    return f"no endpoint: its selector {selector} matches no pod of {service.namespace}{where}"


def _unresolved(model: Model, service: Service) -> Iterator[str]:
    """Ports of which no container has the name."""
    for port in service.ports:
        pods = [pod for pod in model.selected(service) if pod.resolve(port) is None]
        if pods:
            yield f"port {port.name or port.number}: no container of {pods[0].name} calls one " + (
                f"{port.target!r}"
            )


def _say(line: str) -> None:
    print("\n".join(fitted(_printable(line), width_of(sys.stderr), "  ", "    ")), file=sys.stderr)


def _printable(text: str) -> str:
    """No control character of a manifest reaches a terminal."""
    return "".join(one if one.isprintable() or one == "\n" else repr(one)[1:-1] for one in text)


def _counted(number: int, what: str, plural: str = "s") -> str:
    return f"{number:,} {what}{'' if number == 1 else plural}"
