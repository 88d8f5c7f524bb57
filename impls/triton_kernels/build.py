"""Which kernels to compile for a GPU that is not here, and with what constants.

A build is what ``triton.compile`` needs; `source` makes it into Triton's own
form. The arguments are those of a dense call with contiguous ``[B, H, M, D]``
tensors, as `launch` would pass them.
"""

from dataclasses import dataclass
from typing import Any

from impls.triton_kernels import configs
from impls.triton_kernels.configs import Config
from impls.triton_kernels.forward import forward

ELEMENT_BYTES = {"fp16": 2, "bf16": 2, "fp32": 4}
POINTERS = {"q", "k", "v", "out", "dout", "dq", "dk", "dv"}
FLOAT_POINTERS = {"lse", "delta"}
ABSENT = {"bias", "slopes", "sinks", "lengths", "key_starts", "table", "left", "softcap"}
UNIT_STRIDES = {"stride_qd", "stride_kd", "stride_vd", "stride_od", "stride_gd", "stride_xd", "stride_yd", "stride_zd"}
ABSENT_STRIDES = {"stride_bb", "stride_bh", "stride_bm", "stride_bn", "stride_tb", "page"}
FLOATS = {"scale"}


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
    tile_q: int
    tile_k: int


def builds(
    target: str,
    head_dims: tuple[int, ...] = (64, 128),
    dtypes: tuple[str, ...] = ("bf16",),
    causal: tuple[bool, ...] = (False, True),
) -> tuple[Build, ...]:
    """Every build for `target` (``sm_80``, ``sm_90`` …), default configurations, in a stable order."""
    capability = int(target.removeprefix("sm_"))
    return tuple(
        _forward(capability, head_dim, dtype, is_causal)
        for head_dim in head_dims
        for dtype in dtypes
        for is_causal in causal
    )


def source(build: Build) -> Any:
    """The build as ``triton.compiler.ASTSource``."""
    from triton.compiler import ASTSource

    names = list(build.signature)
    attrs = {(names.index(name),): [["tt.divisibility", number]] for name, number in build.attributes.items()}
    return ASTSource(fn=build.kernel, signature=build.signature, constexprs=build.constants, attrs=attrs)


def _forward(capability: int, head_dim: int, dtype: str, causal: bool) -> Build:
    config = configs.forward_configs(capability, head_dim, ELEMENT_BYTES[dtype])[0]
    return make(forward, "forward", config, capability, head_dim, dtype, causal, AHEAD=config.ahead)


def make(
    kernel: Any,
    phase: str,
    config: Config,
    capability: int,
    head_dim: int,
    dtype: str,
    causal: bool,
    **more: Any,
) -> Build:
    """A build of `kernel` with `config`; `more` are constants that only this kernel has."""
    known: dict[str, Any] = {
        "LAYOUT": "dense", "D": head_dim, "DV": head_dim, "D_PAD": head_dim, "DV_PAD": head_dim,
        "TILE_Q": config.tile_q, "TILE_K": config.tile_k,
    } | more  # fmt: skip
    known |= dict.fromkeys(ABSENT) | dict.fromkeys(UNIT_STRIDES, 1) | dict.fromkeys(ABSENT_STRIDES, 0)
    known |= {} if causal else {"right": None, "prefix": 0}
    signature = {name: _type(name, known, dtype) for name in kernel.arg_names}
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
        tile_q=config.tile_q,
        tile_k=config.tile_k,
    )


def _type(name: str, known: dict[str, Any], dtype: str) -> str:
    if name in known:
        return "constexpr"
    if name in POINTERS:
        return f"*{dtype}"
    if name in FLOAT_POINTERS:
        return "*fp32"
    return "fp32" if name in FLOATS else "i32"


def _aligned(name: str, kind: str) -> bool:
    """Whether Triton would find this argument divisible by 16: pointers, and strides of D elements and more."""
    return kind.startswith("*") or (kind == "i32" and name.startswith("stride_"))
