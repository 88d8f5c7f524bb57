"""Masks as values: a text, a rule for one (query, key) pair, an exact count of the pairs.

A rule speaks of the *position* of a query, ``p = i + offset``, counted along
the keys of its segment (see :mod:`impls.contract.layouts`); with the
bottom-right alignment the offset is ``N - M``. Rules use only comparison and
integer arithmetic, so that ``visible`` takes plain integers as well as
broadcasting index arrays of any library.
"""

from typing import Any

import msgspec

from impls.contract.blocks import block_keys_seen, block_pairs
from impls.contract.sums import clamped_sum

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
        return self.pairs(1, keys, position) > 0

    def pairs(self, queries: int, keys: int, offset: int) -> int:
        return block_pairs(self, queries, keys, offset)

    def keys_seen(self, queries: int, keys: int, offset: int) -> int:
        return block_keys_seen(self, queries, keys, offset)


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
