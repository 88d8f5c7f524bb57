"""``gate-selfcheck``: the gate's error rates, measured on this machine."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING

import click

from attnbench.bench.cli.exits import UsageError
from attnbench.bench.cli.progress import bar

if TYPE_CHECKING:
    from attnbench.bench.gate.paired.selfcheck import Experiment, Rate

EXAMPLES = """\b
Examples:
  python -m bench gate-selfcheck --same 20 --barely 5 --slower 5
  python -m bench gate-selfcheck --out runs/selfcheck --resume --markdown rates.md
"""
GATE = ("truth", "neighbour", "REGRESSED", "IMPROVED", "UNCHANGED", "UNDECIDED", "trials", "time")
OTHERS = ("truth", "neighbour", "mean:5%", "median:5%", "min:5%")
WIDTH = 120
TIMEOUT_S = 60.0


@click.command(epilog=EXAMPLES)
@click.option("--same", default=300, show_default=True, help="Experiments of A against A.")
@click.option("--barely", default=40, show_default=True, help="Experiments of +1%, which may end as UNDECIDED.")
@click.option("--slower", default=100, show_default=True, help="Experiments of each of +3%, +5% and +10%.")
@click.option("--seed", default=0, show_default=True, help="Seed of the order of experiments and of rounds.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="Folder that keeps the experiments.")
@click.option("--resume", is_flag=True, help="Go on with the experiments in --out.")
@click.option("--markdown", type=click.Path(path_type=Path, dir_okay=False), help="Write the table there as well.")
def command(
    same: int, barely: int, slower: int, seed: int, out: Path | None, markdown: Path | None, *, resume: bool
) -> None:
    """How often does the gate alarm without cause, and how often does it find a known slowdown?

    Runs whole comparisons of a kernel of about a millisecond with itself, and with
    copies that do 1, 3, 5 and 10% of their work twice; half of them beside a process
    that streams memory. A second table has the rates of pytest-benchmark's
    thresholds, applied to two consecutive trials of the same experiments.

    A cell is "found of experiments (Wilson's 95% interval)". Exit 0: every promised rate
    holds. 1: one does not. 2: usage.
    """
    from attnbench.bench.gate.paired.selfcheck import planned
    from attnbench.bench.workers.scratch import scratch

    if min(same, barely, slower) < 0 or not same + barely + slower:
        raise UsageError("--same, --barely and --slower are numbers of experiments: 0 or more, and not all 0")
    if resume and out is None:
        raise UsageError("--resume needs --out, the folder of the experiments to go on with")
    plan = planned(same, barely, slower, seed)
    with scratch() as folder:
        raise SystemExit(_checked((out or folder) / "experiments.jsonl", plan, seed, markdown, resume=resume))


def _checked(
    path: Path, plan: list[tuple[int, int, bool]], seed: int, markdown: Path | None, *, resume: bool
) -> int:
    """Run the experiments, print the tables and the promised rates; returns the exit code."""
    from attnbench.bench.gate.paired.selfcheck import promises, read_trials, run_trials
    from attnbench.bench.gate.paired.take_trial import SideFailed
    from attnbench.bench.records.files import write_whole
    from attnbench.bench.records.lines import StoreError
    from attnbench.bench.status import WorkerFailure
    from attnbench.bench.workers.process import pool

    try:
        if path.exists() and not resume:
            raise UsageError(f"{path} exists; add --resume to go on with it, or give another --out")
        with (
            pool("cpu", TIMEOUT_S) as workers,
            bar(len(plan), "experiments", _line, done=len(read_trials(path))) as step,
        ):
            for experiment in run_trials(plan, path, workers, seed):
                step(experiment, "")
        experiments = read_trials(path)
    except (StoreError, SideFailed, WorkerFailure) as error:
        raise UsageError(str(error)) from error
    _show(experiments)
    if markdown:
        write_whole(markdown, "\n".join(_markdown(experiments)) + "\n")
    kept = list(promises(experiments))
    for words, held in kept:
        click.echo(f"{'kept  ' if held else 'BROKEN'}  {words}")
    return int(not all(held for _, held in kept))


def _line(experiment: "Experiment") -> str:
    truth = f"+{experiment.slower_percent}%" if experiment.slower_percent else "A/A"
    noise = ", noisy" if experiment.noisy else ""
    return (
        f"{truth}{noise}: {experiment.verdict} {100 * (experiment.ratio - 1):+.2f}% "
        f"in {experiment.trials} trials, {experiment.wall_s:.1f} s"
    )


def _tables(experiments: "Sequence[Experiment]") -> "Iterator[tuple[str, tuple[str, ...], list[tuple[str, ...]]]]":
    """Title, columns and rows: the gate's own rates, then those of thresholds on the same trials."""
    groups = list(_groups(experiments))
    yield "the gate", GATE, [(*name, *_of_gate(some)) for name, some in groups]
    yield "thresholds on two trials in a row", OTHERS, [(*name, *_of_others(some)) for name, some in groups]


def _groups(experiments: "Sequence[Experiment]") -> "Iterator[tuple[tuple[str, str], list[Experiment]]]":
    from attnbench.bench.gate.paired.selfcheck import SLOWDOWNS

    for percent in SLOWDOWNS:
        for noisy in (False, True):
            some = [one for one in experiments if one.slower_percent == percent and one.noisy is noisy]
            if some:
                yield (f"+{percent}%" if percent else "A/A", "streams memory" if noisy else "none"), some


def _of_gate(experiments: "Sequence[Experiment]") -> Iterator[str]:
    from attnbench.bench.gate.paired.selfcheck import rate
    from attnbench.bench.records.verdict import Verdict

    for verdict in map(Verdict, GATE[2:6]):
        yield _rate_text(rate([one.verdict is verdict for one in experiments]))
    yield f"{mean(one.trials for one in experiments):.1f}"
    yield f"{mean(one.wall_s for one in experiments):.1f} s"


def _of_others(experiments: "Sequence[Experiment]") -> Iterator[str]:
    from attnbench.bench.gate.paired.selfcheck import rate

    for name in OTHERS[2:]:
        yield _rate_text(rate([one.others[name] for one in experiments]))


def _rate_text(rate: "Rate") -> str:
    low, high = rate.interval
    return f"{rate.count}/{rate.of} ({100 * low:.1f}-{100 * high:.1f}%)"


def _show(experiments: "Sequence[Experiment]") -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = WIDTH
    for title, columns, rows in _tables(experiments):
        table = Table(*columns, box=None, pad_edge=False, title=title, title_justify="left")
        for row in rows:
            table.add_row(*row)
        console.print(table)


def _markdown(experiments: "Sequence[Experiment]") -> Iterator[str]:
    for title, columns, rows in _tables(experiments):
        yield f"{title[0].upper()}{title[1:]}:\n"
        yield f"| {' | '.join(columns)} |"
        yield f"|{'---|' * len(columns)}"
        yield from (f"| {' | '.join(row)} |" for row in rows)
        yield ""
