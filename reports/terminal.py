"""The table at the end of a run, for a terminal: sorted by case, the fastest correct implementation marked."""

from typing import Any

import pandas as pd
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench.records.schema import Run
from reports.choices import ranked
from reports.data import table
from reports.units import interval, show
from reports.words import Paragraph, plain, summary

MARKS = {"PASSED": "green", "WRONG": "bold red", "UNSUPPORTED": "dim", "UNAVAILABLE": "dim"}
BROKEN_STYLE = "yellow"
LONGEST_REASON = 60
FASTEST, TIE = "* fastest", "= tie"
HEADINGS = ("implementation", "status", "median", "95% interval", "speed-up", "rate", "error/budget", "")


def render_run(run: Run, console: Console, baseline: str | None = None) -> None:
    """Print `run` as a table and what must not be overlooked below it.

    `baseline` names the implementation that speed-ups are against; without it
    the column compares with the fastest correct one.
    """
    rows = table([run])
    if rows.empty:
        console.print("no records: nothing was run")
    else:
        console.print(_table(rows, baseline))
    for paragraph in summary([run], reference_implementation=_known(rows, baseline)).paragraphs:
        if paragraph.title in ("Wrong", "Use", "Not run"):
            _say(console, paragraph)


def _known(rows: pd.DataFrame, baseline: str | None) -> str | None:
    return baseline if baseline in set(rows["implementation"]) else None


def _say(console: Console, paragraph: Paragraph) -> None:
    console.print(Text(paragraph.title, style="bold red" if paragraph.bad else "bold"))
    for line in paragraph.lines:
        console.print(Text(f"  {line}".replace("`", "")), soft_wrap=True)


def _table(rows: pd.DataFrame, baseline: str | None) -> Table:
    shown = Table(box=None, pad_edge=False, header_style="bold")
    shown.add_column("case", overflow="fold", no_wrap=False)
    for heading in HEADINGS:
        numeric = heading in ("median", "95% interval", "speed-up", "rate", "error/budget")
        shown.add_column(heading, justify="right" if numeric else "left", overflow="fold")
    ordered = in_order(rows)
    for case, group in ordered.groupby("case", sort=False):
        for place, row in enumerate(group.itertuples()):
            shown.add_row(Text(plain(str(case)) if not place else ""), *_cells(row, group, baseline))
        shown.add_section()
    return shown


def in_order(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows by situation, length, case and time, those without a time last; with `rank` and `tied`."""
    ranks = ranked(rows)[["rank", "tied"]]
    joined = rows.join(ranks)
    joined["last"] = joined["rank"].isna()
    return joined.sort_values(
        ["run_index", "phase", "series", "length", "case", "last", "rank", "status", "implementation"],
        kind="stable",
    )


def speedup(row: Any, group: pd.DataFrame, baseline: str | None) -> float | None:
    """How many times faster than `baseline` on the same case; without one, against the fastest."""
    timed = group[group["rank"].notna()]
    other = timed[timed["implementation"] == baseline] if baseline else timed[timed["rank"] == 0]
    if other.empty or pd.isna(row.rank):
        return None
    return float(other["median_ns"].iloc[0] / row.median_ns)


def mark(rank: Any, tied: Any) -> str:
    """How a row stands in its case: fastest, in a tie with it, or neither."""
    if pd.isna(rank):
        return ""
    return FASTEST if rank == 0 else (TIE if tied is True else "")


def _cells(row: Any, group: pd.DataFrame, baseline: str | None) -> list[Text]:
    return [
        Text(plain(row.implementation)),
        Text(row.status, style=MARKS.get(row.status, BROKEN_STYLE)),
        Text(show(row.median_ns, "time")),
        Text(interval(row.low_ns, row.high_ns, "time"), style="dim"),
        Text(show(speedup(row, group, baseline), "ratio")),
        Text(show(row.tflop_s, "rate")),
        Text(show(row.share_of_budget, "plain")),
        Text(mark(row.rank, row.tied) or _short(row.reason), style="bold"),
    ]


def _short(reason: str) -> str:
    reason = plain(reason)
    return reason if len(reason) <= LONGEST_REASON else f"{reason[: LONGEST_REASON - 1]}…"
