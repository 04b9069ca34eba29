"""EndpointSlices: which API server to contact, and with which credentials."""

import importlib
import ipaddress
import os
import re
import socket
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from .._dns.resolver import Resolver
from .._errors import ConfigurationError, LookupFailed
from .._time.clock import Background, Clock
from .._time.tasks import Task
from .protocol import Watch

_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_TOKEN = re.compile(r"[!-~]+")
_no_streams: set[str] = set()
"""Servers that do not send a first state in a watch: true for the rest of the process."""


class EndpointSlices:
    """The EndpointSlices of the Kubernetes API, watched: an object for ``source=``.

    Args:
        server: The API server's URL; by default, in a pod,
            ``https://$KUBERNETES_SERVICE_HOST:$KUBERNETES_SERVICE_PORT``.
        token_file: A file with a bearer token, read again for each request; by default the service
            account's, if there is one and the URL is https.
        ca_file: Certificates of the authorities that may have signed the server's; by default the
            service account's, if there is one, else the system's.
        endpoint_pod_names: Whether the cluster's CoreDNS has ``endpoint_pod_names`` in its
            Corefile: pods without a host name are then called by their own names.

    Raises:
        ConfigurationError: For a wrong argument.
    """

    def __init__(
        self,
        *,
        server: str | None = None,
        token_file: str | os.PathLike[str] | None = None,
        ca_file: str | os.PathLike[str] | None = None,
        endpoint_pod_names: bool = False,
    ) -> None:
        if not isinstance(endpoint_pod_names, bool):
            raise ConfigurationError(
                f"endpoint_pod_names must be True or False, not {endpoint_pod_names!r}"
            )
        if server is not None:
            _check(server)
            server = server.rstrip("/")
        self.endpoint_pod_names = endpoint_pod_names
        self.tentative = False
        """Whether DNS is the source if these cannot be read at first."""
        self._server = server
        self._token_file = _path("token_file", token_file)
        self._ca_file = _path("ca_file", ca_file)
        self._systems: ssl.SSLContext | None = None
        self._local: str | None = None

    def __repr__(self) -> str:
        return f"EndpointSlices({self._server or 'in the cluster'})"

    @property
    def server(self) -> str:
        """The URL; raises `ConfigurationError` if it is not known."""
        if self._server is not None:
            return self._server
        host = os.environ.get("KUBERNETES_SERVICE_HOST")
        port = os.environ.get("KUBERNETES_SERVICE_PORT", "443")
        if not host:
            raise ConfigurationError(
                "no API server: $KUBERNETES_SERVICE_HOST is not set",
                hint="Inside a pod it is; elsewhere give EndpointSlices(server=..., "
                "token_file=..., ca_file=...).",
            )
        server = f"https://{f'[{host}]' if ':' in host else host}:{port}"
        _check(server)
        return server

    def check(self) -> None:
        """Imports what it needs: later there may be no file descriptor to import it with.

        Raises:
            ConfigurationError: A library is not installed, or cannot be imported here.
        """
        try:
            importlib.import_module(f"{__package__}.aio_watch")
        except ImportError as error:
            raise ConfigurationError(
                "EndpointSlices are read by httpx2, which is not installed",
                hint="Install the extra: pip install 'headless_discovery[api]'.",
            ) from error
        except Exception as error:  # what eventlet leaves of sockets is too little for trio's
            raise ConfigurationError(
                "EndpointSlices are read by httpx2, which cannot be imported: "
                f"{type(error).__name__}: {error!s:.80}"
            ) from error

    def headers(self) -> Mapping[str, str]:
        """Of a request made now; raises `OSError` for a token that was given and cannot be read."""
        headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
        path = self._token_file
        if path is None and self.server.startswith("https:"):
            path = _ACCOUNT / "token" if (_ACCOUNT / "token").exists() else None
        if path is not None:
            token = path.read_text(encoding="utf-8", errors="replace").strip()
            if _TOKEN.fullmatch(token) is None:
                raise OSError(f"{path} holds no token")
            headers["Authorization"] = f"Bearer {token}"
        return headers

    def context(self) -> ssl.SSLContext:
        """Trusts the cluster's authority; raises `OSError` for a file that cannot be used."""
        path = self._ca_file
        if path is None and (_ACCOUNT / "ca.crt").exists():
            path = _ACCOUNT / "ca.crt"
        if path is not None:
            return ssl.create_default_context(cafile=path)  # read again: it may be renewed
        if self._systems is None:
            self._systems = (
                ssl.create_default_context()  # takes some 30 ms
                if self.server.startswith("https:")
                else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            )
        return self._systems

    def resolver(self) -> Resolver:
        """Evidence of where this process runs."""
        return Resolver()

    def connected(self, local: str) -> None:
        """There is a connection to the server, from that address."""
        self._local = str(ipaddress.ip_address(local))

    def own_addresses(self) -> tuple[str, ...]:
        """The local address from which packets to the server leave: this pod's.

        Raises:
            LookupFailed: No socket or no route can be had now.
        """
        server = self.server
        parts = urlsplit(server)
        host = parts.hostname or ""
        try:
            version = ipaddress.ip_address(host).version
        except ValueError:
            # To look a name up may hold an event loop for long: the connection tells as well.
            if self._local is None:
                raise LookupFailed(f"no connection to {server} yet", nameserver=server) from None
            return (self._local,)
        family = socket.AF_INET6 if version == 6 else socket.AF_INET
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as routed:
                routed.connect((host, parts.port or 443))  # sends nothing
                return (str(ipaddress.ip_address(routed.getsockname()[0])),)
        except OSError as error:
            raise LookupFailed(
                f"no route to {server}: {error}",
                nameserver=server,
                hint="Check its address, and whether this pod has a network.",
            ) from error

    @property
    def no_streams(self) -> set[str]:
        """Servers that are known to send no first state in a watch."""
        return _no_streams

    def background(self, watch: Watch, clock: Clock) -> "Following":
        """What follows them in a thread, once it is started."""
        from .watch import Watcher  # noqa: PLC0415 - httpx2 is an extra

        return Watcher(self, watch, clock)

    def background_async(self, watch: Watch, clock: Clock) -> "FollowingTask":
        """The same in a task."""
        from .aio_watch import Watcher  # noqa: PLC0415 - httpx2 is an extra

        return Watcher(self, watch, clock)


class Following(Background, Protocol):
    """Follows slices in a thread."""

    watch: Watch

    def hurry(self) -> None:
        """Requests them now, even during backoff."""
        ...


class FollowingTask(Task, Protocol):
    """Follows slices in a task."""

    watch: Watch

    def start(self) -> None:
        """Begins, if it did not yet."""
        ...

    def hurry(self) -> None:
        """Requests them now, even during backoff."""
        ...


def _path(argument: str, value: str | os.PathLike[str] | None) -> Path | None:
    try:
        return None if value is None else Path(value)
    except TypeError:
        raise ConfigurationError(f"{argument} must be a path, not {value!r}") from None


def _check(server: object) -> None:
    text = server if isinstance(server, str) else ""
    try:
        parts = urlsplit(text)
        # What is no host name is found out by `getaddrinfo` only after it encoded it.
        good = parts.scheme in ("http", "https") and bool((parts.hostname or "").encode("idna"))
        good = good and parts.port != 0 and text.isprintable() and " " not in text
    except ValueError:
        good = False
    if not good or parts.query or parts.fragment or parts.username is not None:
        raise ConfigurationError(
            f"server must be the URL of an API server such as 'https://10.96.0.1:443', "
            f"not {server!r}"
        )
