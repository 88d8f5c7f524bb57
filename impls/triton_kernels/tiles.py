"""Steps on tiles that the forward, backward and decode kernels share.

Names are those of the FlashAttention papers and of Triton's tutorial: ``offs_m`` are queries, ``offs_n`` keys,
``offs_d`` columns of a head, ``off_b`` and ``off_h`` the batch row and the head of a program.

Scores are held in base 2, because ``exp2`` is one instruction on a GPU: a score x is kept as ``x * log2(e)``.
The keys that a query sees are one range for every mask that the kernels know (full, causal, window, prefix):
see `key_range`.

Arguments that travel together are tuples:

- `mask_bounds`: (left, right, prefix), see `key_range`.
- `score_mod`: (softmax scale, softcap, ALiBi slopes, bias, stride of the bias's keys), see `apply_score_mod`;
  what a case does not have is None.
- `q_info`: (position, ALiBi slope, pointer to the bias's row) of each query.
- a *view* of a tensor for one head: (pointer to its first row, (row stride, column stride)), and for keys and
  values in pages a third element (this row's block table, page size, page stride).
"""

# Triton reads annotations, so that only tl.constexpr may stand in a kernel:
# mypy: disable-error-code="no-untyped-def,untyped-decorator"
# ruff: noqa: ANN001, ANN201

import triton
import triton.language as tl

INTERPRETED = tl.constexpr(bool(triton.knobs.runtime.interpret))
LOG2E = tl.constexpr(1.4426950408889634)
LN2 = tl.constexpr(0.6931471805599453)


@triton.jit
def dot(a, b, acc=None):
    """``a @ b + acc`` in float32; float32 operands are not rounded to tf32."""
    if INTERPRETED:  # the interpreter's bfloat16 dot multiplies the raw bits
        a, b = a.to(tl.float32), b.to(tl.float32)
    return tl.dot(a, b, acc, input_precision="ieee")


@triton.jit
def segment(number, q_len, kv_len, cu_seqlens_q, cu_seqlens_k, kv_lengths, LAYOUT: tl.constexpr):
    """(off_b, q_start, seqlen_q, k_start, seqlen_k, offset) of one segment, as in impls.contract's Segment.

    A segment is a batch row, or a document of a packed batch. `offset` is the position of its first query,
    counted along its keys. `q_len` and `kv_len` are those of the case, the longest of a packed one.
    """
    off_b, q_start, k_start = number, 0, 0
    seqlen_q, seqlen_k, offset = q_len, kv_len, kv_len - q_len
    if LAYOUT == "packed":
        off_b = number * 0
        q_start = tl.load(cu_seqlens_q + number)
        k_start = tl.load(cu_seqlens_k + number)
        seqlen_q = tl.load(cu_seqlens_q + number + 1) - q_start
        seqlen_k = tl.load(cu_seqlens_k + number + 1) - k_start
        offset = seqlen_k - seqlen_q
    elif LAYOUT == "padded":
        seqlen_k = tl.load(kv_lengths + number)
    elif LAYOUT == "filled":
        seqlen_k = tl.load(kv_lengths + number)
        offset = seqlen_k - q_len
    return off_b, q_start, seqlen_q, k_start, seqlen_k, offset


@triton.jit
def key_range(position, seqlen_k, mask_bounds):
    """Half-open range of the keys that the query at `position` sees; empty where lo >= hi.

    A query at position p sees the keys from ``p - left`` to below ``max(p + right + 1, prefix)``. Causal is
    left None (no bound), right 0, prefix 0.
    """
    left, right, prefix = mask_bounds
    lo, hi = position * 0, position * 0 + seqlen_k
    if left is not None:
        lo = tl.maximum(position - left, 0)
    if right is not None:
        hi = tl.minimum(tl.maximum(position + right + 1, prefix), seqlen_k)
    return lo, hi


@triton.jit
def query_range(offs_n, seqlen_q, offset, mask_bounds):
    """Half-open range of the queries (counted from the segment's first) that see the key: inverse of `key_range`."""
    left, right, prefix = mask_bounds
    lo, hi = offs_n * 0, offs_n * 0 + seqlen_q
    if right is not None:
        lo = tl.where(offs_n < prefix, 0, tl.maximum(offs_n - right - offset, 0))
    if left is not None:
        hi = tl.minimum(tl.maximum(offs_n + left + 1 - offset, 0), seqlen_q)
    return lo, hi


@triton.jit
def mask_stages(first_lo, first_hi, last_lo, last_hi, BLOCK: tl.constexpr):
    """Cut the keys that a tile of queries visits in three: (lo, full_lo, full_hi, hi).

    Tiles of ``[full_lo, full_hi)`` are seen whole by every query and need no mask. Those of ``[lo, full_lo)``
    and ``[full_hi, hi)`` are seen in part and are masked. All others are hidden and never read.

    The arguments are the ranges of the tile's first and last query; both ends grow with the query. A window of
    3 keys to the left and 0 to the right, 8 keys, tiles of 2, and the tile of the queries 4 and 5, which see the
    keys [1, 5) and [2, 6)::

        key       0 1 | 2 3 | 4 5 | 6 7
        query 4   . x | x x | x . | . .
        query 5   . . | x x | x x | . .
                  mask  full  mask  skip      lo 0, full_lo 2, full_hi 4, hi 6

    With causal only the last part is left beside the full one: of 4 keys and the queries 2 and 3, ``lo`` and
    ``full_lo`` are 0, ``full_hi`` is 2 and ``hi`` is 4::

        key       0 1 | 2 3
        query 2   x x | x .
        query 3   x x | x x
                  full  mask
    """
    lo = first_lo // BLOCK * BLOCK
    full_lo = tl.maximum((last_lo + BLOCK - 1) // BLOCK * BLOCK, lo)
    full_hi = tl.maximum(first_hi // BLOCK * BLOCK, full_lo)
    return lo, full_lo, full_hi, last_hi


@triton.jit
def row_pointer(x, off_b, off_h, row, stride_b, stride_h, stride_row):
    """Pointer to `row` of this batch row and head, computed in 64 bits: tensors may hold over 2^31 elements."""
    off_b, off_h, row = tl.cast(off_b, tl.int64), tl.cast(off_h, tl.int64), tl.cast(row, tl.int64)
    return x + (off_b * stride_b + off_h * stride_h + row * stride_row)


@triton.jit
def paged_view(
    x, block_table, off_b, off_h, k_start, page_size, stride_table, stride_b, stride_h, stride_n, stride_d
):
    """View of one segment's keys or values; without a `block_table` it is a `strided_view`."""
    # no None inside of the tuple: Triton 3.6 can't return one
    if block_table is None:
        view = strided_view(x, off_b, off_h, k_start, stride_b, stride_h, stride_n, stride_d)
    else:
        base = row_pointer(x, 0, off_h, 0, stride_b, stride_h, stride_n)
        pages = (block_table + tl.cast(off_b, tl.int64) * stride_table, page_size, stride_b)
        view = (base, (stride_n, stride_d), pages)
    return view


@triton.jit
def strided_view(x, off_b, off_h, row, stride_b, stride_h, stride_row, stride_d):
    """View that begins at `row` of this batch row and head."""
    return row_pointer(x, off_b, off_h, row, stride_b, stride_h, stride_row), (stride_row, stride_d)


@triton.jit
def tile_pointer(view, start):
    """Pointer to row `start` of a view. A paged view gives its base: `load_tile` looks each row's page up."""
    ptr = view[0]
    if len(view) == 2:
        ptr += tl.cast(start, tl.int64) * view[1][0]
    return ptr


@triton.jit
def advance(view, ptr, BLOCK: tl.constexpr):
    """The tile pointer BLOCK rows further: carried along a loop, it costs one addition instead of a product."""
    if len(view) == 2:
        ptr += view[1][0] * BLOCK
    return ptr


@triton.jit
def load_tile(
    view,
    ptr,
    start,
    lo,
    hi,
    BLOCK: tl.constexpr,
    D: tl.constexpr,
    D_PAD: tl.constexpr,
    MASKED: tl.constexpr,
):
    """Rows ``[start, start + BLOCK)`` of a view as ``[BLOCK, D_PAD]``; `ptr` is ``tile_pointer(view, start)``.

    Columns from D on are 0. Where MASKED, so are rows outside ``[lo, hi)``: what lies there may be anything,
    NaN too.
    """
    stride_row, stride_d = view[1]
    offs, offs_d = tl.arange(0, BLOCK), tl.arange(0, D_PAD)
    in_bounds = (start + offs >= lo) & (start + offs < hi)
    if len(view) == 2:
        ptrs = ptr + (offs * stride_row)[:, None] + offs_d[None, :] * stride_d
    else:
        block_table, page_size, stride_page = view[2]
        page = tl.load(block_table + (start + offs) // page_size, mask=in_bounds, other=0).to(tl.int64)
        ptrs = ptr + (page * stride_page + (start + offs) % page_size * stride_row)[:, None]
        ptrs += offs_d[None, :] * stride_d
    if MASKED and D < D_PAD:
        tile = tl.load(ptrs, mask=in_bounds[:, None] & (offs_d < D)[None, :], other=0.0)
    elif MASKED:
        tile = tl.load(ptrs, mask=in_bounds[:, None], other=0.0)
    elif D < D_PAD:
        tile = tl.load(ptrs, mask=(offs_d < D)[None, :], other=0.0)
    else:
        tile = tl.load(ptrs)
    return tile


@triton.jit
def store_tile(view, start, hi, tile, BLOCK: tl.constexpr, D: tl.constexpr, D_PAD: tl.constexpr):
    """Write rows ``[start, min(start + BLOCK, hi))`` and columns below D of a `strided_view`, in its dtype."""
    stride_row, stride_d = view[1]
    offs, offs_d = tl.arange(0, BLOCK), tl.arange(0, D_PAD)
    ptr = view[0] + tl.cast(start, tl.int64) * stride_row
    ptrs = ptr + (offs * stride_row)[:, None] + offs_d[None, :] * stride_d
    in_bounds = (start + offs < hi)[:, None] & (offs_d < D)[None, :]
    tl.store(ptrs, tile.to(ptr.dtype.element_ty), mask=in_bounds)


@triton.jit
def tanh(x):
    """Hyperbolic tangent without cancellation near 0 (Cephes' polynomial below 0.625, else through exp2)."""
    square = x * x
    small = -5.70498872745e-3 * square + 2.06390887954e-2
    small = small * square - 5.37397155531e-2
    small = small * square + 1.33314422036e-1
    small = small * square - 3.33332819422e-1
    large = 1.0 - 2.0 / (tl.exp2(x * (2.0 * LOG2E)) + 1.0)
    return tl.where(tl.abs(x) < 0.625, small * square * x + x, large)


@triton.jit
def apply_score_mod(qk, score_mod, q_info, offs_n, lo, hi):
    """Scores in base 2 from dot products: (qk, qk_scale, softcap_grad), where the score is ``qk * qk_scale``.

    `q_info` and `offs_n` broadcast against `qk`. Without softcap, slopes and bias the scale stays in `qk_scale`,
    to be folded into the exponent's multiply-add; with one of them it is applied and `qk_scale` is 1.
    `softcap_grad` is the softcap's derivative. The bias is read for keys in ``[lo, hi)``.
    """
    softmax_scale, softcap, alibi_slopes, bias, stride_bn = score_mod
    position, alibi_slope, bias_ptr = q_info
    qk_scale, softcap_grad = softmax_scale * LOG2E, 1.0
    if softcap is not None:
        capped = tanh(qk * (softmax_scale / softcap))
        qk, qk_scale = capped * (softcap * LOG2E), 1.0
        softcap_grad = 1.0 - capped * capped
    elif alibi_slopes is not None or bias is not None:
        qk, qk_scale = qk * qk_scale, 1.0
    if alibi_slopes is not None:
        qk -= (alibi_slope * LOG2E) * tl.abs(position - offs_n).to(tl.float32)
    if bias is not None:
        in_bounds = (offs_n >= lo) & (offs_n < hi)
        qk += tl.load(bias_ptr + offs_n * stride_bn, mask=in_bounds, other=0.0).to(tl.float32) * LOG2E
    return qk, qk_scale, softcap_grad
