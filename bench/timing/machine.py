"""What torch knows of the machine: the facts of an environment that need it."""

import torch

from bench.timing.harness import harness
from impls.registry import installed_version


class DeviceError(ValueError):
    """The device that was asked for is not there."""


def torch_facts(device: str) -> dict[str, str]:
    """Hard facts by name; raises DeviceError with the reason where `device` isn't there."""
    facts = {
        "torch": str(torch.__version__),
        "triton": installed_version("triton") or "none",
        "flash-attn": installed_version("flash_attn") or "none",
        "isa": torch.backends.cpu.get_cpu_capability(),
        "threads": str(torch.get_num_threads()),
        "harness": harness(),
    }
    if device == "cpu":
        return facts
    if device != "cuda":
        raise DeviceError(f"device {device!r} is not known: there are cpu and cuda")
    if not torch.cuda.is_available():
        built = f"CUDA {torch.version.cuda}" if torch.version.cuda else "no CUDA"
        raise DeviceError(
            f"device cuda is not there: torch {torch.__version__} is built with {built} and sees no GPU"
        )
    properties = torch.cuda.get_device_properties()
    return facts | {
        "gpu": properties.name,
        "gpu_memory_bytes": str(properties.total_memory),
        "capability": f"{properties.major}.{properties.minor}",
        "sms": str(properties.multi_processor_count),
        "cuda": str(torch.version.cuda),
    }
