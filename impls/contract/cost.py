"""What a case costs at least, exactly: the same numbers for every implementation.

FLOPs count a multiply-add as two and only the two matrix products of the
forward (scores and output), as papers do; the backward has five products and
counts 2.5 times the forward (FlashAttention-2, section 3.1).

Bytes are those of each tensor moved once, but only what a kernel can't avoid:
keys and values that no query sees (a window's past, padding, the unfilled part
of a cache) need not be read, nor a bias at hidden pairs. Gradients are written
whole, since what is hidden gets a zero. Vectors with a few numbers a row or a
head (lengths, block tables, slopes, sinks) are left out.
"""

from dataclasses import dataclass

from attnbench.impls.contract.case import DTYPE_BYTES, Case
from attnbench.impls.contract.layouts import Dense

LSE_BYTES = 4
HALVES_OF_FORWARD = {"fwd": 2, "bwd": 5, "fwd+bwd": 7}
"""Two products forward, five backward, seven together, in units of one product."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Exact work of one case; every figure is for the whole batch and all heads.

    `pairs` are visible (query, key) pairs over the batch for one head. `input_bytes` is
    the memory that the inputs hold (a cache with its capacity, a bias, the gradient that
    arrives), `output_bytes` that of out and LSE or of the gradients, and `score_bytes` that of one
    score matrix ``[B, Hq, M, N]`` in the case's dtype, which eager implementations hold.
    """

    pairs: int
    flops: int
    minimal_bytes: int
    input_bytes: int
    output_bytes: int
    score_bytes: int

    @property
    def intensity_flops_per_byte(self) -> float:
        """FLOPs for each byte that must move: the abscissa of the roofline."""
        return self.flops / self.minimal_bytes


def cost(case: Case) -> Cost:
    """FLOPs, minimal traffic, memory of inputs, outputs and a materialised score matrix, of `case`."""
    width, pairs = DTYPE_BYTES[case.dtype], case.pairs
    rows = case.batch * case.q_len * case.q_heads
    key_bytes = case.kv_heads * (case.head_dim + case.v_head_dim) * width
    q_bytes, out_bytes, lse_bytes = rows * case.head_dim * width, rows * case.v_head_dim * width, rows * LSE_BYTES
    stored_bytes = case.layout.stored_keys(case.batch, case.kv_len) * key_bytes
    score_bytes = rows * case.kv_len * width
    has_bias = case.bias == "additive"
    read = q_bytes + keys_seen(case) * key_bytes + has_bias * pairs * case.q_heads * width
    forward = read + out_bytes + lse_bytes
    # The backward reads q, k, v, bias, dout, out and the LSE, and writes dq, dk and dv.
    gradients = q_bytes + stored_bytes
    backward = read + 2 * out_bytes + lse_bytes + gradients
    moved = {"fwd": forward, "bwd": backward, "fwd+bwd": forward + backward}
    is_forward = case.direction == "fwd"
    return Cost(
        pairs=pairs,
        flops=HALVES_OF_FORWARD[case.direction] * pairs * case.q_heads * (case.head_dim + case.v_head_dim),
        minimal_bytes=moved[case.direction],
        input_bytes=q_bytes + stored_bytes + has_bias * score_bytes + (0 if is_forward else out_bytes),
        output_bytes=out_bytes + lse_bytes + (0 if is_forward else gradients),
        score_bytes=score_bytes,
    )


def keys_seen(case: Case) -> int:
    """Exact number of keys that at least one query of their row sees, over the batch."""
    mask = case.mask
    if isinstance(case.layout, Dense):
        return case.batch * mask.keys_seen(case.q_len, case.kv_len, case.kv_len - case.q_len)
    return sum(mask.keys_seen(s.q_len, s.k_len, s.offset) for s in case.segments)
