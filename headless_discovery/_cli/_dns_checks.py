"""Checks of the place that this runs in, and of the name servers. Each is a pure function."""

from collections.abc import Sequence

from .._dns.message import Answer, Type
from .._dns.names import DEFAULT_DOMAIN
from .._dns.resolver import NAMESERVER_VARIABLE
from .._dns.surroundings import RESOLV_CONF
from ._finding import (
    COREFILE,
    LOGS,
    Finding,
    Observations,
    Reach,
    Unseen,
    fail,
    is_usable,
    ok,
    serves,
    warn,
)
from ._options import FAILED, NONE, USAGE, in_pod
from ._show import counted, listed

_LONG_SEARCH = 4
_GLIBC_SEARCH = (6, 256)
"""Domains and characters of a search list that glibc up to 2.25 takes (resolv.conf(5))."""
_SLOW = 0.5
"""Seconds: an answer from inside the cluster takes a few milliseconds."""


# The place.


def inside(seen: Observations) -> Finding:
    """resolv.conf's search entry, the service account, the API server's variables."""
    found = in_pod(seen.surroundings)
    if found:
        return ok("; ".join(found))
    port = "" if seen.wanted.port is None else f" --port {seen.wanted.port}"
    run = "doctor --rm -it --restart=Never --image=<image> -- doctor"
    return warn(
        f"no search entry svc.<domain> in {RESOLV_CONF}, no service account, no "
        f"$KUBERNETES_SERVICE_HOST",
        "This is not a pod: the cluster's DNS is usually out of reach from here.",
        "Run this in a pod of the same namespace:\n"
        + seen.kubectl("run", f"{run} {seen.arguments.service}{port}")
        + "\nor develop without a cluster:\n  headless-discovery serve manifests.yaml",
    )


def pods_resolv_conf(seen: Observations) -> Finding:
    """A pod on the host's network has the node's resolv.conf unless it asks for another."""
    conf = seen.surroundings.resolv_conf
    if seen.nameservers_from != str(RESOLV_CONF):
        return ok(f"not needed: the name servers come from {seen.nameservers_from}")
    if not conf.nameservers and not conf.search:
        raise Unseen(f"{RESOLV_CONF} is empty or cannot be read")
    servers = ", ".join(conf.nameservers) or "none"
    said = f"name servers {servers}; search {' '.join(conf.search) or 'none'}"
    if conf.cluster_domain is not None:
        return ok(said)
    if seen.surroundings.namespace_file is None:
        return warn(said, "It has no entry of a cluster: that is usual outside of a pod.")
    return fail(
        USAGE,
        said,
        "This is a pod with the node's resolv.conf: hostNetwork without a dnsPolicy for it, or "
        "dnsPolicy: Default. The node's name servers know no Services.",
        "Set in the pod's spec:\n  dnsPolicy: ClusterFirstWithHostNet",
    )


def name_parts(seen: Observations) -> Finding:
    """What the full name is, and where its parts come from."""
    service, around, arguments = seen.wanted.service, seen.surroundings, seen.arguments
    labels = arguments.service.removesuffix(".").split(".")
    if not seen.namespace_known:
        return fail(
            USAGE,
            f"nothing says the namespace of {arguments.service}; the lines below look in 'default'",
            "Outside of a pod there is no namespace of its own to go by.",
            f"Give the namespace:\n{seen.doctor('-n <namespace>')}",
        )
    if len(labels) > 1:
        namespace_from = "in the name"
    elif arguments.namespace:
        namespace_from = "given"
    elif around.environ.get("POD_NAMESPACE"):
        namespace_from = "from $POD_NAMESPACE"
    else:
        namespace_from = "the service account's" if around.namespace_file else f"from {RESOLV_CONF}"
    said = f"{service}: namespace {service.namespace} ({namespace_from}), domain {service.domain} "
    if len(labels) > 3:
        return ok(f"{said}(in the name)")
    if arguments.cluster_domain:
        return ok(f"{said}(given)")
    if around.resolv_conf.cluster_domain:
        return ok(f"{said}(from {RESOLV_CONF})")
    return warn(
        f"{said}(assumed)",
        f"Nothing says the cluster's domain, so {DEFAULT_DOMAIN} is assumed: the line "
        f"'cluster domain' says whether the name server agrees.",
    )


def search_list(seen: Observations) -> Finding:
    """What libc makes of the name; why this library asks for absolute names."""
    conf, full = seen.surroundings.resolv_conf, str(seen.wanted.service)
    if not conf.search:
        if not conf.nameservers:
            raise Unseen(f"{RESOLV_CONF} is empty or cannot be read")
        return ok(f"no search list in {RESOLV_CONF}; names are queried as they are")
    # Names of few dots go through the list first (resolv.conf(5)).
    before = [f"{full}.{domain}" for domain in conf.search if full.count(".") < conf.ndots]
    said = (
        f"{counted(len(conf.search), 'domain')}, ndots:{conf.ndots}: for {full} libc sends "
        f"{2 * len(before)} extra queries"
    )
    absolute = f"Write a final dot: {full}."
    caught = [
        f"{name} has the address {listed(answer.addresses)}"
        for name in before
        if (answer := seen.answer(name, Type.A)) and answer.addresses
    ]
    if caught:
        return warn(
            f"{said}; {'; '.join(caught)}",
            "A wildcard in a domain of the search list answers in place of the Service. This "
            "library asks for absolute names; other programs in the pod connect there instead.",
            absolute,
        )
    longest, characters = _GLIBC_SEARCH
    if len(conf.search) > longest or len(" ".join(conf.search)) > characters:
        return warn(
            said,
            "A list of more than 6 domains or 256 characters is shortened by older glibc, and "
            "ignored by musl: short names then do not resolve in such images.",
            absolute,
        )
    if len(before) >= _LONG_SEARCH:
        return warn(
            said,
            "This library asks for absolute names, once. Other programs in the pod pay for each "
            "lookup.",
            f"{absolute} Or set in the pod's spec:\n"
            "  dnsConfig:\n    options:\n    - name: ndots\n      value: '2'",
        )
    return ok(f"{said}; this library sends none")


def tools(seen: Observations) -> Finding:
    """Replies that must not be trusted."""
    if seen.libc.startswith("glibc"):
        return ok(seen.libc)
    return warn(
        seen.libc or "not glibc, so probably musl (Alpine)",
        "musl queries all name servers at once and takes the first answer, never tries the search "
        "list for names with ndots dots, and before 1.2.4 had no TCP. busybox nslookup reports "
        "NXDOMAIN for names that resolve. None of that concerns this library.",
        "Compare with this command or with dig, not with nslookup.",
    )


# The name servers.


def udp(seen: Observations) -> Finding:
    """Whether they answer, how fast, and from where."""
    if seen.no_servers is not None:
        return fail(
            USAGE,
            seen.no_servers,
            "There is no name server to ask.",
            f"Give the cluster's DNS Service:\n"
            f"  kubectl get service -n kube-system kube-dns\n"
            f"  export {NAMESERVER_VARIABLE}=<its clusterIP>",
        )
    said = "; ".join(_over_udp(reach) for reach in seen.reach)
    silent = [reach for reach in seen.reach if not reach.over_udp]
    if not silent:
        if max(max(_times(reach)) for reach in seen.reach) <= _SLOW:
            return ok(said)
        return warn(
            said,
            "Slow: the DNS pods are overloaded or far away.",
            "  kubectl top pods -n kube-system -l k8s-app=kube-dns",
        )
    means, do = _why_silent(seen, silent)
    if len(silent) < len(seen.reach):
        return warn(said, f"{means} Every lookup may have to wait for that.", do)
    if seen.over_tcp_first and seen.servers_answer:
        return warn(said, f"{means} With 'options use-vc' this library asks over TCP first.", do)
    return fail(FAILED, said, means, do)


def _times(reach: Reach) -> list[float]:
    return [probe.seconds for probe in (*reach.udp, reach.plain) if probe.answer]


def _over_udp(reach: Reach) -> str:
    if times := _times(reach):
        return f"{reach.server} in {min(times) * 1000:.1f} to {max(times) * 1000:.1f} ms"
    if reach.elsewhere is not None:
        return f"{reach.server}: the reply came from another address, {reach.elsewhere}"
    return f"{reach.server}: {reach.udp[0].reason}"


def _why_silent(seen: Observations, silent: Sequence[Reach]) -> tuple[str, str]:
    """What it means that these do not answer over UDP, and what to do."""
    names = listed(str(reach.server) for reach in silent)
    if any(reach.elsewhere for reach in silent):
        return (
            "A reply counts only if it comes from the queried address, for libc and for "
            "this library: any host could send forged ones. The node translates addresses in one "
            "direction only, as without br_netfilter where pod and name server share a node "
            "(kubernetes/kubernetes#21613).",
            "On the nodes:\n  modprobe br_netfilter\n  sysctl net.bridge.bridge-nf-call-iptables=1",
        )
    if any(reach.tcp.answer for reach in silent):
        return (
            f"{names} replies over TCP but not over UDP: something blocks UDP port 53.",
            "Allow UDP port 53 in NetworkPolicies and in the DNS Service:\n"
            + seen.policies
            + "\nor ask over TCP, in the pod's spec:\n"
            "  dnsConfig:\n    options:\n    - name: use-vc",
        )
    return (
        f"{names} does not answer, over TCP either: nothing can be found there.",
        "Check that the DNS pods run, and that no NetworkPolicy blocks port 53 (UDP and TCP, to "
        "kube-system):\n"
        "  kubectl get pods -n kube-system -l k8s-app=kube-dns -o wide\n" + seen.policies,
    )


def tcp(seen: Observations) -> Finding:
    """Answers that are too large for UDP need it."""
    if not seen.reach:
        raise Unseen("there is no name server")
    said = "; ".join(
        f"{reach.server} in {reach.tcp.seconds * 1000:.1f} ms"
        if reach.tcp.answer
        else f"{reach.server}: {reach.tcp.reason}"
        for reach in seen.reach
    )
    answering = [reach for reach in seen.reach if reach.tcp.answer]
    if len(answering) == len(seen.reach):
        return ok(said)
    do = (
        "Allow TCP port 53 beside UDP, in NetworkPolicies and in the DNS Service:\n"
        "  kubectl get service -n kube-system kube-dns -o yaml"
    )
    if answering:
        return warn(said, "Large answers come from some of the name servers only.", do)
    return fail(
        FAILED,
        said,
        "Services of more than a dozen pods do not fit into UDP: their pods cannot be listed.",
        do,
    )


def edns(seen: Observations) -> Finding:
    """Whether larger datagrams can be requested (RFC 6891)."""
    reached = [reach for reach in seen.reach if reach.over_udp]
    if not reached:
        raise Unseen("no name server answers over UDP")
    dropped = [reach for reach in reached if reach.drops_edns]
    without = [reach for reach in reached if any(p.answer and not p.edns for p in reach.udp)]
    if dropped:
        return warn(
            f"{listed(str(reach.server) for reach in dropped)}: only queries without EDNS are "
            f"answered",
            "A firewall or an old name server drops the others. This library finds that out, "
            "which takes one timeout, and then asks without; answers above 512 bytes, some 4 "
            "pods, need TCP.",
            "Check for a firewall that inspects DNS between this pod and the name server.",
        )
    if without:
        return warn(
            f"{listed(str(reach.server) for reach in without)}: knows no EDNS",
            "Answers above 512 bytes, some 4 pods, need TCP.",
        )
    return ok(f"answered by {listed(str(reach.server) for reach in reached)}")


def lost(seen: Observations) -> Finding:
    """The pattern of the five-second lookups."""
    answering = [reach for reach in seen.reach if reach.over_udp and not reach.drops_edns]
    if not answering:
        raise Unseen("no name server answers over UDP, or none with EDNS")
    said = "; ".join(
        f"{reach.server} answered {len(reach.udp) - reach.lost} of {len(reach.udp)} at once"
        for reach in answering
    )
    if not any(reach.lost for reach in answering):
        return ok(said)
    return warn(
        said,
        "Some datagrams are lost while others are answered at once. Programs that use libc then "
        "pause for 5 s: the connection tracking of the node drops one of two questions that "
        "leave one socket together (kubernetes/kubernetes#56903). This library sends each from "
        "a socket of its own, and asks again after 2 s.",
        "Run NodeLocal DNSCache, or give libc in the pod's spec:\n"
        "  dnsConfig:\n    options:\n    - name: single-request-reopen",
    )


def domain(seen: Observations) -> Finding:
    """Each name server says itself whether it serves the cluster's domain."""
    service = seen.wanted.service
    first = seen.answered(service.domain, Type.A)
    server = seen.probes[service.domain, Type.A].server
    others = [
        f"{reach.server} {_of(service.domain, answer)}"
        for reach in seen.reach
        if reach.server != server and reach.answered
        if (answer := reach.answered[0].answer) and not serves(answer)
    ]
    if serves(first):
        version = seen.answer(f"dns-version.{service.domain}", Type.TXT)
        said = f"{server} serves {service.domain}"
        if version is not None and version.rcode == "NOERROR" and version.soa is None:
            said += ", and has its dns-version"
        if not others:
            return ok(said)
        return warn(
            f"{said}; {'; '.join(others)}",
            "Not all name servers are the cluster's. This library checks a 'no' of the others; "
            "programs that use libc accept it.",
            "List only the cluster's name servers, in the pod's dnsConfig or the node's file.",
        )
    true = _true_domain(seen)
    said = "; ".join([f"{server} {_of(service.domain, first)}", *others])
    if true is None and first.rcode in ("SERVFAIL", "REFUSED"):
        return fail(
            FAILED,
            said,
            "It does not serve that domain, or cannot now: CoreDNS answers SERVFAIL until it "
            "has read the cluster's Services.",
            LOGS,
        )
    return fail(
        USAGE,
        said + (f", with the SOA of {_zone(first.soa)}" if first.soa else ""),
        f"The cluster's domain is {true}, not {service.domain}."
        if true
        else f"It does not serve {service.domain}: another domain, or not the cluster's server.",
        "Give the domain, or the cluster's name server:\n"
        + seen.doctor(f"--cluster-domain {true or '<domain>'}"),
    )


def _of(domain: str, answer: Answer) -> str:
    address = f" and the address {listed(answer.addresses)}" if answer.addresses else ""
    return f"answers {answer.rcode}{address} for {domain}"


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


def negative(seen: Observations) -> Finding:
    """Who says that a name does not exist: the cluster's own zone, or a server above it."""
    service = seen.wanted.service
    answer = seen.answered(f"{seen.made_up}.{service}", Type.A)
    seen.expect_served()
    if not answer.negative or answer.rcode not in ("NOERROR", "NXDOMAIN"):
        raise Unseen(f"a name that does not exist gets {answer.rcode}, and not a 'no'")
    if answer.soa and service.serves(answer.soa):
        return ok(f"{answer.rcode} comes from {answer.soa}")
    source = f"comes from {_zone(answer.soa)}" if answer.soa else "says no zone (no SOA)"
    return warn(
        f"{answer.rcode} for a name that does not exist {source}",
        "Such names are passed on to servers outside of the cluster ('fallthrough' in the "
        "Corefile), or a proxy answers. Every 'no' takes longer, and this library checks it "
        "before it counts.",
        "In the Corefile's kubernetes block, limit it to reverse zones:\n"
        "  fallthrough in-addr.arpa ip6.arpa",
    )


def namespace(seen: Observations) -> Finding:
    """The one thing besides pods whose existence DNS tells (CoreDNS: NODATA or NXDOMAIN)."""
    service = seen.wanted.service
    name = f"{service.namespace}.svc.{service.domain}"
    answer = seen.answered(name, Type.A)
    seen.expect_served()
    said = f"{name}: {answer.rcode}"
    if answer.rcode == "NOERROR":
        if answer.addresses:
            raise Unseen(f"{name} has an address: a wildcard answers")
        return ok(said)
    if not answer.no_such_name:
        raise Unseen(said)
    return fail(
        NONE,
        said,
        f"There is no namespace {service.namespace}.",
        "Find the Service's:\n  kubectl get services -A --field-selector metadata.name="
        f"{service.service}",
    )


def wildcards(seen: Observations) -> Finding:
    """A name that does not exist must not resolve."""
    service = seen.wanted.service
    seen.expect_served()
    caught = []
    for name in seen.made_up_names:
        answer = seen.answer(name, Type.A)
        if answer is None or answer.truncated:
            raise seen.no_answer(seen.probe(name, Type.A))
        if not is_usable(answer):
            raise Unseen(f"{name}: {answer.rcode}")
        if answer.addresses:
            caught.append(f"{name} has the address {listed(answer.addresses)}")
    if not caught:
        return ok(f"names that do not exist do not resolve, neither below {service} nor beside it")
    return warn(
        "; ".join(caught),
        "A wildcard: made-up names resolve. Pods that are gone go on resolving in other "
        "programs, a mistyped name is not noticed, and this library cannot confirm names by it.",
        f"Check for a 'template', 'rewrite' or 'file' with '*' in the Corefile:\n{COREFILE}",
    )
