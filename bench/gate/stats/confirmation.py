"""Flagged cases of a sweep, confirmed with fresh trials. No torch."""

from collections.abc import Mapping, Sequence

import numpy as np

from attnbench.bench.gate.stats.bounds import RULE, SAME, Numbers, Rule, location, look
from attnbench.bench.gate.stats.decision import Decision, because, checked, conclude, decision_of, estimate
from attnbench.bench.gate.stats.sign_test import holm, sign_flip_bound, sign_flip_p
from attnbench.bench.records.verdict import Verdict

SHARES = {12: 0.5, 16: 0.25, 20: 0.125, 24: 0.125}
"""The part of `Rule.alpha` for each look at fresh trials; 12 trials have no p-value below 1 in 4096."""
CONFIRMING = tuple(SHARES)
"""Numbers of fresh trials at which there is an interim look at a flagged case."""


def confirm(cases: Mapping[str, Sequence[float]], rule: Rule = RULE) -> dict[str, Decision]:
    """Decisions on all flagged cases from their fresh trials; an UNDECIDED one may get more of them.

    Pass *all* flagged cases in each call, including the decided ones with the trials that
    they have, since Holm's correction needs a fixed family. The probability that any case
    whose true shift is `rule.slower` or less is ever called REGRESSED is at most
    `rule.alpha`; likewise for IMPROVED. This follows from the exact sign-flip test and Holm's
    correction, for trials that are independent and symmetric. Raises as `decide`.
    """
    said = verdicts(cases, rule)
    return {name: _decision(said[name], checked(values), rule) for name, values in cases.items()}


def verdicts(cases: Mapping[str, Sequence[float]], rule: Rule) -> dict[str, Verdict]:
    """The verdicts of `confirm`, without their numbers."""
    trials = {name: checked(values) for name, values in cases.items()}
    slower = holm([_p(values, rule) for values in trials.values()], rule.alpha)
    faster = holm([_p(-values, rule) for values in trials.values()], rule.alpha)
    said = zip(trials.items(), slower, faster, strict=True)
    return {name: _verdict(values, up, down, rule) for (name, values), up, down in said}


def _verdict(trials: Numbers, slower: bool, faster: bool, rule: Rule) -> Verdict:
    if slower:
        return Verdict.REGRESSED
    if faster:
        return Verdict.IMPROVED
    looks = _looks(trials)
    same = looks and int(look(np.array(looks[-1][1]), rule)) == SAME
    return Verdict.UNCHANGED if same else Verdict.UNDECIDED


def _looks(trials: Numbers) -> list[tuple[float, list[float]]]:
    """The interim looks that the trials so far allow: the share of alpha of each, and its trials."""
    return [(share, trials[:count].tolist()) for count, share in SHARES.items() if count <= trials.size]


def _p(trials: Numbers, rule: Rule) -> float:
    """The p-value over all looks so far; it never rises with more trials, so it may be computed at any time."""
    return min([1.0, *(sign_flip_p(values, rule.slower) / share for share, values in _looks(trials))])


def _decision(verdict: Verdict, trials: Numbers, rule: Rule) -> Decision:
    looks = _looks(trials)
    if not looks:
        return estimate(trials.tolist(), rule)
    trials = trials[: len(looks[-1][1])]
    if verdict is Verdict.UNCHANGED:
        return conclude(verdict, trials, rule)
    low = max(sign_flip_bound(values, share * rule.alpha) for share, values in looks)
    high = min(-sign_flip_bound([-value for value in values], share * rule.alpha) for share, values in looks)
    alone = verdict is Verdict.UNDECIDED and (low > rule.slower or high < -rule.slower)
    why = "clear for one case, not yet among all that were flagged" if alone else because(verdict, rule)
    middle = float(location(trials, rule)[0])
    return decision_of(verdict, (middle, low, high), trials.size, f"{why}, in fresh trials")
