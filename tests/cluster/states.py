"""The cluster states that are recorded, and the questions that are asked in each.

Each state has a namespace of its own, named as the state, and pod addresses of its own, since
reverse names are looked up by address alone. "Row" numbers what CoreDNS was found to do: names and
existence (1-26), SRV (27-39), membership and families (40-55), other kinds of Services (56-66),
cache and transport (67-83).
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import attrs

from tests.cluster import api
from tests.cluster.api import Manifest, port
from tests.cluster.control_plane import Corefile

DOMAIN = "cluster.local"


@attrs.frozen
class Asked:
    """One question, and how it is asked."""

    name: str
    type: str
    transport: Literal["udp", "tcp"] = "udp"
    edns: int | None = 1232
    klass: str = "IN"
    version: int = 0


@attrs.define
class State:
    """Objects in a namespace, a CoreDNS, and questions."""

    id: str
    about: str
    corefile: Corefile = attrs.field(factory=Corefile)
    objects: list[Manifest] = attrs.field(factory=list)
    questions: list[Asked] = attrs.field(factory=list)
    number: int = 0

    def ip(self, n: int) -> str:
        """The n-th pod address of this state."""
        return f"10.{self.number}.1.{n}"

    def ip6(self, n: int) -> str:
        """The n-th IPv6 pod address of this state."""
        return f"fd00:{self.number:x}::{n:x}"

    def name(self, service: str, *labels: str) -> str:
        """A full name, with a final dot."""
        return ".".join((*labels, service, self.id, "svc", DOMAIN)) + "."

    def service(self, name: str = "web", **options: Any) -> None:
        """A Service; see `tests.cluster.api.service`."""
        self.objects.append(api.service(name, self.id, **options))

    def pod(self, name: str, *addresses: str, app: str = "web", **options: Any) -> None:
        """A Pod; see `tests.cluster.api.pod`."""
        self.objects.append(api.pod(name, self.id, addresses, app=app, **options))

    def pods(self, count: int, app: str = "web", **options: Any) -> None:
        """That many Pods, at the first addresses of the state."""
        for n in range(count):
            self.pod(f"{app}-{n}", self.ip(n + 1), app=app, **options)

    def stateful(self, count: int, app: str = "web", **options: Any) -> None:
        """The same as a StatefulSet makes them."""
        for n in range(count):
            self.pod(
                f"{app}-{n}",
                self.ip(n + 1),
                app=app,
                hostname=f"{app}-{n}",
                subdomain=app,
                **options,
            )

    def slice(
        self, name: str, endpoints: Sequence[Manifest], ports: Sequence[Manifest], **options: Any
    ) -> None:
        """An EndpointSlice written by hand."""
        self.objects.append(
            api.endpoint_slice(
                name,
                self.id,
                of=options.pop("of", "web"),
                endpoints=endpoints,
                ports=ports,
                **options,
            )
        )

    def ask(self, names: str | Iterable[str], *types: str, **how: Any) -> None:
        """Each of the names for each of the types."""
        for name in (names,) if isinstance(names, str) else names:
            self.questions += [Asked(name, kind, **how) for kind in types]

    def usual(self, service: str = "web", *ports: str) -> None:
        """What a client asks of a Service."""
        self.ask(self.name(service), "A", "AAAA", "SRV")
        for one in ports:
            self.ask(self.name(service, *one.split(".")), "SRV", "A")


def endpoint(*addresses: str, ready: bool | None = True, **more: Any) -> Manifest:
    """One endpoint of a hand-made EndpointSlice."""
    found: dict[str, Any] = {"addresses": list(addresses), **more}
    conditions = dict(more.get("conditions", {}))
    if ready is not None:
        conditions["ready"] = ready
    if conditions:
        found["conditions"] = conditions
    return found


def slice_port(number: int | None, name: str | None = None, protocol: str = "TCP") -> Manifest:
    """One port of a hand-made EndpointSlice."""
    found: dict[str, Any] = {"protocol": protocol}
    if name is not None:
        found["name"] = name
    if number is not None:
        found["port"] = number
    return found


HTTP = [port(80, "http", target=8080)]
SLICE_HTTP = [slice_port(8080, "http")]
_HTTP = "_http._tcp"


def all_states() -> list[State]:
    """Every state, numbered."""
    return [
        *_names(),
        *_ports(),
        *_membership(),
        *_families(),
        *_kinds(),
        *_options(),
        *_sizes(),
    ]


class _Numbered:
    """Hands out states with numbers of their own."""

    def __init__(self, first: int) -> None:
        self._next = first

    def __call__(self, id: str, about: str, **options: Any) -> State:  # noqa: A002 - it is its id
        state = State(id, about, number=self._next, **options)
        self._next += 1
        return state


def _names() -> Iterable[State]:
    new = _Numbered(1)

    s = new("deployment", "rows 1, 2, 10, 12, 14, 15: ready pods without host names")
    s.service(ports=HTTP)
    s.pods(2)
    s.usual("web", _HTTP)
    dashed = s.name("web", s.ip(1).replace(".", "-"))
    s.ask(dashed, "A", "AAAA", "SRV", "TXT")
    s.ask([s.name("web", "web-0"), s.name("web", "1-2-3-4")], "A", "AAAA", "SRV")
    yield s

    s = new("statefulset", "rows 1, 11, 27: pods with host names have no dashed ones")
    s.service("nginx", ports=[port(80, "web")])
    for n in range(2):
        s.pod(f"web-{n}", s.ip(n + 1), app="nginx", hostname=f"web-{n}", subdomain="nginx")
    s.usual("nginx", "_web._tcp")
    s.ask(
        [s.name("nginx", "web-0"), s.name("nginx", s.ip(1).replace(".", "-"))], "A", "AAAA", "SRV"
    )
    s.ask(s.name("nginx", "web-9"), "A", "AAAA", "SRV")
    yield s

    s = new("ipv6-names", "rows 3, 20: dashed IPv6 names, with 0 after a dash at the end")
    s.service(ports=HTTP, families=["IPv6"])
    for n, address in enumerate(
        ("fd00:a::", "fd00:a:1::5", "2001:db8:3333:4444:5555:6666::", "fd00:0:0:1::5")
    ):
        s.pod(f"web-{n}", address)
    s.usual("web", _HTTP)
    s.ask([s.name("web", "fd00-a--0"), s.name("web", "fd00-a-1--5")], "A", "AAAA", "SRV")
    yield s

    s = new("no-pods", "rows 4, 5, 6: a Service without pods is as if it were not there")
    s.service(ports=HTTP)
    s.usual("web", _HTTP)
    s.usual("nobody", _HTTP)
    s.ask([s.name("web"), s.name("nobody")], "TXT", "HTTPS", "MX", "CNAME")
    s.ask(f"web.{s.id}-not.svc.{DOMAIN}.", "A", "AAAA", "SRV")
    yield s

    s = new("none-ready", "row 4: pods, none of them ready")
    s.service(ports=HTTP)
    s.pods(2, ready=False)
    s.usual("web", _HTTP)
    s.ask(s.name("web", s.ip(1).replace(".", "-")), "A")
    yield s

    s = new("existence", "rows 7, 8, 9, 17: names that are not Services")
    s.service(ports=HTTP)
    s.pods(1)
    s.ask([f"{s.id}.svc.{DOMAIN}.", f"{s.id}-not.svc.{DOMAIN}."], "A", "AAAA", "SRV", "SOA")
    s.ask([f"svc.{DOMAIN}.", f"pod.{DOMAIN}.", f"{DOMAIN}.", f"foo.{DOMAIN}."], "A", "SRV")
    s.ask([f"{DOMAIN}."], "SOA", "NS")
    s.ask(f"a.{s.id}.foo.{DOMAIN}.", "A")
    s.ask(
        [
            s.name("web", "foo", s.ip(1).replace(".", "-")),
            s.name("web", "a", "b", "c"),
            s.name("web", "*"),
            s.name("*"),
        ],
        "A",
        "SRV",
    )
    yield s

    s = new("case", "rows 18, 19: capital letters stay in owners, not in targets")
    s.service("kubia-headless", ports=HTTP)
    s.pods(2, app="kubia-headless")
    for name in (f"KUBIA-Headless.{s.id.title()}.SVC.Cluster.LOCAL.",):
        s.ask([name, f"_HtTp._TcP.{name}"], "A", "AAAA", "SRV")
    s.ask(f"Nobody.{s.id}.svc.CLUSTER.local.", "A")
    yield s

    s = new("other-types", "row 23: types that no pod has")
    s.service(ports=HTTP)
    s.pods(1)
    s.ask(s.name("web"), "TXT", "MX", "CNAME", "NS", "PTR", "SOA", "HTTPS", "ANY", "CAA")
    yield s

    s = new(
        "refused", "rows 24, 25, 26: transfers, other classes, other EDNS versions, other zones"
    )
    s.service(ports=HTTP)
    s.pods(1)
    s.ask(f"{DOMAIN}.", "AXFR", transport="tcp", edns=None)
    s.ask(f"{DOMAIN}.", "IXFR", edns=None)
    s.ask(s.name("web"), "A", klass="CH")
    s.ask(s.name("web"), "A", version=1)
    s.ask(["example.org.", "web.", "."], "A", "AAAA")
    yield s

    s = new("shared-hostname", "row 16: two endpoints share a host name")
    s.service(ports=HTTP)
    for n in range(2):
        s.pod(f"web-{n}", s.ip(n + 1), hostname="twin", subdomain="web")
    s.usual("web", _HTTP)
    s.ask(s.name("web", "twin"), "A", "AAAA", "SRV")
    yield s

    s = new("wrong-subdomain", "rows 11, 52: a host name counts below its subdomain's Service only")
    for name in ("one", "two"):
        s.service(name, ports=HTTP, selector={"app": "web"})
    s.pod("web-0", s.ip(1), hostname="web-0", subdomain="one")
    s.usual("one", _HTTP)
    s.usual("two", _HTTP)
    s.ask([s.name("one", "web-0"), s.name("two", "web-0")], "A")
    s.ask(_reverse(s.ip(1)), "PTR")
    yield s

    s = new("no-labels", "rows 17, 36: underscores are not required, other words do not match")
    s.service(ports=HTTP)
    s.pods(1)
    s.ask(
        [
            s.name("web", "http", "tcp"),
            s.name("web", "_http", "tcp"),
            s.name("web", "_http", "_udp"),
            s.name("web", "_https", "_tcp"),
            s.name("web", "_", "_tcp"),
            s.name("web", "_http"),
        ],
        "SRV",
        "A",
    )
    yield s

    s = new("reverse", "rows 53, 54: PTR of pods, of a virtual IP, of nobody")
    s.service(ports=HTTP)
    s.service("vip", cluster_ip="10.254.1.10", ports=HTTP)
    s.pods(1)
    s.pod("web-9", s.ip(9), ready=False)
    s.ask(
        [_reverse(s.ip(1)), _reverse(s.ip(9)), _reverse(s.ip(99)), _reverse("10.254.1.10")], "PTR"
    )
    s.ask(_reverse(s.ip(1)), "A", "TXT")
    s.ask(["in-addr.arpa.", "10.in-addr.arpa."], "PTR", "SOA")
    yield s


def _reverse(address: str) -> str:
    import dns.reversename

    return str(dns.reversename.from_address(address))


def _ports() -> Iterable[State]:
    new = _Numbered(30)

    for count in (1, 3, 6, 7, 8, 50, 51):
        s = new(f"weights-{count}", f"row 28: weights of {count} pods")
        s.service(ports=HTTP)
        s.pods(count)
        s.ask(s.name("web", "_http", "_tcp"), "SRV", edns=4096)
        s.ask(s.name("web"), "SRV", edns=4096)
        s.ask(s.name("web"), "A", edns=4096)
        yield s

    s = new("two-ports", "rows 27, 28, 30, 37: two named ports")
    s.service("db", ports=[port(5432, "sql"), port(9187, "metrics")])
    s.stateful(2, app="db")
    s.usual("db", "_sql._tcp", "_metrics._tcp", "_sql._udp", "_nope._tcp")
    s.ask([s.name("db", "db-0"), s.name("db", "_sql", "_tcp", "db-0")], "SRV")
    yield s

    s = new("target-port", "row 29: SRV has the target port")
    s.service(ports=[port(80, "http", target=8080)])
    s.pods(1)
    s.usual("web", _HTTP)
    yield s

    s = new("tcp-and-udp", "row 31: TCP and UDP of one number are one SRV record")
    s.service("dns", ports=[port(53, "dns-tcp"), port(53, "dns", protocol="UDP")])
    s.pods(2, app="dns")
    s.usual("dns", "_dns-tcp._tcp", "_dns._udp", "_dns._tcp")
    yield s

    s = new("unnamed-port", "row 32: an unnamed port has no name in DNS")
    s.service(ports=[port(80)])
    s.pods(2)
    s.usual("web", _HTTP, "_._tcp")
    yield s

    s = new("no-ports", "row 33: a Service without ports has no SRV records")
    s.service()
    s.pods(2)
    s.usual("web", _HTTP)
    s.ask(s.name("web", s.ip(1).replace(".", "-")), "A", "SRV")
    yield s

    s = new("nil-port", "row 33: a slice's port without a number")
    s.service(ports=HTTP, selector={})
    s.slice("web-1", [endpoint(s.ip(1))], [slice_port(None, "http")])
    s.usual("web", _HTTP)
    yield s

    s = new("port-lacking", "row 38: one pod lacks the named target port")
    s.service(ports=[port(80, "http", target="http")])
    s.pod("web-0", s.ip(1), ports={"http": 8080})
    s.pod("web-1", s.ip(2), ports={"other": 9090})
    s.usual("web", _HTTP)
    s.ask(s.name("web", s.ip(2).replace(".", "-")), "A", "SRV")
    yield s

    s = new("port-differs", "rows 38, 49: a named target port with another number on each pod")
    s.service(ports=[port(80, "http", target="http")])
    s.pod("web-0", s.ip(1), ports={"http": 8001})
    s.pod("web-1", s.ip(2), ports={"http": 8002})
    s.usual("web", _HTTP)
    yield s

    s = new("slice-port-name", "row 39: port names come from the slice")
    s.service("db", ports=[port(5432, "db")], selector={})
    s.slice("db-1", [endpoint(s.ip(1))], [slice_port(5432, "postgres")], of="db")
    s.usual("db", "_db._tcp", "_postgres._tcp")
    yield s

    s = new("sctp", "row 34: an SCTP port")
    s.service(ports=[port(9000, "gossip", protocol="SCTP")])
    s.pods(1)
    s.usual("web", "_gossip._sctp", "_gossip._tcp")
    yield s


def _membership() -> Iterable[State]:
    new = _Numbered(60)

    s = new("readiness", "row 40: ready, not ready, and not told")
    s.service(ports=HTTP, selector={})
    s.slice(
        "web-1",
        [
            endpoint(s.ip(1), ready=True),
            endpoint(s.ip(2), ready=False),
            endpoint(s.ip(3), ready=None),
            endpoint(s.ip(4), ready=False, conditions={"serving": True, "terminating": True}),
        ],
        SLICE_HTTP,
    )
    s.usual("web", _HTTP)
    yield s

    for published in (False, True):
        word = "published" if published else "unpublished"
        s = new(f"terminating-{word}", f"rows 41, 42: a terminating pod, not ready ones {word}")
        s.service(ports=HTTP, publish_not_ready=published)
        s.pods(1)
        s.pod("web-1", s.ip(2), terminating=True)
        s.pod("web-2", s.ip(3), ready=False)
        s.pod("web-3", s.ip(4), phase="Failed")
        s.pod("web-4", s.ip(5), phase="Succeeded", ready=False)
        s.pod("web-5", ready=False)
        s.usual("web", _HTTP)
        yield s

    s = new("two-slices", "row 43: one address in two slices")
    s.service(ports=HTTP, selector={})
    s.slice("web-1", [endpoint(s.ip(1)), endpoint(s.ip(2))], SLICE_HTTP)
    s.slice("web-2", [endpoint(s.ip(2))], SLICE_HTTP)
    s.usual("web", _HTTP)
    yield s

    s = new("ready-in-one", "row 44: ready in one slice, not in the other")
    s.service(ports=HTTP, selector={})
    s.slice("web-1", [endpoint(s.ip(1))], SLICE_HTTP)
    s.slice("web-2", [endpoint(s.ip(1), ready=False)], SLICE_HTTP)
    s.usual("web", _HTTP)
    yield s

    s = new("re-ip", "row 45: a pod's old and new address under one host name")
    s.service(ports=HTTP, selector={})
    s.slice(
        "web-1",
        [endpoint(s.ip(1), hostname="web-0"), endpoint(s.ip(2), hostname="web-0")],
        SLICE_HTTP,
    )
    s.usual("web", _HTTP)
    s.ask(s.name("web", "web-0"), "A", "SRV")
    yield s

    s = new("re-port", "row 46: one host name with two port numbers")
    s.service(ports=HTTP, selector={})
    s.slice("web-1", [endpoint(s.ip(1), hostname="web-0")], [slice_port(80, "http")])
    s.slice("web-2", [endpoint(s.ip(2), hostname="web-0")], [slice_port(81, "http")])
    s.usual("web", _HTTP)
    s.ask(s.name("web", "web-0"), "SRV")
    yield s

    s = new("host-network-ports", "row 49: two pods at one address, on two ports")
    s.service(ports=[port(80, "http", target="http")])
    s.pod("web-0", s.ip(1), ports={"http": 8001})
    s.pod("web-1", s.ip(1), ports={"http": 8002})
    s.usual("web", _HTTP)
    s.ask(_reverse(s.ip(1)), "PTR")
    yield s

    s = new("host-network-names", "row 50: two host names at one address")
    s.service(ports=HTTP)
    for n in range(2):
        s.pod(f"web-{n}", s.ip(1), hostname=f"web-{n}", subdomain="web")
    s.usual("web", _HTTP)
    s.ask(_reverse(s.ip(1)), "PTR")
    yield s

    s = new("many-slices", "row 51: more pods than one slice holds")
    s.service(ports=HTTP)
    for n in range(120):
        s.pod(f"web-{n}", f"10.{s.number}.1.{100 + n}")
    s.ask(s.name("web"), "A", "SRV", transport="tcp")
    s.ask(s.name("web"), "A", edns=None)
    s.ask(s.name("web"), "A", "SRV")
    s.ask(s.name("web"), "A", "SRV", edns=4096)
    yield s

    s = new("long-names", "section 5: the longest names")
    s.service("s" * 63, ports=HTTP)
    s.pods(3, app="s" * 63)
    s.usual("s" * 63, _HTTP)
    yield s


def _families() -> Iterable[State]:
    new = _Numbered(80)
    both = ["IPv4", "IPv6"]

    s = new("dual-statefulset", "row 47: both families under one host name")
    s.service(ports=HTTP, families=both)
    for n in range(2):
        s.pod(f"web-{n}", s.ip(n + 1), s.ip6(n + 1), hostname=f"web-{n}", subdomain="web")
    s.usual("web", _HTTP)
    s.ask(s.name("web", "web-0"), "A", "AAAA", "SRV")
    s.ask(_reverse(s.ip6(1)), "PTR")
    yield s

    s = new("dual-deployment", "row 48: each pod twice, under two dashed names")
    s.service(ports=HTTP, families=both)
    for n in range(2):
        s.pod(f"web-{n}", s.ip(n + 1), s.ip6(n + 1))
    s.usual("web", _HTTP)
    yield s

    s = new("ipv6-statefulset", "row 3: IPv6 only, with host names")
    s.service(ports=HTTP, families=["IPv6"])
    for n in range(3):
        s.pod(f"web-{n}", s.ip6(n + 1), hostname=f"web-{n}", subdomain="web")
    s.usual("web", _HTTP)
    s.ask(_reverse(s.ip6(1)), "PTR")
    s.ask(_reverse(s.ip6(99)), "PTR")
    yield s


def _kinds() -> Iterable[State]:
    new = _Numbered(90)

    s = new("cluster-ip", "rows 56, 57, 58: a virtual IP, with names for its pods all the same")
    s.service(cluster_ip="10.254.1.20", ports=[port(80, "http", target=8080)])
    s.pods(1)
    s.pod("h7", s.ip(2), hostname="h7", subdomain="web")
    s.usual("web", _HTTP, "_nope._tcp")
    for label in (s.ip(1).replace(".", "-"), "h7", "10-254-1-20"):
        s.ask(s.name("web", label), "A", "SRV")
    s.ask(s.name("web"), "TXT")
    yield s

    s = new("cluster-ip-empty", "row 59: a virtual IP with nobody behind it")
    s.service(cluster_ip="10.254.1.21", ports=HTTP)
    s.usual("web", _HTTP)
    yield s

    s = new("cluster-ip-dual", "row 56: two virtual IPs, two ports")
    s.service(
        cluster_ip="10.254.1.22",
        ports=[port(80, "http"), port(443, "https")],
        families=["IPv4", "IPv6"],
        clusterIPs=["10.254.1.22", "fd00:10:254::22"],
    )
    s.pods(1)
    s.usual("web", _HTTP, "_https._tcp")
    s.ask(_reverse("fd00:10:254::22"), "PTR")
    yield s

    s = new("external-name", "row 60: an alias, where nobody forwards")
    s.service("away", external_name="ext.example.com")
    s.usual("away", "_x._tcp")
    s.ask(s.name("away", "sub"), "A")
    s.ask(s.name("away"), "CNAME", "TXT")
    yield s

    s = new("external-inside", "row 61: an alias of a headless Service")
    s.service(ports=HTTP)
    s.pods(2)
    s.service("away", external_name=f"web.{s.id}.svc.{DOMAIN}")
    s.usual("away", _HTTP)
    yield s

    s = new("external-literal", "row 62: an alias of an address")
    s.service("away", external_name="192.0.2.1")
    s.usual("away")
    yield s

    s = new("dns-version", "row 65: the version of the specification")
    s.ask(f"dns-version.{DOMAIN}.", "TXT", "A", "AAAA")
    yield s


def _options() -> Iterable[State]:
    new = _Numbered(100)

    s = new("pod-names", "row 13: endpoint_pod_names", corefile=Corefile(endpoint_pod_names=True))
    s.service(ports=HTTP)
    s.pod("kubia-7x", s.ip(1))
    s.pod("h-0", s.ip(2), hostname="h-0", subdomain="web")
    s.pod("p" * 64, s.ip(3))
    s.usual("web", _HTTP)
    for label in ("kubia-7x", "h-0", s.ip(1).replace(".", "-"), s.ip(3).replace(".", "-")):
        s.ask(s.name("web", label), "A")
    s.ask([_reverse(s.ip(1)), _reverse(s.ip(3))], "PTR")
    yield s

    s = new(
        "ignore-empty", "row 59: ignore empty_service", corefile=Corefile(ignore_empty_service=True)
    )
    s.service(cluster_ip="10.254.1.30", ports=HTTP)
    s.service("full", cluster_ip="10.254.1.31", ports=HTTP)
    s.pods(1, app="full")
    s.usual("web", _HTTP)
    s.usual("full", _HTTP)
    s.ask(_reverse("10.254.1.30"), "PTR")
    yield s

    s = new("pods-insecure", "row 64: pods insecure", corefile=Corefile(pods="insecure"))
    s.objects.append(api.service("web", s.id, ports=HTTP))
    for label in ("1-2-3-4", "not-an-address", "fd00--1"):
        s.ask(f"{label}.{s.id}.pod.{DOMAIN}.", "A", "AAAA")
    s.ask(f"1-2-3-4.{s.id}-not.pod.{DOMAIN}.", "A")
    s.ask(f"{s.id}.pod.{DOMAIN}.", "A")
    yield s

    s = new("pods-disabled", "row 64: pods disabled, the default")
    s.service(ports=HTTP)
    s.ask(f"1-2-3-4.{s.id}.pod.{DOMAIN}.", "A", "AAAA")
    s.ask(f"{s.id}.pod.{DOMAIN}.", "A")
    yield s

    s = new("ttl-30", "rows 1, 69: ttl 30", corefile=Corefile(ttl=30))
    s.service(ports=HTTP)
    s.pods(2)
    s.usual("web", _HTTP)
    s.usual("nobody")
    yield s

    s = new("ttl-0", "row 71: ttl 0, without a cache", corefile=Corefile(ttl=0))
    s.service(ports=HTTP)
    s.pods(1)
    s.usual("web", _HTTP)
    s.usual("nobody")
    yield s

    s = new("cached", "rows 69, 73, 78: through a cache, first asked", corefile=Corefile(cache=30))
    s.service(ports=HTTP)
    s.pods(3)
    s.usual("web", _HTTP)
    s.ask(f"_HTTP._tcp.WEB.{s.id}.svc.{DOMAIN}.", "SRV")
    s.ask(f"NEB.{s.id}.svc.{DOMAIN}.", "A")
    s.ask(f"neb.{s.id}.svc.{DOMAIN}.", "A")
    yield s

    s = new("cached-ttl-0", "row 71: ttl 0 through a cache", corefile=Corefile(ttl=0, cache=30))
    s.service(ports=HTTP)
    s.pods(1)
    s.ask([s.name("web"), s.name("nobody")], "A")
    yield s

    s = new(
        "bufsize", "row 83: bufsize 1232 limits what EDNS offers", corefile=Corefile(bufsize=1232)
    )
    s.service(ports=HTTP)
    for n in range(100):
        s.pod(f"web-{n}", f"10.{s.number}.1.{100 + n}")
    for size in (None, 512, 1232, 4096):
        s.ask(s.name("web"), "A", "SRV", edns=size)
    yield s

    s = new("unsynced", "row 67: before the first list has come", corefile=Corefile(synced=False))
    s.usual("web", _HTTP)
    s.ask([f"{s.id}.svc.{DOMAIN}.", f"dns-version.{DOMAIN}."], "A")
    s.ask(_reverse(s.ip(1)), "PTR")
    yield s


def _sizes() -> Iterable[State]:
    new = _Numbered(120)
    sizes: Mapping[int, Sequence[tuple[str, str, int | None]]] = {
        # Addresses of one length, so that it does not matter which records are cut.
        4: [("SRV", "udp", None), ("A", "udp", None)],
        5: [("SRV", "udp", None)],
        9: [("A", "udp", None), ("A", "udp", 1232)],
        10: [("A", "udp", None)],
        12: [("SRV", "udp", 1232), ("SRV", "udp", None)],
        13: [("SRV", "udp", 1232), ("SRV", "tcp", None)],
        19: [("SRV", "udp", 1232)],
        28: [("A", "udp", None)],
        29: [("A", "udp", None), ("A", "udp", 300)],
        30: [("A", "udp", 4096)],
        31: [("A", "udp", 4096), ("SRV", "udp", 4096)],
        72: [("A", "udp", 1232)],
        73: [("A", "udp", 1232), ("A", "tcp", 1232), ("SRV", "tcp", 1232)],
        300: [("SRV", "tcp", None), ("SRV", "udp", 4096)],
        700: [("SRV", "tcp", None), ("A", "tcp", None)],
        1200: [("SRV", "tcp", 1232), ("A", "tcp", 1232), ("A", "udp", 1232)],
        1300: [("A", "tcp", None)],
        4500: [("A", "tcp", 1232)],
    }
    for count, questions in sizes.items():
        s = new(f"size-{count}", f"section 5, rows 79 to 82: {count} pods")
        s.service("big", ports=HTTP, selector={})
        wanted = [
            f"10.{100 + n // 8000}.{100 + n // 80 % 100}.{120 + n % 80}" for n in range(count)
        ]
        for start in range(0, count, 1000):
            s.slice(
                f"big-{start}",
                [endpoint(address) for address in wanted[start : start + 1000]],
                SLICE_HTTP,
                of="big",
            )
        for kind, transport, edns in questions:
            name = s.name("big", "_http", "_tcp") if kind == "SRV" else s.name("big")
            s.ask(name, kind, transport=transport, edns=edns)
        yield s
