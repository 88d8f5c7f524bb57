"""Known mistakes of a backward, each computed in float64, with a description for the kernel's author."""

from collections.abc import Iterator

import torch
from torch import Tensor

from attnbench.bench.agreement.hint_terms import HintTerms
from attnbench.impls.contract import Causal, Dense, Full

Made = tuple[str, Tensor]


def backward_mistakes(p: HintTerms, name: str) -> Iterator[Made]:
    """Every known mistake of `name` (dq, dk, dv): a description, and the gradient that it gives."""
    assert p.inputs.dout is not None, "a backward has a gradient"
    dout = p.inputs.dout[:, :, p.rows].double()
    scores = p.scores()
    weights = p.weights(scores, p.seen).nan_to_num(0.0)
    out = p.values(weights)
    slope = _slope(p)
    for words, seen in _masks(p):
        lse = p.lse(scores, p.seen)
        other = torch.exp(p.masked(scores, seen) - lse.masked_fill(lse == -torch.inf, 0.0))
        yield words, _gradient(p, name, other, _dscores(p, other, dout, out, slope), dout)
    products = dout @ p.kv[1][:, p.heads].transpose(-1, -2)
    yield (
        "delta = rowsum(dout * out) is missing from dS",
        _gradient(p, name, weights, weights * products * slope, dout),
    )
    if p.case.softcap is not None:
        flat = _dscores(p, weights, dout, out, torch.ones_like(slope))
        yield "the derivative of the softcap is forgotten", _gradient(p, name, weights, flat, dout)
    dscores = _dscores(p, weights, dout, out, slope)
    delta_of_out = weights * (products - out.square().sum(-1, keepdim=True)) * slope
    yield (
        "delta is rowsum(out * out); it must be rowsum(dout * out)",
        _gradient(p, name, weights, delta_of_out, dout),
    )
    if p.case.groups > 1 and name != "dq":
        yield from _groups(p, name, weights, dscores, dout)
    if p.case.q_len == p.case.kv_len == len(p.rows) and name == "dk":
        turned = _gradient(p, name, weights, dscores.transpose(-1, -2), dout)
        yield "dk takes dS where it needs its transpose", turned


def _masks(p: HintTerms) -> Iterator[tuple[str, Tensor]]:
    case = p.case
    if not bool(p.seen.all()):
        yield "the backward does not apply the mask", torch.ones_like(p.seen)
        yield "the backward does not apply the mask", p.seen_by(Full())
    if isinstance(case.mask, Causal) and isinstance(case.layout, Dense) and case.q_len != case.kv_len:
        top_left = (p.keys <= p.rows[:, None]).expand(p.seen.shape)
        yield "the backward's mask is aligned top-left (j <= i); it must be j <= i + N - M", top_left
    for tile in (16, 32, 64, 128):
        whole = case.kv_len // tile * tile
        if 0 < whole < case.kv_len:
            yield (
                f"keys {whole} to {case.kv_len - 1}, the partial tile of {tile}, get no gradient",
                p.seen & (p.keys < whole),
            )


def _slope(p: HintTerms) -> Tensor:
    if p.case.softcap is None:
        return torch.ones_like(p.products)
    return 1 - torch.tanh(p.products * p.case.score_scale / p.case.softcap) ** 2


def _dscores(p: HintTerms, weights: Tensor, dout: Tensor, out: Tensor, slope: Tensor) -> Tensor:
    delta = (dout * out).sum(-1, keepdim=True)
    return weights * (dout @ p.kv[1][:, p.heads].transpose(-1, -2) - delta) * slope


def _gradient(p: HintTerms, name: str, weights: Tensor, dscores: Tensor, dout: Tensor) -> Tensor:
    """The gradient called `name`: dq ``[B, Hq, R, D]``, or dk or dv ``[B, Hkv, N, D]``."""
    if name == "dq":
        return dscores @ p.kv[0][:, p.heads] * p.case.score_scale
    each = _by_head(p, name, weights, dscores, dout)
    found: Tensor = each.unflatten(1, (p.case.kv_heads, p.case.groups)).sum(2)
    return found


def _by_head(p: HintTerms, name: str, weights: Tensor, dscores: Tensor, dout: Tensor) -> Tensor:
    """What each query head gives to dk or dv: ``[B, Hq, N, D]``."""
    if name == "dk":
        return dscores.transpose(-1, -2) @ p.q * p.case.score_scale
    return weights.transpose(-1, -2) @ dout


def _groups(p: HintTerms, name: str, weights: Tensor, dscores: Tensor, dout: Tensor) -> Iterator[Made]:
    each = _by_head(p, name, weights, dscores, dout)
    grouped = each.unflatten(1, (p.case.kv_heads, p.case.groups))
    yield f"{name} holds the first query head of each group alone, not their sum", grouped[:, :, 0]
    yield f"{name} holds the last query head of each group alone: heads overwrite it", grouped[:, :, -1]
    modulo = each.unflatten(1, (p.case.groups, p.case.kv_heads)).sum(1)
    yield f"{name} is summed over the wrong group: heads h % {p.case.kv_heads}, not h // {p.case.groups}", modulo
