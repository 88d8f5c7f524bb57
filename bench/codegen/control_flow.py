"""Control-flow graph of a listing, and its natural loops.

Loops come from dominators, never from address intervals: ptxas moves blocks out
of line. A back edge goes to a block that dominates its source; a natural loop is
what reaches the back edge without passing the header (Aho, Lam, Sethi, Ullman,
"Compilers", 2nd ed., 9.6).
"""

from dataclasses import dataclass
from functools import cached_property

import networkx as nx

from attnbench.bench.codegen.sass import Instruction, Listing, ListingError

ENDS = frozenset({"EXIT", "RET", "KILL"})
"""Leave the kernel, or a routine that ptxas called."""
JUMPS = frozenset({"BRA", "BRX", "BRXU", "JMP", "JMX", "BSYNC"})
"""Go elsewhere; `BSYNC` goes to where the `BSSY` that reaches it said."""
LOCAL = ".L"
"""How labels within a kernel begin. ptxas leaves loops by a ``CALL`` to one, which never returns."""


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
        """Its instructions in order of execution in one iteration: blocks in reverse postorder from the header."""
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
    """The control-flow graph of a kernel; a call of a routine is taken to return."""
    instructions = listing.instructions
    positions = {label: listing.index[address] for label, address in listing.labels.items()}
    leaders = {0, *positions.values()}
    leaders |= {at + 1 for at, i in enumerate(instructions) if i.stem in ENDS | JUMPS or _leaves_by_call(i)}
    starts = sorted(start for start in leaders if start < len(instructions))
    blocks = {
        start: Block(start, instructions[start:end])
        for start, end in zip(starts, [*starts[1:], len(instructions)], strict=True)
    }
    edges: nx.DiGraph[int] = nx.DiGraph()
    edges.add_nodes_from(blocks)
    for start, block in blocks.items():
        last = block.instructions[-1]
        edges.add_edges_from((start, positions[label]) for label in _jumps(last, positions))
        after = start + len(block.instructions)
        if after in blocks and _falls_through(last):
            edges.add_edge(start, after)
    _join(blocks, edges, positions)
    return Graph(blocks, edges)


def _jumps(last: Instruction, positions: dict[str, int]) -> tuple[str, ...]:
    targets = last.targets if (last.stem in JUMPS and last.stem != "BSYNC") or _leaves_by_call(last) else ()
    for label in targets:
        if label not in positions:
            raise ListingError(f"{last.text} goes to {label}, which the listing doesn't have")
    return targets


def _leaves_by_call(instruction: Instruction) -> bool:
    return instruction.stem == "CALL" and any(label.startswith(LOCAL) for label in instruction.targets)


def _join(blocks: dict[int, Block], edges: "nx.DiGraph[int]", positions: dict[str, int]) -> None:
    """Add the edges of `BSYNC`: to the target of each `BSSY` of its barrier that reaches it.

    A barrier register serves one branch after the other, and edges found let others be
    found: repeated until nothing is new.
    """
    before = -1
    while before != edges.number_of_edges():
        before = edges.number_of_edges()
        for start, block in blocks.items():
            for at, instruction in enumerate(block.instructions):
                if instruction.stem == "BSSY":
                    ends = _reached(blocks, edges, start, at, _barrier(instruction))
                    edges.add_edges_from((end, positions[label]) for end in ends for label in instruction.targets)


def _barrier(instruction: Instruction) -> str:
    """The register of a `BSSY` or `BSYNC`: ``B0``, also after ``.RECONVERGENT``."""
    return instruction.operands.partition(",")[0].split()[-1]


def _reached(
    blocks: dict[int, Block], edges: "nx.DiGraph[int]", start: int, at: int, barrier: str
) -> "frozenset[int]":
    """Blocks that end in a `BSYNC` of `barrier` and that a `BSSY` reaches before the barrier is set anew."""
    found: set[int] = set()
    seen: set[int] = set()
    waiting = [(start, blocks[start].instructions[at + 1 :])]
    while waiting:
        block, instructions = waiting.pop()
        if any(i.stem == "BSSY" and _barrier(i) == barrier for i in instructions):
            continue
        last = instructions[-1] if instructions else None
        if last is not None and last.stem == "BSYNC" and _barrier(last) == barrier:
            found.add(block)
            continue
        for after in edges.successors(block):
            if after not in seen:
                seen.add(after)
                waiting.append((after, blocks[after].instructions))
    return frozenset(found)


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
