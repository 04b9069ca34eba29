"""A pod's settings: environment variables, resolv.conf, its service account.

Reading is done by `Surroundings.read`; everything else is a function of the text that was read.
"""

import contextlib
import ipaddress
import os
import re
import socket  # for inet_aton alone
from collections.abc import Mapping
from pathlib import Path
from typing import Self

import attrs

from .._errors import ConfigurationError

RESOLV_CONF = Path("/etc/resolv.conf")
NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


_MOST_DOTS = 15  # glibc's RES_MAXNDOTS


@attrs.frozen
class ResolvConf:
    """The lines that matter here (resolv.conf(5)); which do not, and why, is in the documents."""

    nameservers: tuple[str, ...] = ()
    """Addresses in canonical text, those of links with their zone."""
    search: tuple[str, ...] = ()
    ndots: int = 1
    """Names with fewer dots go through the search list first: in libc, never here."""
    use_vc: bool = False
    """Whether TCP is to be used from the start."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """As glibc reads it.

        A keyword stands at the beginning of its line. ``#`` and ``;`` begin a comment there, and
        after an address. A name server that is no address is left out; of several search lists the
        last one holds, and so it is with options.
        """
        nameservers: list[str] = []
        search: tuple[str, ...] = ()
        ndots, use_vc = 1, False
        for line in text.split("\n"):
            match line.split() if not line[:1].isspace() else ():
                case ["nameserver", word, *_]:
                    address = _server(re.split("[;#]", word)[0])
                    nameservers += [address] if address else []
                case ["search", *domains] if domains:
                    search = tuple(filter(None, map(_domain, domains)))
                case ["domain", domain, *_]:
                    search = tuple(filter(None, [_domain(domain)]))
                case ["options", *options]:
                    use_vc = use_vc or "use-vc" in options
                    for option in options:
                        number = option.removeprefix("ndots:")
                        if number != option and number.isdecimal():
                            ndots = int(min(float(number), _MOST_DOTS))  # however many digits
        return cls(tuple(nameservers), search, ndots, use_vc)

    @property
    def cluster_domain(self) -> str | None:
        """Kubernetes searches ``<namespace>.svc.<domain>``, ``svc.<domain>`` and ``<domain>``.

        A namespace, and the domain itself, may begin with ``svc``: it is the one of which the
        others are there too.
        """
        found = [entry.removeprefix("svc.") for entry in self.search if entry.startswith("svc.")]
        ranked = sorted(
            (self._namespace_in(domain) is None, domain not in self.search, domain)
            for domain in found
        )
        for lacks_namespace, lacks_itself, domain in ranked:
            # Alone, "svc.svc.<domain>" is the entry of a namespace called "svc".
            if not (lacks_namespace and lacks_itself and domain.startswith("svc.")):
                return domain
        return None

    @property
    def namespace(self) -> str | None:
        """Whose pod this is, by the search list."""
        domain = self.cluster_domain
        if domain is not None:
            return self._namespace_in(domain)
        for entry in self.search:
            match entry.split(".", 2):
                case [namespace, "svc", _]:
                    return namespace
        return None

    def _namespace_in(self, domain: str) -> str | None:
        for entry in self.search:
            namespace = entry.removesuffix(f".svc.{domain}")
            if namespace != entry and "." not in namespace:
                return namespace
        return None


def asks_over_tcp(conf: ResolvConf, environ: Mapping[str, str]) -> bool:
    """Whether the file, or ``$RES_OPTIONS``, says to use TCP from the start."""
    return conf.use_vc or "use-vc" in environ.get("RES_OPTIONS", "").split()


def _domain(text: str) -> str:
    return text.rstrip(".").lower()


def _server(text: str) -> str | None:
    """``None``: libc leaves the line out. It knows no ports, which do no harm here."""
    with contextlib.suppress(ConfigurationError):
        address, port = parse_address(text, argument=str(RESOLV_CONF), example="an address")
        return address if port is None else f"[{address}]:{port}"
    with contextlib.suppress(OSError, ValueError):
        return socket.inet_ntoa(socket.inet_aton(text))  # "127.1" is an address to libc
    return None


_ADDRESS_AND_PORT = re.compile(
    r"\[(?P<v6>[^\]]+)\](?::(?P<port6>\d{1,5}))?|"
    r"(?P<v4>[^:\[\]]+)(?::(?P<port4>\d{1,5}))?",
    re.ASCII,
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
    raise ConfigurationError(
        f"{argument}: {text!r:.80} is not an IP address", hint=f"Give {example}."
    )


@attrs.frozen
class Surroundings:
    """Everything that was read, once."""

    environ: Mapping[str, str] = attrs.field(factory=dict)
    resolv_conf: ResolvConf = ResolvConf()
    namespace_file: str | None = None
    """The service account's own namespace."""

    @classmethod
    def read(cls) -> Self:
        """From this process's environment and files; missing files are skipped."""
        return cls(
            environ=os.environ,
            resolv_conf=ResolvConf.parse(read_text(RESOLV_CONF) or ""),
            namespace_file=read_text(NAMESPACE_FILE),
        )

    @property
    def namespace(self) -> str | None:
        """``$POD_NAMESPACE``, else the service account's, else the search list's."""
        return (
            self.environ.get("POD_NAMESPACE")
            or (self.namespace_file or "").strip()
            or self.resolv_conf.namespace
        )


def read_text(path: Path) -> str | None:
    """The file's text, or ``None`` if it cannot be read: outside a pod that is the normal case."""
    try:
        # Opening a pipe would wait until another process writes to it.
        return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else None
    except OSError:
        return None
