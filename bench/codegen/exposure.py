"""Exposed softmax on sm_90: the share of softmax cycles during which no wgmma is in flight.

``HGMMA`` runs asynchronously: from its issue until ``WARPGROUP.DEPBAR.LE gsb0, n``
leaves at most n committed groups open, the tensor cores have work. Softmax instructions
issued outside of such spans are exposed. Cycles are issue cycles from the published
throughputs; two turns are walked, so that a product left in flight at the end of a turn
covers the beginning of the next. Another CTA's or warp group's products are not seen.
"""

import re

from attnbench.bench.codegen.classes import PIPES, SOFTMAX, classify
from attnbench.bench.codegen.sass import Instruction
from attnbench.bench.codegen.target import WARP, Target

SEVERAL = 2
"""More products a turn than these, and a wait for each, are no schedule that anyone writes."""
LEFT = re.compile(r"gsb0,\s*(0x[0-9a-f]+)")


def exposed_share(turn: tuple[Instruction, ...], target: Target) -> float | None:
    """Exposed cycles over all softmax cycles of a turn; None without wgmma or softmax."""
    if not any(i.stem.endswith("GMMA") for i in turn):
        return None
    open_groups, uncommitted = 0, False
    exposed = total = 0.0
    for lap in (1, 2):
        exposed = total = 0.0
        for instruction in turn:
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
        del lap
    return exposed / total if total else None


def serialised(turn: tuple[Instruction, ...]) -> bool:
    """Whether each wgmma is waited for before the next is issued.

    ptxas does this where it can't keep the registers of products in flight apart from
    others (its advisories C7510 and C7515). Nothing runs under such products for long, whatever the
    exposed share says.
    """
    products = [i for i in turn if i.stem.endswith("GMMA")]
    waits = sum(i.opcode.startswith("WARPGROUP.DEPBAR") for i in turn)
    return len(products) > SEVERAL and waits >= len(products)


def issue_cycles(instruction: Instruction, target: Target) -> float:
    """Cycles that one warp's `instruction` keeps its pipe of one SM busy; 0 where no throughput is published."""
    lanes = target.lanes(PIPES[classify(instruction)])
    return WARP / lanes if lanes else 0.0
