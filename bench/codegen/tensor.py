"""Tensor instructions: their class, and how many multiply-adds each stands for.

``HMMA.16816`` is m16 n8 k16 for one warp, ``HGMMA.64x128x16`` is m64 n128 k16 for a
group of four warps (PTX ISA, "mma" and "wgmma"). ``UTCHMMA`` works for the whole CTA and
keeps its m and n in an instruction descriptor, a constant in a uniform register (PTX
ISA, "Instruction descriptor": n/8 in bits 17 to 22, m/16 in bits 24 to 28, the format
of A in bits 7 to 9).
"""

import re

import networkx as nx

from attnbench.bench.codegen.classes import classify
from attnbench.bench.codegen.control_flow import Graph
from attnbench.bench.codegen.sass import Instruction

UNIT_MACS = 2048
"""Multiply-adds of one ``HMMA.16816``; the unit of the ratio."""
GROUP_WARPS = 4
"""Warps that issue one ``HGMMA`` together."""
MMA_SHAPES = {"884": (8, 8, 4), "1684": (16, 8, 4), "1688": (16, 8, 8), "16816": (16, 8, 16)} | {
    f"168{k}": (16, 8, k) for k in (32, 64, 128)
}
WGMMA_SHAPE = re.compile(r"\.(\d+)x(\d+)x(\d+)")
DESCRIPTOR = re.compile(r"idesc\[(UR\d+)\]")
TCGEN05_DEPTH = {"UTCHMMA": 16, "UTCQMMA": 32, "UTCIMMA": 32, "UTCOMMA": 64, "UTCMXQMMA": 32}
TF32 = 2
"""The format of A that makes ``UTCHMMA`` half as deep."""


def is_tensor(instruction: Instruction) -> bool:
    """Whether `instruction` is a matrix product."""
    return classify(instruction) == "tensor"


def tensor_class(instruction: Instruction) -> str:
    """``HMMA`` and its like for one warp, ``HGMMA`` for four, ``tcgen05`` for the CTA."""
    return "tcgen05" if instruction.stem.startswith("UTC") else instruction.stem


def warp_macs(instruction: Instruction) -> int | None:
    """Multiply-adds of one warp; None for ``tcgen05``, or for a shape that isn't known."""
    if instruction.stem.endswith("GMMA"):
        shape = WGMMA_SHAPE.search(instruction.opcode)
        return int(shape[1]) * int(shape[2]) * int(shape[3]) // GROUP_WARPS if shape else None
    for part in instruction.opcode.split(".")[1:]:
        if part in MMA_SHAPES:
            rows, columns, depth = MMA_SHAPES[part]
            return rows * columns * depth
    return None


def cta_macs(instruction: Instruction, graph: Graph) -> int | None:
    """Multiply-adds of one ``tcgen05`` product, from its descriptor; None where that isn't one known constant."""
    named = DESCRIPTOR.search(instruction.operands)
    if not named:
        return None
    values = _constants(named[1], instruction, graph)
    if len(values) != 1 or None in values:
        return None
    return _described(instruction, next(value for value in values if value is not None))


def _described(instruction: Instruction, descriptor: int) -> int:
    columns = (descriptor >> 17 & 0x3F) * 8
    rows = (descriptor >> 24 & 0x1F) * 16
    depth = TCGEN05_DEPTH.get(instruction.stem, 16)
    if instruction.stem == "UTCHMMA" and (descriptor >> 7 & 0x7) == TF32:
        depth //= 2
    return rows * columns * depth // (2 if ".2CTA" in instruction.opcode else 1)


def _constants(register: str, use: Instruction, graph: Graph) -> set[int | None]:
    """What `register` may hold at `use`: constants that reach it, and None for anything else."""
    start = next(at for at, block in graph.blocks.items() if use in block.instructions)
    block = graph.blocks[start].instructions
    found: set[int | None] = set()
    seen: set[int] = set()
    waiting = [(start, block[: block.index(use)])]
    while waiting:
        at, instructions = waiting.pop()
        definition = next((i for i in reversed(instructions) if _writes(i, register)), None)
        if definition is not None:
            found.add(_immediate(definition))
            continue
        for before in nx.DiGraph.predecessors(graph.edges, at):
            if before not in seen:
                seen.add(before)
                waiting.append((before, graph.blocks[before].instructions))
    return found


def _writes(instruction: Instruction, register: str) -> bool:
    destination = instruction.operands.partition(",")[0].strip()
    pair = instruction.opcode.endswith((".64", ".WIDE", ".WIDE.U32"))
    return destination == register or (pair and destination == f"UR{int(register[2:]) - 1}")


def _immediate(definition: Instruction) -> int | None:
    value = definition.operands.partition(",")[2].strip()
    constant = definition.stem == "UMOV" and not definition.predicate and value.startswith("0x")
    return int(value, 16) if constant else None
