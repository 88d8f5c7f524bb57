"""Figures of a GPU from NVML: clocks, temperature, power, energy, and why its clocks are lowered."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from attnbench.bench.records.nvml import UnknownGpu, gpu

THROTTLE_REASONS = {
    0x0000000000000008: "hardware slowdown",
    0x0000000000000020: "software thermal slowdown",
    0x0000000000000040: "hardware thermal slowdown",
    0x0000000000000080: "hardware power brake",
    0x0000000000000004: "software power cap",
}
"""Bits of nvmlClocksEventReasons that slow a GPU against its will (NVML API reference, nvml.h)."""

POLICIES = {0: "power cap", 1: "thermal slowdown", 3: "board limit", 5: "reliability"}
"""Values of nvmlPerfPolicyType whose violation time NVML counts (NVML API reference, nvml.h)."""


@dataclass(frozen=True)
class GpuFigures:
    """Clocks in MHz, temperature in C, power in W; why clocks are lowered now; seconds for which they were, by cause."""

    figures: dict[str, float] = field(default_factory=dict)
    throttle_reasons: tuple[str, ...] = ()
    slowed_s: dict[str, float] = field(default_factory=dict)


def gpu_figures(uuid: str = "") -> GpuFigures:
    """The figures now, as far as this GPU and its driver give them."""
    if (found := _known(uuid)) is None:
        return GpuFigures()
    nvml, handle = found

    def available(asked: dict[str, Callable[[], float]]) -> Iterator[tuple[str, float]]:
        for name, ask in asked.items():
            try:
                yield name, float(ask())
            except nvml.NVMLError:  # each figure is missing somewhere: power on laptops, clocks under MIG
                continue

    figures = available(
        {
            "sm_mhz": lambda: nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_SM),
            "memory_mhz": lambda: nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_MEM),
            "temperature_c": lambda: nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU),
            "power_w": lambda: nvml.nvmlDeviceGetPowerUsage(handle) / 1e3,
        }
    )

    def slowed_s(policy: int) -> float:
        return float(nvml.nvmlDeviceGetViolationStatus(handle, policy).violationTime) / 1e9

    slowed = available({words: partial(slowed_s, policy) for policy, words in POLICIES.items()})
    bits = dict(available({"bits": lambda: nvml.nvmlDeviceGetCurrentClocksThrottleReasons(handle)})).get("bits", 0)
    reasons = tuple(words for bit, words in THROTTLE_REASONS.items() if int(bits) & bit)
    return GpuFigures(dict(figures), reasons, dict(slowed))


def _known(uuid: str) -> tuple[Any, Any] | None:
    try:
        return gpu(uuid)
    except UnknownGpu:  # the environment of the run says so; figures of another GPU would be worse than none
        return None


def energy_counter_mj(uuid: str = "") -> int | None:
    """Millijoules that the GPU has counted since its driver loaded; None where NVML does not count them."""
    if (found := _known(uuid)) is None:
        return None
    nvml, handle = found
    try:
        return int(nvml.nvmlDeviceGetTotalEnergyConsumption(handle))
    except nvml.NVMLError:  # GPUs before Volta don't count
        return None
