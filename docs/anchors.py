"""Checks the built reference (`scripts/docs`): every public name and member has an anchor.

And no description was taken for a type, as Sphinx does with what stands before a colon in the
first line about an attribute, or about what is returned.
"""

import importlib
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import attrs
from sphinx.util.inventory import InventoryFile

MODULES = [
    "headless_discovery",
    "headless_discovery.aio",
    "headless_discovery.kubernetes",
    "headless_discovery.testing",
    "headless_discovery.integrations.httpx2",
    "headless_discovery.integrations.httpx",
    "headless_discovery.integrations.aiohttp",
    "headless_discovery.integrations.prometheus",
    "headless_discovery.integrations.opentelemetry",
]

ONLY: dict[str, set[str]] = {
    "Clock": {"now", "sleep"},
    "FakeClock": {"now", "sleep", "advance", "advance_async", "call_at"},
    "Resolver": set(),
    "EndpointSlices": set(),
    "ServiceName": {"service", "namespace", "domain", "parse"},
}
"""Of these, the other members are for the library itself."""


def members(kind: type) -> Iterator[str]:
    """The public members of a class, those that it inherits from this library included."""
    if attrs.has(kind):
        yield from (field.name for field in attrs.fields(kind) if not field.name.startswith("_"))
    for base in kind.__mro__:
        if base.__module__.partition(".")[0] == "headless_discovery":
            yield from (name for name in vars(base) if not name.startswith("_"))


def names(module: ModuleType) -> Iterator[str]:
    """The public names of a module, and their members."""
    for name in module.__all__:
        yield f"{module.__name__}.{name}"
        value = getattr(module, name)
        if inspect.isclass(value):
            shown = ONLY[name] if name in ONLY else set(members(value))
            yield from (f"{module.__name__}.{name}.{member}" for member in shown)


def main(built: str) -> int:
    """Prints what is missing; 1 if anything is."""
    inventory = InventoryFile.loads((Path(built) / "objects.inv").read_bytes(), uri="")
    known = {name for kind in inventory.data.values() for name in kind}
    wanted = {name for module in MODULES for name in names(importlib.import_module(module))}
    missing = sorted(wanted - known)
    sys.stdout.writelines(f"no anchor in the reference: {name}\n" for name in missing)
    page = (Path(built) / "api.html").read_text()
    taken = page.count(">Type<") + page.count(">Return type<")
    if taken:
        sys.stdout.write(f"{taken} docstrings have a colon in the first line about a value\n")
    return bool(missing or taken)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
