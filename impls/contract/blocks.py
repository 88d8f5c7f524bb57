"""Counts of the block-sparse mask in closed form: a case of 131,072 costs as little as one of 128.

Blocks are counted in numbers: query block P sees the key blocks of
``near | first | stride`` (inclusion and exclusion). Each end of these runs is
``clamp(P + c, 0, t)``, so that sums over consecutive P have closed forms.
"""

from typing import TYPE_CHECKING

from impls.contract.sums import clamped_sum

if TYPE_CHECKING:
    from impls.contract.masks import Blocks

FAR = 1 << 62
"""Added to a block number, it is beyond every end."""

End = tuple[int, int]
"""``(c, t)`` stands for ``clamp(P + c, 0, t)``."""


def block_pairs(mask: "Blocks", queries: int, keys: int, offset: int) -> int:
    """Visible pairs: whole query blocks at once, the cut ones at both ends by themselves."""
    if not queries or not keys:
        return 0
    size, end = mask.size, offset + queries
    first, last = -(-offset // size), end // size  # the whole blocks are first to last - 1
    if first > last:
        return _rows(mask, offset, queries, keys)
    head, tail = first * size - offset, end - last * size
    whole = size * size * _blocks_seen(mask, keys, first, last) - size * _missing(mask, keys, first, last)
    diagonal = _diagonal(mask, keys, first, last) if mask.causal else 0
    return whole + diagonal + _rows(mask, offset, head, keys) + _rows(mask, last * size, tail, keys)


def _rows(mask: "Blocks", first: int, rows: int, keys: int) -> int:
    """Pairs of some rows of one query block."""
    block = first // mask.size
    width = mask.size * _blocks_seen(mask, keys, block, block + 1) - _missing(mask, keys, block, block + 1)
    pairs = rows * width
    if mask.causal and 0 <= block < _count(mask, keys):
        start = block * mask.size
        width = min(mask.size, keys - start)
        pairs += clamped_sum(first + 1 - start, rows, width)
    return pairs


def _count(mask: "Blocks", keys: int) -> int:
    return -(-keys // mask.size)


def _diagonal(mask: "Blocks", keys: int, first: int, last: int) -> int:
    """Pairs within the blocks on the diagonal, of query blocks `first` to `last` - 1."""
    size, blocks = mask.size, _count(mask, keys)
    whole = max(min(last, blocks - 1) - max(first, 0), 0)
    cut = clamped_sum(1, size, keys - (blocks - 1) * size) if first <= blocks - 1 < last else 0
    return whole * size * (size + 1) // 2 + cut


def _runs(mask: "Blocks", blocks: int) -> tuple[tuple[End, End], ...]:
    """Ends of: all key blocks that may be seen, the near ones, the first ones, those that are both.

    With `causal`, the diagonal block is counted elsewhere: runs end before P.
    """
    first = min(mask.first, blocks)
    reach = 0 if mask.causal else FAR
    near = 0 if mask.causal else mask.near + 1
    nothing = (-FAR, blocks)
    return (
        (nothing, (reach, blocks)),
        ((-mask.near, blocks), (near, blocks)),
        (nothing, (reach, first)),
        ((-mask.near, first), (near, first)),
    )


def _blocks_seen(mask: "Blocks", keys: int, first: int, last: int) -> int:
    """Key blocks seen by the query blocks `first` to `last` - 1, added up, without the diagonal if causal."""
    every, near, front, both = _runs(mask, _count(mask, keys))

    def blocks(run: tuple[End, End]) -> int:
        (low, low_top), (high, high_top) = run
        count = last - first
        return clamped_sum(first + high, count, high_top) - clamped_sum(first + low, count, low_top)

    seen = blocks(near) + blocks(front) - blocks(both)
    if not mask.stride:
        return seen

    def strided(run: tuple[End, End]) -> int:
        low, high = run
        return _multiples_below(high, mask.stride, first, last) - _multiples_below(low, mask.stride, first, last)

    return seen + strided(every) - strided(near) - strided(front) + strided(both)


def _multiples_below(end: End, stride: int, first: int, last: int) -> int:
    """Sum over P of ``floor((clamp(P + c, 0, t) - 1 - P) / stride)``: its differences count multiples."""
    shift, top = end
    rising = min(max(-shift, first), last)  # below this the clamp is 0
    flat = min(max(top - shift, rising), last)  # from this on it is t
    inside = (flat - rising) * ((shift - 1) // stride)
    return inside + _falling(-1, stride, first, rising) + _falling(top - 1, stride, flat, last)


def _falling(start: int, stride: int, first: int, last: int) -> int:
    """Sum of ``floor((start - P) / stride)`` for P from `first` to `last` - 1."""
    return _floors(start - first + 1, stride) - _floors(start - last + 1, stride)


def _floors(count: int, stride: int) -> int:
    """What grows by ``floor(x / stride)`` from x to x + 1: the sum of these floors below `count`."""
    whole, rest = divmod(count, stride)
    return stride * whole * (whole - 1) // 2 + whole * rest


def _missing(mask: "Blocks", keys: int, first: int, last: int) -> int:
    """Keys that the last key block lacks, once for each of these query blocks that sees it as a whole."""
    end = _count(mask, keys) - 1
    lacking = (end + 1) * mask.size - keys
    if not lacking:
        return 0
    first = max(first, end + 1) if mask.causal else first
    if end < mask.first or first >= last:
        return lacking * max(last - first, 0)
    low, high = max(first, end - mask.near), min(last, end + mask.near + 1)
    near = max(high - low, 0)
    if not mask.stride:
        return lacking * near
    outside = _congruent(end, mask.stride, first, last) - (_congruent(end, mask.stride, low, high) if near else 0)
    return lacking * (near + outside)


def _congruent(residue: int, stride: int, start: int, end: int) -> int:
    """How many of ``range(start, end)`` differ from `residue` by a multiple of `stride`."""
    return (end - 1 - residue) // stride - (start - 1 - residue) // stride


def block_keys_seen(mask: "Blocks", queries: int, keys: int, offset: int) -> int:
    """Keys that at least one of the queries sees."""
    if not queries or not keys:
        return 0
    size, blocks = mask.size, _count(mask, keys)
    first, last = offset // size, (offset + queries - 1) // size
    top = min(blocks, last + 1) if mask.causal else blocks
    if top <= 0:
        return 0
    seen = size * _seen_by_some(mask, first, last, 0, top)
    end = min(keys, offset + queries) if mask.causal else keys  # no key from here on is seen
    cut = top * size - end
    return seen - cut * _seen_by_some(mask, first, last, top - 1, top) if cut > 0 else seen


def _seen_by_some(mask: "Blocks", first: int, last: int, start: int, end: int) -> int:
    """How many of the key blocks `start` to `end` - 1 one of the query blocks `first` to `last` sees."""
    front = min(max(mask.first, start), end)
    low, high = (min(max(x, front), end) for x in (first - mask.near, last + mask.near + 1))
    seen = front - start + high - low
    if not mask.stride:
        return seen
    reached = min(last - first + 1, mask.stride)

    def below(block: int) -> int:
        whole, rest = divmod(block - first, mask.stride)
        return whole * reached + min(rest, reached)

    return seen + below(low) - below(front) + below(end) - below(high)
