"""Watching EndpointSlices: what is asked next, and what comes of what the server says."""

import gzip
import json
import random
import zlib
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

import attrs
import pytest

from headless_discovery import LookupFailed, LookupTimeout, ServiceName
from headless_discovery._api.parse import SliceQuery
from headless_discovery._api.protocol import Watch
from headless_discovery._endpoint import Empty, Found, Outcome, Unknown
from tests.slices import Object, bookmark, endpoint, event, slice_of, status

SERVER = "https://10.96.0.1:443"


@attrs.define
class Driven:
    """A watch whose server, clock and chance are a test's."""

    lists: set[str] = attrs.field(factory=set)
    seed: int = 0
    now: float = 1000.0
    told: list[tuple[Outcome, float]] = attrs.field(factory=list)
    again_at: float = float("inf")
    watch: Watch = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.watch = Watch(
            SliceQuery(service=ServiceName("web", "shop"), port="http"),
            server=SERVER,
            learn=self.learn,
            rng=random.Random(self.seed),
            backoff_max=30,
            lists=self.lists,
        )

    def learn(self, outcome: Outcome, at: float) -> float:
        self.told.append((outcome, at))
        return self.again_at

    def ask(self) -> dict[str, str]:
        """What it asks for now."""
        path = self.watch.next(self.now)
        assert path is not None
        parts = urlsplit(path)
        assert parts.path == "/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices"
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        assert query.pop("labelSelector") == "kubernetes.io/service-name=web"
        return query

    def pause(self) -> float:
        """For how long it asks for nothing; time goes on by that."""
        assert self.watch.next(self.now) is None
        pause = self.watch.wake_at - self.now
        self.now += pause
        return pause

    def answer(self, code: int = 200, headers: Mapping[str, str] | None = None) -> None:
        self.watch.answered(code, headers or {}, self.now)

    def send(self, *data: bytes) -> None:
        for each in data:
            list(self.watch.received(each, self.now))

    def end(self, error: str | None = None) -> None:
        list(self.watch.ended(error, self.now))

    def refuse(self, code: int, found: Object | None = None, **headers: str) -> None:
        """A whole response that is an error."""
        self.ask()
        self.answer(code, {name.replace("_", "-"): value for name, value in headers.items()})
        if found is not None:
            self.send(event("", found)[len(b'{"type":"","object":') : -2])
        self.end()

    def go(self, seconds: float) -> None:
        """Time goes on."""
        self.now += seconds
        list(self.watch.tick(self.now))

    def begin(self, *slices: Object, version: int = 5) -> None:
        """A first state, whole."""
        self.ask()
        self.answer()
        self.send(*(event("ADDED", one) for one in slices), bookmark(version, end=True))

    @property
    def outcome(self) -> Outcome:
        return self.told[-1][0]

    @property
    def addresses(self) -> list[str]:
        assert isinstance(self.outcome, Found)
        return [each.address for each in self.outcome.endpoints]

    @property
    def error(self) -> LookupFailed:
        assert isinstance(self.outcome, Unknown)
        assert isinstance(self.outcome.error, LookupFailed)
        return self.outcome.error

    @property
    def live(self) -> bool:
        return not isinstance(self.outcome, Unknown)


ONE = slice_of("a", endpoint("10.0.0.1"))
TWO = slice_of("b", endpoint("10.0.0.2"), version=7)


# The first state.


def test_the_first_state_is_a_watch_that_sends_it() -> None:
    driven = Driven()
    query = driven.ask()
    assert 50 <= int(query.pop("timeoutSeconds")) <= 60
    assert query == {
        "watch": "true",
        "sendInitialEvents": "true",
        "resourceVersionMatch": "NotOlderThan",
        "allowWatchBookmarks": "true",
    }


def test_it_is_told_when_it_is_whole() -> None:
    driven = Driven()
    driven.ask()
    driven.answer()
    driven.send(event("ADDED", ONE))
    driven.send(event("ADDED", TWO))
    assert driven.told == []
    driven.send(bookmark(9, end=True))
    assert driven.addresses == ["10.0.0.1", "10.0.0.2"]
    assert driven.told[-1][1] == driven.now


@pytest.mark.parametrize(
    ("events", "left"),
    [
        ([("ADDED", ONE), ("ADDED", TWO), ("DELETED", ONE)], ["10.0.0.2"]),
        ([("ADDED", ONE), ("DELETED", ONE), ("DELETED", TWO)], []),
        ([("ADDED", ONE), ("DELETED", ONE), ("ADDED", ONE)], ["10.0.0.1"]),
        (
            [("ADDED", ONE), ("MODIFIED", slice_of("a", endpoint("10.0.0.9"))), ("ADDED", TWO)],
            ["10.0.0.2", "10.0.0.9"],
        ),
    ],
)
def test_what_changes_before_its_end_is_part_of_it(
    events: list[tuple[str, Object]], left: list[str]
) -> None:
    driven = Driven()
    driven.ask()
    driven.answer()
    driven.send(*(event(kind, found) for kind, found in events), bookmark(9, end=True))
    if left:
        assert driven.addresses == left
    else:
        assert isinstance(driven.outcome, Empty)


def test_nobody_is_a_state_too() -> None:
    driven = Driven()
    driven.begin()
    assert isinstance(driven.outcome, Empty)


def test_bytes_may_come_in_any_parts() -> None:
    data = event("ADDED", ONE) + b"\n" + bookmark(9, end=True)
    for size in (1, 2, 7, 100):
        driven = Driven()
        driven.ask()
        driven.answer()
        driven.send(*(data[at : at + size] for at in range(0, len(data), size)))
        assert driven.addresses == ["10.0.0.1"]


def test_a_part_may_end_within_a_letter() -> None:
    named = slice_of("a", endpoint("10.0.0.1", zone="zürich-北"))
    data = json.dumps({"type": "ADDED", "object": named}, ensure_ascii=False).encode() + b"\r\n"
    driven = Driven()
    driven.ask()
    driven.answer()
    driven.send(*(data[at : at + 1] for at in range(len(data))), bookmark(9, end=True))
    assert isinstance(driven.outcome, Found)
    assert driven.outcome.endpoints[0].zone == "zürich-北"


def test_lines_end_in_a_newline_alone() -> None:
    labels = {"note": "\u0085\u2028\u2029\x0b\x0c\x1c"}
    data = event("ADDED", slice_of("a", endpoint("10.0.0.1"), labels=labels))
    raw = data.replace(b"\\u0085", "\u0085".encode()).replace(b"\\u2028", "\u2028".encode())
    assert raw != data
    driven = Driven()
    driven.ask()
    driven.answer()
    driven.send(raw, bookmark(9, end=True))
    assert driven.addresses == ["10.0.0.1"]


def test_a_server_that_sends_no_bookmark_is_asked_for_lists_from_then_on() -> None:
    driven = Driven()
    driven.ask()
    driven.answer()
    driven.send(event("ADDED", ONE))
    driven.go(4)
    driven.send(event("ADDED", TWO))
    assert driven.watch.wake_at == driven.now + 5
    driven.go(4.9)
    assert not driven.watch.is_dead(driven.now)
    driven.go(0.1)
    assert driven.watch.is_dead(driven.now)
    driven.end("nothing came")
    assert driven.told == []
    assert driven.ask() == {"limit": "10"}
    assert Driven(lists=driven.lists).ask() == {"limit": "10"}


def test_ten_seconds_are_enough_for_all_of_it() -> None:
    driven = Driven()
    driven.ask()
    driven.answer()
    for _ in range(10):
        assert not driven.watch.is_dead(driven.now)
        driven.send(event("ADDED", ONE))
        driven.go(1)
    assert driven.watch.is_dead(driven.now)


@pytest.mark.parametrize("code", [400, 422])
def test_so_is_one_that_refuses_it(code: int) -> None:
    driven = Driven()
    driven.refuse(code, status(code, "Invalid", "sendInitialEvents is forbidden"))
    assert driven.told == []
    assert driven.ask() == {"limit": "10"}
    driven.answer(code)
    driven.end()
    assert str(code) in str(driven.error)


def page(*slices: Object, version: int = 5, more: str = "") -> Object:
    metadata = {"resourceVersion": str(version)} | ({"continue": more} if more else {})
    return {"kind": "EndpointSliceList", "metadata": metadata, "items": list(slices)}


def listed(driven: Driven, found: Object) -> dict[str, str]:
    query = driven.ask()
    driven.answer()
    driven.send(event("", found)[len(b'{"type":"","object":') : -2])
    driven.end()
    return query


def test_a_list_comes_in_pages_and_is_told_when_it_is_whole() -> None:
    driven = Driven(lists={SERVER})
    assert listed(driven, page(ONE, more="go on")) == {"limit": "10"}
    assert driven.told == []
    assert listed(driven, page(TWO, version=8)) == {"limit": "10", "continue": "go on"}
    assert driven.addresses == ["10.0.0.1", "10.0.0.2"]
    query = driven.ask()
    assert query["resourceVersion"] == "8"
    assert "sendInitialEvents" not in query


def test_a_list_that_breaks_off_is_begun_anew() -> None:
    driven = Driven(lists={SERVER})
    listed(driven, page(ONE, more="go on"))
    driven.ask()
    driven.answer()
    driven.send(b'{"items": [')
    driven.end("connection reset")
    assert "connection reset" in str(driven.error)
    driven.pause()
    assert listed(driven, page(TWO)) == {"limit": "10"}
    assert driven.addresses == ["10.0.0.2"]


def test_so_is_one_whose_next_page_is_gone() -> None:
    driven = Driven(lists={SERVER})
    listed(driven, page(ONE, more="go on"))
    driven.refuse(410, status(410, "Expired", "The provided continue parameter is too old"))
    assert driven.told == []
    assert driven.pause() < 1
    assert driven.ask() == {"limit": "10"}


@pytest.mark.parametrize(
    "found", [{}, page() | {"items": [5]}, page() | {"items": 5}, {"metadata": {}}, []]
)
def test_a_list_that_cannot_be_read_is_a_failure(found: Any) -> None:
    driven = Driven(lists={SERVER})
    listed(driven, found)
    assert "cannot be read" in str(driven.error)


def test_a_first_state_that_ends_early_is_thrown_away() -> None:
    driven = Driven()
    driven.ask()
    driven.answer()
    driven.send(event("ADDED", ONE))
    driven.now += 2
    driven.end()
    assert "ended before" in str(driven.error)
    driven.pause()
    driven.begin(TWO)
    assert driven.addresses == ["10.0.0.2"]


VALUES: list[Object] = [{} for _ in range(60_000)]
"""More than are parsed at once."""


@pytest.mark.parametrize("much", [page(ONE) | {"note": VALUES}, page(ONE) | {"note": "x" * 2**23}])
def test_a_page_that_is_too_large_is_asked_for_slice_by_slice(much: Object) -> None:
    driven = Driven(lists={SERVER})
    listed(driven, much)
    assert driven.told == []
    assert driven.pause() < 1
    assert listed(driven, page(ONE, more="go on")) == {"limit": "1"}
    assert listed(driven, page(TWO)) == {"limit": "1", "continue": "go on"}
    assert len(driven.addresses) == 2


def test_a_slice_that_is_too_large_alone_is_a_failure() -> None:
    driven = Driven(lists={SERVER})
    for _ in range(2):
        listed(driven, page(ONE) | {"note": VALUES})
        driven.pause()
    assert "more values than" in str(driven.error)


# A proxy may pack what the server sends, though nobody asked it to.


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", " GZIP"])
@pytest.mark.parametrize("at_once", [1, 7, 1 << 20])
def test_what_is_packed_is_read_as_it_comes(encoding: str, at_once: int) -> None:
    driven = Driven()
    pack = zlib.compressobj(wbits=31)
    for number, text in enumerate((event("ADDED", ONE) + bookmark(5, end=True), bookmark(6)), 1):
        if number == 1:
            driven.ask()
            driven.answer(200, {"content-encoding": encoding})
        packed = pack.compress(text) + pack.flush(zlib.Z_SYNC_FLUSH)
        driven.send(*(packed[at : at + at_once] for at in range(0, len(packed), at_once)))
        assert len(driven.told) == number
    assert driven.addresses == ["10.0.0.1"]


@pytest.mark.parametrize("at_once", [1, 7, 1 << 20])
def test_gzip_members_that_follow_one_another_are_one_text(at_once: int) -> None:
    driven = Driven()
    driven.ask()
    driven.answer(200, {"content-encoding": "gzip"})
    text = event("ADDED", ONE) + bookmark(5, end=True) + event("ADDED", TWO)
    packed = b"".join(map(gzip.compress, (text[:99], b"", text[99:-9], text[-9:])))
    driven.send(*(packed[at : at + at_once] for at in range(0, len(packed), at_once)))
    driven.go(0.03)
    assert driven.addresses == ["10.0.0.1", "10.0.0.2"]


def test_a_packed_page_or_error_is_read_as_well() -> None:
    driven = Driven(lists={SERVER})
    driven.ask()
    driven.answer(200, {"content-encoding": "gzip"})
    driven.send(gzip.compress(json.dumps(page(ONE)).encode()))
    driven.end()
    assert driven.addresses == ["10.0.0.1"]
    driven.ask()
    driven.answer(500, {"content-encoding": "gzip"})
    driven.send(gzip.compress(b'{"message": "etcd is away"}'))
    driven.end()
    assert str(driven.error).endswith("said 500: etcd is away")


@pytest.mark.parametrize(
    ("packed", "said"),
    [
        (b"no gzip", "invalid gzip"),
        (gzip.compress(b"")[:10] + b"\xff" * 9, "invalid gzip"),
        (gzip.compress(b"x" * 2**26), "more than 8192 KiB"),
        (gzip.compress(b"no JSON\n") + b"and more", "invalid JSON"),
    ],
)
def test_what_cannot_be_unpacked_is_a_failure(packed: bytes, said: str) -> None:
    driven = Driven()
    driven.ask()
    driven.answer(200, {"content-encoding": "gzip"})
    driven.send(packed)
    driven.end()
    assert said in str(driven.error)
    driven.pause()
    driven.begin(ONE)
    assert driven.addresses == ["10.0.0.1"]


# Changes.


def test_what_comes_within_20_ms_appears_together() -> None:
    driven = Driven()
    driven.begin(ONE)
    driven.now += 10
    driven.send(event("ADDED", TWO))
    assert driven.addresses == ["10.0.0.1"]
    assert driven.watch.wake_at == pytest.approx(driven.now + 0.02)
    driven.go(0.015)
    driven.send(event("MODIFIED", slice_of("a", endpoint("10.0.0.1", ready=False), version=8)))
    assert driven.addresses == ["10.0.0.1"]
    driven.go(0.0051)
    assert driven.addresses == ["10.0.0.2"]
    assert len(driven.told) == 2


def test_events_that_keep_coming_do_not_put_it_off() -> None:
    driven = Driven()
    driven.begin(ONE)
    for at in range(8, 12):
        driven.go(0.006)
        driven.send(event("MODIFIED", slice_of("b", endpoint(f"10.0.0.{at}"), version=at)))
    driven.go(0.003)
    assert len(driven.addresses) > 1


def test_a_deleted_slice_is_taken_away_after_a_while() -> None:
    driven = Driven()
    driven.begin(ONE, TWO)
    driven.send(event("DELETED", slice_of("b", endpoint("10.0.0.2"), version=9)))
    driven.go(0.02)
    assert driven.addresses == ["10.0.0.1", "10.0.0.2"]
    assert driven.watch.wake_at == pytest.approx(driven.now + 1.98)
    driven.go(1.98)
    assert driven.addresses == ["10.0.0.1"]


def test_a_bookmark_tells_that_all_is_well() -> None:
    driven = Driven()
    driven.begin(ONE)
    driven.now += 30
    driven.send(bookmark(9))
    assert driven.told[-1] == (driven.told[0][0], driven.now)


def test_kinds_of_events_that_are_not_known_say_nothing() -> None:
    driven = Driven()
    driven.begin(ONE)
    driven.send(event("SPLENDID", ONE | {"endpoints": None}))
    driven.go(1)
    assert driven.addresses == ["10.0.0.1"]


# Streams end.


def later(driven: Driven, *data: bytes, seconds: float = 55) -> None:
    """A resumed stream that lasts, and ends in order."""
    driven.ask()
    driven.answer()
    driven.go(seconds)
    driven.send(*data)
    driven.end()


def test_a_stream_that_ended_in_order_is_resumed() -> None:
    driven = Driven()
    driven.begin(ONE, version=5)
    driven.now += 55
    driven.send(bookmark(9))
    driven.end()
    assert driven.live
    query = driven.ask()
    assert query["resourceVersion"] == "9"
    assert query["allowWatchBookmarks"] == "true"


def test_one_that_brought_nothing_is_begun_anew() -> None:
    driven = Driven()
    driven.begin(ONE)
    driven.now += 55
    driven.end()
    later(driven)
    assert driven.live
    assert "resourceVersion" not in driven.ask()


def test_so_is_every_tenth() -> None:
    driven = Driven()
    driven.begin(ONE)
    driven.now += 55
    driven.end()
    for number in range(9):
        assert "resourceVersion" in driven.ask()
        driven.answer()
        driven.go(55)
        driven.send(bookmark(10 + number))
        driven.end()
    assert "resourceVersion" not in driven.ask()


def test_so_is_one_with_a_lower_version() -> None:
    driven = Driven()
    driven.begin(ONE, version=100)
    driven.now += 5
    driven.send(bookmark(99))
    assert driven.watch.finished
    assert driven.live
    assert driven.pause() < 1
    assert "resourceVersion" not in driven.ask()


def test_versions_that_are_lower_again_and_again_are_a_failure() -> None:
    """A server that has none sends them in any order."""
    driven = Driven()
    driven.begin(ONE, version=100)
    driven.send(bookmark(99))
    assert driven.live
    driven.pause()
    driven.begin(ONE, version=100)
    driven.send(bookmark(99))
    assert "lower" in str(driven.error)
    assert driven.pause() >= 1


@pytest.mark.parametrize("version", ["", "0"])
def test_a_list_without_a_version_is_followed_as_well(version: str) -> None:
    driven = Driven(lists={SERVER})
    listed(driven, page(ONE) | {"metadata": {"resourceVersion": version}})
    assert driven.addresses == ["10.0.0.1"]
    assert driven.ask().get("resourceVersion", "") == version
    driven.answer()
    driven.send(event("ADDED", ONE), event("ADDED", TWO))
    driven.go(0.02)
    assert driven.addresses == ["10.0.0.1", "10.0.0.2"]


def test_a_connection_that_was_closed_while_it_was_idle_is_no_trouble() -> None:
    driven = Driven()
    driven.begin(ONE)
    driven.now += 55
    driven.send(bookmark(9))
    driven.end()
    driven.ask()
    driven.end("the server closed the connection")
    assert driven.live
    assert driven.ask()["resourceVersion"] == "9"
    driven.end("connection refused")
    assert "refused" in str(driven.error)


@pytest.mark.parametrize("error", ["connection refused", "no connection in 5 s", "reset in TLS"])
def test_a_new_connection_that_fails_is_trouble_at_once(error: str) -> None:
    driven = Driven()
    driven.begin(ONE)
    driven.now += 55
    driven.send(bookmark(9))
    driven.end()
    driven.ask()
    driven.watch.connects()
    driven.end(error)
    assert error in str(driven.error)


def test_a_version_that_is_no_number_is_never_lower() -> None:
    driven = Driven()
    driven.begin(ONE)
    driven.send(event("BOOKMARK", {"metadata": {"resourceVersion": "abc"}}), bookmark(1))
    assert not driven.watch.finished


def test_a_version_may_be_a_very_large_number() -> None:
    driven = Driven()
    driven.begin(ONE)
    driven.send(event("BOOKMARK", {"metadata": {"resourceVersion": "9" * 10_000}}))
    assert not driven.watch.finished
    driven.send(bookmark(9))
    assert driven.watch.finished
    assert driven.live


def test_a_stream_that_breaks_is_resumed_at_once() -> None:
    driven = Driven()
    driven.begin(ONE, version=5)
    driven.now += 5
    driven.send(event("ADDED", TWO)[:30])
    driven.end("connection reset")
    assert driven.live
    assert driven.ask()["resourceVersion"] == "5"
    driven.answer()
    driven.send(event("ADDED", TWO))
    driven.go(0.02)
    assert driven.addresses == ["10.0.0.1", "10.0.0.2"]


def test_one_that_is_cut_in_order_in_mid_line_is_resumed_as_well() -> None:
    driven = Driven()
    driven.begin(ONE, version=5)
    driven.now += 5
    driven.send(event("ADDED", TWO)[:30])
    driven.end()
    assert driven.ask()["resourceVersion"] == "5"


def test_what_came_before_it_broke_counts() -> None:
    driven = Driven()
    driven.begin(ONE)
    driven.now += 5
    driven.send(event("ADDED", TWO))
    driven.end("connection reset")
    assert driven.addresses == ["10.0.0.1", "10.0.0.2"]


def test_one_that_ends_within_a_second_is_a_failure() -> None:
    driven = Driven()
    driven.begin(ONE)
    driven.now += 0.9
    driven.end()
    assert "at once" in str(driven.error)
    assert driven.pause() >= 1
    assert driven.ask()["resourceVersion"] == "5"
    driven.answer()
    assert driven.live


def test_one_that_is_silent_for_70_seconds_is_dead() -> None:
    driven = Driven()
    driven.begin(ONE)
    driven.go(69)
    assert not driven.watch.is_dead(driven.now)
    assert driven.watch.wake_at == driven.now + 1
    driven.go(1)
    assert driven.watch.is_dead(driven.now)
    driven.end("a read timed out")
    assert isinstance(driven.error, LookupTimeout)
    assert "70 s" in str(driven.error)
    driven.pause()
    assert "resourceVersion" in driven.ask()


def test_a_server_that_does_not_answer_at_all_is_given_up_after_ten_seconds() -> None:
    driven = Driven()
    driven.ask()
    driven.go(10)
    assert driven.watch.is_dead(driven.now)
    driven.end("a read timed out")
    assert isinstance(driven.error, LookupTimeout)


# Trouble.


def test_the_pauses_after_failures_grow_and_are_random() -> None:
    print("seeds 0 to 99")
    pauses: list[list[float]] = [[] for _ in range(8)]
    for seed in range(100):
        driven = Driven(seed=seed)
        driven.begin(ONE)
        driven.now += 5
        driven.end("reset")
        for number in range(8):
            driven.ask()
            driven.end("connection refused")
            pauses[number].append(driven.pause())
    assert all(1 <= pause <= 30 for each in pauses for pause in each)
    assert max(pauses[0]) <= 1
    assert max(pauses[2]) <= 4
    assert max(pauses[7]) > 20
    assert len(set(pauses[7])) > 50


def test_a_first_state_after_trouble_waits_a_random_while_more() -> None:
    pauses = set()
    for seed in range(20):
        driven = Driven(seed=seed)
        driven.ask()
        driven.end("connection refused")
        pauses.add(driven.pause())
    assert all(1 <= pause <= 2 for pause in pauses)
    assert len(pauses) > 10


def test_trouble_is_over_once_a_watch_is_accepted() -> None:
    driven = Driven()
    driven.begin(ONE)
    driven.now += 5
    driven.end("reset")
    driven.ask()
    driven.end("connection refused")
    assert not driven.live
    driven.pause()
    driven.ask()
    driven.answer()
    assert driven.addresses == ["10.0.0.1"]
    assert driven.told[-1][0] is driven.told[0][0]


def test_a_token_that_is_refused_is_read_again_once() -> None:
    driven = Driven()
    driven.begin(ONE)
    driven.now += 55
    driven.send(bookmark(6))
    driven.end()
    driven.refuse(401, status(401, "Unauthorized", "Unauthorized"))
    assert driven.live
    driven.refuse(401, status(401, "Unauthorized", "Unauthorized"))
    assert "401: Unauthorized" in str(driven.error)
    assert "token" in (driven.error.hint or "")
    assert driven.pause() >= 1
    assert driven.ask()["resourceVersion"] == "6"


def test_no_right_is_a_failure_that_says_which_role_to_make() -> None:
    driven = Driven()
    said = 'endpointslices is forbidden: User "system:serviceaccount:shop:default" cannot list'
    further = ' resource "endpointslices" in API group "discovery.k8s.io" in the namespace "shop"'
    driven.refuse(403, status(403, "Forbidden", said + further))
    assert said in str(driven.error)
    assert len(str(driven.error).split()) <= 25
    assert "Role" in (driven.error.hint or "")
    assert "get, list and watch" in (driven.error.hint or "")
    driven.pause()
    driven.begin(ONE)
    assert driven.live


def test_too_many_requests_are_asked_again_when_the_server_says() -> None:
    driven = Driven()
    driven.begin(ONE)
    driven.now += 5
    driven.send(bookmark(6))
    driven.end("reset")
    driven.refuse(429, None, retry_after="7")
    assert driven.pause() == 7
    assert driven.ask()["resourceVersion"] == "6"
    driven.answer(429, {"retry-after": "1" + "0" * 30})
    driven.end()
    assert driven.pause() == 300


@pytest.mark.parametrize(
    ("until", "date", "seconds"),
    [
        ("Sat, 28 Nov 2026 14:46:20 GMT", "Sat, 28 Nov 2026 14:46:13 GMT", 7),
        ("Sat, 28 Nov 2026 15:46:20 +0100", "Saturday, 28-Nov-26 14:46:08 GMT", 12),
        ("Sun, 29 Nov 2026 14:46:13 GMT", "Sat, 28 Nov 2026 14:46:13 GMT", 300),
        ("Sat, 28 Nov 2026 14:46:13 GMT", "Sat, 28 Nov 2026 14:46:20 GMT", None),
        ("Sat, 28 Nov 2026 14:46:20 GMT", "Sat, 28 Nov 2026 14:46:13", None),
        ("Sat, 28 Nov 2026 14:46:20 GMT", None, None),
        ("soon", "Sat, 28 Nov 2026 14:46:13 GMT", None),
        ("-5", None, None),
    ],
)
def test_a_date_to_ask_again_at_is_compared_with_the_date_of_the_reply(
    until: str, date: str | None, seconds: float | None
) -> None:
    driven = Driven()
    headers = {"retry_after": until} | ({} if date is None else {"date": date})
    driven.refuse(429, None, **headers)
    assert 1 <= driven.pause() <= 2 if seconds is None else driven.pause() == seconds


@pytest.mark.parametrize("code", [401, 403, 429, 500, 502])
@pytest.mark.parametrize("body", [b"<html>\xff no</html>", b"null", b"[1]", b'{"message": null}'])
def test_the_body_of_an_error_may_be_anything(code: int, body: bytes) -> None:
    driven = Driven()
    for _ in range(2):
        driven.ask()
        driven.answer(code)
        driven.send(body)
        driven.end()
        driven.now += 5
    assert str(driven.error).endswith(f"said {code}")


@pytest.mark.parametrize("code", [500, 503, 504, 301, 404])
def test_any_other_status_forgets_the_version(code: int) -> None:
    driven = Driven()
    driven.begin(ONE)
    driven.now += 5
    driven.end("reset")
    driven.refuse(code)
    assert str(code) in str(driven.error)
    assert driven.pause() >= 1
    assert "resourceVersion" not in driven.ask()


def test_a_resource_version_that_is_too_large_does_not_come_again() -> None:
    driven = Driven()
    driven.begin(ONE)
    driven.now += 5
    said = "Timeout: Too large resource version: 99999999, current: 81"
    driven.send(event("ERROR", status(504, "Timeout", said)))
    assert driven.watch.finished
    assert said in str(driven.error)
    driven.pause()
    assert "resourceVersion" not in driven.ask()


def test_a_version_that_is_gone_is_no_failure_but_twice_in_a_minute() -> None:
    gone = status(410, "Expired", "too old resource version: 5 (9)")
    driven = Driven()
    driven.begin(ONE)
    driven.now += 5
    driven.send(event("ERROR", gone))
    assert driven.live
    assert driven.pause() < 1
    driven.begin(ONE)
    driven.now += 50
    driven.end("reset")
    driven.refuse(410, gone)
    assert "gone" in str(driven.error)
    driven.pause()
    driven.begin(ONE)
    driven.now += 61
    driven.send(event("ERROR", gone))
    assert driven.live


@pytest.mark.parametrize(
    "line",
    [
        b"<html>not JSON</html>\n",
        b"[" * 100_000 + b"\n",
        b"5\n",
        b"null\n",
        b'{"type":"ADDED"}\n',
        b'{"type":"ADDED","object":{"metadata":{"resourceVersion":"9"}}}\n',
        b'{"type":"ERROR","object":5}\n',
        b'{"type":"BOOKMARK","object":{"metadata":{}}}\n',
        b"\xff\xfe\n",
        b'{"type":"ADDED","object":[' + b"{}," * 60_000 + b"{}]}\n",
        b'{"type":"ADDED","object":' + b"9" * 21 + b"}\n",
        event("ADDED", slice_of("b", *[endpoint("10.0.0.2")] * 1001)),
        event("ADDED", slice_of("b", *[endpoint(*["10.0.0.2"] * 101)] * 100)),
        event("ADDED", slice_of("b", ports=[{"name": "http", "port": 1}] * 20_001)),
        b'{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":' + b"9" * 10_000 + b"}}}\n",
    ],
)
def test_nonsense_is_a_failure_and_begun_anew(line: bytes) -> None:
    driven = Driven()
    driven.begin(ONE)
    driven.now += 5
    driven.send(line)
    assert driven.watch.finished
    assert not driven.live
    assert driven.pause() >= 1
    assert "resourceVersion" not in driven.ask()


def test_a_line_may_be_as_long_as_8_mebibytes() -> None:
    driven = Driven()
    driven.begin(ONE)
    large = event("ADDED", slice_of("b", endpoint("10.0.0.2"), version=9))
    padded = large[:-2] + b" " * (8 * 1024 * 1024 - len(large)) + large[-2:]
    driven.send(*(padded[at : at + 65536] for at in range(0, len(padded), 65536)))
    driven.go(0.02)
    assert len(driven.addresses) == 2
    driven.now += 5
    driven.send(b" " * (8 * 1024 * 1024 + 1))
    assert "8192 KiB" in str(driven.error)


def test_what_an_error_says_is_shown_on_one_line_and_not_too_long() -> None:
    driven = Driven()
    driven.refuse(500, status(500, "X", "a\nb\x1b[31m" + "c" * 1000))
    assert "\n" not in str(driven.error)
    assert "\x1b" not in str(driven.error)
    assert len(str(driven.error)) < 300
    driven.pause()
    driven.refuse(500, status(500, "X", "one\n\ttwo " + "long-" * 30 + " word"))
    assert str(driven.error).endswith("said 500: one two " + "long-" * 30)
    driven.pause()
    driven.ask()
    driven.answer(500)
    driven.send(b"x" * 100_000)
    assert driven.watch.finished
    assert not driven.live


def test_who_is_in_a_hurry_passes_over_backoff_but_not_within_a_second() -> None:
    driven = Driven(seed=3)
    driven.begin(ONE)
    driven.now += 5
    driven.end("reset")
    for _ in range(6):
        driven.ask()
        driven.end("connection refused")
        at = driven.now
        driven.pause()
    driven.now = at + 0.5
    driven.watch.hurry(driven.now)
    assert driven.watch.wake_at == pytest.approx(at + 1)
    assert driven.pause() == pytest.approx(0.5)
    driven.ask()


def test_a_fault_of_our_own_is_told_and_begun_anew(caplog: pytest.LogCaptureFixture) -> None:
    driven = Driven()
    driven.begin(ONE)
    driven.watch.broke(ZeroDivisionError("oh"), driven.now)
    assert "ZeroDivisionError" in str(driven.error)
    assert "oh" in caplog.text
    driven.pause()
    assert "resourceVersion" not in driven.ask()


def test_who_vanished_is_kept_through_trouble() -> None:
    driven = Driven()
    driven.begin(ONE, TWO)
    driven.now += 5
    driven.send(event("DELETED", TWO))
    driven.go(0.02)
    driven.end("reset")
    driven.ask()
    driven.end("connection refused")
    driven.pause()
    driven.now += 100
    driven.ask()
    driven.answer()
    assert len(driven.addresses) == 2
    driven.go(0)
    assert driven.addresses == ["10.0.0.1"]


def test_it_tells_the_same_again_when_it_is_asked_to() -> None:
    driven = Driven()
    driven.again_at = driven.now + 30
    driven.begin()
    assert driven.watch.wake_at == pytest.approx(driven.now + 30)
    driven.again_at = float("inf")
    driven.go(29)
    assert len(driven.told) == 1
    driven.go(1)
    assert driven.told[1][0] is driven.told[0][0]
    assert driven.watch.wake_at > driven.now + 30


def test_it_tells_whether_it_waits_for_backoff() -> None:
    driven = Driven()
    driven.ask()
    assert not driven.watch.pauses(driven.now)
    driven.end("connection refused")
    assert driven.watch.pauses(driven.now)
    driven.pause()
    assert not driven.watch.pauses(driven.now)


def test_a_bookmark_without_its_mark_does_not_end_the_first_state() -> None:
    driven = Driven()
    driven.ask()
    driven.answer()
    driven.send(event("ADDED", ONE), bookmark(9))
    assert driven.told == []
    driven.send(bookmark(9, end=True))
    assert driven.addresses == ["10.0.0.1"]
