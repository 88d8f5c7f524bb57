"""Forward: one program computes one tile of queries of one head.

Source: Dao (2023), FlashAttention-2, algorithm 1. K and V are never repeated:
query head h reads key/value head ``h // groups``.
"""

# Triton reads annotations, so that only tl.constexpr may stand in a kernel:
# mypy: disable-error-code="no-untyped-def,untyped-decorator"
# ruff: noqa: ANN001, ANN201

import triton
import triton.language as tl

from attnbench.impls.triton_kernels.softmax import attend, begin, finish
from attnbench.impls.triton_kernels.tiles import (
    LN2,
    goto,
    head_base,
    key_range,
    load_tile,
    segment,
    segment_rows,
    stages,
    store_tile,
    strided_rows,
)


@triton.jit
def forward(
    q, k, v, out, lse, bias, slopes, sinks, lengths, key_starts, table,
    stride_qb, stride_qh, stride_qm, stride_qd,
    stride_kb, stride_kh, stride_kn: tl.constexpr, stride_kd,
    stride_vb, stride_vh, stride_vn: tl.constexpr, stride_vd,
    stride_ob, stride_oh, stride_om, stride_od,
    stride_bb, stride_bh, stride_bm, stride_bn,
    stride_tb, groups, q_len, kv_len, page, left, right, prefix, scale, softcap,
    LAYOUT: tl.constexpr, D: tl.constexpr, DV: tl.constexpr, D_PAD: tl.constexpr, DV_PAD: tl.constexpr,
    TILE_Q: tl.constexpr, TILE_K: tl.constexpr, AHEAD: tl.constexpr,
):  # fmt: skip
    """Grid (tiles of queries, Hq, segments). `lse` is contiguous ``[B, Hq, M]``; see tiles.segment for `lengths`.

    Optional pointers, `left`, `right` and `softcap` are None where the case has none of it.
    """
    head = tl.program_id(1)
    row, q_start, queries, k_start, k_len, offset = segment(
        tl.program_id(2), q_len, kv_len, lengths, key_starts, LAYOUT
    )
    tile = tl.program_id(0)
    if right is not None:  # late queries see most: start them first, the short ones fill the gaps
        tile = tl.num_programs(0) - 1 - tile
    first = tile * TILE_Q
    if first >= queries:
        return
    kv_head = head // groups
    rule = (left, right, prefix)
    lines = first + tl.arange(0, TILE_Q)

    first_low, first_high = key_range(first + offset, k_len, rule)
    last_low, last_high = key_range(tl.minimum(first + TILE_Q, queries) - 1 + offset, k_len, rule)
    cuts = stages(first_low, first_high, last_low, last_high, TILE_K)

    keys = segment_rows(
        k, table, row, kv_head, k_start, page, stride_tb, stride_kb, stride_kh, stride_kn, stride_kd
    )
    values = segment_rows(
        v, table, row, kv_head, k_start, page, stride_tb, stride_vb, stride_vh, stride_vn, stride_vd
    )
    alibi, bias_rows = 0.0, 0
    if slopes is not None:
        alibi = tl.load(slopes + head)
    if bias is not None:  # lines beyond the last query read its bias again: they are never stored
        line = tl.minimum(lines, queries - 1).to(tl.int64)
        bias_rows = (head_base(bias, row, head, 0, stride_bb, stride_bh, stride_bm) + line * stride_bm)[:, None]
    rows = (((lines + offset)[:, None], alibi, bias_rows), k_len, rule, first_low, last_high)
    change = (scale, softcap, slopes, bias, stride_bn)

    q_rows = strided_rows(q, row, head, q_start, stride_qb, stride_qh, stride_qm, stride_qd)
    own_q = load_tile(q_rows, goto(q_rows, first), first, 0, queries, TILE_Q, D, D_PAD, True)
    acc, total, top = begin(sinks, head, TILE_Q, DV_PAD)
    acc, total, top = attend(
        acc, total, top, own_q, keys, values, rows, change, cuts, TILE_K, D, D_PAD, DV, DV_PAD, AHEAD
    )
    result, log2_sum = finish(acc, total, top)

    o_base = head_base(out, row, head, q_start, stride_ob, stride_oh, stride_om)
    store_tile(o_base, (stride_om, stride_od), first, queries, result, TILE_Q, DV, DV_PAD)
    tl.store(
        lse + (row * tl.num_programs(1) + head) * q_len + q_start + lines, log2_sum * LN2, mask=lines < queries
    )
