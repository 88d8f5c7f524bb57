"""One query at a time over the keys that it sees, gathered, from the last to the first; honest."""

import torch


def attention(
    q, k, v, *, causal=False, scale=None, window=(-1, -1), mask=None, softcap=None, bias=None, alibi_slopes=None,
    sinks=None, key_lengths=None, cache_lengths=None, block_table=None, cu_seqlens_q=None, cu_seqlens_k=None,
):  # fmt: skip
    """A loop over batch rows and queries; heads are computed together."""
    m, scale = q.shape[2], q.shape[-1] ** -0.5 if scale is None else scale
    outs, lses = [], []
    for b in range(q.shape[0]):
        kb, vb = row_of(k, block_table, b), row_of(v, block_table, b)
        for i in range(m):
            n = kb.shape[1]
            low, high, position = 0, n, i + n - m
            if key_lengths is not None:
                high = int(key_lengths[b])
            if cache_lengths is not None:
                high = int(cache_lengths[b])
                position = i + high - m
            if cu_seqlens_q is not None:
                document = int((cu_seqlens_q[1:] <= i).sum())
                low, high = int(cu_seqlens_k[document]), int(cu_seqlens_k[document + 1])
                position = i - int(cu_seqlens_q[document + 1]) + high
            if window[0] >= 0:
                low = max(low, position - window[0])
            if causal or window[1] >= 0:
                high = min(high, position + 1 + (0 if causal else window[1]))
            keys = torch.arange(low, max(low, high)).flip(0)
            if mask is not None:
                keys = keys[mask[b if mask.shape[0] > 1 else 0, 0, i, keys]]
            own_bias = None if bias is None else bias[b, :, i, keys]
            slopes = None if alibi_slopes is None else alibi_slopes[:, None] * (position - keys).abs()
            out, lse = one(q[b, :, i], kb[:, keys], vb[:, keys], scale, softcap, own_bias, slopes, sinks)
            outs.append(out)
            lses.append(lse)
    out = torch.stack(outs).unflatten(0, (-1, m)).transpose(1, 2)
    return out.contiguous(), torch.stack(lses).unflatten(0, (-1, m)).transpose(1, 2).contiguous()


def row_of(x, table, b):
    """Keys or values of a batch row: ``[Hkv, N, D]``."""
    return x[b] if table is None else x[table[b].long()].transpose(0, 1).flatten(1, 2)


def one(q, k, v, scale, softcap, bias, distances, sinks):
    """One query of every head ``[Hq, D]``: output ``[Hq, Dv]`` and LSE ``[Hq]``."""
    grouped = q.float().unflatten(0, (k.shape[0], -1))
    s = torch.einsum("hgd,hnd->hgn", grouped * scale, k.float()).flatten(0, 1)
    if softcap is not None:
        s = softcap * torch.tanh(s / softcap)
    if bias is not None:
        s = s + bias.float()
    if distances is not None:
        s = s - distances
    logits = s if sinks is None else torch.cat([s, sinks[:, None]], dim=1)
    if not logits.shape[1]:
        return (q[:, :1] * 0.0).expand(-1, v.shape[-1]), q.new_full((q.shape[0],), -torch.inf, dtype=torch.float32)
    lse = torch.logsumexp(logits, dim=1)
    p = torch.exp(s - lse[:, None]).unflatten(0, (k.shape[0], -1))
    return torch.einsum("hgn,hnd->hgd", p, v.float()).flatten(0, 1).to(q.dtype), lse
