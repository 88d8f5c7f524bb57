"""Dropout, which has no expected output, judged by its statistics.

With q = 0, v = 1 and no bias every visible weight of a row with n keys is 1/n, and an
output tells how many weights were kept: ``kept = out * n * (1 - p)``, which is binomial(n, 1 - p) in every
row, independently. Three figures follow, each a standard normal where dropout
is right: the mean over the rows (the rate, and the rescaling by 1 / (1 - p)), their
spread (each weight is dropped by itself, not a row or a head at a time), and the mean
error on ordinary inputs (dropout acts on the weights, not on the scores). Two
calls must differ, and a backward must drop what its forward dropped: the sum of dv over the
keys is then the sum of ``dout * out`` over the queries, whatever was dropped.
"""

import math
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from attnbench.bench.agreement.inputs import make_inputs
from attnbench.bench.agreement.judging_device import inputs_on_judging_device
from attnbench.bench.agreement.reference import reference
from attnbench.bench.records.schema import Check, Comparison, real
from attnbench.impls.contract import Call, Case, Implementation, Inputs
from attnbench.impls.contract.tensors import visible

CALLS = 16
LARGEST_Z = 5.0
"""One honest implementation in 1.7 million trials is beyond it."""

LEAST_CHANCE = 1e-6

ROUNDING_SHARE = 0.02
"""Room for rounding of low-precision outputs, as a share of the figure judged."""

ROUNDING = {"fp32": 1e-6, "bf16": 2**-7, "fp16": 2**-10}
"""Two ulps: how far an output of low precision may be off, as a share of it."""

SAME_MASK_TOLERANCE = {"fp32": 1e-4, "bf16": 5e-2, "fp16": 1e-2}


def check_dropout(
    implementation: Implementation, case: Case, *, seed: int = 0, device: str = "cpu"
) -> tuple[Check, ...]:
    """Judge the dropout of `implementation` on `case`, which has some; every check is required."""
    torch.manual_seed(seed)
    inputs = make_inputs(case, "normal", seed, device)
    plain = counting(inputs)
    counts = visible(case).sum(-1).expand(case.batch, case.q_heads, -1)
    with implementation.bound(plain) as call:
        outs = [call().out.detach().cpu().double() for _ in range(CALLS)]
    kept = [out.mean(-1) * counts * (1 - case.dropout) for out in outs]
    checks = [
        _rate(kept, counts, case.dropout),
        _spread(kept, counts, case.dropout, ROUNDING[case.dtype]),
        _fresh(outs, counts, case.dropout),
        _unbiased(implementation, inputs),
    ]
    if case.direction != "fwd":
        checks.append(_same_mask(implementation, inputs))
    return tuple(checks)


def counting(inputs: Inputs) -> Inputs:
    """`inputs` with equal weights for all visible keys and values of 1, so that outputs count."""
    zeroed: dict[str, Any] = {"q": torch.zeros_like(inputs.q)}
    for name, x in (("bias", inputs.bias), ("alibi_slopes", inputs.alibi_slopes)):
        if x is not None:
            zeroed[name] = torch.zeros_like(x)
    if inputs.sinks is not None:
        zeroed["sinks"] = torch.full_like(inputs.sinks, -1e4)
    return replace(inputs, v=torch.ones_like(inputs.v), **zeroed)


def _judged(name: str, z: float, said: str) -> Check:
    return Check(name=name, ok=abs(z) <= LARGEST_Z, detail=f"{said} ({z:+.1f} standard deviations)")


def _rate(kept: list[Tensor], counts: Tensor, probability: float) -> Check:
    trials = len(kept) * float(counts.sum())
    found = sum(float(one.sum()) for one in kept) / trials
    error = _beyond_rounding(found - (1 - probability), 1 - probability)
    z = error / math.sqrt(probability * (1 - probability) / trials)
    return _judged("dropout_rate", z, f"weights keep {found:.4f} of their sum, expected {1 - probability:.4f}")


def _spread(kept: list[Tensor], counts: Tensor, probability: float, rounding: float) -> Check:
    """Squared deviations of all rows over their binomial variance; fourth moments in closed form.

    Long rows of low precision are rounded by more than their spread: the room for that grows with the keys.
    """
    rows = counts.double().clamp(min=1)
    variance = rows * probability * (1 - probability)
    squares = torch.stack([(one - rows * (1 - probability)) ** 2 / variance for one in kept])[:, counts > 0]
    excess = (1 - 6 * probability * (1 - probability)) / variance[counts > 0]
    found, deviation = float(squares.mean()), math.sqrt(float((2 + excess).mean()) / squares.numel())
    rounded = rounding**2 * float(rows[counts > 0].mean()) * (1 - probability) / probability
    z = _beyond_rounding(found - 1, 1 + rounded / ROUNDING_SHARE) / deviation
    return _judged("dropout_spread", z, f"the number of dropped weights varies {found:.3f} times as it should")


def _fresh(outs: list[Tensor], counts: Tensor, probability: float) -> Check:
    """Whether every call repeats the first one's mask, where chance would not."""
    same = sum(torch.equal(outs[0], out) for out in outs[1:])
    repeats = same * float(counts.sum())
    by_chance = (probability**2 + (1 - probability) ** 2) ** repeats
    ok = same < len(outs) - 1 or by_chance > LEAST_CHANCE
    return Check(name="dropout_fresh", ok=ok, detail=f"{same} of {len(outs) - 1} calls repeat the first one's mask")


def _unbiased(implementation: Implementation, inputs: Inputs) -> Check:
    """Mean error on ordinary inputs, in standard deviations over the calls, joined over all rows."""
    with implementation.bound(inputs) as call:
        z, share = _mean_error(call, inputs)
    return _judged("dropout_unbiased", z, f"the mean of {CALLS} calls is off by {share:+.2%} of the output")


def mean_comparison(call: Call, inputs: Inputs) -> Comparison:
    """The mean of several calls against the oracle: the error is in standard deviations of that mean."""
    z, share = _mean_error(call, inputs)
    return Comparison(
        output=f"out, mean of {CALLS} calls, in standard deviations",
        family="normal",
        max_error=real(abs(z)),
        max_budget=LARGEST_Z,
        l2_error=0.0,
        l2_budget=0.0,
        worst_index=(0, 0, 0, 0),
        expected=0.0,
        got=real(z),
        finite=math.isfinite(z),
        judged=1,
        outside=int(abs(z) > LARGEST_Z),
        hint=f"off by {share:+.2%} of the output",
    )


def _mean_error(call: Call, inputs: Inputs) -> tuple[float, float]:
    """Signed mean error of several calls: in its standard deviations, and as a share of the output."""
    expected = reference(inputs_on_judging_device(inputs)).out.mean(-1).cpu()
    errors = torch.stack([call().out.detach().cpu().double().mean(-1) - expected for _ in range(CALLS)])
    signed = float((errors.mean(0) * expected.sign()).sum())
    deviation = math.sqrt(float(errors.var(0).sum()) / CALLS)
    total = float(expected.abs().sum())
    return _beyond_rounding(signed, total) / max(deviation, 1e-12), signed / max(total, 1e-12)


def _same_mask(implementation: Implementation, inputs: Inputs) -> Check:
    leaf = torch.ones_like(inputs.v).requires_grad_()
    assert inputs.dout is not None, "a case with a backward comes with a gradient"
    with implementation.bound(replace(counting(inputs), v=leaf)) as call:
        out = call().out
        (dv,) = torch.autograd.grad(out, leaf, inputs.dout)
    out, dv, dout = (x.detach().cpu().double() for x in (out, dv, inputs.dout))
    products = (dout * out).sum(2)
    grouped = products.reshape(dv.shape[0], dv.shape[1], -1, dv.shape[-1]).sum(2)
    error = float((dv.sum(2) - grouped).abs().max())
    budget = SAME_MASK_TOLERANCE[inputs.case.dtype] * float(dout.abs().sum((0, 2)).max())
    return Check(
        name="dropout_backward",
        ok=error <= budget,
        detail=f"sum of dv against sum of dout * out: error {error:.3g}, budget {budget:.3g}",
    )


def _beyond_rounding(error: float, size: float) -> float:
    """What is left of `error` once rounding of `size` is taken off."""
    return math.copysign(max(abs(error) - ROUNDING_SHARE * abs(size), 0.0), error)
