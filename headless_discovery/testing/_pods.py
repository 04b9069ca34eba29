"""The handles on a fake cluster: its Services, its pods, and what each of them sees."""

import contextlib
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Unpack

import attrs

from .._endpoint import dashed
from .._peers import Peers, peers
from .._store.arguments import PeersArguments
from ..aio import Peers as AioPeers
from ..aio import peers as aio_peers  # now: code under test may have it replaced by this one
from ._addresses import family_of
from ._answers import Answers
from ._api import FakeApi, FakeSlices
from ._clock import FakeClock
from ._model import Model, Pod, Service, check_address, check_label
from ._resolver import FakeResolver
from ._server import Wire
from ._zone import Options


@attrs.frozen(eq=False)
class Inside:
    """What a fake cluster and the handles on it share."""

    model: Model
    answers: Answers
    clock: FakeClock
    rng: random.Random
    wire: Wire
    api: FakeApi

    @property
    def options(self) -> Options:
        """Of its name server."""
        return self.answers.zone.options

    @contextlib.contextmanager
    def changing(self) -> Iterator[Model]:
        """While the model is being changed no question is answered."""
        with self.answers.lock:
            yield self.model

    def unused(self, given: Sequence[str], unless: Pod | None = None) -> tuple[str, ...]:
        """Addresses in canonical text; raises `ValueError` if another pod has one."""
        found = tuple(check_address(text) for text in given)
        for address in found:
            pod = self.model.pod_at(address)
            if pod is not None and pod is not unless:
                raise ValueError(f"{address} is the address of pod {pod.namespace}/{pod.name}")
        return found

    def resolver(self, pod: Pod | None = None) -> FakeResolver:
        """That of a pod, or of a process in the namespace ``default``."""
        domain = self.options.domain
        if pod is None:
            return FakeResolver(self.wire, domain=domain, namespace="default")
        return FakeResolver(
            self.wire,
            domain=domain,
            namespace=pod.namespace,
            addresses=pod.addresses,
            hostname=pod.own_hostname,
            environ={"POD_ZONE": zone} if (zone := self.model.zone_of(pod)) else {},
        )

    def slices(self, resolver: FakeResolver) -> FakeSlices:
        """EndpointSlices, as a process sees them that has this resolver."""
        pod_names = self.options.endpoint_pod_names
        return FakeSlices(self.api, resolver, endpoint_pod_names=pod_names)

    def arguments(
        self, service: str, given: PeersArguments, pod: Pod | None = None
    ) -> PeersArguments:
        """Those of `headless_discovery.peers` that make it run on this cluster."""
        resolver, source = self.resolver(pod), given.get("source")
        chosen: PeersArguments = {
            "clock": self.clock,
            "rng": random.Random(self.rng.random()),
        }
        if pod is None and isinstance(service, str) and "." not in service:
            chosen["namespace"] = "default"
        if source != "api":  # which needs no resolver
            chosen["resolver"] = resolver
        chosen |= given
        if source in ("api", "auto"):
            chosen["source"] = slices = self.slices(resolver)
            slices.tentative = source == "auto"
        return chosen


@attrs.define(repr=False, unsafe_hash=True)
class FakePod:
    """A pod of a fake cluster."""

    _inside: Inside
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
        """Its first label in DNS, which is its host name or its dashed address."""
        pod, inside = self._pod, self._inside
        endpoint = inside.model.endpoint(self._service, pod, pod.addresses[0])
        return endpoint.label(pod_names=inside.options.endpoint_pod_names)

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
        with self._inside.changing() as model:
            self._existing().ready = ready
            model.changed()

    def move_to(self, ip: str, *more_ips: str) -> None:
        """Gives it other addresses, like a pod that was recreated under its name.

        Raises `ValueError` for what is not an address, and for one that another pod has.
        """
        with self._inside.changing() as model:
            pod = self._existing()
            model.move(pod, self._inside.unused((ip, *more_ips), unless=pod))

    def terminate(self) -> None:
        """Begins its graceful termination: it is then published as a pod that is not ready."""
        with self._inside.changing() as model:
            self._existing().terminating = True
            model.changed()

    def delete(self) -> None:
        """Deletes it."""
        with self._inside.changing() as model:
            pod = self._existing()
            model.delete("Pod", *pod.key)

    def peers(self, service: str, **arguments: Unpack[PeersArguments]) -> Peers:
        """`headless_discovery.peers` as this pod sees it: its addresses, host name, namespace."""
        return peers(service, **self._arguments(service, arguments))

    @property
    def aio(self) -> "FakeAio":
        """The same for asyncio and trio, as ``pod.aio.peers(...)``."""
        return FakeAio(self._arguments)

    def _arguments(self, service: str, given: PeersArguments) -> PeersArguments:
        return self._inside.arguments(service, given, self._existing())

    def _existing(self) -> Pod:
        pod = self._pod
        if self._inside.model.pods.get(pod.key) is not pod:
            raise ValueError(f"pod {pod.namespace}/{pod.name} was deleted")
        return pod


@attrs.define(repr=False, unsafe_hash=True)
class FakeService:
    """A Service of a fake cluster."""

    _inside: Inside
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
        with self._inside.changing() as model:
            selected = tuple(model.selected(self._service))
        return tuple(FakePod(self._inside, pod, self._service) for pod in selected)

    def add_pod(
        self,
        ip: str,
        *more_ips: str,
        name: str | None = None,
        hostname: str | None = None,
        ready: bool = True,
        zone: str | None = None,
        node: str | None = None,
    ) -> FakePod:
        """Adds a pod behind this Service; ``zone`` and ``node`` say where it runs.

        Raises `ValueError` for what is not an address, for one that another pod has or that the
        Service does not publish, and for a name that another pod of the namespace has.
        """
        with self._inside.changing() as model:
            service = self._existing()
            if not service.selector:
                kind = "an alias" if service.external_name else "without a selector"
                raise ValueError(f"Service {self.name!r} is {kind}: it has no pods of its own")
            addresses = self._inside.unused((ip, *more_ips))
            if not any(family_of(address) in service.families for address in addresses):
                families = " and ".join(f"ipv{family}" for family in service.families)
                raise ValueError(
                    f"Service {self.name!r} publishes {families} only, and {', '.join(addresses)} "
                    f"is not: see add_service(..., families=...)"
                )
            if name is None:
                name = hostname or f"{self.name}-{dashed(addresses[0])}"
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
                zone=zone or "",
                node=node or "",
            )
            model.put_pod(pod)
        return FakePod(self._inside, pod, service)

    def scale(self, n: int) -> tuple[FakePod, ...]:
        """Makes it a StatefulSet of ``n`` pods, ``<service>-0`` to ``<service>-n-1``.

        Those missing are added, with addresses of their own; those with higher numbers are deleted.
        """
        if isinstance(n, bool) or not isinstance(n, int) or n < 0:
            raise ValueError(f"scale({n!r}): give a number of pods")
        wanted = {f"{self.name}-{number}": None for number in range(n)}
        with self._inside.changing() as model:
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
        if self._inside.model.services.get(service.key) is not service:
            raise ValueError(f"Service {service.namespace}/{service.name} was deleted")
        return service


class FakeAio:
    """`headless_discovery.aio` on a fake cluster."""

    def __init__(self, arguments: Callable[[str, PeersArguments], PeersArguments]) -> None:
        self._arguments = arguments

    def peers(self, service: str, **arguments: Unpack[PeersArguments]) -> AioPeers:
        """`headless_discovery.aio.peers`: the real class, with only the network replaced."""
        return aio_peers(service, **self._arguments(service, arguments))
