"""Git revisions as the sides of a comparison: each in a worktree of its own, built, and removed afterwards. No torch."""

import json
import os
import re
import secrets
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import psutil

from attnbench.bench.gate.paired.git import Repository, RevisionError, repository
from attnbench.bench.records.trial import Side
from attnbench.bench.registry.loading import is_user_file
from attnbench.bench.workers.reaper import WORKTREES, clear, remove_worktree
from attnbench.bench.workers.scratch import LOCK, ownerless, scratch
from attnbench.bench.workers.setting import PLAIN, Setting

AS_IT_IS = frozenset({"WORKTREE", "."})
"""Names of the working tree as it is, where a revision is expected."""

SETUP_TIMEOUT_S = 1800.0
OUTPUT_LINES = 20
DAY_S = 86400.0
OURS = re.compile(r"attnbench-tree-[0-9a-f]{16}-\d+")
CACHES = {
    "TRITON_CACHE_DIR": "triton",
    "TORCHINDUCTOR_CACHE_DIR": "inductor",
    "TORCH_EXTENSIONS_DIR": "extensions",
    "ATTNBENCH_CODEGEN_CACHE": "codegen",
}
"""Variables and folders of the caches that each side has of its own; with shared ones the sides would mix."""


@dataclass(frozen=True)
class Tree:
    """One side's files.

    `label` is what the user wrote. `changes` is git's hash of the files where a working
    tree differs from its commit, '' otherwise. `notes` are for the reader.
    """

    label: str
    commit: str
    path: Path
    caches: Path
    repository: Path
    changes: str = ""
    setup: str = ""
    notes: tuple[str, ...] = ()

    @property
    def dirty(self) -> bool:
        """Whether it holds changes that no commit has."""
        return bool(self.changes)

    @property
    def name(self) -> str:
        """The name for messages: ``main (0123456789ab)``."""
        return f"{self.label} ({self.commit[:12]}{' with changes' if self.dirty else ''})"

    @property
    def triton_cache(self) -> Path:
        """Where Triton keeps what it compiled for this side."""
        return self.caches / CACHES["TRITON_CACHE_DIR"]

    @property
    def variables(self) -> tuple[tuple[str, str], ...]:
        """The environment of everything that runs for this side."""
        return tuple((name, str(self.caches / folder)) for name, folder in CACHES.items())

    def setting(self, base: Setting = PLAIN) -> Setting:
        """The setting of a worker that runs this side's implementations."""
        return replace(base, tree=self.path, revision=self.name, variables=(*base.variables, *self.variables))

    def side(self, implementation: str) -> Side:
        """What a journal keeps of this side."""
        return Side(
            implementation=implementation,
            revision=self.label,
            commit=self.commit,
            changes=self.changes,
            repository=str(self.repository),
            setup=self.setup,
        )

    def why_not(self, implementation: str) -> str | None:
        """Why this tree can't have an implementation, before anything is started; None where it may."""
        if is_user_file(implementation):
            file = implementation.rpartition(":")[0] if ".py:" in implementation else implementation
            if Path(file).is_absolute():
                return (
                    f"{file}: give the file relative to the root of the repository, so that each side has its own"
                )
            return None if (self.path / file).is_file() else f"{self.name} has no file {file}"
        if not (self.path / "impls" / "contract").is_dir():
            return (
                f"{self.name} is no checkout of attnbench, so that {implementation!r} names nothing in it: "
                "give FILE.py:FUNCTION, relative to its root"
            )
        return None


@contextmanager
def checked_out(
    repo: Path, revisions: Sequence[str], setup: str = "", timeout_s: float = SETUP_TIMEOUT_S
) -> Iterator[tuple[Tree, ...]]:
    """The trees of `revisions`, in order, each with `setup` run in it; gone when the context or the process ends.

    A revision is what ``git rev-parse`` takes, or ``WORKTREE`` or ``.``: the working tree as it
    is, in place, where no setup is run. The same commit twice gives two trees.

    Raises:
        RevisionError: no git, no repository, an unknown revision, or a setup that failed.
    """
    found = repository(repo)
    commits = [found.commit("HEAD" if one in AS_IT_IS else one) for one in revisions]
    if found.bare and AS_IT_IS & set(revisions):
        raise RevisionError(f"{found.root} is a bare repository: it has no working tree to compare")
    remove_ownerless(found)
    with scratch() as folder:
        trees: list[Tree] = []
        for number, (revision, commit) in enumerate(zip(revisions, commits, strict=True)):
            make = _as_it_is if revision in AS_IT_IS else _worktree
            tree = make(found, revision, commit, folder, number, setup)
            tree.caches.mkdir()
            trees.append(replace(tree, notes=(*tree.notes, *_twice(tree, trees))))
        for tree in trees:
            if tree.setup:
                _set_up(tree, folder, timeout_s)
        yield tuple(trees)


def _twice(tree: Tree, before: Sequence[Tree]) -> tuple[str, ...]:
    same = [one.label for one in before if (one.commit, one.changes) == (tree.commit, tree.changes)]
    return (f"{tree.label} is the same as {same[0]}: any difference is a false alarm (A/A)",) if same else ()


def _worktree(found: Repository, label: str, commit: str, folder: Path, number: int, setup: str) -> Tree:
    path = folder / f"attnbench-tree-{secrets.token_hex(8)}-{number}"
    with (folder / WORKTREES).open("a", encoding="utf-8") as file:  # before it is made, for the reaper
        file.write(json.dumps([str(found.common), str(path)]) + "\n")
    found.git("worktree", "add", "--detach", "--force", str(path), commit)
    inside = [] if setup else found.submodules(commit)
    bring = "--setup 'git submodule update --init --recursive' brings them"
    notes = (f"{label} has submodules ({', '.join(inside)}), which are not checked out: {bring}",) if inside else ()
    return Tree(label, commit, path, folder / f"caches-{number}", found.root, setup=setup, notes=notes)


def _as_it_is(found: Repository, label: str, commit: str, folder: Path, number: int, setup: str) -> Tree:
    files = found.files_hash(folder / f"files-{number}")
    changes = "" if files == found.git("rev-parse", f"{commit}^{{tree}}") else files
    unbuilt = f"{label} is the working tree as it is: --setup is not run in it, build it yourself"
    notes = (unbuilt,) if setup else ()
    return Tree(label, commit, found.root, folder / f"caches-{number}", found.root, changes=changes, notes=notes)


def _set_up(tree: Tree, folder: Path, timeout_s: float) -> None:
    """Run the setup in its tree, in a process group that ends with it."""
    log = folder / f"setup-{tree.caches.name}.log"
    environment = {
        **os.environ,
        **dict(tree.variables),
        "ATTNBENCH_TREE": str(tree.path),
        "ATTNBENCH_REVISION": tree.label,
        "ATTNBENCH_COMMIT": tree.commit,
    }
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["/bin/sh", "-c", tree.setup],
            cwd=tree.path,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            process_group=0,
        )
        try:
            code = process.wait(timeout_s)
            ended = f"ended with exit code {code}" if code >= 0 else f"was killed by {signal.Signals(-code).name}"
        except subprocess.TimeoutExpired:
            code, ended = 1, f"did not end within {timeout_s:g} s"
        finally:
            _end_group(process)
    if code:
        lines = log.read_text(errors="replace").splitlines()
        shown = "\n".join(f"  {line}" for line in lines[-OUTPUT_LINES:]) or "  (it printed nothing)"
        left_out = f", its last {OUTPUT_LINES} of {len(lines)} lines" if len(lines) > OUTPUT_LINES else ""
        raise RevisionError(f"the setup of {tree.name} {ended}: {tree.setup}{left_out}\n{shown}")


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """Kill what is left in the process group of the setup."""
    with suppress(ProcessLookupError):  # all of it ended by itself
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def remove_ownerless(found: Repository) -> None:
    """Remove worktrees of comparisons that died with their machine, or whose scratch folder was swept away.

    A scratch folder that is there says by its lock whether somebody has it. One that isn't there may belong
    to a comparison in another container: its entry goes only when it is older than this machine's start, or a day.
    """
    entries = found.common / "worktrees"
    for entry in sorted(entries.iterdir()) if entries.is_dir() else ():
        if OURS.fullmatch(entry.name):
            with suppress(FileNotFoundError):  # it went with another one, or another start clears up as well
                _remove_ownerless(found, entry)


def _remove_ownerless(found: Repository, entry: Path) -> None:
    tree = _tree_of(entry)
    if tree is not None and (tree.parent / LOCK).exists():
        for folder in ownerless(tree.parent.parent):
            if folder == tree.parent:
                clear(str(folder))
    elif entry.stat().st_mtime < max(psutil.boot_time(), time.time() - DAY_S):
        remove_worktree(str(found.common), str(tree or entry))


def _tree_of(entry: Path) -> Path | None:
    """Where git's entry says that its worktree is; None for an entry that was never finished."""
    try:
        return Path((entry / "gitdir").read_text().strip()).parent
    except OSError:
        return None
