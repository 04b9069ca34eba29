"""Runs the benchmarks: all modules here, or those named: ``scripts/benchmark [lookup ...]``.

Each has ``run()``, which returns its tables. ``scripts/benchmark --docs`` runs those that
docs/numbers.md shows (or those named), and writes their tables and the picture.
``scripts/benchmark refresh --against REV`` compares with another commit.
"""

import argparse
import contextlib
import importlib
import os
import pkgutil
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from . import _place, lookup
from ._measure import Table

_TOLD = ("attrs", "dnspython", "tenacity", "aiodns", "pycares", "srvlookup", "kubernetes")
_IN_DOCS = ("lookup", "footprint", "stall", "load", "freshness")
_FIGURES = Path(__file__).parents[1] / "docs" / "figures"


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/benchmark")
    parser.add_argument("names", nargs="*")
    parser.add_argument("--docs", action="store_true")
    parser.add_argument("--against", metavar="REV", default="HEAD", help="for refresh")
    options = parser.parse_args()
    found = [module.name for module in pkgutil.iter_modules([str(Path(__file__).parent)])]
    shown = _IN_DOCS if options.docs else [name for name in found if not name.startswith("_")]
    for name in options.names or shown:
        against = [options.against] if name == "refresh" else []
        tables: list[Table] = importlib.import_module(f"benchmarks.{name}").run(*against)
        for table in tables:
            print(table.markdown(), end="\n\n", flush=True)
        if options.docs:
            lines = [table.markdown() for table in tables] + [f"Taken on {_machine()}.\n"]
            (_FIGURES / f"{name}.inc").write_text("\n\n".join(lines))
            if name == "lookup":
                lookup.draw(tables, _FIGURES / "lookup.svg")
    print(_machine())


def _machine() -> str:
    """What the figures were taken on."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    models = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    processor = f"{len(models)} x {models[0]}" if models else platform.machine()
    told: list[str] = []
    for package in _TOLD:
        with contextlib.suppress(PackageNotFoundError):
            told.append(f"{package} {version(package)}")
    system = f"{platform.system()} on {platform.machine()}, {'.'.join(platform.libc_ver())}"
    load = f"load {os.getloadavg()[1]:.0f}"
    return f"{processor}, {load}; {system}; Python {platform.python_version()}; {', '.join(told)}"


_place.enter()
main()
