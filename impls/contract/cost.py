"""What a case costs at least, exactly: the same numbers for every implementation.

FLOPs count a multiply-add as two and only the two matrix products of the
forward (scores and output), as papers do; the backward has five products and
counts 2.5 times the forward (FlashAttention-2, section 3.1). Bytes are those of
each tensor moved once.
"""

from dataclasses import dataclass

from impls.contract.case import DTYPE_BYTES, Case
from impls.contract.layouts import Dense

LSE_BYTES = 4
DIRECTION_FACTOR = {"fwd": 1.0, "bwd": 2.5, "fwd+bwd": 3.5}


@dataclass(frozen=True, slots=True)
class Cost:
    """Exact work of one case; every figure is for the whole batch and all heads."""

    pairs: int
    flops: int
    minimal_bytes: int
    input_bytes: int
    score_bytes: int

    @property
    def intensity_flops_per_byte(self) -> float:
        """FLOPs for each byte that must move: the abscissa of the roofline."""
        return self.flops / self.minimal_bytes


def cost(case: Case) -> Cost:
    """FLOPs, minimal traffic, input size, and the size of a materialised score matrix, of `case`."""
    width = DTYPE_BYTES[case.dtype]
    dense = isinstance(case.layout, Dense)
    keys = case.batch * case.kv_len if dense else sum(segment.k_len for segment in case.segments)
    rows = case.batch * case.q_len * case.q_heads
    q_bytes = rows * case.head_dim * width
    out_bytes = rows * case.v_head_dim * width
    kv_bytes = keys * case.kv_heads * (case.head_dim + case.v_head_dim) * width
    lse_bytes = rows * LSE_BYTES
    pairs = case.pairs
    forward_flops = 2 * pairs * case.q_heads * (case.head_dim + case.v_head_dim)
    forward_bytes = q_bytes + kv_bytes + out_bytes + lse_bytes
    # The backward reads q, k, v, dout, out and the LSE, and writes dq, dk and dv.
    backward_bytes = 2 * (q_bytes + kv_bytes) + 2 * out_bytes + lse_bytes
    moved = {"fwd": forward_bytes, "bwd": backward_bytes, "fwd+bwd": forward_bytes + backward_bytes}
    return Cost(
        pairs=pairs,
        flops=round(DIRECTION_FACTOR[case.direction] * forward_flops),
        minimal_bytes=moved[case.direction],
        input_bytes=q_bytes + kv_bytes,
        score_bytes=case.batch * case.q_heads * case.q_len * case.kv_len * width,
    )
