"""Peers for threads, for asyncio and for trio are one thing: in what they do and in their names."""

import inspect
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import headless_discovery
from headless_discovery import DiscoveryError, Peers, aio
from headless_discovery.testing import FakeCluster
from tests.tasks import LIBRARIES, LibraryName, run

SCENARIO = Path(__file__).with_name("scenario.txt")


def steps() -> Iterator[tuple[str, list[Any], dict[str, Any]]]:
    """Each line of the scenario: a name, arguments, named arguments."""
    for line in SCENARIO.read_text().splitlines():
        name, *words = line.partition("#")[0].split() or [""]
        if name:
            pairs = [word.split("=") for word in words if "=" in word]
            named: dict[str, Any] = {key: _value(text) for key, text in pairs}
            yield name, [_value(word) for word in words if "=" not in word], named


def _value(text: str) -> Any:
    try:
        return int(text)
    except ValueError:
        return text


class Story:
    """One run: a cluster, a Peers on it, and what was seen."""

    def __init__(self, make: Callable[[FakeCluster], Any]) -> None:
        self.cluster = FakeCluster(seed=4)
        self.service = self.cluster.add_service("web", ports={"http": 8080})
        self.web = make(self.cluster)
        self.watching: Any = None
        self.trace: list[str] = []

    def change(self, name: str, arguments: list[Any]) -> bool:
        """Changes the cluster, if that is what the step is."""
        match name, arguments:
            case "scale", [count]:
                self.service.scale(count)
            case "fail", [kind]:
                self.cluster.fail(kind)
            case "heal", []:
                self.cluster.heal()
            case "move", [number, address]:
                self.service.pods[number].move_to(address)
            case "ready", [number, ready]:
                self.service.pods[number].ready = ready == "yes"
            case _:
                return False
        return True

    def note(self, step: str, result: object) -> None:
        """What came of it, and everything that can be seen then."""
        snapshot = self.web.snapshot
        self.trace.append(
            f"{step}: {result!r}; at {self.cluster.clock.now():.6f}, "
            f"{len(self.cluster.queries)} queries, {self.web.stats}, {snapshot}"
        )

    def call(self, name: str, arguments: list[Any], named: dict[str, Any]) -> Any:
        """Calls the Peers; an awaitable, if it is for tasks."""
        method = getattr(self.web, name)
        return method(*arguments, **named)


def in_threads() -> list[str]:
    story = Story(lambda cluster: cluster.peers("web", port="http"))

    def do(name: str, arguments: list[Any], named: dict[str, Any]) -> Any:
        if name == "advance":
            return story.cluster.clock.advance(*arguments)
        if name == "watch":
            story.watching = story.watching or story.web.watch()
            return next(story.watching)
        return story.call(name, arguments, named)

    for name, arguments, named in steps():
        if not story.change(name, arguments):
            try:
                result = do(name, arguments, named)
            except (DiscoveryError, StopIteration) as error:
                result = _told(error)
            story.note(name, result)
    return story.trace


def in_tasks(library: LibraryName) -> list[str]:
    story = Story(lambda cluster: cluster.aio.peers("web", port="http"))

    async def do(name: str, arguments: list[Any], named: dict[str, Any]) -> Any:
        if name == "advance":
            return await story.cluster.clock.advance_async(*arguments)
        if name == "watch":
            story.watching = story.watching or story.web.watch()
            return await anext(story.watching)
        if name == "start":
            await story.web.__aenter__()
            return None
        result = story.call("aclose" if name == "close" else name, arguments, named)
        return await result if isinstance(result, Awaitable) else result

    async def main() -> None:
        for name, arguments, named in steps():
            if not story.change(name, arguments):
                try:
                    result = await do(name, arguments, named)
                except (DiscoveryError, StopAsyncIteration) as error:
                    result = _told(error)
                story.note(name, result)

    run(library, main)
    return story.trace


def _told(error: Exception) -> str:
    if isinstance(error, StopIteration | StopAsyncIteration):
        return "the end"
    return f"{type(error).__name__}: {error}"


@pytest.mark.parametrize("library", LIBRARIES)
def test_one_scenario_has_one_trace_in_threads_and_in_tasks(library: LibraryName) -> None:
    expected = in_threads()
    assert len(expected) > 60
    for line, other in zip(expected, in_tasks(library), strict=True):
        assert other == line


def test_the_scenario_comes_to_every_state_and_to_every_kind_of_end() -> None:
    trace = "\n".join(in_threads())
    for said in ("PENDING", "LIVE", "STALE", "EMPTY"):
        assert f"State.{said}:" in trace
    for said in ("NotReady", "NoEndpoints", "ConfigurationError", "Closed", "the end", "moved=(("):
        assert said in trace


# The names.

RENAMED = {
    "close": "aclose",
    "__iter__": "__aiter__",
    "__enter__": "__aenter__",
    "__exit__": "__aexit__",
}
ONLY_FOR_THREADS = {"start"}
SAID_OTHERWISE = {
    "close", "watch", "on_change", "get", "ranked", "endpoints", "wait_ready", "attempts", "call",
    "use", "clients",
}  # fmt: skip
"""Where the docstrings differ: threads or tasks, close or aclose, asking or not."""


def public(kind: type) -> dict[str, Any]:
    return {
        name: member
        for name, member in inspect.getmembers_static(kind)
        if not name.startswith("_") or name in {*RENAMED, *RENAMED.values()}
    }


def test_both_have_the_same_names() -> None:
    expected = {RENAMED.get(name, name) for name in public(Peers)} - ONLY_FOR_THREADS
    assert set(public(aio.Peers)) == expected
    assert aio.__all__ == ["Clients", "Peers", "peers"]


@pytest.mark.parametrize("name", sorted(set(public(Peers)) - ONLY_FOR_THREADS))
def test_each_takes_the_same_arguments_with_the_same_defaults(name: str) -> None:
    here, there = public(Peers)[name], public(aio.Peers)[RENAMED.get(name, name)]
    assert type(here) is type(there)
    if inspect.isfunction(here):
        ours, theirs = inspect.signature(here), inspect.signature(there)
        assert list(ours.parameters) == list(theirs.parameters)
        for parameter in ours.parameters.values():
            other = theirs.parameters[parameter.name]
            assert (parameter.kind, parameter.default) == (other.kind, other.default)
    if name not in SAID_OTHERWISE and f"`headless_discovery.Peers.{name}`" not in str(
        there.__doc__
    ):
        assert inspect.getdoc(here) == inspect.getdoc(there)
    assert inspect.getdoc(there) or name.startswith("__")


def test_both_functions_take_the_same_arguments() -> None:
    assert (
        inspect.signature(headless_discovery.peers).parameters
        == inspect.signature(aio.peers).parameters
    )
