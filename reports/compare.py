"""A run against a baseline run: the ratio of medians with an interval, and a coarse verdict.

Two stored runs carry the drift of their machine between them (process placement
alone moves a median by about 1%, an hour by several), so only what is beyond
:data:`COARSE` is called a change here; finer questions need both sides in one run.
"""

import math

import pandas as pd

from bench.records.schema import Run
from reports.data import NOT_RUN, table

COARSE = 1.10
"""The smallest ratio that two stored runs can show."""

VERDICTS = ("REGRESSED", "IMPROVED", "UNCHANGED", "UNDECIDED", "NEW", "MISSING", "INCOMPARABLE")
KEY = ["case", "implementation"]


def differences(run: Run, baseline: Run) -> list[str]:
    """What makes two runs' timings incomparable: hard fields that differ, in words."""
    here, there = run.header.environment.hard, baseline.header.environment.hard
    return [
        f"{name}: {there.get(name, 'absent')} in the baseline, {here.get(name, 'absent')} here"
        for name in sorted(here.keys() | there.keys())
        if here.get(name) != there.get(name)
    ]


def compare(run: Run, baseline: Run) -> pd.DataFrame:
    """A row for each key of either run: `ratio` (above 1 is slower) with `low` and `high`, and `verdict`."""
    here, there = (_last(table([one])) for one in (run, baseline))
    both = here.merge(there, on=KEY, how="outer", suffixes=("", "_before"))
    both["ratio"] = both["median_ns"] / both["median_ns_before"]
    # Both medians at the far ends of their intervals: wider than 95%, never narrower.
    both["low"] = both["low_ns"] / both["high_ns_before"]
    both["high"] = both["high_ns"] / both["low_ns_before"]
    incomparable = bool(differences(run, baseline))
    both["verdict"] = [
        verdict(*values, incomparable=incomparable)
        for values in zip(*(both[name] for name in ("status", "status_before", "low", "high")), strict=True)
    ]
    return both


def verdict(now: object, before: object, low: float, high: float, *, incomparable: bool) -> str:
    """One of :data:`VERDICTS` from two statuses and the interval of the ratio."""
    if pd.isna(before) or (before in NOT_RUN and now == "PASSED"):  # type: ignore[call-overload]  # a status or NaN
        return "NEW"
    if pd.isna(now) or (now in NOT_RUN and before == "PASSED"):  # type: ignore[call-overload]  # a status or NaN
        return "MISSING"
    if incomparable:
        return "INCOMPARABLE"
    if now != before and "PASSED" in (now, before):
        return "IMPROVED" if now == "PASSED" else "REGRESSED"
    if math.isnan(low) or math.isnan(high):
        return "UNCHANGED" if now == before else "UNDECIDED"
    return _by_interval(low, high)


def _by_interval(low: float, high: float) -> str:
    if low > COARSE:
        return "REGRESSED"
    if high < 1 / COARSE:
        return "IMPROVED"
    return "UNCHANGED" if low > 1 / COARSE and high < COARSE else "UNDECIDED"


def _last(rows: pd.DataFrame) -> pd.DataFrame:
    columns = [*KEY, "status", "reason", "median_ns", "low_ns", "high_ns"]
    return rows[columns].drop_duplicates(KEY, keep="last")
