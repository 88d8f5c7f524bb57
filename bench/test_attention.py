"""``pytest bench --benchmark-only``: the sweep's cases through pytest-benchmark.

A case goes the way it goes in ``run``: checked and timed in workers, in rounds with the
other implementations; pytest-benchmark is given the times. A wrong implementation fails
here instead of being timed; one that can't do a case is skipped with the reason.
"""

from collections.abc import Sequence
from typing import Any

import pytest

from attnbench.bench.gate.stored.pytest_run import Kept
from attnbench.bench.pytest_session import SweepSession
from attnbench.bench.records.repeat import repeat_command
from attnbench.bench.records.schema import Record, Status
from attnbench.bench.timing.replay import VirtualClock
from attnbench.bench.timing.rounds import Effort
from attnbench.impls.contract import Case


def test_attention(
    benchmark: Any,
    implementation: str,
    case: Case,
    sweep_session: SweepSession,
    effort: Effort | None,
    replay_clock: VirtualClock,
    kept: Kept,
) -> None:
    """`implementation` agrees with the float64 reference on `case`, and this is how long it takes."""
    __tracebackhide__ = True
    record = kept.record = sweep_session.record(case, implementation, effort)
    if record.status.is_refusal:
        pytest.skip(record.reason)
    benchmark.group = case.id
    benchmark.extra_info.update(extra_info(record))
    if record.status is not Status.PASSED:
        repeat = repeat_command(record, sweep_session.environment)
        pytest.fail(
            f"{record.status} {implementation} on {case.id}\n  {record.reason}\n  repeat: {repeat}", pytrace=False
        )
    if effort is None:
        return
    if record.measurement is None:
        pytest.skip(f"it agrees, and is not timed: {'; '.join(record.notes)}")
    benchmark.extra_info["clock"] = record.measurement.clock
    replay(benchmark, replay_clock, [ns / 1e9 for ns in record.measurement.samples_ns])


def replay(benchmark: Any, clock: VirtualClock, seconds: Sequence[float]) -> None:
    """Give times that another clock measured to pytest-benchmark, as its own rounds."""
    benchmark.pedantic(clock.replay, args=(iter(seconds),), rounds=len(seconds), iterations=1)


def extra_info(record: Record) -> dict[str, object]:
    """What ``--benchmark-json`` says of a benchmark beside its times."""
    case = record.case
    fields = {field: getattr(case, field) for field in case.__struct_fields__ if field not in ("mask", "layout")}
    return {
        "implementation": record.implementation,
        "case": case.id,
        "status": record.status.value,
        "mask": case.mask.spec,
        "layout": case.layout.spec,
        **fields,
        "flops": record.cost.flops,
        "minimal_bytes": record.cost.minimal_bytes,
    }
