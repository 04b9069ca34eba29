"""The name server of a fake cluster: bytes in and out, a cache, and injected failures."""

import threading
from collections import deque
from collections.abc import Callable

import attrs
import dns.rdatatype

from . import _packer
from ._cache import Cache
from ._failures import Query, Rule
from ._packer import Received, Reply, UnpackableError
from ._zone import Zone

_REMEMBERED = 100_000


@attrs.define
class Answers:
    """What one CoreDNS says. ``now`` is the cache's clock, in seconds."""

    zone: Zone
    cache: Cache | None
    bufsize: int | None
    now: Callable[[], float]
    synced: bool = True
    lock: threading.RLock = attrs.field(factory=threading.RLock)
    """Held while the model is changed, and while it is read for an answer."""
    queries: deque[Query] = attrs.field(factory=lambda: deque(maxlen=_REMEMBERED))
    _rules: list[Rule] = attrs.field(factory=list)

    def answer(self, wire: bytes, *, tcp: bool = False) -> bytes | None:
        """One DNS message in, one out; ``None``: no answer."""
        question = _packer.read(wire)
        if not isinstance(question, Received):
            return question
        with self.lock:
            try:
                return self._answer(question, tcp=tcp)
            except UnpackableError:
                return None

    def fail(self, rule: Rule) -> None:
        """Fails from now on as the rule says; of several the newest counts."""
        with self.lock:
            self._rules.append(rule)

    def heal(self) -> None:
        """Ends every failure."""
        with self.lock:
            self._rules.clear()

    def _answer(self, question: Received, *, tcp: bool) -> bytes | None:
        kind = dns.rdatatype.RdataType.to_text(question.type)
        self.queries.append(Query(question.name, kind, tcp, self.now()))
        failures = (rule.kind for rule in reversed(self._rules) if rule.takes(question))
        failure = next(failures, None)
        match failure:
            case "timeout":
                return None
            case "truncate":
                return _packer.cut(question)
            case "garbage":
                return _packer.garbage(question)
            case "servfail":
                reply = Reply(_packer.SERVFAIL)
            case "refused":
                reply = Reply(_packer.REFUSED, authoritative=False)
            case "nxdomain":
                reply = self.zone.no_such_name()
            case _:
                reply = self._reply(question)
        if failure == "wrong-id":
            question = attrs.evolve(question, id=question.id ^ 0xFFFF)
        return _packer.pack(reply, question, limit=self.bufsize, tcp=tcp)

    def _reply(self, question: Received) -> Reply:
        cache, now = self.cache, self.now()
        kept, stale = (None, False) if cache is None else cache.get(question, now)
        if kept is not None and not stale:
            return self.zone.shuffled(kept)
        reply = self.zone.answer(question, synced=self.synced)
        if cache is not None:
            reply = cache.put(question, reply, now)
        return reply if kept is None else self.zone.shuffled(kept)
