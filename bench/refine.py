"""Spend the rest of a time budget on the cases whose times are least certain."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from time import perf_counter

from attnbench.bench.case_run import CaseRun, Settings
from attnbench.bench.phase_times import PhaseTimes
from attnbench.bench.records.schema import Measurement, Record
from attnbench.bench.timing.rounds import half_width
from attnbench.bench.workers.process import Pool

CLOSE_CASE_WEIGHT = 2.0
"""Weight of a case whose two fastest implementations can't be distinguished yet; of every other case it is 1."""

MOST_ROUNDS = 4000


def refine(
    records: Sequence[Record],
    pool: Pool,
    settings: Settings,
    until_s: float,
    keep: Callable[[Record], None],
    spent: PhaseTimes,
) -> Iterator[Record]:
    """Time cases again until `until_s` of ``perf_counter``, the least certain case first.

    Each record yielded holds the earlier samples too, and replaces the one of the same key.
    """
    effort = replace(settings.effort, at_most=MOST_ROUNDS)
    timed = {record.key: record for record in records if record.measurement is not None}
    while perf_counter() < until_s and (needy := neediest(timed.values(), effort.interval)):
        case = needy[0].case
        case_run = CaseRun(case, pool, replace(settings, effort=effort, remeasure=0), spent)
        yield from _kept(case_run.time([case_run.recall(record) for record in needy]), timed, keep)


def _kept(
    records: Iterable[Record], timed: dict[tuple[str, str], Record], keep: Callable[[Record], None]
) -> Iterator[Record]:
    for record in records:
        timed.pop(record.key)
        if record.measurement is not None:
            timed[record.key] = record
        keep(record)
        yield record


def neediest(timed: Iterable[Record], interval: float) -> list[Record]:
    """The records of the case that more samples would help most; empty where all are narrow enough."""
    ordered = sorted(timed, key=lambda record: record.case.id)
    cases = [list(group) for _, group in groupby(ordered, key=lambda record: record.case.id)]
    needs = [(need(records, interval), records) for records in cases]
    worst = max(needs, key=lambda pair: pair[0], default=(0.0, []))
    return worst[1] if worst[0] > 0 else []


def need(records: Sequence[Record], interval: float) -> float:
    """How much more samples would help a case: its widest interval, weighted; 0 where all are narrow enough."""
    measured = sorted((r.measurement for r in records if r.measurement), key=lambda m: m.median_ns)
    widest = max((half_width(m.samples_ns) for m in measured), default=0.0)
    if widest <= interval or all(len(m.samples_ns) >= MOST_ROUNDS for m in measured):
        return 0.0
    return widest * (CLOSE_CASE_WEIGHT if _close(measured) else 1.0)


def _close(measured: Sequence[Measurement]) -> bool:
    """Whether the intervals of the two fastest overlap."""
    return len(measured) > 1 and measured[0].interval_ns[1] >= measured[1].interval_ns[0]
