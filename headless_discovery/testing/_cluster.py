"""FakeCluster: a cluster in memory that answers DNS, for the tests of code that uses `peers`."""

import contextlib
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Literal, Unpack

import attrs
import dns.rdatatype

from .. import aio
from .._options import PeersArguments
from .._peers import Peers, peers
from . import _packer
from ._cache import Cache
from ._clock import FakeClock
from ._failures import Failure, Query, Rule
from ._manifests import Manifests, to_apply, to_delete
from ._model import Model, Pod, Service, ServicePort, check_address, check_label, family_of
from ._packer import MalformedError, Question, Reply, UnpackableError
from ._resolver import FakeResolver
from ._server import Server
from ._zone import Options, Zone

_REMEMBERED = 100_000

Ports = Mapping[str, int | tuple[int, str]] | Sequence[int] | None


@attrs.define(repr=False, unsafe_hash=True)
class FakePod:
    """A pod of a fake cluster."""

    _cluster: "FakeCluster"
    _pod: Pod
    _service: Service

    def __repr__(self) -> str:
        return f"<FakePod {self.name} {', '.join(self.addresses)}>"

    @property
    def name(self) -> str:
        """Its name in Kubernetes, which DNS does not show."""
        return self._pod.name

    @property
    def hostname(self) -> str:
        """Its first label in DNS: its host name, or its dashed address."""
        endpoint = self._service.endpoint(self._pod, self._pod.addresses[0])
        return endpoint.label(pod_names=self._cluster._zone.options.endpoint_pod_names)

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
        with self._cluster._changing() as model:
            self._existing().ready = ready
            model.changed()

    def move_to(self, ip: str, *more_ips: str) -> None:
        """Gives it other addresses, as a pod has that was made anew under its name.

        Raises `ValueError` for what is not an address, and for one that another pod has.
        """
        with self._cluster._changing() as model:
            pod = self._existing()
            model.move(pod, self._cluster._unused((ip, *more_ips), unless=pod))

    def terminate(self) -> None:
        """Begins its graceful end: it is published only where pods that are not ready are."""
        with self._cluster._changing() as model:
            self._existing().terminating = True
            model.changed()

    def delete(self) -> None:
        """Takes it away."""
        with self._cluster._changing() as model:
            pod = self._existing()
            model.delete("Pod", pod.namespace, pod.name)

    def peers(self, service: str, **arguments: Unpack[PeersArguments]) -> Peers:
        """`headless_discovery.peers` as this pod sees it: its addresses, host name, namespace."""
        return self._cluster.peers(service, **self._arguments(arguments))

    @property
    def aio(self) -> "FakeAio":
        """The same for tasks: ``pod.aio.peers(...)``."""
        return FakeAio(
            lambda service, arguments: self._cluster._arguments_for(
                service, self._arguments(arguments)
            )
        )

    def _arguments(self, arguments: PeersArguments) -> PeersArguments:
        pod = self._existing()
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
        if self._cluster._model.pods.get((pod.namespace, pod.name)) is not pod:
            raise ValueError(f"pod {pod.namespace}/{pod.name} was deleted")
        return pod


@attrs.define(repr=False, unsafe_hash=True)
class FakeService:
    """A Service of a fake cluster."""

    _cluster: "FakeCluster"
    _service: Service

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
        """The pods behind it, ready or not, in the order in which they were added."""
        with self._cluster._changing() as model:
            selected = tuple(model.selected(self._service))
        return tuple(FakePod(self._cluster, pod, self._service) for pod in selected)

    def add_pod(
        self,
        ip: str,
        *more_ips: str,
        name: str | None = None,
        hostname: str | None = None,
        ready: bool = True,
    ) -> FakePod:
        """Adds a pod behind this Service.

        Raises `ValueError` for what is not an address, for one that another pod has or that the
        Service does not publish, and for a name that another pod of the namespace has.
        """
        with self._cluster._changing() as model:
            service = self._existing()
            if not service.selector:
                kind = "an alias" if service.external_name else "without a selector"
                raise ValueError(f"Service {self.name!r} is {kind}: it has no pods of its own")
            addresses = self._cluster._unused((ip, *more_ips))
            if not any(family_of(address) in service.families for address in addresses):
                families = " and ".join(f"ipv{family}" for family in service.families)
                raise ValueError(
                    f"Service {self.name!r} publishes {families} only, and {', '.join(addresses)} "
                    f"is not: see add_service(..., families=...)"
                )
            if name is None:
                name = hostname or f"{self.name}-{addresses[0].replace('.', '-').replace(':', '-')}"
            if (self.namespace, name) in model.pods:
                raise ValueError(f"there is a pod {self.namespace}/{name} already")
            pod = Pod(
                name,
                self.namespace,
                addresses,
                ready=ready,
                hostname="" if hostname is None else check_label("hostname", hostname),
                subdomain="" if hostname is None else self.name,
                labels=service.selector,
            )
            model.put_pod(pod)
        return FakePod(self._cluster, pod, service)

    def scale(self, n: int) -> tuple[FakePod, ...]:
        """Makes it a StatefulSet of ``n`` pods, ``<service>-0`` to ``<service>-n-1``.

        Those missing are added, with addresses of their own; those with higher numbers are deleted.
        """
        if isinstance(n, bool) or not isinstance(n, int) or n < 0:
            raise ValueError(f"scale({n!r}): give a number of pods")
        wanted = {f"{self.name}-{number}": None for number in range(n)}
        with self._cluster._changing() as model:
            for pod in self.pods:
                ordinal = pod.name.removeprefix(f"{self.name}-")
                if pod.name in wanted:
                    del wanted[pod.name]
                elif pod.name != ordinal and ordinal.isdecimal():
                    pod.delete()
            for name in wanted:
                self.add_pod(*model.free_addresses(self._existing().families), hostname=name)
            return self.pods

    def _existing(self) -> Service:
        service = self._service
        if self._cluster._model.services.get((service.namespace, service.name)) is not service:
            raise ValueError(f"Service {service.namespace}/{service.name} was deleted")
        return service


class FakeCluster:
    """A cluster in memory that answers DNS messages as CoreDNS does, on a fake clock.

    The options are those of CoreDNS's Corefile: ``ttl``, ``endpoint_pod_names``,
    ``ignore_empty_service`` and ``pods`` of its kubernetes plugin, ``cache``, ``denial`` and
    ``serve_stale`` (seconds) of its cache, ``bufsize``. ``seed`` is that of every chance,
    ``clock`` a `FakeClock` that several clusters share. Raises `ValueError` for what CoreDNS
    would not take.
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
        for label in self.domain.split("."):
            check_label("domain", label)
        _check("ttl", ttl, 0, 3600)
        _check("cache", cache, 1, 1 << 31)
        _check("denial", denial, 0, 1 << 31)
        _check("bufsize", bufsize, 512, 4096)
        if cache is None and (denial is not None or serve_stale):
            raise ValueError("denial and serve_stale are those of a cache: give cache=30, too")
        self.clock = FakeClock() if clock is None else clock
        self.synced = True
        """``False``: as CoreDNS before its first list, SERVFAIL for what it does not know yet."""
        self._model = Model()
        self._bufsize = bufsize
        self._rng = random.Random(seed)
        self._zone = Zone(
            self._model,
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
        self._rules: list[Rule] = []
        self._queries: deque[Query] = deque(maxlen=_REMEMBERED)
        self._lock = threading.RLock()
        self._clock_was_given = clock is not None
        self._serving_since: float | None = None

    def __repr__(self) -> str:
        return f"<FakeCluster {self.domain}: {len(self._model.services)} Services>"

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
        numbers = tuple({"ipv4": 4, "ipv6": 6}.get(family, 0) for family in families)
        if cluster_ip is not None and external_name is not None:
            raise ValueError("a Service has a cluster_ip or an external_name, not both")
        if cluster_ip == "None":
            cluster_ip = None
        virtual = () if cluster_ip is None else (check_address(cluster_ip),)
        if virtual and family_of(virtual[0]) not in numbers:
            raise ValueError(f"cluster_ip={cluster_ip!r} is of none of families={families!r}")
        service = Service(
            name,
            namespace,
            ports=_ports(ports),
            cluster_ips=virtual,
            external_name=None if external_name is None else external_name.removesuffix("."),
            publish_not_ready=publish_not_ready,
            families=numbers,
            # A label of its own, so that its pods are its own.
            selector=None if external_name is not None else {"headless-discovery": name},
        )
        with self._changing() as model:
            if (namespace, name) in model.services:
                raise ValueError(f"there is a Service {name!r} in namespace {namespace!r} already")
            model.put_service(service)
        return FakeService(self, service)

    def service(self, name: str, namespace: str = "default") -> FakeService:
        """A Service that is there, by `apply` for example; raises `ValueError` if it is not."""
        with self._changing() as model:
            found = model.services.get((namespace, name))
            if found is None:
                known = ", ".join(sorted(f"{name}.{space}" for space, name in model.services))
                raise ValueError(
                    f"no Service {name!r} in namespace {namespace!r}: {known or 'none'}"
                )
        return FakeService(self, found)

    def apply(self, objects: Manifests) -> None:
        """Takes Kubernetes manifests: Service, Pod, EndpointSlice, StatefulSet, Namespace, List.

        As dicts, or as YAML text with the extra ``yaml``. What is there already is replaced. A
        StatefulSet makes its Pods, at once and ready; kinds without a part in DNS are let be. Only
        what changes an answer is looked at; raises `ValueError` where that makes no sense, and
        then changes nothing.
        """
        changes = to_apply(objects)
        with self._changing() as model:
            for change in changes:
                change(model)

    def delete(self, objects: Manifests) -> None:
        """Takes away what these manifests name; their kinds, names and namespaces are enough.

        Raises `ValueError` for what is not there.
        """
        changes = to_delete(objects)
        with self._changing() as model:
            for change in changes:
                change(model)

    @contextlib.contextmanager
    def _changing(self) -> Iterator[Model]:
        """While the model is being changed nobody is answered."""
        with self._lock:
            yield self._model

    def _unused(self, given: Sequence[str], unless: Pod | None = None) -> tuple[str, ...]:
        """Addresses in canonical text; raises `ValueError` if another pod has one."""
        found = tuple(check_address(text) for text in given)
        for address in found:
            pod = self._model.pod_at(address)
            if pod is not None and pod is not unless:
                raise ValueError(f"{address} is the address of pod {pod.namespace}/{pod.name}")
        return found

    # Using it.

    @property
    def resolver(self) -> FakeResolver:
        """For code that makes its own ``peers(..., resolver=cluster.resolver)``.

        Give it ``clock=cluster.clock`` as well, or its waiting is real. Namespace: ``default``.
        """
        return FakeResolver(self, domain=self.domain, namespace="default")

    def peers(self, service: str, **arguments: Unpack[PeersArguments]) -> Peers:
        """`headless_discovery.peers` on this cluster: the real class, with only the wire replaced.

        The namespace is ``default`` unless it is said.
        """
        return peers(service, **self._arguments_for(service, arguments))

    @property
    def aio(self) -> "FakeAio":
        """The same for tasks: ``cluster.aio.peers(...)``."""
        return FakeAio(self._arguments_for)

    def _arguments_for(self, service: str, arguments: PeersArguments) -> PeersArguments:
        """Those of `headless_discovery.peers` that make it run on this cluster."""
        chosen: PeersArguments = {
            "resolver": self.resolver,
            "clock": self.clock,
            "rng": random.Random(self._rng.random()),
        }
        if isinstance(service, str) and "." not in service:
            chosen["namespace"] = "default"
        return chosen | arguments

    def serve(
        self, host: str = "127.0.0.1", port: int = 0, *, allow_remote: bool = False
    ) -> Server:
        """A real UDP and TCP server of this cluster, a context manager with ``nameserver``.

        It follows changes of the model. From then on the cache goes by real time, unless the
        cluster was given a clock. Raises `ValueError` for a host that is not of the loopback
        unless ``allow_remote``.
        """
        server = Server(self, host, port, allow_remote=allow_remote)
        if not self._clock_was_given and self._serving_since is None:
            self._serving_since = time.monotonic()
        return server

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
        ``"wrong-id"``. Only questions for ``name`` (a Service, or a full name) and names below it,
        and of the type ``qtype``, if they are given. Of several rules that hold for a question,
        the newest counts.
        """
        rule = Rule.read(kind, times, name, qtype, self.domain)
        with self._lock:
            self._rules.append(rule)

    def heal(self) -> None:
        """Ends every failure."""
        with self._lock:
            self._rules.clear()

    # Answering.

    @property
    def queries(self) -> tuple[Query, ...]:
        """What was asked, in order: the last 100,000 questions."""
        with self._lock:
            return tuple(self._queries)

    def answer(self, wire: bytes, *, tcp: bool = False) -> bytes | None:
        """One DNS message in, one out; ``None``: no answer.

        Any bytes will do: what is no query gets no answer, or FORMERR, as from the real server.
        """
        try:
            question = _packer.read(wire)
        except MalformedError as error:
            return error.reply
        with self._lock:
            try:
                return self._answer(question, tcp=tcp)
            except UnpackableError:
                return None

    def _now(self) -> float:
        now = self.clock.now()
        return now if self._serving_since is None else now + time.monotonic() - self._serving_since

    def _answer(self, question: Question, *, tcp: bool) -> bytes | None:
        kind = dns.rdatatype.RdataType.to_text(question.type)
        self._queries.append(Query(question.name, kind, tcp, self._now()))
        for rule in reversed(self._rules):
            if rule.takes(question):
                return self._fail(rule.kind, question, tcp=tcp)
        return self._pack(self._reply(question), question, tcp=tcp)

    def _pack(self, reply: Reply, question: Question, *, tcp: bool) -> bytes:
        return _packer.pack(reply, question, limit=self._bufsize, tcp=tcp)

    def _reply(self, question: Question) -> Reply:
        cache = self._cache
        if cache is None:
            return self._fresh(question)
        now = self._now()
        kept, stale = cache.get(question, now)
        if kept is None:
            return cache.put(question, self._fresh(question), now)
        if stale:
            cache.put(question, self._fresh(question), now)
        return self._zone.shuffled(kept)

    def _fresh(self, question: Question) -> Reply:
        return self._zone.answer(question, synced=self.synced)

    def _fail(self, kind: Failure, question: Question, *, tcp: bool) -> bytes | None:
        match kind:
            case "servfail":
                return self._pack(Reply(_packer.SERVFAIL), question, tcp=tcp)
            case "refused":
                refused = Reply(_packer.REFUSED, authoritative=False)
                return self._pack(refused, question, tcp=tcp)
            case "nxdomain":
                return self._pack(self._zone.no_such_name(), question, tcp=tcp)
            case "timeout":
                return None
            case "truncate":
                return _packer.cut(question)
            case "garbage":
                return _packer.garbage(question)
            case _:
                other = attrs.evolve(question, id=question.id ^ 0xFFFF)
                return self._pack(self._reply(question), other, tcp=tcp)


class FakeAio:
    """`headless_discovery.aio` on a fake cluster."""

    def __init__(self, arguments: Callable[[str, PeersArguments], PeersArguments]) -> None:
        self._arguments = arguments

    def peers(self, service: str, **arguments: Unpack[PeersArguments]) -> aio.Peers:
        """`headless_discovery.aio.peers`: the real class, with only the wire replaced."""
        return aio.peers(service, **self._arguments(service, arguments))


def _check(option: str, value: object, least: int, most: int) -> None:
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise ValueError(f"{option}={value!r} is not a number from {least} to {most}")


def _ports(ports: Ports) -> tuple[ServicePort, ...]:
    if ports is None:
        return ()
    if isinstance(ports, str) or not isinstance(ports, Iterable):
        raise ValueError(  # noqa: TRY004 - one kind of error for all misuse
            f"ports={ports!r}: give {{'http': 8080}}, [80] or {{'dns': (53, 'udp')}}"
        )
    if isinstance(ports, Mapping):
        return tuple(_port(name, given) for name, given in ports.items())
    return tuple(_port("", number) for number in ports)


def _port(name: str, given: int | tuple[int, str]) -> ServicePort:
    match given:
        case (number, protocol):
            return ServicePort(name, number, protocol)
        case int():
            return ServicePort(name, given)
    raise ValueError(f"port {name!r}: {given!r} is neither 8080 nor (53, 'udp')")
