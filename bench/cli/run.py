"""``run``: check, time, store, report."""

from datetime import datetime
from pathlib import Path
from time import perf_counter

import click

from attnbench.bench.agreement.families import FAMILIES
from attnbench.bench.case_run import Settings
from attnbench.bench.cli.exits import EXIT_INTERRUPTED, UsageError, seconds_of, stopping
from attnbench.bench.cli.session import (
    Peaking,
    Session,
    common_options,
    exit_code,
    progress,
    session,
    verdict_lines,
)
from attnbench.bench.cli.sweep_options import case_option, chosen_cases
from attnbench.bench.phase_times import PhaseTimes, since_start_s
from attnbench.bench.records.schema import Run
from attnbench.bench.records.store import RunWriter, StoreError, read_run, run_file
from attnbench.bench.refine import refine
from attnbench.bench.run import run_sweep
from attnbench.bench.sweeps import Sweep
from attnbench.bench.timing.rounds import Effort
from attnbench.bench.workers.process import start_server

EXAMPLES = """\b
Examples:
  python -m bench run --sweep quick
  python -m bench run --sweep quick --impl sdpa_flash --impl my_kernel.py:attention --out runs/mine
  python -m bench run --sweep full --out runs/full --resume
"""


@click.command(epilog=EXAMPLES)
@common_options
@case_option
@click.option("--out", metavar="DIR", help="Folder for the run; runs/DATE-SWEEP without it.")
@click.option("--resume", is_flag=True, help="Go on with an unfinished run in --out.")
@click.option("--reference", metavar="NAME", help="The implementation that speed-ups are against.")
@click.option(
    "--time-budget",
    metavar="10m",
    help="Time for the whole run. Cases not begun by then are left out; time that is left goes to uncertain times.",
)
@click.option(
    "--interval", default=1.0, show_default=True, help="Half-width of the 95% interval to reach, in percent."
)
@click.option("--budget", "budget_s", default=0.5, show_default=True, help="Seconds to sample one implementation.")
def command(
    names: tuple[str, ...],
    device: str,
    seed: int,
    timeout_s: float | None,
    case_ids: tuple[str, ...],
    out: str | None,
    resume: bool,
    reference: str | None,
    time_budget: str | None,
    interval: float,
    budget_s: float,
    **sweep_arguments: str | None,
) -> None:
    """Check, time, store and report a sweep; a wrong implementation is never timed.

    Exit 0: all agree. 1: some disagree. 2: usage. 3: nothing was checked.
    """
    started = perf_counter()
    sweep = chosen_cases(case_ids, sweep_arguments, "quick")
    if resume and not out:
        raise UsageError("--resume needs --out, the folder of the run to go on with")
    folder = Path(out or f"runs/{datetime.now():%Y%m%d-%H%M%S}-{sweep.name}")  # noqa: DTZ005 - a name for its user
    until_s = started + seconds_of(time_budget) if time_budget else None
    effort = Effort(interval=interval / 100, budget_s=budget_s)
    spent = PhaseTimes()
    start_server()
    _load_reports()
    if resume and not run_file(folder).exists():
        click.echo(f"nothing to resume in {folder}: starting anew", err=True)
    with session(names, device, sweep, timeout_s) as here:
        peaks = Peaking(here.pool, here.environment, sweep)
        settings = Settings(seed=seed, families=tuple(FAMILIES), effort=effort, peaks=peaks)
        if reference is not None and reference not in here.names:
            raise UsageError(f"--reference {reference!r} is not in this run: there are {', '.join(here.names)}")
        interrupted = _run(here, sweep, folder, settings, spent, resume=resume, until_s=until_s)
    run = read_run(folder)
    if until_s is not None and run.missing and not interrupted:
        _say_what_was_left_out(run, folder)
    for damage in run.damaged:
        click.echo(f"skipped a damaged line of {folder}: {damage}", err=True)
    _show(run, folder, reference, spent)
    raise SystemExit(EXIT_INTERRUPTED if interrupted else exit_code(run.records))


def _say_what_was_left_out(run: Run, folder: Path) -> None:
    """Which cases the time budget did not reach, on stderr."""
    cases = list(dict.fromkeys(case for case, _ in run.missing))
    click.echo(
        f"the time budget was spent: {len(cases)} of {len(run.header.cases)} cases were left out "
        f"({', '.join(cases[:3])}{', …' if len(cases) > 3 else ''}); go on with --out {folder} --resume",
        err=True,
    )


def _load_reports() -> None:
    """Import what the end of a run needs while the fork server imports torch."""
    import attnbench.reports.html
    import attnbench.reports.terminal  # noqa: F401 - imported for its effect, as is reports.html


def _run(
    here: Session,
    sweep: Sweep,
    folder: Path,
    settings: Settings,
    spent: PhaseTimes,
    *,
    resume: bool,
    until_s: float | None,
) -> bool:
    """Run what is left of the sweep into `folder`; True where Ctrl-C ended it."""
    assert settings.peaks is not None, "a run that times knows its peaks"
    try:
        with (
            stopping("record") as stop,
            RunWriter(folder, here.header(sweep, settings.seed, settings.peaks(False)), resume=resume) as writer,
        ):
            total = len(sweep.cases) * len(here.names)
            with progress(total, "running", done=len(writer.done)) as step:
                for record in run_sweep(
                    sweep.cases,
                    here.names,
                    here.pool,
                    settings,
                    done=writer.done,
                    keep=writer.append,
                    spent=spent,
                    over=lambda: until_s is not None and perf_counter() >= until_s,
                ):
                    step(record)
                    if stop:
                        return True
            return bool(until_s and _refined(here, writer, settings, spent, until_s, stop))
    except StoreError as error:
        raise UsageError(str(error)) from error


def _refined(
    here: Session, writer: RunWriter, settings: Settings, spent: PhaseTimes, until_s: float, stop: list[int]
) -> bool:
    """Spend what is left of the time budget on the cases that need it; True where Ctrl-C ended it."""
    click.echo("timing the least certain cases again until the time budget is spent", err=True)
    for _ in refine(read_run(writer.folder).records, here.pool, settings, until_s, writer.append, spent):
        if stop:
            break
    return bool(stop)


def _show(run: Run, folder: Path, reference: str | None, spent: PhaseTimes) -> None:
    """The table, what is wrong, where the time went, and the path of the report last."""
    from rich.console import Console

    from attnbench.reports.html import write_report
    from attnbench.reports.terminal import render_run

    console = Console(highlight=False)
    render_run(run, console, reference)
    report = folder / "report.html"
    start = perf_counter()
    write_report([run], report, reference_implementation=reference)
    spent.reporting_s = perf_counter() - start
    for line in verdict_lines(run.records, run.header.environment):
        click.echo(line)
    click.echo(spent.summary_line(since_start_s()), err=True)
    click.echo(f"report: {report}")
