"""``conventions``: what each implementation really does where libraries differ, beside what it declares."""

from collections.abc import Iterator
from dataclasses import asdict

import click
import msgspec

from attnbench.bench.agreement.probed import Tried
from attnbench.bench.cli.declaring import declaring_options
from attnbench.bench.cli.exits import EXIT_NOTHING
from attnbench.bench.cli.session import DEVICE_HELP, session
from attnbench.bench.registry.declarations import Options
from attnbench.bench.status import WorkerFailure
from attnbench.bench.sweeps import Sweep
from attnbench.impls.contract.conventions import ABOUT, VALUES

EXAMPLES = """\b
Examples:
  python -m bench conventions
  python -m bench conventions --impl my_kernel.py:attention --json
  python -m bench conventions --markdown > docs/conventions.md
"""

TIMEOUT_S = 600.0
"""For all probes of one implementation; torch.compile takes half a minute for each."""

Rows = dict[str, list[Tried]]


@click.command(epilog=EXAMPLES)
@click.option("--impl", "names", multiple=True, metavar="NAME|FILE.py:FUNCTION", help="Repeatable; all without it.")
@click.option("--device", default="cpu", show_default=True, help=DEVICE_HELP)
@click.option("--seed", default=0, show_default=True, help="Seed of the inputs.")
@click.option("--json", "as_json", is_flag=True, help="For machines.")
@click.option("--markdown", "as_markdown", is_flag=True, help="As docs/conventions.md.")
@declaring_options
def command(
    names: tuple[str, ...], device: str, seed: int, as_json: bool, as_markdown: bool, options: Options
) -> None:
    """What does it do where libraries differ? Tries small cases, and compares with the reference of each convention.

    Exit 0: all as declared. 1: some are not. 2: usage. 3: nothing was tried.
    """
    rows: Rows = {}
    with session(names, device, Sweep("conventions", ()), TIMEOUT_S, options) as here:
        for name in here.names:
            try:
                rows[name] = here.pool.worker(name).conventions(seed)
            except WorkerFailure as error:
                click.echo(f"{name}: {error}", err=True)
            here.pool.worker(name).stop()
    if as_json:
        click.echo(msgspec.json.encode({name: [_plain(row) for row in found] for name, found in rows.items()}))
    else:
        click.echo("\n".join(markdown_lines(rows) if as_markdown else table_lines(rows)))
    different = [(name, row) for name, found in rows.items() for row in found if not row.as_declared]
    for name, row in different:
        click.echo(f"{name}: declares {row.convention} {row.declared}, does {row.word} (on {row.case})", err=True)
    raise SystemExit(1 if different or len(rows) < len(here.names) else 0 if rows else EXIT_NOTHING)


def _plain(row: Tried) -> dict[str, object]:
    return {**asdict(row), "does": row.word, "as_declared": row.as_declared}


def table_lines(rows: Rows) -> Iterator[str]:
    """A line an implementation and convention."""
    width = max(map(len, rows), default=0)
    for name, found in rows.items():
        for row in found:
            same = "" if row.as_declared else f"  DECLARES {row.declared}"
            why = f"  ({row.why_not})" if row.why_not else ""
            yield f"{name:<{width}}  {row.convention:<10}  {row.word}{same}{why}"


def markdown_lines(rows: Rows) -> Iterator[str]:
    """docs/conventions.md."""
    yield from ("# Conventions: what each implementation does where libraries differ", "")
    asked = "".join(f" --impl {name}" for name in rows)
    yield from (f"Made by `python -m bench conventions --markdown{asked}`; don't edit by hand.", "")
    for name, values in VALUES.items():
        yield f"- `{name}` ({', '.join(values)}): {ABOUT[name]}. The first value is the default."
    yield from (
        "",
        "A word is what a small case showed by agreeing with the reference of that convention; `-` is not to be",
    )
    yield from (
        "seen there (refused, or no log-sum-exp is returned); what differs from its declaration is bold.",
        "",
    )
    yield "| |" + "|".join(VALUES) + "|"
    yield "|---|" + "---|" * len(VALUES)
    for name, found in rows.items():
        by_name = {row.convention: row for row in found}
        cells = [by_name[each] for each in VALUES]
        yield f"|{name}|" + "|".join(row.word if row.as_declared else f"**{row.word}**" for row in cells) + "|"
