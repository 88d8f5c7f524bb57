"""Published binaries to set ours beside: facts of their machine code, read as ours are. No speeds."""

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

NOT_READ = -1


@dataclass(frozen=True, kw_only=True)
class Mark:
    """One published kernel with one mask; None where a fact wasn't read."""

    target: str
    head_dim: int
    kernel: str
    mask: str
    ratio: float
    spills: int | None
    ctas: int | None
    exposed: float | None


@cache
def marks() -> tuple[Mark, ...]:
    """All of ``marks.toml``."""
    tables = tomllib.loads((Path(__file__).parent / "marks.toml").read_text())["mark"]
    return tuple(mark for table in tables for mark in _both_masks(table))


def marks_of(target: str, head_dim: int, mask: str) -> tuple[Mark, ...]:
    """The marks for a target, a head_dim and a mask (``full``, ``causal``); none where nothing was published."""
    return tuple(m for m in marks() if (m.target, m.head_dim, m.mask) == (target, head_dim, mask))


def _both_masks(table: dict[str, Any]) -> Iterator[Mark]:
    for at, mask in enumerate(("full", "causal")):
        read = {name: _read(table, name, at) for name in ("ratio", "spills", "ctas", "exposed")}
        if read["ratio"] is not None:
            named = {name: table[name] for name in ("target", "head_dim", "kernel")}
            yield Mark(mask=mask, **named, **read)


def _read(table: dict[str, Any], name: str, at: int) -> Any:
    value = table.get(name, (NOT_READ, NOT_READ))[at]
    return None if value == NOT_READ else value
