"""The conventions that change a result after the definition: rows without keys, and the base of the LSE.

The reference and the low-precision references compute a row that sees no key as 0. Here
its mean of the values, or its NaN, takes that place, as the case's conventions say: in
float64 for the reference, in the dtype for the others, so that budgets follow.
"""

import math

import torch
from torch import Tensor

from attnbench.bench.agreement.rounding import VARIANCE
from attnbench.bench.agreement.rows import visible_rows
from attnbench.impls.contract import Inputs

Results = dict[str, Tensor]
"""`out`, `lse`, and with a gradient `dq`, `dk`, `dv`; variances beside them."""


def followed(results: Results, inputs: Inputs, rows: Tensor, *, low: bool) -> Results:
    """`results` on `rows` ``[R]`` under the conventions of the case; `low` rounds as the dtype does."""
    conventions = inputs.case.conventions
    found = dict(results)
    if conventions.lse_base == "2":
        for name, factor in (("lse", 1 / math.log(2)), ("lse" + VARIANCE, math.log(2) ** -2)):
            if name in found:
                found[name] = found[name] * factor
    if conventions.empty_rows == "zero" or inputs.sinks is not None:
        return found
    empty = ~visible_rows(inputs.case, rows).any(-1, keepdim=True)
    if conventions.empty_rows == "nan":
        found["out"] = torch.where(empty, torch.nan, found["out"])
        return found
    groups, keys = inputs.case.groups, inputs.case.kv_len
    share = torch.tensor(1 / keys, dtype=torch.float64, device=empty.device)
    if low:
        share = share.to(inputs.q.dtype)
    values = inputs.v.detach().double()
    mean = (values * share.double()).sum(2, keepdim=True).repeat_interleave(groups, 1)
    found["out"] = torch.where(empty, mean.to(found["out"].dtype), found["out"])
    if inputs.dout is not None:
        flowing = torch.where(empty, inputs.dout[:, :, rows].double(), 0.0).sum(2, keepdim=True)
        grouped = flowing.unflatten(1, (-1, groups)).sum(2) * share.double()
        found["dv"] = (found["dv"].double() + grouped).to(found["dv"].dtype)
    return found
