"""Kernels with a known slowdown: of a hundred equal parts, some are computed twice.

For ``python -m bench gate-selfcheck``. Each is a plain function, as a user's own file has them.
"""

from itertools import product

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

PARTS = 100


def plain(q: Tensor, k: Tensor, v: Tensor, *, scale: float | None = None) -> Tensor:
    """Attention one head of one batch entry at a time; q, k and v as [B, H, M, D]."""
    return _parts(q, k, v, scale, 0)


def slower_1(q: Tensor, k: Tensor, v: Tensor, *, scale: float | None = None) -> Tensor:
    """One part in a hundred twice."""
    return _parts(q, k, v, scale, 1)


def slower_3(q: Tensor, k: Tensor, v: Tensor, *, scale: float | None = None) -> Tensor:
    """Three parts in a hundred twice."""
    return _parts(q, k, v, scale, 3)


def slower_5(q: Tensor, k: Tensor, v: Tensor, *, scale: float | None = None) -> Tensor:
    """Five parts in a hundred twice."""
    return _parts(q, k, v, scale, 5)


def slower_10(q: Tensor, k: Tensor, v: Tensor, *, scale: float | None = None) -> Tensor:
    """Ten parts in a hundred twice."""
    return _parts(q, k, v, scale, 10)


def _parts(q: Tensor, k: Tensor, v: Tensor, scale: float | None, again: int) -> Tensor:
    out = torch.empty_like(q)
    places = list(product(range(q.shape[0]), range(q.shape[1])))
    for b, h in places + places[: again * len(places) // PARTS]:
        part = (slice(b, b + 1), slice(h, h + 1))
        out[part] = scaled_dot_product_attention(q[part], k[part], v[part], scale=scale)
    return out
