"""What a user got wrong: one clear line, exit 2."""

import click

EXIT_USAGE = 2


class UsageError(click.ClickException):
    """Input that can't be used."""

    exit_code = EXIT_USAGE
