"""Trials of many cases until each is decided: screening, fresh trials of flagged cases, one judgement. No torch."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import Protocol

from attnbench.bench.gate.paired.take_trial import SideFailed, TrialSide
from attnbench.bench.gate.stats import CONFIRMING, RULE, Decision, Rule, alarmed, confirm, decide, estimate, flagged
from attnbench.bench.gate.stats import shifted_together as together
from attnbench.bench.records.trial import Phase, Trial
from attnbench.bench.records.verdict import About, Finding, Verdict
from attnbench.bench.status import WorkerFailure, status_of
from attnbench.impls.contract import Case

Take = Callable[[Case, int, Phase], Trial]
BEYOND = frozenset({Verdict.REGRESSED, Verdict.IMPROVED})


class Keeping(Protocol):
    """Where trials are kept: a journal, or memory."""

    def trials(self, case: str, phase: Phase) -> tuple[Trial, ...]:
        """Finished trials of a case in one phase, in the order taken."""
        ...

    def append(self, trial: Trial) -> None:
        """Keep one."""
        ...


@dataclass
class InMemory:
    """Trials in memory, for comparisons that are not resumed."""

    kept: list[Trial] = field(default_factory=list)

    def trials(self, case: str, phase: Phase) -> tuple[Trial, ...]:
        """Finished trials of a case in one phase, in the order taken."""
        return tuple(one for one in self.kept if (one.case, one.phase) == (case, phase))

    def append(self, trial: Trial) -> None:
        """Keep one."""
        self.kept.append(trial)


@dataclass
class SideBySide:
    """Two sides over many cases; after :meth:`measure`, `decisions` and `failures` say what was found.

    One case alone is decided as its trials come in. Of several, those that
    screening flags are measured again with fresh trials, and only these
    are judged slower or faster, all together: see docs/gate.md.
    """

    cases: Sequence[Case]
    take: Take
    keeping: Keeping = field(default_factory=InMemory)
    rule: Rule = RULE
    over: Callable[[], bool] = lambda: False
    """Whether to stop before the next trial: the time is spent, or somebody asked."""
    decisions: dict[str, Decision] = field(default_factory=dict)
    failures: dict[str, SideFailed] = field(default_factory=dict)
    stopped: bool = False

    def measure(self) -> Iterator[Trial]:
        """Take trials until all is decided or it is over; yields each as it is taken."""
        standing_out: list[Case] = []
        yield from self._screen(standing_out)
        yield from self._confirm(standing_out)
        for case in self.cases:
            if case.id not in self.decisions and case.id not in self.failures:
                self.decisions[case.id] = estimate(self.ratios(case, "confirm") or self.ratios(case, "screen"))

    def ratios(self, case: Case, phase: Phase) -> list[float]:
        """The log-ratios of a case's trials so far."""
        return [one.log_ratio for one in self.keeping.trials(case.id, phase)]

    def _screen(self, standing_out: list[Case]) -> Iterator[Trial]:
        waiting = list(self.cases)
        for count in range(1, self.rule.looks[-1] + 1):
            yield from self._reach(waiting, count, "screen")
            if count not in self.rule.looks or self.stopped:
                continue
            for case in list(waiting):
                ratios = self.ratios(case, "screen")
                found = decide(ratios, self.rule)
                if len(self.cases) > 1 and (flagged(ratios, self.rule) or (found and found.verdict in BEYOND)):
                    standing_out.append(case)
                elif found:
                    self.decisions[case.id] = found
                else:
                    continue
                waiting.remove(case)

    def _confirm(self, standing_out: Sequence[Case]) -> Iterator[Trial]:
        waiting = list(standing_out)
        for count in range(1, CONFIRMING[-1] + 1):
            yield from self._reach(waiting, count, "confirm")
            if count not in CONFIRMING or self.stopped:
                continue
            # All that stood out, those that broke as well: a family that shrinks asks for less.
            decided = confirm({case.id: self.ratios(case, "confirm") for case in standing_out}, self.rule)
            self.decisions |= {case: found for case, found in decided.items() if case not in self.failures}
            waiting = [case for case in waiting if decided[case.id].verdict is Verdict.UNDECIDED]

    def _reach(self, waiting: list[Case], count: int, phase: Phase) -> Iterator[Trial]:
        """Have `count` trials of each waiting case, a trial of every case before the next of any."""
        for case in list(waiting):
            if count in {one.number for one in self.keeping.trials(case.id, phase)}:
                continue
            if self.stopped or self.over():
                self.stopped = True
                return
            try:
                trial = self.take(case, count, phase)
            except SideFailed as failure:
                self.failures[case.id] = failure
                waiting.remove(case)
                continue
            self.keeping.append(trial)
            yield trial

    @property
    def invalid_reason(self) -> str:
        """Why nothing may be decided: A against A again differs. '' where it doesn't."""
        return alarmed(dict(self._by_case(lambda one: one.aa_control)), self.rule)

    @property
    def together(self) -> str:
        """A note where most cases moved the same way; '' otherwise."""
        return together(dict(self._by_case(lambda one: one.log_ratio)), self.rule)

    def _by_case(self, value: Callable[[Trial], float | None]) -> Iterator[tuple[str, list[float]]]:
        for case in self.cases:
            if values := [number for one in self._launches_of(case) if (number := value(one)) is not None]:
                yield case.id, values

    def _launches_of(self, case: Case) -> tuple[Trial, ...]:
        return (*self.keeping.trials(case.id, "screen"), *self.keeping.trials(case.id, "confirm"))

    def trials(self) -> Iterator[Trial]:
        """All trials of these cases."""
        for case in self.cases:
            yield from self._launches_of(case)

    def findings(self, name: str, candidate: TrialSide) -> Iterable[Finding]:
        """Findings about times, and about sides that failed while they were timed; `name` is their implementation."""
        invalid_reason = self.invalid_reason
        for case, decision in self.decisions.items():
            yield _timed(case, name, decision, invalid_reason)
        for case, failed in self.failures.items():
            yield _broken(case, name, failed, baseline=failed.side.label != candidate.label)


def _timed(case: str, name: str, decision: Decision, invalid_reason: str) -> Finding:
    return Finding(
        case=case,
        implementation=name,
        about=About.TIME,
        verdict=Verdict.UNDECIDED if invalid_reason else decision.verdict,
        reason=f"{decision.reason}; not decided, since the baseline differs from itself"
        if invalid_reason
        else decision.reason,
        ratio=decision.ratio if decision.trials else None,
        low=decision.low if decision.trials > 1 else None,
        high=decision.high if isfinite(decision.high) else None,
        trials=decision.trials,
    )


def _broken(case: str, name: str, failed: SideFailed, *, baseline: bool) -> Finding:
    if isinstance(failed.failure, WorkerFailure):
        status, reason = status_of(failed.failure)
        what, about = f"{status} while it was timed: {reason}", About.STATUS
    else:
        what, about = "right when it was checked, wrong after it was timed", About.WRONG
    return Finding(
        case=case,
        implementation=name,
        about=about,
        verdict=Verdict.INCOMPARABLE if baseline else Verdict.REGRESSED,
        reason=f"{'the baseline' if baseline else failed.side.title} was {what}"
        if about is About.WRONG
        else f"{failed.side.title} ended with {what}",
    )
