"""What an interrupt leaves behind among threads, or in an event loop, is done without."""

import asyncio
import socket
import threading
from collections.abc import Coroutine
from typing import Any

import pytest

from headless_discovery import Clock
from headless_discovery._time.clock import Lock
from headless_discovery._time.on_asyncio import running


def test_a_lock_that_was_left_locked_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headless_discovery._time.clock._ABANDONED", 0.01)
    lock = Lock()
    left = threading.Thread(target=lock.__enter__)
    left.start()
    left.join()
    with lock, lock:  # reentrant, as the one before
        pass


def test_a_lock_that_is_held_for_a_while_is_waited_for() -> None:
    lock = Lock()
    held, done = threading.Event(), threading.Event()
    order: list[str] = []

    def hold() -> None:
        with lock:
            held.set()
            done.wait(0.05)
            order.append("first")

    holder = threading.Thread(target=hold)
    holder.start()
    assert held.wait(10)
    with lock:
        order.append("second")
    holder.join()
    assert order == ["first", "second"]


def test_without_a_thread_to_be_had_none_stands_by(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    assert not Clock().stand_by(lambda: None)


def test_one_that_waits_for_a_lock_goes_on_though_its_holder_is_interrupted_meanwhile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("headless_discovery._time.clock._ABANDONED", 0.05)
    lock = Lock()
    lock.__enter__()  # and never left
    found: list[str] = []

    def work() -> None:
        with lock:
            found.append("waited")
        with lock:
            found.append("and again")

    others = [threading.Thread(target=work, daemon=True) for _ in range(3)]
    for each in others:
        each.start()
    for each in others:
        each.join(10)
    assert sorted(found) == ["and again"] * 3 + ["waited"] * 3
    with lock:  # whose place was taken
        pass


def test_who_held_a_lock_for_too_long_leaves_it_to_the_one_who_has_it_now(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("headless_discovery._time.clock._ABANDONED", 0.01)
    lock, taken, left = Lock(), threading.Event(), threading.Event()

    def take() -> None:
        with lock:
            taken.set()
            left.wait(10)

    other = threading.Thread(target=take)
    with lock:
        other.start()
        assert taken.wait(10)
    other_holds = not lock._lock.acquire(blocking=False)
    left.set()
    other.join()
    assert other_holds


# Sockets on asyncio.


def test_a_socket_that_is_ready_just_when_its_time_is_up_is_waited_for_once() -> None:
    async def main() -> None:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            theirs.send(b"x")
            await running().readable(ours.fileno(), 0)

    asyncio.run(main())


def test_a_wait_for_a_socket_ends_after_its_loop_was_closed() -> None:
    ours, theirs = socket.socketpair()

    async def begin() -> Coroutine[Any, Any, None]:
        waiting = running().readable(ours.fileno(), 60)
        waiting.send(None)
        return waiting

    with ours, theirs:
        waiting = asyncio.run(begin())
        waiting.close()
        with pytest.raises(RuntimeError, match="cannot reuse"):
            waiting.send(None)
