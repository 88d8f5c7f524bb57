"""``pytest bench --benchmark-only`` as a user calls it."""

import json
import subprocess
import sys

import pytest

from attnbench.bench.test_attention import replay
from attnbench.bench.timing.replay import VirtualClock


@pytest.fixture
def pytest_bench(tmp_path):
    sweep = tmp_path / "tiny.toml"
    sweep.write_text("[[cases]]\nq_len = 16\nq_heads = 2\nhead_dim = 8\n")

    def run(*arguments):
        fast = ["--benchmark-max-time=0.01", "--benchmark-min-rounds=3", "-p", "no:cacheprovider"]
        # Without the plugin that only the tests of this project have, as in the environment of its users.
        fast = [*fast, "-p", "no:timeout"]
        command = [sys.executable, "-m", "pytest", "bench", "--benchmark-only", "--sweep", sweep, *fast, *arguments]
        return subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=200, check=False)

    return run


def test_ids_are_case_ids_and_the_json_says_what_was_run(pytest_bench, tmp_path):
    report = tmp_path / "out.json"
    done = pytest_bench("--impl", "masked_fill", "--benchmark-json", report)
    assert done.returncode == 0, done.stdout
    (entry,) = json.loads(report.read_text())["benchmarks"]
    assert entry["name"] == "test_attention[masked_fill-b1-h2-s16-d8-causal-fp32]"
    info = entry["extra_info"]
    assert info["implementation"] == "masked_fill"
    assert info["case"] == "b1-h2-s16-d8-causal-fp32"
    assert info["status"] == "PASSED"
    assert info["flops"] == 2 * (16 * 17 // 2) * 2 * (8 + 8)
    assert (info["q_heads"], info["q_len"], info["mask"], info["clock"]) == (2, 16, "causal", "perf_counter")


def test_a_wrong_implementation_fails_instead_of_being_timed(pytest_bench, tmp_path):
    report = tmp_path / "out.json"
    done = pytest_bench("--impl", "tests/mutants/tutorial_triu.py:attention", "--benchmark-json", report)
    assert done.returncode == 1
    assert "the triangle is inverted" in done.stdout
    assert not report.exists() or not json.loads(report.read_text())["benchmarks"]


def test_what_cant_run_is_skipped_with_the_reason(pytest_bench):
    done = pytest_bench("--impl", "sdpa_cudnn", "-rs")
    assert "runs on cuda, not on cpu" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(["--impl", "maskedfill"], "did you mean masked_fill"), (["--impl", "no.py:f"], "there is no file no.py")],
)
def test_bad_names_are_usage_errors(pytest_bench, arguments, words):
    done = pytest_bench(*arguments)
    assert done.returncode == 4
    assert done.stderr.startswith("ERROR: ")
    assert words in done.stdout + done.stderr


CLOCK = VirtualClock()


@pytest.mark.benchmark(timer=CLOCK)
def test_replayed_device_times_are_the_statistics(benchmark):
    seconds = [0.25, 0.5, 0.125]
    replay(benchmark, CLOCK, seconds)
    if not benchmark.disabled:
        assert benchmark.stats.stats.data == seconds
