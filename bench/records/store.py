"""A run's file: JSON Lines, one header, then one record a line, each flushed before the next begins.

A killed run leaves every finished record readable. A lock beside the file
keeps out a second writer.
"""

from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

import msgspec

from attnbench.bench.records import schema_1
from attnbench.bench.records.files import write_whole
from attnbench.bench.records.lines import LineWriter, StoreError
from attnbench.bench.records.schema import SCHEMA, Header, Record, Run, as_json

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["RUN_FILE", "RunWriter", "StoreError", "frame", "read_run", "run_file"]

RUN_FILE = "run.jsonl"


class RunWriter:
    """Appends records to ``FOLDER/run.jsonl``; use as a context."""

    def __init__(self, folder: Path, header: Header, *, resume: bool = False) -> None:
        """Take the folder; with `resume`, go on where an unfinished run of the same header stopped."""
        self.folder, self.header = folder, header
        self.path = folder / RUN_FILE
        self.done: tuple[Record, ...] = ()
        self._lines = LineWriter(
            self.path,
            folder / ".lock",
            busy=f"another run writes to {folder}",
            elsewhere="give another folder with --out",
        )
        with ExitStack() as undo:
            undo.callback(self._lines.close)
            self._open(resume)
            undo.pop_all()  # all went well: the lock is kept until the writer is closed

    def _open(self, resume: bool) -> None:
        if resume and self.path.exists():
            self.done = self._resumed()
        elif self.path.exists():
            raise StoreError(f"{self.path} exists; add --resume to go on with it, or give another --out")
        if not self.path.exists() or not self.path.stat().st_size:
            self._lines.append(self.header)

    def _resumed(self) -> tuple[Record, ...]:
        """Records that are there already; a torn last line is cut off, since its record never ended."""
        self._lines.cut_torn_line()
        if not self.path.stat().st_size:
            return ()
        found = read_run(self.path)
        for name in ("sweep", "cases", "seed"):
            before, now = getattr(found.header, name), getattr(self.header, name)
            if before != now:
                what = "other cases" if name == "cases" else f"another {name} ({name} {before!r}, this run {now!r})"
                raise StoreError(f"can't resume {self.path}: it has {what}; give another --out")
        before, now = found.header.environment.must_match, self.header.environment.must_match
        for name in sorted(before.keys() | now.keys()):
            if before.get(name) != now.get(name):
                raise StoreError(
                    f"can't resume {self.path}: {name} was {before.get(name)!r} and is {now.get(name)!r}; "
                    "timings of two machines don't belong in one run, give another --out"
                )
        return found.records

    def append(self, record: Record) -> None:
        """Write one record and sync it to disk."""
        self._lines.append(record)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lines.close()


def write_run(run: Run, folder: Path) -> Path:
    """Write a whole run into `folder` in one step; the file. Raises StoreError where that fails."""
    file = folder / RUN_FILE
    lines = [as_json(run.header), *(as_json(record) for record in run.records)]
    try:
        write_whole(file, b"\n".join(lines) + b"\n")
    except OSError as error:
        raise StoreError(f"can't write {file}: {error.strerror}") from error
    return file


def run_file(path: Path) -> Path:
    """The run's file for a folder or the file itself."""
    return path / RUN_FILE if path.is_dir() else path


def read_run(path: Path) -> Run:
    """The run at `path` (a folder or a file); damaged lines are named and skipped."""
    file = run_file(path)
    try:
        lines = file.read_bytes().splitlines()
    except OSError as error:
        raise StoreError(f"can't read {file}: {error.strerror}") from error
    if not lines:
        raise StoreError(f"{file} is empty: no run was written there")
    header = _header(file, lines[0])
    records, damaged = [], []
    for number, line in enumerate(lines[1:], start=2):
        try:
            records.append(_record(line, header.schema))
        except (msgspec.DecodeError, ValueError) as error:
            damaged.append(f"line {number}: {error}")
    latest = {record.key: record for record in records}  # a refined record stands for the earlier one
    return Run(header=header, records=tuple(latest.values()), damaged=tuple(damaged), path=str(path))


def _record(line: bytes, schema: int) -> Record:
    if schema == 1:
        return msgspec.convert(schema_1.record(msgspec.json.decode(line)), Record)
    return msgspec.json.decode(line, type=Record)


def _header(file: Path, line: bytes) -> Header:
    try:
        schema = msgspec.json.decode(line, type=dict)["schema"]
        if schema == 1:
            return msgspec.convert(schema_1.header(msgspec.json.decode(line)), Header)
        if schema > SCHEMA:
            raise StoreError(f"{file} has schema {schema}, this version reads up to {SCHEMA}; update attnbench")
        return msgspec.json.decode(line, type=Header)
    except (msgspec.DecodeError, KeyError, TypeError) as error:
        raise StoreError(f"{file} is not a run: its first line is no header ({error})") from error


def frame(runs: Iterable[Run] | Run) -> "pd.DataFrame":
    """One row a record: case fields, status, derived figures; times in nanoseconds."""
    import pandas as pd

    runs = [runs] if isinstance(runs, Run) else list(runs)
    return pd.DataFrame([_row(run, record) for run in runs for record in run.records])


def _row(run: Run, record: Record) -> dict[str, object]:
    case, measured, agreement = record.case, record.measurement, record.agreement
    low, high = measured.interval_ns if measured else (None, None)
    worst = agreement.worst if agreement else None
    exact = record.cost
    return {
        "run": run.path,
        "device": run.header.environment.device_name,
        "case": case.id,
        "implementation": record.implementation,
        "status": record.status.value,
        "reason": record.reason,
        "phase": case.phase,
        "mask": case.mask.spec,
        "layout": case.layout.spec,
        **{name: getattr(case, name) for name in _PLAIN_FIELDS},
        "gqa": case.groups,
        "median_ns": measured.median_ns if measured else None,
        "low_ns": low,
        "high_ns": high,
        "samples": len(measured.samples_ns) if measured else 0,
        "first_call_ns": measured.first_call_ns if measured else None,
        "peak_bytes": measured.peak_bytes if measured else None,
        "clock": measured.clock if measured else None,
        "pairs": exact.pairs,
        "flops": exact.flops,
        "minimal_bytes": exact.minimal_bytes,
        "tflop_s": exact.flops / measured.median_ns / 1e3 if measured else None,
        "worst_output": worst.output if worst else None,
        "worst_family": worst.family if worst else None,
        "share_of_budget": worst.share_of_budget if worst else None,
    }


_PLAIN_FIELDS = (
    "batch",
    "q_heads",
    "kv_heads",
    "q_len",
    "kv_len",
    "head_dim",
    "v_head_dim",
    "dtype",
    "direction",
    "bias",
    "softcap",
    "sinks",
    "dropout",
    "strides",
)
