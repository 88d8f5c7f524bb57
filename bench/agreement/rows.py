"""Which query rows of a case are judged, with the mask and bias of those rows.

A long case is judged on a sample of rows, so that neither the float64 reference nor the
low-precision one ever holds an M x N matrix. `dout` is then 0 outside these rows
(`restricted`): dk and dv depend on no other row, so that all of their
elements are judged exactly, and dq on the rows of the sample.
"""

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor

from attnbench.impls.contract import Case, Inputs, Segment

ALL_ROWS_UP_TO = 256
"""Longer cases are judged on a sample of rows that holds the ends and the edges of tiles."""

SAMPLE = 128
FEWEST = 16
SCORES_JUDGED = 1 << 26
"""Scores of all judged rows together, beyond which the sample shrinks (down to `FEWEST` rows)."""

ELEMENTS_JUDGED = 1 << 19
"""Elements of an output beyond which a case of more than `SAMPLE` rows is judged on a sample."""

EDGE = 64
ENDS = 6


def judged_rows(case: Case, seed: int) -> Tensor:
    """Rows to judge, sorted: all of a short case, else the ends, both sides of tile edges, and random ones."""
    heads = case.batch * case.q_heads
    affordable = max(FEWEST, SCORES_JUDGED // (heads * case.kv_len))
    all_up_to = ALL_ROWS_UP_TO if heads * case.q_len * case.v_head_dim <= ELEMENTS_JUDGED else SAMPLE
    if case.q_len <= min(affordable, all_up_to):
        return torch.arange(case.q_len)
    size = min(affordable, SAMPLE)
    last = case.q_len - 1
    ends = [0, 1, case.q_len // 2, last - EDGE, last - 1, last]
    edges = [row for edge in range(EDGE, case.q_len, EDGE) for row in (edge - 1, edge)]
    generator = torch.Generator().manual_seed(seed)
    wanted = (size - ENDS) // 2
    near = torch.tensor(edges)[torch.randperm(len(edges), generator=generator)[:wanted]]
    anywhere = torch.randint(case.q_len, (size - ENDS - len(near),), generator=generator)
    rows: Tensor = torch.cat([torch.tensor(ends), near, anywhere]).clamp(0, last).unique()
    return rows


def restricted(inputs: Inputs, rows: Tensor) -> Inputs:
    """`inputs` whose gradient is 0 outside the judged rows; the same inputs where there is none."""
    if inputs.dout is None or len(rows) == inputs.case.q_len:
        return inputs
    dout = torch.zeros_like(inputs.dout)
    dout[:, :, rows] = inputs.dout[:, :, rows]
    return replace(inputs, dout=dout)


def visible_rows(case: Case, rows: Tensor) -> Tensor:
    """Which key each of these rows ``[R]`` sees: bool ``[B, 1, R, N]``."""
    seen = torch.zeros(case.batch, 1, len(rows), case.kv_len, dtype=torch.bool, device=rows.device)
    for segment, slots, keys in _inside(case, rows):
        position = rows[slots] - segment.q_start + segment.offset
        here = case.mask.visible(position[:, None], keys[None, :])
        seen[segment.row, 0, slots[:, None], keys[None, :] + segment.k_start] = here
    return seen


def alibi_rows(slopes: Tensor, case: Case, rows: Tensor) -> Tensor:
    """ALiBi's ``-slope * |position - key|`` for these rows: float32 ``[B, Hq, R, N]``."""
    distance = torch.zeros(case.batch, 1, len(rows), case.kv_len, dtype=torch.float32, device=rows.device)
    for segment, slots, keys in _inside(case, rows):
        position = rows[slots] - segment.q_start + segment.offset
        gap = (position[:, None] - keys[None, :]).abs().float()
        distance[segment.row, 0, slots[:, None], keys[None, :] + segment.k_start] = gap
    return -slopes[None, :, None, None] * distance


def _inside(case: Case, rows: Tensor) -> Iterator[tuple[Segment, Tensor, Tensor]]:
    """Each segment with the places of its rows in `rows`, and the numbers of its keys."""
    for segment in case.segments:
        slots = ((rows >= segment.q_start) & (rows < segment.q_start + segment.q_len)).nonzero().flatten()
        if len(slots) and segment.k_len:
            yield segment, slots, torch.arange(segment.k_len, device=rows.device)
