"""wait_ready: which answers let a caller go on, and what it is told when none does."""

import functools
import itertools
import threading
import time
from typing import Any

import pytest

from headless_discovery import (
    Closed,
    ConfigurationError,
    NotHeadless,
    NotReady,
    Peers,
    Policy,
    Resolver,
    State,
    aio,
    peers,
)
from headless_discovery.testing import FakeClock, FakeCluster, FakeService
from tests.conftest import MOST_WORDS
from tests.tasks import LIBRARIES, LibraryName, run

EXACT = Policy(jitter=0)


@pytest.fixture
def web(cluster: FakeCluster) -> FakeService:
    return cluster.add_service("web", ports={"http": 8080})


def later(cluster: FakeCluster, seconds: float, service: FakeService, count: int) -> None:
    def scale() -> None:
        service.scale(count)

    cluster.clock.call_at(cluster.clock.now() + seconds, scale)


def waited(cluster: FakeCluster) -> float:
    return cluster.clock.now() - 1000


# Enough of them.


def test_with_enough_peers_it_returns_at_once_after_one_lookup(
    cluster: FakeCluster, web: FakeService
) -> None:
    web.scale(3)
    snapshot = cluster.peers("web").wait_ready(at_least=3)
    assert len(snapshot.endpoints) == 3
    assert snapshot.state is State.LIVE
    assert (len(cluster.queries), waited(cluster)) == (1, 0)


def test_it_waits_for_the_first_pod(cluster: FakeCluster, web: FakeService) -> None:
    later(cluster, 12, web, 1)
    cluster.peers("web", policy=EXACT).wait_ready()
    assert 12 <= waited(cluster) <= 17


def test_it_asks_every_one_to_five_seconds(cluster: FakeCluster, web: FakeService) -> None:
    web.scale(1)
    later(cluster, 60, web, 2)
    cluster.peers("web", policy=Policy(min_refresh=20, max_refresh=30)).wait_ready(at_least=2)
    times = [query.at for query in cluster.queries]
    assert all(1 <= after - before <= 5 for before, after in itertools.pairwise(times))


def test_trouble_is_waited_out_over_back_off(cluster: FakeCluster, web: FakeService) -> None:
    web.scale(2)
    cluster.fail("servfail")
    cluster.clock.call_at(cluster.clock.now() + 100, cluster.heal)
    kubia = cluster.peers("web")
    assert kubia.wait_ready(at_least=2).state is State.LIVE
    assert 100 <= waited(cluster) <= 106


def test_a_port_name_that_is_not_there_yet_is_waited_for(
    cluster: FakeCluster, web: FakeService
) -> None:
    web.scale(2)

    def publish() -> None:
        cluster.apply(
            {
                "kind": "Service",
                "metadata": {"name": "web"},
                "spec": {
                    "clusterIP": "None",
                    "selector": {"headless-discovery": "web"},
                    "ports": [{"port": 7000, "name": "grpc"}],
                },
            }
        )

    cluster.clock.call_at(cluster.clock.now() + 20, publish)
    assert cluster.peers("web", port="grpc").wait_ready(timeout=60).endpoints[0].port == 7000


def test_what_is_kept_through_trouble_does_not_count(
    cluster: FakeCluster, web: FakeService
) -> None:
    web.scale(2)
    kubia = cluster.peers("web")
    kubia.endpoints()
    cluster.fail("servfail")
    cluster.clock.advance(60)
    with pytest.raises(NotReady, match=r"saw none \(stale, 2 kept\)"):
        kubia.wait_ready(timeout=20)


def test_who_is_departing_does_not_count(cluster: FakeCluster, web: FakeService) -> None:
    web.scale(2)
    kubia = cluster.peers("web", policy=EXACT)
    kubia.endpoints()
    web.scale(1)
    cluster.clock.advance(5)
    assert len(kubia.endpoints()) == 2
    with pytest.raises(NotReady) as raised:
        kubia.wait_ready(at_least=2, timeout=0)
    assert (raised.value.seen, raised.value.wanted) == (1, 2)


def test_an_answer_whose_ttl_is_over_is_asked_for_again(
    cluster: FakeCluster, web: FakeService
) -> None:
    web.scale(2)
    kubia = cluster.peers("web")
    kubia.endpoints()
    cluster.clock.advance(3600)
    kubia.wait_ready(at_least=2)
    assert len(cluster.queries) == 2


def test_in_the_background_what_is_known_lets_it_go_on_without_asking(
    cluster: FakeCluster, web: FakeService
) -> None:
    web.scale(2)
    with cluster.peers("web") as kubia:
        kubia.endpoints()
        cluster.clock.advance(60)
        asked = len(cluster.queries)
        kubia.wait_ready(at_least=2, stable_for=50)
        assert len(cluster.queries) == asked


def test_in_the_background_too_it_asks_often_while_it_waits(
    cluster: FakeCluster, web: FakeService
) -> None:
    cluster.fail("servfail")
    web.scale(1)
    with cluster.peers("web") as kubia:
        cluster.clock.advance(1)
        cluster.clock.call_at(cluster.clock.now() + 3, cluster.heal)
        kubia.wait_ready()
        assert waited(cluster) <= 9


# Without this pod.


def test_this_pod_does_not_count_where_it_is_left_out(
    cluster: FakeCluster, web: FakeService
) -> None:
    [pod] = web.scale(1)
    kubia = pod.peers("web", include_self=False)
    with pytest.raises(NotReady, match="besides this pod"):
        kubia.wait_ready(timeout=10)
    web.scale(2)
    assert len(kubia.wait_ready(timeout=10).endpoints) == 1


def test_alone_in_the_service_nobody_else_may_be_wanted(
    cluster: FakeCluster, web: FakeService
) -> None:
    [pod] = web.scale(1)
    kubia = pod.peers("web", include_self=False)
    assert kubia.wait_ready(at_least=0, see_self=True, timeout=10).endpoints == ()


def test_see_self_waits_until_this_pod_is_published(cluster: FakeCluster, web: FakeService) -> None:
    web.scale(2)
    pod = web.pods[1]
    pod.ready = False

    def become_ready() -> None:
        pod.ready = True

    cluster.clock.call_at(cluster.clock.now() + 20, become_ready)
    pod.peers("web", include_self=False).wait_ready(see_self=True)
    assert 20 <= waited(cluster) <= 26


def test_a_pod_that_never_sees_itself_is_told_what_to_check(
    cluster: FakeCluster, web: FakeService
) -> None:
    web.scale(2)
    web.pods[1].ready = False
    with pytest.raises(NotReady, match=r"selects this pod.*publishNotReadyAddresses: true"):
        web.pods[1].peers("web").wait_ready(see_self=True, timeout=20)


# For long enough.


def test_stable_for_needs_two_answers_so_far_apart(cluster: FakeCluster, web: FakeService) -> None:
    web.scale(2)
    cluster.peers("web").wait_ready(at_least=2, stable_for=1)
    assert waited(cluster) == 5, "an answer asked for sooner confirms nothing"
    assert len(cluster.queries) <= 3


def test_it_asks_when_the_time_is_over(cluster: FakeCluster, web: FakeService) -> None:
    web.scale(2)
    cluster.peers("web", policy=EXACT).wait_ready(at_least=2, stable_for=7)
    assert waited(cluster) == 7


def test_a_set_that_changes_begins_anew(cluster: FakeCluster, web: FakeService) -> None:
    web.scale(2)
    later(cluster, 8, web, 3)
    snapshot = cluster.peers("web").wait_ready(at_least=2, stable_for=10)
    assert len(snapshot.endpoints) == 3
    assert waited(cluster) >= 18


def test_an_address_that_changes_begins_anew(cluster: FakeCluster, web: FakeService) -> None:
    web.scale(2)
    cluster.clock.call_at(cluster.clock.now() + 8, lambda: web.pods[0].move_to("10.9.9.9"))
    cluster.peers("web").wait_ready(at_least=2, stable_for=10)
    assert waited(cluster) >= 18


def test_copies_of_one_cached_answer_are_no_proof(web: FakeService) -> None:
    cluster = FakeCluster(ttl=30, cache=30)
    cluster.add_service("web", ports=[80]).scale(2)
    cluster.peers("web").wait_ready(at_least=2, stable_for=5)
    assert waited(cluster) >= 30


def test_a_failed_lookup_between_two_answers_says_nothing(
    cluster: FakeCluster, web: FakeService
) -> None:
    web.scale(2)
    cluster.clock.call_at(cluster.clock.now() + 2, lambda: cluster.fail("servfail"))
    cluster.clock.call_at(cluster.clock.now() + 12, cluster.heal)
    cluster.peers("web").wait_ready(at_least=2, stable_for=5)
    assert 12 <= waited(cluster) <= 18


def test_an_empty_answer_begins_anew(cluster: FakeCluster, web: FakeService) -> None:
    web.scale(2)
    cluster.clock.call_at(cluster.clock.now() + 3, lambda: cluster.fail("nxdomain", times=1))
    cluster.peers("web").wait_ready(at_least=2, stable_for=10)
    assert waited(cluster) >= 15


def test_a_set_that_is_not_confirmed_in_time_is_told_apart(web: FakeService) -> None:
    cluster = FakeCluster(ttl=30, cache=30)
    cluster.add_service("web", ports=[80]).scale(2)
    with pytest.raises(NotReady, match="unchanged for 5 s") as raised:
        cluster.peers("web").wait_ready(at_least=2, stable_for=5, timeout=10)
    assert raised.value.seen == 2
    assert "DNS cache" in str(raised.value.hint)


# Giving up.


def test_not_ready_says_what_was_seen_for_how_long_and_what_to_check(
    cluster: FakeCluster, web: FakeService
) -> None:
    web.scale(2)
    with pytest.raises(NotReady) as raised:
        cluster.peers("web").wait_ready(at_least=3, timeout=30)
    assert waited(cluster) == 30
    error = raised.value
    assert isinstance(error, TimeoutError)
    assert (error.seen, error.wanted, error.state, error.reason) == (2, 3, State.LIVE, None)
    for said in (
        "web.default.svc.cluster.local was not ready after 30 s",
        "wanted at least 3 peers",
        "saw 2, for 30 s",
    ):
        assert said in str(error)
    for advice in ("web-0, web-1", "readiness deadlock", "publishNotReadyAddresses: true"):
        assert advice in str(error.hint)


@pytest.mark.parametrize("include_self", [True, False])
@pytest.mark.parametrize("see_self", [True, False])
@pytest.mark.parametrize("during", ["life", "an outage"])
def test_whatever_was_waited_for_is_told_in_25_words(
    include_self: bool, see_self: bool, during: str, cluster: FakeCluster, web: FakeService
) -> None:
    pod = web.scale(4)[0]
    kubia = pod.peers("web", port="http", include_self=include_self)
    kubia.endpoints()
    if during == "an outage":
        cluster.clock.advance(30)
        cluster.fail("servfail")
    with pytest.raises(NotReady, match="unchanged for 60 s") as raised:
        kubia.wait_ready(at_least=20, stable_for=60, timeout=90, see_self=see_self)
    assert len(str(raised.value).split()) <= MOST_WORDS


def test_of_many_that_were_seen_only_some_are_named(cluster: FakeCluster, web: FakeService) -> None:
    web.scale(12)
    with pytest.raises(NotReady, match=r"Seen: web-0, web-1, web-2, web-3, web-4 and 7 more\."):
        cluster.peers("web").wait_ready(at_least=13, timeout=0.5)


def test_not_ready_tells_the_last_failure(cluster: FakeCluster, web: FakeService) -> None:
    cluster.fail("refused")
    with pytest.raises(NotReady, match="REFUSED") as raised:
        cluster.peers("web").wait_ready(timeout=3)
    assert raised.value.state is State.PENDING
    assert raised.value.reason is not None


def test_nobody_ready_is_told_with_what_dns_said(cluster: FakeCluster, web: FakeService) -> None:
    with pytest.raises(NotReady, match=r"(?s)saw none \(empty\).*NXDOMAIN.*deadlock"):
        cluster.peers("web").wait_ready(timeout=3)


def test_a_silent_name_server_does_not_hold_it_longer_than_its_timeout(
    cluster: FakeCluster, web: FakeService
) -> None:
    cluster.fail("timeout")
    with pytest.raises(NotReady, match="No lookup was completed in that time"):
        cluster.peers("web").wait_ready(timeout=3)
    assert waited(cluster) == 3


def test_a_lookup_that_was_given_up_counts_for_the_floor(
    cluster: FakeCluster, web: FakeService
) -> None:
    cluster.fail("timeout")
    kubia = cluster.peers("web")
    for _ in range(10):
        with pytest.raises(NotReady):
            kubia.wait_ready(timeout=0.1)
    assert len(cluster.queries) <= 2


def test_who_waits_for_a_lookup_that_is_given_up_begins_anew() -> None:
    gate = threading.Event()
    asked: list[bytes] = []

    class Slow(FakeCluster):
        def answer(self, wire: bytes, *, tcp: bool = False) -> bytes | None:
            asked.append(wire)
            if len(asked) > 1:
                return super().answer(wire, tcp=tcp)
            gate.wait(5)
            return None

    cluster = Slow()
    cluster.add_service("web", ports=[80]).scale(2)
    kubia = cluster.peers("web")
    gave_up: list[NotReady] = []
    found: list[int] = []

    def wait() -> None:
        with pytest.raises(NotReady) as raised:
            kubia.wait_ready(timeout=1)
        gave_up.append(raised.value)

    leader = threading.Thread(target=wait)
    leader.start()
    while not asked:
        pass
    follower = threading.Thread(target=lambda: found.append(len(kubia.endpoints())))
    follower.start()
    time.sleep(0.1)  # it waits; if it is late, it leads, and there is nothing to see
    gate.set()
    leader.join(5)
    follower.join(5)
    assert (len(gave_up), found) == (1, [2])


def test_without_time_it_tells_what_is_known_and_asks_nothing(
    cluster: FakeCluster, web: FakeService
) -> None:
    web.scale(2)
    kubia = cluster.peers("web")
    with pytest.raises(NotReady):
        kubia.wait_ready(timeout=0)
    assert cluster.queries == ()
    kubia.endpoints()
    assert kubia.wait_ready(at_least=2, timeout=0) is kubia.snapshot


# Where waiting cannot help.


def test_what_is_not_headless_is_told_at_once(cluster: FakeCluster) -> None:
    cluster.add_service("vip", ports=[80], cluster_ip="10.96.1.1")
    kubia = cluster.peers("vip")
    for _ in range(2):
        with pytest.raises(NotHeadless, match=r"10\.96\.1\.1"):
            kubia.wait_ready(timeout=60)
    assert waited(cluster) == 0


def test_once_it_is_headless_the_next_wait_goes_on(cluster: FakeCluster) -> None:
    cluster.add_service("vip", ports=[80], cluster_ip="10.96.1.1")
    kubia = cluster.peers("vip")
    with pytest.raises(NotHeadless):
        kubia.wait_ready()
    cluster.apply(
        {
            "kind": "Service",
            "metadata": {"name": "vip"},
            "spec": {"clusterIP": "None", "selector": {"app": "vip"}, "ports": [{"port": 80}]},
        }
    )
    cluster.clock.advance(2)
    with pytest.raises(NotReady):
        kubia.wait_ready(timeout=1)


def test_a_configuration_that_cannot_work_is_told_at_once(
    cluster: FakeCluster, web: FakeService
) -> None:
    with pytest.raises(ConfigurationError, match="include_self=False"):
        cluster.peers("web", include_self=False).wait_ready()
    with pytest.raises(ConfigurationError, match="see_self=True"):
        cluster.peers("web").wait_ready(see_self=True)
    assert waited(cluster) == 0


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"at_least": -1}, "at_least"),
        ({"at_least": True}, "at_least"),
        ({"at_least": 1.5}, "at_least"),
        ({"stable_for": -1}, "stable_for"),
        ({"stable_for": None}, "stable_for"),
        ({"timeout": float("inf")}, "timeout"),
        ({"timeout": "60"}, "timeout"),
    ],
)
def test_a_wrong_argument_is_an_error_that_names_it(
    cluster: FakeCluster, arguments: dict[str, Any], says: str
) -> None:
    with pytest.raises(ConfigurationError, match=says):
        cluster.peers("web").wait_ready(**arguments)


def test_closing_ends_the_wait(cluster: FakeCluster, web: FakeService) -> None:
    kubia = cluster.peers("web")
    cluster.clock.call_at(cluster.clock.now() + 3, kubia.close)
    with pytest.raises(Closed):
        kubia.wait_ready()
    with pytest.raises(Closed):
        kubia.wait_ready()


def test_a_fixed_list_is_ready_at_once_or_never_if_there_is_no_timeout() -> None:
    kubia = Peers.static(["10.0.0.1:80", "10.0.0.2:80"])
    assert len(kubia.wait_ready(at_least=2, stable_for=60, see_self=True).endpoints) == 2
    with pytest.raises(NotReady, match="a fixed list was not ready after 0 s") as raised:
        kubia.wait_ready(at_least=3)
    assert raised.value.hint == ("Seen: 10.0.0.1, 10.0.0.2. Check the list, and what calls update.")


def test_with_a_timeout_an_update_of_a_fixed_list_is_waited_for() -> None:
    clock = FakeClock()
    kubia = Peers.static([], clock=clock)
    for seconds, listed in ((2, ["10.0.0.1:80"]), (5, ["10.0.0.1:80", "10.0.0.2:80"])):
        clock.call_at(clock.now() + seconds, functools.partial(kubia.update, listed))
    began = clock.now()
    assert len(kubia.wait_ready(at_least=2, timeout=60).endpoints) == 2
    assert clock.now() - began == 5
    with pytest.raises(NotReady, match=r"a fixed list was not ready after 60 s: .* saw 2"):
        kubia.wait_ready(at_least=3, timeout=60)


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_task_waits_for_an_update_of_a_fixed_list(library: LibraryName) -> None:
    async def main() -> None:
        clock = FakeClock()
        kubia = aio.Peers.static([], clock=clock)
        clock.call_at(clock.now() + 3, lambda: kubia.update(["10.0.0.1:80"]))
        assert len((await kubia.wait_ready(timeout=60)).endpoints) == 1
        with pytest.raises(NotReady, match="a fixed list was not ready after 0 s"):
            await kubia.wait_ready(at_least=2)

    run(library, main)


def test_closing_ends_the_wait_for_a_fixed_list() -> None:
    clock = FakeClock()
    kubia = Peers.static([], clock=clock)
    clock.call_at(clock.now() + 3, kubia.close)
    with pytest.raises(Closed):
        kubia.wait_ready(timeout=60)


def test_a_long_wait_is_reported_in_whole_numbers(cluster: FakeCluster, web: FakeService) -> None:
    web.scale(1)
    with pytest.raises(NotReady, match=r"not ready after 1200 s: .*saw 1, for 1200 s"):
        cluster.peers("web").wait_ready(at_least=2, timeout=1200)


def test_in_real_time_it_waits_for_a_pod_that_comes() -> None:
    cluster = FakeCluster()
    service = cluster.add_service("web", ports=[80])
    with cluster.serve() as server:
        policy = Policy(refresh_floor=0.01, min_refresh=0.02, max_refresh=0.02)
        kubia = peers(
            "web",
            namespace="default",
            resolver=Resolver([server.nameserver]),
            policy=policy,
        )
        threading.Timer(0.05, lambda: service.scale(1)).start()
        assert len(kubia.wait_ready(timeout=10).endpoints) == 1
