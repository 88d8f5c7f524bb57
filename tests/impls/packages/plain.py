"""Attention as the packages define it, in plain torch, for stand-ins that have their signatures."""

import torch


def attend(q, k, v, *, scale, causal=False, window=(-1, -1), softcap=0.0, slopes=None, sink=None):
    """One row: q ``[M, Hq, D]``, k, v ``[N, Hkv, D]``; masks are aligned bottom-right, None or -1 is no bound."""
    (m, heads, _), n = q.shape, k.shape[0]
    k, v = (x.repeat_interleave(heads // x.shape[1], dim=1).float() for x in (k, v))
    scores = torch.einsum("mhd,nhd->hmn", q.float(), k) * (q.shape[-1] ** -0.5 if scale is None else scale)
    if softcap:
        scores = softcap * torch.tanh(scores / softcap)
    gap = torch.arange(m)[:, None] + n - m - torch.arange(n)[None]
    if slopes is not None:
        scores = scores - slopes[:, None, None] * gap.abs()
    left, right = (None if side in (None, -1) else side for side in window)
    hidden = torch.zeros(m, n, dtype=torch.bool)
    if causal:
        hidden |= gap < 0
    if left is not None:
        hidden |= gap > left
    if right is not None:
        hidden |= gap < -right
    scores = scores.masked_fill(hidden, -torch.inf)
    if sink is not None:
        scores = torch.cat([scores, sink.float()[:, None, None].expand(heads, m, 1)], dim=-1)
    weights = torch.softmax(scores, dim=-1)[..., :n].masked_fill(hidden, 0.0)
    return torch.einsum("hmn,nhd->mhd", weights, v).to(q.dtype)


def rows(q, k, v, **rest):
    """A batch ``[B, N, H, D]``; `slopes` may be ``[B, Hq]``."""
    slopes = rest.pop("slopes", None)
    each = [None] * len(q) if slopes is None else slopes
    return torch.stack([attend(*one, slopes=s, **rest) for *one, s in zip(q, k, v, each, strict=True)])


def packed(q, k, v, starts_q, starts_k, **rest):
    """Documents of tokens ``[tokens, H, D]`` that begin at `starts_q` and `starts_k`."""
    bounds = zip(starts_q[:-1], starts_q[1:], starts_k[:-1], starts_k[1:], strict=True)
    return torch.cat([attend(q[a:b], k[c:d], v[c:d], **rest) for a, b, c, d in bounds])


def cached(q, k, v, lengths, table, **rest):
    """Rows over caches ``[B, capacity, Hkv, D]``, or over pages ``[pages, page, Hkv, D]`` with a `table`."""
    slopes = rest.pop("slopes", None)
    found = []
    for b in range(len(q)):
        keys, values = (x[b] if table is None else x[table[b].long()].flatten(0, 1) for x in (k, v))
        one = None if slopes is None else slopes[b]
        found.append(attend(q[b], keys[: lengths[b]], values[: lengths[b]], slopes=one, **rest))
    return torch.stack(found)
