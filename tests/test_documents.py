"""README and docs say what is so; the Python in them is run by `conftest.py`."""

import doctest
import importlib
import importlib.util
import re
from pathlib import Path

import pytest

import headless_discovery
from headless_discovery.testing import FakeCluster

ROOT = Path(__file__).parent.parent
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(\S*)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LANGUAGES = {"python", "output", "sh", "yaml", "text", "dockerfile"}
PACKAGE = Path(headless_discovery.__file__).parent
WITH_EXAMPLES = [
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")
    for path in sorted(PACKAGE.rglob("*.py"))
    if ">>> " in path.read_text()
]

by_name = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)


def test_the_readme_has_an_example_on_its_first_screen() -> None:
    first = "".join((ROOT / "README.md").read_text().splitlines(keepends=True)[:26])
    assert "python" in [block[1] for block in BLOCK.finditer(first)]


@by_name
def test_every_block_is_of_a_language_that_is_checked_or_of_none(document: Path) -> None:
    languages = {block[1] for block in BLOCK.finditer(document.read_text())}
    assert {name for name in languages if not name.startswith("{")} <= LANGUAGES


@by_name
def test_every_manifest_of_a_document_can_be_applied(document: Path) -> None:
    for block in BLOCK.finditer(document.read_text()):
        if block[1] == "yaml" and "\nkind: " in block[2]:
            FakeCluster().apply(block[2])


@pytest.mark.parametrize("module", WITH_EXAMPLES)
def test_the_examples_in_docstrings_run(module: str) -> None:
    found = doctest.testmod(importlib.import_module(module))
    assert found.attempted
    assert not found.failed


@by_name
def test_every_file_that_a_document_links_to_is_there(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", document.read_text()):
        assert (document.parent / target).exists(), target


def test_the_api_reference_has_every_public_name() -> None:
    page = (ROOT / "docs" / "api.md").read_text()
    _, *sections = re.split(r"^\.\. py:currentmodule:: (\S+)$", page, flags=re.MULTILINE)
    for module, section in zip(sections[::2], sections[1::2], strict=True):
        listed = re.findall(r"^\.\. auto\w+:: (\w+)", section, re.MULTILINE)
        assert sorted(listed) == sorted(importlib.import_module(module).__all__), module


def test_what_is_generated_is_up_to_date() -> None:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    generate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generate)
    for path, content in generate.files():
        assert path.read_text() == content, f"{path.name}: run scripts/generate"


def test_every_line_of_the_threat_model_names_a_test_that_there_is() -> None:
    text = (ROOT / "SECURITY.md").read_text()
    tests = "".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    there = set(re.findall(r"^ *(?:async )?def (test_\w+)", tests, re.MULTILINE))
    assert set(re.findall(r"`(test_\w+)`", text)) <= there
    rows = [row for row in text.splitlines() if row.startswith("| ") and "held by" not in row]
    assert rows
    assert not [row for row in rows if "`test_" not in row]


def outline(document: Path) -> list[object]:
    """The levels of the headings, the blocks without their comments, the links, in their order."""
    text = document.read_text()
    code = BLOCK.sub("", text)
    return [
        [len(level) for level in re.findall(r"^(#+) ", code, re.MULTILINE)],
        [(block[1], re.sub(r" *#.*", "", block[2])) for block in BLOCK.finditer(text)],
        [link for link in re.findall(r"\]\(([^)]+)\)", code) if not link.startswith("README")],
        len(re.findall(r"^- ", code, re.MULTILINE)),
    ]


def test_the_chinese_readme_keeps_step_with_the_english_one() -> None:
    assert outline(ROOT / "README.zh-CN.md") == outline(ROOT / "README.md")
