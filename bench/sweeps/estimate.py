"""An estimate of how long a sweep takes.

A call is priced as an eager implementation: the whole matrix product, whatever
the mask hides, at half of the measured peak (which it rarely reaches), and ten passes
over a score matrix at the measured bandwidth. Fused implementations are
quicker, so that the sum is rather too long. A case adds the oracle's float64
arithmetic once; each implementation adds its check and its samples.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from attnbench.bench.records.schema import Peaks
from attnbench.impls.contract import Case, cost

SHARE_OF_PEAK = 0.5
SCORE_PASSES = 10
CALL_OVERHEAD_S = 2e-4
SLOW_DTYPE_FLOPS_PER_S = 3e8
"""Where no peak of a dtype is known: what a processor without a unit for it was seen to do."""

SAMPLING_S = 0.5
"""What ``run`` samples one implementation for, unless the interval is narrow before."""

FEWEST_CALLS = 9
"""Three to warm up, five samples, one to verify: a long call takes no fewer."""

CHECK_CALLS = 10
CHECK_S = 0.2
ORACLE_S = 0.1
ORACLE_SHARE_OF_FP32 = 0.1
"""Float64 in passes of few rows, against the fp32 peak."""

ORACLE_ROWS = 256
"""Longer cases are judged on about this many rows, unless they have a backward."""

FAMILIES = 6
START_S = 3.0
"""To start one implementation's process and import torch there."""

METHOD = (
    "a call: full matrix products at 50% of the measured peak, 10 passes over the scores at the measured "
    "bandwidth; an implementation: 10 calls to check, 0.5 s or 9 calls to time; a case: the oracle in float64; "
    "eager prices, so rather too long"
)


@dataclass(frozen=True, slots=True)
class Estimate:
    """Seconds: one eager call, one implementation on this case, and the case with all of them."""

    call_s: float
    implementation_s: float
    case_s: float


def estimate(case: Case, peaks: Peaks, implementations: int, case_seconds: float | None = None) -> Estimate:
    """What `case` takes with so many implementations; `case_seconds` is the sweep's own limit for one of them."""
    call_s = eager_call_s(case, peaks)
    implementation_s = CHECK_S + CHECK_CALLS * call_s + max(SAMPLING_S, FEWEST_CALLS * call_s)
    if case_seconds is not None:
        implementation_s = min(implementation_s, case_seconds)
    return Estimate(call_s, implementation_s, _oracle_s(case, peaks) + implementations * implementation_s)


def eager_call_s(case: Case, peaks: Peaks) -> float:
    """Seconds of one call of an eager implementation."""
    exact = cost(case)
    compute_s = dense_flops(case) / (SHARE_OF_PEAK * peaks.flops_per_s.get(case.dtype, SLOW_DTYPE_FLOPS_PER_S))
    moved = SCORE_PASSES * exact.score_bytes + exact.minimal_bytes
    return CALL_OVERHEAD_S + compute_s + moved / peaks.bytes_per_s


def dense_flops(case: Case) -> float:
    """FLOPs without a mask."""
    exact = cost(case)
    everything = case.batch * case.q_len * case.kv_len
    per_pair = exact.flops / exact.pairs if exact.pairs else 2 * case.q_heads * (case.head_dim + case.v_head_dim)
    return everything * per_pair


def _oracle_s(case: Case, peaks: Peaks) -> float:
    rows = 1.0 if case.direction != "fwd" else min(1.0, ORACLE_ROWS / case.q_len)
    rate = ORACLE_SHARE_OF_FP32 * peaks.flops_per_s.get("fp32", SLOW_DTYPE_FLOPS_PER_S)
    return ORACLE_S + FAMILIES * rows * dense_flops(case) / rate


def total_s(estimates: Sequence[Estimate], implementations: int) -> float:
    """The whole run, with the start of every process."""
    return START_S * (implementations + 1) + sum(one.case_s for one in estimates)
