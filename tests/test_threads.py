"""What an interrupt leaves behind among threads is noticed, and done without."""

import threading

import pytest

from headless_discovery import Clock
from headless_discovery._time.clock import Lock


def test_a_lock_that_was_left_locked_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headless_discovery._time.clock._ABANDONED", 0.01)
    lock = Lock()
    left = threading.Thread(target=lambda: lock.usable().acquire())
    left.start()
    left.join()
    with lock.usable(), lock.usable():  # reentrant, as the one before
        pass


def test_a_lock_that_is_held_for_a_while_is_waited_for() -> None:
    lock = Lock()
    held, done = threading.Event(), threading.Event()
    order: list[str] = []

    def hold() -> None:
        with lock.usable():
            held.set()
            done.wait(0.05)
            order.append("first")

    holder = threading.Thread(target=hold)
    holder.start()
    assert held.wait(10)
    with lock.usable():
        order.append("second")
    holder.join()
    assert order == ["first", "second"]


def test_without_a_thread_to_be_had_none_stands_by(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    assert not Clock().stand_by(lambda: None)
