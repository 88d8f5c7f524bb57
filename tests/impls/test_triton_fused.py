"""What triton_fused says of itself; what it computes is checked by triton_fused_interpreted.py."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from attnbench.bench.registry.catalogue import find
from attnbench.impls import triton_fused
from attnbench.impls.contract import parse_case

HERE = Path(__file__).parent


def in_a_fresh_process(code, **variables):
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    return subprocess.run(
        [sys.executable, "-c", code],
        env=environment | {"PYTHONPATH": os.pathsep.join(sys.path), **variables},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.timeout(600)  # 20 s on an idle core, five times that beside other work
def test_what_it_computes_in_the_interpreter():
    # Triton reads the variable once, at import: this process may hold real kernels already
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", str(HERE / "triton_fused_interpreted.py")],
        cwd=HERE.parent.parent,
        env=os.environ | {"TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]


def test_the_cpu_is_refused_without_the_interpreter(monkeypatch):
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    reason = find("triton_fused").supports(parse_case("b1-h1-s8-d16-causal-fp32"), "cpu")
    assert "TRITON_INTERPRET=1" in reason


def test_a_variable_that_is_set_too_late_is_seen():
    done = in_a_fresh_process(
        "import os, triton\n"
        "os.environ['TRITON_INTERPRET'] = '1'\n"
        "from attnbench.impls import triton_fused\n"
        "print(triton_fused.interpreter())"
    )
    assert "after triton was imported" in done.stdout, done.stderr


def test_the_interpreter_is_found_once_triton_is_loaded():
    done = in_a_fresh_process(
        "import triton\nfrom attnbench.impls import triton_fused\nprint(triton_fused.interpreter())",
        TRITON_INTERPRET="1",
    )
    assert done.stdout == "None\n", done.stderr


def test_the_gpu_is_refused_under_the_interpreter(monkeypatch):
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    assert "unset it" in triton_fused.IMPL.supports(parse_case("b1-h1-s8-d16-causal-fp32"), "cuda")


def test_an_old_gpu_is_refused_by_name(monkeypatch):
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (7, 5))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Tesla T4")
    reason = triton_fused.IMPL.supports(parse_case("b1-h1-s8-d16-causal-fp16"), "cuda")
    assert reason == "Tesla T4 has a compute capability below 8.0"


@pytest.mark.parametrize(
    ("case_id", "words"),
    [
        ("b1-h1-s64-d16-blocks:16-fp32", "blocks"),
        ("b1-h1-s64-d320-causal-fp32", "head_dim goes up to 256"),
        ("b1-h1-s64-d64-dv512-causal-fp32", "not 512"),
        ("b1-h1-s64-d64-causal-drop0.1-fp32", "dropout"),
    ],
)
def test_what_it_does_not_do_is_refused(monkeypatch, case_id, words):
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    assert words in triton_fused.IMPL.supports(parse_case(case_id), "cuda")


def test_asking_imports_no_triton():
    done = in_a_fresh_process(
        "import sys\n"
        "from attnbench.impls.contract import parse_case\n"
        "from attnbench.impls import triton_fused\n"
        "triton_fused.IMPL.supports(parse_case('b1-h1-s8-d16-causal-fp32'), 'cuda')\n"
        "print('triton' in sys.modules, triton_fused.chosen())"
    )
    assert done.stdout == "False {}\n", done.stderr
