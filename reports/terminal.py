"""The table at the end of a run, for a terminal: sorted by case, the fastest correct implementation marked."""

from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd
from rich.console import Console
from rich.table import Table
from rich.text import Text

from attnbench.bench.records.schema import Run
from attnbench.bench.units import interval, listed, show
from attnbench.reports.choices import ranked
from attnbench.reports.data import table
from attnbench.reports.summary import Paragraph, summary
from attnbench.reports.text import plain

MARKS = {"PASSED": "green", "WRONG": "bold red", "UNSUPPORTED": "dim", "UNAVAILABLE": "dim"}
BROKEN_STYLE = "yellow"
LONGEST_REASON = 60
FASTEST, TIE = "* fastest", "= tie"
LONGEST_NAME = 32


@dataclass(frozen=True)
class Column:
    """A column of the table: shown on terminals of at least `from_width` characters."""

    heading: str
    width: int | None
    justify: Literal["left", "right"] = "right"
    from_width: int = 0


COLUMNS = (
    Column("implementation", None, "left"),
    Column("status", 13, "left"),
    Column("median", 8),
    Column("95% interval", 18, from_width=100),
    Column("speed-up", 8),
    Column("rate", 16, from_width=120),
    Column("error/budget", 12, from_width=100),
    Column("", None, "left"),
)


def render_run(run: Run, console: Console, baseline: str | None = None) -> None:
    """Print `run` as a table and what must not be overlooked below it.

    `baseline` names the implementation that speed-ups are against; without it
    the column compares with the fastest correct one.
    """
    rows = table([run])
    if rows.empty:
        console.print("no records: nothing was run")
    else:
        _say_cases(console, rows, baseline)
    for paragraph in summary([run], reference_implementation=_known(rows, baseline)).paragraphs:
        if paragraph.title in ("Wrong", "Use", "Not run"):
            _say(console, paragraph)


def _known(rows: pd.DataFrame, baseline: str | None) -> str | None:
    return baseline if baseline in set(rows["implementation"]) else None


def _say(console: Console, paragraph: Paragraph) -> None:
    console.print(Text(paragraph.title, style="bold red" if paragraph.bad else "bold"))
    for line in paragraph.lines:
        console.print(Text(f"  {line}".replace("`", "")), soft_wrap=True)


def _say_cases(console: Console, rows: pd.DataFrame, baseline: str | None) -> None:
    """One table a case under its id, all with the same columns; a narrow terminal gets fewer of them."""
    ordered = in_order(rows)
    columns = [column for column in COLUMNS if console.width >= column.from_width]
    longest = max(len(plain(name)) for name in rows["implementation"])
    names = min(max(longest, len("implementation")), LONGEST_NAME)
    for case, group in ordered.groupby("case", sort=False):
        console.print(Text(plain(str(case)), style="bold"))
        shown = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 1))
        for column in columns:
            width = names if column.heading == "implementation" else column.width
            shown.add_column(column.heading, justify=column.justify, width=width, overflow="fold")
        for row in group.itertuples():
            cells = _cells(row, group, baseline)
            shown.add_row(*(cells[column.heading] for column in columns))
        console.print(shown)
        console.print()


def in_order(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows by situation, length, case and time, those without a time last; with `rank` and `tied`."""
    ranks = ranked(rows)[["rank", "tied", "limited"]]
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


def _cells(row: Any, group: pd.DataFrame, baseline: str | None) -> dict[str, Text]:
    return {
        "implementation": Text(plain(row.implementation)),
        "status": Text(row.status, style=MARKS.get(row.status, BROKEN_STYLE)),
        "median": Text(show(row.median_ns, "time")),
        "95% interval": Text(interval(row.low_ns, row.high_ns, "time"), style="dim"),
        "speed-up": Text(show(speedup(row, group, baseline), "ratio")),
        "rate": Text(show(row.tflop_s, "rate")),
        "error/budget": Text(show(row.share_of_budget, "plain")),
        "": Text(mark(row.rank, row.tied) or _limit(row) or _short(row.reason), style="bold"),
    }


def _limit(row: Any) -> str:
    """Why a row that agreed is no candidate for the fastest."""
    return f"known to fail on {listed(list(row.limits))} inputs" if row.limited is True else ""


def _short(reason: str) -> str:
    reason = plain(reason)
    return reason if len(reason) <= LONGEST_REASON else f"{reason[: LONGEST_REASON - 1]}…"
