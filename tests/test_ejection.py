"""Ejection: who is ejected, for how long, and never too many; alone and in a Peers."""

import random
import threading
from collections.abc import Sequence

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headless_discovery import ConfigurationError, Endpoint, Peers, Policy
from headless_discovery._selection import Ejection
from headless_discovery.testing import FakeClock, FakeCluster, FakeService
from tests.test_selection import pods

FAILED = ConnectionRefusedError("refused")


@pytest.fixture
def web(cluster: FakeCluster) -> FakeService:
    service = cluster.add_service("web", ports={"http": 8080})
    service.scale(4)
    return service


def fail(kubia: Peers, endpoint: Endpoint, times: int = 3) -> None:
    for _ in range(times):
        kubia.report(endpoint, FAILED)


def lengths_of(ejection: Ejection, endpoints: Sequence[Endpoint], now: float) -> list[float]:
    return [until - now for until in ejection.ejected(endpoints, now).values()]


# The rules, alone.


def test_the_third_failure_in_a_row_sets_aside_for_a_second() -> None:
    ejection, endpoints = Ejection(Policy()), pods(4)
    for failures in range(2):
        ejection.failed(endpoints[0], failures)
        assert not ejection.ejected(endpoints, failures)
    ejection.failed(endpoints[0], 2)
    assert ejection.ejected(endpoints, 2) == {endpoints[0]: 3}
    assert not ejection.ejected(endpoints, 3)


def test_each_further_failure_doubles_the_time_to_thirty_seconds() -> None:
    ejection, endpoints, now, lengths = Ejection(Policy()), pods(2), 0.0, []
    for failures in range(80):
        ejection.failed(endpoints[0], now)
        if failures >= 2:
            lengths += lengths_of(ejection, endpoints, now)
            now += lengths[-1]
    assert lengths[:7] == [1, 2, 4, 8, 16, 30, 30]
    assert set(lengths[5:]) == {30}


def test_calls_that_were_under_way_when_it_was_ejected_do_not_count() -> None:
    ejection, endpoints = Ejection(Policy()), pods(2)
    for _ in range(64):
        ejection.failed(endpoints[0], 10)
    assert lengths_of(ejection, endpoints, 10) == [1]


def test_one_success_clears_everything() -> None:
    ejection, endpoints = Ejection(Policy(eject_after=1)), pods(2)
    ejection.failed(endpoints[0], 0)
    ejection.succeeded(endpoints[0])
    assert not ejection.ejected(endpoints, 0)
    ejection.failed(endpoints[0], 0)
    assert lengths_of(ejection, endpoints, 0) == [1]


def test_when_the_set_shrinks_those_due_first_come_back() -> None:
    ejection, endpoints = Ejection(Policy(eject_after=1)), pods(6)
    for now, endpoint in enumerate(endpoints[:3]):
        ejection.failed(endpoint, now / 10)
    assert list(ejection.ejected(endpoints, 0.5)) == list(endpoints[:3])
    assert list(ejection.ejected(endpoints[:4], 0.5)) == list(endpoints[1:3])
    assert list(ejection.ejected(endpoints[:3], 0.5)) == [endpoints[2]]
    assert not ejection.ejected(endpoints[:1], 0.5)


def test_who_leaves_or_moves_is_forgotten() -> None:
    ejection, endpoints = Ejection(Policy(eject_after=1)), pods(6)
    for endpoint in endpoints[:3]:
        ejection.failed(endpoint, 0)
    gone, moved, stays = endpoints[:3]
    elsewhere = attrs.evolve(moved, addresses=("10.9.9.9",))
    ejection.see([elsewhere, stays, *endpoints[3:]])
    assert list(ejection.ejected([gone, elsewhere, *endpoints[2:]], 0)) == [stays]


@pytest.mark.slow
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
        found = ejection.ejected(shown, now)
        assert len(found) <= count // 2
        assert set(found) <= set(shown)
        assert all(now < until <= now + 30 for until in found.values())
        assert sorted(found.values()) == list(found.values())
        now += pause


# In a Peers.


@pytest.mark.parametrize("strategy", ["round-robin", "random", "sticky"])
def test_pick_avoids_who_is_ejected_until_the_time_is_over(
    cluster: FakeCluster, web: FakeService, strategy: str
) -> None:
    kubia = cluster.peers("web", port="http", strategy=strategy, rng=random.Random(1))
    bad = kubia.pick(key="user:42")
    assert kubia.ejected == {}
    fail(kubia, bad)
    assert kubia.ejected == {bad: cluster.clock.now() + 1}
    assert kubia.stats.ejected == 1
    assert bad not in {kubia.pick() for _ in range(60)}
    owners = kubia.ranked("user:42", 4)
    assert owners[0] == bad
    assert kubia.pick(key="user:42") == owners[1]
    assert bad in kubia.endpoints()
    cluster.clock.advance(1)
    assert kubia.ejected == {}
    assert kubia.pick(key="user:42") == bad


def test_in_the_background_too_it_comes_back_when_the_time_is_over(
    cluster: FakeCluster, web: FakeService
) -> None:
    with cluster.peers("web", port="http") as kubia:
        bad = kubia.pick(key="user:42")
        fail(kubia, bad)
        assert bad not in {kubia.pick() for _ in range(60)}
        cluster.clock.advance(1)
        assert bad in {kubia.pick() for _ in range(60)}
        assert kubia.pick(key="user:42") == bad


def test_a_strategy_of_ones_own_is_not_shown_who_is_ejected(
    cluster: FakeCluster, web: FakeService
) -> None:
    class First:
        def select(self, endpoints: Sequence[Endpoint], key: object) -> Endpoint:
            return endpoints[0]

    kubia = cluster.peers("web", port="http", strategy=First())
    first, second, *_ = kubia
    fail(kubia, first)
    assert kubia.pick() == kubia.pick(key="user:42") == second


def test_nobody_is_ejected_who_is_the_only_one(cluster: FakeCluster, web: FakeService) -> None:
    web.scale(1)
    kubia = cluster.peers("web", port="http")
    fail(kubia, kubia.pick(), times=50)
    assert kubia.ejected == {}
    assert kubia.pick().hostname == "web-0"


def test_departing_and_failed_ones_are_picked_only_if_nobody_else_is_left(
    cluster: FakeCluster, web: FakeService
) -> None:
    kubia = cluster.peers("web", port="http")
    kubia.endpoints()
    web.scale(2)
    cluster.clock.advance(6)
    assert [endpoint.hostname for endpoint in kubia.refresh().departing] == ["web-2", "web-3"]
    web_0, web_1 = kubia.get("web-0"), kubia.get("web-1")
    assert web_0 is not None
    assert web_1 is not None
    fail(kubia, web_0)
    assert {kubia.pick() for _ in range(10)} == {web_1}
    fail(kubia, web_1)
    assert len(kubia.ejected) == 1
    assert {kubia.pick() for _ in range(10)} == {web_0}  # ejected first, so it is due first


def test_a_failure_makes_the_answer_due_and_waits_for_nothing(
    cluster: FakeCluster, web: FakeService
) -> None:
    kubia = cluster.peers("web", port="http")
    endpoint = kubia.pick()
    cluster.clock.advance(1.5)
    kubia.report(endpoint)
    kubia.pick()
    assert kubia.stats.lookups == 1
    kubia.report(endpoint, FAILED)
    assert kubia.stats.lookups == 1
    kubia.pick()
    assert kubia.stats.lookups == 2


def test_after_a_failure_the_background_asks_sooner(cluster: FakeCluster, web: FakeService) -> None:
    with cluster.peers("web", port="http") as kubia:
        kubia.refresh()
        cluster.clock.advance(1.1)
        assert kubia.stats.lookups == 1
        kubia.report(kubia.pick(), FAILED)
        cluster.clock.advance(0)
        assert kubia.stats.lookups == 2


def test_who_is_not_there_or_elsewhere_by_now_is_ignored(
    cluster: FakeCluster, web: FakeService
) -> None:
    kubia = cluster.peers("web", port="http", policy=Policy(eject_after=1, jitter=0))
    before = kubia.pick()
    pod = next(pod for pod in web.pods if pod.hostname == before.hostname)
    pod.move_to("10.9.9.9")
    cluster.clock.advance(6)
    now = next(endpoint for endpoint in kubia if endpoint.hostname == before.hostname)
    assert now.address == "10.9.9.9"
    for unknown in (before, *pods(1), Endpoint("zzz", ("10.0.0.1",))):
        kubia.report(unknown, FAILED)
        assert kubia.ejected == {}
    kubia.report(now, FAILED)
    kubia.report(before)
    assert list(kubia.ejected) == [now]
    kubia.report(now)
    assert kubia.ejected == {}


def test_a_new_address_is_a_new_chance(cluster: FakeCluster, web: FakeService) -> None:
    policy = Policy(eject_after=1, eject_for=30, jitter=0)
    kubia = cluster.peers("web", port="http", policy=policy)
    endpoint = kubia.pick()
    kubia.report(endpoint, FAILED)
    assert endpoint in kubia.ejected
    next(pod for pod in web.pods if pod.hostname == endpoint.hostname).move_to("10.9.9.9")
    cluster.clock.advance(6)
    kubia.endpoints()
    assert kubia.ejected == {}


@pytest.mark.slow
def test_sixty_four_threads_share_what_is_ejected() -> None:
    clock = FakeClock()
    kubia = Peers.static(
        [f"10.0.0.{n}:80" for n in range(10)], clock=clock, policy=Policy(eject_after=1)
    )
    bad = set(kubia.endpoints()[:3])
    wrong: list[str] = []
    start = threading.Barrier(64)

    def work(seed: int) -> None:
        rng = random.Random(seed)
        start.wait()
        for _ in range(100):
            endpoint = kubia.pick(key=rng.choice([None, rng.randrange(1000)]))
            kubia.report(endpoint, FAILED if endpoint in bad else None)
            if len(kubia.ejected) > 5 or not set(kubia.ejected) <= bad:
                wrong.append(f"seed {seed}: {kubia.ejected}")

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(64)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    for endpoint in bad:
        kubia.report(endpoint, FAILED)
    assert set(kubia.ejected) == bad
    assert not bad & {kubia.pick() for _ in range(100)}
    clock.advance(30)
    assert {kubia.pick() for _ in range(10)} == set(kubia.endpoints())


# Samples.


def test_a_sample_is_of_different_endpoints_each_as_likely_as_the_other() -> None:
    kubia = Peers.static([f"10.0.0.{n}" for n in range(10)], rng=random.Random(4))
    counted = dict.fromkeys(kubia.endpoints(), 0)
    for _ in range(3000):
        sample = kubia.sample(3)
        assert len(set(sample)) == 3
        for endpoint in sample:
            counted[endpoint] += 1
    # Drawn without putting back, the statistic is smaller than for independent draws; 27.9 is the
    # 99.9 % point for 9 degrees of freedom.
    assert sum((count - 900) ** 2 / 900 for count in counted.values()) < 27.9


def test_a_sample_takes_who_is_to_be_avoided_only_to_be_full(
    cluster: FakeCluster, web: FakeService
) -> None:
    kubia = cluster.peers("web", port="http")
    bad = kubia.pick()
    fail(kubia, bad)
    assert not any(bad in kubia.sample(3) for _ in range(30))
    assert set(kubia.sample(9)) == set(kubia.endpoints())
    assert kubia.sample(0) == ()
    with pytest.raises(ConfigurationError, match="whole number"):
        kubia.sample(-1)
    web.scale(0)
    assert cluster.peers("web", port="http").sample(2) == ()
