"""Which loops do the work, and which warps run them.

In a warp-specialised kernel each partition has its own loop, entered from a dispatch
loop. Partitions are told apart by the named barrier that their loop uses, ``BAR.SYNC
2, 128``: its thread count is the partition's. A partition without one is a single warp.
"""

from dataclasses import dataclass
from functools import cached_property

import networkx as nx

from attnbench.bench.codegen.classes import classify
from attnbench.bench.codegen.control_flow import Graph, Loop
from attnbench.bench.codegen.sass import Instruction
from attnbench.bench.codegen.target import WARP
from attnbench.bench.codegen.tensor import cta_macs, is_tensor, tensor_class, warp_macs

WORK = 16
"""A loop with fewer instructions and no matrix product only waits, allocates or clears: it is never the main loop."""
SPIN = 8
"""A loop of at most this many instructions that tests a barrier runs only while it waits for it."""
SAME_WORK = 0.5
"""A loop with at least this share of the longest loop's instructions is a version of it (with or without a mask)."""


@dataclass(frozen=True, eq=False)
class WorkLoop:
    """A loop that does work, and the warps of the partition that runs it."""

    loop: Loop
    partition: str
    warps: int

    @cached_property
    def iteration(self) -> tuple[Instruction, ...]:
        """Instructions of one iteration in order of execution, without the small loops that only repeat a wait."""
        left_out = _retries(self.loop)
        return tuple(i for i in self.loop.in_order if i.address not in left_out)

    @cached_property
    def products(self) -> tuple[Instruction, ...]:
        """Its tensor instructions."""
        return tuple(i for i in self.iteration if is_tensor(i))

    @cached_property
    def macs(self) -> int | None:
        """Multiply-adds of one iteration, all warps; 0 without a product, None where a product's shape is unknown."""
        found = [
            cta_macs(i, self.loop.graph) if tensor_class(i) == "tcgen05" else _times(warp_macs(i), self.warps)
            for i in self.products
        ]
        return None if None in found else sum(macs or 0 for macs in found)


def main_loops(graph: Graph, warps: int) -> tuple[WorkLoop, ...]:
    """The main loop of each partition of a kernel with `warps` warps; the partition with the products comes first.

    A causal kernel has two versions of its loop, with and without the mask. The main loop is the
    shortest of those with the most products: the version without the mask, which most tiles take.
    """
    partitions: dict[str, list[WorkLoop]] = {}
    for work in work_loops(graph, warps):
        partitions.setdefault(work.partition, []).append(work)
    chosen = [_steady(versions) for versions in partitions.values()]
    with_products = [work for work in chosen if work.products]
    if with_products and not specialised(graph, warps):
        chosen = with_products
    return tuple(sorted(chosen, key=lambda work: (-(work.macs or len(work.products)), -len(work.iteration))))


def work_loops(graph: Graph, warps: int) -> tuple[WorkLoop, ...]:
    """Innermost loops that do work, with their partitions."""
    worked = [loop for loop in graph.loops if len(loop.instructions) >= WORK or _has_product(loop.instructions)]
    split = specialised(graph, warps)
    return tuple(
        WorkLoop(loop, *_partition(loop, warps, split)) for loop in worked if not _surrounds_work(loop, worked)
    )


def specialised(graph: Graph, warps: int) -> bool:
    """Whether some named barrier counts fewer threads than the CTA has."""
    return any(
        0 < threads < warps * WARP
        for block in graph.blocks.values()
        for instruction in block.instructions
        for _, threads in [_named_barrier(instruction)]
    )


def _steady(versions: list[WorkLoop]) -> WorkLoop:
    most = max(len(work.products) for work in versions)
    longest = max(len(work.iteration) for work in versions)
    fit = [w for w in versions if len(w.products) == most and (most or len(w.iteration) >= SAME_WORK * longest)]
    return min(fit, key=lambda work: (len(work.iteration), work.loop.header))


def _surrounds_work(loop: Loop, worked: list[Loop]) -> bool:
    inner = [other for other in worked if other.blocks < loop.blocks]
    within = frozenset[int]().union(*(other.blocks for other in inner))
    own = [i for start in loop.blocks - within for i in loop.graph.blocks[start].instructions]
    return any(_has_product(other.instructions) for other in inner) or (bool(inner) and not _has_product(own))


def _has_product(instructions: "tuple[Instruction, ...] | list[Instruction]") -> bool:
    return any(is_tensor(i) for i in instructions)


def _partition(loop: Loop, warps: int, split: bool) -> tuple[str, int]:
    """A name, and the number of warps."""
    if not split:
        return "all warps", warps
    barriers = sorted({barrier for i in loop.instructions if (barrier := _named_barrier(i))[1]})
    if not barriers:
        return "one warp", 1
    name, threads = barriers[0]
    return f"barrier {name}", threads // WARP


def _named_barrier(instruction: Instruction) -> tuple[str, int]:
    """The barrier's number and its thread count; 0 where the whole CTA meets, or where it is no barrier."""
    if instruction.stem != "BAR" or "SYNC" not in instruction.opcode:
        return ("", 0)
    name, _, threads = instruction.operands.partition(",")
    return (name.strip(), int(threads, 16) if threads.strip().startswith("0x") else 0)


def _retries(loop: Loop) -> set[int]:
    """Addresses of small inner loops that wait and that an iteration can do without."""
    body = loop.graph.edges.subgraph(loop.blocks)
    latches = set(body.predecessors(loop.header))
    found: set[int] = set()
    for inner in loop.graph.loops:
        if inner.blocks < loop.blocks and len(inner.instructions) <= SPIN and _waits(inner):
            rest = body.subgraph(loop.blocks - inner.blocks)
            reached = {loop.header} | nx.descendants(rest, loop.header) if loop.header in rest else set()
            if latches & reached:
                found.update(i.address for i in inner.instructions)
    return found


def _waits(loop: Loop) -> bool:
    return any(classify(i) == "wait" or i.stem == "NANOSLEEP" for i in loop.instructions)


def _times(macs: int | None, warps: int) -> int | None:
    return None if macs is None else macs * warps
