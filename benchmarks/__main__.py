"""Runs the benchmarks: all modules here, or those named: ``scripts/benchmark [lookup ...]``.

Each has ``run()``, which returns its tables.
"""

import importlib
import pkgutil
import platform
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from . import _place
from ._measure import Table

_TOLD = ("attrs", "dnspython", "tenacity")


def main(names: Sequence[str]) -> None:
    found = [module.name for module in pkgutil.iter_modules([str(Path(__file__).parent)])]
    for name in names or [name for name in found if not name.startswith("_")]:
        tables: list[Table] = importlib.import_module(f"benchmarks.{name}").run()
        for table in tables:
            print(table.markdown(), flush=True)
            print()
    print(_machine())


def _machine() -> str:
    """What the figures were taken on."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    models = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    processor = f"{len(models)} x {models[0]}" if models else platform.machine()
    versions = ", ".join(f"{package} {version(package)}" for package in _TOLD)
    return f"{processor}; {platform.platform()}; Python {platform.python_version()}; {versions}"


_place.enter()
main(sys.argv[1:])
