"""``list``: implementations, whether they can run here, and why not."""

import click

from bench.cli.session import SET_UP_TIMEOUT_S, Session, UsageError, session
from bench.sweeps import Sweep
from bench.timing.worker import Description, Unusable
from impls.contract import Case, CaseError, parse_case

EXAMPLES = """\b
Examples:
  python -m bench list
  python -m bench list --case b1-h32-kv8-s512-d128-causal-bf16
  python -m bench list --impl my_kernel.py:attention --json
"""


@click.command(epilog=EXAMPLES)
@click.option("--device", default="cpu", show_default=True, help="cpu or cuda.")
@click.option("--impl", "names", multiple=True, metavar="NAME|FILE.py:FUNCTION", help="Only these; repeatable.")
@click.option("--case", "case_id", metavar="ID", help="Say for this case who can do it, and why the others can't.")
@click.option("--json", "for_machines", is_flag=True, help="For machines.")
def command(device: str, names: tuple[str, ...], case_id: str | None, for_machines: bool) -> None:
    """Implementations, whether they can run here, and why not."""
    try:
        case = parse_case(case_id) if case_id else None
    except CaseError as error:
        raise UsageError(str(error)) from error
    with session(names, device, Sweep("list", ()), SET_UP_TIMEOUT_S) as here:
        found = here.pool.oracle.ask("describe", names)
        known = [one for one in found if not isinstance(one, Unusable)]
        reasons = {one.name: _reason(one, device) for one in known}
        if case is not None:
            reasons |= _asked(here, case, known)
    _print_json(known, reasons) if for_machines else _print_table(known, reasons, device, case_id)


def _reason(one: Description, device: str) -> str | None:
    if device not in one.devices:
        return f"runs on {' and '.join(one.devices)}, not on {device}"
    return one.unavailable


def _asked(here: Session, case: Case, known: list[Description]) -> dict[str, str | None]:
    answer: dict[str, str | None] = here.pool.oracle.ask("supports", tuple(one.name for one in known), case)
    return answer


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


def _print_table(
    known: list[Description], reasons: dict[str, str | None], device: str, case_id: str | None
) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, title_justify="left", header_style="bold")
    for heading in ("implementation", f"{case_id or device}", "version", "what it is, or why not"):
        table.add_column(heading, overflow="fold", no_wrap=heading == "implementation")
    for one in known:
        reason = reasons[one.name]
        style = "dim" if reason else ""
        table.add_row(one.name, "no" if reason else "yes", one.version, reason or one.summary, style=style)
    Console(highlight=False).print(table)
