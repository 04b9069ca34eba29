"""Checks of the Service, and of the pods that are published for it. Each is a pure function."""

from .._dns.message import Answer, Type
from .._dns.names import PROTOCOLS
from .._dns.naming import reverse_name
from .._dns.wanted import family_of
from .._endpoint import State
from .._errors import ConfigurationError, NoSuchPort
from ._finding import ADDRESSES, LOGS, Finding, Observations, Unseen, fail, is_usable, ok, warn
from ._messages import by_options
from ._options import FAILED, NO_SUCH_PORT, NONE, NOT_HEADLESS, USAGE
from ._show import counted, listed

_QUESTIONS = 3
"""SRV, A and AAAA."""
_PODS = 2
"""So many names show that it is no virtual IP."""


def _service_answers(seen: Observations) -> list[Answer]:
    """The answers about the Service itself, without refusals and failures."""
    name = str(seen.wanted.service)
    answers = (seen.answer(name, rdtype) for rdtype in (Type.SRV, *ADDRESSES))
    return [answer for answer in answers if answer and is_usable(answer)]


def headless(seen: Observations) -> Finding:
    """Headless, with a virtual IP, or an alias."""
    service, answers = seen.wanted.service, _service_answers(seen)
    if not answers:
        raise seen.no_answer(seen.probe(str(service), Type.A))
    seen.expect_served()
    alias = next((answer.alias for answer in answers if answer.alias), None)
    if alias is not None and not any(answer.addresses for answer in answers if not answer.alias):
        return fail(
            NOT_HEADLESS,
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
    if virtual or not seen.is_headless:
        address = ", ".join(sorted(virtual)) or str(seen.error)
        return fail(
            NOT_HEADLESS,
            f"{service} has a virtual IP: {address}",
            "A ClusterIP Service: DNS names no pod of it. Its virtual IP stands for all of them: "
            "it cannot be pinged, and takes the Service's port, not the targetPort.",
            f"Make a second, headless Service with the same selector:\n{_headless_yaml(seen)}",
        )
    if len(answers) < _QUESTIONS and len(seen.snapshot.endpoints) < _PODS:
        # One address without SRV may be a virtual IP, and what was not answered may be anything.
        raise Unseen("SRV, A and AAAA were not all answered")
    if all(answer.negative for answer in answers):
        return warn(
            f"{service} has no records",
            "Without a published pod DNS does not show which kind of Service it is.",
            seen.show_service,
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
    """Whether there are any pods."""
    service, endpoints = seen.wanted.service, seen.snapshot.endpoints
    if endpoints:
        udp_, tcp_ = seen.queries
        return ok(f"{counted(len(endpoints), 'pod')}; queries: {udp_} over UDP, {tcp_} over TCP")
    if not seen.servers_answer:
        raise Unseen("no name server answers")
    seen.expect_headless()
    seen.expect_served()
    if isinstance(seen.error, NoSuchPort):
        return warn("there are some, none with that port", "See the line 'port'.")
    if isinstance(seen.error, ConfigurationError):
        hint = by_options(seen.error.hint or "")
        return fail(USAGE, by_options(str(seen.error)), "No lookup can be made.", hint)
    if seen.snapshot.state is not State.EMPTY:
        return fail(
            FAILED,
            f"the lookup failed: {by_options(str(seen.error))}",
            "Nothing is known about the pods, which does not mean that there are none.",
            LOGS,
        )
    nxdomain = any(answer.no_such_name for answer in _service_answers(seen))
    return fail(
        NONE,
        f"{service}: {'NXDOMAIN' if nxdomain else 'no address'}",
        "One of three, which DNS does not tell apart: there is no such Service; its selector "
        "matches no pod; or none of its pods is ready.",
        "List them:\n"
        + seen.kubectl("get", f"service {service.service} -o wide")
        + f"\n{seen.list_slices}\n"
        + seen.kubectl("get", "pods --show-labels")
        + "\nPods listed as not ready: check their readiness probe. If they must find one "
        "another before they are ready, publish them in the Service's spec:\n"
        "  publishNotReadyAddresses: true",
    )


def port(seen: Observations) -> Finding:
    """Whether the port exists, has a name, and has this protocol."""
    wanted, service = seen.wanted, seen.wanted.service
    bare = seen.answered(str(service), Type.SRV)
    if bare.negative and not seen.snapshot.endpoints and not isinstance(seen.error, NoSuchPort):
        raise Unseen("no pod is published")
    seen.expect_headless()
    if not is_usable(bare):
        raise Unseen(f"SRV is answered with {bare.rcode}")
    numbers = sorted({number for _, number in bare.services if number})
    said = f"DNS shows {_shown(seen) or ', '.join(map(str, numbers)) or 'no port'}"
    if isinstance(wanted.port, str):
        return _named_port(seen, said)
    if isinstance(wanted.port, int):
        if not numbers or wanted.port in numbers:
            return ok(f"{wanted.port}, as given; {said}")
        return warn(
            f"{wanted.port}, as given; {said}",
            "The number given is none of the Service's: it is used all the same. A headless "
            "Service's pods listen at the targetPort.",
            seen.show_service,
        )
    if len(numbers) > 1:
        return warn(
            said,
            "The Service has several ports, so endpoints have none.",
            f"Say which, by its name:\n{seen.doctor('--port <name>')}",
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
        return fail(
            NO_SUCH_PORT,
            f"no {wanted.port} over {wanted.protocol.upper()}, but over {others[0].upper()}",
            "The port is published under another protocol.",
            "Ask for that:\n" + seen.doctor(f"--port {wanted.port} --protocol {others[0]}"),
        )
    return fail(
        NO_SUCH_PORT,
        f"no port named {wanted.port} over {wanted.protocol.upper()}; {said}",
        "The pods publish other ports. Names come from the Service's ports (of a Service "
        "without selector: from its EndpointSlices). A port without a name is found without one.",
        "Compare the names, and look whether the pods have the targetPort:\n"
        + seen.show_service
        + f"\n{seen.list_slices} -o yaml",
    )


def agree(seen: Observations) -> Finding:
    """Both list the same pods, each from a cache entry of its own; or SRV is not available."""
    name = str(seen.wanted.service)
    services = seen.answer(name, Type.SRV)
    addresses = [answer for rdtype in ADDRESSES if (answer := seen.answer(name, rdtype))]
    if any(answer.addresses for answer in addresses) and not is_usable(services):
        return _without_srv(seen, services)
    if services is None or len(addresses) < len(ADDRESSES):
        raise seen.no_answer(seen.probe(name, Type.SRV))
    seen.expect_headless()
    by_address = {address for answer in addresses for address in answer.addresses}
    by_service = {address for found in services.glue.values() for address in found}
    if not services.services:
        if by_address:
            return ok("no SRV records: a Service without ports; A and AAAA name its pods")
        raise Unseen("no pod is published")
    if services.truncated or any(answer.truncated for answer in addresses):
        raise Unseen("an answer was truncated")
    if by_address == by_service:
        return ok(f"the same {counted(len(by_address), 'address')}")
    return warn(
        f"only A and AAAA have {listed(by_address - by_service)}; "
        f"only SRV has {listed(by_service - by_address)}",
        "For some seconds: a cache has one answer from before a change. If it stays: pods that "
        "lack the Service's named targetPort are in A, but not in SRV.",
        f"{seen.list_slices} -o yaml",
    )


def _without_srv(seen: Observations, services: Answer | None) -> Finding:
    probe = seen.probe(str(seen.wanted.service), Type.SRV)
    reason = services.rcode if services else (probe and probe.reason) or "no answer"
    said = f"A is answered, SRV is not: {reason}"
    if isinstance(seen.wanted.port, str):
        return fail(
            FAILED,
            said,
            "The name server, or a proxy before it, refuses SRV records, and only they have the "
            "number of a named port.",
            f"Give the number:\n{seen.doctor('--records address --port <number>')}",
        )
    return warn(
        said,
        "The name server, or a proxy before it, refuses SRV records. Pods are found by A and "
        "AAAA, and named by PTR records.",
        f"Do without SRV:\n{seen.doctor('--records address')}",
    )


def names(seen: Observations) -> Finding:
    """Each pod's name has its address, and the address has that name."""
    back = {e: (reverse_name(e.address), Type.PTR) for e in seen.snapshot.endpoints}
    checked = [endpoint for endpoint, key in back.items() if key in seen.probes]
    if not checked:
        raise Unseen("no pod was found")
    lost = [one for one in checked if one.address not in _addresses_of(seen, one.name)]
    if lost:
        others = f" (and {counted(len(lost) - 1, 'more pod')})" if len(lost) > 1 else ""
        return fail(
            FAILED,
            f"{lost[0].name} does not resolve to {lost[0].address}{others}",
            "The pod left just now, or caches contradict one another; both end in some seconds.",
            f"Run this again; if it stays:\n{LOGS}",
        )
    nameless = [
        one.address
        for one in checked
        if (answer := seen.answer(*back[one])) is None or one.name not in answer.pointers
    ]
    if nameless:
        return warn(
            f"PTR of {listed(nameless)} does not name the pod",
            "Needed where SRV does not serve: without ports, or with too many pods. Some name "
            "servers forward reverse zones, and CoreDNS 1.11.4 to 1.12.0 lacked such records.",
        )
    return ok(f"{len(checked)} of {counted(len(back), 'pod')} checked, all both ways")


def _addresses_of(seen: Observations, name: str) -> set[str]:
    """What a pod's name has, in the family that its endpoints are used by."""
    family = next(family_of(e.address) for e in seen.snapshot.endpoints if e.name == name)
    answer = seen.answer(name, family)
    return set(answer.addresses if answer else ())


def distinct(seen: Observations) -> Finding:
    """Whether a name stands for one pod."""
    by_name: dict[str, set[str]] = {}
    for one in seen.endpoints:
        found = by_name.setdefault(one.name, _addresses_of(seen, one.name))
        found.add(one.address)
    shared = {name: addresses for name, addresses in by_name.items() if len(addresses) > 1}
    if not shared:
        probes = [seen.probes.get((e.name, family_of(e.address))) for e in seen.endpoints]
        asked = [probe for probe in probes if probe is not None]
        if silent := [probe for probe in asked if probe.answer is None]:
            raise seen.no_answer(silent[0])
        total = counted(len(seen.endpoints), "pod")
        return ok(f"{len(asked)} of {total} checked, each with a name of its own")
    return warn(
        listed(f"{name} has {listed(shared[name])}" for name in sorted(shared)),
        "Pods share one host name: a Deployment with 'hostname' in its template, or hand-made "
        "EndpointSlices. Once answers confirm it for 30 s, each address counts as a pod.",
        "Leave 'hostname' out of the template, or run the pods as a StatefulSet.",
    )


def own(seen: Observations) -> Finding:
    """Whether this pod is published itself, and which one it is."""
    endpoints = seen.endpoints
    if not seen.this_pod.addresses:
        raise Unseen("this pod's own address is not known: set $POD_IP (fieldPath: status.podIP)")
    ours = {address for address, _ in seen.this_pod.addresses}
    here = [endpoint for endpoint in endpoints if ours & set(endpoint.addresses)]
    names_here = sorted({endpoint.name for endpoint in here})
    if not here:
        return warn(
            f"no pod has an address of ours ({listed(ours)})",
            "This pod is not ready yet, not selected by the Service, or not a pod of it (as when "
            "this runs in a pod of its own).",
            f"{seen.list_slices} -o wide",
        )
    if len(names_here) == 1:
        return ok(f"{here[0].name}, {here[0].address}")
    said = f"{counted(len(names_here), 'pod')} have our address {here[0].address}"
    if mine := seen.this_pod.among(endpoints):
        return ok(f"{said}; by our name we are {mine[0].name}")
    return warn(
        f"{said}: {listed(names_here)}; none is called {' or '.join(seen.this_pod.names)}",
        "Pods with hostNetwork share their node's address, and the host name is the node's. This "
        "pod cannot be distinguished: --exclude-self does not leave it out.",
        "Give the pod its name:\n"
        "  env:\n  - name: POD_NAME\n    valueFrom: {fieldRef: {fieldPath: metadata.name}}",
    )
