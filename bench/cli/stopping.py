"""Ends of long work that a user asked for: a time budget, and Ctrl-C."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

import click

from attnbench.bench.cli.usage import UsageError

EXIT_INTERRUPTED = 130


def seconds_of(text: str) -> float:
    """``--time-budget`` in seconds; raises UsageError."""
    from attnbench.bench.sweeps.limits import seconds

    try:
        return seconds(text)
    except ValueError as error:
        raise UsageError(f"--time-budget {text!r}: {error}") from error


@contextmanager
def stopping(in_hand: str) -> Iterator[list[int]]:
    """A list that Ctrl-C fills: what is in hand is finished first; a second Ctrl-C ends at once."""
    asked: list[int] = []

    def note(number: int, _frame: object) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)
        click.echo(f"stopping after the {in_hand} in hand (Ctrl-C again to stop at once)", err=True)

    before = signal.signal(signal.SIGINT, note)
    try:
        yield asked
    finally:
        signal.signal(signal.SIGINT, before)
