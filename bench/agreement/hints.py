"""What a wrong output looks like: known mistakes are computed on purpose and compared with it.

A hint is given only where a mistake explains the output within the budget that
the right answer missed; a guess would be worse than none.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from bench.agreement.oracle import Target
from impls.contract import Inputs
from impls.tensors import alibi, dense_kv, visible

LARGEST = 1 << 24
"""Scores that are worth computing for a hint."""


@dataclass(frozen=True)
class Mistake:
    """A known mistake: words for its author, and what it does to mask, heads, scale and order."""

    words: str
    seen: Tensor
    head: Tensor
    scale: float = 1.0
    mask_last: bool = False


def hint(inputs: Inputs, rows: Tensor, got: Tensor, target: Target) -> str:
    """The known mistake that gives `got` ``[B, Hq, M, Dv]`` on these rows, in words, or ''."""
    case = inputs.case
    if case.batch * case.q_heads * len(rows) * case.kv_len > LARGEST:
        return ""
    rows = rows.to(got.device)
    judged = got[:, :, rows].detach().double()
    for mistake in _mistakes(inputs):
        made = _compute(inputs, rows, mistake)
        if _explains(made, judged, target):
            return mistake.words
    return _shape_of_damage(judged, target, rows)


def gradient_hint(inputs: Inputs, rows: Tensor, name: str, got: Tensor, target: Target) -> str:
    return ""


def _explains(made: Tensor, judged: Tensor, target: Target) -> bool:
    """Whether `made` is `judged`, NaN for NaN, and is not simply right."""
    expected = target.expected.to(judged.device)
    holes = made.isnan() == judged.isnan()
    close = (made - judged).abs().nan_to_num(0.0) <= 2 * target.max_budget
    right = bool(((made - expected).abs() <= target.max_budget).all())
    return bool((holes & close).all()) and not right


def _mistakes(inputs: Inputs) -> Iterator[Mistake]:
    case, device = inputs.case, inputs.q.device
    seen = visible(case, device)
    head = torch.arange(case.q_heads, device=device) // case.groups
    i = torch.arange(case.q_len, device=device)[:, None]
    j = torch.arange(case.kv_len, device=device)[None, :]
    lower, everything = (j <= i)[None, None], torch.ones_like(seen)
    if not bool(seen.all()):
        yield Mistake("the mask is inverted: queries see exactly the keys that should be hidden", ~seen, head)
        yield Mistake("the mask is not applied: every query sees every key", everything, head)
        yield Mistake("the mask is aligned top-left; with q_len != kv_len it must be j <= i + N - M", lower, head)
        later = torch.cat([seen[..., 1:], seen[..., -1:]], dim=-1)
        yield Mistake(
            "the mask hides one key too many: the query's own position is hidden (j < i)", later & seen, head
        )
        earlier = torch.cat([torch.ones_like(seen[..., :1]), seen[..., :-1]], dim=-1)
        yield Mistake(
            "the mask shows one key too many: the next position is visible (j <= i + 1)", earlier | seen, head
        )
        yield Mistake("hidden weights are zeroed after the softmax, rows not renormalised", seen, head, 1.0, True)
    if case.groups > 1:
        wrong = torch.arange(case.q_heads, device=device) % case.kv_heads
        yield Mistake("heads are grouped as h % kv_heads; it must be h // (q_heads // kv_heads)", seen, wrong)
    yield Mistake("the scores are not scaled", seen, head, 1 / case.score_scale)
    yield Mistake("the scores are scaled twice", seen, head, case.score_scale)
    yield Mistake("the scale is 1 / head_dim, not 1 / sqrt(head_dim)", seen, head, case.head_dim**-0.5)
    for factor in (1.02, 0.98, 1.05, 0.95, 1.4427, 0.6931):
        yield Mistake(f"the scale is off by a factor of {factor}", seen, head, factor)
    for tail in (1, case.kv_len % 64, case.kv_len % 128, 64):
        if 0 < tail < case.kv_len:
            yield Mistake(f"the last {tail} keys are not read: tail tile?", seen & (j < case.kv_len - tail), head)


def _compute(inputs: Inputs, rows: Tensor, mistake: Mistake) -> Tensor:
    """The output ``[B, Hq, R, Dv]`` in float64 of a kernel with this mistake."""
    case = inputs.case
    k, v = (torch.nan_to_num(x).double()[:, mistake.head] for x in dense_kv(inputs))
    scores = inputs.q[:, :, rows].double() @ k.transpose(-1, -2) * (case.score_scale * mistake.scale)
    if case.softcap is not None:
        scores = case.softcap * torch.tanh(scores / case.softcap)
    if inputs.alibi_slopes is not None:
        scores = scores + alibi(inputs.alibi_slopes, case)[:, :, rows].double()
    if inputs.bias is not None:
        scores = scores + inputs.bias[:, :, rows].double()
    seen = mistake.seen[:, :, rows]
    if mistake.mask_last:
        return (torch.softmax(scores, -1) * seen) @ v
    return torch.softmax(scores.masked_fill(~seen, -torch.inf), -1) @ v


def _shape_of_damage(judged: Tensor, target: Target, rows: Tensor) -> str:
    """Where the wrong elements lie, if they lie together."""
    error = (judged - target.expected.to(judged.device)).abs()
    bad = ~(error <= target.max_budget)
    if not bool(bad.any()):
        return ""
    if bool(judged.isnan().any()) and bool((bad == judged.isnan()).all()):
        where = rows[bad.any(-1).any(0).any(0)]
        return f"all wrong elements are NaN, in query rows {_span(where)}"
    for axis, name in ((0, "batch rows"), (1, "query heads"), (2, "query rows"), (3, "columns of head_dim")):
        others = [d for d in range(4) if d != axis]
        hit = bad.any(dim=others).nonzero().flatten() if bad.ndim == 4 else torch.empty(0)
        if 0 < len(hit) < bad.shape[axis]:
            return f"only {name} {_span(rows[hit] if axis == 2 else hit)} are wrong"
    ratio = (judged / target.expected.to(judged.device))[target.expected.abs() > 10 * target.max_budget]
    if len(ratio) and float(ratio.std()) < 0.01 * abs(float(ratio.mean())):
        return f"every element is {float(ratio.mean()):.4g} times what it should be"
    return ""


def _span(where: Tensor) -> str:
    numbers = where.tolist()
    if len(numbers) <= 4:
        return ", ".join(map(str, numbers))
    return f"{numbers[0]} to {numbers[-1]} ({len(numbers)} of them)"
