"""The low-precision references: attention computed plainly in the case's own dtype, in two forms.

Their errors against the float64 reference set the budget.

- *eager*: scores, weights and output are each rounded to the dtype, gradients by
  autograd through these roundings, as a textbook implementation does.
- *flash*: scores and softmax stay in float32, the weights are rounded for their
  product; the backward recomputes them from the LSE and takes ``delta =
  rowsum(dout * out)`` from the *rounded* output (Dao et al. 2022, appendix B.4).

Both are legitimate, and each is much less accurate than the other somewhere: eager on
large scores, flash on gradients of peaked softmaxes. Since rounding errors may happen
to cancel, the flash form also returns their *variance* (see `rounding`).
Products accumulate in float32, as on any accelerator. Operands are upcast for
them, which gives the same bits and is fast on CPUs without half-precision units.
"""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from attnbench.bench.agreement.rounding import VARIANCE, Chunk, Low, RoundingErrors
from attnbench.bench.agreement.rows import alibi_rows, visible_rows
from attnbench.impls.contract import Case, Inputs
from attnbench.impls.contract.tensors import dense_kv

SCORES_AT_ONCE = 1 << 23
LOG2E = 1.4426950408889634


def eager(inputs: Inputs, rows: Tensor) -> Low:
    """The textbook form."""
    return _run(inputs, rows, _eager)


def flash(inputs: Inputs, rows: Tensor) -> Low:
    """The fused form, with its backward written out."""
    return _run(inputs, rows, _flash)


def _run(inputs: Inputs, rows: Tensor, step: Callable[[Chunk, Tensor, Tensor, Low], Low]) -> Low:
    """`step` over a few rows at a time; sums over rows (dk, dv) are accumulated in float32 and rounded once."""
    # Hidden values may be NaN, and 0 * NaN is NaN.
    k, v = (torch.nan_to_num(x.detach()).float() for x in dense_kv(inputs))
    sums: Low = {}
    if inputs.dout is not None:
        sums = {name + kind: torch.zeros_like(x) for name, x in (("dk", k), ("dv", v)) for kind in ("", VARIANCE)}
    parts = [step(chunk, k, v, sums) for chunk in _chunks(inputs, rows)]
    found = {name: torch.cat([part[name] for part in parts], dim=2) for name in parts[0]}
    return found | {name: x if VARIANCE in name else x.to(inputs.q.dtype) for name, x in sums.items()}


def _chunks(inputs: Inputs, rows: Tensor) -> Iterator[Chunk]:
    case = inputs.case
    step = max(1, SCORES_AT_ONCE // (case.batch * case.q_heads * case.kv_len))
    for start in range(0, len(rows), step):
        here = rows[start : start + step]
        bias = None if inputs.bias is None else inputs.bias[:, :, here].float()
        if inputs.alibi_slopes is not None:
            bias = alibi_rows(inputs.alibi_slopes, case, here)
        q, dout = (
            None if x is None else _folded(x.detach()[:, :, here].float(), case) for x in (inputs.q, inputs.dout)
        )
        hidden = ~visible_rows(case, here)
        assert q is not None, "every case has queries"
        slots = slice(start, start + step)
        yield Chunk(case, slots, q, dout, bias, inputs.sinks, hidden, inputs.q.dtype)


def _folded(x: Tensor, case: Case) -> Tensor:
    found: Tensor = x.unflatten(1, (case.kv_heads, case.groups)).flatten(2, 3)
    return found


def _eager(chunk: Chunk, k: Tensor, v: Tensor, sums: Low) -> Low:
    low, case = chunk.dtype, chunk.case
    leaves = [x.detach().requires_grad_() for x in (chunk.q, k, v)] if sums else [chunk.q, k, v]
    q, k, v = leaves
    scores = chunk.shaped(q @ k.transpose(-1, -2)).to(low) * case.score_scale
    bias = None if chunk.bias is None else chunk.bias.to(low)
    scores = _capped(scores, bias, case)[0].masked_fill(chunk.hidden, -torch.inf)
    own, scores = scores, _with_sink(scores, chunk.sinks)
    weights = torch.softmax(scores, dim=-1)[..., : case.kv_len].masked_fill(chunk.hidden, 0.0)
    out = chunk.shaped(chunk.folded(weights.float()) @ v).to(low)
    found = {"out": out.detach(), "lse": torch.logsumexp(_shown(own, scores, case).detach().float(), dim=-1)}
    if chunk.dout is not None:
        dq, dk, dv = torch.autograd.grad(out, leaves, chunk.shaped(chunk.dout).to(low))
        sums["dk"] += dk
        sums["dv"] += dv
        found["dq"] = chunk.shaped(dq).to(low)
    return found


def _capped(scores: Tensor, bias: Tensor | None, case: Case) -> tuple[Tensor, Tensor | None]:
    """Scores with softcap and bias in the order that is the case's convention; the softcap's derivative."""
    slope = None
    if bias is not None and case.conventions.softcap == "after-mask":
        scores, bias = scores + bias, None
    if case.softcap is not None:
        bounded = torch.tanh(scores / case.softcap)
        scores, slope = case.softcap * bounded, 1 - bounded**2
    return (scores if bias is None else scores + bias), slope


def _shown(own: Tensor, whole: Tensor, case: Case) -> Tensor:
    """The scores of which the case's LSE is taken: without the sinks' column, or with it."""
    return own if case.conventions.lse_sinks == "without" else whole


def _with_sink(scores: Tensor, sinks: Tensor | None) -> Tensor:
    """One more column, the sink's logit, where there are sinks."""
    if sinks is None:
        return scores
    column = sinks.to(scores.dtype)[None, :, None, None].expand(*scores.shape[:3], 1)
    return torch.cat([scores, column], dim=-1)


def _flash(chunk: Chunk, k: Tensor, v: Tensor, sums: Low) -> Low:
    low, case = chunk.dtype, chunk.case
    scores, slope = _scores(chunk, k)
    whole = _with_sink(scores, chunk.sinks)
    top = whole.amax(-1, keepdim=True)
    top = top.masked_fill(top == -torch.inf, 0.0)
    total = torch.exp2((whole - top) * LOG2E).sum(-1, keepdim=True)
    raised = torch.exp2((scores - top) * LOG2E)
    out = chunk.shaped(_round(chunk.folded(raised), low) @ v) / total
    out = torch.where(total > 0, out, 0.0).to(low)
    lse = top + total.log()
    weights = torch.where(total > 0, raised / total, 0.0)
    errors = RoundingErrors(chunk, k, v, scores, weights, lse)
    shown = torch.logsumexp(_shown(scores, whole, case), dim=-1) if chunk.sinks is not None else lse.squeeze(-1)
    found = {"out": out, "lse": shown} | errors.of_forward(out.float())
    if chunk.dout is not None:
        dout, folded = chunk.dout, chunk.folded(weights)
        delta = (dout * chunk.folded(out.float())).sum(-1, keepdim=True)
        products = dout @ v.transpose(-1, -2)
        dscores = folded * (products - delta)
        slope = None if slope is None else chunk.folded(slope)
        if slope is not None:
            dscores = dscores * slope
        found |= errors.of_backward(dscores, products, out.float(), sums, slope)
        dscores = _round(dscores, low)
        sums["dk"] += dscores.transpose(-1, -2) @ chunk.q * case.score_scale
        sums["dv"] += _round(folded, low).transpose(-1, -2) @ dout
        found["dq"] = (chunk.shaped(dscores @ k) * case.score_scale).to(low)
    return found


def _scores(chunk: Chunk, k: Tensor) -> tuple[Tensor, Tensor | None]:
    """Masked float32 scores ``[B, Hq, R, N]``, and the derivative of the softcap where there is one."""
    scores = chunk.shaped(chunk.q @ k.transpose(-1, -2)) * chunk.case.score_scale
    scores, slope = _capped(scores, chunk.bias, chunk.case)
    return scores.masked_fill(chunk.hidden, -torch.inf), slope


def _round(x: Tensor, low: torch.dtype) -> Tensor:
    """`x` rounded to the dtype, as float32."""
    return x.to(low).float()
