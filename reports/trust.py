"""How reliable a run is: spread, disturbances, declared limits, what was not timed, damaged lines."""

from collections.abc import Iterable, Sequence

import pandas as pd

from attnbench.bench.records.schema import Run
from attnbench.bench.units import count, listed
from attnbench.reports.data import limits, timed
from attnbench.reports.text import code, plain

WIDE = 0.05
"""Half an interval over the median, above which a timing spreads widely."""
FEW = 6
"""Below six samples even the whole range is no 95% interval of the median."""
MOST_NAMES = 4
DISTURBED = "disturbed: "
"""How a note begins that repeats the disturbance of a record's conditions."""


def trust(rows: pd.DataFrame, runs: Sequence[Run]) -> Iterable[str]:
    """The sentences about `rows`, which are those of `runs`."""
    usable = timed(rows)
    yield from _spread(usable)
    disturbed = rows.loc[rows["disturbance"].fillna("") != "", "disturbance"]
    if not disturbed.empty:
        example = plain(str(disturbed.value_counts().index[0]))
        yield f"Disturbed while timed: {count(len(disturbed), 'record')}, most often by this: {example}."
    untimed = rows[(rows["status"] == "PASSED") & rows["median_ns"].isna()]
    if not untimed.empty:
        yield f"{count(len(untimed), 'record')} that agree with the oracle were not timed."
    yield from _limits(rows)
    notes = rows["notes"].explode().dropna()
    notes = notes[~notes.astype(str).str.startswith(DISTURBED)]
    for note, number in notes.value_counts().head(5).items():
        yield f"{count(int(number), 'record')}: {plain(str(note))}."
    if not usable.empty and not usable["device_kind"].astype(str).str.startswith(("cuda", "xpu", "mps")).any():
        yield "No GPU was timed."
    for run in runs:
        if run.damaged:
            lines = "; ".join(plain(line) for line in run.damaged[:3])
            yield f"{count(len(run.damaged), 'damaged line')} in {code(run.path)} skipped: {lines}."
        if run.header.environment.dirty:
            yield "The revision had local changes: its number alone does not repeat the run."


def _limits(rows: pd.DataFrame) -> Iterable[str]:
    """What implementations are declared to fail on, and did; such a failure makes no record wrong."""
    by_reason: dict[tuple[str, str], list[str]] = {}
    for name, seen in limits(rows).items():
        for family, reason in seen.items():
            by_reason.setdefault((family, reason), []).append(code(name))
    for (family, reason), names in by_reason.items():
        verb = "is" if len(names) == 1 else "are"
        who = listed(names) if len(names) <= MOST_NAMES else count(len(names), "implementation")
        yield f"{who} {verb} known to fail on {code(family)} inputs and did: {plain(reason)}."


def _spread(usable: pd.DataFrame) -> Iterable[str]:
    if usable.empty:
        yield "No time was measured: agreement alone can be read from this."
        return
    half = (usable["high_ns"] - usable["low_ns"]) / usable["median_ns"] / 2
    samples = usable["samples"].astype(int)
    yield (
        f"Times are medians of {_span(int(samples.min()), int(samples.max()))} samples "
        f"by {listed([code(str(clock)) for clock in usable['clock'].unique()])}, with 95% intervals; "
        f"the typical interval is ±{_two_digits(100 * half.median())}%. "
        "Where two intervals overlap, it is called a tie."
    )
    if wide := int((half > WIDE).sum()):
        yield f"{count(wide, 'timing')} of {len(usable):,} spread widely (interval beyond ±{WIDE:.0%})."
    if few := int((samples < FEW).sum()):
        yield f"{count(few, 'timing')} have fewer than {FEW} samples: their range covers less than 95%."


def _two_digits(percent: float) -> str:
    return f"{percent:.1f}" if percent < 10 else f"{percent:.0f}"


def _span(low: int, high: int) -> str:
    return str(low) if low == high else f"{low} to {high}"
