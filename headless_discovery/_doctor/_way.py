"""Judging: what lies between DNS and the pods: sizes, caches, connections. It asks nobody."""

from .._commands import _exit
from .._commands._show import counted
from .._errors import IncompleteAnswer
from .._wire import Answer, Type
from ._finding import Finding, broken, kubectl, look, no_answer, not_headless, ok, unseen
from ._observations import Observations

LARGEST = 65535
"""Bytes of a DNS message over TCP."""
_LARGE_TTL = 30


def sizes(seen: Observations) -> Finding:
    """What fits over UDP, what needs TCP, and how far it is to the limit."""
    wanted = seen.wanted
    count = len(seen.snapshot.endpoints)
    key = (wanted.name, Type.SRV)
    first, whole = seen.probes.get(key), seen.over_tcp.get(key)
    if first is None or first.answer is None:
        return no_answer(seen, first)
    if not first.answer.truncated:
        return ok(f"{wanted.name} SRV: {first.size} bytes, fits over UDP")
    if whole is None or whole.answer is None:
        return broken(
            _exit.FAILED,
            f"{wanted.name} SRV is cut over UDP; TCP: {whole and whole.reason}",
            "The pods do not fit over UDP, and TCP does not get through.",
            "Allow TCP port 53 to the name server, in NetworkPolicies too:\n"
            + kubectl(seen, "get", "networkpolicies"),
        )
    split = "Split the Service before it outgrows DNS, or list its EndpointSlices through the API."
    if whole.answer.truncated:
        if isinstance(seen.error, IncompleteAnswer):
            return broken(
                _exit.FAILED,
                f"{wanted.name} is cut over TCP too",
                "DNS carries at most 64 KiB: about 650 pods with names and ports, about 4,000 "
                "addresses. Not all pods can be listed.",
                split,
            )
        return look(
            f"{wanted.name} SRV is cut over TCP too; A and AAAA have all {count} pods",
            "Names are then learnt by PTR, once for each address. About 4,000 addresses fit.",
            split,
        )
    limit = LARGEST * max(count, 1) // whole.size
    said = f"{wanted.name} SRV: {whole.size} bytes for {count} pods, over TCP; about {limit} fit"
    if 2 * whole.size < LARGEST:
        return ok(said)
    return look(said, "More than half of what DNS can carry.", split)


def caches(seen: Observations) -> Finding:
    """How long it takes until a new pod is seen."""
    name = str(seen.wanted.service)
    first, later = seen.probes.get((name, Type.A)), seen.later
    if first is None or first.answer is None or later is None or later.answer is None:
        return no_answer(seen, first)
    before, after = first.answer, later.answer
    kind = "negative answer" if before.negative else "answer"
    cached = before.rcode == after.rcode and after.ttl < before.ttl
    if before.negative != after.negative:
        return look(
            f"first {_told(before)}, {seen.later_after:.1f} s later {_told(after)}",
            "The Service changed just now, or the DNS pods do not agree yet.",
            "Run this again.",
        )
    if cached:
        return look(
            f"the TTL of the {kind} went from {before.ttl} to {after.ttl} s in "
            f"{seen.later_after:.1f} s: a cache answers",
            f"A new pod is seen when the cache lets its answer go, after up to its TTL (it shows "
            f"{before.ttl} s now), and by this library up to 30 s later. A pod that asks before "
            f"it is published plants a negative answer that hides it for as long.",
            "To see pods sooner, shorten the cache of the cluster's zone in the Corefile:\n"
            "  kubectl get configmap -n kube-system coredns -o yaml",
        )
    if before.ttl > _LARGE_TTL:
        return look(
            f"the TTL of the {kind} is {before.ttl} s",
            "Programs that keep answers so long see new pods that late; this library asks again "
            "after 30 s at the latest.",
            "Lower it in the Corefile:\n  kubernetes cluster.local { ttl 5 }",
        )
    refresh = min(max(before.ttl, 5), 30)
    return ok(
        f"the TTL of the {kind} is {before.ttl} s, and no cache counts it down: a new pod is seen "
        f"within about {refresh * 1.2:.0f} s"
    )


def _told(answer: Answer) -> str:
    return answer.rcode if answer.negative else counted(len(answer.addresses), "pod")


def connections(seen: Observations) -> Finding:
    """Whether it is the pod that fails, or DNS."""
    tried = seen.connections
    if tried is None:
        return ok("not tried: --connect does")
    if not tried:
        found = bool(seen.snapshot.endpoints)
        return unseen("their port is not known: give --port" if found else "no pod was found")
    failed = [one for one in tried if one.failure is not None]
    to_virtual = not_headless(seen)
    said = f"{len(tried) - len(failed)} of {len(tried)} accept"
    if len(tried) < len(seen.snapshot.endpoints):
        said += f" (there are {len(seen.snapshot.endpoints)} pods)"
    if not failed:
        return ok(f"{said}{': the Service itself works' if to_virtual else ''}")
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
    return broken(
        _exit.FAILED,
        said,
        means,
        "  kubectl get pods -o wide"
        f" -n {seen.wanted.service.namespace}\n" + kubectl(seen, "get", "networkpolicies"),
    )
