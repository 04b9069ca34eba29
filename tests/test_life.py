"""The life of a Peers among threads, forks and the end of the interpreter."""

import logging
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from headless_discovery import Change, Peers, Policy, Resolver, peers
from headless_discovery.testing import FakeCluster, FakeService

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

    def check(store: Peers) -> None:
        before = store.snapshot
        found = store.endpoints()
        after = store.snapshot
        if len(found) < 3 or list(found) != sorted(found, key=lambda one: one.identity):
            wrong.append(found)
        if after.generation < before.generation or not set(after.departing) <= set(after.endpoints):
            wrong.append((before, after))
        if store.pick(key="user:1").hostname not in {f"web-{number}" for number in range(8)}:
            wrong.append("pick")
        if store.get("web-0") is None or len(store.ranked("user:1", 3)) < 3:
            wrong.append("get or ranked")
        store.pick()

    with cluster.peers("web", policy=Policy(on_empty="clear")) as store:
        store.endpoints()

        def hammer(_: int) -> None:
            while not over.wait(0.001):  # a moment for the thread that changes things
                check(store)

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
    store = cluster.peers("web")

    def refresh(_: int) -> None:
        for _ in range(20):
            assert len(store.refresh().endpoints) == 3

    for worker in in_threads(50, refresh):
        worker.join(10)
    assert (store.stats.lookups, len(cluster.queries)) == (1, 1)


def test_each_of_many_watchers_sees_every_change_add_up(
    cluster: FakeCluster, web: FakeService
) -> None:
    sets: list[set[str]] = []

    def watch(store: Peers) -> None:
        members: set[str] = set()
        for change in store.watch():
            members -= {one.hostname for one in change.removed}
            assert not members & {one.hostname for one in change.added}
            members |= {one.hostname for one in change.added}
        sets.append(members)

    with cluster.serve() as server:
        store = peers(
            "web", namespace="default", resolver=Resolver([server.nameserver]), policy=QUICK
        )
        with store:
            workers = in_threads(8, lambda _: watch(store))
            for count in (5, 4, 6):
                web.scale(count)
                time.sleep(0.05)
            assert eventually(lambda: len(store.snapshot.endpoints) == 6)
            final = {one.hostname for one in store.snapshot.endpoints}
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
        with peers("web", namespace="default", resolver=resolver, policy=QUICK) as store:
            store.endpoints()
            store.on_change(block)
            store.on_change(quick.append)
            web.scale(4)
            assert blocked.wait(10)
            web.scale(5)
            assert eventually(lambda: len(store.endpoints()) == 5)
            web.scale(6)
            assert eventually(lambda: sum(len(change.added) for change in quick) == 3)
            go_on.set()
            assert eventually(lambda: len(slow) == 2)
    assert [len(change.added) for change in slow] == [1, 2]


def test_the_background_goes_on_after_an_error_that_is_no_outcome(
    cluster: FakeCluster, web: FakeService, caplog: pytest.LogCaptureFixture
) -> None:
    broken = threading.Event()
    broken.set()

    class Broken(Resolver):
        def converse(self, *arguments: Any) -> Any:
            if broken.is_set():
                raise ZeroDivisionError
            return super().converse(*arguments)

    with cluster.serve() as server:
        resolver = Broken([server.nameserver])
        with peers("web", namespace="default", resolver=resolver, policy=QUICK) as store:
            assert eventually(lambda: "ZeroDivisionError" in caplog.text)
            assert caplog.records[0].levelno == logging.ERROR
            broken.clear()
            assert eventually(lambda: len(store.snapshot.endpoints) == 3)


def test_without_a_background_the_error_reaches_who_asked_and_the_next_asks_anew(
    cluster: FakeCluster, web: FakeService
) -> None:
    class Broken(type(cluster.resolver)):  # type: ignore[misc]  # a class that is only known here
        def converse(self, *_: object) -> Any:
            raise ZeroDivisionError

    store = cluster.peers("web", resolver=Broken(cluster, domain="cluster.local"))
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            store.endpoints()
        cluster.clock.advance(1)


# resolv.conf.


def test_a_resolv_conf_that_changes_is_read_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    conf = tmp_path / "resolv.conf"
    monkeypatch.delenv("HEADLESS_DISCOVERY_NAMESERVER", raising=False)
    monkeypatch.setattr("headless_discovery._transport.RESOLV_CONF", conf)
    old, new = FakeCluster(), FakeCluster()
    old.add_service("web", ports=[80]).scale(1)
    new.add_service("web", ports=[80]).scale(2)
    with old.serve() as first, new.serve() as second:
        conf.write_text(f"nameserver {first.nameserver}\n")
        store = peers("web", namespace="default", policy=QUICK)
        assert len(store.endpoints()) == 1
        # As kubelet and NetworkManager do it: another file under the same name.
        other = tmp_path / "new"
        other.write_text(f"nameserver {second.nameserver}\n# another one\n")
        other.rename(conf)
        assert eventually(lambda: len(store.refresh().endpoints) == 2)


# Processes. Each in an interpreter of its own, so that this one's threads are not forked.

SERVED = """
import atexit, os, signal, sys, threading, time, warnings
from headless_discovery import Policy, Resolver, peers
from headless_discovery.testing import FakeCluster

signal.alarm(60)  # whatever hangs is killed
cluster = FakeCluster()
web = cluster.add_service("web", ports=[80])
web.scale(3)
server = cluster.serve().__enter__()
here = os.getpid()
atexit.register(lambda: os.getpid() == here and server.__exit__(None, None, None))
quick = Policy(min_refresh=0.02, max_refresh=0.02, refresh_floor=0.01)
store = peers(
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
store.start()
store.endpoints()
def work():
    ok = eventually(lambda: len(store.endpoints()) == 4)
    ok = ok and store.refresh().state == "live" and store.pick(key="a") is not None
    background = [t for t in threading.enumerate() if t.name == "headless-discovery"]
    os._exit(0 if ok and len(background) == 1 else 1)

busy = threading.Event()
def hammer():
    while not busy.is_set():
        store.endpoints(), store.pick(), store.refresh()
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
print(codes, eventually(lambda: len(store.endpoints()) == 4))
store.close()
""")
    assert said == "[0, 0, 0, 0, 0, 0] True\n"


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


def test_a_child_picks_though_a_thread_of_its_parent_was_choosing_at_the_fork() -> None:
    said = run("""
from headless_discovery import RoundRobin, Sticky
warnings.simplefilter("ignore", DeprecationWarning)
codes = []
for strategy in (RoundRobin(), Sticky()):
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
    assert said == "[0, 0]\n"


def test_one_that_was_closed_stays_closed_in_a_child() -> None:
    said = run("""
store.start()
store.close()
warnings.simplefilter("ignore", DeprecationWarning)
child = os.fork()
if child == 0:
    os._exit(any(t.name == "headless-discovery" for t in threading.enumerate()))
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
""")
    assert said == "0\n"


def test_one_that_is_never_closed_holds_up_no_exit_and_is_not_complained_of() -> None:
    run("store.start(); store.endpoints()", "-X", "dev")


def test_nor_does_one_in_the_middle_of_a_lookup() -> None:
    run("""
cluster.fail("timeout")
store.start()
eventually(lambda: store._store.under_way)
""")


def test_what_an_app_does_at_exit_still_finds_peers() -> None:
    said = run("""
store.start()
atexit.register(lambda: print(len(store.endpoints())))
""")
    assert said == "3\n"
