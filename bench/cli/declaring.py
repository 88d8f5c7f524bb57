"""Options by which a command declares a user's function, where the function itself does not."""

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

import click

from attnbench.bench.cli.exits import UsageError
from attnbench.bench.registry.declarations import Options, problem_of

F = TypeVar("F", bound=Callable[..., Any])


def declaring_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--without`` and ``--convention``; gives the command `options`."""

    @wraps(command)
    def with_options(*, without: str | None, under: tuple[str, ...], **arguments: Any) -> Any:
        named = tuple(word.strip() for word in without.split(",")) if without else ()
        pairs = tuple((name, value) for name, _, value in (word.partition("=") for word in under))
        options = Options(without=named, conventions=pairs)
        if problem := problem_of(options):
            raise UsageError(problem)
        return command(options=options, **arguments)

    without = click.option(
        "--without",
        metavar="A,B",
        help="Features and dtypes that a FILE.py:FUNCTION does not do, as gqa,backward,bf16.",
    )
    under = click.option(
        "--convention", "under", multiple=True, metavar="NAME=VALUE",
        help="A convention that a FILE.py:FUNCTION follows, as causal=top-left; repeatable. See `conventions`.",
    )  # fmt: skip
    return without(under(with_options))
