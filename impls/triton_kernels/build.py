"""Which kernels to compile for a GPU that is not here, and with what constants.

A build is what ``triton.compile`` needs; `source` makes it into Triton's own
form. The arguments are those of a dense call with contiguous ``[B, H, M, D]``
tensors and lengths that are not known before, as `launch` passes them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from attnbench.impls.triton_kernels import configs
from attnbench.impls.triton_kernels.backward import backward_dkv, backward_dq
from attnbench.impls.triton_kernels.configs import Config
from attnbench.impls.triton_kernels.decode import decode
from attnbench.impls.triton_kernels.forward import forward

KERNELS = {"forward": forward, "backward_dq": backward_dq, "backward_dkv": backward_dkv, "decode": decode}
ELEMENT_BYTES = {"fp16": 2, "bf16": 2, "fp32": 4}

TYPES = {
    **dict.fromkeys(("lse", "delta", "out_partial", "lse_partial"), "*fp32"),
    "softmax_scale": "fp32",
}
"""Types that are not the case's: a parameter in no table is an i32."""

OF_THE_CASE = frozenset({"q", "k", "v", "out", "dout", "dq", "dk", "dv"})
"""Pointers to the case's dtype."""

PLAIN: dict[str, Any] = {
    **dict.fromkeys(("bias", "alibi_slopes", "sinks", "cu_seqlens_q", "cu_seqlens_k", "kv_lengths", "block_table")),
    **dict.fromkeys(("left", "softcap")),
    **dict.fromkeys(("stride_bb", "stride_bh", "stride_bm", "stride_bn", "stride_tb", "page_size"), 0),
    **{f"stride_{tensor}d": 1 for tensor in ("q", "k", "v", "o", "do", "dq", "dk", "dv")},
    "LAYOUT": "dense",
}
"""What a plain call leaves out, and strides that Triton sees to be 1."""


@dataclass(frozen=True, kw_only=True)
class Build:
    """One compilation: the kernel, the types of its arguments, its constants and options."""

    name: str
    """As in ``forward-sm80-d128-causal-bf16-128x64-w4-s2``."""
    kernel: Any
    """The ``@triton.jit`` function."""
    signature: dict[str, str]
    """Parameter to ``*bf16``, ``*fp32``, ``i32``, ``fp32`` or ``constexpr``."""
    constants: dict[str, Any]
    """The value of each ``constexpr`` parameter."""
    attributes: dict[str, int]
    """Pointers and strides known to be a multiple of this number."""
    num_warps: int
    num_stages: int
    phase: str
    """``forward``, ``backward_dq``, ``backward_dkv`` or ``decode``."""
    head_dim: int
    causal: bool
    dtype: str


def builds(
    target: str,
    head_dims: tuple[int, ...] = (64, 128),
    dtypes: tuple[str, ...] = ("bf16",),
    causal: tuple[bool, ...] = (False, True),
) -> tuple[Build, ...]:
    """Every build for `target` (``sm_80``, ``sm_90`` …), default configurations, in a stable order."""
    return tuple(
        build(phase, target, head_dim, dtype, causal=is_causal)
        for phase in KERNELS
        for head_dim in head_dims
        for dtype in dtypes
        for is_causal in causal
    )


def build(
    phase: str,
    target: str,
    head_dim: int,
    dtype: str,
    *,
    causal: bool,
    config: Config | None = None,
    present: Mapping[str, str] | None = None,
    constants: Mapping[str, Any] | None = None,
) -> Build:
    """One build; `config` replaces the default of the table.

    `present` gives the types of arguments that a plain call leaves out (``{"softcap":
    "fp32"}``), `constants` other values of constexpr parameters.
    """
    kernel, capability = KERNELS[phase], int(target.removeprefix("sm_"))
    width = max(16, 1 << (head_dim - 1).bit_length())
    config = config or configs.candidates(phase, capability, width, ELEMENT_BYTES[dtype])[0]
    known = PLAIN | ({} if causal else {"right": None, "prefix": 0})
    known |= {
        "stride_kn": head_dim,
        "stride_vn": head_dim,
        "D": head_dim,
        "DV": head_dim,
        "D_PAD": width,
        "DV_PAD": width,
        **_constants(config),
    }
    known = {name: value for name, value in known.items() if name not in (present or {})} | dict(constants or {})
    types = TYPES | dict.fromkeys(OF_THE_CASE, f"*{dtype}") | dict(present or {})
    signature = {n: "constexpr" if n in known else types.get(n, "i32") for n in kernel.arg_names}
    return Build(
        name=f"{phase}-sm{capability}-d{head_dim}-{'causal' if causal else 'full'}-{dtype}-{config.label}",
        kernel=kernel,
        signature=signature,
        constants={name: known[name] for name, kind in signature.items() if kind == "constexpr"},
        attributes={name: 16 for name, kind in signature.items() if _aligned(name, kind)},
        num_warps=config.num_warps,
        num_stages=config.num_stages,
        phase=phase,
        head_dim=head_dim,
        causal=causal,
        dtype=dtype,
    )


def source(build: Build) -> Any:
    """The build as ``triton.compiler.ASTSource``."""
    from triton.compiler import ASTSource

    names = list(build.signature)
    attrs = {(names.index(name),): [["tt.divisibility", number]] for name, number in build.attributes.items()}
    return ASTSource(fn=build.kernel, signature=build.signature, constexprs=build.constants, attrs=attrs)


def options(build: Build) -> dict[str, int]:
    """The options that ``triton.compile`` takes with it."""
    return {"num_warps": build.num_warps, "num_stages": build.num_stages}


def _constants(config: Config) -> dict[str, Any]:
    return {"BLOCK_M": config.block_m, "BLOCK_N": config.block_n, "QK_AHEAD": config.qk_ahead}


def _aligned(name: str, kind: str) -> bool:
    """Whether Triton would find this argument divisible by 16: pointers, and strides of D elements and more."""
    return kind.startswith("*") or (kind == "i32" and name.startswith("stride_"))
