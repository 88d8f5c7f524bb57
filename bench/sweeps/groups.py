"""A group: axes of which a product is taken, some of them zipped."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain, product

from attnbench.bench.sweeps.axes import AXES
from attnbench.bench.sweeps.errors import SweepError
from attnbench.bench.sweeps.readers import Value

Point = dict[str, Value]
"""One value for each axis that the group names."""


@dataclass(frozen=True)
class Group:
    """Values of each axis by name; axes zipped together advance together, the others make a product.

    `where` is the place of an error: file and line, or "the command line".
    """

    axes: Mapping[str, tuple[Value, ...]]
    zips: tuple[tuple[str, ...], ...] = ()
    where: str = "the command line"

    def points(self) -> Iterator[Point]:
        """Every combination; the last axis of the file varies fastest."""
        zipped = {name: names for names in self.zips for name in names}
        columns: list[list[Point]] = []
        for name, values in self.axes.items():
            names = zipped.get(name, (name,))
            if name != names[0]:
                continue
            rows = zip(*(self.axes[n] for n in names), strict=True) if name in zipped else ((v,) for v in values)
            columns.append([dict(zip(names, row, strict=True)) for row in rows])
        for combination in product(*columns):
            yield dict(chain.from_iterable(part.items() for part in combination))

    def overridden(self, values: Mapping[str, tuple[Value, ...]]) -> "Group":
        """This group with `values` in place of its own; what they displace goes, zips lose those axes."""
        gone = frozenset().union(*(AXES[name].displaces for name in values)) - set(values)
        kept = {name: own for name, own in self.axes.items() if name not in gone}
        zips = tuple(tuple(n for n in names if n in kept and n not in values) for names in self.zips)
        return replace(self, axes={**kept, **values}, zips=tuple(names for names in zips if len(names) > 1))


def checked_zips(names: list[list[str]], axes: Mapping[str, tuple[Value, ...]]) -> tuple[tuple[str, ...], ...]:
    """Zips, each of whose axes exists once and has as many values as the others; raises SweepError."""
    for zipped in names:
        for name in zipped:
            if name not in axes:
                raise SweepError(
                    f"zip names {name!r}, which this group does not have: expected one of {', '.join(axes)}"
                )
            if sum(name in other for other in names) + zipped.count(name) > 2:
                raise SweepError(f"zip names {name!r} twice: expected each axis once")
        lengths = {name: len(axes[name]) for name in zipped}
        if len(set(lengths.values())) > 1:
            lengths_text = ", ".join(f"{name} {count}" for name, count in lengths.items())
            raise SweepError(f"zip of axes of different lengths ({lengths_text}): expected as many values of each")
    return tuple(tuple(zipped) for zipped in names)
