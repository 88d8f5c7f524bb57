"""``compare``: two implementations, or two revisions, side by side on this machine."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from shlex import join
from time import perf_counter
from typing import TYPE_CHECKING

import click

from bench.cli.judging import Judging, finish, judging_options
from bench.cli.progress import bar
from bench.cli.session import (
    CASE_TIMEOUT_S,
    UsageError,
    described,
    environment_of,
    progress,
    refuse_device,
    refuse_timeout,
)
from bench.cli.stopping import EXIT_INTERRUPTED, seconds_of, stopping
from bench.cli.sweep_options import cases_of, chosen_sweep, sweep_options

if TYPE_CHECKING:
    from bench.gate.compare import Asked, Sides
    from bench.gate.launch import Contender
    from bench.records.environment import Environment
    from bench.records.launch import Launch
    from bench.sweeps import Sweep
    from bench.timing.process import Pool

EXAMPLES = """\b
Examples:
  python -m bench compare masked_fill sdpa_flash --case b1-h8-s256-d64-causal-fp32
  python -m bench compare sdpa_flash my_kernel.py:attention --sweep quick --time-budget 10m
  python -m bench compare main HEAD --impl my_kernel.py:attention --repo ../my-project
  python -m bench compare v1.2 WORKTREE --impl my_kernel.py:attention --setup 'pip install -e .' --junit gate.xml
"""
A, B = "A", "B"


@click.command(epilog=EXAMPLES)
@click.argument("baseline", metavar="A")
@click.argument("candidate", metavar="B")
@click.option(
    "--impl",
    "implementation",
    metavar="NAME|FILE.py:FUNCTION",
    help="What to compare at both revisions; A and B are git revisions then (WORKTREE: the files as they are).",
)
@click.option("--repo", type=click.Path(path_type=Path), help="The repository of the revisions. [default: here]")
@click.option("--setup", metavar="COMMAND", help="Build step, run by the shell in each revision's own worktree.")
@sweep_options
@click.option("--case", "case_ids", multiple=True, metavar="ID", help="Compare this case and no sweep; repeatable.")
@click.option("--device", default="cpu", show_default=True, help="Where both sides run.")
@click.option("--threads", default=1, show_default=True, help="Threads of each side, pinned to as many CPUs (cpu).")
@click.option("--seed", default=0, show_default=True, help="Seed of the inputs and of the order.")
@click.option("--timeout", "timeout_s", type=float, help="Seconds a step of a case may take. [default: the sweep's, or 120]")
@click.option("--time-budget", metavar="10m", help="End by then; what is open stays UNDECIDED.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="Folder for the launches; runs/DATE-compare without it.")
@click.option("--resume", is_flag=True, help="Go on with an unfinished comparison in --out.")
@judging_options
def command(
    baseline: str,
    candidate: str,
    *,
    implementation: str | None,
    repo: Path | None,
    setup: str | None,
    case_ids: tuple[str, ...],
    device: str,
    threads: int,
    seed: int,
    timeout_s: float | None,
    time_budget: str | None,
    out: Path | None,
    resume: bool,
    judging: Judging,
    **sweep_arguments: str | None,
) -> None:
    """Is B slower than A, or wrong where A is right? Both in one run, in alternating fresh processes.

    A and B are implementations or FILE.py:FUNCTIONs; with --impl they are git
    revisions, each checked out on its own with compile caches of its own, measured by this harness.

    Exit 0: nothing got worse. 1: something did. 2: usage. 4: undecided or incomparable.
    """
    from bench.gate.compare import Asked

    started = perf_counter()
    refuse_device(device)
    refuse_timeout(timeout_s)
    _refuse_threads(threads)
    if implementation is None and (repo or setup):
        raise UsageError("--repo and --setup belong to revisions: say with --impl what to compare at A and B")
    if resume and out is None:
        raise UsageError("--resume needs --out, the folder of the comparison to go on with")
    sweep = cases_of(case_ids) if case_ids else chosen_sweep(sweep_arguments, "smoke")
    until_s = started + seconds_of(time_budget) if time_budget else None
    folder = out or Path(f"runs/{datetime.now():%Y%m%d-%H%M%S}-compare")  # noqa: DTZ005 - a name for its user
    limit_s = timeout_s or sweep.limits.case_seconds or CASE_TIMEOUT_S
    asked = Asked(sweep.cases, device, seed, limit_s, resume=resume)
    with ExitStack() as stack:
        sides = _sides(stack, baseline, candidate, implementation, repo, setup, device, threads)
        judgement, interrupted = _compare(asked, sides, sweep, folder, until_s)
    click.echo(f"launches: {folder / JOURNAL}", err=True)
    if interrupted:
        click.echo(f"stopped; go on with --out {folder} --resume", err=True)
        raise SystemExit(EXIT_INTERRUPTED)
    finish(judgement, judging)
