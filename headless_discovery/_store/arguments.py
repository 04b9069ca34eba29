"""The arguments of `peers`, once for threads and tasks: a wrong one is a `ConfigurationError`."""

import contextlib
import functools
import inspect
import math
import random
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Literal, ParamSpec, TypedDict, TypeVar

import attrs

from .._dns.names import ServiceName, check_port, check_protocol
from .._dns.resolver import Resolver
from .._dns.surroundings import Surroundings, parse_address
from .._dns.wanted import FAMILIES, RECORDS, Family, Records, Wanted
from .._endpoint import Empty, Endpoint, Found, by_identity, identity_of
from .._errors import ConfigurationError, NoEndpoints, check_is_a
from .._membership import Policy
from .._selection import Strategy, strategy_from
from .._selection.load import chance
from .._time.clock import Clock

if TYPE_CHECKING:
    from .._api.server import EndpointSlices

_T = TypeVar("_T")
_P = ParamSpec("_P")
_POLICY = Policy()
Source = Literal["dns", "api", "auto"]


class PeersArguments(TypedDict, total=False):
    """The keyword arguments of `headless_discovery.peers`, for code that passes them on."""

    port: str | int | None
    protocol: str
    namespace: str | None
    cluster_domain: str | None
    family: Family
    strategy: str | Strategy
    source: "Source | EndpointSlices"
    zone: str | None
    include_self: bool
    self_address: str | Iterable[str] | None
    self_name: str | None
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


@attrs.frozen(kw_only=True)
class Target:
    """The Service, the source, and this pod."""

    wanted: Wanted
    source: Source
    slices: "EndpointSlices | None"
    """Those that are the source, or may become it."""
    zone: str | None
    resolver: Resolver
    include_self: bool
    self_address: tuple[tuple[str, int | None], ...] | None
    """Each with its port, if one was given."""
    self_name: str | None
    surroundings: Surroundings


def taking(
    arguments: Callable[_P, tuple[Selecting, Target]],
) -> Callable[[Callable[[Selecting, Target], _T]], Callable[_P, _T]]:
    """Makes a function of checked arguments one that takes and checks them."""

    def decorate(make: Callable[[Selecting, Target], _T]) -> Callable[_P, _T]:
        @functools.wraps(make)
        def made(*args: _P.args, **kwargs: _P.kwargs) -> _T:
            return make(*arguments(*args, **kwargs))

        # What `inspect`, and with it `help`, shows.
        returned = inspect.signature(make).return_annotation
        vars(made)["__signature__"] = inspect.signature(arguments).replace(
            return_annotation=returned
        )
        return made

    return decorate


def service_arguments(
    service: str,
    *,
    port: str | int | None = None,
    protocol: str = "tcp",
    namespace: str | None = None,
    cluster_domain: str | None = None,
    family: Family = "prefer-ipv4",
    strategy: str | Strategy = "round-robin",
    source: "Source | EndpointSlices" = "dns",
    zone: str | None = None,
    include_self: bool = True,
    self_address: str | Iterable[str] | None = None,
    self_name: str | None = None,
    records: Records = "auto",
    policy: Policy | None = None,
    resolver: Resolver | None = None,
    clock: Clock | None = None,
    rng: random.Random | None = None,
) -> tuple[Selecting, Target]:
    """Those of `peers`, checked; reads the surroundings, and does no other I/O."""
    source, slices = _checked_source(source, zone, records, resolver)
    port = check_port(port)
    if _one_of("records", records, RECORDS) == "address" and isinstance(port, str):
        raise ConfigurationError(
            f'records="address" queries no SRV records, which have the number of {port=}',
            hint="Give the port's number, or leave records out.",
        )
    if resolver is None:
        resolver = Resolver() if slices is None else slices.resolver()
    resolver = check_is_a("resolver", resolver, Resolver)
    surroundings = resolver.surroundings()
    if zone == "auto" and not (zone := surroundings.environ.get("POD_ZONE")):
        raise ConfigurationError(
            'zone="auto" reads $POD_ZONE, which is not set',
            hint="Set it by the downward API, or give the zone's name.",
        )
    target = Target(
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
        source=source,
        slices=slices,
        zone=zone,
        resolver=resolver,
        include_self=check_is_a("include_self", include_self, bool),
        self_address=_addresses(self_address),
        self_name=None
        if self_name is None
        else check_is_a("self_name", self_name, str).rstrip("."),
        surroundings=surroundings,
    )
    return selection_arguments(strategy=strategy, policy=policy, clock=clock, rng=rng), target


service_arguments.__qualname__ = "peers"  # what Python calls it if an argument is unknown


def selection_arguments(
    *,
    strategy: str | Strategy = "round-robin",
    policy: Policy | None = None,
    clock: Clock | None = None,
    rng: random.Random | None = None,
) -> Selecting:
    """Those that a fixed list has too, checked."""
    randomness = chance(rng)
    return Selecting(
        strategy=strategy_from(strategy, randomness),
        policy=_POLICY if policy is None else check_is_a("policy", policy, Policy),
        clock=Clock() if clock is None else check_is_a("clock", clock, Clock),
        rng=randomness,
    )


def _checked_source(
    source: "Source | EndpointSlices",
    zone: str | None,
    records: Records,
    resolver: Resolver | None,
) -> "tuple[Source, EndpointSlices | None]":
    if zone is not None and (not isinstance(zone, str) or not zone):
        raise ConfigurationError(f'zone must be a zone\'s name, "auto" or None, not {zone!r:.80}')
    if source == "dns":
        if zone is not None:
            raise ConfigurationError(
                'zone needs source="api" or "auto": DNS does not know the zones of pods'
            )
        return "dns", None
    # A bare `import headless_discovery` does without all of it.
    from .._api.server import EndpointSlices  # noqa: PLC0415 - as said above

    if source in ("api", "auto"):
        slices = EndpointSlices()
        slices.tentative = source == "auto"
    elif isinstance(source, EndpointSlices):
        slices = source
    else:
        raise ConfigurationError(
            f'source must be "dns", "api", "auto" or EndpointSlices(...), not {source!r:.80}'
        )
    if slices.tentative:
        with contextlib.suppress(ConfigurationError):  # then it will be DNS
            _ = slices.server
            slices.check()
        return "auto", slices
    if records != "auto" or resolver is not None:
        given = "resolver" if resolver is not None else "records"
        raise ConfigurationError(f'{given} is about DNS, which source="api" does not query')
    slices.check()
    return "api", slices


def _one_of(argument: str, value: _T, choices: Iterable[_T]) -> _T:
    if value in choices:
        return value
    raise ConfigurationError(
        f"{argument} must be one of {', '.join(map(repr, choices))}, not {value!r:.80}"
    )


def _addresses(given: str | Iterable[str] | None) -> tuple[tuple[str, int | None], ...] | None:
    if given is None:
        return None
    example = "'10.0.0.5', or '10.0.0.5:8001' where several processes share one"
    texts = (given,) if isinstance(given, str) else given
    if isinstance(texts, bytes) or not isinstance(texts, Iterable) or not (texts := tuple(texts)):
        raise ConfigurationError(
            f"self_address must be an address or several, not {given!r:.80}",
            hint=f"Give {example}.",
        )
    return tuple(parse_address(text, argument="self_address", example=example) for text in texts)


def fixed(endpoints: object) -> Found | Empty:
    """What a lookup would have come to that found a fixed list; the addresses are the names.

    Raises `ConfigurationError` for what is no address, with or without a port.
    """
    if isinstance(endpoints, str | bytes) or not isinstance(endpoints, Iterable):
        raise ConfigurationError(f"static takes a list of addresses, not {endpoints!r:.80}")
    example = "'10.0.0.1:8080' or '[fd00::1]:8080'"
    parsed = [parse_address(text, argument="static", example=example) for text in endpoints]
    found = by_identity([Endpoint(address, (address,), port) for address, port in parsed])
    if not found:
        empty = NoEndpoints("no endpoints: the fixed list is empty", hint="Give it some by update.")
        return Empty(math.inf, empty, kept=())
    listed = tuple(sorted(found.values(), key=identity_of))
    return Found(listed, math.inf, authoritative=True)
