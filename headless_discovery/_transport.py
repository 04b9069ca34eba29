"""Resolver: which name servers to use, and the limits of a lookup. It decides nothing else.

What to send, whom to ask next and what a reply means is decided in `_exchange` and `_questions`;
sockets are in `_sync_transport` and its twin `_aio_transport`.
"""

import contextlib
import functools
import ipaddress
import math
import os
import re
import socket
from collections.abc import Callable, Sequence
from pathlib import Path

from . import _aio_transport, _sync_transport
from ._clock import Clock
from ._errors import ConfigurationError
from ._exchange import Reply, Server, Traffic
from ._steps import Converse
from ._surroundings import RESOLV_CONF, ResolvConf, Surroundings, read_text

NAMESERVER_VARIABLE = "HEADLESS_DISCOVERY_NAMESERVER"
_DNS_PORT = 53


class Resolver:
    """Which name servers to ask, and the limits of one lookup.

    ``nameservers``: addresses such as ``"10.96.0.10"``, ``"127.0.0.1:5353"`` or
    ``"[fd00::a]:53"``. By default those of ``$HEADLESS_DISCOVERY_NAMESERVER`` (separated by
    commas), else those of resolv.conf, which is read again when it has changed. ``timeout``:
    seconds to wait for one answer. ``lifetime``: seconds for all the questions of a lookup.
    ``edns``: the UDP payload size offered, 1232 bytes by default (RFC 6891; DNS flag day 2020).

    Raises `ConfigurationError` for a wrong argument. It holds no socket between lookups, so it
    may be shared by threads, and survives a fork.
    """

    def __init__(
        self,
        nameservers: Sequence[str] | None = None,
        *,
        timeout: float = 2,
        lifetime: float = 5,
        edns: int = 1232,
    ) -> None:
        self.timeout = _seconds("timeout", timeout)
        self.lifetime = _seconds("lifetime", lifetime)
        if isinstance(edns, bool) or not isinstance(edns, int) or not 512 <= edns <= 65535:
            raise ConfigurationError(f"edns must be a number of bytes, 512 to 65535, not {edns!r}")
        self.edns = edns
        self._given = None if nameservers is None else _given_servers(nameservers)
        self._resolv_conf = Watched(RESOLV_CONF)

    def __repr__(self) -> str:
        given = None if self._given is None else [str(server) for server in self._given]
        return (
            f"Resolver({given}, timeout={self.timeout:g}, lifetime={self.lifetime:g}, "
            f"edns={self.edns})"
        )

    def servers(self) -> tuple[Server, ...]:
        """The name servers to ask now, in order; raises `ConfigurationError` if there are none."""
        if self._given is not None:
            return self._given
        if variable := os.environ.get(NAMESERVER_VARIABLE):
            return tuple(
                parse_server(text, argument=f"${NAMESERVER_VARIABLE}")
                for text in variable.split(",")
            )
        servers = _listed_servers(self._resolv_conf.text() or "")
        if not servers:
            raise ConfigurationError(
                f"no name server: {RESOLV_CONF} names none. Inside a pod it names the cluster's; "
                f"elsewhere give Resolver(['10.96.0.10']) or set ${NAMESERVER_VARIABLE}"
            )
        return servers

    def surroundings(self) -> Surroundings:
        """Where this process runs: its environment and files."""
        return Surroundings.read()

    def own_addresses(self) -> tuple[str, ...]:
        """The local addresses from which packets to the name servers leave: this pod's."""
        found: dict[str, None] = {}
        for server in self.servers():
            family = socket.AF_INET6 if ":" in server.address else socket.AF_INET
            with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as routed:
                routed.connect((server.address, server.port))  # sends nothing
                found[str(ipaddress.ip_address(routed.getsockname()[0]))] = None
        return tuple(found)

    def own_hostname(self) -> str:
        """The first label of our host name."""
        return socket.gethostname().partition(".")[0].lower()

    def foretell(
        self, step: Converse, clock: Clock, traffic: Traffic
    ) -> tuple[Sequence[Reply], float]:
        """A step's replies, and the seconds they take on a clock that is not real: none here."""
        return self.converse(step, clock, traffic, lambda: False), 0.0

    async def converse_async(
        self, step: Converse, clock: Clock, traffic: Traffic
    ) -> Sequence[Reply]:
        """Carries out one step over the sockets of asyncio or trio."""
        return await _aio_transport.converse(step, clock, traffic, self.timeout)

    def converse(
        self,
        step: Converse,
        clock: Clock,
        traffic: Traffic,
        stop: Callable[[], bool],
    ) -> list[Reply]:
        """Carries out one step over real sockets.

        ``stop`` is asked now and then; once it is true the step ends as if time were over.
        """
        return _sync_transport.converse(step, clock, traffic, self.timeout, stop)


class Watched:
    """A file's text, read again when it has changed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[object, str | None] = (object(), None)

    def text(self) -> str | None:
        try:
            status = self._path.stat()
            stamp: object = (status.st_mtime_ns, status.st_size, status.st_ino)
        except OSError:
            stamp = None
        if self._seen[0] != stamp:
            self._seen = (stamp, read_text(self._path))
        return self._seen[1]


def _seconds(argument: str, value: object) -> float:
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or not math.isfinite(value)
        or value <= 0
    ):
        raise ConfigurationError(f"{argument} must be a number of seconds above 0, not {value!r}")
    return value


@functools.lru_cache(maxsize=8)  # each lookup asks, and it hardly ever changes
def _listed_servers(resolv_conf: str) -> tuple[Server, ...]:
    listed = ResolvConf.parse(resolv_conf).nameservers
    return tuple(parse_server(text, argument=str(RESOLV_CONF)) for text in listed)


def _given_servers(nameservers: Sequence[str]) -> tuple[Server, ...]:
    if isinstance(nameservers, str) or not isinstance(nameservers, Sequence) or not nameservers:
        raise ConfigurationError(
            f"nameservers must be a list of one or more addresses such as ['10.96.0.10'], "
            f"not {nameservers!r}"
        )
    return tuple(parse_server(text, argument="nameservers") for text in nameservers)


_ADDRESS_AND_PORT = re.compile(
    r"\[(?P<v6>[^\]]+)\](?::(?P<port6>\d{1,5}))?|"
    r"(?P<v4>[^:\[\]]+)(?::(?P<port4>\d{1,5}))?"
)


def parse_address(text: object, *, argument: str, example: str) -> tuple[str, int | None]:
    """An address in canonical text, and the port if there is one.

    ``10.96.0.10``, ``127.0.0.1:5353``, ``fd00::a``, ``[fd00::a]:53``. Raises `ConfigurationError`
    that names the argument for anything else, a host name too.
    """
    if isinstance(text, str):
        text = text.strip()
        match = _ADDRESS_AND_PORT.fullmatch(text)
        address = (match["v6"] or match["v4"]) if match else text
        port = (match["port6"] or match["port4"]) if match else None
        try:
            canonical = str(ipaddress.ip_address(address))
        except ValueError:
            canonical = None
        if canonical is not None and (port is None or 1 <= int(port) <= 65535):
            return canonical, None if port is None else int(port)
    raise ConfigurationError(f"{argument}: {text!r} is not an IP address: give {example}")


def parse_server(text: object, *, argument: str) -> Server:
    """A name server; by its address, since there would be nobody to ask for a name's."""
    address, port = parse_address(
        text, argument=argument, example="'10.96.0.10', '127.0.0.1:5353' or '[fd00::a]:53'"
    )
    return Server(address, _DNS_PORT if port is None else port)
