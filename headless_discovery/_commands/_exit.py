"""The exit codes: what a script is told."""

from .._endpoint import Snapshot, State
from .._errors import ConfigurationError, DiscoveryError, NoSuchPort, NotHeadless

FOUND, NONE, USAGE, FAILED, NOT_HEADLESS, NO_SUCH_PORT = range(6)
INTERRUPTED = 130
"""As a shell has it: 128 and the signal's number (SIGINT)."""


def exit_code(snapshot: Snapshot, error: DiscoveryError | None) -> int:
    """Of a lookup that came to this."""
    match error:
        case ConfigurationError():
            return USAGE
        case NotHeadless():
            return NOT_HEADLESS
        case NoSuchPort():
            return NO_SUCH_PORT
    if snapshot.state is State.EMPTY:
        return NONE
    return FOUND if error is None else FAILED
