"""Decode: few queries against many keys, which are split over programs and merged by their log-sum-exps.

Source: Dao et al. (2023), Flash-Decoding. All query heads that share a
key/value head and all of the few queries form the lines of one tile, so that
each key is read once for the whole group.
"""

# Triton reads annotations, so that only tl.constexpr may stand in a kernel:
# mypy: disable-error-code="no-untyped-def,untyped-decorator"
# ruff: noqa: ANN001, ANN201

import triton
import triton.language as tl

from attnbench.impls.triton_kernels.softmax import attend, begin, finish
from attnbench.impls.triton_kernels.tiles import LN2, head_base, key_range, segment, segment_rows, stages


@triton.jit
def decode(
    q, k, v, partial, partial_lse, bias, slopes, sinks, lengths, table,
    stride_qb, stride_qh, stride_qm, stride_qd,
    stride_kb, stride_kh, stride_kn, stride_kd,
    stride_vb, stride_vh, stride_vn, stride_vd,
    stride_bb, stride_bh, stride_bm, stride_bn,
    stride_tb, groups, q_len, kv_len, page, left, right, prefix, scale, softcap,
    LAYOUT: tl.constexpr, D: tl.constexpr, DV: tl.constexpr, D_PAD: tl.constexpr, DV_PAD: tl.constexpr,
    TILE_Q: tl.constexpr, TILE_K: tl.constexpr,
):  # fmt: skip
    """Grid (splits, Hkv * tiles of lines, B): writes `partial` ``[B, Hq, M, splits, Dv]`` and its base-2 LSE.

    Line r of a group is query ``r % M`` of the group's head ``r // M``.
    """
    split, splits, row = tl.program_id(0), tl.num_programs(0), tl.program_id(2)
    tiles = tl.cdiv(groups * q_len, TILE_Q)
    kv_head, tile = tl.program_id(1) // tiles, tl.program_id(1) % tiles
    row, _, _, _, k_len, offset = segment(row, q_len, kv_len, lengths, None, LAYOUT)
    rule = (left, right, prefix)
    lines = tile * TILE_Q + tl.arange(0, TILE_Q)
    real = lines < groups * q_len
    lines = tl.minimum(lines, groups * q_len - 1)
    head, query = kv_head * groups + lines // q_len, lines % q_len

    first_low, first_high = key_range(offset, k_len, rule)
    last_low, last_high = key_range(offset + q_len - 1, k_len, rule)
    start, full_start, full_stop, stop = stages(first_low, first_high, last_low, last_high, TILE_K)
    share = tl.cdiv(tl.cdiv(tl.maximum(stop - start, 0), TILE_K), splits) * TILE_K
    own_start = tl.minimum(start + split * share, stop)
    own_stop = tl.minimum(own_start + share, stop)
    cuts = (
        own_start,
        tl.maximum(full_start, own_start),
        tl.maximum(tl.minimum(full_stop, own_stop), own_start),
        own_stop,
    )

    keys = segment_rows(k, table, row, kv_head, 0, page, stride_tb, stride_kb, stride_kh, stride_kn, stride_kd)
    values = segment_rows(v, table, row, kv_head, 0, page, stride_tb, stride_vb, stride_vh, stride_vn, stride_vd)
    alibi, bias_rows = 0.0, 0
    if slopes is not None:
        alibi = tl.load(slopes + head)[:, None]
    if bias is not None:
        own_rows = tl.cast(head, tl.int64) * stride_bh + tl.cast(query, tl.int64) * stride_bm
        bias_rows = (head_base(bias, row, 0, 0, stride_bb, stride_bh, stride_bm) + own_rows)[:, None]
    rows = (((query + offset)[:, None], alibi, bias_rows), k_len, rule, first_low, last_high)
    change = (scale, softcap, slopes, bias, stride_bn)

    columns = tl.arange(0, D_PAD)
    own_q = tl.cast(head, tl.int64) * stride_qh + query * stride_qm
    q_pointers = head_base(q, row, 0, 0, stride_qb, stride_qh, stride_qm) + own_q[:, None]
    q_tile = tl.load(q_pointers + columns[None, :] * stride_qd, mask=(columns < D)[None, :], other=0.0)
    acc, total, top = begin(sinks, head, TILE_Q, DV_PAD)
    if sinks is not None:  # the sink counts once, in the first split
        total, top = tl.where(split == 0, total, 0.0), tl.where(split == 0, top, -float("inf"))
    acc, total, top = attend(
        acc, total, top, q_tile, keys, values, rows, change, cuts, TILE_K, D, D_PAD, DV, DV_PAD, False
    )
    result, log2_sum = finish(acc, total, top)

    heads = tl.num_programs(1) // tiles * groups
    slot = ((tl.cast(row, tl.int64) * heads + head) * q_len + query) * splits + split
    columns = tl.arange(0, DV_PAD)
    tl.store(partial_lse + slot, log2_sum, mask=real)
    tl.store(partial + slot[:, None] * DV + columns, result, mask=real[:, None] & (columns < DV)[None, :])


@triton.jit
def merge(
    partial, partial_lse, out, lse, stride_ob, stride_oh, stride_om, stride_od, q_heads, q_len, splits,
    DV: tl.constexpr, DV_PAD: tl.constexpr, SPLITS_PAD: tl.constexpr,
):  # fmt: skip
    """Grid (B * Hq * M,): one query's splits, weighted by ``2 ** (their LSE - the whole LSE)``."""
    line = tl.program_id(0).to(tl.int64)
    number, columns = tl.arange(0, SPLITS_PAD), tl.arange(0, DV_PAD)
    slot = line * splits + number
    there = number < splits
    parts = tl.load(partial_lse + slot, mask=there, other=-float("inf"))
    top = tl.max(parts, 0)
    weights = tl.exp2(parts - tl.where(top == -float("inf"), 0.0, top))
    total = tl.sum(weights, 0)
    inside = there[:, None] & (columns < DV)[None, :]
    values = tl.load(partial + slot[:, None] * DV + columns[None, :], mask=inside, other=0.0)
    safe = tl.where(total == 0.0, 1.0, total)
    result = tl.sum(weights[:, None] * values, 0) / safe
    row, head, query = line // (q_len * q_heads), line // q_len % q_heads, line % q_len
    own = head_base(out, row, head, query, stride_ob, stride_oh, stride_om)
    tl.store(own + columns * stride_od, result.to(out.dtype.element_ty), mask=columns < DV)
    tl.store(lse + line, (top + tl.log2(safe)) * LN2)
