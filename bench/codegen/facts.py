"""Facts of one configuration's machine code. None of them is a speed."""

from typing import Any

import msgspec

from attnbench.bench.codegen import control_flow, sass
from attnbench.bench.codegen.binary import Binary
from attnbench.bench.codegen.classes import classify
from attnbench.bench.codegen.exposure import exposed_share, serialised
from attnbench.bench.codegen.loops import WorkLoop, main_loops
from attnbench.bench.codegen.occupancy import Demand, occupancy
from attnbench.bench.codegen.pipes import pipe_cycles
from attnbench.bench.codegen.recipe import Recipe
from attnbench.bench.codegen.target import find
from attnbench.bench.codegen.tensor import UNIT_MACS, tensor_class


class LoopFacts(msgspec.Struct, frozen=True, kw_only=True):
    """The main loop of one partition: counts of the instructions that one warp runs in one iteration.

    `ratio` is its non-MMA instructions per 2048 multiply-adds; `opcodes` counts its
    instructions by opcode up to the first dot, `mix` by class.
    """

    partition: str
    warps: int
    address: int
    instructions: int
    tensor: int
    spills: int
    async_copies: int
    barriers: int
    waits: int
    ffma: int
    mix: dict[str, int]
    opcodes: dict[str, int]
    ratio: float | None = None


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What the compiler made of one configuration.

    `loops` are the main loops of the partitions, first the one with the products. Spills
    are instructions that go to local memory, inside the main loops and elsewhere.
    `ratio` is that of the heaviest partition, `ratio_all` of all together. `exposed` is
    the share of softmax cycles with no wgmma in flight (sm_90); `serialised` says that
    each wgmma is waited for at once, so that the share has no meaning. `pipe_cycles` are the busy
    cycles of one SM's pipes for one iteration of one CTA, from published throughputs; pipes
    overlap to an unknown extent, so that they are no time. `advisories` are what ptxas calls a
    potential performance loss. `sha256` is of the instructions. `failure`
    says why there is nothing else.
    """

    group: str
    config: str
    target: str
    note: str = ""
    failure: str = ""
    registers: int = 0
    stack_bytes: int = 0
    shared_bytes: int = 0
    shared_limit: int = 0
    tensor_columns: int = 0
    warps: int = 0
    ctas_per_sm: int = 0
    limit: str = ""
    spills_in_loop: int = 0
    spills_outside: int = 0
    tensor_class: str = ""
    ratio: float | None = None
    ratio_all: float | None = None
    exposed: float | None = None
    serialised: bool = False
    macs: int | None = None
    pipe_cycles: dict[str, float] = {}
    loops: tuple[LoopFacts, ...] = ()
    unknown_opcodes: tuple[str, ...] = ()
    advisories: tuple[str, ...] = ()
    sha256: str = ""
    triton: str = ""
    ptxas: str = ""

    @property
    def id(self) -> str:
        """``triton_fused/sm_80/fwd-d64-causal-bf16``."""
        return f"{self.group}/{self.target}/{self.config}"

    @property
    def main(self) -> LoopFacts | None:
        """The heaviest partition's loop: the one that `ratio` is of."""
        return max(self.loops, key=lambda loop: loop.instructions * loop.warps, default=None)

    def total(self, count: str) -> int:
        """A count of `LoopFacts` over all partitions."""
        return sum(getattr(loop, count) for loop in self.loops)


def failed(recipe: Recipe, reason: str) -> Facts:
    """Facts of a configuration that does not compile."""
    return Facts(group=recipe.group, config=recipe.config, target=recipe.target, note=recipe.note, failure=reason)


def analyse(recipe: Recipe, binary: Binary) -> Facts:
    """The facts of `binary`.

    Raises:
        bench.codegen.sass.ListingError: its disassembly can't be read.
    """
    target = find(recipe.target)
    listing = sass.parse(binary.listing)
    works = main_loops(control_flow.graph(listing), binary.warps)
    macs = works[0].macs if works else None
    loops = tuple(_loop_facts(work, macs) for work in works)
    held = occupancy(
        target,
        Demand(
            warps=binary.warps,
            registers=binary.registers,
            shared_bytes=binary.shared_bytes,
            tensor_columns=binary.tensor_columns,
        ),
    )
    in_loop = sum(loop.spills for loop in loops)
    ratios = [loop.ratio for loop in loops if loop.ratio is not None]
    return Facts(
        group=recipe.group,
        config=recipe.config,
        target=recipe.target,
        note=recipe.note,
        registers=binary.registers,
        stack_bytes=binary.stack_bytes,
        shared_bytes=binary.shared_bytes,
        shared_limit=target.shared_per_cta,
        tensor_columns=binary.tensor_columns,
        warps=binary.warps,
        ctas_per_sm=held.ctas,
        limit=held.limit,
        spills_in_loop=in_loop,
        spills_outside=sum(classify(i) == "spill" for i in listing.instructions) - in_loop,
        tensor_class=", ".join(sorted({tensor_class(i) for work in works for i in work.products})),
        ratio=max(ratios, default=None),
        ratio_all=round(sum(ratios), 4) if ratios else None,
        exposed=_exposed(works, recipe),
        serialised=any(serialised(work.iteration) for work in works),
        macs=macs,
        pipe_cycles=pipe_cycles(works, target),
        loops=loops,
        unknown_opcodes=tuple(sorted({i.stem for i in listing.instructions if classify(i) == "other"})),
        advisories=binary.advisories,
        sha256=listing.sha256,
        triton=binary.triton,
        ptxas=binary.ptxas,
    )


def _exposed(works: tuple[WorkLoop, ...], recipe: Recipe) -> float | None:
    share = exposed_share(works[0].iteration, find(recipe.target)) if works and recipe.target == "sm_90" else None
    return None if share is None else round(share, 4)


def _loop_facts(work: WorkLoop, macs: int | None) -> LoopFacts:
    mix = _counts(classify(i) for i in work.iteration)
    opcodes = _counts(i.stem for i in work.iteration)
    others = len(work.iteration) - len(work.products)
    return LoopFacts(
        partition=work.partition,
        warps=work.warps,
        address=work.iteration[0].address,
        instructions=len(work.iteration),
        tensor=len(work.products),
        spills=mix.get("spill", 0),
        async_copies=mix.get("async copy", 0),
        barriers=mix.get("barrier", 0),
        waits=mix.get("wait", 0),
        ffma=opcodes.get("FFMA", 0) + 2 * opcodes.get("FFMA2", 0),
        mix=mix,
        opcodes=opcodes,
        ratio=round(others * work.warps * UNIT_MACS / macs, 4) if macs else None,
    )


def _counts(names: Any) -> dict[str, int]:
    counted: dict[str, int] = {}
    for name in names:
        counted[name] = counted.get(name, 0) + 1
    return dict(sorted(counted.items(), key=lambda item: (-item[1], item[0])))
