"""clients(): one client for each endpoint, made once, closed after the endpoint left."""

import asyncio
import contextlib
import gc
import itertools
import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import FrameType
from typing import Any

import pytest

from headless_discovery import Clients, Closed, ConfigurationError, Endpoint, Peers, Policy, aio
from headless_discovery.testing import FakeClock, FakeCluster, FakeService
from tests.tasks import LIBRARIES, LibraryName, run


class Client:
    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.closed = 0

    def close(self) -> None:
        self.closed += 1


class AsyncClient(Client):
    async def aclose(self) -> None:
        await asyncio.sleep(0)
        self.closed += 1

    def close(self) -> None:
        raise AssertionError("aclose comes first")


def fixed(count: int, **selection: Any) -> Peers:
    listed = [f"10.0.0.{n}:80" for n in range(count)]
    given: dict[str, Any] = {"policy": Policy(eject_after=1), "clock": FakeClock()} | selection
    return Peers.static(listed, **given)


def afixed(count: int) -> aio.Peers:
    listed = [f"10.0.0.{n}:80" for n in range(count)]
    return aio.Peers.static(listed, policy=Policy(eject_after=1), clock=FakeClock())


class Made:
    """Makes clients, and remembers them."""

    def __init__(self, kind: type[Client] = Client) -> None:
        self.kind = kind
        self.all: list[Client] = []

    def __call__(self, endpoint: Endpoint) -> Client:
        self.all.append(self.kind(endpoint))
        return self.all[-1]

    @property
    def open(self) -> list[str]:
        return sorted(one.endpoint.hostname for one in self.all if not one.closed)


@pytest.fixture
def web(cluster: FakeCluster) -> FakeService:
    service = cluster.add_service("web", ports={"http": 8080})
    service.scale(3)
    return service


def test_each_endpoint_has_one_client_made_at_its_first_use_and_closed_at_the_end() -> None:
    web, made = fixed(3), Made()
    with web.clients(made) as clients:
        assert len(clients) == 0
        for _ in range(9):
            with clients.use() as client:
                assert web.in_flight == {client.endpoint: 1}
                assert not client.closed
        with clients.use("user:42") as client:
            assert client.endpoint == web.pick("user:42")
        for peer in web:
            with clients.use_of(peer) as client:
                assert client.endpoint is peer
        assert len(clients) == len(made.all) == 3
    assert [client.closed for client in made.all] == [1, 1, 1]
    assert len(clients) == 0
    assert web.in_flight == {}


def test_after_the_end_there_is_none() -> None:
    web = fixed(1)
    with web.clients(Made()) as clients:
        pass
    with pytest.raises(Closed, match="clients of"), clients.use():
        raise AssertionError("there is none")
    assert web.ejected == {}


def test_how_a_use_went_is_reported() -> None:
    web = fixed(3)
    with web.clients(Made()) as clients:
        with pytest.raises(TimeoutError), clients.use() as client:
            raise TimeoutError
        assert list(web.ejected) == [client.endpoint]


def pods_leave(cluster: FakeCluster, service: FakeService, web: Peers) -> None:
    service.scale(1)
    for _ in range(2):
        cluster.clock.advance(60)
        web.refresh()
    assert len(web.endpoints()) == 1


def test_a_client_is_closed_by_the_next_use_after_its_endpoint_left(
    cluster: FakeCluster, web: FakeService
) -> None:
    peers, made = cluster.peers("web", port="http"), Made()
    with peers.clients(made) as clients:
        for peer in peers:
            with clients.use_of(peer):
                pass
        pods_leave(cluster, web, peers)
        assert made.open == ["web-0", "web-1", "web-2"], "never by the background"
        with clients.use():
            assert made.open == ["web-0"]
        assert len(clients) == 1
    assert [client.closed for client in made.all] == [1, 1, 1]


def test_one_that_is_in_use_is_closed_only_once_nobody_uses_it(
    cluster: FakeCluster, web: FakeService
) -> None:
    peers, made = cluster.peers("web", port="http"), Made()
    last = list(peers)[-1]
    with peers.clients(made) as clients:
        with clients.use_of(last) as client:
            pods_leave(cluster, web, peers)
            with clients.use():
                assert not client.closed
            assert not client.closed
        assert not client.closed
        with clients.use():
            assert made.all[0].closed == 1
        with clients.use_of(last) as another:
            assert another is not client
        with clients.use():
            assert another.closed == 1


def test_a_pod_that_moved_has_a_new_client_and_a_departing_one_keeps_its_own(
    cluster: FakeCluster, web: FakeService
) -> None:
    peers, made = cluster.peers("web", port="http"), Made()
    with peers.clients(made) as clients:
        for peer in peers:
            with clients.use_of(peer):
                pass
        web.pods[0].move_to("10.9.9.9")
        web.scale(2)
        cluster.clock.advance(60)
        peers.refresh()
        assert [peer.hostname for peer in peers.snapshot.departing] == ["web-2"]
        moved = peers.get("web-0")
        assert moved is not None
        with clients.use_of(moved) as client:
            assert client.endpoint.address == "10.9.9.9"
        assert [one.endpoint.hostname for one in made.all if one.closed] == ["web-0"]


def test_sixty_four_threads_share_one_client_that_is_made_once() -> None:
    web, begun = fixed(1), threading.Barrier(65)
    made: list[Client] = []

    def make(endpoint: Endpoint) -> Client:
        time.sleep(0.02)
        made.append(Client(endpoint))
        return made[-1]

    found: list[Client] = []

    def work() -> None:
        begun.wait()
        with clients.use() as client:
            found.append(client)

    with web.clients(make) as clients:
        threads = [threading.Thread(target=work) for _ in range(64)]
        for thread in threads:
            thread.start()
        begun.wait()
        for thread in threads:
            thread.join()
    assert found == made * 64
    assert made[0].closed == 1


def waiting(count: int, work: Callable[[], None]) -> list[threading.Thread]:
    threads = [threading.Thread(target=work) for _ in range(count)]
    for thread in threads:
        thread.start()
    return threads


def test_what_making_raises_is_raised_in_all_who_wait_and_reported_and_tried_again() -> None:
    web = fixed(1, policy=Policy(eject_after=3))
    inside, go_on, made = threading.Event(), threading.Event(), Made()
    errors: list[Exception] = []

    def make(endpoint: Endpoint) -> Client:
        if not errors and not go_on.is_set():
            inside.set()
            go_on.wait()
            raise ConnectionRefusedError("no client")
        return made(endpoint)

    def work() -> None:
        try:
            with clients.use():
                pass
        except ConnectionRefusedError as error:
            errors.append(error)

    reports: list[object] = []
    with web.clients(make) as clients:
        web.report = lambda endpoint, error=None: reports.append(error)  # type: ignore[method-assign]
        first = waiting(1, work)
        inside.wait()
        others = waiting(3, work)
        while sum(web.in_flight.values()) < 4:
            time.sleep(0.001)
        time.sleep(0.02)  # until they wait
        go_on.set()
        for thread in first + others:
            thread.join()
        assert len(errors) == 4
        assert reports == errors
        assert len(clients) == 0
        with clients.use():
            assert len(clients) == 1
    assert web.in_flight == {}


@pytest.mark.parametrize("interrupted", [False, True])
def test_those_who_wait_look_whether_it_is_still_being_made(
    monkeypatch: pytest.MonkeyPatch, interrupted: bool
) -> None:
    monkeypatch.setattr("headless_discovery._attempts.calls._LOOK_AGAIN", 0.01)
    web, inside, tell = fixed(1), threading.Event(), threading.Event.set
    found: list[str] = []

    def make(endpoint: Endpoint) -> str:
        tell(inside)
        time.sleep(0.05)  # so that they look more than once
        return str(endpoint)

    def work() -> None:
        inside.wait()
        with clients.use() as client:
            found.append(client)

    def interrupt(event: threading.Event) -> None:
        if threading.current_thread() is threading.main_thread():
            raise KeyboardInterrupt
        tell(event)

    with web.clients(make) as clients:
        threads = waiting(3, work)
        if interrupted:  # just before it would tell them
            monkeypatch.setattr(threading.Event, "set", interrupt)
        with contextlib.suppress(KeyboardInterrupt), clients.use() as client:
            found.append(client)
        monkeypatch.setattr(threading.Event, "set", tell)
        for thread in threads:
            thread.join(10)
    assert found == ["10.0.0.0:80"] * (3 if interrupted else 4)
    assert web.in_flight == {}


def ends(work: Callable[[], object]) -> Exception | None:
    """What it raised, in a thread of its own, since it might wait without end."""
    raised: list[Exception] = []

    def do() -> None:
        try:
            work()
        except Exception as error:
            raised.append(error)

    thread = threading.Thread(target=do, daemon=True)
    thread.start()
    thread.join(10)
    assert not thread.is_alive()
    return raised[0] if raised else None


def test_making_one_may_use_another_but_not_itself() -> None:
    web = fixed(2)
    first, second = web.endpoints()

    def make(endpoint: Endpoint) -> str:
        if endpoint is first:
            with clients.use_of(second) as other:
                return f"before {other}"
        with clients.use_of(uses) as other:
            return other

    with web.clients(make) as clients:
        uses = second
        error = ends(clients.use_of(second).__enter__)
        assert isinstance(error, ConfigurationError)
        assert "waits for the one that it makes" in str(error)
        uses = first  # which uses the second
        for endpoint in (first, second):
            assert isinstance(ends(clients.use_of(endpoint).__enter__), ConfigurationError)
        assert len(clients) == 0
        assert web.in_flight == {}
    with web.clients(lambda one: make(first) if one is first else str(one)) as clients:
        with clients.use_of(first) as client:
            assert client == "before 10.0.0.1:80"
        assert len(clients) == 2


def test_those_that_two_threads_make_may_not_wait_for_each_other() -> None:
    web, both = fixed(2), threading.Barrier(2)
    errors: list[Exception | None] = []

    def make(endpoint: Endpoint) -> str:
        if not errors:
            both.wait(10)
        other = next(one for one in web.endpoints() if one is not endpoint)
        with clients.use_of(other) as client:
            return client

    with web.clients(make) as clients:
        threads = [
            threading.Thread(
                target=lambda one=one: errors.append(ends(clients.use_of(one).__enter__))
            )
            for one in web.endpoints()
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert [type(error) for error in errors] == [ConfigurationError, ConfigurationError]


def test_an_interrupt_of_the_one_who_makes_it_is_its_own_and_the_next_makes_it() -> None:
    web = fixed(1)
    inside, go_on, made = threading.Event(), threading.Event(), Made()
    raised: list[BaseException] = []

    def make(endpoint: Endpoint) -> Client:
        if not inside.is_set():
            inside.set()
            go_on.wait()
            raise KeyboardInterrupt
        return made(endpoint)

    found: list[Client] = []

    def work() -> None:
        try:
            with clients.use() as client:
                found.append(client)
        except KeyboardInterrupt as error:
            raised.append(error)

    with web.clients(make) as clients:
        first = waiting(1, work)
        inside.wait()
        others = waiting(3, work)
        while sum(web.in_flight.values()) < 4:
            time.sleep(0.001)
        go_on.set()
        for thread in first + others:
            thread.join()
        assert len(raised) == 1
        assert found == made.all * 3
        assert len(made.all) == 1
    assert web.ejected == {}


def test_what_closing_raises_is_logged_and_the_others_are_closed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    web, closed = fixed(3), []

    def close(endpoint: Endpoint) -> None:
        closed.append(endpoint)
        if len(closed) == 1:
            raise ValueError("it is broken")
        if len(closed) == 2:
            raise KeyboardInterrupt

    clients = web.clients(lambda peer: peer, close=close)
    for peer in web:
        with clients.use_of(peer):
            pass
    with pytest.raises(KeyboardInterrupt), clients:
        pass
    assert set(closed) == set(web.endpoints())
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert record.getMessage() == f"closing the client of {closed[0]} failed"


def test_a_client_whose_close_cannot_even_be_had_is_told_of_as_well(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Odd(Client):
        @property
        def close(self) -> Any:
            raise ValueError("it is broken")

        aclose = close

    web, made = fixed(3), Made(Odd)
    with web.clients(made) as clients:
        for peer in web:
            with clients.use_of(peer):
                pass

    async def main() -> None:
        async with afixed(1).clients(made) as clients, clients.use():
            pass

    asyncio.run(main())
    assert len(caplog.records) == len(made.all) == 4


def three_of_which_two_left() -> tuple[Made, Clients[Client]]:
    """Clients of three endpoints, of which two are gone."""
    web, made = fixed(3), Made()
    clients = web.clients(made)
    for peer in web:
        with clients.use_of(peer):
            pass
    web.update(["10.0.0.0:80"])
    return made, clients


def test_a_use_at_any_instruction_of_the_end_leaves_each_client_closed_once() -> None:
    left = 0

    def at_each(frame: FrameType, event: str, _argument: object) -> Any:
        nonlocal left
        frame.f_trace_opcodes = True
        if event == "opcode":
            left -= 1
            if left == 0:
                with contextlib.suppress(Closed), clients.use():  # as another thread: not traced
                    pass
        return at_each

    for used_at in itertools.count(1):
        left = used_at
        made, clients = three_of_which_two_left()
        before = sys.gettrace()
        sys._getframe().f_trace_opcodes = True  # without it Python 3.12 has none
        sys.settrace(at_each)
        try:
            clients.__exit__()
        finally:
            sys.settrace(before)
        assert [client.closed for client in made.all] == [1, 1, 1], used_at
        if left > 0:
            break
    assert used_at > 50


def test_a_use_that_is_interrupted_before_it_closes_any_leaves_that_to_the_next() -> None:
    left = 0

    def interrupt(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal left
        if event == "c_call" and len(clients) == 3:
            left -= 1
            if left == 0:
                raise KeyboardInterrupt

    for interrupted_at in itertools.count(1):
        left = interrupted_at
        made, clients = three_of_which_two_left()
        before = sys.getprofile()
        sys.setprofile(interrupt)
        try:
            with clients.use():
                pass
        except KeyboardInterrupt:
            pass
        finally:
            sys.setprofile(before)
        with clients.use():
            assert made.open == ["10.0.0.0"], interrupted_at
        if left > 0:
            break
    assert interrupted_at > 3


def test_a_client_without_close_is_let_go() -> None:
    with fixed(1).clients(str) as clients, clients.use() as client:
        assert client == "10.0.0.0:80"


def test_one_that_is_still_being_made_at_the_end_is_closed_then_and_once() -> None:
    web, inside, go_on, made = fixed(1), threading.Event(), threading.Event(), Made()
    raised: list[Closed] = []

    def make(endpoint: Endpoint) -> Client:
        inside.set()
        go_on.wait()
        return made(endpoint)

    def work() -> None:
        try:
            with clients.use():
                pass
        except Closed as error:
            raised.append(error)

    with web.clients(make) as clients:
        threads = waiting(3, work)
        inside.wait()
    go_on.set()
    for thread in threads:
        thread.join()
    assert len(raised) == 3
    assert [client.closed for client in made.all] == [1]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_after_a_fork_they_are_forgotten_and_not_closed() -> None:
    web, made = fixed(1), Made()
    with web.clients(made) as clients:
        with clients.use() as client:
            child = os.fork()
            if child == 0:
                wrong = len(clients) != 0
                with clients.use() as another:
                    wrong |= another is client
                clients.__exit__(None, None, None)
                os._exit(wrong or client.closed or not another.closed)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert not client.closed


@pytest.mark.slow
def test_a_borrowed_client_is_neither_counted_nor_reported_but_in_use_until_it_is_back(
    cluster: FakeCluster, web: FakeService
) -> None:
    peers, made = cluster.peers("web", port="http"), Made()
    last = list(peers)[-1]
    with peers.clients(made) as clients:
        lease = clients._borrow(last)
        assert lease.client is made.all[0]
        assert peers.in_flight == {}
        pods_leave(cluster, web, peers)
        with clients.use():
            assert made.open == ["web-0", "web-2"]
        lease.back()
        with clients.use():
            assert made.open == ["web-0"]
        lease = clients._borrow(last)
        del lease
        gc.collect()
        with clients.use():
            assert made.all[-1].closed == 1, "forgotten is as good as back"


# With await.


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("how", ["plain", "async"])
def test_async_it_is_the_same(library: LibraryName, how: str) -> None:
    made = Made(AsyncClient if how == "async" and library == "asyncio" else Client)

    async def make(endpoint: Endpoint) -> Client:
        return made(endpoint)

    async def main() -> None:
        web = afixed(3)
        kept = web.clients(make) if how == "async" else web.clients(made)
        async with kept as clients:
            for _ in range(9):
                async with clients.use() as client:
                    assert web.in_flight == {client.endpoint: 1}
            with pytest.raises(TimeoutError):
                async with clients.use_of(web.snapshot.endpoints[0]) as client:
                    raise TimeoutError
            assert list(web.ejected) == [client.endpoint]
            assert len(clients) == len(made.all) == 3
        assert [client.closed for client in made.all] == [1, 1, 1]
        with pytest.raises(Closed):
            async with clients.use():
                raise AssertionError("there is none")

    run(library, main)


def test_async_tasks_share_the_one_that_is_being_made_and_a_cancelled_maker_is_followed() -> None:
    made = Made()

    async def main() -> None:
        web, inside = afixed(1), asyncio.Event()

        async def make(endpoint: Endpoint) -> Client:
            inside.set()
            await asyncio.sleep(0 if made.all or tasks[0].done() else 60)
            return made(endpoint)

        async def work() -> Client:
            async with clients.use() as client:
                return client

        async with web.clients(make) as clients:
            tasks = [asyncio.create_task(work())]
            await inside.wait()
            tasks += [asyncio.create_task(work()) for _ in range(5)]
            await asyncio.sleep(0.01)
            tasks[0].cancel()
            found = await asyncio.gather(*tasks[1:])
            assert found == made.all * 5
            assert len(made.all) == 1
            with pytest.raises(asyncio.CancelledError):
                await tasks[0]
        assert web.ejected == {}
        assert web.in_flight == {}

    asyncio.run(main())


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("users", [1, 2, 5])
@pytest.mark.parametrize("forgotten", [True, False])
def test_async_one_that_was_being_made_in_a_loop_that_is_gone_is_made_in_the_next(
    users: int, forgotten: bool
) -> None:
    made, web, left = Made(), afixed(1), list[asyncio.Task[Client]]()

    async def make(endpoint: Endpoint) -> Client:
        if left:
            await asyncio.Event().wait()  # never set
        return made(endpoint)

    clients = web.clients(make)

    async def work() -> Client:
        async with clients.use() as client:
            return client

    async def begin() -> None:
        left.extend(asyncio.create_task(work()) for _ in range(users))
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    loop = asyncio.new_event_loop()
    loop.run_until_complete(begin())
    loop.close()
    lost = list(left)
    left.clear()
    if forgotten:
        lost.clear()
    found = asyncio.run(asyncio.wait_for(work(), 20))
    assert made.all == [found]
    lost.clear()
    gc.collect()
    assert web.in_flight == {}


@pytest.mark.parametrize("library", LIBRARIES)
def test_async_making_one_may_not_use_itself(library: LibraryName) -> None:
    async def main() -> None:
        web = afixed(2)

        async def make(endpoint: Endpoint) -> str:
            async with clients.use_of(endpoint) as client:
                return client

        async with web.clients(make) as clients:
            with pytest.raises(ConfigurationError, match="waits for the one that it makes"):
                async with clients.use():
                    raise AssertionError("there is none")
            assert (len(clients), web.in_flight) == (0, {})

    run(library, main)


def test_async_what_making_raises_is_raised_in_all_who_wait(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        web, go_on = afixed(1), asyncio.Event()

        async def make(endpoint: Endpoint) -> Client:
            if not go_on.is_set():
                await go_on.wait()
                raise ConnectionRefusedError
            return Client(endpoint)

        async def close(client: Client) -> None:
            raise ValueError("it is broken")

        async def work() -> Client:
            async with clients.use() as client:
                return client

        async with web.clients(make, close=close) as clients:
            tasks = [asyncio.create_task(work()) for _ in range(3)]
            await asyncio.sleep(0.01)
            go_on.set()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            assert [type(one) for one in results] == [ConnectionRefusedError] * 3
            await work()
        assert [record.levelno for record in caplog.records] == [logging.ERROR]

    asyncio.run(main())


def test_async_a_cancelled_end_closes_the_others_all_the_same() -> None:
    closed: list[Endpoint] = []

    async def main() -> None:
        web = afixed(3)

        async def close(peer: Endpoint) -> None:
            closed.append(peer)
            if len(closed) == 1:
                await asyncio.sleep(60)

        async def work() -> None:
            async with web.clients(lambda peer: peer, close=close) as clients:
                for peer in web.snapshot.endpoints:
                    async with clients.use_of(peer):
                        pass

        task = asyncio.create_task(work())
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert len(closed) == 3

    asyncio.run(main())


def test_async_a_client_that_left_is_closed_by_the_next_use(
    cluster: FakeCluster, web: FakeService
) -> None:
    made = Made(AsyncClient)

    async def main() -> None:
        peers = cluster.aio.peers("web", port="http")
        async with peers.clients(made) as clients:
            for peer in await peers.endpoints():
                async with clients.use_of(peer):
                    pass
            web.scale(1)
            for _ in range(2):
                await cluster.clock.advance_async(60)
                await peers.refresh()
            assert made.open == ["web-0", "web-1", "web-2"]
            async with clients.use():
                assert made.open == ["web-0"]

    asyncio.run(main())


def test_async_one_that_is_still_being_made_at_the_end_is_closed_then_and_once() -> None:
    made = Made()

    async def main() -> None:
        web, inside, go_on = afixed(1), asyncio.Event(), asyncio.Event()

        async def make(endpoint: Endpoint) -> Client:
            inside.set()
            await go_on.wait()
            return made(endpoint)

        async def work() -> None:
            async with clients.use():
                pass

        async with web.clients(make) as clients:
            tasks = [asyncio.create_task(work()) for _ in range(3)]
            await inside.wait()
        go_on.set()
        for task in tasks:
            with pytest.raises(Closed):
                await task
        assert [client.closed for client in made.all] == [1]

    asyncio.run(main())


def test_a_client_used_in_an_attempt_counts_and_reports_that_call_once() -> None:
    web = Peers.static(["10.0.0.1:80", "10.0.0.2:80"], clock=FakeClock())
    with web.clients(str) as clients:
        for attempt in web.attempts():
            with attempt as peer, clients.use_of(peer) as client:
                assert client == str(peer)
                assert web.in_flight == {peer: 1}
        assert (web.stats.attempts, web.in_flight) == (1, {})
        with pytest.raises(ConnectionRefusedError):
            web.call(lambda peer: refused(clients.use_of(peer)))
        assert web.stats.failures == web.stats.attempts - 1 == 3
        with clients.use_of(peer):  # outside of an attempt it counts
            assert web.in_flight == {peer: 1}


def refused(use: AbstractContextManager[str]) -> None:
    with use:
        raise ConnectionRefusedError("refused")


def test_an_attempt_within_another_one_is_counted_once_each() -> None:
    web, other = fixed(2), fixed(2)
    with web.clients(str) as clients:
        for outer in web.attempts():
            with outer as peer:
                for inner in other.attempts():
                    with inner, clients.use_of(peer):
                        assert web.in_flight == {peer: 1}
                for inner in web.attempts():
                    with inner:
                        pass
                with clients.use_of(peer):  # the inner ones are over
                    assert web.in_flight == {peer: 1}
    assert (web.stats.attempts, other.stats.attempts) == (2, 1)


def test_so_does_one_for_tasks() -> None:
    async def main() -> None:
        web = aio.Peers.static(["10.0.0.1:80", "10.0.0.2:80"], clock=FakeClock())
        async with web.clients(str) as clients:
            async for attempt in web.attempts():
                with attempt as peer:
                    async with clients.use_of(peer) as client:
                        assert client == str(peer)
                        assert web.in_flight == {peer: 1}
            assert (web.stats.attempts, web.in_flight) == (1, {})

    asyncio.run(main())
