"""Revisions side by side: resolved, checked out, built, named, and gone."""

import subprocess
import time
from pathlib import Path

import psutil
import pytest

from attnbench.bench.gate.paired import git
from attnbench.bench.gate.paired.git import RevisionError
from attnbench.bench.gate.paired.revisions import checked_out

ROOT = Path(__file__).parents[3]


def gone(repo):
    return repo.worktrees() == 1 and not repo.entries and not list(repo.scratch.iterdir())


def test_each_side_has_its_own_files_and_caches_and_leaves_nothing(repo):
    repo.git("checkout", "-q", "-b", "topic")
    status = repo.git("status", "--porcelain")
    with checked_out(repo.path, ("one", "main")) as (a, b):
        assert (a.path / "kernel.py").read_text() == "VALUE = 1\n"
        assert (b.path / "kernel.py").read_text() == "VALUE = 2\n"
        assert a.commit == repo.git("rev-parse", "one")
        assert a.name == f"one ({a.commit[:12]})"
        assert a.triton_cache != b.triton_cache
        assert not set(a.variables) & set(b.variables)
        assert not a.notes + b.notes
        assert repo.worktrees() == 3
        assert a.setting().tree == a.path
    assert gone(repo)
    assert repo.git("status", "--porcelain") == status
    assert repo.git("branch", "--show-current") == "topic"


def test_a_folder_inside_of_the_repository_stands_for_it(repo):
    repo.commit("three", {"sub/x.py": ""})
    with checked_out(repo.path / "sub", ("three",)) as (tree,):
        assert tree.repository == repo.path
        assert (tree.path / "kernel.py").is_file()


def test_an_error_of_the_comparison_leaves_nothing_either(repo):
    with pytest.raises(ZeroDivisionError), checked_out(repo.path, ("one", "two"), setup="mkdir -m 500 left"):
        1 / 0  # noqa: B018 - it is meant to raise
    assert gone(repo)


def test_a_hook_of_the_user_is_not_run(repo):
    hook = repo.path / ".git" / "hooks" / "post-checkout"
    hook.write_text("#!/bin/sh\nexit 9\n")
    hook.chmod(0o755)
    with checked_out(repo.path, ("one",)):
        pass


def test_the_variables_of_a_running_hook_lead_nowhere_else(repo, monkeypatch):
    monkeypatch.setenv("GIT_DIR", str(ROOT / ".git"))
    with checked_out(repo.path, ("one",)) as (tree,):
        assert (tree.path / "kernel.py").is_file()
        monkeypatch.delenv("GIT_DIR")


@pytest.mark.parametrize(
    ("revision", "words"),
    [
        ("oen", "unknown revision 'oen' in .*did you mean one"),
        ("topic", "did you mean origin/topic"),
        ("zzzzzzzz", "there are main, "),
        ("", "unknown revision ''"),
        ("--all", "unknown revision '--all'"),
        ("HEAD:kernel.py", "it is a blob, and a commit is needed"),
    ],
)
def test_an_unknown_revision_is_named_with_the_nearest(repo, revision, words):
    repo.git("update-ref", "refs/remotes/origin/topic", "HEAD")
    with pytest.raises(RevisionError, match=words), checked_out(repo.path, ("one", revision)):
        pass
    assert gone(repo)


def test_a_shallow_clone_is_told(repo, tmp_path):
    clone = tmp_path / "clone"
    repo.git("clone", "-q", "--depth=1", f"file://{repo.path}", str(clone))
    with (
        pytest.raises(RevisionError, match="this clone is shallow: `git fetch --unshallow`"),
        checked_out(clone, ("on",)),
    ):
        pass


def test_what_is_no_repository_is_said(tmp_path, monkeypatch, repo):
    with pytest.raises(RevisionError, match="there is no folder"), checked_out(tmp_path / "none", ("one",)):
        pass
    (tmp_path / "plain").mkdir()
    with pytest.raises(RevisionError, match="can't be used as a git repository: not a git"):
        checked_out(tmp_path / "plain", ("one",)).__enter__()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RevisionError, match="git is not installed"):
        git.repository(repo.path)


def test_a_bare_repository_has_revisions_but_no_working_tree(repo, tmp_path):
    bare = tmp_path / "bare"
    repo.git("clone", "-q", "--bare", str(repo.path), str(bare))
    with checked_out(bare, ("one", "two")) as (a, b):
        assert a.commit != b.commit
    with pytest.raises(RevisionError, match="is a bare repository"), checked_out(bare, ("one", "WORKTREE")):
        pass


@pytest.mark.parametrize("name", ["WORKTREE", "."])
def test_the_working_tree_is_taken_as_it_is(repo, name):
    with checked_out(repo.path, ("one", name), setup="touch built") as (_, clean):
        assert not clean.dirty
        assert clean.path == repo.path
        assert "--setup is not run in it" in clean.notes[0]
    repo.write({"kernel.py": "VALUE = 3\n"})
    before = repo.git("status", "--porcelain"), repo.git("count-objects")
    with checked_out(repo.path, ("one", name)) as (_, changed):
        assert changed.dirty
        assert "with changes" in changed.name
    repo.write({"new.py": ""})
    with checked_out(repo.path, (name,)) as (again,):
        assert again.changes not in ("", changed.changes)
    (repo.path / "new.py").unlink()
    assert (repo.git("status", "--porcelain"), repo.git("count-objects")) == before
    assert not (repo.path / "built").exists()
    assert gone(repo)


def test_the_same_commit_twice_is_an_a_a_comparison(repo):
    with checked_out(repo.path, ("two", "main")) as (a, b):
        assert a.path != b.path
        assert b.notes == ("main is the same as two: any difference is a false alarm (A/A)",)


def test_submodules_are_told_unless_a_setup_may_bring_them(repo):
    repo.git("update-index", "--add", "--cacheinfo", f"160000,{repo.git('rev-parse', 'one')},third/party")
    repo.git("commit", "-q", "-m", "submodule")
    with checked_out(repo.path, ("main",)) as (tree,):
        assert "has submodules (third/party), which are not checked out" in tree.notes[0]
    with checked_out(repo.path, ("main",), setup="true") as (tree,):
        assert not tree.notes


def test_the_setup_runs_in_each_tree_with_its_variables(repo):
    words = 'echo "$ATTNBENCH_REVISION $ATTNBENCH_COMMIT $TRITON_CACHE_DIR $PWD $ATTNBENCH_TREE" > built'
    with checked_out(repo.path, ("one", "two"), setup=words) as trees:
        for tree in trees:
            assert (tree.path / "built").read_text().split() == [
                tree.label, tree.commit, str(tree.triton_cache), str(tree.path), str(tree.path),
            ]  # fmt: skip


def test_a_setup_that_fails_shows_its_output_and_exit_code(repo):
    with (
        pytest.raises(RevisionError) as error,
        checked_out(repo.path, ("one", "two"), setup="seq 1 30; no-such; exit 7"),
    ):
        pass
    told = str(error.value)
    assert "the setup of one (" in told
    assert "exit code 7" in told
    assert "its last 20 of 31 lines" in told
    assert "no-such" in told
    assert gone(repo)


def test_a_setup_has_a_time_limit_and_takes_its_children_along(repo, tmp_path):
    words = f"sleep 100 & echo $! > {tmp_path}/pid; wait"
    start = time.monotonic()
    with (
        pytest.raises(RevisionError, match=r"did not end within 0\.5 s"),
        checked_out(repo.path, ("one",), words, 0.5),
    ):
        pass
    assert time.monotonic() - start < 5
    assert ended(int((tmp_path / "pid").read_text()))
    assert gone(repo)


def ended(pid):
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


@pytest.mark.parametrize(
    ("implementation", "words"),
    [
        ("kernel.py:f", None),
        ("other.py:f", r"one \(.*\) has no file other.py"),
        ("/elsewhere/kernel.py:f", "relative to the root"),
        ("masked_fill", "is no checkout of attnbench"),
    ],
)
def test_an_implementation_that_a_tree_cant_have_is_told_early(repo, implementation, words):
    import re

    with checked_out(repo.path, ("one",)) as (tree,):
        why = tree.why_not(implementation)
        assert (why is None) if words is None else re.search(words, why)


def test_nothing_here_imports_torch(fresh):
    assert (
        fresh(
            "import sys, attnbench.bench.gate.paired.revisions, attnbench.bench.gate.paired.journal; "
            "print('torch' in sys.modules)"
        )
        == "False"
    )


def test_this_repository_can_be_compared_with_itself():
    done = subprocess.run(["git", "-C", ROOT, "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("this checkout is no git repository")
    with checked_out(ROOT, ("HEAD",)) as (tree,):
        assert tree.why_not("masked_fill") is None
