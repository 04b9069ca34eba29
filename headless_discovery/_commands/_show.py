"""Values as text and as JSON. It knows no terminal and asks nobody."""

from collections.abc import Sequence
from typing import Any

from .._endpoint import Endpoint
from .._errors import DiscoveryError
from .._questions import Origin

_ORIGINS = {
    Origin.GLUE: "SRV glue",
    Origin.TARGET: "SRV + {}",
    Origin.POINTER: "{} + PTR",
    Origin.DASHED: "{} + dashed name",
}


def origin_text(origin: Origin, endpoint: Endpoint) -> str:
    """For people: ``SRV glue``, ``A + PTR``."""
    return _ORIGINS[origin].format("AAAA" if ":" in endpoint.address else "A")


def port_text(endpoint: Endpoint) -> str:
    """The port's number, or a dash."""
    return "-" if endpoint.port is None else str(endpoint.port)


def table(*rows: Sequence[str]) -> str:
    """Columns as wide as they need be, the first row their titles."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def endpoint_json(endpoint: Endpoint) -> dict[str, Any]:
    """An endpoint, in every command's JSON."""
    return {
        "name": endpoint.name,
        "hostname": endpoint.hostname,
        "ordinal": endpoint.ordinal,
        "address": endpoint.address,
        "addresses": list(endpoint.addresses),
        "port": endpoint.port,
    }


def error_json(error: DiscoveryError | None) -> dict[str, str] | None:
    """An error, likewise."""
    return None if error is None else {"type": type(error).__name__, "message": str(error)}


def error_text(error: DiscoveryError) -> str:
    """An error, for people."""
    return f"headless-discovery: {type(error).__name__}: {error}"


def counted(number: int, noun: str) -> str:
    """``1 endpoint``, ``2 endpoints``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
