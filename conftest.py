"""Runs every Python block of README and docs, on a fake cluster behind a real socket (Sybil).

A block of the language ``output`` is what the Python block before it prints.
"""

import asyncio
import contextlib
import inspect
import io
from collections.abc import Iterator

import hypothesis
import pytest
from sybil import Example, Sybil
from sybil.evaluators.python import PythonEvaluator
from sybil.integration.pytest import SybilItem
from sybil.parsers.myst import CodeBlockParser, PythonCodeBlockParser

from headless_discovery.testing import FakeCluster

hypothesis.settings.register_profile(
    "any machine",
    deadline=None,  # a loaded machine is no reason to fail
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
    print_blob=True,  # a failure is replayed by what it prints
)
hypothesis.settings.load_profile("any machine")

PRINTED = "printed by the last block"


class Evaluator(PythonEvaluator):
    """Runs a block, and then the tests that it defines, with the fixtures of the plugin."""

    def __call__(self, example: Example) -> None:
        """Called by Sybil."""
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            super().__call__(example)
            names = example.namespace
            for test in [names.pop(name) for name in list(names) if name.startswith("test_")]:
                cluster = FakeCluster()
                fixtures = {"fake_cluster": cluster, "fake_clock": cluster.clock}
                given = {name: fixtures[name] for name in inspect.signature(test).parameters}
                if inspect.iscoroutinefunction(test):
                    asyncio.run(test(**given))
                else:
                    test(**given)
        names[PRINTED] = printed.getvalue()


def compare(example: Example) -> str | None:
    """What was printed and what the document shows; called by Sybil."""
    printed = example.namespace.pop(PRINTED, "nothing: no Python block stands before")
    return None if printed == example.parsed else f"it printed:\n{printed}"


python = PythonCodeBlockParser()
python.codeblock_parser = CodeBlockParser("python", Evaluator())


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> None:
    """Runs earlier blocks of the page first, if they ran in another process of pytest-xdist."""
    if isinstance(item, SybilItem):
        done = item.example.namespace.setdefault("blocks that ran", set())
        for example in item.example.document.examples():
            if example.start < item.example.start and example.start not in done:
                done.add(example.start)
                example.evaluate()
        done.add(item.example.start)


@pytest.fixture(scope="module")
def in_a_cluster() -> Iterator[None]:
    """A process in namespace ``default`` of a cluster with the Services that the examples name."""
    cluster = FakeCluster()
    kubia = cluster.add_service("kubia-headless", ports={"http": 8080})
    kubia.add_pod("172.30.35.3")
    kubia.add_pod("172.30.14.3")
    cluster.add_service("gossip", ports={"swim": (7946, "udp")}).scale(3)
    with cluster.serve() as server, pytest.MonkeyPatch.context() as environment:
        environment.setenv("HEADLESS_DISCOVERY_NAMESERVER", server.nameserver)
        environment.setenv("POD_NAMESPACE", "default")
        yield


pytest_collect_file = Sybil(
    parsers=[python, CodeBlockParser("output", compare)],
    patterns=["README*.md", "docs/*.md", "docs/recipes/*.md"],
    fixtures=["in_a_cluster"],
).pytest()
