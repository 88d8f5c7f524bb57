"""How commands end: exit codes, usage errors, a time budget, and Ctrl-C."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

import click

EXIT_USAGE = 2
EXIT_NOTHING = 3
"""Nothing was checked, so nothing can be said."""

EXIT_INTERRUPTED = 130


class UsageError(click.ClickException):
    """Input that can't be used: one clear line, and exit code 2."""

    exit_code = EXIT_USAGE


def seconds_of(text: str) -> float:
    """``--time-budget`` in seconds; raises UsageError."""
    from attnbench.bench.sweeps.limits import seconds

    try:
        return seconds(text)
    except ValueError as error:
        raise UsageError(f"--time-budget {text!r}: {error}") from error


@contextmanager
def stopping(current: str) -> Iterator[list[int]]:
    """A list that Ctrl-C fills: the `current` item is finished first; a second Ctrl-C ends at once."""
    asked: list[int] = []

    def note(number: int, _frame: object) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)
        click.echo(f"stopping after the current {current} (Ctrl-C again to stop at once)", err=True)

    before = signal.signal(signal.SIGINT, note)
    try:
        yield asked
    finally:
        signal.signal(signal.SIGINT, before)
