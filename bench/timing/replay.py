"""Device times inside pytest-benchmark: a clock that shows what another clock measured.

pytest-benchmark times with a host timer, which can't see a GPU. Its timer may be
any callable: this one stands still but for the measured seconds that each
round replays, so that its statistics are those of the device's own clock.
"""

from collections.abc import Iterator


class VirtualClock:
    """A timer whose time passes only by :meth:`replay`."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        """The time in seconds."""
        return self.now_s

    def replay(self, seconds: Iterator[float]) -> None:
        """Let the next measured time pass."""
        self.now_s += next(seconds)
