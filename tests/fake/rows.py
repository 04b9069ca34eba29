"""What CoreDNS does, row by row: the numbers that states, recordings and tests refer to.

A test names the rows that it is about by ``@about(…)``; the recorded states name theirs in
``tests/cluster/states.py``. `ELSEWHERE` says why a row cannot be produced by the fake.
"""

from collections.abc import Callable
from typing import TypeVar

_Test = TypeVar("_Test", bound=Callable[..., object])

ROWS = {
    1: "A of a headless Service: its ready pods",
    2: "AAAA of an IPv4 Service: NODATA",
    3: "an IPv6 Service: AAAA, SRV with AAAA glue, no A",
    4: "nobody is ready: NXDOMAIN for every type",
    5: "no such Service: the same NXDOMAIN",
    6: "no such namespace: NXDOMAIN",
    7: "a namespace's own name: NODATA if it is there",
    8: "svc, pod and the domain itself: NODATA",
    9: "neither svc nor pod: NXDOMAIN",
    10: "a pod without host name has a dashed name",
    11: "a pod with a host name has no dashed name",
    12: "a pod's name is not a name in DNS",
    13: "endpoint_pod_names: but then it is",
    14: "a pod's name in the other family: NODATA",
    15: "an unknown pod: NXDOMAIN",
    16: "two pods share a host name: both addresses",
    17: "more labels, or wildcards: NXDOMAIN",
    18: "owners keep the question's letters",
    19: "targets have the API's letters, the zone the question's",
    20: "dashed IPv6 names, with a 0 behind a dash at the end",
    21: "a host name with a dot is published and cannot be asked for",
    22: "a label that is too long: no answer at all",
    23: "types that no pod has: NODATA",
    24: "transfers: REFUSED",
    25: "other classes and zones",
    26: "other EDNS versions: BADVERS",
    27: "SRV: one for each target and port, with glue",
    28: "SRV weights: 100 by the number of entries",
    29: "SRV has the pod's port, not the Service's",
    30: "SRV of the bare name: all ports",
    31: "TCP and UDP of one number: one SRV",
    32: "an unnamed port",
    33: "no ports: SRV is NODATA",
    34: "a wrong port or protocol: NXDOMAIN",
    35: "A below a port's name",
    36: "underscores and letters' case do not matter",
    37: "SRV of a pod's own name",
    38: "a pod that lacks a named port",
    39: "port names are the EndpointSlice's",
    40: "ready, not ready, not told",
    41: "a terminating pod leaves at once",
    42: "publishNotReadyAddresses: all pods, terminating ones too",
    43: "one address in two slices: once, but weighed twice",
    44: "ready in one slice of two: published",
    45: "an old and a new address under one name",
    46: "one host name with two ports",
    47: "dual stack with host names: one SRV for each pod",
    48: "dual stack without: two",
    49: "two pods at one address, on two ports",
    50: "two host names at one address",
    51: "more than 100 pods: several slices, in any order",
    52: "a pod of two Services: two PTR records",
    53: "PTR of a virtual IP",
    54: "PTR of a pod that is not ready, of nobody: NXDOMAIN",
    55: "CoreDNS 1.11.4 to 1.12.0: PTR only with a host name",
    56: "a virtual IP: the SRV target is the Service itself",
    57: "pods below a virtual IP have names all the same",
    58: "a virtual IP has no dashed name",
    59: "a virtual IP without pods: there, unless ignore_empty_service",
    60: "an alias",
    61: "an alias of a headless Service",
    62: "an alias of an address, or of itself",
    63: "the multicluster plugin",
    64: "pods insecure echoes any address",
    65: "dns-version",
    66: "the zonal option",
    67: "before the first list has come: SERVFAIL",
    68: "with half of the list: a part, and nothing tells so",
    69: "a cache: one TTL for the reply, counted down; changes are not seen",
    70: "a cached NXDOMAIN hides a pod that is ready by now",
    71: "a TTL of 0 through a cache is 5",
    72: "SERVFAIL is cached for 5 s",
    73: "a cached reply has the letters of whoever asked first",
    74: "DO and CD have cache entries of their own",
    75: "serve_stale: old data with TTL 0, asked afresh behind it",
    76: "NodeLocal DNSCache: denial 5",
    77: "no cache for the cluster's zone: the TTL stays",
    78: "addresses are shuffled, SRV records are not",
    79: "a reply that fits is not compressed",
    80: "one that does not is cut from its end, with TC",
    81: "over TCP too",
    82: "the OPT record comes back",
    83: "bufsize limits what EDNS offers",
}

ELSEWHERE = {
    21: "the API server refuses such a host name",
    22: "the API server refuses such a host name",
    55: "other versions of CoreDNS",
    63: "another plugin",
    66: "an option that is off",
}


def about(*rows: int) -> Callable[[_Test], _Test]:
    """Names the rows that a test is about; a number that is not there is an error."""
    for row in rows:
        assert row in ROWS, row
    return lambda test: test
