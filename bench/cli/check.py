"""``check``: agreement only."""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import click

from attnbench.bench.agreement.families import FAMILIES, PROPERTY_NAMES
from attnbench.bench.case_run import Settings
from attnbench.bench.claimed import Claimed, check_claimed, plan_of
from attnbench.bench.cli.claims import claim_lines, claims_exit_code
from attnbench.bench.cli.declaring import declaring_options
from attnbench.bench.cli.exits import UsageError
from attnbench.bench.cli.session import (
    Session,
    common_options,
    exit_code,
    progress,
    reported_lines,
    session,
    verdict_lines,
)
from attnbench.bench.cli.sweep_options import case_option, chosen_cases
from attnbench.bench.records.schema import Record, as_json
from attnbench.bench.registry.declarations import Options
from attnbench.bench.run import run_sweep
from attnbench.bench.sweeps import Sweep
from attnbench.bench.sweeps.plan import DEPTHS
from attnbench.impls.contract import Case

EXAMPLES = """\b
Examples:
  python -m bench check --impl my_kernel.py:attention
  python -m bench check --impl my_kernel.py:attention --depth quick --exitfirst
  python -m bench check --impl sdpa_flash --sweep quick --json result.jsonl
  python -m bench check --impl masked_fill --case b1-h4-kv2-s64-d32-causal-bf16 --seed 7
  python -m bench check --impl my_kernel.py:attention --without gqa,backward,bf16
"""


@click.command(epilog=EXAMPLES)
@common_options
@case_option
@declaring_options
@click.option(
    "--depth",
    type=click.Choice(DEPTHS),
    help="How many cases are made of what is declared. "
    "[default: standard, or quick for a kernel in Triton's interpreter]",
)
@click.option("-x", "--exitfirst", is_flag=True, help="Stop at the first failure.")
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
    depth: str | None,
    families: str | None,
    properties: str | None,
    json_file: str | None,
    *,
    exitfirst: bool,
    **sweep_arguments: str | None,
) -> None:
    """Is it right? Compare implementations with the float64 oracle.

    Without --sweep, --case and the options of axes, the cases are made from what each implementation declares:
    every feature alone, every pair of features, shapes, dtypes and directions.

    Exit 0: everything that is claimed was tried and agrees. 1: something disagrees or broke. 2: usage.
    3: nothing was checked, or something that is claimed was not tried. With --sweep or --case, 0 means that
    every case that can be done agrees.
    """
    sweep = _asked(case_ids, sweep_arguments)
    if depth and sweep:
        raise UsageError("--depth is for the cases that are made of what is declared: leave out --sweep and --case")
    settings = Settings(
        seed=seed,
        families=_chosen("family", families, tuple(FAMILIES)) or (tuple(FAMILIES) if sweep else ()),
        properties=() if properties == "none" else _chosen("property", properties, PROPERTY_NAMES) or None,
        timed=False,
    )
    found = Found(settings, exitfirst=exitfirst)
    with session(names, device, sweep or UNBOUNDED, timeout_s, options) as here:
        if sweep:
            found.of_cases(sweep.cases, here)
        else:
            found.of_claims(here, depth)
    if json_file:
        _write(json_file, found.records)
    for line in (
        *reported_lines(found.records),
        *verdict_lines(found.records, here.environment, options.words),
        *claim_lines(found.claimed),
    ):
        click.echo(line, err=json_file == "-")
    raise SystemExit(exit_code(found.records) if sweep else claims_exit_code(found.claimed))


UNBOUNDED = Sweep("declared", ())
"""Stands for the cases that are not known before the implementations are."""


def _asked(case_ids: tuple[str, ...], arguments: Mapping[str, str | None]) -> Sweep | None:
    """The cases that the command line names; None where it leaves them to what is declared."""
    if not case_ids and all(value is None for value in arguments.values()):
        return None
    return chosen_cases(case_ids, arguments, "trust")


@dataclass
class Found:
    """Runs cases, and holds what came of them."""

    settings: Settings
    exitfirst: bool
    records: list[Record] = field(default_factory=list)
    claimed: list[Claimed] = field(default_factory=list)

    def of_cases(self, cases: Sequence[Case], here: Session) -> None:
        """Each case with every implementation."""
        with progress(len(cases) * len(here.names), "checking") as step:
            self._until_failure(
                run_sweep(cases, here.names, here.pool, self.settings, keep=self.records.append), step
            )

    def of_claims(self, here: Session, depth: str | None) -> None:
        """Each implementation with the cases that its features make."""
        with progress(None, "checking") as step:
            for one in here.implementations:
                claimed = Claimed(one, plan_of(one, here.pool, self.settings.seed, depth))
                self.claimed.append(claimed)
                self._until_failure(check_claimed(claimed, here.pool, self.settings, self.records.append), step)

    def _until_failure(self, records: Iterator[Record], step: Callable[[Record], None]) -> None:
        for record in records:
            step(record)
            if self.exitfirst and record.status.is_failure:
                return


def _chosen(what: str, text: str | None, known: tuple[str, ...]) -> tuple[str, ...]:
    """The names in a comma-separated list; none without one, which leaves the choice to the cases."""
    chosen = tuple(word.strip() for word in text.split(",")) if text else ()
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
