"""The fake cluster beside dnspython: what one answer costs, and a Service of a thousand pods."""

import functools

import dns.flags
import dns.message
import dns.name
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rdtypes.IN.SRV
import dns.rrset

from headless_discovery.testing import FakeCluster

from ._measure import Table, duration, interleaved

SERVICE = "web.default.svc.cluster.local."


def run() -> list[Table]:
    """One table, with the thousand pods below."""
    table = Table("One SRV answer of the fake cluster, from bytes to bytes", base="dnspython")
    for pods in (3, 100):
        column = f"{pods} pods"
        cluster = FakeCluster()
        cluster.add_service("web", ports={"http": 8080}).scale(pods)
        asked = dns.message.make_query(f"_http._tcp.{SERVICE}", "SRV", use_edns=0).to_wire()
        table.measure(
            column,
            {
                "dnspython": functools.partial(with_dnspython, asked, pods),
                "FakeCluster.answer": functools.partial(cluster.answer, asked, tcp=True),
            },
        )
        table.promise("FakeCluster.answer", column, 1 / 5)
    taken = interleaved({"scale": a_thousand_pods}, rounds=3)["scale"]
    table.notes.append(
        f"A Service of 1,000 pods made by `scale` and listed by `peers`: "
        f"{duration(min(taken.wall))}, {duration(min(taken.cpu))} of it on the processor."
    )
    return [table]


def with_dnspython(asked: bytes, pods: int) -> bytes:
    """The same reply, built and rendered as one would with dnspython."""
    reply = dns.message.make_response(dns.message.from_wire(asked))
    reply.flags |= dns.flags.AA
    service = dns.name.from_text(SERVICE)
    answer = dns.rrset.RRset(reply.question[0].name, dns.rdataclass.IN, dns.rdatatype.SRV)
    for pod in range(pods):
        target = dns.name.Name((f"web-{pod}".encode(), *service.labels))
        answer.add(
            dns.rdtypes.IN.SRV.SRV(  # type: ignore[no-untyped-call] # dnspython has no types here
                dns.rdataclass.IN, dns.rdatatype.SRV, 0, max(1, 100 // pods), 8080, target
            ),
            5,
        )
        address = dns.rdata.from_text("IN", "A", f"10.244.0.{pod}")
        reply.additional.append(dns.rrset.from_rdata(target, 5, address))
    reply.answer.append(answer)
    return reply.to_wire(max_size=65535)


def a_thousand_pods() -> None:
    """Made and listed."""
    cluster = FakeCluster()
    cluster.add_service("web", ports={"http": 8080}).scale(1000)
    assert len(cluster.peers("web", port="http").endpoints()) == 1000  # noqa: S101 - or it is void
