"""The package stays as simple as it is laid out to be; ``scripts/house`` prints the figures."""

import ast
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

import pytest

from tests.house import (
    PACKAGE,
    Module,
    chain,
    circles,
    classes,
    imports_of_modules,
    imports_of_rooms,
    modules,
    walks,
)

pytestmark = pytest.mark.slow

ROOMS = {
    "__init__", "__main__", "_errors", "_endpoint", "_time", "_dns", "_api", "kubernetes",
    "_membership", "_selection", "_store", "_attempts", "_peers", "aio", "integrations", "testing",
    "_cli",
}  # fmt: skip
MOST_LINES = 500
MOST_LEVELS = 10
FILES_OF_A_COLD_PICK, CALLS_OF_A_COLD_PICK = 14, 45
PURE = {"_dns.read", "_dns.lookup", "_membership", "_selection"}
"""Private modules that tests may import."""
FILES_OF_TESTS_THAT_IMPORT_OTHERS = 7
"""It may only fall."""
TWINS = [
    {"_attempts.calls", "_attempts.aio_calls"},
    {"_peers", "aio"}, {"_dns.sockets", "_dns.aio_sockets"}, {"_time.on_asyncio", "_time.on_trio"},
    {"_api.watch", "_api.aio_watch"}, {"integrations.httpx", "integrations.httpx2"},
]  # fmt: skip
"""Two shells of one core: what has the same name in both means the same."""


@pytest.fixture(scope="module")
def package() -> dict[str, Module]:
    return modules()


def short(name: str) -> str:
    return name.partition(".")[2]


def test_every_room_is_one_of_the_plan(package: dict[str, Module]) -> None:
    assert set(imports_of_rooms(package)) <= ROOMS


def test_no_module_is_too_long(package: dict[str, Module]) -> None:
    long = {short(name) for name, module in package.items() if module.lines > MOST_LINES}
    assert not long


def test_chains_of_imports_are_short(package: dict[str, Module]) -> None:
    """From room to room: inside a package the order is its own affair."""
    found = chain(imports_of_rooms(package, in_functions=False))
    assert len(found) <= MOST_LEVELS, " > ".join(found)


def test_no_rooms_import_one_another(package: dict[str, Module]) -> None:
    assert not circles(imports_of_rooms(package))


def test_no_modules_import_one_another(package: dict[str, Module]) -> None:
    assert not circles(imports_of_modules(package))


def test_a_class_name_means_one_thing(package: dict[str, Module]) -> None:
    for name, where in classes(package).items():
        for one, other in combinations(where, 2):
            assert {short(one), short(other)} in TWINS, (name, where)


def test_a_cold_pick_enters_few_files() -> None:
    # Replies that come one by one wake it more often than those that come together.
    counts = [walks("a cold pick")["a cold pick"] for _ in range(3)]
    assert min(len(count.files) for count in counts) <= FILES_OF_A_COLD_PICK, counts[0].files
    assert min(count.calls for count in counts) <= CALLS_OF_A_COLD_PICK


PURE_OF_SLICES = {"_api.parse", "_api.slices", "_api.protocol", "_endpoint"}
FILES_ON_SLICES = {"test_slices.py", "test_slice_watch.py"}
"""What slices mean and what is asked next are decided without waiting, by rules of seconds and of
versions of which a server shows a few; so two files of tests drive them, and read their outcomes.
"""


def private_imports(path: Path) -> Iterator[str]:
    """The private modules of the package that a file imports, or imports private names from."""
    for node in ast.walk(ast.parse(path.read_text())):
        module = str(node.module) if isinstance(node, ast.ImportFrom) else ""
        if isinstance(node, ast.ImportFrom) and module.startswith(PACKAGE):
            for name in [*module.split("."), *(alias.name for alias in node.names)]:
                if name.startswith("_") and not name.startswith("__"):
                    yield short(module)


def test_tests_go_by_public_names_and_pure_modules() -> None:
    tests = Path(__file__).parent
    inside = {
        str(path.relative_to(tests)): others
        for path in tests.rglob("*.py")
        if ".build" not in path.parts
        and (others := set(private_imports(path)) - PURE)
        and not (path.name in FILES_ON_SLICES and others <= PURE_OF_SLICES)
    }
    assert len(inside) <= FILES_OF_TESTS_THAT_IMPORT_OTHERS, inside
