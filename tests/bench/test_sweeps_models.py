"""Model presets with a source for each figure, and config.json files."""

import json
import math

import pytest

from attnbench.bench.sweeps import SweepError, load_sweep
from attnbench.bench.sweeps.axes import AXES
from attnbench.bench.sweeps.huggingface import read_config
from attnbench.bench.sweeps.models import model, presets

ISSUED = (
    "llama2-7b", "llama3-8b", "llama3-70b", "qwen2-7b", "mistral-7b", "gemma2-9b", "falcon-7b", "gpt2", "bert-base",
    "deepseek-v3", "stable-diffusion", "gpt-oss",
)  # fmt: skip

CONFIGS = {
    # As published beside the weights; only the keys that matter here.
    "llama2-7b": {"model_type": "llama", "hidden_size": 4096, "num_attention_heads": 32, "num_key_value_heads": 32},
    "llama3-8b": {"model_type": "llama", "hidden_size": 4096, "num_attention_heads": 32, "num_key_value_heads": 8},
    "llama3-70b": {"model_type": "llama", "hidden_size": 8192, "num_attention_heads": 64, "num_key_value_heads": 8},
    "qwen2-7b": {
        "model_type": "qwen2", "hidden_size": 3584, "num_attention_heads": 28, "num_key_value_heads": 4,
        "sliding_window": 131072, "use_sliding_window": False, "max_window_layers": 28, "num_hidden_layers": 28,
    },
    "mistral-7b": {
        "model_type": "mistral", "hidden_size": 4096, "num_attention_heads": 32, "num_key_value_heads": 8,
        "sliding_window": 4096,
    },
    "gemma2-9b": {
        "model_type": "gemma2", "hidden_size": 3584, "num_attention_heads": 16, "num_key_value_heads": 8,
        "head_dim": 256, "query_pre_attn_scalar": 256, "sliding_window": 4096, "attn_logit_softcapping": 50.0,
    },
    "falcon-7b": {
        "model_type": "falcon", "hidden_size": 4544, "num_attention_heads": 71, "multi_query": True, "alibi": False,
        "new_decoder_architecture": False, "num_kv_heads": 71,
    },
    "gpt2": {"model_type": "gpt2", "n_embd": 768, "n_head": 12},
    "bert-base": {"model_type": "bert", "hidden_size": 768, "num_attention_heads": 12},
    "deepseek-v3": {
        "model_type": "deepseek_v3", "hidden_size": 7168, "num_attention_heads": 128, "num_key_value_heads": 128,
        "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "v_head_dim": 128, "kv_lora_rank": 512,
        "rope_scaling": {"type": "yarn", "factor": 40, "mscale": 1.0, "mscale_all_dim": 1.0},
    },
    "gpt-oss": {
        "model_type": "gpt_oss", "hidden_size": 2880, "num_attention_heads": 64, "num_key_value_heads": 8,
        "head_dim": 64, "sliding_window": 128, "layer_types": ["sliding_attention", "full_attention"] * 12,
    },
}  # fmt: skip


@pytest.fixture
def write(tmp_path):
    def written(config):
        path = tmp_path / "config.json"
        path.write_text(config if isinstance(config, str) else json.dumps(config))
        return str(path)

    return written


def test_every_preset_names_a_source_for_each_figure():
    assert set(ISSUED) <= set(presets())
    for preset in presets().values():
        assert preset.url.startswith("https://")
        assert preset.figures.keys() == preset.sources.keys() <= AXES.keys()
        assert {"q_heads", "kv_heads", "head_dim", "mask"} <= preset.figures.keys()
        assert all(source.strip() for source in preset.sources.values())


@pytest.mark.parametrize("name", CONFIGS)
def test_a_preset_is_what_the_models_own_config_says(name, write):
    assert dict(read_config(write(CONFIGS[name])).figures) == dict(model(name).figures)


@pytest.mark.parametrize("name", ISSUED)
def test_every_preset_builds_cases(name):
    phase = model(name).phases[0]
    assert load_sweep("options", {"model": name, "phase": phase}).cases


def ids(**overrides):
    return [case.id for case in load_sweep("options", overrides).cases]


def test_known_shapes():
    assert ids(model="falcon-7b", context="1k") == ["b1-h71-kv1-s1024-d64-causal-fp32"]
    assert ids(model="stable-diffusion") == ["b1-h8-q4096-k77-d40-full-fp32"]
    assert ids(model="mistral-7b", phase="decode", context="8k") == ["b1-h32-kv8-q1-k8192-d128-window:4095:0-fp32"]
    assert ids(model="bert-base", context="8") == ["b4-h12-s8-d64-full-padded:8/7/6/4-fp32"]
    assert ids(model="llama3-8b", phase="chunk", context="4k", chunk="256") == [
        "b1-h32-kv8-q256-k4096-d128-causal-fp32"
    ]


def test_layers_that_differ_become_cases():
    assert ids(model="gemma2-9b", context="8k") == [
        "b1-h16-kv8-s8192-d256-window:4095:0-cap50-fp32", "b1-h16-kv8-s8192-d256-causal-cap50-fp32",
    ]  # fmt: skip
    assert ids(model="gpt-oss", phase="decode", context="1k") == [
        "b1-h64-kv8-q1-k1024-d64-window:127:0-sinks-fp32", "b1-h64-kv8-q1-k1024-d64-causal-sinks-fp32",
    ]  # fmt: skip


def test_latent_attention_has_a_scale_of_its_own_and_a_narrower_value():
    (case,) = load_sweep("options", {"model": "deepseek-v3", "context": "64"}).cases
    assert (case.head_dim, case.v_head_dim) == (192, 128)
    assert case.scale == pytest.approx(192**-0.5 * (0.1 * math.log(40) + 1) ** 2, rel=1e-5)


def test_an_axis_beside_a_model_takes_the_place_of_its_figure():
    assert ids(model="llama3-8b", gqa="1", context="64") == ["b1-h32-s64-d128-causal-fp32"]
    assert ids(model="gemma2-9b", mask="full", softcap="none", context="64") == ["b1-h16-kv8-s64-d256-full-fp32"]


def test_a_phase_that_a_model_does_not_have_is_left_out_with_a_reason():
    sweep = load_sweep("options", {"model": "bert-base,gpt2", "phase": "prefill,decode", "context": "64"})
    assert len(sweep.cases) == 3
    assert sweep.skipped == (
        (
            "model=bert-base, phase=decode, context=64",
            "can't be built: bert-base has no phase decode, only prefill",
        ),
    )


def test_a_config_on_disk_makes_a_sweep(write):
    path = write(CONFIGS["llama3-8b"])
    assert ids(config=path, phase="decode", context="8k", dtype="bf16") == ["b1-h32-kv8-q1-k8192-d128-causal-bf16"]


@pytest.mark.parametrize(
    ("config", "figures"),
    [
        (
            {"model_type": "gemma3", "text_config": {
                "model_type": "gemma3_text", "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256,
                "sliding_window": 1024, "query_pre_attn_scalar": 168,
            }},
            {"mask": ("window:1023:0", "causal"), "scale": (0.0771517,)},
        ),
        ({"model_type": "mpt", "n_heads": 16, "d_model": 2048, "attn_config": {"alibi": True, "kv_n_heads": 4}},
         {"bias": ("alibi",), "kv_heads": (4,), "head_dim": (128,)}),
        ({"model_type": "bloom", "n_head": 8, "hidden_size": 64}, {"bias": ("alibi",)}),
        ({"model_type": "falcon", "num_attention_heads": 128, "hidden_size": 8192, "multi_query": True,
          "new_decoder_architecture": True, "num_kv_heads": 8}, {"kv_heads": (8,)}),
        ({"model_type": "modernbert", "num_attention_heads": 12, "hidden_size": 768, "local_attention": 128},
         {"mask": ("window:64:64", "full")}),
        ({"model_type": "qwen2", "num_attention_heads": 4, "hidden_size": 64, "sliding_window": 32,
          "use_sliding_window": True, "max_window_layers": 2, "num_hidden_layers": 6},
         {"mask": ("window:31:0", "causal")}),
        ({"model_type": "chatglm", "num_attention_heads": 32, "hidden_size": 4096, "kv_channels": 128,
          "multi_query_attention": True, "multi_query_group_num": 2}, {"kv_heads": (2,), "head_dim": (128,)}),
        ({"model_type": "granite", "num_attention_heads": 4, "hidden_size": 64, "attention_multiplier": 0.015625},
         {"scale": (0.015625,)}),
    ],
)  # fmt: skip
def test_what_families_say_in_their_own_words(config, figures, write):
    found = read_config(write(config)).figures
    assert {name: found[name] for name in figures} == figures


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ("{", "config.json:1: is no JSON"),
        ("[1]", "holds a list"),
        ({}, "there is no num_attention_heads: expected it, or n_head"),
        ({"num_attention_heads": "32"}, "num_attention_heads is '32': expected a whole number"),
        ({"num_attention_heads": 32}, "there is no hidden_size"),
        (
            {"num_attention_heads": 5, "hidden_size": 64},
            "hidden_size is 64: expected a multiple of num_attention_heads",
        ),
        (
            {"num_attention_heads": 4, "hidden_size": 64, "attn_logit_softcapping": "x"},
            "attn_logit_softcapping is 'x'",
        ),
        ({"num_attention_heads": 4, "hidden_size": 64, "is_encoder_decoder": True}, "three kinds of attention"),
        (
            {"num_attention_heads": 4, "hidden_size": 64, "layer_types": ["linear_attention"]},
            "layer_types has 'linear_attention': expected full_attention or sliding_attention",
        ),
        (
            {"num_attention_heads": 4, "hidden_size": 64, "qk_nope_head_dim": 128},
            "there is no qk_rope_head_dim",
        ),
    ],
)
def test_a_config_that_can_not_be_understood_is_told_by_its_key(config, told, write):
    with pytest.raises(SweepError) as refused:
        read_config(write(config))
    assert told in str(refused.value)


def test_a_config_that_is_not_there_is_told():
    with pytest.raises(SweepError, match=r"nowhere.json: can't be read"):
        load_sweep("options", {"config": "nowhere.json"})
