"""Threads of a worker while it is sampled: each of OpenMP's on one CPU of its own, those of others free."""

import os
from pathlib import Path

import pytest

from attnbench.bench.records.store import read_run
from attnbench.bench.timing import pinning
from attnbench.bench.workers.process import Worker, start_server
from attnbench.bench.workers.setting import Setting
from attnbench.impls.contract import parse_case

CASE = parse_case("b1-h4-s512-d32-causal-fp32")

pytestmark = pytest.mark.skipif(
    not hasattr(os, "sched_setaffinity") or len(os.sched_getaffinity(0)) < 2 or bool(pinning.why_not()),
    reason="needs Linux, two CPUs, and no OpenMP settings of the user's own",
)

KERNEL = """
import threading, time
import torch

def attention(q, k, v, *, causal=False):
    if threading.active_count() == 1:
        threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
    return torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=causal)
"""


def masks(pid):
    """CPUs that each thread of a process may use, the main thread first."""
    numbers = [int(path.name) for path in Path(f"/proc/{pid}/task").iterdir()]
    tasks = sorted(numbers, key=lambda task: (task != pid, task))
    return [os.sched_getaffinity(task) for task in tasks]


@pytest.fixture
def worker(tmp_path):
    """A worker of two threads, whose kernel has a thread of its own."""
    file = tmp_path / "threads.py"
    file.write_text(KERNEL)
    one = Worker(f"{file}:attention", "cpu", tmp_path, 100, Setting(threads=2))
    yield one
    one.stop()


def test_openmp_threads_keep_to_their_cpus_while_sampled_and_others_stay_free(worker):
    everywhere = os.sched_getaffinity(0)
    answer = worker.open(CASE, 0)
    worker.sample()
    assert (answer.threads, answer.note) == (2, "")
    assert answer.pinned == pinning.last_cores_first(everywhere)[:2]
    found = masks(worker.pid)
    assert found[0] == {answer.pinned[0]}
    assert {answer.pinned[1]} in found[1:]
    assert everywhere in found[1:], "the kernel's own thread may go anywhere"
    worker.close()
    assert masks(worker.pid)[0] == everywhere


def test_a_worker_given_cpus_stays_on_them(tmp_path):
    last = max(os.sched_getaffinity(0))
    one = Worker("sdpa_flash", "cpu", tmp_path, 100, Setting(cpus=(last,), threads=1))
    try:
        assert one.open(CASE, 0).pinned == (last,)
        assert masks(one.pid)[0] == {last}
    finally:
        one.stop()


def test_nothing_of_it_stays_in_our_own_environment():
    before = dict(os.environ)
    start_server()
    assert {name: value for name, value in os.environ.items() if before.get(name) != value} == {}


def test_the_record_says_where_threads_were_and_a_users_own_settings_win(bench, tmp_path, monkeypatch):
    sweep = tmp_path / "one.toml"
    sweep.write_text("[[cases]]\nq_len = 16\nq_heads = 2\nhead_dim = 8\n")

    def record(out):
        arguments = ["--sweep", sweep, "--impl", "masked_fill", "--budget", "0.02", "--out", tmp_path / out]
        done = bench("run", *arguments)
        assert done.returncode == 0, done.stderr
        return read_run(tmp_path / out).records[0]

    ours = record("ours")
    assert len(set(ours.measurement.pinned)) == ours.measurement.threads
    monkeypatch.setenv("OMP_PROC_BIND", "false")
    theirs = record("theirs")
    assert theirs.measurement.pinned == ()
    assert "threads not pinned: OMP_PROC_BIND is set, and decides" in theirs.notes


@pytest.mark.parametrize(
    ("cores", "wanted"),
    [
        ("0 1 2 3", (3, 2, 1, 0)),
        ("0 0 1 1", (3, 1, 2, 0)),
        ("0 1 0 1", (3, 2, 1, 0)),
    ],
)
def test_one_thread_of_each_core_comes_first(monkeypatch, cores, wanted):
    monkeypatch.setattr(pinning, "_siblings", lambda cpu: cores.split()[cpu])
    assert pinning.last_cores_first(range(4)) == wanted


def test_more_threads_than_cpus_are_left_alone(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1000")
    assert pinning.variables() == {}
    assert "1000" in pinning.why_not()
