"""``sweep``: the cases of a sweep, their cost, and how long a run would take."""

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import click

from attnbench.bench.cli.sweep_options import chosen_sweep, override
from attnbench.impls.contract import ANY_DEVICE
from attnbench.impls.contract.case import ID_LEGEND

if TYPE_CHECKING:
    from attnbench.bench.records.schema import Peaks
    from attnbench.bench.sweeps import Sweep
    from attnbench.bench.sweeps.estimate import Estimate

EXAMPLES = """\b
Examples:
  python -m bench sweep quick
  python -m bench sweep --model llama3-8b --phase prefill,decode --context 8k
  python -m bench sweep my.toml --q-len 128:16384:x2 --gqa 1,4,8 --dtype bf16 --json
"""
LEGEND = "\b\nParts of a case id (what has its usual value is left out):\n" + "\n".join(
    f"  {part:16} {meaning}" for part, meaning in ID_LEGEND.items()
)


@dataclass(frozen=True)
class Plan:
    """A sweep with what it would take here; `counts` are the implementations that can do each case."""

    sweep: "Sweep"
    peaks: "Peaks"
    published: "Peaks | None"
    counts: tuple[int, ...]
    implementations: int
    estimates: "tuple[Estimate, ...]"
    total_s: float


@click.command("sweep", epilog=f"{EXAMPLES}\n{LEGEND}")
@click.argument("name", required=False)
@click.option("--impl", "names", multiple=True, metavar="NAME", help="Count these implementations; repeat it.")
@click.option("--device", default="cpu", show_default=True, type=click.Choice(ANY_DEVICE), help="Where to run.")
@click.option("--no-estimate", is_flag=True, help="Only cases and cost: measures nothing, imports no torch.")
@click.option("--json", "as_json", is_flag=True, help="For machines.")
@override
def command(
    name: str | None,
    names: tuple[str, ...],
    device: str,
    *,
    no_estimate: bool,
    as_json: bool,
    **overrides: str | None,
) -> None:
    """Print the cases of a sweep (a name, a file, or made of the options), their cost and the time of a run."""
    sweep = chosen_sweep({**overrides, "sweep_name": name}, "quick")
    plan = None if no_estimate else _plan(sweep, names, device)
    if as_json:
        import json

        click.echo(json.dumps(_machine(sweep, plan), indent=2))
        return
    _table(sweep, plan)
    for case, reason in sweep.skipped:
        click.echo(f"left out: {case}: {reason}")
    click.echo(f"{len(sweep.cases)} cases, {len(sweep.skipped)} left out")
    if plan:
        _sum_up(plan)


def _plan(sweep: "Sweep", names: Sequence[str], device: str) -> Plan:
    """Measure (or remember) this device's peaks and count who can do each case."""
    from attnbench.bench.records.environment import environment
    from attnbench.bench.records.peaks import published_for
    from attnbench.bench.registry.catalogue import UnknownImplementation, catalogue, find, why_unavailable
    from attnbench.bench.sweeps.estimate import estimate, total_s
    from attnbench.bench.timing.machine import torch_facts
    from attnbench.bench.timing.measured_peaks import measured_peaks

    wanted = tuple(names) or sweep.implementations
    try:
        chosen = [find(one) for one in wanted] if wanted else list(catalogue().values())
        here = environment(device, torch_facts(device))
    except (UnknownImplementation, ValueError) as error:
        raise click.UsageError(str(error)) from error
    chosen = [one for one in chosen if device in one.devices and not why_unavailable(one, device)]
    peaks = measured_peaks(here)
    counts = tuple(sum(one.supports(case, device) is None for one in chosen) for case in sweep.cases)
    estimates = tuple(
        estimate(case, peaks, count, sweep.limits.case_seconds)
        for case, count in zip(sweep.cases, counts, strict=True)
    )
    whole = total_s(estimates, len(chosen))
    return Plan(sweep, peaks, published_for(here.must_match), counts, len(chosen), estimates, whole)


def _table(sweep: "Sweep", plan: Plan | None) -> None:
    from rich.console import Console
    from rich.table import Table

    from attnbench.bench.units import show
    from attnbench.impls.contract import cost

    table = Table(title=f"{sweep.name}: {sweep.description}" if sweep.description else sweep.name, box=None)
    table.add_column("case", overflow="fold", no_wrap=False)
    for column in ("pairs", "GFLOP", "bytes", "FLOP/B", "inputs", "scores", *(("impls", "time") if plan else ())):
        table.add_column(column, justify="right", no_wrap=True)
    for index, case in enumerate(sweep.cases):
        exact = cost(case)
        sizes = (exact.minimal_bytes, exact.input_bytes, exact.score_bytes)
        moved, inputs, scores = (show(count, "bytes") for count in sizes)
        intensity = f"{exact.intensity_flops_per_byte:.3g}"
        more = (str(plan.counts[index]), human_seconds(plan.estimates[index].case_s)) if plan else ()
        table.add_row(
            case.id, f"{exact.pairs:,}", f"{exact.flops / 1e9:.4g}", moved, intensity, inputs, scores, *more
        )
    wide = None if sys.stdout.isatty() else 160
    Console(highlight=False, width=wide).print(table)


def _sum_up(plan: Plan) -> None:
    from attnbench.bench.sweeps.estimate import METHOD

    rates = ", ".join(f"{dtype} {rate / 1e9:.3g} GFLOP/s" for dtype, rate in plan.peaks.flops_per_s.items())
    click.echo(f"{plan.peaks.device}: {rates}, {plan.peaks.bytes_per_s / 1e9:.3g} GB/s, {plan.peaks.source}")
    if plan.published:
        half = plan.published.flops_per_s["bf16"] / 1e12
        published = f"bf16 {half:g} TFLOP/s, {plan.published.bytes_per_s / 1e9:g} GB/s, {plan.published.source}"
        click.echo(f"{plan.published.device}: {published}")
    click.echo(f"estimate: {human_seconds(plan.total_s)} for {plan.implementations} implementations ({METHOD})")


def _machine(sweep: "Sweep", plan: Plan | None) -> dict[str, Any]:
    """The same, as plain values; times in seconds, sizes in bytes."""
    from attnbench.bench.sweeps.estimate import METHOD
    from attnbench.impls.contract import cost

    cases: list[dict[str, Any]] = []
    for index, case in enumerate(sweep.cases):
        exact = cost(case)
        row = {"case": case.id, **asdict(exact), "intensity_flops_per_byte": exact.intensity_flops_per_byte}
        if plan:
            row |= {"implementations": plan.counts[index], **asdict(plan.estimates[index])}
        cases.append(row)
    skipped = [{"case": case, "reason": reason} for case, reason in sweep.skipped]
    found: dict[str, Any] = {
        "sweep": sweep.name,
        "limits": asdict(sweep.limits),
        "cases": cases,
        "skipped": skipped,
    }
    if plan:
        measured = {"flops_per_s": plan.peaks.flops_per_s, "bytes_per_s": plan.peaks.bytes_per_s}
        found |= {"peaks": {"device": plan.peaks.device, "source": plan.peaks.source, **measured}}
        found |= {"implementations": plan.implementations, "estimate_s": plan.total_s, "method": METHOD}
    return found


def human_seconds(seconds: float) -> str:
    """Two digits of seconds, then minutes, then hours."""
    if seconds < 120:
        return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
