"""Configurations, builds and tuning of the Triton kernels: all of it without a GPU."""

import pytest
import triton
from triton.backends.compiler import GPUTarget
from triton.runtime.errors import OutOfResources

from attnbench.impls.contract import parse_case
from attnbench.impls.triton_kernels import configs, tuning
from attnbench.impls.triton_kernels.build import build, builds, options, source
from attnbench.impls.triton_kernels.configs import LAST_RESORT, Config

pytestmark = pytest.mark.skipif(
    triton.knobs.runtime.interpret, reason="under TRITON_INTERPRET=1 there are no kernels to compile"
)

TENSOR_INSTRUCTION = {80: "mma.sync", 90: "wgmma.mma_async", 100: "tcgen05.mma", 120: "mma.sync"}
FEATURES = {
    "bias": {"bias": "*bf16", "stride_bb": "i32", "stride_bh": "i32", "stride_bm": "i32", "stride_bn": "i32"},
    "all others": {"alibi_slopes": "*fp32", "softcap": "fp32", "left": "i32"},
}


def compiled(one):
    capability = int(one.name.split("-sm")[1].split("-")[0])
    return triton.compile(source(one), target=GPUTarget("cuda", capability, 32), options=options(one))


@pytest.mark.parametrize("capability", TENSOR_INSTRUCTION)
def test_the_forward_compiles_to_the_tensor_instruction_of_its_architecture(capability):
    one = build("forward", f"sm_{capability}", 64, "bf16", causal=True)
    result = compiled(one)
    assert TENSOR_INSTRUCTION[capability] in result.asm["ptx"]
    assert result.metadata.shared <= configs.limit(capability)


@pytest.mark.parametrize("phase", ["backward_dq", "backward_dkv", "decode"])
def test_every_phase_compiles(phase):
    assert "mma.sync" in compiled(build(phase, "sm_80", 64, "bf16", causal=True)).asm["ptx"]


@pytest.mark.parametrize("feature", FEATURES)
def test_every_score_change_compiles_forward_and_backward(feature):
    # the interpreter takes Python that the compiler refuses: None in a loop, a name of two types
    for phase in ("forward", "backward_dkv"):
        assert compiled(build(phase, "sm_80", 64, "bf16", causal=True, present=FEATURES[feature]))


@pytest.mark.parametrize(
    ("phase", "layout", "present"),
    [
        ("decode", "filled", {"block_table": "*i32", "kv_lengths": "*i32", "page_size": "i32", "stride_tb": "i32"}),
        ("forward", "packed", {"cu_seqlens_q": "*i32", "cu_seqlens_k": "*i32"}),
        ("backward_dkv", "packed", {"cu_seqlens_q": "*i32", "cu_seqlens_k": "*i32"}),
        ("backward_dq", "padded", {"kv_lengths": "*i32"}),
    ],
)
def test_every_layout_compiles(phase, layout, present):
    one = build(phase, "sm_80", 64, "bf16", causal=True, present=present, constants={"LAYOUT": layout})
    assert compiled(one)


def test_builds_have_names_of_their_own_and_complete_signatures():
    found = builds("sm_90")
    assert len({one.name for one in found}) == len(found) == 16
    assert "forward-sm90-d128-causal-bf16-128x128-w8-s2" in {one.name for one in found}
    for one in found:
        assert list(one.signature) == list(one.kernel.arg_names)
        assert set(one.constants) == {name for name, kind in one.signature.items() if kind == "constexpr"}


@pytest.mark.parametrize("capability", configs.SHARED_BYTES)
@pytest.mark.parametrize("phase", configs.PHASES)
def test_candidates_have_reasons_and_stay_within_shared_memory(phase, capability):
    for width in (16, 64, 128, 256):
        found = configs.candidates(phase, capability, width, 2)
        assert found
        assert all(c.reason for c in found)
        assert all(configs.shared_bytes(phase, c, capability, width, 2) <= configs.limit(capability) for c in found)


def test_an_old_gpu_is_refused():
    with pytest.raises(ValueError, match=r"below 8\.0"):
        configs.candidates("forward", 75, 64, 2)


@pytest.fixture
def timed(monkeypatch):
    """Times by configuration; one that is missing has no room."""
    times = {}

    def milliseconds(call):
        config = call.args[0]
        if config not in times:
            raise OutOfResources(300000, 200000, "shared memory")
        return times[config]

    monkeypatch.setattr(tuning, "_milliseconds", milliseconds)
    monkeypatch.setattr(tuning, "_CHOSEN", {})
    return times


KEY = tuning.Key.of("forward", 90, parse_case("b1-h2-s128-d64-causal-bf16"))
SLOW, FAST, LARGE = Config(64, 64, 4, 2), Config(128, 64, 4, 2), Config(256, 256, 8, 2)


def test_the_fastest_is_chosen_once_and_said(timed):
    timed |= {SLOW: 2.0, FAST: 1.0}
    assert tuning.pick(KEY, (SLOW, FAST, LARGE), print) is FAST
    timed.clear()
    assert tuning.pick(KEY, (SLOW,), print) is FAST
    (name,) = tuning.chosen()
    assert name.startswith("forward sm90 d64 bf16 causal")
    assert tuning.chosen()[name] == "128x64-w4-s2"


@pytest.mark.usefixtures("timed")
def test_where_nothing_fits_the_smallest_tiles_remain():
    assert tuning.pick(KEY, (LARGE,), print) is LAST_RESORT
