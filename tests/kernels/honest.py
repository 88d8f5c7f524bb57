"""Kernels as a user might bring them, all right."""

import torch


def attention(q, k, v, *, causal=False, scale=None):
    """Plain attention with a lower-right causal mask and grouped heads."""
    groups = q.shape[1] // k.shape[1]
    k, v = k.repeat_interleave(groups, 1), v.repeat_interleave(groups, 1)
    scores = (q @ k.mT) * (q.shape[-1] ** -0.5 if scale is None else scale)
    if causal:
        seen = torch.ones(q.shape[2], k.shape[2], dtype=torch.bool).tril(k.shape[2] - q.shape[2])
        scores = scores.masked_fill(~seen, -torch.inf)
    return torch.nan_to_num(scores.softmax(-1)) @ v


def with_lse(q, k, v, *, causal=False):
    """The same, with the log-sum-exp in float32."""
    groups = q.shape[1] // k.shape[1]
    k, v = k.repeat_interleave(groups, 1).float(), v.repeat_interleave(groups, 1).float()
    scores = (q.float() @ k.mT) * q.shape[-1] ** -0.5
    if causal:
        seen = torch.ones(q.shape[2], k.shape[2], dtype=torch.bool).tril(k.shape[2] - q.shape[2])
        scores = scores.masked_fill(~seen, -torch.inf)
    return (torch.nan_to_num(scores.softmax(-1)) @ v).to(q.dtype), scores.logsumexp(-1)


def full_only(q, k, v):
    """Knows no mask: causal cases are refused for it."""
    groups = q.shape[1] // k.shape[1]
    return ((q @ k.repeat_interleave(groups, 1).mT) * q.shape[-1] ** -0.5).softmax(-1) @ v.repeat_interleave(
        groups, 1
    )


def prints(q, k, v, *, causal=False):
    """Right, and noisy on stdout."""
    print('{"kind": "not a record"}')
    return attention(q, k, v, causal=causal)


NOT_A_FUNCTION = 3
