"""Dropout: honest implementations pass, planted defects don't."""

from dataclasses import replace

import pytest
import torch

from attnbench.bench.agreement.check import check
from attnbench.bench.agreement.dropout import check_dropout
from attnbench.bench.agreement.oracle import Oracle
from attnbench.bench.registry.catalogue import find
from attnbench.bench.timing.timer import Timer
from attnbench.impls.contract import EVERYTHING, Implementation, Outputs, parse_case
from attnbench.impls.contract.tensors import dense_kv, repeat_heads, visible

EAGER = ("masked_fill", "additive_mask", "softmax_then_mask", "per_head_loop")

IDS = [
    "b2-h4-kv2-s48-d16-causal-drop0.1-fp32",
    "b2-h4-kv2-s48-d16-causal-drop0.5-bf16-fwd+bwd",
    "b1-h4-s64-d16-full-cap5-additive-sinks-drop0.2-fp32-fwd+bwd",
    "b2-h4-q16-k48-d16-window:9:0-padded:48/20-alibi-drop0.3-fp32",
]


@pytest.mark.parametrize("case_id", IDS)
@pytest.mark.parametrize("name", EAGER)
def test_an_honest_dropout_passes(name, case_id):
    implementation, case = find(name), parse_case(case_id)
    assert implementation.supports(case, "cpu") is None
    checks = check_dropout(implementation, case)
    assert all(check.ok for check in checks), [check for check in checks if not check.ok]
    assert {"dropout_rate", "dropout_spread", "dropout_fresh", "dropout_unbiased"} <= {
        check.name for check in checks
    }
    assert ("dropout_backward" in {check.name for check in checks}) == (case.direction != "fwd")


def test_honest_dropout_passes_at_other_seeds():
    case = parse_case(IDS[0])
    for seed in range(1, 9):
        assert all(check.ok for check in check_dropout(find("masked_fill"), case, seed=seed))


class Remasked(torch.autograd.Function):
    """Weights dropped by one mask in the forward and by another in the backward."""

    @staticmethod
    def forward(ctx, weights, v, probability):
        ctx.save_for_backward(weights, v)
        ctx.probability = probability
        return torch.dropout(weights, probability, train=True) @ v

    @staticmethod
    def backward(ctx, dout):
        weights, v = ctx.saved_tensors
        again = torch.dropout(weights, ctx.probability, train=True)
        return dout @ v.transpose(-1, -2), again.transpose(-1, -2) @ dout, None


def rows_at_a_time(weights, p):
    return weights * (torch.rand(*weights.shape[:-1], 1) > p).to(weights) / (1 - p)


def seeded(weights, p):
    generator = torch.Generator().manual_seed(7)
    return weights * (torch.rand(weights.shape, generator=generator) > p).to(weights) / (1 - p)


DEFECTS = {
    "none at all": (lambda w, _: w, {"dropout_spread", "dropout_fresh"}),
    "no rescaling": (lambda w, p: torch.dropout(w, p, train=True) * (1 - p), {"dropout_rate", "dropout_unbiased"}),
    "twice the rate": (lambda w, p: torch.dropout(w, 2 * p, train=True), {"dropout_spread"}),
    "renormalised": (
        lambda w, p: torch.nn.functional.normalize(torch.dropout(w, p, train=True), p=1, dim=-1),
        {"dropout_spread"},
    ),
    "rows at a time": (rows_at_a_time, {"dropout_spread"}),
    "one mask for ever": (seeded, {"dropout_fresh"}),
}


def implementation(weights_after):
    def prepare(inputs):
        case = inputs.case
        hidden = ~visible(case)

        def call():
            k, v = (repeat_heads(x, case.groups) for x in dense_kv(inputs))
            scores = inputs.q @ k.transpose(-1, -2) * case.score_scale
            return Outputs(weights_after(scores.masked_fill(hidden, -torch.inf), v, case.dropout))

        return call

    return Implementation(name="planted", summary="", prepare=prepare, features=EVERYTHING | {"dropout"})


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_planted_defect_is_caught(defect):
    change, expected = DEFECTS[defect]
    planted = implementation(lambda scores, v, p: change(scores.softmax(-1), p) @ v)
    failed = {check.name for check in check_dropout(planted, parse_case(IDS[0])) if not check.ok}
    assert expected <= failed


def dropped_scores(scores, v, p):
    hidden = torch.where(torch.rand(scores.shape) < p, -torch.inf, scores)
    return hidden.softmax(-1).nan_to_num() @ v


def dropped_before_the_division(scores, v, p):
    exponents = scores.exp()
    return torch.dropout(exponents, p, train=True) / exponents.sum(-1, keepdim=True) @ v


def test_dropout_of_the_scores_is_caught_and_the_same_thing_written_otherwise_is_not():
    case = parse_case(IDS[0])
    assert not all(check.ok for check in check_dropout(implementation(dropped_scores), case))
    assert all(check.ok for check in check_dropout(implementation(dropped_before_the_division), case))


def test_a_backward_that_drops_others_is_caught():
    case = parse_case("b2-h4-s48-d16-causal-drop0.2-fp32-fwd+bwd")
    planted = implementation(lambda scores, v, p: Remasked.apply(scores.softmax(-1), v, p))
    failed = {check.name for check in check_dropout(planted, case) if not check.ok}
    assert failed == {"dropout_backward"}
    honest = replace(planted, prepare=find("masked_fill").prepare)
    assert all(check.ok for check in check_dropout(honest, case))


def test_a_check_judges_dropout_and_a_timing_is_verified_by_its_mean():
    case, oracle = parse_case(IDS[0]), Oracle()
    agreement = check(find("masked_fill"), case, oracle).agreement
    assert agreement.ok
    assert {one.name for one in agreement.checks} >= {"dropout_rate", "dropout_fresh"}
    planted = implementation(lambda scores, v, p: torch.dropout(scores.softmax(-1), p, train=True) @ v * (1 - p))
    assert [one.name for one in check(planted, case, oracle).agreement.failed_checks][0] == "dropout_rate"
    with Timer(find("masked_fill"), case, oracle, 0) as honest, Timer(planted, case, oracle, 0) as wrong:
        assert honest.verify().ok
        assert not wrong.verify().ok
