"""What a mask looks like: text for a terminal, SVG, HTML, PNG."""

import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from attnbench.bench.sweeps.errors import SweepError
from attnbench.impls.contract import Cache, Case

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Grid = NDArray[np.float64]

HIDDEN, SEEN, NO_DATA = 0.0, 1.0, -1.0
MOST_CELLS = 256
"""A picture has at most this many cells a side; larger masks are shown as shares of their blocks."""

MOST_PAIRS = 1 << 26
CELL = 8
GAP = 24
COLOURS = {"seen": (31, 119, 180), "hidden": (236, 240, 244), "no data": (190, 190, 190)}
SHADES = " ░▒▓█"


@dataclass(frozen=True)
class Panel:
    """One batch row: `grid` ``[M, N]`` holds the share of visible pairs of each cell, or NO_DATA.

    `block` is how many queries and keys a cell stands for.
    """

    title: str
    grid: "Grid"
    block: tuple[int, int]


def panels(case: Case, most: int = MOST_CELLS) -> list[Panel]:
    """A panel for each batch row, rows that look alike once."""
    import numpy as np

    width = case.layout.capacity if isinstance(case.layout, Cache) else case.kv_len
    if case.q_len * width > MOST_PAIRS:
        raise SweepError(
            f"{case.q_len} x {width} pairs are too many to draw: expected {MOST_PAIRS} at most (8k x 8k); "
            "a shorter mask of the same form shows as much"
        )
    block = (_block(case.q_len, most), _block(width, most))
    shown: dict[bytes, tuple[list[int], Grid]] = {}
    for row in range(case.batch):
        grid = _shrunk(_row(case, row, width), block)
        shown.setdefault(np.ascontiguousarray(grid).tobytes(), ([], grid))[0].append(row)
    alone = len(shown) == 1
    return [Panel("" if alone else f"row {_numbers(rows)}", grid, block) for rows, grid in shown.values()]


def _block(length: int, most: int) -> int:
    """The smallest power of two that leaves at most `most` cells: it falls together with blocks of masks."""
    cells = 1
    while -(-length // cells) > most:
        cells *= 2
    return cells


def _numbers(rows: Sequence[int]) -> str:
    return ", ".join(map(str, rows))


def _row(case: Case, row: int, width: int) -> "Grid":
    """``[M, width]`` of one batch row, evaluated with the mask's own rule."""
    import numpy as np

    grid = np.full((case.q_len, width), NO_DATA)
    for at, q_start, q_len, k_start, k_len, offset in case.segments:
        if at == row:
            position = np.arange(q_len)[:, None] + offset
            seen = case.mask.visible(position, np.arange(k_len)[None, :])
            grid[q_start : q_start + q_len, k_start : k_start + k_len] = np.where(seen, SEEN, HIDDEN)
    return grid


def _shrunk(grid: "Grid", block: tuple[int, int]) -> "Grid":
    """Cells of `block` queries and keys: the share that is seen of what is data."""
    import numpy as np

    if block == (1, 1):
        return grid
    starts = [np.arange(0, length, step) for length, step in zip(grid.shape, block, strict=True)]

    def total(x: "Grid") -> "Grid":
        return np.add.reduceat(np.add.reduceat(x, starts[0], axis=0), starts[1], axis=1)

    data = total((grid != NO_DATA).astype(float))
    seen = total((grid == SEEN).astype(float))
    return np.where(data > 0, seen / np.maximum(data, 1), NO_DATA)


def summary(case: Case) -> str:
    """One line: what it is, how many pairs, which share of all."""
    everything = case.batch * case.q_len * case.kv_len
    layout = "" if case.layout.spec == "dense" else f", {case.layout.spec}"
    return (
        f"{case.mask.spec}{layout}: {case.q_len} queries, {case.kv_len} keys"
        f"{f', {case.batch} rows' if case.batch > 1 else ''}; "
        f"{case.pairs} of {everything} pairs ({case.pairs / everything:.1%})"
    )


def as_text(found: Sequence[Panel]) -> Iterator[str]:
    """Lines of block characters, two a cell; ``··`` where there is no data."""
    for panel in found:
        if panel.title:
            yield panel.title
        for line in panel.grid:
            yield "".join("··" if share == NO_DATA else 2 * _shade(share) for share in line)


def _shade(share: float) -> str:
    """Blank only for nothing, solid only for all."""
    if share in (HIDDEN, SEEN):
        return SHADES[0] if share == HIDDEN else SHADES[-1]
    return SHADES[1 + min(int(share * 3), 2)]


def _colour(share: float) -> tuple[int, int, int]:
    if share == NO_DATA:
        return COLOURS["no data"]
    low, high = COLOURS["hidden"], COLOURS["seen"]
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(low, high, strict=True))
    return red, green, blue


def as_svg(case: Case, found: Sequence[Panel]) -> str:
    """One drawing with the panels below each other; runs of equal cells are one rectangle."""
    parts, top = [], GAP
    for panel in found:
        if panel.title:
            parts.append(f'<text x="0" y="{top - 8}">{escape(panel.title)}</text>')
        for i, line in enumerate(panel.grid):
            parts += (_rectangle(start, i, end, share, top) for start, end, share in _runs(line))
        top += CELL * len(panel.grid) + GAP
    width = max(CELL * max(panel.grid.shape[1] for panel in found), 8 * len(summary(case)))
    words = f'<text x="0" y="{top - 8}">{escape(summary(case))}</text>'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{top}" viewBox="0 0 {width} {top}" '
        f'font-family="sans-serif" font-size="12" shape-rendering="crispEdges">'
        f"<title>{escape(summary(case))}</title>{''.join(parts)}{words}</svg>\n"
    )


def _runs(line: Sequence[float]) -> Iterator[tuple[int, int, float]]:
    start = 0
    for j in range(1, len(line) + 1):
        if j == len(line) or line[j] != line[start]:
            yield start, j, line[start]
            start = j


def _rectangle(start: int, row: int, end: int, share: float, top: int) -> str:
    red, green, blue = _colour(share)
    x, y, width = start * CELL, top + row * CELL, (end - start) * CELL
    return f'<rect x="{x}" y="{y}" width="{width}" height="{CELL}" fill="#{red:02x}{green:02x}{blue:02x}"/>'


def as_html(case: Case, found: Sequence[Panel]) -> str:
    """One page that needs nothing else."""
    rows, columns = found[0].block
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f"<title>{escape(case.mask.spec)}</title></head><body>{as_svg(case, found)}"
        "<p>Rows are queries, columns are keys. Blue is seen, light is hidden, grey is no data; "
        f"a cell stands for {rows} x {columns} pairs.</p></body></html>\n"
    )


def as_png(found: Sequence[Panel]) -> bytes:
    """Pixels of the panels below each other, eight a cell's side."""
    width = max(panel.grid.shape[1] for panel in found) * CELL
    white = b"\xff\xff\xff"
    lines: list[bytes] = []
    for panel in found:
        if lines:
            lines += [white * width] * CELL
        for cells in panel.grid:
            line = b"".join(bytes(_colour(share)) * CELL for share in cells)
            lines += [line + white * (width - len(line) // 3)] * CELL
    pixels = b"".join(b"\0" + line for line in lines)
    header = struct.pack(">IIBBBBB", width, len(lines), 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(pixels)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*chunk) for chunk in chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
