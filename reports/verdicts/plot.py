"""Geometry of one row's picture: trials as marks, the interval as a bar, on a log axis centred on no change."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from attnbench.bench.records.trial import Trial
from attnbench.bench.records.verdict import Finding
from attnbench.bench.units import count, present, show
from attnbench.reports.text import plain

WIDTH, MARGIN = 232, 8
TOP, LANE, AXIS = 9, 12, 14
"""Pixels: the first lane's middle, from lane to lane, and the room for the axis' words."""

SPANS = (1.05, 1.1, 1.2, 1.5, 2.0, 3.0, 5.0, 10.0, 100.0, 1e3, 1e6)
"""Ratios at which an axis may end; the first that holds everything is taken, its inverse is the other end."""

BOUNDS = (1.01, 1.025)
"""Ratios by which a comparison side by side decides: beyond the first is a change, within the second is none."""

LANES = {"screen": "screening", "confirm": "confirming", "again": "A against itself"}
"""Kind of mark to its name."""

APART = 2.0
"""Pixels from no change under which a bound is left out: it would lie on the line of no change."""


@dataclass(frozen=True, kw_only=True)
class Dot:
    """One trial: its position, and its tooltip."""

    kind: str
    x: float
    y: float
    told: str


@dataclass(frozen=True, kw_only=True)
class Plot:
    """A picture in pixels; `bar` is the interval's ends, None where there is none; `open_*` where it has no end."""

    height: int
    dots: tuple[Dot, ...]
    ratio: float | None
    bar: tuple[float, float] | None
    open_low: bool
    open_high: bool
    bounds: tuple[tuple[str, float], ...]
    ends: tuple[str, str]
    told: str


def change(log_ratio: float) -> str:
    """A log-ratio as a signed change: ``-4.76%``, ``+100%``; far from 1 as a factor, ``12.3x``."""
    if abs(log_ratio) < math.log(10):
        return f"{round(100 * math.expm1(log_ratio), 2) + 0.0:+g}%"
    return show(math.exp(min(log_ratio, 700.0)), "ratio")


def plot(finding: Finding, trials: Sequence[Trial]) -> Plot | None:
    """The picture of a finding about time and of its trials; None where there is nothing to draw.

    The bounds are drawn with trials alone: two stored runs are judged by others.
    """
    by_kind = {kind: values for kind in LANES if (values := list(_values(kind, trials)))}
    low, middle, high = (_log(value) for value in (finding.low, finding.ratio, finding.high))
    bar = low is not None or high is not None
    drawn = [value for value in (low, middle, high) if value is not None]
    drawn += [value for values in by_kind.values() for _, value in values]
    if not drawn:
        return None
    end = _end(drawn)
    left, right = -end if low is None else low, end if high is None else high
    return Plot(
        height=TOP + LANE * len(by_kind) + AXIS + 4,
        dots=tuple(_dots(by_kind, end)),
        ratio=None if middle is None else _x(middle, end),
        bar=(_x(left, end), _x(right, end)) if bar else None,
        open_low=bar and low is None,
        open_high=bar and high is None,
        bounds=tuple(_bounds(end)) if trials else (),
        ends=(change(-end), change(end)),
        told="; ".join(_text_alternative(finding, by_kind)),
    )


def _log(ratio: float | None) -> float | None:
    return math.log(ratio) if ratio is not None and present(ratio) and ratio > 0 else None


def _values(kind: str, trials: Sequence[Trial]) -> Iterator[tuple[Trial, float]]:
    for one in trials:
        value = one.aa_control if kind == "again" else one.log_ratio
        if value is not None and kind in ("again", one.phase):
            yield one, value


def _end(values: Sequence[float]) -> float:
    furthest = max(map(abs, values))
    return next((math.log(span) for span in SPANS if furthest <= math.log(span)), furthest)


def _x(value: float, end: float) -> float:
    return round(WIDTH / 2 + value / end * (WIDTH / 2 - MARGIN), 1)


def _dots(by_kind: dict[str, list[tuple[Trial, float]]], end: float) -> Iterator[Dot]:
    for lane, (kind, values) in enumerate(by_kind.items(), 1):
        for one, value in values:
            disturbed = f", disturbed: {plain(one.disturbance)}" if one.disturbance else ""
            again = ", A against itself" if kind == "again" else ""
            told = f"{one.phase} {one.number}{again}: {change(value)}{disturbed}"
            yield Dot(kind=kind, x=_x(value, end), y=TOP + LANE * lane, told=told)


def _bounds(end: float) -> Iterator[tuple[str, float]]:
    for kind, ratio in zip(("beyond", "within"), BOUNDS, strict=True):
        log_ratio = math.log(ratio)
        if _x(log_ratio, end) - _x(0.0, end) >= APART:
            yield from ((kind, _x(sign * log_ratio, end)) for sign in (-1, 1))


def _text_alternative(finding: Finding, by_kind: dict[str, list[tuple[Trial, float]]]) -> Iterator[str]:
    """A text alternative of the picture."""
    low, middle, high = (_log(value) for value in (finding.low, finding.ratio, finding.high))
    if middle is not None:
        yield f"the candidate's time is {change(middle)}"
    if low is not None or high is not None:
        ends = ("no lower end" if low is None else change(low), "no upper end" if high is None else change(high))
        yield f"interval {ends[0]} to {ends[1]}"
    for kind, values in by_kind.items():
        changes = [value for _, value in values]
        yield (
            f"{LANES[kind]}: {count(len(values), 'trial', 'trials')}, "
            f"{change(min(changes))} to {change(max(changes))}"
        )
