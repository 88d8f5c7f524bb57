"""Whether a whole comparison is upset: a side against itself, and cases that move together. No torch."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import exp, log

import numpy as np

from bench.gate.bounds import OPEN, RULE, SAME, Rule, decided
from bench.gate.decision import VERDICTS, checked, percent

TOGETHER_AT_LEAST = 5
TOGETHER_SHARE = 0.8
TOGETHER_SHIFT = log(1.01)


def alarmed(log_ratios_of_sentinel_by_case: Mapping[str, Sequence[float]], rule: Rule = RULE) -> str:
    """Why nothing may be decided: the baseline differs from itself. Empty where it doesn't.

    The error rate is shared among the cases, so that the chance of a false alarm
    does not grow with the sweep.
    """
    cases = log_ratios_of_sentinel_by_case
    strict = replace(rule, alpha=rule.alpha / max(1, len(cases)))
    moved = []
    for name, values in cases.items():
        launches = checked(values)
        said, used = decided(launches, strict)
        if int(said) not in {OPEN, SAME}:
            ratio = exp(np.median(launches[: int(used)]))
            moved.append(f"{name} {VERDICTS[int(said)]} {percent(ratio)} in {int(used)} launches")
    if not moved:
        return ""
    return (
        "the baseline was measured against itself and differs: "
        + "; ".join(moved)
        + ". Something else than the candidate moves the times: quiet the machine and repeat"
    )


def shifted_together(log_ratios_by_case: Mapping[str, Sequence[float]], rule: Rule = RULE) -> str:
    """What to note where most cases moved the same way; empty where they didn't.

    A change common to all cases is legitimate (a compiler, a library, a wrapper
    around each call), and so no reason to decide nothing: it's a note. Only with
    a sentinel that moved too is the machine the likelier cause, and the whole UNDECIDED.
    """
    middles = [float(np.median(checked(values))) for values in log_ratios_by_case.values() if len(values)]
    for word, sign in (("slower", 1.0), ("faster", -1.0)):
        moved = [middle for middle in middles if sign * middle > rule.slower]
        if len(middles) >= TOGETHER_AT_LEAST and len(moved) >= TOGETHER_SHARE * len(middles):
            return (
                f"{len(moved)} of {len(middles)} cases are {word} by more than "
                f"{percent(exp(rule.slower)).lstrip('+')}, {percent(exp(float(np.median(moved))))} in the middle: "
                "the cause is common to all, such as a compiler, a library, or something around each call"
            )
    return ""
