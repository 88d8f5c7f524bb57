"""The cases that a default check tries: each declared feature alone, then every pair of them, over shapes and dtypes.

A plan is made in two steps, because an implementation may refuse while it runs (its output carries no graph,
it raises NotImplementedError): what it refused alone is not asked of it together with the rest.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import combinations
from random import Random

from attnbench.bench.sweeps.covering import Demand, Row, Token, covering, unmet
from attnbench.bench.sweeps.declared import (
    LIGHT_SCORES,
    PLAIN,
    ROOMY,
    SHAPES,
    axes_for,
    case_of,
    edges_for,
    long_rows,
)
from attnbench.impls.contract import Case, CaseError

DEPTHS = ("quick", "standard", "deep")
ROUNDS = 3
"""How often rows are made anew for what an implementation refused in others."""

NEIGHBOURS = {"quick": 2, "standard": 8, "deep": 40}
ROOM: Token = ("room", "yes")
FEATURES = tuple(axis for axis in PLAIN if axis not in (*SHAPES, "dtype", "direction", "dropout"))

INPUTS = ("needle", "spike", "large", "low", "growing", "views")
"""Families of which a row of the array runs one, beside the ordinary inputs."""

HOLDING = ("padded", "cache", "paged")
"""Layouts with places that hold no data: there ``poison`` is run as well."""

Refusals = Callable[[Sequence[Case]], Sequence[str | None]]
"""For each case the reason why it can't be done, None where it can."""


@dataclass(frozen=True)
class Ask:
    """A case, and how much of it is tried: input families (all without a choice), and what takes calls of its own."""

    case: Case
    families: tuple[str, ...] = ()
    thorough: bool = True


@dataclass
class Plan:
    """The cases of one implementation.

    `refusals` is asked before a case is taken. :meth:`alone` comes first; then :meth:`together`, told which
    of the cases tried so far were refused when they ran.
    """

    features: frozenset[str]
    dtypes: tuple[str, ...]
    refusals: Refusals
    seed: int = 0
    depth: str = "standard"
    most_scores: int = LIGHT_SCORES
    refused: dict[str, str] = field(default_factory=dict)
    """Ids of cases that the implementation refused beforehand, with the reason."""

    @cached_property
    def axes(self) -> dict[str, tuple[str, ...]]:
        """What is declared."""
        return axes_for(self.features, self.dtypes)

    @cached_property
    def plain(self) -> Row:
        """The plainest row that is not refused: dense full attention wherever that can be done."""
        rows = list(_nearest(self.axes))
        found = zip(rows, self._refusals(rows), strict=True)
        return next((row for row, reason in found if reason is None), rows[0])

    @cached_property
    def singles(self) -> dict[Token, Row]:
        """For each value that is not plain, the row that has it alone."""
        return {
            (axis, value): {**self.plain, axis: value}
            for axis, values in self.axes.items()
            for value in values
            if value != self.plain[axis]
        }

    def alone(self) -> tuple[Ask, ...]:
        """Each declared value alone, the plain case first; then the ends of what features may be, and long rows."""
        brief = self.depth == "quick"
        singles = [(row, case) for row in self.singles.values() if (case := self._case(row))]
        telling = {case.features: row for row, case in reversed(singles) if case.features}
        features = [
            row for row, case in singles if row is telling.get(case.features) or not _only_sizes(row, self.plain)
        ]
        sizes = [row for row, _ in singles if row not in features]
        edges = [{**self.plain, **edge} for edge in edges_for(self.features)]
        long = [{**self.plain, **row} for row in long_rows(self.features, self.dtypes)]
        long = [] if self.most_scores < LIGHT_SCORES else long
        asks = [Ask(case) for case in self._cases([self.plain, *features])]
        return (*asks, *self._asks([*([] if brief else [*sizes, *edges]), *long]))

    def together(self, refused: Collection[str] = ()) -> tuple[Ask, ...]:
        """Values together: every demanded combination of those that were not refused alone."""
        axes = self._left(refused) | {"inputs": INPUTS}
        demands = list(_demands(axes, self.depth))
        kept: list[Row] = []
        for attempt in range(ROUNDS):
            random = Random(f"{self.seed}|{self.depth}|{attempt}")
            rows = covering(axes, demands, self._price, random, _traits)
            able = [row for row, reason in zip(rows, self._refusals(rows), strict=True) if reason is None]
            kept += able
            if len(able) == len(rows):
                break
            demands = unmet(demands, [(*row.items(), *_traits(row)) for row in able])
        return self._asks([*kept, *self._neighbours([*kept, self.plain])])

    def _asks(self, rows: Iterable[Row]) -> tuple[Ask, ...]:
        """The cases of these rows, each once, with the families of all rows that make it."""
        rows = list(rows)
        families: dict[str, list[str]] = {}
        for row in rows:
            if case := self._case(row):
                poison = ["poison"] if case.layout.feature in HOLDING else []
                families.setdefault(case.id, ["normal", *poison]).append(row.get("inputs", "normal"))
        return tuple(
            Ask(case, tuple(dict.fromkeys(families[case.id])), thorough=False) for case in self._cases(rows)
        )

    def _left(self, refused: Collection[str]) -> dict[str, tuple[str, ...]]:
        """The axes without what was refused alone, before or while it ran."""
        gone = {
            token
            for token, row in self.singles.items()
            if (case := self._case(row)) is None or case.id in refused or case.id in self.refused
        }
        return {
            axis: tuple(value for value in values if (axis, value) not in gone)
            for axis, values in self.axes.items()
        }

    def _neighbours(self, rows: Sequence[Row]) -> Iterator[Row]:
        """Rows whose lengths and heads lie near those of `rows`, drawn from the seed."""
        random = Random(f"{self.seed}|neighbours")
        for row in random.sample(rows, min(len(rows), NEIGHBOURS[self.depth])):
            yield {**row, **_moved(row, random)}

    def _cases(self, rows: Iterable[Row]) -> tuple[Case, ...]:
        """The cases of these rows, each once, without those that are refused beforehand."""
        made = {case.id: case for row in rows if (case := self._case(row)) is not None}
        reasons = self.refusals(tuple(made.values()))
        for case_id, reason in zip(list(made), reasons, strict=True):
            if reason is not None:
                self.refused[case_id] = reason
                del made[case_id]
        return tuple(made.values())

    def _case(self, row: Row) -> Case | None:
        """The case of a row; None where there is none, or where it needs what is not declared."""
        try:
            case = case_of(row, self.seed)
        except CaseError:
            return None
        return case if case.features <= self.features else None

    def _price(self, row: Row) -> float | None:
        case = self._case(row)
        if case is None or _scores(case) > self.most_scores:
            return None
        return 0.05 + _scores(case) * 3e-6 * (1 + (case.direction != "fwd"))

    def _refusals(self, rows: Sequence[Row]) -> list[str | None]:
        cases = [self._case(row) for row in rows]
        reasons = iter(self.refusals(tuple(case for case in cases if case is not None)))
        return ["there is no such case" if case is None else next(reasons) for case in cases]


def _only_sizes(row: Row, plain: Row) -> bool:
    return all(row[axis] == plain[axis] for axis in row if axis not in SHAPES)


def _scores(case: Case) -> int:
    return case.batch * case.q_heads * case.q_len * case.kv_len


def _traits(row: Row) -> Iterator[Token]:
    q_len, kv_len = map(int, row["lengths"].split(":"))
    if q_len * kv_len >= ROOMY:
        yield ROOM


def _nearest(axes: Mapping[str, Sequence[str]]) -> Iterator[Row]:
    """Rows from the plainest on: some implementations do nothing dense, nothing full, or one query alone."""
    first = {axis: PLAIN[axis] if PLAIN[axis] in values else values[0] for axis, values in axes.items()}
    for layout in axes["layout"]:
        for mask in axes["mask"]:
            for lengths in axes["lengths"]:
                for dims in axes["dims"]:
                    for dtype in axes["dtype"]:
                        yield first | {
                            "layout": layout, "mask": mask, "lengths": lengths, "dims": dims, "dtype": dtype
                        }  # fmt: skip


def _moved(row: Row, random: Random) -> Row:
    """Lengths and heads near those of `row`; what is equal stays equal."""
    (q_len, kv_len), (q_heads, kv_heads) = (map(int, row[axis].split(":")) for axis in ("lengths", "heads"))
    queries, keys = (max(1, length + random.randint(-6, 9)) for length in (q_len, kv_len))
    groups = q_heads // kv_heads
    heads = max(1, kv_heads + random.choice((-1, 0, 1)))
    return {
        "lengths": f"{queries}:{queries if q_len == kv_len else keys}",
        "heads": f"{heads * groups}:{heads}",
    }


def _demands(axes: Mapping[str, Sequence[str]], depth: str) -> Iterator[Demand]:
    """What must stand together, the largest demands first: small ones are then met on the way."""
    varied = {axis: [(axis, value) for value in values] for axis, values in axes.items() if len(values) > 1}
    features = [axis for axis in FEATURES if axis in varied]
    if depth == "deep":
        yield from _products(varied, combinations(features, 3), (ROOM,))
    directions = varied.get("direction", [])
    for direction in directions or [ROOM]:
        pairs = _products(varied, combinations(features, 2), (ROOM, direction))
        yield from (pairs if depth != "quick" else ())
    if depth != "quick":
        yield from _products(
            varied, [*((a, "inputs", "direction") for a in features), ("inputs", "dtype")], (ROOM,)
        )
        if not directions:
            yield from _products(varied, [(a, "inputs") for a in features], (ROOM,))
    sizes = [axis for axis in SHAPES if axis in varied]
    with_features = [(a, b) for a in features for b in (*sizes, "dtype")]
    among = [pair for pair in combinations(sizes, 2) if depth == "deep" or "dims" not in pair]
    others = [*among, *((a, b) for a in ("direction", "dtype") for b in (*sizes, "direction"))]
    if depth != "quick":
        yield from _products(varied, [*with_features, *others])
    if depth == "deep":
        triples = [(a, b, "direction") for a, b in with_features]
        yield from _products(varied, triples)
    for tokens in varied.values():
        yield from (frozenset({token, ROOM}) for token in tokens)
        yield from (frozenset({token}) for token in tokens)


def _products(
    varied: Mapping[str, Sequence[Token]], groups: Iterable[tuple[str, ...]], also: tuple[Token, ...] = ()
) -> Iterator[Demand]:
    """Each combination of the values of each group of axes, together with `also`."""
    for group in groups:
        if len(set(group)) != len(group) or any(axis not in varied for axis in group):
            continue
        found: list[frozenset[Token]] = [frozenset(also)]
        for axis in group:
            found = [tokens | {token} for tokens in found for token in varied[axis]]
        yield from found
