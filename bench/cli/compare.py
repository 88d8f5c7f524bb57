"""``compare``: two implementations, or two revisions, side by side on this machine."""

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from math import expm1, inf
from pathlib import Path
from shlex import join
from time import perf_counter
from typing import TYPE_CHECKING

import click
import msgspec

from attnbench.bench.agreement.families import FAMILIES
from attnbench.bench.case_run import Settings
from attnbench.bench.cli.exits import EXIT_INTERRUPTED, UsageError, seconds_of, stopping
from attnbench.bench.cli.judging import Judging, finish, judging_options
from attnbench.bench.cli.progress import bar
from attnbench.bench.cli.session import (
    CASE_TIMEOUT_S,
    Peaking,
    described,
    environment_of,
    progress,
    refuse_device,
    refuse_timeout,
)
from attnbench.bench.cli.sweep_options import case_option, chosen_cases, sweep_options
from attnbench.bench.program import program
from attnbench.bench.records.schema import Environment
from attnbench.bench.sweeps import Sweep
from attnbench.bench.workers.process import Pool, start_server
from attnbench.bench.workers.process import pool as workers
from attnbench.bench.workers.setting import Setting

if TYPE_CHECKING:
    from attnbench.bench.gate.paired.revisions import Tree
    from attnbench.bench.gate.paired.sides import Sides
    from attnbench.bench.records.trial import Comparing, Trial
    from attnbench.bench.records.verdict import Judgement

EXAMPLES = """\b
Examples:
  python -m bench compare masked_fill sdpa_flash --case b1-h8-s256-d64-causal-fp32
  python -m bench compare sdpa_flash my_kernel.py:attention --sweep quick --time-budget 10m
  python -m bench compare main HEAD --impl my_kernel.py:attention --repo ../my-project
  python -m bench compare v1.2 WORKTREE --impl my_kernel.py:attention --junit gate.xml
"""
A, B = "A", "B"
JOURNAL = "trials.jsonl"
PAGE = "comparison.html"


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
@case_option
@click.option("--device", default="cpu", show_default=True, help="Where both sides run.")
@click.option("--threads", default=1, show_default=True, help="Threads of each side, pinned to as many CPUs (cpu).")
@click.option("--seed", default=0, show_default=True, help="Seed of the inputs and of the order.")
@click.option(
    "--timeout", "timeout_s", type=float, help="Seconds a step of a case may take. [default: the sweep's, or 120]"
)
@click.option(
    "--time-budget", metavar="10m", help="End by then, checks included; what is open or left out is UNDECIDED."
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for the trials and the page; runs/DATE-compare without it.",
)
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

    A and B are implementations or FILE.py:FUNCTIONs. With --impl they are git
    revisions, each checked out into a worktree with compile caches of its own; this
    harness measures both. Without --sweep or --case the cases are the smoke sweep's.

    Exit 0: nothing got worse. 1: something did. 2: usage. 4: undecided or incomparable.
    """
    from attnbench.bench.gate.paired.take_trial import pinned

    started = perf_counter()
    refuse_device(device)
    refuse_timeout(timeout_s)
    _refuse_threads(threads)
    if implementation is None and (repo or setup):
        raise UsageError("--repo and --setup belong to revisions: say with --impl what to compare at A and B")
    if resume and out is None:
        raise UsageError("--resume needs --out, the folder of the comparison to go on with")
    sweep = chosen_cases(case_ids, sweep_arguments, "smoke")
    until_s = started + seconds_of(time_budget) if time_budget else inf
    folder = out or Path(f"runs/{datetime.now():%Y%m%d-%H%M%S}-compare")  # noqa: DTZ005 - a name for its user
    limit_s = timeout_s or sweep.limits.case_seconds or CASE_TIMEOUT_S
    start_server()
    words = _words(baseline, candidate, implementation, repo, setup, device, threads, seed)
    with ExitStack() as stack:
        if implementation is None:
            sides = _implementations(baseline, candidate, pinned(device, threads), words)
        else:
            trees = stack.enter_context(_checked_out(repo or Path(), (baseline, candidate), setup or ""))
            sides = _revisions(trees, implementation, pinned(device, threads), words)
        pool = stack.enter_context(workers(device, limit_s))
        judgement, trials, interrupted = _compare(
            sides, sweep, pool, seed, folder / JOURNAL, until_s, resume=resume
        )
    click.echo(f"trials: {folder / JOURNAL}", err=True)
    if interrupted:
        click.echo(f"stopped; go on with --out {folder} --resume", err=True)
        raise SystemExit(EXIT_INTERRUPTED)
    finish(judgement, judging, trials, folder / PAGE)


def _words(
    baseline: str,
    candidate: str,
    implementation: str | None,
    repo: Path | None,
    setup: str | None,
    device: str,
    threads: int,
    seed: int,
) -> tuple[str, ...]:
    """The command that compares these sides, without its cases; what is the default is left out."""
    options = {
        "--impl": implementation,
        "--repo": repo,
        "--setup": setup,
        "--device": None if device == "cpu" else device,
        "--threads": None if threads == 1 else threads,
        "--seed": seed or None,
    }
    given = [word for name, value in options.items() if value is not None for word in (name, str(value))]
    return (*program(), "compare", baseline, candidate, *given)


def _refuse_threads(threads: int) -> None:
    from attnbench.bench.timing.conditions import cpus

    if not 1 <= threads <= cpus():
        raise UsageError(f"--threads {threads}: this process may use 1 to {cpus()} CPUs")


@contextmanager
def _checked_out(repo: Path, revisions: tuple[str, str], setup: str) -> "Iterator[tuple[Tree, ...]]":
    """The worktrees of both revisions. Raises UsageError."""
    from attnbench.bench.gate.paired.git import RevisionError
    from attnbench.bench.gate.paired.revisions import checked_out

    try:
        with checked_out(repo, revisions, setup) as trees:
            yield trees
    except RevisionError as error:
        raise UsageError(str(error)) from error


def _implementations(baseline: str, candidate: str, setting: Setting, words: tuple[str, ...]) -> "Sides":
    """Two implementations of this checkout or the user's own."""
    from attnbench.bench.gate.paired.sides import Sides
    from attnbench.bench.gate.paired.take_trial import TrialSide
    from attnbench.bench.records.trial import Side

    a, b = (TrialSide(label, name, name, setting) for label, name in ((A, baseline), (B, candidate)))
    notes = ("A and B are the same: any difference is a false alarm (A/A)",) if baseline == candidate else ()
    kept = (Side(implementation=baseline), Side(implementation=candidate))
    return Sides(a, b, kept, candidate, words, notes)


def _revisions(trees: "tuple[Tree, ...]", implementation: str, setting: Setting, words: tuple[str, ...]) -> "Sides":
    """One implementation at two revisions."""
    from attnbench.bench.gate.paired.sides import Sides
    from attnbench.bench.gate.paired.take_trial import TrialSide

    if reason := next((why for tree in trees if (why := tree.why_not(implementation))), None):
        raise UsageError(reason)
    a, b = (
        TrialSide(label, implementation, tree.name, tree.setting(setting))
        for label, tree in zip((A, B), trees, strict=True)
    )
    first, second = trees
    notes = (*first.notes, *second.notes)
    return Sides(a, b, (first.side(implementation), second.side(implementation)), implementation, words, notes)


def _compare(
    sides: "Sides", sweep: Sweep, pool: Pool, seed: int, journal: Path, until_s: float, *, resume: bool
) -> "tuple[Judgement, tuple[Trial, ...], bool]":
    """Check both sides, trial until all is decided, and judge: with every trial, and whether Ctrl-C ended it."""
    from attnbench.bench.gate.paired.journal import Journal
    from attnbench.bench.gate.paired.sides import check, judge, side_by_side
    from attnbench.bench.gate.paired.take_trial import TrialSettings
    from attnbench.bench.records.lines import StoreError

    sides.register(pool)
    here = environment_of(pool)
    _refuse_unknown(sides, pool)
    header = _header(sides, sweep, seed, here)
    try:
        with Journal.open(journal, header, resume) as kept, stopping("trial") as stop:
            for damage in kept.damaged:
                click.echo(f"skipped a damaged line: {damage}", err=True)
            settings = Settings(seed=seed, families=tuple(FAMILIES), peaks=Peaking(pool, here, sweep))

            def over() -> bool:
                return bool(stop) or perf_counter() >= until_s

            with progress(2 * len(sweep.cases), "checking") as report:
                pairs = check(sweep.cases, sides, pool, settings, report, over)
            measured = side_by_side(sweep.cases, pairs, sides, TrialSettings(pool, seed), kept, over)
            with bar(None, "trials", _line) as took:
                for trial in measured.measure():
                    took(trial, f"{trial.case} {trial.phase}")
            judged = judge(sides, sweep.cases, pairs, measured)
    except StoreError as error:
        raise UsageError(str(error)) from error
    return msgspec.structs.replace(judged, command=header.command), tuple(measured.trials()), bool(stop)


def _refuse_unknown(sides: "Sides", pool: Pool) -> None:
    """Raise UsageError for a name that a side doesn't know.

    Of two revisions one may know it: a candidate that doesn't import any more is a finding.
    """
    from attnbench.bench.gate.paired.take_trial import own_paths

    unknown: list[UsageError] = []
    for side in (sides.a, sides.b):
        try:
            described(pool.worker(side.label), (side.name,))
        except UsageError as error:
            hint = "" if side.setting.tree else _perhaps_revision(side.name)
            unknown.append(UsageError(f"{side.title}: {own_paths(error.message, side)}{hint}"))
    if len(unknown) > bool(sides.a.setting.tree):
        raise unknown[0]


def _perhaps_revision(name: str) -> str:
    """A hint where the name of an unknown implementation is one that git knows."""
    from attnbench.bench.gate.paired.git import RevisionError, repository

    try:
        repository(Path()).commit(name)
    except RevisionError:
        return ""
    return f"; it is a git revision: say with --impl what to compare at {name}"


def _header(sides: "Sides", sweep: Sweep, seed: int, here: Environment) -> "Comparing":
    from attnbench.bench.gate.paired.take_trial import PROTOCOL
    from attnbench.bench.gate.stats import RULE
    from attnbench.bench.records.trial import Comparing

    return Comparing(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        a=sides.kept[0],
        b=sides.kept[1],
        cases=tuple(case.id for case in sweep.cases),
        seed=seed,
        rule=f"{RULE}; {PROTOCOL}; threads {sides.a.setting.threads}",
        environment=here,
        command=join([*program(), *sys.argv[1:]]),
    )


def _line(trial: "Trial") -> str:
    aa_control = "" if trial.aa_control is None else f", A again {100 * expm1(trial.aa_control):+.2f}%"
    disturbed = f"  disturbed: {trial.disturbance}" if trial.disturbance else ""
    return (
        f"{trial.case}  {trial.phase} {trial.number}  B {100 * expm1(trial.log_ratio):+.2f}%{aa_control}{disturbed}"
    )
