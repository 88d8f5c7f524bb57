"""Flagged cases of a sweep, confirmed with fresh launches. No torch."""

from collections.abc import Mapping, Sequence

import numpy as np

from attnbench.bench.gate.bounds import RULE, SAME, Numbers, Rule, location, look
from attnbench.bench.gate.decision import Decision, because, checked, conclude, estimate, worded
from attnbench.bench.gate.signs import holm, sign_flip_bound, sign_flip_p
from attnbench.bench.records.verdict import Verdict

SHARES = {12: 0.5, 16: 0.25, 20: 0.125, 24: 0.125}
"""What each look at fresh launches may spend of `Rule.alpha`: 12 launches have no p below 1 in 4096."""
CONFIRMING = tuple(SHARES)
"""Numbers of fresh launches at which a flagged case is looked at."""


def confirm(cases: Mapping[str, Sequence[float]], rule: Rule = RULE) -> dict[str, Decision]:
    """Decisions on all flagged cases from their fresh launches; an UNDECIDED one may be given more of them.

    Give *all* cases that were flagged each time, the decided ones too with the
    launches they have: the family must neither shrink nor grow. The chance that any case of
    the family whose true shift is `rule.slower` or less is ever called REGRESSED is at
    most `rule.alpha`; likewise for IMPROVED. Both follow from the exact sign-flip test and Holm's, for
    launches that are independent and symmetric. Raises as `decide`.
    """
    said = verdicts(cases, rule)
    return {name: _decision(said[name], checked(values), rule) for name, values in cases.items()}


def verdicts(cases: Mapping[str, Sequence[float]], rule: Rule) -> dict[str, Verdict]:
    """The verdicts of `confirm`, without their numbers."""
    launches = {name: checked(values) for name, values in cases.items()}
    slower = holm([_p(values, rule) for values in launches.values()], rule.alpha)
    faster = holm([_p(-values, rule) for values in launches.values()], rule.alpha)
    said = zip(launches.items(), slower, faster, strict=True)
    return {name: _verdict(values, up, down, rule) for (name, values), up, down in said}


def _verdict(launches: Numbers, slower: bool, faster: bool, rule: Rule) -> Verdict:
    if slower:
        return Verdict.REGRESSED
    if faster:
        return Verdict.IMPROVED
    looks = _looks(launches)
    same = looks and int(look(np.array(looks[-1][1]), rule)) == SAME
    return Verdict.UNCHANGED if same else Verdict.UNDECIDED


def _looks(launches: Numbers) -> list[tuple[float, list[float]]]:
    """The looks had so far: the share of each, and its launches."""
    return [(share, launches[:count].tolist()) for count, share in SHARES.items() if count <= launches.size]


def _p(launches: Numbers, rule: Rule) -> float:
    """The p-value over all looks so far: it only falls as launches come in, and so may be asked at any time."""
    return min([1.0, *(sign_flip_p(values, rule.slower) / share for share, values in _looks(launches))])


def _decision(verdict: Verdict, launches: Numbers, rule: Rule) -> Decision:
    looks = _looks(launches)
    if not looks:
        return estimate(launches.tolist(), rule)
    launches = launches[: len(looks[-1][1])]
    if verdict is Verdict.UNCHANGED:
        return conclude(verdict, launches, rule)
    low = max(sign_flip_bound(values, share * rule.alpha) for share, values in looks)
    high = min(-sign_flip_bound([-value for value in values], share * rule.alpha) for share, values in looks)
    alone = verdict is Verdict.UNDECIDED and (low > rule.slower or high < -rule.slower)
    why = "clear for one case, not yet among all that were flagged" if alone else because(verdict, rule)
    middle = float(location(launches, rule)[0])
    return worded(verdict, (middle, low, high), launches.size, f"{why}, in fresh launches")
