"""FlashAttention-4: the CuTe DSL kernels for Hopper and Blackwell, compiled on the first call.

Source: ``flash_attn/cute/interface.py`` of flash-attn-4 4.0.0b36. Written
against its signatures; on the machines that build this project it can't run. A
cache and padded rows are keys of which ``seqused_k`` are used, pages come with
a ``page_table``. Sinks are its ``learnable_sink``. Its users hold q, k and v as
``[B, N, H, D]``: made while preparing. Nothing is converted inside; the output
is handed back as a view. The LSE is not asked for.
"""

from typing import Any

import torch

from attnbench.impls.contract import (
    Call,
    Case,
    Causal,
    Dense,
    Full,
    Implementation,
    Inputs,
    Outputs,
    Packed,
    Padded,
    Refusal,
    Requirement,
    Window,
)
from attnbench.impls.contract.tensors import rows_first

FEATURES = frozenset({
    "causal", "window", "gqa", "q_len != kv_len", "v_head_dim", "strided", "scale", "softcap", "sinks", "backward",
    "packed", "padded", "cache", "paged",
})  # fmt: skip
HOPPER = 9
MOST_HEAD_DIM = 128
"""On Blackwell; Hopper takes 256, and both a few shapes beyond, which are left to a user's own file."""


def keywords(inputs: Inputs) -> dict[str, Any]:
    """What all entry points take alike."""
    mask = inputs.case.mask
    return {
        "softmax_scale": inputs.case.score_scale,
        "causal": isinstance(mask, Causal),
        "window_size": (mask.left, mask.right) if isinstance(mask, Window) else (None, None),
        "softcap": inputs.case.softcap or 0.0,
        "learnable_sink": inputs.sinks,
    }


def prepare(inputs: Inputs) -> Call:
    """The package's own layout is made once; which entry point is called follows from the case's layout."""
    if inputs.q.is_cuda and (major := torch.cuda.get_device_capability(inputs.q.device)[0]) < HOPPER:
        raise Refusal(f"FlashAttention-4 is for Hopper and Blackwell GPUs (9.0 and later), not for {major}.x")
    from flash_attn import cute as package

    case, (q, k, v) = inputs.case, (rows_first(x) for x in (inputs.q, inputs.k, inputs.v))
    rest = keywords(inputs)
    match case.layout:
        case Dense():
            return lambda: Outputs(package.flash_attn_func(q, k, v, **rest)[0].transpose(1, 2))
        case Packed():
            rest |= {
                "cu_seqlens_q": inputs.cu_seqlens_q,
                "cu_seqlens_k": inputs.cu_seqlens_k,
                "max_seqlen_q": max(s.q_len for s in case.segments),
                "max_seqlen_k": max(s.k_len for s in case.segments),
            }
            attend = package.flash_attn_varlen_func
            return lambda: Outputs(attend(q[0], k[0], v[0], **rest)[0].transpose(0, 1)[None])
    rest |= {"seqused_k": inputs.kv_lengths, "page_table": inputs.block_table}
    return lambda: Outputs(package.flash_attn_varlen_func(q, k, v, **rest)[0].transpose(1, 2))


def _refuses(case: Case, device: str) -> str | None:
    if max(case.head_dim, case.v_head_dim) > MOST_HEAD_DIM or case.head_dim % 8 or case.v_head_dim % 8:
        return f"takes head_dim and v_head_dim up to {MOST_HEAD_DIM} that 8 divides"
    if isinstance(case.layout, Padded) and not isinstance(case.mask, Full):
        return "a mask over padded rows would be aligned to each row's own length, not to the padded one"
    return None


IMPL = Implementation(
    name="flash_attn4",
    summary="FlashAttention-4 (CuTe DSL; Hopper, Blackwell): dense, variable length, over a cache",
    prepare=prepare,
    features=FEATURES,
    devices=("cuda",),
    dtypes=("fp16", "bf16"),
    requires=(Requirement("flash_attn_4", ">=4.0.0b0", "pip install 'flash-attn-4>=4.0.0b36'", "flash_attn.cute"),),
    refuses=_refuses,
    remark="q, k and v were put into [B, N, H, D] before the clock started; nothing is converted inside",
)
