"""Conditions of the machine around a case: clocks, temperature, load, and what else ran meanwhile.

No torch here. GPU figures come from NVML; where it is missing, the fields are absent.
"""

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter

import psutil

from bench.records.schema import Conditions

FOREIGN_SHARE = 0.10
"""Share of the CPUs that others may take before samples count as disturbed."""

STEAL_SHARE = 0.02
CGROUP_CPU_STAT = Path("/sys/fs/cgroup/cpu.stat")

THROTTLE_REASONS = {
    0x0000000000000008: "hardware slowdown",
    0x0000000000000020: "software thermal slowdown",
    0x0000000000000040: "hardware thermal slowdown",
    0x0000000000000080: "hardware power brake",
    0x0000000000000004: "software power cap",
}
"""Bits of nvmlClocksEventReasons that slow a GPU against its will (NVML API reference, nvml.h)."""


@dataclass(frozen=True)
class Snapshot:
    """What a machine has counted up to one moment; times in seconds."""

    wall_s: float
    busy_s: float
    steal_s: float
    own_s: float
    throttled_s: float
    figures: dict[str, float] = field(default_factory=dict)
    throttle_reasons: tuple[str, ...] = ()


class Watch:
    """Takes a snapshot before a contest, and says afterwards what disturbed it."""

    def __init__(self, device: str, pids: Callable[[], Iterable[int]]) -> None:
        """`pids` gives the processes whose CPU time is ours, beside this one."""
        self.device, self.pids = device, pids
        self.before = snapshot(device, pids())

    def conditions(self) -> Conditions:
        """Figures before and after, and the disturbance in words ('' without one)."""
        after = snapshot(self.device, self.pids())
        return Conditions(
            before=self.before.figures, after=after.figures, disturbance=disturbance(self.before, after, cpus())
        )


def usable_cpus() -> tuple[int, ...]:
    """Numbers of the CPUs that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return tuple(sorted(os.sched_getaffinity(0)))
    return tuple(range(os.cpu_count() or 1))


def cpus() -> int:
    """CPUs that this process may use."""
    return len(usable_cpus())


def snapshot(device: str, pids: Iterable[int]) -> Snapshot:
    """The machine's counters now."""
    times = psutil.cpu_times()
    steal = getattr(times, "steal", 0.0)
    idle = times.idle + getattr(times, "iowait", 0.0)
    figures = {"load_1m": os.getloadavg()[0]}
    if frequency := psutil.cpu_freq():
        figures["cpu_mhz"] = frequency.current
    gpu, reasons = gpu_figures() if device == "cuda" else ({}, ())
    return Snapshot(
        wall_s=perf_counter(),
        busy_s=sum(times[:7]) - idle,
        steal_s=steal,
        own_s=sum(map(cpu_seconds, {os.getpid(), *pids})),
        throttled_s=cgroup_throttled_s(),
        figures=figures | gpu,
        throttle_reasons=reasons,
    )


def cpu_seconds(pid: int) -> float:
    """User and system time of a process so far; 0 where it has ended."""
    try:
        times = psutil.Process(pid).cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system)


def cgroup_throttled_s(path: Path = CGROUP_CPU_STAT) -> float:
    """Seconds for which this control group was held back by its CPU quota; 0 where it has none."""
    try:
        lines = path.read_text().splitlines()
    except OSError:  # no control groups here, which is no disturbance
        return 0.0
    counted = dict(line.split(maxsplit=1) for line in lines if " " in line)
    return int(counted.get("throttled_usec", 0)) / 1e6


def disturbance(before: Snapshot, after: Snapshot, count: int) -> str:
    """What disturbed the time between two snapshots on a machine of `count` CPUs, in words."""
    wall = max(after.wall_s - before.wall_s, 1e-9)
    available = wall * count
    foreign = foreign_share(before, after, count)
    steal = (after.steal_s - before.steal_s) / available
    throttled = (after.throttled_s - before.throttled_s) / wall
    found = []
    if foreign > FOREIGN_SHARE:
        found.append(f"other processes took {foreign:.0%} of the CPUs")
    if steal > STEAL_SHARE:
        found.append(f"the hypervisor took {steal:.0%} of the CPUs")
    if throttled > STEAL_SHARE:
        found.append(f"the CPU quota held this group back for {throttled:.0%} of the time")
    found += [f"the GPU's clocks were lowered: {reason}" for reason in after.throttle_reasons]
    return "; ".join(found)


def foreign_share(before: Snapshot, after: Snapshot, count: int) -> float:
    """Share of `count` CPUs that other processes took between two snapshots."""
    available = max(after.wall_s - before.wall_s, 1e-9) * count
    return (after.busy_s - before.busy_s - (after.own_s - before.own_s)) / available


def energy_counter_mj() -> int | None:
    """Millijoules that the first GPU has counted since its driver loaded; None where NVML can't tell."""
    try:
        import pynvml
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
        return int(pynvml.nvmlDeviceGetTotalEnergyConsumption(pynvml.nvmlDeviceGetHandleByIndex(0)))
    except pynvml.NVMLError:  # GPUs before Volta don't count
        return None


def gpu_figures() -> tuple[dict[str, float], tuple[str, ...]]:
    """Clocks in MHz, temperature in C and power in W of the first GPU, and why its clocks are lowered."""
    try:
        import pynvml
    except ImportError:
        return {}, ()
    try:
        pynvml.nvmlInit()
        gpu = pynvml.nvmlDeviceGetHandleByIndex(0)
        figures = {
            "sm_mhz": float(pynvml.nvmlDeviceGetClockInfo(gpu, pynvml.NVML_CLOCK_SM)),
            "memory_mhz": float(pynvml.nvmlDeviceGetClockInfo(gpu, pynvml.NVML_CLOCK_MEM)),
            "temperature_c": float(pynvml.nvmlDeviceGetTemperature(gpu, pynvml.NVML_TEMPERATURE_GPU)),
            "power_w": pynvml.nvmlDeviceGetPowerUsage(gpu) / 1e3,
        }
        bits = pynvml.nvmlDeviceGetCurrentClocksThrottleReasons(gpu)
    except pynvml.NVMLError:  # a driver without these counters; what is absent is not shown
        return {}, ()
    return figures, tuple(words for bit, words in THROTTLE_REASONS.items() if bits & bit)
