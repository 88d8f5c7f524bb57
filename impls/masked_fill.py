"""Scores filled with -inf where hidden, then softmax: the textbook's second form.

Source: Raschka, "Build a Large Language Model (From Scratch)", section 3.5.1,
and most teaching code since. Everything stays in the input dtype. Costs one
score matrix ``[B, Hq, M, N]`` for the scores, one for the weights, and the
full M x N products whatever the mask hides.
"""

import torch

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
    hidden = ~visible(case, q.device)
    bias = score_bias(inputs)
    empty_rows = has_empty_rows(case)

    def call() -> Outputs:
        k, v = (repeat_heads(x, case.groups) for x in dense_kv(inputs))
        scores = adjusted(q @ k.transpose(-1, -2) * case.score_scale, case.softcap, bias)
        weights = softmax(scores.masked_fill(hidden, -torch.inf), inputs.sinks)
        if empty_rows:  # softmax of a row of -inf is NaN; the contract wants 0
            weights = weights.masked_fill(hidden, 0.0)
        return Outputs(dropped(weights, case.dropout) @ v)

    return call


IMPL = Implementation(
    name="masked_fill",
    summary="masked_fill(-inf), then softmax, all in the input dtype (textbook, second form)",
    prepare=prepare,
    devices=ANY_DEVICE,
    features=EVERYTHING | {"dropout"},
    known_limits={"poison": "a hidden value gets weight 0, and 0 times NaN is NaN"},
)
