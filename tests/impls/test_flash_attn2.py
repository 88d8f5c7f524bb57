"""The flash-attn package: refused with the way to enable it; what it computes is run in a process of its own."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from attnbench.bench.registry.catalogue import find
from attnbench.bench.registry.features import INTERPRETER, environment
from attnbench.impls.contract import parse_case

HERE = Path(__file__).parent
CASE = parse_case("b1-h2-s16-d16-causal-fp32")


def test_what_the_real_package_computes_in_the_interpreter():
    # Triton reads its variable once, at import: this process may hold real kernels already
    if importlib.util.find_spec("flash_attn") is None:
        reason = "flash-attn is not installed (tox -e flash-attn installs it and runs this)"
        assert not os.environ.get("ATTNBENCH_REQUIRE_FLASH_ATTN"), reason
        pytest.skip(reason)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", str(HERE / "flash_attn2_interpreted.py")],
        cwd=HERE.parents[1],
        env={**os.environ, **INTERPRETER, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:]
    assert "passed" in done.stdout


@pytest.mark.parametrize("missing", INTERPRETER)
def test_without_the_interpreter_the_reason_is_the_way_to_enable_it(missing, monkeypatch):
    for name, value in INTERPRETER.items():
        monkeypatch.setenv(name, value)
    assert find("flash_attn2").supports(CASE, "cpu") is None
    monkeypatch.delenv(missing)
    reason = find("flash_attn2").supports(CASE, "cpu")
    assert "set FLASH_ATTENTION_TRITON_AMD_ENABLE=TRUE TRITON_INTERPRET=1 before Python starts" in reason


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("b1-h2-s16-d16-window:3:0-fp32", "ignores a sliding window without a word"),
        ("b1-h2-s16-d16-full-cap3-fp32", "ignores a softcap without a word"),
        ("b1-h2-q1-k300-d16-full-paged:256:300-fp32", "ignores a block table without a word"),
        ("b1-h2-s16-d16-full-bf16", "multiplies bfloat16 by its raw bits"),
        ("b1-h2-s16-d16-causal-alibi-fp32", "asserts that ALiBi's slopes are on a GPU"),
    ],
)
def test_what_the_triton_backend_ignores_is_refused(text, words):
    with environment(interpreted=True):
        assert words in find("flash_attn2").supports(parse_case(text), "cpu")


def test_the_triton_backend_on_a_gpu_is_held_to_the_same():
    case = parse_case("b1-h2-s16-d16-window:3:0-fp16")
    with environment(interpreted=False):
        assert find("flash_attn2").supports(case, "cuda") is None
        os.environ["FLASH_ATTENTION_TRITON_AMD_ENABLE"] = "TRUE"  # put back at the end of the block
        assert "ignores a sliding window" in find("flash_attn2").supports(case, "cuda")
