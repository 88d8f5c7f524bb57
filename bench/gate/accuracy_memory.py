"""What else can get worse while a case still passes: its accuracy, and its memory."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from attnbench.bench.records.schema import Agreement, Comparison, Record
from attnbench.bench.records.verdict import About, Finding, Verdict

ERROR_GREW = 2.0
"""An error that grew by more than this factor is a finding; another order of roundings changes it far less."""

NOTICEABLE = 0.1
"""Share of its budget below which an error is no finding, however much it grew."""

BUDGET_GREW = 2.0
"""A budget that grew beyond this lets through what was wrong before."""

MEMORY_GREW = 1.05
LEAST_BYTES = 16 * 1024
"""Growth below either is what an allocator rounds."""


def finding(now: Record, about: About, verdict: Verdict, reason: str, **figures: Any) -> Finding:
    """A finding about `now`; figures that are not finite are left out."""
    case, name = now.key
    finite = {key: value for key, value in figures.items() if math.isfinite(value)}
    return Finding(
        case=case,
        implementation=name,
        about=about,
        verdict=verdict,
        reason=reason,
        **finite,
    )


def memory(now: Record, before: Record) -> Iterator[Finding]:
    """Peak and saved bytes that moved by more than an allocator rounds; nothing where nothing moved."""
    if now.measurement is None or before.measurement is None:
        return
    for field, what in (("peak_bytes", "the peak of memory"), ("saved_bytes", "what is kept for the backward")):
        here, there = getattr(now.measurement, field), getattr(before.measurement, field)
        if here is None or there is None or abs(here - there) <= LEAST_BYTES:
            continue
        if max(here, there) <= MEMORY_GREW * min(here, there):
            continue
        verdict = Verdict.REGRESSED if here > there else Verdict.IMPROVED
        moved = "grew" if here > there else "shrank"
        reason = f"{what} {moved} from {there:,} to {here:,} bytes"
        yield finding(now, About.MEMORY, verdict, reason, ratio=here / there if there else math.inf)


@dataclass(frozen=True)
class Moved:
    """One kind of accuracy that got worse (or better, mirrored), by which ratio, in words."""

    ratio: float
    reason: str


def accuracy(now: Record, before: Record) -> Iterator[Finding]:
    """The worst of what made a passing result less accurate; the best where nothing got worse.

    Errors belong to inputs, so that other seeds are not compared.
    """
    if now.agreement is None or before.agreement is None or now.seed != before.seed:
        return
    worse = [*_moved(now.agreement, before.agreement), *_limits(now.agreement, before.agreement)]
    better = list(_moved(before.agreement, now.agreement))
    if worse:
        worst = max(worse, key=lambda one: one.ratio)
        yield finding(now, About.ACCURACY, Verdict.REGRESSED, worst.reason, ratio=worst.ratio)
    elif better:
        best = max(better, key=lambda one: one.ratio)
        reason = f"the reverse of: {best.reason}"
        yield finding(now, About.ACCURACY, Verdict.IMPROVED, reason, ratio=1 / best.ratio)


def _moved(now: Agreement, before: Agreement) -> Iterator[Moved]:
    there = {(one.output, one.family): one for one in before.comparisons}
    limited = {limit.family for limit in now.known_limits}
    for one in now.comparisons:
        was = there.get((one.output, one.family))
        if was is not None and one.family not in limited and one.finite and was.finite:
            yield from _errors(one, was)
            yield from _budgets(one, was)


def _errors(now: Comparison, before: Comparison) -> Iterator[Moved]:
    for what, error, was, budget in (
        ("error", now.max_error, before.max_error, now.max_budget),
        ("relative L2 error", now.l2_error, before.l2_error, now.l2_budget),
    ):
        here, there = float(error), float(was)
        if budget and here > ERROR_GREW * there and here > NOTICEABLE * budget:
            grew = here / there if there else math.inf
            reason = (
                f"{what} of {_where(now)} went from {there:.3g} to {here:.3g}, {here / budget:.0%} of its budget"
            )
            yield Moved(grew, reason)


def _budgets(now: Comparison, before: Comparison) -> Iterator[Moved]:
    for what, here, there in (
        ("budget", now.max_budget, before.max_budget),
        ("L2 budget", now.l2_budget, before.l2_budget),
    ):
        if there and here > BUDGET_GREW * there:
            reason = f"{what} of {_where(now)} went from {there:.3g} to {here:.3g}: more is let through"
            yield Moved(here / there, reason)


def _limits(now: Agreement, before: Agreement) -> Iterator[Moved]:
    """Families on which it fails as declared now, and was right before."""
    known = {limit.family for limit in before.known_limits if limit.seen}
    for limit in now.known_limits:
        if limit.seen and limit.family not in known and limit.family in before.families:
            yield Moved(math.inf, f"fails on {limit.family} inputs now, which is declared ({limit.reason})")


def _where(one: Comparison) -> str:
    return f"{one.output} on {one.family} inputs"
