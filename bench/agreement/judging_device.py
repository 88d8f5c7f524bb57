"""The device on which results are compared: their own where it has float64, otherwise the CPU."""

import torch
from torch import Tensor

from attnbench.impls.contract import Inputs

WITH_FLOAT64 = frozenset({"cpu", "cuda"})
"""MPS has no float64, and of Intel's GPUs only some have."""


def judging_device(device: str) -> str:
    """The device on which results of `device` are compared."""
    return device if device in WITH_FLOAT64 else "cpu"


def inputs_on_judging_device(inputs: Inputs) -> Inputs:
    """`inputs` on the judging device; `inputs` themselves where they are there already."""
    if inputs.q.device.type in WITH_FLOAT64:
        return inputs
    return Inputs(case=inputs.case, **{name: on_judging_device(x.detach()) for name, x in inputs.tensors().items()})


def on_judging_device(x: Tensor) -> Tensor:
    """`x` on the judging device."""
    return x.to(judging_device(x.device.type))


def unexpected_dtype(device: str) -> torch.dtype:
    """A default dtype that no kernel expects, of those that the device has."""
    return torch.float64 if device in WITH_FLOAT64 else torch.float16
