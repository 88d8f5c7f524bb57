"""Would a case notice? Answers that are wrong in known ways, judged as if a kernel had given them.

An answer that equals the right one in float64 is no finding: with one key, the mean of V is the output.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from attnbench.bench.agreement.check import plan
from attnbench.bench.agreement.compare import compare
from attnbench.bench.agreement.inputs import make_inputs
from attnbench.bench.agreement.oracle import Oracle, expect_of
from attnbench.bench.agreement.rows import visible_rows
from attnbench.impls.contract import Case, Inputs
from attnbench.impls.contract.tensors import TORCH_DTYPES, dense_kv

SAME = 1e-9
"""Difference from the right answer, against its largest element or 1, below which an answer is the right one."""


def unnoticed(case: Case, oracle: Oracle, seed: int, families: Sequence[str]) -> dict[tuple[str, str], float]:
    """Wrong answers, as (output, answer), that `case` passes in every one of `families`: the largest share of a budget.

    Nothing of a case that is judged by statistics.
    """
    if case.dropout:
        return {}
    shares: dict[tuple[str, str], float] = {}
    for number, (family, shaped) in enumerate(plan(case, families)):
        here = dict(_judged(shaped, family, oracle, seed))
        shares = {
            key: max(share, shares.get(key, 0.0)) for key, share in here.items() if number == 0 or key in shares
        }
    return {key: share for key, share in shares.items() if share <= 1.0}


def _judged(case: Case, family: str, oracle: Oracle, seed: int) -> Iterator[tuple[tuple[str, str], float]]:
    """For each output and wrong answer the share of its budget; nothing for an answer that is right here."""
    wanted = oracle.expect(case, family, seed)
    inputs = make_inputs(case, family, seed)
    other = expect_of(make_inputs(case, family, seed + 1), wanted.rows)
    for output, target in wanted.targets.items():
        if output == "lse":
            continue
        answers = _moved(target.expected) | {"another seed's": other.targets[output].expected}
        if output == "out":
            answers |= _made_of_values(inputs, wanted.rows)
        scale = max(1.0, float(target.expected.abs().max()))
        for name, answer in answers.items():
            if float((answer - target.expected).abs().max()) > SAME * scale:
                given = answer.to(TORCH_DTYPES[case.dtype])
                yield (output, name), compare(output, family, given, target, None).share_of_budget


def _moved(right: Tensor) -> dict[str, Tensor]:
    """Zeros, and the right answer of other rows, heads and batch rows: ``[B, H, R, D]``."""
    names = ("another batch row's", "another head's", "the row before's")
    moved = {name: right.roll(1, axis) for axis, name in enumerate(names) if right.shape[axis] > 1}
    return {"zeros": torch.zeros_like(right)} | moved


def _made_of_values(inputs: Inputs, rows: Tensor) -> dict[str, Tensor]:
    """Outputs that look at no score: the mean of V, the mean of what is visible, V itself."""
    case = inputs.case
    v = torch.nan_to_num(dense_kv(inputs)[1]).double().repeat_interleave(case.groups, 1)
    seen = visible_rows(case, rows).double()
    uniform = seen / seen.sum(-1, keepdim=True).clamp(min=1.0)
    own = (rows + case.kv_len - case.q_len).clamp(0, case.kv_len - 1)
    return {
        "the mean of V": v.mean(2, keepdim=True).expand(*v.shape[:2], len(rows), v.shape[3]),
        "uniform weights": uniform @ v,
        "V itself": v[:, :, own],
    }
