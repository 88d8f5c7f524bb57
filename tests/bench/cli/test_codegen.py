"""The command from its front door, on a small kernel of a user."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from attnbench.bench.cli.codegen import command
from attnbench.bench.records.marks import marks

PLAIN = Path(__file__).parents[1] / "codegen" / "plain_flash.py"
SMALL = """
[forward]
divisible = ["Q", "K", "V", "Out", "LSE", "q_len", "kv_len", "stride"]
signature = { Q = "*bf16", K = "*bf16", V = "*bf16", Out = "*bf16", LSE = "*fp32", scale = "fp32", q_len = "i32", \
kv_len = "i32", stride = "i32" }
constants = { D = 32, TILE_Q = 64, TILE_K = 32, CAUSAL = false }
options = { num_warps = 4, num_stages = 2 }
"""
LAUNCHER = """
import torch

from plain_flash import forward


def call():
    q, k, v, out = (torch.empty(1, 2, 256, 32, dtype=torch.bfloat16) for _ in range(4))
    sizes = {"CAUSAL": False, "D": 32, "TILE_Q": 64, "TILE_K": 32}
    forward[(4, 2)](q, k, v, out, torch.empty(1, 2, 256), 0.1, 256, 256, 32, **sizes, num_warps=4, num_stages=2)


def nothing():
    pass
"""


@pytest.fixture(scope="module", autouse=True)
def own_cache(tmp_path_factory):
    patch = pytest.MonkeyPatch()
    patch.setenv("ATTNBENCH_CODEGEN_CACHE", str(tmp_path_factory.mktemp("cache")))
    yield
    patch.undo()


@pytest.fixture(scope="module")
def kernel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("user")
    shutil.copy(PLAIN, folder)
    (folder / "plain_flash.toml").write_text(SMALL)
    return folder / "plain_flash.py"


def run(*arguments):
    return CliRunner().invoke(command, ["--target", "sm_80", *map(str, arguments)])


def test_the_tables_show_what_came_out_and_that_it_is_no_speed(kernel):
    result = run(f"{kernel}:forward")
    assert result.exit_code == 0, result.output
    for shown in (
        "plain_flash.py:forward for sm_80",
        "registers",
        "CTAs/SM",
        "HMMA",
        "not speeds",
        "Triton ",
        "ptxas ",
    ):
        assert shown in result.output
    for never in ("TFLOP", "faster", "slower"):
        assert never not in result.output


def test_json_holds_the_same_facts(kernel, tmp_path):
    assert run(f"{kernel}:forward", "--json", tmp_path / "facts.json").exit_code == 0
    (facts,) = json.loads((tmp_path / "facts.json").read_text())
    assert facts["tensor_class"] == "HMMA"
    assert facts["macs"] == 2 * 64 * 32 * 32
    printed = json.loads(run(f"{kernel}:forward", "--json", "-").stdout)
    assert printed == [facts]


def test_the_gate_passes_its_own_baseline_and_fails_a_worse_kernel(kernel, tmp_path):
    baseline = tmp_path / "baselines"
    without = run(f"{kernel}:forward", "--gate", baseline)
    assert without.exit_code == 2
    assert "--rebaseline" in without.output
    assert run(f"{kernel}:forward", "--gate", baseline, "--rebaseline").exit_code == 0
    assert run(f"{kernel}:forward", "--gate", baseline).exit_code == 0
    worse = tmp_path / "worse.toml"
    worse.write_text(SMALL.replace("num_stages = 2", "num_stages = 2, maxnreg = 40"))
    result = run(f"{kernel}:forward", "--config", worse, "--gate", baseline)
    assert result.exit_code == 1
    assert "FAIL plain_flash.py:forward/sm_80/forward: spills in the loop 0 -> " in result.output
    assert "loop: " in result.output


def test_a_configuration_that_is_gone_fails_the_gate(kernel, tmp_path):
    two = tmp_path / "two.toml"
    two.write_text(SMALL + "[[forward.variants]]\nname = 'forward'\n[[forward.variants]]\nname = 'second'\n")
    assert run(f"{kernel}:forward", "--config", two, "--gate", tmp_path, "--rebaseline").exit_code == 0
    result = run(f"{kernel}:forward", "--gate", tmp_path)
    assert result.exit_code == 1
    assert "second: configuration present -> gone" in result.output


def test_a_kernel_that_does_not_compile_is_a_fact_and_fails_the_gate(kernel, tmp_path):
    broken = kernel.parent / "broken.py"
    broken.write_text(
        kernel.read_text().replace("new = tl.maximum(m, tl.max(s, 1) * scale)", "new = undefined_name")
    )
    broken.with_suffix(".toml").write_text(SMALL)
    result = run(f"{broken}:forward")
    assert result.exit_code == 0
    assert "does not compile" in result.output
    assert "undefined_name" in result.output
    good = json.loads(run(f"{kernel}:forward", "--json", "-").stdout)[0]
    folder = tmp_path / "broken.py-forward"
    folder.mkdir()
    held = {"schema": 1, "group": "broken.py:forward", "target": "sm_80", "triton": good["triton"], "facts": []}
    (folder / f"sm_80-triton-{good['triton']}.json").write_text(json.dumps(held))
    assert run(f"{broken}:forward", "--gate", tmp_path).exit_code == 1


def test_explain_shows_pipes_source_lines_and_waits(kernel):
    output = run(f"{kernel}:forward", "--explain").output
    assert "main loop of all warps, 4 warps" in output
    assert "PRODUCT" in output
    assert "WAIT" in output
    assert "p = tl.math.exp2(s)" in output
    assert "by source line" in output


def test_diff_sets_two_files_side_by_side(kernel, tmp_path):
    run(f"{kernel}:forward", "--json", tmp_path / "a.json")
    other = tmp_path / "other.toml"
    other.write_text(SMALL.replace("num_stages = 2", "num_stages = 3"))
    run(f"{kernel}:forward", "--config", other, "--json", tmp_path / "b.json")
    output = run("--diff", tmp_path / "a.json", tmp_path / "b.json").output
    assert "num_stages=2" in output
    assert "num_stages=3" in output
    assert "loop: opcodes" in output


def test_a_call_is_recorded_as_triton_would_specialise_it(kernel):
    launcher = kernel.parent / "launcher.py"
    launcher.write_text(LAUNCHER)
    recorded, declared = (
        json.loads(run(name, "--json", "-").stdout)[0] for name in (f"{launcher}:call", f"{kernel}:forward")
    )
    assert recorded["config"] == "0-forward"
    assert recorded["sha256"] == declared["sha256"], "the same call, the same machine code"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nothing_like_it"], "unknown kernel 'nothing_like_it': there is triton_fused"),
        (["{kernel}:tiles"], "is a kernel: say its signature and constants in [tiles] of plain_flash.toml"),
        (["{kernel}:absent"], "has no 'absent'"),
        (["{folder}/none.py:f"], "there is no file"),
        (["{kernel}:forward", "--target", "sm_75"], "unknown target 'sm_75'"),
        (["{kernel}:forward", "--causal", "diagonal"], "say full, causal or both"),
        (["{kernel}:forward", "--head-dim", "many"], "not a list of numbers"),
        (["{kernel}:forward", "--diff", "git:no-such-revision", "."], "git archive says"),
        (["{kernel}:forward", "--config", "{folder}/none.toml"], "there is no file"),
        (["{folder}/launcher.py:nothing"], "launched no Triton kernel"),
    ],
)
def test_usage_errors_say_what_to_change_and_exit_with_2(kernel, arguments, said):
    (kernel.parent / "launcher.py").write_text(LAUNCHER)
    filled = [argument.format(kernel=kernel, folder=kernel.parent) for argument in arguments]
    result = run(*filled)
    assert result.exit_code == 2, result.output
    assert said in result.output


def test_a_toml_that_misses_a_parameter_is_told_which(kernel, tmp_path):
    file = tmp_path / "less.toml"
    file.write_text(SMALL.replace('scale = "fp32", ', ""))
    result = run(f"{kernel}:forward", "--config", file)
    assert result.exit_code == 2
    assert "it says nothing of scale" in result.output
    file.write_text(SMALL + "colour = 'red'\n")
    assert "has colour; known are" in run(f"{kernel}:forward", "--config", file).output


def test_the_cache_answers_for_what_did_not_change_and_only_for_that(kernel, tmp_path, monkeypatch):
    monkeypatch.setenv("ATTNBENCH_CODEGEN_CACHE", str(tmp_path))
    first = run(f"{kernel}:forward", "--json", "-").stdout
    (kept,) = tmp_path.glob("*.z")
    stamp = kept.stat().st_mtime_ns
    assert run(f"{kernel}:forward", "--json", "-").stdout == first
    assert [file.stat().st_mtime_ns for file in tmp_path.glob("*.z")] == [stamp]
    kept.write_bytes(b"damaged")
    assert run(f"{kernel}:forward", "--json", "-").stdout == first, "a damaged file is made again"
    other = tmp_path / "other.toml"
    other.write_text(SMALL.replace("num_stages = 2", "num_stages = 3"))
    run(f"{kernel}:forward", "--config", other)
    assert len(list(tmp_path.glob("*.z"))) == 2


def test_kernels_compile_where_the_interpreter_is_asked_for(kernel, monkeypatch):
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    assert run(f"{kernel}:forward", "--no-cache").exit_code == 0


def test_help_loads_no_triton_and_no_torch():
    code = "import sys, attnbench.bench.cli.codegen; print(sorted({'torch', 'triton'} & set(sys.modules)))"
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"


def test_the_projects_own_kernels_stand_beside_the_published_marks():
    result = run("triton_fused", "--head-dim", "64", "--causal", "full", "--marks")
    assert result.exit_code == 0, result.output
    assert "not speeds" in result.output
    assert "FlashAttention-2 128x128, 4 warps" in result.output
    assert "triton_fused forward" in result.output
    assert {mark.target for mark in marks()} == {"sm_80", "sm_90", "sm_100"}
