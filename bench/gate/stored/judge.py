"""A stored run compared with another one: coarse by design, from the records alone. No torch.

Between two stored runs the machine changes: the placement of processes in memory alone changes
a median by about 1%, an hour in between by several percent. So only a time beyond
:data:`COARSE` is called a change. A finer question needs both sides in one run:
``python -m bench compare``.
"""

from collections.abc import Iterable, Iterator

import msgspec

from attnbench.bench.gate.accuracy_memory import accuracy, finding, memory
from attnbench.bench.gate.status_changes import ending
from attnbench.bench.gate.stored.times import COARSE, time
from attnbench.bench.records.repeat import Verb, repeat_command
from attnbench.bench.records.schema import Record, Run, Status
from attnbench.bench.records.verdict import ABSENT, About, Finding, Judgement, Verdict, worst_first

TOLD_SOFT = ("host", "kernel", "python", "memory_bytes", "load_1m", "cpu_mhz")
COARSE_NOTE = (
    f"Two stored runs can show a change of {COARSE - 1:.0%} or more; "
    "smaller ones need both sides in one run (python -m bench compare)."
)


def judge(
    candidate: Run,
    baseline: Run,
    *,
    candidate_name: str = "",
    baseline_name: str = "",
) -> Judgement:
    """What changed from `baseline` to `candidate`, the worst first.

    Runs whose hard fingerprints differ are INCOMPARABLE throughout. Where nothing at
    all can be judged, `invalid_reason` has the reason, so that a lack of data is never a pass.
    """
    other = differences(candidate, baseline)
    found = list(_incomparable(candidate, baseline, other) if other else _findings(candidate, baseline))
    return Judgement(
        baseline=baseline_name or name_of(baseline),
        candidate=candidate_name or name_of(candidate),
        findings=worst_first(list(_repeatable(found, candidate, baseline))),
        notes=tuple(_notes(candidate, baseline)),
        invalid_reason=_invalid_reason(candidate, found, other),
    )


def name_of(run: Run) -> str:
    """How a run is referred to: its path, its date and its revision."""
    commit = run.header.environment.commit
    revision = f", {commit}{' with changes' if run.header.environment.dirty else ''}" if commit else ""
    return f"{run.path or run.header.sweep} of {run.header.created}{revision}"


def differences(candidate: Run, baseline: Run) -> tuple[str, ...]:
    """Hard fields that differ, each with both values: what makes two runs incomparable."""
    here, there = candidate.header.environment.must_match, baseline.header.environment.must_match
    return tuple(
        f"{name} is {there.get(name, 'absent')} in the baseline and {here.get(name, 'absent')} in the candidate"
        for name in sorted(here.keys() | there.keys())
        if here.get(name) != there.get(name)
    )


def _invalid_reason(candidate: Run, found: list[Finding], other: tuple[str, ...]) -> str:
    if other:
        return f"other hardware or software: {'; '.join(other)}"
    if not any(record.status is Status.PASSED for record in candidate.records):
        return "nothing to judge: the candidate holds no record that passed"
    if all(one.about is About.PRESENCE for one in found):
        return "nothing was judged: the runs have no case and implementation in common that ran"
    return ""


def _findings(candidate: Run, baseline: Run) -> Iterator[Finding]:
    here, there = _by_key(candidate), _by_key(baseline)
    for key in dict.fromkeys((*here, *there)):
        now, before = here.get(key), there.get(key)
        if now is not None and before is not None:
            yield from _both(now, before)
        elif now is not None:
            yield from _new(now)
        elif before is not None:
            yield from _gone(before, planned=key in candidate.missing)


def _repeatable(findings: Iterable[Finding], candidate: Run, baseline: Run) -> Iterator[Finding]:
    """The findings with the command that repeats the record alone where the candidate was made."""
    records, here = _by_key(baseline) | _by_key(candidate), candidate.header.environment
    for one in findings:
        verb: Verb = "run" if one.about in (About.TIME, About.MEMORY) else "check"
        command = repeat_command(records[one.case, one.implementation], here, verb)
        yield msgspec.structs.replace(one, repeat=command)


def _by_key(run: Run) -> dict[tuple[str, str], Record]:
    return {record.key: record for record in run.records}


def _both(now: Record, before: Record) -> Iterator[Finding]:
    """Every finding of one case that both runs have: its ending first, and what was measured where both passed."""
    if not now.status is before.status is Status.PASSED:
        yield from ending(now, before)
        return
    found = [*time(now, before), *accuracy(now, before), *memory(now, before)]
    yield from found
    if all(one.verdict in ABSENT for one in found):
        yield finding(now, About.STATUS, Verdict.UNCHANGED, "passed, as before")


def _new(now: Record) -> Iterator[Finding]:
    if not now.status.is_refusal:
        reason = "not in the baseline" if now.status is Status.PASSED else f"not in the baseline; here {now.status}"
        yield finding(now, About.PRESENCE, Verdict.NEW, f"{reason}{': ' + now.reason if now.reason else ''}")


def _gone(before: Record, *, planned: bool) -> Iterator[Finding]:
    """A case that only the baseline has; one that was planned and has no record is an unfinished run."""
    if planned:
        reason = "planned here and without a record: the run did not end, or the line is damaged; --resume goes on"
        yield finding(before, About.PRESENCE, Verdict.UNDECIDED, reason)
    elif not before.status.is_refusal:
        yield finding(before, About.PRESENCE, Verdict.MISSING, f"{before.status} in the baseline, not in this run")


def _incomparable(candidate: Run, baseline: Run, other: tuple[str, ...]) -> Iterator[Finding]:
    """A finding for each case that both runs have, with no ratio: there is none across machines."""
    there = _by_key(baseline)
    fields = ", ".join(line.split(" is ", 1)[0] for line in other)
    reason = f"measured elsewhere: {fields} differ{'s' if len(other) == 1 else ''}"
    for record in candidate.records:
        if record.key in there and not (record.status.is_refusal and there[record.key].status.is_refusal):
            yield finding(record, About.TIME, Verdict.INCOMPARABLE, reason)


def _notes(candidate: Run, baseline: Run) -> Iterator[str]:
    yield COARSE_NOTE
    here, there = candidate.header.environment, baseline.header.environment
    soft = [
        f"{name} {there.informational.get(name, 'absent')} then, {here.informational.get(name, 'absent')} now"
        for name in TOLD_SOFT
        if here.informational.get(name) != there.informational.get(name)
    ]
    if soft:
        yield f"These differ too, without effect on the verdict: {'; '.join(soft)}"
    refused = sum(record.status.is_refusal for record in candidate.records)
    if refused:
        yield f"{refused} of the candidate's {len(candidate.records)} records were refused and hold nothing to judge"
    for what, run in (("candidate", candidate), ("baseline", baseline)):
        if run.damaged:
            yield f"damaged lines of the {what} were skipped: {'; '.join(run.damaged)}"
    if candidate.header.created == baseline.header.created and candidate.records == baseline.records:
        yield "The candidate and the baseline are one and the same run."
    if candidate.header.seed != baseline.header.seed:
        yield (
            f"Seeds differ ({baseline.header.seed} then, {candidate.header.seed} now), so that the inputs do: "
            "errors are not compared"
        )
