"""Fused attention in Triton, written here: forward, deterministic backward, and split-KV decode.

Source: Dao (2023), FlashAttention-2; Dao et al. (2023), Flash-Decoding. The
kernels and their notes are in ``impls/triton_kernels`` and
``docs/triton_fused.md``. On a CPU they run in Triton's interpreter: for
agreement, never for timing.

Costs: no score matrix; tiles that a mask hides are neither read nor computed,
tiles that it shows whole are not masked; K and V are not repeated for grouped
heads; the backward computes the scores twice and uses no atomics.
"""

import os
import sys

import torch

from attnbench.impls.contract import EVERYTHING, Call, Case, Implementation, Inputs, Outputs, Packed, Requirement

MOST_HEAD_DIM = 256
OLDEST = (8, 0)
"""Compute capability from which on a GPU has what the kernels need: bfloat16 MMAs, asynchronous copies."""


def interpreter() -> str | None:
    """Why Triton's interpreter does not run here; None where it does.

    Triton looks at TRITON_INTERPRET while it is imported, so that setting it later has no effect.
    """
    if os.environ.get("TRITON_INTERPRET") != "1":
        return "on a CPU it needs Triton's interpreter: set TRITON_INTERPRET=1 before Python starts"
    loaded = sys.modules.get("triton.language.standard")
    if loaded is not None and "Interpreted" not in type(loaded.sum).__name__:
        return "TRITON_INTERPRET=1 was set after triton was imported: set it before Python starts"
    return None


def lacks(device: str) -> str | None:
    """Triton's interpreter on a CPU; its absence on a GPU."""
    if device == "cpu":
        return interpreter()
    if os.environ.get("TRITON_INTERPRET") == "1":
        return "TRITON_INTERPRET=1 is set, under which no kernel runs on the GPU: unset it"
    if device == "cuda" and torch.cuda.is_available() and torch.cuda.get_device_capability() < OLDEST:
        return f"{torch.cuda.get_device_name()} has a compute capability below {OLDEST[0]}.{OLDEST[1]}"
    return None


def _refuses(case: Case, device: str) -> str | None:
    if max(case.head_dim, case.v_head_dim) > MOST_HEAD_DIM:
        return f"head_dim goes up to {MOST_HEAD_DIM}, not {max(case.head_dim, case.v_head_dim)}"
    return None


def prepare(inputs: Inputs) -> Call:
    """Reads the case once; on a GPU the first call of a kind compiles and tunes."""
    from attnbench.impls.triton_kernels import launch

    case, context = inputs.case, launch.launch_context(inputs)
    q, k, v = inputs.q, inputs.k, inputs.v
    if case.direction != "fwd":
        return lambda: Outputs(*launch.attend(context, q, k, v))
    few = case.q_len <= launch.DECODE_QUERIES and not isinstance(case.layout, Packed)
    run = launch.run_decode if few else launch.run_forward
    return lambda: Outputs(*run(context, q, k, v))


def chosen() -> dict[str, str]:
    """Configurations that the tuner chose in this process, by kind of case; empty before any call on a GPU."""
    loaded = sys.modules.get("attnbench.impls.triton_kernels.tuning")
    return loaded.chosen() if loaded else {}


IMPL = Implementation(
    name="triton_fused",
    summary="ours: fused Triton forward, deterministic backward, split-KV decode",
    prepare=prepare,
    features=EVERYTHING - {"blocks"},
    requires=(Requirement("triton", ">=3.6", "pip install triton"),),
    refuses=_refuses,
    lacks=lacks,
    tuned=chosen,
    never_timed={"cpu": "it ran in Triton's interpreter, whose time says nothing of the kernel"},
)
