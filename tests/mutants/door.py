"""Every planting through the door that users take: the cases of ``check --impl FILE.py:FUNCTION``.

``python -m tests.mutants.door [WORD...]`` prints which case shows each of them, or that nothing did;
words choose the plantings whose path holds one of them. Exit 1 where one passes unseen.

The cases are those that the command makes of what a kernel declares, run in this process and in another order:
first those most like the case on which the defect was proved, since most defects are shown by one of these.
What passes unseen has passed all of them.
"""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from attnbench.bench.agreement.check import check
from attnbench.bench.agreement.families import FAMILIES
from attnbench.bench.agreement.oracle import Oracle
from attnbench.bench.case_run import why_wrong
from attnbench.bench.registry.user_file import load_user_file
from attnbench.bench.sweeps.plan import Ask, Plan
from attnbench.impls.contract import Case, Implementation, Refusal, parse_case
from tests.mutants.features import FEATURES
from tests.mutants.table import MUTANTS, Mutant

ALL = (*MUTANTS, *FEATURES)
UNSEEN = ""
Told = Callable[[str, str], object]


def plantings(mutants: Iterable[Mutant] = ALL) -> dict[str, Mutant]:
    """Paths as the command line takes them; a defect in a feature is planted twice."""
    return {path: mutant for mutant in mutants for path in mutant.plantings}


class Door:
    """The default check of many kernels, which share plans and what is expected."""

    def __init__(self, oracle: Oracle, seed: int = 0, depth: str = "standard") -> None:
        self.oracle, self.seed, self.depth = oracle, seed, depth
        self._plans: dict[tuple[frozenset[str], tuple[str, ...]], tuple[Ask, ...]] = {}

    def asks(self, kernel: Implementation) -> tuple[Ask, ...]:
        """The cases that are made of what `kernel` declares, each once."""
        key = kernel.features, kernel.dtypes
        if key not in self._plans:

            def refusals(cases: Iterable[Case]) -> list[str | None]:
                return [kernel.supports(case, "cpu") for case in cases]

            plan = Plan(kernel.features, kernel.dtypes, refusals, seed=self.seed, depth=self.depth)
            first = plan.alone()
            self._plans[key] = tuple({ask.case.id: ask for ask in (*plan.together(), *reversed(first))}.values())
        return self._plans[key]

    def judged(self, kernel: Implementation, asks: Sequence[Ask]) -> Iterator[tuple[Case, str]]:
        """Each case with what is wrong there; ``""`` where nothing is. A case that is refused is left out."""
        for ask in asks:
            families = ask.families or tuple(FAMILIES)
            try:
                agreement = check(
                    kernel, ask.case, self.oracle, seed=self.seed, families=families, thorough=ask.thorough
                ).agreement
            except Refusal:
                continue
            except Exception as error:  # noqa: BLE001  # a kernel that breaks is told, as the command tells it
                yield ask.case, f"{type(error).__name__}: {error}"
            else:
                yield ask.case, "" if agreement.ok else why_wrong(agreement)

    def first_failure(self, kernel: Implementation, like: Case | None) -> str:
        """The id of a case that `kernel` fails; ``""`` where it fails none."""
        asks = self.asks(kernel)
        if like:
            asks = sorted(asks, key=lambda ask: _distance(ask.case, like))
        return next((case.id for case, wrong in self.judged(kernel, asks) if wrong), UNSEEN)


def _distance(case: Case, other: Case) -> tuple[int, int]:
    """Features that only one of the two has, and how many scores there are."""
    different = 2 * len(case.features ^ other.features) + (case.dtype != other.dtype)
    return different, case.batch * case.q_heads * case.q_len * case.kv_len


def first_failures(names: Iterable[str], seed: int = 0, told: Told = lambda name, case: None) -> dict[str, str]:
    """For each planting a case that showed it, after which it is left alone; ``""`` where the whole check agreed."""
    mutants, found = plantings(), {}
    with TemporaryDirectory() as folder:
        door = Door(Oracle(Path(folder)), seed)
        for name in names:
            proved_on = mutants[name].case
            found[name] = door.first_failure(load_user_file(name), parse_case(proved_on) if proved_on else None)
            told(name, found[name])
    return found


def main() -> int:
    """Print a case that shows each planting."""
    torch.set_num_threads(1)
    words = sys.argv[1:]
    chosen = [path for path in plantings() if not words or any(word in path for word in words)]
    found = first_failures(chosen, told=lambda name, case: print(f"{name}  {case or 'UNSEEN'}", flush=True))
    unseen = [name for name, case in found.items() if case == UNSEEN]
    print(f"{len(found)} plantings, {len(unseen)} pass unseen")
    return 1 if unseen else 0


if __name__ == "__main__":
    sys.exit(main())
