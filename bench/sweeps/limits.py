"""Limits of a sweep: cases that need more memory are left out, slow ones are stopped."""

import re
from dataclasses import dataclass

from attnbench.bench.sweeps.errors import SweepError
from attnbench.bench.units import SCALES, show
from attnbench.impls.contract import Case, cost

UNITS = {unit.lower(): size for size, unit in SCALES["bytes"]} | {"": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9}
"""What an amount of memory may be written in, and its size in bytes."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of a sweep; None is no bound.

    `memory_bytes` bounds inputs, output and one score matrix together: what an
    eager implementation holds at least. `input_bytes` bounds the inputs alone, for sweeps of
    implementations that never hold the scores. `case_seconds` bounds the wall time of
    one case with one implementation: whoever runs the sweep stops it then.
    """

    memory_bytes: int | None = None
    input_bytes: int | None = None
    case_seconds: float | None = None

    def refusal(self, case: Case) -> str | None:
        """Why `case` is left out, or None."""
        if self.memory_bytes is None and self.input_bytes is None:
            return None
        exact = cost(case)
        held = exact.input_bytes + exact.output_bytes + exact.score_bytes
        for name, needed, bound in (
            ("inputs, outputs and a score matrix", held, self.memory_bytes),
            ("inputs", exact.input_bytes, self.input_bytes),
        ):
            if bound is not None and needed > bound:
                return f"needs {show(needed, 'bytes')} for {name}, the limit is {show(bound, 'bytes')}"
        return None


def byte_count(value: object) -> int:
    """``4 GiB``, ``500 MB`` or a number of bytes."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([A-Za-z]*)", str(value).strip())
    if isinstance(value, bool) or not match or match[2].lower() not in UNITS:
        raise SweepError(f"{value!r} is no amount of memory: expected a number and a unit, such as 4 GiB or 500 MB")
    return round(float(match[1]) * UNITS[match[2].lower()])


def seconds(value: object) -> float:
    """``30``, ``30 s``, ``2 min`` (or ``2m``) or ``1 h``."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(s|m|min|h|)", str(value).strip())
    if isinstance(value, bool) or not match:
        raise SweepError(f"{value!r} is no time: expected seconds, such as 30, 30 s or 2 min")
    return float(match[1]) * {"h": 3600, "m": 60, "min": 60}.get(match[2], 1)
