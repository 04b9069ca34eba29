"""The examples in README, docs and docstrings are run, on a fake cluster behind a real socket."""

import doctest
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from headless_discovery.testing import FakeCluster

ROOT = Path(__file__).parent.parent
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.fixture
def _in_a_cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A process in namespace ``default`` of a cluster with the Services that the examples name."""
    cluster = FakeCluster()
    kubia = cluster.add_service("kubia-headless", ports={"http": 8080})
    kubia.add_pod("172.30.35.3")
    kubia.add_pod("172.30.14.3")
    cluster.add_service("gossip", ports={"swim": (7946, "udp")}).scale(3)
    with cluster.serve() as server:
        monkeypatch.setenv("HEADLESS_DISCOVERY_NAMESERVER", server.nameserver)
        monkeypatch.setenv("POD_NAMESPACE", "default")
        yield


@pytest.mark.usefixtures("_in_a_cluster")
@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_python_block_of_a_document_runs(document: Path) -> None:
    names: dict[str, object] = {"__name__": document.stem}
    for block in BLOCK.finditer(text := document.read_text()):
        line = text[: block.start()].count("\n") + 1
        # Lines as in the document, for whoever reads the traceback.
        exec(compile("\n" * line + block[1], document, "exec"), names)
        for name in [name for name in names if name.startswith("test_")]:
            test = names.pop(name)
            assert callable(test)
            test()


def test_the_readme_has_an_example_on_its_first_screen() -> None:
    first = "".join((ROOT / "README.md").read_text().splitlines(keepends=True)[:24])
    assert BLOCK.search(first)


@pytest.mark.parametrize("module", ["headless_discovery", "headless_discovery.testing"])
def test_the_examples_in_docstrings_run(module: str) -> None:
    found = doctest.testmod(importlib.import_module(module))
    assert found.attempted
    assert not found.failed


def test_every_file_that_a_document_links_to_is_there() -> None:
    for document in [*DOCUMENTS, ROOT / "CONTRIBUTING.md"]:
        for target in re.findall(r"\]\(([^)#:]+)\)", document.read_text()):
            assert (document.parent / target).exists(), f"{document.name}: {target}"
