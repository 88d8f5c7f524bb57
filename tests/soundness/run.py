"""Honest variants on many cases and seeds: ``python -m tests.soundness.run [SEEDS]``; none may be called wrong.

Prints how many comparisons were made and the nearest to a budget; ends with 1 on a false WRONG.
"""

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch

from attnbench.bench.agreement.check import check
from attnbench.bench.agreement.oracle import Oracle
from attnbench.bench.records.schema import Agreement
from attnbench.impls.contract import Implementation, parse_case
from tests.soundness.strangers import CASES as MORE_CASES
from tests.soundness.strangers import strangers
from tests.soundness.variants import CASES, VARIANTS

SEEDS = 6


@dataclass(frozen=True)
class Judged:
    """One variant on one case and seed."""

    variant: str
    case: str
    seed: int
    agreement: Agreement

    def __str__(self) -> str:
        worst = self.agreement.worst
        what = f"{worst.family}/{worst.output} {worst.share_of_budget:.2f}" if worst else "nothing compared"
        failed = ", ".join(f"{c.name}: {c.detail}" for c in self.agreement.failed_checks)
        return f"{self.variant} on {self.case}, seed {self.seed}: {what} {failed}".rstrip()


def judge(variants: Iterable[Implementation], cases: Iterable[str], seeds: Iterable[int]) -> Iterator[Judged]:
    """Every variant on every case that it does and every seed, all families, properties and side effects."""
    variants, cases, oracle = list(variants), list(cases), Oracle()
    for seed in seeds:
        for case in cases:
            for variant in variants:
                if variant.supports(parse_case(case), "cpu") is None:
                    agreement = check(variant, parse_case(case), oracle, seed=seed).agreement
                    yield Judged(variant.name, case, seed, agreement)


def main() -> int:
    """Run all, print what was found."""
    torch.set_num_threads(1)
    seeds = int(sys.argv[1]) if len(sys.argv) > 1 else SEEDS
    judged = list(judge((*VARIANTS.values(), *strangers()), (*CASES, *MORE_CASES), range(seeds)))
    wrong = [each for each in judged if not each.agreement.ok]
    nearest = sorted((j for j in judged if j.agreement.ok), key=lambda j: -j.agreement.worst.share_of_budget)
    print(f"{len(judged)} honest (variant x case x seed), {len(wrong)} called wrong; nearest to a budget:")
    print("\n".join(f"  {each}" for each in nearest[:5]))
    print("\n".join(f"FALSE WRONG {each}" for each in wrong))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
