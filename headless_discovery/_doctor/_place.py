"""Judging: the place that this runs in, and what other programs make of it. It asks nobody."""

from collections.abc import Sequence

from .._commands import _exit
from .._commands._show import counted
from .._service import DEFAULT_DOMAIN
from .._surroundings import RESOLV_CONF
from ._finding import Finding, broken, kubectl, look, ok
from ._observations import Observations

_LONG_SEARCH = 4
_GLIBC_SEARCH = (6, 256)
"""Domains and characters of a search list that glibc up to 2.25 heeds (resolv.conf(5))."""


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
        return ok("; ".join(found))
    return look(
        f"no search entry svc.<domain> in {RESOLV_CONF}, no service account, no "
        f"$KUBERNETES_SERVICE_HOST",
        "This is not a pod: the cluster's DNS is usually not to be reached from here.",
        "Run this in a pod of the same namespace:\n"
        + kubectl(
            seen,
            "run",
            f"doctor --rm -it --restart=Never --image=<image> -- doctor {seen.asked}",
        )
        + "\nor develop without a cluster:\n  headless-discovery serve manifests.yaml",
    )


def pods_resolv_conf(seen: Observations) -> Finding:
    """A pod on the host's network has the node's resolv.conf unless it asks for another."""
    conf = seen.surroundings.resolv_conf
    named = ", ".join(conf.nameservers) or "none"
    if seen.nameservers_from != str(RESOLV_CONF):
        return ok(f"not used: the name servers come from {seen.nameservers_from}")
    if conf.cluster_domain is not None:
        return ok(f"name servers {named}; search {' '.join(conf.search)}")
    in_pod = seen.surroundings.namespace_file is not None
    said = f"name servers {named}; search {' '.join(conf.search) or 'none'}"
    if not in_pod:
        return look(said, "It has no entry of a cluster: outside of pods that is so.")
    return broken(
        _exit.USAGE,
        said,
        "This is a pod with the node's resolv.conf: hostNetwork without a dnsPolicy for it, or "
        "dnsPolicy: Default. The node's name servers know no Services.",
        "Set in the pod's spec:\n  dnsPolicy: ClusterFirstWithHostNet",
    )


def name_parts(seen: Observations) -> Finding:
    """What the full name is, and who said its parts."""
    service, around = seen.wanted.service, seen.surroundings
    labels = seen.asked.removesuffix(".").split(".")
    if not seen.namespace_known:
        return broken(
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
        return ok(f"{said}(in the name)")
    if seen.given_domain:
        return ok(f"{said}(given)")
    if around.resolv_conf.cluster_domain:
        return ok(f"{said}(from {RESOLV_CONF})")
    return look(
        f"{said}(assumed)",
        f"Nobody says the cluster's domain, so {DEFAULT_DOMAIN} is taken for it: the line "
        f"'cluster domain' tells whether the name server agrees.",
    )


def search_list(seen: Observations) -> Finding:
    """Why this library asks for absolute names."""
    conf, full = seen.surroundings.resolv_conf, str(seen.wanted.service)
    if not conf.search:
        return ok(f"no search list in {RESOLV_CONF}; names are asked for as they are")
    asked = libc_asks(full, conf.search, conf.ndots)
    said = (
        f"{counted(len(conf.search), 'domain')}, ndots:{conf.ndots}: for {full} libc sends "
        f"{2 * (len(asked) - 1)} queries in vain"
    )
    longest, characters = _GLIBC_SEARCH
    if len(conf.search) > longest or len(" ".join(conf.search)) > characters:
        return look(
            said,
            "A list of more than 6 domains or 256 characters is cut by older glibc, and ignored "
            "by musl: short names then do not resolve in such images.",
            "Use full names with a final dot.",
        )
    if len(asked) > _LONG_SEARCH:
        return look(
            said,
            "This library asks for absolute names, once. Other programs in the pod pay for each "
            "lookup, and a wildcard in one of these domains answers in the Service's stead.",
            f"Write a final dot ({full}.), or in the pod's spec:\n"
            "  dnsConfig:\n    options:\n    - name: ndots\n      value: '2'",
        )
    return ok(f"{said}; this library sends none")


def libc_asks(name: str, search: Sequence[str], ndots: int) -> list[str]:
    """The names that libc asks for until it comes to that one (resolv.conf(5))."""
    through = [f"{name}.{domain}" for domain in search]
    return [*through, name] if name.count(".") < ndots else [name]


def tools(seen: Observations) -> Finding:
    """What not to believe."""
    if seen.libc.startswith("glibc"):
        return ok(seen.libc)
    return look(
        seen.libc or "not glibc, so probably musl (Alpine)",
        "musl asks all name servers at once and takes the first answer, never tries the search "
        "list for names with ndots dots, and before 1.2.4 had no TCP. busybox nslookup reports "
        "NXDOMAIN for names that resolve. None of that concerns this library.",
        "Look with this command or with dig, not with nslookup.",
    )
