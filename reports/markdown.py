"""The same numbers as Markdown, for a pull request: the words, the fastest per case, the baseline."""

import re
from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

from attnbench.bench.records.schema import Run
from attnbench.bench.records.verdict import Judgement, Verdict
from attnbench.bench.units import interval, listed, show
from attnbench.reports.summary import Summary, summary
from attnbench.reports.terminal import in_order
from attnbench.reports.text import code, plain

MOST_CASES = 60
MOST_CHANGES = 30
MARKS = {Verdict.REGRESSED: "🔺", Verdict.IMPROVED: "🔻"}


def render(
    runs: Sequence[Run], against: Sequence[Judgement] = (), *, reference_implementation: str | None = None
) -> str:
    """Markdown of `runs`; tables are cut at a size that a comment can hold, and say so."""
    said = summary(runs, against=against, reference_implementation=reference_implementation)
    return "\n".join(_lines(said, against)) + "\n"


def _lines(said: Summary, against: Sequence[Judgement]) -> Iterator[str]:
    yield "## Attention benchmark"
    for paragraph in said.paragraphs:
        yield f"\n**{'⚠ ' if paragraph.bad else ''}{paragraph.title}**\n"
        yield from (f"- {escaped(line)}" for line in paragraph.lines)
    for judgement in against:
        yield from _changes(judgement)
    yield from _winners(said.rows)


def escaped(text: str) -> str:
    """Text with code in backticks, safe in Markdown: outside of code nothing is markup, and no pipe ends a cell."""
    parts = re.split(r"(`[^`]*`)", text)
    safe = [part if part.startswith("`") else _outside(part) for part in parts]
    return "".join(safe).replace("|", "\\|")


def _outside(text: str) -> str:
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\*_\[\]#@])", r"\\\1", text)


def _winners(rows: pd.DataFrame) -> Iterator[str]:
    ordered = in_order(rows)
    best = ordered[ordered["rank"] == 0]
    if best.empty:
        return
    yield "\n<details><summary>Fastest correct implementation of each case</summary>\n"
    yield "| case | fastest | median | 95% interval | ties with |"
    yield "|---|---|--:|--:|---|"
    ties = ordered[(ordered["tied"] == True) & (ordered["rank"] > 0)]  # noqa: E712  # missing where not timed
    tied = ties.groupby(["run_index", "case"])["implementation"].apply(list).to_dict()
    row: Any
    for row in best.head(MOST_CASES).itertuples():
        others = listed([code(name) for name in tied.get((row.run_index, row.case), [])])
        cells = (
            code(row.case),
            code(row.implementation),
            show(row.median_ns, "time"),
            interval(row.low_ns, row.high_ns, "time"),
            others,
        )
        yield f"| {' | '.join(map(escaped, cells))} |"
    if len(best) > MOST_CASES:
        yield f"\n{len(best) - MOST_CASES:,} more cases are in the HTML report."
    yield "\n</details>"


def _changes(judgement: Judgement) -> Iterator[str]:
    changed = [one for one in judgement.findings if one.verdict in MARKS]
    if not changed:
        return
    yield "\n| verdict | about | case | implementation | against baseline | interval |"
    yield "|---|---|---|---|--:|--:|"
    for one in changed[:MOST_CHANGES]:
        cells = (
            f"{MARKS[one.verdict]} {one.verdict}",
            one.about.value,
            code(one.case),
            code(one.implementation),
            plain(one.reason) if one.ratio is None else show(one.ratio, "ratio"),
            interval(one.low, one.high, "ratio"),
        )
        yield f"| {' | '.join(map(escaped, cells))} |"
    if len(changed) > MOST_CHANGES:
        yield f"\n{len(changed) - MOST_CHANGES:,} more changes are in what `gate --json` writes."
