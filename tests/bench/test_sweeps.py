"""Sweeps: what a TOML file makes, what the command line changes, what a wrong file is told."""

import math
import re
from pathlib import Path

import pytest

from attnbench.bench.sweeps import SweepError, load_sweep, override_options, sweep_names
from attnbench.bench.sweeps.axes import AXES
from attnbench.bench.sweeps.models import presets
from attnbench.impls.contract import DTYPES, cost


@pytest.fixture
def write(tmp_path):
    def written(text, name="own.toml"):
        path = tmp_path / name
        path.write_text(text)
        return str(path)

    return written


def ids(sweep):
    return [case.id for case in sweep.cases]


def test_the_sweeps_that_come_along_can_be_built():
    assert sweep_names() == ["full", "peer8", "quick", "smoke", "trust"]
    for name in sweep_names():
        sweep = load_sweep(name)
        assert sweep.name == name
        assert sweep.description
        assert len(set(ids(sweep))) == len(sweep.cases)


def test_smoke_is_tiny_and_holds_every_sort():
    cases = load_sweep("smoke").cases
    assert max(cost(case).flops for case in cases) < 1e7
    features = frozenset().union(*(case.features for case in cases))
    assert {"causal", "gqa", "q_len != kv_len", "cache", "backward"} <= features
    assert {"fp32", "bf16"} <= {case.dtype for case in cases}
    assert any(case.mask.spec == "full" for case in cases)
    assert any(case.phase == "decode" for case in cases)


def test_quick_holds_the_models_it_promises_and_few_long_cases():
    cases = load_sweep("quick").cases
    shapes = {(case.q_heads, case.kv_heads, case.head_dim) for case in cases}
    assert shapes == {(32, 8, 128), (32, 32, 128), (28, 4, 128), (12, 12, 64)}
    assert sum(case.q_len >= 2048 for case in cases) <= 2
    assert {case.mask.spec for case in cases} == {"causal", "full"}


def test_peer8_is_the_shape_that_others_measure():
    assert ids(load_sweep("peer8")) == [f"b1-h4-s{n}-d64-causal-fp32" for n in (128, 256, 512, 1024)]


def test_full_holds_every_mask_layout_and_direction():
    features = frozenset().union(*(case.features for case in load_sweep("full").cases))
    assert {"causal", "window", "prefix", "blocks", "padded", "packed", "cache", "paged"} <= features
    assert {"gqa", "q_len != kv_len", "v_head_dim", "strided", "scale", "softcap", "alibi", "additive"} <= features
    assert {"sinks", "backward"} <= features


def test_a_product_takes_every_combination_and_a_zip_goes_side_by_side(write):
    sweep = load_sweep(
        write("""
        [[cases]]
        zip = ["q_heads", "head_dim"]
        q_heads = [2, 4]
        head_dim = [16, 32]
        q_len = "8:32:x2"
        """)
    )
    assert ids(sweep) == [f"b1-h{h}-s{n}-d{d}-causal-fp32" for h, d in ((2, 16), (4, 32)) for n in (8, 16, 32)]


def test_defaults_named_axes_and_includes(write):
    write('[defaults]\ndtype = "bf16"\n[[cases]]\nq_len = 4\n[limits]\nmemory = "1 GiB"', "base.toml")
    sweep = load_sweep(
        write("""
        description = "mine"
        include = "base.toml"
        implementations = ["a", "b"]
        [axes]
        short = [5, "1:9:+4"]
        [defaults]
        head_dim = 32
        [limits]
        seconds = "2 min"
        [[cases]]
        q_len = "@short"
        """)
    )
    assert ids(sweep) == ["b1-h8-s4-d64-causal-bf16"] + [f"b1-h8-s{n}-d32-causal-fp32" for n in (5, 1, 9)]
    assert sweep.implementations == ("a", "b")
    assert (sweep.limits.memory_bytes, sweep.limits.case_seconds) == (2**30, 120)


def test_cases_that_two_groups_share_are_there_once(write):
    assert len(load_sweep(write("[[cases]]\nq_len = [4, 8]\n[[cases]]\nq_len = [8, 16]")).cases) == 3


def test_what_is_too_large_is_left_out_with_a_reason(write):
    sweep = load_sweep(write('[limits]\nmemory = "1 MiB"\n[[cases]]\nq_len = [8, 4096]'))
    assert ids(sweep) == ["b1-h8-s8-d64-causal-fp32"]
    ((name, reason),) = sweep.skipped
    assert name == "b1-h8-s4096-d64-causal-fp32"
    assert "the limit is 1.00 MiB" in reason


def test_what_can_not_be_built_is_left_out_with_the_rule_it_breaks(write):
    sweep = load_sweep(write("[[cases]]\nq_heads = [6, 8]\ngqa = 4"))
    assert ids(sweep) == ["b1-h8-kv2-s512-d64-causal-fp32"]
    assert sweep.skipped == (("q_heads=6, gqa=4", "can't be built: gqa 4 does not divide q_heads 6"),)


def test_every_axis_can_be_overridden():
    sweep = load_sweep("peer8", {"q_len": "128:512:x2", "gqa": "1,4", "dtype": "bf16", "mask": "full"})
    assert ids(sweep) == [
        f"b1-h4-{kv}s{n}-d64-full-bf16" for n in (128, 256, 512) for kv in ("", "kv1-")
    ]  # the axes that are new come last and vary fastest


def test_an_override_displaces_what_says_the_same():
    assert {case.q_len for case in load_sweep("quick", {"q_len": "64"}).cases} == {64}
    heads = {(case.q_heads, case.kv_heads) for case in load_sweep("quick", {"model": "gpt2"}).cases}
    assert heads == {(12, 12)}
    assert load_sweep("peer8", {"batch_spec": "2q1k_3q1s2k"}).cases[0].phase == "mixed"


def test_limits_can_be_overridden():
    sweep = load_sweep("full", {"max_memory": "64 MiB", "max_seconds": "5"})
    assert sweep.limits.case_seconds == 5
    assert all(cost(case).score_bytes < 2**26 for case in sweep.cases)
    assert len(sweep.skipped) > 50


def test_options_alone_make_a_sweep():
    sweep = load_sweep(
        "options", {"model": "llama3-8b", "phase": "prefill,decode", "context": "8k", "dtype": "bf16"}
    )
    assert ids(sweep) == ["b1-h32-kv8-s8192-d128-causal-bf16", "b1-h32-kv8-q1-k8192-d128-causal-bf16"]


def test_there_is_an_option_for_every_field_of_a_case():
    keys = {option.key for option in override_options}
    declared = {"conventions"}  # by an implementation, no axis of a sweep
    fields = set(load_sweep("peer8").cases[0].__struct_fields__) - declared
    assert fields <= keys
    assert {"gqa", "model", "config", "phase", "context", "batch_spec", "max_memory", "max_seconds"} <= keys
    assert len({option.flag for option in override_options}) == len(override_options)


def test_every_dtype_is_taken():
    assert {case.dtype for case in load_sweep("options", {"dtype": ",".join(DTYPES)}).cases} == set(DTYPES)


@pytest.mark.parametrize(
    ("text", "place", "told"),
    [
        ("[[cases]]\nq_len = [8,", ":2:", "is no TOML"),
        ("[[cases]]\n\nq_lem = 8", ":3: q_lem: unknown key", "did you mean q_len?"),
        ("discription = 'x'", ":1: discription: unknown key", "did you mean description?"),
        ("[[cases]]\nq_len = 8\n[[cases]]\nq_len = -1", ":4: q_len:", "expected 1 or more"),
        ("[[cases]]\nq_len = 8\n[[cases]]\n# here\ndtype = 'fp8'", ":5: dtype: 'fp8'", "expected fp16, bf16, fp32"),
        ("[[cases]]\nq_len = '8:64:2'", ":2: q_len:", "expected START:END:xFACTOR or START:END:+STEP"),
        ("[[cases]]\nq_len = 8.5", ":2: q_len: 8.5 is a float", "expected a number, a size"),
        ("[[cases]]\nmask = 'causl'", ":2: mask: mask 'causl'", "window:LEFT:RIGHT"),
        ("[[cases]]\nmodel = 'llama'", ":2: model: there is no model 'llama'", "expected llama"),
        ("[[cases]]\nbatch_spec = '2x3'", ":2: batch_spec:", "2q2k_32q1s1k"),
        ("[[cases]]\ngqa = 2\nkv_heads = 2", ":2: gqa: gqa and kv_heads say the same", "expected one of them"),
        ("[[cases]]\nsinks = 'perhaps'", ":2: sinks:", "expected true or false"),
        ("[[cases]]\nscale = 'big'", ":2: scale: 'big' is no number", "expected a number or none"),
        ("[[cases]]\nq_len = '@odd'", ":2: q_len: there is no axis '@odd'", "[axes]"),
        ("[[cases]]\nq_len = [1, 2]\nbatch = [1, 2, 3]\nzip = ['q_len', 'batch']", ":4: zip:", "q_len 2, batch 3"),
        ("[[cases]]\nq_len = 1\nzip = ['q_len', 'kv_len']", ":3: zip: zip names 'kv_len'", "expected one of q_len"),
        ("[[cases]]\nq_len = 1\nzip = ['q_len', 'q_len']", ":3: zip:", "twice"),
        ("[[cases]]\nlayout = 'packd:3/4'", ":2: layout:", "packed:LENGTHS"),
        ("[limits]\nmemory = 'much'", ":2: memory: 'much'", "such as 4 GiB"),
        ("[limits]\nmemry = 1", ":2: memry: unknown key", "did you mean memory?"),
        ("[limits]\nseconds = 'soon'", ":2: seconds:", "such as 30"),
        ("include = 'nothing.toml'", ":1: include: there is no sweep 'nothing.toml'", "expected full, peer8"),
        ("[cases]\nq_len = 1", ":1: cases:", "expected [[cases]]"),
        ("cases = 3", ":1: cases:", "expected [[cases]]"),
        ("limits = 3", ":1: limits:", "expected a table"),
        ("[defaults]\ngqa = 2\nkv_heads = 2", ":2: gqa:", "say the same thing"),
        ("cases = [{q_len = 4}, {q_lem = 5}]", ":1: q_lem: unknown key", "did you mean q_len?"),
        ("[[cases]]\nq_len = 99999999999", ":2: q_len:", "expected at most 2147483648"),
        ("[[cases]]\nq_len = '1:99999999999:x2'", ":2: q_len:", "expected at most 2147483648"),
        ("[[cases]]\nq_len = []", ":2: q_len:", "expected at least one value"),
    ],
)
def test_a_wrong_file_is_told_with_line_key_and_what_was_expected(write, text, place, told):
    path = write(text)
    with pytest.raises(SweepError) as refused:
        load_sweep(path)
    assert str(refused.value).startswith(f"{path}{place}")
    assert told in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_circle_of_includes_is_refused(write):
    write("include = 'b.toml'", "a.toml")
    with pytest.raises(SweepError, match=r"circle \(b.toml -> a.toml -> b.toml\)"):
        load_sweep(write("include = 'a.toml'", "b.toml"))


def test_an_empty_sweep_is_refused(write):
    with pytest.raises(SweepError, match=r"own.toml: there is no case: expected \[\[cases\]\]"):
        load_sweep(write("description = 'nothing'"))
    with pytest.raises(SweepError, match=r"own.toml: every case is left out .* gqa 2 does not divide"):
        load_sweep(write("[[cases]]\nq_heads = 7\ngqa = 2"))


def test_an_unknown_name_offers_the_sweeps_there_are():
    with pytest.raises(SweepError, match="expected full, peer8, quick, smoke, trust"):
        load_sweep("quik")


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        ({"q_len": "1:9:2"}, "--q-len: '1:9:2' is no range"),
        ({"gqa": "2", "kv_heads": "2"}, "gqa and kv_heads say the same"),
        ({"gqa": "3"}, "gqa 3 does not divide q_heads 8"),
        ({"max_memory": "4 cats"}, "--max-memory: '4 cats'"),
        ({"colour": "red"}, "--colour: unknown option"),
        ({"model": "llama3"}, "--model: there is no model 'llama3': expected llama3-8b"),
        ({"phase": "decode", "q_len": "4"}, "phase and q_len say the same"),
        ({"mask": ""}, "--mask:"),
        ({"q_len": "1:100000000:+1"}, "has 100000000 values: expected at most 10000"),
    ],
)
def test_a_wrong_option_is_named(overrides, told):
    with pytest.raises(SweepError) as refused:
        load_sweep("options", overrides)
    assert told in str(refused.value)


def test_layout_forms_take_their_lengths_from_the_case():
    found = load_sweep(
        "options",
        {"batch": "3", "kv_len": "100", "q_len": "1", "layout": "padded:ragged,cache:x2,cache:128:ragged,paged:16"},
    )
    assert [case.layout.spec for case in found.cases] == [
        "padded:100/75/50", "cache:200:100x3", "cache:128:100/75/50", "paged:16:100x3",
    ]  # fmt: skip


def test_a_layout_with_lengths_says_the_shape():
    assert ids(load_sweep("options", {"layout": "packed:5/7"})) == ["b1-h8-s12-d64-causal-packed:5/7-fp32"]
    (case,) = load_sweep("options", {"layout": "cache:64:20/30", "q_len": "1"}).cases
    assert (case.batch, case.kv_len) == (2, 30)


def test_a_cost_is_a_number_for_every_case_of_the_broad_matrix():
    for case in load_sweep("full").cases:
        exact = cost(case)
        assert exact.flops > 0
        assert math.isfinite(exact.intensity_flops_per_byte)


def test_the_example_of_the_manual_can_be_built(write):
    manual = Path(__file__).parents[2] / "docs" / "sweeps.md"
    (example,) = re.findall(r"```toml\n(.*?)```", manual.read_text(), re.DOTALL)
    sweep = load_sweep(write(example))
    assert len(sweep.cases) > 20
    assert sweep.limits.case_seconds == 30


def test_the_manual_names_every_axis_and_model():
    text = (Path(__file__).parents[2] / "docs" / "sweeps.md").read_text()
    assert [name for name in (*AXES, *presets()) if f"`{name}`" not in text] == []
