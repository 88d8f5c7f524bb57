"""Inputs of a case, made from (case, family, seed) and nothing else, alike on every machine.

A *family* is a kind of values chosen to expose a kind of defect. Hidden places
that hold no data (padding, what a cache has not filled, unused pages) are
finite noise in every family but ``poison``, where they are NaN.
"""

import math
from hashlib import sha256

import torch
from torch import Tensor

from attnbench.impls.contract import Cache, Case, Inputs, Packed, Padded, Paged
from attnbench.impls.contract.tensors import TORCH_DTYPES

NEEDLE_SCORE = 20.0
SPIKE_SCORE = 160.0
LARGE_SCORE = 60.0
GROWING_SCORE = 40.0
LOW_SCORE = -120.0
"""Scores (after scale) that the families aim at; exp underflows float32 below -104."""


def applies(family: str, case: Case) -> bool:
    """Whether `family` differs from ``normal`` for `case`."""
    if family == "spike":
        return case.softcap is None and any(_spikes(case))
    if family == "low":
        return case.softcap is None or case.softcap > -LOW_SCORE
    if family == "views":
        return not isinstance(case.layout, Paged)
    if family == "poison":
        return isinstance(case.layout, Cache | Padded | Paged)
    return True


def make_inputs(case: Case, family: str = "normal", seed: int = 0, device: str = "cpu") -> Inputs:
    """Tensors of `case` on `device`; the same (case, family, seed) gives the same bits everywhere.

    ``views`` has the values of ``normal`` in another memory layout.
    """
    values = "normal" if family == "views" else family
    digest = sha256(f"{case.id}|{values}|{seed}".encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:7], "little"))
    q = _normal(generator, case.batch, case.q_heads, case.q_len, case.head_dim)
    k = _normal(generator, case.batch, case.kv_heads, case.kv_len, case.head_dim)
    v = _normal(generator, case.batch, case.kv_heads, case.kv_len, case.v_head_dim)
    _share(case, k, v)
    if family in _SHAPERS:
        q, k = _SHAPERS[family](q, k, case, generator)
    dtype = TORCH_DTYPES[case.dtype]
    stored = _store(case, k, v, generator, math.nan if family == "poison" else None)
    tensors = {"q": q, **stored, **_score_changes(case, generator)}
    if case.direction != "fwd":
        tensors["dout"] = _normal(generator, case.batch, case.q_heads, case.q_len, case.v_head_dim)
    placed = {name: _place(name, x, case, dtype, device) for name, x in tensors.items()}
    if family == "views":
        placed |= {name: _sliced(placed[name]) for name in ("q", "k", "v", "dout") if name in placed}
    return Inputs(case=case, **placed)


def _normal(generator: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=generator, dtype=torch.float32)


def _place(name: str, x: Tensor, case: Case, dtype: torch.dtype, device: str) -> Tensor:
    """In the case's dtype and memory order, on the device."""
    if not x.is_floating_point() or name in ("alibi_slopes", "sinks"):
        return x.to(device)
    x = x.to(device=device, dtype=dtype)
    if case.strides == "shared" and name in ("k", "v") and not isinstance(case.layout, Paged):
        rows = name == "v" and not isinstance(case.layout, Cache | Padded)  # rows of these end in different places
        x = (x[:1] if rows else x[:, :1]).contiguous().expand(x.shape)
    if case.strides == "bmhd" and name in ("q", "k", "v", "dout") and not isinstance(case.layout, Paged):
        x = x.transpose(1, 2).contiguous().transpose(1, 2)
    return x


def _sliced(x: Tensor) -> Tensor:
    """The same ``[B, H, M, D]`` as a view of a NaN-filled ``[B, M + 2, H, D + 8]``; the last stride stays 1.

    Rows stay aligned to 16 bytes where head_dim is a multiple of 8, as vectorised loads need.
    """
    batch, heads, rows, width = x.shape
    larger = torch.full((batch, rows + 2, heads, width + 8), math.nan, dtype=x.dtype, device=x.device)
    view = larger[:, 1:-1, :, :width].transpose(1, 2)
    view.copy_(x)
    return view


def _score_changes(case: Case, generator: torch.Generator) -> dict[str, Tensor]:
    changes = {}
    if case.bias == "additive":
        changes["bias"] = _normal(generator, case.batch, case.q_heads, case.q_len, case.kv_len)
    if case.bias == "alibi":
        changes["alibi_slopes"] = alibi_slopes(case.q_heads)
    if case.sinks:
        changes["sinks"] = _normal(generator, case.q_heads)
    return changes


def alibi_slopes(heads: int) -> Tensor:
    """ALiBi's slopes ``[heads]``: powers of ``2 ** (-8 / n)`` for n heads, n a power of two (Press et al. 2022).

    For other counts the odd powers of the next larger table follow, as in the authors' code.
    """
    whole = 2 ** math.floor(math.log2(heads))
    slopes = [2 ** (-8 * (i + 1) / whole) for i in range(whole)]
    slopes += [2 ** (-4 * (2 * i + 1) / whole) for i in range(heads - whole)]
    return torch.tensor(slopes, dtype=torch.float32)


def _store(case: Case, k: Tensor, v: Tensor, generator: torch.Generator, filler: float | None) -> dict[str, Tensor]:
    """Keys and values as the layout holds them; `filler` (noise without one) fills places without data."""
    lengths = {}
    match case.layout:
        case Padded(kv_lengths=lens):
            _fill_beyond((k, v), lens, filler)
        case Packed(q_lengths=queries, kv_lengths=keys):
            lengths = {"cu_seqlens_q": _offsets(queries), "cu_seqlens_k": _offsets(keys)}
        case Cache(capacity=capacity, fills=lens):
            k, v = (_extended(x, capacity, generator) for x in (k, v))
            _fill_beyond((k, v), lens, filler)
        case Paged(fills=lens):
            _fill_beyond((k, v), lens, filler)
            return _paged(k, v, case.layout, generator, filler)
    if isinstance(case.layout, Padded | Cache):
        lengths = {"kv_lengths": torch.tensor(lens, dtype=torch.int32)}
    return {"k": k, "v": v, **lengths}


def _offsets(lengths: tuple[int, ...]) -> Tensor:
    return torch.tensor((0, *lengths)).cumsum(0).to(torch.int32)


def _extended(x: Tensor, capacity: int, generator: torch.Generator) -> Tensor:
    more = _normal(generator, *x.shape[:2], capacity - x.shape[2], x.shape[3])
    return torch.cat([x, more], dim=2)


def _fill_beyond(tensors: tuple[Tensor, ...], lengths: tuple[int, ...], filler: float | None) -> None:
    if filler is not None:
        for x in tensors:
            for row, length in enumerate(lengths):
                x[row, :, length:] = filler


def _share(case: Case, *tensors: Tensor) -> None:
    """Give the keys of the pages that all rows share the values of the longest row's."""
    if isinstance(case.layout, Paged) and case.layout.shared:
        longest, end = _longest(case.layout), case.layout.shared * case.layout.page
        for x in tensors:
            x[:, :, :end] = x[longest, :, :end].clone()


def _longest(layout: Paged) -> int:
    return layout.fills.index(max(layout.fills))


def _paged(
    k: Tensor, v: Tensor, layout: Paged, generator: torch.Generator, filler: float | None
) -> dict[str, Tensor]:
    """Pools ``[pages, Hkv, page, D]`` in shuffled order with two unused pages, and the block table."""
    rows, heads, kv_len, _ = k.shape
    page, shared, longest = layout.page, layout.shared, _longest(layout)
    per_row = -(-kv_len // page)
    order = torch.randperm(rows * per_row + 2, generator=generator)
    table = order[: rows * per_row].reshape(rows, per_row)
    table[:, :shared] = table[longest, :shared].clone()
    pools = []
    for x in (k, v):
        pool = _normal(generator, rows * per_row + 2, heads, page, x.shape[3])
        if filler is not None:
            pool[:] = filler
        whole = _extended(x, per_row * page, generator)
        if filler is not None:
            whole[:, :, kv_len:] = filler
        whole[:, :, : shared * page] = whole[longest, :, : shared * page].clone()
        pool[table.flatten()] = whole.reshape(rows, heads, per_row, page, -1).transpose(1, 2).flatten(0, 1)
        pools.append(pool)
    lengths = torch.tensor(layout.fills, dtype=torch.int32)
    return {"k": pools[0], "v": pools[1], "block_table": table.to(torch.int32), "kv_lengths": lengths}


def _needle(q: Tensor, k: Tensor, case: Case, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Each query points along one key of its row: ends, tile edges and the middle, in turn over heads and rows."""
    q = q.mul_(0.1)
    heads = torch.arange(case.q_heads)[:, None]
    for row, q_start, q_len, k_start, k_len, offset in case.segments:
        ranges = torch.tensor([case.mask.key_range(i + offset, k_len) for i in range(q_len)]).reshape(q_len, 2)
        rows = (ranges[:, 0] < ranges[:, 1]).nonzero().flatten()
        if not len(rows):
            continue
        low, last = ranges[rows, 0], ranges[rows, 1] - 1
        edges = torch.tensor(_edges(k_len))
        spots = edges[(rows * case.q_heads + heads) % len(edges)].clamp(low, last)
        own = (rows + offset).clamp(low, last)
        spots = torch.where(case.mask.visible(rows + offset, spots), spots, own)
        targets = k[row][heads // case.groups, k_start + spots]
        strength = NEEDLE_SCORE / (case.score_scale * targets.square().sum(-1, keepdim=True))
        q[row][:, q_start + rows] += strength * targets
    return q, k


def _edges(keys: int) -> list[int]:
    """The ends and the middle, then both sides of the boundaries of tiles of 64, from the last to the first."""
    tiles = [spot for edge in range(64, keys, 64) for spot in (edge, edge - 1)]
    spots = [keys - 1, 0, keys // 2, keys - 64, *reversed(tiles)]
    return list(dict.fromkeys(spot for spot in spots if 0 <= spot < keys)) or [0]


def _along(q: Tensor, k: Tensor, case: Case, heights: Tensor) -> tuple[Tensor, Tensor]:
    """Add ``heights[b, j]`` to the score of key j for all queries, through one shared direction of q and k."""
    width = math.sqrt(case.head_dim)
    direction = torch.ones(case.head_dim) / width
    q += (width - q @ direction)[..., None] * direction
    k += ((heights / (case.score_scale * width))[:, None, :] - k @ direction)[..., None] * direction
    return q, k


def _spikes(case: Case) -> list[list[int]]:
    """Keys to tower, by batch row: such that many queries of the row have one hidden from them and none visible."""
    spots: list[list[int]] = [[] for _ in range(case.batch)]
    for number, (row, _, q_len, k_start, k_len, offset) in enumerate(case.segments):
        if isinstance(case.layout, Packed):
            if number % 2 and k_len:  # hidden from the documents of even number
                spots[row].append(k_start + k_len - 1)
        elif k_len < case.kv_len:
            spots[row] += range(k_len, case.kv_len, max(1, (case.kv_len - k_len) // 2))
        elif q_len and not case.mask.visible(offset, k_len - 1):
            spots[row].append(k_len - 1)
        elif q_len and not case.mask.visible(q_len - 1 + offset, 0):
            spots[row].append(0)
    return spots


def _spike(q: Tensor, k: Tensor, case: Case, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    heights = torch.zeros(case.batch, case.kv_len)
    for row, spots in enumerate(_spikes(case)):
        heights[row, spots] = SPIKE_SCORE
    return _along(q, k, case, heights)


def _growing(q: Tensor, k: Tensor, case: Case, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    return _along(q, k, case, torch.linspace(0, GROWING_SCORE, case.kv_len).expand(case.batch, -1))


def _low(q: Tensor, k: Tensor, case: Case, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    return _along(q, k, case, torch.full((case.batch, case.kv_len), LOW_SCORE))


def _large(q: Tensor, k: Tensor, case: Case, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Scores with a standard deviation of LARGE_SCORE."""
    factor = math.sqrt(LARGE_SCORE / (case.score_scale * math.sqrt(case.head_dim)))
    return q.mul_(factor), k.mul_(factor)


_SHAPERS = {"needle": _needle, "spike": _spike, "growing": _growing, "low": _low, "large": _large}
