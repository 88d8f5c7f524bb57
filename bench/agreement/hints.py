"""What is wrong with an output: the outputs of known mistakes are computed and compared with it.

A mistake is named only if it reproduces the output, to within the budget and to within a
small part of the error, since a wrong hint is worse than none. Of several the nearest is
named. If none fits, the hint describes where the wrong elements are, if they are close together.
"""

import math
from collections.abc import Iterable
from functools import cache

import torch
from torch import Tensor

from attnbench.bench.agreement.compare import absolute_error
from attnbench.bench.agreement.hint_terms import HintTerms, hint_terms
from attnbench.bench.agreement.mistakes import blank_rows, mistakes, simple_mistakes
from attnbench.bench.agreement.oracle import Target
from attnbench.impls.contract import Case, Inputs
from attnbench.impls.contract.conventions import declare

MOST_OF = 0.8
"""Where a larger part of an axis is wrong, the hint does not list its indices."""

NEAR = 0.05
"""A mistake explains an output when it leaves less than this part of the error's norm."""

SAME = 0.01
MOST_ALIKE = 2
"""Mistakes whose remaining error is less than `SAME` can't be distinguished; if there are more than these, none is named."""


def hint(inputs: Inputs, rows: Tensor, got: Tensor, target: Target) -> str:
    """A description of the known mistake that gives `got` ``[B, Hq, M, Dv]`` on these rows, or ''."""
    judged, expected = got.detach().double()[:, :, rows.to(got.device)], target.expected.to(got.device)
    wrong = ~(absolute_error(judged, expected) <= target.max_budget).all(-1).all(0).all(0)
    if not bool(wrong.any()):  # no element is over the elementwise budget: all rows are alike
        wrong = torch.ones_like(wrong)
    if found := _moved(judged, expected, inputs.case):
        return found
    p = hint_terms(inputs, rows, wrong.cpu())
    if p is not None:
        places = torch.searchsorted(rows, p.rows.cpu()).to(got.device)
        here, there = judged[:, :, places], expected[:, :, places]
        found = (
            _nearest(simple_mistakes(p), here, there, target)
            or _nearest(mistakes(p), here, there, target)
            or _scale(p, here, there, target)
            or _blanks(p, here, there, target)
        )
        if found:
            return found
    return _ratio("out", judged, expected, inputs.case) or shape_of_damage(
        judged, expected, target, rows, "query rows"
    )


def _nearest(made: Iterable[tuple[str, Tensor]], judged: Tensor, expected: Tensor, target: Target) -> str:
    """The description of the mistake nearest to `judged`, if near enough; both where two can't be distinguished."""
    found: list[tuple[float, str]] = []
    for description, other in made:
        blank = other.isnan().all(-1, keepdim=True)  # rows that see no key come out in many ways
        rest = torch.where(blank, 0.0, other - judged)
        if bool(blank.all()) or not bool(rest.isfinite().all()) or float(rest.abs().max()) > 2 * target.max_budget:
            continue
        error = _norm(torch.where(blank, 0.0, (judged - expected).nan_to_num(0.0)))
        if error and (part := _norm(rest) / error) < NEAR:
            found.append((part, description + _blank_rows(judged, blank)))
    best = min((part for part, _ in found), default=0.0)
    nearest = list(dict.fromkeys(text for part, text in found if part <= max(1.5 * best, SAME)))
    return "; or: ".join(nearest) if len(nearest) <= MOST_ALIKE else ""


def _norm(x: Tensor) -> float:
    return float(x.nan_to_num(0.0, 0.0, 0.0).norm()) if bool(x.isfinite().any()) else math.inf


def _blank_rows(judged: Tensor, blank: Tensor) -> str:
    if not bool(blank.any()):
        return ""
    return "; rows that see no key come out NaN" if bool((judged.isnan() & blank).any()) else ""


def _scale(p: HintTerms, judged: Tensor, expected: Tensor, target: Target) -> str:
    """The factor on the scale that gives `judged`, found by search and named only if it reproduces the output."""
    if not bool(judged.isfinite().all()):
        return ""

    @cache
    def off(log: float) -> float:
        return _norm(p.values(p.weights(p.scores(math.exp(log)), p.seen)).nan_to_num(0.0) - judged)

    grid = [step * math.log(2) for step in range(-7, 8)]
    at = min(grid, key=off)
    step = math.log(2) / 2
    for _ in range(14):
        at = min((at - step, at, at + step), key=off)
        step /= 2
    factor = math.exp(at)
    if abs(factor - 1) < 0.002:
        return ""
    made = p.values(p.weights(p.scores(factor), p.seen))
    return _nearest([(_named_scale(factor, p.case), made)], judged, expected, target)


def _blanks(p: HintTerms, judged: Tensor, expected: Tensor, target: Target) -> str:
    """A mistake that gives NaN in whole rows, where exactly its rows are NaN and the others are right."""
    blank = judged.isnan().all(-1)
    right = absolute_error(judged, expected)[~blank]
    if not bool(blank.any()) or (right.numel() and float(right.max()) > target.max_budget):
        return ""
    for words, rows in blank_rows(p):
        if torch.equal(rows.expand(blank.shape), blank):
            return words
    return ""


def _named_scale(factor: float, case: Case) -> str:
    named = {
        1 / case.score_scale: "the scores are not scaled",
        case.score_scale: "the scores are scaled twice"
        + (" (or by 1 / head_dim instead of 1 / sqrt(head_dim))" if case.scale is None else ""),
        case.head_dim**-0.5 / case.score_scale: "the scale that was given is ignored: it is 1 / sqrt(head_dim)",
        math.log2(math.e): "the scores are multiplied by log2(e) and then given to exp, which wants none",
        math.log(2): "exp2 is taken of scores that were not multiplied by log2(e)",
    }
    if case.v_head_dim != case.head_dim:
        named[case.v_head_dim**-0.5 / case.score_scale] = "the scale is 1 / sqrt(v_head_dim)"
    for value, words in named.items():
        if abs(factor / value - 1) < 0.003 and abs(value - 1) > 0.003:
            return words
    return f"the scale is off by a factor of {factor:.4g}"


def _moved(judged: Tensor, expected: Tensor, case: Case) -> str:
    """A description where the right numbers are in the wrong places, or ''."""
    heads, rows = expected.shape[1:3]
    places: list[tuple[str, Tensor]] = []
    if rows == case.q_len and heads > 1:
        lying = expected.transpose(1, 2).reshape(expected.shape)
        places.append(("the output lies as [B, M, H, D] in memory and is called [B, H, M, D]", lying))
    places += [
        ("the two halves of head_dim have changed places", torch.cat(expected.chunk(2, -1)[::-1], -1)),
        ("the heads stand in reverse", expected.flip(1)),
        ("the batch rows stand in reverse", expected.flip(0)),
    ]
    if rows == case.q_len:
        places += [
            ("each row holds the result of the row before", expected.roll(1, 2)),
            ("each row holds the result of the row after", expected.roll(-1, 2)),
            ("the rows stand in reverse", expected.flip(2)),
        ]
    size = _norm(judged - expected)
    for words, moved in places:
        if moved.shape == judged.shape and _norm(moved - judged) < NEAR * size:
            return words
    return ""


def _ratio(name: str, judged: Tensor, expected: Tensor, case: Case) -> str:
    """A description where the output is the expected one times a factor, or ''."""
    if not bool(judged.isfinite().all()):
        return ""
    if not bool(judged.any()) and bool(expected.any()):
        why = ": is its input detached from the graph, or does the gradient underflow?" if name != "out" else ""
        return f"{name} is 0 everywhere{why}"
    expected = expected.nan_to_num(0.0, 0.0, 0.0)
    factor = float((judged * expected).sum() / expected.square().sum().clamp(min=1e-300))
    if abs(factor - 1) < 1e-6 or _norm(judged - factor * expected) >= NEAR * _norm(judged - expected):
        return ""
    scale = case.score_scale
    named = {
        1 / scale: f"{name} is off by sqrt(D): the scale is missing"
        if case.scale is None
        else f"{name} lacks the scale",
        scale: f"{name} is scaled twice",
        -1.0: f"{name} has the wrong sign",
        1 / case.groups: f"{name} is the mean over the heads of a group, not their sum",
        math.log2(math.e): f"{name} is off by log2(e): a base of 2 was left in",
        math.log(2): f"{name} is off by ln(2): a base of 2 was left in",
    }
    for value, words in named.items():
        if abs(factor / value - 1) < 0.01 and value != 1:
            return words
    return f"every element of {name} is {factor:.4g} times what it should be"


def gradient_hint(inputs: Inputs, rows: Tensor, name: str, got: Tensor, target: Target) -> str:
    """The known mistake of a backward that gives this dq, dk or dv, in words, or ''."""
    places = rows if name == "dq" else torch.arange(got.shape[2])
    judged = got.detach().double()[:, :, places.to(got.device)]
    expected = target.expected.to(got.device)
    if found := _ratio(name, judged, expected, inputs.case):
        return found
    case = inputs.case
    if case.batch * case.q_heads * len(rows) * case.kv_len <= 1 << 20:
        from attnbench.bench.agreement.backward_mistakes import backward_mistakes

        p = HintTerms(case, inputs, rows.to(got.device))
        if found := _nearest(backward_mistakes(p, name), judged, expected, target):
            return found
    return shape_of_damage(judged, expected, target, places, "query rows" if name == "dq" else "keys")


def lse_hint(got: Tensor, rows: Tensor, target: Target, sinks: Tensor | None = None) -> str:
    """What is wrong with a log-sum-exp ``[B, Hq, M]``, or ''; `sinks` ``[Hq]`` where the case has them."""
    judged, expected = got.detach().double()[:, :, rows.to(got.device)], target.expected.to(got.device)
    if sinks is not None:
        joined = torch.logaddexp(judged, sinks.to(judged)[None, :, None])
        if bool((absolute_error(joined, expected) <= target.max_budget).all()):
            return declare("the LSE does not hold the sinks", "lse_sinks", "without")
    finite = expected.isfinite() & judged.isfinite()
    if not bool(finite.any()):
        return ""
    judged, expected = judged[finite], expected[finite]
    made = [(declare("the LSE is in base 2: multiply it by ln(2)", "lse_base", "2"), expected / math.log(2))]
    apart = judged - expected
    if float(apart.std()) < NEAR * float(apart.abs().mean()):
        made.append((f"the LSE is off by {float(apart.mean()):.4g} everywhere", expected + apart.mean()))
    return _nearest(((w, m[:, None]) for w, m in made), judged[:, None], expected[:, None], target)


def shape_of_damage(judged: Tensor, expected: Tensor, target: Target, places: Tensor, name: str) -> str:
    """A description of where the wrong elements are, if they are close together, or ''."""
    bad = ~(absolute_error(judged, expected) <= target.max_budget)
    if not bool(bad.any()):
        return ""
    said = []
    if bool(judged.isnan().any()) and bool((bad == judged.isnan()).all()):
        said.append("all wrong elements are NaN")
    names = ("batch rows", "heads", name, "columns of head_dim")
    for axis in range(4):
        others = [d for d in range(4) if d != axis]
        hit = bad.any(dim=others).nonzero().flatten().cpu()
        if 0 < len(hit) <= MOST_OF * bad.shape[axis]:
            where = places.cpu()[hit] if axis == 2 else hit
            said.append(f"only {names[axis]} {_span(where.tolist())} are wrong{_tail(axis, where, places)}")
    return "; ".join(said)


def _tail(axis: int, where: Tensor, places: Tensor) -> str:
    """Whether what is wrong is exactly the partial tile at the end."""
    length = int(places.max()) + 1
    for tile in (128, 64, 32, 16) if axis == 2 else ():
        if length > tile and length % tile and int(where.min()) == length // tile * tile and len(where) > 1:
            return f" (the last, partial tile of {tile}?)"
    return ""


def _span(numbers: list[int]) -> str:
    if len(numbers) <= 4:
        return ", ".join(map(str, numbers))
    return f"{numbers[0]} to {numbers[-1]} ({len(numbers)} of them)"


def same_as_before(outputs: Iterable[Tensor], got: Tensor) -> str:
    """Whether `got` is, bit for bit, what other inputs gave before."""
    if any(x.shape == got.shape and torch.equal(x, got) for x in outputs):
        return "bit for bit the output of other inputs, given before: a result that was cached"
    return ""
