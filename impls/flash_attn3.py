"""FlashAttention-3: the ``hopper`` folder of flash-attention, built by hand for Hopper GPUs.

Source: Shah et al. (2024), arXiv:2407.08608; ``flash_attn_interface.py`` of
flash-attention 2.8.3, package ``flash_attn_3``. Written against its signatures;
on the machines that build this project it can't run. Its users hold q, k and v
as ``[B, N, H, D]``: made while preparing. Nothing is converted inside; the
output is handed back as a view. The LSE is not asked for.
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
    "causal", "window", "gqa", "q_len != kv_len", "strided", "scale", "softcap", "backward",
    "packed", "padded", "cache", "paged",
})  # fmt: skip
MOST_HEAD_DIM = 256
HOPPER = 9


def keywords(case: Case) -> dict[str, Any]:
    """What all entry points take alike."""
    window = case.mask if isinstance(case.mask, Window) else Window(None, None)
    return {
        "softmax_scale": case.score_scale,
        "causal": isinstance(case.mask, Causal),
        "window_size": tuple(-1 if side is None else side for side in (window.left, window.right)),
        "softcap": case.softcap or 0.0,
    }


def prepare(inputs: Inputs) -> Call:
    """The package's own layout is made once; which entry point is called follows from the case's layout."""
    if inputs.q.is_cuda and (major := torch.cuda.get_device_capability(inputs.q.device)[0]) != HOPPER:
        raise Refusal(f"FlashAttention-3 is for Hopper GPUs (compute capability 9.0), not for {major}.x")
    import flash_attn_interface as package

    case, (q, k, v) = inputs.case, (rows_first(x) for x in (inputs.q, inputs.k, inputs.v))
    rest = keywords(case)
    match case.layout:
        case Dense():
            return lambda: Outputs(package.flash_attn_func(q, k, v, **rest).transpose(1, 2))
        case Packed():
            longest = max(s.q_len for s in case.segments), max(s.k_len for s in case.segments)
            where = (inputs.cu_seqlens_q, inputs.cu_seqlens_k, *longest)
            attend = package.flash_attn_varlen_func
            return lambda: Outputs(attend(q[0], k[0], v[0], *where, **rest).transpose(0, 1)[None])
    rest |= {"cache_seqlens": inputs.kv_lengths, "page_table": inputs.block_table}
    return lambda: Outputs(package.flash_attn_with_kvcache(q, k, v, **rest).transpose(1, 2))


def _refuses(case: Case, device: str) -> str | None:
    if case.v_head_dim != case.head_dim or case.head_dim > MOST_HEAD_DIM or case.head_dim % 8:
        return f"takes a head_dim up to {MOST_HEAD_DIM} that 8 divides, the same for q, k and v"
    if isinstance(case.layout, Padded) and not isinstance(case.mask, Full):
        return "a mask over padded rows would be aligned to each row's own length, not to the padded one"
    if isinstance(case.layout, Padded) and case.direction != "fwd":
        return "padded rows go through flash_attn_with_kvcache, which has no backward"
    if case.softcap is not None and case.direction != "fwd":
        return "its backward takes no softcap"
    return None


IMPL = Implementation(
    name="flash_attn3",
    summary="FlashAttention-3 (Hopper): dense, variable length, over a cache",
    prepare=prepare,
    features=FEATURES,
    devices=("cuda",),
    dtypes=("fp16", "bf16"),
    requires=(
        Requirement(
            "flash_attn_3",
            install="git clone https://github.com/Dao-AILab/flash-attention && pip install flash-attention/hopper",
            module="flash_attn_interface",
        ),
    ),
    refuses=_refuses,
    remark="q, k and v were put into [B, N, H, D] before the clock started; nothing is converted inside",
)
