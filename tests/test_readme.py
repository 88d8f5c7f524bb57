"""Every command of the README, in order, as a reader types it into a fresh clone.

``tox -e readme`` runs this where only the project's own dependencies are installed. Sizes and
budgets are made small, and comparisons that have none get one; nothing else is changed.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not shutil.which("attnbench"), reason="tox -e readme installs the command attnbench"),
]

SMALLER = {
    "--sweep quick": "--sweep 'tiny sweep.toml'",
    "--time-budget 10m": "--time-budget 30s",
    "compare main HEAD": "compare --time-budget 30s main HEAD",
    "compare HEAD~1 HEAD": "compare --time-budget 30s HEAD~1 HEAD",
    "compare origin/main HEAD": "compare --time-budget 30s origin/main HEAD",
    "--context 1k": "--context 32",
    "--q-len 128:512:x2": "--q-len 16:32:x2",
    "python -m bench sweep quick": "python -m bench sweep 'tiny sweep.toml'",
}
TINY = "[[cases]]\nq_len = [16, 24]\nq_heads = 2\nhead_dim = 8\n"
NOT_RUN = {
    "pip install tox && tox -e bench": "the main job: what CI does before these tests",
    "tox": "these tests are a part of it",
}
MAY_END_WITH = {"compare": {0, 1, 4}, "gate": {0, 1, 4}, "$ python": {1}}
"""Verdicts on times may differ on a busy machine; the example with `$` shows a wrong kernel."""

KERNEL = """
import torch


def attention(q, k, v, *, causal=False, scale=None):
    groups = q.shape[1] // k.shape[1]
    k, v = (x.repeat_interleave(groups, 1).float() for x in (k, v))
    s = q.float() @ k.mT * (q.shape[-1] ** -0.5 if scale is None else scale)
    if causal:
        s = s.masked_fill(torch.ones(s.shape[-2:], dtype=bool).triu(1 + s.shape[-1] - s.shape[-2]), -torch.inf)
    return (torch.nan_to_num(torch.softmax(s, -1)) @ v).to(q.dtype)
"""


def commands():
    """The command lines of the README's console blocks, without comments and output."""
    for block in re.findall(r"```console\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL):
        lines = block.splitlines()
        if lines[0].startswith("$ "):
            lines = lines[:1]
        yield from (re.sub(r"\s{2,}#.*$", "", line) for line in lines if line.strip())


def git(folder, *words):
    who = ("-c", "user.name=A Reader", "-c", "user.email=reader@example.org")
    subprocess.run(["git", *who, *words], cwd=folder, check=True, capture_output=True)


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """A fresh clone with a kernel of the reader's in it, and a project beside it with two commits."""
    folder = tmp_path_factory.mktemp("a reader")
    git(folder, "clone", "-q", ROOT, "attnbench")
    project = folder / "my-project"
    (project / "kernels").mkdir(parents=True)
    git(project, "init", "-q", "-b", "main", ".")
    for version in ("1", "2"):
        (project / "kernels" / "attention.py").write_text(f"# {version}\n{KERNEL}")
        git(project, "add", ".")
        git(project, "commit", "-q", "-m", version)
    git(project, "update-ref", "refs/remotes/origin/main", "HEAD~1")
    (folder / "attnbench" / "my_kernel.py").write_text(KERNEL)
    (folder / "attnbench" / "tiny sweep.toml").write_text(TINY)
    return folder / "attnbench"


def test_every_command_runs(clone):
    tried, where = 0, clone
    for line in commands():
        if line in NOT_RUN:
            continue
        for old, new in SMALLER.items():
            line = line.replace(old, new)  # noqa: PLW2901 - the same command, smaller
        allowed = next((codes for words, codes in MAY_END_WITH.items() if words in line), {0})
        if line.startswith("cd "):
            where = (where / line.removeprefix("cd ")).resolve()
            continue
        where = where if line.startswith("attnbench") else clone
        done = shell(line.removeprefix("$ "), where)
        assert done.returncode in allowed, f"{line}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr + done.stdout, line
        tried += 1
    assert tried > 15


def shell(line, folder):
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(
        ["/bin/sh", "-c", line], cwd=folder, env=variables, capture_output=True, text=True, timeout=600, check=False
    )
