"""Watching the EndpointSlices of one Service: the next request, and the meaning of bytes. Pure.

A shell does what `Watch` says: it asks for `Watch.next`, hands over status and bytes, looks in
again at `Watch.wake_at`, and says how a response ended. Whatever may take its time is a generator
that yields where others may run. The rules (Kubernetes, *API Concepts*, "Efficient detection of
changes" and "Streaming lists"):

the first state
    A watch that sends it and a bookmark at its end; where the server cannot, for the rest of the
    process, a list in pages. It is taken in whole, at its end.
the watch
    From that version on. It ends every minute, and is then resumed; restarted, if it brought
    nothing, every tenth time, after a lower version, and after any error event.
trouble
    `Unknown`; then back-off with full jitter, as after a lookup that failed.
"""

import contextlib
import math
import random
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal
from urllib.parse import urlencode

from .._endpoint import Outcome, Unknown
from .._errors import LookupFailed, LookupTimeout, log
from .parse import SERVICE, MalformedSliceError, ParsedSlice, SliceQuery
from .slices import Slices
from .text import TooManyValuesError, Unpacked, is_lower, message_of, parsed, pause_of

# All in seconds.
_WINDOW = 0.02
"""What comes within it after the first event appears together."""
_STREAM = (50.0, 60.0)
"""How long the server should keep a watch open."""
_SILENT = 70.0
"""A watch that is silent for so long is dead: the server should have ended it before."""
_ANSWER = 10.0
"""For the head of a response, and between two parts of a list."""
_END_AFTER_LAST = 5.0
_END_AFTER_ALL = 10.0
"""Seconds to wait for the bookmark after a first state: after the last slice, and in all."""
_SHORT = 1.0
"""A stream that ended sooner has failed."""
_FLOOR = 1.0
"""Minimum pause after a failure."""
_ONCE = 60.0
"""A version that is gone is normal; again within this time it is not."""

_TEXT = 8 * 1024 * 1024
_MESSAGE = 64 * 1024
"""Bytes at most: of an event or a page, of what an error says."""
_PAGE = 10
"""Slices: 1,000 endpoints at the controller's default."""
_RESUMED_AT_MOST = 9

_NO_REPLY = (
    "No reply came. Check the server's address, NetworkPolicy, and the files of its authority "
    "(ca.crt) and of the token."
)
_Kind = Literal["list", "first", "watch", "error"]
Pauses = Iterator[None]


class _BegunAnewError(Exception):
    """What the server sends is no use; that is a failure, unless it happens to all servers."""

    def __init__(self, reason: str, *, once: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.once = once
        """Whether it is none the first time in a minute."""


def _gone() -> _BegunAnewError:
    return _BegunAnewError("said again that the version is gone", once=True)


class _TooMuchError(_BegunAnewError):
    """It sends too much at once."""


class Watch:
    """The slices of one Service, followed as they change."""

    def __init__(
        self,
        query: SliceQuery,
        *,
        server: str,
        learn: Callable[[Outcome, float], float],
        rng: random.Random,
        backoff_max: float,
        lists: set[str],
    ) -> None:
        """What there is to follow, and how.

        Args:
            query: What is wanted.
            server: For messages.
            learn: Called with what is known and the time of the last message; returns when to be
                called with the same again, if nothing comes before.
            rng: The source of randomness.
            backoff_max: The last bound of the random pause after a failure, in seconds.
            lists: Servers that cannot stream a first state; one that cannot is added.
        """
        self.server = server
        self.finished: bool = False
        """Whether the rest of the response is of no interest."""
        self._query = query
        self._learn = learn
        self._rng = rng
        self._backoff_max = backoff_max
        self._lists = lists
        service = query.service
        self._path = f"/apis/discovery.k8s.io/v1/namespaces/{service.namespace}/endpointslices?"
        self._selector = f"{SERVICE}={service.service}"
        self._slices = Slices(query)
        self._fresh: dict[str, ParsedSlice] = {}  # the first state, until it is whole
        self._kind: _Kind = "first"
        self._version: str | None = None
        self._continue = ""  # the next page of a list
        self._page_size = _PAGE
        self._resumed = 0
        self._events = 0  # of this stream, bookmarks too
        self._asked_at = self._started_at = self._heard_at = self._added_at = -math.inf
        self._once_at = self._failed_at = -math.inf
        self._not_before = -math.inf
        self._failures = 0
        self._asking = False
        self._is_kept = False
        """Whether the connection is left of a response that ended in order."""
        self._live = False
        self._outcome: Outcome  # once the first state was whole
        self._window = self._again_at = math.inf
        self._status = 0
        self._pause: float | None = None
        self._unpacked = Unpacked()
        self._token_was_read = False
        self._parts: list[bytes] = []
        self._size = 0

    # What to do.

    def next(self, now: float) -> str | None:
        """The path to request now; ``None``: none before `wake_at`."""
        if now < self._not_before:
            return None
        self.finished = False
        self._asking = True
        self._parts, self._size, self._events = [], 0, 0
        self._asked_at = self._heard_at = now
        self._started_at = math.inf
        query = {"labelSelector": self._selector}
        if self._version is None and self.server in self._lists:
            self._kind = "list"
            query["limit"] = str(self._page_size)
            if self._continue:
                query["continue"] = self._continue
            else:
                self._fresh = {}
            return self._path + urlencode(query)
        query |= {"watch": "true", "allowWatchBookmarks": "true"}
        query["timeoutSeconds"] = str(round(self._rng.uniform(*_STREAM)))
        if self._version is None:
            self._kind = "first"
            self._fresh = {}
            query |= {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan"}
        else:
            self._kind = "watch"
            query["resourceVersion"] = self._version
        return self._path + urlencode(query)

    @property
    def wake_at(self) -> float:
        """When to call `tick`, at the latest."""
        wake_at = min(self._window, self._again_at, self._slices.due if self._live else math.inf)
        return min(wake_at, self._dead_at if self._asking else self._not_before)

    @property
    def _dead_at(self) -> float:
        if self._started_at == math.inf:
            return self._asked_at + _ANSWER
        if self._kind == "first":
            return min(self._added_at + _END_AFTER_LAST, self._started_at + _END_AFTER_ALL)
        return self._heard_at + (_SILENT if self._kind == "watch" else _ANSWER)

    def is_dead(self, now: float) -> bool:
        """Whether no more of this response is expected, or wanted."""
        return self.finished or now >= self._dead_at

    def seconds_left(self, now: float) -> float:
        """Until there is more to do while a response is read; 0: it is to be read no more."""
        return 0 if self.is_dead(now) else max(self.wake_at - now, 0.001)

    def hurry(self, now: float) -> None:
        """Requests them now, even during backoff, but not within a second of the last try."""
        self._not_before = min(self._not_before, max(now, self._failed_at + _FLOOR))

    # Replies.

    def connects(self) -> None:
        """A new connection is made: what fails from now on does not come from an old one."""
        self._is_kept = False

    def answered(self, status: int, headers: Mapping[str, str], now: float) -> None:
        """The head of the response is there."""
        self._heard_at = self._started_at = self._added_at = now
        self._status = status
        self._unpacked = Unpacked(headers.get("content-encoding", ""))
        if status != 200:
            self._kind = "error"
            self._pause = pause_of(headers)
            return
        self._token_was_read = False
        if self._kind == "watch":
            self._tell()

    def received(self, data: bytes, now: float) -> Pauses:
        """More of its body."""
        if self.finished:
            return
        self._heard_at = now
        try:
            for part in self._unpacked.parts(data):
                if self._kind in ("list", "error"):
                    self._keep(part, _TEXT if self._kind == "list" else _MESSAGE)
                else:
                    yield from self._lines(part, now)
                yield
        except zlib.error:
            yield from self._begin_anew(_BegunAnewError("sent invalid gzip"), now)
        except _BegunAnewError as error:
            yield from self._begin_anew(error, now)
        yield from self.tick(now)

    def ended(self, error: str | None, now: float) -> Pauses:
        """The response is over: in order, because of an error, or because it is taken for dead."""
        if self.finished:
            return
        yield from self._flush(now)
        self._asking = False
        reused, self._is_kept = self._is_kept, error is None
        if error is not None and reused and self._started_at == math.inf and not self.is_dead(now):
            return  # the server may just have closed the connection while it was idle
        lived = now - self._started_at
        if lived >= _SHORT and self._kind in ("first", "watch"):
            self._failures = 0
        dead = self.is_dead(now)
        try:
            if self._kind == "error":
                self._refused(now)
            elif self._kind == "list":
                yield from self._page(error, now)
            elif self._kind == "first" and dead and self._started_at < math.inf:
                self._use_lists("sent no bookmark at the end of its first state")
            elif error is not None and (dead or lived < _SHORT or self._kind != "watch"):
                self._fail(f"nothing came for {now - self._heard_at:.0f} s" if dead else error, now)
            elif self._kind == "first":
                self._fail("the stream ended before the first state was whole", now)
            elif lived < _SHORT:
                self._fail("the stream ended at once", now)
            else:
                self._resume(now, orderly=error is None)
        except _BegunAnewError as failed:
            yield from self._begin_anew(failed, now)

    def tick(self, now: float) -> Pauses:
        """Some time has passed."""
        if now >= self._window or (self._live and now >= self._slices.due):
            yield from self._settle(now)
        if now >= self._again_at:
            self._again_at = self._learn(self._outcome, now)

    def pauses(self, now: float) -> bool:
        """Whether it waits for backoff to be over."""
        return not self._asking and now < self._not_before

    def broke(self, error: Exception, now: float) -> None:
        """An unexpected error: restarted after backoff, as after any failure."""
        log.error(
            "%s: unexpected error in its watch",
            self._query.service,
            exc_info=error,
        )
        self._asking, self._window = False, math.inf
        self._forget()
        self._fail(f"{type(error).__name__} in the library itself", now)

    # Bytes.

    def _keep(self, data: bytes, at_most: int) -> None:
        self._size += len(data)
        if self._size > at_most:
            raise _TooMuchError(f"sent more than {at_most >> 10} KiB at once")
        self._parts.append(data)

    def _lines(self, data: bytes, now: float) -> Pauses:
        # Lines end at "\n" alone: JSON may hold U+0085 and its like as they are.
        *ends, rest = data.split(b"\n")
        for end in ends:
            self._keep(end, _TEXT)
            line = b"".join(self._parts)
            self._parts, self._size = [], 0
            if line.strip():
                yield from self._event(_parsed(line), now)
                yield
        if rest:
            self._keep(rest, _TEXT)

    def _event(self, event: Any, now: float) -> Pauses:
        try:
            kind, found = event["type"], event["object"]
            if kind == "ERROR":
                is_old = found.get("code") == 410 or found.get("reason") == "Expired"
                raise _gone() if is_old else _BegunAnewError(f"said {message_of(found) or 'ERROR'}")
            version = str(found["metadata"]["resourceVersion"])
            annotations = found["metadata"].get("annotations") or {}
            new = None
            if kind in ("ADDED", "MODIFIED", "DELETED"):
                new = yield from self._query.read(found)
        except (KeyError, TypeError, AttributeError, MalformedSliceError) as error:
            raise _BegunAnewError("sent an event that cannot be read") from error
        self._events += 1
        if self._kind == "first":
            if new is not None:  # changes too, while the server's cache catches up
                self._added_at = now
                self._fresh[new.name] = new
                if kind == "DELETED":
                    del self._fresh[new.name]
            elif annotations.get("k8s.io/initial-events-end") == "true":
                self._kind = "watch"
                yield from self._whole(version, now)
            return
        if is_lower(version, self._version):
            raise _BegunAnewError("sent a version lower than the last", once=True)
        self._version = version
        if new is None:
            self._tell()
            return
        slices = self._slices
        step = slices.drop(new.name, now) if kind == "DELETED" else slices.put(new, now)
        if (yield from step):
            self._window = min(self._window, now + _WINDOW)

    def _page(self, error: str | None, now: float) -> Pauses:
        """One page of a list is complete; if it is not, the whole list is requested again."""
        if error is not None:
            raise _BegunAnewError(error)
        found = _parsed(b"".join(self._parts))
        try:
            metadata = found["metadata"]
            for item in found.get("items") or ():
                new = yield from self._query.read(item)
                self._fresh[new.name] = new
                yield
            self._continue = metadata.get("continue") or ""
            version = str(metadata["resourceVersion"])
        except (KeyError, TypeError, AttributeError, MalformedSliceError) as bad:
            raise _BegunAnewError("sent a list that cannot be read") from bad
        if not self._continue:
            yield from self._whole(version, now)

    # What it means.

    def _whole(self, version: str, now: float) -> Pauses:
        fresh, self._fresh = self._fresh, {}
        self._version, self._resumed = version, 0
        yield from self._slices.replace(fresh, now)
        yield from self._settle(now)

    def _flush(self, now: float) -> Pauses:
        if self._window < math.inf:
            yield from self._settle(now)

    def _settle(self, now: float) -> Pauses:
        self._window = math.inf
        self._outcome = yield from self._slices.settle(now)
        self._tell()

    def _tell(self) -> None:
        self._live = True
        self._again_at = self._learn(self._outcome, self._heard_at)

    def _resume(self, now: float, *, orderly: bool) -> None:
        self._resumed += 1
        if not self._events or self._resumed > _RESUMED_AT_MOST:
            self._forget()
        if orderly:
            self._heard_at = now
            self._tell()

    def _forget(self) -> None:
        self._version, self._continue, self._resumed = None, "", 0

    def _begin_anew(self, error: _BegunAnewError, now: float) -> Pauses:
        yield from self._flush(now)
        self.finished = True
        self._asking = False
        self._forget()
        if isinstance(error, _TooMuchError) and self._kind == "list" and self._page_size > 1:
            error.once, self._page_size = True, 1  # slices may be ten times as large as usual
        again = now - self._once_at < _ONCE
        if error.once:
            self._once_at = now
        if error.once and not again:  # those who watch it should not come back all at once
            self._not_before = now + self._rng.uniform(0, 1)
        else:
            self._fail(error.reason, now)

    def _use_lists(self, why: str) -> None:
        log.info("%s %s: its EndpointSlices are listed in pages from now on", self.server, why)
        self._lists.add(self.server)
        self._forget()

    def _refused(self, now: float) -> None:
        """The status was another than 200."""
        status = self._status
        said = ""
        with contextlib.suppress(_BegunAnewError):
            said = message_of(_parsed(b"".join(self._parts)))
        if status == 401 and not self._token_was_read:
            self._token_was_read = True  # the token's file is read for each request
            return
        self._token_was_read = False
        if status in (400, 422) and self._version is None and self.server not in self._lists:
            self._use_lists(f"said {status} to a watch with a first state")
            return
        if status == 410:
            raise _gone()
        if status not in (401, 403, 429):
            self._forget()
        pause = self._pause if status == 429 else None
        hint = None
        if status == 401:
            hint = "Check the token: its file, its audience, and whether its ServiceAccount exists."
        elif status == 403:
            hint = (
                f"Make a Role in namespace {self._query.service.namespace} with the verbs get, "
                "list and watch on endpointslices of discovery.k8s.io, and a RoleBinding to this "
                "pod's ServiceAccount."
            )
        self._fail(f"said {status}" + (f": {said}" if said else ""), now, hint=hint, pause=pause)

    def _fail(
        self, what: str, now: float, *, hint: str | None = None, pause: float | None = None
    ) -> None:
        bound = min(2.0 ** min(self._failures, 64), self._backoff_max)
        self._failures += 1
        wait = max(_FLOOR, self._rng.uniform(0, bound))
        if self._version is None:
            wait += self._rng.uniform(0, 1)
        self._not_before = now + (wait if pause is None else max(wait, pause))
        self._failed_at = now
        self._live, self._again_at = False, math.inf
        service = self._query.service
        kind = LookupTimeout if what.startswith("nothing came") else LookupFailed
        if hint is None and self._started_at == math.inf:
            hint = _NO_REPLY
        self._learn(
            Unknown(
                kind(
                    f"asked {self.server} for the EndpointSlices of {service}: {what}",
                    name=str(service),
                    nameserver=self.server,
                    hint=hint,
                )
            ),
            self._heard_at,
        )


def _parsed(text: bytes) -> Any:
    try:
        return parsed(text)
    except TooManyValuesError as error:
        raise _TooMuchError("sent more values than can be parsed in time") from error
    except (ValueError, RecursionError) as error:
        raise _BegunAnewError("sent invalid JSON") from error
