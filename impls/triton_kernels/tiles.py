"""Steps on tiles that the forward, backward and decode kernels share.

Scores are held in base 2 (``exp2`` is one instruction on a GPU): a score x
stands for ``x * log2(e)``. Visible keys of a query are one range, for every
mask that the kernels know (full, causal, window, prefix): see `key_range`.
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
    if INTERPRETED:  # its bfloat16 dot multiplies the raw bits
        a, b = a.to(tl.float32), b.to(tl.float32)
    return tl.dot(a, b, acc, input_precision="ieee")


@triton.jit
def segment(number, q_len, kv_len, lengths, key_starts, LAYOUT: tl.constexpr):
    """(row, first query, queries, first key, keys, offset) of one segment, as impls.contract's Segment.

    `lengths` holds the keys of each row, or where the documents' queries start
    (packed); `key_starts` where their keys start.
    """
    row, q_start, k_start, offset = number, 0, 0, kv_len - q_len
    if LAYOUT == "packed":
        row = number * 0
        q_start = tl.load(lengths + number)
        k_start = tl.load(key_starts + number)
        q_len = tl.load(lengths + number + 1) - q_start
        kv_len = tl.load(key_starts + number + 1) - k_start
        offset = kv_len - q_len
    elif LAYOUT == "padded":
        kv_len = tl.load(lengths + number)
    elif LAYOUT == "filled":
        kv_len = tl.load(lengths + number)
        offset = kv_len - q_len
    return row, q_start, q_len, k_start, kv_len, offset


@triton.jit
def key_range(position, k_len, rule):
    """Half-open range of the keys that the query at `position` sees; empty where low >= high."""
    left, right, prefix = rule
    low, high = position * 0, position * 0 + k_len
    if left is not None:
        low = tl.maximum(position - left, 0)
    if right is not None:
        high = tl.minimum(tl.maximum(position + right + 1, prefix), k_len)
    return low, high


@triton.jit
def query_range(key, q_len, offset, rule):
    """Half-open range of the queries (numbers in the segment) that see `key`: `key_range` turned round."""
    left, right, prefix = rule
    low, high = key * 0, key * 0 + q_len
    if right is not None:
        low = tl.where(key < prefix, 0, tl.maximum(key - right - offset, 0))
    if left is not None:
        high = tl.minimum(tl.maximum(key + left + 1 - offset, 0), q_len)
    return low, high


@triton.jit
def stages(first_low, first_high, last_low, last_high, TILE: tl.constexpr):
    """Cut a tile's sweep in three: (start, full_start, full_stop, stop).

    The ranges are those of the tile's first and last line; both ends grow with
    the line. Tiles of ``[full_start, full_stop)`` are seen by every line and need
    no mask; those of ``[start, full_start)`` and ``[full_stop, stop)`` do;
    all others are hidden from every line and are never read.
    """
    start = first_low // TILE * TILE
    full_start = tl.maximum((last_low + TILE - 1) // TILE * TILE, start)
    full_stop = tl.maximum(first_high // TILE * TILE, full_start)
    return start, full_start, full_stop, last_high


@triton.jit
def head_base(x, row, head, first, stride_row, stride_head, stride_line):
    """Where line `first` of this batch row and head begins, in 64 bits: tensors may hold over 2^31 elements."""
    row, head, first = tl.cast(row, tl.int64), tl.cast(head, tl.int64), tl.cast(first, tl.int64)
    return x + (row * stride_row + head * stride_head + first * stride_line)


@triton.jit
def segment_rows(
    x, table, row, head, first, page, stride_table, stride_row, stride_head, stride_line, stride_column
):
    """Keys or values of one segment, as `load_tile` takes them: (base, strides, pages)."""
    if table is None:
        base = head_base(x, row, head, first, stride_row, stride_head, stride_line)
        pages = (None, page, stride_row)
    else:
        base = head_base(x, 0, head, 0, stride_row, stride_head, stride_line)
        pages = (table + tl.cast(row, tl.int64) * stride_table, page, stride_row)
    return base, (stride_line, stride_column), pages


@triton.jit
def strided_rows(x, row, head, first, stride_row, stride_head, stride_line, stride_column):
    """As `segment_rows`, without pages."""
    base = head_base(x, row, head, first, stride_row, stride_head, stride_line)
    return base, (stride_line, stride_column), (None, 0, 0)


@triton.jit
def goto(rows, first):
    """Pointer to line `first` of `segment_rows` or `strided_rows`; pages have none, each line is looked up."""
    base, strides, pages = rows
    if pages[0] is None:
        base += tl.cast(first, tl.int64) * strides[0]
    return base


@triton.jit
def step(rows, at, LINES: tl.constexpr):
    """The pointer LINES after `at`: carried along a loop, it costs one addition where `goto` costs a product."""
    if rows[2][0] is None:
        at += rows[1][0] * LINES
    return at


@triton.jit
def load_tile(
    rows,
    at,
    first,
    low,
    high,
    ROWS: tl.constexpr,
    WIDTH: tl.constexpr,
    PADDED: tl.constexpr,
    BOUNDED: tl.constexpr,
):
    """Lines ``[first, first + ROWS)`` of `rows` as ``[ROWS, PADDED]``; `at` is ``goto(rows, first)``.

    Columns from WIDTH on are 0, and so, where BOUNDED, are lines outside ``[low,
    high)``: what lies there may be anything, NaN too.
    """
    stride_line, stride_column = rows[1]
    lines, columns = tl.arange(0, ROWS), tl.arange(0, PADDED)
    inside = (first + lines >= low) & (first + lines < high)
    if rows[2][0] is None:
        pointers = at + (lines * stride_line)[:, None] + columns[None, :] * stride_column
    else:
        table, page, stride_page = rows[2]
        number = tl.load(table + (first + lines) // page, mask=inside, other=0).to(tl.int64)
        pointers = at + (number * stride_page + (first + lines) % page * stride_line)[:, None]
        pointers += columns[None, :] * stride_column
    if BOUNDED and WIDTH < PADDED:
        tile = tl.load(pointers, mask=inside[:, None] & (columns < WIDTH)[None, :], other=0.0)
    elif BOUNDED:
        tile = tl.load(pointers, mask=inside[:, None], other=0.0)
    elif WIDTH < PADDED:
        tile = tl.load(pointers, mask=(columns < WIDTH)[None, :], other=0.0)
    else:
        tile = tl.load(pointers)
    return tile


@triton.jit
def store_tile(base, strides, first, high, tile, ROWS: tl.constexpr, WIDTH: tl.constexpr, PADDED: tl.constexpr):
    """Write rows ``[first, min(first + ROWS, high))``, columns below WIDTH, in the dtype of `base`."""
    stride_row, stride_column = strides
    lines, columns = tl.arange(0, ROWS), tl.arange(0, PADDED)
    base += tl.cast(first, tl.int64) * stride_row
    pointers = base + (lines * stride_row)[:, None] + columns[None, :] * stride_column
    inside = (first + lines < high)[:, None] & (columns < WIDTH)[None, :]
    tl.store(pointers, tile.to(base.dtype.element_ty), mask=inside)


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
def scores(raw, change, lines, keys, low, high):
    """Scores in base 2 from dot products: (x, unit, slope), where the score is ``x * unit``.

    `change` is (scale, softcap, slopes, bias, stride of the bias's keys); what is
    absent is None. `lines` is (position, ALiBi slope, pointer to the bias row) of
    each query; they and `keys` broadcast against `raw`. Without softcap, slopes and
    bias the scale stays in `unit`, to be folded into the exponent's multiply-add.
    `slope` is the softcap's derivative. A bias is read for keys in ``[low, high)``.
    """
    position, alibi, bias_rows = lines
    x, unit, slope = raw, change[0] * LOG2E, 1.0
    if change[1] is not None:
        bounded = tanh(raw * (change[0] / change[1]))
        x, unit = bounded * (change[1] * LOG2E), 1.0
        slope = 1.0 - bounded * bounded
    elif change[2] is not None or change[3] is not None:
        x, unit = raw * unit, 1.0
    if change[2] is not None:
        x -= (alibi * LOG2E) * tl.abs(position - keys).to(tl.float32)
    if change[3] is not None:
        inside = (keys >= low) & (keys < high)
        x += tl.load(bias_rows + keys * change[4], mask=inside, other=0.0).to(tl.float32) * LOG2E
    return x, unit, slope
