"""The eager implementations can do every case that can be built, and do it as the oracle says."""

from itertools import product

import pytest

from attnbench.bench.agreement.inputs import make_inputs
from attnbench.bench.agreement.reference import reference
from attnbench.bench.registry.catalogue import find
from attnbench.bench.sweeps import load_sweep
from attnbench.impls.contract import CaseError, parse_case

EAGER = ("masked_fill", "additive_mask", "softmax_then_mask", "per_head_loop")
MASKS = ("full", "causal", "window:3:1", "window:2:0", "prefix:5", "blocks:3:1:1:0:causal", "blocks:2:0:0:2:full")
LAYOUTS = {
    "dense": "b2-h4-kv2-q7-k11-d8-dv6",
    "padded:11/4": "b2-h4-kv2-q7-k11-d8",
    "packed:3/4:5/6": "b1-h4-kv2-q7-k11-d8",
    "cache:16:11/4": "b2-h4-kv1-q3-k11-d8",
    "paged:4:11/4": "b2-h4-kv1-q3-k11-d8",
}
SCORES = ("", "-alibi", "-additive", "-cap5-sinks", "-scale0.5-cap3-alibi-sinks")


def cases():
    for mask, (layout, shape), scores in product(MASKS, LAYOUTS.items(), SCORES):
        placed = "" if layout == "dense" else f"-{layout}"
        try:
            yield parse_case(f"{shape}-{mask}{placed}{scores}-fp32")
        except CaseError:
            assert layout.startswith("packed")
            assert "additive" in scores


@pytest.mark.parametrize("name", EAGER)
def test_every_combination_is_as_the_oracle_says(name):
    found = list(cases())
    assert len(found) == len(MASKS) * (len(LAYOUTS) * len(SCORES) - 1)
    for case in found:
        assert find(name).supports(case, "cpu") is None
        inputs = make_inputs(case)
        out = find(name).run(inputs).out.double()
        error = float((out - reference(inputs).out).abs().max())
        assert error < 1e-4, case.id


@pytest.mark.parametrize("name", EAGER)
def test_nothing_of_the_broad_matrix_is_refused(name):
    for case in load_sweep("full").cases:
        assert find(name).supports(case, "cpu") is None


def test_who_refuses_gives_a_reason():
    refusals = [find("sdpa_flash").supports(case, "cpu") for case in load_sweep("full").cases]
    assert any(refusals)
    assert all(reason is None or len(reason) > 10 for reason in refusals)
