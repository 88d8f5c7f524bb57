"""One case with its implementations, step by step; every outcome becomes a record."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import perf_counter

import msgspec

from attnbench.bench.phase_times import PhaseTimes
from attnbench.bench.records.schema import Agreement, Comparison, Conditions, Measurement, Peaks, Record, Status
from attnbench.bench.timing.conditions import WITHIN_ROUNDS, Watch, machine_moved
from attnbench.bench.timing.rounds import Effort, Sampler, sample_in_rounds
from attnbench.bench.workers.answers import CheckAnswer, CloseAnswer, OpenAnswer
from attnbench.bench.workers.process import Pool
from attnbench.bench.workers.status import RemoteError, WorkerFailure, status_of
from attnbench.impls.contract import Case, cost

ROOF_MARGIN = 1.25
"""A rate so many times that of the device's own matrix product is invalid: peaks vary by less from run to run."""


@dataclass(frozen=True)
class Settings:
    """How to check and how long to time; `timed` False stops after the check.

    `properties` None is all of them.

    Disturbed rounds are repeated at most `remeasure` times. `peaks` gives the device's
    measured peaks (measured again with True): a time that needs a higher rate is invalid.
    """

    seed: int = 0
    families: tuple[str, ...] = ()
    properties: tuple[str, ...] | None = None
    timed: bool = True
    effort: Effort = field(default_factory=Effort)
    remeasure: int = 1
    peaks: Callable[[bool], Peaks] | None = None


class CaseRun:
    """One case with its implementations; every outcome becomes a record in :meth:`record`."""

    def __init__(self, case: Case, pool: Pool, settings: Settings, spent: PhaseTimes) -> None:
        self.case, self.pool, self.settings, self.spent = case, pool, settings, spent
        self.checked: dict[str, CheckAnswer] = {}
        self.ready: dict[str, OpenAnswer] = {}
        self.wall_s: dict[str, float] = {}
        self.prior: dict[str, Measurement] = {}
        self.conditions: Conditions | None = None

    def expect(self) -> WorkerFailure | None:
        """Have the oracle compute what the case must give; what went wrong with that."""
        start = perf_counter()
        try:
            self.pool.oracle.expect(self.case, self.settings.seed, self.settings.families)
        except WorkerFailure as error:
            return error
        finally:
            self.spent.expecting_s += perf_counter() - start
        return None

    def check(self, name: str) -> Record:
        """Compare with the oracle."""
        start = perf_counter()
        try:
            answer = self.pool.worker(name).check(
                self.case, self.settings.seed, self.settings.families, self.settings.properties
            )
        except WorkerFailure as error:
            return self.record(name, error=error)
        finally:
            self.wall_s[name] = perf_counter() - start
            self.spent.checking_s += self.wall_s[name]
        self.checked[name] = answer
        return self.record(name, agreement=answer.agreement)

    def open(self, record: Record) -> Sampler | Record:
        """Prepare for sampling; a record where that fails."""
        worker, start = self.pool.worker(record.implementation), perf_counter()
        try:
            ready = self.ready[record.implementation] = worker.open(self.case, self.settings.seed)
            self.spent.timed_s += ready.warming_s
            self.spent.inputs_s -= ready.warming_s
        except WorkerFailure as error:
            return self.record(record.implementation, error=error)
        finally:
            self.spent.inputs_s += perf_counter() - start
        prior = self.prior[record.implementation].samples_ns if record.implementation in self.prior else ()
        return Sampler(record.implementation, worker.sample, prior)

    def recall(self, record: Record) -> None:
        """Go on from a record that was checked and timed before, instead of checking again."""
        assert record.agreement is not None, "a timed record was checked"
        assert record.measurement is not None, "only timed records are refined"
        name = record.implementation
        self.prior[name] = record.measurement
        notes = tuple(note for note in record.notes if not note.startswith("disturbed: "))
        self.checked[name] = CheckAnswer(record.agreement, record.measurement.first_call_ns or 0.0, notes)
        self.wall_s[name] = record.wall_s

    def sample_all(self, opened: list[Sampler]) -> list[Sampler]:
        """Sample all in rounds; disturbed rounds are repeated, at most `remeasure` times, and then marked."""
        ended: list[Sampler] = []
        for _ in range(1 + self.settings.remeasure):
            before = self._probe()
            watch = Watch(self.pool.device, self.pool.pids, self.pool.uuid)
            stopped = list(sample_in_rounds(opened, self.settings.effort, self.settings.seed))
            self.conditions = self._conditions(watch.conditions(), before, self._probe())
            self._account(stopped)
            ended += [sampler for sampler in stopped if sampler.error is not None]
            right = [sampler for sampler in stopped if sampler.error is None]
            if not right or not self.conditions.disturbance:
                break
            opened = [sampler.again() for sampler in right]
        return ended + right

    def _account(self, stopped: Sequence[Sampler]) -> None:
        """Add the time of these rounds to the phases: timed calls, and the time between them."""
        for sampler in stopped:
            sampled_ns = sum(sampler.samples_ns[len(sampler.prior_ns) :])
            timed_s = sampled_ns * self.ready[sampler.name].calls / 1e9
            self.spent.timed_s += timed_s
            self.spent.between_s += sampler.spent_s - timed_s

    def _probe(self) -> dict[str, float]:
        """How fast the CPU itself is now; nothing of a device, whose clocks NVML tells, nor from a dead worker."""
        if self.pool.device != "cpu":
            return {}
        try:
            return self.pool.oracle.probe()
        except WorkerFailure:  # figures that are absent are not shown; the next case starts the worker anew
            return {}

    def _conditions(self, seen: Conditions, before: dict[str, float], after: dict[str, float]) -> Conditions:
        """What was seen, with the probes; a machine that changed its speed meanwhile was disturbed."""
        moved = machine_moved(before, after, bounds=WITHIN_ROUNDS)
        return Conditions(
            before=seen.before | before,
            after=seen.after | after,
            disturbance="; ".join(words for words in (seen.disturbance, moved) if words),
        )

    def finish(self, sampler: Sampler) -> Record:
        """Check what was timed once more, and make the record."""
        name, start = sampler.name, perf_counter()
        if sampler.error is not None:
            return self.record(name, error=sampler.error)
        try:
            answer = self.pool.worker(name).close()
        except WorkerFailure as error:
            return self.record(name, error=error)
        finally:
            self.spent.checking_s += perf_counter() - start
            self.wall_s[name] += perf_counter() - start + sampler.spent_s
        agreement = self.checked[name].agreement
        if not answer.verified.ok:
            timed = msgspec.structs.replace(answer.verified, hint="right when checked, wrong after it was timed")
            agreement = msgspec.structs.replace(agreement, comparisons=(*agreement.comparisons, timed))
            return self.record(name, agreement=agreement)
        measurement = self._measurement(sampler, answer)
        if impossible := self._impossible(measurement):
            return self.record(name, error=RemoteError(Status.WRONG, impossible))
        return self.record(name, agreement=agreement, measurement=measurement)

    def _impossible(self, measurement: Measurement) -> str:
        """Why this time can't be true: it beats the device's own matrix product; '' where it doesn't."""
        if self.settings.peaks is None:
            return ""
        rate, peak = cost(self.case).flops / measurement.median_ns * 1e9, 0.0
        for again in (False, True):
            peak = max(peak, self.settings.peaks(again).flops_per_s[self.case.dtype])
            if rate <= ROOF_MARGIN * peak:
                return ""
        return (
            f"{rate / 1e12:.3g} TFLOP/s, where this device's own matrix product reaches {peak / 1e12:.3g}: "
            "work was skipped, or went on after the clock had stopped"
        )

    def _measurement(self, sampler: Sampler, closed: CloseAnswer) -> Measurement:
        ready = self.ready[sampler.name]
        return Measurement(
            samples_ns=tuple(sampler.samples_ns),
            calls=ready.calls,
            warmup_ns=ready.warmup_ns,
            first_call_ns=self.checked[sampler.name].first_call_ns,
            clock=ready.clock,
            cache=ready.cache,
            timed_region=self.case.direction,
            threads=ready.threads,
            pinned=ready.pinned,
            peak_bytes=closed.peak_bytes,
            saved_bytes=closed.saved_bytes,
            host_ns=closed.host_ns,
            energy_j=closed.energy_j,
            stopped=sampler.stopped,
        )

    def record(
        self,
        name: str,
        *,
        error: WorkerFailure | None = None,
        agreement: Agreement | None = None,
        measurement: Measurement | None = None,
    ) -> Record:
        """The record of `name`, from an error, an agreement or a measurement."""
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
            conditions=self.conditions if measurement is not None else None,
            notes=self._notes(name, measurement),
            traceback=error.frames if isinstance(error, RemoteError) and status is Status.ERROR else (),
            wall_s=round(self.wall_s.get(name, 0.0), 6),
        )

    def _notes(self, name: str, measurement: Measurement | None) -> tuple[str, ...]:
        """What a reader must know of the implementation, and of the time where there is one."""
        notes = self.checked[name].notes if name in self.checked else ()
        if measurement is None or self.conditions is None:
            return notes
        disturbed = f"disturbed: {self.conditions.disturbance}" if self.conditions.disturbance else ""
        return (*notes, *(note for note in (disturbed, self.ready[name].note) if note))


def why_wrong(agreement: Agreement) -> str:
    """What disagrees, in one line: the most informative output; the failed checks where every output agrees."""
    if not agreement.failures:
        return "; ".join(f"{check.name}: {check.detail}" for check in agreement.failed_checks)
    also = ", ".join(check.name for check in agreement.failed_checks)
    return _failure_line(_most_informative(agreement.failures)) + (f"; fails as well: {also}" if also else "")


def _most_informative(failures: Sequence[Comparison]) -> Comparison:
    """A failure with a hint, preferably on normal inputs; the worst failure where none has a hint."""
    hinted = [failure for failure in failures if failure.hint]
    return min(hinted, key=lambda failure: failure.family != "normal", default=failures[0])


def _failure_line(failure: Comparison) -> str:
    index = ", ".join(map(str, failure.worst_index))
    what = (
        f"error {float(failure.max_error):.3g} over budget {failure.max_budget:.3g} at [{index}], "
        f"expected {float(failure.expected):.5g}, got {float(failure.got):.5g}"
    )
    if float(failure.max_error) <= failure.max_budget:
        what = f"relative L2 error {float(failure.l2_error):.3g} over budget {failure.l2_budget:.3g}"
    where = f"{failure.output} on {failure.family} inputs"
    hint = f": {failure.hint}" if failure.hint else ""
    return f"{where}: {what} ({failure.outside} of {failure.judged} elements){hint}"
