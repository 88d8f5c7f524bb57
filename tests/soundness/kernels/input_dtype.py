"""Every intermediate in the input dtype, products accumulated in float32, softmax by torch; honest.

As an eager model computes attention under bfloat16: a boolean mask over whole score matrices.
"""

import torch


def attention(
    q, k, v, *, causal=False, scale=None, window=(-1, -1), mask=None, softcap=None, bias=None, alibi_slopes=None,
    sinks=None, key_lengths=None, cache_lengths=None, block_table=None, cu_seqlens_q=None, cu_seqlens_k=None,
):  # fmt: skip
    """Eager attention in the input dtype."""
    low, (batch, heads, m, d) = q.dtype, q.shape
    if block_table is not None:
        k, v = (torch.cat([x[pages.long()] for pages in block_table.T], dim=2) for x in (k, v))
    n = k.shape[2] if cache_lengths is None else int(cache_lengths.max())
    k, v = k[:, :, :n], v[:, :, :n]
    allowed, position = rule(batch, m, n, key_lengths, cache_lengths, cu_seqlens_q, cu_seqlens_k)
    j = torch.arange(n)
    if causal:
        allowed = allowed.logical_and(j.le(position))
    if window[0] >= 0:
        allowed = allowed.logical_and(j.ge(position - window[0]))
    if window[1] >= 0:
        allowed = allowed.logical_and(j.le(position + window[1]))
    if mask is not None:
        allowed = allowed.logical_and(mask)
    used = allowed.any(dim=2)[..., None]  # [B, 1, N, 1]
    k, v = (torch.where(used, x, torch.zeros_like(x)) for x in (k, v))
    k, v = (x[:, :, None].expand(-1, -1, heads // x.shape[1], -1, -1).flatten(1, 2) for x in (k, v))
    s = product(q, k.mT) * (d**-0.5 if scale is None else scale)
    if softcap is not None:
        s = torch.tanh(s / softcap) * softcap
    if bias is not None:
        s = s + bias
    if alibi_slopes is not None:
        s = s - (alibi_slopes[:, None, None] * (j - position).abs()).to(low)
    s = s.masked_fill(allowed.logical_not(), -torch.inf)
    if sinks is not None:
        s = torch.cat([sinks.to(low)[None, :, None, None].expand(batch, -1, m, 1), s], dim=-1)
    lse = torch.logsumexp(s.float(), dim=-1)
    p = torch.softmax(s.float(), dim=-1).to(low)[..., s.shape[-1] - n :]
    return product(torch.where(allowed, p, torch.zeros((), dtype=low)), v), lse


def product(a, b):
    """A matrix product accumulated in float32 and rounded to the dtype."""
    return (a.float() @ b.float()).to(a.dtype)


def rule(batch, m, n, key_lengths, cache_lengths, starts_q, starts_k):
    """Keys of a query's row or document ``[B or 1, 1, M, N]``, and positions ``[B or 1, 1, M, 1]``."""
    if starts_q is not None:
        allowed, position = torch.zeros(1, 1, m, n, dtype=torch.bool), torch.zeros(1, 1, m, 1, dtype=torch.long)
        for qa, qb, ka, kb in zip(
            *(x.tolist() for x in (starts_q[:-1], starts_q[1:], starts_k[:-1], starts_k[1:])), strict=True
        ):
            allowed[:, :, qa:qb, ka:kb] = True
            position[:, :, qa:qb, 0] = torch.arange(qa, qb) - qb + kb
        return allowed, position
    i, lengths = torch.arange(m)[:, None], key_lengths if cache_lengths is None else cache_lengths
    if lengths is None:
        return torch.ones(1, 1, m, n, dtype=torch.bool), i + n - m
    lengths = lengths.long()[:, None, None, None]
    allowed = (torch.arange(n) < lengths).expand(batch, 1, m, n)
    return allowed, i + (n if cache_lengths is None else lengths) - m
