"""What a pod is told about itself: environment variables, resolv.conf, its service account.

Reading is done by `Surroundings.read`; everything else is a function of the text that was read.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Self

import attrs

RESOLV_CONF = Path("/etc/resolv.conf")
NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


@attrs.frozen
class ResolvConf:
    """The lines that matter here (resolv.conf(5))."""

    nameservers: tuple[str, ...] = ()
    search: tuple[str, ...] = ()
    ndots: int = 1
    """Names with fewer dots go through the search list first: in libc, never here."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """As libc reads it: comments start with ``#`` or ``;``, the last search line holds."""
        nameservers: list[str] = []
        search: tuple[str, ...] = ()
        ndots = 1
        for line in text.splitlines():
            match line.split():
                case ["nameserver", address, *_]:
                    nameservers.append(address)
                case ["search" | "domain", *domains]:
                    search = tuple(domain.rstrip(".").lower() for domain in domains)
                case ["options", *options]:
                    said = [option[6:] for option in options if option.startswith("ndots:")]
                    ndots = next((int(number) for number in said if number.isdecimal()), ndots)
        return cls(tuple(nameservers), search, ndots)

    @property
    def cluster_domain(self) -> str | None:
        """Kubernetes gives every pod a search entry ``svc.<domain>``."""
        for entry in self.search:
            first, _, domain = entry.partition(".")
            # "svc.svc.<domain>" is the other kind of entry, of a namespace called "svc".
            if first == "svc" and domain and not domain.startswith("svc."):
                return domain
        return None

    @property
    def namespace(self) -> str | None:
        """And one ``<namespace>.svc.<domain>``."""
        for entry in self.search:
            match entry.split(".", 2):
                case [namespace, "svc", _]:
                    return namespace
        return None


@attrs.frozen
class Surroundings:
    """Everything that was read, once."""

    environ: Mapping[str, str] = attrs.field(factory=dict)
    resolv_conf: ResolvConf = ResolvConf()
    namespace_file: str | None = None
    """The service account's own namespace."""

    @classmethod
    def read(cls) -> Self:
        """From this process's environment and files; a file that is not there says nothing."""
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
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
