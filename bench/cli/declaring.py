"""Options by which a command declares a user's function, where the function itself does not."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from attnbench.bench.cli.exits import UsageError
from attnbench.bench.registry.declarations import Options, problem_of

F = TypeVar("F", bound=Callable[..., Any])


def declaring_options(command: F) -> F:
    """``--without``; gives the command `options`."""
    return click.option(
        "--without",
        "options",
        metavar="A,B",
        callback=_options,
        help="Features and dtypes that a FILE.py:FUNCTION does not do, as gqa,backward,bf16.",
    )(command)


def _options(_context: click.Context, _parameter: click.Parameter, text: str | None) -> Options:
    options = Options(without=tuple(word.strip() for word in text.split(",")) if text else ())
    if problem := problem_of(options):
        raise UsageError(problem)
    return options
