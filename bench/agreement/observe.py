"""A call with its side effects: what it changed, kept, aliased or left unwritten."""

from dataclasses import dataclass

import torch
from torch import Tensor

from bench.records.schema import Check
from impls.contract import Call, Inputs, Outputs
from impls.tensors import TORCH_DTYPES


@dataclass(frozen=True)
class Observation:
    """The outputs of a first call, and the checks that two calls passed or failed."""

    outputs: Outputs
    checks: tuple[Check, ...]


def observe(call: Call, inputs: Inputs, default_dtype: torch.dtype) -> Observation:
    """Call twice, the second time in another global random state, and look at what happened.

    `default_dtype` is torch's default as it was before the implementation was ever called.
    """
    before = {name: _bits(x).clone() for name, x in inputs.tensors().items()}
    poison_allocator(inputs)
    torch.manual_seed(1)
    first = call()
    shape = _shape_check(first, inputs)
    if not shape.ok:
        return Observation(first, (shape,))
    kept = _bits(first.out).clone()
    torch.manual_seed(2)
    second = call()
    return Observation(
        first,
        (
            shape,
            _mutation(before, inputs),
            _aliasing(first, second, inputs),
            _stable(first, kept),
            _determinism(kept, second),
            _global_state(default_dtype),
        ),
    )


def poison_allocator(inputs: Inputs) -> None:
    """Fill and free blocks of the output's size with NaN, so that an output left unwritten shows."""
    shape = (*inputs.q.shape[:3], inputs.case.v_head_dim)
    for _ in range(2):
        torch.full(shape, torch.nan, dtype=inputs.q.dtype, device=inputs.q.device)


def _check(name: str, problem: str) -> Check:
    return Check(name=name, ok=not problem, detail=problem)


def _bits(x: Tensor) -> Tensor:
    """The bits of `x` as integers, so that NaN equals NaN."""
    kinds = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
    return x.detach().contiguous().view(kinds[x.element_size()])


def _shape_check(outputs: Outputs, inputs: Inputs) -> Check:
    """Kind, shape, dtype and device of out and lse."""
    case = inputs.case
    rows = (case.batch, case.q_heads, case.q_len)
    wanted = {"out": ((*rows, case.v_head_dim), TORCH_DTYPES[case.dtype]), "lse": (rows, torch.float32)}
    wrong = []
    for name, (shape, dtype) in wanted.items():
        x = getattr(outputs, name)
        if name == "lse" and x is None:
            continue
        if not isinstance(x, Tensor):
            wrong.append(f"{name} is a {type(x).__name__}, not a tensor")
        elif (tuple(x.shape), x.dtype, x.device.type) != (shape, dtype, inputs.q.device.type):
            wrong.append(
                f"{name} is {list(x.shape)} {x.dtype} on {x.device.type}, "
                f"not {list(shape)} {dtype} on {inputs.q.device.type}"
            )
    return _check("shape and dtype", "; ".join(wrong))


def _mutation(before: dict[str, Tensor], inputs: Inputs) -> Check:
    changed = [name for name, x in inputs.tensors().items() if not torch.equal(_bits(x), before[name])]
    return Check(
        name="inputs unchanged",
        ok=not changed,
        detail=f"the call wrote into {', '.join(changed)}" if changed else "",
    )


def _aliasing(first: Outputs, second: Outputs, inputs: Inputs) -> Check:
    """The output shares no memory with an input or with another call's output."""
    out = first.out.untyped_storage().data_ptr()
    shared = [name for name, x in inputs.tensors().items() if x.untyped_storage().data_ptr() == out]
    if second.out.untyped_storage().data_ptr() == out:
        shared.append("the output of the next call")
    return Check(
        name="own memory", ok=not shared, detail=f"out shares memory with {', '.join(shared)}" if shared else ""
    )


def _stable(first: Outputs, kept: Tensor) -> Check:
    same = torch.equal(_bits(first.out), kept)
    return Check(
        name="output stays", ok=same, detail="" if same else "the next call changed an output given earlier"
    )


def _determinism(kept: Tensor, second: Outputs) -> Check:
    same = torch.equal(kept, _bits(second.out))
    different = 0 if same else int((kept != _bits(second.out)).sum())
    detail = "" if same else f"the same call twice differs in {different} of {kept.numel()} elements"
    return _check("determinism", detail)


def _global_state(default_dtype: torch.dtype) -> Check:
    now = torch.get_default_dtype()
    if now == default_dtype:
        return _check("global state", "")
    torch.set_default_dtype(default_dtype)
    return _check("global state", f"the call left the default dtype at {now}")
