"""Which implementation to use: ranks within a case, and one choice for each range of lengths.

An implementation is fastest on a case when it agrees with the oracle on every
family of inputs and its median is the smallest (one that is known to fail on some, and did,
is fastest only where no other is left); it *ties* with the fastest where their 95% intervals of
the median overlap. All of it is derived from the frame of :mod:`attnbench.reports.data`.
"""

from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from attnbench.reports.data import timed

SITUATION = ["run_index", "phase", "mask_kind", "layout_kind", "direction", "dtype"]


@dataclass(frozen=True)
class Gain:
    """Speed-up against a reference over several cases: geometric mean, least and most."""

    mean: float
    least: float
    most: float


@dataclass(frozen=True, kw_only=True)
class Choice:
    """One implementation for one situation and a range of lengths.

    `first` and `last` are None where the range is open to that side. `gain` is
    against `reference`, None where the two share no case. `ties` names those
    whose interval overlaps with that of the choice. `behind` is the largest ratio to the
    fastest of a case: what choosing one for all of them costs at worst.
    """

    run_index: int
    phase: str
    mask: str
    layout: str
    direction: str
    dtypes: tuple[str, ...]
    lengths: tuple[int, ...]
    first: int | None
    last: int | None
    implementation: str
    ties: tuple[str, ...]
    reference: str
    gain: Gain | None
    behind: float
    cases: int


def ranked(rows: pd.DataFrame) -> pd.DataFrame:
    """Timed rows with `rank` in their case and run (0 is fastest), `tied` with it, and `behind` (ratio to it).

    An implementation whose declared limit occurred is `limited`: it is right on ordinary
    inputs, and ranks behind all that are right on every family.
    """
    usable = timed(rows).copy()
    failing = usable["limits"].map(bool)
    sound = (~failing).groupby([usable["run_index"], usable["case"]]).transform("any")
    usable["limited"] = failing & sound
    usable = usable.sort_values(["run_index", "case", "limited", "median_ns"], kind="stable")
    within = usable.groupby(["run_index", "case"], sort=False)
    usable["rank"] = within.cumcount()
    best_high = within["high_ns"].transform("first")
    usable["tied"] = (usable["low_ns"] <= best_high) & ~usable["limited"]
    usable["behind"] = usable["median_ns"] / within["median_ns"].transform("first")
    return usable


def default_reference(rows: pd.DataFrame, order: Sequence[str]) -> str | None:
    """The default reference of speed-ups: timed on most cases, and of those the first in `order`."""
    counts = timed(rows)["implementation"].value_counts()
    if counts.empty:
        return None
    places = {name: place for place, name in enumerate(order)}
    return str(min(counts.index, key=lambda name: (-counts[name], places.get(name, len(places)))))


def choices(rows: pd.DataFrame, reference: str | None) -> list[Choice]:
    """One choice for every situation and range of lengths; dtypes with the same answer share one."""
    ranks = ranked(rows)
    ranks = ranks[~ranks["limited"]]
    found = [
        choice
        for key, group in ranks.groupby(SITUATION, sort=False)
        for choice in _situation(_names(key), group, reference)
    ]
    merged = _merged(found)
    weights: dict[tuple[object, ...], int] = {}
    for c in merged:
        weights[_situation_of(c)] = weights.get(_situation_of(c), 0) + c.cases
    return sorted(
        merged, key=lambda c: (c.run_index, -weights[_situation_of(c)], _situation_of(c), c.dtypes, c.lengths)
    )


def _situation_of(choice: Choice) -> tuple[object, ...]:
    return choice.run_index, choice.phase, choice.mask, choice.layout, choice.direction


def _names(key: Hashable) -> dict[str, Any]:
    assert isinstance(key, tuple)
    run, phase, mask, layout, direction, dtype = key
    return {
        "run_index": int(run),
        "phase": phase,
        "mask": mask,
        "layout": layout,
        "direction": direction,
        "dtypes": (dtype,),
    }


def _situation(names: dict[str, Any], group: pd.DataFrame, reference: str | None) -> Iterator[Choice]:
    """Choices along the lengths of one situation."""
    lengths = sorted(int(length) for length in group["length"].unique())
    by_length = {n: group[group["length"] == n] for n in lengths}
    for stretch, accepted in _stretches([(n, _accepted(by_length[n])) for n in lengths]):
        part = pd.concat([by_length[n] for n in stretch])
        best = min(accepted, key=lambda name: accepted[name])
        yield Choice(
            **names,
            lengths=tuple(stretch),
            first=None if stretch[0] == lengths[0] else stretch[0],
            last=None if stretch[-1] == lengths[-1] else stretch[-1],
            implementation=best,
            ties=tuple(name for name in accepted if name != best),
            reference=reference or "",
            cases=int(part["case"].nunique()),
            gain=_gain(part, best, reference),
            behind=float(part.loc[part["implementation"] == best, "behind"].max()),
        )


def _accepted(part: pd.DataFrame) -> dict[str, float]:
    """Names that are the best choice at one length or tie with it, each with its mean log-ratio to the fastest.

    Only who did the most cases at this length counts: a choice must work.
    """
    by_name = part.groupby("implementation", sort=False)
    counts, scores = by_name["case"].nunique(), by_name["behind"].apply(lambda ratio: float(np.log(ratio).mean()))
    scores = scores[counts == counts.max()]
    best = str(scores.idxmin())
    spans = part.pivot_table(index="case", columns="implementation", values=["low_ns", "high_ns"], aggfunc="last")
    lows, highs = spans["low_ns"][scores.index], spans["high_ns"][scores.index]
    apart = lows.gt(highs[best], axis="index") | highs.lt(lows[best], axis="index")
    return {str(name): float(scores[name]) for name in scores.index if not apart[name].any()}


def _stretches(accepted: Iterable[tuple[int, dict[str, float]]]) -> Iterator[tuple[list[int], dict[str, float]]]:
    """Longest runs of lengths that share an acceptable name, with the names they share and their summed scores."""
    stretch: list[int] = []
    shared: dict[str, float] = {}
    for length, names in accepted:
        both = {name: shared[name] + names[name] for name in shared if name in names}
        if stretch and not both:
            yield stretch, shared
            stretch = []
        shared = both if stretch else names
        stretch = [*stretch, length]
    if stretch:
        yield stretch, shared


def _gain(part: pd.DataFrame, best: str, reference: str | None) -> Gain | None:
    """Reference/best over the cases that both have."""
    if reference is None or best == reference:
        return None
    medians = part.pivot_table(index="case", columns="implementation", values="median_ns", aggfunc="last")
    if reference not in medians:
        return None
    ratios = (medians[reference] / medians[best]).dropna()
    if ratios.empty:
        return None
    return Gain(float(np.exp(np.log(ratios).mean())), float(ratios.min()), float(ratios.max()))


def _merged(found: list[Choice]) -> list[Choice]:
    """Choices that differ in dtype alone, as one; the speed-up is the mean weighted by cases."""
    together: dict[tuple[object, ...], Choice] = {}
    for choice in found:
        key = (
            choice.run_index, choice.phase, choice.mask, choice.layout, choice.direction, choice.lengths,
            choice.first, choice.last, choice.implementation, choice.ties,
        )  # fmt: skip
        together[key] = _both(together[key], choice) if key in together else choice
    return list(together.values())


def _both(one: Choice, other: Choice) -> Choice:
    cases, gain = one.cases + other.cases, None
    if one.gain and other.gain:
        mean = (np.log(one.gain.mean) * one.cases + np.log(other.gain.mean) * other.cases) / cases
        least, most = min(one.gain.least, other.gain.least), max(one.gain.most, other.gain.most)
        gain = Gain(float(np.exp(mean)), least, most)
    behind = max(one.behind, other.behind)
    return replace(one, dtypes=one.dtypes + other.dtypes, cases=cases, gain=gain, behind=behind)
