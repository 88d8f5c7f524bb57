"""A judgement as Markdown, for a job's summary or a comment: GitHub holds 1 MiB of it, so tables are cut and say so."""

from collections.abc import Iterator

from attnbench.bench.records.verdict import Finding, Judgement, Verdict
from attnbench.bench.units import NONE
from attnbench.reports.markdown import escaped
from attnbench.reports.text import code
from attnbench.reports.verdicts import sentences

MOST_ROWS = 50
HEAD = (
    "| verdict | about | implementation | case | ratio | interval | trials | reason |",
    "|---|---|---|---|--:|--:|--:|---|",
)


def render(judgement: Judgement) -> str:
    """The verdict, the findings that say something, what must be known beside them, and the rest folded away."""
    return "\n".join(_lines(judgement)) + "\n"


def _lines(judgement: Judgement) -> Iterator[str]:
    yield f"## {sentences.MARKS[judgement.verdict]} {judgement.verdict}"
    yield f"\n{escaped(sentences.headline(judgement))}. {escaped(sentences.sums(judgement))}."
    telling = [one for one in judgement.findings if one.verdict is not Verdict.UNCHANGED]
    quiet = [one for one in judgement.findings if one.verdict is Verdict.UNCHANGED]
    if telling:
        yield ""
        yield from _table(telling)
    for one in judgement.failing[:10]:
        if one.repeat:
            yield f"\nRepeat it: {escaped(code(one.repeat))}"
    if notes := sentences.beside(judgement):
        yield ""
        yield from (f"- {escaped(note)}" for note in notes)
    if quiet:
        yield f"\n<details><summary>{len(quiet)} UNCHANGED</summary>\n"
        yield from _table(quiet)
        yield "\n</details>"


def _table(findings: list[Finding]) -> Iterator[str]:
    yield from HEAD
    for one in findings[:MOST_ROWS]:
        cells = (
            f"{sentences.MARKS[one.verdict]} {one.verdict}",
            one.about.value,
            code(one.implementation),
            code(one.case),
            sentences.ratio(one),
            sentences.span(one),
            str(one.trials or NONE),
            sentences.reason(one),
        )
        yield f"| {' | '.join(map(escaped, cells))} |"
    if len(findings) > MOST_ROWS:
        yield f"\n{len(findings) - MOST_ROWS:,} more are in the JSON and the JUnit file."
