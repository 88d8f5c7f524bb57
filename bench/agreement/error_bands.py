"""Cells: the parts of an output whose relative L2 error is judged on its own.

One norm over a whole causal output is ruled by its first rows, which see few
keys and are large: a defect in late rows drowns in them. So the norm is taken
by batch row, head and band of rows, in cells that hold enough elements for their
norm to mean something.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

ENOUGH = 1024
"""Elements of a cell; where bands, heads or batch rows hold fewer, they are judged together."""

MOST_BANDS = 8


def band_norms(x: Tensor, like: Sequence[int] = ()) -> Tensor:
    """L2 norm of each cell of ``[B, H, R, D]`` (or ``[B, H, R]``).

    The result is ``[B or 1, H or 1, bands]``: heads are merged first, then batch rows. `like` is the
    shape whose cells are taken, where `x` holds one number for each of its rows.
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
