"""The model of a cluster: namespaces, Services, Pods and EndpointSlices. It knows no DNS.

From Services with a selector and their Pods it derives EndpointSlices, as the controller does in
kube-controller-manager. What the API server refuses, and would change an answer, is a `ValueError`.
"""

import ipaddress
import re
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

import attrs

from .._endpoint import dashed
from ._addresses import OF_PODS, OF_SERVICES, Networks, family_of
from ._placing import Fits, Site, fits_of

PER_SLICE = 100
"""Endpoints in one EndpointSlice at most, the controller's default."""
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_POD_NAME = re.compile(r"(?=.{1,253}$)[a-z0-9]([a-z0-9.-]*[a-z0-9])?")
_LABEL_VALUE = re.compile(r"([A-Za-z0-9]([A-Za-z0-9_.-]{0,251}[A-Za-z0-9])?)?")

Key = tuple[str, str]
"""Namespace and name."""
_Object = TypeVar("_Object", "Pod", "Service")


def check_label(what: str, text: object) -> str:
    """A DNS label; raises `ValueError` that says what it is of."""
    if isinstance(text, str) and _LABEL.fullmatch(text):
        return text
    raise ValueError(f"{what} {text!r} is not a DNS label in lower case")


def _label(what: str, *, needed: bool = False) -> Callable[[object, object, str], None]:
    """A check of an attribute that is one, or empty."""

    def check(_owner: object, _attribute: object, text: str) -> None:
        if text or needed:
            check_label(what, text)

    return check


def check_address(text: object) -> str:
    """An address in canonical text."""
    try:
        return str(ipaddress.ip_address(text if isinstance(text, str) else ""))
    except ValueError:
        raise ValueError(f"{text!r} is not an IP address") from None


def _number(number: object) -> int:
    if isinstance(number, bool) or not isinstance(number, int) or not 0 < number < 65536:
        raise ValueError(f"port {number!r} is not a number from 1 to 65535")
    return number


def _target(target: object) -> int | str | None:
    """A port's number or name; nothing, and 0 too, is the Service's own number."""
    if isinstance(target, str):
        if target.isdecimal():
            raise ValueError(f"targetPort {target!r} is text: a number has no quotes")
        return target or None
    return _number(target) if target else None


def _protocol(protocol: object) -> str:
    if not isinstance(protocol, str) or protocol.lower() not in ("tcp", "udp", "sctp"):
        raise ValueError(f"protocol {protocol!r} is not 'tcp', 'udp' or 'sctp'")
    return protocol.lower()


def _pod_name(name: str) -> str:
    if not isinstance(name, str) or not _POD_NAME.fullmatch(name):
        raise ValueError(f"{name!r} is not a Pod's name")
    return name


def _label_value(value: object) -> str:
    """Of a node's name, and of its zone, which is a label's value."""
    if not isinstance(value, str) or not _LABEL_VALUE.fullmatch(value):
        raise ValueError(f"{value!r} is neither a node's name nor a zone's")
    return value


def _one_of_each_family(addresses: Iterable[str]) -> tuple[str, ...]:
    found = tuple(check_address(address) for address in addresses)
    if len({family_of(address) for address in found}) < len(found):
        raise ValueError(f"a Pod has one IPv4 and one IPv6 address at most, not {', '.join(found)}")
    return found


def _ports(ports: Iterable["ServicePort"]) -> tuple["ServicePort", ...]:
    found = tuple(ports)
    if len(found) > 1 and not all(port.name for port in found):
        raise ValueError("a Service with several ports needs a name for each")
    named = {port.name for port in found}
    numbered = {(port.number, port.protocol) for port in found}
    if min(len(named), len(numbered)) < len(found):
        raise ValueError("two ports of the Service have one name, or one number and protocol")
    return found


def _families(families: Iterable[int]) -> tuple[int, ...]:
    found = tuple(families)
    if sorted(found) not in ([4], [6], [4, 6]):
        raise ValueError("a Service's families are ipv4, ipv6 or both")
    return found


@attrs.frozen
class Port:
    """A port of an EndpointSlice, resolved; ``number`` may be absent."""

    name: str = attrs.field(validator=_label("port"))
    number: int | None = attrs.field(converter=attrs.converters.optional(_number))
    protocol: str = attrs.field(default="tcp", converter=_protocol)


@attrs.frozen
class ServicePort:
    """A port of a Service; ``target`` is a number, or the name of a container's port."""

    name: str = attrs.field(validator=_label("port"))
    number: int = attrs.field(converter=_number)
    protocol: str = attrs.field(default="tcp", converter=_protocol)
    target: int | str | None = attrs.field(default=None, converter=_target)


@attrs.frozen
class SliceEndpoint:
    """One endpoint of an EndpointSlice: one address is what DNS uses."""

    address: str
    conditions: Mapping[str, bool] = attrs.field(factory=dict)
    """``ready``, ``serving``, ``terminating``, as far as they are known."""
    hostname: str = ""
    pod: str = ""
    uid: str = ""
    node: str = ""
    zone: str = ""

    @property
    def ready(self) -> bool:
        """Without the condition it counts as ready (Kubernetes API, EndpointConditions)."""
        return self.conditions.get("ready", True)

    def label(self, *, pod_names: bool) -> str:
        """The first label of its DNS name (CoreDNS, ``endpointHostname``)."""
        if self.hostname:
            return self.hostname
        if pod_names and self.pod and len(self.pod) < 64:
            return self.pod
        return dashed(self.address)


@attrs.frozen
class Slice:
    """An EndpointSlice; one that was derived, of Pods or Endpoints, has no name."""

    endpoints: tuple[SliceEndpoint, ...]
    ports: tuple[Port, ...]
    name: str = ""
    managed: bool = False
    """Written by a controller: where what it was made of is there, `Model` makes it itself."""


@attrs.frozen
class Node:
    """A node, as far as it matters to its Pods."""

    name: str = attrs.field(converter=_label_value)
    zone: str = attrs.field(default="", converter=_label_value)
    addresses: tuple[str, ...] = attrs.field(default=(), converter=_one_of_each_family)
    site: Site = attrs.Factory(lambda self: Site.of(self.name, {}, {}), takes_self=True)


@attrs.define(eq=False)
class Pod:
    """A Pod, as far as it matters to DNS."""

    name: str = attrs.field(converter=_pod_name)
    namespace: str
    addresses: tuple[str, ...] = attrs.field(converter=_one_of_each_family)
    ready: bool = True
    hostname: str = attrs.field(default="", validator=_label("hostname"))
    subdomain: str = ""
    labels: Mapping[str, str] = attrs.field(factory=dict)
    ports: tuple[Port, ...] = ()
    """Of its containers, with names."""
    phase: str = "Running"
    terminating: bool = False
    node: str = attrs.field(default="", converter=_label_value)
    zone: str = attrs.field(default="", converter=_label_value)
    """Unless it is that of its Node."""
    host_network: bool = False
    fits: Fits = attrs.field(factory=lambda: fits_of({}))
    """On which nodes it may run."""
    owner: tuple[str, str, str] | None = None
    """Kind, namespace and name of what made it here; ``None``: it was given."""
    uid: str = attrs.field(default="", init=False)

    @property
    def key(self) -> Key:
        """Under which it is kept."""
        return self.namespace, self.name

    @property
    def own_hostname(self) -> str:
        """What ``gethostname()`` says in it."""
        return self.node if self.host_network else self.hostname or self.name

    @property
    def finished(self) -> bool:
        """Whether it ran to its end, or was evicted."""
        return self.phase in ("Failed", "Succeeded")

    @property
    def belongs(self) -> bool:
        """Whether it belongs into EndpointSlices at all."""
        return bool(self.addresses) and not self.finished

    def resolve(self, port: ServicePort) -> Port | None:
        """A Service's port on this Pod; ``None`` if its containers have none of that name."""
        if not isinstance(port.target, str):
            return Port(port.name, port.target or port.number, port.protocol)
        for own in self.ports:
            if (own.name, own.protocol) == (port.target, port.protocol):
                return Port(port.name, own.number, port.protocol)
        return None


@attrs.define(eq=False)
class Service:
    """A Service: headless unless it has virtual IPs or an external name."""

    name: str = attrs.field(validator=_label("Service", needed=True))
    namespace: str = attrs.field(validator=_label("namespace", needed=True))
    ports: tuple[ServicePort, ...] = attrs.field(default=(), converter=_ports)
    cluster_ips: tuple[str, ...] = ()
    external_name: str | None = None
    publish_not_ready: bool = False
    families: tuple[int, ...] = attrs.field(default=(4,), converter=_families)
    selector: Mapping[str, str] | None = None
    uid: str = attrs.field(default="", init=False)

    @property
    def key(self) -> Key:
        """Under which it is kept."""
        return self.namespace, self.name

    @property
    def headless(self) -> bool:
        """Whether it has neither virtual IP nor alias."""
        return not self.cluster_ips and self.external_name is None

    def selects(self, pod: Pod) -> bool:
        """Whether its selector selects a Pod; without a selector it is none."""
        if not self.selector or self.external_name is not None:
            return False
        return pod.namespace == self.namespace and pod.labels.items() >= self.selector.items()


@attrs.define
class Model:
    """Everything that the API server holds."""

    namespaces: set[str] = attrs.field(factory=lambda: {"default"})
    nodes: dict[str, Node] = attrs.field(factory=dict)
    services: dict[Key, Service] = attrs.field(factory=dict)
    pods: dict[Key, Pod] = attrs.field(factory=dict)
    written: dict[Key, dict[str, Slice]] = attrs.field(factory=dict)
    """EndpointSlices written by hand: of each Service, by their names."""
    endpoints: dict[Key, tuple[Slice, ...]] = attrs.field(factory=dict)
    """What their controller makes of Endpoints, where a Service has no selector."""
    version: int = 1
    """Goes up with each change; what was derived from an older one no longer holds."""
    networks: Networks = attrs.field(factory=lambda: Networks(OF_PODS))
    leases: dict[Key, tuple[str, ...]] = attrs.field(factory=dict)
    """Addresses that are kept for Pods of these names."""
    _virtual: Networks = attrs.field(factory=lambda: Networks(OF_SERVICES))
    _of_nodes: dict[str, tuple[str, ...]] = attrs.field(factory=dict)
    _at: dict[str, list[Pod]] = attrs.field(factory=dict)
    _slices: dict[Key, tuple[Slice, ...]] = attrs.field(factory=dict)
    _reverse: dict[str, list[tuple[Key, SliceEndpoint]]] | None = None

    # Changing it.

    def add_namespace(self, name: str) -> None:
        """Adds a namespace; those of other objects are added with them."""
        self.namespaces.add(name)
        self.changed()

    def put_node(self, node: Node) -> None:
        """Adds a node, or replaces the one of its name."""
        self.nodes[node.name] = node
        self.changed()

    def put_service(self, service: Service) -> None:
        """Adds a Service, or makes the one of its name like it."""
        self._put(self.services, service)

    def put_pod(self, pod: Pod) -> None:
        """Adds a Pod, or makes the one of its name like it."""
        if old := self.pods.get(pod.key):
            self._leave(old)
        self._settle(self._put(self.pods, pod))

    def put_slice(self, service: Key, written: Slice) -> None:
        """Adds an EndpointSlice written by hand, or replaces the one of its name."""
        self.namespaces.add(service[0])
        self._drop_slice(service[0], written.name)
        self.written.setdefault(service, {})[written.name] = written
        self.changed()

    def put_endpoints(self, service: Key, mirrored: tuple[Slice, ...]) -> None:
        """Adds the slices of a Service's Endpoints, or replaces them."""
        self.namespaces.add(service[0])
        self.endpoints[service] = mirrored
        self.changed()

    def move(self, pod: Pod, addresses: tuple[str, ...]) -> None:
        """Gives a Pod other addresses."""
        self._leave(pod)
        pod.addresses = addresses
        self._settle(pod)
        self.changed()

    def delete(self, kind: str, namespace: str, name: str) -> None:
        """Takes an object away, and what is in it; raises `KeyError` if it is not there.

        EndpointSlices that were derived go with their Service.
        """
        key = namespace, name
        match kind:
            case "Namespace":
                self.namespaces.remove(name)
                held: tuple[dict[Key, Any], ...] = self.services, self.written, self.endpoints
                for each in held:
                    for inside in [inside for inside in each if inside[0] == name]:
                        del each[inside]
                for inside in [inside for inside in self.pods if inside[0] == name]:
                    self._leave(self.pods.pop(inside))
            case "Node":
                del self.nodes[name]
            case "Pod":
                self._leave(self.pods.pop(key))
            case "EndpointSlice":
                if not self._drop_slice(*key):
                    raise KeyError(name)
            case "Service":
                del self.services[key]
            case _:
                del self.endpoints[key]
        self.changed()

    def changed(self) -> None:
        """Something did."""
        self.version += 1
        self._slices.clear()
        self._reverse = None

    def _put(self, objects: dict[Key, _Object], new: _Object) -> _Object:
        """The same object stays the same: all handles on it see the change."""
        self.namespaces.add(new.namespace)
        self.changed()
        kept = objects.setdefault(new.key, new)
        if kept is new:
            text = f"{type(new).__name__}/{new.namespace}/{new.name}/{self.version}"
            new.uid = str(uuid.uuid5(uuid.NAMESPACE_URL, text))
        else:
            for field in attrs.fields(type(new)):
                if field.init:
                    setattr(kept, field.name, getattr(new, field.name))
        return kept

    def _drop_slice(self, namespace: str, name: str) -> bool:
        found = (of for (space, _), of in self.written.items() if space == namespace)
        return any(of.pop(name, None) is not None for of in found)

    def _settle(self, pod: Pod) -> None:
        for address in pod.addresses:
            self._at.setdefault(address, []).append(pod)

    def _leave(self, pod: Pod) -> None:
        for address in pod.addresses:
            self._at[address].remove(pod)
            if not self._at[address]:
                del self._at[address]

    # Addresses.

    def pod_at(self, address: str) -> Pod | None:
        """A Pod with that address."""
        return next(iter(self._at.get(address, ())), None)

    def free_addresses(self, families: Iterable[int]) -> tuple[str, ...]:
        """An address that no Pod has, of each family that the Pods' networks have."""
        leased = {address for lease in self.leases.values() for address in lease}
        return self.networks.free(families, self._at.keys() | leased if leased else self._at)

    def leased(self, key: Key) -> tuple[str, ...]:
        """Those that are kept for a Pod, once."""
        found = self.leases.pop(key, ())
        return () if any(address in self._at for address in found) else found

    def addresses_of_node(self, name: str, families: Iterable[int]) -> tuple[str, ...]:
        """Those that its Pods have which use its network."""
        node = self.nodes.get(name)
        if node is not None and node.addresses:
            return node.addresses
        if name not in self._of_nodes:
            self._of_nodes[name] = self.free_addresses(families)
        return self._of_nodes[name]

    def nodes_for(self, pod: Pod) -> list[str]:
        """Where it may run."""
        return sorted(name for name, node in self.nodes.items() if pod.fits(node.site))

    def virtual_ips(self, families: Iterable[int]) -> tuple[str, ...]:
        """A virtual IP that no Service has, of each family."""
        taken = {ip for service in self.services.values() for ip in service.cluster_ips}
        return self._virtual.free(families, taken)

    # EndpointSlices.

    def selected(self, service: Service) -> Iterator[Pod]:
        """The Pods that a Service's selector selects; none without a selector."""
        return filter(service.selects, self.pods.values())

    def slices(self, key: Key) -> tuple[Slice, ...]:
        """Those of a Service, whether it is there or not; without a ready endpoint too."""
        found = self._slices.get(key)
        if found is None:
            service = self.services.get(key)
            derived = () if service is None else tuple(self._derive(service))
            written = self.written.get(key, {}).values()
            kept = (one for one in written if not (one.managed and derived))
            found = self._slices[key] = (*kept, *derived)
        return found

    def endpoints_at(self, address: str) -> list[tuple[Key, SliceEndpoint]]:
        """The ready endpoints with that address, each with its Service's key."""
        if self._reverse is None:
            self._reverse = {}
            for key in dict.fromkeys([*self.services, *self.written]):
                for one in self.slices(key):
                    for endpoint in one.endpoints:
                        if endpoint.ready:
                            self._reverse.setdefault(endpoint.address, []).append((key, endpoint))
        return self._reverse.get(address, [])

    def endpoint(self, service: Service, pod: Pod, address: str) -> SliceEndpoint:
        """What the controller makes of one of its Pods."""
        return SliceEndpoint(
            address,
            {
                "ready": service.publish_not_ready or (pod.ready and not pod.terminating),
                "serving": pod.ready,
                "terminating": pod.terminating,
            },
            hostname=pod.hostname if pod.subdomain == service.name else "",
            pod=pod.name,
            uid=pod.uid,
            node=pod.node,
            zone=self.zone_of(pod),
        )

    def zone_of(self, pod: Pod) -> str:
        """That of the Pod, or of its Node."""
        node = self.nodes.get(pod.node)
        return pod.zone or (node.zone if node else "")

    def _derive(self, service: Service) -> Iterator[Slice]:
        """As the controllers: slices of one family and one list of resolved ports each.

        Where no Pod belongs into one, they write a placeholder without endpoints and ports; to DNS
        that is no slice at all.
        """
        if not service.selector:
            yield from self.endpoints.get(service.key, ())
        groups: dict[tuple[int, tuple[Port, ...]], list[SliceEndpoint]] = {}
        same = all(not isinstance(port.target, str) for port in service.ports)
        ports: tuple[Port, ...] | None = None
        for pod in self.selected(service):
            if not pod.belongs:
                continue
            if ports is None or not same:
                resolved = (pod.resolve(port) for port in service.ports)
                ports = tuple(port for port in resolved if port is not None)
            for address in pod.addresses:
                if family_of(address) in service.families:
                    endpoint = self.endpoint(service, pod, address)
                    groups.setdefault((family_of(address), ports), []).append(endpoint)
        for (_, ports_of_group), endpoints in groups.items():
            for start in range(0, len(endpoints), PER_SLICE):
                yield Slice(tuple(endpoints[start : start + PER_SLICE]), ports_of_group)
