"""``pytest bench --benchmark-only``: the sweep's cases through pytest-benchmark.

A wrong implementation fails here instead of being timed; one that can't do a
case is skipped with the reason.
"""

from collections.abc import Sequence
from typing import Any

import pytest
import torch

from attnbench.bench.agreement.check import check
from attnbench.bench.agreement.oracle import Oracle
from attnbench.bench.case_run import why_wrong
from attnbench.bench.gate.stored.pytest_run import Kept
from attnbench.bench.records.schema import Agreement, Status
from attnbench.bench.registry.catalogue import why_unavailable
from attnbench.bench.timing.replay import VirtualClock
from attnbench.bench.timing.timer import Timer
from attnbench.impls.contract import Case, Implementation, Refusal, cost

DEVICE_ROUNDS = 50
ONE_SET = "warm, one set of inputs"
"""What caches hold where pytest-benchmark repeats one call; `run` rotates inputs, so the two are not compared."""


def test_attention(
    benchmark: Any,
    implementation: Implementation,
    case: Case,
    oracle: Oracle,
    device_clock: VirtualClock | None,
    kept: Kept,
) -> None:
    """`implementation` agrees with the oracle on `case`, and this is how long it takes."""
    __tracebackhide__ = True
    if reason := why_unavailable(implementation, oracle.device):
        kept.refused = Status.UNAVAILABLE
        pytest.skip(reason)
    try:
        agreement = check(implementation, case, oracle, surroundings=not implementation.compiled).agreement
    except Refusal as refusal:
        pytest.skip(str(refusal))
    kept.agreement = agreement
    benchmark.group = case.id
    benchmark.extra_info.update(extra_info(implementation.name, case, agreement))
    if not agreement.ok:
        pytest.fail(f"WRONG {implementation.name} on {case.id}\n  {why_wrong(agreement)}", pytrace=False)
    if reason := implementation.never_timed.get(oracle.device):
        pytest.skip(f"it agrees, and is not timed: {reason}")
    with Timer(implementation, case, oracle, seed=0) as timer:
        if device_clock is not None:
            timer.warm_up()  # which chooses the clock
        benchmark.extra_info["clock"] = kept.clock = timer.clock.name
        kept.cache = timer.clock.cache if device_clock else ONE_SET
        kept.threads = torch.get_num_threads() if oracle.device == "cpu" else 0
        with kept.watched():
            if device_clock is None:
                benchmark(timer.timed_call())
            else:
                replay(benchmark, device_clock, [timer.sample_ns() / 1e9 for _ in range(DEVICE_ROUNDS)])
        kept.peak_bytes = timer.peak_bytes() if kept.wanted else None


def replay(benchmark: Any, clock: VirtualClock, seconds: Sequence[float]) -> None:
    """Give times that a device's clock measured to pytest-benchmark, as its own rounds."""
    benchmark.pedantic(clock.replay, args=(iter(seconds),), rounds=len(seconds), iterations=1)


def extra_info(name: str, case: Case, agreement: Agreement) -> dict[str, object]:
    """What ``--benchmark-json`` says of a benchmark beside its times."""
    exact = cost(case)
    fields = {field: getattr(case, field) for field in case.__struct_fields__ if field not in ("mask", "layout")}
    return {
        "implementation": name,
        "case": case.id,
        "status": "PASSED" if agreement.ok else "WRONG",
        "mask": case.mask.spec,
        "layout": case.layout.spec,
        **fields,
        "flops": exact.flops,
        "minimal_bytes": exact.minimal_bytes,
    }
