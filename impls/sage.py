"""SageAttention: q and k rounded to INT8 in blocks, k smoothed by its mean. An approximation.

Source: Zhang et al. (2024), arXiv:2410.02367; sageattention 1.0.6, ``core.py``.
Written against its signature; on the machines that build this project it can't
run. It takes ``[B, H, N, D]`` as it is (``HND``). Version 1 subtracts the mean
from the caller's own k, in place: whoever needs k afterwards must copy it, so
that the copy is part of the call and of its time.

It is judged against 16 budgets: its rounding, done in torch on this project's
inputs (all families, fp16 and bf16, head_dim 64 and 128), takes up to 11.
"""

import inspect

import torch

from attnbench.impls.contract import Call, Case, Causal, Implementation, Inputs, Outputs, Requirement

BUDGET_FACTOR = 16.0
HEAD_DIMS = (64, 96, 128)


def prepare(inputs: Inputs) -> Call:
    """Nothing is prepared: quantisation is part of every call."""
    from sageattention import sageattn

    case = inputs.case
    writes_into_k = "return_lse" not in inspect.signature(sageattn).parameters  # came with version 2
    causal = isinstance(case.mask, Causal)

    def call() -> Outputs:
        k = inputs.k.clone(memory_format=torch.preserve_format) if writes_into_k else inputs.k
        out = sageattn(inputs.q, k, inputs.v, tensor_layout="HND", is_causal=causal, sm_scale=case.score_scale)
        return Outputs(out)

    return call


def _refuses(case: Case, device: str) -> str | None:
    if case.head_dim not in HEAD_DIMS or case.v_head_dim != case.head_dim:
        return f"takes a head_dim of {', '.join(map(str, HEAD_DIMS))}, the same for q, k and v"
    if isinstance(case.mask, Causal) and case.q_len != case.kv_len:
        return "its causal mask is for as many queries as keys"
    return None


IMPL = Implementation(
    name="sage",
    summary="SageAttention, INT8 scores: an approximation",
    prepare=prepare,
    features=frozenset({"causal", "gqa", "q_len != kv_len", "scale", "strided"}),
    devices=("cuda",),
    requires=(Requirement("sageattention", ">=1", "pip install sageattention"),),
    refuses=_refuses,
    budget_factor=BUDGET_FACTOR,
    remark="quantisation is inside of what was timed; with version 1 so is a copy of k, which it writes into",
)
