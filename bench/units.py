"""Numbers for people, in one place: a unit that fits, and three digits.

Numbers are shown by two tables, :data:`DIGITS` and :data:`UNITS`. The page of a report gets both, so that it shows
a number as the terminal does.
"""

import math
from bisect import bisect_right
from decimal import ROUND_HALF_UP, Decimal
from operator import itemgetter

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

CARRY = 0.9995
"""From this share of a power of ten on, three digits show the power itself: 9.995 is 10.0."""

DECADES = range(-307, 309)
"""Powers of ten that are distinguished; a smaller number is shown as 0."""

PAGE_DECADES = range(-24, 28)
"""Those that a page tells apart: its table is short, and it shows nothing beyond them."""


def _digits_row(power: int) -> tuple[float, float, int, str]:
    """How three digits of a number of this power of ten are shown: 1.23e-7, 0.00123, 1.23, 123, 123000, 1.23e6."""
    least = CARRY * 10.0**power
    if not -3 <= power < 6:
        return least, 10.0**power, 2, f"e{power}"
    return least, 10.0 ** max(0, power - 2), max(0, 2 - power), "0" * max(0, power - 2)


def _unit_rows(scales: tuple[tuple[float, str], ...]) -> list[tuple[float, float, str]]:
    rows = [(CARRY * size, size, unit if unit in {"", "x"} else f" {unit}") for size, unit in scales]
    return [(0.0, *rows[0][1:]), *rows[1:]]


DIGITS: list[tuple[float, float, int, str]] = [(0.0, 1.0, 0, ""), *map(_digits_row, DECADES)]
"""From which size on a number is divided by what, with how many decimals the quotient is shown, and what follows."""

UNITS: dict[str, list[tuple[float, float, str]]] = {kind: _unit_rows(scales) for kind, scales in SCALES.items()}
"""For each kind of quantity: from which size on a number is divided by what, and the unit that follows."""


def figure_table() -> dict[str, object]:
    """The tables as JSON values: what the page needs to show a number as :func:`show` does."""
    return {"digits": [DIGITS[0], *map(_digits_row, PAGE_DECADES)], "units": UNITS, "none": NONE}


def present(value: object) -> bool:
    """Whether `value` is a number that can be shown: not None, NaN or infinite."""
    return isinstance(value, int | float) and math.isfinite(value)


def digits(value: float) -> str:
    """`value` with three significant digits, no exponent between 0.001 and a million: 0.123, 1.23, 12.3, 123.

    A half is rounded away from 0, as JavaScript's ``toFixed`` does.
    """
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "∞" if value > 0 else "-∞"
    _, divisor, decimals, ending = DIGITS[bisect_right(DIGITS, abs(value), key=itemgetter(0)) - 1]
    shown = Decimal(value / divisor).quantize(Decimal(1).scaleb(-decimals), ROUND_HALF_UP)
    return f"{shown:f}{ending}"


def _unit(value: float, kind: str) -> tuple[float, str]:
    """The unit that fits `value`: its size, and its name with the space before it."""
    _, size, unit = UNITS[kind][bisect_right(UNITS[kind], abs(value), key=itemgetter(0)) - 1]
    return size, unit


def show(value: float | None, kind: str) -> str:
    """`value` with its unit: ``1.23 ms``, ``3.12x``; a dash where there is none."""
    if value is None or math.isnan(value):
        return NONE
    size, unit = _unit(value, kind)
    return f"{digits(value / size)}{unit}"


def interval(low: float | None, high: float | None, kind: str) -> str:
    """``1.20 to 1.27 ms``: both ends in the unit of the upper one."""
    if low is None or high is None or not (present(low) and present(high)):
        return NONE
    size, unit = _unit(high, kind)
    return f"{digits(low / size)} to {digits(high / size)}{unit}"


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
