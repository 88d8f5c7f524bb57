"""Conditions of the machine around a case: clocks, temperature, load, and other processes.

No torch here. GPU figures come from NVML; where it is missing, the fields are absent.
"""

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter

import psutil

from attnbench.bench.records.schema import Conditions
from attnbench.bench.timing.gpu import GpuFigures, gpu_figures

FOREIGN_SHARE = 0.10
"""Share of the CPUs that others may take before samples count as disturbed."""

STEAL_SHARE = 0.02
BETWEEN_RUNS = {"probe_us": 1.05, "shared_probe_us": 1.15}
"""How much longer fixed work may take in one of two runs that are compared."""

WITHIN_ROUNDS = {"probe_us": 1.10, "shared_probe_us": 1.25}
"""How much longer it may take after a case's rounds than before them, or the reverse."""

CGROUP_CPU_STAT = Path("/sys/fs/cgroup/cpu.stat")


@dataclass(frozen=True)
class Snapshot:
    """The machine's counters at one moment; times in seconds."""

    wall_s: float
    busy_s: float
    steal_s: float
    own_s: float
    throttled_s: float
    figures: dict[str, float] = field(default_factory=dict)
    gpu: GpuFigures = field(default_factory=GpuFigures)


class Watch:
    """Takes a snapshot before a case's rounds, and describes afterwards what disturbed them."""

    def __init__(self, device: str, pids: Callable[[], Iterable[int]], uuid: str = "") -> None:
        """`pids` gives the processes whose CPU time counts as ours, besides this one; `uuid` is the GPU's."""
        self.device, self.pids, self.uuid = device, pids, uuid
        self.before = snapshot(device, pids(), uuid)

    def conditions(self) -> Conditions:
        """Figures before and after, and the disturbance in words ('' without one)."""
        after = snapshot(self.device, self.pids(), self.uuid)
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


def snapshot(device: str, pids: Iterable[int], uuid: str = "") -> Snapshot:
    """The machine's counters now, with those of the GPU of that UUID where the device is one."""
    times = psutil.cpu_times()
    steal = getattr(times, "steal", 0.0)
    idle = times.idle + getattr(times, "iowait", 0.0)
    figures = {"load_1m": os.getloadavg()[0]}
    if frequency := psutil.cpu_freq():
        figures["cpu_mhz"] = frequency.current
    gpu = gpu_figures(uuid) if device == "cuda" else GpuFigures()
    return Snapshot(
        wall_s=perf_counter(),
        busy_s=sum(times[:7]) - idle,
        steal_s=steal,
        own_s=sum(map(cpu_seconds, {os.getpid(), *pids})),
        throttled_s=cgroup_throttled_s(),
        figures=figures | gpu.figures,
        gpu=gpu,
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
    found += [f"the GPU's clocks were lowered: {reason}" for reason in after.gpu.throttle_reasons]
    for cause, slowed_s in after.gpu.slowed_s.items():  # what has ended since shows here alone
        share = (slowed_s - before.gpu.slowed_s.get(cause, slowed_s)) / wall
        if share > STEAL_SHARE:
            found.append(f"the GPU's clocks were lowered for {share:.0%} of the time: {cause}")
    return "; ".join(found)


def machine_moved(*seen: Mapping[str, float], bounds: Mapping[str, float]) -> str:
    """In words that fixed work took longer in one of `seen` than in another by more than `bounds`; '' where not."""
    works = {"probe_us": "of one thread", "shared_probe_us": "shared by all threads"}
    for name, bound in bounds.items():
        times_us = [figures[name] for figures in seen if name in figures]
        if times_us and max(times_us) > bound * min(times_us):
            listed = ", ".join(f"{us:.0f}" for us in times_us)
            return f"the machine changed its speed: the same work {works[name]} took {listed} us"
    return ""


def foreign_share(before: Snapshot, after: Snapshot, count: int) -> float:
    """Share of `count` CPUs that other processes took between two snapshots."""
    available = max(after.wall_s - before.wall_s, 1e-9) * count
    return (after.busy_s - before.busy_s - (after.own_s - before.own_s)) / available
