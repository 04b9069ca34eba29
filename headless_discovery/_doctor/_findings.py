"""Judging: each check is a function of what was observed. It asks nobody.

A check says *ok*, *look* (it works, or may; but know this) or *broken*; what was seen, what that
means, and what to do about it. What could not be seen is told as that: no check stops the others.
"""

import enum
from collections.abc import Callable, Iterable, Sequence

import attrs

from .._commands import _exit
from .._commands._show import counted
from .._endpoint import Endpoint, State
from .._errors import IncompleteAnswer, NoSuchPort, NotHeadless
from .._questions import reverse_name
from .._self import find_self
from .._service import DEFAULT_DOMAIN, PROTOCOLS
from .._surroundings import RESOLV_CONF
from .._transport import NAMESERVER_VARIABLE
from .._wire import Answer, Type
from ._observations import Observations, Probe

SLOW = 0.5
"""Seconds: an answer from inside the cluster takes a few milliseconds."""
LARGEST = 65535
"""Bytes of a DNS message over TCP."""
_LONG_SEARCH = 4
_GLIBC_SEARCH = (6, 256)
"""Domains and characters of a search list that glibc up to 2.25 heeds (resolv.conf(5))."""
_LARGE_TTL = 30


class Level(enum.StrEnum):
    """How bad it is."""

    OK = "ok"
    LOOK = "look"
    BROKEN = "broken"


@attrs.frozen
class Finding:
    """One line of the checklist."""

    level: Level
    seen: str
    means: str = ""
    do: str = ""
    """Commands, and YAML to paste, stand on lines that begin with two blanks."""
    code: int = _exit.FOUND
    """The command's exit code, if this is the first that is broken."""
    title: str = ""


Check = Callable[[Observations], Finding]
CHECKS: dict[str, Check] = {}
"""By title, in the order of the walk: from the name to the pod."""


def check(title: str) -> Callable[[Check], Check]:
    """Adds a check to the walk."""

    def add(decide: Check) -> Check:
        CHECKS[title] = decide
        return decide

    return add


def findings(seen: Observations) -> tuple[Finding, ...]:
    """The whole walk."""
    return tuple(attrs.evolve(decide(seen), title=title) for title, decide in CHECKS.items())


def worst_code(found: Iterable[Finding]) -> int:
    """The exit code: that of the first line that is broken; the others may follow from it."""
    return next((one.code for one in found if one.level is Level.BROKEN), _exit.FOUND)


def _ok(seen: str, means: str = "") -> Finding:
    return Finding(Level.OK, seen, means)


def _look(seen: str, means: str, do: str = "") -> Finding:
    return Finding(Level.LOOK, seen, means, do)


def _broken(code: int, seen: str, means: str, do: str) -> Finding:
    return Finding(Level.BROKEN, seen, means, do, code)


def _unseen(why: str) -> Finding:
    return _look(f"could not be seen: {why}", "")


def _no_answer(seen: Observations, probe: Probe | None) -> Finding:
    """There is no answer to judge."""
    if not seen.servers_answer:
        return _unseen("no name server answers")
    return _unseen(probe.reason or "no answer" if probe is not None else "it was not asked")


def _kubectl(seen: Observations, verb: str, what: str) -> str:
    return f"  kubectl {verb} -n {seen.wanted.service.namespace} {what}"


def _slices(seen: Observations) -> str:
    name = seen.wanted.service.service
    return _kubectl(seen, "get", f"endpointslices -l kubernetes.io/service-name={name}")


# Where we are.


@check("inside a cluster")
def inside(seen: Observations) -> Finding:
    """resolv.conf's search entry, the service account, the API server's variables."""
    conf, environ = seen.surroundings.resolv_conf, seen.surroundings.environ
    signs = [
        f"{RESOLV_CONF} searches svc.{conf.cluster_domain}" if conf.cluster_domain else "",
        "there is a service account" if seen.surroundings.namespace_file else "",
        "$KUBERNETES_SERVICE_HOST is set" if environ.get("KUBERNETES_SERVICE_HOST") else "",
    ]
    found = [sign for sign in signs if sign]
    if found:
        return _ok("; ".join(found))
    return _look(
        f"no search entry svc.<domain> in {RESOLV_CONF}, no service account, no "
        f"$KUBERNETES_SERVICE_HOST",
        "This is not a pod: the cluster's DNS is usually not to be reached from here.",
        "Run this in a pod of the same namespace:\n"
        + _kubectl(
            seen,
            "run",
            f"doctor --rm -it --restart=Never --image=<image> -- doctor {seen.asked}",
        )
        + "\nor develop without a cluster:\n  headless-discovery serve manifests.yaml",
    )


@check("resolv.conf is a pod's")
def pods_resolv_conf(seen: Observations) -> Finding:
    """A pod on the host's network has the node's resolv.conf unless it asks for another."""
    conf = seen.surroundings.resolv_conf
    named = ", ".join(conf.nameservers) or "none"
    if seen.nameservers_from != str(RESOLV_CONF):
        return _ok(f"not used: the name servers come from {seen.nameservers_from}")
    if conf.cluster_domain is not None:
        return _ok(f"name servers {named}; search {' '.join(conf.search)}")
    in_pod = seen.surroundings.namespace_file is not None
    said = f"name servers {named}; search {' '.join(conf.search) or 'none'}"
    if not in_pod:
        return _look(said, "It has no entry of a cluster: outside of pods that is so.")
    return _broken(
        _exit.USAGE,
        said,
        "This is a pod with the node's resolv.conf: hostNetwork without a dnsPolicy for it, or "
        "dnsPolicy: Default. The node's name servers know no Services.",
        "Set in the pod's spec:\n  dnsPolicy: ClusterFirstWithHostNet",
    )


@check("namespace and domain")
def name_parts(seen: Observations) -> Finding:
    """What the full name is, and who said its parts."""
    service, around = seen.wanted.service, seen.surroundings
    labels = seen.asked.removesuffix(".").split(".")
    if not seen.namespace_known:
        return _broken(
            _exit.USAGE,
            f"nobody says the namespace of {seen.asked}; the lines below look in 'default'",
            "Outside of a pod there is no own namespace to go by.",
            f"Write the namespace:\n  headless-discovery doctor {seen.asked}.<namespace>",
        )
    if len(labels) > 1:
        namespace_from = "in the name"
    elif seen.given_namespace:
        namespace_from = "given"
    elif around.environ.get("POD_NAMESPACE"):
        namespace_from = "from $POD_NAMESPACE"
    elif around.namespace_file:
        namespace_from = "the service account's"
    else:
        namespace_from = f"from {RESOLV_CONF}"
    said = f"{service}: namespace {service.namespace} ({namespace_from}), domain {service.domain} "
    if len(labels) > 3:
        return _ok(f"{said}(in the name)")
    if seen.given_domain:
        return _ok(f"{said}(given)")
    if around.resolv_conf.cluster_domain:
        return _ok(f"{said}(from {RESOLV_CONF})")
    return _look(
        f"{said}(assumed)",
        f"Nobody says the cluster's domain, so {DEFAULT_DOMAIN} is taken for it: the line "
        f"'cluster domain' tells whether the name server agrees.",
    )


# The name servers.


@check("name servers over UDP")
def udp(seen: Observations) -> Finding:
    """Whether they answer, and how fast."""
    if seen.no_servers is not None:
        return _broken(
            _exit.USAGE,
            seen.no_servers,
            "There is nobody to ask.",
            f"Name one, the cluster's DNS Service:\n"
            f"  kubectl get service -n kube-system kube-dns\n"
            f"  export {NAMESERVER_VARIABLE}=<its clusterIP>",
        )
    said = "; ".join(
        f"{reach.server} in {min(p.seconds for p in reach.udp if p.answer) * 1000:.1f} to "
        f"{max(p.seconds for p in reach.udp if p.answer) * 1000:.1f} ms"
        if reach.answers
        else f"{reach.server}: {reach.udp[0].reason}"
        for reach in seen.reach
    )
    silent = [str(reach.server) for reach in seen.reach if not reach.answers]
    if not silent:
        slow = any(p.seconds > SLOW for reach in seen.reach for p in reach.udp if p.answer)
        if not slow:
            return _ok(said)
        return _look(
            said,
            "Slow: the DNS pods are overloaded or far away.",
            "  kubectl top pods -n kube-system -l k8s-app=kube-dns",
        )
    do = (
        "Look whether the DNS pods run, and whether a NetworkPolicy keeps port 53 from them "
        "(UDP and TCP, to kube-system):\n"
        "  kubectl get pods -n kube-system -l k8s-app=kube-dns -o wide\n"
        + _kubectl(seen, "get", "networkpolicies")
    )
    if len(silent) < len(seen.reach):
        return _look(
            said, f"{', '.join(silent)} does not answer: every lookup may wait for it.", do
        )
    return _broken(_exit.FAILED, said, "No name server answers: nothing can be found.", do)


@check("name servers over TCP")
def tcp(seen: Observations) -> Finding:
    """Answers that are too large for UDP need it."""
    if not seen.reach:
        return _unseen("there is no name server")
    said = "; ".join(
        f"{reach.server} in {reach.tcp.seconds * 1000:.1f} ms"
        if reach.tcp.answer
        else f"{reach.server}: {reach.tcp.reason}"
        for reach in seen.reach
    )
    if all(reach.tcp.answer for reach in seen.reach):
        return _ok(said)
    do = (
        "Allow TCP port 53 beside UDP, in NetworkPolicies and in the DNS Service:\n"
        "  kubectl get service -n kube-system kube-dns -o yaml"
    )
    if any(reach.tcp.answer for reach in seen.reach):
        return _look(said, "Large answers come from some of the name servers only.", do)
    return _broken(
        _exit.FAILED,
        said,
        "Services of more than a dozen pods do not fit into UDP: their pods cannot be listed.",
        do,
    )


@check("no datagrams get lost")
def lost(seen: Observations) -> Finding:
    """The pattern of the five-second lookups."""
    answering = [reach for reach in seen.reach if reach.answers]
    if not answering:
        return _unseen("no name server answers")
    said = "; ".join(
        f"{reach.server} answered {len(reach.udp) - reach.lost} of {len(reach.udp)} at once"
        for reach in answering
    )
    if not any(reach.lost for reach in answering):
        return _ok(said)
    return _look(
        said,
        "Some datagrams get lost while others are answered at once. Programs that use libc then "
        "pause for 5 s: the connection tracking of the node drops one of two questions that "
        "leave one socket together (kubernetes/kubernetes#56903). This library sends each from "
        "a socket of its own, and asks again after 2 s.",
        "Run NodeLocal DNSCache, or give libc in the pod's spec:\n"
        "  dnsConfig:\n    options:\n    - name: single-request-reopen",
    )


# The domain and the namespace.


@check("cluster domain")
def domain(seen: Observations) -> Finding:
    """The name server says itself which zone it speaks for."""
    service = seen.wanted.service
    probe = seen.probe(service.domain, Type.A)
    if probe is None or probe.answer is None:
        return _no_answer(seen, probe)
    answer = probe.answer
    version = seen.answer(f"dns-version.{service.domain}", Type.TXT)
    if answer.rcode == "NOERROR" and answer.soa == service.domain:
        spec = version is not None and version.rcode == "NOERROR" and version.soa is None
        return _ok(
            f"{probe.server} speaks for {service.domain}"
            + (", and tells its dns-version" if spec else "")
        )
    true = _true_domain(seen)
    if true is None and answer.rcode in ("SERVFAIL", "REFUSED"):
        return _broken(
            _exit.FAILED,
            f"{probe.server} answers {answer.rcode} for {service.domain}",
            "It does not serve that domain, or cannot now: CoreDNS answers SERVFAIL until it "
            "has read the cluster's Services.",
            "  kubectl logs -n kube-system -l k8s-app=kube-dns",
        )
    hint = f"  headless-discovery doctor {seen.asked} --cluster-domain {true or '<domain>'}"
    return _broken(
        _exit.USAGE,
        f"{probe.server} answers {answer.rcode} for {service.domain}"
        + (f", and speaks for {_zone(answer.soa)}" if answer.soa else ""),
        f"The cluster's domain is {true}, not {service.domain}."
        if true
        else f"It does not serve {service.domain}: another domain, or not the cluster's server.",
        f"Give the domain, or the cluster's name server:\n{hint}",
    )


def _zone(soa: str) -> str:
    return "the root" if soa == "." else soa


def _foreign(seen: Observations) -> bool:
    """Whether what the name server says of the domain is not to be believed."""
    answer = seen.answer(seen.wanted.service.domain, Type.A)
    return answer is not None and answer.rcode != "NOERROR"


def _true_domain(seen: Observations) -> str | None:
    """From the names of Services that every cluster has."""
    for (_, rdtype), probe in seen.probes.items():
        if rdtype is Type.PTR and probe.answer is not None:
            for name in probe.answer.pointers:
                match name.split(".", 3):
                    case [_, _, "svc", found]:
                        return found
    return None


@check("namespace exists")
def namespace(seen: Observations) -> Finding:
    """The one thing besides pods whose existence DNS tells (CoreDNS: NODATA or NXDOMAIN)."""
    service = seen.wanted.service
    name = f"{service.namespace}.svc.{service.domain}"
    probe = seen.probe(name, Type.A)
    if probe is None or probe.answer is None:
        return _no_answer(seen, probe)
    if probe.answer.rcode == "NOERROR":
        return _ok(f"{name}: NOERROR")
    said = f"{name}: {probe.answer.rcode}"
    if not probe.answer.no_such_name or _foreign(seen):
        return _unseen(said)
    return _broken(
        _exit.NONE,
        said,
        f"There is no namespace {service.namespace}.",
        "Find the Service's:\n  kubectl get services -A --field-selector metadata.name="
        f"{service.service}",
    )


# The Service.


def _service_answers(seen: Observations) -> list[Answer]:
    name = str(seen.wanted.service)
    answers = (seen.answer(name, rdtype) for rdtype in (Type.SRV, Type.A, Type.AAAA))
    return [answer for answer in answers if answer is not None]


def _not_headless(seen: Observations) -> bool:
    return isinstance(seen.error, NotHeadless)


@check("headless Service")
def headless(seen: Observations) -> Finding:
    """Headless, with a virtual IP, or an alias."""
    service, answers = seen.wanted.service, _service_answers(seen)
    if not answers:
        return _no_answer(seen, seen.probe(str(service), Type.A))
    alias = next((answer.alias for answer in answers if answer.alias), None)
    if alias is not None:
        return _broken(
            _exit.NOT_HEADLESS,
            f"{service} is an alias of {alias}",
            "An ExternalName Service has no pods of its own.",
            f"Look up {alias} itself, or make a headless Service:\n{_headless_yaml(seen)}",
        )
    virtual = {
        address
        for answer in answers
        if any(target == str(service) for target, _ in answer.services)
        for address in answer.glue.get(str(service), ())
    }
    if virtual or _not_headless(seen):
        address = ", ".join(sorted(virtual)) or str(seen.error)
        return _broken(
            _exit.NOT_HEADLESS,
            f"{service} has a virtual IP: {address}",
            "A ClusterIP Service: DNS names no pod of it. Its virtual IP stands for all of them: "
            "it cannot be pinged, and takes the Service's port, not the targetPort.",
            f"Make a second, headless Service with the same selector:\n{_headless_yaml(seen)}",
        )
    if all(answer.negative for answer in answers):
        return _look(
            f"{service} has no records",
            "Without a published pod DNS does not tell one kind of Service from another.",
            _kubectl(seen, "get", f"service {service.service} -o yaml"),
        )
    return _ok(f"{service} names its pods")


def _headless_yaml(seen: Observations) -> str:
    service = seen.wanted.service
    return (
        f"  apiVersion: v1\n  kind: Service\n  metadata:\n"
        f"    name: {service.service}-headless\n    namespace: {service.namespace}\n"
        f"  spec:\n    clusterIP: None\n    selector:\n      app: <label of its pods>\n"
        f"    ports:\n    - name: <name>\n      port: <port>"
    )


@check("published pods")
def pods(seen: Observations) -> Finding:
    """Whether there is anybody."""
    service, endpoints = seen.wanted.service, seen.snapshot.endpoints
    if endpoints:
        udp_, tcp_ = seen.queries
        return _ok(f"{counted(len(endpoints), 'pod')}; queries: {udp_} over UDP, {tcp_} over TCP")
    if not seen.servers_answer:
        return _unseen("no name server answers")
    if _not_headless(seen):
        return _unseen("the Service is not headless")
    if _foreign(seen):
        return _unseen("the name server does not serve the domain")
    if isinstance(seen.error, NoSuchPort):
        return _look("there are some, none with that port", "See the line 'port'.")
    if seen.snapshot.state is not State.EMPTY:
        return _broken(
            _exit.FAILED,
            f"the lookup failed: {seen.error}",
            "Nothing is known of the pods. That is not: there are none.",
            "  kubectl logs -n kube-system -l k8s-app=kube-dns",
        )
    nxdomain = any(answer.no_such_name for answer in _service_answers(seen))
    return _broken(
        _exit.NONE,
        f"{service}: {'NXDOMAIN' if nxdomain else 'no address'}",
        "One of three, which DNS does not tell apart: there is no such Service; its selector "
        "matches no pod; or none of its pods is ready.",
        "Look which:\n"
        + _kubectl(seen, "get", f"service {service.service} -o wide")
        + f"\n{_slices(seen)}\n"
        + _kubectl(seen, "get", "pods --show-labels")
        + "\nPods listed as not ready: look at their readiness probe. If they must find one "
        "another before they are ready, publish them in the Service's spec:\n"
        "  publishNotReadyAddresses: true",
    )


@check("port")
def port(seen: Observations) -> Finding:
    """Asked, present, unnamed, and of which protocol."""
    wanted, service = seen.wanted, seen.wanted.service
    bare = seen.answer(str(service), Type.SRV)
    if bare is None:
        return _no_answer(seen, seen.probe(str(service), Type.SRV))
    if bare.negative and not seen.snapshot.endpoints:
        return _unseen("no pod is published")
    if _not_headless(seen):
        return _unseen("the Service is not headless")
    numbers = sorted({number for _, number in bare.services if number})
    said = f"DNS shows {_shown(seen) or ', '.join(map(str, numbers)) or 'no port'}"
    if isinstance(wanted.port, str):
        return _named_port(seen, said)
    if isinstance(wanted.port, int):
        if not numbers or wanted.port in numbers:
            return _ok(f"{wanted.port}, as given; {said}")
        return _look(
            f"{wanted.port}, as given; {said}",
            "The number given is none of the Service's: it is used all the same. A headless "
            "Service's pods listen at the targetPort.",
            _kubectl(seen, "get", f"service {service.service} -o yaml"),
        )
    if len(numbers) > 1:
        return _look(
            said,
            "The Service has several ports, so endpoints have none (port=None).",
            f"Say which, by its name:\n  headless-discovery doctor {seen.asked} --port <name>",
        )
    return _ok(said)


def _shown(seen: Observations) -> str:
    """The ports by protocol; to CoreDNS a name that is but an underscore is any name."""
    return ", ".join(
        f"{number} over {protocol.upper()}"
        for protocol in PROTOCOLS
        if (answer := seen.answer(f"_._{protocol}.{seen.wanted.service}", Type.SRV))
        for number in sorted({number for _, number in answer.services if number})
    )


def _named_port(seen: Observations, said: str) -> Finding:
    wanted, service = seen.wanted, seen.wanted.service
    here = seen.answer(wanted.name, Type.SRV)
    if here is not None and here.services:
        found = sorted({number for _, number in here.services})
        return _ok(f"{wanted.port} over {wanted.protocol.upper()}: {', '.join(map(str, found))}")
    others = [
        protocol
        for protocol in PROTOCOLS
        if (found_there := seen.answer(f"_{wanted.port}._{protocol}.{service}", Type.SRV))
        and found_there.services
    ]
    if others:
        return _broken(
            _exit.NO_SUCH_PORT,
            f"no {wanted.port} over {wanted.protocol.upper()}, but over {others[0].upper()}",
            "The port is published under another protocol.",
            f"Ask for that:\n  headless-discovery doctor {seen.asked} --port {wanted.port} "
            f"--protocol {others[0]}",
        )
    return _broken(
        _exit.NO_SUCH_PORT,
        f"no port named {wanted.port} over {wanted.protocol.upper()}; {said}",
        "The pods publish other ports. Names come from the Service's ports (of a Service "
        "without selector: from its EndpointSlices). A port without a name is found without one.",
        "Compare the names, and look whether the pods have the targetPort:\n"
        + _kubectl(seen, "get", f"service {service.service} -o yaml")
        + f"\n{_slices(seen)} -o yaml",
    )


@check("SRV and A agree")
def agree(seen: Observations) -> Finding:
    """Both tell of the same pods, each from a cache entry of its own."""
    name = str(seen.wanted.service)
    services = seen.answer(name, Type.SRV)
    addresses = [seen.answer(name, rdtype) for rdtype in (Type.A, Type.AAAA)]
    if services is None or None in addresses:
        return _no_answer(seen, seen.probe(name, Type.SRV))
    if _not_headless(seen):
        return _unseen("the Service is not headless")
    by_address = {address for answer in addresses if answer for address in answer.addresses}
    by_service = {address for found in services.glue.values() for address in found}
    if not services.services:
        if by_address:
            return _ok("no SRV records: a Service without ports; A and AAAA name its pods")
        return _unseen("no pod is published")
    if services.truncated or any(answer and answer.truncated for answer in addresses):
        return _unseen("an answer was cut")
    if by_address == by_service:
        return _ok(f"the same addresses, {len(by_address)} of them")
    return _look(
        f"only A and AAAA have {_some(by_address - by_service)}; "
        f"only SRV has {_some(by_service - by_address)}",
        "For some seconds: a cache has one answer from before a change. If it stays: pods that "
        "lack the Service's named targetPort are in A, but not in SRV.",
        f"{_slices(seen)} -o yaml",
    )


def _some(addresses: Iterable[str]) -> str:
    listed = sorted(addresses)
    more = f" and {len(listed) - 5} more" if len(listed) > 5 else ""
    return (", ".join(listed[:5]) or "none") + more


@check("names forward and back")
def names(seen: Observations) -> Finding:
    """Each pod's name has its address, and the address has that name."""
    endpoints = [e for e in seen.snapshot.endpoints if reverse_key(e) in seen.probes]
    if not endpoints:
        return _unseen("no pod was found")
    forward = [e for e in endpoints if not _resolves(seen, e)]
    if forward:
        return _broken(
            _exit.FAILED,
            f"{forward[0].name} does not have {forward[0].address}"
            + (f", nor {len(forward) - 1} others theirs" if len(forward) > 1 else ""),
            "The pod left just now, or caches contradict one another; both end in some seconds.",
            "Run this again; if it stays:\n  kubectl logs -n kube-system -l k8s-app=kube-dns",
        )
    back = [e for e in endpoints if not _points_back(seen, e)]
    if back:
        return _look(
            f"PTR of {_some(e.address for e in back)} does not name the pod",
            "Needed where SRV does not serve: without ports, or with too many pods. Some name "
            "servers forward reverse zones, and CoreDNS 1.11.4 to 1.12.0 lacked such records.",
        )
    total = len(seen.snapshot.endpoints)
    return _ok(f"{len(endpoints)} of {total} pods looked at, all both ways")


def reverse_key(endpoint: Endpoint) -> tuple[str, Type]:
    """Where the probe of its address is."""
    return reverse_name(endpoint.address), Type.PTR


def _resolves(seen: Observations, endpoint: Endpoint) -> bool:
    rdtype = Type.AAAA if ":" in endpoint.address else Type.A
    answer = seen.answer(endpoint.name, rdtype)
    return answer is not None and endpoint.address in answer.addresses


def _points_back(seen: Observations, endpoint: Endpoint) -> bool:
    answer = seen.answer(*reverse_key(endpoint))
    return answer is not None and endpoint.name in answer.pointers


@check("am I among them")
def own(seen: Observations) -> Finding:
    """Whether this pod is published itself."""
    if not seen.snapshot.endpoints:
        return _unseen("no pod was found")
    mine = find_self(seen.snapshot.endpoints, seen.own_addresses, seen.own_hostname)
    addresses = ", ".join(seen.own_addresses) or "none found"
    if mine:
        return _ok(f"{mine[0].name}, {mine[0].address}")
    return _look(
        f"no pod has an address of ours ({addresses})",
        "This pod is not ready yet, not selected by the Service, or no pod of it (as when this "
        "runs in a pod of its own).",
        f"{_slices(seen)} -o wide",
    )


# On the way.


@check("answer sizes")
def sizes(seen: Observations) -> Finding:
    """What fits over UDP, what needs TCP, and how far it is to the limit."""
    wanted = seen.wanted
    count = len(seen.snapshot.endpoints)
    key = (wanted.name, Type.SRV)
    first, whole = seen.probes.get(key), seen.over_tcp.get(key)
    if first is None or first.answer is None:
        return _no_answer(seen, first)
    if not first.answer.truncated:
        return _ok(f"{wanted.name} SRV: {first.size} bytes, fits over UDP")
    if whole is None or whole.answer is None:
        return _broken(
            _exit.FAILED,
            f"{wanted.name} SRV is cut over UDP; TCP: {whole and whole.reason}",
            "The pods do not fit over UDP, and TCP does not get through.",
            "Allow TCP port 53 to the name server, in NetworkPolicies too:\n"
            + _kubectl(seen, "get", "networkpolicies"),
        )
    split = "Split the Service before it outgrows DNS, or list its EndpointSlices through the API."
    if whole.answer.truncated:
        if isinstance(seen.error, IncompleteAnswer):
            return _broken(
                _exit.FAILED,
                f"{wanted.name} is cut over TCP too",
                "DNS carries at most 64 KiB: about 650 pods with names and ports, about 4,000 "
                "addresses. Not all pods can be listed.",
                split,
            )
        return _look(
            f"{wanted.name} SRV is cut over TCP too; A and AAAA have all {count} pods",
            "Names are then learnt by PTR, once for each address. About 4,000 addresses fit.",
            split,
        )
    limit = LARGEST * max(count, 1) // whole.size
    said = f"{wanted.name} SRV: {whole.size} bytes for {count} pods, over TCP; about {limit} fit"
    if 2 * whole.size < LARGEST:
        return _ok(said)
    return _look(said, "More than half of what DNS can carry.", split)


@check("caches on the way")
def caches(seen: Observations) -> Finding:
    """How long it takes until a new pod is seen."""
    name = str(seen.wanted.service)
    first, later = seen.probes.get((name, Type.A)), seen.later
    if first is None or first.answer is None or later is None or later.answer is None:
        return _no_answer(seen, first)
    before, after = first.answer, later.answer
    kind = "negative answer" if before.negative else "answer"
    cached = before.rcode == after.rcode and after.ttl < before.ttl
    if before.negative != after.negative:
        return _look(
            f"first {_told(before)}, {seen.later_after:.1f} s later {_told(after)}",
            "The Service changed just now, or the DNS pods do not agree yet.",
            "Run this again.",
        )
    if cached:
        return _look(
            f"the TTL of the {kind} went from {before.ttl} to {after.ttl} s in "
            f"{seen.later_after:.1f} s: a cache answers",
            f"A new pod is seen when the cache lets its answer go, after up to its TTL (it shows "
            f"{before.ttl} s now), and by this library up to 30 s later. A pod that asks before "
            f"it is published plants a negative answer that hides it for as long.",
            "To see pods sooner, shorten the cache of the cluster's zone in the Corefile:\n"
            "  kubectl get configmap -n kube-system coredns -o yaml",
        )
    if before.ttl > _LARGE_TTL:
        return _look(
            f"the TTL of the {kind} is {before.ttl} s",
            "Programs that keep answers so long see new pods that late; this library asks again "
            "after 30 s at the latest.",
            "Lower it in the Corefile:\n  kubernetes cluster.local { ttl 5 }",
        )
    refresh = min(max(before.ttl, 5), 30)
    return _ok(
        f"the TTL of the {kind} is {before.ttl} s, and no cache counts it down: a new pod is seen "
        f"within about {refresh * 1.2:.0f} s"
    )


def _told(answer: Answer) -> str:
    return answer.rcode if answer.negative else counted(len(answer.addresses), "pod")


@check("pods accept connections")
def connections(seen: Observations) -> Finding:
    """Whether it is the pod that fails, or DNS."""
    tried = seen.connections
    if tried is None:
        return _ok("not tried: --connect does")
    if not tried:
        return _unseen("no pod with a port was found: give --port")
    failed = [one for one in tried if one.failure is not None]
    to_virtual = _not_headless(seen)
    said = f"{len(tried) - len(failed)} of {len(tried)} accept"
    if not failed:
        return _ok(f"{said}{': the Service itself works' if to_virtual else ''}")
    shown = "; ".join(f"{one.endpoint}: {one.failure}" for one in failed[:5])
    said = f"{said}; {shown}"
    if to_virtual:
        means = (
            "The Service's virtual IP does not accept: it has no ready pod, or its targetPort "
            "is not the one that the app listens at."
        )
    elif len(failed) < len(tried):
        means = "DNS is right, these pods are not: gone a moment ago, hung, or cut off."
    else:
        means = (
            "No pod accepts. Refused: the app listens at another port, or at 127.0.0.1 alone. No "
            "answer: a NetworkPolicy, or the port is not TCP."
        )
    return _broken(
        _exit.FAILED,
        said,
        means,
        "  kubectl get pods -o wide"
        f" -n {seen.wanted.service.namespace}\n" + _kubectl(seen, "get", "networkpolicies"),
    )


# Other programs in the pod.


@check("cost of the search list")
def search_list(seen: Observations) -> Finding:
    """Why this library asks for absolute names."""
    conf, full = seen.surroundings.resolv_conf, str(seen.wanted.service)
    if not conf.search:
        return _ok(f"no search list in {RESOLV_CONF}; names are asked for as they are")
    asked = libc_asks(full, conf.search, conf.ndots)
    said = (
        f"{counted(len(conf.search), 'domain')}, ndots:{conf.ndots}: for {full} libc sends "
        f"{2 * (len(asked) - 1)} queries in vain"
    )
    longest, characters = _GLIBC_SEARCH
    if len(conf.search) > longest or len(" ".join(conf.search)) > characters:
        return _look(
            said,
            "A list of more than 6 domains or 256 characters is cut by older glibc, and ignored "
            "by musl: short names then do not resolve in such images.",
            "Use full names with a final dot.",
        )
    if len(asked) > _LONG_SEARCH:
        return _look(
            said,
            "This library asks for absolute names, once. Other programs in the pod pay for each "
            "lookup, and a wildcard in one of these domains answers in the Service's stead.",
            f"Write a final dot ({full}.), or in the pod's spec:\n"
            "  dnsConfig:\n    options:\n    - name: ndots\n      value: '2'",
        )
    return _ok(f"{said}; this library sends none")


def libc_asks(name: str, search: Sequence[str], ndots: int) -> list[str]:
    """The names that libc asks for until it comes to that one (resolv.conf(5))."""
    through = [f"{name}.{domain}" for domain in search]
    return [*through, name] if name.count(".") < ndots else [name]


@check("other tools in this image")
def tools(seen: Observations) -> Finding:
    """What not to believe."""
    if seen.libc.startswith("glibc"):
        return _ok(seen.libc)
    return _look(
        seen.libc or "not glibc, so probably musl (Alpine)",
        "musl asks all name servers at once and takes the first answer, never tries the search "
        "list for names with ndots dots, and before 1.2.4 had no TCP. busybox nslookup reports "
        "NXDOMAIN for names that resolve. None of that concerns this library.",
        "Look with this command or with dig, not with nslookup.",
    )
