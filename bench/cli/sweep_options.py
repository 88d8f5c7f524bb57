"""``--sweep`` and an option for each axis and limit, by one decorator."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click

from attnbench.bench.sweeps import FROM_OPTIONS, Sweep, SweepError, load_sweep, override_options, sweep_names
from attnbench.impls.contract import CaseError, parse_case

F = TypeVar("F", bound=Callable[..., Any])

case_option = click.option(
    "--case", "case_ids", multiple=True, metavar="ID", help="Take this case and no sweep; repeatable."
)


def sweep_options(command: F) -> F:
    """Add ``--sweep NAME|FILE.toml`` and the overrides; their values arrive as keyword arguments."""
    text = f"{', '.join(sweep_names())}, or a file. Without it, options below make a sweep of their own."
    return click.option("--sweep", "sweep_name", metavar="NAME|FILE.toml", help=text)(override(command))


def override(command: F) -> F:
    """Add the overrides alone."""
    for option in reversed(override_options):
        command = click.option(option.flag, option.key, metavar=option.metavar, help=option.help)(command)
    return command


def chosen_sweep(arguments: Mapping[str, str | None], default: str) -> Sweep:
    """The sweep that the options name; raises click.UsageError with one line.

    Without ``--sweep``, options that say an axis (``--q-len 128:1024:x2 --gqa 1,4``) make
    a sweep of their own; limits alone bound the default one.
    """
    overrides = {key: value for key, value in arguments.items() if value is not None and key != "sweep_name"}
    says_axis = any(not key.startswith("max_") for key in overrides)
    named = arguments.get("sweep_name")
    name = named if named is not None else (FROM_OPTIONS if says_axis else default)
    try:
        return load_sweep(name, overrides)
    except SweepError as error:
        raise click.UsageError(str(error)) from error


def chosen_cases(case_ids: tuple[str, ...], arguments: Mapping[str, str | None], default: str) -> Sweep:
    """The cases of ``--case`` alone, or the sweep that the options name; raises click.UsageError with one line."""
    if not case_ids:
        return chosen_sweep(arguments, default)
    if arguments.get("sweep_name") is not None:
        raise click.UsageError("--case and --sweep: give one of them")
    try:
        return Sweep("cases", tuple(parse_case(case_id) for case_id in dict.fromkeys(case_ids)))
    except CaseError as error:
        raise click.UsageError(str(error)) from error
