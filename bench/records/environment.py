"""The machine that makes a run: fields that must match before runs are compared, and informational ones."""

import os
import platform
import subprocess
from collections.abc import Mapping
from pathlib import Path

import psutil

from attnbench.bench.records.nvml import UnknownGpu, gpu
from attnbench.bench.records.repeat import variables
from attnbench.bench.records.schema import Environment

CPUINFO = Path("/proc/cpuinfo")


def environment(device: str, torch_facts: Mapping[str, str]) -> Environment:
    """The environment of this machine; `torch_facts` come from a process that has torch.

    The GPU's UUID tells one GPU from another of the same model, which may be compared: it is informational.
    """
    torch_facts = dict(torch_facts)
    uuid = torch_facts.pop("uuid", "")
    must_match = {
        "device": device,
        "cpu": cpu_model(),
        "cores": str(psutil.cpu_count(logical=False) or os.cpu_count()),
        "cpus": str(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()),
        "machine": platform.machine(),
        "system": platform.system(),
        **torch_facts,
        **(gpu_facts(uuid) if device == "cuda" else {}),
    }
    informational = {
        "host": platform.node(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "memory_bytes": str(psutil.virtual_memory().total),
        "load_1m": f"{os.getloadavg()[0]:.2f}",
        "cpu_mhz": f"{frequency.current:.0f}" if (frequency := psutil.cpu_freq()) else "unknown",
        **({"gpu_uuid": uuid} if uuid else {}),
        **({"variables": set_here} if (set_here := variables()) else {}),
    }
    commit, dirty = revision()
    threads = f"{must_match['threads']} thread{'' if must_match['threads'] == '1' else 's'}"
    name = must_match.get("gpu", f"{must_match['cpu']}, {threads}")
    return Environment(
        device=device,
        device_name=name,
        must_match=must_match,
        informational=informational,
        commit=commit,
        dirty=dirty,
    )


def cpu_model() -> str:
    """The processor's name as the system gives it."""
    if CPUINFO.exists():
        for line in CPUINFO.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def gpu_facts(uuid: str = "") -> dict[str, str]:
    """Driver, power limit, ECC and MIG of the GPU of that UUID, as NVML tells them."""
    try:
        found = gpu(uuid)
    except UnknownGpu as error:
        return {"nvml": str(error)}
    if found is None:
        return {"nvml": "not there (pip install nvidia-ml-py; needs NVIDIA's driver)"}
    nvml, handle = found
    facts = {"driver": str(nvml.nvmlSystemGetDriverVersion())}
    for name, ask in (
        ("power_limit_mw", nvml.nvmlDeviceGetEnforcedPowerLimit),
        ("ecc", nvml.nvmlDeviceGetEccMode),
        ("mig", nvml.nvmlDeviceGetMigMode),
    ):
        try:
            facts[name] = str(ask(handle))
        except nvml.NVMLError as error:
            facts[name] = str(error)
    return facts


def revision() -> tuple[str, bool]:
    """Commit of this checkout and whether it has changes; empty where it is none, as an installed copy is."""
    root = Path(__file__).resolve().parents[2]
    if not (root / "attnbench").is_dir():  # installed, perhaps inside of a repository of its user
        return "", False

    def git(*arguments: str) -> str:
        done = subprocess.run(["git", "-C", root, *arguments], capture_output=True, text=True, check=False)
        return done.stdout.strip() if done.returncode == 0 else ""

    try:
        return git("rev-parse", "--short=12", "HEAD"), bool(git("status", "--porcelain", "--untracked-files=no"))
    except FileNotFoundError:  # no git on this machine
        return "", False
