"""Facts of the machine that need torch."""

import platform
from collections.abc import Callable

import torch

from attnbench.bench.records.method import method
from attnbench.bench.registry.catalogue import installed_version


class DeviceError(ValueError):
    """The device that was asked for is not there."""


def torch_facts(device: str) -> dict[str, str]:
    """Hard facts by name; raises DeviceError with the reason where `device` isn't there."""
    if device != "cpu" and device not in FACTS:
        raise DeviceError(f"the device {device!r} is not known: there are cpu, {', '.join(FACTS)}")
    facts = {
        "torch": str(torch.__version__),
        "triton": installed_version("triton") or "none",
        "flash-attn": installed_version("flash_attn") or "none",
        "isa": torch.backends.cpu.get_cpu_capability(),
        "threads": str(torch.get_num_threads()),
        "method": method(),
    }
    return facts | (FACTS[device]() if device != "cpu" else {})


def _cuda_facts() -> dict[str, str]:
    """An NVIDIA or, where torch is built with ROCm, an AMD device; its UUID is not one of the hard facts."""
    built = _built(CUDA=torch.version.cuda, ROCm=torch.version.hip)
    _need(torch.cuda.is_available(), "cuda", f"torch {torch.__version__} is built with {built} and sees no GPU")
    properties = torch.cuda.get_device_properties()
    maker = (
        {"hip": torch.version.hip, "gcn": properties.gcnArchName}
        if torch.version.hip
        else {"cuda": str(torch.version.cuda), "uuid": str(getattr(properties, "uuid", ""))}
    )
    return {
        "gpu": properties.name,
        "gpu_memory_bytes": str(properties.total_memory),
        "capability": f"{properties.major}.{properties.minor}",
        "sms": str(properties.multi_processor_count),
        **maker,
    }


def _xpu_facts() -> dict[str, str]:
    """An Intel GPU."""
    built = _built(XPU=getattr(torch.version, "xpu", None))
    _need(torch.xpu.is_available(), "xpu", f"torch {torch.__version__} is built with {built} and sees no Intel GPU")
    properties = torch.xpu.get_device_properties()
    return {
        "gpu": properties.name,
        "gpu_memory_bytes": str(properties.total_memory),
        "driver": properties.driver_version,
        "units": str(properties.max_compute_units),
    }


def _mps_facts() -> dict[str, str]:
    """An Apple GPU: its driver is part of macOS, whose version stands for it."""
    mps = torch.backends.mps
    built = "MPS and sees no Apple GPU" if mps.is_built() else "no MPS"
    _need(mps.is_available(), "mps", f"torch {torch.__version__} is built with {built}")
    name = mps.get_name() if hasattr(mps, "get_name") else platform.processor()
    return {"gpu": name, "macos": platform.mac_ver()[0]}


FACTS: dict[str, Callable[[], dict[str, str]]] = {"cuda": _cuda_facts, "xpu": _xpu_facts, "mps": _mps_facts}


def _need(there: bool, device: str, why: str) -> None:
    if not there:
        raise DeviceError(f"device {device} is not there: {why}")


def _built(**versions: str | None) -> str:
    found = [f"{name} {version}" for name, version in versions.items() if version]
    return found[0] if found else f"no {' or '.join(versions)}"
