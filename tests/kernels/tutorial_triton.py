"""A forward as Triton's tutorial writes it: the device asked of the driver, a tuner, the weights in the input dtype."""

import torch
import triton
import triton.language as tl

DEVICE = triton.runtime.driver.active.get_active_torch_device()


@triton.autotune(
    [triton.Config({"TILE_Q": 32, "TILE_K": 32}), triton.Config({"TILE_Q": 64, "TILE_K": 32})], key=["D"]
)
@triton.jit
def forward(
    Q, K, V, Out, scale, q_stride, k_stride, v_stride, o_stride, q_heads, groups, q_len, kv_len,
    CAUSAL: tl.constexpr, D: tl.constexpr, TILE_Q: tl.constexpr, TILE_K: tl.constexpr,
):  # fmt: skip
    row, head = tl.program_id(1) // q_heads, tl.program_id(1) % q_heads
    offs_m = tl.program_id(0) * TILE_Q + tl.arange(0, TILE_Q)
    offs_d = tl.arange(0, D)
    kv = row * (q_heads // groups) + head // groups
    q_at = tl.program_id(1) * q_stride + offs_m[:, None] * D + offs_d[None, :]
    q = tl.load(Q + q_at, mask=offs_m[:, None] < q_len, other=0.0)
    m_i = tl.full([TILE_Q], -1e30, tl.float32)
    l_i = tl.zeros([TILE_Q], tl.float32)
    acc = tl.zeros([TILE_Q, D], tl.float32)
    for start in range(0, kv_len, TILE_K):
        offs_n = start + tl.arange(0, TILE_K)
        inside = offs_n[:, None] < kv_len
        k = tl.load(K + kv * k_stride + offs_n[:, None] * D + offs_d[None, :], mask=inside, other=0.0)
        v = tl.load(V + kv * v_stride + offs_n[:, None] * D + offs_d[None, :], mask=inside, other=0.0)
        qk = tl.dot(q, tl.trans(k), input_precision="ieee") * (scale * 1.44269504)
        seen = (offs_n < kv_len)[None, :]
        if CAUSAL:
            seen = seen & (offs_n[None, :] <= offs_m[:, None] + kv_len - q_len)
        m_new = tl.maximum(m_i, tl.max(tl.where(seen, qk, -1e30), 1))
        p = tl.where(seen, tl.exp2(qk - m_new[:, None]), 0.0)
        alpha = tl.exp2(m_i - m_new)
        l_i = l_i * alpha + tl.sum(p, 1)
        acc = acc * alpha[:, None] + tl.dot(p.to(v.dtype), v, input_precision="ieee")
        m_i = m_new
    acc = acc / tl.where(l_i > 0, l_i, 1.0)[:, None]
    tl.store(Out + q_at, acc.to(Out.dtype.element_ty), mask=offs_m[:, None] < q_len)


def attention(q, k, v, *, causal=False, scale=None):
    """Fused forward in Triton; head_dim must be a power of two."""
    batch, heads, q_len, d = q.shape
    if d & (d - 1) or d < 16 or v.shape[-1] != d:
        raise NotImplementedError("head_dim must be a power of two from 16, the same for v")
    if q.requires_grad:
        raise NotImplementedError("there is no backward")
    q, k, v = q.contiguous(), k.contiguous(), v.contiguous()
    out = torch.empty_like(q)
    forward[lambda meta: (triton.cdiv(q_len, meta["TILE_Q"]), batch * heads)](
        q, k, v, out, d**-0.5 if scale is None else scale, q.stride(1), k.stride(1), v.stride(1), out.stride(1),
        heads, heads // k.shape[1], q_len, k.shape[2], CAUSAL=causal, D=d,
    )  # fmt: skip
    return out
