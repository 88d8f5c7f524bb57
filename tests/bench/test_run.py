"""The main job through the front door: a run, its file, its report; killed, resumed, run twice."""

import json
import os
import random
import signal
import subprocess
import sys
import time

import pytest

from attnbench.bench.records.store import read_run
from tests.tools.peer8 import phases


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    """Four tiny cases."""
    file = tmp_path_factory.mktemp("sweep") / "tiny sweep.toml"
    file.write_text('[[cases]]\nq_len = [16, 24]\nq_heads = 2\nhead_dim = 8\ndtype = ["fp32", "bf16"]\n')
    return file


@pytest.fixture(scope="module")
def finished(bench, sweep, kernels, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "a run"
    wrong = "tests/mutants/tutorial_triu.py:attention"
    names = ["--impl", "masked_fill", "--impl", "sdpa_flash", "--impl", wrong]
    done = bench("run", "--sweep", sweep, *names, "--budget", "0.02", "--out", out)
    return done, out


def test_a_run_ends_with_its_report(finished):
    done, out = finished
    assert done.returncode == 1, done.stderr
    assert done.stdout.splitlines()[-1] == f"report: {out}/report.html"
    assert "tutorial_triu.py" in (out / "report.html").read_text()


def test_a_wrong_implementation_is_recorded_and_never_timed(finished):
    run = read_run(finished[1])
    wrong = [record for record in run.records if "tutorial" in record.implementation]
    assert [record.status.value for record in wrong] == ["WRONG"] * 4
    assert all(record.measurement is None for record in wrong)


def test_right_ones_have_raw_samples_and_what_they_are(finished):
    run = read_run(finished[1])
    right = [record for record in run.records if record.status.value == "PASSED"]
    assert len(right) == 8
    for record in right:
        measured = record.measurement
        assert len(measured.samples_ns) >= 5
        assert measured.clock == "perf_counter"
        assert measured.first_call_ns > 0
        assert measured.peak_bytes >= 16 * 8 * 2 * 2  # at least the output itself
        assert set(record.agreement.families) >= {"normal", "needle", "spike"}


def test_the_report_says_what_each_implementation_can_do(finished):
    run = read_run(finished[1])
    assert run.header.features["masked_fill"]["paged"] == ""
    assert run.header.features["sdpa_flash"]["paged"] == "does not do paged"
    page = (finished[1] / "report.html").read_text()
    assert '<abbr title="does not do paged">no</abbr>' in page


def test_a_run_accounts_for_all_of_its_wall_time(finished):
    (account,) = (
        line for line in finished[0].stderr.splitlines() if "outside inputs, checks and timed calls" in line
    )
    wall_s, spent = float(account.split(" s:")[0]), phases(account)
    assert list(spent) == [
        *("oracle", "checks", "inputs", "timed calls", "between them", "report", "start-up and the rest")
    ]
    assert sum(spent.values()) == pytest.approx(wall_s, abs=0.05 * (len(spent) + 1))
    assert all(seconds >= 0 for seconds in spent.values())
    timed_s = sum(
        sum(record.measurement.samples_ns) * record.measurement.calls / 1e9
        for record in read_run(finished[1]).records
        if record.measurement
    )
    assert timed_s - 0.05 <= spent["timed calls"] <= wall_s
    purposes_s = sum(spent[name] for name in ("oracle", "checks", "inputs", "timed calls"))
    share = float(account.rpartition("; ")[2].split("%")[0]) / 100
    assert share == pytest.approx(1 - purposes_s / wall_s, abs=0.005 + 0.3 / wall_s)


def test_progress_is_plain_lines_when_piped(finished):
    assert "[1/12] b1-h2-s16-d8" in finished[0].stderr
    assert "\x1b[" not in finished[0].stderr


def test_the_same_folder_is_not_overwritten(bench, sweep, finished):
    done = bench("run", "--sweep", sweep, "--impl", "masked_fill", "--out", finished[1])
    assert done.returncode == 2
    assert "add --resume" in done.stderr


def test_a_finished_run_resumes_into_nothing_new(bench, sweep, finished):
    before = (finished[1] / "run.jsonl").read_bytes()
    names = [f"--impl={name}" for name in ("masked_fill", "sdpa_flash", "tests/mutants/tutorial_triu.py:attention")]
    done = bench("run", "--sweep", sweep, *names, "--out", finished[1], "--resume")
    assert done.returncode == 1
    assert (finished[1] / "run.jsonl").read_bytes() == before


def test_killed_at_any_time_it_resumes_without_losing_or_doubling(sweep, tmp_path, bench):
    out = tmp_path / "killed"
    command = ["run", "--sweep", sweep, "--impl", "masked_fill", "--impl", "sdpa_math", "--out", out]
    process = subprocess.Popen(
        [sys.executable, "-m", "bench", *map(str, command)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    file = out / "run.jsonl"
    while process.poll() is None and not (file.exists() and file.read_bytes().count(b"\n") >= 4):
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    kept = [json.loads(line) for line in file.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]
    assert len(kept) >= 4
    done = bench(*command, "--resume", "--budget", "0.02")
    assert done.returncode == 0, done.stderr
    run = read_run(out)
    assert len({record.key for record in run.records}) == len(run.records) == 8
    assert not run.missing


def test_ctrl_c_finishes_the_record_in_hand_and_reports(sweep, tmp_path):
    out = tmp_path / "stopped"
    command = [sys.executable, "-m", "bench", "run", "--sweep", sweep, "--impl", "masked_fill", "--out", out]
    process = subprocess.Popen(
        list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ
    )
    while process.poll() is None and not (out / "run.jsonl").exists():
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=100)
    assert process.returncode == 130, stderr
    assert "stopping after the current record" in stderr
    assert 1 <= len(read_run(out).records) < 4
    assert stdout.splitlines()[-1] == f"report: {out}/report.html"


def test_a_time_budget_narrows_what_needs_it_and_keeps_one_record_each(bench, sweep, tmp_path):
    out = tmp_path / "budgeted"
    names = ["--impl", "masked_fill", "--impl", "sdpa_flash"]
    options = ["--sweep", sweep, *names, "--budget", "0.01", "--interval", "0.01", "--out", out]
    assert bench("run", *options).returncode == 0
    done = bench("run", *options, "--resume", "--time-budget", "20s")
    assert done.returncode == 0, done.stderr
    assert "timing the least certain cases again" in done.stderr
    lines = (out / "run.jsonl").read_bytes().splitlines()
    run = read_run(out)
    assert len(run.records) == 8 < len(lines) - 1
    first = {}
    for line in map(json.loads, lines[1:]):
        key = line["implementation"], line["case"]["q_len"], line["case"].get("dtype", "fp32")
        samples = line["measurement"]["samples_ns"]
        assert samples[: len(first.setdefault(key, samples))] == first[key], "earlier samples are kept, in order"


def test_a_time_budget_bounds_the_checks_too_and_says_what_was_left_out(bench, sweep, tmp_path):
    out = tmp_path / "spent"
    options = ["--sweep", sweep, "--impl", "masked_fill", "--budget", "0.01", "--out", out]
    done = bench("run", *options, "--time-budget", "0.001")
    assert done.returncode == 3
    assert f"4 of 4 cases were left out ({read_run(out).header.cases[0]}, " in done.stderr
    assert f"go on with --out {out} --resume" in done.stderr
    assert bench("run", *options, "--resume").returncode == 0
    assert len(read_run(out).records) == 4


@pytest.mark.parametrize("text", ["soon", "-3", "10 years"])
def test_a_bad_time_budget_is_a_usage_error(bench, sweep, text):
    done = bench("run", "--sweep", sweep, "--impl", "masked_fill", f"--time-budget={text}")
    assert done.returncode == 2
    assert "is no time" in done.stderr


KILLS = int(os.environ.get("ATTNBENCH_KILLS", "3"))
"""Kills of one run; the soundness environment sets 50."""

AT_START = 0.2
"""Share of the kills that hit the start-up; the others hit between and within records."""


def records_of(file):
    """Whole lines of a run's file, its header among them."""
    return file.read_bytes().count(b"\n") if file.exists() else 0


def kill_somewhere(process, file, draw):
    """Kill -9 at a random moment: of the start-up, or after a few more records and a part of the next."""
    if draw.random() < AT_START:
        time.sleep(draw.uniform(0.0, 1.0))
    else:
        wanted = records_of(file) + draw.randint(1, 4)
        while process.poll() is None and records_of(file) < wanted:
            time.sleep(0.002)
        time.sleep(draw.uniform(0.0, 0.06))
    process.kill()
    assert process.wait() == -signal.SIGKILL, "the sweep was too small: it had ended before it was killed"


def test_killed_again_and_again_not_one_record_is_lost_or_doubled(tmp_path):
    draw = random.Random(os.environ.get("ATTNBENCH_KILLS_SEED", "0"))
    sweep, out = tmp_path / "tiny.toml", tmp_path / "killed often"
    lengths = list(range(4, 4 + 2 * KILLS + 6))
    sweep.write_text(f"[[cases]]\nq_len = {lengths}\nq_heads = 2\nhead_dim = 8\n")
    names = ("masked_fill", "sdpa_flash", "sdpa_math", "per_head_loop")
    command = [sys.executable, "-m", "bench", "run", "--sweep", sweep, "--budget=0", "--out", out, "--resume"]
    command = [*map(str, command), *(f"--impl={name}" for name in names)]
    seen = {}
    for _ in range(KILLS):
        with (tmp_path / "told.txt").open("w") as told:
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=told)
        kill_somewhere(process, out / "run.jsonl", draw)
        told_of = {tuple(line.split()[1:3]) for line in (tmp_path / "told.txt").open() if line.startswith("[")}
        if records_of(out / "run.jsonl"):
            run = read_run(out)
            now = {record.key: record for record in run.records}
            assert told_of <= now.keys(), "what was told as done is in the file"
            assert run.missing, "the sweep was too small: nothing was left to resume"
            assert all(now.get(key) == record for key, record in seen.items()), (
                "a finished record is kept as it was"
            )
            seen = now
    assert len(seen) >= KILLS / 2, "most kills came before any record was written"
    subprocess.run(command, check=True, capture_output=True)
    run = read_run(out)
    assert not run.missing
    assert all({r.key: r for r in run.records}[key] == record for key, record in seen.items())
    lines = [json.loads(line) for line in (out / "run.jsonl").read_bytes().splitlines()]
    assert len(lines) == 1 + len(lengths) * len(names), "one header, and one line a record"
