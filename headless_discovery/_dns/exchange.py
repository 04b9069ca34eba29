"""A lookup's questions and the name servers: which to query, how, and when to stop. Pure.

`exchange` is a generator that carries out a lookup. It yields one kind of `Step`: what to send,
which sockets to close, until when to wait at most; and is sent the events: which socket received
which bytes or failed. It uses no sockets, and reads time by a function that is passed in.
`sockets`, `aio_sockets` and the `FakeCluster` each have one short driver for it.

- A try takes 2 s and a lookup 5 s by default. After a server that fails, the next is queried. One
  that does not reply is also queried again: without EDNS, then over TCP, then as at first.
- A late reply is still used: sockets stay open until the question has its answer.
- Optional answers are waited for only briefly after all others have come.
- A negative answer from another zone than the cluster's is held back while others are queried.
"""

import math
import operator
from collections import deque
from collections.abc import Callable, Generator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, TypeVar

import attrs

from .failures import NOT_WAITED_FOR, OUT_OF_TIME, NoReply, failure
from .message import Answer, MalformedReplyError, Server, Type, is_reply, is_truncated, query
from .names import ServiceName
from .read import parse, scan
from .steps import Event, Plan, Question, Reply, Send, Step, Steps

_T = TypeVar("_T")

AT_MOST_IN_FLIGHT = 64
"""Questions of one lookup."""
_AT_ONCE = 8
"""Questions that are sent without yielding to other tasks."""
_MADE_AT_ONCE = 250
"""Questions that are prepared without yielding to other tasks."""
_SHORTLY = 0.5
"""Seconds to wait for optional answers after all others have come."""
_HARDLY = 0.02
"""Seconds to wait for those that did not come the last time."""
_REMEMBERED = 300.0
"""Seconds for which an observation about a server is used before it is made again."""
_NEVER = -math.inf
_NONE: Mapping[Server, Any] = MappingProxyType({})
_USABLE = ("NOERROR", "NXDOMAIN")
KNOWS_NO_EDNS = ("FORMERR", "BADVERS", "NOTIMP", "BADCOOKIE")  # RFC 6891, 7; RFC 7873, 5.2.3
_PERHAPS_NO_EDNS = (*KNOWS_NO_EDNS, "SERVFAIL")


@attrs.define(eq=False)
class _Known:
    """What one server was seen to do."""

    server: Server
    # When it last replied.
    heard: float = _NEVER
    with_edns: float = _NEVER
    over_udp: float = _NEVER
    # Until when this is assumed.
    no_edns: float = _NEVER
    tcp_first: float = _NEVER
    silent: float = _NEVER
    silent_to: dict[Type, float] = attrs.field(factory=dict)

    def note_answer(self, one: "_Try", time: float) -> None:
        """It answered a question."""
        self.silent_to.pop(one.talk.question.rdtype, None)
        if one.edns is not None:
            self.with_edns, self.no_edns = time, _NEVER
        elif one.instead is not None and (
            # Silence and SERVFAIL have other reasons if it answered such queries recently.
            one.instead.rcode in KNOWS_NO_EDNS or self.with_edns < time - _REMEMBERED
        ):
            self.no_edns = time + _REMEMBERED
        if not one.tcp:
            self.over_udp, self.tcp_first = time, _NEVER
        elif one.instead is not None and self.over_udp < time - _REMEMBERED:
            self.tcp_first = time + _REMEMBERED


@attrs.define(eq=False)
class Learnt:
    """What the lookups of one clock observed about name servers, and how much they sent."""

    udp: int = 0
    """Messages sent."""
    tcp: int = 0
    _servers: dict[Server, _Known] = attrs.field(factory=dict)

    def of(self, server: Server) -> _Known:
        """What is known of a server."""
        known = self._servers.get(server)
        if known is None:
            known = self._servers[server] = _Known(server)
        return known


@attrs.define(eq=False)
class _Talk:
    """One question: the servers that are still to be queried, and the replies so far.

    There are thousands in some lookups, so none of them has containers of its own to begin with.
    """

    question: Question
    to_ask: list[_Known]
    tries: tuple["_Try", ...] = ()
    failed: Mapping[Server, NoReply] = _NONE
    """The most specific failure of each server."""
    parts: Mapping[Server, bytes] = _NONE
    """Truncated answers that TCP is to complete; not parsed, since they seldom matter."""
    no_tcp: Mapping[Server, str] = _NONE
    """Why TCP failed; from then on these servers are queried over UDP."""
    held: tuple[Answer, ...] = ()
    """Each negative answer of another zone than the cluster's."""
    limit: float = math.inf
    """Until when it is waited for."""
    reply: Reply | None = None

    @property
    def goes_on(self) -> bool:
        """Whether there is still something to wait for."""
        return any(not one.over for one in self.tries)

    @property
    def asked(self) -> list[_Known]:
        """The servers that are waited for, or the next one."""
        return [one.known for one in self.tries if not one.over] or self.to_ask[:1]

    def asked_without_edns(self, like: "_Try") -> bool:
        """Whether that was tried already, over the same transport."""
        return any(
            one.known is like.known and one.edns is None and one.tcp is like.tcp
            for one in self.tries
        )

    def note(self, server: Server, why: NoReply) -> None:
        """A response code is more specific than silence, and the end of a try than the lookup's."""
        before = self.failed.get(server)
        if before is None or why.rcode or not (before.rcode or why is OUT_OF_TIME):
            self.failed = {**self.failed, server: why}


_NEEDED = operator.attrgetter("question.needed")


@attrs.define(eq=False)
class _Try(Send):
    """One message of a question."""

    talk: _Talk
    known: _Known
    edns: int | None
    began: float
    instead: NoReply | None
    """The failure of another transport, after which this one is tried."""
    completes: bool
    """Whether it is to complete a truncated answer."""
    over: bool = False
    """Its timeout, or its reply; a late one is used as long as the socket is open."""


def exchange(
    lookup: Generator[list[Question], Sequence[Reply], _T],
    service: ServiceName,
    plan: Plan,
    learnt: Learnt,
    now: Callable[[], float],
) -> Steps[_T]:
    """Sends a lookup's questions to the name servers; returns the result of the lookup.

    The service is the one whose domain's "no" counts; what is observed is added to ``learnt``.
    """
    going = _Exchange(service, plan, learnt, now)
    try:
        questions = next(lookup)
        while True:
            if questions:
                questions = lookup.send((yield from going.ask(questions)))
            else:
                yield Step()
                questions = lookup.send(())
    except StopIteration as done:
        result: _T = done.value
        return result


class _Exchange:
    """What the questions of one lookup share: its time, its sockets, observations of servers."""

    def __init__(
        self, service: ServiceName, plan: Plan, learnt: Learnt, now: Callable[[], float]
    ) -> None:
        self._service = service
        self._plan = plan
        self._learnt = learnt
        self._servers = list(map(learnt.of, plan.servers))
        self._now = now
        self._time = self._began = now()
        self._deadline = self._began + plan.lifetime
        self._open: dict[Send, _Try] = {}
        self._timers: deque[_Try] = deque()  # all have equally long: the first is over first
        self._sends: list[Send] = []
        self._closes: list[Send] = []
        self._going: dict[_Talk, None] = {}
        self._truncated: list[_Talk] = []  # those with no complete answer
        self._doubtful: set[Server] = set()  # those with a negative answer of another zone
        # Of the questions that are asked together:
        self._limited: bool  # whether any has a limit of its own
        self._waiting: deque[_Talk]
        self._needed: int  # how many that are needed have no reply yet

    def ask(self, questions: Sequence[Question]) -> Steps[list[Reply]]:
        """Sends questions concurrently; returns the replies in the order of the questions."""
        talks: list[_Talk] = []
        for question in questions:
            talks.append(_Talk(question, self._servers_for(question)))
            if len(talks) % _MADE_AT_ONCE == 0:
                yield Step()
        # Required questions must not wait for a place that optional ones take.
        self._waiting = waiting = deque(sorted(talks, key=_NEEDED, reverse=True))
        self._needed = sum(map(_NEEDED, talks))
        self._limited = False
        self._time, until, going = self._now(), self._deadline, self._going
        if not self._needed:
            self._limit_all()
        while True:
            if self._time >= until:
                self._check_time()
            if waiting:
                self._begin()
            while self._truncated:
                yield from self._take_part(self._truncated.pop())
            if not (going or waiting):
                return [talk.reply for talk in talks if talk.reply is not None]
            until = self._wait_until()
            more = waiting and len(going) < AT_MOST_IN_FLIGHT
            step = Step(-math.inf if more else until, self._sends, self._closes)
            self._sends, self._closes = [], []
            events = yield step
            self._time = self._now()
            # After SIGSTOP, an old answer must not be taken for a new one.
            if self._time < self._deadline:
                yield from self._take_in(events)

    def _take_in(self, events: Sequence[Event]) -> Steps[None]:
        for sent, came in events:
            one = self._open.get(sent)
            if one is None:
                continue
            if isinstance(came, OSError):
                self._close(one)
                self._failed(one, NoReply.because_of(came))
            elif is_reply(one.wire, came):  # others are dropped
                self._close(one)
                known, question = one.known, one.talk.question
                known.heard, known.silent = self._time, _NEVER
                if question.tcp and not one.tcp and is_truncated(came):
                    self._complete(one, came)
                else:
                    self._took(one, scan(came, question.before) or (yield from _parsed(came)))

    # Time.

    def _wait_until(self) -> float:
        timers = self._timers
        while timers and timers[0].over:
            timers.popleft()
        until = self._deadline
        if timers:
            until = min(until, timers[0].began + self._plan.timeout)
        if self._limited:
            until = min([until, *(talk.limit for talk in self._going)])
        return until

    def _check_time(self) -> None:
        time, timers = self._time, self._timers
        if time >= self._deadline:
            for talk in self._unsettled():
                self._give_up(talk, OUT_OF_TIME)
        if self._limited:
            for talk in self._unsettled():
                if talk.limit <= time:
                    for one in talk.tries:
                        if one in self._open:
                            one.known.silent_to[talk.question.rdtype] = time + _REMEMBERED
                            self._note_silence(one)
                    self._give_up(talk, NOT_WAITED_FOR)
        while timers and (timers[0].over or timers[0].began + self._plan.timeout <= time):
            one = timers.popleft()
            if not one.over:
                one.over = True
                self._note_silence(one)
                self._failed(one, NoReply.in_time(self._plan.timeout))

    def _note_silence(self, one: _Try) -> None:
        """It is asked last from now on, if it said nothing at all in the time of a try."""
        if one.known.heard < one.began <= self._time - self._plan.timeout:
            one.known.silent = self._time + _REMEMBERED

    def _unsettled(self) -> list[_Talk]:
        return [talk for talk in (*self._going, *self._waiting) if talk.reply is None]

    def _limit_all(self) -> None:
        """All required replies are there: the others are waited for only briefly from now on."""
        for talk in self._unsettled():
            hardly = self._were_silent(talk)
            talk.limit = min(talk.limit, self._time + (_HARDLY if hardly else _SHORTLY))
            self._limited = True

    def _limit_others(self, talk: _Talk) -> None:
        """Other servers than the one that said no have one try's time in a lookup."""
        until = self._time + _SHORTLY
        if not self._were_silent(talk):
            until = max(until, self._began + self._plan.timeout)
        talk.limit = min(talk.limit, until)
        self._limited = True

    def _were_silent(self, talk: _Talk) -> bool:
        """Whether those that are waited for gave no answer to such a question the last time."""
        rdtype, time = talk.question.rdtype, self._time
        return all(known.silent_to.get(rdtype, _NEVER) > time for known in talk.asked)

    # Sending.

    def _servers_for(self, question: Question) -> list[_Known]:
        """The servers in order: those that did not reply recently, or are doubtful, come last."""
        if question.at is not None:
            return [self._learnt.of(question.at)]
        found = self._servers.copy()
        if len(found) > 1:
            found.sort(key=lambda known: known.server in self._doubtful)
            found.sort(key=lambda known: known.silent > self._time)
        return found

    def _begin(self) -> None:
        """Begins with the next questions, as many as may be sent at once."""
        for _ in range(min(AT_MOST_IN_FLIGHT - len(self._going), _AT_ONCE, len(self._waiting))):
            talk = self._waiting.popleft()
            if talk.reply is None:  # else its time is over
                self._going[talk] = None
                self._ask_next(talk)

    def _ask_next(self, talk: _Talk) -> None:
        """Queries the next server, or ends the question if none is left and no reply is pending."""
        if talk.to_ask:
            known = talk.to_ask.pop(0)
            tcp = self._plan.tcp_first or known.tcp_first > self._time
            edns = None if known.no_edns > self._time else self._plan.edns
            self._send(talk, known, edns, tcp=tcp and known.server not in talk.no_tcp)
        elif not talk.goes_on:
            self._conclude(talk)

    def _send(
        self,
        talk: _Talk,
        known: _Known,
        edns: int | None,
        *,
        tcp: bool,
        instead: NoReply | None = None,
        completes: bool = False,
    ) -> None:
        wire = query(talk.question.name, talk.question.rdtype, edns=edns)
        one = _Try(wire, known.server, tcp, talk, known, edns, self._time, instead, completes)
        talk.tries += (one,)
        self._timers.append(one)
        self._open[one] = one
        self._sends.append(one)
        if tcp:
            self._learnt.tcp += 1
        else:
            self._learnt.udp += 1

    def _close(self, one: _Try) -> None:
        one.over = True
        del self._open[one]
        self._closes.append(one)

    # Replies.

    def _complete(self, one: _Try, wire: bytes) -> None:
        """Sends the query over TCP, since its reply was truncated."""
        one.known.note_answer(one, self._time)
        one.talk.parts = {**one.talk.parts, one.known.server: wire}
        self._send(one.talk, one.known, one.edns, tcp=True, completes=True)

    def _took(self, one: _Try, said: Answer | NoReply) -> None:
        """The meaning of a complete reply."""
        talk, known = one.talk, one.known
        if isinstance(said, Answer):
            if said.referral is not None:
                said = NoReply.referral(said.referral)
            elif said.withheld is not None:
                said = NoReply.policy(said.rcode, said.withheld)
            elif said.rcode not in _USABLE:
                said = NoReply.refusal(said.rcode)
        if isinstance(said, NoReply):
            self._failed(one, said)
            return
        known.note_answer(one, self._time)
        if said.server is None:
            said.server = known.server
        elif said.server is not known.server:  # what is known by another's answer
            said = attrs.evolve(said, server=known.server)
        if said.negative and self._is_doubtful(said, talk.question):
            talk.held += (said,)
            self._doubtful.add(known.server)
            self._limit_others(talk)
            if not talk.goes_on:
                self._ask_next(talk)
        else:
            self._settle(talk, said)

    def _is_doubtful(self, answer: Answer, question: Question) -> bool:
        """A negative answer of another zone than the cluster's; any reverse zone may answer."""
        return question.rdtype is not Type.PTR and (
            answer.soa is None or not self._service.serves(answer.soa)
        )

    def _failed(self, one: _Try, why: NoReply) -> None:
        """No useful reply: tries the next transport or server."""
        talk, known, server = one.talk, one.known, one.known.server
        talk.note(server, why)
        # EDNS can be the cause of silence only if the server received the query.
        perhaps_edns = (one.left or not one.tcp) if why.timed_out else why.rcode in _PERHAPS_NO_EDNS
        if perhaps_edns and one.edns is not None and not talk.asked_without_edns(one):
            self._send(talk, known, None, tcp=one.tcp, instead=why, completes=one.completes)
        elif one.completes:
            talk.no_tcp = {**talk.no_tcp, server: why.reason}
        elif why.timed_out and not one.tcp and server not in talk.no_tcp:
            self._send(talk, known, None, tcp=True, instead=why)
        elif why.timed_out or (one.tcp and why.rcode is None):
            talk.no_tcp = {**talk.no_tcp, server: why.reason}
            talk.to_ask.append(known)
        if why.timed_out or not talk.goes_on:
            self._ask_next(talk)

    # The end of a question.

    def _settle(self, talk: _Talk, reply: Reply) -> None:
        talk.reply = reply
        self._going.pop(talk, None)
        for one in talk.tries:
            if one in self._open:
                self._close(one)
        talk.tries = ()
        if talk.question.needed:
            self._needed -= 1
            if not self._needed and (self._going or self._waiting):
                self._limit_all()

    def _give_up(self, talk: _Talk, why: NoReply) -> None:
        for known in talk.asked:
            talk.note(known.server, why)
        self._conclude(talk)

    def _conclude(self, talk: _Talk) -> None:
        """No server gave a complete answer."""
        if talk.parts:
            self._truncated.append(talk)
        elif talk.held:
            said_so = [answer.server for answer in talk.held if answer.server is not None]
            self._settle(talk, attrs.evolve(talk.held[0], servers=tuple(said_so)))
        else:
            self._settle(talk, failure(talk.question, talk.failed))

    def _take_part(self, talk: _Talk) -> Steps[None]:
        """The first truncated answer, and why there is no complete one."""
        if talk.reply is not None:
            return
        why = "; ".join(
            f"{server}: {talk.no_tcp.get(server, OUT_OF_TIME.reason)}" for server in talk.parts
        )
        for server, wire in talk.parts.items():
            part = scan(wire, talk.question.before) or (yield from _parsed(wire))
            if isinstance(part, Answer):
                self._settle(talk, attrs.evolve(part, server=server, no_tcp=why))
                return
            talk.note(server, part)
        talk.parts = _NONE
        self._conclude(talk)


def _parsed(wire: bytes) -> Steps[Answer | NoReply]:
    """Parses a reply of an unusual shape, which takes longer."""
    said: list[Answer | NoReply] = []

    def read() -> None:
        try:
            said.append(parse(wire))
        except MalformedReplyError as error:
            said.append(NoReply(f"{len(wire)} malformed bytes", detail=str(error)))

    yield Step(work=read)
    return said[0]
