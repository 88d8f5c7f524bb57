"""Two sets of facts side by side: configurations, revisions, or Triton versions."""

import io
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from attnbench.bench.codegen.facts import Facts


class DiffError(ValueError):
    """A side that can't be compared; the message says what it may be."""


REVISION = "git:"
"""``git:main`` is this repository's kernels as of that revision."""


@contextmanager
def revision(name: str, repository: Path) -> Iterator[str]:
    """A folder with the implementations as of a git revision, to import kernels from.

    Raises:
        DiffError: git doesn't know the revision.
    """
    command = ["git", "-C", str(repository), "archive", name.removeprefix(REVISION), "impls"]
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode:
        raise DiffError(f"{name}: git archive says {done.stderr.decode().strip()}")
    with tempfile.TemporaryDirectory(prefix="attnbench-revision-") as folder:
        with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
            archive.extractall(folder, filter="data")
        yield folder


def pairs(a: Sequence[Facts], b: Sequence[Facts]) -> list[tuple[Facts, Facts]]:
    """What to set side by side: one with one whatever they are called, or else those with the same id.

    Raises:
        DiffError: nothing fits.
    """
    if len(a) == len(b) == 1:
        return [(a[0], b[0])]
    named = {facts.id: facts for facts in b}
    found = [(facts, named[facts.id]) for facts in a if facts.id in named]
    if not found:
        raise DiffError(
            f"A has {len(a)} configurations, B has {len(b)}, and none has the same kernel, target and configuration"
        )
    return found


def chosen(facts: Sequence[Facts], pattern: str) -> list[Facts]:
    """Those whose id contains every part of `pattern` between slashes, as in ``sm_90/forward-d128``.

    Raises:
        DiffError: there is none.
    """
    found = [f for f in facts if all(part in f.id for part in pattern.split("/"))]
    if not found:
        raise DiffError(f"no configuration matches {pattern!r}; there is {', '.join(f.id for f in facts[:6])} …")
    return found
