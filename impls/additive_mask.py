"""A 0 / -inf matrix added to the scores, softmax in float32, cast back: LLaMA's reference code.

Source: meta-llama/llama, ``llama/model.py``, ``Attention.forward``: K and V are
repeated for grouped heads (a copy of ``groups`` times the cache), the mask is
added, ``F.softmax(scores.float(), dim=-1).type_as(xq)``. Costs a float32 copy of
the score matrix beside the one in the input dtype.
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
    """The 0 / -inf matrix is built once for all layers, as the model's forward does."""
    case, q = inputs.case, inputs.q
    hidden = ~visible(case, q.device)
    mask = torch.zeros(hidden.shape, dtype=q.dtype, device=q.device).masked_fill(hidden, -torch.inf)
    bias = score_bias(inputs)
    empty_rows = has_empty_rows(case)

    def call() -> Outputs:
        k, v = (repeat_heads(x, case.groups) for x in dense_kv(inputs))
        scores = adjusted(q @ k.transpose(2, 3) * case.score_scale, case.softcap, bias)
        weights = softmax((scores + mask).float(), inputs.sinks).type_as(q)
        if empty_rows:  # softmax of a row of -inf is NaN; the contract wants 0
            weights = weights.masked_fill(hidden, 0.0)
        return Outputs(dropped(weights, case.dropout) @ v)

    return call


IMPL = Implementation(
    name="additive_mask",
    summary="0/-inf matrix added, softmax in float32, K and V repeated (LLaMA reference)",
    prepare=prepare,
    devices=ANY_DEVICE,
    features=EVERYTHING | {"dropout"},
    known_limits={"poison": "a hidden value gets weight 0, and 0 times NaN is NaN; -inf plus NaN is NaN"},
)
