"""A judgement as one self-contained page: the verdict and why, what fails, every finding with its trials."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from attnbench.bench.records.trial import Trial
from attnbench.bench.records.verdict import OPEN, About, Finding, Judgement, Verdict
from attnbench.bench.units import NONE, count
from attnbench.reports.html import SHOWN_LINES, environment, inline, joined
from attnbench.reports.text import plain, visible
from attnbench.reports.verdicts import sentences
from attnbench.reports.verdicts.plot import BOUNDS, LANES, WIDTH, Plot, plot

STYLES = ("base.css", "report.css", "judgement.css")


@dataclass(frozen=True, kw_only=True)
class Row:
    """A finding as the page shows it; everything is text made fit, still to be escaped."""

    verdict: Verdict
    accepted: bool
    about: str
    implementation: str
    case: str
    ratio: str
    span: str
    trials: str
    reason: str
    repeat: str
    plot: Plot | None


def render(judgement: Judgement, trials: Sequence[Trial] = ()) -> str:
    """The page as text; `trials` are those behind the findings about time, drawn beside them."""
    by_case: dict[str, list[Trial]] = defaultdict(list)
    for one in trials:
        by_case[one.case].append(one)
    rows = [_row(one, by_case) for one in judgement.findings]
    kinds = {dot.kind for row in rows if row.plot for dot in row.plot.dots}
    return (
        environment()
        .get_template("judgement.html.j2")
        .render(
            judgement=judgement,
            baseline=plain(judgement.baseline),
            candidate=plain(judgement.candidate),
            command=visible(judgement.command),
            meaning=sentences.MEANING[judgement.verdict],
            tone=_tone(judgement.verdict),
            why=_why(judgement),
            invalid_reason=plain(judgement.invalid_reason),
            sums=sentences.sums(judgement),
            taken=count(len(trials), "trial", "trials") if trials else "",
            notes=[plain(note) for note in judgement.notes],
            failing=[_row(one, {}) for one in judgement.failing],
            shown_lines=SHOWN_LINES,
            rows=rows,
            lanes={kind: name for kind, name in LANES.items() if kind in kinds},
            pictured=any(row.plot for row in rows),
            bounds=tuple(f"{ratio - 1:.1%}" for ratio in BOUNDS),
            undrawn=_undrawn(judgement, by_case),
            width=WIDTH,
            styles=Markup("\n").join(inline(name) for name in STYLES),
            theme=joined("theme"),
        )
    )


def _row(finding: Finding, by_case: Mapping[str, Sequence[Trial]]) -> Row:
    timed = finding.about is About.TIME
    return Row(
        verdict=finding.verdict,
        accepted=bool(finding.allowed),
        about=finding.about.value,
        implementation=plain(finding.implementation),
        case=plain(finding.case),
        ratio=sentences.ratio(finding),
        span=sentences.span(finding),
        trials=str(finding.trials or NONE),
        reason=sentences.reason(finding),
        repeat=visible(finding.repeat),
        plot=plot(finding, by_case.get(finding.case, ())) if timed else None,
    )


def _tone(verdict: Verdict) -> str:
    """The colour of the headline, which says the same in words."""
    if verdict is Verdict.REGRESSED:
        return "bad"
    return "open" if verdict in OPEN else "good"


def _why(judgement: Judgement) -> str:
    """The reason for the verdict over all: what fails, why nothing may be decided, or the finding behind it."""
    if judgement.failing:
        return sentences.sentence(judgement.failing[0])
    if judgement.invalid_reason:
        return plain(judgement.invalid_reason)
    if not judgement.findings:
        return "there is no finding: nothing was judged"
    behind = [one for one in judgement.findings if one.verdict is judgement.verdict and not one.allowed]
    return sentences.sentence(behind[0]) if behind else "what is worse was accepted, or only one side has it"


def _undrawn(judgement: Judgement, by_case: Mapping[str, Sequence[Trial]]) -> str:
    """How many trials have no picture, since their case has no finding about time; '' where all are drawn."""
    timed = {one.case for one in judgement.findings if one.about is About.TIME}
    lost = sum(len(taken) for case, taken in by_case.items() if case not in timed)
    return f"{count(lost, 'trial', 'trials')} of cases without a finding about time are not drawn." if lost else ""
