"""FakeCluster: a cluster in memory that answers DNS, for the tests of code that uses `peers`."""

import math
import random
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, Unpack

from .._errors import log
from .._peers import Peers, peers
from .._store.arguments import PeersArguments
from ._addresses import family_of
from ._answers import Answers
from ._api import ApiFailure, FakeApi, FakeSlices
from ._cache import Cache
from ._clock import FakeClock
from ._documents import Manifests
from ._failures import Failure, Query, Rule, check_text
from ._manifests import to_apply, to_delete
from ._model import Model, Service, ServicePort, check_address, check_label
from ._pods import FakeAio, FakeService, Inside
from ._resolver import FakeResolver
from ._server import NameServer
from ._zone import Options, Zone

Ports = Mapping[str, int | tuple[int, str]] | Sequence[int] | None


class FakeCluster:
    """A cluster in memory that answers DNS messages as CoreDNS does, on a fake clock.

    The options are those of CoreDNS's Corefile: ``ttl``, ``endpoint_pod_names``,
    ``ignore_empty_service`` and ``pods`` of its kubernetes plugin, ``cache``, ``denial`` and
    ``serve_stale`` (seconds) of its cache, ``bufsize``. ``seed`` is that of its random numbers,
    ``clock`` a `FakeClock` that several clusters share. Raises `ValueError` for values that
    CoreDNS would refuse.
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
        self.domain: str = check_text("domain", domain).lower().removesuffix(".")
        for label in self.domain.split("."):
            check_label("domain", label)
        _check("ttl", ttl, 0, 3600)
        _check("cache", cache, 1, 1 << 31)
        _check("denial", denial, 0, 1 << 31)
        _check("bufsize", bufsize, 512, 4096)
        if pods not in ("disabled", "insecure"):
            raise ValueError(f"pods={pods!r:.80} is neither 'disabled' nor 'insecure'")
        if not isinstance(serve_stale, int | float) or not 0 <= serve_stale < math.inf:
            raise ValueError(f"serve_stale={serve_stale!r:.80} is not a number of seconds")
        if cache is None and (denial is not None or serve_stale):
            raise ValueError("denial and serve_stale are those of a cache: give cache=30, too")
        if clock is not None and not isinstance(clock, FakeClock):
            raise ValueError(f"clock={clock!r:.80} is not a FakeClock")
        self.clock: FakeClock = FakeClock() if clock is None else clock
        self._model = model = Model()
        rng = random.Random(seed)
        options = Options(self.domain, ttl, endpoint_pod_names, ignore_empty_service, pods)
        kept = None
        if cache is not None:
            kept = Cache(cache, cache if denial is None else denial, serve_stale)
        self._answers = Answers(Zone(model, options, rng), kept, bufsize, self._now)
        self._inside = Inside(model, self._answers, self.clock, rng, self, FakeApi(model))
        self._clock_was_given = clock is not None
        self._serving_since: float | None = None

    def __repr__(self) -> str:
        return f"<FakeCluster {self.domain}: {len(self._model.services)} Services>"

    @property
    def synced(self) -> bool:
        """``False`` answers SERVFAIL for unknown names, as CoreDNS does before its first list."""
        return self._answers.synced

    @synced.setter
    def synced(self, synced: bool) -> None:
        self._answers.synced = synced

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
        Raises `ValueError` for a Service that exists already, and for invalid values.
        """
        numbers = tuple({"ipv4": 4, "ipv6": 6}.get(family, 0) for family in families)
        if cluster_ip is not None and external_name is not None:
            raise ValueError("a Service has a cluster_ip or an external_name, not both")
        if cluster_ip == "None":
            cluster_ip = None
        virtual = () if cluster_ip is None else (check_address(cluster_ip),)
        if virtual and family_of(virtual[0]) not in numbers:
            raise ValueError(f"cluster_ip={cluster_ip!r} is of none of families={families!r}")
        if external_name is not None:
            external_name = check_text("external_name", external_name).removesuffix(".")
        service = Service(
            name,
            namespace,
            ports=_ports(ports),
            cluster_ips=virtual,
            external_name=external_name,
            publish_not_ready=publish_not_ready,
            families=numbers,
            # A label of its own, so that its pods are its own.
            selector=None if external_name is not None else {"headless-discovery": name},
        )
        with self._inside.changing() as model:
            if (namespace, name) in model.services:
                raise ValueError(f"there is a Service {name!r} in namespace {namespace!r} already")
            model.put_service(service)
        return FakeService(self._inside, service)

    def service(self, name: str, namespace: str = "default") -> FakeService:
        """An existing Service, for example of `apply`; raises `ValueError` if there is none."""
        with self._inside.changing() as model:
            found = model.services.get((namespace, name))
            if found is None:
                known = ", ".join(sorted(f"{name}.{space}" for space, name in model.services))
                raise ValueError(
                    f"no Service {name!r} in namespace {namespace!r}: {known or 'none'}"
                )
        return FakeService(self._inside, found)

    def apply(self, objects: Manifests) -> tuple[str, ...]:
        """Applies Kubernetes manifests as the API server and the controllers do.

        Supported are Service, Pod, EndpointSlice, Endpoints, Namespace, Node, lists of these, and
        kinds that create Pods, at once and ready: StatefulSet, Deployment, ReplicaSet, DaemonSet
        (one on each Node that fits), ReplicationController, Job. Applied again they are replaced,
        for example with another number of replicas. A Pod without a status becomes ready, too.
        Other kinds are ignored, and so are other fields.

        Args:
            objects: Dicts, or text: JSON, or YAML with the extra ``yaml``, as kubectl, Helm and
                kustomize print it.

        Returns:
            A line for each object that was left out, with the reason, such as that it needs an
            operator. Each is logged as a warning, too.

        Raises:
            ValueError: An API server would refuse it. Nothing is changed then.
        """
        reading = to_apply(objects)
        for line in reading.left_out:
            log.warning("left out: %s", line)
        with self._inside.changing() as model:
            for effect in reading.effects:
                effect(model)
        return tuple(reading.left_out)

    def delete(self, objects: Manifests) -> None:
        """Deletes the objects of these manifests, by their kinds, names and namespaces.

        Raises:
            ValueError: An object does not exist.
        """
        effects = to_delete(objects)
        with self._inside.changing() as model:
            for effect in effects:
                effect(model)

    # Using it.

    @property
    def resolver(self) -> FakeResolver:
        """For code that makes its own ``peers(..., resolver=cluster.resolver)``.

        Give it ``clock=cluster.clock`` as well, or its waiting is real. Namespace: ``default``.
        """
        return self._inside.resolver()

    @property
    def slices(self) -> FakeSlices:
        """For code that makes its own ``peers(..., source=cluster.slices)``.

        Give it ``clock=cluster.clock`` as well. Namespace: ``default``.
        """
        return self._inside.slices(self.resolver)

    def peers(self, service: str, **arguments: Unpack[PeersArguments]) -> Peers:
        """`headless_discovery.peers` on this cluster: the real class without the network.

        The namespace is ``default`` unless it is said.
        """
        return peers(service, **self._inside.arguments(service, arguments))

    @property
    def aio(self) -> FakeAio:
        """The same for asyncio and trio, as ``cluster.aio.peers(...)``."""
        return FakeAio(self._inside.arguments)

    def serve(
        self, host: str = "127.0.0.1", port: int = 0, *, allow_remote: bool = False
    ) -> NameServer:
        """A real UDP and TCP server of this cluster, a context manager with ``nameserver``.

        It follows changes of the model. From then on the cache goes by real time, unless the
        cluster was given a clock. Raises `ValueError` for a host that is not of the loopback
        unless ``allow_remote``.
        """
        server = NameServer(self, host, port, allow_remote=allow_remote)
        if not self._clock_was_given and self._serving_since is None:
            self._serving_since = time.monotonic()
        return server

    # Failing.

    def fail(
        self,
        kind: Failure | ApiFailure,
        *,
        times: int | None = None,
        name: str | None = None,
        qtype: str | None = None,
    ) -> None:
        """Injects failures for the next ``times`` queries, or until `heal`.

        ``kind``: ``"servfail"``, ``"refused"``, ``"nxdomain"`` (with the cluster's SOA),
        ``"timeout"`` (no answer), ``"truncate"`` (over TCP too), ``"garbage"`` or
        ``"wrong-id"``. Only questions for ``name`` (a Service, or a full name) and names below it,
        and of the type ``qtype``, if they are given. Of several rules that hold for a question,
        the newest counts.

        ``"api-down"``, ``"api-gone"`` (410: the version to resume from is not kept) and
        ``"api-forbidden"`` (403) are failures of the API server: watches of EndpointSlices are
        disconnected, and the next ``times`` requests fail.
        """
        if kind == "api-down" or kind == "api-gone" or kind == "api-forbidden":  # noqa: PLR1714 - so that types are narrowed
            self._inside.api.fail(kind, times)
            return
        self._answers.fail(Rule.read(kind, times, name, qtype, self.domain))

    def heal(self) -> None:
        """Ends every failure."""
        self._answers.heal()
        self._inside.api.heal()

    # Answering.

    @property
    def queries(self) -> tuple[Query, ...]:
        """The queries so far, in order; the last 100,000."""
        with self._answers.lock:
            return tuple(self._answers.queries)

    def answer(self, wire: bytes, *, tcp: bool = False) -> bytes | None:
        """One DNS message in, one out; ``None``: no answer.

        Bytes that are no query get no answer, or FORMERR, as from the real server.
        """
        return self._answers.answer(wire, tcp=tcp)

    def _now(self) -> float:
        now = self.clock.now()
        return now if self._serving_since is None else now + time.monotonic() - self._serving_since


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
    given = ports.items() if isinstance(ports, Mapping) else (("", port) for port in ports)
    return tuple(_port(name, port) for name, port in given)


def _port(name: str, given: int | tuple[int, str]) -> ServicePort:
    match given:
        case (number, protocol):
            return ServicePort(name, number, protocol)
        case int():
            return ServicePort(name, given)
    raise ValueError(f"port {name!r}: {given!r} is neither 8080 nor (53, 'udp')")
