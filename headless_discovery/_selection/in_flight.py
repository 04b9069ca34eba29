"""The calls in flight at each endpoint: live use objects are counted, no counter is kept."""

from collections.abc import Sequence

from .._endpoint import Endpoint, Row, row_of


class InFlight:
    """The uses of the endpoints of one `Peers`.

    A use is known by its `id` while it lives, and takes itself out when it is ended or dropped. No
    step needs a lock: each is one operation on a dict.
    """

    def __init__(self) -> None:
        self.uses: dict[Row, dict[int, Endpoint]] = {}
        self.begun = 0
        """How many uses there were."""

    def at(self, endpoint: Endpoint) -> dict[int, Endpoint]:
        """The uses of an endpoint; the same dict as long as the endpoint is listed."""
        row = row_of(endpoint)
        uses = self.uses.get(row)
        return self.uses.setdefault(row, {}) if uses is None else uses

    def begin(self, use: object, endpoint: Endpoint) -> None:
        """Counts a use."""
        self.begun += 1
        row = row_of(endpoint)
        while True:
            uses = self.uses.get(row)
            if uses is None:
                uses = self.uses.setdefault(row, {})
            uses[id(use)] = endpoint
            if self.uses.get(row) is uses:
                return
            del uses[id(use)]  # pragma: no cover - `see` forgot it meanwhile, in some runs

    def end(self, use: object, endpoint: Endpoint) -> bool:
        """Counts it no more; returns whether it was counted."""
        uses = self.uses.get(row_of(endpoint))
        return uses is not None and uses.pop(id(use), None) is not None

    def counts(self) -> dict[Endpoint, int]:
        """How many there are at each endpoint that has any."""
        found: dict[Endpoint, int] = {}
        for uses in list(self.uses.values()):
            for endpoint in list(uses.values())[:1]:
                found[endpoint] = len(uses)
        return found

    def see(self, endpoints: Sequence[Endpoint]) -> None:
        """Forgets the endpoints that are not listed, once none of their uses is in flight."""
        for row in self.uses.keys() - set(map(row_of, endpoints)):
            if self.uses.get(row):  # it stays: while it is out, the end of a use is not noticed
                continue
            uses = self.uses.pop(row, None)
            if uses:  # pragma: no cover - one began just now, in some runs
                self.uses.setdefault(row, uses).update(uses)

    def clear(self) -> None:  # pragma: no cover - in a child: tests/test_life.py
        """Forgets all uses: in the child of a fork."""
        for uses in self.uses.values():
            uses.clear()
