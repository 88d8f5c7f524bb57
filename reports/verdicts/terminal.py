"""A judgement as a table, the worst first."""

from rich.console import Console
from rich.table import Table
from rich.text import Text

from attnbench.bench.records.verdict import Finding, Judgement, Verdict
from attnbench.bench.units import NONE
from attnbench.reports.text import plain
from attnbench.reports.verdicts import sentences

STYLES = {
    Verdict.REGRESSED: "bold red",
    Verdict.INCOMPARABLE: "bold yellow",
    Verdict.UNDECIDED: "yellow",
    Verdict.MISSING: "magenta",
    Verdict.NEW: "cyan",
    Verdict.IMPROVED: "green",
    Verdict.UNCHANGED: "dim",
}
MOST_ROWS = 60


def render(judgement: Judgement, console: Console) -> None:
    """Print what was found, what must be known beside it, a line that sums up, and the verdict last."""
    shown, rest = judgement.findings[:MOST_ROWS], judgement.findings[MOST_ROWS:]
    if shown:
        console.print(_table(shown))
    if rest:
        console.print(f"{len(rest)} more, none of them worse: --json FILE holds them all")
    for repeat in dict.fromkeys(one.repeat for one in judgement.failing if one.repeat):
        console.print(harmless(f"repeat: {repeat}"), soft_wrap=True)
    for note in sentences.beside(judgement):
        console.print(harmless(f"note: {note}"), soft_wrap=True)
    console.print(sentences.sums(judgement), highlight=False)
    line = harmless(sentences.headline(judgement))
    line.stylize(STYLES[judgement.verdict], 0, len(judgement.verdict))
    console.print(line, soft_wrap=True)


def harmless(text: str, style: str = "") -> Text:
    """Text in which a CI runner finds no command of its own (``::error::``, ``##[error]``)."""
    return Text(text.replace("::", ": :").replace("##[", "## ["), style=style)


def _table(findings: tuple[Finding, ...]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 1))
    for name in ("verdict", "about"):
        table.add_column(name, no_wrap=True)
    for name in ("implementation", "case"):
        table.add_column(name, overflow="fold")
    for name in ("ratio", "interval", "trials"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("reason", overflow="fold", ratio=1)
    for one in findings:
        table.add_row(
            Text(one.verdict, style="dim" if one.allowed else STYLES[one.verdict]),
            one.about.value,
            harmless(plain(one.implementation)),
            harmless(plain(one.case)),
            sentences.ratio(one),
            sentences.span(one),
            str(one.trials or NONE),
            harmless(sentences.reason(one)),
        )
    return table
