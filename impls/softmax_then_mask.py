"""Softmax over all scores, hidden weights multiplied by 0, rows renormalised: the textbook's first form.

Source: Raschka, "Build a Large Language Model (From Scratch)", section 3.5.1,
shown there as the step before `masked_fill`. It is mathematically the same as
masking first: the normaliser of the hidden keys cancels. In floating point it
is not: where a hidden score towers over the visible ones, every visible weight
underflows to 0 and the row becomes 0 / 0. Costs two more passes over the
``[B, Hq, M, N]`` weights than masking first.
"""

from attnbench.impls.contract import ANY_DEVICE, EVERYTHING, Call, Implementation, Inputs, Outputs
from attnbench.impls.contract.tensors import (
    adjusted,
    dense_kv,
    dropped,
    has_empty_rows,
    repeat_heads,
    score_bias,
    softmax,
    visible,
)


def prepare(inputs: Inputs) -> Call:
    """The mask and the bias are built once, as a module registers its buffers."""
    case, q = inputs.case, inputs.q
    seen = visible(case, q.device)
    mask = seen.to(q.dtype)
    bias = score_bias(inputs)
    row_is_empty = ~seen.any(-1, keepdim=True) if has_empty_rows(case) else None

    def call() -> Outputs:
        k, v = (repeat_heads(x, case.groups) for x in dense_kv(inputs))
        weights = softmax(adjusted(q @ k.transpose(-1, -2) * case.score_scale, case.softcap, bias), inputs.sinks)
        sink_weight = 0.0 if inputs.sinks is None else 1.0 - weights.sum(-1, keepdim=True)
        weights = weights * mask
        total = weights.sum(-1, keepdim=True) + sink_weight
        if row_is_empty is not None:  # a row without keys is 0 by the contract, not 0 / 0
            total = total.masked_fill(row_is_empty, 1.0)
        return Outputs(dropped(weights / total, case.dropout) @ v)

    return call


IMPL = Implementation(
    name="softmax_then_mask",
    summary="softmax over all scores, times the mask, rows renormalised (textbook, first form)",
    prepare=prepare,
    devices=ANY_DEVICE,
    features=EVERYTHING | {"dropout"},
    known_limits={
        "spike": "a large hidden score takes the whole softmax: visible weights underflow and rows become 0 / 0",
        "large": "with scores of +-200 some hidden score towers by chance: the same 0 / 0 as on spikes",
        "poison": "a hidden NaN is part of the normaliser before the mask is applied",
    },
)
