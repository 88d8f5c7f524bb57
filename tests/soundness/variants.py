"""Honest ways to compute attention that differ in rounding and in the order of sums; none may be called wrong.

Each core takes q ``[B, Hq, M, D]``, k and v with repeated heads, what is seen,
a bias to add (or None), and gives the output and the LSE (or None). A row that
sees no key gives 0. All are differentiable.
"""

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from attnbench.impls.contract import EVERYTHING, Call, Case, Implementation, Inputs, Outputs
from attnbench.impls.contract.tensors import dense_kv, repeat_heads, score_bias, visible

LOG2E = math.log2(math.e)

Core = Callable[..., tuple[Tensor, Tensor | None]]


def mm(a: Tensor, b: Tensor) -> Tensor:
    """Product accumulated in float32, not rounded."""
    return a.float() @ b.float()


def capped(s: Tensor, case: Case, bias: Tensor | None) -> Tensor:
    if case.softcap is not None:
        s = case.softcap * torch.tanh(s / case.softcap)
    return s if bias is None else s + bias.to(s.dtype)


def finish(acc: Tensor, m: Tensor, l: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Normalise; an empty row, whose sum is 0, gives 0 and -inf."""
    out = torch.where(l > 0, acc / l.clamp(min=1e-30), 0.0).to(dtype)
    lse = torch.where(l > 0, m + l.clamp(min=1e-30).log(), -torch.inf)
    return out, lse.squeeze(-1)


def tiled(q, k, v, seen, bias, case, sinks, *, tile, exp2=False, round_p=True, backwards=False, reduced=None):
    """Online softmax over tiles of `tile` keys, in float32."""
    dtype, step = q.dtype, tile
    m = torch.full((*q.shape[:3], 1), -torch.inf)
    l = torch.zeros_like(m)
    if sinks is not None:
        m, l = sinks.float()[None, :, None, None].expand(m.shape), torch.ones_like(m)
    acc = torch.zeros(*q.shape[:3], v.shape[-1])
    exp = (lambda x: torch.exp2(x * LOG2E)) if exp2 else torch.exp
    starts = list(range(0, k.shape[2], step))
    for start in reversed(starts) if backwards else starts:
        here = slice(start, start + step)
        s = product_by_parts(q, k[:, :, here], reduced) if reduced else mm(q, k[:, :, here].transpose(-1, -2))
        s = capped(s * case.score_scale, case, None if bias is None else bias[..., here].float())
        s = s.masked_fill(~seen[..., here], -torch.inf)
        new = torch.maximum(m, s.amax(-1, keepdim=True)).detach()
        safe = new.masked_fill(new == -torch.inf, 0.0)
        p, shrink = exp(s - safe), exp(m - safe)
        l = l * shrink + p.sum(-1, keepdim=True)
        p = p.to(dtype) if round_p else p
        acc = acc * shrink + mm(p, v[:, :, here])
        m = new
    return finish(acc, m, l, dtype)


def product_by_parts(q: Tensor, k: Tensor, width: int) -> Tensor:
    """q.k summed over parts of head_dim, from the last to the first."""
    total = torch.zeros(*q.shape[:3], k.shape[2])
    for start in reversed(range(0, q.shape[-1], width)):
        total = total + mm(q[..., start : start + width], k[..., start : start + width].transpose(-1, -2))
    return total


def split_kv(q, k, v, seen, bias, case, sinks, *, parts):
    """Parts of the keys each on their own, partial outputs rounded to the dtype, merged by LSE (flash-decoding)."""
    outs, lses = [], []
    for number, columns in enumerate(torch.arange(k.shape[2]).tensor_split(parts)):
        if len(columns):
            here = slice(int(columns[0]), int(columns[-1]) + 1)
            own = None if bias is None else bias[..., here]
            sink = sinks if number == 0 else None
            part = tiled(q, k[:, :, here], v[:, :, here], seen[..., here], own, case, sink, tile=64)
            outs.append(part[0].float())
            lses.append(part[1])
    lse = torch.logsumexp(torch.stack(lses), dim=0)
    shares = torch.exp(torch.stack(lses) - lse.masked_fill(lse == -torch.inf, 0.0))
    return (torch.stack(outs) * shares.unsqueeze(-1)).sum(0).to(q.dtype), lse


def all_low(q, k, v, seen, bias, case, sinks, *, prescaled="", late=False):
    """Every step rounded to the input dtype; the scale on the scores, on q, or half on q and half on k."""
    low, scale = q.dtype, case.score_scale
    if prescaled == "q":
        s = mm(q * scale, k.transpose(-1, -2)).to(low)
    elif prescaled == "both":
        s = mm(q * scale**0.5, (k * scale**0.5).transpose(-1, -2)).to(low)
    else:
        s = mm(q, k.transpose(-1, -2)).to(low) * scale
    s = capped(s, case, bias).masked_fill(~seen, -torch.inf)
    if sinks is not None:
        s = torch.cat([s, sinks.to(low)[None, :, None, None].expand(*s.shape[:3], 1)], dim=-1)
    m = s.amax(-1, keepdim=True).detach()
    p = torch.exp(s - m.masked_fill(m == -torch.inf, 0.0))
    l = p.sum(-1, keepdim=True)
    p, l = p[..., : k.shape[2]], l.masked_fill(l == 0, 1.0)
    if late:
        return (mm(p, v).to(low) / l).to(low), None
    return mm(p / l, v).to(low), None


def exact(q, k, v, seen, bias, case, sinks):
    """Float64, rounded once."""
    s = capped(q.double() @ k.double().transpose(-1, -2) * case.score_scale, case, bias)
    s = s.masked_fill(~seen, -torch.inf)
    if sinks is not None:
        s = torch.cat([s, sinks.double()[None, :, None, None].expand(*s.shape[:3], 1)], dim=-1)
    lse = torch.logsumexp(s, dim=-1)
    p = torch.exp(s - lse.masked_fill(lse == -torch.inf, 0.0).unsqueeze(-1))[..., : k.shape[2]]
    return (p @ v.double()).to(q.dtype), lse.float()


def one_by_one(q, k, v, seen, bias, case, sinks):
    """Every sum taken one term after the other in float32, as a plain loop in C does."""
    products = (q.float().unsqueeze(3) * k.float().unsqueeze(2)).cumsum(-1)[..., -1]
    s = capped(products * case.score_scale, case, None if bias is None else bias.float())
    s = s.masked_fill(~seen, -torch.inf)
    m = s.amax(-1, keepdim=True)
    if sinks is not None:
        m = torch.maximum(m, sinks.float()[None, :, None, None])
    m = m.masked_fill(m == -torch.inf, 0.0).detach()
    p = torch.exp(s - m)
    l = p.cumsum(-1)[..., -1:]
    if sinks is not None:
        l = l + torch.exp(sinks.float()[None, :, None, None] - m)
    acc = (p.unsqueeze(-1) * v.float().unsqueeze(2)).cumsum(3)[:, :, :, -1]
    return finish(acc, m, l, q.dtype)


class Written(torch.autograd.Function):
    """FlashAttention's backward: weights from the LSE, delta from the rounded output, dS rounded."""

    @staticmethod
    def forward(ctx, q, k, v, seen, bias, case, sinks, tile):
        out, lse = tiled(q, k, v, seen, bias, case, sinks, tile=tile)
        ctx.save_for_backward(q, k, v, seen, out, lse)
        ctx.bias, ctx.case, ctx.tile = bias, case, tile
        ctx.mark_non_differentiable(lse)
        return out, lse

    @staticmethod
    def backward(ctx, dout, _):
        q, k, v, seen, out, lse = ctx.saved_tensors
        case, low = ctx.case, q.dtype
        delta = (dout.float() * out.float()).sum(-1, keepdim=True)
        dq, dks, dvs = torch.zeros(q.shape), [], []
        lse = lse.masked_fill(lse == -torch.inf, 0.0).unsqueeze(-1)
        for start in range(0, k.shape[2], ctx.tile):
            here = slice(start, start + ctx.tile)
            raw = mm(q, k[:, :, here].transpose(-1, -2)) * case.score_scale
            bias = None if ctx.bias is None else ctx.bias[..., here].float()
            p = torch.exp(capped(raw, case, bias) - lse).masked_fill(~seen[..., here], 0.0)
            ds = p * (mm(dout, v[:, :, here].transpose(-1, -2)) - delta)
            if case.softcap is not None:
                ds = ds * (1 - torch.tanh(raw / case.softcap) ** 2)
            ds = ds.to(low)
            dq += mm(ds, k[:, :, here]) * case.score_scale
            dks.append(mm(ds.transpose(-1, -2), q) * case.score_scale)
            dvs.append(mm(p.to(low).transpose(-1, -2), dout))
        dk, dv = torch.cat(dks, dim=2), torch.cat(dvs, dim=2)
        return dq.to(low), dk.to(low), dv.to(low), None, None, None, None, None


def written(q, k, v, seen, bias, case, sinks, *, tile):
    return Written.apply(q, k, v, seen, bias, case, sinks, tile)


CORES: dict[str, Core] = {
    "tiles of 17": partial(tiled, tile=17),
    "tiles of 64": partial(tiled, tile=64),
    "tiles of 33, exp2": partial(tiled, tile=33, exp2=True),
    "tiles of 5, last first": partial(tiled, tile=5, backwards=True),
    "tiles of 32, P in float32": partial(tiled, tile=32, round_p=False),
    "head_dim in parts": partial(tiled, tile=48, reduced=8),
    "split in 3": partial(split_kv, parts=3),
    "split in 7": partial(split_kv, parts=7),
    "input dtype": all_low,
    "input dtype, scaled q": partial(all_low, prescaled="q"),
    "input dtype, scaled q and k": partial(all_low, prescaled="both"),
    "input dtype, divided late": partial(all_low, late=True),
    "float64": exact,
    "one by one": one_by_one,
    "written backward, 16": partial(written, tile=16),
    "written backward, 64": partial(written, tile=64),
}


def variant(name: str, core: Core) -> Implementation:
    """`core` as an implementation that can do every case."""

    def prepare(inputs: Inputs) -> Call:
        case = inputs.case
        seen, bias = visible(case, inputs.q.device), score_bias(inputs)

        def call() -> Outputs:
            # Where no data is, there may be NaN: an honest kernel never reads it.
            k, v = (repeat_heads(torch.nan_to_num(x), case.groups) for x in dense_kv(inputs))
            return Outputs(*core(inputs.q, k, v, seen, bias, case, inputs.sinks))

        return call

    return Implementation(name=name, summary=(core.__doc__ or name).strip(), prepare=prepare, features=EVERYTHING)


VARIANTS: dict[str, Implementation] = {name: variant(name, core) for name, core in CORES.items()}

CASES: tuple[str, ...] = (
    "b1-h1-s1-d8-full-fp32",
    "b1-h1-s1-d8-causal-bf16-bwd",
    "b1-h2-q1-k2-d8-full-bf16",
    "b1-h4-kv2-s64-d32-causal-fp32",
    "b1-h4-kv2-s64-d32-causal-bf16",
    "b1-h4-kv2-s64-d32-causal-bf16-bwd",
    "b1-h4-kv2-s64-d32-causal-fp32-bwd",
    "b1-h2-s48-d16-causal-fp16-bwd",
    "b2-h4-kv1-q3-k97-d40-causal-bf16",
    "b1-h2-q70-k33-d32-causal-fp32-bwd",
    "b1-h8-kv2-q1-k300-d64-causal-bf16",
    "b1-h2-s80-d16-full-bf16-bwd",
    "b1-h2-s90-d16-dv24-window:15:3-bf16",
    "b1-h2-s90-d24-window:31:0-fp32-bwd",
    "b1-h2-s70-d16-prefix:20-bf16",
    "b1-h2-s96-d16-blocks:16:1:1:0:causal-bf16-bwd",
    "b2-h2-s64-d32-causal-padded:64/37-bf16",
    "b3-h2-s40-d16-full-padded:40/13/0-fp32-bwd",
    "b1-h2-s90-d16-causal-packed:33/1/56-bf16-bwd",
    "b2-h4-kv2-q5-k70-d32-causal-cache:128:70/40-bf16",
    "b2-h4-kv2-q1-k70-d32-full-paged:16:70/40-fp16",
    "b1-h4-s50-d16-causal-scale0.3-cap8-bf16-bwd",
    "b1-h4-s60-d16-causal-alibi-bf16-bwd",
    "b1-h2-s60-d16-full-additive-fp32-bwd",
    "b1-h4-kv2-s60-d16-causal-sinks-bf16-bwd",
    "b2-h3-s65-d64-full-bf16-bmhd",
    "b1-h4-kv2-q2-k97-d32-blocks:8:1:1:0:causal-bf16-bwd",
    "b2-h8-kv2-q65-k33-d64-window:20:0-paged:8:33/15-sinks-fp32",
)
