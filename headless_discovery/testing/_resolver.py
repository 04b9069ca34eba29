"""A Resolver whose wire is a fake cluster: everything above it is the real thing."""

from collections.abc import Callable
from typing import Protocol

from .._clock import Clock
from .._exchange import OUT_OF_TIME, Asking, NoReply, Reply, Send, Server, Traffic
from .._steps import Converse, carry_out
from .._surroundings import ResolvConf, Surroundings
from .._transport import Resolver
from .._wire import is_reply

SERVER = Server("10.96.0.10", 53)


class Wire(Protocol):
    """What answers."""

    def answer(self, wire: bytes, *, tcp: bool = False) -> bytes | None:
        """One message in, one out, or none."""
        ...


class FakeResolver(Resolver):
    """Asks a fake cluster; a question that is not answered takes its time on the fake clock."""

    def __init__(
        self,
        cluster: Wire,
        *,
        domain: str,
        namespace: str | None = None,
        addresses: tuple[str, ...] = (),
        hostname: str = "",
    ) -> None:
        super().__init__([SERVER.address])
        self._cluster = cluster
        self._domain = domain
        self._namespace = namespace
        self._addresses = addresses
        self._hostname = hostname

    def surroundings(self) -> Surroundings:
        """Those of a pod of the cluster, or of a process that is told only its domain."""
        return Surroundings(
            environ={},
            resolv_conf=ResolvConf(
                (SERVER.address,),
                tuple(
                    ".".join(filter(None, (namespace, "svc", self._domain)))
                    for namespace in (self._namespace, None)
                ),
                ndots=5,
            ),
            namespace_file=self._namespace,
        )

    def own_addresses(self) -> tuple[str, ...]:
        """The pod's."""
        return self._addresses

    def own_hostname(self) -> str:
        """The pod's."""
        return self._hostname

    def converse(
        self,
        step: Converse,
        clock: Clock,
        traffic: Traffic,
        stop: Callable[[], bool],  # noqa: ARG002 - nobody waits here who could be stopped
    ) -> list[Reply]:
        """The replies, after the time that they take."""
        replies, took = self.foretell(step, clock, traffic)
        if took:
            clock.sleep(took)
        return replies

    async def converse_async(self, step: Converse, clock: Clock, traffic: Traffic) -> list[Reply]:
        """The same, awaiting that time."""
        replies, took = self.foretell(step, clock, traffic)
        if took:
            await clock.sleep_async(took)
        return replies

    def foretell(self, step: Converse, clock: Clock, traffic: Traffic) -> tuple[list[Reply], float]:
        """The replies, and the time that the slowest takes: they are asked for side by side."""
        room = step.deadline - clock.now()
        found = [self._ask(asking, room, traffic) for asking in step.asks]
        return [reply for reply, _ in found], max((took for _, took in found), default=0.0)

    def _ask(self, asking: Asking, room: float, traffic: Traffic) -> tuple[Reply, float]:
        took = 0.0

        def exchange(send: Send) -> bytes | NoReply:
            nonlocal took
            if took >= room:
                return OUT_OF_TIME
            came, seconds = self._exchange(send, traffic)
            took += seconds
            return OUT_OF_TIME if isinstance(came, NoReply) and took >= room else came

        reply = carry_out(asking, exchange)
        return reply, min(took, room)

    def _exchange(self, send: Send, traffic: Traffic) -> tuple[bytes | NoReply, float]:
        """What comes back, and how long it takes."""
        traffic.count(send)
        wire = self._cluster.answer(send.wire, tcp=send.tcp)
        if wire is not None and is_reply(send.wire, wire):
            return wire, 0.0
        return NoReply.in_time(self.timeout), self.timeout
