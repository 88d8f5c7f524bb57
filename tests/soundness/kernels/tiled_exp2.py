"""Tiles of 48 queries and 40 keys, exp2 with log2(e) folded into the scale, a backward in two loops; honest."""

import math
from types import SimpleNamespace

import torch

ROWS, COLUMNS = 48, 40
LOG2E = math.log2(math.e)


def attention(
    q, k, v, *, causal=False, scale=None, window=(-1, -1), mask=None, softcap=None, bias=None, alibi_slopes=None,
    sinks=None, key_lengths=None, cache_lengths=None, block_table=None, cu_seqlens_q=None, cu_seqlens_k=None,
):  # fmt: skip
    """Online softmax as a Triton kernel writes it: one program a query tile, scores in base 2."""
    if block_table is not None:
        k, v = (gathered(x, block_table) for x in (k, v))
    f = SimpleNamespace(
        causal=causal, scale=q.shape[-1] ** -0.5 if scale is None else scale, window=window, mask=mask,
        softcap=softcap, bias=bias, slopes=alibi_slopes, sinks=sinks, padded=key_lengths, filled=cache_lengths,
        starts_q=cu_seqlens_q, starts_k=cu_seqlens_k, shape=(q.shape[0], q.shape[2], k.shape[2]),
    )  # fmt: skip
    return Tiled.apply(q, k, v, f)


def gathered(pool, table):
    pages = [pool[number] for number in table.flatten().tolist()]  # [Hkv, page, D] each
    per_row = table.shape[1]
    rows = [torch.cat(pages[i : i + per_row], dim=1) for i in range(0, len(pages), per_row)]
    return torch.stack(rows)


def ends_of(f):
    """For each batch row and query: position, first key and one after the last, ``[B, M]``."""
    batch, m, n = f.shape
    first, end = torch.zeros(batch, m, dtype=torch.long), torch.full((batch, m), n)
    position = torch.arange(m).expand(batch, m) + n - m
    if f.padded is not None:
        end = torch.minimum(end, f.padded.long()[:, None])
    if f.filled is not None:
        end = torch.minimum(end, f.filled.long()[:, None])
        position = torch.arange(m) + f.filled.long()[:, None] - m
    if f.starts_q is not None:
        number = torch.searchsorted(f.starts_q[1:].long(), torch.arange(m), right=True)
        first, end = f.starts_k.long()[number][None], f.starts_k.long()[number + 1][None]
        position = torch.arange(m)[None] - f.starts_q.long()[number + 1] + end
    return position, first, end


def seen_of(f, ends, i, j):
    """Which keys `j` the queries `i` see: ``[B, 1, rows, columns]``."""
    position, first, end = (x[:, i, None] for x in ends)
    seen = (j >= first) & (j < end)
    left, right = f.window
    if f.causal:
        seen &= j <= position
    if left >= 0:
        seen &= j >= position - left
    if right >= 0:
        seen &= j <= position + right
    seen = seen[:, None]
    if f.mask is not None:
        known = j < f.mask.shape[-1]
        seen = seen & f.mask[:, :, i][..., j[known]] if bool(known.all()) else seen & padded(f.mask[:, :, i], j)
    return seen


def padded(x, j):
    """Columns `j` of `x`, 0 where it has none."""
    inside = j < x.shape[-1]
    return torch.where(inside, x[..., j.clamp(max=x.shape[-1] - 1)], torch.zeros((), dtype=x.dtype))


def scores(f, ends, q, k, i, j):
    """Scores in base 2, what is seen, and the softcap's derivative."""
    slope = None
    if f.softcap is None and f.bias is None and f.slopes is None:
        s = q @ k.transpose(-1, -2) * (f.scale * LOG2E)
    else:
        s = q @ k.transpose(-1, -2) * f.scale
        if f.softcap is not None:
            bent = torch.tanh(s * (1 / f.softcap))
            s, slope = bent * f.softcap, 1 - bent * bent
        if f.bias is not None:
            s = s + padded(f.bias[:, :, i], j).float()
        if f.slopes is not None:
            s = s - f.slopes[:, None, None] * (ends[0][:, i, None] - j).abs()[:, None]
        s = s * LOG2E
    return s, seen_of(f, ends, i, j), slope


def blocks(total, size):
    return [torch.arange(start, min(start + size, total)) for start in range(0, total, size)]


def loaded(x, f, groups):
    """In float32 for each query head; what lies beyond a row's keys, or is seen by nobody, is 0."""
    j, lengths = torch.arange(x.shape[2]), f.padded if f.filled is None else f.filled
    if lengths is not None:
        x = torch.where((j < lengths[:, None])[:, None, :, None], x, torch.zeros((), dtype=x.dtype))
    elif f.mask is not None:
        x = torch.where(f.mask.any(2)[:, :, :, None], x, torch.zeros((), dtype=x.dtype))
    return x.float().repeat_interleave(groups, dim=1)


class Tiled(torch.autograd.Function):
    """Forward by query tiles, backward by key tiles for dk and dv and by query tiles for dq."""

    @staticmethod
    def forward(ctx, q, k, v, f):
        groups, ends = q.shape[1] // k.shape[1], ends_of(f)
        kf, vf = loaded(k, f, groups), loaded(v, f, groups)
        outs, lses = [], []
        for i in blocks(q.shape[2], ROWS):
            out, lse = program(f, ends, q[:, :, i].float(), kf, vf, i, q.dtype)
            outs.append(out)
            lses.append(lse)
        out, lse = torch.cat(outs, dim=2), torch.cat(lses, dim=2)
        ctx.save_for_backward(q, k, v, out, lse)
        ctx.f, ctx.ends, ctx.groups = f, ends, groups
        ctx.mark_non_differentiable(lse)
        return out, lse

    @staticmethod
    def backward(ctx, dout, _):
        q, k, v, out, lse = ctx.saved_tensors
        f, groups = ctx.f, ctx.groups
        kf, vf, qf, dout = loaded(k, f, groups), loaded(v, f, groups), q.float(), dout.float()
        delta = (dout * out.float()).sum(-1, keepdim=True)
        lse2 = (lse * LOG2E)[..., None]
        dq = torch.zeros_like(qf)
        dk, dv = torch.zeros_like(kf), torch.zeros_like(vf)
        for j in blocks(k.shape[2], COLUMNS):
            for i in blocks(q.shape[2], ROWS):
                s, seen, slope = scores(f, ctx.ends, qf[:, :, i], kf[:, :, j], i, j)
                p = torch.where(seen, torch.exp2(s - torch.where(lse2[:, :, i].isinf(), 0.0, lse2[:, :, i])), 0.0)
                ds = p * (dout[:, :, i] @ vf[:, :, j].transpose(-1, -2) - delta[:, :, i])
                ds = (ds if slope is None else ds * slope).to(q.dtype).float()
                dq[:, :, i] += ds @ kf[:, :, j]
                dk[:, :, j] += ds.transpose(-1, -2) @ qf[:, :, i]
                dv[:, :, j] += p.to(q.dtype).float().transpose(-1, -2) @ dout[:, :, i]
        dk, dv = (x.unflatten(1, (-1, groups)).sum(2) for x in (dk * f.scale, dv))
        return (dq * f.scale).to(q.dtype), dk.to(q.dtype), dv.to(q.dtype), None


def program(f, ends, q, k, v, i, dtype):
    """One query tile."""
    m_i = torch.full((*q.shape[:3], 1), -torch.inf)
    l_i, acc = torch.zeros_like(m_i), torch.zeros(*q.shape[:3], v.shape[-1], dtype=torch.float32)
    if f.sinks is not None:
        m_i, l_i = (f.sinks * LOG2E)[None, :, None, None].expand_as(m_i), torch.ones_like(m_i)
    for j in blocks(k.shape[2], COLUMNS):
        s, seen, _ = scores(f, ends, q, k[:, :, j], i, j)
        if not bool(seen.any()):
            continue
        s = torch.where(seen, s, -torch.inf)
        m_ij = torch.maximum(m_i, s.amax(-1, keepdim=True))
        at = torch.where(m_ij.isinf(), 0.0, m_ij)
        p, alpha = torch.exp2(s - at), torch.exp2(m_i - at)
        l_i, m_i = l_i * alpha + p.sum(-1, keepdim=True), m_ij
        acc = acc * alpha + p.to(dtype).float() @ v[:, :, j]
    out = torch.where(l_i > 0, acc / l_i, 0.0).to(dtype)
    return out, torch.where(l_i > 0, (m_i + l_i.log2()) / LOG2E, -torch.inf).squeeze(-1)
