"""Lookups that a signal interrupts at random microseconds: a program of its own.

``python -m tests.interrupted threads|asyncio TRIES SEED`` prints how many were interrupted; it
fails unless each of these `Peers` was right again within the lifetime of a lookup. A try that is
stuck ends it, and shows the stack of each thread. pytest would be interrupted in its own hooks, and
what its workers hold would stay held.
"""

import asyncio
import contextlib
import faulthandler
import logging
import random
import signal
import sys
import threading
from collections.abc import Callable, Iterator

from headless_discovery import Peers, Policy, Resolver, aio, peers
from headless_discovery.testing import FakeCluster

SOON = 40
"""Seconds: the lifetime of a lookup and one more, 6, and what a loaded machine adds."""
STUCK = 2 * SOON
"""Seconds after which one try is given up."""
EAGER = Policy(refresh_floor=1e-6, min_refresh=1e-6, max_refresh=1e-6)


class Interrupted(KeyboardInterrupt):
    """A kind that asyncio does not keep to itself."""


def interrupt(*_: object) -> None:
    raise Interrupted


@contextlib.contextmanager
def interrupted_after(seconds: float) -> Iterator[None]:
    """Raises in the main thread so much later, unless the block is over by then."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGALRM})
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def in_threads(resolver: Resolver, rng: random.Random) -> bool:
    """Interrupts a lookup, then looks from another thread; tells whether it came to that."""
    web = peers("web.default", port="http", resolver=resolver, policy=EAGER)
    try:
        with interrupted_after(rng.uniform(1e-6, 1e-3)):
            web.refresh()
    except Interrupted:
        assert found_by_another_thread(web) == 3
        return True
    return False


def found_by_another_thread(web: Peers) -> int:
    found: list[int] = []
    other = threading.Thread(target=lambda: found.append(len(web.refresh().endpoints)), daemon=True)
    other.start()
    other.join(SOON)
    return sum(found)


def in_event_loops(resolver: Resolver, rng: random.Random) -> bool:
    """Interrupts a lookup and its loop, then looks in a new loop; tells whether it came to that."""
    web = aio.peers("web.default", port="http", resolver=resolver, policy=EAGER)

    async def found() -> int:
        return len((await asyncio.wait_for(web.refresh(), SOON)).endpoints)

    loop = asyncio.new_event_loop()
    interrupted = False
    try:
        with interrupted_after(rng.uniform(1e-6, 2e-3)):
            loop.run_until_complete(found())
    except Interrupted:
        interrupted = True
    asyncio._set_running_loop(None)  # asyncio itself may have been interrupted before it did so
    if interrupted:
        assert asyncio.run(found()) == 3
    with contextlib.suppress(RuntimeError):  # for the same reason it may say that it still runs
        loop.close()
    return interrupted


WAYS: dict[str, Callable[[Resolver, random.Random], bool]] = {
    "threads": in_threads,
    "asyncio": in_event_loops,
}


def main(way: str, tries: str, seed: str) -> None:
    # Up to Python 3.12 an interrupt may leave the lock of a log handler taken, and the next thread
    # that logs, the server's perhaps, then waits for ever.
    for name in ("asyncio", "headless_discovery"):
        logging.getLogger(name).disabled = True
    signal.signal(signal.SIGALRM, interrupt)
    rng = random.Random(int(seed))
    cluster = FakeCluster(ttl=0)
    cluster.add_service("web", ports={"http": 80}).scale(3)
    faulthandler.dump_traceback_later(STUCK, exit=True)
    # Threads inherit this, that of faulthandler too. Else the system may give the signal to one of
    # them, and the main thread notices it when the lookup, and the timer, are long over.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})
    with cluster.serve() as server:
        resolver = Resolver([server.nameserver])
        # Imports what a first lookup imports: a thread that is interrupted while it does so may
        # leave Python's own lock of that module taken, for all threads and for ever.
        peers("web.default", port="http", resolver=resolver).refresh()
        asyncio.run(aio.peers("web.default", port="http", resolver=resolver).refresh())
        interrupted = 0
        for _ in range(int(tries)):
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})
            faulthandler.dump_traceback_later(STUCK, exit=True)  # in the place of the one before
            interrupted += WAYS[way](resolver, rng)
        faulthandler.dump_traceback_later(STUCK, exit=True)  # the end may be stuck too
    print(interrupted)


if __name__ == "__main__":
    main(*sys.argv[1:])
