"""Whether a whole comparison is invalid_reason: a side against itself, and cases that move together. No torch."""

from collections.abc import Mapping, Sequence
from math import exp

import numpy as np

from attnbench.bench.gate.stats.bounds import FASTER, RULE, SLOWER, Rule, decided, look
from attnbench.bench.gate.stats.decision import VERDICTS, checked, percent

TOGETHER_AT_LEAST = 5
"""Cases below which nothing is said of most of them."""
TOGETHER_SHARE = 0.8


def alarmed(log_ratios_of_aa_control_by_case: Mapping[str, Sequence[float]], rule: Rule = RULE) -> str:
    """Why nothing may be decided: the baseline differs from itself. Empty where it doesn't.

    Each case's A/A control is judged as any case is; where the sweep has enough cases,
    so are the medians of all, which tells of a shift too small for each alone. No
    `alpha` is shared out among cases: the truth is no shift at all, well inside `rule.slower`.
    Raises as `decide`.
    """
    trials = {name: checked(values) for name, values in log_ratios_of_aa_control_by_case.items() if len(values)}
    moved = []
    for name, values in trials.items():
        said, used = decided(values, rule)
        if int(said) in {SLOWER, FASTER}:
            ratio = exp(np.median(values[: int(used)]))
            moved.append(f"{name} {VERDICTS[int(said)]} by {percent(ratio)} in {int(used)} trials")
    middles = np.array([np.median(values) for values in trials.values()])
    if middles.size >= rule.looks[0] and int(look(middles, rule)) in {SLOWER, FASTER}:
        moved.append(f"all {middles.size} cases by {percent(exp(np.median(middles)))} in the middle")
    if not moved:
        return ""
    return f"the baseline differs from itself: {'; '.join(moved)}. Quiet the machine and measure again"


def shifted_together(log_ratios_by_case: Mapping[str, Sequence[float]], rule: Rule = RULE) -> str:
    """What to note where most cases moved the same way beyond `rule.slower`; empty where they didn't.

    A change common to all cases is often real (a compiler, a library, a wrapper
    around each call), and the sides took turns on one machine: so it is a note, and the
    verdicts stand. Only where the A/A control moved as well is the machine the likelier
    cause, and then `alarmed` upsets the whole. Raises as `decide`.
    """
    middles = [float(np.median(checked(values))) for values in log_ratios_by_case.values() if len(values)]
    for word, sign in (("slower", 1.0), ("faster", -1.0)):
        moved = [middle for middle in middles if sign * middle > rule.slower]
        if len(middles) >= TOGETHER_AT_LEAST and len(moved) >= TOGETHER_SHARE * len(middles):
            beyond, middle = percent(exp(rule.slower))[1:], percent(exp(float(np.median(moved))))
            return (
                f"{len(moved)} of {len(middles)} cases are {word} by more than {beyond} ({middle} in the middle): "
                "look for a cause common to all, such as a compiler, a library, or what stands around each call"
            )
    return ""
