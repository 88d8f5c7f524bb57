"""The low-precision twins: two plain honest ways in the case's own dtype, whose errors set the budget.

- *eager*: scores, weights and output are each rounded to the dtype, gradients by
  autograd through these roundings, as a textbook implementation does.
- *flash*: scores and softmax stay in float32, the weights are rounded for their
  product; the backward recomputes them from the LSE and takes ``delta =
  rowsum(dout * out)`` from the *rounded* output (Dao et al. 2022, appendix B.4).

Neither is more honest than the other, and each is much less accurate than the
other somewhere: eager on large scores, flash on gradients of peaked softmaxes.
One draw of rounding errors may be lucky where a few weights decide, so the flash
form also gives the *variance* that rounding the scores must be granted.
Products accumulate in float32, as on any accelerator. Operands are upcast for
them, which gives the same bits and is fast on CPUs without half-precision units.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from bench.agreement.rows import alibi_rows, visible_rows
from impls.contract import Case, Inputs
from impls.tensors import dense_kv

SCORES_AT_ONCE = 1 << 23
LOG2E = 1.4426950408889634
Low = dict[str, Tensor]
"""Results by name: `out` ``[B, Hq, R, Dv]``, `lse` ``[B, Hq, R]``, and with a gradient dq, dk and dv.

The flash form adds `out_variance` and `lse_variance`, shaped as out and lse.
"""


@dataclass(frozen=True)
class _Chunk:
    """Some rows, heads folded over their group: ``[B, Hkv, G * R, ...]``; float32 copies of what was rounded."""

    case: Case
    slots: slice
    q: Tensor
    dout: Tensor | None
    bias: Tensor | None
    sinks: Tensor | None
    hidden: Tensor
    dtype: torch.dtype

    def shaped(self, x: Tensor) -> Tensor:
        """``[B, Hkv, G * R, n]`` as ``[B, Hq, R, n]``."""
        return x.unflatten(2, (self.case.groups, -1)).flatten(1, 2)

    def folded(self, x: Tensor) -> Tensor:
        """``[B, Hq, R, n]`` as ``[B, Hkv, G * R, n]``."""
        return x.unflatten(1, (self.case.kv_heads, self.case.groups)).flatten(2, 3)


def eager(inputs: Inputs, rows: Tensor, dither: torch.Generator | None = None) -> Low:
    """The textbook form; with `dither` each score is moved within its own rounding error first."""
    return _run(inputs, rows, lambda chunk, k, v, grads: _eager(chunk, k, v, grads, dither))


def flash(inputs: Inputs, rows: Tensor) -> Low:
    """The fused form, with its backward written out."""
    return _run(inputs, rows, _flash)


def _run(inputs: Inputs, rows: Tensor, step: Callable[[_Chunk, Tensor, Tensor, list[Tensor]], Low]) -> Low:
    """`step` over a few rows at a time; dk and dv are summed in float32 and rounded once."""
    # What is hidden may be NaN on purpose, and even a weight of 0 would spread it.
    k, v = (torch.nan_to_num(x).float() for x in dense_kv(inputs))
    grads = [torch.zeros_like(x) for x in (k, v)] if inputs.dout is not None else []
    parts = [step(chunk, k, v, grads) for chunk in _chunks(inputs, rows)]
    found = {name: torch.cat([part[name] for part in parts], dim=2) for name in parts[0]}
    return found | {name: x.to(inputs.q.dtype) for name, x in zip(("dk", "dv"), grads, strict=False)}


def _chunks(inputs: Inputs, rows: Tensor) -> Iterator[_Chunk]:
    case = inputs.case
    step = max(1, SCORES_AT_ONCE // (case.batch * case.q_heads * case.kv_len))
    for start in range(0, len(rows), step):
        here = rows[start : start + step]
        bias = None if inputs.bias is None else inputs.bias[:, :, here].float()
        if inputs.alibi_slopes is not None:
            bias = alibi_rows(inputs.alibi_slopes, case, here)
        q, dout = (None if x is None else _folded(x[:, :, here].float(), case) for x in (inputs.q, inputs.dout))
        hidden = ~visible_rows(case, here)
        assert q is not None, "every case has queries"
        slots = slice(start, start + step)
        yield _Chunk(case, slots, q, dout, bias, inputs.sinks, hidden, inputs.q.dtype)


def _folded(x: Tensor, case: Case) -> Tensor:
    return x.unflatten(1, (case.kv_heads, case.groups)).flatten(2, 3)


def _eager(chunk: _Chunk, k: Tensor, v: Tensor, grads: list[Tensor], dither: torch.Generator | None) -> Low:
    low, case = chunk.dtype, chunk.case
    leaves = [x.detach().requires_grad_() for x in (chunk.q, k, v)] if grads else [chunk.q, k, v]
    q, k, v = leaves
    scores = chunk.shaped(q @ k.transpose(-1, -2))
    if dither is not None:
        noise = torch.rand(scores.shape, generator=dither).to(scores.device)
        scores = scores * (1 + torch.finfo(low).eps * (noise - 0.5))
    scores = scores.to(low) * case.score_scale
    if case.softcap is not None:
        scores = case.softcap * torch.tanh(scores / case.softcap)
    if chunk.bias is not None:
        scores = scores + chunk.bias.to(low)
    scores = _with_sink(scores.masked_fill(chunk.hidden, -torch.inf), chunk.sinks)
    weights = torch.softmax(scores, dim=-1)[..., : case.kv_len].masked_fill(chunk.hidden, 0.0)
    out = chunk.shaped(chunk.folded(weights.float()) @ v).to(low)
    found = {"out": out.detach(), "lse": torch.logsumexp(scores.detach().float(), dim=-1)}
    if chunk.dout is not None:
        dq, dk, dv = torch.autograd.grad(out, leaves, chunk.shaped(chunk.dout).to(low))
        grads[0] += dk
        grads[1] += dv
        found["dq"] = chunk.shaped(dq).to(low)
    return found


def _with_sink(scores: Tensor, sinks: Tensor | None) -> Tensor:
    """One more column, the sink's logit, where there are sinks."""
    if sinks is None:
        return scores
    column = sinks.to(scores.dtype)[None, :, None, None].expand(*scores.shape[:3], 1)
    return torch.cat([scores, column], dim=-1)


def _flash(chunk: _Chunk, k: Tensor, v: Tensor, grads: list[Tensor]) -> Low:
    low, case = chunk.dtype, chunk.case
    scores, slope = _scores(chunk, k)
    whole = _with_sink(scores, chunk.sinks)
    top = whole.amax(-1, keepdim=True)
    top = top.masked_fill(top == -torch.inf, 0.0)
    total = torch.exp2((whole - top) * LOG2E).sum(-1, keepdim=True)
    weights = torch.exp2((scores - top) * LOG2E)
    out = chunk.shaped(_round(chunk.folded(weights), low) @ v) / total
    out = torch.where(total > 0, out, 0.0).to(low)
    lse = top + total.log()
    found = {"out": out, "lse": lse.squeeze(-1)} | _variances(chunk, k, v, scores, weights / total, out.float())
    if chunk.dout is not None:
        dout = chunk.dout
        delta = (dout * chunk.folded(out.float())).sum(-1, keepdim=True)
        weights = torch.exp(scores - lse.masked_fill(lse == -torch.inf, 0.0)).masked_fill(chunk.hidden, 0.0)
        folded = chunk.folded(weights)
        dscores = folded * (dout @ v.transpose(-1, -2) - delta)
        if slope is not None:
            dscores = dscores * chunk.folded(slope)
        dscores = _round(dscores, low)
        grads[0] += dscores.transpose(-1, -2) @ chunk.q * case.score_scale
        grads[1] += _round(folded, low).transpose(-1, -2) @ dout
        found["dq"] = (chunk.shaped(dscores @ k) * case.score_scale).to(low)
    return found


def _variances(chunk: _Chunk, k: Tensor, v: Tensor, scores: Tensor, weights: Tensor, out: Tensor) -> Low:
    """Variance of out and LSE under rounding errors that are independent and uniform over an ulp (``1 / 12``).

    A score carries two in the dtype (the product, its scaling) and those of summing D products in float32
    one after the other, of its own size or of the products where they cancel. To first order ``d out =
    sum_j p_j (v_j - out) ds_j`` and ``d lse = sum_j p_j ds_j``. Summing N keys one after the other in
    float32 adds to each.
    """
    case, eps, single = chunk.case, torch.finfo(chunk.dtype).eps, torch.finfo(torch.float32).eps
    lengths = chunk.q.norm(dim=-1, keepdim=True) * k.norm(dim=-1).unsqueeze(-2)
    terms = chunk.shaped(lengths) * (case.score_scale / case.head_dim**0.5)
    ulp = (eps**2 / 6 + single**2 * case.head_dim / 36) ** 0.5 * torch.maximum(scores.abs(), terms)
    shares = torch.where(weights > 0, weights * ulp, 0.0).square()
    total, folded = shares.sum(-1, keepdim=True), chunk.folded(shares)
    mean, square = chunk.shaped(folded @ v), chunk.shaped(folded @ v.square())
    variance = (square - 2 * out * mean + out.square() * total).clamp(min=0.0)
    summing = single**2 / 12 * (case.kv_len * out.square() + v.square().mean() / 2)
    return {
        "out_variance": variance + torch.where(total > 0, summing, 0.0),
        "lse_variance": total.squeeze(-1) + single**2 / 12 * case.kv_len,
    }


def _scores(chunk: _Chunk, k: Tensor) -> tuple[Tensor, Tensor | None]:
    """Masked float32 scores ``[B, Hq, R, N]``, and the derivative of the softcap where there is one."""
    case, slope = chunk.case, None
    scores = chunk.shaped(chunk.q @ k.transpose(-1, -2)) * case.score_scale
    if case.softcap is not None:
        bounded = torch.tanh(scores / case.softcap)
        scores, slope = case.softcap * bounded, 1 - bounded**2
    if chunk.bias is not None:
        scores = scores + chunk.bias
    return scores.masked_fill(chunk.hidden, -torch.inf), slope


def _round(x: Tensor, low: torch.dtype) -> Tensor:
    """`x` rounded to the dtype, as float32."""
    return x.to(low).float()
