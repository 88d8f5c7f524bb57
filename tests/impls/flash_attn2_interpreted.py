"""The real flash-attn package on a CPU, its Triton backend in the interpreter; run by test_flash_attn2.py."""

from dataclasses import replace

import pytest
import torch

from attnbench.bench.agreement.check import check
from attnbench.bench.agreement.inputs import make_inputs
from attnbench.bench.agreement.oracle import Oracle
from attnbench.bench.case_run import why_wrong
from attnbench.bench.registry.catalogue import find
from attnbench.impls.contract import parse_case
from attnbench.impls.flash_attn2 import package

CASES = [
    "b1-h2-s64-d32-causal-fp32",
    "b2-h4-kv2-q65-k130-d40-causal-fp32",
    "b1-h2-q48-k77-d32-full-fp16",
    "b1-h2-q12-k5-d32-causal-fp32",
    "b1-h4-kv2-q20-k26-d32-causal-packed:13/7:13/13-fp32",
    "b2-h4-kv1-q1-k96-d32-causal-cache:128:96/48-fp32",
    "b2-h2-s24-d32-full-padded:24/9-fp32",
    "b1-h4-kv2-s48-d32-causal-fp32-fwd+bwd",
    "b1-h2-s20-d32-causal-packed:13/7-fp32-fwd+bwd",
]


@pytest.mark.parametrize("text", CASES)
def test_it_agrees(text):
    agreement = check(find("flash_attn2"), parse_case(text), Oracle(), families=("normal",)).agreement
    assert agreement.ok, why_wrong(agreement)


@pytest.mark.parametrize("text", ["b1-h2-s48-d32-causal-fp16", "b1-h2-s48-d32-causal-fp32-fwd+bwd"])
def test_one_tensor_of_q_k_and_v_agrees(text):
    assert check(find("flash_attn2_qkvpacked"), parse_case(text), Oracle(), families=("normal",)).agreement.ok


@pytest.mark.parametrize(
    "text",
    [
        "b1-h2-s64-d32-window:9:0-fp32",
        "b1-h2-s64-d32-causal-cap1-fp32",
        "b1-h2-q1-k300-d32-full-paged:256:300-fp32",
    ],
)
def test_what_its_triton_backend_ignores_is_found_when_claimed(text):
    """Where this fails, the package has learned it: the refusal can go."""
    case, honest = parse_case(text), find("flash_attn2")
    assert "ignores" in honest.supports(case, "cpu")
    claiming = replace(honest, refuses=None)
    assert not check(claiming, case, Oracle(), families=("normal",)).agreement.ok


def test_its_triton_backward_is_wrong_where_dout_lies_differently_from_out():
    """Where this fails, the package has learned it: dout need not be laid out for it."""
    q, k, v = (
        x.transpose(1, 2).contiguous().requires_grad_()
        for x in make_inputs(parse_case(CASES[0])).tensors().values()
    )
    dout = torch.randn(1, 2, 64, 32, generator=torch.Generator().manual_seed(0)).transpose(1, 2)
    out = package().flash_attn_func(q, k, v, causal=True)
    as_out_lies, as_it_lies = (
        torch.autograd.grad(out, (q, k, v), x, retain_graph=True) for x in (dout.contiguous(), dout)
    )
    assert (as_out_lies[0] - as_it_lies[0]).abs().max() > 0.1
    assert as_out_lies[2].equal(as_it_lies[2])


def test_its_triton_decode_reads_beyond_the_fill_of_a_cache():
    """Where this fails, the package has learned it: the known limit can go."""
    case = parse_case("b2-h4-kv1-q1-k96-d32-causal-cache:128:96/48-fp32")
    agreement = check(find("flash_attn2"), case, Oracle(), families=("normal", "poison")).agreement
    assert agreement.ok
    assert [(limit.family, limit.seen) for limit in agreement.known_limits] == [("poison", True)]


def test_its_records_say_that_it_was_interpreted():
    assert "ran in Triton's interpreter" in " ".join(find("flash_attn2").notes("cpu"))
    assert "before the clock started" in " ".join(find("flash_attn2").notes("cuda"))
