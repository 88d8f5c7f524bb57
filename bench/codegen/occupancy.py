"""How many CTAs an SM holds, and what keeps it from holding one more.

The rules are those of NVIDIA's occupancy calculator (``cuda_occupancy.h``); tensor
memory, which it doesn't know, is limited by its columns (PTX ISA, "Tensor Memory").
"""

from dataclasses import dataclass

from attnbench.bench.codegen.target import WARP, Target


@dataclass(frozen=True, kw_only=True)
class Demand:
    """What one CTA takes: registers a thread, shared memory (bytes, static and dynamic), tensor memory columns."""

    warps: int
    registers: int
    shared_bytes: int = 0
    tensor_columns: int = 0


@dataclass(frozen=True)
class Occupancy:
    """CTAs an SM holds; `limits` says how many each resource would allow, `limit` names the scarcest."""

    ctas: int
    limit: str
    limits: dict[str, int]


def occupancy(target: Target, demand: Demand) -> Occupancy:
    """The occupancy of `demand` on `target`; 0 CTAs where one alone doesn't fit."""
    limits = {
        "registers": _by_registers(target, demand),
        "shared memory": _by_shared(target, demand.shared_bytes),
        "warps": target.warps_per_sm // demand.warps,
        "CTAs": target.ctas_per_sm,
    }
    if demand.tensor_columns:
        limits["tensor memory"] = target.tensor_columns // demand.tensor_columns
    scarcest = min(limits, key=lambda resource: limits[resource])
    return Occupancy(limits[scarcest], scarcest, limits)


def up(value: int, unit: int) -> int:
    """`value` rounded up to a multiple of `unit`."""
    return -(-value // unit) * unit


def _by_registers(target: Target, demand: Demand) -> int:
    """Registers go to whole warps in units, from each sub-partition by itself."""
    if demand.registers > target.registers_per_thread:
        return 0
    warp_registers = up(demand.registers * WARP, target.register_unit)
    if not warp_registers:
        return target.ctas_per_sm
    warps_per_partition = target.registers_per_sm // target.partitions // warp_registers
    return warps_per_partition * target.partitions // demand.warps


def _by_shared(target: Target, shared_bytes: int) -> int:
    if shared_bytes > target.shared_per_cta:
        return 0
    taken = up(shared_bytes + target.shared_reserved, target.shared_unit)
    return target.shared_per_sm // taken if taken else target.ctas_per_sm
