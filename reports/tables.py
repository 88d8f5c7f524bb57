"""All records for machines: CSV and JSON, full precision, units in the names of the columns."""

import json
from collections.abc import Sequence

import pandas as pd

from attnbench.bench.records.schema import Run
from attnbench.reports.choices import ranked
from attnbench.reports.data import table

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def flat(runs: Sequence[Run]) -> pd.DataFrame:
    """One row a record, with `rank` among the correct ones of its case (0 is fastest)."""
    rows = table(runs)
    rows["rank"] = ranked(rows)["rank"] if len(rows) else None
    return rows


def to_csv(runs: Sequence[Run]) -> str:
    """CSV with a header line; a text that a spreadsheet would take for a formula gets a leading apostrophe."""
    rows = flat(runs)
    for name in ("samples_ns", "notes", "failures", "worst_index", "families", "limits"):
        rows[name] = rows[name].map(_joined)
    for name in rows.columns[[not pd.api.types.is_numeric_dtype(kind) for kind in rows.dtypes]]:
        rows[name] = rows[name].map(_harmless)
    return rows.to_csv(index=False)


def to_json(runs: Sequence[Run]) -> str:
    """A list of objects; what is not a finite number is null or, for a share of the budget, the word ``inf``."""
    records = flat(runs).to_dict("records")
    return json.dumps([{name: _jsonable(value) for name, value in row.items()} for row in records], indent=1)


def _joined(value: object) -> object:
    if isinstance(value, dict):
        return "; ".join(
            f"{name}={held:.6g}" if isinstance(held, float) else f"{name}: {held}" for name, held in value.items()
        )
    return "; ".join(map(str, value)) if isinstance(value, tuple) else value


def _harmless(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA_STARTS) else value


def _jsonable(value: object) -> object:
    if isinstance(value, dict):
        return {name: _jsonable(item) for name, item in value.items()}
    if isinstance(value, tuple | list):
        return [_jsonable(item) for item in value]
    if isinstance(value, float) and value in (float("inf"), float("-inf")):
        return str(value)
    return None if value is None or value is pd.NA or value != value else _python(value)  # noqa: PLR0124  # NaN is what differs from itself


def _python(value: object) -> object:
    """A NumPy scalar as Python's own."""
    return value.item() if hasattr(value, "item") else value
