"""The low-precision twin: the plainest attention in the case's own dtype, whose error sets the budget.

Scores, weights and output are each rounded to the dtype, products accumulate in
float32, as a textbook implementation on any accelerator does. Operands are
upcast for the products, which gives the same bits and is fast on CPUs that have
no half-precision units.
"""

import torch
from torch import Tensor

from impls.contract import Inputs
from impls.tensors import alibi, dense_kv, repeat_heads, softmax, visible


def product(a: Tensor, b: Tensor) -> Tensor:
    """``a @ b`` accumulated in float32 and rounded to the dtype of `a`."""
    return (a.float() @ b.float()).to(a.dtype)


def twin(inputs: Inputs, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Output ``[B, Hq, R, Dv]`` in the case's dtype and LSE ``[B, Hq, R]`` float32, for these query rows.

    Differentiable in q, k and v. A row that sees no key gives 0 and -inf.
    """
    case = inputs.case
    # What is hidden may be NaN on purpose, and even the twin's weight of 0 would spread it.
    k, v = (repeat_heads(torch.nan_to_num(x), case.groups) for x in dense_kv(inputs))
    scores = product(inputs.q[:, :, rows], k.transpose(-1, -2)) * case.score_scale
    if case.softcap is not None:
        scores = case.softcap * torch.tanh(scores / case.softcap)
    if inputs.alibi_slopes is not None:
        scores = scores + alibi(inputs.alibi_slopes, case)[:, :, rows].to(scores.dtype)
    if inputs.bias is not None:
        scores = scores + inputs.bias[:, :, rows]
    hidden = ~visible(case, scores.device)[:, :, rows]
    scores = scores.masked_fill(hidden, -torch.inf)
    weights = softmax(scores, inputs.sinks).masked_fill(hidden, 0.0)
    return product(weights, v), _lse(scores.float(), inputs.sinks)


def _lse(scores: Tensor, sinks: Tensor | None) -> Tensor:
    if sinks is not None:
        column = sinks.float()[None, :, None, None].expand(*scores.shape[:3], 1)
        scores = torch.cat([scores, column], dim=-1)
    return torch.logsumexp(scores, dim=-1)
