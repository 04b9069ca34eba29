"""Ejection: who is set aside, for how long, and never too many; alone and in a Peers."""

import random
import threading
from collections.abc import Sequence

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headless_discovery import ConfigurationError, Endpoint, Peers, Policy
from headless_discovery._ejection import Ejection
from headless_discovery.testing import FakeClock, FakeCluster, FakeService
from tests.test_selection import pods

FAILED = ConnectionRefusedError("refused")


@pytest.fixture
def web(cluster: FakeCluster) -> FakeService:
    service = cluster.add_service("web", ports={"http": 8080})
    service.scale(4)
    return service


def fail(store: Peers, endpoint: Endpoint, times: int = 3) -> None:
    for _ in range(times):
        store.report(endpoint, FAILED)


def aside(ejection: Ejection, endpoints: Sequence[Endpoint], now: float) -> list[float]:
    return [until - now for until in ejection.aside(endpoints, now).values()]


# The rules, alone.


def test_the_third_failure_in_a_row_sets_aside_for_a_second() -> None:
    ejection, endpoints = Ejection(Policy()), pods(4)
    for failures in range(2):
        ejection.failed(endpoints[0], failures)
        assert not ejection.aside(endpoints, failures)
    ejection.failed(endpoints[0], 2)
    assert ejection.aside(endpoints, 2) == {endpoints[0]: 3}
    assert not ejection.aside(endpoints, 3)


def test_each_further_failure_doubles_the_time_to_thirty_seconds() -> None:
    ejection, endpoints, now, lengths = Ejection(Policy()), pods(2), 0.0, []
    for failures in range(80):
        ejection.failed(endpoints[0], now)
        if failures >= 2:
            lengths += aside(ejection, endpoints, now)
            now += lengths[-1]
    assert lengths[:7] == [1, 2, 4, 8, 16, 30, 30]
    assert set(lengths[5:]) == {30}


def test_calls_that_were_under_way_when_it_was_set_aside_do_not_count() -> None:
    ejection, endpoints = Ejection(Policy()), pods(2)
    for _ in range(64):
        ejection.failed(endpoints[0], 10)
    assert aside(ejection, endpoints, 10) == [1]


def test_one_success_clears_everything() -> None:
    ejection, endpoints = Ejection(Policy(eject_after=1)), pods(2)
    ejection.failed(endpoints[0], 0)
    ejection.succeeded(endpoints[0])
    assert not ejection.aside(endpoints, 0)
    ejection.failed(endpoints[0], 0)
    assert aside(ejection, endpoints, 0) == [1]


def test_when_the_set_shrinks_those_due_first_come_back() -> None:
    ejection, endpoints = Ejection(Policy(eject_after=1)), pods(6)
    for now, endpoint in enumerate(endpoints[:3]):
        ejection.failed(endpoint, now / 10)
    assert list(ejection.aside(endpoints, 0.5)) == list(endpoints[:3])
    assert list(ejection.aside(endpoints[:4], 0.5)) == list(endpoints[1:3])
    assert list(ejection.aside(endpoints[:3], 0.5)) == [endpoints[2]]
    assert not ejection.aside(endpoints[:1], 0.5)


def test_who_leaves_or_moves_is_forgotten() -> None:
    ejection, endpoints = Ejection(Policy(eject_after=1)), pods(6)
    for endpoint in endpoints[:3]:
        ejection.failed(endpoint, 0)
    gone, moved, stays = endpoints[:3]
    elsewhere = attrs.evolve(moved, addresses=("10.9.9.9",))
    ejection.see([elsewhere, stays, *endpoints[3:]])
    assert list(ejection.aside([gone, elsewhere, *endpoints[2:]], 0)) == [stays]


@given(
    st.integers(0, 9),
    st.lists(
        st.tuples(st.integers(0, 8), st.booleans(), st.floats(0, 5)), min_size=20, max_size=60
    ),
)
def test_at_most_half_are_aside_whatever_happens(
    count: int, events: list[tuple[int, bool, float]]
) -> None:
    ejection, endpoints, now = Ejection(Policy(eject_after=1)), pods(9), 0.0
    for who, well, pause in events:
        if well:
            ejection.succeeded(endpoints[who])
        else:
            ejection.failed(endpoints[who], now)
        shown = endpoints[:count]
        found = ejection.aside(shown, now)
        assert len(found) <= count // 2
        assert set(found) <= set(shown)
        assert all(now < until <= now + 30 for until in found.values())
        assert sorted(found.values()) == list(found.values())
        now += pause


# In a Peers.


@pytest.mark.parametrize("strategy", ["round-robin", "random", "sticky"])
def test_pick_avoids_who_is_set_aside_until_the_time_is_over(
    cluster: FakeCluster, web: FakeService, strategy: str
) -> None:
    store = cluster.peers("web", port="http", strategy=strategy, rng=random.Random(1))
    bad = store.pick(key="user:42")
    assert store.ejected == {}
    fail(store, bad)
    assert store.ejected == {bad: cluster.clock.now() + 1}
    assert store.stats.ejected == 1
    assert bad not in {store.pick() for _ in range(60)}
    owners = store.ranked("user:42", 4)
    assert owners[0] == bad
    assert store.pick(key="user:42") == owners[1]
    assert bad in store.endpoints()
    cluster.clock.advance(1)
    assert store.ejected == {}
    assert store.pick(key="user:42") == bad


def test_in_the_background_too_it_comes_back_when_the_time_is_over(
    cluster: FakeCluster, web: FakeService
) -> None:
    with cluster.peers("web", port="http") as store:
        bad = store.pick(key="user:42")
        fail(store, bad)
        assert bad not in {store.pick() for _ in range(60)}
        cluster.clock.advance(1)
        assert bad in {store.pick() for _ in range(60)}
        assert store.pick(key="user:42") == bad


def test_a_strategy_of_ones_own_is_not_shown_who_is_set_aside(
    cluster: FakeCluster, web: FakeService
) -> None:
    class First:
        def select(self, endpoints: Sequence[Endpoint], key: object) -> Endpoint:
            return endpoints[0]

    store = cluster.peers("web", port="http", strategy=First())
    first, second, *_ = store
    fail(store, first)
    assert store.pick() == store.pick(key="user:42") == second


def test_nobody_is_set_aside_who_is_the_only_one(cluster: FakeCluster, web: FakeService) -> None:
    web.scale(1)
    store = cluster.peers("web", port="http")
    fail(store, store.pick(), times=50)
    assert store.ejected == {}
    assert store.pick().hostname == "web-0"


def test_departing_and_failed_ones_are_picked_only_if_nobody_else_is_left(
    cluster: FakeCluster, web: FakeService
) -> None:
    store = cluster.peers("web", port="http")
    store.endpoints()
    web.scale(2)
    cluster.clock.advance(6)
    assert [endpoint.hostname for endpoint in store.refresh().departing] == ["web-2", "web-3"]
    web_0, web_1 = store.get("web-0"), store.get("web-1")
    assert web_0 is not None
    assert web_1 is not None
    fail(store, web_0)
    assert {store.pick() for _ in range(10)} == {web_1}
    fail(store, web_1)
    assert len(store.ejected) == 1
    assert {store.pick() for _ in range(10)} == {web_0}  # set aside first, so it is due first


def test_a_failure_makes_the_answer_due_and_waits_for_nothing(
    cluster: FakeCluster, web: FakeService
) -> None:
    store = cluster.peers("web", port="http")
    endpoint = store.pick()
    cluster.clock.advance(1.5)
    store.report(endpoint)
    store.pick()
    assert store.stats.lookups == 1
    store.report(endpoint, FAILED)
    assert store.stats.lookups == 1
    store.pick()
    assert store.stats.lookups == 2


def test_after_a_failure_the_background_asks_sooner(cluster: FakeCluster, web: FakeService) -> None:
    with cluster.peers("web", port="http") as store:
        store.refresh()
        cluster.clock.advance(1.1)
        assert store.stats.lookups == 1
        store.report(store.pick(), FAILED)
        cluster.clock.advance(0)
        assert store.stats.lookups == 2


def test_who_is_not_there_or_elsewhere_by_now_is_ignored(
    cluster: FakeCluster, web: FakeService
) -> None:
    store = cluster.peers("web", port="http", policy=Policy(eject_after=1, jitter=0))
    before = store.pick()
    pod = next(pod for pod in web.pods if pod.hostname == before.hostname)
    pod.move_to("10.9.9.9")
    cluster.clock.advance(6)
    now = next(endpoint for endpoint in store if endpoint.hostname == before.hostname)
    assert now.address == "10.9.9.9"
    for unknown in (before, *pods(1), Endpoint("zzz", ("10.0.0.1",))):
        store.report(unknown, FAILED)
        assert store.ejected == {}
    store.report(now, FAILED)
    store.report(before)
    assert list(store.ejected) == [now]
    store.report(now)
    assert store.ejected == {}


def test_a_new_address_is_a_new_chance(cluster: FakeCluster, web: FakeService) -> None:
    policy = Policy(eject_after=1, eject_for=30, jitter=0)
    store = cluster.peers("web", port="http", policy=policy)
    endpoint = store.pick()
    store.report(endpoint, FAILED)
    assert endpoint in store.ejected
    next(pod for pod in web.pods if pod.hostname == endpoint.hostname).move_to("10.9.9.9")
    cluster.clock.advance(6)
    store.endpoints()
    assert store.ejected == {}


def test_sixty_four_threads_share_what_is_set_aside() -> None:
    clock = FakeClock()
    store = Peers.static(
        [f"10.0.0.{n}:80" for n in range(10)], clock=clock, policy=Policy(eject_after=1)
    )
    bad = set(store.endpoints()[:3])
    wrong: list[str] = []
    start = threading.Barrier(64)

    def work(seed: int) -> None:
        rng = random.Random(seed)
        start.wait()
        for _ in range(100):
            endpoint = store.pick(key=rng.choice([None, rng.randrange(1000)]))
            store.report(endpoint, FAILED if endpoint in bad else None)
            if len(store.ejected) > 5 or not set(store.ejected) <= bad:
                wrong.append(f"seed {seed}: {store.ejected}")

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(64)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    for endpoint in bad:
        store.report(endpoint, FAILED)
    assert set(store.ejected) == bad
    assert not bad & {store.pick() for _ in range(100)}
    clock.advance(30)
    assert {store.pick() for _ in range(10)} == set(store.endpoints())


# Samples.


def test_a_sample_is_of_different_endpoints_each_as_likely_as_the_other() -> None:
    store = Peers.static([f"10.0.0.{n}" for n in range(10)], rng=random.Random(4))
    counted = dict.fromkeys(store.endpoints(), 0)
    for _ in range(3000):
        sample = store.sample(3)
        assert len(set(sample)) == 3
        for endpoint in sample:
            counted[endpoint] += 1
    # Drawn without putting back, the statistic is smaller than for independent draws; 27.9 is the
    # 99.9 % point for 9 degrees of freedom.
    assert sum((count - 900) ** 2 / 900 for count in counted.values()) < 27.9


def test_a_sample_takes_who_is_to_be_avoided_only_to_be_full(
    cluster: FakeCluster, web: FakeService
) -> None:
    store = cluster.peers("web", port="http")
    bad = store.pick()
    fail(store, bad)
    assert not any(bad in store.sample(3) for _ in range(30))
    assert set(store.sample(9)) == set(store.endpoints())
    assert store.sample(0) == ()
    with pytest.raises(ConfigurationError, match="whole number"):
        store.sample(-1)
    web.scale(0)
    assert cluster.peers("web", port="http").sample(2) == ()
