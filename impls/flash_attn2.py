"""FlashAttention-2, the real package: dense, packed QKV, variable length, and over a cache.

Source: Dao (2023), arXiv:2307.08691; ``flash_attn.flash_attn_interface`` 2.8.
On CUDA its own kernels run. On a CPU its own Triton backend runs in Triton's
interpreter, for agreement and never for timing: the package registers its
operators for CUDA alone, so that the very same functions are registered for the
CPU here, and everything goes through the public entry points.

Its users hold q, k and v as ``[B, N, H, D]`` (what a projection gives), packed
documents as ``[tokens, H, D]``, and QKV as one tensor: these are made while
preparing, outside of what is timed. Nothing is converted inside; the output is
handed back as a view. The LSE is not asked for: an empty row has +inf in it.
The Triton backend's backward reads dout with the strides of out, so that dq and
dk are wrong where the two lie differently in memory: it is given dout as out
lies, which is how a model gives it, and the record says so.
"""

import os
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

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
    Paged,
    Requirement,
    Window,
)
from attnbench.impls.contract.tensors import rows_first

FEATURES = frozenset({
    "causal", "window", "gqa", "q_len != kv_len", "strided", "scale", "softcap", "alibi", "backward",
    "packed", "padded", "cache", "paged",
})  # fmt: skip
MOST_HEAD_DIM = 256
PAGE = 256
OPERATORS = tuple(f"_flash_attn{varlen}_{way}" for varlen in ("", "_varlen") for way in ("forward", "backward"))
VARIABLES = {"FLASH_ATTENTION_TRITON_AMD_ENABLE": "TRUE", "TRITON_INTERPRET": "1"}
INTERPRETED = "the package's Triton backend ran in Triton's interpreter, with dout as out lies in memory"
TRITON_LIMITS = {
    "poison": "the Triton backend's decode kernel reads values beyond a cache's fill, and 0 times NaN is NaN"
}
INSTALL = (
    "pip install --no-build-isolation flash-attn; without a GPU, which then needs "
    "FLASH_ATTENTION_TRITON_AMD_ENABLE=TRUE TRITON_INTERPRET=1 whenever it runs: "
    "FLASH_ATTENTION_SKIP_CUDA_BUILD=TRUE FLASH_ATTENTION_FORCE_BUILD=TRUE FLASH_ATTENTION_TRITON_AMD_ENABLE=TRUE "
    "pip install --no-build-isolation --no-deps flash-attn==2.8.3.post2"
)


def triton_backend() -> bool:
    """Whether the package uses its Triton backend in place of its CUDA kernels."""
    return os.environ.get("FLASH_ATTENTION_TRITON_AMD_ENABLE", "FALSE") == "TRUE"


@lru_cache(maxsize=1)
def package() -> Any:
    """``flash_attn.flash_attn_interface``, its operators registered for the CPU where its Triton backend is on."""
    import flash_attn.flash_attn_interface as interface

    if triton_backend():
        for name in OPERATORS:
            operator = getattr(interface, name)
            operator.register_kernel("cpu")(operator._init_fn)  # noqa: SLF001 - the function that it was made of
    return interface


def keywords(inputs: Inputs) -> dict[str, Any]:
    """What all entry points take alike."""
    case = inputs.case
    window = case.mask if isinstance(case.mask, Window) else Window(None, None)
    return {
        "softmax_scale": case.score_scale,
        "causal": isinstance(case.mask, Causal),
        "window_size": tuple(-1 if side is None else side for side in (window.left, window.right)),
        "softcap": case.softcap or 0.0,
        "alibi_slopes": None if inputs.alibi_slopes is None else inputs.alibi_slopes.repeat(case.batch, 1),
    }


def prepare(inputs: Inputs) -> Call:
    """The package's own layout is made once; which entry point is called follows from the case's layout."""
    q, k, v = (rows_first(x) for x in (inputs.q, inputs.k, inputs.v))
    rest = keywords(inputs)
    match inputs.case.layout:
        case Packed():
            return _packed(inputs, q[0], k[0], v[0], rest)
        case Dense():
            attend = package().flash_attn_func
            return lambda: Outputs(_laid_out(attend(q, k, v, **rest)).transpose(1, 2))
    rest |= {"cache_seqlens": inputs.kv_lengths, "block_table": inputs.block_table}
    attend_cache = package().flash_attn_with_kvcache
    return lambda: Outputs(attend_cache(q, k, v, **rest).transpose(1, 2))


def _packed(inputs: Inputs, q: Tensor, k: Tensor, v: Tensor, rest: dict[str, Any]) -> Call:
    attend, segments = package().flash_attn_varlen_func, inputs.case.segments
    longest = max(s.q_len for s in segments), max(s.k_len for s in segments)
    where = (inputs.cu_seqlens_q, inputs.cu_seqlens_k, *longest)
    return lambda: Outputs(_laid_out(attend(q, k, v, *where, **rest)).transpose(0, 1)[None])


def _laid_out(out: Tensor) -> Tensor:
    """`out`, whose gradient the Triton backend will get as `out` itself lies in memory."""
    if triton_backend() and out.requires_grad:
        out.register_hook(Tensor.contiguous)
    return out


def prepare_qkvpacked(inputs: Inputs) -> Call:
    """Q, K and V in one tensor ``[B, N, 3, H, D]``, as a fused projection gives them."""
    qkv = torch.stack([x.transpose(1, 2) for x in (inputs.q, inputs.k, inputs.v)], dim=2)
    attend, rest = package().flash_attn_qkvpacked_func, keywords(inputs)
    return lambda: Outputs(_laid_out(attend(qkv, **rest)).transpose(1, 2))


def lacks(device: str) -> str | None:
    """What a CPU needs for the package's Triton backend."""
    if device == "cpu" and any(os.environ.get(name) != value for name, value in VARIABLES.items()):
        words = " ".join(f"{name}={value}" for name, value in VARIABLES.items())
        return f"on a CPU its Triton backend runs in Triton's interpreter: set {words} before Python starts"
    return None


def _refuses(case: Case, device: str) -> str | None:
    if device == "cuda" and case.dtype == "fp32":
        return "takes fp16 and bf16 on CUDA, not fp32"
    if case.v_head_dim != case.head_dim or case.head_dim > MOST_HEAD_DIM:
        return f"takes a head_dim up to {MOST_HEAD_DIM}, the same for q, k and v"
    if isinstance(case.layout, Padded) and not isinstance(case.mask, Full):
        return "a mask over padded rows would be aligned to each row's own length, not to the padded one"
    if isinstance(case.layout, Padded) and case.direction != "fwd":
        return "padded rows go through flash_attn_with_kvcache, which has no backward"
    if isinstance(case.layout, Paged) and case.layout.page % PAGE:
        return f"a page must hold a multiple of {PAGE} keys, not {case.layout.page}"
    return _triton_refuses(case, device) if triton_backend() else None


def _triton_refuses(case: Case, device: str) -> str | None:
    """Why the Triton backend of 2.8.3 can't do `case`: options that it accepts and ignores."""
    ignored = {
        "a sliding window": isinstance(case.mask, Window),
        "a softcap": case.softcap is not None,
        "a block table": isinstance(case.layout, Paged),
    }
    if found := [name for name, here in ignored.items() if here]:
        return f"the package's Triton backend ignores {found[0]} without a word: the result would be wrong"
    if device == "cpu" and case.bias == "alibi":
        return "the package's Triton backend asserts that ALiBi's slopes are on a GPU"
    if device == "cpu" and case.dtype == "bf16":
        return "Triton's interpreter multiplies bfloat16 by its raw bits"
    return None


def _qkvpacked_refuses(case: Case, device: str) -> str | None:
    if not isinstance(case.layout, Dense) or case.groups > 1 or case.q_len != case.kv_len:
        return "q, k and v in one tensor need as many heads and as many rows each, in a dense layout"
    return _refuses(case, device)


def _variant(
    name: str, summary: str, prepare: Callable[[Inputs], Call], features: frozenset[str],
    refuses: Callable[[Case, str], str | None], remark: str,
) -> Implementation:  # fmt: skip
    return Implementation(
        name=name,
        summary=summary,
        prepare=prepare,
        features=features,
        requires=(Requirement("flash_attn", ">=2.8,<3", INSTALL, "flash_attn.flash_attn_interface"),),
        refuses=refuses,
        lacks=lacks,
        never_timed={"cpu": INTERPRETED},
        known_limits=TRITON_LIMITS if triton_backend() else {},
        remark=remark,
    )


IMPLS = (
    _variant(
        "flash_attn2",
        "FlashAttention-2, the flash-attn package: dense, variable length, over a cache",
        prepare,
        FEATURES,
        _refuses,
        "q, k and v were put into [B, N, H, D] before the clock started; nothing is converted inside",
    ),
    _variant(
        "flash_attn2_qkvpacked",
        "FlashAttention-2 with Q, K and V in one tensor",
        prepare_qkvpacked,
        FEATURES - {"gqa", "q_len != kv_len", "packed", "padded", "cache", "paged"},
        _qkvpacked_refuses,
        "Q, K and V were put into one [B, N, 3, H, D] before the clock started; nothing is converted inside",
    ),
)
