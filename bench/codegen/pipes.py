"""Busy cycles of each pipe of an SM, for one iteration of the main loop of one CTA.

From the published throughputs in `bench.codegen.target`. They are not a time: pipes work at
the same time, so that their sum is too long, and instructions wait for each other, so that the
largest is only a lower bound for one CTA alone. Shared memory delivers 32 banks of 4 bytes a clock
(CUDA Programming Guide, "Shared Memory").
"""

from attnbench.bench.codegen.classes import PIPES, classify
from attnbench.bench.codegen.exposure import issue_cycles
from attnbench.bench.codegen.loops import WorkLoop
from attnbench.bench.codegen.sass import Instruction
from attnbench.bench.codegen.target import WARP, Target

BANK_BYTES = 128
"""Bytes of shared memory that one clock moves."""
WIDTHS = {"128": 16, "64": 8, "4": 16, "2": 8}
"""Bytes a thread moves, by the suffix of the opcode; 4 without one."""
DEPTH_FACTORS = dict.fromkeys(("QGMMA", "QMMA", "IGMMA", "IMMA", "UTCQMMA", "UTCIMMA"), 0.5) | {"UTCOMMA": 0.25}
"""Time of a multiply-add relative to a 16-bit one."""


def pipe_cycles(works: tuple[WorkLoop, ...], target: Target) -> dict[str, float]:
    """Cycles by pipe, largest first; pipes without a published throughput are left out."""
    cycles: dict[str, float] = {}
    for work in works:
        for instruction in work.iteration:
            pipe = "shared" if classify(instruction) == "shared" else PIPES[classify(instruction)]
            busy = _shared(instruction) if pipe == "shared" else issue_cycles(instruction, target)
            if busy:
                cycles[pipe] = cycles.get(pipe, 0.0) + busy * work.warps
    if works and works[0].macs:
        cycles["tensor"] = works[0].macs / target.tensor_macs * _factor(works[0].products[0])
    return {pipe: round(busy, 1) for pipe, busy in sorted(cycles.items(), key=lambda item: -item[1])}


def _shared(instruction: Instruction) -> float:
    suffixes = instruction.opcode.split(".")[1:]
    width = next((WIDTHS[suffix] for suffix in reversed(suffixes) if suffix in WIDTHS), 4)
    return width * WARP / BANK_BYTES


def _factor(product: Instruction) -> float:
    slow = "TF32" in product.opcode
    return 2.0 if slow else DEPTH_FACTORS.get(product.stem, 1.0)
