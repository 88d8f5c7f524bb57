"""The side effects of a call: what it changed, kept, aliased or did not write."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from attnbench.bench.records.schema import Check
from attnbench.impls.contract import Call, Inputs, Outputs
from attnbench.impls.contract.tensors import TORCH_DTYPES


class Streams(Protocol):
    """The operations of a device that the check for work on another stream needs."""

    def wait_for_all(self) -> None:
        """Return when the whole device is idle."""

    def wait_for_current(self) -> None:
        """Return when the stream that the caller works on is idle; others may go on."""


class DeviceStreams:
    """The streams of the current device of a kind that torch has a module for ("cuda", "xpu")."""

    def __init__(self, kind: str) -> None:
        self.module = getattr(torch, kind)

    def wait_for_all(self) -> None:
        """``torch.cuda.synchronize``."""
        self.module.synchronize()

    def wait_for_current(self) -> None:
        """``torch.cuda.current_stream().synchronize``."""
        self.module.current_stream().synchronize()


def streams_of(device: str) -> Streams | None:
    """The streams of a device; None where there is no second one."""
    return DeviceStreams(device) if device in ("cuda", "xpu") else None


POISONED = 2
"""Blocks of the output's size that are filled before a call."""


@dataclass(frozen=True)
class Observation:
    """The outputs of a first call, and the checks that the calls passed or failed."""

    outputs: Outputs
    checks: tuple[Check, ...]


def observe(call: Call, inputs: Inputs, streams: Streams | None = None) -> Observation:
    """Call twice, the second time with another global random state, and check the side effects.

    A third call is made only where the two differ, a fourth where the device has `streams`.
    """
    before = {name: bits(x).clone() for name, x in (inputs.tensors() | inputs.derived).items()}
    flags = {name: (x.requires_grad, x.grad) for name, x in inputs.tensors().items()}
    with torch.random.fork_rng():
        state = global_state()
        poison_allocator(inputs)
        torch.manual_seed(1)
        random = torch.get_rng_state()
        first = call()
        drew = not torch.equal(random, torch.get_rng_state())
        shape = _shape_check(first, inputs)
        if not shape.ok:
            return Observation(first, (shape,))
        kept = bits(first.out).clone()
        unchanged = _mutation(before, inputs)
        for name, x in inputs.derived.items():  # one finding must not become many
            bits(x).copy_(before[name])
        torch.manual_seed(2)
        second = call()
        repeated = _repeatable(call, kept, second)
    checks = (
        shape,
        unchanged if not unchanged.ok else _mutation(before, inputs),
        _grad_flags(flags, inputs),
        _aliasing(first, second, inputs),
        _stable(first, kept),
        repeated,
        _random_state(call, kept, second, drew=drew),
        restored(state),
    )
    return Observation(first, checks + ((_streams(call, streams),) if streams else ()))


def poison_allocator(inputs: Inputs) -> None:
    """Fill blocks of the output's size with NaN and free them, so that an output that is not written has NaN."""
    shape = (*inputs.q.shape[:3], inputs.case.v_head_dim)
    held = [torch.full(shape, torch.nan, dtype=inputs.q.dtype, device=inputs.q.device) for _ in range(POISONED)]
    del held  # only now, since a block that is freed at once is the next one given out


def verdict(name: str, problem: str) -> Check:
    """A required check that failed with this problem, or passed where there is none."""
    return Check(name=name, ok=not problem, detail=problem)


def bits(x: Tensor) -> Tensor:
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
    return verdict("shape and dtype", "; ".join(wrong))


def _mutation(before: dict[str, Tensor], inputs: Inputs) -> Check:
    given = inputs.tensors() | inputs.derived
    changed = [name for name, x in given.items() if not torch.equal(bits(x), before[name])]
    return verdict("inputs unchanged", f"the call wrote into {', '.join(changed)}" if changed else "")


def _grad_flags(flags: dict[str, tuple[bool, Tensor | None]], inputs: Inputs) -> Check:
    """No input begins to require a gradient, or is given one, by a forward call."""
    wrong = []
    for name, x in inputs.tensors().items():
        required, grad = flags[name]
        if x.requires_grad != required:
            wrong.append(f"{name}.requires_grad went from {required} to {x.requires_grad}")
        if x.grad is not grad:
            wrong.append(f"{name}.grad was set")
    return verdict("gradient flags", "; ".join(wrong))


def _aliasing(first: Outputs, second: Outputs, inputs: Inputs) -> Check:
    """The output shares no memory with an input or with another call's output."""
    out = first.out.untyped_storage().data_ptr()
    shared = [name for name, x in inputs.tensors().items() if x.untyped_storage().data_ptr() == out]
    if second.out.untyped_storage().data_ptr() == out:
        shared.append("the output of the next call")
    return verdict("own memory", f"out shares memory with {', '.join(shared)}" if shared else "")


def _stable(first: Outputs, kept: Tensor) -> Check:
    same = torch.equal(bits(first.out), kept)
    return verdict("output stays", "" if same else "the next call changed an output given earlier")


def _differs(kept: Tensor, outputs: Outputs) -> int:
    return int((kept != bits(outputs.out)).sum())


def _repeatable(call: Call, kept: Tensor, second: Outputs) -> Check:
    """The same bits again; where only the random seed made the difference, that is another check's finding."""
    different = _differs(kept, second)
    if different:
        torch.manual_seed(1)
        different = _differs(kept, call())
    detail = f"the same call twice differs in {different} of {kept.numel()} elements" if different else ""
    return verdict("determinism", detail)


def _random_state(call: Call, kept: Tensor, second: Outputs, *, drew: bool) -> Check:
    """The output does not depend on torch's global generator, and the call leaves that as it was."""
    if different := _differs(kept, second):
        with torch.random.fork_rng():
            torch.manual_seed(1)
            if not _differs(kept, call()):
                words = f"{different} of {kept.numel()} elements depend on torch's global random state"
                return verdict("random state", words)
    return verdict("random state", "the call drew from, or set, torch's global random state" if drew else "")


def _set_deterministic(mode: int) -> None:
    """Put torch's deterministic mode back (0 off, 1 warns, 2 raises), and Inductor's own where that is loaded.

    ``torch.use_deterministic_algorithms`` would load Inductor for it, 0.5 s in each process.
    """
    if "torch._inductor" in sys.modules:
        torch.use_deterministic_algorithms(mode > 0, warn_only=mode == 1)
    else:
        torch.set_deterministic_debug_mode(mode)


_STATE: dict[str, tuple[Callable[[], object], Callable[..., object]]] = {
    "the default dtype": (torch.get_default_dtype, torch.set_default_dtype),
    "grad mode": (torch.is_grad_enabled, torch.set_grad_enabled),
    "the number of threads": (torch.get_num_threads, torch.set_num_threads),
    "deterministic algorithms": (torch.get_deterministic_debug_mode, _set_deterministic),
    "float32 matmul precision": (torch.get_float32_matmul_precision, torch.set_float32_matmul_precision),
}
"""Settings of the process that no kernel may leave changed: how each is read and put back."""


def global_state() -> dict[str, object]:
    """The current settings."""
    return {name: read() for name, (read, _) in _STATE.items()}


def restored(state: dict[str, object]) -> Check:
    """Whether the settings are as in `state`; those that are not are put back."""
    changed = []
    for name, (read, write) in _STATE.items():
        if (now := read()) != state[name]:
            changed.append(f"{name} was left at {now}")
            write(state[name])
    return verdict("global state", "; ".join(changed))


def _streams(call: Call, streams: Streams) -> Check:
    """What the caller's own stream sees after the call is final: no other stream still writes into it."""
    streams.wait_for_all()
    out = call().out
    streams.wait_for_current()
    early = bits(out).clone()
    streams.wait_for_all()
    late = int((early != bits(out)).sum())
    words = f"{late} elements were written after the caller's stream was idle: work left on another stream"
    return verdict("own stream", words if late else "")
