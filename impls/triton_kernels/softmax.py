"""Online softmax of a tile of queries over a range of keys, shared by forward and decode.

Source: Milakov and Gimelshein (2018) for the running maximum and sum; Dao (2023), FlashAttention-2, algorithm 1,
for the order of the steps and the names: ``m_i`` is the running maximum of a query's scores (base 2), ``l_i`` the
running sum of ``2 ** (score - m_i)``, ``p`` the weights of one tile of keys, ``alpha`` what the sums so far are
multiplied by when the maximum grows, ``acc`` the running ``p @ v``.

One query, two tiles of two keys, values of width 1 and scores in base 2::

    scores   1    3    |  4    0          v  10   20  |  30   40
    tile 1   m_i 3, p = [2^-2, 2^0],              l_i = 1.25,                    acc = 2.5 + 20 = 22.5
    tile 2   m_i 4, p = [2^0, 2^-4], alpha 2^-1,  l_i = 0.625 + 1.0625 = 1.6875, acc = 11.25 + 32.5 = 43.75
    result   acc / l_i = 25.93,  log-sum-exp (base 2) = m_i + log2(l_i) = 4.755

Two tuples travel with the queries, beside those of `tiles`:

- `q_block`: (`q_info`, seqlen_k, `mask_bounds`, first key that any of these queries sees, end of the keys that
  any sees).
- `stages`: what `tiles.mask_stages` returns.
"""

# Triton reads annotations, so that only tl.constexpr may stand in a kernel:
# mypy: disable-error-code="no-untyped-def,untyped-decorator"
# ruff: noqa: ANN001, ANN201

import triton
import triton.language as tl

from attnbench.impls.triton_kernels.tiles import (
    LOG2E,
    advance,
    apply_score_mod,
    dot,
    key_range,
    load_tile,
    tile_pointer,
)


@triton.jit
def init_softmax(sinks, off_h, BLOCK_M: tl.constexpr, DV_PAD: tl.constexpr):
    """(acc, l_i, m_i) before any key; a sink is one more score without a value (gpt-oss).

    `l_i` is held in eight parts, see `partial_sums`: 8 times 0.125 is the sink's weight of 1.
    """
    acc, l_i = tl.zeros((BLOCK_M, DV_PAD), tl.float32), tl.zeros((BLOCK_M, 8), tl.float32)
    m_i = tl.full((BLOCK_M,), -float("inf"), tl.float32)
    if sinks is not None:
        l_i, m_i = l_i + 0.125, tl.zeros((BLOCK_M,), tl.float32) + tl.load(sinks + off_h) * LOG2E
    return acc, l_i, m_i


@triton.jit
def compute_qk(
    q, k_view, k_ptr, q_block, start_n, BLOCK_N: tl.constexpr, D: tl.constexpr, D_PAD: tl.constexpr,
    MASKED: tl.constexpr,
):  # fmt: skip
    """Dot products of the queries with the tile of keys at `start_n`: ``[BLOCK_M, BLOCK_N]``, not yet scaled."""
    k = load_tile(k_view, k_ptr, start_n, q_block[3], q_block[4], BLOCK_N, D, D_PAD, MASKED)
    return dot(q, k.T)


@triton.jit
def partial_sums(p):
    """Eight sums a row, ``[BLOCK_M, 8]``: each thread adds what it holds; `finish_softmax` adds the eight.

    In the layout of an MMA's result four lanes share a row, two columns in eight each, so that these sums move
    nothing between lanes.
    """
    parts = tl.reshape(p, (p.shape[0], p.shape[1] // 8, 8))
    return tl.sum(parts, 1)


@triton.jit
def online_softmax_step(l_i, m_i, qk, q_block, score_mod, start_n, MASKED: tl.constexpr):
    """Take one tile of scores in: (p, alpha, l_i, m_i). FlashAttention-2, algorithm 1, line 9.

    `p` are weights relative to the new maximum `m_i`; what was accumulated before is to be multiplied by `alpha`.
    """
    q_info, seqlen_k, mask_bounds, lo, hi = q_block
    offs_n = (start_n + tl.arange(0, qk.shape[1]))[None, :]
    qk, qk_scale, _ = apply_score_mod(qk, score_mod, q_info, offs_n, lo, hi)
    if MASKED:
        own_lo, own_hi = key_range(q_info[0], seqlen_k, mask_bounds)
        qk = tl.where((offs_n >= own_lo) & (offs_n < own_hi), qk, -float("inf"))
    m_new = tl.maximum(m_i, tl.max(qk, 1) * qk_scale)
    m_safe = m_new
    if MASKED or score_mod[3] is not None:  # a row that has seen nothing yet: -inf minus -inf is NaN
        m_safe = tl.where(m_new == -float("inf"), 0.0, m_new)
    p = tl.exp2(qk * qk_scale - m_safe[:, None])
    alpha = tl.exp2(m_i - m_safe)[:, None]
    return p, alpha, l_i * alpha + partial_sums(p), m_new


@triton.jit
def accumulate_pv(
    acc, p, v_view, v_ptr, q_block, start_n, BLOCK_N: tl.constexpr, DV: tl.constexpr, DV_PAD: tl.constexpr,
    MASKED: tl.constexpr,
):  # fmt: skip
    """``acc + p V`` for the tile of values at `start_n` (FlashAttention-2, algorithm 1, line 10)."""
    v = load_tile(v_view, v_ptr, start_n, q_block[3], q_block[4], BLOCK_N, DV, DV_PAD, MASKED)
    return dot(p.to(v.dtype), v, acc)


@triton.jit
def attend_range(
    acc, l_i, m_i, q, k_view, v_view, q_block, score_mod, lo, hi,
    BLOCK_N: tl.constexpr, D: tl.constexpr, D_PAD: tl.constexpr, DV: tl.constexpr, DV_PAD: tl.constexpr,
    MASKED: tl.constexpr, QK_AHEAD: tl.constexpr,
):  # fmt: skip
    """Take the keys of ``[lo, hi)`` in, tile by tile: (acc, l_i, m_i).

    With QK_AHEAD, the dot products of the next tile are issued before the softmax of this one, so that a compiler
    may run them together (FlashAttention-3, Shah et al. 2024, section 3.2); it costs the registers of one more
    tile of scores.
    """
    k_ptr, v_ptr = tile_pointer(k_view, lo), tile_pointer(v_view, lo)
    if QK_AHEAD:
        if lo < hi:
            qk = compute_qk(q, k_view, k_ptr, q_block, lo, BLOCK_N, D, D_PAD, MASKED)
            last_n = lo + (hi - lo - 1) // BLOCK_N * BLOCK_N
            for start_n in range(lo, last_n, BLOCK_N):
                k_ptr = advance(k_view, k_ptr, BLOCK_N)
                qk_next = compute_qk(q, k_view, k_ptr, q_block, start_n + BLOCK_N, BLOCK_N, D, D_PAD, MASKED)
                p, alpha, l_i, m_i = online_softmax_step(l_i, m_i, qk, q_block, score_mod, start_n, MASKED)
                acc = accumulate_pv(acc * alpha, p, v_view, v_ptr, q_block, start_n, BLOCK_N, DV, DV_PAD, MASKED)
                v_ptr = advance(v_view, v_ptr, BLOCK_N)
                qk = qk_next
            p, alpha, l_i, m_i = online_softmax_step(l_i, m_i, qk, q_block, score_mod, last_n, MASKED)
            acc = accumulate_pv(acc * alpha, p, v_view, v_ptr, q_block, last_n, BLOCK_N, DV, DV_PAD, MASKED)
    else:
        for start_n in range(lo, hi, BLOCK_N):
            qk = compute_qk(q, k_view, k_ptr, q_block, start_n, BLOCK_N, D, D_PAD, MASKED)
            p, alpha, l_i, m_i = online_softmax_step(l_i, m_i, qk, q_block, score_mod, start_n, MASKED)
            acc = accumulate_pv(acc * alpha, p, v_view, v_ptr, q_block, start_n, BLOCK_N, DV, DV_PAD, MASKED)
            k_ptr, v_ptr = advance(k_view, k_ptr, BLOCK_N), advance(v_view, v_ptr, BLOCK_N)
    return acc, l_i, m_i


@triton.jit
def attend_stages(
    acc, l_i, m_i, q, k_view, v_view, q_block, score_mod, stages, BLOCK_N: tl.constexpr, D: tl.constexpr,
    D_PAD: tl.constexpr, DV: tl.constexpr, DV_PAD: tl.constexpr, QK_AHEAD: tl.constexpr,
):  # fmt: skip
    """Take all visible keys in, in the stages of `tiles.mask_stages`: masked, full, masked."""
    lo, full_lo, full_hi, hi = stages
    if q_block[2][0] is not None:  # only a window's left side hides keys before the full tiles
        acc, l_i, m_i = attend_range(
            acc, l_i, m_i, q, k_view, v_view, q_block, score_mod, lo, tl.minimum(full_lo, hi),
            BLOCK_N, D, D_PAD, DV, DV_PAD, True, False,
        )  # fmt: skip
    acc, l_i, m_i = attend_range(
        acc, l_i, m_i, q, k_view, v_view, q_block, score_mod, full_lo, full_hi,
        BLOCK_N, D, D_PAD, DV, DV_PAD, False, QK_AHEAD,
    )  # fmt: skip
    return attend_range(
        acc, l_i, m_i, q, k_view, v_view, q_block, score_mod, full_hi, hi,
        BLOCK_N, D, D_PAD, DV, DV_PAD, True, False,
    )  # fmt: skip


@triton.jit
def finish_softmax(acc, l_i, m_i):
    """(output, log-sum-exp in base 2); a row without keys gives (0, -inf)."""
    l_i = tl.sum(l_i, 1)
    l_safe = tl.where(l_i == 0.0, 1.0, l_i)
    return acc / l_safe[:, None], m_i + tl.log2(l_safe)
