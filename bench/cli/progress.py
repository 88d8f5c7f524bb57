"""Progress of long work on stderr: a bar with the remaining time on a terminal, plain lines otherwise."""

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
    """Yields a function to call with each finished item and the text beside the bar.

    `line` formats an item as one line; on a terminal only alarming items are printed.
    `total` is None where it is not known.
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
