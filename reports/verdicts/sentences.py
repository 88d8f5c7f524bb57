"""The sentences that every form of a judgement shares: one for a finding, one for the counts, and the notes.

Text from outside is made fit by :func:`attnbench.reports.text.plain`.
"""

from collections import Counter

from attnbench.bench.records.verdict import SEVERITY, Finding, Judgement, Verdict
from attnbench.bench.units import count, interval, show
from attnbench.reports.text import plain

MARKS = {
    Verdict.REGRESSED: "🔺",
    Verdict.INCOMPARABLE: "⛔",
    Verdict.UNDECIDED: "❔",
    Verdict.MISSING: "➖",
    Verdict.NEW: "➕",
    Verdict.IMPROVED: "🔻",
    Verdict.UNCHANGED: "✅",
}
MEANING = {
    Verdict.REGRESSED: "something got worse",
    Verdict.INCOMPARABLE: "the sides can't be compared: neither a pass nor a failure",
    Verdict.UNDECIDED: "the data decide nothing: neither a pass nor a failure",
    Verdict.IMPROVED: "nothing got worse, something got better",
    Verdict.UNCHANGED: "nothing got worse",
}


def ratio(finding: Finding) -> str:
    """``1.23x``, a dash without one."""
    return show(finding.ratio, "ratio")


def span(finding: Finding) -> str:
    """``1.20 to 1.27x``, a dash without one."""
    return interval(finding.low, finding.high, "ratio")


def reason(finding: Finding) -> str:
    """Why, and for which reason it was accepted."""
    accepted = f" (accepted: {plain(finding.allowed)})" if finding.allowed else ""
    return f"{plain(finding.reason)}{accepted}"


def sentence(finding: Finding) -> str:
    """One finding in one line, for where no table stands."""
    measured = f", {ratio(finding)} ({span(finding)})" if finding.low is not None else ""
    return (
        f"{finding.verdict} {finding.about}: {plain(finding.implementation)} on "
        f"{plain(finding.case)}{measured}: {reason(finding)}"
    )


def sums(judgement: Judgement) -> str:
    """``12 findings: 2 REGRESSED (1 accepted), 10 UNCHANGED``."""
    counts = Counter(one.verdict for one in judgement.findings)
    accepted = Counter(one.verdict for one in judgement.findings if one.allowed)
    listed = [
        f"{counts[verdict]} {verdict}" + (f" ({accepted[verdict]} accepted)" if accepted[verdict] else "")
        for verdict in SEVERITY
        if counts[verdict]
    ]
    return f"{count(len(judgement.findings), 'finding')}{': ' if listed else ''}{', '.join(listed)}"


def headline(judgement: Judgement) -> str:
    """The verdict over all, what it means, and what was compared."""
    return (
        f"{judgement.verdict}: {MEANING[judgement.verdict]} "
        f"({plain(judgement.candidate)} against {plain(judgement.baseline)})"
    )


def beside(judgement: Judgement) -> tuple[str, ...]:
    """What a reader must know beside the findings: why nothing may be decided first."""
    return tuple(
        plain(note) for note in ((judgement.invalid_reason,) if judgement.invalid_reason else ()) + judgement.notes
    )
