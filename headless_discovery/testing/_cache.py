"""CoreDNS's cache, in front of its answers: which are kept, for how long, and what they then say.

It knows no model: replies go in and out, and time is passed in.
"""

import attrs

from ._packer import CHECKING_DISABLED, NOERROR, NXDOMAIN, SERVFAIL, Received, Reply

_AT_LEAST = 5
"""Seconds: a TTL below is raised to it, 0 too (CoreDNS, ``minTTL``)."""
_SERVFAIL = 5
_AT_MOST = 9984
"""Entries, CoreDNS's default capacity."""

_Key = tuple[str, int, bool, bool]


@attrs.frozen
class _Entry:
    reply: Reply
    stored: float
    ttl: int


@attrs.define
class Cache:
    """One CoreDNS's cache. Times are seconds."""

    success: int
    denial: int
    serve_stale: float = 0
    _entries: dict[_Key, _Entry] = attrs.field(factory=dict)

    def get(self, question: Received, now: float) -> tuple[Reply | None, bool]:
        """The cached reply with its remaining TTL; and whether it must be refreshed."""
        entry = self._entries.get(_key(question))
        if entry is None:
            return None, False
        left = entry.ttl - int(now - entry.stored)  # whole seconds, as CoreDNS counts them
        if left > 0:
            return attrs.evolve(entry.reply, ttl=left), False
        if -left < self.serve_stale:
            return attrs.evolve(entry.reply, ttl=0), True
        return None, False

    def put(self, question: Received, reply: Reply, now: float) -> Reply:
        """Keeps a reply, if it is one to keep; returns it with the TTL that it is kept for."""
        if reply.rcode not in (NOERROR, NXDOMAIN, SERVFAIL):
            return reply
        if reply.rcode == SERVFAIL:
            ttl = _SERVFAIL
        else:
            most = self.success if reply.answer else self.denial
            # There are always some records: a negative reply has an SOA.
            ttl = max(_AT_LEAST, min(most, *(record.ttl for record in reply.records)))
        if len(self._entries) >= _AT_MOST:
            self._entries.pop(next(iter(self._entries)))
        self._entries[_key(question)] = _Entry(reply, now, ttl)
        return attrs.evolve(reply, ttl=ttl)


def _key(question: Received) -> _Key:
    checking_disabled = bool(question.flags & CHECKING_DISABLED)
    return question.name.lower(), question.type, question.dnssec_ok, checking_disabled
