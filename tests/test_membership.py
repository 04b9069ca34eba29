"""What is believed and when it is asked again, rule by rule, on times that are only numbers."""

import math
import random
from collections.abc import Callable

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headless_discovery import Endpoint, LookupFailed, NoEndpoints, NotHeadless, Policy, State
from headless_discovery._membership import Membership
from tests.lookups import Empty, Found, Outcome, Unknown, Wrong, difference


class Highest(random.Random):
    """Chance that always gives the upper bound."""

    def uniform(self, a: float, b: float) -> float:
        return b


class Lowest(random.Random):
    """Chance that always gives the lower bound."""

    def uniform(self, a: float, b: float) -> float:
        return a


def membership(rng: random.Random | None = None, **policy: object) -> Membership:
    return Membership(Policy(**policy), rng or Lowest())  # type: ignore[arg-type]  # by name


def pod(name: str, *addresses: str, port: int = 80) -> Endpoint:
    return Endpoint(name, addresses or (f"10.0.0.{ord(name[-1])}",), port, asked_for="http")


def found(names: str, ttl: float = 5) -> Found:
    return Found(tuple(pod(name) for name in names), ttl)


def empty(ttl: float = 5) -> Empty:
    return Empty(ttl, NoEndpoints("nobody"))


UNKNOWN = Unknown(LookupFailed("SERVFAIL"))


def names(members: Membership) -> str:
    return "".join(endpoint.name for endpoint in members.snapshot.endpoints)


def departing(members: Membership) -> str:
    return "".join(endpoint.name for endpoint in members.snapshot.departing)


# When it is asked again.


@pytest.mark.parametrize(("ttl", "pause"), [(0, 5), (5, 5), (7, 7), (10, 10), (3600, 10)])
def test_the_next_lookup_is_due_after_the_ttl_within_bounds(ttl: float, pause: float) -> None:
    members = membership()
    members.learn(found("a", ttl), 0, 1)
    members.learn(found("a", ttl), 100, 101)
    assert members.due == 101 + pause


def test_a_ttl_that_a_cache_counted_down_brings_the_next_lookup_forward() -> None:
    members = membership()
    members.learn(found("a", 30), 0, 0)
    members.learn(found("a", 7), 23, 23)
    assert members.due == 30


def test_jitter_adds_up_to_a_fifth() -> None:
    members = membership(Highest())
    members.learn(found("a"), 0, 0)
    members.learn(found("a"), 10, 10)
    assert members.due == 16


@pytest.mark.parametrize(("rng", "share"), [(Lowest(), 0.5), (Highest(), 1)])
def test_the_second_lookup_of_a_process_comes_earlier(rng: random.Random, share: float) -> None:
    members = membership(rng)
    members.learn(found("a", 8), 0, 0)
    assert members.due == 8 * share


@pytest.mark.parametrize(("ttl", "pause"), [(0, 1), (3, 3), (30, 5)])
def test_an_empty_start_is_asked_again_soon(ttl: float, pause: float) -> None:
    members = membership()
    members.learn(empty(ttl), 0, 0)
    assert members.due == pause
    assert members.snapshot.state is State.EMPTY


def test_failures_back_off_up_to_a_bound_and_a_success_resets_it() -> None:
    members = membership(Highest())
    now = 0.0
    pauses = []
    for _ in range(8):
        members.learn(UNKNOWN, now, now)
        pauses.append(members.due - now)
        now = members.due
    assert pauses == [1, 2, 4, 8, 16, 30, 30, 30]
    members.learn(found("a"), now, now)
    members.learn(UNKNOWN, now + 9, now + 9)
    assert members.due == now + 10


def test_backoff_is_random_from_the_floor_on() -> None:
    members = membership(Lowest())
    for now in range(4):
        members.learn(UNKNOWN, now, now)
        assert members.due == now + 1


def test_a_caller_in_need_passes_over_backoff_but_not_over_the_floor() -> None:
    members = membership(Highest(), backoff_max=2)
    for now in (0, 5):
        members.learn(UNKNOWN, now, now)
    assert members.ask_at(in_need=False) == 7
    assert members.ask_at(in_need=True) == 6


def test_a_failed_connection_makes_the_answer_due_but_not_within_the_floor() -> None:
    members = membership()
    members.learn(found("a", 30), 0, 0)
    members.hurry(0.2)
    assert members.due == 1
    members.hurry(0.5)
    assert members.due == 1


def test_a_failed_connection_shortens_no_backoff() -> None:
    members = membership(Highest())
    members.learn(found("a"), 0, 0)
    for now in (10, 20, 30):
        members.learn(UNKNOWN, now, now)
    assert members.due == 34
    members.hurry(30.5)
    assert members.due == 34


def test_a_failed_connection_hastens_no_source_that_pushes() -> None:
    members = membership()
    members.learn(Found((pod("a"),), math.inf, authoritative=True), 0, 0)
    members.hurry(10)
    assert members.due == math.inf


def test_an_empty_start_is_asked_again_at_least_as_often_as_anything_else() -> None:
    members = membership(min_refresh=1, max_refresh=2)
    members.learn(empty(30), 0, 0)
    assert members.due == 2


def test_a_waiter_asks_when_the_set_can_be_proven_stable() -> None:
    members = membership()
    members.learn(found("a", 30), 0, 0)
    assert members.asks_for_waiter_at(0, at_once=False) == 5
    assert members.asks_for_waiter_at(5.5, at_once=False) == 5.5, "not at 5, and again at 6"
    assert members.asks_for_waiter_at(6, at_once=False) == 5, "a second lies between"
    assert members.asks_for_waiter_at(60, at_once=False) == 5


def test_a_waiter_whose_proof_was_a_copy_asks_at_the_usual_pace() -> None:
    members = membership()
    members.learn(found("a", 30), 0, 0)
    members.learn(found("a", 22), 8, 8)
    assert members.asks_for_waiter_at(8, at_once=False) == 13
    assert members.asks_for_waiter_at(6, at_once=False) == 13


# Additions and moves.


def test_additions_show_at_once_and_who_stays_is_the_same_object() -> None:
    members = membership()
    members.learn(found("ac"), 0, 0)
    before = members.snapshot.endpoints
    change = members.learn(found("abc"), 5, 5)
    assert change is not None
    assert [endpoint.name for endpoint in change.added] == ["b"]
    assert names(members) == "abc"
    assert members.snapshot.endpoints[0] is before[0]
    assert members.snapshot.generation == 2


def test_an_unchanged_answer_changes_nothing() -> None:
    members = membership()
    members.learn(found("ab"), 0, 0)
    before = members.snapshot
    assert members.learn(found("ab", 30), 5, 6) is None
    assert members.snapshot.endpoints is before.endpoints
    assert members.snapshot.generation == before.generation
    assert (members.snapshot.ttl, members.snapshot.answered_at) == (30, 6)


def test_another_address_or_port_number_is_a_move() -> None:
    members = membership()
    members.learn(Found((pod("a", "10.0.0.1"), pod("b")), 5), 0, 0)
    change = members.learn(Found((pod("a", "10.0.0.2"), pod("b", port=81)), 5), 5, 5)
    assert change is not None
    assert (change.added, change.removed) == ((), ())
    (old, new), (_, other) = change.moved
    assert (old.address, new.address, other.port) == ("10.0.0.1", "10.0.0.2", 81)


def test_of_two_addresses_the_one_that_appeared_last_comes_first() -> None:
    members = membership()
    members.learn(Found((pod("a", "10.0.0.1"),), 5), 0, 0)
    members.learn(Found((pod("a", "10.0.0.1", "10.0.0.7"),), 5), 5, 5)
    assert members.snapshot.endpoints[0].address == "10.0.0.7"
    members.learn(Found((pod("a", "10.0.0.1", "10.0.0.7"),), 5), 10, 10)
    assert members.snapshot.endpoints[0].address == "10.0.0.7"
    members.learn(Found((pod("a", "10.0.0.7"),), 5), 15, 15)
    members.learn(Found((pod("a", "10.0.0.1", "10.0.0.7"),), 5), 20, 20)
    assert members.snapshot.endpoints[0].address == "10.0.0.1", "it came back"


def test_an_address_is_new_again_once_its_pod_was_forgotten() -> None:
    members = membership()
    both = Found((pod("a", "10.0.0.1", "10.0.0.7"),), 5)
    members.learn(Found((pod("a", "10.0.0.1"),), 5), 0, 0)
    members.learn(both, 5, 5)
    members.learn(found("b"), 100, 100)
    members.learn(both, 105, 105)
    assert members.snapshot.endpoints[0].address == "10.0.0.1", "both appeared together"


def test_of_two_addresses_that_appear_together_the_lowest_comes_first() -> None:
    members = membership()
    members.learn(Found((pod("a", "10.0.0.3", "10.0.0.9", "fd00::1"),), 5), 0, 0)
    assert members.snapshot.endpoints[0].addresses == ("10.0.0.3", "10.0.0.9", "fd00::1")


@pytest.mark.parametrize(("one", "two"), [("10.0.0.1", "fd00::1"), ("fd00::1", "10.0.0.1")])
def test_an_address_of_the_other_family_comes_last_however_new_it_is(one: str, two: str) -> None:
    members = membership()
    members.learn(Found((pod("a", one),), 5), 0, 0)
    members.learn(Found((pod("a", one, two),), 5), 5, 5)
    assert members.snapshot.endpoints[0].addresses == (one, two)


@pytest.mark.parametrize("addresses", [("10.0.0.1", "fd00::1"), ("fd00::1", "10.0.0.1")])
def test_a_pod_with_one_address_of_each_family_is_shown_as_it_was_found(
    addresses: tuple[str, str],
) -> None:
    """So a set of thousands of them takes no longer than one of a single family."""
    members, both = membership(), pod("a", *addresses)
    members.learn(Found((both, pod("b")), 5), 0, 0)
    assert members.snapshot.endpoints[0] is both
    members.learn(Found((both, pod("c")), 5), 5, 5)
    assert members.snapshot.endpoints[0] is both


def test_of_two_addresses_of_version_6_the_one_that_appeared_last_comes_first() -> None:
    members = membership()
    members.learn(Found((pod("a", "fd00::1", "10.0.0.1"),), 5), 0, 0)
    members.learn(Found((pod("a", "fd00::1", "fd00::7", "10.0.0.1"),), 5), 5, 5)
    assert members.snapshot.endpoints[0].addresses == ("fd00::7", "fd00::1", "10.0.0.1")


def test_one_of_two_families_that_moves_changes_no_other() -> None:
    members, stays = membership(), pod("a", "10.0.0.1")
    members.learn(Found((stays, pod("b", "10.0.0.2", "fd00::2")), 5), 0, 0)
    members.learn(Found((stays, pod("b", "10.0.0.7", "fd00::2")), 5), 5, 5)
    shown = [one.addresses for one in members.snapshot.endpoints]
    assert shown == [("10.0.0.1",), ("10.0.0.7", "fd00::2")]


def test_a_removal_is_confirmed_beside_a_name_with_several_addresses_too() -> None:
    members, several = membership(), pod("a", "10.0.0.1", "10.0.0.2")
    members.learn(Found((several, pod("b", "10.0.0.3")), 5), 0, 0)
    members.learn(Found((several,), 5), 5, 5)
    assert departing(members) == "b"
    members.learn(Found((several,), 5), 11, 11)
    assert departing(members) == ""


@pytest.mark.parametrize(("ttl", "confirmed"), [(26, False), (26.1, True)])
def test_a_copy_that_expires_2_s_later_is_the_same_one_still(ttl: float, confirmed: bool) -> None:
    members = membership()
    members.learn(found("ab", 30), 0, 0)
    members.learn(found("a", 30), 10, 10)  # it expires at 40
    members.learn(found("a", ttl), 16, 16)
    assert bool(members.snapshot.departing) is not confirmed


# Pods that share a name.


def shared(*last: int, ttl: float = 5) -> Found:
    return Found((pod("a", *(f"10.0.0.{each}" for each in last)),), ttl)


def addresses(members: Membership) -> dict[tuple[str, str], str]:
    return {one.identity: one.address for one in members.snapshot.endpoints}


def test_a_name_that_keeps_several_addresses_for_30_s_is_that_of_as_many_pods() -> None:
    members = membership()
    for now in (0, 10, 20, 29.9):
        members.learn(shared(1, 2), now, now)
        assert addresses(members) == {("a", "http"): "10.0.0.1"}
    change = members.learn(shared(1, 2), 30, 30)
    assert [one.addresses for one in members.snapshot.endpoints] == [("10.0.0.1",), ("10.0.0.2",)]
    assert addresses(members) == {("a", "http"): "10.0.0.1", ("a", "http@10.0.0.2"): "10.0.0.2"}
    assert change is not None
    assert [one.address for one in change.added] == ["10.0.0.2"]
    before = members.snapshot
    assert members.learn(shared(1, 2), 50, 50) is None
    assert members.snapshot.endpoints is before.endpoints


def test_the_very_same_answer_makes_several_pods_of_a_name_too() -> None:
    members, same = membership(), shared(1, 2)
    for now in (0, 10, 20):
        members.learn(same, now, now)
    assert len(members.snapshot.endpoints) == 1
    members.learn(same, 30, 30)
    assert len(members.snapshot.endpoints) == 2


def test_addresses_of_the_other_family_make_no_pods_of_their_own() -> None:
    members = membership()
    both = Found((pod("a", "fd00::1", "fd00::2", "10.0.0.1"),), 5)
    for now in (0, 10, 30):
        members.learn(both, now, now)
    assert addresses(members) == {("a", "http"): "fd00::1", ("a", "http@fd00::2"): "fd00::2"}


def test_an_endpoint_that_a_slice_lists_with_several_addresses_is_one() -> None:
    members = membership()
    both = Found(shared(1, 2).endpoints, math.inf, authoritative=True)
    for now in (0, 10, 40):
        members.learn(both, now, now)
    assert addresses(members) == {("a", "http"): "10.0.0.1"}


def test_the_30_s_begin_when_two_of_the_addresses_are_there_that_stay() -> None:
    members = membership()
    members.learn(shared(1, 2), 0, 0)
    for now in (10, 20, 30, 39):
        members.learn(shared(2, 3), now, now)
        assert len(members.snapshot.endpoints) == 1
    members.learn(shared(2, 3), 40, 40)
    assert len(members.snapshot.endpoints) == 2


def test_once_one_was_left_it_takes_30_s_again() -> None:
    members = membership()
    for now in (0, 10, 40):
        members.learn(shared(1, 2), now, now)
    for now in (50, 60):
        members.learn(shared(2), now, now)
    members.learn(shared(2, 3), 70, 70)
    assert addresses(members) == {("a", "http"): "10.0.0.3"}


def test_copies_of_one_answer_do_not_make_several_pods_of_a_name() -> None:
    members = membership()
    for now in (0, 10, 20, 31):
        members.learn(shared(1, 2, ttl=60 - now), now, now)
    assert len(members.snapshot.endpoints) == 1
    members.learn(shared(1, 2, ttl=60), 61, 61)
    assert len(members.snapshot.endpoints) == 2


def test_a_pod_made_anew_again_and_again_stays_one() -> None:
    members = membership()
    for now in range(0, 100, 10):
        members.learn(shared(now // 20, now // 20 + 1), now, now)
    assert len(members.snapshot.endpoints) == 1


def test_the_newest_pod_of_a_name_has_its_identity_until_one_is_left() -> None:
    members = membership()
    for now in (0, 10, 40):
        members.learn(shared(1, 2), now, now)
    members.learn(shared(1, 2, 3), 50, 50)
    assert addresses(members) == {
        ("a", "http"): "10.0.0.3",
        ("a", "http@10.0.0.1"): "10.0.0.1",
        ("a", "http@10.0.0.2"): "10.0.0.2",
    }
    members.learn(shared(1, 2), 60, 60)
    assert addresses(members) == {("a", "http"): "10.0.0.1", ("a", "http@10.0.0.2"): "10.0.0.2"}
    assert not members.snapshot.departing, "the next one has taken its place"
    for now in (70, 76):
        members.learn(shared(2), now, now)
    assert addresses(members) == {("a", "http"): "10.0.0.2"}


# Removals.


def test_a_missing_member_is_departing_until_that_is_confirmed() -> None:
    members = membership()
    members.learn(found("ab"), 0, 0)
    assert members.learn(found("a"), 10, 10) is None
    assert (names(members), departing(members)) == ("ab", "b")
    assert members.due == 15, "it is asked again soon"
    change = members.learn(found("a"), 15, 15)
    assert change is not None
    assert [endpoint.name for endpoint in change.removed] == ["b"]
    assert (names(members), departing(members)) == ("a", "")


def test_a_removal_is_looked_at_again_after_5_s() -> None:
    members = membership()
    members.learn(found("ab", 30), 0, 0)
    members.learn(found("a", 30), 10, 10)
    assert members.due == 15
    members.learn(found("a", 60), 15, 15)
    assert (departing(members), members.due) == ("", 25)


def test_an_answer_that_calls_itself_stale_confirms_nothing() -> None:
    members, stale = membership(), attrs.evolve(found("a"), stale=True)
    members.learn(found("ab"), 0, 0)
    members.learn(found("a"), 10, 10)
    members.learn(stale, 30, 30)
    assert departing(members) == "b"
    members = membership(empty_grace=0)
    members.learn(found("ab"), 0, 0)
    for asked in range(5, 60, 5):
        members.learn(attrs.evolve(empty(), stale=True), asked, asked)
    assert names(members) == "ab"


@pytest.mark.parametrize("ttl", [0, 5, 30])
def test_however_long_it_is_repeated_it_removes_nobody(ttl: int) -> None:
    lacking = attrs.evolve(found("a", ttl), stale=True)
    nobody = attrs.evolve(empty(ttl), stale=True)
    for stale, gone in ((lacking, "b"), (nobody, "")):
        members = membership()
        members.learn(found("ab"), 0, 0)
        for asked in range(10, 3600, 10):
            members.learn(stale, asked, asked)
            assert (names(members), departing(members)) == ("ab", gone)
        members.learn(attrs.evolve(stale, stale=False), 3600, 3600)
        assert names(members) == ("a" if gone else "")


def test_an_answer_that_is_right_but_for_one_thing_says_so() -> None:
    members, error = membership(), LookupFailed("AAAA fails")
    members.learn(attrs.evolve(found("a"), error=error), 0, 0)
    shown = members.snapshot
    assert (shown.state, shown.reason, shown.error) == (State.STALE, "AAAA fails", error)
    assert (shown.ttl, shown.answered_at, names(members)) == (5, 0, "a")


def test_an_answer_asked_for_too_soon_confirms_nothing() -> None:
    members = membership()
    members.learn(found("ab"), 0, 0)
    members.learn(found("a"), 10, 10)
    members.learn(found("a"), 14.9, 14.9)
    assert names(members) == "ab"


def test_a_copy_that_is_served_stale_does_not_confirm_what_it_said_before() -> None:
    members = membership()
    members.learn(found("ab", 30), 20, 20)
    members.learn(found("a", 29), 31, 31)
    members.learn(found("a", 0), 61, 61)  # that copy has ended, and may be served once more
    assert departing(members) == "b"
    members.learn(found("a", 26), 66, 66)
    assert names(members) == "a"


def test_a_cached_copy_confirms_nothing() -> None:
    members = membership()
    members.learn(found("ab", 30), 0, 0)
    members.learn(found("a", 30), 10, 10)
    for asked in (15, 20, 30, 39):
        members.learn(found("a", 40 - asked), asked, asked)
        assert names(members) == "ab", "a copy that expires at the same time"
    members.learn(found("a", 30), 41, 41)
    assert names(members) == "a"


def test_a_cached_copy_whose_first_reading_came_late_confirms_nothing() -> None:
    members = membership()
    members.learn(found("ab", 30), 0, 0)
    members.learn(found("a", 26), 10, 14)  # the question was lost, the copy read after 4 s
    members.learn(found("a", 21), 19, 19)
    assert names(members) == "ab"
    members.learn(found("a", 30), 41, 41)
    assert names(members) == "a"


def test_with_a_ttl_of_0_only_a_much_later_answer_confirms() -> None:
    members = membership()
    members.learn(found("ab", 0), 0, 0)
    members.learn(found("a", 0), 10, 10)
    members.learn(found("a", 0), 39, 39)
    assert names(members) == "ab"
    members.learn(found("a", 0), 40, 40)
    assert names(members) == "a"


def test_a_ttl_of_1_is_a_ttl() -> None:
    members = membership()
    members.learn(found("ab", 1), 0, 0)
    members.learn(found("a", 1), 10, 10)
    members.learn(found("a", 1), 16, 16)
    assert names(members) == "a"


@pytest.mark.parametrize("before", [1, 5])
def test_a_ttl_of_0_after_a_longer_one_may_be_the_same_copy(before: float) -> None:
    members = membership()
    members.learn(found("ab", 5), 0, 0)
    members.learn(found("a", before), 10, 10)
    members.learn(found("a", 0), 45, 45)
    assert departing(members) == "b"


def test_who_returns_is_no_longer_departing_and_that_is_no_change() -> None:
    members = membership()
    members.learn(found("ab"), 0, 0)
    members.learn(found("a"), 10, 10)
    assert members.learn(found("ab"), 15, 15) is None
    assert departing(members) == ""
    members.learn(found("a"), 20, 20)
    assert departing(members) == "b", "and the count begins anew"


def test_an_empty_answer_in_between_neither_confirms_nor_resets() -> None:
    members = membership()
    members.learn(found("ab"), 0, 0)
    members.learn(found("a"), 10, 10)
    members.learn(empty(), 12, 12)
    assert (names(members), departing(members)) == ("ab", "b")
    members.learn(found("a"), 16, 16)
    assert names(members) == "a"


def test_an_unknown_in_between_neither_confirms_nor_resets() -> None:
    members = membership()
    members.learn(found("ab"), 0, 0)
    members.learn(found("a"), 10, 10)
    members.learn(UNKNOWN, 12, 12)
    assert (names(members), departing(members)) == ("ab", "b")
    members.learn(found("a"), 16, 16)
    assert names(members) == "a"


def test_who_was_last_seen_long_ago_goes_at_once() -> None:
    members = membership()
    members.learn(found("abc"), 0, 0)
    members.learn(found("ab"), 60, 60)
    assert departing(members) == "c", "not that long ago"
    members.learn(found("a"), 121, 121)
    assert names(members) == "a"


# Empty after Found.


def test_empty_answers_are_believed_after_the_grace_and_two_confirmations() -> None:
    members = membership()
    members.learn(found("ab"), 0, 0)
    for asked in (5, 10, 15, 20, 25, 30):
        assert members.learn(empty(), asked, asked) is None
        assert names(members) == "ab"
        assert members.snapshot.state is State.STALE
        assert members.snapshot.reason == "nobody"
        assert (members.snapshot.ttl, members.snapshot.answered_at) == (5, 0), "of what is shown"
    change = members.learn(empty(), 35, 35)
    assert change is not None
    assert len(change.removed) == 2
    assert change.snapshot is members.snapshot
    assert members.snapshot.state is State.EMPTY
    assert (members.snapshot.ttl, members.snapshot.answered_at) == (5, 35)
    assert members.learn(empty(), 40, 40) is None


def test_the_grace_alone_is_not_enough() -> None:
    members = membership()
    members.learn(found("ab"), 0, 0)
    members.learn(empty(), 5, 5)
    members.learn(empty(), 40, 40)
    assert names(members) == "ab", "one confirmation"
    members.learn(empty(), 45, 45)
    assert names(members) == ""


def test_copies_of_one_empty_answer_confirm_nothing() -> None:
    members = membership(empty_grace=0)
    members.learn(found("ab"), 0, 0)
    for asked in (5, 10, 15, 20):
        members.learn(empty(35 - asked), asked, asked)
    assert names(members) == "ab"


def test_a_set_that_was_last_confirmed_long_ago_goes_at_the_first_empty_answer() -> None:
    members = membership()
    members.learn(found("ab"), 0, 0)
    members.learn(empty(), 60, 60)
    assert names(members) == "ab", "not that long ago"
    members.learn(empty(), 61, 61)
    assert names(members) == ""


def test_a_full_answer_ends_the_grace() -> None:
    members = membership()
    members.learn(found("ab"), 0, 0)
    for asked in (5, 15, 25):
        members.learn(empty(), asked, asked)
    members.learn(found("ab"), 30, 30)
    assert members.snapshot.state is State.LIVE
    assert members.snapshot.reason is None
    members.learn(empty(), 36, 36)
    assert names(members) == "ab"


def test_on_empty_can_be_never_or_at_once() -> None:
    keeping, clearing = membership(on_empty="keep"), membership(on_empty="clear")
    for members in (keeping, clearing):
        members.learn(found("ab"), 0, 0)
        for asked in range(5, 500, 5):
            members.learn(empty(), asked, asked)
            assert (names(keeping), keeping.snapshot.state) == ("ab", keeping.snapshot.state)
    assert (names(keeping), keeping.snapshot.state) == ("ab", State.STALE)
    assert (names(clearing), clearing.snapshot.state) == ("", State.EMPTY)


@pytest.mark.parametrize(
    ("on_empty", "due", "then"),
    [("grace", 40, ""), ("keep", math.inf, "ab"), ("clear", math.inf, "")],
)
def test_a_source_that_pushes_is_looked_at_again_only_when_the_grace_is_over(
    on_empty: str, due: float, then: str
) -> None:
    members = membership(on_empty=on_empty)
    members.learn(Found(found("ab").endpoints, math.inf, authoritative=True), 0, 0)
    unready = Empty(math.inf, NoEndpoints("nobody"), kept=members.snapshot.endpoints)
    for now in (10, 20):
        members.learn(unready, now, now)
        assert members.due == due
    members.learn(unready, 40, 40)
    assert (names(members), members.due) == (then, math.inf)


def test_those_of_it_that_are_listed_no_more_go_at_once() -> None:
    members = membership()
    members.learn(Found(found("abc").endpoints, math.inf, authoritative=True), 0, 0)
    nobody, (one, two, _) = NoEndpoints("nobody"), members.snapshot.endpoints
    change = members.learn(Empty(math.inf, nobody, kept=(one, two)), 10, 10)
    assert change is not None
    assert [[each.name for each in part] for part in (change.added, change.removed)] == [[], ["c"]]
    assert change.snapshot is members.snapshot
    assert (names(members), members.snapshot.state) == ("ab", State.STALE)
    assert members.learn(Empty(math.inf, nobody, kept=(one, two)), 20, 20) is None


@pytest.mark.parametrize("between", [UNKNOWN, Wrong(NotHeadless("a virtual IP"))])
def test_trouble_between_empty_answers_neither_confirms_nor_ends_the_grace(
    between: Outcome,
) -> None:
    members = membership()
    members.learn(found("ab"), 0, 0)
    members.learn(empty(), 5, 5)
    members.learn(empty(), 10, 10)
    members.learn(between, 35, 35)
    assert names(members) == "ab"
    members.learn(empty(), 40, 40)
    assert names(members) == "", "35 s after the first, which was confirmed twice"


def test_nobody_stays_nobody_through_trouble_and_is_no_change() -> None:
    members = membership()
    members.learn(empty(), 0, 0)
    members.learn(UNKNOWN, 5, 5)
    assert (members.snapshot.state, members.snapshot.endpoints) == (State.STALE, ())
    members.learn(empty(), 10, 10)
    assert (members.snapshot.state, members.snapshot.generation) == (State.EMPTY, 0)
    members.learn(found("a"), 15, 15)
    assert (members.snapshot.state, members.snapshot.generation) == (State.LIVE, 1)


# Unknown and Wrong.


def test_an_unknown_keeps_everything_and_says_why() -> None:
    members = membership()
    members.learn(found("ab"), 0, 0)
    before = members.snapshot
    for asked in range(10, 10_000, 100):
        assert members.learn(UNKNOWN, asked, asked) is None
    assert members.snapshot.endpoints is before.endpoints
    assert members.snapshot.state is State.STALE
    assert members.snapshot.error is UNKNOWN.error
    assert members.snapshot.answered_at == 0
    assert members.snapshot.source == "dns"


def test_a_wrong_is_kept_apart_with_its_error() -> None:
    members = membership()
    wrong = Wrong(NotHeadless("a virtual IP"))
    members.learn(wrong, 0, 0)
    assert members.snapshot.error is wrong.error
    assert members.snapshot.state is State.PENDING
    members.learn(found("a"), 5, 5)
    assert members.snapshot.error is None
    members.learn(wrong, 10, 10)
    assert (names(members), members.snapshot.state) == ("a", State.STALE)
    assert members.snapshot.error is wrong.error


# Whatever happens.

outcomes: st.SearchStrategy[Outcome] = st.one_of(
    st.builds(
        lambda chosen, ttl: found("".join(sorted(chosen)), ttl),
        st.sets(st.sampled_from("abcd"), min_size=1),
        st.sampled_from([0, 1, 5, 30, 10**6]),
    ),
    st.builds(empty, st.sampled_from([0, 1, 5, 30])),
    st.just(UNKNOWN),
)
stories = st.lists(st.tuples(outcomes, st.floats(0, 40)), max_size=40)


def tell(story: list[tuple[Outcome, float]], check: Callable[..., None], seed: int = 0) -> None:
    members = Membership(Policy(), random.Random(seed))
    now = 0.0
    for outcome, pause in story:
        now = max(now + pause, members.ask_at(in_need=True))
        before = members.snapshot
        change = members.learn(outcome, now, now)
        check(members, outcome, before, change, now)


@given(stories)
def test_unknown_never_takes_anybody_away(story: list[tuple[Outcome, float]]) -> None:
    def check(members: Membership, outcome: Outcome, before: object, *_: object) -> None:
        if isinstance(outcome, Unknown):
            assert members.snapshot.endpoints is before.endpoints  # type: ignore[attr-defined]  # a snapshot

    tell(story, check)


@given(stories)
def test_every_change_replayed_gives_the_snapshot(story: list[tuple[Outcome, float]]) -> None:
    replayed: dict[tuple[str, str], Endpoint] = {}

    def check(members: Membership, _o: object, _b: object, change: object, _n: object) -> None:
        if change is not None:
            for gone in change.removed:  # type: ignore[attr-defined]  # a change
                del replayed[gone.identity]
            for come in change.added:  # type: ignore[attr-defined]  # a change
                replayed[come.identity] = come
        assert sorted(replayed) == [e.identity for e in members.snapshot.endpoints]

    tell(story, check)


@given(stories, st.integers(0, 99))
def test_the_next_lookup_is_always_within_bounds(
    story: list[tuple[Outcome, float]], seed: int
) -> None:
    def check(members: Membership, _o: object, _b: object, _c: object, now: float) -> None:
        assert 0.999 <= members.due - now <= 36.001
        assert members.ask_at(in_need=True) == now + 1

    tell(story, check, seed)


@given(stories)
def test_everybody_shown_was_published_lately(story: list[tuple[Outcome, float]]) -> None:
    published: dict[tuple[str, str], float] = {}

    def check(members: Membership, outcome: Outcome, _b: object, _c: object, now: float) -> None:
        if isinstance(outcome, Found):
            published.update({one.identity: now for one in outcome.endpoints})
            for shown in members.snapshot.endpoints:
                assert now - published[shown.identity] <= 60
        if members.snapshot.state is State.LIVE:
            departing = {one.identity for one in members.snapshot.departing}
            assert all(
                published[one.identity] == members.snapshot.answered_at
                for one in members.snapshot.endpoints
                if one.identity not in departing
            )

    tell(story, check)


def test_a_difference_is_true_only_if_there_is_one() -> None:
    members = membership()
    members.learn(found("ab"), 0, 0)
    snapshot = members.snapshot
    assert not difference(snapshot.endpoints, snapshot)
    assert not difference(tuple(snapshot.endpoints), attrs.evolve(snapshot))
    assert difference((), snapshot)


@pytest.mark.parametrize("between", [None, UNKNOWN, empty(), found("ab")])
def test_the_very_same_answer_again_shows_the_same_whatever_came_between(
    between: Outcome | None,
) -> None:
    members = membership(on_empty="clear")
    answer = found("abc")
    members.learn(answer, 0, 0)
    if between is not None:
        members.learn(between, 5, 5)
    before = members.snapshot
    members.learn(attrs.evolve(answer, ttl=7), 10, 10)
    assert (names(members), departing(members)) == ("abc", "")
    assert (members.snapshot.state, members.snapshot.ttl) == (State.LIVE, 7)
    same = before.endpoints == members.snapshot.endpoints
    assert (members.snapshot.endpoints is before.endpoints) is same
    assert members.run is not None
    assert members.run.endpoints == members.snapshot.endpoints
    members.learn(found("ab"), 20, 20)
    assert departing(members) == "c"
