"""The model of a cluster: namespaces, Services, Pods and EndpointSlices. It knows no DNS.

From Services with a selector and their Pods it derives EndpointSlices, as the controller does in
kube-controller-manager.
"""

from collections.abc import Iterator, Mapping, Sequence

import attrs

from .._endpoint import dashed

PER_SLICE = 100
"""Endpoints in one EndpointSlice at most, the controller's default."""


@attrs.frozen
class Port:
    """A port of an EndpointSlice, resolved; ``number`` may be absent."""

    name: str
    number: int | None
    protocol: str = "tcp"


@attrs.frozen
class ServicePort:
    """A port of a Service; ``target`` is a number, or the name of a container's port."""

    name: str
    number: int
    protocol: str = "tcp"
    target: int | str | None = None


@attrs.frozen
class SliceEndpoint:
    """One endpoint of an EndpointSlice: one address is what DNS uses."""

    address: str
    ready: bool = True
    hostname: str = ""
    pod: str = ""

    def label(self, *, pod_names: bool) -> str:
        """The first label of its DNS name (CoreDNS, ``endpointHostname``)."""
        if self.hostname:
            return self.hostname
        if pod_names and self.pod and len(self.pod) < 64:
            return self.pod
        return dashed(self.address)


@attrs.frozen
class Slice:
    """An EndpointSlice."""

    service: str
    endpoints: tuple[SliceEndpoint, ...]
    ports: tuple[Port, ...]


@attrs.define(eq=False)
class Pod:
    """A Pod, as far as it matters to DNS."""

    name: str
    namespace: str
    addresses: tuple[str, ...]
    ready: bool = True
    hostname: str = ""
    subdomain: str = ""
    labels: Mapping[str, str] = attrs.field(factory=dict)
    ports: tuple[Port, ...] = ()
    """Of its containers, with names."""
    phase: str = "Running"
    terminating: bool = False

    @property
    def belongs(self) -> bool:
        """Whether it belongs into EndpointSlices at all."""
        return bool(self.addresses) and self.phase not in ("Failed", "Succeeded")

    def resolve(self, port: ServicePort) -> Port | None:
        """A Service's port on this Pod; ``None`` if its containers have none of that name."""
        if not isinstance(port.target, str):
            number = port.number if port.target is None else port.target
            return Port(port.name, number, port.protocol)
        for own in self.ports:
            if (own.name, own.protocol) == (port.target, port.protocol):
                return Port(port.name, own.number, port.protocol)
        return None


@attrs.define(eq=False)
class Service:
    """A Service: headless unless it has virtual IPs or an external name."""

    name: str
    namespace: str
    ports: tuple[ServicePort, ...] = ()
    cluster_ips: tuple[str, ...] = ()
    external_name: str | None = None
    publish_not_ready: bool = False
    families: tuple[int, ...] = (4,)
    selector: Mapping[str, str] | None = None

    @property
    def headless(self) -> bool:
        """Whether it has neither virtual IP nor alias."""
        return not self.cluster_ips and self.external_name is None


@attrs.define
class Model:
    """Everything that the API server holds, by (namespace, name)."""

    namespaces: set[str] = attrs.field(factory=lambda: {"default"})
    services: dict[tuple[str, str], Service] = attrs.field(factory=dict)
    pods: dict[tuple[str, str], Pod] = attrs.field(factory=dict)
    written: dict[tuple[str, str], Slice] = attrs.field(factory=dict)
    """EndpointSlices written by hand."""
    _derived: dict[tuple[str, str], tuple[Slice, ...]] = attrs.field(factory=dict)

    def changed(self) -> None:
        """Something did: what was derived no longer holds."""
        self._derived.clear()

    def slices(self, service: Service) -> tuple[Slice, ...]:
        """The Service's EndpointSlices."""
        key = (service.namespace, service.name)
        found = self._derived.get(key)
        if found is None:
            written = (
                one
                for (namespace, _), one in self.written.items()
                if (namespace, one.service) == key
            )
            found = self._derived[key] = (*written, *self._derive(service))
        return found

    def _derive(self, service: Service) -> Iterator[Slice]:
        if not service.selector:
            return
        groups: dict[tuple[int, tuple[Port, ...]], list[SliceEndpoint]] = {}
        for pod in self._selected(service):
            ports = tuple(
                found for port in service.ports if (found := pod.resolve(port)) is not None
            )
            for family in service.families:
                address = next((a for a in pod.addresses if family_of(a) == family), None)
                if address is not None:
                    groups.setdefault((family, ports), []).append(_endpoint(pod, address, service))
        for (_, ports), endpoints in groups.items():
            for start in range(0, len(endpoints), PER_SLICE):
                yield Slice(service.name, tuple(endpoints[start : start + PER_SLICE]), ports)

    def _selected(self, service: Service) -> Iterator[Pod]:
        wanted = (service.selector or {}).items()
        for pod in self.pods.values():
            if pod.namespace == service.namespace and pod.belongs and pod.labels.items() >= wanted:
                yield pod


def _endpoint(pod: Pod, address: str, service: Service) -> SliceEndpoint:
    own = pod.hostname and pod.subdomain == service.name
    return SliceEndpoint(
        address,
        ready=service.publish_not_ready or (pod.ready and not pod.terminating),
        hostname=pod.hostname if own else "",
        pod=pod.name,
    )


def family_of(address: str) -> int:
    """4 or 6."""
    return 6 if ":" in address else 4


def ready_endpoints(slices: Sequence[Slice]) -> Iterator[tuple[SliceEndpoint, Port | None]]:
    """Each published endpoint with each of its ports; with ``None`` if the slice has no port."""
    for one in slices:
        for endpoint in one.endpoints:
            if endpoint.ready:
                for port in one.ports or (None,):
                    yield endpoint, port
