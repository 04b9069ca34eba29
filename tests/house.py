"""Measures how the package is laid out: ``scripts/house`` prints it, ``test_house.py`` holds it.

Imports are read from the source; the files that a call enters are counted while it runs.
"""

import ast
import io
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import attrs

import headless_discovery
from headless_discovery import peers
from headless_discovery.__main__ import main as run_command
from headless_discovery.testing import FakeCluster

PACKAGE = "headless_discovery"
ROOT = Path(headless_discovery.__file__).parent


@attrs.frozen
class Module:
    """One source file of the package."""

    name: str
    lines: int
    tree: ast.Module
    at_import: frozenset[str]
    """Modules of the package that it imports when it is imported itself."""
    in_functions: frozenset[str]
    """Modules of the package that it imports later, inside of functions, or for annotations."""


def modules() -> dict[str, Module]:
    """Every module of the package, by its dotted name."""
    paths = {_dotted(path): path for path in sorted(ROOT.rglob("*.py"))}
    return {name: _module(name, path, set(paths)) for name, path in paths.items()}


def _dotted(path: Path) -> str:
    return ".".join((PACKAGE, *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(
        ".__init__"
    )


def _module(name: str, path: Path, known: set[str]) -> Module:
    text = path.read_text()
    tree = ast.parse(text)
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    found: dict[bool, set[str]] = {True: set(), False: set()}
    for node, in_function in _nodes(tree, in_function=False):
        found[in_function].update(_imported(node, package, known))
    return Module(
        name, text.count("\n"), tree, frozenset(found[False]), frozenset(found[True] - found[False])
    )


def _nodes(node: ast.AST, *, in_function: bool) -> Iterator[tuple[ast.AST, bool]]:
    """All nodes, and whether they run in a function; so count those under ``if TYPE_CHECKING``."""
    yield node, in_function
    later = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or (
        isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    )
    for child in ast.iter_child_nodes(node):
        yield from _nodes(child, in_function=in_function or later)


def _imported(node: ast.AST, package: str, known: set[str]) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names if alias.name in known)
    elif isinstance(node, ast.ImportFrom):
        base = node.module or ""
        if node.level:
            above = package.split(".")[: len(package.split(".")) - node.level + 1]
            base = ".".join([*above, *filter(None, [node.module])])
        for alias in node.names:
            if (submodule := f"{base}.{alias.name}") in known:
                yield submodule
            elif base in known:
                yield base


def room_of(name: str) -> str:
    """The top-level module or sub-package that a module is in."""
    return f"{name}.".split(".")[1] or "__init__"


Imports = dict[str, set[str]]


def imports_of_modules(found: dict[str, Module], *, in_functions: bool = True) -> Imports:
    """Which module imports which."""
    return {
        name: set(module.at_import | (module.in_functions if in_functions else frozenset()))
        for name, module in found.items()
    }


def imports_of_rooms(found: dict[str, Module], *, in_functions: bool = True) -> Imports:
    """Which room imports which other."""
    between: Imports = {room_of(name): set() for name in found}
    for name, targets in imports_of_modules(found, in_functions=in_functions).items():
        between[room_of(name)] |= {room_of(target) for target in targets} - {room_of(name)}
    return between


def chain(imports: Imports) -> list[str]:
    """The longest chain, from the top; a circle is gone through once."""
    longest: dict[str, list[str]] = {}

    def below(name: str, path: tuple[str, ...]) -> list[str]:
        if name not in longest:
            chains = [below(to, (*path, name)) for to in sorted(imports[name] - {*path, name})]
            longest[name] = [name, *max(chains, key=len, default=[])]
        return longest[name]

    return max((below(name, ()) for name in imports), key=len)


def circles(imports: Imports) -> list[list[str]]:
    """Sets of those that import one another."""

    def reached(start: str) -> set[str]:
        seen: set[str] = set()
        waiting = [start]
        while waiting:
            new = imports[waiting.pop()] - seen
            seen |= new
            waiting += new
        return seen

    reach = {name: reached(name) for name in imports}
    groups = {
        frozenset(other for other in reach[name] if name in reach[other])
        for name in imports
        if name in reach[name]
    }
    return sorted(sorted(group) for group in groups)


def classes(found: dict[str, Module]) -> dict[str, list[str]]:
    """Every class's name, and the modules that define one of that name."""
    defined: dict[str, list[str]] = {}
    for module in found.values():
        for node in ast.walk(module.tree):
            if isinstance(node, ast.ClassDef):
                defined.setdefault(node.name, []).append(module.name)
    return defined


@attrs.define
class Entered:
    """The files of the package that a call enters, and its calls from one file into another."""

    files: set[str] = attrs.field(factory=set)
    calls: int = 0


@contextmanager
def entered() -> Iterator[Entered]:
    """Counts, in this thread, what runs inside the block."""
    count, root = Entered(), f"{ROOT}/"

    def profile(frame: FrameType, event: str, argument: object) -> None:
        if event == "call" and (file := frame.f_code.co_filename).startswith(root):
            count.files.add(file.removeprefix(root))
            caller = frame.f_back.f_code.co_filename if frame.f_back else ""
            count.calls += caller.startswith(root) and caller != file

    sys.setprofile(profile)
    try:
        yield count
    finally:
        sys.setprofile(None)


def walks(*titles: str) -> dict[str, Entered]:
    """What usual calls enter, against a name server on loopback: those named, or all."""
    cluster = FakeCluster(ttl=0)
    cluster.add_service("web", ports={"http": 8080}).scale(3)
    with cluster.serve() as server:
        resolver = headless_discovery.Resolver([server.nameserver])
        web = peers("web.default", port="http", resolver=resolver)

        def attempt() -> None:
            for one in web.attempts():
                with one:
                    pass

        def doctor() -> None:
            arguments = ["doctor", "web.default", "--nameserver", server.nameserver]
            run_command(arguments, out=io.StringIO())

        calls: dict[str, Callable[[], object]] = {
            "a cold pick": web.pick,
            "a refresh": web.refresh,
            "an attempt": attempt,
            "a doctor run": doctor,
        }
        counted = {}
        for title, call in calls.items():
            if titles and title not in titles:
                continue
            if title == "a refresh":
                web._store.clock.sleep(1.1)  # sooner than 1 s it is answered from what is known
            with entered() as counted[title]:
                call()
    return counted


def main() -> None:
    """Prints all of it."""
    found = modules()
    between = imports_of_rooms(found, in_functions=False)
    print(f"rooms: {len(between)}: {' '.join(sorted(between))}")
    for title, imports in {
        "levels of rooms": between,
        "levels of rooms, imports in functions included": imports_of_rooms(found),
        "levels of modules": imports_of_modules(found, in_functions=False),
    }.items():
        names = chain(imports)
        print(f"{title}: {len(names)}: {' > '.join(names)}")
    for title, imports in {
        "circles of rooms": imports_of_rooms(found),
        "circles of modules": imports_of_modules(found),
    }.items():
        print(f"{title}: {len(circles(imports))}")
        for circle in circles(imports):
            print(f"  {' '.join(circle)}")
    twice = {name: where for name, where in classes(found).items() if len(where) > 1}
    print(f"class names with several classes: {len(twice)}")
    for name, where in sorted(twice.items()):
        print(f"  {name}: {' '.join(where)}")
    for title, count in walks().items():
        print(f"{title}: {len(count.files)} files, {count.calls} calls from one into another")
        print(f"  {' '.join(sorted(count.files))}")
    print(f"modules: {len(found)}, {sum(module.lines for module in found.values())} lines")
    for module in sorted(found.values(), key=lambda module: -module.lines):
        print(f"{module.lines:6} {module.name}")


if __name__ == "__main__":
    main()
