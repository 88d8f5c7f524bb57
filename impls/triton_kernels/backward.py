"""Backward in two kernels, without atomics: the same inputs give the same bits.

Source: Dao (2023), FlashAttention-2, algorithm 2, with the sums of dQ taken by a kernel of their own (a program
with a tile of queries visits its keys) instead of by atomic additions; the scores are computed twice. Names are
those of Dao et al. (2022), appendix B.4: p = P the weights, dp = dO V^T, ds = P * (dp - delta), delta = rowsum(dO * O).
The softmax's maximum and sum are not recomputed: ``P = 2 ** (score - LSE)``, both in base 2.
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
    mask_stages,
    query_range,
    row_pointer,
    segment,
    store_tile,
    strided_view,
    tile_pointer,
)


@triton.jit
def recompute_p(qk, score_mod, q_info, offs_n, seqlen_k, mask_bounds, lse_log2, MASKED: tl.constexpr):
    """(P, derivative of the softcap) from dot products; all arguments broadcast against `qk`."""
    qk, qk_scale, softcap_grad = apply_score_mod(qk, score_mod, q_info, offs_n, 0, seqlen_k)
    p = tl.exp2(qk * qk_scale - lse_log2)
    if MASKED:
        lo, hi = key_range(q_info[0], seqlen_k, mask_bounds)
        p = tl.where((offs_n >= lo) & (offs_n < hi), p, 0.0)
    return p, softcap_grad


@triton.jit
def load_lse_log2(lse, offs_m, hi):
    """LSE in base 2; +inf, which makes every weight 0, for queries that see no key or stand at `hi` or after."""
    lse_i = tl.load(lse + offs_m, mask=offs_m < hi, other=-float("inf"))
    return tl.where(lse_i == -float("inf"), float("inf"), lse_i * LOG2E)


@triton.jit
def dq_range(
    dq, q, do, lse_log2, delta, k_view, v_view, q_block, score_mod, lo, hi, BLOCK_N: tl.constexpr,
    D: tl.constexpr, D_PAD: tl.constexpr, DV: tl.constexpr, DV_PAD: tl.constexpr, MASKED: tl.constexpr,
):  # fmt: skip
    """Add ``ds K`` of the keys of ``[lo, hi)`` to dq (without the scale); for `q_block` see `softmax`."""
    q_info, seqlen_k, mask_bounds, visible_lo, visible_hi = q_block
    k_ptr, v_ptr = tile_pointer(k_view, lo), tile_pointer(v_view, lo)
    for start_n in range(lo, hi, BLOCK_N):
        offs_n = (start_n + tl.arange(0, BLOCK_N))[None, :]
        k = load_tile(k_view, k_ptr, start_n, visible_lo, visible_hi, BLOCK_N, D, D_PAD, MASKED)
        v = load_tile(v_view, v_ptr, start_n, visible_lo, visible_hi, BLOCK_N, DV, DV_PAD, MASKED)
        qk = dot(q, k.T)
        p, softcap_grad = recompute_p(
            qk, score_mod, q_info, offs_n, seqlen_k, mask_bounds, lse_log2[:, None], MASKED
        )
        dp = dot(do, v.T)
        ds = p * (dp - delta[:, None]) * softcap_grad
        dq = dot(ds.to(k.dtype), k, dq)
        k_ptr, v_ptr = advance(k_view, k_ptr, BLOCK_N), advance(v_view, v_ptr, BLOCK_N)
    return dq


@triton.jit
def backward_dq(
    q, k, v, out, dout, lse, delta, dq, bias, alibi_slopes, cu_seqlens_q, cu_seqlens_k, kv_lengths,
    stride_qb, stride_qh, stride_qm, stride_qd,
    stride_kb, stride_kh, stride_kn, stride_kd,
    stride_vb, stride_vh, stride_vn, stride_vd,
    stride_ob, stride_oh, stride_om, stride_od,
    stride_dob, stride_doh, stride_dom, stride_dod,
    stride_dqb, stride_dqh, stride_dqm, stride_dqd,
    stride_bb, stride_bh, stride_bm, stride_bn,
    groups, q_len, kv_len, left, right, prefix, softmax_scale, softcap,
    LAYOUT: tl.constexpr, D: tl.constexpr, DV: tl.constexpr, D_PAD: tl.constexpr, DV_PAD: tl.constexpr,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr,
):  # fmt: skip
    """Grid (tiles of queries, Hq, segments): dq, and `delta` ``[B, Hq, M]`` for `backward_dkv`."""
    off_h = tl.program_id(1)
    off_b, q_start, seqlen_q, k_start, seqlen_k, offset = segment(
        tl.program_id(2), q_len, kv_len, cu_seqlens_q, cu_seqlens_k, kv_lengths, LAYOUT
    )
    start_m = tl.program_id(0) * BLOCK_M
    if right is not None:
        start_m = (tl.num_programs(0) - 1 - tl.program_id(0)) * BLOCK_M
    if start_m >= seqlen_q:
        return
    off_hk, mask_bounds = off_h // groups, (left, right, prefix)
    offs_m = start_m + tl.arange(0, BLOCK_M)
    first_lo, first_hi = key_range(start_m + offset, seqlen_k, mask_bounds)
    last_lo, last_hi = key_range(tl.minimum(start_m + BLOCK_M, seqlen_q) - 1 + offset, seqlen_k, mask_bounds)
    lo, full_lo, full_hi, hi = mask_stages(first_lo, first_hi, last_lo, last_hi, BLOCK_N)

    k_view = strided_view(k, off_b, off_hk, k_start, stride_kb, stride_kh, stride_kn, stride_kd)
    v_view = strided_view(v, off_b, off_hk, k_start, stride_vb, stride_vh, stride_vn, stride_vd)
    alibi_slope, bias_ptr = 0.0, 0
    if alibi_slopes is not None:
        alibi_slope = tl.load(alibi_slopes + off_h)
    if bias is not None:
        row = tl.minimum(offs_m, seqlen_q - 1).to(tl.int64)
        bias_ptr = (row_pointer(bias, off_b, off_h, 0, stride_bb, stride_bh, stride_bm) + row * stride_bm)[:, None]
    q_block = (((offs_m + offset)[:, None], alibi_slope, bias_ptr), seqlen_k, mask_bounds, first_lo, last_hi)
    score_mod = (softmax_scale, softcap, alibi_slopes, bias, stride_bn)

    q_view = strided_view(q, off_b, off_h, q_start, stride_qb, stride_qh, stride_qm, stride_qd)
    o_view = strided_view(out, off_b, off_h, q_start, stride_ob, stride_oh, stride_om, stride_od)
    do_view = strided_view(dout, off_b, off_h, q_start, stride_dob, stride_doh, stride_dom, stride_dod)
    q_tile = load_tile(q_view, tile_pointer(q_view, start_m), start_m, 0, seqlen_q, BLOCK_M, D, D_PAD, True)
    o_tile = load_tile(o_view, tile_pointer(o_view, start_m), start_m, 0, seqlen_q, BLOCK_M, DV, DV_PAD, True)
    do_tile = load_tile(do_view, tile_pointer(do_view, start_m), start_m, 0, seqlen_q, BLOCK_M, DV, DV_PAD, True)
    delta_i = tl.sum(o_tile.to(tl.float32) * do_tile.to(tl.float32), 1)
    off_row = (off_b * tl.num_programs(1) + off_h) * q_len + q_start
    tl.store(delta + off_row + offs_m, delta_i, mask=offs_m < seqlen_q)
    lse_log2 = load_lse_log2(lse + off_row, offs_m, seqlen_q)

    acc = tl.zeros((BLOCK_M, D_PAD), tl.float32)
    if left is not None:
        acc = dq_range(
            acc, q_tile, do_tile, lse_log2, delta_i, k_view, v_view, q_block, score_mod,
            lo, tl.minimum(full_lo, hi), BLOCK_N, D, D_PAD, DV, DV_PAD, True,
        )  # fmt: skip
    acc = dq_range(
        acc, q_tile, do_tile, lse_log2, delta_i, k_view, v_view, q_block, score_mod,
        full_lo, full_hi, BLOCK_N, D, D_PAD, DV, DV_PAD, False,
    )  # fmt: skip
    acc = dq_range(
        acc, q_tile, do_tile, lse_log2, delta_i, k_view, v_view, q_block, score_mod,
        full_hi, hi, BLOCK_N, D, D_PAD, DV, DV_PAD, True,
    )  # fmt: skip
    dq_view = strided_view(dq, off_b, off_h, q_start, stride_dqb, stride_dqh, stride_dqm, stride_dqd)
    store_tile(dq_view, start_m, seqlen_q, acc * softmax_scale, BLOCK_M, D, D_PAD)


@triton.jit
def dkv_step(
    dk, dv, k, v, offs_n, q_view, q_ptr, do_view, do_ptr, head_info, score_mod, k_block, start_m,
    BLOCK_M: tl.constexpr, D: tl.constexpr, D_PAD: tl.constexpr, DV: tl.constexpr, DV_PAD: tl.constexpr,
    MASKED: tl.constexpr,
):  # fmt: skip
    """Add what one tile of queries of one head gives to dk (without the scale) and dv.

    Scores are held transposed, ``[keys, queries]``, so that P and dS stand ready as left operands of the two sums.
    `head_info` is (LSE, delta, ALiBi slope, bias, stride of its queries) of the head, `k_block` what a program
    knows beside its keys: (seqlen_q, seqlen_k, offset, mask_bounds).
    """
    seqlen_q, seqlen_k, offset, mask_bounds = k_block
    lse, delta, alibi_slope, bias, stride_bm = head_info
    offs_m = start_m + tl.arange(0, BLOCK_M)
    q = load_tile(q_view, q_ptr, start_m, 0, seqlen_q, BLOCK_M, D, D_PAD, MASKED)
    do = load_tile(do_view, do_ptr, start_m, 0, seqlen_q, BLOCK_M, DV, DV_PAD, MASKED)
    lse_log2 = load_lse_log2(lse, offs_m, seqlen_q)[None, :]
    delta_i = tl.load(delta + offs_m, mask=offs_m < seqlen_q, other=0.0)[None, :]
    # rows beyond the last query read its bias again: their weights are 0
    bias_ptr = (bias + tl.minimum(offs_m, seqlen_q - 1).to(tl.int64) * stride_bm)[None, :]
    q_info = ((offs_m + offset)[None, :], alibi_slope, bias_ptr)
    qk_t = dot(k, q.T)
    p_t, softcap_grad = recompute_p(
        qk_t, score_mod, q_info, offs_n[:, None], seqlen_k, mask_bounds, lse_log2, MASKED
    )
    dv = dot(p_t.to(do.dtype), do, dv)
    dp_t = dot(v, do.T)
    ds_t = p_t * (dp_t - delta_i) * softcap_grad
    dk = dot(ds_t.to(q.dtype), q, dk)
    return dk, dv


@triton.jit
def dkv_stages(
    dk, dv, k, v, offs_n, q_view, do_view, head_info, score_mod, k_block, stages,
    BLOCK_M: tl.constexpr, D: tl.constexpr, D_PAD: tl.constexpr, DV: tl.constexpr, DV_PAD: tl.constexpr,
):  # fmt: skip
    """Add what all queries of one head give, in the stages of `tiles.mask_stages`: masked, full, masked."""
    lo, full_lo, full_hi, hi = stages
    for stage in tl.static_range(3):
        stage_lo, stage_hi = (
            (lo, tl.minimum(full_lo, hi)) if stage == 0
            else (full_lo, full_hi) if stage == 1
            else (full_hi, hi)
        )  # fmt: skip
        q_ptr, do_ptr = tile_pointer(q_view, stage_lo), tile_pointer(do_view, stage_lo)
        for start_m in range(stage_lo, stage_hi, BLOCK_M):
            dk, dv = dkv_step(
                dk, dv, k, v, offs_n, q_view, q_ptr, do_view, do_ptr, head_info, score_mod, k_block, start_m,
                BLOCK_M, D, D_PAD, DV, DV_PAD, stage != 1,
            )  # fmt: skip
            q_ptr, do_ptr = advance(q_view, q_ptr, BLOCK_M), advance(do_view, do_ptr, BLOCK_M)
    return dk, dv


@triton.jit
def backward_dkv(
    q, k, v, dout, lse, delta, dk, dv, bias, alibi_slopes, cu_seqlens_q, cu_seqlens_k, kv_lengths,
    stride_qb, stride_qh, stride_qm, stride_qd,
    stride_kb, stride_kh, stride_kn, stride_kd,
    stride_vb, stride_vh, stride_vn, stride_vd,
    stride_dob, stride_doh, stride_dom, stride_dod,
    stride_dkb, stride_dkh, stride_dkn, stride_dkd,
    stride_dvb, stride_dvh, stride_dvn, stride_dvd,
    stride_bb, stride_bh, stride_bm, stride_bn,
    groups, q_len, kv_len, left, right, prefix, softmax_scale, softcap,
    LAYOUT: tl.constexpr, D: tl.constexpr, DV: tl.constexpr, D_PAD: tl.constexpr, DV_PAD: tl.constexpr,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr,
):  # fmt: skip
    """Grid (tiles of keys, Hkv, segments): dk and dv, summed over the heads of the group in order.

    Keys that belong to no segment are not written.
    """
    off_hk = tl.program_id(1)
    off_b, q_start, seqlen_q, k_start, seqlen_k, offset = segment(
        tl.program_id(2), q_len, kv_len, cu_seqlens_q, cu_seqlens_k, kv_lengths, LAYOUT
    )
    start_n = tl.program_id(0) * BLOCK_N
    if start_n >= seqlen_k:
        return
    mask_bounds = (left, right, prefix)
    offs_n = start_n + tl.arange(0, BLOCK_N)
    first_lo, first_hi = query_range(start_n, seqlen_q, offset, mask_bounds)
    last_lo, last_hi = query_range(tl.minimum(start_n + BLOCK_N, seqlen_k) - 1, seqlen_q, offset, mask_bounds)
    stages = mask_stages(first_lo, first_hi, last_lo, last_hi, BLOCK_M)
    k_block = (seqlen_q, seqlen_k, offset, mask_bounds)
    score_mod = (softmax_scale, softcap, alibi_slopes, bias, stride_bn)

    k_view = strided_view(k, off_b, off_hk, k_start, stride_kb, stride_kh, stride_kn, stride_kd)
    v_view = strided_view(v, off_b, off_hk, k_start, stride_vb, stride_vh, stride_vn, stride_vd)
    k_tile = load_tile(k_view, tile_pointer(k_view, start_n), start_n, 0, seqlen_k, BLOCK_N, D, D_PAD, True)
    v_tile = load_tile(v_view, tile_pointer(v_view, start_n), start_n, 0, seqlen_k, BLOCK_N, DV, DV_PAD, True)
    dk_acc, dv_acc = tl.zeros((BLOCK_N, D_PAD), tl.float32), tl.zeros((BLOCK_N, DV_PAD), tl.float32)
    q_heads = tl.num_programs(1) * groups
    for off_h in range(off_hk * groups, off_hk * groups + groups):
        off_row = (off_b * q_heads + off_h) * q_len + q_start
        alibi_slope, head_bias = 0.0, 0
        if alibi_slopes is not None:
            alibi_slope = tl.load(alibi_slopes + off_h)
        if bias is not None:
            head_bias = row_pointer(bias, off_b, off_h, 0, stride_bb, stride_bh, stride_bm)
        dk_acc, dv_acc = dkv_stages(
            dk_acc, dv_acc, k_tile, v_tile, offs_n,
            strided_view(q, off_b, off_h, q_start, stride_qb, stride_qh, stride_qm, stride_qd),
            strided_view(dout, off_b, off_h, q_start, stride_dob, stride_doh, stride_dom, stride_dod),
            (lse + off_row, delta + off_row, alibi_slope, head_bias, stride_bm),
            score_mod, k_block, stages, BLOCK_M, D, D_PAD, DV, DV_PAD,
        )  # fmt: skip

    dk_view = strided_view(dk, off_b, off_hk, k_start, stride_dkb, stride_dkh, stride_dkn, stride_dkd)
    dv_view = strided_view(dv, off_b, off_hk, k_start, stride_dvb, stride_dvh, stride_dvn, stride_dvd)
    store_tile(dk_view, start_n, seqlen_k, dk_acc * softmax_scale, BLOCK_N, D, D_PAD)
    store_tile(dv_view, start_n, seqlen_k, dv_acc, BLOCK_N, DV, DV_PAD)
