"""What each target has: limits for occupancy, and published throughputs. Every figure names its document.

Limits: CUDA Programming Guide 13, "Compute Capabilities", table "Memory and Occupancy
Information"; register, warp and shared-memory allocation units: ``cuda_occupancy.h`` of
the CUDA toolkit (a copy is in Triton's wheel); tensor memory: PTX ISA, "Tensor Memory".

Throughputs: CUDA C++ Best Practices Guide 13, table "Throughput of Native Arithmetic
Instructions" (results per clock and SM). Dense 16-bit tensor rates: the architecture
whitepapers, named at each.
"""

from dataclasses import dataclass

KIB = 1024
WARP = 32
"""Threads in a warp."""


class UnknownTarget(ValueError):
    """A target that the table doesn't have; the message lists those it has."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """One compute capability: limits per SM and CTA, and lanes per clock and SM of each pipe.

    `shared_per_cta` is what a CTA may opt into; `shared_reserved` is taken from each CTA
    by the system. `tensor_macs` are dense 16-bit multiply-adds with float32 accumulation
    per clock and SM.
    """

    name: str
    capability: int
    warps_per_sm: int
    ctas_per_sm: int
    shared_per_sm: int
    shared_per_cta: int
    fma_lanes: int
    tensor_macs: int
    tensor_source: str
    tensor_columns: int = 0
    alu_lanes: int = 64
    xu_lanes: int = 16
    shuffle_lanes: int = 32
    registers_per_sm: int = 64 * KIB
    registers_per_thread: int = 255
    register_unit: int = 256
    partitions: int = 4
    shared_unit: int = 128
    shared_reserved: int = KIB

    def lanes(self, pipe: str) -> int | None:
        """Threads that `pipe` serves per clock and SM, or None where nothing is published."""
        return {
            "fma": self.fma_lanes,
            "alu": self.alu_lanes,
            "xu": self.xu_lanes,
            "shuffle": self.shuffle_lanes,
        }.get(pipe)


TARGETS = {
    target.name: target
    for target in (
        Target(
            name="sm_80",
            capability=80,
            warps_per_sm=64,
            ctas_per_sm=32,
            shared_per_sm=164 * KIB,
            shared_per_cta=163 * KIB,
            fma_lanes=64,
            tensor_macs=1024,
            tensor_source="NVIDIA A100 Tensor Core GPU Architecture, table 'A100 SM'",
        ),
        Target(
            name="sm_86",
            capability=86,
            warps_per_sm=48,
            ctas_per_sm=16,
            shared_per_sm=100 * KIB,
            shared_per_cta=99 * KIB,
            fma_lanes=128,
            tensor_macs=512,
            tensor_source="NVIDIA Ampere GA102 GPU Architecture (GeForce: half of it with float32 accumulation)",
        ),
        Target(
            name="sm_89",
            capability=89,
            warps_per_sm=48,
            ctas_per_sm=24,
            shared_per_sm=100 * KIB,
            shared_per_cta=99 * KIB,
            fma_lanes=128,
            tensor_macs=512,
            tensor_source="NVIDIA Ada GPU Architecture (GeForce: half of it with float32 accumulation)",
        ),
        Target(
            name="sm_90",
            capability=90,
            warps_per_sm=64,
            ctas_per_sm=32,
            shared_per_sm=228 * KIB,
            shared_per_cta=227 * KIB,
            fma_lanes=128,
            tensor_macs=2048,
            tensor_source="NVIDIA H100 Tensor Core GPU Architecture, table 'H100 and A100 compared'",
        ),
        Target(
            name="sm_100",
            capability=100,
            warps_per_sm=64,
            ctas_per_sm=32,
            shared_per_sm=228 * KIB,
            shared_per_cta=227 * KIB,
            fma_lanes=128,
            tensor_macs=4096,
            tensor_source="NVIDIA Blackwell Architecture Technical Brief, system table (rate / SMs / clock)",
            tensor_columns=512,
        ),
        Target(
            name="sm_120",
            capability=120,
            warps_per_sm=48,
            ctas_per_sm=24,
            shared_per_sm=100 * KIB,
            shared_per_cta=99 * KIB,
            fma_lanes=128,
            tensor_macs=512,
            tensor_source="NVIDIA RTX Blackwell GPU Architecture (GeForce: half of it with float32 accumulation)",
        ),
    )
}
SHIPPED = ("sm_80", "sm_90", "sm_100", "sm_120")
"""What is compiled for when nothing is said."""


def find(name: str) -> Target:
    """The target called `name`, as in ``sm_90``.

    Raises:
        UnknownTarget: the table doesn't have it.
    """
    if name not in TARGETS:
        raise UnknownTarget(f"unknown target {name!r}: there are {', '.join(TARGETS)}")
    return TARGETS[name]
