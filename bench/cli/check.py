"""``check``: agreement only."""

import sys
from dataclasses import replace
from pathlib import Path

import click

from attnbench.bench.agreement.families import FAMILIES, PROPERTY_NAMES
from attnbench.bench.agreement.small_cases import for_interpreter
from attnbench.bench.case_run import Settings
from attnbench.bench.cli.declaring import declaring_options
from attnbench.bench.cli.session import (
    common_options,
    exit_code,
    progress,
    reported_lines,
    session,
    verdict_lines,
)
from attnbench.bench.cli.sweep_options import case_option, chosen_cases
from attnbench.bench.cli.usage import UsageError
from attnbench.bench.records.schema import Record, as_json
from attnbench.bench.registry.declarations import Options
from attnbench.bench.registry.triton_files import interpreter_variables
from attnbench.bench.run import run_sweep

EXAMPLES = """\b
Examples:
  python -m bench check --impl my_kernel.py:attention
  python -m bench check --impl sdpa_flash --sweep quick --json result.jsonl
  python -m bench check --impl masked_fill --case b1-h4-kv2-s64-d32-causal-bf16 --seed 7
  python -m bench check --impl my_kernel.py:attention --without gqa,backward,bf16
"""


@click.command(epilog=EXAMPLES)
@common_options
@case_option
@declaring_options
@click.option("--families", metavar="A,B", help="Input families to run; all without it.")
@click.option("--properties", metavar="A,B", help="Properties to try, 'none' for none; all without it.")
@click.option("--json", "json_file", metavar="FILE", help="Write the records there, one a line; - is stdout.")
def command(
    names: tuple[str, ...],
    device: str,
    seed: int,
    timeout_s: float | None,
    case_ids: tuple[str, ...],
    options: Options,
    families: str | None,
    properties: str | None,
    json_file: str | None,
    **sweep_arguments: str | None,
) -> None:
    """Is it right? Compare implementations with the float64 oracle.

    Exit 0: all agree. 1: some disagree. 2: usage. 3: nothing was checked.
    """
    sweep = chosen_cases(case_ids, sweep_arguments, "trust")
    own_choice = case_ids or any(sweep_arguments.values())
    if not own_choice and any(interpreter_variables(name, device) for name in names):
        sweep = replace(sweep, cases=tuple(dict.fromkeys(map(for_interpreter, sweep.cases))))
    chosen = () if properties == "none" else _chosen("property", properties, PROPERTY_NAMES)
    settings = Settings(
        seed=seed, families=_chosen("family", families, tuple(FAMILIES)), properties=chosen, timed=False
    )
    records: list[Record] = []
    with (
        session(names, device, sweep, timeout_s, options) as here,
        progress(len(sweep.cases) * len(here.names), "checking") as step,
    ):
        for record in run_sweep(sweep.cases, here.names, here.pool, settings, keep=records.append):
            step(record)
    if json_file:
        _write(json_file, records)
    for line in (*reported_lines(records), *verdict_lines(records, here.environment, options.words)):
        click.echo(line, err=json_file == "-")
    raise SystemExit(exit_code(records))


def _chosen(what: str, text: str | None, known: tuple[str, ...]) -> tuple[str, ...]:
    """The names in a comma-separated list; all that are known without one."""
    chosen = tuple(word.strip() for word in text.split(",")) if text else known
    if unknown := [name for name in chosen if name not in known]:
        raise UsageError(f"unknown {what} {unknown[0]!r}: there are {', '.join(known)}")
    return chosen


def _write(json_file: str, records: list[Record]) -> None:
    lines = b"".join(as_json(record) + b"\n" for record in records)
    if json_file == "-":
        sys.stdout.buffer.write(lines)
        return
    try:
        Path(json_file).write_bytes(lines)
    except OSError as error:
        raise UsageError(f"can't write {json_file}: {error.strerror}") from error
