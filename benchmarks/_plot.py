"""Pictures as SVG, the same bytes each time. Needs matplotlib, of the extra ``bench``."""

import contextlib
import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any


@contextlib.contextmanager
def drawing(path: Path, *, width: float, height: float, panels: int = 1) -> Iterator[list[Any]]:
    """Matplotlib's axes, one below the other, to draw on; written to the file at the end.

    Sizes are in inches.
    """
    # Not at the top: who only wants the figures needs no matplotlib, nor does who checks types.
    matplotlib = importlib.import_module("matplotlib")
    figures = importlib.import_module("matplotlib.figure")
    with matplotlib.rc_context({"svg.hashsalt": "headless_discovery", "svg.fonttype": "none"}):
        figure = figures.Figure(figsize=(width, height), layout="constrained")
        yield list(figure.subplots(panels, sharex=True, squeeze=False)[:, 0])
        path.parent.mkdir(exist_ok=True)
        figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})
