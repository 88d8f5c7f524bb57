"""Packages that need a GPU, driven through stand-ins that have their signatures; the real ones where installed."""

import importlib
import importlib.util
import inspect
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from attnbench.bench.agreement.check import check
from attnbench.bench.agreement.inputs import make_inputs
from attnbench.bench.agreement.oracle import Oracle
from attnbench.bench.case_run import why_wrong
from attnbench.bench.registry.catalogue import find, unavailable
from attnbench.impls.contract import parse_case

PACKAGES = Path(__file__).parent / "packages"
MODULES = {
    "flash_attn2": "flash_attn.flash_attn_interface",
    "flash_attn3": "flash_attn_interface",
    "flash_attn4": "flash_attn.cute",
    "flashinfer": "flashinfer",
    "sageattention": "sageattention",
}
"""What each stand-in is imported as."""

DENSE = [
    "b2-h4-kv2-q5-k16-d64-causal-scale0.3-fp16-bmhd",
    "b1-h4-kv2-s16-d64-window:5:0-cap3-bf16",
    "b1-h2-q5-k16-d64-full-fp16",
]
PACKED = "b1-h4-kv2-q9-k16-d64-causal-packed:4/5:9/7-fp16"
CACHES = ["b2-h4-kv2-q3-k16-d64-causal-cache:24:16/9-scale0.3-fp16", "b2-h2-s16-d64-full-padded:16/9-fp16"]
PAGED = "b2-h4-kv2-q1-k300-d64-window:99:0-cap3-paged:256:300/9-fp16"
BACKWARD = "b1-h4-kv2-s16-d64-causal-fp16-fwd+bwd"
BOTH_SIDES = "b1-h2-q5-k16-d64-window:5:2-fp16"
EXPECTED = {
    "flash_attn2": [*DENSE, PACKED, *CACHES, PAGED, BACKWARD, BOTH_SIDES, "b2-h2-q5-k16-d64-causal-alibi-fp16",
                    "b1-h2-s16-d64-causal-packed:9/7-alibi-fp16", "b1-h2-q8-k4-d64-causal-fp16"],
    "flash_attn2_qkvpacked": ["b2-h2-s16-d64-causal-scale0.3-fp16", "b2-h2-s16-d64-window:5:2-alibi-fp16-fwd+bwd"],
    "flash_attn3": [*DENSE, PACKED, *CACHES, PAGED, BACKWARD, BOTH_SIDES],
    "flash_attn4": [*DENSE, PACKED, *CACHES, PAGED, BACKWARD, BOTH_SIDES, "b1-h2-s16-d64-dv32-causal-sinks-fp16",
                    "b2-h4-kv2-q3-k300-d64-causal-sinks-paged:256:300/9-fp16"],
    "flashinfer": [*DENSE, PACKED],
    "flashinfer_decode": [PAGED, "b3-h4-kv2-q1-k40-d64-causal-paged:8:40/9/16-scale0.3-fp16"],
    "sage": ["b1-h4-kv2-s200-d64-causal-scale0.1-fp16", "b2-h2-q70-k130-d128-full-fp16",
             "b1-h2-s150-d64-causal-bf16"],
}  # fmt: skip


def stand_in(name, monkeypatch):
    """Load a stand-in and put it where its package would be."""
    monkeypatch.syspath_prepend(str(PACKAGES))
    spec = importlib.util.spec_from_file_location(f"stand_in_{name}", PACKAGES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    parent, _, child = MODULES[name].rpartition(".")
    if parent:
        package = ModuleType(parent)
        package.__path__ = []
        setattr(package, child, module)
        monkeypatch.setitem(sys.modules, parent, package)
    monkeypatch.setitem(sys.modules, MODULES[name], module)
    return module


@pytest.fixture
def on_cpu(monkeypatch):
    """An implementation whose package is a stand-in, so that it runs on a CPU."""
    for variable in ("FLASH_ATTENTION_TRITON_AMD_ENABLE", "TRITON_INTERPRET"):
        monkeypatch.delenv(variable, raising=False)

    def make(name):
        one = find(name)
        stand_in({"sage": "sageattention"}.get(name, name.split("_qkv")[0].split("_decode")[0]), monkeypatch)
        if name.startswith("flash_attn2"):
            monkeypatch.setattr("attnbench.impls.flash_attn2.package", lambda: sys.modules[MODULES["flash_attn2"]])
        if name.startswith("flashinfer"):
            monkeypatch.setattr("attnbench.impls.flashinfer.WORKSPACE_BYTES", 1024)
        return replace(one, devices=("cpu",), lacks=None, refuses=lambda case, device: one.refuses(case, "cuda"))

    return make


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in EXPECTED.items() for text in texts])
def test_arguments_mean_what_the_package_says(name, text, on_cpu):
    case = parse_case(text)
    agreement = check(on_cpu(name), case, Oracle(), families=("normal",)).agreement
    assert agreement.ok, why_wrong(agreement)


def test_what_is_approximate_is_judged_as_it_declares_and_no_wider(on_cpu):
    sage, case = on_cpu("sage"), parse_case("b1-h2-s200-d64-causal-fp16")
    assert check(sage, case, Oracle()).agreement.ok
    assert not check(replace(sage, budget_factor=1.0), case, Oracle(), families=("normal",)).agreement.ok
    assert "approximate: judged against 16 times the budget" in " ".join(sage.notes("cuda"))


def test_sage_of_version_1_would_write_into_k(monkeypatch):
    package, k = stand_in("sageattention", monkeypatch), make_inputs(parse_case("b1-h2-s16-d64-full-fp32")).k
    before = k.clone()
    package.sageattn(k, k, k)
    assert not k.equal(before)


@pytest.mark.parametrize("name", MODULES)
def test_the_stand_in_has_the_signatures_of_the_installed_package(name, monkeypatch):
    requirement = find({"sageattention": "sage"}.get(name, name)).requires
    if reason := unavailable(requirement):
        pytest.skip(reason)
    real = importlib.import_module(MODULES[name])
    fake = stand_in(name, monkeypatch)
    for function_name, function in inspect.getmembers(fake, inspect.isfunction):
        if function_name != "int8":
            parameters = inspect.signature(getattr(real, function_name)).parameters
            assert list(parameters) == list(inspect.signature(function).parameters), function_name


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("flash_attn2", "b1-h2-s16-d64-full-fp32", "takes fp16 and bf16 on CUDA"),
        ("flash_attn2", "b2-h2-s16-d64-causal-padded:16/9-fp16", "aligned to each row's own length"),
        ("flash_attn2", "b1-h2-q1-k16-d64-full-paged:16:16-fp16", "multiple of 256"),
        ("flash_attn2_qkvpacked", "b1-h2-q5-k16-d64-full-fp16", "does not do q_len != kv_len"),
        ("flash_attn3", "b1-h2-s16-d60-full-fp16", "that 8 divides"),
        ("flash_attn3", "b1-h2-s16-d64-full-cap3-fp16-fwd+bwd", "no softcap"),
        ("flash_attn4", "b1-h2-s16-d256-full-fp16", "up to 128"),
        ("flashinfer", "b1-h2-s16-d80-full-fp16", "head_dim of 64, 128 or 256"),
        ("flashinfer", "b1-h2-s16-d64-window:5:2-fp16", "ends at the query's own position"),
        ("flashinfer_decode", "b1-h2-s16-d64-full-fp16", "needs q_len 1"),
        ("sage", "b1-h2-q5-k16-d64-causal-fp16", "as many queries as keys"),
        ("xformers", "b1-h4-kv2-s16-d64-full-fp16-fwd+bwd", "forward alone"),
        ("xformers", "b1-h2-q8-k4-d64-causal-fp16", "query without keys"),
    ],
)
def test_what_a_package_cant_do_is_refused_with_the_reason(name, text, words):
    assert words in (find(name).supports(parse_case(text), "cuda") or "")


XFORMERS = [
    "b1-h2-s16-d64-causal-fp16", "b1-h2-q5-k16-d64-window:5:2-fp16", "b1-h2-s16-d64-window:inf:2-fp16",
    "b1-h2-q9-k16-d64-causal-packed:4/5:9/7-fp16", "b2-h2-s16-d64-full-padded:16/9-fp16",
    "b2-h2-q3-k16-d64-causal-cache:24:16/9-fp16", "b2-h2-q3-k16-d64-full-cache:24:16/9-fp16",
]  # fmt: skip


@pytest.mark.parametrize("text", XFORMERS)
def test_the_bias_objects_of_the_real_xformers_hide_what_the_case_hides(text):
    """Its kernels need a GPU; its biases say what they mean without one."""
    import torch

    from attnbench.impls.contract.tensors import visible

    if reason := unavailable(find("xformers").requires):
        pytest.skip(reason)
    from attnbench.impls.xformers import attn_bias, held

    case = parse_case(text)
    inputs = make_inputs(case)
    q, k, _ = held(inputs)
    said = attn_bias(inputs).materialize((q.shape[1], k.shape[1])) == 0
    seen = visible(case).expand(case.batch, 1, -1, -1)[:, 0]
    wide = torch.nn.functional.pad(seen, (0, k.shape[1] * k.shape[0] // case.batch - case.kv_len))
    assert said.equal(wide[0] if len(wide) == 1 else torch.block_diag(*wide).bool())


def test_a_bias_tensor_of_xformers_is_aligned_and_whole():
    import torch

    from attnbench.impls.contract.tensors import visible
    from attnbench.impls.xformers import tensor_bias

    case = parse_case("b1-h2-q5-k13-d64-causal-alibi-fp16")
    bias = tensor_bias(make_inputs(case))
    assert bias.shape == (1, 2, 5, 13)
    assert bias.stride(2) % 8 == 0
    assert (bias == -torch.inf).equal(~visible(case).expand(1, 2, -1, -1))
