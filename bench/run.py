"""One case from declaration to record, and a whole sweep of them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from time import perf_counter

import msgspec

from bench.records.schema import Agreement, Measurement, Record, Status
from bench.timing.process import Pool
from bench.timing.rounds import Contestant, Effort, contest
from bench.timing.status import WorkerFailure, status_of
from bench.timing.worker import CheckAnswer, CloseAnswer, OpenAnswer
from impls.contract import Case


@dataclass(frozen=True)
class Settings:
    """How to check and how long to time; `timed` False stops after the check."""

    seed: int = 0
    families: tuple[str, ...] = ()
    timed: bool = True
    effort: Effort = field(default_factory=Effort)
    timeout_s: float = 120.0


@dataclass
class Spent:
    """Where the wall time of a run went, in seconds."""

    expecting_s: float = 0.0
    checking_s: float = 0.0
    timing_s: float = 0.0


def run_case(
    case: Case, names: Sequence[str], pool: Pool, settings: Settings, spent: Spent | None = None
) -> Iterator[Record]:
    """A case's life: expected, checked, timed against the others, checked again; one record a name."""
    life = _Life(case, pool, settings, spent or Spent())
    if failure := life.expect():
        yield from (life.record(name, error=failure) for name in names)
        return
    right = []
    for name in names:
        record = life.check(name)
        if record.status is Status.PASSED and settings.timed and life.checked[name].timed:
            right.append(record)
        else:
            yield record
    opened = []
    for record in right:
        ready = life.open(record)
        if isinstance(ready, Record):
            yield ready
        else:
            opened.append(ready)
    for contestant in contest(opened, settings.effort, settings.seed):
        yield life.finish(contestant)


class _Life:
    """What happens to one case; every way to end becomes a record in :meth:`record`."""

    def __init__(self, case: Case, pool: Pool, settings: Settings, spent: Spent) -> None:
        self.case, self.pool, self.settings, self.spent = case, pool, settings, spent
        self.checked: dict[str, CheckAnswer] = {}
        self.ready: dict[str, OpenAnswer] = {}
        self.wall_s: dict[str, float] = {}

    def expect(self) -> WorkerFailure | None:
        """Have the oracle compute what the case must give; what went wrong with that."""
        start = perf_counter()
        try:
            self.pool.oracle.ask("expect", self.case, self.settings.seed, self.settings.families)
        except WorkerFailure as error:
            return error
        finally:
            self.spent.expecting_s += perf_counter() - start
        return None

    def check(self, name: str) -> Record:
        """Compare with the oracle."""
        start = perf_counter()
        try:
            answer = self.pool.worker(name).ask("check", self.case, self.settings.seed, self.settings.families)
        except WorkerFailure as error:
            return self.record(name, error=error)
        finally:
            self.wall_s[name] = perf_counter() - start
            self.spent.checking_s += self.wall_s[name]
        self.checked[name] = answer
        return self.record(name, agreement=answer.agreement)

    def open(self, record: Record) -> Contestant | Record:
        """Prepare for sampling; a record where that fails."""
        worker, start = self.pool.worker(record.implementation), perf_counter()
        try:
            self.ready[record.implementation] = worker.ask("open", self.case, self.settings.seed)
        except WorkerFailure as error:
            return self.record(record.implementation, error=error)
        finally:
            self.spent.timing_s += perf_counter() - start
        return Contestant(record.implementation, lambda: float(worker.ask("sample")))

    def finish(self, contestant: Contestant) -> Record:
        """Check what was timed once more, and make the record."""
        name = contestant.name
        self.spent.timing_s += contestant.spent_s
        self.wall_s[name] += contestant.spent_s
        if contestant.error is not None:
            return self.record(name, error=contestant.error)
        try:
            answer: CloseAnswer = self.pool.worker(name).ask("close")
        except WorkerFailure as error:
            return self.record(name, error=error)
        agreement = self.checked[name].agreement
        if not answer.verified.ok:
            timed = msgspec.structs.replace(answer.verified, hint="right when checked, wrong after it was timed")
            agreement = msgspec.structs.replace(agreement, comparisons=(*agreement.comparisons, timed))
            return self.record(name, agreement=agreement)
        return self.record(name, agreement=agreement, measurement=self._measurement(contestant, answer))

    def _measurement(self, contestant: Contestant, closed: CloseAnswer) -> Measurement:
        ready = self.ready[contestant.name]
        return Measurement(
            samples_ns=tuple(contestant.samples_ns),
            calls=ready.calls,
            warmup_ns=ready.warmup_ns,
            first_call_ns=self.checked[contestant.name].first_call_ns,
            clock=ready.clock,
            cache=ready.cache,
            inside=self.case.direction,
            threads=ready.threads,
            peak_bytes=closed.peak_bytes,
            stopped=contestant.stopped,
        )

    def record(
        self,
        name: str,
        *,
        error: WorkerFailure | None = None,
        agreement: Agreement | None = None,
        measurement: Measurement | None = None,
    ) -> Record:
        """The record of one ending."""
        status, reason = (Status.PASSED, "") if error is None else status_of(error)
        if agreement is not None and not agreement.ok:
            status, reason = Status.WRONG, why_wrong(agreement)
        return Record(
            case=self.case,
            implementation=name,
            status=status,
            reason=reason,
            seed=self.settings.seed,
            agreement=agreement,
            measurement=measurement,
            notes=self.checked[name].notes if name in self.checked else (),
            wall_s=round(self.wall_s.get(name, 0.0), 6),
        )


def why_wrong(agreement: Agreement) -> str:
    """One line that says what disagrees: the worst comparison, or the check that failed."""
    if agreement.failed_checks:
        return "; ".join(f"{check.name}: {check.detail}" for check in agreement.failed_checks)
    worst = agreement.failures[0]
    index = ", ".join(map(str, worst.worst_index))
    line = (
        f"{worst.output} on {worst.family} inputs: error {float(worst.max_error):.3g} over budget "
        f"{worst.max_budget:.3g} at [{index}], expected {float(worst.expected):.5g}, got {float(worst.got):.5g}"
    )
    if float(worst.max_error) <= worst.max_budget:
        line = (
            f"{worst.output} on {worst.family} inputs: relative L2 error {float(worst.l2_error):.3g} "
            f"over budget {worst.l2_budget:.3g}"
        )
    return f"{line} ({worst.outside} of {worst.judged} elements)" + (f": {worst.hint}" if worst.hint else "")


def run_sweep(
    cases: Sequence[Case],
    names: Sequence[str],
    pool: Pool,
    settings: Settings,
    *,
    done: Sequence[Record] = (),
    keep: Callable[[Record], None],
    spent: Spent | None = None,
) -> Iterator[Record]:
    """Run every case that `done` lacks; each record is given to `keep` before it is yielded."""
    finished = {record.key for record in done}
    for case in cases:
        left = [name for name in names if (case.id, name) not in finished]
        for record in run_case(case, left, pool, settings, spent) if left else ():
            keep(record)
            yield record
