"""Judging: the Service, and the pods that are published for it. It asks nobody."""

from collections.abc import Iterable

from .._commands import _exit
from .._commands._show import counted
from .._endpoint import Endpoint, State
from .._errors import NoSuchPort
from .._questions import reverse_name
from .._self import ThisPod
from .._service import PROTOCOLS
from .._wire import Answer, Type
from ._finding import (
    Finding,
    broken,
    is_foreign,
    kubectl,
    look,
    no_answer,
    not_headless,
    ok,
    slices,
    unseen,
)
from ._observations import Observations


def _service_answers(seen: Observations) -> list[Answer]:
    name = str(seen.wanted.service)
    answers = (seen.answer(name, rdtype) for rdtype in (Type.SRV, Type.A, Type.AAAA))
    return [answer for answer in answers if answer is not None]


def headless(seen: Observations) -> Finding:
    """Headless, with a virtual IP, or an alias."""
    service, answers = seen.wanted.service, _service_answers(seen)
    if not answers:
        return no_answer(seen, seen.probe(str(service), Type.A))
    alias = next((answer.alias for answer in answers if answer.alias), None)
    if alias is not None:
        return broken(
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
    if virtual or not_headless(seen):
        address = ", ".join(sorted(virtual)) or str(seen.error)
        return broken(
            _exit.NOT_HEADLESS,
            f"{service} has a virtual IP: {address}",
            "A ClusterIP Service: DNS names no pod of it. Its virtual IP stands for all of them: "
            "it cannot be pinged, and takes the Service's port, not the targetPort.",
            f"Make a second, headless Service with the same selector:\n{_headless_yaml(seen)}",
        )
    if all(answer.negative for answer in answers):
        return look(
            f"{service} has no records",
            "Without a published pod DNS does not tell one kind of Service from another.",
            kubectl(seen, "get", f"service {service.service} -o yaml"),
        )
    return ok(f"{service} names its pods")


def _headless_yaml(seen: Observations) -> str:
    service = seen.wanted.service
    return (
        f"  apiVersion: v1\n  kind: Service\n  metadata:\n"
        f"    name: {service.service}-headless\n    namespace: {service.namespace}\n"
        f"  spec:\n    clusterIP: None\n    selector:\n      app: <label of its pods>\n"
        f"    ports:\n    - name: <name>\n      port: <port>"
    )


def pods(seen: Observations) -> Finding:
    """Whether there is anybody."""
    service, endpoints = seen.wanted.service, seen.snapshot.endpoints
    if endpoints:
        udp_, tcp_ = seen.queries
        return ok(f"{counted(len(endpoints), 'pod')}; queries: {udp_} over UDP, {tcp_} over TCP")
    if not seen.servers_answer:
        return unseen("no name server answers")
    if not_headless(seen):
        return unseen("the Service is not headless")
    if is_foreign(seen):
        return unseen("the name server does not serve the domain")
    if isinstance(seen.error, NoSuchPort):
        return look("there are some, none with that port", "See the line 'port'.")
    if seen.snapshot.state is not State.EMPTY:
        return broken(
            _exit.FAILED,
            f"the lookup failed: {seen.error}",
            "Nothing is known of the pods. That is not: there are none.",
            "  kubectl logs -n kube-system -l k8s-app=kube-dns",
        )
    nxdomain = any(answer.no_such_name for answer in _service_answers(seen))
    return broken(
        _exit.NONE,
        f"{service}: {'NXDOMAIN' if nxdomain else 'no address'}",
        "One of three, which DNS does not tell apart: there is no such Service; its selector "
        "matches no pod; or none of its pods is ready.",
        "Look which:\n"
        + kubectl(seen, "get", f"service {service.service} -o wide")
        + f"\n{slices(seen)}\n"
        + kubectl(seen, "get", "pods --show-labels")
        + "\nPods listed as not ready: look at their readiness probe. If they must find one "
        "another before they are ready, publish them in the Service's spec:\n"
        "  publishNotReadyAddresses: true",
    )


def port(seen: Observations) -> Finding:
    """Asked, present, unnamed, and of which protocol."""
    wanted, service = seen.wanted, seen.wanted.service
    bare = seen.answer(str(service), Type.SRV)
    if bare is None:
        return no_answer(seen, seen.probe(str(service), Type.SRV))
    if bare.negative and not seen.snapshot.endpoints:
        return unseen("no pod is published")
    if not_headless(seen):
        return unseen("the Service is not headless")
    numbers = sorted({number for _, number in bare.services if number})
    said = f"DNS shows {_shown(seen) or ', '.join(map(str, numbers)) or 'no port'}"
    if isinstance(wanted.port, str):
        return _named_port(seen, said)
    if isinstance(wanted.port, int):
        if not numbers or wanted.port in numbers:
            return ok(f"{wanted.port}, as given; {said}")
        return look(
            f"{wanted.port}, as given; {said}",
            "The number given is none of the Service's: it is used all the same. A headless "
            "Service's pods listen at the targetPort.",
            kubectl(seen, "get", f"service {service.service} -o yaml"),
        )
    if len(numbers) > 1:
        return look(
            said,
            "The Service has several ports, so endpoints have none (port=None).",
            f"Say which, by its name:\n  headless-discovery doctor {seen.asked} --port <name>",
        )
    return ok(said)


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
        return ok(f"{wanted.port} over {wanted.protocol.upper()}: {', '.join(map(str, found))}")
    others = [
        protocol
        for protocol in PROTOCOLS
        if (found_there := seen.answer(f"_{wanted.port}._{protocol}.{service}", Type.SRV))
        and found_there.services
    ]
    if others:
        return broken(
            _exit.NO_SUCH_PORT,
            f"no {wanted.port} over {wanted.protocol.upper()}, but over {others[0].upper()}",
            "The port is published under another protocol.",
            f"Ask for that:\n  headless-discovery doctor {seen.asked} --port {wanted.port} "
            f"--protocol {others[0]}",
        )
    return broken(
        _exit.NO_SUCH_PORT,
        f"no port named {wanted.port} over {wanted.protocol.upper()}; {said}",
        "The pods publish other ports. Names come from the Service's ports (of a Service "
        "without selector: from its EndpointSlices). A port without a name is found without one.",
        "Compare the names, and look whether the pods have the targetPort:\n"
        + kubectl(seen, "get", f"service {service.service} -o yaml")
        + f"\n{slices(seen)} -o yaml",
    )


def agree(seen: Observations) -> Finding:
    """Both tell of the same pods, each from a cache entry of its own."""
    name = str(seen.wanted.service)
    services = seen.answer(name, Type.SRV)
    addresses = [seen.answer(name, rdtype) for rdtype in (Type.A, Type.AAAA)]
    if services is None or None in addresses:
        return no_answer(seen, seen.probe(name, Type.SRV))
    if not_headless(seen):
        return unseen("the Service is not headless")
    by_address = {address for answer in addresses if answer for address in answer.addresses}
    by_service = {address for found in services.glue.values() for address in found}
    if not services.services:
        if by_address:
            return ok("no SRV records: a Service without ports; A and AAAA name its pods")
        return unseen("no pod is published")
    if services.truncated or any(answer and answer.truncated for answer in addresses):
        return unseen("an answer was cut")
    if by_address == by_service:
        return ok(f"the same addresses, {len(by_address)} of them")
    return look(
        f"only A and AAAA have {_some(by_address - by_service)}; "
        f"only SRV has {_some(by_service - by_address)}",
        "For some seconds: a cache has one answer from before a change. If it stays: pods that "
        "lack the Service's named targetPort are in A, but not in SRV.",
        f"{slices(seen)} -o yaml",
    )


def _some(addresses: Iterable[str]) -> str:
    listed = sorted(addresses)
    more = f" and {len(listed) - 5} more" if len(listed) > 5 else ""
    return (", ".join(listed[:5]) or "none") + more


def names(seen: Observations) -> Finding:
    """Each pod's name has its address, and the address has that name."""
    endpoints = [e for e in seen.snapshot.endpoints if reverse_key(e) in seen.probes]
    if not endpoints:
        return unseen("no pod was found")
    forward = [e for e in endpoints if not _resolves(seen, e)]
    if forward:
        return broken(
            _exit.FAILED,
            f"{forward[0].name} does not have {forward[0].address}"
            + (f", nor {len(forward) - 1} others theirs" if len(forward) > 1 else ""),
            "The pod left just now, or caches contradict one another; both end in some seconds.",
            "Run this again; if it stays:\n  kubectl logs -n kube-system -l k8s-app=kube-dns",
        )
    back = [e for e in endpoints if not _points_back(seen, e)]
    if back:
        return look(
            f"PTR of {_some(e.address for e in back)} does not name the pod",
            "Needed where SRV does not serve: without ports, or with too many pods. Some name "
            "servers forward reverse zones, and CoreDNS 1.11.4 to 1.12.0 lacked such records.",
        )
    total = len(seen.snapshot.endpoints)
    return ok(f"{len(endpoints)} of {total} pods looked at, all both ways")


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


def own(seen: Observations) -> Finding:
    """Whether this pod is published itself."""
    if not seen.snapshot.endpoints:
        return unseen("no pod was found")
    mine = ThisPod(seen.own_addresses, seen.own_hostname).among(seen.snapshot.endpoints)
    addresses = ", ".join(seen.own_addresses) or "none found"
    if mine:
        return ok(f"{mine[0].name}, {mine[0].address}")
    return look(
        f"no pod has an address of ours ({addresses})",
        "This pod is not ready yet, not selected by the Service, or no pod of it (as when this "
        "runs in a pod of its own).",
        f"{slices(seen)} -o wide",
    )
