"""A step over a cache writes the new keys before it reads, into a cache of its own."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from attnbench.bench.agreement.inputs import make_inputs
from attnbench.bench.agreement.reference import reference
from attnbench.bench.registry.catalogue import find
from attnbench.impls.contract import parse_case
from attnbench.impls.kv_cache import step_of

CASE = parse_case("b2-h4-kv2-q3-k16-d8-causal-cache:24:16x2-fp32")
RAGGED = parse_case("b2-h4-kv2-q3-k16-d8-causal-cache:24:16/9-fp32")


def test_the_cache_lacks_what_the_step_brings():
    inputs = make_inputs(RAGGED)
    step = step_of(inputs)
    assert step.places.tolist() == [[13, 14, 15], [6, 7, 8]]
    assert step.start_pos is None
    for row, start in enumerate((13, 6)):
        assert not step.cache_k[row, start : start + 3].any()
        assert step.new_k[row].equal(inputs.k[row, :, start : start + 3].transpose(0, 1))
    step.cache_k.fill_(7)
    assert not (inputs.k == 7).all()


@pytest.mark.parametrize("name", ["kv_cache", "kv_cache_sdpa"])
def test_the_result_depends_on_what_the_call_writes(name, monkeypatch):
    true = reference(make_inputs(CASE), torch.arange(3)).out.float()
    assert torch.allclose(find(name).run(make_inputs(CASE)).out, true, atol=1e-5)

    def forgetful(inputs):
        step = step_of(inputs)
        return replace(step, new_k=torch.zeros_like(step.new_k), new_v=torch.zeros_like(step.new_v))

    monkeypatch.setattr("attnbench.impls.kv_cache.step_of", forgetful)
    assert not torch.allclose(find(name).run(make_inputs(CASE)).out, true, atol=0.1)


@settings(max_examples=20, deadline=None)
@given(
    fills=st.lists(st.integers(3, 12), min_size=2, max_size=2),
    room=st.integers(0, 5),
    mask=st.sampled_from(["causal", "full", "window:4:0", "prefix:2"]),
)
def test_any_fills_agree(fills, room, mask):
    longest = max(fills)
    case = parse_case(f"b2-h4-kv2-q3-k{longest}-d8-{mask}-cache:{longest + room}:{fills[0]}/{fills[1]}-fp32")
    inputs = make_inputs(case)
    true = reference(inputs, torch.arange(3)).out.float()
    for name in ("kv_cache", "kv_cache_sdpa"):
        if find(name).supports(case, "cpu") is None:
            assert torch.allclose(find(name).run(inputs).out, true, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("kv_cache", "b1-h2-s16-d8-causal-fp32", "needs a layout cache"),
        ("kv_cache", RAGGED.id, "start_pos is one number for the whole batch"),
        ("kv_cache_sdpa", "b1-h2-q9-k8-d8-causal-cache:9:8-fp32", "q_len is over a fill"),
        ("kv_cache", "b1-h2-q1-k8-d8-causal-cache:9:8-cap3-fp32", "does not do softcap"),
    ],
)
def test_what_is_no_such_step_is_refused(name, text, words):
    assert words in find(name).supports(parse_case(text), "cpu")
