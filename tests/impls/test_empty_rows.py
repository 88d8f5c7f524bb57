"""Queries that see no key: found for every mask, and zero from every eager implementation."""

import pytest
import torch

from attnbench.bench.agreement.inputs import make_inputs
from attnbench.bench.agreement.reference import reference
from attnbench.bench.registry.catalogue import find
from attnbench.impls.contract import parse_case
from attnbench.impls.contract.tensors import has_empty_rows, visible

EAGER = ("masked_fill", "additive_mask", "softmax_then_mask", "per_head_loop")

IDS = [
    "b1-h2-q9-k4-d8-causal-fp32",
    "b2-h2-s12-d8-full-padded:12/0-fp32",
    "b1-h2-s12-d8-window:1:0-padded:5-fp32",
    # Blocks: the last queries stand beyond the padded keys, near blocks are gone, no first block.
    "b2-h2-s12-d8-blocks:2:0:0:0:causal-padded:12/3-fp32",
    "b1-h2-q12-k4-d8-blocks:2:1:0:0:full-fp32",
    "b1-h2-q5-k7-d8-causal-packed:3/2:7/0-fp32",
]


@pytest.mark.parametrize(
    "case_id", [*IDS, "b1-h2-s12-d8-causal-fp32", "b1-h2-s12-d8-blocks:2:0:1:0:causal-padded:3-fp32"]
)
def test_rows_without_a_key_are_found_exactly_where_they_are(case_id):
    case = parse_case(case_id)
    assert has_empty_rows(case) == bool((~visible(case).any(-1)).any())
    assert has_empty_rows(case) == (case_id in IDS)


@pytest.mark.parametrize("case_id", IDS)
@pytest.mark.parametrize("name", EAGER)
def test_an_empty_row_is_zero(name, case_id):
    case = parse_case(case_id)
    inputs = make_inputs(case)
    out = find(name).run(inputs).out
    empty = ~visible(case).any(-1).expand(case.batch, case.q_heads, -1)
    assert empty.any()
    assert (out[empty] == 0).all()
    torch.testing.assert_close(out.double(), reference(inputs).out, atol=1e-4, rtol=1e-4)
