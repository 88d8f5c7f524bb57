"""Cases: ids that read back, and combinations that can't be built."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attnbench.impls.contract import (
    Blocks,
    Cache,
    Case,
    CaseError,
    Causal,
    Dense,
    Full,
    Packed,
    Padded,
    Paged,
    Prefix,
    Window,
    cost,
    parse_case,
)

few = st.integers(1, 12)
real = st.floats(1e-6, 1e6, allow_nan=False)
masks = st.one_of(
    st.just(Full()),
    st.just(Causal()),
    st.builds(Window, st.none() | few, st.none() | few),
    st.builds(Prefix, few),
    st.builds(Blocks, few, few, few, st.integers(0, 4), causal=st.booleans()),
)


@st.composite
def layouts(draw, batch, q_len, kv_len):
    """A layout that fits, with the shape it needs: (layout, batch, q_len, kv_len)."""
    fills = draw(st.lists(st.integers(0, kv_len), min_size=batch - 1, max_size=batch - 1))
    fills = tuple(draw(st.permutations([*fills, kv_len])))
    kind = draw(st.sampled_from(["dense", "padded", "packed", "cache", "paged"]))
    if kind == "packed":
        documents = draw(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=5))
        queries, keys = zip((q_len, kv_len), *documents, strict=True)
        return Packed(queries, keys), 1, sum(queries), sum(keys)
    layout = {
        "dense": Dense(),
        "padded": Padded(fills),
        "cache": Cache(kv_len + draw(st.integers(0, 9)), fills),
        "paged": Paged(draw(few), fills, draw(st.integers(0, 1))),
    }[kind]
    return layout, batch, q_len, kv_len


@st.composite
def cases(draw):
    layout, batch, q_len, kv_len = draw(layouts(draw(few), draw(few), draw(few)))
    kv_heads = draw(few)
    inference = isinstance(layout, Cache | Paged)
    return Case(
        batch=batch,
        q_heads=kv_heads * draw(st.integers(1, 8)),
        kv_heads=kv_heads,
        q_len=q_len,
        kv_len=kv_len,
        head_dim=draw(few),
        v_head_dim=draw(few),
        dtype=draw(st.sampled_from(["fp16", "bf16", "fp32"])),
        mask=draw(masks),
        layout=layout,
        scale=draw(st.none() | real),
        softcap=draw(st.none() | real),
        bias=draw(
            st.sampled_from(["none", "alibi"] if isinstance(layout, Packed) else ["none", "alibi", "additive"])
        ),
        sinks=draw(st.booleans()),
        dropout=draw(st.sampled_from([0.0, 0.1, 0.5])),
        direction="fwd" if inference else draw(st.sampled_from(["fwd", "bwd", "fwd+bwd"])),
        strides=draw(st.sampled_from(["bhmd", "bmhd"])),
    )


@settings(max_examples=2000, deadline=None)
@given(cases())
def test_an_id_and_the_json_of_a_case_read_back(case):
    assert parse_case(case.id) == case
    assert parse_case(case.id).id == case.id
    assert msgspec.json.decode(msgspec.json.encode(case), type=Case) == case


@settings(max_examples=2000, deadline=None)
@given(cases())
def test_cost_equals_a_count_by_hand(case):
    pairs, read = set(), set()
    for row, q_start, q_len, k_start, k_len, offset in case.segments:
        for i in range(q_len):
            for j in range(k_len):
                if case.mask.visible(i + offset, j):
                    pairs.add((row, q_start + i, k_start + j))
                    read.add((row, k_start + j))
    exact = cost(case)
    assert exact.pairs == len(pairs)
    width = {"fp16": 2, "bf16": 2, "fp32": 4}[case.dtype]
    products = {"fwd": 2, "bwd": 5, "fwd+bwd": 7}[case.direction]
    assert exact.flops == products * len(pairs) * case.q_heads * (case.head_dim + case.v_head_dim)
    rows = case.batch * case.q_len * case.q_heads
    q, out, lse = rows * case.head_dim * width, rows * case.v_head_dim * width, 4 * rows
    one_key = case.kv_heads * (case.head_dim + case.v_head_dim) * width
    bias = len(pairs) * case.q_heads * width if case.bias == "additive" else 0
    read_bytes = q + len(read) * one_key + bias
    forward = read_bytes + out + lse
    backward = read_bytes + out + out + lse + q + case.batch * case.kv_len * one_key
    assert exact.minimal_bytes == {"fwd": forward, "bwd": backward, "fwd+bwd": forward + backward}[case.direction]


def test_the_cost_of_a_known_case():
    # FlashAttention's benchmark says 4 * 512^2 * 64 * 16 * 8 / 2 here; the diagonal that it rounds off counts.
    case = parse_case("b8-h16-s512-d64-causal-fp16")
    assert cost(case).flops == 4 * (512 * 513 // 2) * 64 * 16 * 8
    assert cost(case).score_bytes == 8 * 16 * 512 * 512 * 2


def test_what_a_window_does_not_see_need_not_be_read():
    near = cost(parse_case("b1-h8-q1-k32768-d64-window:4095:0-bf16"))
    short = cost(parse_case("b1-h8-q1-k4096-d64-causal-bf16"))
    assert near.minimal_bytes == short.minimal_bytes
    assert near.input_bytes > short.input_bytes


def test_flops_stay_exact_beyond_the_integers_of_a_float():
    case = parse_case("b64-h128-s131071-d192-dv127-causal-bf16-fwd+bwd")
    pairs = 64 * 131071 * 131072 // 2
    assert cost(case).flops == 7 * pairs * 128 * 319
    assert cost(case).flops > 2**53


GOOD = {"q_heads": 4, "kv_heads": 2, "q_len": 8, "kv_len": 8, "head_dim": 16, "v_head_dim": 16}


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"q_len": 0}, "q_len must be a whole number, 1 or more"),
        ({"head_dim": 16.5}, "head_dim must be a whole number"),
        ({"kv_heads": 3}, "kv_heads 3 does not divide q_heads 4"),
        ({"dtype": "fp8"}, "'fp8' is not one of fp16, bf16, fp32"),
        ({"softcap": -1.0}, "softcap must be a positive number"),
        ({"softcap": float("nan")}, "softcap must be a positive number"),
        ({"scale": float("inf")}, "scale must be a positive number"),
        ({"dropout": 1.0}, "dropout must be at least 0 and below 1"),
        ({"layout": Cache(16, (8,)), "direction": "bwd"}, "a cache layout is for inference"),
        ({"layout": Cache(4, (8,))}, "over the cache's capacity"),
        ({"layout": Cache(16, (8, 8))}, "2 fills for a batch of 1"),
        ({"layout": Cache(16, (7,))}, "the longest is kv_len"),
        ({"layout": Paged(0, (8,))}, "a page holds 1 token or more"),
        ({"layout": Padded((9,))}, "between 0 and kv_len 8"),
        ({"layout": Padded((8, 8))}, "2 lengths for a batch of 1"),
        ({"layout": Packed((), ())}, "0 query lengths, 0 key lengths"),
        ({"layout": Packed((8,), (4, 4))}, "1 query lengths, 2 key lengths"),
        ({"layout": Packed((4, 5), (4, 5))}, "must add up to q_len 8"),
        ({"layout": Packed((4, 4), (4, 4)), "batch": 2}, "share one batch row"),
        ({"layout": Packed((4, 4), (4, 4)), "bias": "additive"}, "additive bias over packed documents"),
        ({"mask": Window(-1, 0)}, "sides of a window are 0 or more"),
        ({"mask": Prefix(-1)}, "a prefix is 0 keys or more"),
        ({"mask": Blocks(0)}, "the block size is 1 or more"),
    ],
)
def test_what_can_not_be_is_refused_with_the_rule_it_breaks(change, rule):
    with pytest.raises(CaseError) as refused:
        Case(**{**GOOD, **change})
    assert rule in str(refused.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("b1-h4-s8", "lacks head_dim"),
        ("b1-h4-s8-d16-casual-fp32", "'casual' is not a part of a case id"),
        ("b1-h4-s8-q9-d16", "says q_len a second time"),
        ("b1-h4-s8-d16-causal-full", "says mask a second time"),
        ("b1-h4-s8-d16-padded:", "'padded:' is not a part"),
        ("", "'' is not a part"),
    ],
)
def test_a_wrong_id_is_refused_by_the_part_that_is_wrong(text, told):
    with pytest.raises(CaseError) as refused:
        parse_case(text)
    assert told in str(refused.value)


@pytest.mark.parametrize(
    ("case_id", "phase"),
    [
        ("b1-h4-s8-d16-causal-fp32", "prefill"),
        ("b1-h4-q1-k8-d16-causal-fp32", "decode"),
        ("b1-h4-q2-k8-d16-causal-fp32", "chunk"),
        ("b1-h4-q8-k2-d16-full-fp32", "cross"),
        ("b1-h4-s8-d16-causal-packed:5/3-fp32", "prefill"),
        ("b1-h4-q2-k8-d16-causal-packed:1x2:5/3-fp32", "decode"),
        ("b1-h4-q6-k8-d16-causal-packed:5/1:5/3-fp32", "mixed"),
    ],
)
def test_the_phase_of_a_case(case_id, phase):
    assert parse_case(case_id).phase == phase
