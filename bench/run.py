"""One case from declaration to record, and a whole sweep of them."""

from collections.abc import Callable, Iterator, Sequence

from attnbench.bench.case_run import CaseRun, Settings
from attnbench.bench.phase_times import PhaseTimes
from attnbench.bench.records.schema import Record
from attnbench.bench.workers.process import Pool
from attnbench.impls.contract import Case


def run_case(
    case: Case,
    names: Sequence[str],
    pool: Pool,
    settings: Settings,
    spent: PhaseTimes | None = None,
    meanwhile: Callable[[], object] = lambda: None,
) -> Iterator[Record]:
    """A case's life: expected, checked, timed against the others, checked again; one record a name.

    `meanwhile` is called once the reference's worker is free.
    """
    case_run = CaseRun(case, pool, settings, spent or PhaseTimes())
    if failure := case_run.expect():
        yield from (case_run.failed(name, failure) for name in names)
        return
    meanwhile()
    right = []
    for name in names:
        attempt = case_run.check(name)
        if attempt.record is None:
            right.append(attempt)
        else:
            yield attempt.record
    yield from case_run.time(right)


def run_sweep(
    cases: Sequence[Case],
    names: Sequence[str],
    pool: Pool,
    settings: Settings,
    *,
    done: Sequence[Record] = (),
    keep: Callable[[Record], None],
    spent: PhaseTimes | None = None,
    over: Callable[[], bool] = lambda: False,
) -> Iterator[Record]:
    """Run every case that `done` lacks; each record is given to `keep` before it is yielded.

    No case is begun when `over` is true.
    """
    finished = {record.key for record in done}
    for case in cases:
        if over():
            return
        left = [name for name in names if (case.id, name) not in finished]
        for record in run_case(case, left, pool, settings, spent) if left else ():
            keep(record)
            yield record
