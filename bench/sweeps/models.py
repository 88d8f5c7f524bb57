"""Shapes of attention in real models; the figures and their sources are in ``models.toml``."""

import difflib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from attnbench.bench.sweeps.errors import SweepError
from attnbench.bench.sweeps.readers import Value, texts

FILE = Path(__file__).with_name("models.toml")
PHASES = ("prefill", "decode", "chunk")


@dataclass(frozen=True)
class Preset:
    """The shapes and features of attention in one model.

    `figures` holds the values of each axis; more than one where layers differ (a
    window in every second one). `sources` says for each figure where it comes from.
    """

    name: str
    title: str
    url: str
    figures: Mapping[str, tuple[Value, ...]]
    sources: Mapping[str, str] = field(default_factory=dict)
    phases: tuple[str, ...] = PHASES


@cache
def presets() -> dict[str, Preset]:
    """Every preset by name, in the order of the file."""
    return {name: _preset(name, table) for name, table in tomllib.loads(FILE.read_text()).items()}


def model(name: str) -> Preset:
    """The preset of that name; SweepError offers the nearest ones."""
    known = presets()
    if name in known:
        return known[name]
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.4) or known
    raise SweepError(
        f"there is no model {name!r}: expected {', '.join(near)} (or --config FILE for its config.json)"
    )


def models(value: object) -> tuple[str, ...]:
    """Names of presets, each one known."""
    found = texts(value)
    for name in found:
        model(name)
    return found


def _preset(name: str, table: dict[str, Any]) -> Preset:
    figures = {axis: tuple(v) if isinstance(v, list) else (v,) for axis, (v, _) in table["figures"].items()}
    return Preset(
        name=name,
        title=table["title"],
        url=table["url"],
        figures=figures,
        sources={axis: source for axis, (_, source) in table["figures"].items()},
        phases=tuple(table.get("phases", PHASES)),
    )
