"""The first planted defect: a published tutorial's causal mask.

It builds ``torch.ones(n, n).triu(1)`` and fills where the mask is 0: a query
attends to the future only, and the last row, which has no future, is NaN.
"""

import torch


def attention(q, k, v, *, causal=False):
    """Attention as the tutorial has it."""
    groups = q.shape[1] // k.shape[1]
    k, v = k.repeat_interleave(groups, 1), v.repeat_interleave(groups, 1)
    scores = (q @ k.transpose(-2, -1)) / q.shape[-1] ** 0.5
    if causal:
        mask = torch.ones(q.shape[2], k.shape[2]).triu(1)
        scores = scores.masked_fill(mask == 0, -torch.inf)
    return torch.softmax(scores, dim=-1) @ v
