"""Triton kernels of a user's without a GPU: the interpreter is switched on for them, and its bfloat16 is mended."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from attnbench.bench.registry.loading import in_words
from attnbench.bench.registry.triton_files import imports_triton, interpreter_variables

ROOT = Path(__file__).parents[2]
CASES = ("b1-h2-q9-k40-d16-causal-fp32", "b1-h4-kv2-s40-d16-causal-bf16")
PRODUCT = """
import os, sys, torch
if "late" in sys.argv:
    import triton
if "mended" in sys.argv:
    from attnbench.bench.workers import interpreter
    interpreter.start()
import triton, triton.language as tl
@triton.jit
def kernel(A, B, Product, Sum, N: tl.constexpr, ALL: tl.constexpr):
    place = tl.arange(0, N)[:, None] * N + tl.arange(0, N)[None, :]
    a, b = tl.load(A + place), tl.load(B + place)
    tl.store(Product + place, tl.dot(a, b))
    if ALL:
        tl.store(Sum + place, tl.where(a < b, a * 0.3 + b, -b))
draws = torch.Generator().manual_seed(0)
a, b = (torch.randn(32, 32, generator=draws).bfloat16() for _ in "ab")
product, total = torch.empty(32, 32), torch.empty(32, 32, dtype=torch.bfloat16)
kernel[(1,)](a, b, product, total, 32, "mended" in sys.argv)
wanted = torch.where(a < b, a * torch.tensor(0.3).bfloat16() + b, -b)
print(float((product.double() - a.double() @ b.double()).abs().max()), torch.equal(total, wanted))
"""


def product(*words, **environment):
    """The error of a bfloat16 product in a process of its own, and whether sums and comparisons have torch's bits."""
    run = [sys.executable, "-c", PRODUCT, *words]
    done = subprocess.run(
        run, cwd=ROOT, capture_output=True, text=True, check=False, env={"PYTHONPATH": str(ROOT), **environment}
    )
    assert done.returncode == 0, done.stderr
    error, same = done.stdout.split()
    return float(error), same == "True"


def test_triton_itself_multiplies_the_raw_bits_of_bfloat16():
    assert product(TRITON_INTERPRET="1")[0] > 1e6


@pytest.mark.parametrize("words", [("mended",), ("mended", "late")], ids=["first", "after triton was imported"])
def test_the_mended_product_accumulates_in_float32_and_the_rest_has_torchs_bits(words):
    error, same = product(*words)
    assert error < 3e-6
    assert same


def test_check_switches_the_interpreter_on_and_says_so(bench):
    asked = [word for case in CASES for word in ("--case", case)]
    done = bench("check", "--impl", "tests/kernels/tutorial_triton.py:attention", *asked, "--json", "/dev/stderr")
    rows = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
    assert done.returncode == 0, done.stdout + done.stderr
    assert [row["status"] for row in rows] == ["PASSED", "PASSED"]
    assert "active drivers" not in done.stdout + done.stderr
    assert "ran in Triton's interpreter: TRITON_INTERPRET=1 was set in its process" in done.stdout
    plain, mended = ("; ".join(row["notes"]) for row in rows)
    assert "raw bits of bfloat16: mended here" in mended
    assert "raw bits" not in plain
    assert "not timed: it ran in Triton's interpreter" in plain


def test_a_file_that_imports_triton_is_known_without_running_it(tmp_path):
    (tmp_path / "kernels").mkdir()
    (tmp_path / "kernels" / "__init__.py").write_text("")
    (tmp_path / "kernels" / "flash.py").write_text("def f():\n    import triton.language as tl\n")
    (tmp_path / "far.py").write_text("from kernels import flash\nraise SystemExit\n")
    (tmp_path / "none.py").write_text("import torch, math  # triton is a word here\n")
    (tmp_path / "torn.py").write_text("import triton\ndef (\n")
    assert imports_triton(tmp_path / "far.py")
    assert not imports_triton(tmp_path / "none.py")
    assert not imports_triton(tmp_path / "torn.py")
    assert interpreter_variables(f"{tmp_path}/far.py:f", "cpu") == {"TRITON_INTERPRET": "1"}
    assert interpreter_variables(f"{tmp_path}/far.py:f", "cuda") == {}
    assert interpreter_variables("triton_fused", "cpu") == {"TRITON_INTERPRET": "1"}


def test_tritons_words_about_drivers_become_words_that_help():
    error = RuntimeError("0 active drivers ([]). There should only be one.")
    assert "set TRITON_INTERPRET=1" in in_words(error)
    assert "drivers" not in in_words(error)
