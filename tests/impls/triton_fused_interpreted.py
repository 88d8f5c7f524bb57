"""What triton_fused computes, in Triton's interpreter.

Triton looks at TRITON_INTERPRET while it is imported, and other tests compile
real kernels: so this file is run by test_triton_fused.py in a process of its
own, or by hand: ``TRITON_INTERPRET=1 pytest tests/impls/triton_fused_interpreted.py``.
"""

import dataclasses

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from attnbench.bench.agreement.reference import reference
from attnbench.impls import triton_fused
from attnbench.impls.contract import Cache, Case, Inputs, Packed, Padded, Paged, parse_case
from attnbench.impls.contract.tensors import TORCH_DTYPES

CLOSE = {"fp32": 3e-6, "fp16": 2e-3, "bf16": 1.6e-2}
"""Error allowed at values of 1: some ulps of the dtype, far below what a wrong tile or scale costs."""


def tensor(generator, case, *shape):
    values = torch.randn(*shape, generator=generator).to(TORCH_DTYPES[case.dtype])
    return values.transpose(1, 2).contiguous().transpose(1, 2) if case.strides == "bmhd" else values


def make(case: Case, seed: int = 0) -> Inputs:
    """Random inputs; what lies beyond a length is NaN."""
    generator, layout, more = torch.Generator().manual_seed(seed), case.layout, {}
    rows, length = case.batch, case.kv_len
    if isinstance(layout, Cache):
        length = layout.capacity
    if isinstance(layout, Paged):
        pages = -(-case.kv_len // layout.page)
        rows, length = pages * case.batch + 2, layout.page
        order = torch.randperm(rows, generator=generator)[: pages * case.batch]
        more["block_table"] = order.reshape(case.batch, pages).int()
    q = tensor(generator, case, case.batch, case.q_heads, case.q_len, case.head_dim)
    k = tensor(generator, case, rows, case.kv_heads, length, case.head_dim)
    v = tensor(generator, case, rows, case.kv_heads, length, case.v_head_dim)
    if isinstance(layout, Packed):
        for name, lengths in (("cu_seqlens_q", layout.q_lengths), ("cu_seqlens_k", layout.kv_lengths)):
            more[name] = torch.tensor([0, *lengths]).cumsum(0).int()
    if isinstance(layout, Padded | Cache | Paged):
        lengths = layout.kv_lengths if isinstance(layout, Padded) else layout.fills
        more["kv_lengths"] = torch.tensor(lengths).int()
    if isinstance(layout, Padded | Cache):
        for row, real in enumerate(lengths):
            k[row, :, real:] = v[row, :, real:] = torch.nan
    if isinstance(layout, Paged):
        hide_beyond(layout, more["block_table"], k, v)
    if case.bias == "alibi":
        more["alibi_slopes"] = 2.0 ** -torch.arange(1, case.q_heads + 1).float()
    if case.bias == "additive":
        more["bias"] = tensor(generator, case, case.batch, case.q_heads, case.q_len, case.kv_len)
    if case.sinks:
        more["sinks"] = torch.randn(case.q_heads, generator=generator)
    if case.direction != "fwd":
        more["dout"] = tensor(generator, case, case.batch, case.q_heads, case.q_len, case.v_head_dim)
        q, k, v = (x.requires_grad_() for x in (q, k, v))
    return Inputs(case=case, q=q, k=k, v=v, **more)


def hide_beyond(layout, table, k, v):
    """NaN in every slot of the pool that no fill reaches."""
    reached = torch.zeros(k.shape[0], layout.page, dtype=torch.bool)
    for row, fill in enumerate(layout.fills):
        keys = torch.arange(fill)
        reached[table[row].long()[keys // layout.page], keys % layout.page] = True
    for x in (k, v):
        x.transpose(1, 2)[~reached] = torch.nan


def results(inputs: Inputs) -> dict[str, torch.Tensor]:
    outputs = triton_fused.IMPL.run(inputs)
    found = {"out": outputs.out, "lse": outputs.lse}
    if inputs.dout is not None:
        grads = torch.autograd.grad(outputs.out, (inputs.q, inputs.k, inputs.v), inputs.dout)
        found |= dict(zip(("dq", "dk", "dv"), grads, strict=True))
    return found


def agree(inputs: Inputs, found=None) -> None:
    __tracebackhide__ = True
    case, found = inputs.case, found or results(inputs)
    with torch.no_grad():
        oracle = reference(inputs)
    for name, value in found.items():
        expected = getattr(oracle, name)
        close = CLOSE["fp32" if name == "lse" else case.dtype]
        torch.testing.assert_close(
            value.double(),
            expected,
            rtol=2 * close,
            atol=2 * close,
            msg=lambda text, n=name: f"{case.id} {n}: {text}",
        )
        assert value.dtype == (torch.float32 if name == "lse" else TORCH_DTYPES[case.dtype])


TRAINED = [
    "b1-h2-s64-d16-full-fp32",
    "b2-h4-kv2-q50-k70-d16-causal-fp32",
    "b1-h2-q70-k50-d16-causal-fp32",
    "b1-h1-q1-k1-d16-causal-fp32",
    "b1-h2-s33-d5-causal-fp32",
    "b1-h1-s40-d20-dv40-causal-fp16",
    "b1-h1-s40-d40-dv8-full-bf16",
    "b1-h1-s70-d32-causal-bf16",
    "b1-h1-s130-d16-window:20:0-fp32",
    "b1-h1-s130-d16-window:50:40-fp32",
    "b1-h1-s100-d16-window:inf:10-fp32",
    "b1-h1-s100-d16-window:10:inf-fp32",
    "b1-h1-s100-d16-window:0:0-fp32",
    "b1-h1-q30-k130-d16-window:20:5-fp32",
    "b1-h1-q130-k30-d16-window:20:5-fp32",
    "b1-h1-s100-d16-prefix:40-fp32",
    "b1-h1-q70-k50-d16-prefix:10-fp32",
    "b3-h1-s70-d16-causal-padded:70/0/33-fp32",
    "b2-h1-q40-k70-d16-full-padded:64/33-fp32",
    "b1-h2-kv1-s100-d16-causal-packed:40/0/60-fp32",
    "b1-h1-q90-k100-d16-causal-packed:40/50:60/40-fp32",
    "b1-h1-q60-k50-d16-window:9:3-packed:30/30:50/0-sinks-fp32",
    "b1-h1-s70-d16-full-cap5-fp32",
    "b1-h1-s70-d16-causal-cap50-fp32",
    "b1-h2-s70-d16-causal-alibi-fp32",
    "b1-h2-s70-d16-full-packed:30/40-alibi-fp32",
    "b1-h4-kv2-s70-d16-causal-additive-fp32",
    "b2-h1-s40-d16-full-padded:33/20-additive-fp32",
    "b1-h2-q70-k50-d16-causal-sinks-fp32",
    "b1-h2-s70-d16-causal-scale0.3-fp32",
    "b2-h2-kv1-s50-d16-causal-bmhd-fp32",
    "b1-h2-kv1-s70-d16-window:20:0-cap5-alibi-sinks-fp32",
]

INFERRED = [
    "b2-h2-q20-k90-d16-causal-cache:128:90/70-fp32",
    "b2-h2-q20-k90-d16-causal-paged:16:90/70-fp32",
    "b2-h4-kv2-q1-k90-d16-causal-cache:128:90/70-fp32",
    "b3-h2-kv1-q1-k300-d16-causal-cache:400:300/70/0-fp32",
    "b2-h2-q1-k90-d16-full-paged:16:90/70-fp16",
    "b2-h4-kv2-q5-k90-d16-causal-paged:7:90/3-fp32",
    "b1-h4-kv2-q16-k90-d16-causal-paged:16:90-alibi-cap5-sinks-fp32",
    "b1-h16-kv2-q5-k90-d16-window:30:0-cache:128:90-sinks-fp32",
    "b1-h1-q12-k50-d16-prefix:45-fp32",
    "b2-h2-kv1-q3-k90-d16-causal-additive-fp32",
    "b2-h2-q3-k90-d16-causal-padded:90/70-additive-fp32",
    "b1-h2-q5-k3-d16-causal-sinks-fp32",
    "b1-h1-q1-k700-d16-full-bf16",
    "b1-h2-q2-k90-d24-dv40-causal-bmhd-fp32",
]


@pytest.mark.parametrize("case_id", TRAINED)
def test_forward_and_backward_agree(case_id):
    agree(make(parse_case(f"{case_id}-fwd+bwd")))


@pytest.mark.parametrize("case_id", INFERRED)
def test_inference_agrees(case_id):
    agree(make(parse_case(case_id)))


@settings(max_examples=15, deadline=None)
@given(st.data())
def test_any_lengths_and_masks_agree(data):
    queries, keys = (data.draw(st.integers(1, 75), label=name) for name in ("M", "N"))
    side = st.one_of(st.just("inf"), st.integers(0, 80))
    mask = data.draw(
        st.one_of(
            st.sampled_from(["full", "causal"]),
            st.builds(lambda left, right: f"window:{left}:{right}", side, side),
            st.integers(0, 80).map(lambda keys: f"prefix:{keys}"),
        ),
        label="mask",
    )
    direction = data.draw(st.sampled_from(["fwd", "fwd+bwd"]))
    agree(make(parse_case(f"b1-h1-q{queries}-k{keys}-d16-{mask}-fp32-{direction}")))


@pytest.mark.parametrize(
    ("block_m", "block_n", "qk_ahead"), [(16, 64, False), (64, 16, False), (16, 32, True), (32, 16, True)]
)
def test_the_tiles_do_not_matter(monkeypatch, block_m, block_n, qk_ahead):
    from attnbench.impls.triton_kernels import configs

    monkeypatch.setattr(configs, "INTERPRETED", configs.Config(block_m, block_n, 1, 1, qk_ahead=qk_ahead))
    agree(make(parse_case("b1-h1-s110-d16-window:60:0-fp32-fwd+bwd")))
    agree(make(parse_case("b1-h1-q70-k110-d16-causal-fp32-fwd+bwd")))
    agree(make(parse_case("b1-h1-q3-k110-d16-causal-cache:128:110-fp32")))


@pytest.mark.parametrize("case_id", ["b1-h4-kv2-s70-d16-causal-fp16-fwd+bwd", "b1-h4-kv2-q3-k200-d16-full-bf16"])
def test_the_same_inputs_give_the_same_bits(case_id):
    first, second = (results(make(parse_case(case_id))) for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_row_without_keys_is_zero_and_its_lse_is_minus_infinity():
    found = results(make(parse_case("b1-h1-q50-k20-d16-causal-fp32-fwd+bwd")))
    assert (found["out"][0, 0, :30] == 0).all()
    assert (found["dq"][0, 0, :30] == 0).all()
    assert (found["lse"][0, 0, :30] == -torch.inf).all()


def test_gradients_of_padding_are_zero():
    found = results(make(parse_case("b2-h1-s70-d16-full-padded:70/33-fp32-fwd+bwd")))
    assert all((found[name][1, :, 33:] == 0).all() for name in ("dk", "dv"))


@pytest.mark.parametrize(("length", "direction"), [(40, "fwd"), (40, "fwd+bwd"), (3, "fwd")])
def test_any_strides_are_read(length, direction):
    case = parse_case(f"b2-h2-q{length}-k50-d16-causal-fp32-{direction}")
    plain = make(case)
    q = torch.full((2, 16, length, 4), torch.nan)[..., ::2].permute(0, 3, 2, 1)  # head_dim has a stride
    k = torch.full((2, 2, 60, 20), torch.nan)[:, :, 7:57, 3:19]  # offset, with gaps
    v = torch.full((1, 1, 50, 16), torch.nan).expand(2, 2, 50, 16)  # all rows and heads share one memory
    with torch.no_grad():
        q.copy_(plain.q)
        k.copy_(plain.k)
        v[0, 0].copy_(plain.v[0, 0])
    if direction != "fwd":
        q, k, v = (x.requires_grad_() for x in (q, k, v))
    agree(dataclasses.replace(plain, q=q, k=k, v=v))


def test_large_scores_do_not_overflow():
    inputs = make(parse_case("b1-h1-s70-d16-causal-fp32-fwd+bwd"))
    inputs.q.data *= 60
    inputs.k.data *= 60
    found = results(inputs)
    oracle = reference(inputs)
    torch.testing.assert_close(found["out"].double(), oracle.out, rtol=1e-3, atol=1e-3)
    assert all(torch.isfinite(value).all() for value in found.values())


def test_inputs_are_left_as_they_were():
    inputs = make(parse_case("b1-h2-kv1-s40-d16-causal-alibi-sinks-fp32-fwd+bwd"))
    before = {name: value.detach().clone() for name, value in inputs.tensors().items()}
    results(inputs)
    assert all(torch.equal(before[name], value) for name, value in inputs.tensors().items())


def test_nothing_stands_behind_lse():
    inputs = make(parse_case("b1-h1-s20-d16-causal-fp32-fwd+bwd"))
    assert not triton_fused.IMPL.run(inputs).lse.requires_grad
