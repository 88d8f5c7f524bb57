"""Backward in two kernels, without atomics: the same inputs give the same bits.

Source: Dao (2023), FlashAttention-2, algorithm 2, with the sums of dQ taken by
a kernel of their own (a tile of queries sweeps its keys) instead of atomic
additions; the scores are computed twice. Names follow Dao et al. (2022),
appendix B.4: P the weights, dP = dO V^T, dS = P * (dP - delta), delta = rowsum(dO * O).
"""

# Triton reads annotations, so that only tl.constexpr may stand in a kernel:
# mypy: disable-error-code="no-untyped-def,untyped-decorator"
# ruff: noqa: ANN001, ANN201

import triton
import triton.language as tl

from attnbench.impls.triton_kernels.tiles import (
    LOG2E,
    dot,
    goto,
    head_base,
    key_range,
    load_tile,
    query_range,
    scores,
    segment,
    stages,
    step,
    store_tile,
    strided_rows,
)


@triton.jit
def weights(raw, change, lines, key, k_len, rule, log2_sum, MASKED: tl.constexpr):
    """(P, derivative of the softcap) from dot products; all arguments broadcast against `raw`."""
    x, unit, slope = scores(raw, change, lines, key, 0, k_len)
    p = tl.exp2(x * unit - log2_sum)
    if MASKED:
        low, high = key_range(lines[0], k_len, rule)
        p = tl.where((key >= low) & (key < high), p, 0.0)
    return p, slope


@triton.jit
def load_log2_sum(lse, lines, high):
    """LSE in base 2; +inf, which makes every weight 0, for lines that are empty or from `high` on."""
    natural = tl.load(lse + lines, mask=lines < high, other=-float("inf"))
    return tl.where(natural == -float("inf"), float("inf"), natural * LOG2E)


@triton.jit
def dq_sweep(
    dq, q, dout, log2_sum, delta, keys, values, rows, change, start, stop, TILE_K: tl.constexpr,
    D: tl.constexpr, D_PAD: tl.constexpr, DV: tl.constexpr, DV_PAD: tl.constexpr, MASKED: tl.constexpr,
):  # fmt: skip
    """Add ``dS K`` of the keys of ``[start, stop)`` to dq (without the scale)."""
    lines, k_len, rule, low, high = rows
    k_at, v_at = goto(keys, start), goto(values, start)
    for first in range(start, stop, TILE_K):
        key = (first + tl.arange(0, TILE_K))[None, :]
        k = load_tile(keys, k_at, first, low, high, TILE_K, D, D_PAD, MASKED)
        v = load_tile(values, v_at, first, low, high, TILE_K, DV, DV_PAD, MASKED)
        p, slope = weights(dot(q, k.T), change, lines, key, k_len, rule, log2_sum[:, None], MASKED)
        ds = p * (dot(dout, v.T) - delta[:, None]) * slope
        dq = dot(ds.to(k.dtype), k, dq)
        k_at, v_at = step(keys, k_at, TILE_K), step(values, v_at, TILE_K)
    return dq


@triton.jit
def backward_dq(
    q, k, v, out, dout, lse, delta, dq, bias, slopes, lengths, key_starts,
    stride_qb, stride_qh, stride_qm, stride_qd,
    stride_kb, stride_kh, stride_kn, stride_kd,
    stride_vb, stride_vh, stride_vn, stride_vd,
    stride_ob, stride_oh, stride_om, stride_od,
    stride_gb, stride_gh, stride_gm, stride_gd,
    stride_xb, stride_xh, stride_xm, stride_xd,
    stride_bb, stride_bh, stride_bm, stride_bn,
    groups, q_len, kv_len, left, right, prefix, scale, softcap,
    LAYOUT: tl.constexpr, D: tl.constexpr, DV: tl.constexpr, D_PAD: tl.constexpr, DV_PAD: tl.constexpr,
    TILE_Q: tl.constexpr, TILE_K: tl.constexpr,
):  # fmt: skip
    """Grid (tiles of queries, Hq, segments): dq, and `delta` ``[B, Hq, M]`` for `backward_dkv`.

    Strides g are of dout, x of dq.
    """
    head = tl.program_id(1)
    row, q_start, queries, k_start, k_len, offset = segment(
        tl.program_id(2), q_len, kv_len, lengths, key_starts, LAYOUT
    )
    first = tl.program_id(0) * TILE_Q
    if right is not None:
        first = (tl.num_programs(0) - 1 - tl.program_id(0)) * TILE_Q
    if first >= queries:
        return
    kv_head, rule = head // groups, (left, right, prefix)
    lines = first + tl.arange(0, TILE_Q)
    first_low, first_high = key_range(first + offset, k_len, rule)
    last_low, last_high = key_range(tl.minimum(first + TILE_Q, queries) - 1 + offset, k_len, rule)
    start, full_start, full_stop, stop = stages(first_low, first_high, last_low, last_high, TILE_K)

    keys = strided_rows(k, row, kv_head, k_start, stride_kb, stride_kh, stride_kn, stride_kd)
    values = strided_rows(v, row, kv_head, k_start, stride_vb, stride_vh, stride_vn, stride_vd)
    alibi, bias_rows = 0.0, 0
    if slopes is not None:
        alibi = tl.load(slopes + head)
    if bias is not None:
        line = tl.minimum(lines, queries - 1).to(tl.int64)
        bias_rows = (head_base(bias, row, head, 0, stride_bb, stride_bh, stride_bm) + line * stride_bm)[:, None]
    rows = (((lines + offset)[:, None], alibi, bias_rows), k_len, rule, first_low, last_high)
    change = (scale, softcap, slopes, bias, stride_bn)

    q_rows = strided_rows(q, row, head, q_start, stride_qb, stride_qh, stride_qm, stride_qd)
    o_rows = strided_rows(out, row, head, q_start, stride_ob, stride_oh, stride_om, stride_od)
    g_rows = strided_rows(dout, row, head, q_start, stride_gb, stride_gh, stride_gm, stride_gd)
    own_q = load_tile(q_rows, goto(q_rows, first), first, 0, queries, TILE_Q, D, D_PAD, True)
    own_out = load_tile(o_rows, goto(o_rows, first), first, 0, queries, TILE_Q, DV, DV_PAD, True)
    own_dout = load_tile(g_rows, goto(g_rows, first), first, 0, queries, TILE_Q, DV, DV_PAD, True)
    own_delta = tl.sum(own_out.to(tl.float32) * own_dout.to(tl.float32), 1)
    at = (row * tl.num_programs(1) + head) * q_len + q_start
    tl.store(delta + at + lines, own_delta, mask=lines < queries)
    log2_sum = load_log2_sum(lse + at, lines, queries)

    acc = tl.zeros((TILE_Q, D_PAD), tl.float32)
    if left is not None:
        acc = dq_sweep(
            acc, own_q, own_dout, log2_sum, own_delta, keys, values, rows, change,
            start, tl.minimum(full_start, stop), TILE_K, D, D_PAD, DV, DV_PAD, True,
        )  # fmt: skip
    acc = dq_sweep(
        acc, own_q, own_dout, log2_sum, own_delta, keys, values, rows, change,
        full_start, full_stop, TILE_K, D, D_PAD, DV, DV_PAD, False,
    )  # fmt: skip
    acc = dq_sweep(
        acc, own_q, own_dout, log2_sum, own_delta, keys, values, rows, change,
        full_stop, stop, TILE_K, D, D_PAD, DV, DV_PAD, True,
    )  # fmt: skip
    x_base = head_base(dq, row, head, q_start, stride_xb, stride_xh, stride_xm)
    store_tile(x_base, (stride_xm, stride_xd), first, queries, acc * scale, TILE_Q, D, D_PAD)


@triton.jit
def dkv_step(
    dk, dv, k, v, key, queries_of, q_at, douts_of, g_at, lines_of, change, rows, first,
    TILE_Q: tl.constexpr, D: tl.constexpr, D_PAD: tl.constexpr, DV: tl.constexpr, DV_PAD: tl.constexpr,
    MASKED: tl.constexpr,
):  # fmt: skip
    """Add what one tile of queries of one head gives to dk (without the scale) and dv.

    Scores are held transposed, ``[keys, queries]``, so that P and dS stand ready
    as left operands of the two sums. `lines_of` is (LSE, delta, ALiBi slope, bias,
    stride of its queries) of the head.
    """
    queries, k_len, offset, rule = rows
    lse, delta, alibi, bias, stride_bm = lines_of
    line = first + tl.arange(0, TILE_Q)
    q = load_tile(queries_of, q_at, first, 0, queries, TILE_Q, D, D_PAD, MASKED)
    dout = load_tile(douts_of, g_at, first, 0, queries, TILE_Q, DV, DV_PAD, MASKED)
    log2_sum = load_log2_sum(lse, line, queries)[None, :]
    own_delta = tl.load(delta + line, mask=line < queries, other=0.0)[None, :]
    # lines beyond the last query read its bias again: their weights are 0
    bias_rows = (bias + tl.minimum(line, queries - 1).to(tl.int64) * stride_bm)[None, :]
    lines = ((line + offset)[None, :], alibi, bias_rows)
    p, slope = weights(dot(k, q.T), change, lines, key[:, None], k_len, rule, log2_sum, MASKED)
    dv = dot(p.to(dout.dtype), dout, dv)
    ds = p * (dot(v, dout.T) - own_delta) * slope
    dk = dot(ds.to(q.dtype), q, dk)
    return dk, dv


@triton.jit
def dkv_head(
    dk, dv, k, v, key, queries_of, douts_of, lines_of, change, rows, cuts,
    TILE_Q: tl.constexpr, D: tl.constexpr, D_PAD: tl.constexpr, DV: tl.constexpr, DV_PAD: tl.constexpr,
):  # fmt: skip
    """Add what all queries of one head give, in the three stages of `tiles.stages`."""
    start, full_start, full_stop, stop = cuts
    for stage in tl.static_range(3):
        first_of, stop_of = (
            (start, tl.minimum(full_start, stop)) if stage == 0
            else (full_start, full_stop) if stage == 1
            else (full_stop, stop)
        )  # fmt: skip
        q_at, g_at = goto(queries_of, first_of), goto(douts_of, first_of)
        for first in range(first_of, stop_of, TILE_Q):
            dk, dv = dkv_step(
                dk, dv, k, v, key, queries_of, q_at, douts_of, g_at, lines_of, change, rows, first,
                TILE_Q, D, D_PAD, DV, DV_PAD, stage != 1,
            )  # fmt: skip
            q_at, g_at = step(queries_of, q_at, TILE_Q), step(douts_of, g_at, TILE_Q)
    return dk, dv


@triton.jit
def backward_dkv(
    q, k, v, dout, lse, delta, dk, dv, bias, slopes, lengths, key_starts,
    stride_qb, stride_qh, stride_qm, stride_qd,
    stride_kb, stride_kh, stride_kn, stride_kd,
    stride_vb, stride_vh, stride_vn, stride_vd,
    stride_gb, stride_gh, stride_gm, stride_gd,
    stride_yb, stride_yh, stride_yn, stride_yd,
    stride_zb, stride_zh, stride_zn, stride_zd,
    stride_bb, stride_bh, stride_bm, stride_bn,
    groups, q_len, kv_len, left, right, prefix, scale, softcap,
    LAYOUT: tl.constexpr, D: tl.constexpr, DV: tl.constexpr, D_PAD: tl.constexpr, DV_PAD: tl.constexpr,
    TILE_Q: tl.constexpr, TILE_K: tl.constexpr,
):  # fmt: skip
    """Grid (tiles of keys, Hkv, segments): dk and dv, summed over the heads of the group in order.

    Strides g are of dout, y of dk, z of dv. Keys that belong to no segment are not written.
    """
    kv_head = tl.program_id(1)
    row, q_start, queries, k_start, k_len, offset = segment(
        tl.program_id(2), q_len, kv_len, lengths, key_starts, LAYOUT
    )
    first = tl.program_id(0) * TILE_K
    if first >= k_len:
        return
    rule = (left, right, prefix)
    key = first + tl.arange(0, TILE_K)
    first_low, first_high = query_range(first, queries, offset, rule)
    last_low, last_high = query_range(tl.minimum(first + TILE_K, k_len) - 1, queries, offset, rule)
    cuts = stages(first_low, first_high, last_low, last_high, TILE_Q)
    rows, change = (queries, k_len, offset, rule), (scale, softcap, slopes, bias, stride_bn)

    k_rows = strided_rows(k, row, kv_head, k_start, stride_kb, stride_kh, stride_kn, stride_kd)
    v_rows = strided_rows(v, row, kv_head, k_start, stride_vb, stride_vh, stride_vn, stride_vd)
    own_k = load_tile(k_rows, goto(k_rows, first), first, 0, k_len, TILE_K, D, D_PAD, True)
    own_v = load_tile(v_rows, goto(v_rows, first), first, 0, k_len, TILE_K, DV, DV_PAD, True)
    own_dk, own_dv = tl.zeros((TILE_K, D_PAD), tl.float32), tl.zeros((TILE_K, DV_PAD), tl.float32)
    heads = tl.num_programs(1) * groups
    for head in range(kv_head * groups, kv_head * groups + groups):
        at = (row * heads + head) * q_len + q_start
        alibi, own_bias = 0.0, 0
        if slopes is not None:
            alibi = tl.load(slopes + head)
        if bias is not None:
            own_bias = head_base(bias, row, head, 0, stride_bb, stride_bh, stride_bm)
        own_dk, own_dv = dkv_head(
            own_dk, own_dv, own_k, own_v, key,
            strided_rows(q, row, head, q_start, stride_qb, stride_qh, stride_qm, stride_qd),
            strided_rows(dout, row, head, q_start, stride_gb, stride_gh, stride_gm, stride_gd),
            (lse + at, delta + at, alibi, own_bias, stride_bm),
            change, rows, cuts, TILE_Q, D, D_PAD, DV, DV_PAD,
        )  # fmt: skip

    y_base = head_base(dk, row, kv_head, k_start, stride_yb, stride_yh, stride_yn)
    z_base = head_base(dv, row, kv_head, k_start, stride_zb, stride_zh, stride_zn)
    store_tile(y_base, (stride_yn, stride_yd), first, k_len, own_dk * scale, TILE_K, D, D_PAD)
    store_tile(z_base, (stride_zn, stride_zd), first, k_len, own_dv, TILE_K, DV, DV_PAD)
