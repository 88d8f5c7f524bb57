"""One case with its implementations, step by step; every outcome becomes a record."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from time import perf_counter

import msgspec

from attnbench.bench.phase_times import PhaseTimes
from attnbench.bench.records.schema import Agreement, Comparison, Conditions, Measurement, Peaks, Record, Status
from attnbench.bench.status import RemoteError, WorkerFailure, status_of
from attnbench.bench.timing.conditions import WITHIN_ROUNDS, Watch, machine_moved
from attnbench.bench.timing.rounds import Effort, Sampler, sample_in_rounds
from attnbench.bench.workers.answers import CheckAnswer, CloseAnswer, OpenAnswer
from attnbench.bench.workers.process import Pool
from attnbench.impls.contract import Case, cost

ROOF_MARGIN = 1.25
"""A rate this far above the device's own matrix product is no result: peaks vary by less from run to run."""


@dataclass(frozen=True)
class Settings:
    """How to check and how long to time; `timed` False stops after the check.

    `properties` None is all of them. Not `thorough`, a check is the comparisons and the side effects of one call.

    Rounds that were disturbed are taken again at most `remeasure` times. `peaks` gives the
    device's measured peaks (measured again with True), None where they can't be measured: a
    time that beats them is no result.
    """

    seed: int = 0
    families: tuple[str, ...] = ()
    properties: tuple[str, ...] | None = None
    thorough: bool = True
    timed: bool = True
    effort: Effort = field(default_factory=Effort)
    remeasure: int = 1
    peaks: Callable[[bool], Peaks | None] | None = None


@dataclass
class Attempt:
    """The state of one implementation in this case; steps that have not been taken yet are None.

    `prior` is an earlier measurement of the same run that new samples are added to. `record`
    stands as soon as the way has ended.
    """

    name: str
    checked: CheckAnswer | None = None
    opened: OpenAnswer | None = None
    prior: Measurement | None = None
    wall_s: float = 0.0
    record: Record | None = None


class CaseRun:
    """One case with its implementations; every outcome becomes a record in :meth:`_end`."""

    def __init__(self, case: Case, pool: Pool, settings: Settings, spent: PhaseTimes) -> None:
        self.case, self.pool, self.settings, self.spent = case, pool, settings, spent
        self.conditions: Conditions | None = None

    def expect(self) -> WorkerFailure | None:
        """Have the reference computed; what went wrong with that."""
        start = perf_counter()
        try:
            self.pool.oracle.expect(self.case, self.settings.seed, self.settings.families)
        except WorkerFailure as error:
            return error
        finally:
            self.spent.expecting_s += perf_counter() - start
        return None

    def failed(self, name: str, error: WorkerFailure) -> Record:
        """The record of an implementation for which there is no reference."""
        return self._end(Attempt(name), error=error)

    def check(self, name: str) -> Attempt:
        """Compare with the reference; the attempt has ended unless it may be timed now."""
        attempt, start = Attempt(name), perf_counter()
        try:
            chosen = self.settings
            attempt.checked = self.pool.worker(name).check(
                self.case, chosen.seed, chosen.families, chosen.properties, thorough=chosen.thorough
            )
        except WorkerFailure as error:
            attempt.wall_s = perf_counter() - start
            self._end(attempt, error=error)
        else:
            attempt.wall_s = perf_counter() - start
            agreement = attempt.checked.agreement
            if not (agreement.ok and self.settings.timed and attempt.checked.timed):
                self._end(attempt, agreement=agreement)
        self.spent.checking_s += attempt.wall_s
        return attempt

    def recall(self, record: Record) -> Attempt:
        """Go on from a record that was checked and timed before, instead of checking again."""
        assert record.agreement is not None, "a timed record was checked"
        assert record.measurement is not None, "only timed records are refined"
        notes = tuple(note for note in record.notes if not note.startswith("disturbed: "))
        checked = CheckAnswer(record.agreement, record.measurement.first_call_ns or 0.0, notes)
        return Attempt(record.implementation, checked, prior=record.measurement, wall_s=record.wall_s)

    def time(self, attempts: Sequence[Attempt]) -> Iterator[Record]:
        """Sample the attempts that have not ended in the same rounds, check them once more, and end them."""
        attempts = [attempt for attempt in attempts if attempt.record is None]
        samplers = {attempt.name: sampler for attempt in attempts if (sampler := self._open(attempt))}
        yield from (attempt.record for attempt in attempts if attempt.record is not None)
        by_name = {attempt.name: attempt for attempt in attempts}
        for sampler in self._sample(by_name, list(samplers.values())):
            yield self._finish(by_name[sampler.name], sampler)

    def _open(self, attempt: Attempt) -> Sampler | None:
        """Prepare for sampling; None where that fails."""
        worker, start = self.pool.worker(attempt.name), perf_counter()
        try:
            attempt.opened = worker.open(self.case, self.settings.seed)
            self.spent.timed_s += attempt.opened.warming_s
            self.spent.inputs_s -= attempt.opened.warming_s
        except WorkerFailure as error:
            self._end(attempt, error=error)
            return None
        finally:
            self.spent.inputs_s += perf_counter() - start
        return Sampler(attempt.name, worker.sample, attempt.prior.samples_ns if attempt.prior else ())

    def _sample(self, attempts: Mapping[str, Attempt], samplers: list[Sampler]) -> list[Sampler]:
        """Sample all in turn; rounds that were disturbed are taken again, a few times, and then marked."""
        ended: list[Sampler] = []
        right: list[Sampler] = []
        for _ in range(1 + self.settings.remeasure if samplers else 0):
            before = self._probe()
            watch = Watch(self.pool.device, self.pool.pids, self.pool.uuid)
            stopped = list(sample_in_rounds(samplers, self.settings.effort, self.settings.seed))
            self.conditions = self._conditions(watch.conditions(), before, self._probe())
            self._account(attempts, stopped)
            ended += [sampler for sampler in stopped if sampler.error is not None]
            right = [sampler for sampler in stopped if sampler.error is None]
            if not right or not self.conditions.disturbance:
                break
            samplers = [sampler.again() for sampler in right]
        return ended + right

    def _account(self, attempts: Mapping[str, Attempt], stopped: Sequence[Sampler]) -> None:
        """Count what the rounds took: timed calls, and what lay between them."""
        for sampler in stopped:
            opened = attempts[sampler.name].opened
            assert opened is not None, "only what was opened is sampled"
            timed_s = sum(sampler.samples_ns[len(sampler.prior_ns) :]) * opened.calls / 1e9
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

    def _finish(self, attempt: Attempt, sampler: Sampler) -> Record:
        """Check what was timed once more, and make the record."""
        start = perf_counter()
        if sampler.error is not None:
            return self._end(attempt, error=sampler.error)
        try:
            answer = self.pool.worker(attempt.name).close()
        except WorkerFailure as error:
            return self._end(attempt, error=error)
        finally:
            self.spent.checking_s += perf_counter() - start
            attempt.wall_s += perf_counter() - start + sampler.spent_s
        assert attempt.checked is not None, "only what was checked is timed"
        agreement = attempt.checked.agreement
        if not answer.verified.ok:
            timed = msgspec.structs.replace(answer.verified, hint="right when checked, wrong after it was timed")
            agreement = msgspec.structs.replace(agreement, comparisons=(*agreement.comparisons, timed))
            return self._end(attempt, agreement=agreement)
        measurement = self._measurement(attempt, sampler, answer)
        if impossible := self._impossible(measurement):
            return self._end(attempt, error=RemoteError(Status.WRONG, impossible))
        return self._end(attempt, agreement=agreement, measurement=measurement)

    def _impossible(self, measurement: Measurement) -> str:
        """Why this time can't be true: it beats the device's own matrix product; '' where it doesn't."""
        if self.settings.peaks is None:
            return ""
        rate, peak = cost(self.case).flops / measurement.median_ns * 1e9, 0.0
        for again in (False, True):
            peaks = self.settings.peaks(again)
            if peaks is None:
                return ""
            # A CPU multiplies bfloat16 slowly, and a kernel may compute in float32 instead.
            peak = max(peak, *(peaks.flops_per_s.get(dtype, 0.0) for dtype in (self.case.dtype, "fp32")))
            if rate <= ROOF_MARGIN * peak:
                return ""
        return (
            f"{rate / 1e12:.3g} TFLOP/s, where this device's own matrix product reaches {peak / 1e12:.3g}: "
            "work was skipped, or went on after the clock had stopped"
        )

    def _measurement(self, attempt: Attempt, sampler: Sampler, closed: CloseAnswer) -> Measurement:
        opened, checked = attempt.opened, attempt.checked
        assert opened is not None, "only what was opened is timed"
        assert checked is not None, "only what was checked is timed"
        return Measurement(
            samples_ns=tuple(sampler.samples_ns),
            calls=opened.calls,
            warmup_ns=opened.warmup_ns,
            first_call_ns=checked.first_call_ns,
            clock=opened.clock,
            cache=opened.cache,
            timed_region=self.case.direction,
            threads=opened.threads,
            pinned=opened.pinned,
            peak_bytes=closed.peak_bytes,
            saved_bytes=closed.saved_bytes,
            host_ns=closed.host_ns,
            energy_j=closed.energy_j,
            stopped=sampler.stopped,
        )

    def _end(
        self,
        attempt: Attempt,
        *,
        error: WorkerFailure | None = None,
        agreement: Agreement | None = None,
        measurement: Measurement | None = None,
    ) -> Record:
        """End an attempt; its record."""
        status, reason = (Status.PASSED, "") if error is None else status_of(error)
        if agreement is not None and not agreement.ok:
            status, reason = Status.WRONG, why_wrong(agreement)
        attempt.record = Record(
            case=self.case,
            implementation=attempt.name,
            status=status,
            reason=reason,
            seed=self.settings.seed,
            agreement=agreement,
            measurement=measurement,
            conditions=self.conditions if measurement is not None else None,
            notes=self._notes(attempt, measurement),
            traceback=error.frames if isinstance(error, RemoteError) and status is Status.ERROR else (),
            wall_s=round(attempt.wall_s, 6),
        )
        return attempt.record

    def _notes(self, attempt: Attempt, measurement: Measurement | None) -> tuple[str, ...]:
        """What a reader must know of the implementation, and of the time where there is one."""
        notes = attempt.checked.notes if attempt.checked else ()
        if measurement is None or self.conditions is None or attempt.opened is None:
            return notes
        disturbed = f"disturbed: {self.conditions.disturbance}" if self.conditions.disturbance else ""
        return (*notes, *(note for note in (disturbed, attempt.opened.note) if note))


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
