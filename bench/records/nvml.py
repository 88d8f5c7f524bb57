"""NVML's handle of the very GPU that torch works on; no torch here.

NVML counts all GPUs of a machine in the order of their PCI addresses, torch those that
``CUDA_VISIBLE_DEVICES`` leaves in CUDA's own order: only the UUID means the same to both.
"""

from typing import Any


class UnknownGpu(LookupError):
    """NVML is there and knows no GPU of this UUID."""


def gpu(uuid: str = "") -> tuple[Any, Any] | None:
    """``pynvml`` and the handle of the GPU with that UUID (the first GPU without one); None where NVML is not there.

    A MIG slice is found by its own UUID; clocks, power and energy are counted by the GPU that holds
    it, whose handle this is. Raises UnknownGpu.
    """
    try:
        import pynvml
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:  # no driver that NVML can ask
        return None
    if not uuid:
        return pynvml, pynvml.nvmlDeviceGetHandleByIndex(0)
    bare = uuid.removeprefix("GPU-").removeprefix("MIG-")
    try:
        return pynvml, pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{bare}".encode())
    except pynvml.NVMLError:  # torch gives a MIG slice's UUID without saying that it is one
        pass
    try:
        slice_of = pynvml.nvmlDeviceGetHandleByUUID(f"MIG-{bare}".encode())
        return pynvml, pynvml.nvmlDeviceGetDeviceHandleFromMigDeviceHandle(slice_of)
    except pynvml.NVMLError as error:
        raise UnknownGpu(f"NVML knows no GPU of the UUID that torch gives: {error}") from error
