"""Judging: the name servers, the domain and the namespace. It asks nobody."""

from .._commands import _exit
from .._transport import NAMESERVER_VARIABLE
from .._wire import Type
from ._finding import Finding, broken, is_foreign, kubectl, look, no_answer, ok, unseen
from ._observations import Observations

SLOW = 0.5
"""Seconds: an answer from inside the cluster takes a few milliseconds."""


def udp(seen: Observations) -> Finding:
    """Whether they answer, and how fast."""
    if seen.no_servers is not None:
        return broken(
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
            return ok(said)
        return look(
            said,
            "Slow: the DNS pods are overloaded or far away.",
            "  kubectl top pods -n kube-system -l k8s-app=kube-dns",
        )
    do = (
        "Look whether the DNS pods run, and whether a NetworkPolicy keeps port 53 from them "
        "(UDP and TCP, to kube-system):\n"
        "  kubectl get pods -n kube-system -l k8s-app=kube-dns -o wide\n"
        + kubectl(seen, "get", "networkpolicies")
    )
    if len(silent) < len(seen.reach):
        return look(said, f"{', '.join(silent)} does not answer: every lookup may wait for it.", do)
    return broken(_exit.FAILED, said, "No name server answers: nothing can be found.", do)


def tcp(seen: Observations) -> Finding:
    """Answers that are too large for UDP need it."""
    if not seen.reach:
        return unseen("there is no name server")
    said = "; ".join(
        f"{reach.server} in {reach.tcp.seconds * 1000:.1f} ms"
        if reach.tcp.answer
        else f"{reach.server}: {reach.tcp.reason}"
        for reach in seen.reach
    )
    if all(reach.tcp.answer for reach in seen.reach):
        return ok(said)
    do = (
        "Allow TCP port 53 beside UDP, in NetworkPolicies and in the DNS Service:\n"
        "  kubectl get service -n kube-system kube-dns -o yaml"
    )
    if any(reach.tcp.answer for reach in seen.reach):
        return look(said, "Large answers come from some of the name servers only.", do)
    return broken(
        _exit.FAILED,
        said,
        "Services of more than a dozen pods do not fit into UDP: their pods cannot be listed.",
        do,
    )


def lost(seen: Observations) -> Finding:
    """The pattern of the five-second lookups."""
    answering = [reach for reach in seen.reach if reach.answers]
    if not answering:
        return unseen("no name server answers")
    said = "; ".join(
        f"{reach.server} answered {len(reach.udp) - reach.lost} of {len(reach.udp)} at once"
        for reach in answering
    )
    if not any(reach.lost for reach in answering):
        return ok(said)
    return look(
        said,
        "Some datagrams get lost while others are answered at once. Programs that use libc then "
        "pause for 5 s: the connection tracking of the node drops one of two questions that "
        "leave one socket together (kubernetes/kubernetes#56903). This library sends each from "
        "a socket of its own, and asks again after 2 s.",
        "Run NodeLocal DNSCache, or give libc in the pod's spec:\n"
        "  dnsConfig:\n    options:\n    - name: single-request-reopen",
    )


def domain(seen: Observations) -> Finding:
    """The name server says itself which zone it speaks for."""
    service = seen.wanted.service
    probe = seen.probe(service.domain, Type.A)
    if probe is None or probe.answer is None:
        return no_answer(seen, probe)
    answer = probe.answer
    version = seen.answer(f"dns-version.{service.domain}", Type.TXT)
    if answer.rcode == "NOERROR" and answer.soa == service.domain:
        spec = version is not None and version.rcode == "NOERROR" and version.soa is None
        return ok(
            f"{probe.server} speaks for {service.domain}"
            + (", and tells its dns-version" if spec else "")
        )
    true = _true_domain(seen)
    if true is None and answer.rcode in ("SERVFAIL", "REFUSED"):
        return broken(
            _exit.FAILED,
            f"{probe.server} answers {answer.rcode} for {service.domain}",
            "It does not serve that domain, or cannot now: CoreDNS answers SERVFAIL until it "
            "has read the cluster's Services.",
            "  kubectl logs -n kube-system -l k8s-app=kube-dns",
        )
    hint = f"  headless-discovery doctor {seen.asked} --cluster-domain {true or '<domain>'}"
    return broken(
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


def _true_domain(seen: Observations) -> str | None:
    """From the names of Services that every cluster has."""
    for (_, rdtype), probe in seen.probes.items():
        if rdtype is Type.PTR and probe.answer is not None:
            for name in probe.answer.pointers:
                match name.split(".", 3):
                    case [_, _, "svc", found]:
                        return found
    return None


def namespace(seen: Observations) -> Finding:
    """The one thing besides pods whose existence DNS tells (CoreDNS: NODATA or NXDOMAIN)."""
    service = seen.wanted.service
    name = f"{service.namespace}.svc.{service.domain}"
    probe = seen.probe(name, Type.A)
    if probe is None or probe.answer is None:
        return no_answer(seen, probe)
    if probe.answer.rcode == "NOERROR":
        return ok(f"{name}: NOERROR")
    said = f"{name}: {probe.answer.rcode}"
    if not probe.answer.no_such_name or is_foreign(seen):
        return unseen(said)
    return broken(
        _exit.NONE,
        said,
        f"There is no namespace {service.namespace}.",
        "Find the Service's:\n  kubectl get services -A --field-selector metadata.name="
        f"{service.service}",
    )
