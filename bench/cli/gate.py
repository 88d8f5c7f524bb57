"""``python -m bench gate``: a stored run against a baseline."""

from pathlib import Path
from shlex import join
from typing import NoReturn

import click

from attnbench.bench.cli.exits import UsageError
from attnbench.bench.cli.judging import Judging, finish, judging_options
from attnbench.bench.program import program

EXAMPLES = """\b
Examples:
  python -m bench gate runs/today --baseline runs/last-week
  python -m bench gate runs/today --baseline main --junit gate.xml
"""

folder_option = click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("baselines"),
    show_default=True,
    help="Where named baselines are.",
)


@click.command(epilog=EXAMPLES)
@click.argument("candidate", type=click.Path(path_type=Path), metavar="RUN")
@click.option(
    "--baseline", "against", required=True, metavar="RUN|NAME", help="A run, or the name of a saved baseline."
)
@folder_option
@judging_options
def command(candidate: Path, against: str, folder: Path, judging: Judging) -> None:
    """Compare a stored run with a baseline; it finds changes of 10%, since machines change between two runs.

    Runs of other hardware or software, or of another version of the method, are INCOMPARABLE.
    For smaller changes measure both sides in one run, with `compare`.

    Exit 0: nothing got worse. 1: something did. 2: usage. 4: undecided or incomparable.
    """
    gate(candidate, against, folder, judging, ["gate", str(candidate), "--baseline", against])


def gate(candidate: Path, against: str, folder: Path, judging: Judging, words: list[str]) -> NoReturn:
    """Judge, print and exit; `words` are the command that repeats it."""
    import msgspec

    from attnbench.bench.gate.stored.baselines import BaselineError, judge_by, resolve
    from attnbench.bench.records.store import StoreError, read_run

    try:
        judged = judge_by(read_run(candidate), resolve(against, folder))
    except (BaselineError, StoreError) as error:
        raise UsageError(str(error)) from error
    finish(msgspec.structs.replace(judged, command=join([*program(), *words])), judging)
