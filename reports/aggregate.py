"""Very many records reduced for a page: similar cases become one row, and the page says so."""

import math
from collections.abc import Sequence

import pandas as pd

from attnbench.bench.units import count, length

MOST_ROWS = 20_000
"""Rows that a page still filters within a blink."""

ALIKE: tuple[tuple[str, ...], ...] = (
    ("phase", "mask", "layout_kind", "q_heads", "kv_heads", "head_dim", "batch", "dtype", "direction"),
    ("phase", "mask", "layout_kind", "q_heads", "kv_heads", "head_dim", "dtype", "direction"),
    ("phase", "mask_kind", "layout_kind", "gqa", "head_dim", "dtype", "direction"),
    ("phase", "mask_kind", "layout_kind", "gqa", "dtype", "direction"),
    ("phase", "mask_kind", "layout_kind", "dtype", "direction"),
)
"""What cases of one row share, from fine to coarse; lengths are rounded down to a power of two."""

_WORDS = {
    "q_heads": "{} heads",
    "kv_heads": "{} kv heads",
    "head_dim": "of {}",
    "batch": "batch {}",
    "gqa": "GQA {}",
}


def aggregated(rows: pd.DataFrame, most: int = MOST_ROWS) -> tuple[pd.DataFrame, str]:
    """`rows` as they are where they are no more than `most`, or fewer rows and the sentence that says how.

    A row of several records holds the median of their medians and of both ends
    of their intervals, and the worst error.
    """
    if len(rows) <= most:
        return rows.assign(example=""), ""
    for alike in ALIKE:
        few = _grouped(rows, alike)
        if len(few) <= most:
            break
    cut = f" Only the first {most:,} of {len(few):,} rows are kept." if len(few) > most else ""
    shared = ", ".join(alike).replace("_kind", "").replace("_", " ")
    return few.head(most).reset_index(drop=True), (
        f"{count(len(rows), 'record')} are too many for one page: those of one implementation and status that "
        f"share {shared} and the power of two of the length are one row, with the median of their medians and of "
        f"the ends of their intervals; raw samples are left out.{cut} "
        "All records: python -m bench report RUN --format csv"
    )


def _grouped(rows: pd.DataFrame, alike: Sequence[str]) -> pd.DataFrame:
    """One row for each run, implementation, status, bucket of length and value of `alike`."""
    work = rows.assign(length=(2 ** rows["length"].astype(float).map(math.log2).map(math.floor)).astype(int))
    keys = ["run_index", "implementation", "status", "length", *alike]
    # The worst record of a group speaks for what can't be averaged.
    work = work.assign(_worst=work["share_of_budget"].fillna(-1.0).astype(float), _place=range(len(work)))
    work = work.sort_values("_worst", ascending=False, kind="stable")
    groups = work.groupby(keys, sort=False, dropna=False)
    few = groups.first().reset_index()
    sizes = groups.size().to_numpy()
    for name in ("median_ns", "low_ns", "high_ns", "first_call_ns", "peak_bytes", "tflop_s", "gb_s", "intensity"):
        few[name] = groups[name].median().to_numpy()
    few["samples"] = groups["samples"].sum().to_numpy()
    few["families"] = groups["families"].agg(_largest).to_numpy()
    few["example"] = few["case"]
    few["series"] = few[list(alike)].apply(lambda row: _label(row.to_dict()), axis="columns")
    few["case"] = few["series"] + few["length"].map(lambda n: f", {length(n)} and longer")
    few["notes"] = [(f"{count(int(size), 'record')} in this row",) for size in sizes]
    few["samples_ns"] = [()] * len(few)
    few = few.iloc[groups["_place"].min().to_numpy().argsort()]
    return few.reindex(columns=[*rows.columns, "example"])


def _label(values: dict[str, object]) -> str:
    parts = [f"{values.get('mask', values.get('mask_kind'))} {values['phase']}"]
    if values["layout_kind"] != "dense":
        parts.append(str(values["layout_kind"]))
    parts += [words.format(values[name]) for name, words in _WORDS.items() if name in values]
    parts += [str(values["dtype"]), *([str(values["direction"])] if values["direction"] != "fwd" else [])]
    return ", ".join(parts)


def _largest(shares: pd.Series) -> dict[str, float]:
    worst: dict[str, float] = {}
    for one in shares:
        for family, share in one.items():
            worst[family] = max(worst.get(family, 0.0), share)
    return worst
