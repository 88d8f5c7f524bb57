"""The data of the page's script: every record once, by column, and how records are grouped into charts.

The script selects and lays out; every figure, rank and grouping in here was
computed by Python. Text columns are lists of codes into their values.
"""

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

import pandas as pd

from attnbench.bench.records.repeat import command_line, shell_word
from attnbench.bench.records.schema import Environment, Run
from attnbench.bench.records.verdict import Judgement
from attnbench.bench.units import figure_table, length
from attnbench.reports.aggregate import MOST_ROWS, aggregated
from attnbench.reports.charts import forest, gqa_panels, history, panels, winners
from attnbench.reports.choices import ranked
from attnbench.reports.data import limits
from attnbench.reports.roofs import roofs
from attnbench.reports.summary import Summary
from attnbench.reports.text import moment, plain, visible

CODED = (
    "case", "implementation", "status", "phase", "mask", "mask_kind", "dtype", "direction", "layout_kind",
    "series", "reason", "worst_output", "worst_family", "worst_index", "hint", "failures", "notes", "clock",
    "disturbance", "example",
)  # fmt: skip
NUMBERS = (
    "run_index", "q_len", "kv_len", "length", "gqa", "median_ns", "low_ns", "high_ns", "first_call_ns",
    "peak_bytes", "saved_bytes", "host_ns", "energy_j", "tflop_s", "gb_s", "intensity",
    "share_of_budget", "seed", "samples", "rank", "expected", "got",
)  # fmt: skip
LONGEST_TEXT = 400
MOST_SAMPLES = 200_000


def payload(said: Summary, runs: Sequence[Run], against: Sequence[Judgement] = ()) -> dict[str, Any]:
    """Everything that the page's script needs, as plain JSON values."""
    rows, aggregation = aggregated(said.rows.reset_index(drop=True), MOST_ROWS)
    ranks = ranked(rows)
    rows["rank"], rows["tied"], rows["limited"] = ranks["rank"], ranks["tied"], ranks["limited"]
    planned = _planned(rows, runs)
    quoted = _quoted([*planned, *rows["case"], *rows["example"]])
    compared = forest(rows, against)
    # From here on names are what is shown of them: they link the parts of the page.
    rows = rows.assign(implementation=rows["implementation"].map(text), case=rows["case"].map(text))
    return {
        "figures": figure_table(),
        "lengths": {str(int(n)): length(n) for n in sorted(rows["length"].dropna().unique())},
        "implementations": list(dict.fromkeys(map(text, planned))),
        "quoted": quoted,
        "commands": [_commands(run.header.environment) for run in runs],
        "runs": [run_label(run) for run in runs],
        "created": [moment(run.header.created) for run in runs],
        "reference": text(said.reference),
        "current": list(said.current),
        "count": len(rows),
        "limits": {
            name: {text(family): text(reason) for family, reason in seen.items()}
            for name, seen in limits(rows).items()
        },
        "aggregation": aggregation,
        **_columns(rows),
        "panels": panels(rows),
        "winners": winners(rows),
        "gqa": gqa_panels(rows),
        "forest": compared,
        "history": history(rows, runs),
        "roofs": [asdict(roof) for roof in roofs(runs)],
    }


def as_script(value: object) -> str:
    """JSON that can stand inside a script element: no ``<``, no line separators, no NaN."""
    written = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return written.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def run_label(run: Run) -> str:
    """The label of a run: machine, day and time, revision."""
    machine = run.header.environment
    revision = f", {machine.commit[:8]}" if machine.commit else ""
    return f"{plain(machine.device_name)}, {moment(run.header.created)}{plain(revision)}"


def _commands(environment: Environment) -> dict[str, str]:
    """What repeats a record of a run, with places for the words of one record."""
    places = {"implementation": "{impl}", "case": "{case}", "seed": "{seed}"}
    return {
        "check": command_line("check", environment, **places),
        "time": command_line("run", environment, **places),
    }


def _planned(rows: pd.DataFrame, runs: Sequence[Run]) -> list[str]:
    """Every implementation's own name, in the order of the runs."""
    planned = (name for run in runs for name in run.header.implementations)
    return list(dict.fromkeys([*planned, *rows["implementation"].dropna()]))


def _quoted(names: Iterable[str]) -> dict[str, str]:
    """Names that a shell must not see as they are shown, by what is shown."""
    pairs = ((text(name), shell_word(name)) for name in dict.fromkeys(names))
    return {shown: quoted for shown, quoted in pairs if quoted not in (shown, "''")}


def number(value: object, significant: int = 6) -> float | int | str | None:
    """A JSON number; None where there is none, the word ``inf`` for what no budget holds."""
    if value is None or isinstance(value, str) or pd.isna(value):  # type: ignore[call-overload]  # a scalar
        return value if isinstance(value, str) else None
    real = float(value)  # type: ignore[arg-type]  # a scalar
    if math.isinf(real):
        return "inf" if real > 0 else "-inf"
    shown = f"{real:.{significant - 1}e}"
    # What looks like a half between two numbers of three digits is kept whole, so that the page rounds it the same way.
    rounded = real if shown.partition("e")[0].endswith("500") else float(shown)
    return int(rounded) if rounded.is_integer() else rounded


def _columns(rows: pd.DataFrame) -> dict[str, Any]:
    families = list(dict.fromkeys(family for shares in rows["families"] for family in shares))
    return {
        "texts": {name: _coded(rows[name]) for name in CODED},
        # A column without any number is null, to be filled by the page.
        "numbers": {
            name: [number(value) for value in rows[name]] if rows[name].notna().any() else None for name in NUMBERS
        },
        "shares": {
            text(family): [number(shares.get(family), 3) for shares in rows["families"]] for family in families
        },
        "permille": _samples(rows),
    }


def _coded(column: pd.Series) -> dict[str, Any]:
    texts = column.map(text)
    codes, values = pd.factorize(texts)
    # A single value needs no code a row.
    return {"codes": codes.tolist() if len(values) > 1 else 0, "values": list(values)}


def text(value: object) -> str:
    """A name or a reason as the page shows it; what is very long is cut and says so."""
    if isinstance(value, tuple):
        value = "; ".join(map(str, value)) if value and isinstance(value[0], str) else str(value or "")
    shown = visible(str(value)) if isinstance(value, str) else ""
    return shown if len(shown) <= LONGEST_TEXT else f"{shown[:LONGEST_TEXT]}… (all of it is in the run's file)"


def _samples(rows: pd.DataFrame) -> list[list[int]]:
    """Raw samples as parts in a thousand off the median; every k-th where there are very many."""
    total = int(rows["samples"].fillna(0).sum())
    step = max(1, -(-total // MOST_SAMPLES))
    return [
        [round(1000 * (sample / median - 1)) for sample in samples[::step]] if samples else []
        for samples, median in zip(rows["samples_ns"], rows["median_ns"], strict=True)
    ]
