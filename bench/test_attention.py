"""``pytest bench --benchmark-only``: the sweep's cases through pytest-benchmark.

A wrong implementation fails here instead of being timed; one that can't do a
case is skipped with the reason.
"""

from collections.abc import Sequence
from typing import Any

import pytest

from bench.agreement.check import check
from bench.agreement.oracle import Oracle
from bench.life import why_wrong
from bench.records.schema import Agreement
from bench.timing.replay import VirtualClock
from bench.timing.timer import Timer
from impls.contract import Case, Implementation, Refusal, cost
from impls.registry import why_unavailable

DEVICE_ROUNDS = 50


def test_attention(
    benchmark: Any, implementation: Implementation, case: Case, oracle: Oracle, device_clock: VirtualClock | None
) -> None:
    """`implementation` agrees with the oracle on `case`, and this is how long it takes."""
    __tracebackhide__ = True
    if reason := why_unavailable(implementation, oracle.device):
        pytest.skip(reason)
    try:
        agreement = check(implementation, case, oracle, surroundings=not implementation.compiled).agreement
    except Refusal as refusal:
        pytest.skip(str(refusal))
    benchmark.group = case.id
    benchmark.extra_info.update(extra_info(implementation.name, case, agreement))
    if not agreement.ok:
        pytest.fail(f"WRONG {implementation.name} on {case.id}\n  {why_wrong(agreement)}", pytrace=False)
    if reason := implementation.never_timed.get(oracle.device):
        pytest.skip(f"it agrees, and is not timed: {reason}")
    with Timer(implementation, case, oracle, seed=0) as timer:
        benchmark.extra_info["clock"] = timer.clock.name
        if device_clock is None:
            benchmark(timer.timed_call())
        else:
            timer.warm_up()
            replay(benchmark, device_clock, [timer.sample_ns() / 1e9 for _ in range(DEVICE_ROUNDS)])


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
