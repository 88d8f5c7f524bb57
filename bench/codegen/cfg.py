"""Control-flow graph of a listing, and its natural loops.

Loops come from dominators, never from address intervals: ptxas moves blocks out
of line. A back edge goes to a block that dominates its source; a natural loop is
what reaches the back edge without passing the header (Aho, Lam, Sethi, Ullman,
"Compilers", 2nd ed., 9.6).
"""

from dataclasses import dataclass
from functools import cached_property

import networkx as nx

from bench.codegen.sass import Instruction, Listing, ListingError

ENDS = frozenset({"EXIT", "RET", "KILL"})
"""Leave the kernel, or a routine that ptxas called."""
JUMPS = frozenset({"BRA", "BRX", "BRXU", "JMP", "JMX", "BSYNC", "BREAK"})
"""Go elsewhere; `BSYNC` goes to where the matching `BSSY` said."""


@dataclass(frozen=True, eq=False)
class Block:
    """Instructions that run one after the other; `start` is the position of the first."""

    start: int
    instructions: tuple[Instruction, ...]


@dataclass(frozen=True, eq=False)
class Loop:
    """A natural loop: its header and all of its blocks, by start position; inner loops are part of it."""

    header: int
    blocks: frozenset[int]
    graph: "Graph"

    @cached_property
    def instructions(self) -> tuple[Instruction, ...]:
        """Its instructions, by address."""
        return tuple(i for start in sorted(self.blocks) for i in self.graph.blocks[start].instructions)

    @cached_property
    def in_order(self) -> tuple[Instruction, ...]:
        """Its instructions as one turn meets them: blocks in reverse postorder from the header."""
        body = self.graph.edges.subgraph(self.blocks)
        order = list(nx.dfs_postorder_nodes(body, self.header))[::-1]
        return tuple(i for start in order for i in self.graph.blocks[start].instructions)


@dataclass(frozen=True, eq=False)
class Graph:
    """Blocks by start position, and the edges between them; `entry` is 0."""

    blocks: dict[int, Block]
    edges: "nx.DiGraph[int]"

    @cached_property
    def loops(self) -> tuple[Loop, ...]:
        """Natural loops by header; those that share a header are one."""
        reachable = {0} | nx.descendants(self.edges, 0)
        flow = self.edges.subgraph(reachable)
        dominators = nx.immediate_dominators(flow, 0)
        bodies: dict[int, set[int]] = {}
        for source, header in flow.edges:
            if _dominates(dominators, header, source):
                bodies.setdefault(header, {header}).update(_reaches(flow, source, header))
        return tuple(Loop(header, frozenset(bodies[header]), self) for header in sorted(bodies))


def graph(listing: Listing) -> Graph:
    """The control-flow graph of a kernel; a call is taken to return."""
    instructions = listing.instructions
    positions = {label: listing.index[address] for label, address in listing.labels.items()}
    leaders = {0, *positions.values()}
    leaders |= {at + 1 for at, i in enumerate(instructions) if i.stem in ENDS | JUMPS}
    starts = sorted(start for start in leaders if start < len(instructions))
    blocks = {
        start: Block(start, instructions[start:end])
        for start, end in zip(starts, [*starts[1:], len(instructions)], strict=True)
    }
    edges: nx.DiGraph[int] = nx.DiGraph()
    edges.add_nodes_from(blocks)
    meeting = _meeting_points(instructions)
    for start, block in blocks.items():
        for label in _jumps(block.instructions[-1], meeting):
            if label not in positions:
                raise ListingError(f"{block.instructions[-1].text} goes to {label}, which the listing doesn't have")
            edges.add_edge(start, positions[label])
        after = start + len(block.instructions)
        if after in blocks and _falls_through(block.instructions[-1]):
            edges.add_edge(start, after)
    return Graph(blocks, edges)


def _meeting_points(instructions: tuple[Instruction, ...]) -> dict[str, tuple[str, ...]]:
    """Where each convergence barrier (``B0``) lets its threads meet: the target of its `BSSY`."""
    points: dict[str, tuple[str, ...]] = {}
    for instruction in instructions:
        if instruction.stem == "BSSY":
            barrier = instruction.operands.partition(",")[0].split()[-1]
            points[barrier] = tuple(dict.fromkeys((*points.get(barrier, ()), *instruction.targets)))
    return points


def _jumps(last: Instruction, meeting: dict[str, tuple[str, ...]]) -> tuple[str, ...]:
    if last.stem == "BSYNC":
        return meeting.get(last.operands.split()[-1], ())
    return last.targets if last.stem in JUMPS else ()


def _falls_through(last: Instruction) -> bool:
    """Whether the next instruction may follow: a guard, also a uniform one (``BRA.U !UP0, …``), may not hold."""
    if last.stem == "BSYNC":
        return False
    guarded = bool(last.predicate) or ("," in last.operands and last.stem == "BRA")
    return last.stem not in ENDS | JUMPS or guarded


def _dominates(immediate: dict[int, int], above: int, below: int) -> bool:
    while below != above:
        parent = immediate.get(below, below)
        if parent == below or parent is None:
            return False
        below = parent
    return True


def _reaches(flow: "nx.DiGraph[int]", source: int, header: int) -> set[int]:
    """Blocks from which `source` is reached without passing `header`."""
    found = {source}
    waiting = [source] if source != header else []
    while waiting:
        for before in flow.predecessors(waiting.pop()):
            if before != header and before not in found:
                found.add(before)
                waiting.append(before)
    return found
