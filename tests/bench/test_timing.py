"""What a measurement says beside the time, and what makes a time no result."""

import os
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import replace

import pytest
import torch

from attnbench.bench.agreement.oracle import Oracle
from attnbench.bench.case_run import Settings
from attnbench.bench.records.schema import Peaks, Status
from attnbench.bench.records.store import read_run
from attnbench.bench.registry.catalogue import find
from attnbench.bench.run import run_case
from attnbench.bench.status import WorkerCrashed
from attnbench.bench.timing.conditions import (
    FOREIGN_SHARE,
    Snapshot,
    cgroup_throttled_s,
    cpus,
    disturbance,
    foreign_share,
    snapshot,
)
from attnbench.bench.timing.gpu import THROTTLE_REASONS, GpuFigures
from attnbench.bench.timing.rounds import Effort, Sampler, sample_in_rounds
from attnbench.bench.timing.timer import Timer, peak_bytes
from attnbench.bench.workers.process import Worker, pool
from attnbench.impls.contract import parse_case

MIB = 1 << 20
QUIET = Snapshot(wall_s=0, busy_s=0, steal_s=0, own_s=0, throttled_s=0)


@pytest.fixture
def timed():
    """Timers by name and case, closed in the end so that no backend stays forced."""
    with ExitStack() as stack:
        yield lambda name, case: stack.enter_context(Timer(find(name), case, Oracle(), 0))


def test_peak_memory_of_known_allocations():
    def call():
        first = torch.empty(3 * MIB, dtype=torch.uint8)
        second = torch.empty(2 * MIB, dtype=torch.uint8)
        del first
        return torch.empty(MIB, dtype=torch.uint8), second

    assert peak_bytes(call, None) == 5 * MIB


def test_a_materialised_score_matrix_shows_in_peak_memory(timed):
    case = parse_case("b1-h4-s256-d16-full-fp32")
    scores = 4 * 256 * 256 * 4
    peaks = {name: timed(name, case).peak_bytes() for name in ("masked_fill", "sdpa_flash")}
    assert peaks["masked_fill"] >= 2 * scores
    assert peaks["sdpa_flash"] < scores


def test_what_the_forward_keeps_for_the_backward(timed):
    case = parse_case("b1-h2-s128-d16-full-fp32-fwd+bwd")
    kept = {name: timed(name, case).saved_bytes() for name in ("masked_fill", "sdpa_flash")}
    qkvo, weights = 4 * 2 * 128 * 16 * 4, 2 * 128 * 128 * 4
    assert qkvo <= kept["sdpa_flash"] < qkvo + weights
    assert kept["masked_fill"] >= qkvo - 2 * 128 * 16 * 4 + weights
    assert timed("sdpa_flash", parse_case("b1-h2-s16-d8-full-fp32")).saved_bytes() is None


@pytest.mark.parametrize(
    ("after", "words"),
    [
        (dict(busy_s=1.9, own_s=1.9), ""),
        (dict(busy_s=1.9, own_s=1.0), "other processes took 45% of the CPUs"),
        (dict(steal_s=0.2), "the hypervisor took 10% of the CPUs"),
        (dict(throttled_s=0.5), "the CPU quota held this group back for 50% of the time"),
        (
            dict(gpu=GpuFigures(throttle_reasons=(THROTTLE_REASONS[0x40],))),
            "the GPU's clocks were lowered: hardware thermal slowdown",
        ),
    ],
)
def test_disturbances_in_words(after, words):
    later = Snapshot(**{**dict(wall_s=1, busy_s=0, steal_s=0, own_s=0, throttled_s=0), **after})
    assert disturbance(QUIET, later, count=2).startswith(words)
    assert bool(words) == bool(disturbance(QUIET, later, count=2))


def test_a_noisy_neighbour_is_noticed_and_our_own_work_is_not():
    burn = "import time\nend = time.time() + 30\nwhile time.time() < end: pass"
    neighbours = [subprocess.Popen([sys.executable, "-c", burn]) for _ in range(cpus())]
    pids = [neighbour.pid for neighbour in neighbours]
    try:
        time.sleep(0.3)
        strange, ours = snapshot("cpu", []), snapshot("cpu", pids)
        time.sleep(1.0)
        strange_share = foreign_share(strange, snapshot("cpu", []), cpus())
        our_share = foreign_share(ours, snapshot("cpu", pids), cpus())
    finally:
        for neighbour in neighbours:
            neighbour.kill()
    assert strange_share > FOREIGN_SHARE
    assert our_share < strange_share - 0.05


def test_cgroup_throttling_is_read(tmp_path):
    file = tmp_path / "cpu.stat"
    file.write_text("usage_usec 5\nnr_throttled 2\nthrottled_usec 1500000\n")
    assert cgroup_throttled_s(file) == 1.5
    assert cgroup_throttled_s(tmp_path / "none") == 0.0


def test_samples_alternate_in_rounds_of_seeded_order():
    def rounds(seed):
        order = []
        samplers = [Sampler(name, lambda name=name: order.append(name) or 1e6) for name in "abc"]
        list(sample_in_rounds(samplers, Effort(budget_s=0, at_least=6), seed))
        return order

    order = rounds(0)
    assert all(sorted(order[i : i + 3]) == ["a", "b", "c"] for i in range(0, 18, 3))
    assert rounds(0) == order != rounds(1)


def test_sampling_says_what_ended_it():
    def stopped(samples, effort):
        values = iter(samples)
        (one,) = sample_in_rounds([Sampler("x", lambda: next(values))], effort, 0)
        return one.stopped, len(one.samples_ns)

    steady, wild = [100.0] * 50, [100.0, 300.0] * 50
    assert stopped(steady, Effort(budget_s=9)) == ("interval", 8)
    assert stopped(wild, Effort(budget_s=0)) == ("budget", 5)
    assert stopped(wild, Effort(budget_s=9, at_most=20)) == ("count", 20)


@pytest.fixture(scope="module")
def workers():
    with pool("cpu", 60) as running:
        yield running


CASE = parse_case("b1-h2-s16-d8-causal-fp32")
QUICK = Settings(families=("normal",), effort=Effort(budget_s=0.02), remeasure=0)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("keeps_results_by_address", "fresh results"),
        ("goes_wrong_later", "right when checked, wrong after it was timed"),
        ("stops_writing", "right when checked, wrong after it was timed"),
        ("returns_early", "right when checked, wrong after it was timed"),
    ],
)
def test_what_is_right_only_at_first_is_wrong(workers, kernels, name, words):
    """The kernels change after so many calls: samples are counted here, not seconds."""
    enough = replace(QUICK, effort=Effort(interval=0.0, budget_s=0.0, at_least=160, at_most=160))
    (record,) = run_case(CASE, [f"{kernels}/hostile.py:{name}"], workers, enough)
    assert record.status is Status.WRONG
    assert record.measurement is None
    assert words in record.reason


def test_what_was_kept_by_address_is_found_after_timing_too(kernels, timed):
    timer = timed(f"{kernels}/hostile.py:keeps_results_by_address", CASE)
    timer.warm_up()
    assert not timer.verify().ok


def test_a_rate_above_the_device_is_no_result(workers):
    asked = []

    def slow_device(again):
        asked.append(again)
        return Peaks(device="x", flops_per_s={"fp32": 1e3}, bytes_per_s=1, source="test")

    settings = Settings(families=("normal",), effort=Effort(budget_s=0.02), remeasure=0, peaks=slow_device)
    (record,) = run_case(CASE, ["masked_fill"], workers, settings)
    assert record.status is Status.WRONG
    assert "work was skipped" in record.reason
    assert asked == [False, True]


def test_a_kernel_that_computes_in_float32_may_beat_a_slow_bfloat16_product(workers):
    device = Peaks(device="x", flops_per_s={"bf16": 1e3, "fp32": 1e15}, bytes_per_s=1, source="test")
    settings = replace(QUICK, peaks=lambda _: device)
    (record,) = run_case(parse_case("b1-h2-s16-d8-causal-bf16"), ["masked_fill"], workers, settings)
    assert record.status is Status.PASSED, record.reason


def test_memory_that_is_given_out_after_timing_holds_nan(timed, kernels):
    timer = timed(f"{kernels}/hostile.py:stops_writing", CASE)
    timer.warm_up()
    for _ in range(160):  # one call a sample is enough for it to stop, however slow the machine
        timer.sample_ns()
    assert not timer.verify().finite


def test_a_result_kept_until_the_tensors_change_is_too_fast_to_be_true(workers, kernels):
    case = parse_case("b1-h4-s512-d64-full-fp32")
    device = Peaks(device="x", flops_per_s={"fp32": 2e11}, bytes_per_s=1, source="test")
    settings = Settings(families=("normal",), effort=Effort(budget_s=0.02), remeasure=0, peaks=lambda _: device)
    (record,) = run_case(case, [f"{kernels}/hostile.py:keeps_results_by_version"], workers, settings)
    assert record.status is Status.WRONG
    assert "work was skipped" in record.reason


def test_disturbed_rounds_are_repeated_and_then_marked(workers, monkeypatch):
    monkeypatch.setattr("attnbench.bench.timing.conditions.FOREIGN_SHARE", -1.0)
    settings = Settings(families=("normal",), effort=Effort(budget_s=0.02), remeasure=1)
    (record,) = run_case(CASE, ["masked_fill"], workers, settings)
    assert record.status is Status.PASSED
    assert record.notes[0].startswith("disturbed: other processes took")
    assert record.conditions.disturbance


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="no way to ask for the CPUs here")
def test_cpus_are_those_that_may_be_used():
    assert cpus() == len(os.sched_getaffinity(0))


def test_a_run_keeps_the_peaks_it_was_judged_by(bench, tmp_path):
    sweep = tmp_path / "one.toml"
    sweep.write_text("[[cases]]\nq_len = 16\nq_heads = 2\nhead_dim = 8\n")
    done = bench("run", "--sweep", sweep, "--impl", "masked_fill", "--budget", "0.02", "--out", tmp_path / "r")
    assert done.returncode == 0, done.stderr
    assert read_run(tmp_path / "r").header.peaks.flops_per_s["fp32"] > 1e9


def test_an_error_that_poisons_the_process_ends_one_record_only(workers, kernels):
    name = f"{kernels}/hostile.py:dies_with_its_context"
    (first,) = run_case(CASE, [name], workers, QUICK)
    (second,) = run_case(parse_case("b1-h2-s24-d8-causal-fp32"), [name], workers, QUICK)
    assert (first.status, second.status) == (Status.ERROR, Status.PASSED)
    assert "illegal memory access" in first.reason


def test_a_closed_timer_leaves_no_backend_forced():
    before = torch.backends.cuda.math_sdp_enabled()
    with Timer(find("sdpa_flash"), CASE, Oracle(), 0):
        assert not torch.backends.cuda.math_sdp_enabled()
    assert torch.backends.cuda.math_sdp_enabled() == before


@pytest.mark.parametrize("direction", ["bwd", "fwd+bwd"])
@pytest.mark.parametrize("name", ["masked_fill", "sdpa_flash"])
def test_a_backward_is_timed_and_checked_after_it(workers, name, direction):
    (record,) = run_case(parse_case(f"b1-h2-s16-d8-causal-fp32-{direction}"), [name], workers, QUICK)
    assert record.status is Status.PASSED, record.reason
    assert record.measurement.saved_bytes > 0


def probing(monkeypatch, answers):
    """Workers answer `answers` in turn where they are asked for a probe; an exception is raised."""
    real, left = Worker._ask, iter(answers)

    def _ask(self, method, *arguments, **options):
        if method != "probe":
            return real(self, method, *arguments, **options)
        answer = next(left)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(Worker, "_ask", _ask)


def test_rounds_are_repeated_and_marked_where_the_machine_changed_its_speed(workers, monkeypatch):
    probing(monkeypatch, [{"shared_probe_us": us} for us in (40.0, 97.0, 97.0, 40.0)])
    (record,) = run_case(CASE, ["masked_fill"], workers, replace(QUICK, remeasure=1))
    assert "shared by all threads took 97, 40 us" in record.conditions.disturbance
    assert any("the machine changed its speed" in note for note in record.notes)


def test_a_machine_that_settles_is_not_marked(workers, monkeypatch):
    monkeypatch.setattr(
        "attnbench.bench.timing.conditions.disturbance", lambda *_: ""
    )  # the host of the tests may be busy
    probing(monkeypatch, [{"probe_us": us} for us in (160.0, 200.0, 160.0, 161.0)])
    (record,) = run_case(CASE, ["masked_fill"], workers, replace(QUICK, remeasure=1))
    assert not record.conditions.disturbance
    assert (record.conditions.before["probe_us"], record.conditions.after["probe_us"]) == (160.0, 161.0)


def test_a_probe_that_fails_costs_no_record(workers, monkeypatch):
    probing(monkeypatch, [WorkerCrashed("the worker was killed by SIGKILL")] * 4)
    (record,) = run_case(CASE, ["masked_fill"], workers, QUICK)
    assert record.status is Status.PASSED
    assert "probe_us" not in record.conditions.before
