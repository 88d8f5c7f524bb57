"""sageattention 1.0.6's function by its signature, with its rounding: INT8 blocks, k smoothed in place."""

import torch

QUERY_BLOCK, KEY_BLOCK = 128, 64


def int8(x, block):
    """Each block of rows rounded to 255 steps of its largest value."""
    out = torch.empty_like(x)
    for start in range(0, x.shape[2], block):
        part = x[:, :, start : start + block]
        step = part.abs().amax((2, 3), keepdim=True) / 127
        out[:, :, start : start + block] = (part / step).round() * step
    return out


def sageattn(q, k, v, tensor_layout="HND", is_causal=False, sm_scale=None, smooth_k=True, **kwargs):
    assert tensor_layout == "HND"
    groups = q.shape[1] // k.shape[1]
    k -= k.mean(dim=2, keepdim=True)
    coarse_q = int8(q.float() * (q.shape[-1] ** -0.5 if sm_scale is None else sm_scale), QUERY_BLOCK)
    coarse_k, v = (x.repeat_interleave(groups, dim=1) for x in (int8(k.float(), KEY_BLOCK), v.half().float()))
    scores = coarse_q @ coarse_k.transpose(-1, -2)
    if is_causal:
        scores = scores.masked_fill(torch.ones(scores.shape[-2:]).tril() == 0, -torch.inf)
    return (scores.softmax(-1).half().float() @ v).to(q.dtype)
