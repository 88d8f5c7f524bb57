"""A judgement as workflow commands, which GitHub shows beside the code: ten a step at most, the worst first."""

from collections.abc import Iterator

from attnbench.bench.records.verdict import OPEN, Finding, Judgement
from attnbench.reports.text import plain
from attnbench.reports.verdicts import sentences

MOST = 10
"""GitHub drops what a step says beyond ten errors and ten warnings."""


def render(judgement: Judgement) -> Iterator[str]:
    """``::error title=…::…`` for what fails, ``::warning …`` for what is undecided, incomparable or accepted."""
    failing = judgement.failing
    commands = [("error", _title(one), sentences.sentence(one)) for one in failing]
    if judgement.invalid_reason:
        commands.append(("warning", "The gate decides nothing", plain(judgement.invalid_reason)))
    others = [one for one in judgement.findings if one not in failing and _doubtful(one)]
    commands += [("warning", _title(one), sentences.sentence(one)) for one in others]
    if len(commands) > MOST:
        more = f"{len(commands) - MOST + 1} more: {sentences.sums(judgement)}"
        commands = [*commands[: MOST - 1], ("error" if failing else "warning", "More findings", more)]
    for level, title, message in commands:
        yield f"::{level} title={property_value(title)}::{data(message)}"


def _doubtful(finding: Finding) -> bool:
    return bool(finding.allowed) or finding.verdict in OPEN


def _title(finding: Finding) -> str:
    return f"{finding.verdict} {finding.about.value}: {plain(finding.implementation)}"


def data(text: str) -> str:
    """A message as the runner reads it: ``%``, carriage return and newline escaped."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def property_value(text: str) -> str:
    """A property as the runner reads it: as a message, and ``:`` and ``,`` too."""
    return data(text).replace(":", "%3A").replace(",", "%2C")
