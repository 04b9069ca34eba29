"""How much may be tried again that may have been received already.

An overloaded set must not be loaded three times over.
"""

_A_SECOND = 10
_AT_ONCE = 10
_CALLS = 5
"""The number of calls that allow one more attempt: 20 %."""


class Budget:
    """10 further attempts a second and 20 % of the calls, at most 10 saved up."""

    def __init__(self) -> None:
        self.calls = 0
        """How many calls began since one was taken."""
        self._left = float(_AT_ONCE * _CALLS)  # in calls: whole numbers add up exactly
        self._at = 0.0

    def take(self, now: float) -> bool:
        """Whether one more attempt may be made; if so, it is taken."""
        saved = self._left + self.calls + (now - self._at) * _A_SECOND * _CALLS
        self.calls, self._at = 0, now
        self._left = min(saved, _AT_ONCE * _CALLS)
        if self._left < _CALLS:
            return False
        self._left -= _CALLS
        return True
