"""Forward: one program computes one tile of queries of one head.

Source: Dao (2023), FlashAttention-2, algorithm 1. K and V are never repeated: query head h reads key/value head
``h // groups``.
"""

# Triton reads annotations, so that only tl.constexpr may stand in a kernel:
# mypy: disable-error-code="no-untyped-def,untyped-decorator"
# ruff: noqa: ANN001, ANN201

import triton
import triton.language as tl

from attnbench.impls.triton_kernels.softmax import attend_stages, finish_softmax, init_softmax
from attnbench.impls.triton_kernels.tiles import (
    LN2,
    key_range,
    load_tile,
    mask_stages,
    paged_view,
    row_pointer,
    segment,
    store_tile,
    strided_view,
    tile_pointer,
)


@triton.jit
def forward(
    q, k, v, out, lse, bias, alibi_slopes, sinks, cu_seqlens_q, cu_seqlens_k, kv_lengths, block_table,
    stride_qb, stride_qh, stride_qm, stride_qd,
    stride_kb, stride_kh, stride_kn: tl.constexpr, stride_kd,
    stride_vb, stride_vh, stride_vn: tl.constexpr, stride_vd,
    stride_ob, stride_oh, stride_om, stride_od,
    stride_bb, stride_bh, stride_bm, stride_bn,
    stride_tb, groups, q_len, kv_len, page_size, left, right, prefix, softmax_scale, softcap,
    LAYOUT: tl.constexpr, D: tl.constexpr, DV: tl.constexpr, D_PAD: tl.constexpr, DV_PAD: tl.constexpr,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, QK_AHEAD: tl.constexpr,
):  # fmt: skip
    """Grid (tiles of queries, Hq, segments): out, and the natural-log `lse`, contiguous ``[B, Hq, M]``.

    Optional pointers, `left`, `right` and `softcap` are None where the case has none of it. Strides are named by
    tensor (b is the bias, t the block table) and axis (batch, head, queries m, keys n, head dim d).
    """
    off_h = tl.program_id(1)
    off_b, q_start, seqlen_q, k_start, seqlen_k, offset = segment(
        tl.program_id(2), q_len, kv_len, cu_seqlens_q, cu_seqlens_k, kv_lengths, LAYOUT
    )
    tile = tl.program_id(0)
    if right is not None:  # late queries see most: start them first, the short ones fill the gaps
        tile = tl.num_programs(0) - 1 - tile
    start_m = tile * BLOCK_M
    if start_m >= seqlen_q:
        return
    off_hk = off_h // groups
    mask_bounds = (left, right, prefix)
    offs_m = start_m + tl.arange(0, BLOCK_M)

    first_lo, first_hi = key_range(start_m + offset, seqlen_k, mask_bounds)
    last_lo, last_hi = key_range(tl.minimum(start_m + BLOCK_M, seqlen_q) - 1 + offset, seqlen_k, mask_bounds)
    stages = mask_stages(first_lo, first_hi, last_lo, last_hi, BLOCK_N)

    k_view = paged_view(
        k, block_table, off_b, off_hk, k_start, page_size, stride_tb, stride_kb, stride_kh, stride_kn, stride_kd
    )
    v_view = paged_view(
        v, block_table, off_b, off_hk, k_start, page_size, stride_tb, stride_vb, stride_vh, stride_vn, stride_vd
    )
    alibi_slope, bias_ptr = 0.0, 0
    if alibi_slopes is not None:
        alibi_slope = tl.load(alibi_slopes + off_h)
    if bias is not None:  # rows beyond the last query read its bias again: they are never stored
        row = tl.minimum(offs_m, seqlen_q - 1).to(tl.int64)
        bias_ptr = (row_pointer(bias, off_b, off_h, 0, stride_bb, stride_bh, stride_bm) + row * stride_bm)[:, None]
    q_block = (((offs_m + offset)[:, None], alibi_slope, bias_ptr), seqlen_k, mask_bounds, first_lo, last_hi)
    score_mod = (softmax_scale, softcap, alibi_slopes, bias, stride_bn)

    q_view = strided_view(q, off_b, off_h, q_start, stride_qb, stride_qh, stride_qm, stride_qd)
    q_tile = load_tile(q_view, tile_pointer(q_view, start_m), start_m, 0, seqlen_q, BLOCK_M, D, D_PAD, True)
    acc, l_i, m_i = init_softmax(sinks, off_h, BLOCK_M, DV_PAD)
    acc, l_i, m_i = attend_stages(
        acc, l_i, m_i, q_tile, k_view, v_view, q_block, score_mod, stages, BLOCK_N, D, D_PAD, DV, DV_PAD, QK_AHEAD
    )
    out_tile, lse_log2 = finish_softmax(acc, l_i, m_i)

    out_view = strided_view(out, off_b, off_h, q_start, stride_ob, stride_oh, stride_om, stride_od)
    store_tile(out_view, start_m, seqlen_q, out_tile, BLOCK_M, DV, DV_PAD)
    lse_ptr = lse + (off_b * tl.num_programs(1) + off_h) * q_len + q_start
    tl.store(lse_ptr + offs_m, lse_log2 * LN2, mask=offs_m < seqlen_q)
