"""Numbers for people, in one place: a unit that fits, and three digits.

:data:`SCALES` is also given to the page, whose script formats with the same table.
"""

import math

import pandas as pd

NONE = "–"

SCALES: dict[str, tuple[tuple[float, str], ...]] = {
    "time": ((1.0, "ns"), (1e3, "µs"), (1e6, "ms"), (1e9, "s")),
    "bytes": ((1.0, "B"), (2.0**10, "KiB"), (2.0**20, "MiB"), (2.0**30, "GiB"), (2.0**40, "TiB")),
    "rate": ((1e-3, "GFLOP/s"), (1.0, "TFLOP/s"), (1e3, "PFLOP/s")),
    "traffic": ((1e-3, "MB/s"), (1.0, "GB/s"), (1e3, "TB/s")),
    "ratio": ((1.0, "x"),),
    "energy": ((1e-3, "mJ"), (1.0, "J"), (1e3, "kJ")),
    "plain": ((1.0, ""),),
}
"""Kind of quantity to its units, each with its size in the unit that is kept (ns, B, TFLOP/s, GB/s, 1)."""


def present(value: object) -> bool:
    """Whether `value` is a number that can be shown: not None, NaN or infinite."""
    return isinstance(value, int | float) and not pd.isna(value) and math.isfinite(value)


def digits(value: float, significant: int = 3) -> str:
    """`value` with three significant digits, no exponent between 0.001 and a million: 0.123, 1.23, 12.3, 123."""
    if math.isnan(value) or math.isinf(value):
        return {True: "NaN"}.get(math.isnan(value), "∞" if value > 0 else "-∞")
    if value == 0:
        return "0"
    if not 1e-3 <= abs(value) < 1e6:
        mantissa, exponent = f"{value:.{significant - 1}e}".split("e")
        return f"{mantissa}e{int(exponent)}"
    # Rounding first: 9.996 is 10.0, not 10.00.
    rounded = float(f"{value:.{significant - 1}e}")
    decimals = max(0, significant - 1 - math.floor(math.log10(abs(rounded))))
    return f"{rounded:.{decimals}f}"


def _scaled(value: float, kind: str) -> tuple[float, str]:
    units = SCALES[kind]
    # What three digits would show as 1000 belongs to the next unit.
    fitting = [unit for unit in units if float(f"{abs(value):.2e}") >= unit[0]]
    return fitting[-1] if fitting else units[0]


def show(value: float | None, kind: str) -> str:
    """`value` with its unit: ``1.23 ms``, ``3.12x``; a dash where there is none."""
    if value is None or pd.isna(value):
        return NONE
    size, unit = _scaled(value, kind) if math.isfinite(value) else SCALES[kind][0]
    return f"{digits(value / size)}{'' if unit == 'x' or not unit else ' '}{unit}"


def interval(low: float | None, high: float | None, kind: str) -> str:
    """``1.20 to 1.27 ms``: both ends in the unit of the upper one."""
    if not (present(low) and present(high)):
        return NONE
    assert low is not None
    assert high is not None
    size, unit = _scaled(high, kind)
    return f"{digits(low / size)} to {digits(high / size)}{'' if unit == 'x' or not unit else ' '}{unit}"


def length(tokens: float) -> str:
    """A number of tokens: ``512``, ``1k``, ``4k``, ``1.5k``; exact always."""
    tokens = int(tokens)
    if tokens >= 1024 and tokens % 256 == 0:
        return f"{tokens / 1024:g}k" if tokens < 2**20 else f"{tokens / 2**20:g}M"
    return str(tokens)


def count(number: int, noun: str, plural: str | None = None) -> str:
    """``1 case``, ``12 cases``, ``10,000 records``."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def listed(words: list[str], joint: str = "and") -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} {joint} {words[-1]}"
