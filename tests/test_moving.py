"""The cluster changes between any two answers of a lookup: what it says was true all the same.

Random histories of a Service, name servers that are late or keep single answers, and several
lookups with one memory; judged by the history alone. ``HISTORIES=100000 SEED=7`` says how many, and
from which seed on; each failure names its seed, and tells its history.
"""

import math
import os
import random
from collections.abc import Iterable, Sequence

import attrs
import pytest

from headless_discovery import Endpoint, NoSuchPort, NotHeadless
from tests.lookups import (
    SERVICE,
    Answer,
    Empty,
    Family,
    Found,
    Memory,
    Outcome,
    Question,
    Reply,
    Type,
    Unknown,
    Wanted,
    dashed,
    lookup,
)
from tests.moving import ALL_FIT, OWN_SOA, REVERSE, Pod, State, Workload, World, any_ways

pytestmark = pytest.mark.slow

HISTORIES = int(os.environ.get("HISTORIES", "2000"))
SEED = int(os.environ.get("SEED", "1"))
DENIED = 60
"""Seconds for which it is believed that a server without an SOA of the cluster has no SRV."""
FAMILIES: Sequence[Family] = ("prefer-ipv4", "prefer-ipv4", "prefer-ipv6", "ipv4", "ipv6", "any")

Row = tuple[str, str, int | None]
"""Name, address and port of an endpoint."""


@attrs.frozen
class Seen:
    """One lookup."""

    outcome: Outcome
    began: float
    asked_last: float
    ended: float
    said: Sequence[tuple[Question, Reply]]

    def __str__(self) -> str:
        said = "\n".join(f"    {question} {_short(reply)}" for question, reply in self.said)
        return f"{self.began:.2f} to {self.ended:.2f}: {self.outcome}\n{said}"

    @property
    def by_srv_alone(self) -> bool:
        return len(self.said) == 1 and self.said[0][0].rdtype is Type.SRV

    def names(self, address: str) -> bool:
        """Whether PTR gave the address a name."""
        return any(
            isinstance(reply, Answer) and reply.pointers and REVERSE[question.name] == address
            for question, reply in self.said
        )


def _short(reply: Reply) -> str:
    if not isinstance(reply, Answer):
        return repr(reply)
    shown = (reply.services, reply.addresses, reply.pointers, reply.alias)
    return " ".join([reply.rcode, f"TTL {reply.ttl}", *(str(each) for each in shown if each)])


class Play:
    """One history, and lookups with one memory."""

    def __init__(self, seed: int) -> None:
        self.rng = rng = random.Random(seed)
        self.ways = ways = any_ways(rng)
        address_alone = rng.random() < 0.2
        named = False if address_alone else rng.choice([True, False, None])
        if named is None and ways.soa != OWN_SOA:
            named = True  # that a dashed name is gone must be proven
        if named is not False and ways.no_ptr is not None:
            self.ways = ways = attrs.evolve(ways, fits=ALL_FIT)
        families = rng.choice([(Type.A,), (Type.A,), (Type.AAAA,), (Type.A, Type.AAAA)])
        if ways.no_ptr is not None:
            families = families[:1]  # an address that once had no name has none for long
        self.wanted = Wanted(
            SERVICE,
            port=rng.choice([None, 8000] if address_alone else [None, "http", "http", 8000]),
            family=rng.choice(FAMILIES),
            records="address" if address_alone else "auto",
        )
        self.workload = Workload(
            rng,
            named,
            families,
            has_ports=rng.choice([True, True, False, None]),
            alike=ways.cuts,
            stays=address_alone or ways.cuts or rng.random() < 0.7,
        )
        self.world = World(ways, self.workload, rng)
        self.memory = Memory()
        self.seen: list[Seen] = []
        self.known: set[tuple[str, str]] = set()
        """Names and addresses that were true since the Service was last found to be empty."""
        self.denied_at = -math.inf
        """When SRV was last denied twice: then it is believed that this server has none."""

    def __str__(self) -> str:
        history = [f"{since:.2f} {state}" for since, state in self.world.history]
        return "\n".join([str(self.wanted), str(self.ways), *history, *map(str, self.seen)])

    def look(self, memory: Memory) -> Seen:
        world = self.world
        began = asked_last = world.now
        going = lookup(self.wanted, memory, began, self.rng)
        said: list[tuple[Question, Reply]] = []
        try:
            questions = next(going)
            while True:
                asked_last = world.now
                replies = world.answers(questions)
                said += zip(questions, replies, strict=True)
                world.go_on(self.rng.choice([0, 0.01, 0.3, 1]))
                questions = going.send(replies)
        except StopIteration as done:
            seen = Seen(done.value, began, asked_last, world.now, said)
        services = [reply for question, reply in said if question.rdtype is Type.SRV]
        if len(services) > 1 and not any(
            isinstance(reply, Answer) and reply.services for reply in services
        ):
            self.denied_at = began
        self.seen.append(seen)
        return seen

    def play(self) -> None:
        rng, world = self.rng, self.world
        for _ in range(rng.randint(1, 6)):
            world.moves = 0
            for _ in range(rng.choice([0, 0, 1, 2, 3])):
                world.go_on(rng.choice([0.1, 1, 4, 20, 70]) * rng.random())
                world.happen()
            world.go_on(rng.choice([0.01, 1, 5, 10, 40]))
            world.moves = rng.choice([0, 0.2, 0.5])
            self.hold(self.look(self.memory))
        world.moves = 0
        world.go_on(self.ways.holds + self.ways.age)
        ways = self.ways  # those of which the first answer may leave something open
        doubtful = ways.no_srv is not None or ways.soa != OWN_SOA or ways.cuts
        for _ in range(1 + doubtful):
            soon = self.look(self.memory)
            self.hold(soon)
        if isinstance(soon.outcome, Unknown):
            assert self.cannot_tell(world.at(world.now)), "all answers agree by now"
        world.go_on(DENIED)
        new = Memory()
        for _ in range(2):  # what a first doubtful answer leaves open, the second one settles
            kept, fresh = self.look(self.memory).outcome, self.look(new).outcome
        self.hold_at_rest(kept, fresh)

    # While things happen.

    def hold(self, seen: Seen) -> None:
        states = self.world.within(seen.began - self.ways.age, seen.ended)
        match seen.outcome:
            case Found(endpoints):
                self.hold_found(seen, endpoints, states)
            case Empty():
                assert any(self.is_empty(state) for state in states), "there were pods all along"
                self.known.clear()
            case Unknown():
                pass
            case wrong:
                self.hold_wrong(seen, wrong.error, states)
        self.known |= {row for state in states for pod in state.ready for row in pod.rows}

    def hold_wrong(self, seen: Seen, error: Exception, states: Iterable[State]) -> None:
        if isinstance(error, NotHeadless):
            assert {"virtual", "external"} & {state.kind for state in states}
            return
        assert isinstance(error, NoSuchPort)
        assert any(state.ready for state in states), "there were no pods"
        # Once more asked at the end: pods that came meanwhile do not lack it.
        last = self.world.within(seen.asked_last - self.ways.age, seen.ended)
        assert not all(state.numbers(port="http") for state in last), "the port was there"

    def hold_found(
        self, seen: Seen, endpoints: Sequence[Endpoint], states: Sequence[State]
    ) -> None:
        if seen.by_srv_alone and self.ways.glue:  # then it is one moment's
            rows = rows_of(endpoints)
            assert any(rows == self.expected(state) for state in states), "it never was so"
            return
        true = {row for state in states for pod in state.ready for row in pod.rows}
        pairs = {(each.name, address) for each in endpoints for address in each.addresses}
        for name, address in pairs - true:  # kept, until DNS gives another
            assert (name, address) in self.known, f"{name} {address} never was"
            assert not seen.names(address), f"{name} {address} is over"
        for endpoint in endpoints:
            assert self.had_port(endpoint, states), f"{endpoint.name} never had {endpoint.port}"
        found = {address for _, address in pairs}
        for pod in states[0].ready:
            if all(pod in state.ready for state in states) and self.is_listed(pod, states):
                assert not found.isdisjoint(pod.addresses), f"{pod} was there all along"

    def is_empty(self, state: State) -> bool:
        if state.kind not in ("headless", "absent") and self.ways.no_srv is None:
            return not set(self.workload.families) & set(self.wanted.types)
        return not any(self.of_families(pod.addresses) for pod in state.ready)

    def of_families(self, addresses: Iterable[str]) -> list[str]:
        wanted = self.wanted.types
        return [a for a in addresses if (Type.AAAA if ":" in a else Type.A) in wanted]

    def is_listed(self, pod: Pod, states: Iterable[State]) -> bool:
        if not self.of_families(pod.addresses):
            return False
        if isinstance(self.wanted.port, str):
            return "http" in dict(pod.ports)
        return bool(pod.ports) or not any(state.numbers() for state in states)

    def had_port(self, endpoint: Endpoint, states: Sequence[State]) -> bool:
        wanted, ways = self.wanted, self.ways
        if isinstance(wanted.port, int):
            return endpoint.port == wanted.port
        if endpoint.port is not None:
            # Of an SRV answer that was cut, the port of some is that of all.
            name = None if ways.cuts else endpoint.name
            return any(endpoint.port in state.numbers(name, wanted.port) for state in states)
        if wanted.port is not None:
            return False
        if wanted.records == "address" or ways.no_srv is not None:
            return True
        if any(state.kind == "external" for state in states):  # it has no SRV either
            return True
        if self.world.now - self.denied_at <= DENIED + 5:
            return True
        return any(
            len(state.numbers(name)) != 1
            for state in states
            for pod in state.ready
            for name, _ in pod.rows
        )

    # At rest.

    def hold_at_rest(self, kept: Outcome, fresh: Outcome) -> None:
        assert type(kept) is type(fresh), "what was known before tells"
        state = self.world.at(self.world.now)
        match fresh:
            case Found(endpoints):
                assert isinstance(kept, Found)
                assert kept.endpoints == endpoints
                assert rows_of(endpoints) == self.expected(state)
            case Empty():
                assert self.is_empty(state)
            case Unknown():
                assert self.cannot_tell(state), fresh
            case wrong:
                assert type(wrong.error) is type(kept.error)
                if isinstance(wrong.error, NotHeadless):
                    assert state.kind in ("virtual", "external")
                else:
                    assert state.ready
                    assert not state.numbers(port="http")

    def cannot_tell(self, state: State) -> bool:
        """Whether what these servers lack is needed."""
        ways, by_port = self.ways, isinstance(self.wanted.port, str)
        return bool(
            (ways.no_srv and (by_port or state.kind in ("virtual", "external")))
            or (ways.no_ptr and any(pod.host for pod in state.ready))
            or (by_port and ways.soa != OWN_SOA and not state.numbers())
        )

    def expected(self, state: State) -> set[Row]:
        wanted, ways = self.wanted, self.ways
        by_port = isinstance(wanted.port, str)
        pods = [pod for pod in state.ready if not by_port or "http" in dict(pod.ports)]
        names = {name for pod in pods for name, _ in pod.rows}
        if not ways.glue:  # whoever has the name, too
            pods = list(state.ready)
        rows = [row for pod in pods for row in pod.rows]
        pairs = [(n, a) for n, a in rows if n in names and self.of_families([a])]
        if wanted.family.startswith("prefer"):
            pairs = self.of_one_family(pairs)
        if isinstance(wanted.port, int):
            return {(name, address, wanted.port) for name, address in pairs}
        port = "http" if by_port else None
        found = {name: state.numbers(name, port) for name, _ in pairs}
        several = any(len(numbers) != 1 for numbers in found.values())
        if not by_port and (several or ways.no_srv or wanted.records == "address"):
            return {(name, address, None) for name, address in pairs}
        return {(name, address, number) for name, address in pairs for number in found[name]}

    def of_one_family(self, pairs: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
        """Of pods without a host name, which are listed once for each family."""
        first = self.wanted.types[0]
        dashes = [(n, a) for n, a in pairs if n.startswith(f"{dashed(a)}.")]
        ours = [(n, a) for n, a in dashes if (":" in a) is (first is Type.AAAA)]
        others = [pair for pair in dashes if pair not in ours]
        left_out = others if 2 * len(ours) >= len(others) else ours
        return [pair for pair in pairs if pair not in left_out]


def rows_of(endpoints: Iterable[Endpoint]) -> set[Row]:
    return {(each.name, address, each.port) for each in endpoints for address in each.addresses}


def check(seed: int) -> None:
    play = Play(seed)
    try:
        play.play()
    except BaseException as error:
        error.add_note(f"SEED={seed} HISTORIES=1\n{play}")
        raise


def test_what_a_lookup_says_was_true_whatever_happens_meanwhile() -> None:
    print(f"SEED={SEED} HISTORIES={HISTORIES}")
    for seed in range(SEED, SEED + HISTORIES):
        check(seed)
