"""The shell command that repeats one record alone: built here for the terminal, the reports and the gate."""

import os
from collections.abc import Iterable
from shlex import quote
from typing import Literal

from attnbench.bench.program import program
from attnbench.bench.records.schema import Environment, Record

VARIABLES = ("FLASH_ATTENTION_TRITON_AMD_ENABLE", "TRITON_INTERPRET")
"""Environment variables that decide whether an implementation runs at all; a run keeps those that were set."""

Verb = Literal["check", "run"]
"""``check`` compares with the oracle, ``run`` also times."""


def variables() -> str:
    """The :data:`VARIABLES` that are set in this process, as a shell writes them before a command."""
    return " ".join(f"{name}={quote(os.environ[name])}" for name in VARIABLES if name in os.environ)


def shell_word(text: str) -> str:
    """`text` as one word of a shell's command; what can't be seen is escaped, as bash and zsh read it."""
    if text.isprintable():
        return quote(text)
    return f"$'{''.join(map(_escaped, text))}'"


def _escaped(character: str) -> str:
    if character in "\\'":
        return f"\\{character}"
    if character.isprintable():
        return character
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x80 else f"\\U{code:08x}"


def repeat_command(
    record: Record, environment: Environment, verb: Verb = "check", *, options: Iterable[str] = ()
) -> str:
    """The command that repeats `record` of a run made in `environment`: its implementation, case, seed and device.

    `options` are further words that the run was started with and that decide what is done.
    """
    name, case = shell_word(record.implementation), shell_word(record.case.id)
    line = command_line(verb, environment, implementation=name, case=case, seed=record.seed)
    return " ".join([line, *map(shell_word, options)])


def command_line(verb: Verb, environment: Environment, *, implementation: str, case: str, seed: int | str) -> str:
    """The command with words that are quoted already, or with placeholders for them."""
    words = [*program(), verb, "--impl", implementation, "--case", case, "--seed", str(seed)]
    if environment.device != "cpu":
        words += ["--device", quote(environment.device)]
    return " ".join([*filter(None, [environment.informational.get("variables", "")]), *words])
