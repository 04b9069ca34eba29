"""An interrupt at any moment leaves a `Peers` that works, soon at the latest.

An interrupt is whatever may come out of any instruction: KeyboardInterrupt, what a signal handler
raises, cancellation, gevent.Timeout. Here it is put before each line in turn, and at random
microseconds; after each, a `refresh` must return with the truth.
"""

import functools
import gc
import os
import queue
import random
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from types import FrameType
from typing import Any

import pytest

import headless_discovery
from headless_discovery import Change, Clients, Clock, Endpoint, Peers, Policy, Resolver, peers
from headless_discovery.testing import FakeClock, FakeCluster
from tests.interrupted import EAGER, Interrupted

PACKAGE = headless_discovery.__path__[0]


def in_finalizer(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_name == "__del__":
            return True
        frame = frame.f_back
    return False


@contextmanager
def interrupted_at(
    step: int, *, opcodes: bool = False, by: Callable[[], object] | None = None
) -> Iterator[list[str]]:
    """Raises before the line (or instruction) of the package that comes as the ``step``-th.

    Or it makes the call that it is interrupted ``by``, as another thread would just then.
    """
    left = step
    where: list[str] = []

    def local(frame: FrameType, event: str, _argument: object) -> Any:
        nonlocal left
        if event == ("opcode" if opcodes else "line"):
            left -= 1
            if left == 0 and in_finalizer(frame):
                left = 1  # Python prints what is raised there, and goes on
            elif left == 0:
                where.append(f"{frame.f_code.co_filename}:{frame.f_lineno}")
                sys.settrace(None)
                if by is None:
                    raise Interrupted
                by()
        return local

    def trace(frame: FrameType, _event: str, _argument: object) -> Any:
        name = frame.f_code.co_filename
        if not name.startswith(PACKAGE) or "/testing/" in name:
            return None
        frame.f_trace_opcodes = opcodes
        return local

    before = sys.gettrace()  # that of coverage, which must not end here
    sys._getframe().f_trace_opcodes = opcodes  # Python 3.12 has to know when the tracing begins
    sys.settrace(trace)
    try:
        yield where
    finally:
        sys.settrace(before)


class World:
    """A cluster whose Service changes."""

    def __init__(self) -> None:
        self.cluster = FakeCluster(ttl=0)
        self.pods = self.cluster.add_service("web", ports={"http": 80}).scale(3)
        self.moves = 0

    def peers(self, policy: Policy = EAGER) -> Peers:
        return self.cluster.peers("web", port="http", policy=policy)

    def change(self) -> None:
        self.moves += 1
        self.pods[0].move_to(f"10.1.1.{self.moves}")

    def shows_the_truth(self, web: Peers) -> None:
        """A `refresh` in this thread, and one in another, return what the cluster says."""
        expected = [pod.addresses[0] for pod in self.pods]
        self.cluster.clock.advance(1)
        assert [one.address for one in web.refresh().endpoints] == expected
        assert {web.pick("key").address, web.pick().address} <= set(expected)
        self.change()
        expected[0] = self.pods[0].addresses[0]
        self.cluster.clock.advance(1)
        assert refreshed_in_another_thread(web, within=20) == expected


def refreshed_in_another_thread(web: Peers, within: float) -> list[str]:
    """The addresses that it finds; none, if it is not through in so many seconds."""
    found: list[str] = []
    other = threading.Thread(
        target=lambda: found.extend(one.address for one in web.refresh().endpoints), daemon=True
    )
    other.start()
    other.join(within)
    return found


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was left behind is noticed sooner, so that the tests do not wait."""
    monkeypatch.setattr("headless_discovery._time.clock._ABANDONED", 0.02)
    monkeypatch.setattr("headless_discovery.testing._clock._PATIENCE", 0.05)
    monkeypatch.setattr("headless_discovery._attempts.calls._LOOK_AGAIN", 0.02)


TRIES = int(os.environ.get("INTERRUPTS", "200"))
"""At random moments, for each way; CI takes 20,000."""
AT_ONCE = 500
"""Tries of one test: what is stuck is soon seen to be, and a process ends before it grows old."""
RUNS = [min(AT_ONCE, TRIES - begun) for begun in range(0, TRIES, AT_ONCE)]
STRIDE = 5
"""Lines between two interrupts in the tests of a whole life; the first lookup has each."""


@pytest.mark.slow
def test_a_first_lookup_may_be_interrupted_before_each_of_its_lines() -> None:
    lines = 0
    while True:
        lines += 1
        world = World()
        web = world.peers()
        with interrupted_at(lines) as where:
            try:
                web.refresh()
            except Interrupted:
                pass
            else:
                if not where:
                    break
        world.shows_the_truth(web)
    assert lines > 100


class LimitError(Exception):
    """As Celery's SoftTimeLimitExceeded: an interrupt by a signal, and an `Exception`."""


class Handlers:
    """Ways in which programs write what a signal calls."""

    def method(self, *_signal: object) -> None:
        raise LimitError

    def __call__(self, *_signal: object) -> None:
        self.method()

    @staticmethod
    def with_a_reason(error: Exception, *_signal: object) -> None:
        raise error


HANDLERS: dict[str, tuple[Callable[..., Any], type[Exception]]] = {
    "a method": (Handlers().method, LimitError),
    "an object": (Handlers(), LimitError),
    "a partial": (functools.partial(Handlers.with_a_reason, TimeoutError()), TimeoutError),
    "a function": (lambda *_: Handlers.with_a_reason(OSError()), OSError),
}


class Signalling(random.Random):
    """Chance during whose use, once it is armed, a signal arrives."""

    armed = False

    def uniform(self, a: float, b: float) -> float:
        if self.armed:
            self.armed = False
            signal.raise_signal(signal.SIGALRM)
        return super().uniform(a, b)


@pytest.mark.parametrize("known", [False, True], ids=["first", "later"])
@pytest.mark.parametrize("way", HANDLERS)
def test_what_a_signal_handler_raises_comes_out_of_a_lookup_whatever_its_class(
    way: str, known: bool
) -> None:
    handler, kind = HANDLERS[way]
    world, rng = World(), Signalling()
    web = world.cluster.peers("web", port="http", policy=EAGER, rng=rng)
    if known:
        web.endpoints()
        world.change()
        world.cluster.clock.advance(1)
    rng.armed = True
    before = signal.signal(signal.SIGALRM, handler)
    try:
        with pytest.raises(kind):
            web.refresh()
    finally:
        signal.signal(signal.SIGALRM, before)
    world.shows_the_truth(web)


@pytest.mark.parametrize("way", HANDLERS)
def test_what_a_signal_handler_raises_while_a_client_is_made_is_its_maker_s_alone(way: str) -> None:
    handler, kind = HANDLERS[way]
    made: list[Endpoint] = []
    found: list[str] = []

    def make(endpoint: Endpoint) -> str:
        made.append(endpoint)
        if len(made) == 1:
            other.start()
            other.join(0.02)  # by now it waits for this client
            signal.raise_signal(signal.SIGALRM)
        return "client"

    def use() -> None:
        with clients.use() as client:
            found.append(client)

    clients = Peers.static(["10.0.0.1:80"]).clients(make)
    other = threading.Thread(target=use, daemon=True)
    before = signal.signal(signal.SIGALRM, handler)
    try:
        with pytest.raises(kind):
            use()
    finally:
        signal.signal(signal.SIGALRM, before)
    other.join(20)
    assert (found, len(made)) == (["client"], 2)


@pytest.mark.parametrize("call", ["connect", "send", "recv"])
def test_an_alarm_is_no_error_of_the_socket_that_it_interrupts(
    call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(self: socket.socket, *arguments: Any) -> Any:
        once.undo()
        signal.raise_signal(signal.SIGALRM)
        return getattr(self, call)(*arguments)

    def alarm(*_: object) -> None:
        raise TimeoutError("the caller's time is over")

    before = signal.signal(signal.SIGALRM, alarm)
    try:
        with World().cluster.serve() as server, monkeypatch.context() as once:
            resolver = Resolver([server.nameserver])
            web = peers("web.default", resolver=resolver, self_address="127.0.0.1")
            once.setattr(socket, "socket", type("Alarmed", (socket.socket,), {call: interrupted}))
            with pytest.raises(TimeoutError, match="the caller's time is over"):
                web.refresh()
            assert len(web.refresh().endpoints) == 3
    finally:
        signal.signal(signal.SIGALRM, before)


class Poll:
    """`select.poll` of green threads, which are told something while they wait."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def register(self, _descriptor: int, _mask: int) -> None:
        pass

    unregister: Any = register

    def poll(self, _milliseconds: int) -> list[tuple[int, int]]:
        raise self.error


@pytest.mark.parametrize("error", [LimitError(), TimeoutError("theirs"), KeyError("theirs")])
def test_what_is_raised_into_a_wait_as_by_gevent_s_timeout_comes_out_of_the_lookup(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(select, "poll", lambda: Poll(error))
    web = peers("web.default", resolver=Resolver(["127.0.0.1"]))
    with pytest.raises(type(error)) as came:
        web.refresh()
    assert came.value is error


@pytest.mark.parametrize("error", [LimitError(), TimeoutError("theirs"), KeyError("theirs")])
def test_what_is_raised_into_a_wait_of_the_background_is_a_lookup_that_failed(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = select.poll

    def poll() -> Any:
        return Poll(error) if threading.current_thread().name == "headless-discovery" else real()

    monkeypatch.setattr(select, "poll", poll)
    with World().cluster.serve() as server:
        resolver, policy = Resolver([server.nameserver]), Policy(refresh_floor=1e-6)
        with peers(
            "web.default", cluster_domain="cluster.local", resolver=resolver, policy=policy
        ) as web:
            until = time.monotonic() + 20
            while not web.stats.unknown and time.monotonic() < until:
                time.sleep(0.001)
            web.wait_ready(3, timeout=20)
            assert web.stats.unknown  # so the background waits before it tries again


def test_what_is_raised_at_the_end_of_a_lookup_of_the_background_does_not_end_it() -> None:
    told, errors = threading.Event(), [LimitError()]

    class Struck(Clock):
        def spawn(self, call: Callable[[], None]) -> None:
            if errors:
                raise errors.pop()
            super().spawn(call)

    with World().cluster.serve() as server:
        resolver = Resolver([server.nameserver])
        web = peers("web.default", resolver=resolver, policy=EAGER, clock=Struck())
        with closing(web):
            web.on_change(lambda _: told.set())
            assert told.wait(20)
    assert not errors


@pytest.mark.parametrize("error", [OSError(12, "no memory"), ValueError("descriptor out of range")])
def test_what_a_wait_raises_by_itself_is_a_lookup_that_failed(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(select, "poll", lambda: Poll(error))
    web = peers("web.default", resolver=Resolver(["127.0.0.1"]))
    with pytest.raises(headless_discovery.LookupFailed):
        web.refresh()


def test_what_else_is_raised_in_a_lookup_is_no_interrupt() -> None:
    class Broken(random.Random):
        armed = True

        def uniform(self, a: float, b: float) -> float:
            if self.armed:
                self.armed = False
                signal.Signals(-1)  # there is no such signal: ValueError
            return super().uniform(a, b)

    web = World().cluster.peers("web", port="http", rng=Broken())
    with pytest.raises(headless_discovery.LookupFailed, match="unexpected error"):
        web.refresh()


@pytest.mark.slow
@pytest.mark.parametrize("call", ["endpoints", "pick", "report", "use", "wait"])
def test_a_later_call_may_be_interrupted_before_any_line(call: str) -> None:
    step = 0
    while True:
        step += STRIDE
        world = World()
        web = world.peers()
        peer = web.pick("key")
        world.change()
        world.cluster.clock.advance(1)
        with interrupted_at(step) as where:
            try:
                match call:
                    case "endpoints":
                        web.endpoints()
                    case "pick":
                        web.pick("key"), web.pick()
                    case "report":
                        for _ in range(3):
                            web.report(peer, ConnectionRefusedError())
                        web.pick("key")
                    case "use":
                        with web.use("key"):
                            pass
                    case "wait":
                        web.wait_ready(3)
            except Interrupted:
                pass
            else:
                if not where:
                    break
        world.shows_the_truth(web)
        if web.in_flight:
            gc.collect()  # the interrupt's traceback holds frames, which hold what is traced
        assert not web.in_flight
    assert step > 30


@pytest.mark.parametrize("call", ["use", "attempts", "leaves"])
def test_a_client_may_be_interrupted_before_any_instruction_and_is_made_by_the_next(
    call: str,
) -> None:
    step = 0
    while True:
        step += STRIDE
        web = Peers.static(["10.0.0.1:80"])
        clients = web.clients(str)
        with interrupted_at(step, opcodes=True) as where, suppress(Interrupted):
            use_clients(call, web, clients)
        assert made_in_another_thread(clients, within=20) == list(map(str, web))
        if web.in_flight:
            gc.collect()  # the interrupt's traceback holds frames, which hold what is traced
        assert not web.in_flight
        if not where:
            break
    assert step > 100


def use_clients(call: str, web: Peers, clients: Clients[str]) -> None:
    if call == "attempts":
        for attempt in web.attempts():
            with attempt as peer, clients.use_of(peer):
                pass
        return
    with clients.use():
        if call == "leaves":
            web.update(["10.0.0.2:80"])
    with clients.use():
        pass


def made_in_another_thread(clients: Clients[str], within: float) -> list[str]:
    found: list[str] = []

    def use() -> None:
        with clients.use() as client:
            found.append(client)

    other = threading.Thread(target=use, daemon=True)
    other.start()
    other.join(within)
    return found


def test_starting_and_closing_may_be_interrupted_before_any_line() -> None:
    step = 0
    while True:
        step += STRIDE
        world = World()
        web = world.peers(Policy())
        with interrupted_at(step) as where:
            try:
                web.start()
                web.on_change(print)
            except Interrupted:
                pass
        world.change()
        world.shows_the_truth(web)
        with interrupted_at(step) as closing, suppress(Interrupted):
            web.close()
        web.close()
        with pytest.raises(headless_discovery.Closed):
            web.pick()
        if not where and not closing:
            break


@pytest.mark.parametrize("call", ["refresh", "pick", "update"])
def test_a_signal_handler_may_close_it_before_any_line_and_it_stays_closed(call: str) -> None:
    step = 0
    while True:
        step += 1
        world = World()
        web = Peers.static(["10.0.0.1:80"]) if call == "update" else world.peers()
        web.pick()
        world.change()
        world.cluster.clock.advance(1)
        calls: dict[str, Callable[[], object]] = {
            "refresh": web.refresh,
            "pick": web.pick,
            "update": functools.partial(web.update, ["10.0.0.2:80"]),
        }
        with interrupted_at(step, by=web.close) as where, suppress(headless_discovery.Closed):
            calls[call]()
        if not where:
            break
        for after in (web.endpoints, web.pick, web.refresh):
            with pytest.raises(headless_discovery.Closed):
                after()
    assert step > 50


def test_listeners_are_called_though_any_line_of_a_change_before_was_interrupted() -> None:
    step = 0
    while True:
        step += 1
        web = Peers.static(["10.0.0.1:80"])
        told: queue.Queue[tuple[Endpoint, ...]] = queue.Queue()
        listen(web, told)
        with interrupted_at(step) as where, suppress(Interrupted):
            web.update(["10.0.0.2:80"])
        web.update(["10.0.0.3:80"])
        while told.get(timeout=20) != web.snapshot.endpoints:
            pass
        if not where:
            break
    assert step > 50


def listen(web: Peers, told: "queue.Queue[tuple[Endpoint, ...]]") -> None:
    web.on_change(lambda change: told.put(change.snapshot.endpoints))


def test_a_use_of_one_that_leaves_stays_counted_whatever_line_is_interrupted() -> None:
    step = 0
    while True:
        step += 1
        web = Peers.static(["10.0.0.1:80"])
        with web.use() as peer:
            with interrupted_at(step) as where, suppress(Interrupted):
                web.update(["10.0.0.2:80"])
            assert web.in_flight == {peer: 1}
        assert web.in_flight == {}
        if not where:
            break
    assert step > 50


def test_a_use_of_one_that_leaves_may_end_at_any_line_and_is_reported() -> None:
    step = 0
    while True:
        step += 1
        web = Peers.static(["10.0.0.1:80"])
        using, error = web.use(), ConnectionRefusedError()
        using.__enter__()
        leave = functools.partial(using.__exit__, ConnectionRefusedError, error, None)
        with interrupted_at(step, by=leave) as where:
            web.update(["10.0.0.2:80"])
        if not where:
            break
        assert (web.in_flight, web.stats.failures) == ({}, 1)
    assert step > 50


def test_one_that_could_not_begin_to_listen_is_never_called() -> None:
    class Interrupting(FakeClock):
        interrupts = True

        def background(self, work: Any) -> Any:
            if self.interrupts:
                raise Interrupted
            return super().background(work)

    clock, told = Interrupting(), list[Change]()
    cluster = FakeCluster(clock=clock)
    service = cluster.add_service("web")
    service.scale(3)
    web = cluster.peers("web")
    web.endpoints()
    with pytest.raises(Interrupted):
        web.on_change(told.append)
    clock.interrupts = False
    with web:
        service.scale(4)
        clock.advance(60)
        assert len(web.endpoints()) == 4
    assert told == []


@pytest.mark.parametrize("moment", ["before it begins", "after it began", "after it ended"])
def test_an_interrupt_while_the_thread_of_listeners_is_started_ends_no_calls(moment: str) -> None:
    may_end, ended = threading.Event(), threading.Event()

    class Interrupting(Clock):
        interrupts = True

        def spawn(self, call: Callable[[], None]) -> None:
            def later() -> None:
                may_end.wait(20)
                call()
                ended.set()

            if not self.interrupts:
                super().spawn(call)
                return
            self.interrupts = False
            if moment == "after it began":
                super().spawn(later)
            elif moment == "after it ended":
                call()
            raise Interrupted

    web = Peers.static(["10.0.0.1:80"], clock=Interrupting())
    told: queue.Queue[tuple[Endpoint, ...]] = queue.Queue()
    listen(web, told)
    with pytest.raises(Interrupted):
        web.update(["10.0.0.2:80"])
    if moment == "after it began":  # it has no turn any more, and looks again at its end
        may_end.set()
        assert ended.wait(20)
    else:
        web.update(["10.0.0.3:80"])
    while told.get(timeout=20) != web.snapshot.endpoints:
        pass


@pytest.mark.slow
@pytest.mark.parametrize("tries", RUNS)
def test_any_instruction_may_be_interrupted(tries: int) -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    hits = 0
    for _ in range(tries):
        world = World()
        web = world.peers()
        with interrupted_at(rng.randrange(1, 5000), opcodes=True):
            try:
                web.refresh()
                web.report(web.pick("key"), ConnectionRefusedError())
            except Interrupted:
                hits += 1
        world.shows_the_truth(web)
    assert hits > tries / 10  # about a quarter on Python 3.14, which reports fewer instructions


@pytest.mark.slow
@pytest.mark.parametrize("tries", RUNS)
@pytest.mark.parametrize("way", ["threads", "asyncio"])
def test_a_handler_that_raises_at_random_microseconds_never_leaves_a_lookup_taken(
    way: str, tries: int
) -> None:
    seed = random.randrange(1 << 32)
    command = [
        sys.executable,
        "-W",
        "ignore",
        "-m",
        "tests.interrupted",
        way,
        str(tries),
        str(seed),
    ]
    print(*command)
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, timeout=100 + tries / 10
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert int(done.stdout) > tries / 20
