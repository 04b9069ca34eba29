"""FakeClock: time that moves only when it is told to."""

import asyncio
import math
import threading
from collections.abc import Callable
from typing import Any

import pytest

from headless_discovery import Peers, State, aio
from headless_discovery.testing import FakeClock, FakeCluster


class Alone:
    """Who waits where nobody else comes by: a thread, or a task."""

    def wait_for(self, predicate: Callable[[], bool], _left: object) -> Any:
        return predicate()

    def wake(self) -> None:
        """Nobody waits for long."""


class AloneAmongTasks(Alone):
    async def wait_for(self, predicate: Callable[[], bool], _left: object) -> Any:
        return predicate()


ALONE: Any = Alone()
ALONE_AMONG_TASKS: Any = AloneAmongTasks()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def test_time_stands_still_until_it_is_moved(clock: FakeClock) -> None:
    began = clock.now()
    assert clock.now() == began
    clock.advance(2.5)
    assert clock.now() == began + 2.5
    clock.sleep(-1)
    clock.sleep(1)
    assert clock.now() == began + 3.5
    assert repr(FakeClock(7)) == "FakeClock(7)"


@pytest.mark.parametrize("seconds", [-1, -0.001, math.nan, math.inf])
def test_time_does_not_go_back(clock: FakeClock, seconds: float) -> None:
    with pytest.raises(ValueError, match="give a number of seconds, not negative"):
        clock.advance(seconds)
    assert clock.now() == FakeClock().now()


def test_what_is_due_is_done_on_the_way_in_its_order_and_at_its_time(clock: FakeClock) -> None:
    done: list[tuple[str, float]] = []
    began = clock.now()

    def note(what: str) -> None:
        done.append((what, clock.now() - began))

    clock.call_at(began + 3, lambda: note("third"))
    clock.call_at(began + 1, lambda: note("first"))
    clock.call_at(began + 1, lambda: note("second"))
    clock.call_at(began - 5, lambda: note("late"))
    clock.call_at(began + 11, lambda: note("never"))
    clock.advance(10)
    assert done == [("late", 0), ("first", 1), ("second", 1), ("third", 3)]
    assert clock.now() == began + 10


def test_what_is_done_may_move_the_clock_and_plan_more(clock: FakeClock) -> None:
    done: list[float] = []
    began = clock.now()

    def again() -> None:
        done.append(clock.now() - began)
        clock.sleep(2)
        clock.call_at(clock.now() + 1, again)

    clock.call_at(began, again)
    clock.advance(7)
    assert done == [0, 3, 6]
    assert clock.now() == began + 8, "the last one slept beyond"


def test_what_was_cancelled_is_not_done(clock: FakeClock) -> None:
    done: list[str] = []
    cancel = clock.call_at(clock.now() + 1, lambda: done.append("x"))
    clock.call_at(clock.now() + 1, lambda: done.append("y"))
    cancel()
    cancel()
    clock.advance(2)
    assert done == ["y"]


def test_what_fails_fails_the_advance_that_ran_it(clock: FakeClock) -> None:
    def fail() -> None:
        raise LookupError("on purpose")

    clock.call_at(clock.now() + 1, fail)
    with pytest.raises(LookupError, match="on purpose"):
        clock.advance(5)
    clock.advance(5)


def test_a_wait_in_the_foreground_moves_the_clock(clock: FakeClock) -> None:
    reached: list[bool] = []
    began = clock.now()
    clock.call_at(began + 5, lambda: reached.append(True))
    assert clock.wait_for(ALONE, lambda: bool(reached))
    assert clock.now() == began + 5
    assert not clock.wait_for(ALONE, lambda: False, began + 9)
    assert clock.now() == began + 9


def test_another_thread_can_still_bring_it_about(clock: FakeClock) -> None:
    web = Peers.static(["10.0.0.1:80"], clock=clock)
    changes = web.watch()
    assert len(next(changes).added) == 1
    thread = threading.Thread(target=web.update, args=(["10.0.0.2:80"],))
    thread.start()
    assert [str(peer) for peer in next(changes).added] == ["10.0.0.2:80"]
    thread.join()


def test_waiting_for_what_will_never_come_is_an_error(clock: FakeClock) -> None:
    with pytest.raises(RuntimeError, match="this would wait without end"):
        clock.wait_for(ALONE, lambda: False)


def test_waiting_for_who_was_interrupted_ends_when_that_is_overdue(clock: FakeClock) -> None:
    overdue = clock.now() + 5
    for _ in range(2):  # the second time it is over already
        assert not clock.wait_for(ALONE, lambda: False, overdue=overdue)
        assert clock.now() == overdue

    async def main() -> None:
        for _ in range(2):
            ended = clock.wait_for_async(ALONE_AMONG_TASKS, lambda: False, overdue=overdue + 5)
            assert not await asyncio.wait_for(ended, 5)
            assert clock.now() == overdue + 5

    asyncio.run(main())


def test_several_clusters_share_a_clock() -> None:
    clock = FakeClock()
    east, west = FakeCluster(clock=clock), FakeCluster(clock=clock)
    for cluster in (east, west):
        cluster.add_service("web").scale(1)
    with east.peers("web") as one, west.peers("web") as two:
        clock.advance(1)
        assert len(one.snapshot.endpoints) == len(two.snapshot.endpoints) == 1
    assert east.clock is west.clock is clock


def test_background_refresh_goes_on_as_the_clock_does() -> None:
    cluster = FakeCluster(ttl=5)
    cluster.add_service("web", ports={"http": 80}).scale(1)
    with cluster.peers("web", port="http"):
        cluster.clock.advance(60)
        asked = [query.at for query in cluster.queries]
    assert 8 <= len(asked) <= 13, "every five to six seconds"
    assert asked == sorted(asked)
    before = len(asked)
    cluster.clock.advance(60)
    assert len(cluster.queries) == before, "closed"


def test_in_the_background_an_outage_takes_its_time_and_is_over_with_it() -> None:
    cluster = FakeCluster(ttl=5)
    web = cluster.add_service("web", ports={"http": 80})
    web.scale(1)
    told: list[int] = []
    with cluster.peers("web", port="http") as kubia:
        cluster.clock.advance(1)
        kubia.on_change(lambda change: told.append(len(change.added)))
        cluster.fail("timeout")
        cluster.clock.advance(60)
        in_trouble = kubia.snapshot.state
        cluster.heal()
        web.scale(3)
        cluster.clock.advance(60)
        assert (in_trouble, kubia.snapshot.state) == (State.STALE, State.LIVE)
    assert told == [2]


def test_what_fails_in_the_background_fails_the_advance_that_ran_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cluster = FakeCluster()

    def broken(*_: object, **__: object) -> bytes:
        raise LookupError("on purpose")

    with cluster.peers("web") as kubia:
        with monkeypatch.context() as patch:
            patch.setattr(cluster, "answer", broken)
            with pytest.raises(LookupError, match="on purpose"):
                cluster.clock.advance(10)
        assert kubia.endpoints() == (), "and whoever asks afterwards is answered"


def test_work_that_is_over_before_its_turn_is_not_done() -> None:
    cluster = FakeCluster()
    kubia = cluster.peers("web")
    kubia.start()
    kubia.close()
    cluster.clock.advance(100)
    assert cluster.queries == ()


def test_a_task_that_does_something_between_its_sleeps_is_not_late_for_them() -> None:
    async def main() -> None:
        clock, woken = FakeClock(), list[float]()

        async def work() -> None:
            while True:
                await clock.sleep_async(1)
                woken.append(clock.now())
                for _ in range(15):
                    await asyncio.sleep(0)

        begin = clock.now()
        task = asyncio.create_task(work())
        await clock.advance_async(100)
        task.cancel()
        assert woken == [begin + second for second in range(1, 101)]

    asyncio.run(main())


def test_a_task_that_waits_is_woken_by_what_takes_real_time(clock: FakeClock) -> None:
    async def main() -> None:
        web = aio.Peers.static(["10.0.0.1:80"], clock=clock)
        changes = web.watch()
        assert len((await anext(changes)).added) == 1
        began = clock.now()
        asyncio.get_running_loop().call_later(0.01, web.update, ["10.0.0.2:80"])
        assert [str(peer) for peer in (await anext(changes)).added] == ["10.0.0.2:80"]
        assert clock.now() == began

    asyncio.run(main())


def test_a_wait_for_what_was_interrupted_ends_when_that_is_overdue(clock: FakeClock) -> None:
    end = clock.now() + 5
    assert clock.wait_for(ALONE, lambda: clock.now() >= end, overdue=end)
    assert clock.now() == end
