"""The model of a cluster: namespaces, Services, Pods and EndpointSlices. It knows no DNS.

From Services with a selector and their Pods it derives EndpointSlices, as the controller does in
kube-controller-manager. What the API server refuses, and would change an answer, is a `ValueError`.
"""

import ipaddress
import re
from collections.abc import Container, Iterable, Iterator, Mapping
from typing import Any, TypeVar

import attrs

from .._endpoint import dashed

PER_SLICE = 100
"""Endpoints in one EndpointSlice at most, the controller's default."""
PROTOCOLS = ("tcp", "udp", "sctp")
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_POD_NAME = re.compile(r"(?=.{1,253}$)[a-z0-9]([a-z0-9.-]*[a-z0-9])?")
_LABEL_VALUE = re.compile(r"([A-Za-z0-9]([A-Za-z0-9_.-]{0,251}[A-Za-z0-9])?)?")
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
POD_NETWORKS: Mapping[int, Network] = {
    4: ipaddress.IPv4Network("10.244.0.0/16"),
    6: ipaddress.IPv6Network("fd00:10:244::/112"),
}
_VIRTUAL_NETWORKS: Mapping[int, Network] = {
    4: ipaddress.IPv4Network("10.96.0.0/16"),
    6: ipaddress.IPv6Network("fd00:10:96::/112"),
}

_Object = TypeVar("_Object", "Pod", "Service")


def check_label(what: str, text: object) -> str:
    """A DNS label; raises `ValueError` that says what it is of."""
    if isinstance(text, str) and _LABEL.fullmatch(text):
        return text
    raise ValueError(f"{what} {text!r} is not a DNS label in lower case")


def _service_name(text: str) -> str:
    return check_label("Service", text)


def _namespace_name(text: str) -> str:
    return check_label("namespace", text)


def _port_name(text: str) -> str:
    return text and check_label("port", text)


def _hostname(text: str) -> str:
    return text and check_label("hostname", text)


def check_address(text: object) -> str:
    """An address in canonical text."""
    try:
        return str(ipaddress.ip_address(text if isinstance(text, str) else ""))
    except ValueError:
        raise ValueError(f"{text!r} is not an IP address") from None


def check_number(number: object) -> int:
    """The number of a port."""
    if isinstance(number, bool) or not isinstance(number, int) or not 0 < number < 65536:
        raise ValueError(f"port {number!r} is not a number from 1 to 65535")
    return number


def _target(target: object) -> int | str | None:
    """A port's number or name; nothing, and 0 too, is the Service's own number."""
    if isinstance(target, str):
        return target or None
    return check_number(target) if target else None


def check_protocol(protocol: object) -> str:
    """A protocol, in lower case."""
    if not isinstance(protocol, str) or protocol.lower() not in PROTOCOLS:
        raise ValueError(f"protocol {protocol!r} is not 'tcp', 'udp' or 'sctp'")
    return protocol.lower()


def family_of(address: str) -> int:
    """4 or 6."""
    return 6 if ":" in address else 4


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
        raise ValueError("a Service with several ports has a name for each")
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

    name: str = attrs.field(converter=_port_name)
    number: int | None = attrs.field(converter=attrs.converters.optional(check_number))
    protocol: str = attrs.field(default="tcp", converter=check_protocol)


@attrs.frozen
class ServicePort:
    """A port of a Service; ``target`` is a number, or the name of a container's port."""

    name: str = attrs.field(converter=_port_name)
    number: int = attrs.field(converter=check_number)
    protocol: str = attrs.field(default="tcp", converter=check_protocol)
    target: int | str | None = attrs.field(default=None, converter=_target)


@attrs.frozen
class SliceEndpoint:
    """One endpoint of an EndpointSlice: one address is what DNS uses."""

    address: str
    ready: bool = True
    hostname: str = ""
    pod: str = ""
    node: str = ""
    zone: str = ""

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
    managed: bool = False
    """Written by a controller: where what it was made of is there, `Model` makes it itself."""


@attrs.frozen
class Node:
    """A node, as far as it matters to its Pods."""

    name: str = attrs.field(converter=_label_value)
    zone: str = attrs.field(default="", converter=_label_value)
    addresses: tuple[str, ...] = attrs.field(default=(), converter=_one_of_each_family)


@attrs.define(eq=False)
class Pod:
    """A Pod, as far as it matters to DNS."""

    name: str = attrs.field(converter=_pod_name)
    namespace: str
    addresses: tuple[str, ...] = attrs.field(converter=_one_of_each_family)
    ready: bool = True
    hostname: str = attrs.field(default="", converter=_hostname)
    subdomain: str = ""
    labels: Mapping[str, str] = attrs.field(factory=dict)
    ports: tuple[Port, ...] = ()
    """Of its containers, with names."""
    phase: str = "Running"
    terminating: bool = False
    node: str = attrs.field(default="", converter=_label_value)
    zone: str = attrs.field(default="", converter=_label_value)
    host_network: bool = False
    owner: tuple[str, str, str] | None = None
    """Kind, namespace and name of what made it here; ``None``: it was given."""

    @property
    def own_hostname(self) -> str:
        """What ``gethostname()`` says in it (the kubelet: 63 characters at most)."""
        if self.host_network:
            return self.node
        return (self.hostname or self.name)[:63].rstrip("-.")

    @property
    def belongs(self) -> bool:
        """Whether it belongs into EndpointSlices at all."""
        return bool(self.addresses) and self.phase not in ("Failed", "Succeeded")

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

    name: str = attrs.field(converter=_service_name)
    namespace: str = attrs.field(converter=_namespace_name)
    ports: tuple[ServicePort, ...] = attrs.field(default=(), converter=_ports)
    cluster_ips: tuple[str, ...] = ()
    external_name: str | None = None
    publish_not_ready: bool = False
    families: tuple[int, ...] = attrs.field(default=(4,), converter=_families)
    selector: Mapping[str, str] | None = None

    @property
    def headless(self) -> bool:
        """Whether it has neither virtual IP nor alias."""
        return not self.cluster_ips and self.external_name is None

    def endpoint(self, pod: Pod, address: str) -> SliceEndpoint:
        """What the controller makes of one of its Pods."""
        own = pod.hostname and pod.subdomain == self.name
        return SliceEndpoint(
            address,
            ready=self.publish_not_ready or (pod.ready and not pod.terminating),
            hostname=pod.hostname if own else "",
            pod=pod.name,
            node=pod.node,
            zone=pod.zone,
        )


@attrs.define
class Model:
    """Everything that the API server holds, by (namespace, name)."""

    namespaces: set[str] = attrs.field(factory=lambda: {"default"})
    services: dict[tuple[str, str], Service] = attrs.field(factory=dict)
    pods: dict[tuple[str, str], Pod] = attrs.field(factory=dict)
    written: dict[tuple[str, str], Slice] = attrs.field(factory=dict)
    """EndpointSlices written by hand."""
    endpoints: dict[tuple[str, str], tuple[Slice, ...]] = attrs.field(factory=dict)
    """What their controller makes of Endpoints, where a Service has no selector."""
    version: int = 1
    """Goes up with each change; what was derived from an older one no longer holds."""
    _at: dict[str, list[Pod]] = attrs.field(factory=dict)
    _derived: dict[tuple[str, str], tuple[Slice, ...]] = attrs.field(factory=dict)
    _reverse: dict[str, list[tuple[str, SliceEndpoint]]] | None = None
    nodes: dict[str, Node] = attrs.field(factory=dict)
    pod_networks: Mapping[int, Network] = POD_NETWORKS
    """By family: from where Pods have their addresses."""
    _leases: dict[tuple[str, str], tuple[str, ...]] = attrs.field(factory=dict)
    _node_addresses: dict[str, tuple[str, ...]] = attrs.field(factory=dict)
    _handed_out: dict[Network, int] = attrs.field(factory=dict)

    # Changing it.

    def put_service(self, service: Service) -> Service:
        """Adds a Service, or makes the one of its name like it; returns the one that is kept."""
        self.namespaces.add(service.namespace)
        kept = _put(self.services, service)
        self.changed()
        return kept

    def put_pod(self, pod: Pod) -> Pod:
        """Adds a Pod, or makes the one of its name like it; returns the one that is kept."""
        self.namespaces.add(pod.namespace)
        if old := self.pods.get((pod.namespace, pod.name)):
            self._leave(old)
        kept = _put(self.pods, pod)
        self._settle(kept)
        self.changed()
        return kept

    def put_slice(self, namespace: str, name: str, written: Slice) -> None:
        """Adds an EndpointSlice written by hand, or replaces it."""
        self.namespaces.add(namespace)
        self.written[namespace, name] = written
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
        held: Mapping[str, dict[tuple[str, str], Any]] = {
            "Service": self.services, "Pod": self.pods,
            "EndpointSlice": self.written, "Endpoints": self.endpoints,
        }  # fmt: skip
        if kind == "Namespace":
            self.namespaces.remove(name)
            for each, within in held.items():
                for key in [key for key in within if key[0] == name]:
                    self.delete(each, *key)
        elif kind == "Node":
            del self.nodes[name]
        else:
            gone = held[kind].pop((namespace, name))
            if kind == "Pod":
                self._leave(gone)
        self.changed()

    def changed(self) -> None:
        """Something did."""
        self.version += 1
        self._derived.clear()
        self._reverse = None

    def _settle(self, pod: Pod) -> None:
        for address in pod.addresses:
            self._at.setdefault(address, []).append(pod)

    def _leave(self, pod: Pod) -> None:
        for address in pod.addresses:
            self._at[address].remove(pod)
            if not self._at[address]:
                del self._at[address]

    # Reading it.

    def pod_at(self, address: str) -> Pod | None:
        """A Pod with that address."""
        return next(iter(self._at.get(address, ())), None)

    def free_addresses(self, families: Iterable[int]) -> tuple[str, ...]:
        """An address that no Pod has, of each family that the Pods' networks have."""
        families = [family for family in families if family in self.pod_networks]
        taken: Container[str] = self._at
        if self._leases:
            taken = self._at.keys() | {ip for lease in self._leases.values() for ip in lease}
        return self._free(families, self.pod_networks, taken)

    @property
    def made_up(self) -> bool:
        """Whether Pods have addresses that no network gave them."""
        return any(network in self._handed_out for network in self.pod_networks.values())

    def lease(self, before: "Model") -> None:
        """Keeps the addresses of Pods of a cluster before this one for Pods of their names."""
        self._leases = {key: pod.addresses for key, pod in before.pods.items()}

    def leased(self, key: tuple[str, str]) -> tuple[str, ...]:
        """Those that are kept for a Pod, once."""
        found = self._leases.pop(key, ())
        return () if any(address in self._at for address in found) else found

    def addresses_of_node(self, name: str, families: Iterable[int]) -> tuple[str, ...]:
        """Those that its Pods have which use its network."""
        node = self.nodes.get(name)
        if node is not None and node.addresses:
            return node.addresses
        if name not in self._node_addresses:
            self._node_addresses[name] = self.free_addresses(families)
        return self._node_addresses[name]

    def virtual_ips(self, families: Iterable[int]) -> tuple[str, ...]:
        """A virtual IP that no Service has, of each family."""
        taken = {ip for service in self.services.values() for ip in service.cluster_ips}
        return self._free(families, _VIRTUAL_NETWORKS, taken)

    def _free(
        self, families: Iterable[int], networks: Mapping[int, Network], taken: Container[str]
    ) -> tuple[str, ...]:
        found = []
        for family in families:
            network = networks[family]
            size = network.num_addresses
            for _ in range(size):
                number = self._handed_out[network] = self._handed_out.get(network, 0) % size + 1
                address = network[number - 1]
                # Neither network, gateway nor broadcast of a /24, for people's sake.
                usual = (
                    int(address) & 0xFF not in (0, 1, 0xFF)
                    if size >= 256
                    else (size <= 2 or 1 < number < size)
                )
                if usual and str(address) not in taken:
                    found.append(str(address))
                    break
            else:
                raise ValueError(f"no address is left in {network}")
        return tuple(found)

    def selected(self, service: Service) -> Iterator[Pod]:
        """The Pods that a Service's selector selects; none without a selector."""
        if not service.selector or service.external_name is not None:
            return
        wanted = service.selector.items()
        for pod in self.pods.values():
            if pod.namespace == service.namespace and pod.labels.items() >= wanted:
                yield pod

    def slices(self, service: Service) -> tuple[Slice, ...]:
        """The Service's EndpointSlices, those without a ready endpoint too."""
        key = (service.namespace, service.name)
        found = self._derived.get(key)
        if found is None:
            mirrored = () if service.selector else self.endpoints.get(key, ())
            derived = mirrored or tuple(self._derive(service))
            written = (
                one
                for (namespace, _), one in self.written.items()
                if (namespace, one.service) == key and not (one.managed and derived)
            )
            found = self._derived[key] = (*written, *derived)
        return found

    def endpoints_at(self, address: str) -> list[tuple[str, SliceEndpoint]]:
        """The ready endpoints with that address, each with its ``<service>.<namespace>``.

        An EndpointSlice that was written for a Service which is not there counts, too.
        """
        if self._reverse is None:
            self._reverse = {}
            slices = [
                (f"{service.name}.{service.namespace}", one)
                for service in self.services.values()
                for one in self.slices(service)
            ]
            slices += [
                (f"{one.service}.{namespace}", one)
                for (namespace, _), one in self.written.items()
                if (namespace, one.service) not in self.services
            ]
            for service, one in slices:
                for endpoint in one.endpoints:
                    if endpoint.ready:
                        self._reverse.setdefault(endpoint.address, []).append((service, endpoint))
        return self._reverse.get(address, [])

    def _derive(self, service: Service) -> Iterator[Slice]:
        """As the controller: slices of one family and one list of resolved ports each.

        Where no Pod belongs into one, it writes a placeholder without endpoints and ports; to DNS
        that is no slice at all.
        """
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
                    endpoint = service.endpoint(pod, address)
                    groups.setdefault((family_of(address), ports), []).append(endpoint)
        for (_, ports_of_group), endpoints in groups.items():
            for start in range(0, len(endpoints), PER_SLICE):
                batch = tuple(endpoints[start : start + PER_SLICE])
                yield Slice(service.name, batch, ports_of_group)


def _put(objects: dict[tuple[str, str], _Object], new: _Object) -> _Object:
    """The same object stays the same: all handles on it see the change."""
    old = objects.setdefault((new.namespace, new.name), new)
    if old is not new:
        for field in attrs.fields(type(new)):
            setattr(old, field.name, getattr(new, field.name))
    return old
