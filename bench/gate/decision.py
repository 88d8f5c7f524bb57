"""What launches of one case come to. No torch."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, inf, isfinite

import numpy as np

from bench.gate.bounds import FASTER, OPEN, RULE, SAME, SLOWER, Numbers, Rule, bounds, decided, location
from bench.records.verdict import Verdict

VERDICTS = {
    OPEN: Verdict.UNDECIDED,
    SLOWER: Verdict.REGRESSED,
    FASTER: Verdict.IMPROVED,
    SAME: Verdict.UNCHANGED,
}


@dataclass(frozen=True)
class Decision:
    """A verdict with its ratio (candidate over baseline), the interval that it rests on, and why."""

    verdict: Verdict
    ratio: float
    low: float
    high: float
    launches: int
    reason: str


def checked(log_ratios: Sequence[float]) -> Numbers:
    """Launches as an array. Raises `ValueError` naming the first that is no finite number."""
    for place, value in enumerate(log_ratios, 1):
        if not isfinite(value):
            raise ValueError(
                f"launch {place} of {len(log_ratios)} has the log-ratio {value}: "
                "leave out a launch that gave no time; it is no measurement"
            )
    return np.asarray(log_ratios, dtype=float)


def conclude(verdict: Verdict, launches: Numbers, rule: Rule) -> Decision:
    """The decision with the numbers of these launches; the level of its interval is that of its verdict."""
    count = launches.shape[-1]
    if not count:
        return Decision(verdict, 1.0, 0.0, inf, 0, "no launch was taken")
    if count < 2:
        ratio = exp(launches[0])
        return Decision(verdict, ratio, 0.0, inf, count, f"{percent(ratio)} in one launch: no interval")
    middle, _, _ = location(launches, rule.trim)
    level = rule.beta if verdict is Verdict.UNCHANGED else rule.alpha / len(rule.looks)
    low, high = bounds(launches, rule, level)
    ratio, least, most = exp(middle), exp(low), exp(high) if high < 700 else inf
    return Decision(verdict, ratio, least, most, count, _reason(verdict, ratio, least, most, count, rule))


def percent(ratio: float) -> str:
    """A ratio as a signed change: 1.031 is +3.1%."""
    return f"{100 * (ratio - 1):+.1f}%"


def _reason(verdict: Verdict, ratio: float, low: float, high: float, count: int, rule: Rule) -> str:
    found = f"{percent(ratio)} ({percent(low)} to {percent(high)}) in {count} launches"
    slower, same = percent(exp(rule.slower)), percent(exp(rule.same)).lstrip("+")
    return {
        Verdict.REGRESSED: f"{found}: slower than {slower}",
        Verdict.IMPROVED: f"{found}: faster than {percent(exp(-rule.slower))}",
        Verdict.UNCHANGED: f"{found}: within {same} either way",
    }.get(verdict, f"{found}: neither beyond {slower.lstrip('+')} nor within {same}")


def decide(log_ratios: Sequence[float], rule: Rule = RULE) -> Decision | None:
    """The verdict of the launches taken so far; None: take more.

    Looks only at the numbers of launches in `rule.looks`, in the order taken, and
    stays with the first look that decided. At the last look it is UNDECIDED where nothing was decided.
    Raises `ValueError` for a launch that is no finite number.
    """
    launches = checked(log_ratios)
    said, used = decided(launches, rule)
    if said == OPEN and launches.size < rule.looks[-1]:
        return None
    count = rule.looks[-1] if said == OPEN else int(used)
    return conclude(VERDICTS[int(said)], launches[:count], rule)


def estimate(log_ratios: Sequence[float], rule: Rule = RULE) -> Decision:
    """UNDECIDED with ratio and interval: what to say when time ran out. Raises as `decide`."""
    return conclude(Verdict.UNDECIDED, checked(log_ratios), rule)


def flagged(log_ratios: Sequence[float], rule: Rule = RULE) -> bool:
    """Whether a screened case needs fresh launches: its median is beyond the bound, slower or faster."""
    launches = checked(log_ratios)
    return bool(launches.size and abs(np.median(launches)) > rule.slower)
