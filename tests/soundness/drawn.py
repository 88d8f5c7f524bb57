"""Honest kernels and variants on the cases that a default check makes; none may be called wrong.

``python -m tests.soundness.drawn [SEEDS [DEPTH [WORD...]]]``; words choose those whose name holds one of them.
Ends with 1 on a false WRONG.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from attnbench.bench.agreement.oracle import Oracle
from attnbench.impls.contract import Implementation
from tests.mutants.door import Door
from tests.soundness.strangers import strangers
from tests.soundness.variants import VARIANTS


def judged(honest: Implementation, door: Door) -> Iterator[str]:
    """Of each case: a sentence where the kernel is called wrong, ``""`` where it agrees."""
    for case, wrong in door.judged(honest, door.asks(honest)):
        yield f"FALSE WRONG {honest.name} on {case.id}, seed {door.seed}: {wrong}" if wrong else ""


def main() -> int:
    """Run all, print what was called wrong and how many comparisons there were."""
    torch.set_num_threads(1)
    seeds, depth, *words = (*sys.argv[1:], *("1", "standard")[len(sys.argv) - 1 :])
    total = wrong = 0
    for seed in range(int(seeds)):
        with TemporaryDirectory() as folder:
            door = Door(Oracle(Path(folder)), seed, depth)
            for honest in (*strangers(), *VARIANTS.values()):
                if words and not any(word in honest.name for word in words):
                    continue
                found = list(judged(honest, door))
                alarms = [words for words in found if words]
                total, wrong = total + len(found), wrong + len(alarms)
                print(
                    "\n".join([f"{honest.name}: {len(found)} cases, {len(alarms)} called wrong", *alarms]),
                    flush=True,
                )
    print(f"{total} honest comparisons on drawn cases, {wrong} called wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
