"""Pictures of masks: which part of the score matrix a case really computes, as paths of an SVG."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from attnbench.bench.records.schema import Run
from attnbench.bench.units import length
from attnbench.impls.contract import Case

CELLS = 32
PROBES = 4
LEVELS = (0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A square of `size` cells; `paths` holds an opacity and the outline of the cells that have it."""

    title: str
    detail: str
    size: int
    paths: tuple[tuple[float, str], ...]


def pictures(runs: Iterable[Run], most: int = 12) -> list[Picture]:
    """One picture for each mask and layout of `runs`, drawn from its largest case that is no decode."""
    largest: dict[tuple[str, str], Case] = {}
    for case in {record.case.id: record.case for run in runs for record in run.records}.values():
        key = (case.mask.spec, case.layout.feature)
        if key not in largest or _area(case) > _area(largest[key]):
            largest[key] = case
    return [picture(case) for case in list(largest.values())[:most]]


def picture(case: Case) -> Picture:
    """The first batch row of `case`, each cell the share of the pairs in it that are visible."""
    shares = visible_shares(case)
    bands = ((level, shares > level - 0.25) for level in LEVELS)
    paths = [(level, seen & (shares <= level)) for level, seen in bands]
    layout = "" if case.layout.feature == "dense" else f"{case.layout.feature}, "
    return Picture(
        title=case.mask.spec,
        detail=f"{layout}{length(case.q_len)} queries, {length(case.kv_len)} keys",
        size=CELLS,
        paths=tuple((level, _path(cells)) for level, cells in paths if cells.any()),
    )


def visible_shares(case: Case) -> NDArray[np.float64]:
    """``[CELLS, CELLS]`` shares of visible pairs, from PROBES x PROBES probes a cell."""
    steps = (np.arange(CELLS * PROBES) + 0.5) / (CELLS * PROBES)
    queries, keys = (steps * case.q_len).astype(int)[:, None], (steps * case.kv_len).astype(int)[None, :]
    seen = np.zeros((CELLS * PROBES, CELLS * PROBES), dtype=bool)
    for s in case.segments:
        if s.row:
            continue
        inside = (queries >= s.q_start) & (queries < s.q_start + s.q_len)
        inside = inside & (keys >= s.k_start) & (keys < s.k_start + s.k_len)
        seen |= inside & np.asarray(case.mask.visible(queries - s.q_start + s.offset, keys - s.k_start))
    shares: NDArray[np.float64] = seen.reshape(CELLS, PROBES, CELLS, PROBES).mean(axis=(1, 3))
    return shares


def _area(case: Case) -> int:
    return case.q_len * case.kv_len


def _path(cells: NDArray[np.bool_]) -> str:
    """Runs of cells along each row, as rectangles."""
    parts = []
    for row, line in enumerate(cells):
        edges = np.flatnonzero(np.diff(np.concatenate(([False], line, [False])).astype(int)))
        parts += [f"M{start} {row}h{end - start}v1h-{end - start}z" for start, end in edges.reshape(-1, 2)]
    return "".join(parts)
