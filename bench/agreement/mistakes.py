"""Known mistakes of a forward, each computed in float64, with a description for the kernel's author."""

import math
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from attnbench.bench.agreement.hint_terms import HintTerms
from attnbench.impls.contract import Causal, Dense, Full, Packed, Window
from attnbench.impls.contract.conventions import declare

Made = tuple[str, Tensor]
"""The description, and the output ``[B, Hq, R, Dv]`` of a kernel with this mistake."""

TRIANGLE = (
    "the triangle is inverted: torch.triu(ones, 1) is 1 where keys must be HIDDEN, but the fill is where it is 0, "
    "so that every query sees only later keys (the last row sees none); fill where it is 1, or use tril"
)
TILES = (16, 32, 64, 128)
MOST_TILES = 512


def mistakes(p: HintTerms) -> Iterator[Made]:
    """Every known mistake that is possible for the case."""
    scores = p.scores()
    for words, seen in _distinct(_masks(p)):
        yield words, p.values(p.weights(scores, seen))
    if not bool(p.seen.all()):
        yield from _late_masks(p, scores)
    yield from _heads(p, scores)
    yield from _score_changes(p)
    yield from _normalisers(p, scores)
    yield from _tiles(p, scores)
    yield from _roundings(p)


def simple_mistakes(p: HintTerms) -> Iterator[Made]:
    """Mistakes that leave the arithmetic right; they are looked for first."""
    right = p.values(p.weights(p.scores(), p.seen).nan_to_num(0.0))
    yield "it is right for the inputs as they are now: the call changed them", right
    if bool((empty := ~p.seen.any(-1, keepdim=True)).any()):
        mean = p.kv[1].mean(2, keepdim=True)[:, p.heads]
        words = declare("a row that sees no key gives the mean of the values; it must give 0", "empty_rows", "mean")
        yield words, torch.where(empty, mean, right)


def _distinct(masks: Iterable[tuple[str, Tensor]]) -> Iterator[tuple[str, Tensor]]:
    """Each mask once; if two mistakes give the same mask here, both are named."""
    found: list[tuple[list[str], Tensor]] = []
    for words, seen in masks:
        for descriptions, other in found:
            if torch.equal(seen.expand(other.shape), other):
                descriptions.append(words)
                break
        else:
            found.append(([words], seen))
    for descriptions, seen in found:
        yield "; or: ".join(descriptions[:2]), seen


def blank_rows(p: HintTerms) -> Iterator[tuple[str, Tensor]]:
    """Mistakes that leave whole rows NaN and the others right: a description, and which rows ``[B or 1, Hq or 1, R]``."""
    scores = p.scores().float()
    words = "a row that sees no key gives NaN (its softmax divides 0 by 0); it must give 0"
    yield declare(words, "empty_rows", "nan"), ~p.seen.any(-1)
    left = (torch.softmax(scores, dim=-1) * p.seen).sum(-1)
    yield (
        (
            "weights are masked after the softmax and renormalised: where a hidden score towers, "
            "every visible weight underflows and the row is 0 / 0; mask the scores before the softmax"
        ),
        left == 0,
    )
    top = p.masked(scores, p.seen).amax(-1)
    most = math.log(torch.finfo(torch.float32).max)
    yield "exp is taken without subtracting the row's maximum, and overflows", top > most


def _masks(p: HintTerms) -> Iterator[tuple[str, Tensor]]:
    case = p.case
    everything = torch.ones_like(p.seen)
    if isinstance(case.mask, Causal) and isinstance(case.layout, Dense):
        yield TRIANGLE, (p.keys > p.rows[:, None]).expand(p.seen.shape)
        if case.q_len != case.kv_len:
            at, shift = p.rows[:, None].expand(*p.seen.shape[:3], 1), abs(case.kv_len - case.q_len)
            words = "the mask is aligned top-left (j <= i); it must be j <= i + N - M"
            if case.conventions.causal == "top-left":
                yield (
                    "the mask is aligned bottom-right, not top-left as declared",
                    p.keys <= at + case.kv_len - case.q_len,
                )
            else:
                yield declare(words, "causal", "top-left"), p.keys <= at
            yield "the mask's offset is |N - M|; it must be N - M", p.keys <= at + shift
    if not bool(p.seen.all()):
        if not (isinstance(case.mask, Causal) and isinstance(case.layout, Dense) and case.q_len == case.kv_len):
            yield "the mask is inverted: queries see exactly the keys that should be hidden", ~p.seen
        yield "nothing is masked: every query sees every key", everything
    if not isinstance(case.mask, Full):
        if not isinstance(case.layout, Dense):
            yield f"the {case.mask.feature} mask is ignored", p.seen_by(Full())
        yield "a query sees one position too little: its own key is hidden (j < i)", p.seen_by(shift=-1)
        yield "a query sees one position too much: the next key is visible (j <= i + 1)", p.seen_by(shift=1)
    if isinstance(case.mask, Window):
        yield from _windows(p, case.mask)
    if case.layout.feature in ("padded", "cache", "paged"):
        yield from _lengths(p)
    if isinstance(case.layout, Packed):
        shift = case.kv_len - case.q_len
        seen = case.mask.visible(p.rows[:, None] + shift, p.keys[None, :])
        yield "packed documents see each other: cu_seqlens are ignored", seen.expand(p.seen.shape)


def _windows(p: HintTerms, mask: Window) -> Iterator[tuple[str, Tensor]]:
    left, right = mask.left, mask.right
    for side, moved in (("left", left), ("right", right)):
        for step, words in ((1, "wide"), (-1, "narrow")):
            if moved is not None and moved + step >= 0:
                other = Window(left + step, right) if side == "left" else Window(left, right + step)  # type: ignore[operator]  # this side is bounded
                says = f"the window is one key too {words} on the {side}"
                counted = (side, words) == ("left", "narrow")
                yield declare(says, "window", "counts-query") if counted else says, p.seen_by(other)
    if left is not None:
        yield "the window's left side is ignored", p.seen_by(Window(None, right))
    if right is not None:
        yield "the window's right side is ignored", p.seen_by(Window(left, None))
    if left is not None and right is not None and left != right:
        yield "the window's sides are swapped", p.seen_by(Window(right, left))


def _lengths(p: HintTerms) -> Iterator[tuple[str, Tensor]]:
    """Lengths that are ignored, taken from the first row, or off by one."""
    case = p.case
    lengths = torch.tensor([segment.k_len for segment in case.segments], device=p.rows.device)
    offsets = torch.tensor([segment.offset for segment in case.segments], device=p.rows.device)

    def seen(lengths: Tensor, offsets: Tensor) -> Tensor:
        position = p.rows[None, :, None] + offsets[:, None, None]
        visible = case.mask.visible(position, p.keys[None, None, :])
        found: Tensor = (visible & (p.keys < lengths[:, None, None])).unsqueeze(1)
        return found

    yield "the lengths are ignored: keys beyond them are seen", seen(lengths * 0 + case.kv_len, offsets)
    yield "the first row's length stands for all rows", seen(lengths[:1].expand_as(lengths), offsets)
    yield "one key beyond each length is seen", seen(lengths + 1, offsets)
    yield "the last key of each row is not seen", seen(lengths - 1, offsets)
    if case.layout.feature != "padded":
        yield (
            "the first row's length and alignment stand for all rows",
            seen(lengths[:1].expand_as(lengths), offsets[:1].expand_as(offsets)),
        )
    if case.layout.feature == "cache":
        whole = offsets * 0 + getattr(case.layout, "capacity", case.kv_len) - case.q_len
        yield "causal is aligned to the cache's capacity, not to what it has filled", seen(lengths, whole)


def _late_masks(p: HintTerms, scores: Tensor) -> Iterator[Made]:
    everything = torch.ones_like(p.seen)
    weights = p.weights(scores, everything) * p.seen
    yield "hidden weights are zeroed after the softmax, and rows not renormalised", p.values(weights)
    yield (
        "hidden scores are multiplied by 0: 0 is a score as good as any, -inf is none",
        p.values(p.weights(scores * p.seen, everything)),
    )
    right = p.weights(scores, p.seen).nan_to_num(0.0)
    for fill in (-1.0, -10.0, -100.0):
        weights = p.weights(scores.masked_fill(~p.seen, fill), everything)
        if float((weights - right).abs().max()) > 1e-6:
            yield f"hidden scores are set to {fill:g}, which is not low enough", p.values(weights)


def _heads(p: HintTerms, scores: Tensor) -> Iterator[Made]:
    case, (k, _) = p.case, p.kv
    if case.batch > 1:
        first_row = p.scores(products=p.q @ k[:1, p.heads].transpose(-1, -2))
        yield "every batch row takes the keys of the first", p.values(p.weights(first_row, p.seen))
    if case.groups == 1:
        return
    modulo = torch.arange(case.q_heads, device=p.rows.device) % case.kv_heads
    first = torch.zeros_like(modulo)
    right = p.weights(scores, p.seen)
    for name, wrong in ((f"h % {case.kv_heads}", modulo), ("0", first)):
        if bool((wrong == p.heads).all()):
            continue
        end = f"{name}; it must be h // {case.groups} (q_heads // kv_heads)"
        taken = p.weights(p.scores(products=p.q @ k[:, wrong].transpose(-1, -2)), p.seen)
        yield f"query head h reads key/value head {end}", p.values(taken, wrong)
        yield f"query head h takes its values from head {end}", p.values(right, wrong)
        yield f"query head h takes its keys from head {end}", p.values(taken)


def _score_changes(p: HintTerms) -> Iterator[Made]:
    case = p.case
    scaled = p.products * case.score_scale
    bias = 0.0 if p.bias is None else p.bias
    if case.softcap is not None:
        yield "the softcap is ignored", p.values(p.weights(scaled + bias, p.seen))
        unscaled = case.softcap * torch.tanh(scaled) + bias
        yield "the softcap is cap * tanh(s), without dividing s by the cap", p.values(p.weights(unscaled, p.seen))
        if p.bias is not None:
            together = case.softcap * torch.tanh((scaled + bias) / case.softcap)
            words = declare("the softcap bounds score and bias together", "softcap", "after-mask")
            yield words, p.values(p.weights(together, p.seen))
    if p.bias is not None:
        plain = p.scores() - p.bias
        yield "the bias is ignored", p.values(p.weights(plain, p.seen))
        yield "the bias has the wrong sign", p.values(p.weights(plain - p.bias, p.seen))
        yield "the bias is scaled like q.k", p.values(p.weights(plain + p.bias * case.score_scale, p.seen))
        yield "one head's bias is used for all", p.values(p.weights(plain + p.bias[:, :1], p.seen))
        yield "the biases of the heads stand in reverse", p.values(p.weights(plain + p.bias.flip(1), p.seen))
    if p.sinks is not None:
        weights = torch.softmax(p.masked(p.scores(), p.seen), dim=-1)
        yield "the sinks are ignored", p.values(weights)


def _normalisers(p: HintTerms, scores: Tensor) -> Iterator[Made]:
    out, lse = p.values(p.weights(scores, p.seen)), p.lse(scores, p.seen)
    top = p.masked(scores, p.seen).amax(-1, keepdim=True)
    yield "the output is not divided by the row's sum", out * torch.exp(lse - top)
    for tile in TILES:
        if padding := -p.case.kv_len % tile:
            share = torch.exp(lse - torch.logaddexp(lse, torch.full_like(lse, math.log(padding))))
            yield f"the last tile of {tile} is padded with {padding} keys of 0 that are not masked", out * share


def _tiles(p: HintTerms, scores: Tensor) -> Iterator[Made]:
    """Keys that are not read, and accumulators that are not rescaled."""
    n = p.case.kv_len
    weights = p.weights(scores, p.seen)
    tails = {1, *(n % tile for tile in TILES), 64}
    spans = [(n - tail, n) for tail in sorted(tails) if 0 < tail < n]
    for tile in TILES:
        if tile < n <= MOST_TILES * tile:
            spans += [(start, min(start + tile, n)) for start in range(0, n, tile)]
    out = p.values(weights)
    for start, stop in dict.fromkeys(spans):
        here = weights[..., start:stop]
        lost = here @ p.kv[1][:, p.heads, start:stop]
        words = f"keys {start} to {stop - 1} are not read" + (": the tail" if stop == n else "")
        yield words, (out - lost) / (1 - here.sum(-1, keepdim=True))
    for tile in TILES:
        if tile < n <= MOST_TILES * tile:
            yield from _rescales(p, scores, tile)


def _rescales(p: HintTerms, scores: Tensor, tile: int) -> Iterator[Made]:
    scores = p.masked(scores, p.seen)
    tops = torch.stack([part.amax(-1) for part in scores.split(tile, dim=-1)], dim=-1).cummax(-1).values
    last = tops[..., -1:]
    running = tops.repeat_interleave(tile, dim=-1)[..., : p.case.kv_len]
    kept = torch.exp(scores - running.masked_fill(running == -torch.inf, 0.0))
    right = torch.exp(scores - last.masked_fill(last == -torch.inf, 0.0))
    where = f"when the maximum grows (tiles of {tile})"
    yield f"the accumulator is not rescaled {where}", p.values(kept) / right.sum(-1, keepdim=True)
    yield f"the row's sum is not rescaled {where}", p.values(right) / kept.sum(-1, keepdim=True)


def _roundings(p: HintTerms) -> Iterator[Made]:
    """Lower precision, chosen or by default, where the case has float32 inputs."""
    if p.case.dtype != "fp32":
        return
    k, v = p.kv
    for name, cut in (
        ("bfloat16", _through(torch.bfloat16)),
        ("float16", _through(torch.float16)),
        ("TF32", _tf32),
    ):
        weights = p.weights(p.scores(products=cut(p.q) @ cut(k)[:, p.heads].transpose(-1, -2)), p.seen)
        yield f"float32 inputs and weights are rounded to {name}", cut(weights) @ cut(v)[:, p.heads]
        yield f"float32 inputs are rounded to {name} before they are multiplied", weights @ cut(v)[:, p.heads]
        yield f"q and k are rounded to {name}", p.values(weights)


class _through:  # noqa: N801  # used as a function
    def __init__(self, dtype: torch.dtype) -> None:
        self.dtype = dtype

    def __call__(self, x: Tensor) -> Tensor:
        return x.to(self.dtype).double()


def _tf32(x: Tensor) -> Tensor:
    """The 10 bits of mantissa that tensor cores keep, the rest cut off."""
    return (x.float().contiguous().view(torch.int32) & ~0x1FFF).view(torch.float32).double()
