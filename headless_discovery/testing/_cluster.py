"""FakeCluster: a cluster in memory that answers DNS, for the tests of code that uses `peers`."""

import ipaddress
import random
import re
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, Self, Unpack

import attrs

from .. import aio
from .._options import PeersArguments
from .._peers import Peers, peers
from . import _packer
from ._cache import Cache
from ._clock import FakeClock
from ._manifests import read as read_manifests
from ._model import Model, Pod, Service, ServicePort
from ._packer import MalformedError, Question, Reply
from ._resolver import FakeResolver
from ._server import Server
from ._zone import Options, Zone

Failure = Literal["servfail", "refused", "nxdomain", "timeout", "truncate", "garbage", "wrong-id"]
FAILURES: tuple[Failure, ...] = (
    "servfail", "refused", "nxdomain", "timeout", "truncate", "garbage", "wrong-id",
)  # fmt: skip
TYPES = {"A": 1, "CNAME": 5, "SOA": 6, "PTR": 12, "TXT": 16, "AAAA": 28, "SRV": 33}
_TYPE_NAMES = {number: name for name, number in TYPES.items()}
_REMEMBERED = 100_000

Ports = Mapping[str, int | tuple[int, str]] | Sequence[int] | None


@attrs.frozen
class Query:
    """A question that the cluster was asked."""

    name: str
    type: str
    tcp: bool
    at: float
    """On the cluster's clock."""

    def __str__(self) -> str:
        """As ``dig`` would have it."""
        return f"{self.name}. {self.type} over {'TCP' if self.tcp else 'UDP'}"


@attrs.define
class _Rule:
    """What `FakeCluster.fail` asked for."""

    kind: Failure
    left: int | None
    name: str | None
    type: int | None

    def takes(self, question: Question) -> bool:
        """Whether it holds for this question; counts it if so."""
        if self.left == 0 or self.type not in (None, question.type):
            return False
        lower = question.name.lower()
        if self.name is not None and lower != self.name and not lower.endswith(f".{self.name}"):
            return False
        if self.left is not None:
            self.left -= 1
        return True


class FakePod:
    """A pod of a fake cluster."""

    def __init__(self, cluster: "FakeCluster", pod: Pod, service: Service) -> None:
        self._cluster = cluster
        self._pod = pod
        self._service = service

    def __repr__(self) -> str:
        return f"<FakePod {self.name} {', '.join(self.addresses)}>"

    @property
    def name(self) -> str:
        """Its name in Kubernetes, which DNS does not show."""
        return self._pod.name

    @property
    def hostname(self) -> str:
        """Its first label in DNS: its host name, or its dashed address."""
        return self._cluster.label_of(self._pod, self._service)

    @property
    def addresses(self) -> tuple[str, ...]:
        """All its addresses."""
        return self._pod.addresses

    @property
    def ready(self) -> bool:
        """Whether its readiness probe succeeds; may be set."""
        return self._pod.ready

    @ready.setter
    def ready(self, ready: bool) -> None:
        with self._cluster.changing():
            self._existing().ready = ready

    def move_to(self, ip: str, *more_ips: str) -> None:
        """Gives it other addresses, as a pod has that was made anew under its name."""
        with self._cluster.changing():
            self._existing().addresses = self._cluster.addresses((ip, *more_ips), unless=self._pod)

    def terminate(self) -> None:
        """Begins its graceful end: it is published only where pods that are not ready are."""
        with self._cluster.changing():
            self._existing().terminating = True

    def delete(self) -> None:
        """Takes it away."""
        with self._cluster.changing():
            self._existing()
            del self._cluster.model.pods[self._pod.namespace, self._pod.name]

    def peers(self, service: str, **arguments: Unpack[PeersArguments]) -> Peers:
        """`headless_discovery.peers` as this pod sees it: its addresses, host name, namespace."""
        return self._cluster.peers(service, **self._arguments(arguments))

    @property
    def aio(self) -> "FakeAio":
        """The same for tasks: ``pod.aio.peers(...)``."""
        return FakeAio(
            lambda service, arguments: self._cluster.arguments(service, self._arguments(arguments))
        )

    def _arguments(self, arguments: PeersArguments) -> PeersArguments:
        pod = self._pod
        resolver = FakeResolver(
            self._cluster,
            domain=self._cluster.domain,
            namespace=pod.namespace,
            addresses=pod.addresses,
            hostname=pod.hostname or pod.name,
        )
        chosen: PeersArguments = {"resolver": resolver, "namespace": None}
        return chosen | arguments

    def _existing(self) -> Pod:
        pod = self._pod
        if self._cluster.model.pods.get((pod.namespace, pod.name)) is not pod:
            raise ValueError(f"pod {pod.namespace}/{pod.name} was deleted")
        return pod


class FakeService:
    """A Service of a fake cluster."""

    def __init__(self, cluster: "FakeCluster", service: Service) -> None:
        self._cluster = cluster
        self._service = service
        self._pods: list[FakePod] = []

    def __repr__(self) -> str:
        return f"<FakeService {self._service.name}.{self._service.namespace}>"

    @property
    def name(self) -> str:
        """Its name."""
        return self._service.name

    @property
    def namespace(self) -> str:
        """Its namespace."""
        return self._service.namespace

    @property
    def pods(self) -> tuple[FakePod, ...]:
        """Those made by `add_pod` and `scale` that were not deleted, in that order."""
        pods = self._cluster.model.pods
        self._pods = [pod for pod in self._pods if pods.get(self._key(pod.name)) is pod._pod]
        return tuple(self._pods)

    def add_pod(
        self,
        ip: str,
        *more_ips: str,
        name: str | None = None,
        hostname: str | None = None,
        ready: bool = True,
    ) -> FakePod:
        """Adds a pod behind this Service.

        Raises `ValueError` for what is not an address, one that another pod has, and a name that
        another pod of the namespace has.
        """
        cluster = self._cluster
        with cluster.changing():
            addresses = cluster.addresses((ip, *more_ips))
            if name is None:
                name = hostname or f"{self.name}-{addresses[0].replace('.', '-').replace(':', '-')}"
            if self._key(name) in cluster.model.pods:
                raise ValueError(f"there is a pod {self.namespace}/{name} already")
            pod = Pod(
                name,
                self.namespace,
                addresses,
                ready=ready,
                hostname="" if hostname is None else _label("hostname", hostname),
                subdomain="" if hostname is None else self.name,
                labels=self._service.selector or {},
            )
            cluster.model.pods[self._key(name)] = pod
            found = FakePod(cluster, pod, self._service)
            self._pods.append(found)
        return found

    def scale(self, n: int) -> tuple[FakePod, ...]:
        """Makes it a StatefulSet of ``n`` pods, ``<service>-0`` to ``<service>-n-1``.

        Those missing are added, with addresses of their own; the highest numbers go first.
        """
        if isinstance(n, bool) or not isinstance(n, int) or n < 0:
            raise ValueError(f"scale({n!r}): give a number of pods")
        names = [f"{self.name}-{number}" for number in range(n)]
        numbered = {
            pod.name: pod
            for pod in self.pods
            if pod.name.startswith(f"{self.name}-")
            and pod.name.removeprefix(f"{self.name}-").isdigit()
        }
        for name, pod in numbered.items():
            if name not in names:
                pod.delete()
        for name in names:
            if name not in numbered:
                self.add_pod(*self._cluster.free_addresses(self._service.families), hostname=name)
        return self.pods

    def _key(self, pod: str) -> tuple[str, str]:
        return self.namespace, pod


class FakeCluster:
    """A cluster in memory that answers DNS messages as CoreDNS does, on a fake clock.

    The options are those of CoreDNS's Corefile: ``ttl``, ``endpoint_pod_names``,
    ``ignore_empty_service`` and ``pods`` of its kubernetes plugin, ``cache``, ``denial`` and
    ``serve_stale`` (seconds) of its cache, ``bufsize``. ``seed`` is that of every chance,
    ``clock`` a `FakeClock` that several clusters share.
    """

    def __init__(
        self,
        domain: str = "cluster.local",
        *,
        ttl: int = 5,
        cache: int | None = None,
        denial: int | None = None,
        serve_stale: float = 0,
        endpoint_pod_names: bool = False,
        ignore_empty_service: bool = False,
        bufsize: int | None = None,
        pods: Literal["disabled", "insecure"] = "disabled",
        seed: int = 0,
        clock: FakeClock | None = None,
    ) -> None:
        self.domain = domain.lower().removesuffix(".")
        self.clock = FakeClock() if clock is None else clock
        self.synced = True
        """``False``: as CoreDNS before its first list, SERVFAIL for what it does not know yet."""
        self.model = Model()
        self._bufsize = bufsize
        self._rng = random.Random(seed)
        self._zone = Zone(
            self.model,
            Options(
                domain=self.domain,
                ttl=ttl,
                endpoint_pod_names=endpoint_pod_names,
                ignore_empty_service=ignore_empty_service,
                pods=pods,
            ),
            self._rng,
        )
        self._cache = None
        if cache is not None:
            self._cache = Cache(cache, cache if denial is None else denial, serve_stale)
        self._rules: list[_Rule] = []
        self._queries: list[Query] = []
        self._lock = threading.RLock()
        self._serial = 1
        self._next_address = 0

    def __repr__(self) -> str:
        return f"<FakeCluster {self.domain}: {len(self.model.services)} Services>"

    # The model.

    def add_service(
        self,
        name: str,
        namespace: str = "default",
        *,
        ports: Ports = None,
        cluster_ip: str | None = None,
        external_name: str | None = None,
        publish_not_ready: bool = False,
        families: Sequence[str] = ("ipv4",),
    ) -> FakeService:
        """Adds a Service, headless unless it is given a virtual IP or an external name.

        ``ports``: ``{"http": 8080}``, ``[80]`` (without a name), ``{"dns": (53, "udp")}``, or none.
        Raises `ValueError` for a Service that is there already, and for what it cannot be.
        """
        unknown = [family for family in families if family not in ("ipv4", "ipv6")]
        if unknown or not families:
            raise ValueError(f"families={families!r}: give 'ipv4', 'ipv6' or both")
        if cluster_ip is not None and external_name is not None:
            raise ValueError("a Service has a cluster_ip or an external_name, not both")
        name, namespace = _label("name", name), _label("namespace", namespace)
        if (namespace, name) in self.model.services:
            raise ValueError(f"there is a Service {name!r} in namespace {namespace!r} already")
        service = Service(
            name,
            namespace,
            ports=_ports(ports),
            cluster_ips=() if cluster_ip is None else (_address(cluster_ip),),
            external_name=external_name,
            publish_not_ready=publish_not_ready,
            families=tuple(4 if family == "ipv4" else 6 for family in families),
            # A label of its own, so that its pods are its own.
            selector=None if external_name is not None else {"headless-discovery": name},
        )
        with self.changing():
            self.model.namespaces.add(namespace)
            self.model.services[namespace, name] = service
        return FakeService(self, service)

    def apply(self, objects: str | Mapping[str, Any] | Iterable[Mapping[str, Any]]) -> None:
        """Takes Kubernetes manifests: Service, Pod, EndpointSlice, Namespace, List.

        As dicts, or as YAML text with the extra ``yaml``. What is there already is replaced. Only
        what changes an answer is looked at; raises `ValueError` where that makes no sense.
        """
        read = read_manifests(objects)
        with self.changing():
            for put in read:
                put(self.model)

    def changing(self) -> "_Changing":
        """While the model is being changed nobody is answered."""
        return _Changing(self)

    def changed(self) -> None:
        """The model was changed: the SOA's serial moves on."""
        self._serial += 1
        self.model.changed()

    def addresses(self, given: Sequence[str], unless: Pod | None = None) -> tuple[str, ...]:
        """Addresses in canonical text; raises `ValueError` if another pod has one."""
        found = tuple(_address(text) for text in given)
        for pod in self.model.pods.values():
            if pod is not unless and set(found) & set(pod.addresses):
                shared = ", ".join(sorted(set(found) & set(pod.addresses)))
                raise ValueError(f"{shared} is the address of pod {pod.namespace}/{pod.name}")
        return found

    def free_addresses(self, families: Iterable[int]) -> tuple[str, ...]:
        """One unused address of each family."""
        taken = {address for pod in self.model.pods.values() for address in pod.addresses}
        while True:
            self._next_address += 1
            high, low = divmod(self._next_address, 250)
            four = f"10.244.{high}.{low + 1}"
            six = str(ipaddress.IPv6Address(f"fd00:10:244::{self._next_address:x}"))
            if four not in taken and six not in taken:
                return tuple(four if family == 4 else six for family in families)

    def label_of(self, pod: Pod, service: Service) -> str:
        """A pod's first label below a Service."""
        for one in self.model.slices(service):
            for endpoint in one.endpoints:
                if endpoint.pod == pod.name:
                    return endpoint.label(pod_names=self._zone.options.endpoint_pod_names)
        return pod.hostname

    # Using it.

    @property
    def resolver(self) -> FakeResolver:
        """For code that makes its own ``peers(..., resolver=cluster.resolver)``."""
        return FakeResolver(self, domain=self.domain)

    def peers(self, service: str, **arguments: Unpack[PeersArguments]) -> Peers:
        """`headless_discovery.peers` on this cluster: the real class, with only the wire replaced.

        The namespace is ``default`` unless it is said.
        """
        return peers(service, **self.arguments(service, arguments))

    @property
    def aio(self) -> "FakeAio":
        """The same for tasks: ``cluster.aio.peers(...)``."""
        return FakeAio(self.arguments)

    def arguments(self, service: str, arguments: PeersArguments) -> PeersArguments:
        """Those of `headless_discovery.peers` that make it run on this cluster."""
        chosen: PeersArguments = {
            "resolver": self.resolver,
            "clock": self.clock,
            "rng": random.Random(self._rng.random()),
        }
        if "." not in service:
            chosen["namespace"] = "default"
        return chosen | arguments

    def serve(
        self, host: str = "127.0.0.1", port: int = 0, *, allow_remote: bool = False
    ) -> Server:
        """A real UDP and TCP server of this cluster, a context manager with ``nameserver``.

        It follows changes of the model. Raises `ValueError` for a host that is not of the loopback
        unless ``allow_remote``.
        """
        return Server(self, host, port, allow_remote=allow_remote)

    # Failing.

    def fail(
        self,
        kind: Failure,
        *,
        times: int | None = None,
        name: str | None = None,
        qtype: str | None = None,
    ) -> None:
        """Answers wrongly from now on: so many times, or until `heal`.

        ``kind``: ``"servfail"``, ``"refused"``, ``"nxdomain"`` (with the cluster's SOA),
        ``"timeout"`` (no answer), ``"truncate"`` (cut, over TCP too), ``"garbage"`` or
        ``"wrong-id"``. Only questions for ``name``, or names below it, and of the type ``qtype``,
        if they are given. Of several rules that hold for a question, the newest counts.
        """
        if kind not in FAILURES:
            raise ValueError(f"fail({kind!r}): it is one of {', '.join(map(repr, FAILURES))}")
        if qtype is not None and qtype.upper() not in TYPES:
            raise ValueError(f"qtype={qtype!r}: it is one of {', '.join(TYPES)}")
        if times is not None and (isinstance(times, bool) or times < 1):
            raise ValueError(f"times={times!r}: give a number from 1 on, or leave it out")
        with self._lock:
            self._rules.append(
                _Rule(
                    kind,
                    times,
                    None if name is None else name.lower().removesuffix("."),
                    None if qtype is None else TYPES[qtype.upper()],
                )
            )

    def heal(self) -> None:
        """Ends every failure."""
        with self._lock:
            self._rules.clear()

    # Answering.

    @property
    def queries(self) -> tuple[Query, ...]:
        """What was asked, in order."""
        return tuple(self._queries)

    def answer(self, wire: bytes, *, tcp: bool = False) -> bytes | None:
        """One DNS message in, one out; ``None``: no answer.

        Any bytes will do: what is no query gets none, or FORMERR, as from the real server.
        """
        try:
            question = _packer.read(wire)
        except MalformedError:
            return None
        with self._lock:
            return self._answer(question, tcp=tcp)

    def _answer(self, question: Question, *, tcp: bool) -> bytes | None:
        if len(self._queries) < _REMEMBERED:
            kind = _TYPE_NAMES.get(question.type, f"TYPE{question.type}")
            self._queries.append(Query(question.name, kind, tcp, self.clock.now()))
        for rule in reversed(self._rules):
            if rule.takes(question):
                return self._fail(rule.kind, question, tcp=tcp)
        return self._pack(self._reply(question), question, tcp=tcp)

    def _pack(self, reply: Reply, question: Question, *, tcp: bool) -> bytes:
        return _packer.pack(reply, question, limit=self._bufsize, tcp=tcp)

    def _reply(self, question: Question) -> Reply:
        cache = self._cache
        now = self.clock.now()
        if cache is None:
            return self._fresh(question)
        kept, stale = cache.get(question, now)
        if kept is None:
            return cache.put(question, self._fresh(question), now)
        if stale:
            cache.put(question, self._fresh(question), now)
        return self._zone.shuffled(kept)

    def _fresh(self, question: Question) -> Reply:
        return self._zone.answer(question, synced=self.synced, serial=self._serial)

    def _fail(self, kind: Failure, question: Question, *, tcp: bool) -> bytes | None:
        match kind:
            case "servfail":
                return self._pack(Reply(_packer.SERVFAIL), question, tcp=tcp)
            case "refused":
                refused = Reply(_packer.REFUSED, authoritative=False)
                return self._pack(refused, question, tcp=tcp)
            case "nxdomain":
                return self._pack(self._zone.no_such_name(self._serial), question, tcp=tcp)
            case "timeout":
                return None
            case "truncate":
                return _packer.cut(question)
            case "garbage":
                # Our id and question, and then nonsense: a length that leads out of the message.
                return self._pack(Reply(_packer.NOERROR), question, tcp=tcp)[:-1] + b"\xff\xc0"
            case "wrong-id":
                other = attrs.evolve(question, id=question.id ^ 0xFFFF)
                return self._pack(self._reply(question), other, tcp=tcp)


class FakeAio:
    """`headless_discovery.aio` on a fake cluster."""

    def __init__(self, arguments: Callable[[str, PeersArguments], PeersArguments]) -> None:
        self._arguments = arguments

    def peers(self, service: str, **arguments: Unpack[PeersArguments]) -> aio.Peers:
        """`headless_discovery.aio.peers`: the real class, with only the wire replaced."""
        return aio.peers(service, **self._arguments(service, arguments))


class _Changing:
    """Holds the cluster while it is changed."""

    def __init__(self, cluster: FakeCluster) -> None:
        self._cluster = cluster

    def __enter__(self) -> Self:
        self._cluster._lock.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        self._cluster.changed()
        self._cluster._lock.release()


def _label(argument: str, label: str) -> str:
    if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", label):
        raise ValueError(f"{argument}={label!r} is not a DNS label in lower case")
    return label


def _address(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError as error:
        raise ValueError(f"{text!r} is not an IP address") from error


def _ports(ports: Ports) -> tuple[ServicePort, ...]:
    if ports is None:
        return ()
    if isinstance(ports, Mapping):
        return tuple(_port(name, given) for name, given in ports.items())
    return tuple(_port("", number) for number in ports)


def _port(name: str, given: int | tuple[int, str]) -> ServicePort:
    number, protocol = given if isinstance(given, tuple) else (given, "tcp")
    if isinstance(number, bool) or not isinstance(number, int) or not 0 < number < 65536:
        raise ValueError(f"port {name!r}: {number!r} is not a number from 1 to 65535")
    if protocol.lower() not in ("tcp", "udp", "sctp"):
        raise ValueError(f"port {name!r}: {protocol!r} is not 'tcp', 'udp' or 'sctp'")
    return ServicePort(name.lower(), number, protocol.lower())
