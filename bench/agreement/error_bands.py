"""Bands: runs of query rows of one head and batch row, each of which has an L2 error of its own.

The first rows of a causal output see few keys and are large, so they dominate the
norm of the whole. ``b1-h2-s256-d32-causal-bf16`` (normal inputs, seed 0) has 8 bands of
32 rows a head. For the first head their norms are::

    rows   0-31  32-63  64-95  96-127  128-159  160-191  192-223  224-255
    norm   16.5    6.8    5.6     4.9      4.1      3.7      3.4      3.0

If rows 224-255 of both heads were 0, the relative error of the whole would be 16%;
that of their band is 100%.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

ENOUGH = 1024
"""Least number of elements of a band; where heads or batch rows have fewer, they are judged together."""

MOST_BANDS = 8


def band_norms(x: Tensor, like: Sequence[int] = ()) -> Tensor:
    """L2 norm of each band of ``[B, H, R, D]`` (or ``[B, H, R]``).

    The result is ``[B or 1, H or 1, bands]``: heads are merged first, then batch rows. `like` is the
    shape that determines the bands, where `x` has one number for each row of it.
    """
    batch, heads, rows = x.shape[:3]
    width = (like or x.shape)[3] if len(like or x.shape) == 4 else 1
    bands = max(1, min(MOST_BANDS, rows * width // ENOUGH, rows))
    squares = x.double().square().reshape(batch, heads, rows, -1).sum(-1)
    cells = torch.stack([band.sum(-1) for band in squares.tensor_split(bands, dim=-1)], dim=-1)
    if rows * width // bands < ENOUGH:
        cells = cells.sum(1, keepdim=True)
        if heads * rows * width // bands < ENOUGH:
            cells = cells.sum(0, keepdim=True)
    return cells.sqrt()
