"""The status of a case compared with its status before: became WRONG, no longer runs, runs again."""

from collections.abc import Iterator

from attnbench.bench.gate.accuracy_memory import finding
from attnbench.bench.records.schema import Record, Status
from attnbench.bench.records.verdict import About, Finding, Verdict


def ending(now: Record, before: Record) -> Iterator[Finding]:
    """The one finding of two records that did not both pass; none where both were refused."""
    if now.status.is_refusal and before.status.is_refusal:
        return
    yield finding(now, *_verdict(now.status, before.status), _reason(now, before))


def _verdict(now: Status, before: Status) -> tuple[About, Verdict]:
    if now is Status.WRONG and before is not Status.WRONG:
        return About.WRONG, Verdict.REGRESSED
    if before is Status.PASSED:
        return About.STATUS, Verdict.REGRESSED
    if now is Status.PASSED:
        return About.WRONG if before is Status.WRONG else About.STATUS, Verdict.IMPROVED
    if before.is_refusal:
        return About.STATUS, Verdict.NEW
    return About.WRONG if now is before is Status.WRONG else About.STATUS, Verdict.UNCHANGED


def _reason(now: Record, before: Record) -> str:
    was, is_ = (f"{one.status}{' (' + one.reason + ')' if one.reason else ''}" for one in (before, now))
    if now.status is before.status:
        return f"{is_}, as before"
    if Status.PASSED not in (now.status, before.status):
        return f"was {was}, is {is_}; it passed in neither"
    return f"was {was}, is {is_}"
