"""Killed at any moment, a comparison leaves no worktree, folder or process; what a dead machine left goes later."""

import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from attnbench.bench.gate.paired.revisions import checked_out
from attnbench.bench.workers import reaper, scratch

ROOT = Path(__file__).parents[3]
SECONDS = 20
RUN = """
import sys, time
from pathlib import Path
from attnbench.bench.gate.paired.revisions import checked_out
with checked_out(Path(sys.argv[1]), ("one", "two"), setup=sys.argv[2]) as trees:
    {body}
    print("ready", flush=True)
    time.sleep(300)
"""
WORKERS = """
    from attnbench.bench.workers.process import Worker, pool
    with pool("cpu", 60) as workers:
        held = [Worker("kernel.py:f", "cpu", workers.folder, 60, tree.setting()) for tree in trees]
        for worker in held:
            print(worker.describe(("kernel.py:f",)))
        print("ready", flush=True)
        time.sleep(300)
"""


@pytest.fixture
def start(repo):
    """Start a process that compares; what is left of it at the test's end is killed."""
    started = []

    def run(setup="", body="pass", until="ready"):
        command = [sys.executable, "-c", RUN.format(body=body.strip()), str(repo.path), setup]
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        started.append(process)
        if until:
            while until not in (line := process.stdout.readline()):
                assert line, "it ended"
        return process

    yield run
    for process in started:
        process.kill()
        process.wait()


def family(process):
    """All processes that it started, its reaper among them."""
    return psutil.Process(process.pid).children(recursive=True)


def alive(processes):
    return [one for one in processes if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]


VANISHING = (psutil.NoSuchProcess, FileNotFoundError, subprocess.CalledProcessError)
"""What looking at things raises while they are being removed."""


def wait_for(condition):
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        with suppress(*VANISHING):
            if condition():
                return True
        time.sleep(0.02)
    return False


def clean(repo, processes):
    return (
        not alive(processes) and repo.worktrees() == 1 and not repo.entries and not list(repo.scratch.glob("attn*"))
    )


def state(repo, processes):
    return alive(processes), repo.entries, list(repo.scratch.rglob("*"))[:9]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_killed_between_trials(repo, start, number):
    process = start()
    processes = family(process)
    assert len(processes) == 1, "only the reaper"
    assert repo.worktrees() == 3
    for deadly in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        processes[0].send_signal(deadly)  # as a system that ends everything does
    process.send_signal(number)
    assert wait_for(lambda: clean(repo, processes)), state(repo, processes)


def test_killed_in_the_setup_whatever_that_started(repo, start, tmp_path):
    setup = f"sleep 301 & setsid sleep 302 & echo > {tmp_path}/begun; chmod 500 .; sleep 303"
    process = start(setup, until="")
    assert wait_for((tmp_path / "begun").exists)
    assert wait_for(lambda: len(family(process)) >= 5)
    processes = family(process)
    process.kill()
    assert wait_for(lambda: clean(repo, processes)), state(repo, processes)


def test_killed_while_git_checks_out(repo, start):
    repo.commit("slow", {".gitattributes": "kernel.py filter=slow\n"})
    repo.git("tag", "-f", "two")
    repo.git("config", "filter.slow.smudge", "sleep 300")
    process = start(until="")
    assert wait_for(lambda: any(one.name() == "sleep" for one in family(process)))
    processes = family(process)
    assert any((repo.path / ".git/worktrees" / name / "locked").exists() for name in repo.entries), "half-made"
    process.kill()
    assert wait_for(lambda: clean(repo, processes)), state(repo, processes)


def test_killed_with_workers_and_their_server(repo, start):
    repo.commit("f", {"kernel.py": "def f(q, k, v):\n    return v\n"})
    for name in ("one", "two"):
        repo.git("tag", "-f", name)
    process = start(body=WORKERS)
    processes = family(process)
    assert len(processes) >= 6, "two reapers, a fork server, a resource tracker, two workers"
    process.kill()
    assert wait_for(lambda: clean(repo, processes)), state(repo, processes)


def test_a_comparison_that_ends_by_itself_takes_its_reaper_along(repo):
    before = set(psutil.Process().children(recursive=True))
    with checked_out(repo.path, ("one",)):
        assert set(psutil.Process().children(recursive=True)) - before
    assert not alive(set(psutil.Process().children(recursive=True)) - before)


def down(process):
    """As if the machine went down: nobody is left to clear up."""
    for one in [*family(process), process]:
        one.kill()
    process.wait()


def test_the_next_comparison_clears_up_after_a_machine_that_went_down(repo, start):
    down(start())
    assert repo.worktrees() == 3
    with checked_out(repo.path, ("one",)):
        assert repo.worktrees() == 2
        assert len(list(repo.scratch.iterdir())) == 1
    assert clean(repo, [])


def test_so_does_any_other_command(repo, start):
    down(start())
    with scratch.scratch():
        assert repo.worktrees() == 1


def test_a_folder_in_another_place_is_found_through_git(repo, start, tmp_path, monkeypatch):
    down(start())
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "elsewhere"))
    monkeypatch.setattr("tempfile.tempdir", None)
    with checked_out(repo.path, ("one",)):
        assert repo.worktrees() == 2
    assert clean(repo, [])


def test_entries_whose_folder_was_swept_away_go_when_they_are_older_than_a_day(repo, start):
    down(start())
    for folder in repo.scratch.iterdir():
        shutil.rmtree(folder)
    with checked_out(repo.path, ("one",)):
        assert len(repo.entries) == 3, "they may be another container's"
    before = time.time() - 100_000
    for name in repo.entries:
        os.utime(repo.path / ".git" / "worktrees" / name, (before, before))
    with checked_out(repo.path, ("one",)):
        assert len(repo.entries) == 1
    assert clean(repo, [])


def test_worktrees_of_others_and_of_the_user_are_left_alone(repo, start, tmp_path):
    repo.git("worktree", "add", "-q", str(tmp_path / "attnbench-topic"), "-b", "topic")
    process = start()
    with checked_out(repo.path, ("one",)):
        assert repo.worktrees() == 5
    assert repo.worktrees() == 4
    assert len(alive([psutil.Process(process.pid)])) == 1
    process.kill()
    assert wait_for(lambda: repo.worktrees() == 2)
    (tmp_path / "attnbench-topic").rename(tmp_path / "disk-taken-out")
    os.utime(repo.path / ".git" / "worktrees" / "attnbench-topic", (1, 1))
    with checked_out(repo.path, ("one",)):
        pass
    assert repo.entries == ["attnbench-topic"]


def test_folders_that_are_not_ours_stay(repo):
    (repo.scratch / "attnbench-notes").mkdir()
    with scratch.scratch() as folder:
        assert list(scratch.ownerless(repo.scratch)) == [], folder
    assert [one.name for one in repo.scratch.iterdir()] == ["attnbench-notes"]


def test_without_git_a_worktree_is_removed_by_hand(repo, start, monkeypatch, tmp_path):
    down(start())
    git = Path(shutil.which("git")).parent
    monkeypatch.setenv("PATH", str(tmp_path))
    for folder in repo.scratch.iterdir():
        assert reaper.clear(str(folder)) == []
    monkeypatch.setenv("PATH", str(git))
    assert clean(repo, [])


def test_the_reaper_is_small_and_quick():
    start = time.monotonic()
    command = [sys.executable, "-I", "-S", reaper.__file__, "/nowhere", "none"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE)
    time.sleep(0.2)
    assert psutil.Process(process.pid).memory_info().rss < 25e6
    process.communicate(reaper.ALL_WELL)
    assert process.returncode == 0
    assert time.monotonic() - start < 2
