"""Exposed softmax on sm_90: the share of softmax cycles during which no wgmma is in flight.

``HGMMA`` runs asynchronously: it is in flight from its issue until a ``WARPGROUP.DEPBAR.LE
gsb0, n`` waits until at most n committed groups are unfinished. Meanwhile the tensor cores
have work. Softmax instructions that are issued at any other time are exposed::

    HGMMA                    wgmma 1 in flight
    FFMA, MUFU.EX2           covered
    WARPGROUP.DEPBAR 0       waits for wgmma 1
    FMNMX, FADD              exposed

Cycles are issue cycles from the published throughputs. The loop's body is walked twice, so
that a product left in flight at its end covers the beginning of the next iteration. Products
of other CTAs and warp groups are not seen.
"""

import re

from attnbench.bench.codegen.classes import PIPES, SOFTMAX, classify
from attnbench.bench.codegen.sass import Instruction
from attnbench.bench.codegen.target import WARP, Target

SEVERAL = 2
"""With more products an iteration than this, a wait for each one is the compiler's doing, not the author's."""
LEFT = re.compile(r"gsb0,\s*(0x[0-9a-f]+)")


def exposed_share(iteration: tuple[Instruction, ...], target: Target) -> float | None:
    """Exposed cycles over all softmax cycles of an iteration; None without wgmma or softmax."""
    if not any(i.stem.endswith("GMMA") for i in iteration):
        return None
    open_groups, uncommitted = 0, False
    exposed = total = 0.0
    for _ in range(2):  # the second pass begins with what the first left in flight; only it counts
        exposed = total = 0.0
        for instruction in iteration:
            if instruction.stem.endswith("GMMA"):
                uncommitted = "gsb0" not in instruction.operands
                open_groups += not uncommitted
            elif instruction.opcode.startswith("WARPGROUP.DEPBAR"):
                left = LEFT.search(instruction.operands)
                open_groups = min(open_groups, int(left[1], 16) if left else 0)
            elif classify(instruction) in SOFTMAX:
                cycles = issue_cycles(instruction, target)
                total += cycles
                exposed += cycles if not (open_groups or uncommitted) else 0.0
    return exposed / total if total else None


def serialised(iteration: tuple[Instruction, ...]) -> bool:
    """Whether each wgmma is waited for before the next is issued.

    ptxas does this where it can't keep the registers of products in flight apart from others
    (its advisories C7510 and C7515). Then hardly anything overlaps with a product, and the
    exposed share has no meaning.
    """
    products = [i for i in iteration if i.stem.endswith("GMMA")]
    waits = sum(i.opcode.startswith("WARPGROUP.DEPBAR") for i in iteration)
    return len(products) > SEVERAL and waits >= len(products)


def issue_cycles(instruction: Instruction, target: Target) -> float:
    """Cycles that one warp's `instruction` keeps its pipe of one SM busy; 0 where no throughput is published."""
    lanes = target.lanes(PIPES[classify(instruction)])
    return WARP / lanes if lanes else 0.0
