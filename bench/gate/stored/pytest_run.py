"""A pytest session's benchmarks as a run: the record that each test kept, and how the test ended."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec

from attnbench.bench.records.schema import Environment, Header, Record, Run, Status
from attnbench.impls.contract import Case

SWEEP = "pytest"


@dataclass
class Kept:
    """What a test knows of its own case: its record, once there is one."""

    record: Record | None = None


@dataclass(frozen=True)
class Ending:
    """How a test ended: ``passed``, ``failed`` or ``skipped``, and why."""

    outcome: str
    reason: str = ""


def record(case: Case, name: str, kept: Kept, ending: Ending, benchmark: Any) -> Record:
    """The record of one test.

    A test that broke for another reason than its record's status is an ERROR, and one that
    pytest-benchmark was not given times of (disabled, skipped) has no measurement.
    """
    found = kept.record
    if found is None or (found.status is Status.PASSED and ending.outcome == "failed"):
        status = Status.UNSUPPORTED if ending.outcome == "skipped" else Status.ERROR
        return Record(
            case=case, implementation=name, status=status, reason=ending.reason or "the test made no comparison"
        )
    if found.measurement is not None and getattr(benchmark, "stats", None) is None:
        return msgspec.structs.replace(found, measurement=None, conditions=None)
    return found


def session_run(records: Sequence[Record], machine: Environment, command: str) -> Run:
    """The run of a session that made `records`."""
    header = Header(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        sweep=SWEEP,
        cases=tuple(dict.fromkeys(one.case.id for one in records)),
        implementations=tuple(dict.fromkeys(one.implementation for one in records)),
        seed=0,
        environment=machine,
        command=command,
    )
    return Run(header=header, records=tuple(records), path="this session")
