"""A judgement as workflow commands, which GitHub shows beside the code: ten a step at most, the worst first."""

from collections.abc import Iterator

from attnbench.bench.records.verdict import OPEN, Finding, Judgement
from attnbench.reports.text import plain
from attnbench.reports.verdicts import words

MOST = 10
"""GitHub drops what a step says beyond ten errors and ten warnings."""


def render(judgement: Judgement) -> Iterator[str]:
    """``::error title=…::…`` for what fails, ``::warning …`` for what can't be told or was accepted."""
    failing = judgement.failing
    told = [("error", _title(one), words.sentence(one)) for one in failing]
    if judgement.invalid_reason:
        told.append(("warning", "The gate decides nothing", plain(judgement.invalid_reason)))
    others = [one for one in judgement.findings if one not in failing and _doubtful(one)]
    told += [("warning", _title(one), words.sentence(one)) for one in others]
    if len(told) > MOST:
        more = f"{len(told) - MOST + 1} more: {words.sums(judgement)}"
        told = [*told[: MOST - 1], ("error" if failing else "warning", "More findings", more)]
    for level, title, message in told:
        yield f"::{level} title={property_value(title)}::{data(message)}"


def _doubtful(finding: Finding) -> bool:
    return bool(finding.allowed) or finding.verdict in OPEN


def _title(finding: Finding) -> str:
    return f"{finding.verdict} {words.ABOUT[finding.about]}: {plain(finding.implementation)}"


def data(text: str) -> str:
    """A message as the runner reads it: ``%``, carriage return and newline escaped."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def property_value(text: str) -> str:
    """A property as the runner reads it: as a message, and ``:`` and ``,`` too."""
    return data(text).replace(":", "%3A").replace(",", "%2C")
