"""That the checked scan reads bytes as dnspython's parser does: what tests and fuzzer hold."""

import attrs

from headless_discovery._answer import Answer, MalformedReplyError
from headless_discovery._parse import parse
from headless_discovery._scan import scan
from headless_discovery._wire import read


def parsed(wire: bytes) -> Answer | None:
    """What dnspython makes of it; ``None`` if it refuses. Any other error comes out."""
    try:
        return parse(wire)
    except MalformedReplyError:
        return None


def check_scan(wire: bytes, before: Answer | None = None) -> Answer | None:
    """Raises `AssertionError` if the scan reads what dnspython does not; returns what it read.

    ``before`` may be any answer that the scan gave: it must not change what is said, but for the
    order of records that were all there before.
    """
    found = scan(wire)
    later = scan(wire, before)
    assert later == found or _in_no_order(later) == _in_no_order(found), (wire.hex(), before)
    if found is not None:
        assert found == parsed(wire), (wire.hex(), found)
        if found.records is not None:
            again = scan(wire, found)
            assert again == found, wire.hex()
            assert again is not None
            assert again.addresses is found.addresses
            assert again.services is found.services
            assert again.glue is found.glue
    return found


def _in_no_order(answer: Answer | None) -> Answer | None:
    return answer and attrs.evolve(
        answer,
        addresses=tuple(sorted(answer.addresses)),
        services=tuple(sorted(answer.services)),
        glue={name: tuple(sorted(addresses)) for name, addresses in answer.glue.items()},
    )


def check_read(wire: bytes) -> None:
    """Raises `AssertionError` if all in all something else is read than by dnspython alone."""
    try:
        answer: Answer | None = read(wire)
    except MalformedReplyError:
        answer = None
    assert answer == parsed(wire), wire.hex()
