"""What changed: a verdict for each case, with its ratio, interval and reason, and one for the whole. No torch."""

from enum import StrEnum

from attnbench.bench.records.schema import Kept


class Verdict(StrEnum):
    """The result for a case, and for a whole comparison; the set is closed."""

    REGRESSED = "REGRESSED"
    """The candidate is worse: slower, wrong, less accurate, larger, or it no longer runs."""

    IMPROVED = "IMPROVED"
    """The candidate is better, by the same bounds."""

    UNCHANGED = "UNCHANGED"
    """The data show that there is no change as large as the bound."""

    UNDECIDED = "UNDECIDED"
    """The data allow a change as well as none: too few trials, a disturbed machine, or an A/A control that alarmed."""

    NEW = "NEW"
    """Only the candidate has this case."""

    MISSING = "MISSING"
    """Only the baseline has this case."""

    INCOMPARABLE = "INCOMPARABLE"
    """The two sides were measured under conditions that differ: another machine, clock or version of the method."""


class About(StrEnum):
    """What a finding is about; a case can have a finding of each kind."""

    TIME = "time"
    """The time of a call, or of a backward."""

    WRONG = "wrong"
    """Whether the result is right: WRONG on one side and not on the other."""

    ACCURACY = "accuracy"
    """Errors within the budget, the budgets themselves, and declared limits, where both sides pass."""

    STATUS = "status"
    """Whether the case runs at all: passed on one side, and ERROR, CRASHED, UNSUPPORTED, … on the other."""

    MEMORY = "memory"
    """The peak of memory of a call, and the bytes that the forward saves for the backward."""

    PRESENCE = "presence"
    """Whether both sides have the case at all."""


EXIT_REGRESSED = 1
EXIT_UNDECIDED = 4
OPEN = frozenset({Verdict.UNDECIDED, Verdict.INCOMPARABLE})
ABSENT = frozenset({Verdict.NEW, Verdict.MISSING})
SEVERITY = (
    Verdict.REGRESSED,
    Verdict.INCOMPARABLE,
    Verdict.UNDECIDED,
    Verdict.MISSING,
    Verdict.NEW,
    Verdict.IMPROVED,
    Verdict.UNCHANGED,
)
"""Worst first."""


class Finding(Kept, frozen=True, kw_only=True):
    """One statement about one case of one implementation.

    `ratio` is candidate over baseline (above 1: slower, larger, less accurate) with
    its interval `low` to `high`; `trials` counts the independent measurements
    behind it, 0 where nothing was timed. `allowed` holds the reason for which a user accepted it.
    """

    case: str
    implementation: str
    about: About
    verdict: Verdict
    reason: str
    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    trials: int = 0
    allowed: str = ""
    repeat: str = ""

    @property
    def fails(self) -> bool:
        """Whether it is a regression that nobody accepted."""
        return self.verdict is Verdict.REGRESSED and not self.allowed


class Judgement(Kept, frozen=True, kw_only=True):
    """A candidate judged against a baseline: findings, the worst first, and what a reader must know beside them.

    `invalid_reason` says why nothing may be decided at all (an A/A control that alarmed, other
    hardware); then the whole is no better than UNDECIDED. `required` are verdicts
    that fail here beside REGRESSED: a user may ask that no case be NEW or MISSING.
    """

    baseline: str
    candidate: str
    findings: tuple[Finding, ...]
    notes: tuple[str, ...] = ()
    invalid_reason: str = ""
    required: tuple[Verdict, ...] = ()
    command: str = ""

    @property
    def failing(self) -> tuple[Finding, ...]:
        """Findings that end the judgement badly and that nobody accepted."""
        return tuple(
            one for one in self.findings if one.fails or (one.verdict in self.required and not one.allowed)
        )

    @property
    def verdict(self) -> Verdict:
        """The verdict over all: the worst that was not accepted; UNDECIDED where nothing was judged."""
        if self.failing:
            return Verdict.REGRESSED
        found = {one.verdict for one in self.findings if not one.allowed and one.verdict not in ABSENT}
        if self.invalid_reason:
            found.add(Verdict.INCOMPARABLE if Verdict.INCOMPARABLE in found else Verdict.UNDECIDED)
        if not self.findings:
            found.add(Verdict.UNDECIDED)
        return min(found, key=SEVERITY.index, default=Verdict.UNCHANGED)

    @property
    def exit_code(self) -> int:
        """0 nothing got worse · 1 something did · 4 undecided or incomparable."""
        if self.verdict is Verdict.REGRESSED:
            return EXIT_REGRESSED
        return EXIT_UNDECIDED if self.verdict in OPEN else 0


def worst_first(findings: list[Finding]) -> tuple[Finding, ...]:
    """Findings by severity, the largest ratio first among equals, then by name."""
    return tuple(
        sorted(
            findings,
            key=lambda one: (SEVERITY.index(one.verdict), -(one.ratio or 0.0), one.case, one.implementation),
        )
    )
