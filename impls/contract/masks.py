"""Masks as values: a text, a rule for one (query, key) pair, an exact count of the pairs.

A rule speaks of the *position* of a query, ``p = i + offset``, counted along
the keys of its segment (see :mod:`attnbench.impls.contract.layouts`); with the
bottom-right alignment the offset is ``N - M``. Rules use only comparison and
integer arithmetic, so that ``visible`` takes plain integers as well as
broadcasting index arrays of any library.
"""

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from numpy import bool_
    from numpy.typing import NDArray

INF = "inf"


def everywhere(position: Any, key: Any) -> Any:
    """True, in the shape to which both arguments broadcast."""
    return (position - key) % 1 == 0


class Mask(msgspec.Struct, frozen=True, tag_field="mask"):
    """Which keys a query may see."""

    @property
    def spec(self) -> str:
        """The text that :func:`parse_mask` reads back."""
        raise NotImplementedError

    @property
    def feature(self) -> str:
        """What an implementation must support for this mask."""
        return self.spec.split(":")[0]

    def problem(self) -> str | None:
        """The rule this mask breaks, if any."""
        return None

    def visible(self, position: Any, key: Any) -> Any:
        """Whether the query at `position` sees `key`; integers or broadcasting index arrays."""
        raise NotImplementedError

    def key_range(self, position: int, keys: int) -> tuple[int, int]:
        """Half-open range outside which the query at `position` sees nothing of `keys` keys.

        Neither end falls from one position to the next, so that the ranges of the first
        and the last of several queries bound those between.
        """
        return 0, keys

    def sees_any(self, position: int, keys: int) -> bool:
        """Whether the query at `position` sees one of `keys` keys at all."""
        low, high = self.key_range(position, keys)
        return low < high

    def pairs(self, queries: int, keys: int, offset: int) -> int:
        """Exact number of visible pairs of one segment."""
        raise NotImplementedError

    def keys_seen(self, queries: int, keys: int, offset: int) -> int:
        """Exact number of keys of one segment that at least one of its queries sees.

        Here for rules whose visible keys are one run a query, without a gap from a query to the next.
        """
        if not queries:
            return 0
        low, high = self.key_range(offset, keys)[0], self.key_range(offset + queries - 1, keys)[1]
        return max(high - low, 0)


class Full(Mask, frozen=True, tag="full"):
    """Every query sees every key."""

    @property
    def spec(self) -> str:
        return "full"

    def visible(self, position: Any, key: Any) -> Any:
        return everywhere(position, key)

    def pairs(self, queries: int, keys: int, offset: int) -> int:
        return queries * keys


class Window(Mask, frozen=True, tag="window"):
    """A query sees `left` keys before its position and `right` after it; None is no bound.

    The convention of flash-attn's ``window_size``. Mistral's "sliding window of
    4096" is ``left=4095, right=0``: the position itself counts.
    """

    left: int | None
    right: int | None

    @property
    def spec(self) -> str:
        left, right = (INF if side is None else side for side in (self.left, self.right))
        return f"window:{left}:{right}"

    def problem(self) -> str | None:
        if any(side is not None and side < 0 for side in (self.left, self.right)):
            return f"{self.spec}: the sides of a window are 0 or more, or {INF}"
        return None

    def visible(self, position: Any, key: Any) -> Any:
        seen = everywhere(position, key)
        if self.left is not None:
            seen = seen & (key >= position - self.left)
        if self.right is not None:
            seen = seen & (key <= position + self.right)
        return seen

    def key_range(self, position: int, keys: int) -> tuple[int, int]:
        low = 0 if self.left is None else min(max(position - self.left, 0), keys)
        high = keys if self.right is None else min(max(position + self.right + 1, 0), keys)
        return low, high

    def pairs(self, queries: int, keys: int, offset: int) -> int:
        high = queries * keys if self.right is None else clamped_sum(offset + self.right + 1, queries, keys)
        low = 0 if self.left is None else clamped_sum(offset - self.left, queries, keys)
        return high - low


class Causal(Mask, frozen=True, tag="causal"):
    """A query sees the keys up to its own position: ``j <= i + N - M``."""

    @property
    def spec(self) -> str:
        return "causal"

    def visible(self, position: Any, key: Any) -> Any:
        return key <= position

    def key_range(self, position: int, keys: int) -> tuple[int, int]:
        return 0, min(max(position + 1, 0), keys)

    def pairs(self, queries: int, keys: int, offset: int) -> int:
        return clamped_sum(offset + 1, queries, keys)


class Prefix(Mask, frozen=True, tag="prefix"):
    """Causal, but the first `prefix` keys are seen by all (prefix-LM, PaliGemma)."""

    prefix: int

    @property
    def spec(self) -> str:
        return f"prefix:{self.prefix}"

    def problem(self) -> str | None:
        return f"{self.spec}: a prefix is 0 keys or more" if self.prefix < 0 else None

    def visible(self, position: Any, key: Any) -> Any:
        return (key <= position) | (key < self.prefix)

    def key_range(self, position: int, keys: int) -> tuple[int, int]:
        return 0, min(max(position + 1, self.prefix), keys)

    def pairs(self, queries: int, keys: int, offset: int) -> int:
        prefix = min(self.prefix, keys)
        inside = min(max(prefix - offset, 0), queries)
        return inside * prefix + clamped_sum(offset + 1 + inside, queries - inside, keys)


class Blocks(Mask, frozen=True, tag="blocks"):
    """Block-sparse: near blocks, the first blocks, and every `stride`-th (Sparse Transformer, BigBird).

    Query block P (of its position) sees key block K when ``|P - K| <= near``,
    or ``K < first``, or ``stride`` divides ``P - K`` (0 means no stride); with
    `causal`, only keys up to the position.
    """

    size: int
    near: int = 1
    first: int = 1
    stride: int = 0
    causal: bool = True

    @property
    def spec(self) -> str:
        side = "causal" if self.causal else "full"
        return f"blocks:{self.size}:{self.near}:{self.first}:{self.stride}:{side}"

    def problem(self) -> str | None:
        if self.size < 1 or min(self.near, self.first, self.stride) < 0:
            return f"{self.spec}: the block size is 1 or more; near, first and stride are 0 or more"
        return None

    def block_visible(self, query_block: Any, key_block: Any) -> Any:
        """The rule on block numbers, before causality inside a block."""
        gap = query_block - key_block
        seen = ((gap <= self.near) & (gap >= -self.near)) | (key_block < self.first)
        return seen | (gap % self.stride == 0) if self.stride else seen

    def visible(self, position: Any, key: Any) -> Any:
        seen = self.block_visible(position // self.size, key // self.size)
        return seen & (key <= position) if self.causal else seen

    def key_range(self, position: int, keys: int) -> tuple[int, int]:
        return (0, min(max(position + 1, 0), keys)) if self.causal else (0, keys)

    def sees_any(self, position: int, keys: int) -> bool:
        if 0 <= position < keys or (self.causal and position < 0):
            return position >= 0  # a query among the keys sees its own block
        blocks = range(-(-keys // self.size))
        return any(self.block_visible(position // self.size, block) for block in blocks)

    def pairs(self, queries: int, keys: int, offset: int) -> int:
        return _block_pairs(self, queries, keys, offset)

    def keys_seen(self, queries: int, keys: int, offset: int) -> int:
        return _block_keys_seen(self, queries, keys, offset)

    def gap_visible(self, gaps: "NDArray[Any]") -> "NDArray[bool_]":
        """The rule on differences ``P - K`` of block numbers, for key blocks that are not among the first."""
        seen: NDArray[bool_] = self.block_visible(gaps + self.first, self.first)
        return seen


def clamped_sum(start: int, count: int, top: int) -> int:
    """Sum of ``clamp(start + i, 0, top)`` for i in ``range(count)``, in closed form."""
    low = min(max(-start, 0), count)
    high = min(max(top - start, low), count)
    rising = (high - low) * (2 * start + low + high - 1) // 2
    return rising + (count - high) * max(top, 0)


@lru_cache(maxsize=1024)
def _block_pairs(mask: Blocks, queries: int, keys: int, offset: int) -> int:
    """Visible pairs of a block-sparse mask, in time and memory of ``queries + keys``.

    Behind the first blocks, the rule depends on a distance alone: the key that lies
    ``d`` before the start of the query's block is ``ceil(d / size)`` blocks away. One
    running count over all distances therefore serves every query. With blocks of 2,
    near 1, first 0, stride 0 and causal, query 5 (its block starts at 4) sees the
    distances 2 to -1, which are the keys 2 to 5.
    """
    import numpy as np

    if not queries or not keys:
        return 0
    size = min(mask.size, queries + keys + abs(offset))  # larger blocks make no difference
    position = np.arange(offset, offset + queries)
    block_start = position // size * size
    end = np.clip(position + 1, 0, keys) if mask.causal else np.full(queries, keys)
    first_end = np.minimum(mask.first * size, end)
    nearest, farthest = (block_start - end).min() + 1, (block_start - first_end).max()
    seen = mask.gap_visible(-(-np.arange(nearest, farthest + 1) // size))
    seen_nearer = np.concatenate(([0], np.cumsum(seen)))
    behind = seen_nearer[block_start - first_end + 1 - nearest] - seen_nearer[block_start - end + 1 - nearest]
    return int((first_end + behind).sum())


@lru_cache(maxsize=1024)
def _block_keys_seen(mask: Blocks, queries: int, keys: int, offset: int) -> int:
    """Keys that at least one query sees: those of the first blocks, and those with a visible gap to some query block.

    A causal query block sees no key behind the last query; within that bound, each key
    has a query that stands on it or after it in every block that sees its block.
    """
    import numpy as np

    last_key = min(keys, offset + queries) if mask.causal else keys
    if not queries or last_key <= 0:
        return 0
    first, last = offset // mask.size, (offset + queries - 1) // mask.size
    key_block = np.arange(last_key) // mask.size
    least = first - int(key_block[-1])
    seen_below = np.concatenate(([0], np.cumsum(mask.gap_visible(np.arange(least, last + 1)))))
    gaps_seen = seen_below[last - key_block + 1 - least] - seen_below[first - key_block - least]
    return int(np.count_nonzero((gaps_seen > 0) | (key_block < mask.first)))


AnyMask = Full | Causal | Window | Prefix | Blocks

MASK_FORMS = (
    "full, causal, window:LEFT:RIGHT (a side may be inf), prefix:KEYS, "
    "blocks:SIZE[:NEAR[:FIRST[:STRIDE[:causal|full]]]]"
)


def parse_mask(spec: str) -> AnyMask:
    """The mask that `spec` names; raises ValueError with the forms there are."""
    name, *arguments = spec.strip().split(":")
    try:
        mask = _build(name, arguments)
    except (TypeError, ValueError) as error:
        raise ValueError(f"mask {spec!r} is not one of: {MASK_FORMS}") from error
    if problem := mask.problem():
        raise ValueError(problem)
    return mask


def _build(name: str, arguments: list[str]) -> AnyMask:
    match name, arguments:
        case "full", []:
            return Full()
        case "causal", []:
            return Causal()
        case "window", [left, right]:
            return Window(_bound(left), _bound(right))
        case "prefix", [prefix]:
            return Prefix(int(prefix))
        case "blocks", [size, *rest]:
            side = rest.pop() if len(rest) == 4 else "causal"
            if side not in ("causal", "full"):
                raise ValueError(side)
            near, first, stride = (*map(int, rest), *(1, 1, 0)[len(rest) :])
            return Blocks(int(size), near, first, stride, causal=side == "causal")
        case _:
            raise ValueError(name)


def _bound(text: str) -> int | None:
    return None if text == INF else int(text)
