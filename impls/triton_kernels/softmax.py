"""Online softmax of a block of queries over a range of keys: the heart of forward and decode.

Source: Milakov and Gimelshein (2018) for the running maximum and sum; Dao
(2023), FlashAttention-2, algorithm 1, for the order of the steps.

Arguments that travel together are tuples:

- `keys`, `values`: (base pointer of the segment's rows, (row stride, column stride), pages).
- `rows`: (`lines` of `tiles.scores`, number of keys, (left, right, prefix), first key that
  any of these queries sees, end of the keys that any sees).
- `change`: what is done to a dot product, see `tiles.scores`.
"""

# Triton reads annotations, so that only tl.constexpr may stand in a kernel:
# mypy: disable-error-code="no-untyped-def,untyped-decorator"
# ruff: noqa: ANN001, ANN201

import triton
import triton.language as tl

from attnbench.impls.triton_kernels.tiles import LOG2E, dot, goto, key_range, load_tile, scores, step


@triton.jit
def similarity(
    q, keys, at, rows, first, TILE_K: tl.constexpr, D: tl.constexpr, D_PAD: tl.constexpr, MASKED: tl.constexpr
):
    """Dot products of the queries with the tile of keys at `first`: ``[queries, TILE_K]``, not yet scaled."""
    k = load_tile(keys, at, first, rows[3], rows[4], TILE_K, D, D_PAD, MASKED)
    return dot(q, k.T)


@triton.jit
def partial_sums(weights):
    """Eight sums a row, ``[ROWS, 8]``: each thread adds what it holds, and lanes meet once, in `finish`.

    In the layout of an MMA's result four lanes share a row, two columns in eight
    each, so that these sums move nothing between lanes.
    """
    parts = tl.reshape(weights, (weights.shape[0], weights.shape[1] // 8, 8))
    return tl.sum(parts, 1)


@triton.jit
def weigh(total, top, raw, rows, change, first, MASKED: tl.constexpr):
    """Softmax of one tile of scores: (weights, shrink, total, top), the last two with the tile taken in.

    The weights are relative to the new maximum `top` (base 2); what was gathered
    before is to be multiplied by `shrink`. FlashAttention-2, algorithm 1, line 9.
    """
    lines, k_len, rule, low, high = rows
    key = (first + tl.arange(0, raw.shape[1]))[None, :]
    x, unit, _ = scores(raw, change, lines, key, low, high)
    if MASKED:
        own_low, own_high = key_range(lines[0], k_len, rule)
        x = tl.where((key >= own_low) & (key < own_high), x, -float("inf"))
    new_top = tl.maximum(top, tl.max(x, 1) * unit)
    shift = new_top
    if MASKED or change[3] is not None:  # a row that has seen nothing yet: -inf minus -inf is NaN
        shift = tl.where(new_top == -float("inf"), 0.0, new_top)
    weights = tl.exp2(x * unit - shift[:, None])
    shrink = tl.exp2(top - shift)[:, None]
    return weights, shrink, total * shrink + partial_sums(weights), new_top


@triton.jit
def gather(
    acc, weights, values, at, rows, first, TILE_K: tl.constexpr, DV: tl.constexpr, DV_PAD: tl.constexpr,
    MASKED: tl.constexpr,
):  # fmt: skip
    """``acc + weights V`` for the tile of values at `first` (FlashAttention-2, algorithm 1, line 10)."""
    v = load_tile(values, at, first, rows[3], rows[4], TILE_K, DV, DV_PAD, MASKED)
    return dot(weights.to(v.dtype), v, acc)


@triton.jit
def sweep(
    acc, total, top, q, keys, values, rows, change, start, stop, TILE_K: tl.constexpr, D: tl.constexpr,
    D_PAD: tl.constexpr, DV: tl.constexpr, DV_PAD: tl.constexpr, MASKED: tl.constexpr, AHEAD: tl.constexpr,
):  # fmt: skip
    """Take the tiles of ``[start, stop)`` in.

    With AHEAD the dot products of the next tile stand before the softmax of this
    one, so that a compiler may run them together (FlashAttention-3, Shah et al.
    2024, section 3.2); it costs the registers of one more tile of scores.
    """
    k_at, v_at = goto(keys, start), goto(values, start)
    if AHEAD:
        if start < stop:
            raw = similarity(q, keys, k_at, rows, start, TILE_K, D, D_PAD, MASKED)
            last = start + (stop - start - 1) // TILE_K * TILE_K
            for first in range(start, last, TILE_K):
                k_at = step(keys, k_at, TILE_K)
                coming = similarity(q, keys, k_at, rows, first + TILE_K, TILE_K, D, D_PAD, MASKED)
                weights, shrink, total, top = weigh(total, top, raw, rows, change, first, MASKED)
                acc = gather(acc * shrink, weights, values, v_at, rows, first, TILE_K, DV, DV_PAD, MASKED)
                v_at = step(values, v_at, TILE_K)
                raw = coming
            weights, shrink, total, top = weigh(total, top, raw, rows, change, last, MASKED)
            acc = gather(acc * shrink, weights, values, v_at, rows, last, TILE_K, DV, DV_PAD, MASKED)
    else:
        for first in range(start, stop, TILE_K):
            raw = similarity(q, keys, k_at, rows, first, TILE_K, D, D_PAD, MASKED)
            weights, shrink, total, top = weigh(total, top, raw, rows, change, first, MASKED)
            acc = gather(acc * shrink, weights, values, v_at, rows, first, TILE_K, DV, DV_PAD, MASKED)
            k_at, v_at = step(keys, k_at, TILE_K), step(values, v_at, TILE_K)
    return acc, total, top


@triton.jit
def attend(
    acc, total, top, q, keys, values, rows, change, cuts, TILE_K: tl.constexpr, D: tl.constexpr,
    D_PAD: tl.constexpr, DV: tl.constexpr, DV_PAD: tl.constexpr, AHEAD: tl.constexpr,
):  # fmt: skip
    """All visible keys, in the three stages `cuts` of `tiles.stages`: edge, inside, edge."""
    start, full_start, full_stop, stop = cuts
    if rows[2][0] is not None:  # a window's left side
        acc, total, top = sweep(
            acc, total, top, q, keys, values, rows, change, start, tl.minimum(full_start, stop),
            TILE_K, D, D_PAD, DV, DV_PAD, True, False,
        )  # fmt: skip
    acc, total, top = sweep(
        acc, total, top, q, keys, values, rows, change, full_start, full_stop,
        TILE_K, D, D_PAD, DV, DV_PAD, False, AHEAD,
    )  # fmt: skip
    return sweep(
        acc, total, top, q, keys, values, rows, change, full_stop, stop,
        TILE_K, D, D_PAD, DV, DV_PAD, True, False,
    )  # fmt: skip


@triton.jit
def begin(sinks, head, ROWS: tl.constexpr, DV_PAD: tl.constexpr):
    """(acc, total, top) before any key; a sink is one more logit without a value (gpt-oss)."""
    acc, total = tl.zeros((ROWS, DV_PAD), tl.float32), tl.zeros((ROWS, 8), tl.float32)
    top = tl.full((ROWS,), -float("inf"), tl.float32)
    if sinks is not None:
        total, top = total + 0.125, tl.zeros((ROWS,), tl.float32) + tl.load(sinks + head) * LOG2E
    return acc, total, top


@triton.jit
def finish(acc, total, top):
    """(output, log-sum-exp in base 2); a row without keys gives (0, -inf)."""
    whole = tl.sum(total, 1)
    safe = tl.where(whole == 0.0, 1.0, whole)
    return acc / safe[:, None], top + tl.log2(safe)
