"""Flagged cases of a sweep, confirmed with fresh launches. No torch."""

from collections.abc import Mapping, Sequence

from bench.gate.bounds import RULE, SAME, Numbers, Rule, look
from bench.gate.decision import Decision, checked, conclude
from bench.gate.signs import holm, sign_flip_p
from bench.records.verdict import Verdict

CONFIRMING = (12, 16, 20, 24)
"""Numbers of fresh launches at which a flagged case is looked at."""


def confirm(cases: Mapping[str, Sequence[float]], rule: Rule = RULE) -> dict[str, Decision]:
    """Verdicts of all flagged cases from their fresh launches; an UNDECIDED one may be given more of them.

    Give *all* cases that were flagged each time, the decided ones too with the
    launches they have: the family must not shrink. The chance that any case of the
    family whose true shift is `rule.slower` or less is ever called REGRESSED is at most
    `rule.alpha`; likewise for IMPROVED. Raises as `decide`.
    """
    launches = {name: checked(values) for name, values in cases.items()}
    slower = holm([_p(values, rule) for values in launches.values()], rule.alpha)
    faster = holm([_p(-values, rule) for values in launches.values()], rule.alpha)
    said = zip(launches.items(), slower, faster, strict=True)
    return {name: conclude(_verdict(values, up, down, rule), values, rule) for (name, values), up, down in said}


def _p(launches: Numbers, rule: Rule) -> float:
    """The p-value over all looks so far (Bonferroni): it only falls as launches come in."""
    counts = [count for count in CONFIRMING if count <= launches.size]
    each = [sign_flip_p(launches[:count].tolist(), rule.slower) for count in counts]
    return min(1.0, len(CONFIRMING) * min(each, default=1.0))


def _verdict(launches: Numbers, slower: bool, faster: bool, rule: Rule) -> Verdict:
    if slower:
        return Verdict.REGRESSED
    if faster:
        return Verdict.IMPROVED
    if launches.size >= CONFIRMING[0] and int(look(launches, rule)) == SAME:
        return Verdict.UNCHANGED
    return Verdict.UNDECIDED
