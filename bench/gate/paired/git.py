"""The questions that a comparison asks git, with answers for the reader. No torch."""

import difflib
import subprocess
from dataclasses import dataclass
from pathlib import Path

from attnbench.bench.workers.reaper import git_environment

NEAREST = 3


class RevisionError(ValueError):
    """A repository or a revision that can't be compared; the message says what is wrong and what to do."""


@dataclass(frozen=True)
class Repository:
    """A git repository: `root` of its working tree (the bare folder without one) and the folder all worktrees share."""

    root: Path
    common: Path
    bare: bool

    def git(self, *arguments: str, **variables: str) -> str:
        """What a git command prints; raises RevisionError with what it complains of."""
        done = run_git(self.root, *arguments, **variables)
        if done.returncode:
            complaint = " ".join(done.stderr.split()) or f"exit code {done.returncode}"
            raise RevisionError(f"git {arguments[0]} in {self.root} failed: {complaint}")
        return done.stdout.strip()

    def commit(self, revision: str) -> str:
        """The full hash of the commit that `revision` names; raises RevisionError with the nearest names."""
        wanted = f"{revision}^{{commit}}"
        done = run_git(self.root, "rev-parse", "--verify", "--quiet", wanted)
        if done.returncode == 0 and revision:
            return done.stdout.split()[-1]
        raise RevisionError(f"unknown revision {revision!r} in {self.root}: {self._instead(revision)}")

    def _instead(self, revision: str) -> str:
        """What the user may have meant by a name that git doesn't know."""
        if (object_type := run_git(self.root, "cat-file", "-t", revision)).returncode == 0:
            return f"it is a {object_type.stdout.strip()}, and a commit is needed"
        names = self.git("for-each-ref", "--format=%(refname:short)").split()
        remote = [name for name in names if name.endswith(f"/{revision}")]
        if revision.startswith("-"):
            return "a name that begins with - is an option to git: give the commit's hash"
        near = remote or difflib.get_close_matches(revision, names, n=NEAREST, cutoff=0.4)
        offer = f"did you mean {', '.join(near)}?" if near else f"there are {', '.join(names[:8]) or 'no commits'}"
        if self.git("rev-parse", "--is-shallow-repository") == "true":
            offer += " (this clone is shallow: `git fetch --unshallow` brings the rest)"
        return offer

    def submodules(self, commit: str) -> list[str]:
        """Paths of the submodules of a commit."""
        rows = (row.split("\t", 1) for row in self.git("ls-tree", "-r", "-z", commit).split("\0") if row)
        return [path for about, path in rows if about.startswith("160000 ")]

    def files_hash(self, scratch: Path) -> str:
        """Git's hash of the files of the working tree as they are, untracked ones too, ignored ones not.

        Index and objects that this takes are made in `scratch`: the repository stays as it is.
        """
        objects = scratch / "objects"
        objects.mkdir(parents=True, exist_ok=True)
        variables = {
            "GIT_INDEX_FILE": str(scratch / "index"),
            "GIT_OBJECT_DIRECTORY": str(objects),
            "GIT_ALTERNATE_OBJECT_DIRECTORIES": str(self.common / "objects"),
        }
        self.git("add", "--all", ".", **variables)
        return self.git("write-tree", **variables)


def run_git(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """A git command in a folder, without the user's hooks; raises RevisionError where there is no git."""
    command = ["git", "-c", "core.hooksPath=/dev/null", "-C", str(folder), *arguments]
    environment = {**git_environment(), **variables}
    try:
        return subprocess.run(
            command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
    except FileNotFoundError as error:
        raise RevisionError("revisions can't be compared: git is not installed, or not on the PATH") from error


def repository(path: Path) -> Repository:
    """The repository that holds `path`; raises RevisionError where there is none."""
    if not path.is_dir():
        raise RevisionError(f"there is no folder {path}; --repo takes a git repository")
    done = run_git(path, "rev-parse", "--path-format=absolute", "--git-common-dir", "--is-bare-repository")
    if done.returncode:
        complaint = " ".join(done.stderr.split()).removeprefix("fatal: ")
        raise RevisionError(f"{path} can't be used as a git repository: {complaint}")
    common, bare = done.stdout.split("\n")[:2]
    root = common if bare == "true" else run_git(path, "rev-parse", "--show-toplevel").stdout.rstrip("\n")
    return Repository(Path(root).resolve(), Path(common).resolve(), bare == "true")
