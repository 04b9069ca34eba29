"""Time, handed in: the only place where the library reads a clock or sleeps."""

import time


class Clock:
    """Real, monotonic time in seconds; ``headless_discovery.testing.FakeClock`` is the other one.

    A subclass that overrides every method is a clock of one's own.
    """

    def now(self) -> float:
        """Seconds since some fixed moment; never goes back."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Returns that many seconds later."""
        time.sleep(seconds)
