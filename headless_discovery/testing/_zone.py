"""Names to answers: what CoreDNS's kubernetes plugin says of a model. No bytes, no time.

It follows the plugin step by step: the request is parsed, Services and endpoints are looked up,
and an error about the name becomes NXDOMAIN, no record of the type NODATA.
"""

import ipaddress
import random
from collections.abc import Iterable, Iterator

import attrs

from . import _packer
from ._addresses import family_of
from ._model import Model, Port, Service, ServicePort, Slice, SliceEndpoint
from ._packer import AAAA, CNAME, NOERROR, NXDOMAIN, SOA, A, Received, Record, Reply, Soa, Srv

_VERSION, _VERSION_TTL = "1.1.0", 28800
_NEGATIVE_TTL_AT_MOST = 300
_REVERSE = ("in-addr.arpa", "ip6.arpa")


class NameErrorInZone(Exception):
    """There is no such name."""


@attrs.frozen
class Options:
    """Of the plugin, named as in a Corefile."""

    domain: str = "cluster.local"
    ttl: int = 5
    endpoint_pod_names: bool = False
    ignore_empty_service: bool = False
    pods: str = "disabled"


@attrs.frozen
class _Target:
    """One thing that a name stands for: an address with its own name, or an alias."""

    name: str
    host: str
    port: int = -1
    alias: bool = False


@attrs.frozen
class Zone:
    """The zones that the server is authoritative for."""

    model: Model
    options: Options
    rng: random.Random

    def answer(self, question: Received, *, synced: bool = True) -> Reply:
        """What the server says, in the order in which it says it."""
        if question.version:
            return Reply(_packer.BADVERS, authoritative=False)
        if question.klass != _packer.IN or question.type in (_packer.AXFR, _packer.IXFR):
            return Reply(_packer.REFUSED, authoritative=False)
        zone = self._zone_of(question.name)
        if zone is None:
            return Reply(_packer.SERVFAIL, authoritative=False)  # there is no forward here
        try:
            answer, additional = self._records(question, zone)
        except NameErrorInZone:
            rcode = NXDOMAIN if synced else _packer.SERVFAIL
            return Reply(rcode, authority=(self._soa(zone),))
        if not answer:
            if question.type == SOA and question.name == zone:
                return Reply(NOERROR, answer=(self._soa(zone),))
            return Reply(NOERROR, authority=(self._soa(zone),))
        return self.shuffled(Reply(NOERROR, answer=answer, additional=additional))

    def no_such_name(self) -> Reply:
        """NXDOMAIN, with the SOA of the cluster's domain."""
        return Reply(NXDOMAIN, authority=(self._soa(self.options.domain),))

    def shuffled(self, reply: Reply) -> Reply:
        """As the loadbalance plugin: aliases first, addresses in any order, SRV as they are."""
        return attrs.evolve(
            reply, answer=self._shuffle(reply.answer), additional=self._shuffle(reply.additional)
        )

    def _shuffle(self, records: tuple[Record, ...]) -> tuple[Record, ...]:
        addresses = [record for record in records if record.type in (A, AAAA)]
        if len(addresses) < 2:
            return records
        self.rng.shuffle(addresses)
        aliases = [record for record in records if record.type == CNAME]
        rest = [record for record in records if record.type not in (A, AAAA, CNAME)]
        return (*aliases, *rest, *addresses)

    def _zone_of(self, name: str) -> str | None:
        """The zone that a name lies in, with the letters of the question."""
        lower = name.lower()
        for zone in (self.options.domain, *_REVERSE):
            if lower == zone or lower.endswith(f".{zone}"):
                return name[len(name) - len(zone) :]
        return None

    def _soa(self, zone: str) -> Record:
        ttl, serial = self.options.ttl, self.model.version
        return Record(
            zone,
            SOA,
            min(ttl, _NEGATIVE_TTL_AT_MOST),
            Soa(f"ns.dns.{zone}", f"hostmaster.{zone}", serial, ttl),
        )

    def _records(
        self, question: Received, zone: str
    ) -> tuple[tuple[Record, ...], tuple[Record, ...]]:
        name, kind = question.name, question.type
        if name == zone or kind == SOA:
            return (), ()
        if zone.lower() in _REVERSE:
            return self._pointers(name, kind), ()
        if kind == _packer.TXT and name.lower() == f"dns-version.{self.options.domain}":
            return (Record(name, _packer.TXT, _VERSION_TTL, _VERSION),), ()
        targets = list(self._targets(name, zone))
        match kind:
            case _packer.A | _packer.AAAA:
                return self._addresses(name, kind, targets, zone), ()
            case _packer.SRV:
                return self._services(name, [target for target in targets if not target.alias])
            case _packer.CNAME:
                aliases = [target.host for target in targets if target.alias]
                return tuple(self._record(name, kind, alias) for alias in aliases), ()
        return (), ()

    # From targets to records.

    def _record(self, name: str, kind: int, data: str | Srv) -> Record:
        return Record(name, kind, self.options.ttl, data)

    def _addresses(
        self, name: str, kind: int, targets: Iterable[_Target], zone: str, depth: int = 0
    ) -> tuple[Record, ...]:
        family = 4 if kind == A else 6
        found: dict[str, Record] = {}
        for target in targets:
            if target.alias:
                return self._follow(name, kind, target.host, zone, depth)
            if target.host not in found and family_of(target.host) == family:
                found[target.host] = self._record(name, kind, target.host)
        return tuple(found.values())

    def _follow(
        self, name: str, kind: int, alias: str, zone: str, depth: int
    ) -> tuple[Record, ...]:
        """An alias within the zone comes with its addresses or not at all; another one bare."""
        if alias.lower() == name.lower() or depth > 7:
            return ()
        own = self._record(name, CNAME, alias)
        if not alias.lower().endswith(f".{self.options.domain}"):
            return (own,)  # there is no forward here
        try:
            targets = list(self._targets(alias, zone))
        except NameErrorInZone:
            return ()
        rest = self._addresses(alias, kind, targets, zone, depth + 1)
        return (own, *rest) if rest else ()

    def _services(
        self, name: str, targets: list[_Target]
    ) -> tuple[tuple[Record, ...], tuple[Record, ...]]:
        """SRV, with the addresses of the targets along. Weights count what is not shown, too."""
        weight = max(1, 100 // len(targets)) if targets else 0
        answer: dict[tuple[str, int], Record] = {}
        glue: dict[tuple[str, str], Record] = {}
        for target in targets:
            if target.port == -1:
                continue
            srv, address = (target.name, target.port), (target.name, target.host)
            if srv not in answer:
                answer[srv] = self._record(name, _packer.SRV, Srv(weight, target.port, target.name))
            if address not in glue:
                kind = A if family_of(target.host) == 4 else AAAA
                glue[address] = self._record(target.name, kind, target.host)
        return tuple(answer.values()), tuple(glue.values())

    # From names to targets.

    def _targets(self, name: str, zone: str) -> Iterator[_Target]:
        """What a name of the cluster's domain stands for; raises if there is no such name."""
        labels = name[: -len(self.options.domain) - 1].lower().split(".")
        kind = labels.pop()
        if kind not in ("svc", "pod"):
            raise NameErrorInZone
        if not labels:
            return
        namespace = labels.pop()
        disabled = kind == "pod" and self.options.pods == "disabled"
        if disabled or namespace not in self.model.namespaces:
            raise NameErrorInZone
        if not labels:
            return
        service = labels.pop()
        if kind == "pod":
            if labels:
                raise NameErrorInZone
            yield self._pod(service)
            return
        if len(labels) > 2:
            raise NameErrorInZone
        endpoint = labels[0] if len(labels) == 1 else ""
        port, protocol = (each.removeprefix("_") for each in labels) if labels[1:] else ("", "")
        found = self.model.services.get((namespace, service))
        if found is None:
            raise NameErrorInZone
        base = f"{found.name}.{found.namespace}.svc.{zone}"
        targets = list(self._of_service(found, base, endpoint, port, protocol))
        if not targets:
            raise NameErrorInZone
        yield from targets

    def _of_service(
        self, service: Service, base: str, endpoint: str, port: str, protocol: str
    ) -> Iterator[_Target]:
        if service.external_name is not None:
            if not (endpoint or port or protocol) and not _is_address(service.external_name):
                yield _Target(base, service.external_name, alias=True)
            return
        options, slices = self.options, self.model.slices(service.key)
        if service.headless or endpoint:
            for one, own in _published(self.rng.sample(slices, len(slices))):
                label = one.label(pod_names=options.endpoint_pod_names)
                if endpoint and endpoint != label:
                    continue
                if _matches(own, port, protocol):
                    number = -1 if own is None or own.number is None else own.number
                    yield _Target(f"{label}.{base}", one.address, number)
            return
        if options.ignore_empty_service and next(_published(slices), None) is None:
            return
        for one_port in service.ports:
            if _matches(one_port, port, protocol):
                for address in service.cluster_ips:
                    yield _Target(base, address, one_port.number)

    def _pod(self, label: str) -> _Target:
        """``pods insecure`` echoes any address, whether a pod has it or not."""
        for separator in (".", ":"):
            address = label.replace("-", separator)
            if _is_address(address):
                return _Target("", str(ipaddress.ip_address(address)))
        raise NameErrorInZone

    def _pointers(self, name: str, kind: int) -> tuple[Record, ...]:
        address = _address_of(name.lower())
        if kind != _packer.PTR or address is None:
            raise NameErrorInZone
        domain, pod_names = self.options.domain, self.options.endpoint_pod_names
        for service in self.model.services.values():
            if address in service.cluster_ips:
                pointer = f"{service.name}.{service.namespace}.svc.{domain}"
                return (self._record(name, _packer.PTR, pointer),)
        names = dict.fromkeys(
            f"{endpoint.label(pod_names=pod_names)}.{service_name}.{namespace}.svc.{domain}"
            for (namespace, service_name), endpoint in self.model.endpoints_at(address)
        )
        if not names:
            raise NameErrorInZone
        return tuple(self._record(name, _packer.PTR, pointer) for pointer in names)


def _published(slices: Iterable[Slice]) -> Iterator[tuple[SliceEndpoint, Port | None]]:
    """Each ready endpoint with each of its ports; with ``None`` if the slice has no port."""
    for one in slices:
        for endpoint in one.endpoints:
            if endpoint.ready:
                for port in one.ports or (None,):
                    yield endpoint, port


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _matches(own: Port | ServicePort | None, port: str, protocol: str) -> bool:
    if own is None:
        return not port and not protocol
    return (not port or port == own.name.lower()) and (not protocol or protocol == own.protocol)


def _address_of(name: str) -> str | None:
    """The address of a whole reverse name; ``None`` for a part of one."""
    labels = name.split(".")
    try:
        if name.endswith(".in-addr.arpa"):
            return str(ipaddress.IPv4Address(".".join(reversed(labels[:-2]))))
        digits = "".join(reversed(labels[:-2]))
        if len(digits) != 32:
            return None
        return str(ipaddress.IPv6Address(bytes.fromhex(digits)))
    except ValueError:
        return None
