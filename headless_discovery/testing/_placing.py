"""On which nodes a Pod may run: node selector, required node affinity, taints and tolerations.

As kube-scheduler and the DaemonSet controller have it, as far as it depends on the node alone.
"""

from collections.abc import Callable, Mapping

import attrs

from ._documents import Manifest, texts

_OF_KUBELETS = {"kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64"}
"""Labels that a node has by itself."""
_CORDONED = "node.kubernetes.io/unschedulable"
_NO_MATTER = "PreferNoSchedule"
_TROUBLES = "unschedulable not-ready unreachable disk-pressure memory-pressure pid-pressure"
_OF_DAEMONS = [f"node.kubernetes.io/{trouble}" for trouble in _TROUBLES.split()]
"""Taints that every DaemonSet tolerates."""


@attrs.frozen
class Site:
    """What of a node decides which Pods may run there."""

    name: str
    labels: Mapping[str, str]
    taints: tuple[tuple[str, str, str], ...]
    """Key, value and effect of each."""

    @classmethod
    def of(cls, name: str, labels: Mapping[str, str], spec: Manifest) -> "Site":
        """That of a node, of its manifest."""
        taints = [
            (one["key"], one.get("value") or "", one["effect"])
            for one in spec.get("taints") or ()
            if one["effect"] != _NO_MATTER
        ]
        if spec.get("unschedulable") is True:
            taints.append((_CORDONED, "", "NoSchedule"))
        own = {**_OF_KUBELETS, "kubernetes.io/hostname": name, **labels}
        return cls(name, own, tuple(taints))


Fits = Callable[[Site], bool]


def fits_of(spec: Manifest, *, everywhere: bool = False) -> Fits:
    """What a Pod's spec says of nodes; ``everywhere``: it is a DaemonSet's.

    Raises `ValueError`, or as reading any manifest does, for what no API server takes.
    """
    selector = texts("nodeSelector", spec.get("nodeSelector"))
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or {}
    terms = [_term(one) for one in required.get("nodeSelectorTerms") or ()]
    tolerations = [_toleration(one) for one in spec.get("tolerations") or ()]
    if everywhere:
        tolerations += [_toleration({"key": key, "operator": "Exists"}) for key in _OF_DAEMONS]

    def fits(site: Site) -> bool:
        return (
            site.labels.items() >= selector.items()
            and (not required or any(term(site) for term in terms))
            and all(any(tolerates(*taint) for tolerates in tolerations) for taint in site.taints)
        )

    return fits


def _term(given: Manifest) -> Fits:
    """All that it wants, of the labels and the name; one that wants nothing fits no node."""
    of_labels = [_wanted(one) for one in given.get("matchExpressions") or ()]
    of_name = [_wanted(one)[1] for one in given.get("matchFields") or ()]
    return lambda site: (
        bool(of_labels or of_name)
        and all(holds(site.labels.get(key)) for key, holds in of_labels)
        and all(holds(site.name) for holds in of_name)
    )


def _wanted(given: Manifest) -> tuple[str, Callable[[str | None], bool]]:
    """The key of a label, and what its value is to be."""
    key, operator, values = given["key"], given["operator"], list(given.get("values") or ())
    if not isinstance(key, str):
        raise ValueError(f"a node selector's key {key!r} is no text")  # noqa: TRY004 - bad data
    match operator:
        case "In":
            return key, lambda has: has in values
        case "NotIn":
            return key, lambda has: has not in values
        case "Exists":
            return key, lambda has: has is not None
        case "DoesNotExist":
            return key, lambda has: has is None
        case "Gt" | "Lt":
            [than], sign = map(int, values), 1 if operator == "Gt" else -1
            return (
                key,
                lambda has: has is not None and has.isdecimal() and (sign * int(has) > sign * than),
            )
    raise ValueError(f"operator {operator!r} is none of a node selector's")


def _toleration(given: Manifest) -> Callable[[str, str, str], bool]:
    key, value, effect = (given.get(field) or "" for field in ("key", "value", "effect"))
    exists = given.get("operator") == "Exists"

    def tolerates(of: str, has: str, does: str) -> bool:
        if exists:
            return key in ("", of) and effect in ("", does)
        return (key, value) == (of, has) and effect in ("", does)

    return tolerates
