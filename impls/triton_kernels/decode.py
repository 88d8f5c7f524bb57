"""Decode: few queries against many keys, which are split over programs and merged by their log-sum-exps.

Source: Dao et al. (2023), Flash-Decoding. All query heads that share a key/value head, and all of the few
queries, are the rows of one tile, so that each key is read once for the whole group.
"""

# Triton reads annotations, so that only tl.constexpr may stand in a kernel:
# mypy: disable-error-code="no-untyped-def,untyped-decorator"
# ruff: noqa: ANN001, ANN201

import triton
import triton.language as tl

from attnbench.impls.triton_kernels.softmax import attend_stages, finish_softmax, init_softmax
from attnbench.impls.triton_kernels.tiles import LN2, key_range, mask_stages, paged_view, row_pointer, segment


@triton.jit
def decode(
    q, k, v, out_partial, lse_partial, bias, alibi_slopes, sinks, kv_lengths, block_table,
    stride_qb, stride_qh, stride_qm, stride_qd,
    stride_kb, stride_kh, stride_kn, stride_kd,
    stride_vb, stride_vh, stride_vn, stride_vd,
    stride_bb, stride_bh, stride_bm, stride_bn,
    stride_tb, groups, q_len, kv_len, page_size, left, right, prefix, softmax_scale, softcap,
    LAYOUT: tl.constexpr, D: tl.constexpr, DV: tl.constexpr, D_PAD: tl.constexpr, DV_PAD: tl.constexpr,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr,
):  # fmt: skip
    """Grid (splits, Hkv * tiles of rows, B): writes `out_partial` ``[B, Hq, M, splits, Dv]`` and its base-2 LSE.

    Row r of a group is query ``r % M`` of the group's head ``r // M``: with 2 heads a group and 3 queries, the
    rows 0 to 5 are (head 0: queries 0, 1, 2) and (head 1: queries 0, 1, 2).
    """
    split, splits, off_b = tl.program_id(0), tl.num_programs(0), tl.program_id(2)
    tiles = tl.cdiv(groups * q_len, BLOCK_M)
    off_hk, tile = tl.program_id(1) // tiles, tl.program_id(1) % tiles
    off_b, _, _, _, seqlen_k, offset = segment(off_b, q_len, kv_len, None, None, kv_lengths, LAYOUT)
    mask_bounds = (left, right, prefix)
    rows = tile * BLOCK_M + tl.arange(0, BLOCK_M)
    in_bounds = rows < groups * q_len
    rows = tl.minimum(rows, groups * q_len - 1)
    offs_h, offs_m = off_hk * groups + rows // q_len, rows % q_len

    first_lo, first_hi = key_range(offset, seqlen_k, mask_bounds)
    last_lo, last_hi = key_range(offset + q_len - 1, seqlen_k, mask_bounds)
    lo, full_lo, full_hi, hi = mask_stages(first_lo, first_hi, last_lo, last_hi, BLOCK_N)
    keys_per_split = tl.cdiv(tl.cdiv(tl.maximum(hi - lo, 0), BLOCK_N), splits) * BLOCK_N
    split_lo = tl.minimum(lo + split * keys_per_split, hi)
    split_hi = tl.minimum(split_lo + keys_per_split, hi)
    stages = (
        split_lo,
        tl.maximum(full_lo, split_lo),
        tl.maximum(tl.minimum(full_hi, split_hi), split_lo),
        split_hi,
    )

    k_view = paged_view(
        k, block_table, off_b, off_hk, 0, page_size, stride_tb, stride_kb, stride_kh, stride_kn, stride_kd
    )
    v_view = paged_view(
        v, block_table, off_b, off_hk, 0, page_size, stride_tb, stride_vb, stride_vh, stride_vn, stride_vd
    )
    alibi_slope, bias_ptr = 0.0, 0
    if alibi_slopes is not None:
        alibi_slope = tl.load(alibi_slopes + offs_h)[:, None]
    if bias is not None:
        offs_bias = tl.cast(offs_h, tl.int64) * stride_bh + tl.cast(offs_m, tl.int64) * stride_bm
        bias_ptr = (row_pointer(bias, off_b, 0, 0, stride_bb, stride_bh, stride_bm) + offs_bias)[:, None]
    q_block = (((offs_m + offset)[:, None], alibi_slope, bias_ptr), seqlen_k, mask_bounds, first_lo, last_hi)
    score_mod = (softmax_scale, softcap, alibi_slopes, bias, stride_bn)

    offs_d = tl.arange(0, D_PAD)
    offs_q = tl.cast(offs_h, tl.int64) * stride_qh + offs_m * stride_qm
    q_ptrs = row_pointer(q, off_b, 0, 0, stride_qb, stride_qh, stride_qm) + offs_q[:, None]
    q_tile = tl.load(q_ptrs + offs_d[None, :] * stride_qd, mask=(offs_d < D)[None, :], other=0.0)
    acc, l_i, m_i = init_softmax(sinks, offs_h, BLOCK_M, DV_PAD)
    if sinks is not None:  # the sink counts once, in the first split
        l_i, m_i = tl.where(split == 0, l_i, 0.0), tl.where(split == 0, m_i, -float("inf"))
    acc, l_i, m_i = attend_stages(
        acc, l_i, m_i, q_tile, k_view, v_view, q_block, score_mod, stages, BLOCK_N, D, D_PAD, DV, DV_PAD, False
    )
    out_tile, lse_log2 = finish_softmax(acc, l_i, m_i)

    q_heads = tl.num_programs(1) // tiles * groups
    offs_partial = ((tl.cast(off_b, tl.int64) * q_heads + offs_h) * q_len + offs_m) * splits + split
    offs_dv = tl.arange(0, DV_PAD)
    tl.store(lse_partial + offs_partial, lse_log2, mask=in_bounds)
    out_mask = in_bounds[:, None] & (offs_dv < DV)[None, :]
    tl.store(out_partial + offs_partial[:, None] * DV + offs_dv, out_tile, mask=out_mask)


@triton.jit
def merge(
    out_partial, lse_partial, out, lse, stride_ob, stride_oh, stride_om, stride_od, q_heads, q_len, splits,
    DV: tl.constexpr, DV_PAD: tl.constexpr, SPLITS_PAD: tl.constexpr,
):  # fmt: skip
    """Grid (B * Hq * M,): one query's splits, weighted by ``2 ** (their LSE - the whole LSE)``."""
    row = tl.program_id(0).to(tl.int64)
    offs_s, offs_d = tl.arange(0, SPLITS_PAD), tl.arange(0, DV_PAD)
    offs_partial = row * splits + offs_s
    in_bounds = offs_s < splits
    lse_i = tl.load(lse_partial + offs_partial, mask=in_bounds, other=-float("inf"))
    m_i = tl.max(lse_i, 0)
    p = tl.exp2(lse_i - tl.where(m_i == -float("inf"), 0.0, m_i))
    l_i = tl.sum(p, 0)
    out_mask = in_bounds[:, None] & (offs_d < DV)[None, :]
    out_i = tl.load(out_partial + offs_partial[:, None] * DV + offs_d[None, :], mask=out_mask, other=0.0)
    l_safe = tl.where(l_i == 0.0, 1.0, l_i)
    out_row = tl.sum(p[:, None] * out_i, 0) / l_safe
    off_b, off_h, off_m = row // (q_len * q_heads), row // q_len % q_heads, row % q_len
    out_ptr = row_pointer(out, off_b, off_h, off_m, stride_ob, stride_oh, stride_om)
    tl.store(out_ptr + offs_d * stride_od, out_row.to(out.dtype.element_ty), mask=offs_d < DV)
    tl.store(lse + row, (m_i + tl.log2(l_safe)) * LN2)
