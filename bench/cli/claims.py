"""The table that ends a default check: what each implementation claims, what was tried of it, and the verdict."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from attnbench.bench.claimed import Claimed
from attnbench.bench.cli.exits import EXIT_NOTHING
from attnbench.bench.cli.session import exit_code
from attnbench.bench.records.schema import Record, Status
from attnbench.impls.contract.implementation import SHAPES

WITHDRAWN = SHAPES | {"backward"}
"""What q, k and v alone express: nobody declares it by a parameter, so a refusal when called takes it back."""


@dataclass(frozen=True)
class Claim:
    """One claimed feature or dtype of one implementation, and the records of the cases that have it."""

    name: str
    alone: tuple[Record, ...]
    records: tuple[Record, ...]
    refusal: str = ""

    @property
    def tried(self) -> tuple[Record, ...]:
        """Records of cases that were not refused."""
        return tuple(record for record in self.records if not record.status.is_refusal)

    @property
    def counted(self) -> bool:
        """Whether a verdict needs it: it was tried, or no refusal of a call took it back."""
        return bool(self.tried) or self.name not in WITHDRAWN or not self.records

    @property
    def reason(self) -> str:
        """Why nothing was tried, as the implementation said; '' where it said nothing."""
        refused = [record.reason for record in self.records if record.status.is_refusal]
        return refused[0] if refused else self.refusal

    @property
    def verdict(self) -> str:
        """In a few words."""
        if not self.tried:
            return ("not claimed when called: " if not self.counted else "not tried: ") + (self.reason or "no case")
        if not (bad := _bad(self.tried)):
            return "agrees"
        words = ", ".join(f"{count} {word}" for word, count in bad.items())
        if self.alone and not _bad(self.alone):
            return f"{words}; agrees alone"
        return words + (", alone as well" if self.alone else "")


def claims_of(claimed: Claimed) -> list[Claim]:
    """Every declared feature, every dtype, and the plain case."""
    records = claimed.records

    def claim(name: str, having: Sequence[Record], alone: Sequence[Record]) -> Claim:
        return Claim(name, tuple(alone), tuple(having), claimed.refusal(name))

    plain = [record for record in records if not record.case.features]
    found = [claim("plain attention", plain, plain)]
    for name in sorted(claimed.one.features):
        having = [record for record in records if name in record.case.features]
        found.append(claim(name, having, [record for record in having if record.case.features == {name}]))
    for dtype in claimed.one.dtypes:
        having = [record for record in records if record.case.dtype == dtype]
        found.append(claim(dtype, having, [record for record in having if not record.case.features]))
    return found


def claim_lines(every: Sequence[Claimed]) -> Iterator[str]:
    """The tables, then what is claimed and was not tried."""
    for claimed in every:
        claims = claims_of(claimed)
        width = max(len(claim.name) for claim in claims)
        yield f"{claimed.one.name} claims:"
        yield f"  {'':<{width}}  {'alone':>5}  {'in all':>6}  verdict"
        for claim in claims:
            alone = sum(not record.status.is_refusal for record in claim.alone)
            yield f"  {claim.name:<{width}}  {alone:>5}  {len(claim.tried):>6}  {claim.verdict}"
    for claimed in every:
        if missing := [claim for claim in claims_of(claimed) if claim.counted and not claim.tried]:
            yield f"{claimed.one.name}: claimed, not tried: {', '.join(claim.name for claim in missing)}"


def claims_exit_code(every: Sequence[Claimed]) -> int:
    """0 where everything that is claimed was tried and agrees, 1 where something disagrees or broke, else 3."""
    code = exit_code([record for claimed in every for record in claimed.records])
    if code == 0 and any(claim.counted and not claim.tried for claimed in every for claim in claims_of(claimed)):
        return EXIT_NOTHING
    return code


def _bad(records: Sequence[Record]) -> dict[str, int]:
    """How many are wrong and how many broke, without what is 0."""
    bad = [record.status for record in records if record.status.is_failure]
    wrong = sum(status is Status.WRONG for status in bad)
    return {word: count for word, count in (("wrong", wrong), ("broken", len(bad) - wrong)) if count}
