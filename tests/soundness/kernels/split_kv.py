"""Three parts of the keys each on their own, and the sink as a fourth, merged by their LSE (flash-decoding); honest.

Query heads of a group are folded into the queries of their key/value head.
"""

import torch

PARTS = 3


def attention(
    q, k, v, *, causal=False, scale=None, window=(-1, -1), mask=None, softcap=None, bias=None, alibi_slopes=None,
    sinks=None, key_lengths=None, cache_lengths=None, block_table=None, cu_seqlens_q=None, cu_seqlens_k=None,
):  # fmt: skip
    """Split KV: partial outputs in the input dtype."""
    if block_table is not None:
        k, v = (x.index_select(0, block_table.flatten().long()) for x in (k, v))
        k, v = (
            x.unflatten(0, block_table.shape).transpose(1, 2).flatten(2, 3) for x in (k, v)
        )  # [B, Hkv, pages * page, D]
    batch, heads, m, d = q.shape
    n, kv_heads = k.shape[2], k.shape[1]
    position, seen = geometry(batch, m, n, key_lengths, cache_lengths, cu_seqlens_q, cu_seqlens_k)
    seen = seen & in_window(position, n, causal, window)
    if mask is not None:
        seen = seen & widened(mask[:, 0], n, value=False)
    k, v = (torch.where(seen.any(1)[:, None, :, None], x, torch.zeros((), dtype=x.dtype)) for x in (k, v))
    s = q.unflatten(1, (kv_heads, -1)).flatten(2, 3).float() @ k.float().transpose(-1, -2)
    s = s.unflatten(2, (-1, m)).flatten(1, 2) * (d**-0.5 if scale is None else scale)
    if softcap is not None:
        s = torch.tanh(s / softcap).mul(softcap)
    if bias is not None:
        s = s + widened(bias, n, value=0.0).float()
    if alibi_slopes is not None:
        s = torch.addcmul(
            s, alibi_slopes[None, :, None, None], -(position[:, :, None] - torch.arange(n)).abs()[:, None].float()
        )
    s = s.masked_fill(~seen[:, None], -torch.inf)
    return merged(s, v, heads // kv_heads, q.dtype, sinks)


def widened(x, n, value):
    """The last axis filled up to `n` keys."""
    return torch.nn.functional.pad(x[..., :n], (0, max(n - x.shape[-1], 0)), value=value)


def geometry(batch, m, n, key_lengths, cache_lengths, starts_q, starts_k):
    """Positions ``[B, M]``, and which keys belong to a query's row or document: ``[B, M, N]``."""
    i, j = torch.arange(m), torch.arange(n)
    if starts_q is not None:
        document_q = (i[:, None] >= starts_q[1:]).sum(1)
        document_k = (j[:, None] >= starts_k[1:]).sum(1)
        position = i - starts_q[1:][document_q] + starts_k[1:][document_q]
        return position[None], (document_q[:, None] == document_k)[None]
    if cache_lengths is not None:
        fills = cache_lengths[:, None]
        return i + fills - m, (j < fills)[:, None].expand(batch, m, n)
    position = (i + n - m).expand(batch, m)
    if key_lengths is not None:
        return position, (j < key_lengths[:, None])[:, None].expand(batch, m, n)
    return position, torch.ones(batch, m, n, dtype=torch.bool)


def in_window(position, n, causal, window):
    gap = position[:, :, None] - torch.arange(n)
    seen = gap >= 0 if causal else torch.ones_like(gap, dtype=torch.bool)
    if window[0] >= 0:
        seen = seen & (gap <= window[0])
    if window[1] >= 0:
        seen = seen & (gap >= -window[1])
    return seen


def merged(s, v, groups, dtype, sinks):
    """Each part's softmax and partial output, then the sum of these by their shares."""
    outs, lses = [], []
    for columns, values in zip(s.tensor_split(PARTS, dim=-1), v.tensor_split(PARTS, dim=2), strict=True):
        if not columns.shape[-1]:
            continue
        top = columns.amax(-1, keepdim=True).detach()
        top = torch.where(top == -torch.inf, 0.0, top)
        p = torch.exp(columns - top)
        total = p.sum(-1, keepdim=True)
        part = p.unflatten(1, (-1, groups)).flatten(2, 3).to(dtype).float() @ values.float()
        part = part.unflatten(2, (groups, -1)).flatten(1, 2) / torch.where(total > 0, total, 1.0)
        outs.append(part.to(dtype).float())
        lses.append(torch.where(total > 0, top + total.clamp(min=1e-37).log(), -torch.inf).squeeze(-1))
    if sinks is not None:
        outs.append(torch.zeros_like(outs[0]))
        lses.append(sinks[None, :, None].expand_as(lses[0]))
    top = torch.stack(lses).amax(0).detach()
    top = torch.where(top == -torch.inf, 0.0, top)
    shares = [torch.exp(lse - top) for lse in lses]
    total = torch.stack(shares).sum(0)
    out = sum(share[..., None] * part for share, part in zip(shares, outs, strict=True))
    out = out / torch.where(total > 0, total, 1.0)[..., None]
    return out.to(dtype), torch.where(total > 0, top + total.log(), -torch.inf)
