"""What a machine can reach: published figures of GPUs, and what a run measured of its own.

Published rates are dense, without sparsity, in TFLOP/s with 16-bit inputs and
32-bit sums; traffic is in GB/s. Sources: NVIDIA's datasheets of V100, A100, L4,
L40S, H100, H200 and B200, and the Ada architecture paper for the RTX 4090.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from bench.records.schema import Environment, Run
from reports.words import plain


@dataclass(frozen=True, kw_only=True)
class Roof:
    """A ceiling of the roofline: `tflop_s` and `gb_s`, and where they come from."""

    label: str
    tflop_s: float
    gb_s: float


PUBLISHED: tuple[tuple[str, float, float], ...] = (
    ("B200", 2250, 8000),
    ("H200", 989, 4800),
    ("H100 PCIe", 756, 2000),
    ("H100 NVL", 835, 3900),
    ("H100", 989, 3350),
    ("A100-SXM4-40GB", 312, 1555),
    ("A100-PCIE-40GB", 312, 1555),
    ("A100 80GB PCIe", 312, 1935),
    ("A100", 312, 2039),
    ("L40S", 362, 864),
    ("L4", 121, 300),
    ("V100", 125, 900),
    ("RTX 4090", 165, 1008),
)
"""A part of the device's name, the longest names first, with its rate and traffic."""

MEASURED = ("probe_tflop_s", "probe_gb_s")
"""Fields of an environment in which a run may keep what it measured of its machine."""


def roofs(runs: Sequence[Run]) -> list[Roof]:
    """Ceilings of the machines of `runs`; empty where nothing is known of any."""
    found = [roof for run in runs for roof in _of(run.header.environment)]
    return list(dict.fromkeys(found))


def _of(machine: Environment) -> list[Roof]:
    name = plain(machine.device_name)
    known = [Roof(label=f"{part}, published", tflop_s=rate, gb_s=traffic) for part, rate, traffic in PUBLISHED
             if machine.device == "cuda" and part.lower() in machine.device_name.lower()][:1]  # fmt: skip
    fields = machine.hard | machine.soft
    try:
        rate, traffic = (float(fields[field]) for field in MEASURED)
    except (KeyError, ValueError):
        return known
    return [*known, Roof(label=f"{name}, measured", tflop_s=rate, gb_s=traffic)]
