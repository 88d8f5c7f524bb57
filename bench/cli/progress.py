"""Progress of long work: a bar with the time left on a terminal, plain lines otherwise; both on stderr."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click


@contextmanager
def bar(
    total: int | None,
    what: str,
    line: Callable[[Any], str],
    *,
    done: int = 0,
    alarming: Callable[[Any], bool] = lambda _: False,
) -> Iterator[Callable[[Any, str], None]]:
    """Gives a function to call with each thing that is done, and with the words that stand beside the bar.

    `line` tells one thing in a line; on a terminal only alarming things get one. A
    total of None is one that nobody knows.
    """
    if not sys.stderr.isatty():
        count = done

        def plain(thing: object, _words: str) -> None:
            nonlocal count
            count += 1
            click.echo(f"[{count}{f'/{total}' if total else ''}] {line(thing)}", err=True)

        yield plain
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("elapsed,"),
        TimeRemainingColumn(),
        TextColumn("left"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task(what, total=total, completed=done)

        def step(thing: object, words: str) -> None:
            shown.advance(task)
            shown.update(task, description=f"{what} {words}")
            if alarming(thing):
                shown.console.print(line(thing), style="red", highlight=False, soft_wrap=True, markup=False)

        yield step
