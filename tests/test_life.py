"""The life of a Peers among threads, forks and the end of the interpreter."""

import asyncio
import contextlib
import contextvars
import copy
import gc
import logging
import os
import pickle
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from headless_discovery import (
    Change,
    Clock,
    Closed,
    LookupFailed,
    Peers,
    Policy,
    Resolver,
    State,
    peers,
)
from headless_discovery.kubernetes import EndpointSlices
from headless_discovery.testing import FakeClock, FakeCluster, FakeService

pytestmark = pytest.mark.slow

QUICK = Policy(min_refresh=0.02, max_refresh=0.02, refresh_floor=0.01)


def in_threads(count: int, call: Callable[[int], object]) -> list[threading.Thread]:
    workers = [threading.Thread(target=call, args=(number,)) for number in range(count)]
    for worker in workers:
        worker.start()
    return workers


def eventually(predicate: Callable[[], object]) -> bool:
    until = time.monotonic() + 30
    while not predicate() and time.monotonic() < until:
        time.sleep(0.002)
    return bool(predicate())


# Threads.


def test_64_threads_never_see_a_torn_set_during_churn(
    cluster: FakeCluster, web: FakeService
) -> None:
    wrong: list[object] = []
    over = threading.Event()

    def check(kubia: Peers) -> None:
        before = kubia.snapshot
        found = kubia.endpoints()
        after = kubia.snapshot
        if len(found) < 3 or list(found) != sorted(found, key=lambda one: one.identity):
            wrong.append(found)
        if after.generation < before.generation or not set(after.departing) <= set(after.endpoints):
            wrong.append((before, after))
        if kubia.pick(key="user:1").hostname not in {f"web-{number}" for number in range(8)}:
            wrong.append("pick")
        if kubia.get("web-0") is None or len(kubia.ranked("user:1", 3)) < 3:
            wrong.append("get or ranked")
        kubia.pick()

    with cluster.peers("web", policy=Policy(on_empty="clear")) as kubia:
        kubia.endpoints()

        def hammer(_: int) -> None:
            while not over.wait(0.001):  # a moment for the thread that changes things
                check(kubia)

        workers = in_threads(64, hammer)
        for count in range(30):
            web.scale(3 + count % 5)
            cluster.clock.advance(5)
        over.set()
        for worker in workers:
            worker.join(10)
    assert not wrong


def test_a_thousand_refreshes_at_once_make_one_lookup(
    cluster: FakeCluster, web: FakeService
) -> None:
    kubia = cluster.peers("web")

    def refresh(_: int) -> None:
        for _ in range(20):
            assert len(kubia.refresh().endpoints) == 3

    for worker in in_threads(50, refresh):
        worker.join(10)
    assert (kubia.stats.lookups, len(cluster.queries)) == (1, 1)


def test_each_of_many_watchers_sees_every_change_add_up(
    cluster: FakeCluster, web: FakeService
) -> None:
    sets: list[set[str]] = []

    def watch(kubia: Peers) -> None:
        members: set[str] = set()
        for change in kubia.watch():
            members -= {one.hostname for one in change.removed}
            assert not members & {one.hostname for one in change.added}
            members |= {one.hostname for one in change.added}
        sets.append(members)

    with cluster.serve() as server:
        kubia = peers(
            "web", namespace="default", resolver=Resolver([server.nameserver]), policy=QUICK
        )
        with kubia:
            workers = in_threads(8, lambda _: watch(kubia))
            for count in (5, 4, 6):
                web.scale(count)
                time.sleep(0.05)
            assert eventually(lambda: len(kubia.snapshot.endpoints) == 6)
            final = {one.hostname for one in kubia.snapshot.endpoints}
        for worker in workers:
            worker.join(10)
    # Whoever had not yet come to read the last change when it was closed ends without it.
    assert len(sets) == 8
    assert all(members <= final | {"web-4"} for members in sets)


def test_a_callback_that_blocks_holds_up_nobody_and_gets_one_merged_change(
    web: FakeService, cluster: FakeCluster
) -> None:
    blocked, go_on = threading.Event(), threading.Event()
    slow: list[Change] = []
    quick: list[Change] = []

    def block(change: Change) -> None:
        slow.append(change)
        blocked.set()
        go_on.wait(10)

    with cluster.serve() as server:
        resolver = Resolver([server.nameserver])
        with peers("web", namespace="default", resolver=resolver, policy=QUICK) as kubia:
            kubia.endpoints()
            kubia.on_change(block)
            kubia.on_change(quick.append)
            web.scale(4)
            assert blocked.wait(10)
            web.scale(5)
            assert eventually(lambda: len(kubia.endpoints()) == 5)
            web.scale(6)
            assert eventually(lambda: sum(len(change.added) for change in quick) == 3)
            go_on.set()
            assert eventually(lambda: len(slow) == 2)
    assert [len(change.added) for change in slow] == [1, 2]


def test_listeners_share_one_thread_but_for_those_that_block(
    web: FakeService, cluster: FakeCluster
) -> None:
    callers: dict[str, list[threading.Thread]] = {"one": [], "other": [], "blocked": []}
    go_on = threading.Event()

    def listener(name: str) -> Callable[[Change], object]:
        return lambda _: callers[name].append(threading.current_thread())

    def block(change: Change) -> None:
        listener("blocked")(change)
        go_on.wait(10)

    with cluster.serve() as server:
        resolver = Resolver([server.nameserver])
        with peers("web", namespace="default", resolver=resolver, policy=QUICK) as kubia:
            kubia.endpoints()
            stop = kubia.on_change(block)
            kubia.on_change(listener("one"))
            kubia.on_change(listener("other"))
            web.scale(4)
            assert eventually(lambda: callers["other"])
            assert callers["one"] == callers["other"] != callers["blocked"]
            go_on.set()
            stop()
            web.scale(5)
            assert eventually(lambda: len(callers["other"]) == 2)
            assert callers["one"] == callers["other"]
            assert len(callers["blocked"]) == 1


@pytest.mark.parametrize("listeners", [1, 2, 3])
def test_after_close_no_listener_is_called_nor_any_thread_of_theirs_left(
    listeners: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headless_discovery._store.delivery._TOO_LONG", 30.0)  # on a busy machine
    web = Peers.static(["10.0.0.1:80"])
    called, goes_on, closed = threading.Event(), threading.Event(), threading.Event()
    callers: list[threading.Thread] = []
    late: list[Change] = []
    waited: list[bool] = []

    def is_closed() -> bool:
        return "closed" in repr(web)

    def listener(change: Change) -> None:
        callers.append(threading.current_thread())
        if closed.is_set():
            late.append(change)
        called.set()
        waited.extend((goes_on.wait(10), eventually(is_closed)))

    for _ in range(listeners):
        web.on_change(listener)
    web.update(["10.0.0.2:80"])
    assert called.wait(10)
    web.update(["10.0.0.3:80"])
    goes_on.set()
    web.close()
    assert not any(caller.is_alive() for caller in callers)
    closed.set()
    assert late == []
    assert all(waited)


def test_close_waits_for_a_thread_that_has_called_its_last_listener(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run, join = threading.Thread.run, threading.Thread.join
    called, waited_for = threading.Event(), threading.Event()

    def ends_late(self: threading.Thread) -> None:
        run(self)
        called.set()
        waited_for.wait(10)

    def is_joined(self: threading.Thread, timeout: float | None = None) -> None:
        waited_for.set()
        join(self, timeout)

    monkeypatch.setattr(threading.Thread, "run", ends_late)
    monkeypatch.setattr(threading.Thread, "join", is_joined)
    web = Peers.static(["10.0.0.1:80"])
    web.on_change(lambda _: None)
    web.update(["10.0.0.2:80"])
    assert called.wait(10)
    web.close()
    assert waited_for.is_set()


def test_close_waits_neither_for_a_listener_that_blocks_nor_in_one_for_itself() -> None:
    web = Peers.static(["10.0.0.1:80"])
    called, go_on = threading.Event(), threading.Event()
    callers: list[threading.Thread] = []
    went_on: list[bool] = []

    def block(_: Change) -> None:
        callers.append(threading.current_thread())
        called.set()
        web.close()
        went_on.append(go_on.wait(10))

    web.on_change(block)
    web.update(["10.0.0.2:80"])
    assert called.wait(10)
    web.close()
    go_on.set()
    for caller in callers:
        caller.join(10)
    assert went_on == [True]


def test_listeners_that_take_their_time_without_blocking_keep_their_one_thread() -> None:
    looks, may_look = threading.Semaphore(0), threading.Semaphore(0)

    class Watched(Clock):
        """The thread that stands by looks when it may, and not after a quarter of a second."""

        def wait_for(self, waiters: Any, predicate: Callable[[], bool], *_: Any, **__: Any) -> bool:
            looks.release()
            assert may_look.acquire(timeout=10)
            return predicate()

    callers: list[threading.Thread] = []

    def listener(_: Change) -> None:
        if callers:  # the one before was called meanwhile
            may_look.release()
        callers.append(threading.current_thread())
        assert looks.acquire(timeout=10)

    web = Peers.static(["10.0.0.1:80"], clock=Watched())
    for _ in range(3):
        web.on_change(listener)
    web.update(["10.0.0.2:80"])
    assert eventually(lambda: len(callers) == 3)
    callers[0].join(10)
    may_look.release()
    assert len(set(callers)) == 1


@pytest.mark.parametrize("end", ["an outcome", "an error", "closed"])
def test_a_lookup_that_comes_too_late_changes_nothing(
    end: str, cluster: FakeCluster, web: FakeService, caplog: pytest.LogCaptureFixture
) -> None:
    begun: list[str] = []

    class Late(type(cluster.resolver)):  # type: ignore[misc]  # a class that is only known here
        def run(self, *arguments: Any, **limits: Any) -> Any:
            begun.append(threading.current_thread().name)
            if len(begun) == 1:
                if end == "closed":
                    kubia.close()
                else:
                    cluster.clock.advance(7)  # its lifetime is over: others take it for interrupted
                    other = threading.Thread(target=kubia.refresh)
                    other.start()
                    other.join(20)
                    web.scale(5)
                if end == "an error":
                    raise ZeroDivisionError
            return super().run(*arguments, **limits)

    kubia = cluster.peers("web", resolver=Late(cluster, domain="cluster.local"))
    if end == "closed":
        with pytest.raises(Closed):
            kubia.refresh()
    else:
        assert len(kubia.refresh().endpoints) == 3
    assert ("ZeroDivisionError" in caplog.text) == (end == "an error")
    assert (len(begun), kubia.stats.lookups) == ((1, 0) if end == "closed" else (2, 1))


def test_a_lookup_that_is_given_up_after_close_opens_nothing_again(
    cluster: FakeCluster, web: FakeService
) -> None:
    raised: list[Exception] = []

    def refresh() -> None:
        try:
            kubia.refresh()
        except Closed as error:
            raised.append(error)

    with cluster.serve() as server:
        kubia = peers(
            "web.default",
            resolver=Resolver([server.nameserver]),
            policy=Policy(refresh_floor=0.01),
        )
        assert len(kubia.endpoints()) == 3
        cluster.fail("timeout")
        asked = len(cluster.queries)
        caller = threading.Thread(target=refresh)
        assert eventually(lambda: (kubia.stats.answer_age or 0) > 0.01)
        caller.start()
        assert eventually(lambda: len(cluster.queries) > asked)
        kubia.close()
        caller.join(10)
    assert len(raised) == 1
    calls: list[Callable[[], object]] = [kubia.endpoints, kubia.pick, lambda: kubia.sample(1)]
    for call in calls:
        with pytest.raises(Closed):
            call()


# Python ends a thread in silence for SystemExit; pytest does not.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("error", [ValueError, SystemExit, asyncio.CancelledError, GeneratorExit])
def test_whatever_a_callback_raises_all_are_called_with_the_next_change_too(
    error: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headless_discovery._store.delivery._TOO_LONG", 30.0)  # on a busy machine
    web = Peers.static(["10.0.0.1:80"])
    called, told = threading.Semaphore(0), threading.Semaphore(0)

    def fail(_: Change) -> None:
        called.release()
        raise error

    stop = web.on_change(fail)
    for number in (2, 3):  # alone
        web.update([f"10.0.0.{number}:80"])
        assert called.acquire(timeout=10)
    web.on_change(lambda _: told.release())
    for number in (4, 5):
        web.update([f"10.0.0.{number}:80"])
        assert called.acquire(timeout=10)
        assert told.acquire(timeout=10)
    stop()
    web.close()  # else the next test would hear of a thread that is still ending


@pytest.mark.parametrize("call", ["refresh", "pick", "endpoints"])
def test_one_that_is_closed_at_any_moment_of_a_call_is_closed(call: str) -> None:
    class Closing(FakeClock):
        readings = 0

        def now(self) -> float:
            self.readings -= 1
            if self.readings == 0:
                kubia.close()
            return super().now()

    outcomes = []
    for readings in range(1, 40):
        cluster = FakeCluster(clock=(clock := Closing()))
        cluster.add_service("web").scale(3)
        kubia = cluster.peers("web")
        clock.readings = readings
        with contextlib.suppress(Closed):
            getattr(kubia, call)()
        outcomes.append(clock.readings <= 0)
        if not outcomes[-1]:
            kubia.close()
        for after in (kubia.refresh, kubia.pick, kubia.endpoints):
            with pytest.raises(Closed):
                after()
    assert (outcomes[0], outcomes[-1]) == (True, False)


@pytest.mark.parametrize("lacks", ["threads", "daemon threads"])
def test_without_a_thread_to_be_had_callers_ask_and_it_is_tried_again(
    web: FakeService, cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch, lacks: str
) -> None:
    real, none_left = threading.Thread.start, True
    initialized = threading.Thread.__init__

    def start(self: threading.Thread) -> None:
        if none_left and self.name.startswith("headless-discovery"):
            raise RuntimeError("can't start new thread")
        real(self)

    # As in an isolated subinterpreter.
    def init(self: threading.Thread, **arguments: Any) -> None:
        if none_left and arguments.get("daemon"):
            raise RuntimeError("daemon threads are disabled in this interpreter")
        initialized(self, **arguments)

    def make_daemon(self: threading.Thread, value: bool) -> None:
        if none_left:
            raise RuntimeError("daemon threads are disabled in this interpreter")
        self._daemonic = value  # type: ignore[attr-defined] # as the property itself does

    told: list[int] = []
    with cluster.serve() as server:
        resolver = Resolver([server.nameserver])
        if lacks == "threads":
            monkeypatch.setattr(threading.Thread, "start", start)
        else:
            monkeypatch.setattr(threading.Thread, "__init__", init)
            monkeypatch.setattr(threading.Thread, "daemon", property(lambda _: True, make_daemon))
        with peers("web", namespace="default", resolver=resolver, policy=QUICK) as kubia:
            kubia.on_change(lambda change: told.append(len(change.snapshot.endpoints)))
            assert len(kubia.endpoints()) == 3
            web.scale(4)
            assert eventually(lambda: len(kubia.endpoints()) == 4)
            assert not told
            none_left = False
            assert eventually(lambda: kubia.endpoints() and told)
            web.scale(5)
            assert eventually(lambda: len(kubia.snapshot.endpoints) == 5), "in the background"


REQUEST = contextvars.ContextVar("REQUEST", default="none")


def begins_to_listen(web: Peers) -> None:
    web.on_change(lambda _: None)
    web.update(["10.0.0.2:80"])


@pytest.mark.parametrize(
    ("thread", "web", "begins"),
    [
        (
            "headless-discovery",
            lambda: peers("web.default", resolver=Resolver(["127.0.0.1:9"])),
            Peers.start,
        ),
        ("headless-discovery-call", lambda: Peers.static(["10.0.0.1:80"]), begins_to_listen),
        (
            "headless-discovery-api",
            lambda: peers("web.default", source=EndpointSlices(server="http://127.0.0.1:9")),
            Peers.start,
        ),
    ],
    ids=["of lookups", "of listeners", "of slices"],
)
def test_a_thread_does_not_go_on_in_the_context_of_the_request_that_began_it(
    thread: str,
    web: Callable[[], Peers],
    begins: Callable[[Peers], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = threading.Thread.start
    inherited = {}

    # Free-threaded Python lets threads inherit the context in which this is called.
    def start(self: threading.Thread) -> None:
        inherited[self.name] = REQUEST.get()
        real(self)

    def request() -> None:
        REQUEST.set("of the caller")
        with contextlib.closing(web()) as found:
            begins(found)

    monkeypatch.setattr(threading.Thread, "start", start)
    contextvars.copy_context().run(request)
    assert inherited == {thread: "none"}


def test_the_background_goes_on_after_an_error_that_is_no_outcome(
    cluster: FakeCluster, web: FakeService, caplog: pytest.LogCaptureFixture
) -> None:
    broken = threading.Event()
    broken.set()

    class Broken(Resolver):
        def run(self, *arguments: Any, **limits: Any) -> Any:
            if broken.is_set():
                raise ZeroDivisionError
            return super().run(*arguments, **limits)

    with cluster.serve() as server:
        resolver = Broken([server.nameserver])
        with peers("web", namespace="default", resolver=resolver, policy=QUICK) as kubia:
            assert eventually(lambda: "ZeroDivisionError" in caplog.text)
            assert caplog.records[0].levelno == logging.ERROR
            broken.clear()
            assert eventually(lambda: len(kubia.snapshot.endpoints) == 3)


@contextlib.contextmanager
def raising_log_handler(raised: type[Exception]) -> Iterator[list[str]]:
    """A program's handler that raises for whatever the library logs; what that was."""
    logged: list[str] = []

    class Raising(logging.Handler):
        def handle(self, record: logging.LogRecord) -> bool:
            logged.append(record.getMessage())
            raise raised(record.getMessage())

    handler, log = Raising(), logging.getLogger("headless_discovery")
    level = log.level
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        yield logged
    finally:
        log.removeHandler(handler)
        log.setLevel(level)


@pytest.mark.parametrize("raised", [ValueError, BrokenPipeError, RecursionError])
@pytest.mark.parametrize("in_background", [True, False])
def test_a_log_handler_that_raises_hides_no_answer_and_does_not_end_the_background(
    raised: type[Exception], in_background: bool, cluster: FakeCluster, web: FakeService
) -> None:
    told: list[Change] = []
    kubia = cluster.peers("web")
    with raising_log_handler(raised) as logged:
        kubia.endpoints()
        if in_background:
            kubia.on_change(told.append)
        cluster.fail("servfail")
        cluster.clock.advance(30)
        assert len(kubia.endpoints()) == 3
        states = [kubia.snapshot.state]
        cluster.heal()
        web.scale(4)
        cluster.clock.advance(60)
        assert len(kubia.endpoints()) == 4
        states.append(kubia.snapshot.state)
        kubia.close()
    assert states == [State.STALE, State.LIVE]
    assert len(told) == in_background
    assert len(logged) == 3


@pytest.mark.parametrize("source", ["api", "auto", "auto without slices"])
def test_a_log_handler_that_raises_does_not_keep_a_source_from_being_chosen(
    source: str, cluster: FakeCluster, web: FakeService
) -> None:
    if source == "auto without slices":
        cluster.fail("api-forbidden")
    with (
        raising_log_handler(ValueError) as logged,
        cluster.peers("web", source="api" if source == "api" else "auto") as kubia,
    ):
        assert len(kubia.endpoints()) == 3
        web.scale(4)
        cluster.clock.advance(60)
        assert len(kubia.endpoints()) == 4
    assert kubia.snapshot.source == ("dns" if source == "auto without slices" else "api")
    assert logged


def test_a_log_handler_that_raises_hides_no_listeners_error_from_the_other_listeners(
    cluster: FakeCluster, web: FakeService
) -> None:
    told: list[Change] = []
    with raising_log_handler(ValueError) as logged, cluster.peers("web") as kubia:
        kubia.endpoints()
        kubia.on_change(lambda _: 1 / 0)
        kubia.on_change(told.append)
        web.scale(4)
        cluster.clock.advance(60)
    assert len(told) == 1
    assert any("on_change" in line for line in logged)


def test_an_error_that_is_no_outcome_is_a_failed_lookup_with_its_cause(
    cluster: FakeCluster, web: FakeService
) -> None:
    class Broken(type(cluster.resolver)):  # type: ignore[misc]  # a class that is only known here
        def run(self, *_: object, **__: object) -> Any:
            raise ZeroDivisionError

    kubia = cluster.peers("web", resolver=Broken(cluster, domain="cluster.local"))
    for _ in range(2):
        with pytest.raises(LookupFailed, match="ZeroDivisionError") as raised:
            kubia.refresh()
        assert isinstance(raised.value.__cause__, ZeroDivisionError)
        cluster.clock.advance(1)
    assert kubia.stats.unknown == 2


# resolv.conf.


def test_one_that_nobody_holds_any_more_goes_at_once() -> None:
    cluster = FakeCluster()
    cluster.add_service("web").scale(2)
    gc.disable()
    try:
        held: list[Any] = [
            cluster.peers("web"),
            Peers.static(["10.0.0.1"]),
            cluster.aio.peers("web"),
        ]
        assert len(held[0].endpoints()) == 2
        gone = list(map(weakref.ref, held))
        held.clear()
        assert [each() for each in gone] == [None] * 3
    finally:
        gc.enable()


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, pickle.dumps])
def test_it_is_neither_copied_nor_pickled_and_goes_on_after_a_try(
    cluster: FakeCluster, web: FakeService, copied: Callable[[object], object]
) -> None:
    apeers = cluster.aio.peers("web", port="http")
    with cluster.peers("web", port="http") as kubia:
        for each in (kubia, apeers, Peers.static(["10.0.0.1:80"])):
            with pytest.raises(TypeError, match=r"^a Peers cannot be copied or pickled: share"):
                copied(each)
        gc.collect()
        assert len(kubia.endpoints()) == 3


def test_a_resolv_conf_that_changes_is_read_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    conf = tmp_path / "resolv.conf"
    monkeypatch.delenv("HEADLESS_DISCOVERY_NAMESERVER", raising=False)
    monkeypatch.setattr("headless_discovery._dns.resolver.RESOLV_CONF", conf)
    old, new = FakeCluster(), FakeCluster()
    old.add_service("web", ports=[80]).scale(1)
    new.add_service("web", ports=[80]).scale(2)
    with old.serve() as first, new.serve() as second:
        conf.write_text(f"nameserver {first.nameserver}\n")
        kubia = peers("web", namespace="default", policy=QUICK)
        assert len(kubia.endpoints()) == 1
        # As kubelet and NetworkManager do it: another file under the same name.
        other = tmp_path / "new"
        other.write_text(f"nameserver {second.nameserver}\n# another one\n")
        other.rename(conf)
        assert eventually(lambda: len(kubia.refresh().endpoints) == 2)


@pytest.mark.parametrize("instead", ["nothing", "an empty file", "a pipe"])
def test_while_it_names_nobody_what_is_known_is_kept(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, instead: str
) -> None:
    conf, kept = tmp_path / "resolv.conf", tmp_path / "kept"
    monkeypatch.delenv("HEADLESS_DISCOVERY_NAMESERVER", raising=False)
    monkeypatch.setattr("headless_discovery._dns.resolver.RESOLV_CONF", conf)
    cluster = FakeCluster()
    cluster.add_service("web", ports=[80]).scale(2)
    with cluster.serve() as server:
        conf.write_text(f"nameserver {server.nameserver}\n")
        kubia = peers("web", namespace="default", policy=QUICK)
        assert len(kubia.endpoints()) == 2
        conf.rename(kept)
        if instead == "an empty file":
            conf.touch()
        elif instead == "a pipe":
            os.mkfifo(conf)
        assert eventually(lambda: kubia.refresh().state == "stale")
        assert len(kubia.endpoints()) == 2
        assert "names none" in (kubia.snapshot.reason or "")
        kept.replace(conf)
        assert eventually(lambda: kubia.refresh().state == "live")


# Processes. Each in an interpreter of its own, so that this one's threads are not forked.

SERVED = """
import atexit, os, signal, sys, threading, time, warnings

# First, so that it is done last: until the library has seen the end, the server is asked.
here = os.getpid()
atexit.register(lambda: os.getpid() == here and server.__exit__(None, None, None))

from headless_discovery import Policy, Resolver, peers
from headless_discovery.testing import FakeCluster

signal.alarm(60)  # whatever hangs is killed
cluster = FakeCluster()
web = cluster.add_service("web", ports=[80])
web.scale(3)
server = cluster.serve().__enter__()
quick = Policy(min_refresh=0.02, max_refresh=0.02, refresh_floor=0.01)
kubia = peers(
    "web", namespace="default", resolver=Resolver([server.nameserver]), policy=quick
)

def eventually(predicate):
    until = time.monotonic() + 20
    while not predicate() and time.monotonic() < until:
        time.sleep(0.005)
    return predicate()
"""


def run(script: str, *options: str) -> str:
    done = subprocess.run(
        [sys.executable, *options, "-c", SERVED + script],
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def test_workers_that_are_forked_before_and_after_the_start_find_peers_and_so_does_the_parent() -> (
    None
):
    said = run("""
warnings.simplefilter("ignore", DeprecationWarning)  # forks among threads: that is the point
kubia.start()
kubia.endpoints()
def work():
    ok = eventually(lambda: len(kubia.endpoints()) == 4)
    ok = ok and kubia.refresh().state == "live" and kubia.pick(key="a") is not None
    background = [t for t in threading.enumerate() if t.name == "headless-discovery"]
    os._exit(0 if ok and len(background) == 1 else 1)

busy = threading.Event()
def hammer():
    while not busy.is_set():
        kubia.endpoints(), kubia.pick(), kubia.refresh()
hammers = [threading.Thread(target=hammer) for _ in range(8)]
for one in hammers:
    one.start()
children = []
for _ in range(6):
    child = os.fork()
    if child == 0:
        work()
    children.append(child)
web.scale(4)
codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
busy.set()
for one in hammers:
    one.join()
print(codes, eventually(lambda: len(kubia.endpoints()) == 4))
kubia.close()
""")
    assert said == "[0, 0, 0, 0, 0, 0] True\n"


def test_a_child_follows_slices_by_itself_and_leaves_its_parents_connection_alone() -> None:
    said = run("""
from headless_discovery.kubernetes import EndpointSlices
from tests.api_server import ApiServer
from tests.slices import endpoint, slice_of

warnings.simplefilter("ignore", DeprecationWarning)  # forks among threads: that is the point
api = ApiServer(slice_of("a", endpoint("10.0.0.1")))
followed = peers("web.shop", port="http", source=EndpointSlices(server=api.url))
followed.endpoints()
codes = []
for _ in range(3):
    child = os.fork()
    if child == 0:
        background = [t for t in threading.enumerate() if t.name == "headless-discovery-api"]
        os._exit(0 if len(followed.refresh().endpoints) == len(background) == 1 else 1)
    codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
api.put(slice_of("b", endpoint("10.0.0.2")))
print(codes, eventually(lambda: len(followed.endpoints()) == 2))
print([query for query in api.requests if "resourceVersion" in query])  # made to resume
followed.close()
api.kill()
""")
    assert said == "[0, 0, 0] True\n[]\n"


def test_parent_and_child_do_not_go_on_with_the_same_chances() -> None:
    said = run("""
plain = peers("web", namespace="default", resolver=Resolver([server.nameserver]), strategy="random")
web.scale(200)
plain.endpoints()
read, write = os.pipe()
warnings.simplefilter("ignore", DeprecationWarning)
child = os.fork()
picked = " ".join(plain.pick().hostname for _ in range(20))
if child == 0:
    os.write(write, picked.encode())
    os._exit(0)
os.waitpid(child, 0)
print(os.read(read, 4096).decode() != picked)
""")
    assert said == "True\n"


def test_children_do_not_pick_the_same_in_the_same_order() -> None:
    said = run("""
from headless_discovery import LeastLoaded, Random, RoundRobin, Peers
warnings.simplefilter("ignore", DeprecationWarning)
listed = [f"10.0.0.{number}" for number in range(1, 9)]
for strategy in ["round-robin", "random", RoundRobin(), Random(), LeastLoaded()]:
    shared = Peers.static(listed, strategy=strategy)
    shared.pick()
    picked = []
    for _ in range(6):
        read, write = os.pipe()
        if os.fork() == 0:
            os.write(write, "".join(shared.pick().address[-1] for _ in range(8)).encode())
            os._exit(0)
        os.wait()
        picked.append(os.read(read, 8))
    print(len(set(picked)) > 3, end=" ")
""")
    assert said == "True " * 5


def test_a_child_picks_though_a_thread_of_its_parent_was_choosing_at_the_fork() -> None:
    said = run("""
from headless_discovery import RoundRobin
warnings.simplefilter("ignore", DeprecationWarning)
codes = []
for strategy in [RoundRobin()]:
    shared = peers(
        "web", namespace="default", resolver=Resolver([server.nameserver]), strategy=strategy
    )
    shared.endpoints()
    with strategy._lock:  # as it is while a thread puts a new set in order
        child = os.fork()
        if child == 0:
            signal.alarm(20)  # it is not inherited
            shared.pick(), shared.pick(key="a")
            os._exit(0)
        codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
print(codes)
""")
    assert said == "[0]\n"


def test_one_that_was_closed_stays_closed_in_a_child() -> None:
    said = run("""
kubia.start()
kubia.close()
warnings.simplefilter("ignore", DeprecationWarning)
child = os.fork()
if child == 0:
    os._exit(any(t.name == "headless-discovery" for t in threading.enumerate()))
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
""")
    assert said == "0\n"


def test_one_that_is_never_closed_holds_up_no_exit_and_is_not_complained_of() -> None:
    run("kubia.start(); kubia.endpoints()", "-X", "dev")


def test_nor_does_one_in_the_middle_of_a_lookup() -> None:
    run("""
cluster.fail("timeout")
kubia.start()
eventually(lambda: kubia._store.under_way)
""")


def test_what_an_app_does_at_exit_still_finds_peers() -> None:
    said = run("""
kubia.start()
atexit.register(lambda: print(len(kubia.endpoints())))
""")
    assert said == "3\n"
