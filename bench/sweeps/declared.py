"""Values of each axis that a set of declared features allows, and the case that a row of such values makes.

The values are few and small: each separates something that kernels confuse (heads, batch rows, tiles and
their tails, queries and keys, widths), so that an array that pairs them stays cheap.
"""

from collections.abc import Callable, Collection, Mapping
from random import Random

from attnbench.impls.contract import Blocks, Cache, Case, Causal, Dense, Full, Packed, Padded, Paged, Prefix, Window
from attnbench.impls.contract.layouts import AnyLayout
from attnbench.impls.contract.masks import AnyMask

PLAIN: Mapping[str, str] = {
    "mask": "full",
    "layout": "dense",
    "scale": "default",
    "softcap": "none",
    "bias": "none",
    "sinks": "no",
    "dropout": "no",
    "strides": "bhmd",
    "direction": "fwd",
    "dtype": "fp32",
    "batch": "3",
    "heads": "3:3",
    "lengths": "33:33",
    "dims": "32:32",
}
"""The row of full dense multi-head attention: three batch rows, three heads, one key beyond a tile of 32."""

SHAPES = ("batch", "heads", "lengths", "dims")
"""Axes of sizes; all others but dtype and direction are axes of features."""

LENGTHS = (
    "33:33",
    "17:17",
    "64:64",
    "129:129",
    "1:65",
    "2:97",
    "40:100",
    "31:257",
    "70:33",
    "5:1",
    "1:1",
    "16:128",
)
HEADS = ("3:3", "1:1", "10:10", "6:2", "10:2", "7:1", "28:4")
SQUARE = ("32:32", "64:64", "40:40", "72:72", "80:80", "96:96", "128:128", "160:160", "256:256")
DIMS = (*SQUARE, "64:32", "40:72", "96:16", "192:128")
BATCHES = ("3", "1", "5")
ROOMY = 600
"""Scores of a head from which a case has room to show what features do together."""

LIGHT_SCORES = 45_000
"""Scores of a case, all heads and batch rows, above which it is too dear for an array."""

INTERPRETED_SCORES = 10_000
"""The same for a kernel that runs in Triton's interpreter."""


def axes_for(features: Collection[str], dtypes: Collection[str]) -> dict[str, tuple[str, ...]]:
    """The values of each axis that an implementation with these features and dtypes takes by its own word."""
    have = frozenset(features)
    square, same = "q_len != kv_len" not in have, "v_head_dim" not in have
    return {
        "mask": ("full", *(mask for mask in _MASKS if mask.split(":")[0] in have)),
        "layout": ("dense", *(layout for layout in _LAYOUTS if layout.split(":")[0] in have)),
        "scale": ("default", *(("larger", "smaller") if "scale" in have else ())),
        "softcap": ("none", *(("5.5",) if "softcap" in have else ())),
        "bias": ("none", *(bias for bias in ("alibi", "additive") if bias in have)),
        "sinks": ("no", *(("yes",) if "sinks" in have else ())),
        "dropout": ("no",),
        "strides": ("bhmd", *(("bmhd", "shared") if "strided" in have else ())),
        "direction": ("fwd", *(("bwd",) if "backward" in have else ())),
        "dtype": tuple(dtype for dtype in ("fp32", "bf16", "fp16") if dtype in dtypes),
        "batch": BATCHES,
        "heads": tuple(heads for heads in HEADS if "gqa" in have or _equal(heads)),
        "lengths": tuple(lengths for lengths in LENGTHS if not square or _equal(lengths)),
        "dims": tuple(dims for dims in DIMS if not same or _equal(dims)),
    }


def edges_for(features: Collection[str]) -> list[dict[str, str]]:
    """Rows that stand apart: values at the ends of what each declared feature may be, one row each."""
    have = frozenset(features)
    unequal = {"lengths": "20:70"} if "q_len != kv_len" in have else {}
    edges: list[dict[str, str]] = []
    if "causal" in have:
        edges += [
            {"mask": "causal", "lengths": lengths} for lengths in ("129:129", *(("70:33",) if unequal else ()))
        ]
    if "window" in have:
        edges += [{"mask": f"window:{spec}"} | unequal for spec in ("0:0", "inf:3", "5:inf", "inf:inf", "200:0")]
    if "prefix" in have:
        edges += [{"mask": f"prefix:{keys}"} | unequal for keys in ("0", "69")]
    if "blocks" in have:
        edges += [{"mask": f"blocks:{spec}"} | unequal for spec in ("5:1:2:3:full", "16:0:0:2:causal")]
    if "softcap" in have:
        edges += [{"softcap": "50"}, {"softcap": "1"}]
    if "scale" in have:
        edges += [{"scale": "1"}]
    edges += [{"layout": layout} | unequal for layout in _EDGES if layout.split(":")[0] in have]
    if {"packed", "causal"} <= have:  # more documents than two hands count, each with an alignment of its own
        edges += [{"layout": "packed:many", "mask": "causal"} | unequal]
    if "paged" in have and unequal:  # more pages than a byte counts
        edges += [{"layout": "paged:1", "lengths": "2:97"}]
    if "dropout" in have:
        edges += [{"dropout": "0.2"}]
    return edges


def long_rows(features: Collection[str], dtypes: Collection[str]) -> list[dict[str, str]]:
    """One head with few queries and thousands of keys: sums and products kept in too little precision."""
    if "q_len != kv_len" not in features:
        return []
    long = {"batch": "1", "heads": "1:1", "lengths": "3:4100", "dims": "32:32"}
    return [long | {"dtype": dtype} for dtype in ("bf16", "fp16", "fp32") if dtype in dtypes]


_MASKS = ("causal", "window:left", "window:both", "prefix:some", "blocks:near")
_LAYOUTS = ("padded:ragged", "packed:three", "cache:ragged", "paged:16", "paged:7", "paged:12:share")
_EDGES = (
    "padded:empty",
    "packed:empty",
    "cache:empty",
    "cache:whole",
    "cache:full",
    "paged:empty",
)


def case_of(row: Mapping[str, str], seed: int) -> Case:
    """The case that `row` describes, CaseError where none does; details such as window and fills come from the seed."""
    random = Random(f"{seed}|{'|'.join(f'{axis}={row[axis]}' for axis in PLAIN)}")
    (q_heads, kv_heads), (q_len, kv_len), (head_dim, v_head_dim) = (
        map(int, row[axis].split(":")) for axis in ("heads", "lengths", "dims")
    )
    layout = _layout(row["layout"], int(row["batch"]), q_len, kv_len, random)
    return Case(
        batch=1 if isinstance(layout, Packed) else int(row["batch"]),
        q_heads=q_heads,
        kv_heads=kv_heads,
        q_len=q_len,
        kv_len=kv_len,
        head_dim=head_dim,
        v_head_dim=v_head_dim,
        dtype=row["dtype"],  # type: ignore[arg-type]  # Case checks it, as the three below
        mask=_mask(row["mask"], kv_len, random),
        layout=layout,
        scale=_scale(row["scale"], head_dim),
        softcap=None if row["softcap"] == "none" else float(row["softcap"]),
        bias=row["bias"],  # type: ignore[arg-type]
        sinks=row["sinks"] == "yes",
        dropout=0.0 if row["dropout"] == "no" else float(row["dropout"]),
        direction=row["direction"],  # type: ignore[arg-type]
        strides=row["strides"],  # type: ignore[arg-type]
    )


def _equal(pair: str) -> bool:
    left, right = pair.split(":")
    return left == right


def _scale(word: str, head_dim: int) -> float | None:
    factor = {"larger": 1.7, "smaller": 0.45}
    if word == "default":
        return None
    return round(factor[word] * head_dim**-0.5, 3) if word in factor else float(word)


def _mask(spec: str, kv_len: int, random: Random) -> AnyMask:
    """Masks whose sides are small against the keys, so that both what they hide and what they show matters."""
    side = max(1, kv_len // 4 + random.randint(-2, 2))
    kind, _, word = spec.partition(":")
    match kind, word:
        case "causal", _:
            return Causal()
        case "window", "left":
            return Window(side, 0)
        case "window", "both":
            return Window(side, max(1, side // 3))
        case "window", sides:
            left, right = (None if each == "inf" else int(each) for each in sides.split(":"))
            return Window(left, right)
        case "prefix", keys:
            return Prefix(max(1, kv_len // 3 + random.randint(-2, 2)) if keys == "some" else int(keys))
        case "blocks", "near":
            return Blocks(max(2, min(16, kv_len // 5)), near=1, first=1)
        case "blocks", figures:
            size, near, first, stride, end = figures.split(":")
            return Blocks(int(size), int(near), int(first), int(stride), causal=end == "causal")
    return Full()


def _layout(spec: str, batch: int, q_len: int, kv_len: int, random: Random) -> AnyLayout:
    kind, _, word = spec.partition(":")
    if kind == "dense":
        return Dense()
    if kind == "packed":
        return _packed(word, q_len, kv_len, random)
    lengths = _lengths(batch, kv_len, random)
    if word == "empty":
        lengths[lengths.index(min(lengths))] = 0 if batch > 1 else lengths[0]
    if word in ("whole", "full"):
        lengths = [kv_len] * batch
    return _HELD[kind](word, tuple(lengths), kv_len)


def _pages(word: str, lengths: tuple[int, ...], kv_len: int) -> Paged:
    """Pages of the size that `word` begins with, 12 without one; with ``share`` a half of them common to all rows."""
    size, _, share = word.partition(":")
    page = int(size) if size.isdigit() else 12
    return Paged(page, lengths, -(-kv_len // page) // 2 if share else 0)


_HELD: Mapping[str, Callable[[str, tuple[int, ...], int], AnyLayout]] = {
    "padded": lambda _, lengths, __: Padded(lengths),
    "cache": lambda word, lengths, kv_len: Cache(kv_len + (0 if word == "full" else 19), lengths),
    "paged": _pages,
}


def _lengths(batch: int, kv_len: int, random: Random) -> list[int]:
    """A length a row: the whole, a half, a tenth and so on, not in order; one of them is whole."""
    shares = (1.0, 0.55, 0.1, 0.8, 0.3)
    lengths = [max(1, min(kv_len, round(kv_len * share) + random.randint(0, 1))) for share in shares[:batch]]
    lengths[0] = kv_len
    random.shuffle(lengths)
    return lengths


def _packed(word: str, q_len: int, kv_len: int, random: Random) -> Packed:
    """Three documents of different lengths, one short; with ``empty`` one more that has no key; with ``many`` ten."""
    if word == "many":
        queries, keys = (
            (*(1 + each % 2 for each in range(9)), total - 13) for total in (max(q_len, 14), max(kv_len, 14))
        )
        return Packed(queries, queries if q_len == kv_len else keys)
    queries, keys = _parts(q_len, random), _parts(kv_len, random)
    if q_len == kv_len:
        keys = queries
    if word == "empty":
        queries, keys = (queries[0], 0, *queries[1:]), (keys[0], 0, *keys[1:])
        if q_len != kv_len and queries[0] > 1:
            queries = (queries[0] - 1, 1, *queries[2:])
    return Packed(queries, keys)


def _parts(total: int, random: Random) -> tuple[int, ...]:
    first = min(total, round(total * 0.35) + random.randint(0, 2))
    second = min(total - first, 1 + random.randint(0, 2))
    return first, second, total - first - second
