"""A covering array: few rows of values such that each demanded combination stands in at least one.

A *token* is one value of one axis, ``(axis, value)``; a *demand* is a set of tokens that must stand
together in a row. Pairs of values are demands of two tokens. Rows are made greedily, as in AETG
(Cohen et al., IEEE TSE 23(7), 1997): each begins with a demand that no row meets, is completed at random
several times, and the completion that meets most for its price is kept.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from random import Random

Row = Mapping[str, str]
Token = tuple[str, str]
Demand = frozenset[Token]

CANDIDATES = 20
"""Legal completions of which one is kept."""

PATIENCE = 120
"""Completions that are tried for one demand before it is given up for this row."""


class Bits:
    """Sets of tokens as integers, so that a demand is met where no bit of it is missing."""

    def __init__(self) -> None:
        self._of: dict[Token, int] = {}

    def mask(self, tokens: Iterable[Token]) -> int:
        """The bits of these tokens."""
        found = 0
        for token in tokens:
            found |= self._of.setdefault(token, 1 << len(self._of))
        return found


def covering(
    axes: Mapping[str, Sequence[str]],
    demands: Collection[Demand],
    price: Callable[[Row], float | None],
    random: Random,
    traits: Callable[[Row], Iterable[Token]] = lambda _: (),
) -> list[Row]:
    """Rows that meet all `demands` that can be met.

    `price` says what a row costs, None where it can't be; `traits` are tokens that follow from a row and
    that demands may name too. The same `random` gives the same rows.
    """
    bits = Bits()
    left = {bits.mask(demand): demand for demand in demands}
    rows: list[Row] = []
    for mask, demand in list(left.items()):
        if mask not in left:
            continue
        fixed = {axis: value for axis, value in demand if axis in axes}
        best: tuple[float, int, Row] | None = None
        for row in _completions(axes, fixed, random, price):
            own = bits.mask((*row.items(), *traits(row)))
            if mask & ~own:
                continue
            met = sum(1 for other in left if not other & ~own)
            worth = met / (price(row) or 1.0)
            if best is None or worth > best[0]:
                best = worth, own, row
        del left[mask]
        if best is not None:
            rows.append(best[2])
            left = {other: demand for other, demand in left.items() if other & ~best[1]}
    return rows


def _completions(
    axes: Mapping[str, Sequence[str]], fixed: Row, random: Random, price: Callable[[Row], float | None]
) -> Iterable[Row]:
    found = 0
    for _ in range(PATIENCE):
        row = {axis: fixed[axis] if axis in fixed else random.choice(values) for axis, values in axes.items()}
        if price(row) is not None:
            yield row
            found += 1
        if found == CANDIDATES:
            return


def unmet(demands: Iterable[Demand], rows: Iterable[Collection[Token]]) -> list[Demand]:
    """The demands that none of `rows` (each given as all its tokens) meets."""
    bits = Bits()
    masks = [bits.mask(row) for row in rows]
    return [demand for demand in demands if not any(_within(bits.mask(demand), mask) for mask in masks)]


def _within(mask: int, row: int) -> bool:
    return not mask & ~row
