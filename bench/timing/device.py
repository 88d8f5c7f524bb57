"""What timing needs of a device that works asynchronously: events, a held stream, a cache to flush, memory.

Everything that timing asks of ``torch.cuda``, ``torch.xpu`` and ``torch.mps`` goes
through :class:`Device`, so that a simulated device of torch's shape can stand in
for one. ROCm's devices are torch's ``cuda`` devices; their clocks are named ``hip``.
"""

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter_ns
from typing import Any, Protocol

FLUSH_TIMES_CACHE = 2
FALLBACK_CACHE_BYTES = 128 << 20
"""Taken where the device doesn't say how large its last cache is."""

HIP_CACHE_BYTES = 256 << 20
"""The Infinity Cache of MI300X (AMD CDNA 3 white paper), which HIP's L2 size leaves out."""


class Event(Protocol):
    """A point in a stream, with the time at which the device reached it."""

    def record(self) -> None:
        """Put the mark behind what the current stream holds."""

    def query(self) -> bool:
        """Whether the device has reached it."""

    def synchronize(self) -> None:
        """Wait until the device has reached it."""

    def elapsed_time(self, end: Any) -> float:
        """Milliseconds from this mark to `end`; raises RuntimeError before both were reached."""


@dataclass(frozen=True)
class Device:
    """The current device of `kind` ("cuda", "xpu", "mps") in `torch`, which may be a simulated one.

    `now_ns` is the host's clock; `energy_mj` counts millijoules since the driver loaded, where something counts.
    """

    torch: Any
    kind: str
    now_ns: Callable[[], int] = perf_counter_ns
    energy_mj: Callable[[], int | None] = lambda: None

    @property
    def _module(self) -> Any:
        return getattr(self.torch, self.kind)

    @property
    def maker(self) -> str:
        """What its clocks are named after: ``hip`` for a ROCm device, else its kind."""
        return "hip" if self.kind == "cuda" and getattr(self.torch.version, "hip", None) else self.kind

    @property
    def can_hold(self) -> bool:
        """Whether its stream can be kept busy while the host enqueues."""
        return hasattr(self._module, "_sleep")

    @property
    def graphs(self) -> Any | None:
        """The module that has streams and ``CUDAGraph``; None where no graph can be captured."""
        return self._module if hasattr(self._module, "CUDAGraph") else None

    def event(self) -> Event:
        """A new event that takes times."""
        module = self._module.event if self.kind == "mps" else self._module
        found: Event = module.Event(enable_timing=True)
        return found

    def hold(self, cycles: int) -> None:
        """Keep the current stream busy for that many of the device's cycles."""
        self._module._sleep(cycles)  # noqa: SLF001 - torch has no public way to hold a stream

    def synchronize(self) -> None:
        """Wait until every stream is idle."""
        self._module.synchronize()

    def flush_buffer(self) -> Any:
        """A tensor larger than the caches; writing it evicts everything else."""
        properties = self._module.get_device_properties()
        known = [getattr(properties, name, 0) or 0 for name in ("L2_cache_size", "last_level_cache_size")]
        cache_bytes = max(known) or FALLBACK_CACHE_BYTES
        if self.maker == "hip":
            cache_bytes = max(cache_bytes, HIP_CACHE_BYTES)
        return self.torch.empty(FLUSH_TIMES_CACHE * cache_bytes // 4, dtype=self.torch.int32, device=self.kind)

    def peak_bytes(self, call: Callable[[], object]) -> int | None:
        """Most memory that torch's allocator gave out during `call`, above what was held before; None if uncounted."""
        module = self._module
        if not hasattr(module, "reset_peak_memory_stats"):  # MPS counts what is held now and no peak
            return None
        module.synchronize()
        module.reset_peak_memory_stats()
        before = module.memory_allocated()
        call()
        module.synchronize()
        return int(module.max_memory_allocated() - before)

    def empty_cache(self) -> None:
        """Give memory that torch keeps for later back to the device, for other processes."""
        self._module.empty_cache()


def device_of(kind: str) -> Device | None:
    """The device of that kind in torch; None for the CPU, which the host's clock times."""
    if kind == "cpu":
        return None
    import torch

    if kind != "cuda" or torch.version.hip:
        return Device(torch, kind)
    from attnbench.bench.timing.gpu import energy_counter_mj

    uuid = str(getattr(torch.cuda.get_device_properties(), "uuid", ""))
    return Device(torch, kind, energy_mj=lambda: energy_counter_mj(uuid))
