"""Facts of our kernels' machine code beside published binaries, from what ``bench codegen --json`` wrote.

No speeds: what the compiler made for GPUs that aren't here.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import msgspec

from attnbench.bench.records.marks import marks_of
from attnbench.bench.units import NONE, digits
from attnbench.reports.text import plain


class FactsError(ValueError):
    """A file holds no facts of machine code; the message says which and how to make one."""


class Fact(msgspec.Struct, frozen=True, kw_only=True):
    """What is shown of one compiled configuration; further fields of the file are left alone."""

    group: str
    config: str
    target: str
    note: str = ""
    failure: str = ""
    registers: int = 0
    spills_in_loop: int = 0
    ctas_per_sm: int = 0
    tensor_class: str = ""
    ratio: float | None = None
    exposed: float | None = None
    serialised: bool = False


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the table; `ours` is False for a published mark."""

    target: str
    shape: str
    kernel: str
    ratio: str
    spills: str
    ctas: str
    exposed: str
    ours: bool


def read_facts(path: Path) -> list[Fact]:
    """The facts in the file; raises FactsError."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=list[Fact])
    except OSError as error:
        raise FactsError(f"can't read {path}: {error.strerror}") from error
    except msgspec.MsgspecError as error:
        how = f"make it with: python -m bench codegen --json {path}"
        raise FactsError(f"{path} holds no facts of machine code ({error}); {how}") from error


def rows(facts: list[Fact]) -> list[Row]:
    """Ours beside the marks of the same target, head_dim and mask; those without a mark follow alone."""
    ordered = sorted(facts, key=_place)
    return [row for place, group in groupby(ordered, key=_place) for row in _rows(place, list(group))]


Place = tuple[int, int, str]


def _place(fact: Fact) -> Place:
    """Target, head_dim and mask, from ``forward-d128-causal-bf16``."""
    parts = fact.config.split("-")
    head_dim = next((int(part[1:]) for part in parts if part[:1] == "d" and part[1:].isdigit()), 0)
    mask = next((part for part in parts if part in ("full", "causal")), "")
    return int(fact.target.rpartition("_")[2]), head_dim, mask


def _rows(place: Place, group: list[Fact]) -> Iterator[Row]:
    number, head_dim, mask = place
    target, shape = f"sm_{number}", f"d{head_dim} {mask}".strip() if head_dim else mask or NONE
    for mark in marks_of(target, head_dim, mask):
        yield Row(
            target=target,
            shape=shape,
            kernel=mark.kernel,
            ratio=_number(mark.ratio),
            spills=NONE if mark.spills is None else str(mark.spills),
            ctas=NONE if mark.ctas is None else str(mark.ctas),
            exposed=_number(mark.exposed),
            ours=False,
        )
    for fact in group:
        name = plain(f"{fact.group} {fact.config.split('-')[0]} {fact.note}".strip())
        failed = f"{name}: {plain(fact.failure)}" if fact.failure else name
        yield Row(
            target=target,
            shape=shape,
            kernel=failed,
            ratio=_number(fact.ratio),
            spills=NONE if fact.failure else str(fact.spills_in_loop),
            ctas=NONE if fact.failure else str(fact.ctas_per_sm),
            exposed="serialised" if fact.serialised else _number(fact.exposed),
            ours=True,
        )


def _number(value: float | None) -> str:
    return NONE if value is None else digits(value)
