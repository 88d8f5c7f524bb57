"""A pytest session's benchmarks as a run: what each test kept of its case, and what pytest-benchmark measured."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from time import perf_counter
from typing import Any

import psutil

from attnbench.bench.records.schema import (
    Agreement,
    Conditions,
    Environment,
    Header,
    Measurement,
    Record,
    Run,
    Status,
)
from attnbench.bench.timing.conditions import Watch
from attnbench.impls.contract import Case

SWEEP = "pytest"
LEAST_WATCHED_S = 0.5
"""Shorter than this, the machine's counters of CPU time are too coarse to say who took how much."""


@dataclass
class Kept:
    """What a test knows of its own case beside pytest-benchmark; a test fills it in as it goes."""

    device: str
    wanted: bool = False
    agreement: Agreement | None = None
    refused: Status = Status.UNSUPPORTED
    clock: str = ""
    cache: str = ""
    threads: int = 0
    peak_bytes: int | None = None
    conditions: Conditions | None = None

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Watch what disturbs the machine while this lasts, where the session is kept or judged."""
        if not self.wanted:
            yield
            return
        start, own = perf_counter(), psutil.Process()
        watch = Watch(self.device, lambda: [child.pid for child in own.children(recursive=True)])
        yield
        if perf_counter() - start >= LEAST_WATCHED_S:
            self.conditions = watch.conditions()


@dataclass(frozen=True)
class Ending:
    """How a test ended: ``passed``, ``failed`` or ``skipped``, and why."""

    outcome: str
    reason: str = ""


def record(case: Case, name: str, kept: Kept, ending: Ending, benchmark: Any) -> Record:
    """The record of one test. Without ``benchmark.stats`` (disabled, skipped) it has no measurement."""
    agreed = kept.agreement is not None and kept.agreement.ok
    if ending.outcome == "failed" or not agreed:
        status = _broken(kept, ending)
        agreement = kept.agreement if status is Status.WRONG else None
        reason = ending.reason or "the test made no comparison"
        return Record(case=case, implementation=name, status=status, reason=reason, agreement=agreement)
    measurement = _measurement(case, kept, benchmark) if ending.outcome == "passed" else None
    return Record(
        case=case,
        implementation=name,
        status=Status.PASSED,
        agreement=kept.agreement,
        measurement=measurement,
        conditions=kept.conditions if measurement else None,
        notes=(ending.reason,) if ending.reason else (),
    )


def _broken(kept: Kept, ending: Ending) -> Status:
    if ending.outcome == "skipped":
        return kept.refused
    return Status.WRONG if kept.agreement is not None and not kept.agreement.ok else Status.ERROR


def _measurement(case: Case, kept: Kept, benchmark: Any) -> Measurement | None:
    stats = getattr(benchmark, "stats", None)
    if stats is None or not stats.stats.data:
        return None
    return Measurement(
        samples_ns=tuple(second * 1e9 for second in stats.stats.data),
        calls=stats.iterations,
        clock=kept.clock,
        cache=kept.cache,
        timed_region=case.direction,
        threads=kept.threads,
        peak_bytes=kept.peak_bytes,
    )


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
