"""Lookups on replies that the real CoreDNS gave: what is made of them, state by state."""

import json
import random
from pathlib import Path
from typing import Any

import dns.message
import dns.name
import dns.rdatatype
import pytest

from headless_discovery import NoSuchPort, NotHeadless, ServiceName
from headless_discovery.testing import FakeClock
from tests.lookups import (
    Answer,
    Empty,
    FakeResolver,
    Found,
    Learnt,
    Memory,
    Outcome,
    Unknown,
    Wanted,
    Wrong,
    exchange,
    is_reply,
    lookup,
    read,
)
from tests.messages import nxdomain

RECORDED = Path(__file__).parent / "recorded"


class Tape:
    """The exchanges of one state, played to whoever asks the same."""

    def __init__(self, state: str) -> None:
        recorded: dict[str, Any] = json.loads((RECORDED / f"{state}.json").read_text())
        self.asked: list[str] = []
        self._replies = {
            (
                one["question"]["name"].rstrip(".").lower(),
                one["question"]["type"],
                one["transport"],
            ): bytes.fromhex(one["reply"])
            for one in recorded["exchanges"]
            if one["reply"] and one["edns"] in (1232, None)
        }

    def answer(self, wire: bytes, *, tcp: bool = False) -> bytes:
        query = dns.message.from_wire(wire)
        [question] = query.question
        name = question.name.to_text(omit_final_dot=True).lower()
        kind = dns.rdatatype.to_text(question.rdtype)
        self.asked.append(f"{name} {kind}")
        if name.startswith("no-pod-") or kind == "PTR":
            # Made up by chance, so it cannot be recorded; and a server without reverse zones.
            return nxdomain(wire)
        reply = self._replies.get((name, kind, "tcp" if tcp else "udp"))
        if reply is None:
            pytest.fail(f"not recorded: {name} {kind} {'tcp' if tcp else 'udp'}")
        reply = wire[:2] + reply[2:]
        assert is_reply(wire, reply)
        return reply


def look_up(state: str, service: str = "web", **wanted: Any) -> tuple[Outcome, list[str]]:
    name = ServiceName(service, state)
    tape = Tape(state)
    going = lookup(Wanted(name, **wanted), Memory(), 0, random.Random(0))
    resolver, clock = FakeResolver(tape, domain="cluster.local"), FakeClock()
    steps = exchange(going, name, resolver.plan(), Learnt(), clock.now)
    outcome = resolver.run(steps, clock)
    return outcome, tape.asked


def found(outcome: Outcome) -> list[str]:
    assert isinstance(outcome, Found), outcome
    return [f"{one.hostname} {one}" for one in outcome.endpoints]


@pytest.mark.parametrize(
    ("state", "service", "wanted", "endpoints"),
    [
        ("deployment", "web", {}, ["10-1-1-1 10.1.1.1:8080", "10-1-1-2 10.1.1.2:8080"]),
        (
            "deployment",
            "web",
            {"port": "http"},
            ["10-1-1-1 10.1.1.1:8080", "10-1-1-2 10.1.1.2:8080"],
        ),
        ("deployment", "web", {"port": 9}, ["10-1-1-1 10.1.1.1:9", "10-1-1-2 10.1.1.2:9"]),
        ("statefulset", "nginx", {"port": "web"}, ["web-0 10.2.1.1:80", "web-1 10.2.1.2:80"]),
        (
            "ipv6-names",
            "web",
            {},
            [
                "2001-db8-3333-4444-5555-6666--0 [2001:db8:3333:4444:5555:6666::]:8080",
                "fd00-0-0-1--5 [fd00:0:0:1::5]:8080",
                "fd00-a--0 [fd00:a::]:8080",
                "fd00-a-1--5 [fd00:a:1::5]:8080",
            ],
        ),
        ("two-ports", "db", {"port": "sql"}, ["db-0 10.37.1.1:5432", "db-1 10.37.1.2:5432"]),
        ("two-ports", "db", {"port": "metrics"}, ["db-0 10.37.1.1:9187", "db-1 10.37.1.2:9187"]),
        ("two-ports", "db", {}, ["db-0 10.37.1.1", "db-1 10.37.1.2"]),
        ("tcp-and-udp", "dns", {}, ["10-39-1-1 10.39.1.1:53", "10-39-1-2 10.39.1.2:53"]),
        ("unnamed-port", "web", {}, ["10-40-1-1 10.40.1.1:80", "10-40-1-2 10.40.1.2:80"]),
        ("port-lacking", "web", {"port": "http"}, ["10-43-1-1 10.43.1.1:8080"]),
        ("port-differs", "web", {}, ["10-44-1-1 10.44.1.1:8001", "10-44-1-2 10.44.1.2:8002"]),
        ("readiness", "web", {}, ["10-60-1-1 10.60.1.1:8080", "10-60-1-3 10.60.1.3:8080"]),
        ("two-slices", "web", {}, ["10-63-1-1 10.63.1.1:8080", "10-63-1-2 10.63.1.2:8080"]),
        ("re-ip", "web", {}, ["web-0 10.65.1.1:8080"]),
        ("re-port", "web", {}, ["web-0 10.66.1.1"]),
        ("re-port", "web", {"port": "http"}, ["web-0 10.66.1.1:80", "web-0 10.66.1.1:81"]),
        ("host-network-names", "web", {}, ["web-0 10.68.1.1:8080", "web-1 10.68.1.1:8080"]),
        ("dual-statefulset", "web", {}, ["web-0 10.80.1.1:8080", "web-1 10.80.1.2:8080"]),
        ("dual-deployment", "web", {}, ["10-81-1-1 10.81.1.1:8080", "10-81-1-2 10.81.1.2:8080"]),
        (
            "dual-deployment",
            "web",
            {"family": "prefer-ipv6"},
            ["fd00-51--1 [fd00:51::1]:8080", "fd00-51--2 [fd00:51::2]:8080"],
        ),
        ("pod-names", "web", {}, None),
        ("cached", "web", {"port": "http"}, None),
    ],
)
def test_a_state_of_pods_is_found_as_it_is(
    state: str, service: str, wanted: dict[str, Any], endpoints: list[str] | None
) -> None:
    outcome, asked = look_up(state, service, **wanted)
    if endpoints is None:
        assert len(found(outcome)) == 3
    else:
        assert found(outcome) == endpoints
    assert len(asked) == 1, "SRV with glue says it all"


@pytest.mark.parametrize("state", ["no-pods", "none-ready"])
@pytest.mark.parametrize("port", [None, "http", 80])
def test_nobody_published_is_empty(state: str, port: str | int | None) -> None:
    outcome, _ = look_up(state, port=port)
    assert isinstance(outcome, Empty)
    assert outcome.ttl == 5


@pytest.mark.parametrize(
    ("state", "service", "wanted", "says"),
    [
        ("cluster-ip", "web", {}, r"10\.254\.1\.20"),
        ("cluster-ip", "web", {"port": "http"}, r"10\.254\.1\.20"),
        ("cluster-ip", "web", {"port": "nope"}, r"10\.254\.1\.20"),
        ("cluster-ip", "web", {"port": 80, "records": "address"}, r"10\.254\.1\.20"),
        ("cluster-ip-empty", "web", {}, "ClusterIP"),
        ("cluster-ip-dual", "web", {"port": "https"}, "fd00:10:254::22"),
        ("external-name", "away", {}, r"ext\.example\.com"),
        ("external-inside", "away", {}, r"web\.external-inside"),
    ],
)
def test_other_kinds_of_services_are_not_headless(
    state: str, service: str, wanted: dict[str, Any], says: str
) -> None:
    outcome, _ = look_up(state, service, **wanted)
    assert isinstance(outcome, Wrong)
    assert isinstance(outcome.error, NotHeadless)
    with pytest.raises(NotHeadless, match=says):
        raise outcome.error


def test_a_port_name_that_no_pod_has_is_no_such_port() -> None:
    outcome, _ = look_up("two-ports", "db", port="nope")
    assert isinstance(outcome, Wrong)
    assert isinstance(outcome.error, NoSuchPort)
    assert "5432" in str(outcome.error)


def test_a_server_that_has_not_synced_yet_says_nothing() -> None:
    outcome, _ = look_up("unsynced")
    assert isinstance(outcome, Unknown)
    assert "SERVFAIL" in str(outcome.error)


def test_every_recorded_reply_is_read_without_an_error() -> None:
    count = 0
    for path in sorted(RECORDED.glob("*.json")):
        for one in json.loads(path.read_text())["exchanges"]:
            if one["reply"]:
                answer = read(bytes.fromhex(one["reply"]))
                assert isinstance(answer, Answer)
                count += 1
    assert count >= 400
