"""``audit``: would these cases notice a wrong answer?"""

from collections.abc import Sequence

import click

from attnbench.bench.agreement.families import FAMILIES
from attnbench.bench.cli.progress import bar
from attnbench.bench.cli.session import CASE_TIMEOUT_S
from attnbench.bench.cli.sweep_options import case_option, chosen_cases, sweep_options
from attnbench.bench.sweeps.plan import DEPTHS, Ask, Plan
from attnbench.bench.workers.answers import Unnoticed
from attnbench.bench.workers.process import pool
from attnbench.impls.contract import DTYPES, EVERYTHING

EXAMPLES = """\b
Examples:
  python -m bench audit                         # the cases that check makes where everything is declared
  python -m bench audit --sweep smoke
  python -m bench audit --case b1-h4-kv2-s64-d32-causal-bf16
"""


@click.command(epilog=EXAMPLES)
@sweep_options
@case_option
@click.option("--depth", type=click.Choice(DEPTHS), default="standard", show_default=True)
@click.option("--seed", default=0, show_default=True, help="Seed of the inputs.")
def command(case_ids: tuple[str, ...], depth: str, seed: int, **sweep_arguments: str | None) -> None:
    """Judge answers that are wrong in known ways, as if a kernel had given them.

    The answers: zeros, the mean of V, uniform weights, V itself, the row before's, another head's, another batch
    row's, another seed's. One that equals the right answer (one key: the mean of V) is no finding.

    Exit 0: every case notices every one. 1: some pass. 2: usage.
    """
    asks = _asks(case_ids, depth, seed, sweep_arguments)
    found: list[tuple[Ask, Sequence[Unnoticed]]] = []
    with pool("cpu", CASE_TIMEOUT_S) as workers, bar(len(asks), "auditing", _line) as step:
        for ask in asks:
            passed = workers.oracle.audit(ask.case, seed, ask.families or tuple(FAMILIES))
            step((ask, passed), ask.case.id)
            found.append((ask, passed))
    blind = [one for one in found if one[1]]
    for one in blind:
        click.echo(_line(one))
    click.echo(f"{len(found)} cases, {len(blind)} would pass a wrong answer")
    raise SystemExit(1 if blind else 0)


def _asks(case_ids: tuple[str, ...], depth: str, seed: int, arguments: dict[str, str | None]) -> Sequence[Ask]:
    """The cases that are named; without any, those of an implementation that declares everything."""
    if case_ids or any(value is not None for value in arguments.values()):
        return [Ask(case) for case in chosen_cases(case_ids, arguments, "trust").cases]
    everything = Plan(EVERYTHING, DTYPES, lambda cases: [None] * len(cases), seed, depth)
    asks = {ask.case.id: ask for ask in (*everything.alone(), *everything.together())}
    return tuple(asks.values())


def _line(one: tuple[Ask, Sequence[Unnoticed]]) -> str:
    ask, passed = one
    words = "; ".join(
        f"{answer.output}: {answer.answer} pass at {answer.share_of_budget:.2g} of the budget" for answer in passed
    )
    return f"{ask.case.id}  {words or 'notices all'}"
