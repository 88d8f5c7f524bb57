"""Findings that a user accepts: a TOML file whose entries each have a reason and a last day.

A file holds ``[[allow]]`` entries::

    [[allow]]
    case = "b1-*-causal-bf16"        # a glob, as the shell's
    implementation = "sdpa_*"
    about = "time"                   # time, wrong, accuracy, status, memory or presence
    reason = "the safe softmax of #123"
    expires = 2027-01-31             # the last day on which it holds
"""

from collections.abc import Sequence
from datetime import date
from fnmatch import fnmatchcase
from pathlib import Path

import msgspec

from attnbench.bench.records.verdict import ABSENT, About, Finding, Judgement, Verdict, worst_first

ASKABLE = ("new", "missing")
NEEDED = ("case", "implementation", "about", "reason", "expires")


class AllowError(ValueError):
    """An allow file can't be used; the message names the file, the entry and what to do."""


class Entry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One accepted kind of finding; `case` and `implementation` are globs."""

    case: str
    implementation: str
    about: About
    reason: str
    expires: date

    def takes(self, finding: Finding) -> bool:
        """Whether it matches `finding`."""
        return (
            finding.about is self.about
            and fnmatchcase(finding.case, self.case)
            and fnmatchcase(finding.implementation, self.implementation)
        )

    def __str__(self) -> str:
        return f"{self.about} of {self.implementation} on {self.case} ({self.reason})"


def read_allow(path: Path) -> tuple[Entry, ...]:
    """The entries of a file; raises AllowError naming the file and the entry."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise AllowError(f"can't read {path}: {getattr(error, 'strerror', None) or error}") from error
    try:
        whole = msgspec.toml.decode(text)
    except msgspec.DecodeError as error:
        raise AllowError(f"{path} is no TOML: {error}") from error
    if unknown := sorted(whole.keys() - {"allow"}):
        raise AllowError(f"{path}: unknown key {unknown[0]!r}; the file holds [[allow]] entries and nothing else")
    entries = whole.get("allow", [])
    if not isinstance(entries, list):
        raise AllowError(f"{path}: write [[allow]], with two brackets, before each entry")
    return tuple(_entry(path, number, one) for number, one in enumerate(entries, start=1))


def _entry(path: Path, number: int, one: object) -> Entry:
    try:
        entry = msgspec.convert(one, Entry)
    except msgspec.ValidationError as error:
        keys = f"; an entry has {', '.join(NEEDED)} (about: {', '.join(About)}; expires: a date such as 2027-01-31)"
        raise AllowError(f"{path}, entry {number}: {error}{keys}") from error
    if not entry.reason.strip():
        raise AllowError(f"{path}, entry {number}: say in `reason` why this is accepted")
    return entry


def asked(text: str) -> tuple[Verdict, ...]:
    """Verdicts that a user asks to fail on, as ``new,missing``; raises AllowError for another word."""
    words = [word.strip().lower() for word in text.split(",")] if text else []
    if unknown := [word for word in words if word not in ASKABLE]:
        raise AllowError(f"takes {' and '.join(ASKABLE)}, with a comma between them, not {unknown[0]!r}")
    return tuple(Verdict(word.upper()) for word in dict.fromkeys(words))


def settled(judgement: Judgement, entries: Sequence[Entry], required: Sequence[Verdict], today: date) -> Judgement:
    """`judgement` with what the user accepts and asks for: what fails first, then by severity."""
    wanted = tuple(dict.fromkeys((*judgement.required, *required)))
    judged = allowing(msgspec.structs.replace(judgement, required=wanted), entries, today)
    failing = judged.failing
    rest = [one for one in judged.findings if one not in failing]
    return msgspec.structs.replace(judged, findings=worst_first(list(failing)) + worst_first(rest))


def allowing(judgement: Judgement, entries: Sequence[Entry], today: date) -> Judgement:
    """`judgement` with the findings that `entries` accept marked; expired and unused entries are named in notes.

    UNDECIDED and INCOMPARABLE can't be accepted.
    """
    valid = [entry for entry in entries if entry.expires >= today]
    used: set[Entry] = set()

    def mark(finding: Finding) -> Finding:
        entry = next((one for one in valid if one.takes(finding)), None)
        if entry is None or not _acceptable(finding):
            return finding
        used.add(entry)
        return msgspec.structs.replace(finding, allowed=entry.reason)

    findings = tuple(mark(finding) for finding in judgement.findings)
    notes = [
        f"--allow: expired on {one.expires}, so it accepts nothing any more: {one}"
        for one in entries
        if one not in valid
    ]
    notes += [f"--allow: nothing of this kind was found, so it can go: {one}" for one in valid if one not in used]
    return msgspec.structs.replace(judgement, findings=findings, notes=(*judgement.notes, *notes))


def _acceptable(finding: Finding) -> bool:
    return finding.verdict is Verdict.REGRESSED or finding.verdict in ABSENT
