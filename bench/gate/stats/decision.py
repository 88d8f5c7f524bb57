"""The decision that the trials of one case give. No torch."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, inf, isfinite

import numpy as np

from attnbench.bench.gate.stats.bounds import (
    FASTER,
    OPEN,
    RULE,
    SAME,
    SLOWER,
    Numbers,
    Rule,
    beyond,
    bounds,
    decided,
    location,
)
from attnbench.bench.records.verdict import Verdict

VERDICTS = {
    OPEN: Verdict.UNDECIDED,
    SLOWER: Verdict.REGRESSED,
    FASTER: Verdict.IMPROVED,
    SAME: Verdict.UNCHANGED,
}


LARGEST = 700.0
"""A log-ratio above which exp() overflows."""


@dataclass(frozen=True)
class Decision:
    """A verdict with its ratio (candidate over baseline), the interval that it rests on, and why."""

    verdict: Verdict
    ratio: float
    low: float
    high: float
    trials: int
    reason: str


def checked(log_ratios: Sequence[float]) -> Numbers:
    """Trials as an array. Raises `ValueError` naming the first that is no finite number."""
    for place, value in enumerate(log_ratios, 1):
        if not isfinite(value):
            raise ValueError(
                f"trial {place} of {len(log_ratios)} has the log-ratio {value}: "
                "leave out a trial that gave no time; it is no measurement"
            )
    return np.asarray(log_ratios, dtype=float)


def conclude(verdict: Verdict, trials: Numbers, rule: Rule) -> Decision:
    """The decision with the bounds that led to it: those of `beta` where UNCHANGED, else those of `alpha`."""
    level = rule.beta_of_a_look if verdict is Verdict.UNCHANGED else rule.alpha_of_a_look
    low, high = bounds(trials, rule, level)
    middle, _, _ = location(trials, rule)
    return decision_of(verdict, (float(middle), float(low), float(high)), trials.size, because(verdict, rule))


def decision_of(verdict: Verdict, log_ratios: tuple[float, float, float], count: int, why: str) -> Decision:
    """A decision from a location and its bounds (log-ratios); its reason is these figures, then `why`."""
    ratio, low, high = (exp(min(value, LARGEST)) for value in log_ratios)
    found = f"{percent(ratio)} ({percent(low)} to {percent(high)}) in {count} trials"
    return Decision(verdict, ratio, low, high, count, f"{found}: {why}")


def percent(ratio: float) -> str:
    """A ratio as a signed change: 1.031 is +3.1%; from 100 on, as a factor."""
    return f"{100 * (ratio - 1):+.1f}%" if ratio < 100 else f"x{ratio:.0e}"


def because(verdict: Verdict, rule: Rule) -> str:
    """What a verdict means under this rule."""
    slower, same = percent(exp(rule.slower)), percent(exp(rule.same))
    return {
        Verdict.REGRESSED: f"slower by more than {slower[1:]}",
        Verdict.IMPROVED: f"faster by more than {slower[1:]}",
        Verdict.UNCHANGED: f"within {same[1:]} either way",
    }.get(verdict, f"neither beyond {slower[1:]} nor within {same[1:]}")


def decide(log_ratios: Sequence[float], rule: Rule = RULE) -> Decision | None:
    """The decision from the trials taken so far; None where more are needed.

    Only the numbers of trials in `rule.looks` are considered, in the order taken, and the first
    look that decides is final. If the last look does not decide, the case is UNDECIDED.
    Raises `ValueError` for a trial that is no finite number.
    """
    trials = checked(log_ratios)
    said, used = decided(trials, rule)
    if said == OPEN and trials.size < rule.looks[-1]:
        return None
    count = rule.looks[-1] if said == OPEN else int(used)
    return conclude(VERDICTS[int(said)], trials[:count], rule)


def estimate(log_ratios: Sequence[float], rule: Rule = RULE) -> Decision:
    """UNDECIDED with ratio and interval, from any number of trials, for when the time ended. Raises as `decide`.

    One trial has no interval (0 to infinity), none has no ratio (1).
    """
    trials = checked(log_ratios)
    if trials.size < 2:
        ratio = exp(min(trials.sum(), LARGEST))
        return Decision(
            Verdict.UNDECIDED,
            ratio,
            0.0,
            inf,
            trials.size,
            ["no trial", "one trial: no interval"][trials.size],
        )
    level = rule.alpha_of_a_look
    middle, _, _ = location(trials, rule)
    low, high = bounds(trials, rule, level)
    log_ratio = (float(middle), float(low), float(high))
    return decision_of(Verdict.UNDECIDED, log_ratio, trials.size, "not decided when the time was up")


def flagged(log_ratios: Sequence[float], rule: Rule = RULE) -> bool:
    """Whether a screened case needs fresh trials: its median is beyond `rule.slower`, slower or faster."""
    trials = checked(log_ratios)
    return bool(trials.size and beyond(trials, rule))
