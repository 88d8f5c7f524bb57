"""``python -m bench report``: runs to a page, Markdown, JSON, CSV or an index."""

from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from attnbench.bench.cli.exits import UsageError

if TYPE_CHECKING:
    from attnbench.bench.records.schema import Run
    from attnbench.bench.records.verdict import Judgement

FORMATS = ("html", "md", "json", "csv", "index")


@click.command(
    epilog="Example: python -m bench report runs/today --baseline runs/last-week -o report.html",
)
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="RUN...")
@click.option("--baseline", type=click.Path(path_type=Path), metavar="RUN", help="Compare with this run.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Where to write; html goes beside the first run otherwise, md, json and csv to stdout.",
)
@click.option("--format", "form", type=click.Choice(FORMATS), default="html", show_default=True)
@click.option(
    "--codegen",
    type=click.Path(path_type=Path),
    metavar="FACTS.json",
    help="Add machine-code facts of our kernels, as `bench codegen --json` wrote them (html).",
)
@click.option("--reference", metavar="NAME", help="The implementation that speed-ups are measured against.")
def command(
    runs: tuple[Path, ...],
    baseline: Path | None,
    output: Path | None,
    form: str,
    reference: str | None,
    codegen: Path | None,
) -> None:
    """Render stored runs (folders or run.jsonl files) for people.

    Several runs go on one page. With --format index, RUN is a folder of runs and gets
    an index.html.
    """
    try:
        click.echo(_render(runs, baseline, output, form, reference, codegen), nl=False)
    except OSError as error:
        _refuse(f"can't write {error.filename or output}: {error.strerror or error}; give another file with -o")


def _render(
    paths: tuple[Path, ...],
    baseline: Path | None,
    output: Path | None,
    form: str,
    reference: str | None,
    codegen: Path | None,
) -> str:
    """What goes to stdout: the text itself, or the path of the file that holds it."""
    if form == "index":
        return f"{_index(paths)}\n"
    runs = [_read(path) for path in paths]
    against = _judged(runs, baseline)
    if form == "html":
        target = output or _beside(paths[0])
        _write_html(runs, target, against, reference, codegen)
        return f"{target}\n"
    text = _text(runs, against, form, reference)
    if output is None:
        return text
    output.write_text(text, encoding="utf-8")
    return f"{output}\n"


def _judged(runs: list["Run"], baseline: Path | None) -> "list[Judgement]":
    """A judgement of each run by the baseline; none without one."""
    if baseline is None:
        return []
    from attnbench.bench.gate.stored.judge import judge

    before = _read(baseline)
    return [judge(run, before) for run in runs]


def _index(paths: tuple[Path, ...]) -> Path:
    from attnbench.reports.index import write_index

    if len(paths) != 1 or not paths[0].is_dir():
        _refuse(f"--format index takes one folder of runs, not {' '.join(map(str, paths))}")
    return write_index(paths[0])


def _read(path: Path) -> "Run":
    from attnbench.bench.records.store import StoreError, read_run

    try:
        run = read_run(path)
    except StoreError as error:
        _refuse(str(error))
    for damage in run.damaged:
        click.echo(f"skipped a damaged line of {path}: {damage}", err=True)
    return run


def _beside(run: Path) -> Path:
    return (run if run.is_dir() else run.parent) / "report.html"


def _write_html(
    runs: list["Run"], target: Path, against: "list[Judgement]", reference: str | None, codegen: Path | None
) -> None:
    from attnbench.reports.html import write_report
    from attnbench.reports.machine_code import read_facts

    try:
        facts = read_facts(codegen) if codegen else ()
        write_report(runs, target, against=against, reference_implementation=reference, machine_code=facts)
    except ValueError as error:
        _refuse(str(error))


def _text(runs: list["Run"], against: "list[Judgement]", form: str, reference: str | None) -> str:
    from attnbench.reports import markdown, tables

    if form == "csv":
        return tables.to_csv(runs)
    if form == "json":
        return tables.to_json(runs)
    try:
        return markdown.render(runs, against, reference_implementation=reference)
    except ValueError as error:
        _refuse(str(error))


def _refuse(message: str) -> NoReturn:
    raise UsageError(" ".join(message.split()))
