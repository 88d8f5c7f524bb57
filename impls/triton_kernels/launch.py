"""From tensors to kernel launches: arguments by name, grids, and the autograd function."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
import triton
from torch import Tensor

from attnbench.impls.contract import Cache, Case, Causal, Full, Inputs, Packed, Padded, Paged, Prefix, Window
from attnbench.impls.triton_kernels import configs, tuning
from attnbench.impls.triton_kernels.backward import backward_dkv, backward_dq
from attnbench.impls.triton_kernels.configs import Config
from attnbench.impls.triton_kernels.decode import decode, merge
from attnbench.impls.triton_kernels.forward import forward

DECODE_QUERIES = 16
"""Up to so many queries a row go to the decode kernel, where no gradient is asked."""

MOST_SPLITS = 128

MERGE = Config(1, 1, 4, 1, reason="one program a query; it has no tiles")

INTERPRETED_SM_COUNT = 4
"""Multiprocessors that the interpreter stands for: enough to split the keys of a test's decode."""


@dataclass(frozen=True)
class LaunchContext:
    """What all launches of one case share."""

    inputs: Inputs
    capability: int | None
    """Compute capability as 90 for 9.0; None in the interpreter."""
    sm_count: int
    shared: dict[str, Any]
    """Arguments that have the same name and value in every kernel."""

    @property
    def case(self) -> Case:
        return self.inputs.case

    @property
    def segments(self) -> int:
        """Programs along the grid's last axis."""
        layout = self.case.layout
        return len(layout.q_lengths) if isinstance(layout, Packed) else self.case.batch

    def longest(self, side: str) -> int:
        """Most queries (``q``) or keys (``kv``) of one segment."""
        layout = self.case.layout
        if isinstance(layout, Packed):
            return max(layout.q_lengths if side == "q" else layout.kv_lengths)
        return self.case.q_len if side == "q" else self.case.kv_len


def launch_context(inputs: Inputs) -> LaunchContext:
    """Everything about `inputs` that does not change from call to call."""
    device = inputs.q.device
    if device.type != "cuda":
        return LaunchContext(
            inputs, capability=None, sm_count=INTERPRETED_SM_COUNT, shared=_shared_arguments(inputs)
        )
    major, minor = torch.cuda.get_device_capability(device)
    sm_count = torch.cuda.get_device_properties(device).multi_processor_count
    return LaunchContext(inputs, capability=10 * major + minor, sm_count=sm_count, shared=_shared_arguments(inputs))


def _shared_arguments(inputs: Inputs) -> dict[str, Any]:
    """Arguments by name, of the case and of the tensors that no kernel writes."""
    case = inputs.case
    left, right, prefix = _mask_bounds(case)
    block_table = None if inputs.block_table is None else inputs.block_table.contiguous()
    return {
        "bias": inputs.bias,
        "alibi_slopes": inputs.alibi_slopes,
        "sinks": inputs.sinks,
        "cu_seqlens_q": inputs.cu_seqlens_q,
        "cu_seqlens_k": inputs.cu_seqlens_k,
        "kv_lengths": inputs.kv_lengths,
        "block_table": block_table,
        "stride_tb": 0 if block_table is None else block_table.stride(0),
        "page_size": case.layout.page if isinstance(case.layout, Paged) else 0,
        "groups": case.groups,
        "q_len": case.q_len,
        "kv_len": case.kv_len,
        "left": left,
        "right": right,
        "prefix": prefix,
        "softmax_scale": case.score_scale,
        "softcap": case.softcap,
        "LAYOUT": _layout(case),
        "D": case.head_dim,
        "DV": case.v_head_dim,
        "D_PAD": padded(case.head_dim),
        "DV_PAD": padded(case.v_head_dim),
    } | _strides("b", "bhmn", inputs.bias)


def padded(head_dim: int) -> int:
    """The width of a tile that holds `head_dim`: a power of two, 16 or more, as tl.dot wants."""
    return max(16, 1 << (head_dim - 1).bit_length())


def run_forward(context: LaunchContext, q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """`out` as q with v's width, and `lse`, by the forward kernel."""
    case = context.case
    out, lse = _like_q(q, case.v_head_dim), q.new_empty(q.shape[:3], dtype=torch.float32)
    arguments = {"q": q, "k": k, "v": v, "out": out, "lse": lse} | context.shared
    arguments |= _strides("q", "bhmd", q) | _strides("k", "bhnd", k)
    arguments |= _strides("v", "bhnd", v) | _strides("o", "bhmd", out)

    def launch(config: Config) -> None:
        grid = (triton.cdiv(context.longest("q"), config.block_m), case.q_heads, context.segments)
        _launch(forward, grid, arguments, config, QK_AHEAD=config.qk_ahead)

    launch(_config("forward", context, launch))
    return out, lse


def run_backward(
    context: LaunchContext, q: Tensor, k: Tensor, v: Tensor, out: Tensor, lse: Tensor, dout: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """dq, dk and dv, shaped and laid out as q, k and v."""
    case = context.case
    dq, delta = torch.empty_like(q), torch.empty_like(lse)
    # keys beyond a row's length belong to no segment: nobody writes their gradient
    new = torch.zeros_like if isinstance(case.layout, Padded) else torch.empty_like
    dk, dv = new(k), new(v)
    arguments = {
        "q": q, "k": k, "v": v, "out": out, "dout": dout, "lse": lse, "delta": delta, "dq": dq, "dk": dk, "dv": dv,
    } | context.shared  # fmt: skip
    arguments |= _strides("q", "bhmd", q) | _strides("k", "bhnd", k) | _strides("v", "bhnd", v)
    arguments |= _strides("o", "bhmd", out) | _strides("do", "bhmd", dout)
    arguments |= _strides("dq", "bhmd", dq) | _strides("dk", "bhnd", dk) | _strides("dv", "bhnd", dv)

    def launch_dq(config: Config) -> None:
        grid = (triton.cdiv(context.longest("q"), config.block_m), case.q_heads, context.segments)
        _launch(backward_dq, grid, arguments, config)

    def launch_dkv(config: Config) -> None:
        grid = (triton.cdiv(context.longest("kv"), config.block_n), case.kv_heads, context.segments)
        _launch(backward_dkv, grid, arguments, config)

    launch_dq(_config("backward_dq", context, launch_dq))
    launch_dkv(_config("backward_dkv", context, launch_dkv))
    return dq, dk, dv


def run_decode(context: LaunchContext, q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """As `run_forward`, for few queries: the keys are split over programs, then merged."""
    case = context.case
    out, lse = _like_q(q, case.v_head_dim), q.new_empty(q.shape[:3], dtype=torch.float32)
    arguments = {"q": q, "k": k, "v": v} | context.shared
    arguments |= _strides("q", "bhmd", q) | _strides("k", "bhnd", k) | _strides("v", "bhnd", v)
    rows = case.groups * case.q_len

    def launch(config: Config) -> None:
        tiles = case.kv_heads * triton.cdiv(rows, config.block_m)
        wanted = triton.cdiv(2 * context.sm_count, tiles * case.batch)
        splits = max(1, min(wanted, MOST_SPLITS, triton.cdiv(case.kv_len, config.block_n)))
        partials = {
            "out_partial": q.new_empty(*q.shape[:3], splits, case.v_head_dim, dtype=torch.float32),
            "lse_partial": q.new_empty(*q.shape[:3], splits, dtype=torch.float32),
        }
        _launch(decode, (splits, tiles, case.batch), arguments | partials, config)
        merged = partials | {"out": out, "lse": lse, "splits": splits, "q_heads": case.q_heads}
        merged |= _strides("o", "bhmd", out) | context.shared
        _launch(merge, (lse.numel(),), merged, MERGE, SPLITS_PAD=triton.next_power_of_2(splits))

    launch(_config("decode", context, launch))
    return out, lse


class Attention(torch.autograd.Function):
    """q, k, v to (out, lse), with gradients of q, k and v; the LSE, bias, slopes and sinks have none."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, context: LaunchContext) -> tuple[Tensor, Tensor]:
        out, lse = run_forward(context, q, k, v)
        ctx.save_for_backward(q, k, v, out, lse)
        ctx.launch_context = context
        ctx.mark_non_differentiable(lse)
        return out, lse

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        q, k, v, out, lse = ctx.saved_tensors
        return *run_backward(ctx.launch_context, q, k, v, out, lse, grads[0]), None


def attend(context: LaunchContext, q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """`run_forward`, with a graph behind `out`."""
    return Attention.apply(q, k, v, context)  # type: ignore[no-untyped-call,no-any-return]  # torch leaves it untyped


def _launch(
    kernel: Any, grid: tuple[int, ...], arguments: dict[str, Any], config: Config, **constants: Any
) -> None:
    """Launch with those of `arguments` that the kernel names."""
    known = arguments | {"BLOCK_M": config.block_m, "BLOCK_N": config.block_n} | constants
    own = {name: known[name] for name in kernel.arg_names}
    device = arguments["lse" if kernel is merge else "q"].device
    with torch.cuda.device(device) if device.type == "cuda" else nullcontext():  # Triton takes the current one
        kernel[grid](**own, num_warps=config.num_warps, num_stages=config.num_stages)


def _config(phase: str, context: LaunchContext, launch: Callable[[Config], None]) -> Config:
    """The configuration to use: small tiles in the interpreter, the tuner's choice on a GPU."""
    if context.capability is None:
        return configs.INTERPRETED
    case = context.case
    width = max(context.shared["D_PAD"], context.shared["DV_PAD"])
    candidates = configs.candidates(phase, context.capability, width, context.inputs.q.element_size())
    return tuning.pick(tuning.Key.of(phase, context.capability, case), candidates, launch)


def _mask_bounds(case: Case) -> tuple[int | None, int | None, int]:
    """(left, right, prefix): a query at p sees keys from ``p - left`` to below ``max(p + right + 1, prefix)``."""
    match case.mask:
        case Full():
            return None, None, 0
        case Causal():
            return None, 0, 0
        case Prefix(prefix):
            return None, 0, prefix
        case Window(left, right):
            return left, right, 0
    raise ValueError(f"the kernels know no range of keys for the mask {case.mask.spec}")


def _layout(case: Case) -> str:
    """Where the lengths of a segment come from, see `tiles.segment`."""
    match case.layout:
        case Packed():
            return "packed"
        case Padded():
            return "padded"
        case Cache() | Paged():
            return "filled"
    return "dense"


def _like_q(q: Tensor, width: int) -> Tensor:
    """An empty output with q's order of axes in memory."""
    batch, heads, length, _ = q.shape
    if q.stride(1) < q.stride(2):
        return q.new_empty(batch, length, heads, width).transpose(1, 2)
    return q.new_empty(batch, heads, length, width)


def _strides(letter: str, axes: str, x: Tensor | None) -> dict[str, int]:
    """``stride_kb`` … for a tensor `k`; zeros for one that is not there."""
    values = (0,) * len(axes) if x is None else x.stride()
    return {f"stride_{letter}{axis}": value for axis, value in zip(axes, values, strict=True)}
