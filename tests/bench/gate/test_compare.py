"""``python -m bench compare`` through its front door: whole processes, real trials, small kernels."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from xml.etree import ElementTree as ET

import psutil
import pytest

ROOT = Path(__file__).parents[3]
CASE = "b1-h4-s64-d16-full-fp32"
KERNELS = """
import os
import time
import torch
from torch.nn.functional import scaled_dot_product_attention as sdpa

def plain(q, k, v):
    return sdpa(q, k, v)

def twice(q, k, v):
    sdpa(q, k, v)
    sdpa(q, k, v)
    return sdpa(q, k, v)

def wrong(q, k, v):
    return 2 * sdpa(q, k, v)

def greedy(q, k, v):
    held = torch.ones(1 << 20)
    return sdpa(q, k, v) * held[0]

CALLS = 0

def dies_later(q, k, v):
    global CALLS
    CALLS += 1
    if CALLS > 60 and "attnbench" in os.environ.get("WHERE", "attnbench"):
        os._exit(9)
    return sdpa(q, k, v)
"""


@pytest.fixture
def kernels(tmp_path):
    (tmp_path / "kernels.py").write_text(KERNELS)
    return tmp_path


def command(*words):
    return [sys.executable, "-m", "bench", "compare", *map(str, words)]


def compare(*words, folder):
    done = run(
        [*command(*words), "--out", str(folder / "out"), "--json", str(folder / "judged.json")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    judged = json.loads((folder / "judged.json").read_text()) if (folder / "judged.json").exists() else None
    return done, judged


def found(judged):
    return {(one["about"], one["verdict"]) for one in judged["findings"]}


def test_a_against_itself_is_unchanged(kernels):
    name = f"{kernels}/kernels.py:plain"
    done, judged = compare(name, name, "--case", CASE, folder=kernels)
    assert done.returncode == 0, done.stderr
    assert found(judged) == {("time", "UNCHANGED")}
    assert judged["findings"][0]["trials"] >= 6
    assert any("A and B are the same" in note for note in judged["notes"])
    page, journal = (kernels / "out" / one for one in ("comparison.html", "trials.jsonl"))
    assert page.read_text(encoding="utf-8").count("<title>screen") == 2 * (
        len(journal.read_text().splitlines()) - 1
    )
    assert done.stderr.splitlines()[-1] == f"page: {page}"


def test_a_slower_candidate_fails_the_command_and_the_junit_file(kernels):
    path = f"{kernels}/kernels.py"
    junit = kernels / "gate.xml"
    done, judged = compare(f"{path}:plain", f"{path}:twice", "--case", CASE, "--junit", junit, folder=kernels)
    assert done.returncode == 1, done.stderr
    assert ("time", "REGRESSED") in found(judged)
    (slow,) = [one for one in judged["findings"] if one["about"] == "time"]
    assert 1.5 < slow["low"] < slow["ratio"] < slow["high"] < 6
    assert int(ET.parse(junit).getroot().find(".//testsuite").get("failures")) >= 1
    assert "REGRESSED" in done.stdout


def test_a_wrong_candidate_is_a_finding_of_its_own_and_never_timed(kernels):
    path = f"{kernels}/kernels.py"
    done, judged = compare(f"{path}:plain", f"{path}:wrong", "--case", CASE, folder=kernels)
    assert done.returncode == 1
    assert found(judged) == {("wrong", "REGRESSED")}
    assert len((kernels / "out" / "trials.jsonl").read_text().splitlines()) == 1


def test_memory_that_grew_is_another_finding(kernels):
    path = f"{kernels}/kernels.py"
    done, judged = compare(f"{path}:plain", f"{path}:greedy", "--case", CASE, folder=kernels)
    assert done.returncode == 1
    assert ("memory", "REGRESSED") in found(judged)


def test_a_candidate_that_dies_while_it_is_timed_is_told_with_how(kernels):
    path = f"{kernels}/kernels.py"
    done, judged = compare(f"{path}:plain", f"{path}:dies_later", "--case", CASE, folder=kernels)
    assert done.returncode == 1, done.stderr
    (finding,) = [one for one in judged["findings"] if one["about"] == "status"]
    assert "exited with code 9" in finding["reason"]


def test_where_neither_side_can_nothing_was_compared(kernels):
    path = f"{kernels}/kernels.py"
    causal = CASE.replace("full", "causal")
    done, judged = compare(f"{path}:plain", f"{path}:twice", "--case", causal, folder=kernels)
    assert done.returncode == 4
    assert "nothing was compared" in judged["invalid_reason"]
    assert "nothing was compared" in done.stdout


def test_a_spent_budget_is_undecided_and_resumed(kernels):
    name = f"{kernels}/kernels.py:plain"
    done, judged = compare(name, name, "--case", CASE, "--time-budget", "0.001", folder=kernels)
    assert done.returncode == 4, done.stderr
    (finding,) = judged["findings"]
    assert finding["verdict"] == "UNDECIDED"
    assert "left out: the time was up before it was checked" in finding["reason"]
    done, judged = compare(name, name, "--case", CASE, "--resume", folder=kernels)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("sdpa_flush", "sdpa_flash"), "did you mean sdpa_flash"),
        (("HEAD", "sdpa_flash"), "unknown implementation 'HEAD'"),
        (("sdpa_flash", "sdpa_flash", "--threads", "0"), "--threads 0"),
        (("sdpa_flash", "sdpa_flash", "--repo", "."), "--impl"),
        (("sdpa_flash", "sdpa_flash", "--case", "nonsense"), "nonsense"),
        (("no-such-revision", "HEAD", "--impl", "sdpa_flash"), "no-such-revision"),
        (("sdpa_flash", "sdpa_flash", "--time-budget", "soon"), "soon"),
    ],
)
def test_bad_input_is_one_clear_refusal(words, told, tmp_path):
    done = run(command(*words), cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def test_a_comparison_of_other_sides_is_not_gone_on_with(kernels):
    path = f"{kernels}/kernels.py"
    compare(f"{path}:plain", f"{path}:plain", "--case", CASE, "--time-budget", "0.001", folder=kernels)
    done, _ = compare(f"{path}:plain", f"{path}:twice", "--case", CASE, "--resume", folder=kernels)
    assert done.returncode == 2
    assert "implementation of B" in done.stderr


def run(*arguments, **options):
    return subprocess.run(*arguments, check=False, **options)


def git(folder, *words):
    subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def project(tmp_path):
    """A stranger's repository: `before` is fast, `after` does the work three times."""
    folder = tmp_path / "a project"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    git(folder, "config", "user.email", "a@b.c")
    git(folder, "config", "user.name", "a")
    for tag, body in (
        ("before", "return sdpa(q, k, v)"),
        ("after", "sdpa(q, k, v); sdpa(q, k, v); return sdpa(q, k, v)"),
    ):
        (folder / "work.py").write_text(
            f"from torch.nn.functional import scaled_dot_product_attention as sdpa\ndef work(q, k, v):\n    {body}\n"
        )
        (folder / "kernel.py").write_text(
            "from work import work\ndef attention(q, k, v):\n    return work(q, k, v)\n"
        )
        git(folder, "add", ".")
        git(folder, "commit", "-qm", tag)
        git(folder, "tag", tag)
    return folder


def revisions(project, a, b):
    return (a, b, "--impl", "kernel.py:attention", "--repo", project, "--case", CASE)


def test_two_revisions_of_another_repository(project, tmp_path):
    done, judged = compare(*revisions(project, "before", "after"), folder=tmp_path)
    assert done.returncode == 1, done.stderr
    (slow,) = [one for one in judged["findings"] if one["about"] == "time"]
    assert slow["verdict"] == "REGRESSED"
    assert 1.5 < slow["ratio"] < 6
    assert judged["baseline"].startswith("before (")
    assert (
        len(run(["git", "worktree", "list"], cwd=project, capture_output=True, text=True).stdout.splitlines()) == 1
    )


def test_a_candidate_that_does_not_import_is_a_finding_and_told_by_its_revision(project, tmp_path):
    (project / "kernel.py").write_text("def attention(q, k, v)\n")
    git(project, "commit", "-qam", "broken")
    done, judged = compare(*revisions(project, "after", "HEAD"), folder=tmp_path)
    assert done.returncode == 1, done.stderr
    (finding,) = judged["findings"]
    assert (finding["about"], finding["verdict"]) == ("status", "REGRESSED")
    assert "kernel.py does not import: SyntaxError" in finding["reason"]
    assert tempfile.gettempdir() not in finding["reason"]
    done, _ = compare(*revisions(project, "HEAD", "HEAD"), folder=tmp_path / "both")
    assert done.returncode == 2
    assert done.stderr.startswith("Error: HEAD (")


def test_killed_half_way_it_leaves_nothing_behind_and_goes_on(project, tmp_path):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    words = [*command(*revisions(project, "before", "before")), "--out", str(tmp_path / "out")]
    environment = {**os.environ, "TMPDIR": str(scratch), "ATTNBENCH_TEST_MARK": str(tmp_path)}
    process = subprocess.Popen(
        words, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    for line in process.stderr:
        if "screen 2" in line:
            break
    process.send_signal(signal.SIGKILL)
    process.communicate()
    until = time.monotonic() + 20
    while time.monotonic() < until and (left := leftovers(project, scratch, str(tmp_path))):
        time.sleep(0.1)
    assert not left
    done = run([*words, "--resume"], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    trials = [json.loads(line) for line in (tmp_path / "out" / "trials.jsonl").read_text().splitlines()[1:]]
    numbers = [one["number"] for one in trials]
    assert numbers == list(range(1, len(numbers) + 1))
    assert len(numbers) >= 6
    assert not leftovers(project, scratch, str(tmp_path))


def leftovers(project, scratch, mark):
    worktrees = run(["git", "worktree", "list"], cwd=project, capture_output=True, text=True).stdout
    processes = []
    for one in psutil.process_iter():
        try:
            if one.pid != os.getpid() and one.environ().get("ATTNBENCH_TEST_MARK") == mark:
                processes.append(one.pid)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return [*worktrees.splitlines()[1:], *map(str, scratch.iterdir()), *processes]


def test_ctrl_c_finishes_the_launch_in_hand(kernels):
    name = f"{kernels}/kernels.py:plain"
    words = [*command(name, name, "--case", CASE), "--out", str(kernels / "out")]
    process = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    for line in process.stderr:
        if "screen 1" in line:
            break
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "go on with --out" in told
    assert tempfile.gettempdir() not in told.replace(str(kernels), "")
