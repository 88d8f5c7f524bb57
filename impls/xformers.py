"""xFormers' memory-efficient attention, with the operator that xFormers picks.

Source: Lefaudeux et al., facebookresearch/xformers 0.0.35, ``xformers.ops``.
Masks are its own bias objects, made while preparing; an additive or ALiBi bias
is a tensor with -inf where hidden, its rows padded to a multiple of 8 as the
kernels want. Grouped heads are five-dimensional views, K and V expanded, not
copied. Its users hold q, k and v as ``[B, N, H, D]``: made while preparing.
Nothing is converted inside; the output is handed back as a view.
"""

from typing import Any

import torch
from torch import Tensor

from attnbench.impls.contract import (
    Cache,
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
    Requirement,
    Window,
)
from attnbench.impls.contract.tensors import has_empty_rows, rows_first, score_bias, visible

FEATURES = frozenset({
    "causal", "window", "gqa", "q_len != kv_len", "v_head_dim", "strided", "scale", "alibi", "additive", "backward",
    "packed", "padded", "cache",
})  # fmt: skip
ALIGNED = 8


def attn_bias(inputs: Inputs) -> Any:
    """The bias object or tensor of a case; None where all is visible."""
    from xformers.ops.fmha import attn_bias as biases

    case, device = inputs.case, inputs.q.device
    if case.bias != "none":
        return tensor_bias(inputs)
    causal = isinstance(case.mask, Causal)
    match case.layout:
        case Packed(q_lengths=queries, kv_lengths=keys):
            found = biases.BlockDiagonalMask.from_seqlens(queries, keys, device=device)
            return found.make_causal_from_bottomright() if causal else found
        case Cache() | Padded():
            room = inputs.k.shape[2]
            lengths = [segment.k_len for segment in case.segments]
            kind = (
                biases.BlockDiagonalCausalWithOffsetPaddedKeysMask if causal else biases.BlockDiagonalPaddedKeysMask
            )
            return kind.from_seqlens([case.q_len] * case.batch, room, lengths, device=device)
    if isinstance(case.mask, Window):
        left, right = (case.kv_len if side is None else side for side in (case.mask.left, case.mask.right))
        return biases.LocalAttentionFromBottomRightMask(window_left=left, window_right=right)
    return biases.LowerTriangularFromBottomRightMask() if causal else None


def tensor_bias(inputs: Inputs) -> Tensor:
    """Bias and mask ``[B, Hq, M, N]`` in one tensor, whose rows begin at multiples of 8 elements."""
    case, bias = inputs.case, score_bias(inputs)
    assert bias is not None, "asked for where there is one"
    room = -(-case.kv_len // ALIGNED) * ALIGNED
    whole = bias.new_zeros(case.batch, case.q_heads, case.q_len, room)
    whole[..., : case.kv_len] = bias.masked_fill(~visible(case, bias.device), -torch.inf)
    return whole[..., : case.kv_len]


def held(inputs: Inputs) -> tuple[Tensor, Tensor, Tensor]:
    """q, k and v as a user holds them: ``[B, N, H, D]``, one row of tokens where a bias object cuts it.

    Grouped heads are ``[B, N, Hkv, group, D]``.
    """
    case = inputs.case
    tensors = [rows_first(x) for x in (inputs.q, inputs.k, inputs.v)]
    if isinstance(case.layout, Cache | Padded):
        tensors = [x.flatten(0, 1)[None] for x in tensors]
    if case.groups > 1:
        q, k, v = tensors
        q = q.unflatten(2, (case.kv_heads, case.groups))
        tensors = [q, *(x[:, :, :, None].expand(-1, -1, -1, case.groups, -1) for x in (k, v))]
    q, k, v = tensors
    return q, k, v


def prepare(inputs: Inputs) -> Call:
    """The bias and the package's own layout are made once."""
    import xformers.ops as package

    case, (q, k, v), bias = inputs.case, held(inputs), attn_bias(inputs)

    def call() -> Outputs:
        out = package.memory_efficient_attention(q, k, v, attn_bias=bias, scale=case.scale)
        return Outputs(out.reshape(case.batch, case.q_len, case.q_heads, case.v_head_dim).transpose(1, 2))

    return call


def _refuses(case: Case, device: str) -> str | None:
    if case.groups > 1 and (case.direction != "fwd" or case.bias != "none"):
        return "grouped heads are its experiment: forward alone, and no bias tensor"
    if isinstance(case.mask, Window) and not isinstance(case.layout, Dense):
        return "a window is written here for dense rows alone"
    if isinstance(case.layout, Padded) and not isinstance(case.mask, Full):
        return "a mask over padded rows would be aligned to each row's own length, not to the padded one"
    if case.bias != "none" and not isinstance(case.layout, Dense):
        return "a bias tensor is written here for dense rows alone"
    return "what a query without keys gives depends on the operator it picks" if has_empty_rows(case) else None


IMPL = Implementation(
    name="xformers",
    summary="xFormers memory_efficient_attention, operator of its own choice",
    prepare=prepare,
    features=FEATURES,
    devices=("cuda",),
    requires=(Requirement("xformers", ">=0.0.30", "pip install xformers", "xformers.ops"),),
    refuses=_refuses,
    remark="q, k and v were put into [B, N, H, D] before the clock started; nothing is converted inside",
)
