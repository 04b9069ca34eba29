"""Resolver: which name servers to use, and the limits of a lookup. It decides nothing else.

What to send, the next server and the meaning of a reply: see `exchange` and `lookup`; the
sockets are in `sockets` and its twin `aio_sockets`.
"""

import contextlib
import ipaddress
import math
import os
import socket
from collections.abc import Callable, Generator, Sequence
from typing import TypeVar

from .._errors import ConfigurationError, LookupFailed, check_seconds
from .._time.clock import Clock
from . import aio_sockets, sockets
from .message import Server, is_reply
from .steps import Plan, Steps
from .surroundings import (
    RESOLV_CONF,
    ResolvConf,
    Surroundings,
    asks_over_tcp,
    parse_address,
    read_text,
)

NAMESERVER_VARIABLE = "HEADLESS_DISCOVERY_NAMESERVER"
_DNS_PORT = 53
_T = TypeVar("_T")


class Resolver:
    """The name servers to query, and the limits of one lookup.

    It holds no socket between lookups, so it may be shared by threads, and survives a fork.

    Args:
        nameservers: Addresses such as ``"10.96.0.10"``, ``"127.0.0.1:5353"``, ``"[fd00::a]:53"`` or
            ``"fe80::1%eth0"``. By default those of ``$HEADLESS_DISCOVERY_NAMESERVER`` (separated
            by commas), else those of resolv.conf, which is read again when it has changed.
        timeout: Seconds to wait for a reply before the query is also sent to another server or by
            another transport. Default: 2.
        lifetime: Seconds for all queries of a lookup together. Default: 5.
        edns: The UDP payload size to offer, in bytes (RFC 6891; DNS flag day 2020); ``None``: no
            EDNS. Default: 1232.

    Raises:
        ConfigurationError: An argument is wrong.
    """

    def __init__(
        self,
        nameservers: Sequence[str] | None = None,
        *,
        timeout: float = 2,
        lifetime: float = 5,
        edns: int | None = 1232,
    ) -> None:
        self.timeout: float = check_seconds("timeout", timeout, zero=False)
        self.lifetime: float = check_seconds("lifetime", lifetime, zero=False)
        if edns is not None and (type(edns) is not int or not 512 <= edns <= 65535):
            raise ConfigurationError(
                f"edns must be a number of bytes from 512 to 65535, or None, not {edns!r:.80}"
            )
        self.edns = edns
        self._given = None if nameservers is None else _given_servers(nameservers)
        self._resolv_conf: tuple[object, ResolvConf] = (object(), ResolvConf())

    def __repr__(self) -> str:
        given = None if self._given is None else [str(server) for server in self._given]
        return (
            f"Resolver({given}, timeout={self.timeout:g}, lifetime={self.lifetime:g}, "
            f"edns={self.edns})"
        )

    def plan(self) -> Plan:
        """The name servers to query now, and the limits.

        Raises:
            ConfigurationError: There is no name server.
        """
        servers, tcp_first = self._given, False
        if servers is None and (variable := os.environ.get(NAMESERVER_VARIABLE)):
            servers = tuple(
                parse_server(text, argument=f"${NAMESERVER_VARIABLE}")
                for text in variable.split(",")
            )
        if servers is None:
            conf = self._conf()
            servers = tuple(
                parse_server(text, argument=str(RESOLV_CONF)) for text in conf.nameservers
            )
            tcp_first = asks_over_tcp(conf, os.environ)
        if not servers:
            raise ConfigurationError(
                f"no name server: {RESOLV_CONF} names none",
                hint="Inside a pod it names the cluster's; elsewhere give "
                f"Resolver(['10.96.0.10']) or set ${NAMESERVER_VARIABLE}.",
            )
        return Plan(servers, self.edns, self.timeout, self.lifetime, tcp_first)

    def _conf(self) -> ResolvConf:
        """The present content of resolv.conf, read when it has changed; empty if it cannot be."""
        try:
            status = RESOLV_CONF.stat()
            # A file that was replaced may have the time and the size of the old one.
            stamp: object = (
                status.st_mtime_ns,
                status.st_ctime_ns,
                status.st_size,
                status.st_ino,
                status.st_dev,
            )
        except OSError:
            stamp = None
        seen, conf = self._resolv_conf
        if seen != stamp:
            conf = ResolvConf.parse(read_text(RESOLV_CONF) or "")
            self._resolv_conf = (stamp, conf)
        return conf

    def servers(self) -> tuple[Server, ...]:
        """The name servers to query now, in order; raises as `plan` does."""
        return self.plan().servers

    def surroundings(self) -> Surroundings:
        """Where this process runs: its environment and files."""
        return Surroundings.read()

    def own_addresses(self) -> tuple[str, ...]:
        """The local addresses from which packets to the name servers leave: this pod's.

        Raises:
            LookupFailed: The system gives none just now: no socket, or no route.
        """
        found: dict[str, None] = {}
        trouble: OSError | None = None
        servers = self.servers()
        for server in servers:
            try:
                with socket.socket(sockets.address_family(server), socket.SOCK_DGRAM) as routed:
                    routed.connect(sockets.socket_address(server))
                    found[str(ipaddress.ip_address(routed.getsockname()[0]))] = None
            except OSError as error:
                trouble = error
        if not found:
            raise LookupFailed(f"no route to {servers[0]}: {trouble}", nameserver=str(servers[0]))
        return tuple(found)

    def own_hostname(self) -> str:
        """The first label of our host name."""
        return socket.gethostname().partition(".")[0].lower()

    def reply_from_elsewhere(self, server: Server, wire: bytes) -> str | None:
        """Queries the server over UDP; another address that replied in its place, if one did.

        The sockets of a lookup are connected: they never see such replies.
        """
        family = sockets.address_family(server)
        with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as unconnected:
            unconnected.settimeout(self.timeout)
            unconnected.sendto(wire, server)
            reply, (address, port, *_) = unconnected.recvfrom(65535)
            if is_reply(wire, reply) and (address, port) != server:
                return str(Server(address, port))
        return None

    def run(
        self,
        steps: Steps[_T],
        clock: Clock,
        *,
        stop: Callable[[], bool] = lambda: False,
        until: float = math.inf,
    ) -> _T:
        """Carries a lookup out, blocking, and returns what it returns.

        Args:
            steps: The lookup.
            clock: Whose time it goes by.
            stop: Called from time to time; once it returns true, the lookup is cancelled.
            until: When it is cancelled in any case, by the clock.

        Raises:
            GaveUp: Because of the last two.
        """
        return sockets.run(steps, clock, stop, until)

    async def run_async(self, steps: Steps[_T], clock: Clock) -> _T:
        """The same in a task of asyncio or trio, whose cancellation gives it up."""
        return await aio_sockets.run(steps, clock)

    def run_paced(self, steps: Steps[_T], clock: Clock) -> Generator[float, None, _T]:
        """The same for a clock that moves only by hand: yields seconds to let pass."""
        return self.run(steps, clock)
        yield 0.0


def _given_servers(nameservers: Sequence[str]) -> tuple[Server, ...]:
    if isinstance(nameservers, str) or not isinstance(nameservers, Sequence) or not nameservers:
        raise ConfigurationError(
            f"nameservers must be a list of one or more addresses such as ['10.96.0.10'], "
            f"not {nameservers!r:.80}"
        )
    return tuple(parse_server(text, argument="nameservers") for text in nameservers)


def parse_server(text: object, *, argument: str) -> Server:
    """A name server; by its address, since a name could not be resolved without one."""
    address, port = parse_address(
        text,
        argument=argument,
        example="'10.96.0.10', '127.0.0.1:5353', '[fd00::a]:53' or 'fe80::1%eth0'",
    )
    return Server(address, _DNS_PORT if port is None else port)
