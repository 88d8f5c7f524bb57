"""One trial of a comparison: fresh processes for both sides, the same case, rounds in alternation. No torch."""

import math
from collections.abc import Sequence
from statistics import median
from typing import Literal

import msgspec

from attnbench.bench.records.schema import Environment, Kept

JOURNAL_SCHEMA = 2

Phase = Literal["screen", "confirm"]


class Trial(Kept, frozen=True, kw_only=True):
    """The unit of replication: every time of each side in order, and of A's repetition where there was one.

    `number` counts the trials of a case within its phase. A round has `calls` consecutive
    times, of which the least counts. `disturbance` is what disturbed the machine meanwhile, '' where nothing did.
    """

    case: str
    number: int
    phase: Phase
    a_ns: tuple[float, ...]
    b_ns: tuple[float, ...]
    again_ns: tuple[float, ...] = ()
    calls: int
    disturbance: str = ""

    def __post_init__(self) -> None:
        counts = {len(self.a_ns), len(self.b_ns), len(self.again_ns or self.a_ns)}
        if len(counts) > 1 or not self.a_ns or len(self.a_ns) % self.calls:
            raise ValueError(
                f"trial {self.number} of {self.case}: the sides need the same number of rounds, at least one"
            )
        if not all(0 < ns < math.inf for ns in (*self.a_ns, *self.b_ns, *self.again_ns)):
            raise ValueError(f"trial {self.number} of {self.case}: a time must be a finite number above 0")

    @property
    def log_ratio(self) -> float:
        """Median over the rounds of log(B / A); above 0, B is slower."""
        return _median_log_ratio(self.rounds_ns(self.a_ns), self.rounds_ns(self.b_ns))

    @property
    def aa_control(self) -> float | None:
        """The same for A's repetition over A, which should be 0; None without a repetition."""
        if not self.again_ns:
            return None
        return _median_log_ratio(self.rounds_ns(self.a_ns), self.rounds_ns(self.again_ns))

    def rounds_ns(self, times_ns: Sequence[float]) -> tuple[float, ...]:
        """The least time of each round."""
        return tuple(min(times_ns[i : i + self.calls]) for i in range(0, len(times_ns), self.calls))


def _median_log_ratio(below_ns: tuple[float, ...], above_ns: tuple[float, ...]) -> float:
    return median(math.log(above / below) for below, above in zip(below_ns, above_ns, strict=True))


class Side(Kept, frozen=True, kw_only=True):
    """One of the two sides that are compared: an implementation, and the revision that it comes from, if any.

    `changes` is git's hash of the files where a working tree was used as it is, '' for a commit.
    """

    implementation: str
    revision: str = ""
    commit: str = ""
    changes: str = ""
    repository: str = ""
    setup: str = ""


class Comparing(Kept, frozen=True, kw_only=True, omit_defaults=False):
    """The first line of a journal: what is compared, by which rule, and where."""

    schema: int = msgspec.field(default=JOURNAL_SCHEMA)
    created: str
    a: Side
    b: Side
    cases: tuple[str, ...]
    seed: int
    rule: str
    environment: Environment
    command: str = ""
