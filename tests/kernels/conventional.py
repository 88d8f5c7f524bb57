"""Kernels that are right by another convention than this project's, each by one; none declares it."""

import math

import torch


def attend(q, k, v, seen, scale, *, fill=-torch.inf, empty=0.0, cap=None, bias=None, late=False, sinks=None):
    groups = q.shape[1] // k.shape[1]
    k, v = (x.float().repeat_interleave(groups, 1) for x in (k, v))
    s = q.float() @ k.mT * (q.shape[-1] ** -0.5 if scale is None else scale)
    if late and bias is not None:
        s, bias = s + bias.float(), None
    if cap is not None:
        s = cap * torch.tanh(s / cap)
    if bias is not None:
        s = s + bias.float()
    if seen is not None:
        s = s.masked_fill(~seen, fill)
    lse = torch.logsumexp(s, -1)
    whole = lse if sinks is None else torch.logaddexp(lse, sinks[None, :, None].expand(lse.shape))
    p = torch.softmax(s, -1) * torch.exp(lse - whole)[..., None]
    if empty is not None:
        p = torch.where(torch.isneginf(lse)[..., None], empty, p)
    return (p @ v).to(q.dtype), lse, whole


def triangle(q, k, shift):
    rows, keys = torch.arange(q.shape[2])[:, None], torch.arange(k.shape[2])[None, :]
    return keys <= rows + shift


def top_left(q, k, v, *, causal=False, scale=None):
    return attend(q, k, v, triangle(q, k, 0) if causal else None, scale)[0]


def mean_of_values(q, k, v, *, mask=None, scale=None):
    return attend(q, k, v, mask, scale, fill=-1e30)[0]


def not_a_number(q, k, v, *, mask=None, scale=None):
    return attend(q, k, v, mask, scale, empty=None)[0]


def counts_query(q, k, v, *, window=(-1, -1), scale=None):
    rows, keys = torch.arange(q.shape[2])[:, None] + k.shape[2] - q.shape[2], torch.arange(k.shape[2])[None, :]
    seen = torch.ones(q.shape[2], k.shape[2], dtype=torch.bool)
    if window[0] >= 0:
        seen &= keys > rows - window[0]
    if window[1] >= 0:
        seen &= keys <= rows + window[1]
    return attend(q, k, v, seen, scale)[0]


def softcap_last(q, k, v, *, bias=None, softcap=None):
    return attend(q, k, v, None, None, cap=softcap, bias=bias, late=True)[0]


def base_two(q, k, v, *, scale=None):
    out, lse, _ = attend(q, k, v, None, scale)
    return out, lse / math.log(2)


def lse_of_keys(q, k, v, *, sinks=None):
    out, lse, _ = attend(q, k, v, None, None, sinks=sinks)
    return out, lse
