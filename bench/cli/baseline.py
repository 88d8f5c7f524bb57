"""``python -m bench baseline``: runs kept by name, one for each machine."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from attnbench.bench.cli.exits import UsageError
from attnbench.bench.cli.gate import folder_option, gate
from attnbench.bench.cli.judging import Judging, judging_options

if TYPE_CHECKING:
    from attnbench.bench.gate.stored.baselines import Baseline
    from attnbench.bench.records.schema import Run

EXAMPLES = """\b
Examples:
  python -m bench baseline save main runs/today
  python -m bench baseline compare main runs/tomorrow
"""


@click.group(epilog=EXAMPLES)
def command() -> None:
    """Named baselines in a plain folder that can be committed or cached, keyed by fingerprint."""


@command.command()
@click.argument("name")
@click.argument("run", type=click.Path(path_type=Path))
@folder_option
@click.option("--force", is_flag=True, help="Replace the run of this machine under this name.")
def save(name: str, run: Path, folder: Path, force: bool) -> None:
    """Keep RUN as baseline NAME for its own machine; other machines' runs under that name stay."""
    from attnbench.bench.gate.stored import baselines
    from attnbench.bench.records.store import StoreError

    found = _read(run)
    try:
        file = baselines.save(folder, name, found, force=force)
        held = baselines.load(folder, name)
    except (baselines.BaselineError, StoreError) as error:
        raise UsageError(str(error)) from error
    for damage in found.damaged:
        click.echo(f"warning: a damaged line was left out: {damage}", err=True)
    if lost := len(found.missing):
        click.echo(f"warning: {lost} planned records are missing in {run}; their cases will be NEW", err=True)
    if disturbed := baselines.disturbed(found):
        click.echo(f"warning: {disturbed} times were disturbed, and will decide nothing: measure again", err=True)
    click.echo(f"{name} holds {'; '.join(map(baselines.summary_line, held.runs.values()))}", err=True)
    click.echo(file)


@command.command("list")
@folder_option
def list_(folder: Path) -> None:
    """The names there are, each with its machines."""
    from attnbench.bench.gate.stored import baselines

    found = baselines.names(folder)
    if not found:
        click.echo(f"no baselines in {folder}", err=True)
    for name in found:
        for run in _load(folder, name).runs.values():
            click.echo(f"{name}  {baselines.summary_line(run)}  {len(run.records)} records")


@command.command()
@click.argument("name")
@folder_option
def show(name: str, folder: Path) -> None:
    """Machine, sweep and counts of every run that NAME holds."""
    from attnbench.bench.gate.stored import baselines

    for run in _load(folder, name).runs.values():
        for line in baselines.described(name, run):
            click.echo(line)


@command.command()
@click.argument("name")
@click.argument("run", type=click.Path(path_type=Path))
@folder_option
@judging_options
def compare(name: str, run: Path, folder: Path, judging: Judging) -> None:
    """Judge RUN by what NAME holds for RUN's own machine; exit codes as of `gate`."""
    gate(run, name, folder, judging, ["baseline", "compare", name, str(run)])


def _read(path: Path) -> "Run":
    from attnbench.bench.records.store import StoreError, read_run

    try:
        return read_run(path)
    except StoreError as error:
        raise UsageError(str(error)) from error


def _load(folder: Path, name: str) -> "Baseline":
    from attnbench.bench.gate.stored import baselines
    from attnbench.bench.records.store import StoreError

    try:
        return baselines.load(folder, name)
    except (baselines.BaselineError, StoreError) as error:
        raise UsageError(str(error)) from error
