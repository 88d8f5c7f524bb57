"""What a comparison has done so far, so that a killed one can continue: one header, then one line for each trial.

The file has one writer, and each line is on the disk before the next trial begins.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import msgspec

from attnbench.bench.records import schema_1
from attnbench.bench.records.lines import LineWriter, StoreError
from attnbench.bench.records.trial import JOURNAL_SCHEMA, Comparing, Phase, Trial

ELSEWHERE = "give another --out"
SAME = ("a", "b", "cases", "seed", "rule")
"""Fields of the header that must be equal when a comparison is resumed."""


class Journal:
    """Trials that were finished, before and since; made by :meth:`open`."""

    def __init__(self, writer: LineWriter) -> None:
        self._writer = writer
        self._trials: list[Trial] = []
        self.damaged: tuple[str, ...] = ()
        """Lines that could not be read, each with the reason: their trials are to be done again."""

    @classmethod
    @contextmanager
    def open(cls, path: Path, header: Comparing, resume: bool) -> Iterator[Self]:
        """The journal at `path`, held against a second writer until the context ends.

        Raises:
            StoreError: another process writes to it; it exists and is not to be resumed; it
                belongs to another comparison or another machine; or it can't be written.
        """
        lock = path.with_name(f".{path.name}.lock")
        writer = LineWriter(path, lock, busy=f"another comparison writes to {path}", elsewhere=ELSEWHERE)
        try:
            journal = cls(writer)
            journal._start(header, resume)
            yield journal
        finally:
            writer.close()

    def _start(self, header: Comparing, resume: bool) -> None:
        path = self._writer.path
        if path.exists() and not resume:
            raise StoreError(f"{path} exists; add --resume to continue it, or {ELSEWHERE}")
        torn = self._writer.cut_torn_line()
        lines = path.read_bytes().splitlines() if path.exists() else []
        if not lines:
            self._writer.append(header)
            return
        _same_comparison(path, _header(path, lines[0]), header)
        damaged = []
        for number, line in enumerate(lines[1:], start=2):
            try:
                self._trials.append(msgspec.json.decode(line, type=Trial))
            except (msgspec.DecodeError, ValueError) as error:
                damaged.append(f"{path} line {number}: {error}")
        if torn:
            damaged.append(f"{path} line {len(lines) + 1}: it was never finished ({torn} bytes, cut off)")
        self.damaged = tuple(damaged)

    def trials(self, case: str, phase: Phase) -> tuple[Trial, ...]:
        """Finished trials of a case in one phase, by number; of two with the same number the later one."""
        found = {one.number: one for one in self._trials if one.case == case and one.phase == phase}
        return tuple(found[number] for number in sorted(found))

    def append(self, trial: Trial) -> None:
        """Keep a finished trial: it is on the disk when this returns."""
        self._writer.append(trial)
        self._trials.append(trial)


def _header(path: Path, line: bytes) -> Comparing:
    try:
        schema = msgspec.json.decode(line, type=dict[str, object])["schema"]
        if isinstance(schema, int) and schema > JOURNAL_SCHEMA:
            raise StoreError(
                f"{path} has schema {schema}, this version reads up to {JOURNAL_SCHEMA}; update attnbench"
            )
        if schema == 1:
            return msgspec.convert(schema_1.header(msgspec.json.decode(line)), Comparing)
        return msgspec.json.decode(line, type=Comparing)
    except (msgspec.DecodeError, KeyError) as error:
        raise StoreError(f"{path} is no journal of a comparison: its first line is no header ({error})") from error


def _same_comparison(path: Path, before: Comparing, now: Comparing) -> None:
    """Raise StoreError with the first difference that makes the earlier trials unusable."""
    for name in SAME:
        was, this = getattr(before, name), getattr(now, name)
        if was != this:
            raise StoreError(f"can't resume {path}: {_difference(name, was, this)}; {ELSEWHERE}")
    was_machine, is_machine = before.environment.must_match, now.environment.must_match
    for name in sorted(was_machine.keys() | is_machine.keys()):
        if was_machine.get(name) != is_machine.get(name):
            raise StoreError(
                f"can't resume {path}: {name} was {was_machine.get(name)!r} and is {is_machine.get(name)!r}; "
                f"trials on two machines don't belong in one comparison, {ELSEWHERE}"
            )


def _difference(name: str, was: object, this: object) -> str:
    if name == "cases":
        return "it has other cases"
    if name not in ("a", "b"):
        return f"its {name} was {was!r}, this comparison's is {this!r}"
    for field in getattr(was, "__struct_fields__", ()):
        before, now = getattr(was, field), getattr(this, field)
        if before != now:
            return f"the {field} of {name.upper()} was {before or 'none'!r} and is {now or 'none'!r}"
    return f"side {name.upper()} differs"
