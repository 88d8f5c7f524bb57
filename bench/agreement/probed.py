"""What trying a convention found. No torch."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Tried:
    """One convention of an implementation: what it declares, and which values a probe agrees with.

    `case` is the probe; `why_not` says why none could be tried, '' where one was.
    """

    convention: str
    declared: str
    found: tuple[str, ...]
    case: str = ""
    why_not: str = ""

    @property
    def word(self) -> str:
        """What it does; ``?`` where no known value explains it, ``-`` where it could not be tried."""
        return "-" if self.why_not else " or ".join(self.found) or "?"

    @property
    def as_declared(self) -> bool:
        """Whether nothing that was tried speaks against what is declared."""
        return bool(self.why_not) or self.declared in self.found
