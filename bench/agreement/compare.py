"""One output against its target: errors, budgets, where it is worst."""

import numpy as np
import torch
from torch import Tensor

from attnbench.bench.agreement.error_bands import band_norms
from attnbench.bench.agreement.oracle import Target
from attnbench.bench.records.schema import Comparison, real


@torch.no_grad()
def compare(output: str, family: str, got: Tensor, target: Target, rows: Tensor | None) -> Comparison:
    """Judge `got`; `rows` are the query rows that the target holds, None where it holds everything.

    All rows must be finite, also those that are not compared. An expected -inf (the LSE
    of an empty row) must be -inf. The L2 error is that of the band with the largest
    share of its budget, relative to the norm of the expected band.
    """
    every = rows is None or len(rows) == got.shape[2]
    judged = (got if every else got[:, :, rows.to(got.device)]).cpu().double()  # type: ignore[union-attr]  # not every
    expected = target.expected
    error = absolute_error(judged, expected)
    place = int(error.argmax()) if error.numel() else 0
    here = tuple(map(int, np.unravel_index(place, error.shape)))
    index = list(here)
    if rows is not None:
        index[2] = int(rows[index[2]])
    l2, l2_budget = _worst_band(error, target)
    largest = float(error[here])
    return Comparison(
        output=output,
        family=family,
        max_error=real(largest),
        max_budget=target.max_budget,
        l2_error=real(l2),
        l2_budget=l2_budget,
        worst_index=tuple(index),
        expected=real(float(expected[here])),
        got=real(float(judged[here])),
        finite=largest < torch.inf and (output == "lse" or is_finite(got) or bool(expected.isnan().any())),
        judged=error.numel(),
        outside=int((error > target.max_budget).sum()) if largest > target.max_budget else 0,
    )


def absolute_error(judged: Tensor, expected: Tensor) -> Tensor:
    """Elementwise; inf where one of the two is not finite, unless both are the same infinity."""
    error = (judged - expected).abs()
    if is_finite(error):
        return error
    same = ((judged == expected) & ~expected.isfinite()) | (judged.isnan() & expected.isnan())
    return torch.where(same, 0.0, torch.where(error.isnan(), torch.inf, error))


def is_finite(x: Tensor) -> bool:
    """Whether all elements are; in one pass, without a copy."""
    return not x.numel() or all(bool(end.isfinite()) for end in torch.aminmax(x.detach()))


def _worst_band(error: Tensor, target: Target) -> tuple[float, float]:
    """Relative L2 error and budget of the worst band; absolute ones where only 0 was expected."""
    errors = band_norms(error)
    shares = torch.where(errors > 0, errors / target.l2_budgets, 0.0).flatten()
    worst = int(shares.nan_to_num(torch.inf).argmax())
    norm = float(target.norms.flatten()[worst]) or 1.0
    return float(errors.flatten()[worst]) / norm, float(target.l2_budgets.flatten()[worst]) / norm
