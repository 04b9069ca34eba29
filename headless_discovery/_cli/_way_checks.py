"""Checks of what lies between DNS and the pods: sizes, caches, connections. Pure functions."""

import collections

from .. import Policy
from .._dns.message import Answer, Type
from .._endpoint import Endpoint, Snapshot, dashed
from .._errors import ConfigurationError, IncompleteAnswer
from ._finding import ADDRESSES, COREFILE, Finding, Observations, Unseen, fail, is_usable, ok, warn
from ._messages import by_options
from ._options import FAILED, USAGE
from ._show import counted

_LARGEST = 65535
"""Bytes of a DNS message over TCP."""
_LARGE_TTL = 30


def sizes(seen: Observations) -> Finding:
    """What fits over UDP, what needs TCP, and how far it is to the limit."""
    count = len(seen.snapshot.endpoints)
    # Of a Service without ports, the addresses.
    keys = [(seen.wanted.name, Type.SRV), *((str(seen.wanted.service), t) for t in ADDRESSES)]
    key = next((key for key in keys if (a := seen.answer(*key)) and not a.negative), keys[0])
    first, whole = seen.probes.get(key), seen.over_tcp.get(key)
    largest = seen.probes.get(keys[0])
    if first is None or first.answer is None or largest is None or largest.answer is None:
        raise seen.no_answer(largest)
    name = f"{key[0]} {key[1].name}"
    if first.answer.negative:
        raise Unseen(f"{name} is answered with {_told(first.answer)}")
    if first.tcp and not first.answer.truncated:
        whole = first
    elif not first.answer.truncated:
        return ok(f"{name}: {counted(first.size, 'byte')}, fits over UDP")
    if whole is None or whole.answer is None:
        return fail(
            FAILED,
            f"{name} is truncated over UDP; TCP: {whole and whole.reason}",
            "The pods do not fit over UDP, and TCP does not get through.",
            "Allow TCP port 53 to the name server, in NetworkPolicies too:\n" + seen.policies,
        )
    split = "Split the Service before it outgrows DNS, or list its EndpointSlices through the API."
    if whole.answer.truncated:
        if isinstance(seen.error, IncompleteAnswer):
            return fail(
                FAILED,
                f"{name} is truncated over TCP too",
                "DNS carries at most 64 KiB: about 650 pods with names and ports, about 4,000 "
                "addresses. Not all pods can be listed.",
                split,
            )
        return warn(
            f"{name} is truncated over TCP too; A and AAAA have all {count} pods",
            "Names are then learnt by PTR, once for each address. About 4,000 addresses fit.",
            split,
        )
    count = count or len(whole.answer.services) or len(whole.answer.addresses)
    limit = _LARGEST * count // whole.size
    said = f"{name}: {whole.size} bytes for {counted(count, 'pod')}, over TCP; about {limit} fit"
    if 2 * whole.size < _LARGEST:
        return ok(said)
    return warn(said, "More than half of what DNS can carry.", split)


def caches(seen: Observations) -> Finding:
    """How long it takes until a new pod is seen."""
    name = str(seen.wanted.service)
    first, later = seen.probes.get((name, Type.A)), seen.later
    if first is None or first.answer is None or later is None or later.answer is None:
        raise seen.no_answer(later if first and first.answer else first)
    before, after = first.answer, later.answer
    if not is_usable(before) or seen.is_foreign:
        raise Unseen(f"{first.server} answers {before.rcode}")
    longest = Policy().max_refresh
    kind = "negative answer" if before.negative else "answer"
    cached = before.rcode == after.rcode and after.ttl < before.ttl
    if before.negative != after.negative:
        return warn(
            f"first {_told(before)}, {seen.later_after:.1f} s later {_told(after)}",
            "The Service changed just now, or the DNS pods do not agree yet.",
            "Run this again.",
        )
    if cached:
        return warn(
            f"the TTL of the {kind} went from {before.ttl} to {after.ttl} s in "
            f"{seen.later_after:.1f} s: a cache answers",
            f"A new pod is seen when the cache drops its answer, after up to its TTL ({before.ttl} "
            f"s are left now), and by this library up to {longest:.0f} s later. A pod that asks "
            f"before it is published leaves a negative answer that hides it for as long.",
            "To see pods sooner, shorten the cache of the cluster's zone in the Corefile:\n"
            + COREFILE,
        )
    if before.ttl > _LARGE_TTL:
        return warn(
            f"the TTL of the {kind} is {before.ttl} s",
            f"Programs that keep answers so long see new pods that late; this library asks again "
            f"after {longest * 1.2:.0f} s at the latest.",
            "Lower it in the Corefile:\n  kubernetes cluster.local { ttl 5 }",
        )
    refresh = min(max(before.ttl, Policy().min_refresh), longest)
    return ok(
        f"the TTL of the {kind} is {before.ttl} s, and no cache counts it down: a new pod is seen "
        f"within about {refresh * 1.2:.0f} s"
    )


def _told(answer: Answer) -> str:
    return answer.rcode if answer.negative else counted(len(answer.addresses), "pod")


def connections(seen: Observations) -> Finding:
    """Whether it is the pod that fails, or DNS."""
    tried = seen.connections or {}
    if not tried:
        found = bool(seen.snapshot.endpoints)
        raise Unseen("their port is not known: give --port" if found else "no pod was found")
    failed = {endpoint: why for endpoint, why in tried.items() if why is not None}
    to_virtual = not seen.is_headless
    said = f"{len(tried) - len(failed)} of {len(tried)} accept"
    if len(tried) < len(seen.snapshot.endpoints):
        said += f" (of {counted(len(seen.snapshot.endpoints), 'pod')})"
    if not failed:
        return ok(f"{said}{': the Service itself works' if to_virtual else ''}")
    shown = "; ".join(f"{endpoint}: {why}" for endpoint, why in [*failed.items()][:5])
    said = f"{said}; {shown}"
    if to_virtual:
        means = (
            "The Service's virtual IP does not accept: it has no ready pod, or its targetPort "
            "is not the one that the app listens at."
        )
    elif len(failed) < len(tried):
        means = "DNS is right, these pods are not: deleted a moment ago, hung, or unreachable."
    else:
        means = (
            "No pod accepts. Refused: the app listens at another port, or at 127.0.0.1 alone. No "
            "answer: a NetworkPolicy, or the port is not TCP."
        )
    return fail(
        FAILED,
        said,
        means,
        seen.kubectl("get", "pods -o wide")
        + "\n"
        + seen.kubectl("logs", _pod_of(next(iter(failed))))
        + "\n"
        + seen.policies,
    )


def _pod_of(endpoint: Endpoint) -> str:
    """The pod's name, which is its host name unless that is made of the address."""
    return "<pod>" if endpoint.hostname == dashed(endpoint.address) else endpoint.hostname


def rights(seen: Observations) -> Finding:
    """Whether EndpointSlices can be read, and say what DNS says."""
    snapshot, error = seen.by_slices or (Snapshot(), None)
    if error is not None:
        said, do = by_options(str(error)), by_options(error.hint or "")
        means = "EndpointSlices cannot be read from here: "
        if seen.arguments.source == "auto":
            return warn(said, f"{means}--source auto uses DNS.", do)
        code = USAGE if isinstance(error, ConfigurationError) else FAILED
        return fail(code, said, f"{means}--source api does not work, and auto uses DNS.", do)
    by_slices = {endpoint.identity for endpoint in snapshot.endpoints}
    by_dns = {endpoint.identity for endpoint in seen.snapshot.endpoints}
    said = f"{counted(len(by_slices), 'pod')} in EndpointSlices"
    zones = collections.Counter(each.zone for each in snapshot.endpoints if each.zone)
    if zones:
        said += f" ({', '.join(f'{number} in {zone!r}' for zone, number in sorted(zones.items()))})"
    if by_slices == by_dns:
        own = seen.surroundings.environ.get("POD_ZONE")
        if zones and own and own not in zones:
            return warn(
                f"{said}, none in this pod's zone {own!r}",
                "With --zone auto calls go to all zones while this one has no pod.",
                "Spread the pods over the zones (topologySpreadConstraints), or compare $POD_ZONE "
                "with the label topology.kubernetes.io/zone of the nodes.",
            )
        return ok(f"{said}, the same as by DNS")
    return warn(
        f"{said}, {len(by_dns)} by DNS",
        "For some seconds: DNS lags behind. If it stays: EndpointSlices without the Service, or "
        "names made in another way ('endpoint_pod_names' in the Corefile).",
        f"{seen.list_slices} -o yaml",
    )
