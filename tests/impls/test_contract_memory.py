"""Memory that a cost speaks of is the memory of the tensors that are made."""

import pytest

from attnbench.bench.agreement.inputs import make_inputs
from attnbench.impls.contract import Paged, cost, parse_case
from attnbench.impls.contract.tensors import repeat_heads

UNUSED_PAGES = 2
"""The inputs' pool has two pages that no row uses."""

IDS = [
    "b2-h4-kv2-s9-d8-causal-fp32",
    "b2-h4-q5-k9-d8-dv6-full-bf16",
    "b2-h4-kv2-s9-d8-full-padded:9/4-fp16",
    "b1-h4-kv2-q7-k9-d8-causal-packed:5/2:6/3-fp32",
    "b2-h4-kv1-q1-k9-d8-causal-cache:32:9/3-bf16",
    "b2-h4-kv1-q1-k9-d8-dv6-causal-paged:4:9/3-fp32",
    "b2-h4-s9-d8-causal-additive-fp32",
    "b2-h4-kv2-s9-d8-dv6-causal-bf16-bwd",
    "b2-h4-kv2-s9-d8-causal-additive-fp32-fwd+bwd",
]


def size(*tensors):
    return sum(x.numel() * x.element_size() for x in tensors if x is not None)


@pytest.mark.parametrize("case_id", IDS)
def test_input_bytes_are_those_of_the_tensors(case_id):
    case = parse_case(case_id)
    inputs = make_inputs(case)
    unused = 0
    if isinstance(case.layout, Paged):
        unused = sum(size(x[:UNUSED_PAGES]) for x in (inputs.k, inputs.v))
    assert cost(case).input_bytes == size(inputs.q, inputs.k, inputs.v, inputs.bias, inputs.dout) - unused


def test_score_bytes_are_those_of_the_score_matrix():
    case = parse_case("b2-h4-kv2-q5-k9-d8-causal-bf16")
    inputs = make_inputs(case)
    scores = inputs.q @ repeat_heads(inputs.k, case.groups).transpose(-1, -2)
    assert cost(case).score_bytes == size(scores)


@pytest.mark.parametrize("direction", ["fwd", "bwd"])
def test_output_bytes_are_those_of_out_lse_and_gradients(direction):
    case = parse_case(f"b2-h4-kv2-q5-k9-d8-dv6-causal-bf16-{direction}")
    inputs = make_inputs(case)
    out_and_lse = 2 * 4 * 5 * (6 * 2 + 4)
    gradients = size(inputs.q, inputs.k, inputs.v) if direction == "bwd" else 0
    assert cost(case).output_bytes == out_and_lse + gradients
