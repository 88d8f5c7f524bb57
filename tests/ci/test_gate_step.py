"""The action's gate step, with a stand-in for ``bench`` that ends as it is told."""

import json
import os
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest

STAND_IN = """
import json, os, sys, time
from pathlib import Path

words = sys.argv[1:]
after = {name: words[at + 1] for at, name in enumerate(words) if name.startswith("--")}
ending = json.loads(Path(os.environ["ENDING"]).read_text())
try:  # the signal may come as soon as the file is seen
    seen = {"words": words, "environment": dict(os.environ), "path": sys.path}
    Path(os.environ["SEEN"]).write_text(json.dumps(seen))
    time.sleep(ending.get("sleep", 0))
except KeyboardInterrupt:
    Path(os.environ["SEEN"]).with_name("cleaned").touch()
    raise SystemExit(130)
Path(after["--out"]).mkdir()
Path(after["--out"], "comparison.html").write_text("<!DOCTYPE html>")
for option in ("--json", "--markdown"):
    if option in ending:
        Path(after[option]).write_text(ending[option])
os._exit(ending["code"]) if ending["code"] >= 0 else os.kill(os.getpid(), -ending["code"])
"""


@pytest.fixture
def gate(runner):
    """Run the step with a ``bench`` that ends with `code` and writes these results."""
    package = runner.harness / "bench"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text(STAND_IN)
    ending_file = runner.folder / "ending.json"
    runner.variables |= {
        "ENDING": str(ending_file),
        "BASE": "b" * 40,
        "HEAD": "a" * 40,
        "SEEN": str(runner.folder / "seen.json"),
        "INPUT_UNDECIDED": "fail",
    }

    def run(code, results='{"verdict": "UNCHANGED"}', markdown="# What was found", **inputs):
        ending = {"code": code, "--json": results, "--markdown": markdown}
        wanted = {name: text for name, text in ending.items() if text is not None}
        ending_file.write_text(json.dumps(wanted))
        return runner.run("gate.py", **inputs)

    run.seen = lambda: json.loads((runner.folder / "seen.json").read_text())
    return run


@pytest.mark.parametrize(
    ("code", "word"),
    [(0, "UNCHANGED"), (0, "IMPROVED"), (1, "REGRESSED"), (4, "UNDECIDED"), (4, "INCOMPARABLE")],
)
def test_the_steps_end_and_outputs_are_those_of_the_comparison(gate, runner, code, word):
    done = gate(code, json.dumps({"verdict": word}))
    assert done.returncode == code
    assert runner.outputs["verdict"] == word
    assert runner.outputs["exit-code"] == str(code)
    assert runner.summary.startswith("# What was found")
    assert (Path(runner.outputs["report"]) / "results.json").exists()
    assert (Path(runner.outputs["report"]) / "run" / "comparison.html").exists()


def test_a_wrong_call_is_neither_a_verdict_nor_a_pass(gate, runner):
    done = gate(2, results=None, markdown=None)
    assert (done.returncode, runner.outputs["verdict"]) == (2, "USAGE")
    assert "exit code 2" in runner.summary


@pytest.mark.parametrize("code", [0, 1, 4, 3, 130, -signal.SIGKILL])
def test_an_end_without_results_is_broken_and_never_a_pass(gate, runner, code):
    done = gate(code, results=None, markdown=None, INPUT_UNDECIDED="warn")
    assert done.returncode not in {0, None}
    assert runner.outputs["verdict"] == "BROKEN"
    assert "::error" in done.stdout
    assert "BROKEN" in runner.summary


@pytest.mark.parametrize("code", [3, 130, -signal.SIGKILL])
def test_results_do_not_excuse_an_unknown_end(gate, runner, code):
    done = gate(code)
    assert done.returncode == (code if code > 0 else 128 - code)
    assert runner.outputs["verdict"] == "BROKEN"


@pytest.mark.parametrize("results", ["", "[]", '{"verdict"'])
def test_results_that_cannot_be_read_are_no_results(gate, runner, results):
    assert gate(0, results).returncode == 1
    assert runner.outputs["verdict"] == "BROKEN"


def test_an_undecided_comparison_passes_only_where_asked_and_warns(gate, runner):
    done = gate(4, '{"verdict": "UNDECIDED"}', INPUT_UNDECIDED="warn")
    assert done.returncode == 0
    assert "::warning title=Attention gate::UNDECIDED" in done.stdout
    assert runner.outputs["exit-code"] == "4"
    assert gate(1, '{"verdict": "REGRESSED"}', INPUT_UNDECIDED="warn").returncode == 1


def test_an_unknown_word_for_undecided_is_refused(gate):
    done = gate(0, INPUT_UNDECIDED="pass")
    assert done.returncode == 2
    assert "expected fail or warn" in done.stdout


def test_inputs_become_arguments_and_no_script(gate, runner):
    hostile = '$(touch pwned); `id` "quoted" && x'
    gate(
        0,
        INPUT_IMPL="kernels/a.py:attention\n\n  sdpa_flash  \n",
        INPUT_SWEEP="bench/mine.toml",
        INPUT_ALLOW="allowed.toml",
        INPUT_SETUP=hostile,
        INPUT_DEVICE="cuda",
        INPUT_TIME_BUDGET="5m",
        INPUT_FAIL_ON="new,missing",
        INPUT_ARGUMENTS="--seed\n7",
    )
    words = gate.seen()["words"]
    assert words[:3] == ["compare", "b" * 40, "a" * 40]
    pairs = set(pairwise(words))
    for pair in [
        ("--repo", str(runner.workspace)),
        ("--impl", "kernels/a.py:attention"),
        ("--impl", "sdpa_flash"),
        ("--sweep", str(runner.workspace / "bench/mine.toml")),
        ("--allow", str(runner.workspace / "allowed.toml")),
        ("--setup", hostile),
        ("--device", "cuda"),
        ("--time-budget", "5m"),
        ("--fail-on", "new,missing"),
        ("--seed", "7"),
    ]:
        assert pair in pairs, pair
    assert not {"--threads", "--case"} & set(words)
    assert not list(runner.folder.rglob("pwned"))


def test_a_sweeps_name_is_no_path(gate):
    gate(0, INPUT_SWEEP="peer8")
    words = gate.seen()["words"]
    assert words[words.index("--sweep") + 1] == "peer8"


def test_a_package_named_bench_in_the_users_repository_is_not_run(gate, runner):
    (runner.workspace / "bench").mkdir()
    (runner.workspace / "bench" / "__main__.py").write_text("raise SystemExit('theirs')")
    assert gate(0).returncode == 0
    seen = gate.seen()
    assert str(runner.harness) in seen["path"]
    assert str(runner.workspace) not in seen["path"]


def test_kernels_cannot_steer_the_job(gate):
    gate(0, GITHUB_PATH="/x", GITHUB_STATE="/x")
    inner = gate.seen()["environment"]
    steering = ("GITHUB_OUTPUT", "GITHUB_ENV", "GITHUB_PATH", "GITHUB_STATE", "GITHUB_STEP_SUMMARY")
    assert not [name for name in inner if name in steering or name.startswith("INPUT_")]
    assert inner["GITHUB_ACTIONS"] == "true"


def test_the_setup_command_finds_the_harness_python_first(gate):
    gate(0, PATH="/usr/bin:/bin")
    assert gate.seen()["environment"]["PATH"].split(os.pathsep)[0] == str(Path(sys.executable).parent)


def test_a_summary_is_cut_at_a_line_where_github_would_drop_it(gate, runner):
    gate(0, markdown="é" * 99 + "\n" + ("|" + "é" * 97 + "|\n") * 8000)
    assert len(runner.summary.encode()) < 2**20
    *_, last, empty, note = runner.summary.rstrip("\n").splitlines()
    assert (last[-1], empty, note) == ("|", "", "The rest is in the report.")


def test_an_output_cannot_end_its_own_block(gate, runner):
    gate(0, json.dumps({"verdict": "IMPROVED\nEOF\nexit-code=0"}))
    assert runner.outputs["exit-code"] == "0"
    assert runner.outputs["verdict"].startswith("IMPROVED\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_cancelled_job_tells_the_comparison(gate, runner, number):
    seen = runner.folder / "seen.json"
    (runner.folder / "ending.json").write_text(json.dumps({"code": 0, "sleep": 60}))
    step = subprocess.Popen(
        [sys.executable, str(Path(__file__).parents[2] / ".github/action/gate.py")],
        env=runner.environment,
        start_new_session=True,
        stdout=subprocess.PIPE,
    )
    deadline = time.monotonic() + 30
    while not (seen.exists() and seen.read_text()) and time.monotonic() < deadline:
        time.sleep(0.02)
    step.send_signal(number)
    step.communicate(timeout=30)
    assert step.returncode == 128 + number
    if number == signal.SIGINT:
        assert (runner.folder / "cleaned").exists()
