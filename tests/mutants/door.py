"""Every planting through the door that users take: ``check --impl FILE.py:FUNCTION``, without case or sweep.

``python -m tests.mutants.door [WORD...]`` prints which case shows each of them first, or that nothing did;
words choose the plantings whose path holds one of them. Exit 1 where one passes unseen.
"""

import sys
from collections.abc import Callable, Iterable, Sequence

from attnbench.bench.case_run import Settings
from attnbench.bench.claimed import Claimed, check_claimed, plan_of
from attnbench.bench.cli.session import session
from attnbench.bench.sweeps import Sweep
from tests.mutants.features import FEATURES
from tests.mutants.table import MUTANTS, Mutant

UNSEEN = ""


def plantings(mutants: Iterable[Mutant] = (*MUTANTS, *FEATURES)) -> tuple[str, ...]:
    """Paths as the command line takes them; a defect in a feature is planted twice."""
    return tuple(path for mutant in mutants for path in mutant.plantings)


def first_failures(
    names: Sequence[str],
    seed: int = 0,
    told: Callable[[str, str], object] = lambda name, case: None,
    depth: str = "standard",
) -> dict[str, str]:
    """For each planting the case that showed it, after which it is left alone; ``""`` where the whole check agreed."""
    found = {}
    with session(names, "cpu", Sweep("declared", ()), None) as here:
        for one in here.implementations:
            claimed = Claimed(one, plan_of(one, here.pool, seed, depth))
            records = check_claimed(claimed, here.pool, Settings(seed=seed, timed=False), lambda record: None)
            failed = (record.case.id for record in records if record.status.is_failure)
            found[one.name] = next(failed, UNSEEN)
            here.pool.worker(one.name).stop()
            told(one.name, found[one.name])
    return found


def main() -> int:
    """Print the case that shows each planting first."""
    words = sys.argv[1:]
    chosen = [path for path in plantings() if not words or any(word in path for word in words)]
    found = first_failures(chosen, told=lambda name, case: print(f"{name}  {case or 'UNSEEN'}", flush=True))
    unseen = [name for name, case in found.items() if case == UNSEEN]
    print(f"{len(found)} plantings, {len(unseen)} pass unseen")
    return 1 if unseen else 0


if __name__ == "__main__":
    sys.exit(main())
