"""The same numbers as Markdown, for a pull request: the words, the fastest per case, the baseline."""

import re
from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

from bench.records.schema import Run
from reports.compare import compare
from reports.terminal import in_order
from reports.text import code
from reports.units import interval, listed, show
from reports.words import Summary, summary

MOST_CASES = 60
MOST_CHANGES = 30
MARKS = {"REGRESSED": "🔺", "IMPROVED": "🔻"}


def render(runs: Sequence[Run], baseline: Run | None = None, *, reference_implementation: str | None = None) -> str:
    """Markdown of `runs`; tables are cut at a size that a comment can hold, and say so."""
    said = summary(runs, baseline=baseline, reference_implementation=reference_implementation)
    return "\n".join(_lines(said, runs, baseline)) + "\n"


def _lines(said: Summary, runs: Sequence[Run], baseline: Run | None) -> Iterator[str]:
    yield "## Attention benchmark"
    for paragraph in said.paragraphs:
        yield f"\n**{'⚠ ' if paragraph.bad else ''}{paragraph.title}**\n"
        yield from (f"- {escaped(line)}" for line in paragraph.lines)
    if baseline is not None:
        for run in runs:
            yield from _changes(compare(run, baseline))
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


def _changes(both: pd.DataFrame) -> Iterator[str]:
    changed = both[both["verdict"].isin(["REGRESSED", "IMPROVED"])].sort_values("ratio", ascending=False)
    if changed.empty:
        return
    yield "\n| verdict | case | implementation | time against baseline | interval |"
    yield "|---|---|---|--:|--:|"
    row: Any
    for row in changed.head(MOST_CHANGES).itertuples():
        ratio = row.status if pd.isna(row.ratio) else show(row.ratio, "ratio")
        cells = (
            f"{MARKS[row.verdict]} {row.verdict}",
            code(row.case),
            code(row.implementation),
            str(ratio),
            interval(row.low, row.high, "ratio"),
        )
        yield f"| {' | '.join(map(escaped, cells))} |"
    if len(changed) > MOST_CHANGES:
        yield f"\n{len(changed) - MOST_CHANGES:,} more changes are in the HTML report."
