"""ServiceName: every spelling of a Service's name, and where its missing parts come from.

It knows the grammar of names and nothing of DNS messages.
"""

import re
from typing import Self

import attrs

from .._errors import ConfigurationError
from .surroundings import NAMESPACE_FILE, Surroundings

DEFAULT_DOMAIN = "cluster.local"
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_DOMAIN_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_LABELS_BELOW = re.compile(r"([a-z0-9_-]{1,63}\.)+")
_LONGEST_PORT = 62  # it becomes a label that starts with an underscore
_LONGEST_BELOW = len(f"_{'p' * _LONGEST_PORT}._sctp.")  # a pod's own label is shorter
_LONGEST = 253 - _LONGEST_BELOW  # RFC 1035, 2.3.4: 255 bytes, of which the text shows 253


@attrs.frozen
class ServiceName:
    """A Service's full name: ``<service>.<namespace>.svc.<domain>``, all in lower case."""

    service: str
    """The name of the Service alone."""
    namespace: str
    """Its namespace."""
    domain: str = DEFAULT_DOMAIN
    """The cluster domain."""
    _text: str = attrs.field(init=False, eq=False, repr=False)

    @_text.default
    def _full(self) -> str:
        return f"{self.service}.{self.namespace}.svc.{self.domain}"

    def __attrs_post_init__(self) -> None:
        _check_label("service", self.service)
        _check_label("namespace", self.namespace)
        if not all(_DOMAIN_LABEL.fullmatch(label) for label in self.domain.split(".")):
            raise ConfigurationError(
                f"cluster_domain={self.domain!r} is not a DNS name such as 'cluster.local'"
            )
        if len(str(self)) > _LONGEST:
            raise ConfigurationError(
                f"cluster_domain={self.domain!r} is too long: {self} leaves no room for names of "
                f"ports and pods (at most {_LONGEST} characters do)"
            )

    @classmethod
    def parse(
        cls,
        text: str,
        *,
        namespace: str | None = None,
        cluster_domain: str | None = None,
        surroundings: Surroundings | None = None,
    ) -> Self:
        """Reads ``svc``, ``svc.ns``, ``svc.ns.svc`` or ``svc.ns.svc.<domain>``.

        A final dot and capital letters do not matter. What the name leaves out comes from the
        arguments, else from the surroundings (by default those of this process); the domain is
        ``cluster.local`` if nothing else is given. Raises `ConfigurationError` for an invalid name,
        a missing namespace, and a part that is given twice with different values.
        """
        if not isinstance(text, str):
            raise ConfigurationError(f"service must be text such as 'web' or 'web.shop': {text!r}")
        if surroundings is None:
            surroundings = Surroundings.read()
        said_namespace: str | None = None
        said_domain: str | None = None
        match text.lower().removesuffix(".").split("."):
            case [service]:
                pass
            case [service, said_namespace] | [service, said_namespace, "svc"]:
                pass
            case [service, said_namespace, "svc", *domain]:
                said_domain = ".".join(domain)
            case _:
                raise ConfigurationError(
                    f"service={text!r} is not a Service's name",
                    hint="It may be 'svc', 'svc.namespace', 'svc.namespace.svc' or "
                    "'svc.namespace.svc.cluster.local'.",
                )
        said_namespace = _said_once("namespace", said_namespace, namespace, text)
        said_domain = _said_once("cluster_domain", said_domain, cluster_domain, text)
        if said_namespace is None:
            said_namespace = _found_namespace(text, surroundings)
        if said_domain is None:
            said_domain = surroundings.resolv_conf.cluster_domain or DEFAULT_DOMAIN
        return cls(service, said_namespace, said_domain)

    def __str__(self) -> str:
        """The full name, without the final dot."""
        return self._text

    def owns(self, name: str) -> bool:
        """Whether a name (lower case, no final dot) may be that of one of this Service's pods.

        Only labels of letters, digits, dashes and underscores: what else a server may send is no
        host name, and could not be queried as it is written.
        """
        below = name.removesuffix(self._text)
        return below != name and _LABELS_BELOW.fullmatch(below) is not None

    def serves(self, owner: str | None) -> bool:
        """Whether an SOA's owner, if there is one, shows that the server serves this domain.

        No zone begins at a Service or below it: filters make up an SOA at the name they block.
        """
        if owner is None or f".{owner}".endswith(f".{self}"):
            return False
        return f".{owner}".endswith(f".{self.domain}")


def _said_once(argument: str, in_name: str | None, given: str | None, text: str) -> str | None:
    if given is None:
        return in_name
    if not isinstance(given, str):
        raise ConfigurationError(f"{argument} must be text, not {given!r}")
    given = given.lower().removesuffix(".")
    if in_name is not None and in_name != given:
        raise ConfigurationError(
            f"{argument}={given!r} contradicts service={text!r}, which says {in_name!r}",
            hint="Give it only once.",
        )
    return given


def _found_namespace(text: str, surroundings: Surroundings) -> str:
    found = surroundings.namespace
    if not found:
        raise ConfigurationError(
            f"no namespace for service={text!r}: $POD_NAMESPACE, {NAMESPACE_FILE} and the search "
            f"list of resolv.conf name none",
            hint=f"Give namespace=..., write '{text}.<namespace>', or set $POD_NAMESPACE.",
        )
    return found.lower()


def _check_label(argument: str, label: str) -> None:
    if not _LABEL.fullmatch(label):
        raise ConfigurationError(
            f"{argument}={label!r} is not a DNS label: 1 to 63 letters, digits and dashes, "
            f"none at either end a dash"
        )


PROTOCOLS = ("tcp", "udp", "sctp")


def check_port(port: object) -> str | int | None:
    """The ``port`` argument in its normal form; raises `ConfigurationError`."""
    match port:
        case None:
            return None
        case bool():
            pass
        case int():
            if 1 <= port <= 65535:
                return port
        case str():
            name = port.lower()
            if _LABEL.fullmatch(name) and len(name) <= _LONGEST_PORT:
                return name
    raise ConfigurationError(
        f"port must be a port's name such as 'http' or a number from 1 to 65535, or None, "
        f"not {port!r}"
    )


def check_protocol(protocol: object) -> str:
    """The ``protocol`` argument in its normal form; raises `ConfigurationError`."""
    if isinstance(protocol, str) and protocol.lower() in PROTOCOLS:
        return protocol.lower()
    raise ConfigurationError(f"protocol must be 'tcp', 'udp' or 'sctp', not {protocol!r}")
