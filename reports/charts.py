"""How records are grouped into charts: each group is a list of row numbers, so that the page has each value once."""

from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

from attnbench.bench.records.schema import Run
from attnbench.bench.records.verdict import About, Judgement
from attnbench.bench.units import length
from attnbench.reports.text import visible

MOST_GQA = 60
SAME_BUT_KV_HEADS = [
    "run_index", "phase", "mask", "layout_kind", "batch", "q_heads", "q_len", "kv_len", "head_dim", "v_head_dim",
    "dtype", "direction", "bias", "strides",
]  # fmt: skip


def panels(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """A panel for each run and series that was timed: its lines, each the rows of one implementation by length."""
    usable = rows[rows["median_ns"].notna() & (rows["status"] == "PASSED")].sort_values("length", kind="stable")
    found = []
    for run, series, group in _by_series(usable):
        found.append({"run": run, "series": series, "lines": _lines(group), "points": len(group)})
    return sorted(found, key=lambda panel: (panel["run"], -len({n for _, ids in panel["lines"] for n in ids})))


def _by_series(rows: pd.DataFrame) -> Iterator[tuple[int, str, pd.DataFrame]]:
    key: Any
    for key, group in rows.groupby(["run_index", "series"], sort=False):
        yield int(key[0]), str(key[1]), group


def winners(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """A row for each run and series, a cell for each case: the candidates for the fastest, in their order."""
    usable = rows[rows["rank"].notna() & (rows["limited"] != True)].sort_values("rank", kind="stable")  # noqa: E712  # missing where not timed
    found = []
    for run, series, group in _by_series(usable):
        cells = [
            [int(part["length"].iloc[0]), part.index.tolist()] for _, part in group.groupby("case", sort=False)
        ]
        found.append({"run": run, "series": series, "cells": sorted(cells)})
    return sorted(found, key=lambda row: (row["run"], -len(row["cells"])))


def gqa_panels(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """Panels over the GQA ratio: cases that differ in kv_heads alone, where there are two ratios or more."""
    usable = rows[rows["rank"].notna()].sort_values("gqa", kind="stable")
    found: list[dict[str, Any]] = []
    for key, group in usable.groupby(SAME_BUT_KV_HEADS, sort=False):
        ratios = group["gqa"].nunique()
        if ratios > 1:
            assert isinstance(key, tuple)
            one: dict[str, Any] = dict(zip(SAME_BUT_KV_HEADS, key, strict=True))
            found.append(
                {"run": int(one["run_index"]), "series": _gqa_title(one), "lines": _lines(group), "ratios": ratios}
            )
    return sorted(found, key=lambda panel: -panel["ratios"])[:MOST_GQA]


def _gqa_title(one: dict[str, Any]) -> str:
    parts = [
        f"{one['mask']} {one['phase']} at {length(one['kv_len'])}",
        f"{one['q_heads']} heads of {one['head_dim']}",
        one["dtype"],
        *([one["direction"]] if one["direction"] != "fwd" else []),
    ]
    return ", ".join(parts)


def _lines(group: pd.DataFrame) -> list[list[Any]]:
    """The rows of each implementation."""
    return [[name, part.index.tolist()] for name, part in group.groupby("implementation", sort=False)]


def forest(rows: pd.DataFrame, against: Sequence[Judgement]) -> list[list[Any]]:
    """Each pair that could be compared: ``[row, ratio, low, high, verdict, case, implementation]``.

    `against` holds a judgement for each run. `row` is None where records were
    aggregated; names stand only there.
    """
    found: list[list[Any]] = []
    keys = zip(rows["run_index"], rows["case"], rows["implementation"], strict=True)
    places = {key: place for place, key in zip(rows.index, keys, strict=True)}
    for index, judgement in enumerate(against):
        for one in judgement.findings:
            if one.about is not About.TIME or one.ratio is None or one.low is None or one.high is None:
                continue
            place = places.get((index, one.case, one.implementation))
            numbers = [float(f"{value:.4g}") for value in (one.ratio, one.low, one.high)]
            names = [] if place is not None else [visible(one.case), visible(one.implementation)]
            found.append([place, *numbers, one.verdict, *names])
    return found


def history(rows: pd.DataFrame, runs: Sequence[Run]) -> list[dict[str, Any]]:
    """For each case and machine seen in two runs or more: its lines over the runs, oldest first."""
    if len(runs) < 2:
        return []
    usable = rows[rows["rank"].notna()].sort_values("created", kind="stable")
    found = []
    for (machine, case), group in usable.groupby(["fingerprint", "case"], sort=False):
        if group["run_index"].nunique() < 2:
            continue
        found.append({"machine": machine, "case": case, "lines": _lines(group)})
    return found
