"""``--sweep`` and an option for each axis and limit, by one decorator."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from bench.sweeps import Sweep, SweepError, load_sweep, override_options

F = TypeVar("F", bound=Callable[..., Any])


def sweep_options(command: F) -> F:
    """Add ``--sweep NAME|FILE.toml`` and the overrides; their values arrive as keyword arguments."""
    for option in reversed(override_options):
        command = click.option(option.flag, option.key, metavar=option.metavar, help=option.help)(command)
    return click.option("--sweep", "sweep_name", metavar="NAME|FILE.toml", help="The sweep to run.")(command)


def chosen_sweep(arguments: dict[str, str | None], default: str) -> Sweep:
    """The sweep that the options name; raises click.UsageError with one line.

    Options alone (``--q-len 128:1024:x2 --q-heads 8``) are a sweep of their own,
    unless they only narrow the default one.
    """
    name = arguments.pop("sweep_name", None) or default
    overrides = {key: value for key, value in arguments.items() if value is not None}
    try:
        return load_sweep(name, overrides)
    except SweepError as error:
        raise click.UsageError(str(error)) from error
