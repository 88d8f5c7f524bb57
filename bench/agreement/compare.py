"""One output against its target: errors, budgets, where it is worst."""

import torch
from torch import Tensor

from bench.agreement.oracle import Target
from bench.records.schema import Comparison, real


def compare(output: str, family: str, got: Tensor, target: Target, rows: Tensor | None) -> Comparison:
    """Judge `got`; `rows` are the query rows that the target holds, None where it holds everything.

    Every element must be finite where it has to be, the unjudged rows included.
    An expected -inf (the LSE of an empty row) must be -inf.
    """
    judged = got if rows is None else got[:, :, rows.to(got.device)]
    judged, expected = judged.detach().double().cpu(), target.expected
    wanted = expected.isfinite()
    same = (judged == expected) & ~wanted
    error = torch.where(wanted, (judged - expected).abs(), torch.where(same, 0.0, torch.inf))
    error = torch.where(error.isnan(), torch.inf, error)
    place = int(error.argmax()) if error.numel() else 0
    index = [int(i) for i in torch.unravel_index(torch.tensor(place), error.shape)]
    norm = float(torch.where(wanted, expected, 0.0).norm())
    l2 = float(error.norm()) / norm if norm else float(error.norm())
    here = tuple(index)
    if rows is not None:
        index[2] = int(rows[index[2]])
    return Comparison(
        output=output,
        family=family,
        max_error=real(float(error.max())) if error.numel() else 0.0,
        max_budget=target.max_budget,
        l2_error=real(l2),
        l2_budget=target.l2_budget,
        worst_index=tuple(index),
        expected=real(float(expected[here])),
        got=real(float(judged[here])),
        finite=bool(judged[wanted].isfinite().all()) and (output == "lse" or bool(got.isfinite().all())),
        judged=error.numel(),
        outside=int((error > target.max_budget).sum()),
    )
