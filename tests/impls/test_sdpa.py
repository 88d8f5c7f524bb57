"""Each SDPA variant runs the backend that it names, and refuses rather than run another one."""

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from attnbench.bench.agreement.inputs import make_inputs
from attnbench.bench.registry.catalogue import find
from attnbench.impls.contract import parse_case

CASE = "b1-h4-kv2-s16-d8-causal-fp32"
CHUNK, PADDED = "b1-h4-kv2-q3-k16-d8-causal-fp32", "b2-h2-s8-d8-full-padded:8/3-alibi-bf16"
OPS = {
    "sdpa_math": "aten::_scaled_dot_product_attention_math",
    "sdpa_flash": "aten::_scaled_dot_product_flash_attention_for_cpu",
}


@pytest.mark.parametrize("name", OPS)
@pytest.mark.parametrize("case", [CASE, CHUNK, PADDED])
def test_the_forced_backend_is_the_one_that_runs(name, case):
    implementation, inputs = find(name), make_inputs(parse_case(case))
    with implementation.bound(inputs) as call, profile(activities=[ProfilerActivity.CPU]) as seen:
        call()
    ran = {event.key for event in seen.key_averages()} & set(OPS.values())
    assert ran == {OPS[name]}


@pytest.mark.parametrize(
    ("name", "case", "device", "words"),
    [
        ("sdpa_flash", "b1-h4-s16-d8-dv4-causal-fp32", "cpu", "v_head_dim equal to head_dim"),
        ("sdpa_flash", "b1-h4-s16-d8-window:3:0-bf16", "cuda", "takes no mask tensor"),
        ("sdpa_flash", "b1-h4-s16-d8-causal-fp32", "cuda", "takes fp16 and bf16"),
        ("sdpa_cudnn", "b1-h4-s16-d8-causal-fp32", "cuda", "takes fp16 and bf16"),
        ("sdpa_efficient", "b1-h4-kv2-s16-d8-causal-bf16", "cuda", "does not do gqa"),
        ("sdpa_efficient", CASE, "cpu", "runs on cuda, not on cpu"),
        ("sdpa_math", "b1-h4-s16-d8-causal-cap30-fp32", "cpu", "does not do softcap"),
    ],
)
def test_what_a_backend_cant_do_is_refused_with_the_reason(name, case, device, words):
    assert words in (find(name).supports(parse_case(case), device) or "")


def test_the_flash_backend_really_cant_do_what_is_refused():
    """If torch learns it, the refusal is out of date."""
    inputs = make_inputs(parse_case("b1-h4-s16-d8-dv4-causal-fp32"))
    with pytest.raises(RuntimeError, match="No available kernel"), find("sdpa_flash").bound(inputs) as call:
        call()


def test_the_context_leaves_no_backend_forced():
    before = torch.backends.cuda.math_sdp_enabled()
    find("sdpa_flash").run(make_inputs(parse_case(CASE)))
    assert torch.backends.cuda.math_sdp_enabled() == before
