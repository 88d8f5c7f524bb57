"""Heads computed one by one and stacked: the textbook's multi-head wrapper.

Source: Raschka, "Build a Large Language Model (From Scratch)", section 3.6.1,
``MultiHeadAttentionWrapper``. Costs Hq small launches instead of one large one,
and in exchange never holds more than one head's ``[B, M, N]`` scores.
"""

import torch

from attnbench.impls.contract import ANY_DEVICE, EVERYTHING, Call, Implementation, Inputs, Outputs
from attnbench.impls.contract.tensors import (
    adjusted,
    dense_kv,
    dropped,
    has_empty_rows,
    score_bias,
    softmax,
    visible,
)


def prepare(inputs: Inputs) -> Call:
    """The mask and the bias are built once, as a module registers its buffers."""
    case, q, sinks = inputs.case, inputs.q, inputs.sinks
    hidden = ~visible(case, q.device)
    bias = score_bias(inputs)
    empty_rows = has_empty_rows(case)

    def call() -> Outputs:
        k, v = dense_kv(inputs)
        heads = []
        for head in range(case.q_heads):
            one, shared = slice(head, head + 1), slice(head // case.groups, head // case.groups + 1)
            scores = q[:, one] @ k[:, shared].transpose(-1, -2) * case.score_scale
            scores = adjusted(scores, case.softcap, None if bias is None else bias[:, one])
            weights = softmax(scores.masked_fill(hidden, -torch.inf), None if sinks is None else sinks[one])
            if empty_rows:  # softmax of a row of -inf is NaN; the contract wants 0
                weights = weights.masked_fill(hidden, 0.0)
            heads.append(dropped(weights, case.dropout) @ v[:, shared])
        return Outputs(torch.cat(heads, dim=1))

    return call


IMPL = Implementation(
    name="per_head_loop",
    summary="heads one by one, then concatenated (textbook multi-head wrapper)",
    prepare=prepare,
    devices=ANY_DEVICE,
    features=EVERYTHING | {"dropout"},
    known_limits={"poison": "a hidden value gets weight 0, and 0 times NaN is NaN"},
)
