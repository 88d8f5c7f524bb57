"""Tiny git repositories, made in milliseconds."""

import os
import subprocess

import pytest


class Checkout:
    """A git repository in a folder of its own, with the user's configuration left out."""

    def __init__(self, path):
        self.path = path
        path.mkdir()
        self.git("init", "-q", "-b", "main")

    def git(self, *arguments):
        identity = {f"GIT_{who}_{what}": "x@x" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        environment = {**os.environ, **identity, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
        done = subprocess.run(
            ["git", *arguments], cwd=self.path, env=environment, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    def write(self, files):
        for name, text in files.items():
            file = self.path / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)

    def commit(self, name, files=()):
        """Commit these files and tag the commit `name`."""
        self.write(dict(files))
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", name)
        self.git("tag", name)
        return self.git("rev-parse", "HEAD")

    def worktrees(self):
        return self.git("worktree", "list", "--porcelain").count("worktree ")

    @property
    def entries(self):
        """What git keeps of worktrees, also of broken ones that it does not list."""
        folder = self.path / ".git" / "worktrees"
        return sorted(entry.name for entry in folder.iterdir()) if folder.is_dir() else []


@pytest.fixture
def repo(tmp_path, monkeypatch):
    """A repository with two tagged commits; scratch folders go below `tmp_path`."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setenv("TMPDIR", str(scratch))
    monkeypatch.setattr("tempfile.tempdir", None)
    made = Checkout(tmp_path / "repo")
    made.scratch = scratch
    made.commit("one", {"kernel.py": "VALUE = 1\n"})
    made.commit("two", {"kernel.py": "VALUE = 2\n"})
    return made
