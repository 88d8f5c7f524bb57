"""``list``: implementations, whether they can run here, and why not."""

import click

from attnbench.bench.cli.exits import UsageError
from attnbench.bench.cli.session import DEVICE_HELP, SET_UP_TIMEOUT_S, Session, session, usable
from attnbench.bench.sweeps import Sweep
from attnbench.bench.workers.answers import Description, Unusable
from attnbench.bench.workers.process import pool
from attnbench.impls.contract import EVERYTHING, Case, CaseError, parse_case

EXAMPLES = """\b
Examples:
  python -m bench list
  python -m bench list --case b1-h32-kv8-s512-d128-causal-bf16
  python -m bench list --impl my_kernel.py:attention --json
  python -m bench list --features markdown > docs/features.md
"""


@click.command(epilog=EXAMPLES)
@click.option("--device", default="cpu", show_default=True, help=DEVICE_HELP)
@click.option("--impl", "names", multiple=True, metavar="NAME|FILE.py:FUNCTION", help="Only these; repeatable.")
@click.option("--case", "case_id", metavar="ID", help="Say for this case who can do it, and why the others can't.")
@click.option("--json", "for_machines", is_flag=True, help="For machines.")
@click.option("--features", type=click.Choice(["table", "markdown", "json"]), help="The feature matrix instead.")
def command(
    device: str, names: tuple[str, ...], case_id: str | None, for_machines: bool, features: str | None
) -> None:
    """Implementations, whether they can run here, and why not."""
    if features:
        click.echo(_matrix(names, features), nl=False)
        return
    try:
        case = parse_case(case_id) if case_id else None
    except CaseError as error:
        raise UsageError(str(error)) from error
    with session(names, device, Sweep("list", ()), SET_UP_TIMEOUT_S) as here:
        found = here.pool.oracle.describe(names)
        known = [one for one in found if not isinstance(one, Unusable)]
        reasons = {one.name: _reason(one, device) for one in known}
        if case is not None:
            reasons |= _asked(here, case, known)
    _print_json(known, reasons) if for_machines else _print_entries(known, reasons, case_id or device)


def _matrix(names: tuple[str, ...], form: str) -> str:
    """The feature matrix in `form`; it is the same on every machine, so that no device is asked for."""
    from attnbench.bench.registry.features import as_json, as_markdown, as_table

    with pool("cpu", SET_UP_TIMEOUT_S) as workers:
        rows = usable(workers.oracle.features(names))
    return {"table": as_table, "markdown": as_markdown, "json": as_json}[form](rows)


def _reason(one: Description, device: str) -> str | None:
    elsewhere = None if device in one.devices else f"runs on {' and '.join(one.devices)}, not on {device}"
    return "; ".join(reason for reason in (elsewhere, one.unavailable) if reason) or None


def _features(one: Description) -> str:
    """What it can do, or what it lacks where that is shorter to say."""
    lacks = sorted(EVERYTHING - one.features)
    if not one.features:
        return "full attention alone"
    if len(lacks) < len(one.features):
        return f"all but {', '.join(lacks)}" if lacks else "all"
    return ", ".join(sorted(one.features))


def _asked(here: Session, case: Case, known: list[Description]) -> dict[str, str | None]:
    return here.pool.oracle.supports(tuple(one.name for one in known), case)


def _print_json(known: list[Description], reasons: dict[str, str | None]) -> None:
    import msgspec

    rows = [
        {
            "name": one.name,
            "summary": one.summary,
            "version": one.version,
            "devices": one.devices,
            "features": sorted(one.features),
            "known_limits": one.known_limits,
            "runs": reasons[one.name] is None,
            "reason": reasons[one.name],
        }
        for one in known
    ]
    click.echo(msgspec.json.format(msgspec.json.encode(rows)).decode())


def _print_entries(known: list[Description], reasons: dict[str, str | None], what: str) -> None:
    """A few lines each: whether it runs, its name, version and devices; what it is or why not; what it can do."""
    from rich.console import Console
    from rich.padding import Padding
    from rich.text import Text

    console = Console(highlight=False)
    runs = sum(reason is None for reason in reasons.values())
    console.print(Text(f"{runs} of {len(known)} can run here: {what}"))
    for one in sorted(known, key=lambda one: reasons[one.name] is not None):
        reason = reasons[one.name]
        console.print()
        head = Text("no   " if reason else "yes  ", style="yellow" if reason else "green")
        console.print(
            head + Text(one.name, style="bold") + Text(f"  {one.version}, {' '.join(one.devices)}", "dim")
        )
        console.print(Padding(Text(reason or one.summary), (0, 0, 0, 5)))
        console.print(Padding(Text(f"features: {_features(one)}", style="dim"), (0, 0, 0, 5)))
