"""README and docs say what is so; the Python in them is run by `conftest.py`."""

import codeop
import doctest
import importlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

import headless_discovery
from docs import generate
from headless_discovery.testing import FakeCluster
from tests import prose

ROOT = Path(__file__).parent.parent
DOCUMENTS = prose.PAGES
BLOCK = re.compile(r"^```(\S*)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LANGUAGES = {"python", "output", "sh", "yaml", "text", "dockerfile"}
PACKAGE = Path(headless_discovery.__file__).parent
WITH_EXAMPLES = [
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")
    for path in sorted(PACKAGE.rglob("*.py"))
    if ">>> " in path.read_text()
]

by_name = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)


def test_the_blocks_of_the_first_pages_can_be_pasted_into_python() -> None:
    for page in ("README.md", "docs/start-here.md"):
        for block in BLOCK.finditer((ROOT / page).read_text()):
            if block[1] == "python":
                lines: list[str] = []
                for line in [*block[2].splitlines(), ""]:  # and Enter
                    lines.append(line)
                    if codeop.compile_command("\n".join(lines)) is not None:
                        lines = []
                assert not any(lines), block[2]


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


def test_the_service_of_the_helm_chart_can_be_applied() -> None:
    text = (ROOT / "docs" / "recipes" / "deploy.md").read_text()
    [template] = [block[2] for block in BLOCK.finditer(text) if "{{" in block[2]]
    [values] = [block[2] for block in BLOCK.finditer(text) if "# values.yaml" in block[2]]
    settings = {"Values": yaml.safe_load(values)}

    def rendered(found: re.Match[str]) -> str:
        match found[1].split():
            case ["include", '"kubia.fullname"', "."]:
                return "kubia"
            case ["include", '"kubia.selectorLabels"', ".", "|", "nindent", spaces]:
                return f"\n{' ' * int(spaces)}app: kubia"
        value: Any = settings
        for name in found[1].strip().removeprefix(".").split("."):
            value = value[name]
        return json.dumps(value)

    cluster = FakeCluster()
    cluster.apply(re.sub(r"\{\{-?(.*?)\}\}", rendered, template))
    assert cluster.service("kubia-headless").name == "kubia-headless"


def test_the_network_policy_allows_dns_over_udp_and_tcp() -> None:
    text = (ROOT / "docs" / "recipes" / "deploy.md").read_text()
    [policy] = [yaml.safe_load(b[2]) for b in BLOCK.finditer(text) if "NetworkPolicy" in b[2]]
    [dns, peers] = policy["spec"]["egress"]
    assert dns["ports"] == [{"protocol": name, "port": 53} for name in ("UDP", "TCP")]
    assert peers["to"] == [{"podSelector": policy["spec"]["podSelector"]}]


def test_the_patch_of_the_kustomization_adds_the_environment() -> None:
    text = (ROOT / "docs" / "recipes" / "deploy.md").read_text()
    [kustomization] = [block[2] for block in BLOCK.finditer(text) if "kustomization" in block[2]]
    [patch] = yaml.safe_load(kustomization)["patches"]
    [operation] = yaml.safe_load(patch["patch"])
    [service, workload] = yaml.safe_load_all(next(BLOCK.finditer(text))[2])
    at: Any = workload
    *path, last = operation["path"].strip("/").split("/")
    for step in path:
        at = at[int(step) if step.isdecimal() else step]
    assert at["name"] == "app"
    at[last] = operation["value"]
    FakeCluster().apply([service, workload])


def test_the_role_of_the_documents_is_that_of_the_examples() -> None:
    shown = BLOCK.finditer((ROOT / "docs" / "dns-or-api.md").read_text())
    example = (ROOT / "examples" / "endpoint-slices.yaml").read_text()
    assert [block[2] in example for block in shown if block[1] == "yaml"] == [True]


@pytest.mark.parametrize("module", WITH_EXAMPLES)
def test_the_examples_in_docstrings_run(module: str) -> None:
    found = doctest.testmod(importlib.import_module(module))
    assert found.attempted
    assert not found.failed


@by_name
def test_every_file_that_a_document_links_to_is_there(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", document.read_text()):
        assert (document.parent / target).exists(), target


def cell(figures: str, row: str, column: int) -> float:
    """What a table of the figures has in a row: milliseconds."""
    [line] = re.findall(rf"^\| {re.escape(row)} \|(.*)\|$", figures, re.MULTILINE)
    number, unit = line.split("|")[column].split()[:2]
    return float(number) * {"us": 0.001, "ms": 1, "s": 1000}[unit]


def test_the_costs_in_short_are_those_of_the_tables() -> None:
    figures = ROOT / "docs" / "figures"
    lookups = (figures / "lookup.inc").read_text().partition("### SRV")[2]
    footprint = (figures / "footprint.inc").read_text()
    lookup = [cell(lookups, "library, unchanged", column) for column in range(3)]
    start = cell(footprint, "headless_discovery", 0)
    [size] = re.findall(r"Memory at 4,000 endpoints \(tracemalloc\): (\d+) bytes", footprint)

    text = " ".join((ROOT / "docs" / "numbers.md").read_text().split())
    few, hundred, many = lookup
    assert f"{few:.1f} ms for 3 pods, {hundred:.1f} ms for 100 and {many:.1f} ms for 600" in text
    assert f"**Memory**: {size} bytes for each pod" in text
    assert f"**Start**: {start / 1000:.2f} s to import;" in text


def test_the_times_that_a_page_quotes_are_in_its_table() -> None:
    table = (ROOT / "docs" / "figures" / "queues.inc").read_text()
    text = (ROOT / "docs" / "choosing-a-peer.md").read_text()
    quoted = re.findall(r"p99 of\s+([\d.]+)\s+instead\s+of\s+([\d.]+\d)", text)
    assert len(quoted) == 3
    assert {f"| {number} |" in table for pair in quoted for number in pair} == {True}


def test_the_prices_of_watches_that_a_page_quotes_are_those_measured() -> None:
    measured = (ROOT / "docs" / "figures" / "freshness.inc").read_text().splitlines()
    text = (ROOT / "docs" / "dns-or-api.md").read_text()
    quoted = re.findall(r"^\| [\d,]+ \|.*$", text, re.MULTILINE)
    assert len(quoted) == 3
    assert set(quoted) <= set(measured)


def test_the_api_reference_has_every_public_name() -> None:
    page = (ROOT / "docs" / "api.md").read_text()
    _, *sections = re.split(r"^\.\. py:currentmodule:: (\S+)$", page, flags=re.MULTILINE)
    for module, section in zip(sections[::2], sections[1::2], strict=True):
        listed = re.findall(r"^\.\. auto\w+:: (\w+)", section, re.MULTILINE)
        assert sorted(listed) == sorted(importlib.import_module(module).__all__), module


def test_what_is_generated_is_up_to_date() -> None:
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


def test_pages_docstrings_and_messages_use_the_fields_words() -> None:
    assert not list(prose.ours())


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
