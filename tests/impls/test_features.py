"""The feature matrix: each yes on a CPU is run and agrees, each no is refused before any work."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from attnbench.bench.agreement import check as checking
from attnbench.bench.agreement.oracle import Oracle
from attnbench.bench.case_run import why_wrong
from attnbench.bench.registry.catalogue import catalogue, why_unavailable
from attnbench.bench.registry.features import INTERPRETER, SPECIMENS, as_markdown, environment, row_of, word
from attnbench.impls.contract import Refusal, parse_case

ROOT = Path(__file__).parents[2]
NAMES = list(catalogue())
TOGETHER = [
    "b1-h4-kv2-q5-k16-d16-dv8-window:9:2-scale0.3-cap3-alibi-fp32-bmhd",
    "b1-h2-s16-d16-window:9:2-scale0.3-alibi-fp32",
    "b2-h4-kv2-s16-d16-prefix:4-padded:16/9-additive-bf16",
    "b1-h2-s16-d16-blocks:4:1:1:0:causal-packed:9/7-fp16",
    "b2-h4-kv2-q2-k16-d16-causal-cache:24:16/9-scale0.3-fp32-bmhd",
    "b2-h2-q3-k16-d16-dv8-full-cache:24:16x2-fp16",
    "b1-h4-kv2-q8-k4-d16-causal-fp32",
    "b2-h2-q1-k16-d16-full-paged:8:16/9-sinks-fp32",
    "b1-h2-s16-d16-causal-fp32-fwd+bwd",
]
"""Cases that have several features at once: whoever ignores one of them disagrees."""


def features_of(case):
    """Names of the matrix that a case shows, if it agrees."""
    found = set(case.features) | {case.dtype, case.mask.feature}
    ragged = case.layout.feature == "cache" and len(set(case.layout.fills)) > 1
    return found | ({"ragged cache"} if ragged else set()) | ({"empty rows"} if case.q_len > case.kv_len else set())


def proofs(implementation, row):
    """Cases that together have every feature that is a yes on a CPU."""
    left = {feature for feature, cell in row.cells["cpu"].items() if cell.reason is None}
    for text in [*TOGETHER, *(row.cells["cpu"][feature].case for feature in SPECIMENS)]:
        case = parse_case(text)
        if left & features_of(case) and implementation.supports(case, "cpu") is None:
            left -= features_of(case)
            yield case
    assert not left


@pytest.fixture(scope="module")
def oracle():
    return Oracle()


@pytest.mark.parametrize("name", NAMES)
def test_every_yes_on_a_cpu_was_run_and_agrees(name, oracle):
    implementation = catalogue()[name]
    row = row_of(implementation)
    if not any(cell.reason is None for cell in row.cells["cpu"].values()):
        pytest.skip("it claims nothing on a CPU")
    if row.interpreted and implementation.lacks("cpu"):
        pytest.skip("its claims on a CPU are run in Triton's interpreter, by the test below")
    if reason := why_unavailable(implementation, "cpu"):
        pytest.skip(reason)
    for case in proofs(implementation, row):
        agreement = checking.check(implementation, case, oracle, families=("normal",)).agreement
        assert agreement.ok, f"{case.id}: {why_wrong(agreement)}"


def test_every_yes_in_tritons_interpreter_was_run_and_agrees():
    names = [name for name in NAMES if row_of(catalogue()[name]).interpreted]
    selected = [f"{__file__}::test_every_yes_on_a_cpu_was_run_and_agrees[{name}]" for name in names]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-rs", *selected],
        cwd=ROOT,
        env={**os.environ, **INTERPRETER, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:]


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize("name", NAMES)
def test_every_no_is_refused_before_any_work(name, device, monkeypatch):
    def work(*arguments, **keywords):
        raise AssertionError("inputs were made for a case that is refused")

    monkeypatch.setattr(checking, "make_inputs", work)
    implementation = catalogue()[name]
    refused = [cell for cell in row_of(implementation).cells[device].values() if cell.reason is not None]
    with environment(interpreted=device == "cpu"):
        for cell in refused:
            with pytest.raises(Refusal):
                checking.check(implementation, parse_case(cell.case), Oracle(None, device))


def test_a_yes_that_is_wrong_is_found(oracle):
    """Whoever claims a window and ignores it does not pass."""
    honest, case = catalogue()["sdpa_math"], parse_case("b1-h2-s16-d16-window:5:2-fp32")
    ignored = parse_case("b1-h2-s16-d16-full-fp32")
    blind = replace(honest, prepare=lambda inputs: honest.prepare(replace(inputs, case=ignored)))
    assert not checking.check(blind, case, oracle, families=("normal",)).agreement.ok


def test_the_matrix_of_the_docs_is_up_to_date():
    rows = [row_of(one) for one in catalogue().values()]
    written = (ROOT / "docs" / "features.md").read_text()
    assert written == as_markdown(rows), "run: python -m bench list --features markdown > docs/features.md"


def test_words_of_the_matrix():
    rows = {name: row_of(catalogue()[name]) for name in ("flash_attn2", "flash_attn4", "masked_fill", "sdpa_flash")}
    assert word(rows["flash_attn2"], "causal") == "yes (interpreter)"
    assert word(rows["flash_attn2"], "window") == "CUDA"
    assert word(rows["flash_attn4"], "sinks") == "CUDA"
    assert word(rows["masked_fill"], "paged") == "yes"
    assert word(rows["sdpa_flash"], "v_head_dim") == "no"
    assert word(rows["sdpa_flash"], "window") == "CPU"
