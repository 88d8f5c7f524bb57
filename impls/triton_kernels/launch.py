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

INTERPRETED_PROCESSORS = 4
"""Multiprocessors that the interpreter stands for: enough to split the keys of a test's decode."""


@dataclass(frozen=True)
class Problem:
    """What all launches of one case share."""

    inputs: Inputs
    capability: int | None
    """Compute capability as 90 for 9.0; None in the interpreter."""
    processors: int
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


def problem_of(inputs: Inputs) -> Problem:
    """Everything about `inputs` that does not change from call to call."""
    device = inputs.q.device
    if device.type != "cuda":
        return Problem(inputs, capability=None, processors=INTERPRETED_PROCESSORS, shared=_shared(inputs))
    major, minor = torch.cuda.get_device_capability(device)
    processors = torch.cuda.get_device_properties(device).multi_processor_count
    return Problem(inputs, capability=10 * major + minor, processors=processors, shared=_shared(inputs))


def _shared(inputs: Inputs) -> dict[str, Any]:
    """Arguments by name, of the case and of the tensors that no kernel writes."""
    case, table = inputs.case, inputs.block_table
    left, right, prefix = _rule(case)
    table = None if table is None else table.contiguous()
    return {
        "bias": inputs.bias,
        "slopes": inputs.alibi_slopes,
        "sinks": inputs.sinks,
        "lengths": inputs.cu_seqlens_q if isinstance(case.layout, Packed) else inputs.kv_lengths,
        "key_starts": inputs.cu_seqlens_k,
        "table": table,
        "stride_tb": 0 if table is None else table.stride(0),
        "page": case.layout.page if isinstance(case.layout, Paged) else 0,
        "groups": case.groups,
        "q_len": case.q_len,
        "kv_len": case.kv_len,
        "left": left,
        "right": right,
        "prefix": prefix,
        "scale": case.score_scale,
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


def run_forward(problem: Problem, q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """`out` as q with v's width, and `lse`, by the forward kernel."""
    case = problem.case
    out, lse = _like_q(q, case.v_head_dim), q.new_empty(q.shape[:3], dtype=torch.float32)
    arguments = {"q": q, "k": k, "v": v, "out": out, "lse": lse} | problem.shared
    arguments |= _strides("q", "bhmd", q) | _strides("k", "bhnd", k)
    arguments |= _strides("v", "bhnd", v) | _strides("o", "bhmd", out)

    def launch(config: Config) -> None:
        grid = (triton.cdiv(problem.longest("q"), config.tile_q), case.q_heads, problem.segments)
        _launch(forward, grid, arguments, config, AHEAD=config.ahead)

    launch(_config("forward", problem, launch))
    return out, lse


def run_backward(
    problem: Problem, q: Tensor, k: Tensor, v: Tensor, out: Tensor, lse: Tensor, dout: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """dq, dk and dv, shaped and laid out as q, k and v."""
    case = problem.case
    dq, delta = torch.empty_like(q), torch.empty_like(lse)
    # keys beyond a row's length belong to no segment: nobody writes their gradient
    new = torch.zeros_like if isinstance(case.layout, Padded) else torch.empty_like
    dk, dv = new(k), new(v)
    arguments = {
        "q": q, "k": k, "v": v, "out": out, "dout": dout, "lse": lse, "delta": delta, "dq": dq, "dk": dk, "dv": dv,
    } | problem.shared  # fmt: skip
    arguments |= _strides("q", "bhmd", q) | _strides("k", "bhnd", k) | _strides("v", "bhnd", v)
    arguments |= _strides("o", "bhmd", out) | _strides("g", "bhmd", dout)
    arguments |= _strides("x", "bhmd", dq) | _strides("y", "bhnd", dk) | _strides("z", "bhnd", dv)

    def launch_dq(config: Config) -> None:
        grid = (triton.cdiv(problem.longest("q"), config.tile_q), case.q_heads, problem.segments)
        _launch(backward_dq, grid, arguments, config)

    def launch_dkv(config: Config) -> None:
        grid = (triton.cdiv(problem.longest("kv"), config.tile_k), case.kv_heads, problem.segments)
        _launch(backward_dkv, grid, arguments, config)

    launch_dq(_config("backward_dq", problem, launch_dq))
    launch_dkv(_config("backward_dkv", problem, launch_dkv))
    return dq, dk, dv


def run_decode(problem: Problem, q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """As `run_forward`, for few queries: the keys are split over programs, then merged."""
    case = problem.case
    out, lse = _like_q(q, case.v_head_dim), q.new_empty(q.shape[:3], dtype=torch.float32)
    arguments = {"q": q, "k": k, "v": v} | problem.shared
    arguments |= _strides("q", "bhmd", q) | _strides("k", "bhnd", k) | _strides("v", "bhnd", v)
    lines = case.groups * case.q_len

    def launch(config: Config) -> None:
        tiles = case.kv_heads * triton.cdiv(lines, config.tile_q)
        wanted = triton.cdiv(2 * problem.processors, tiles * case.batch)
        splits = max(1, min(wanted, MOST_SPLITS, triton.cdiv(case.kv_len, config.tile_k)))
        partial = q.new_empty(*q.shape[:3], splits, case.v_head_dim, dtype=torch.float32)
        sums = q.new_empty(*q.shape[:3], splits, dtype=torch.float32)
        _launch(decode, (splits, tiles, case.batch), arguments | {"partial": partial, "partial_lse": sums}, config)
        merging = {"partial": partial, "partial_lse": sums, "out": out, "lse": lse, "splits": splits}
        merging |= _strides("o", "bhmd", out) | {"q_heads": case.q_heads} | problem.shared
        one = Config(1, 1, 4, 1)
        _launch(merge, (lse.numel(),), merging, one, SPLITS_PAD=triton.next_power_of_2(splits))

    launch(_config("decode", problem, launch))
    return out, lse


class Attention(torch.autograd.Function):
    """q, k, v to (out, lse), with gradients of q, k and v; the LSE, bias, slopes and sinks have none."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, problem: Problem) -> tuple[Tensor, Tensor]:
        out, lse = run_forward(problem, q, k, v)
        ctx.save_for_backward(q, k, v, out, lse)
        ctx.problem = problem
        ctx.mark_non_differentiable(lse)
        return out, lse

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        q, k, v, out, lse = ctx.saved_tensors
        return *run_backward(ctx.problem, q, k, v, out, lse, grads[0]), None


def attend(problem: Problem, q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """`run_forward`, with a graph behind `out`."""
    return Attention.apply(q, k, v, problem)  # type: ignore[no-untyped-call,no-any-return]  # torch leaves it untyped


def _launch(
    kernel: Any, grid: tuple[int, ...], arguments: dict[str, Any], config: Config, **constants: Any
) -> None:
    """Launch with those of `arguments` that the kernel names."""
    known = arguments | {"TILE_Q": config.tile_q, "TILE_K": config.tile_k} | constants
    own = {name: known[name] for name in kernel.arg_names}
    device = arguments["lse" if kernel is merge else "q"].device
    with torch.cuda.device(device) if device.type == "cuda" else nullcontext():  # Triton takes the current one
        kernel[grid](**own, num_warps=config.num_warps, num_stages=config.num_stages)


def _config(phase: str, problem: Problem, launch: Callable[[Config], None]) -> Config:
    """The configuration to use: small tiles in the interpreter, the tuner's choice on a GPU."""
    if problem.capability is None:
        return configs.INTERPRETED
    case = problem.case
    width = max(problem.shared["D_PAD"], problem.shared["DV_PAD"])
    candidates = configs.candidates(phase, problem.capability, width, problem.inputs.q.element_size())
    return tuning.pick(tuning.Key.of(phase, problem.capability, case), candidates, launch)


def _rule(case: Case) -> tuple[int | None, int | None, int]:
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
    """The segment rule of `tiles.segment`."""
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
