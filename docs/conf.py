"""How Sphinx builds the documentation: `scripts/docs`. A warning is an error."""

from typing import Any

from docutils.nodes import Element, TextElement
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

import headless_discovery

project = "headless_discovery"
author = "the authors of headless_discovery"
version = release = headless_discovery.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"headless_discovery {version}"
html_copy_source = False
html_show_copyright = False
html_static_path = ["_static"]
html_css_files = ["narrow.css"]

myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3

# `name` in a docstring leads to what has that name here, if anything has: it need not, since
# docstrings are also written for the reader of the code.
default_role = "py:obj"
napoleon_numpy_docstring = False  # the sections are those of Google's style
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
nitpick_ignore_regex = [
    ("py:obj", r".*"),
    # The standard library is documented elsewhere, and nothing is fetched while building.
    ("py:.*", r"(?!headless_discovery).*"),
    # Types that are named in a signature and are no part of the public interface.
    ("py:.*", r"headless_discovery\.(.+\.)?_.*"),
]


def public_name(app: Sphinx, env: BuildEnvironment, node: Element, text: TextElement) -> Any:
    """Leads from where something is defined to the public name that it is documented under."""
    module, _, name = str(node.get("reftarget")).rpartition(".")
    if module.startswith("headless_discovery._") and name in headless_discovery.__all__:
        return env.domains["py"].resolve_xref(
            env, node["refdoc"], app.builder, "obj", f"headless_discovery.{name}", node, text
        )
    return None


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.connect("missing-reference", public_name)
