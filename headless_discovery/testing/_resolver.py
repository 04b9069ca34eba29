"""A Resolver whose wire is a fake cluster: everything above it is the real thing."""

import math
import os
from collections.abc import Callable, Generator, Mapping
from typing import TypeVar

from .._dns.message import Server
from .._dns.resolver import Resolver
from .._dns.steps import GaveUp, Steps
from .._dns.surroundings import ResolvConf, Surroundings
from .._time.clock import Clock
from ._server import Wire

_T = TypeVar("_T")


SERVER = Server("10.96.0.10", 53)
_WHO = ("POD_IP", "POD_IPS", "POD_NAME", "POD_ZONE")
"""Variables that say which pod a process is; not its namespace, which is the cluster's to say."""


class FakeResolver(Resolver):
    """Queries a fake cluster; a query without a reply takes time on the fake clock."""

    def __init__(
        self,
        cluster: Wire,
        *,
        domain: str,
        namespace: str | None = None,
        addresses: tuple[str, ...] = (),
        hostname: str = "",
        environ: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__([SERVER.address])
        self._cluster = cluster
        self._domain = domain
        self._namespace = namespace
        self._addresses = addresses
        self._hostname = hostname
        self._environ = environ
        """A pod's; ``None``: that of this process, as far as it says which pod it is."""

    def surroundings(self) -> Surroundings:
        """Those of a pod of the cluster, or of this process, which knows only the domain."""
        here = {name: os.environ[name] for name in _WHO if name in os.environ}
        return Surroundings(
            environ=here if self._environ is None else self._environ,
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

    def reply_from_elsewhere(self, server: Server, wire: bytes) -> str | None:  # noqa: ARG002
        """Only the cluster replies."""
        return None

    def run(
        self,
        steps: Steps[_T],
        clock: Clock,
        *,
        stop: Callable[[], bool] = lambda: False,
        until: float = math.inf,
    ) -> _T:
        """Advances the clock by the duration of the lookup."""
        paces = self.run_paced(steps, clock)
        try:
            while True:
                clock.sleep(min(next(paces), until - clock.now()))
                if stop() or clock.now() >= until:
                    steps.close()
                    raise GaveUp
        except StopIteration as done:
            result: _T = done.value
            return result

    async def run_async(self, steps: Steps[_T], clock: Clock) -> _T:
        """The same, awaiting that time."""
        paces = self.run_paced(steps, clock)
        try:
            while True:
                await clock.sleep_async(next(paces))
        except StopIteration as done:
            result: _T = done.value
            return result

    def run_paced(self, steps: Steps[_T], clock: Clock) -> Generator[float, None, _T]:
        """What is answered is answered at once; silence takes its time."""
        try:
            step = next(steps)
            while True:
                if step.work is not None:
                    step.work()
                answers = [
                    (send, self._cluster.answer(send.wire, tcp=send.tcp)) for send in step.sends
                ]
                events = [(send, wire) for send, wire in answers if wire is not None]
                if not events and (left := step.until - clock.now()) > 0:
                    yield left
                step = steps.send(events)
        except StopIteration as done:
            result: _T = done.value
            return result
