"""How keys and values lie in memory, and which queries belong to which keys.

A layout divides a case into *segments*: runs of queries that see runs of keys of
the same batch row. A mask is a rule inside one segment, so that packed
documents, ragged caches and plain batches need no special case anywhere else.
"""

from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

import msgspec


class Segment(NamedTuple):
    """Queries ``[q_start, q_start + q_len)`` of a batch row against its keys ``[k_start, k_start + k_len)``.

    Query i of the segment stands at position ``i + offset`` along its keys.
    """

    row: int
    q_start: int
    q_len: int
    k_start: int
    k_len: int
    offset: int


class Layout(msgspec.Struct, frozen=True, tag_field="layout"):
    """Where the keys of a case lie."""

    @property
    def spec(self) -> str:
        """The text that :func:`parse_layout` reads back."""
        raise NotImplementedError

    @property
    def feature(self) -> str:
        """What an implementation must support for this layout."""
        return self.spec.split(":")[0]

    def problem(self, batch: int, q_len: int, kv_len: int) -> str | None:
        """The rule that this layout breaks for such a shape, if any."""
        return None

    def segments(self, batch: int, q_len: int, kv_len: int) -> tuple[Segment, ...]:
        """The segments, in the order of batch rows and positions."""
        raise NotImplementedError

    def stored_keys(self, batch: int, kv_len: int) -> int:
        """Keys for which memory is held, over the batch: padding and unfilled places too."""
        return batch * kv_len


class Dense(Layout, frozen=True, tag="dense"):
    """One row of keys for each batch row, all of them real."""

    @property
    def spec(self) -> str:
        return "dense"

    def segments(self, batch: int, q_len: int, kv_len: int) -> tuple[Segment, ...]:
        return tuple(Segment(row, 0, q_len, 0, kv_len, kv_len - q_len) for row in range(batch))


class Padded(Layout, frozen=True, tag="padded"):
    """Rows padded on the right to kv_len; row b has ``kv_lengths[b]`` real keys.

    Causal alignment counts the padding (offset N - M), as models with a key
    padding mask do.
    """

    kv_lengths: tuple[int, ...]

    @property
    def spec(self) -> str:
        return f"padded:{join_lengths(self.kv_lengths)}"

    def problem(self, batch: int, q_len: int, kv_len: int) -> str | None:
        if len(self.kv_lengths) != batch:
            return f"{self.spec}: {len(self.kv_lengths)} lengths for a batch of {batch}"
        if not all(0 <= length <= kv_len for length in self.kv_lengths):
            return f"{self.spec}: a length must lie between 0 and kv_len {kv_len}"
        return None

    def segments(self, batch: int, q_len: int, kv_len: int) -> tuple[Segment, ...]:
        return tuple(
            Segment(row, 0, q_len, 0, length, kv_len - q_len) for row, length in enumerate(self.kv_lengths)
        )


class Packed(Layout, frozen=True, tag="packed"):
    """Documents of different lengths laid end to end in one batch row (``cu_seqlens``)."""

    q_lengths: tuple[int, ...]
    kv_lengths: tuple[int, ...]

    @property
    def spec(self) -> str:
        if self.q_lengths == self.kv_lengths:
            return f"packed:{join_lengths(self.q_lengths)}"
        return f"packed:{join_lengths(self.q_lengths)}:{join_lengths(self.kv_lengths)}"

    def problem(self, batch: int, q_len: int, kv_len: int) -> str | None:
        if batch != 1:
            return f"{self.spec}: packed documents share one batch row, batch is {batch}"
        if not self.q_lengths or len(self.q_lengths) != len(self.kv_lengths):
            return f"{self.spec}: {len(self.q_lengths)} query lengths, {len(self.kv_lengths)} key lengths"
        if min(self.q_lengths + self.kv_lengths) < 0:
            return f"{self.spec}: a length is 0 or more"
        if (sum(self.q_lengths), sum(self.kv_lengths)) != (q_len, kv_len):
            return f"{self.spec}: the lengths must add up to q_len {q_len} and kv_len {kv_len}"
        return None

    def segments(self, batch: int, q_len: int, kv_len: int) -> tuple[Segment, ...]:
        found, q_start, k_start = [], 0, 0
        for queries, keys in zip(self.q_lengths, self.kv_lengths, strict=True):
            found.append(Segment(0, q_start, queries, k_start, keys, keys - queries))
            q_start, k_start = q_start + queries, k_start + keys
        return tuple(found)


class Cache(Layout, frozen=True, tag="cache"):
    """A preallocated cache of `capacity` keys a row, of which row b has filled ``fills[b]``.

    The queries are the newest of the filled keys: each row is aligned
    bottom-right to its own fill. What lies beyond a fill is not data.
    """

    capacity: int
    fills: tuple[int, ...]

    @property
    def spec(self) -> str:
        return f"cache:{self.capacity}:{join_lengths(self.fills)}"

    def problem(self, batch: int, q_len: int, kv_len: int) -> str | None:
        if kv_len > self.capacity:
            return f"{self.spec}: kv_len {kv_len} is over the cache's capacity"
        return _fill_problem(self.spec, self.fills, batch, kv_len)

    def segments(self, batch: int, q_len: int, kv_len: int) -> tuple[Segment, ...]:
        return _filled(self.fills, q_len)

    def stored_keys(self, batch: int, kv_len: int) -> int:
        return batch * self.capacity


class Paged(Layout, frozen=True, tag="paged"):
    """Keys in pages of `page` tokens from one pool, found through a block table (vLLM).

    The first `shared` pages of all rows are the same pages (a common prefix).
    """

    page: int
    fills: tuple[int, ...]
    shared: int = 0

    @property
    def spec(self) -> str:
        return f"paged:{self.page}:{join_lengths(self.fills)}" + (f":share{self.shared}" if self.shared else "")

    def problem(self, batch: int, q_len: int, kv_len: int) -> str | None:
        if self.page < 1:
            return f"{self.spec}: a page holds 1 token or more"
        if not 0 <= self.shared <= -(-kv_len // self.page):
            return f"{self.spec}: rows share as many pages as they have at most, {-(-kv_len // self.page)}"
        return _fill_problem(self.spec, self.fills, batch, kv_len)

    def segments(self, batch: int, q_len: int, kv_len: int) -> tuple[Segment, ...]:
        return _filled(self.fills, q_len)

    def stored_keys(self, batch: int, kv_len: int) -> int:
        """Pages that a rectangular block table ``[batch, ceil(kv_len / page)]`` names, as keys."""
        return (batch * -(-kv_len // self.page) - (batch - 1) * self.shared) * self.page


AnyLayout = Dense | Padded | Packed | Cache | Paged

LAYOUT_FORMS = (
    "dense, padded:LENGTHS, packed:LENGTHS[:KEY_LENGTHS], cache:CAPACITY:FILLS, paged:PAGE:FILLS[:shareN] "
    "(lengths as 512/300/17, repeats as 128x4)"
)


def parse_layout(spec: str) -> AnyLayout:
    """The layout that `spec` names; raises ValueError with the forms there are."""
    name, *arguments = spec.strip().split(":")
    try:
        match name, arguments:
            case "dense", []:
                return Dense()
            case "padded", [lengths]:
                return Padded(split_lengths(lengths))
            case "packed", [lengths]:
                return Packed(split_lengths(lengths), split_lengths(lengths))
            case "packed", [queries, keys]:
                return Packed(split_lengths(queries), split_lengths(keys))
            case "cache", [capacity, fills]:
                return Cache(int(capacity), split_lengths(fills))
            case "paged", [page, fills]:
                return Paged(int(page), split_lengths(fills))
            case "paged", [page, fills, shared] if shared.startswith("share"):
                return Paged(int(page), split_lengths(fills), int(shared.removeprefix("share")))
    except ValueError as error:
        raise ValueError(f"layout {spec!r} is not one of: {LAYOUT_FORMS}") from error
    raise ValueError(f"layout {spec!r} is not one of: {LAYOUT_FORMS}")


def join_lengths(lengths: Sequence[int]) -> str:
    """``(512, 128, 128)`` as ``512/128x2``."""
    runs = ((length, len(list(group))) for length, group in groupby(lengths))
    return "/".join(str(length) if count == 1 else f"{length}x{count}" for length, count in runs)


def split_lengths(text: str) -> tuple[int, ...]:
    """``512/128x2`` as ``(512, 128, 128)``."""
    lengths: list[int] = []
    for run in text.split("/"):
        length, _, count = run.partition("x")
        lengths += [int(length)] * (int(count) if count else 1)
    return tuple(lengths)


def _filled(fills: tuple[int, ...], q_len: int) -> tuple[Segment, ...]:
    return tuple(Segment(row, 0, q_len, 0, fill, fill - q_len) for row, fill in enumerate(fills))


def _fill_problem(spec: str, fills: tuple[int, ...], batch: int, kv_len: int) -> str | None:
    if len(fills) != batch:
        return f"{spec}: {len(fills)} fills for a batch of {batch}"
    if min(fills) < 0 or max(fills) != kv_len:
        return f"{spec}: fills are 0 or more and the longest is kv_len, here {kv_len}"
    return None
