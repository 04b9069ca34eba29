"""What is believed and when it is asked again, rule by rule, on times that are only numbers."""

import random
from collections.abc import Callable

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headless_discovery._endpoint import Endpoint, State, difference
from headless_discovery._errors import LookupFailed, NoEndpoints, NotHeadless
from headless_discovery._membership import Membership
from headless_discovery._outcomes import Empty, Found, Outcome, Unknown, Wrong
from headless_discovery._policy import Policy


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


@pytest.mark.parametrize(("ttl", "pause"), [(0, 5), (5, 5), (12, 12), (30, 30), (3600, 30)])
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
    members.learn(found("a", 20), 0, 0)
    assert members.due == 20 * share


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


def test_back_off_is_random_from_the_floor_on() -> None:
    members = membership(Lowest(), backoff=20)
    members.learn(UNKNOWN, 0, 0)
    assert members.due == 1
    members.learn(UNKNOWN, 1, 1)
    assert members.due == 2


def test_whoever_is_in_need_passes_over_back_off_but_not_over_the_floor() -> None:
    members = membership(Highest(), backoff=20, backoff_max=20)
    members.learn(UNKNOWN, 0, 5)
    assert members.ask_at(in_need=False) == 25
    assert members.ask_at(in_need=True) == 6


def test_a_failed_connection_makes_the_answer_due_but_not_within_the_floor() -> None:
    members = membership()
    members.learn(found("a", 30), 0, 0)
    members.hurry(0.2)
    assert members.due == 1
    members.hurry(0.5)
    assert members.due == 1


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
    members.learn(found("ab"), 0, 0)
    members.learn(found("a"), 61, 61)
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
    change = members.learn(empty(), 35, 35)
    assert change is not None
    assert len(change.removed) == 2
    assert members.snapshot.state is State.EMPTY


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


def test_a_wrong_is_kept_apart_with_its_error() -> None:
    members = membership()
    wrong = Wrong(NotHeadless("a virtual IP"))
    members.learn(wrong, 0, 0)
    assert members.error is wrong.error
    assert members.snapshot.state is State.PENDING
    members.learn(found("a"), 5, 5)
    assert members.error is None
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
