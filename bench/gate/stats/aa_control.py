"""Whether a whole comparison is invalid: the baseline against itself, and cases that change together. No torch."""

from collections.abc import Mapping, Sequence
from math import exp

import numpy as np

from attnbench.bench.gate.stats.bounds import FASTER, RULE, SLOWER, Rule, decided, look
from attnbench.bench.gate.stats.decision import VERDICTS, checked, percent

TOGETHER_AT_LEAST = 5
"""Least number of cases of which `shifted_together` says anything."""
TOGETHER_SHARE = 0.8


def alarmed(log_ratios_of_aa_control_by_case: Mapping[str, Sequence[float]], rule: Rule = RULE) -> str:
    """Why nothing may be decided, which is that the baseline differs from itself; empty where it doesn't.

    The A/A control of each case is judged like any case. If the sweep has enough cases,
    the medians of all are judged as well, which detects a shift too small for each alone.
    `alpha` is not divided among the cases, since the true shift is 0, well below `rule.slower`.
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
    """A note if most cases changed in the same direction by more than `rule.slower`; empty otherwise.

    A change common to all cases is often real (a compiler, a library, a wrapper
    around each call), and the sides took turns on one machine. So it is only a note, and the
    verdicts stay. If the A/A control changed as well, the machine is the more likely
    cause, and `alarmed` makes the comparison invalid. Raises as `decide`.
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
