"""The time of one case in two stored runs: the ratio of medians, with an interval, and a coarse verdict."""

from collections.abc import Iterator

from attnbench.bench.gate.accuracy_memory import finding
from attnbench.bench.records.schema import Measurement, Record
from attnbench.bench.records.verdict import About, Finding, Verdict
from attnbench.bench.timing.conditions import BETWEEN_RUNS, machine_moved

COARSE = 1.10
"""The smallest ratio that counts as a change between two stored runs."""

FEWEST_SAMPLES = 5
"""The range of five samples contains the median with a probability of 15/16; that of fewer is too unreliable."""

LIKE = {"clock": "clock", "cache": "cache policy", "threads": "threads", "timed_region": "timed region"}
"""Fields of a measurement that must be the same for two times to mean the same."""


def time(now: Record, before: Record) -> Iterator[Finding]:
    """The finding about two records that passed; none where neither was timed."""
    here, there = timed(now), timed(before)
    if here is None and there is None:
        return
    if here is None or there is None:
        yield _one_sided(now, here)
        return
    if unlike := [_unlike(field, here, there) for field in LIKE if getattr(here, field) != getattr(there, field)]:
        yield finding(now, About.TIME, Verdict.INCOMPARABLE, f"measured differently: {'; '.join(unlike)}")
        return
    (here_low, here_high), (there_low, there_high) = here.interval_ns, there.interval_ns
    # Both medians at the far ends of their intervals: wider than 95%, never narrower.
    low, high = here_low / there_high, here_high / there_low
    verdict, reason = _judged(now, before, low, high)
    ratio = here.median_ns / there.median_ns
    yield finding(now, About.TIME, verdict, reason, ratio=ratio, low=low, high=high)


def timed(record: Record) -> Measurement | None:
    """The measurement; None without one, or where it measured nothing."""
    measured = record.measurement
    return measured if measured and measured.samples_ns and min(measured.samples_ns) > 0 else None


def by_interval(low: float, high: float) -> tuple[Verdict, str]:
    """The verdict from the interval of the ratio, and why.

    UNCHANGED says that it is not slower by :data:`COARSE` or more; IMPROVED mirrors REGRESSED.
    """
    if low > COARSE:
        return Verdict.REGRESSED, f"slower: the whole interval is above {COARSE:.2f}x"
    if high < 1 / COARSE:
        return Verdict.IMPROVED, f"faster: the whole interval is below {1 / COARSE:.2f}x"
    if high < COARSE:
        return Verdict.UNCHANGED, f"not slower by {COARSE - 1:.0%}, the least that stored runs can show"
    return Verdict.UNDECIDED, f"the interval reaches across {COARSE:.2f}x: measure longer, or side by side"


def _judged(now: Record, before: Record, low: float, high: float) -> tuple[Verdict, str]:
    """The verdict, with regard to disturbances.

    A disturbance slows. So a disturbed candidate that is not slower is UNCHANGED or IMPROVED, one that
    seems slower is UNDECIDED, and with a disturbed baseline everything is UNDECIDED.
    """
    for when, record in (("now", now), ("in the baseline", before)):
        measured = timed(record)
        if measured and len(measured.samples_ns) < FEWEST_SAMPLES:
            return Verdict.UNDECIDED, f"{len(measured.samples_ns)} samples {when}; {FEWEST_SAMPLES} are needed"
    if moved := _machine_moved(now, before):
        return Verdict.INCOMPARABLE, moved
    if disturbance := _disturbance(before):
        return Verdict.UNDECIDED, f"the baseline was disturbed: {disturbance}"
    verdict, reason = by_interval(low, high)
    if disturbance := _disturbance(now):
        slow = verdict in (Verdict.REGRESSED, Verdict.UNDECIDED)
        return (
            Verdict.UNDECIDED if slow else verdict
        ), f"{'' if slow else reason + ', though '}disturbed: {disturbance}"
    return verdict, reason


def _machine_moved(now: Record, before: Record) -> str:
    """How the CPU's speed differed, by the probes before and after each case; '' where it didn't."""
    seen = [one.conditions for one in (before, now)]
    if not all(seen):
        return ""
    return machine_moved(
        *(figures for one in seen if one for figures in (one.before, one.after)), bounds=BETWEEN_RUNS
    )


def _disturbance(record: Record) -> str:
    return record.conditions.disturbance if record.conditions else ""


def _one_sided(now: Record, here: Measurement | None) -> Finding:
    if here is None:
        return finding(now, About.TIME, Verdict.UNDECIDED, "timed in the baseline and not here")
    return finding(now, About.TIME, Verdict.NEW, "timed here and not in the baseline")


def _unlike(field: str, here: Measurement, there: Measurement) -> str:
    return f"{LIKE[field]} {getattr(there, field)} in the baseline, {getattr(here, field)} here"
