"""As plain_flash, with the scores of the next tile issued before the softmax of this one (full attention only)."""

import triton
import triton.language as tl


@triton.jit
def update(acc, l, m, s, V, start, columns, dims, scale, stride):
    new = tl.maximum(m, tl.max(s, 1) * scale)
    p = tl.math.exp2(s * scale - new[:, None])
    alpha = tl.math.exp2(m - new)
    l = l * alpha + tl.sum(p, 1)
    acc = acc * alpha[:, None]
    v = tl.load(V + (start + columns)[:, None] * stride + dims[None, :])
    return tl.dot(p.to(v.dtype), v, acc), l, new


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
    D: tl.constexpr,
    TILE_Q: tl.constexpr,
    TILE_K: tl.constexpr,
    CAUSAL: tl.constexpr = False,
):
    tl.static_assert(not CAUSAL)
    tile = tl.program_id(0)
    head = tl.program_id(1).to(tl.int64)
    Q += head * q_len * stride
    K += head * kv_len * stride
    V += head * kv_len * stride
    Out += head * q_len * stride
    rows = tile * TILE_Q + tl.arange(0, TILE_Q)
    dims = tl.arange(0, D)
    columns = tl.arange(0, TILE_K)
    q = tl.load(Q + rows[:, None] * stride + dims[None, :])
    m = tl.full([TILE_Q], -float("inf"), tl.float32)
    l = tl.full([TILE_Q], 1.0, tl.float32)
    acc = tl.zeros([TILE_Q, D], tl.float32)
    scale = scale * 1.44269504
    s = tl.dot(q, tl.load(K + columns[None, :] * stride + dims[:, None]))
    for at in tl.range(0, kv_len - TILE_K, TILE_K):
        start = tl.multiple_of(at, TILE_K)
        ahead = tl.dot(q, tl.load(K + (start + TILE_K + columns)[None, :] * stride + dims[:, None]))
        acc, l, m = update(acc, l, m, s, V, start, columns, dims, scale, stride)
        s = ahead
    acc, l, m = update(acc, l, m, s, V, kv_len - TILE_K, columns, dims, scale, stride)
    tl.store(LSE + head * q_len + rows, m + tl.math.log2(l))
    tl.store(Out + rows[:, None] * stride + dims[None, :], (acc / l[:, None]).to(Out.dtype.element_ty))
