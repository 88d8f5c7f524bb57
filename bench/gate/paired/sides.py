"""Two sides over a sweep, from declaration to judgement: checked, timed in trials, judged. No torch."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from shlex import join

import msgspec

from attnbench.bench.case_run import Settings
from attnbench.bench.gate.accuracy_memory import accuracy, memory
from attnbench.bench.gate.paired.side_by_side import Keeping, SideBySide
from attnbench.bench.gate.paired.take_trial import TrialSettings, TrialSide, own_paths, trial
from attnbench.bench.gate.status_changes import ending
from attnbench.bench.records.schema import Record, Status
from attnbench.bench.records.trial import Side
from attnbench.bench.records.verdict import ABSENT, About, Finding, Judgement, Verdict, worst_first
from attnbench.bench.run import run_case
from attnbench.bench.timing.rounds import Effort
from attnbench.bench.workers.process import Pool
from attnbench.impls.contract import Case

ONE_SAMPLE = Effort(budget_s=0.0, at_least=1, at_most=1)
"""Each side is sampled once when it is checked: for its memory, and for rates that can't be true."""


@dataclass(frozen=True)
class Sides:
    """What is compared: both sides, what a journal keeps of them, their name in findings, and notes.

    `words` are the command that compares them, without its cases.
    """

    a: TrialSide
    b: TrialSide
    kept: tuple[Side, Side]
    name: str
    words: tuple[str, ...]
    notes: tuple[str, ...] = ()

    def register(self, pool: Pool) -> None:
        """Make the workers that check both sides."""
        for side in (self.a, self.b):
            pool.register(side.label, side.name, side.setting)


Pairs = dict[str, tuple[Record, Record]]
"""By case, the records of A and of B."""


def check(
    cases: Sequence[Case],
    sides: Sides,
    pool: Pool,
    settings: Settings,
    report: Callable[[Record], None],
    over: Callable[[], bool] = lambda: False,
) -> Pairs:
    """Compare both sides with the reference on every case, and measure the memory of a call; nothing wrong is timed.

    Cases that have not begun when `over` returns True are left out.
    """
    settings = replace(settings, effort=ONE_SAMPLE, remeasure=0)
    found: Pairs = {}
    for case in cases:
        if over():
            break
        records = {}
        for record in run_case(case, (sides.a.label, sides.b.label), pool, settings):
            report(record)
            side = sides.a if record.implementation == sides.a.label else sides.b
            reason = own_paths(record.reason, side)
            records[side.label] = msgspec.structs.replace(record, implementation=sides.name, reason=reason)
        found[case.id] = (records[sides.a.label], records[sides.b.label])
    for side in (sides.a, sides.b):
        pool.worker(side.label).stop()  # its memory is not for the trials to share
    return found


def side_by_side(
    cases: Sequence[Case],
    pairs: Pairs,
    sides: Sides,
    bench: TrialSettings,
    keeping: Keeping,
    over: Callable[[], bool],
) -> SideBySide:
    """The trials that are due: of the cases that both sides passed and that may be timed."""
    checked = [case for case in cases if case.id in pairs]
    due = [case for case in checked if all(record.measurement is not None for record in pairs[case.id])]
    return SideBySide(
        due, lambda case, number, phase: trial(case, sides.a, sides.b, bench, number, phase), keeping, over=over
    )


def judge(sides: Sides, cases: Sequence[Case], pairs: Pairs, measured: SideBySide) -> Judgement:
    """Every finding, and what a reader must know beside them; a case that was left out is UNDECIDED."""
    findings = [
        msgspec.structs.replace(one, repeat=join([*sides.words, "--case", one.case]))
        for one in (*measured.findings(sides.name, sides.b), *_beside(pairs), *_left_out(sides.name, cases, pairs))
    ]
    notes = (*sides.notes, *_notes(measured, pairs))
    return Judgement(
        baseline=sides.a.title,
        candidate=sides.b.title,
        findings=worst_first(findings),
        notes=notes,
        invalid_reason=measured.invalid_reason or _nothing(findings, pairs),
    )


def _beside(pairs: Pairs) -> Iterator[Finding]:
    """Findings of the checks: status, accuracy and memory."""
    for before, now in pairs.values():
        if now.status is before.status is Status.PASSED:
            yield from (*accuracy(now, before), *memory(now, before))
        else:
            yield from ending(now, before)


def _left_out(name: str, cases: Sequence[Case], pairs: Pairs) -> Iterator[Finding]:
    """Cases that were not checked, because the time budget was used up."""
    reason = "left out: the time was up before it was checked; give more time, or --resume"
    for case in cases:
        if case.id not in pairs:
            yield Finding(
                case=case.id, implementation=name, about=About.TIME, verdict=Verdict.UNDECIDED, reason=reason
            )


def _nothing(findings: Sequence[Finding], pairs: Pairs) -> str:
    """Why nothing was judged; '' where something was."""
    if any(one.verdict not in ABSENT | {Verdict.UNCHANGED} or one.trials for one in findings):
        return ""
    if any(now.status is before.status is Status.PASSED for before, now in pairs.values()):
        return "nothing was timed: these implementations are not to be timed on this device"
    reasons = dict.fromkeys(f"{record.status}: {record.reason}" for pair in pairs.values() for record in pair)
    return f"nothing was compared: no case passed on both sides ({'; '.join(list(reasons)[:3])})"


def _notes(measured: SideBySide, pairs: Pairs) -> Iterator[str]:
    if measured.stopped:
        yield "stopped before all was decided: what is open is UNDECIDED; give more time, or --resume"
    if together := measured.together:
        yield together
    disturbed = [one for one in measured.trials() if one.disturbance]
    if disturbed:
        total = sum(1 for _ in measured.trials())
        yield f"{len(disturbed)} of {total} trials were disturbed, the last because {disturbed[-1].disturbance}"
    refused = sum(not {one.status for one in pair} & {Status.PASSED, Status.WRONG} for pair in pairs.values())
    if refused:
        yield f"{refused} of {len(pairs)} cases run on neither side"
