"""Honest spellings that serving kernels use: a softcap without tanh, a mask handed on to SDPA as it came."""

import torch
from torch.nn.functional import scaled_dot_product_attention


def by_sigmoid(x):
    """tanh(x) as ``2 * sigmoid(2 x) - 1``, as Triton kernels without a tanh write it."""
    return 2 * torch.sigmoid(2 * x) - 1


def by_exponentials(x):
    """tanh(x) as ``(e - 1) / (e + 1)`` with ``e = exp(2 x)``, cut where it is 1 already."""
    e = torch.exp(2 * x.clamp(-15, 15))
    return (e - 1) / (e + 1)


def by_negative_exponential(x):
    """tanh(x) as ``sign(x) * (1 - e) / (1 + e)`` with ``e = exp(-2 |x|)``, which can't overflow."""
    e = torch.exp(-2 * x.abs())
    return torch.sign(x) * (1 - e) / (1 + e)


def softcap_by_sigmoid(q, k, v, *, causal=False, scale=None, softcap=None):
    """A softcap by sigmoid."""
    return capped(by_sigmoid, q, k, v, causal, scale, softcap)


def softcap_by_exponentials(q, k, v, *, causal=False, scale=None, softcap=None):
    """A softcap by exponentials."""
    return capped(by_exponentials, q, k, v, causal, scale, softcap)


def softcap_by_negative_exponential(q, k, v, *, causal=False, scale=None, softcap=None):
    """A softcap by an exponential that can't overflow."""
    return capped(by_negative_exponential, q, k, v, causal, scale, softcap)


def capped(tanh, q, k, v, causal, scale, softcap):
    groups, (m, n) = q.shape[1] // k.shape[1], (q.shape[2], k.shape[2])
    s = (
        q.float()
        @ k.float().repeat_interleave(groups, dim=1).mT
        * (q.shape[-1] ** -0.5 if scale is None else scale)
    )
    if softcap is not None:
        s = softcap * tanh(s / softcap)
    if causal:
        s = s.masked_fill(torch.arange(n) > torch.arange(m)[:, None] + n - m, -torch.inf)
    p = torch.softmax(s, dim=-1).masked_fill(s == -torch.inf, 0.0)
    return (p @ v.float().repeat_interleave(groups, dim=1)).to(q.dtype)


def sdpa_with_mask(q, k, v, *, mask=None, scale=None):
    """torch's SDPA with the mask that it is given; it reads padding, at a weight of 0."""
    return scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=scale, enable_gqa=True)
