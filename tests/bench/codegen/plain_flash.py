"""A plain forward flash kernel: what a user would bring. It is compiled by the tests and never launched."""

import triton
import triton.language as tl


@triton.jit
def tiles(
    acc,
    l,
    m,
    q,
    K,
    V,
    low,
    high,
    rows,
    scale,
    stride,
    MASKED: tl.constexpr,
    D: tl.constexpr,
    TILE_K: tl.constexpr,
    SPECIALISED: tl.constexpr,
    PRECISION: tl.constexpr,
    BARRIER: tl.constexpr,
):
    columns = tl.arange(0, TILE_K)
    dims = tl.arange(0, D)
    for at in tl.range(low, high, TILE_K, warp_specialize=SPECIALISED):
        start = tl.multiple_of(at, TILE_K)
        k = tl.load(K + (start + columns)[None, :] * stride + dims[:, None])
        s = tl.dot(q, k, input_precision=PRECISION)
        if MASKED:
            s = s * scale + tl.where(rows[:, None] >= start + columns[None, :], 0.0, -1.0e6)
            new = tl.maximum(m, tl.max(s, 1))
            s -= new[:, None]
        else:
            new = tl.maximum(m, tl.max(s, 1) * scale)
            s = s * scale - new[:, None]
        p = tl.math.exp2(s)
        alpha = tl.math.exp2(m - new)
        l = l * alpha + tl.sum(p, 1)
        acc = acc * alpha[:, None]
        v = tl.load(V + (start + columns)[:, None] * stride + dims[None, :])
        acc = tl.dot(p.to(v.dtype), v, acc, input_precision=PRECISION)
        m = new
        if BARRIER:
            tl.debug_barrier()
    return acc, l, m


@triton.jit
def forward(
    Q,
    K,
    V,
    Out,
    LSE,
    scale,
    q_len,
    kv_len,
    stride,
    CAUSAL: tl.constexpr,
    D: tl.constexpr,
    TILE_Q: tl.constexpr,
    TILE_K: tl.constexpr,
    SPECIALISED: tl.constexpr = False,
    PRECISION: tl.constexpr = "tf32",
    ALWAYS_MASK: tl.constexpr = False,
    BARRIER: tl.constexpr = False,
):
    tile = tl.program_id(0)
    head = tl.program_id(1).to(tl.int64)
    Q += head * q_len * stride
    K += head * kv_len * stride
    V += head * kv_len * stride
    Out += head * q_len * stride
    rows = tile * TILE_Q + tl.arange(0, TILE_Q)
    dims = tl.arange(0, D)
    q = tl.load(Q + rows[:, None] * stride + dims[None, :])
    m = tl.full([TILE_Q], -float("inf"), tl.float32)
    l = tl.full([TILE_Q], 1.0, tl.float32)
    acc = tl.zeros([TILE_Q, D], tl.float32)
    scale = scale * 1.44269504
    diagonal = tl.multiple_of(tile * TILE_Q, TILE_Q)
    seen = diagonal if CAUSAL else kv_len
    acc, l, m = tiles(
        acc, l, m, q, K, V, 0, seen, rows, scale, stride, ALWAYS_MASK, D, TILE_K, SPECIALISED, PRECISION, BARRIER
    )
    if CAUSAL:
        end = diagonal + TILE_Q
        acc, l, m = tiles(
            acc, l, m, q, K, V, diagonal, end, rows, scale, stride, True, D, TILE_K, SPECIALISED, PRECISION, BARRIER
        )
    acc = acc / l[:, None]
    tl.store(LSE + head * q_len + rows, m + tl.math.log2(l))
    tl.store(Out + rows[:, None] * stride + dims[None, :], acc.to(Out.dtype.element_ty))
