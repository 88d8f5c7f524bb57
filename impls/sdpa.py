"""``torch.nn.functional.scaled_dot_product_attention``, one variant for each backend.

A variant forces its backend: where that backend can't do a case, the case is
refused with the backend's own words, never done by another one. ``sdpa_auto``
is what a user gets who forces nothing. Grouped heads go through
``enable_gqa``, without repeating K and V (the math backend repeats inside).
Costs: fused backends never hold the score matrix; the math one does.
"""

import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from attnbench.impls.contract import (
    ANY_DEVICE,
    EVERYTHING,
    Call,
    Case,
    Causal,
    Dense,
    Full,
    Implementation,
    Inputs,
    Outputs,
    Refusal,
)
from attnbench.impls.contract.tensors import dense_kv, score_bias, visible

FEATURES = EVERYTHING - {"paged", "softcap", "sinks"}


def square_causal(case: Case) -> bool:
    """Whether ``is_causal=True`` (aligned top-left) means the same as our bottom-right alignment."""
    return isinstance(case.mask, Causal) and isinstance(case.layout, Dense) and case.q_len == case.kv_len


def needs_mask(case: Case) -> bool:
    """Whether the case can't be said without a mask tensor."""
    plain = isinstance(case.layout, Dense) and (isinstance(case.mask, Full) or square_causal(case))
    return not plain or case.bias != "none"


def mask_tensor(inputs: Inputs) -> Tensor | None:
    """The boolean mask, or the additive one where there is a bias; None where none is needed."""
    case = inputs.case
    if not needs_mask(case):
        return None
    seen = visible(case, inputs.q.device)
    bias = score_bias(inputs)
    return seen if bias is None else bias.masked_fill(~seen, -torch.inf)


def prepare(inputs: Inputs) -> Call:
    """The mask tensor is built once; on CUDA the forced backend is asked whether it can."""
    case, q = inputs.case, inputs.q
    k, v = dense_kv(inputs)
    mask = mask_tensor(inputs)
    is_causal = mask is None and square_causal(case)
    gqa = case.groups > 1
    if q.is_cuda:
        _ask_backend(q, k, v, mask, is_causal, gqa)

    def call() -> Outputs:
        out = F.scaled_dot_product_attention(
            q, k, v, attn_mask=mask, is_causal=is_causal, scale=case.scale, enable_gqa=gqa
        )
        return Outputs(out)

    return call


def _ask_backend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, is_causal: bool, gqa: bool) -> None:
    """Raise Refusal with the warnings of the one fused backend that is enabled, where it can't do this call."""
    cuda = torch.backends.cuda
    if cuda.math_sdp_enabled():
        return
    params = cuda.SDPAParams(q, k, v, mask, 0.0, is_causal, gqa)
    asked: tuple[tuple[bool, Callable[..., bool]], ...] = (
        (cuda.flash_sdp_enabled(), cuda.can_use_flash_attention),
        (cuda.mem_efficient_sdp_enabled(), cuda.can_use_efficient_attention),
        (cuda.cudnn_sdp_enabled(), cuda.can_use_cudnn_attention),
    )
    for enabled, can_use in asked:
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            if enabled and not can_use(params, debug=True):
                words = " ".join(str(warning.message).split(" (Triggered")[0] for warning in said)
                raise Refusal(words or "the backend refuses these inputs without saying why")


def _variant(
    name: str,
    summary: str,
    backend: SDPBackend | None,
    devices: tuple[str, ...],
    features: frozenset[str] = FEATURES,
    refuses: Callable[[Case, str], str | None] | None = None,
) -> Implementation:
    def context() -> AbstractContextManager[None]:
        return nullcontext() if backend is None else sdpa_kernel([backend])

    return Implementation(
        name=name,
        summary=summary,
        prepare=prepare,
        context=context,
        devices=devices,
        features=features,
        refuses=refuses,
        known_limits={"poison": "a mask tensor hides keys by weight 0, and 0 times NaN is NaN"},
    )


def _flash_refuses(case: Case, device: str) -> str | None:
    if case.v_head_dim != case.head_dim:
        return "the flash backend wants v_head_dim equal to head_dim"
    if device == "cuda" and needs_mask(case):
        return f"the flash backend on CUDA takes no mask tensor, which {case.mask.spec} needs here"
    if device == "cuda" and case.dtype == "fp32":
        return "the flash backend on CUDA takes fp16 and bf16, not fp32"
    return None


def _cudnn_refuses(case: Case, device: str) -> str | None:
    return "the cuDNN backend takes fp16 and bf16, not fp32" if case.dtype == "fp32" else None


IMPLS = (
    _variant("sdpa_auto", "SDPA with the backend that torch picks", None, ANY_DEVICE),
    _variant("sdpa_math", "SDPA, math backend (unfused)", SDPBackend.MATH, ANY_DEVICE),
    _variant(
        "sdpa_flash",
        "SDPA, flash backend (FlashAttention-2 on CUDA, torch's own kernel on CPU)",
        SDPBackend.FLASH_ATTENTION,
        ("cpu", "cuda"),
        refuses=_flash_refuses,
    ),
    _variant(
        "sdpa_efficient",
        "SDPA, memory-efficient backend (xFormers' CUTLASS kernel)",
        SDPBackend.EFFICIENT_ATTENTION,
        ("cuda",),
        features=FEATURES - {"gqa"},
    ),
    _variant("sdpa_cudnn", "SDPA, cuDNN backend", SDPBackend.CUDNN_ATTENTION, ("cuda",), refuses=_cudnn_refuses),
)
