"""Two passes over tiles of 24 keys: first the LSE by logaddexp, then weights that need no rescaling; honest.

Its backward recomputes the weights from the LSE and takes delta as the sum of P times dP.
"""

from types import SimpleNamespace

import torch

TILE = 24


def attention(
    q, k, v, *, causal=False, scale=None, window=(-1, -1), mask=None, softcap=None, bias=None, alibi_slopes=None,
    sinks=None, key_lengths=None, cache_lengths=None, block_table=None, cu_seqlens_q=None, cu_seqlens_k=None,
):  # fmt: skip
    """Two passes; the second from the last tile to the first."""
    if block_table is not None:
        flat = block_table.long().reshape(-1)
        k, v = (
            x[flat].reshape(*block_table.shape, *x.shape[1:]).permute(0, 2, 1, 3, 4).flatten(2, 3) for x in (k, v)
        )
    if cache_lengths is not None:
        longest = max(int(cache_lengths.max()), 1)
        k, v = k[:, :, :longest], v[:, :, :longest]
    m, n = q.shape[2], k.shape[2]
    seen, position = visible(m, n, key_lengths, cache_lengths, cu_seqlens_q, cu_seqlens_k)
    j = torch.arange(n)
    if causal:
        window = (-1, 0)
    if window[0] >= 0:
        seen = seen & (position - j <= window[0])
    if window[1] >= 0:
        seen = seen & (j - position <= window[1])
    seen = seen if mask is None else seen & mask
    f = SimpleNamespace(
        seen=seen, scale=q.shape[-1] ** -0.5 if scale is None else scale, cap=softcap, bias=bias, sinks=sinks,
        distance=None if alibi_slopes is None else -alibi_slopes[:, None, None] * (position - j).abs().float(),
        ratio=q.shape[1] // k.shape[1],
    )  # fmt: skip
    return TwoPass.apply(q, k, v, f)


def visible(m, n, key_lengths, cache_lengths, starts_q, starts_k):
    """Keys of a query's row or document ``[B or 1, 1, M, N]``, and positions ``[B or 1, 1, M, 1]``."""
    i, j = torch.arange(m).view(1, 1, m, 1), torch.arange(n).view(1, 1, 1, n)
    if starts_q is not None:
        inside_q = (i[..., None] >= starts_q[:-1]) & (i[..., None] < starts_q[1:])  # [1, 1, M, 1, documents]
        inside_k = (j[..., None] >= starts_k[:-1]) & (j[..., None] < starts_k[1:])
        shift = (starts_k[1:] - starts_q[1:]) * inside_q
        return (inside_q & inside_k).any(-1), i + shift.sum(-1)
    if cache_lengths is not None:
        fill = cache_lengths.view(-1, 1, 1, 1)
        return (j < fill) & (i >= 0), i + fill - m
    if key_lengths is not None:
        return (j < key_lengths.view(-1, 1, 1, 1)) & (i >= 0), i + n - m
    return (j >= 0) & (i >= 0), i + n - m


def parts(n):
    return [slice(start, start + TILE) for start in range(0, n, TILE)]


def load(x, f, here):
    """A tile for every query head in float32, 0 where nobody looks."""
    x = torch.where(f.seen[..., here].any(2)[..., None], x[:, :, here], torch.zeros((), dtype=x.dtype))
    return x.float().repeat_interleave(f.ratio, dim=1)


def scores(q, k, f, here):
    """Scores of a tile, -inf where hidden, and the softcap's derivative."""
    s, slope = f.scale * (q.float() @ load(k, f, here).mT), 1.0
    if f.cap is not None:
        t = torch.tanh(s / f.cap)
        s, slope = f.cap * t, 1 - t.square()
    s = s if f.bias is None else s + f.bias[..., here].float()
    s = s if f.distance is None else s + f.distance[..., here]
    return torch.where(f.seen[..., here], s, -torch.inf), slope


def weights(s, lse):
    return torch.exp(s - torch.where(lse == -torch.inf, 0.0, lse)[..., None])


class TwoPass(torch.autograd.Function):
    """LSE first, then everything else."""

    @staticmethod
    def forward(ctx, q, k, v, f):
        lse = torch.full(q.shape[:3], -torch.inf)
        if f.sinks is not None:
            lse = f.sinks[None, :, None].expand_as(lse)
        for here in parts(k.shape[2]):
            lse = torch.logaddexp(lse, torch.logsumexp(scores(q, k, f, here)[0], dim=-1))
        acc = torch.zeros(*q.shape[:3], v.shape[-1], dtype=torch.float32)
        for here in reversed(parts(k.shape[2])):
            p = weights(scores(q, k, f, here)[0], lse)
            acc += p.to(q.dtype).float() @ load(v, f, here)
        out = acc.to(q.dtype)
        ctx.save_for_backward(q, k, v, lse)
        ctx.f = f
        ctx.mark_non_differentiable(lse)
        return out, lse

    @staticmethod
    def backward(ctx, dout, _):
        q, k, v, lse = ctx.saved_tensors
        f, dout, low = ctx.f, dout.float(), q.dtype
        delta = torch.zeros(*q.shape[:3], 1, dtype=torch.float32)
        for here in parts(k.shape[2]):
            delta += (weights(scores(q, k, f, here)[0], lse) * (dout @ load(v, f, here).mT)).sum(-1, keepdim=True)
        dq, dks, dvs = torch.zeros(q.shape, dtype=torch.float32), [], []
        for here in parts(k.shape[2]):
            s, slope = scores(q, k, f, here)
            p = weights(s, lse)
            ds = (p * (dout @ load(v, f, here).mT - delta) * slope).to(low).float() * f.scale
            dq += ds @ load(k, f, here)
            dks.append(ds.mT @ q.float())
            dvs.append(p.to(low).float().mT @ dout)
        dk, dv = (torch.cat(x, dim=2).unflatten(1, (-1, f.ratio)).sum(2).to(low) for x in (dks, dvs))
        return dq.to(low), dk, dv, None
