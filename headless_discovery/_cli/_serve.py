"""``serve``: the fake cluster as a name server, for developing an app without a cluster."""

import contextlib
import errno
import ipaddress
import re
import sys
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import attrs

from .._dns.resolver import NAMESERVER_VARIABLE
from .._errors import ConfigurationError
from ..testing import FakeCluster
from ..testing._manifests import to_apply
from ..testing._model import Model, Service, SliceEndpoint
from ..testing._server import NameServer
from ._messages import note
from ._options import USAGE, Arguments
from ._show import counted, fitted, width_of

_STDIN = "-"
_LOOK_AGAIN = 0.5
"""Seconds: how soon a changed file is noticed."""
_SHOWN = 8
"""Endpoints of one Service."""
_LAST_PORT = 65535
_LISTEN = re.compile(r"(?:(?:\[(?P<v6>[^\]]+)\]|(?P<v4>[^:]*)):)?(?P<port>[0-9]{1,5})")


def run(arguments: Arguments) -> int:
    """Serves until it is interrupted."""
    try:
        host, port = _listening_at(arguments)
        served = _Served(arguments)
        with NameServer(served, host, port, allow_remote=arguments.allow_remote) as server:
            exports = [f"{NAMESERVER_VARIABLE}={server.nameserver}", *served.exports()]
            print("\n".join(f"export {one}" for one in exports), file=arguments.out, flush=True)
            note("serving until Ctrl-C:")
            served.say()
            while True:
                arguments.clock.sleep(_LOOK_AGAIN)
                served.look_again()
    except BrokenPipeError:  # `main` knows what that means
        raise
    except OSError as error:
        note(_why_not(error, arguments.listen))
    except ValueError as error:
        note(_printable(str(error)))
    return USAGE


def _listening_at(arguments: Arguments) -> tuple[str, int]:
    """A host and a port; port 0 is one that is free. Raises `ConfigurationError`."""
    text = arguments.listen
    match = _LISTEN.fullmatch(text)
    if match is not None and int(match["port"]) > _LAST_PORT:
        match = None
    host = "" if match is None else match["v6"] or match["v4"] or "127.0.0.1"
    try:
        address = ipaddress.ip_address("127.0.0.1" if host == "localhost" else host)
    except ValueError:
        raise ConfigurationError(
            f"--listen {text}: give an address and a port, such as 127.0.0.1:10053 or [::1]:10053"
        ) from None
    if not address.is_loopback and not arguments.allow_remote:
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


class _Served:
    """The objects of the manifests, read again when one of the files changes.

    If a file cannot be used any more, its last usable content is still served.
    """

    def __init__(self, arguments: Arguments) -> None:
        self._arguments = arguments
        self._pipes: dict[str, str] = {}
        """What can be read once: stdin, a named pipe, the shell's ``<(...)``."""
        self._texts: dict[str, str] = {}
        self._texts = self._read()
        self._left_out: list[str] = []
        self._readable = set(arguments.manifests)  # what a folder has beside them may be anything
        self._error = ""  # printed, and not printed again at every check
        self._said: Mapping[str, _Of] = {}
        self._told: set[str] = set()
        self._cluster = self._made(None)

    def answer(self, wire: bytes, *, tcp: bool = False) -> bytes | None:
        """As the cluster that holds now."""
        return self._cluster.answer(wire, tcp=tcp)

    def look_again(self) -> None:
        """Reads what has changed."""
        said, self._error = self._error, ""
        try:
            texts = self._read()
            if texts == self._texts:
                return
            self._texts = texts
            self._cluster = self._made(self._cluster._model)
        except ValueError as error:
            self._error = str(error)
            if self._error != said:
                note(f"{_printable(self._error)}; the previous content is still served")
        else:
            note("a manifest changed:")
            self.say()

    def exports(self) -> Iterator[str]:
        """The address of a process that plays the first pod."""
        model = self._cluster._model
        services = [service for service in model.services.values() if service.headless]
        found = [(service, one) for service in services for one in _ready(model, service)]
        for service in ([service for service, _ in found] or services)[:1]:
            yield f"POD_NAMESPACE={service.namespace}"
        yield from (f"POD_IP={one.address}" for _, one in found[:1])

    def say(self) -> None:
        """For people: what there is, and what there is not; of this, what was not said yet."""
        model, before = self._cluster._model, self._said
        self._said = _report(model)
        width = min(max(map(len, self._said), default=0), 48)
        lines = [] if self._said else ["no Service: nothing can be found here yet"]
        for name, of in self._said.items():
            lines += of.lines(f"{name:{width}}", before.get(name))
        lines += [f"{name}  is gone" for name in before if name not in self._said]
        others = [f"left out: {line}" for line in self._left_out]
        if model.networks.used and self._arguments.pod_network is None:
            others.append(
                "nothing here can listen at the pods' addresses: --pod-network 127.0.1.0/24 gives "
                "them others"
            )
        lines += [line for line in others if line not in self._told]
        self._told = set(others)
        _say(lines or ["the endpoints are the same"])

    def _read(self) -> dict[str, str]:
        return {path: self._text(path) for given in self._arguments.manifests
                for path in _files(given)}  # fmt: skip

    def _text(self, path: str) -> str:
        if path in self._pipes:
            return self._pipes[path]
        with _reading(path):
            data = _stdin() if path == _STDIN else Path(path).read_bytes()
            # PowerShell's > writes UTF-16.
            text = data.decode("utf-16" if data[:2] in (BOM_UTF16_LE, BOM_UTF16_BE) else "utf-8")
        if path == _STDIN or not Path(path).is_file():
            self._pipes[path] = text
        if self._texts.get(path) and not text:  # a shell's > empties it before it is written
            raise ConfigurationError(f"{path} is empty now")
        return text

    def _made(self, before: Model | None) -> FakeCluster:
        domain = self._arguments.cluster_domain or "cluster.local"
        try:
            cluster = FakeCluster(domain, ttl=self._arguments.ttl)
        except ValueError as error:
            raise ConfigurationError(f"--cluster-domain {domain}: {error}") from None
        model = cluster._model
        if self._arguments.pod_network is not None:
            network = self._arguments.pod_network
            model.networks.by_family = {network.version: network}
        if before is not None:
            # A process may listen at a pod's address: the pod keeps it.
            model.leases = {key: pod.addresses for key, pod in before.pods.items()}
        effects, left_out = [], []
        for path, text in self._texts.items():
            file = _name(path)
            try:
                reading = to_apply(text, lenient=True)
            except ValueError as error:
                if path in self._readable:
                    raise ConfigurationError(f"{file}: {error}") from error
                left_out.append(f"{file}, {error}")
                continue
            self._readable.add(path)
            effects += [(file, effect) for effect in reading.effects]
            left_out += [f"{file}, {line}" for line in reading.left_out]
        for file, effect in sorted(effects, key=lambda one: one[1].rank):
            try:
                effect(model)
            except ValueError as error:
                left_out.append(f"{file}, {error}")
        if left_out and self._arguments.strict:
            _say(f"left out: {line}" for line in left_out)
            raise ConfigurationError("some manifests cannot be used, and --strict was given")
        self._left_out = left_out
        return cluster


@contextlib.contextmanager
def _reading(path: str) -> Iterator[None]:
    try:
        yield
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not text"
        raise ConfigurationError(f"{_name(path)} cannot be read: {why}") from error


def _files(path: str) -> list[str]:
    """It, or the manifests of a folder."""
    if path == _STDIN or not Path(path).is_dir():
        return [path]
    with _reading(path):
        names = sorted(Path(path).iterdir())
    kinds = (".yaml", ".yml", ".json")
    return [str(one) for one in names if one.suffix in kinds and one.name[0] != "."]


def _stdin() -> bytes:
    return sys.stdin.buffer.read() if sys.stdin else b""  # a shell may have closed it (<&-)


def _name(path: str) -> str:
    return "stdin" if path == _STDIN else path


@attrs.frozen
class _Of:
    """What there is to say of a Service."""

    about: str
    endpoints: tuple[str, ...]
    notes: tuple[str, ...]

    def lines(self, name: str, before: "_Of | None") -> Iterator[str]:
        """All of it, or what is new since then."""
        if self == before:
            return
        yield f"{name}  {self.about}"
        shown = self.endpoints
        if before is not None:
            gone = [f"- {one}" for one in before.endpoints if one not in set(self.endpoints)]
            come = [f"+ {one}" for one in self.endpoints if one not in set(before.endpoints)]
            shown = (*gone, *come)
        more = [f"and {len(shown) - _SHOWN:,} more"] if len(shown) > _SHOWN else []
        yield from (f"  {one}" for one in (*shown[:_SHOWN], *more, *self.notes))


def _report(model: Model) -> dict[str, _Of]:
    """Each Service, how many endpoints it has, and which; or why it has none."""
    found = {}
    for service in model.services.values():
        ready = _ready(model, service)
        found[f"{service.name}.{service.namespace}"] = _Of(
            counted(len({one.pod or one.address for one in ready}), "endpoint")
            if ready and service.headless
            else _why_none(model, service, len(ready)),
            tuple(f"{one.pod or '-'}  {one.address}" for one in ready if service.headless),
            tuple(_unresolved(model, service)),
        )
    return found


def _ready(model: Model, service: Service) -> list[SliceEndpoint]:
    return [one for each in model.slices(service.key) for one in each.endpoints if one.ready]


def _why_none(model: Model, service: Service, ready: int) -> str:
    if service.external_name is not None:
        return f"not headless: an alias of {service.external_name}"
    if service.cluster_ips:
        addresses = ", ".join(service.cluster_ips)
        return f"not headless: its cluster IP is {addresses} ({counted(ready, 'endpoint')})"
    pods = list(model.selected(service))
    published = sum(len(one.endpoints) for one in model.slices(service.key))
    if published:
        return f"no endpoint: none of {counted(published, 'address')} is ready"
    families = " or ".join(f"IPv{family}" for family in service.families)
    if pods and not any(pod.belongs for pod in pods):
        if not model.networks.by_family.keys() & set(service.families):
            return f"no endpoint: --pod-network has no {families} address for its pods"
        return f"no endpoint: {counted(len(pods), 'pod')}, finished or without an address"
    if pods:
        return f"no endpoint: {counted(len(pods), 'pod')} without an {families} address"
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


def _say(lines: Iterable[str]) -> None:
    width = width_of(sys.stderr)
    for line in lines:
        shown = fitted(_printable(line), width, "  ", "    ")
        print("\n".join(shown), file=sys.stderr, flush=True)


def _printable(text: str) -> str:
    """No control character of a manifest reaches a terminal."""
    return "".join(one if one.isprintable() or one == "\n" else repr(one)[1:-1] for one in text)
