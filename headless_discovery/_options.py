"""The arguments of `peers`, checked: a wrong one is a `ConfigurationError` that names it."""

import ipaddress
import random
from collections.abc import Iterable
from typing import TypedDict, TypeVar

import attrs

from ._clock import Clock
from ._endpoint import Endpoint
from ._errors import ConfigurationError
from ._policy import Policy
from ._questions import FAMILIES, RECORDS, Family, Records, Wanted
from ._selection import Strategy, strategy_from
from ._service import ServiceName, check_port, check_protocol
from ._surroundings import Surroundings
from ._transport import Resolver, parse_address

_T = TypeVar("_T")
_POLICY = Policy()


class PeersArguments(TypedDict, total=False):
    """The keyword arguments of `headless_discovery.peers`, for code that passes them on."""

    port: str | int | None
    protocol: str
    namespace: str | None
    cluster_domain: str | None
    family: Family
    strategy: str | Strategy
    include_self: bool
    self_address: str | Iterable[str] | None
    records: Records
    policy: Policy | None
    resolver: Resolver | None
    clock: Clock | None
    rng: random.Random | None


@attrs.frozen(kw_only=True)
class Selecting:
    """How to choose among endpoints, wherever they come from."""

    strategy: Strategy
    policy: Policy
    clock: Clock
    rng: random.Random
    own_strategy: bool
    """Whether the strategy is an object of the caller's, which then gets every call."""
    own_rng: bool
    """Whether the chance is the caller's, which is then never reseeded."""

    def after_fork(self) -> None:  # pragma: no cover - in a child: tests/test_life.py
        """Parent and child must not go on with the same chances."""
        if not self.own_rng:
            self.rng.seed()


@attrs.frozen(kw_only=True)
class Finding:
    """What to ask DNS for, of whom, and who we are."""

    wanted: Wanted
    resolver: Resolver
    include_self: bool
    self_address: tuple[str, ...] | None
    surroundings: Surroundings


def check_selecting(
    strategy: str | Strategy,
    policy: Policy | None,
    clock: Clock | None,
    rng: random.Random | None,
) -> Selecting:
    """The arguments that a fixed list has too."""
    chance = random.Random() if rng is None else _is_a("rng", rng, random.Random)
    return Selecting(
        strategy=strategy_from(strategy, chance),
        policy=_POLICY if policy is None else _is_a("policy", policy, Policy),
        clock=Clock() if clock is None else _is_a("clock", clock, Clock),
        rng=chance,
        own_strategy=not isinstance(strategy, str),
        own_rng=rng is not None,
    )


def check_finding(
    service: str,
    *,
    port: str | int | None,
    protocol: str,
    namespace: str | None,
    cluster_domain: str | None,
    family: Family,
    include_self: bool,
    self_address: str | Iterable[str] | None,
    records: Records,
    resolver: Resolver | None,
) -> Finding:
    """The arguments that say what to find; reads the surroundings, and does no other I/O."""
    resolver = Resolver() if resolver is None else _is_a("resolver", resolver, Resolver)
    port = check_port(port)
    if _one_of("records", records, RECORDS) == "address" and isinstance(port, str):
        raise ConfigurationError(
            f'records="address" asks for no SRV records, and so cannot learn the number of '
            f"port={port!r}: give the number, or leave records out"
        )
    surroundings = resolver.surroundings()
    return Finding(
        wanted=Wanted(
            service=ServiceName.parse(
                service,
                namespace=namespace,
                cluster_domain=cluster_domain,
                surroundings=surroundings,
            ),
            port=port,
            protocol=check_protocol(protocol),
            family=_one_of("family", family, FAMILIES),
            records=records,
        ),
        resolver=resolver,
        include_self=_is_a("include_self", include_self, bool),
        self_address=_addresses(self_address),
        surroundings=surroundings,
    )


def _is_a(argument: str, value: object, kind: type[_T]) -> _T:
    if isinstance(value, kind):
        return value
    raise ConfigurationError(f"{argument} must be a {kind.__name__}, not {value!r}")


def _one_of(argument: str, value: _T, choices: Iterable[_T]) -> _T:
    if value in choices:
        return value
    raise ConfigurationError(
        f"{argument} must be one of {', '.join(repr(choice) for choice in choices)}, not {value!r}"
    )


def _addresses(given: str | Iterable[str] | None) -> tuple[str, ...] | None:
    if given is None:
        return None
    texts = (given,) if isinstance(given, str) else tuple(given)
    try:
        return tuple(str(ipaddress.ip_address(text)) for text in texts)
    except ValueError as error:
        raise ConfigurationError(f"self_address: {error}") from error


def parse_endpoint(text: object) -> Endpoint:
    """``10.0.0.1``, ``10.0.0.1:8080``, ``fd00::1`` or ``[fd00::1]:8080``; its name is its address.

    Raises `ConfigurationError` for anything else.
    """
    address, port = parse_address(
        text, argument="static", example="'10.0.0.1:8080' or '[fd00::1]:8080'"
    )
    return Endpoint(address, (address,), port)


def own_addresses(finding: Finding, *, needed_for: str | None) -> tuple[str, ...]:
    """The pod's own: as given, from its environment, or as the network tells.

    Raises `ConfigurationError` if there are none and an argument needs them.
    """
    environ = finding.surroundings.environ
    found = finding.self_address
    if found is None and (given := environ.get("POD_IPS") or environ.get("POD_IP")):
        try:
            found = tuple(str(ipaddress.ip_address(text.strip())) for text in given.split(","))
        except ValueError as error:
            raise ConfigurationError(f"$POD_IPS or $POD_IP: {error}") from error
    if found is None:
        found = finding.resolver.own_addresses()
    if not found and needed_for is not None:
        raise ConfigurationError(
            f"{needed_for}, but this pod's own address could not be found: give "
            "self_address=..., or set $POD_IP by the downward API (fieldPath: status.podIP)"
        )
    return found
