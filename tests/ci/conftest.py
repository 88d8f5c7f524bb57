"""A runner as GitHub lays it out: files for outputs and the summary, a workspace, and a harness that is a stub."""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / ".github" / "action"


@dataclass
class Runner:
    """Where a step runs."""

    folder: Path
    variables: dict[str, str] = field(default_factory=dict)

    @property
    def workspace(self) -> Path:
        return self.folder / "workspace"

    @property
    def harness(self) -> Path:
        return self.folder / "harness"

    @property
    def summary(self) -> str:
        return (self.folder / "summary").read_text(encoding="utf-8")

    @property
    def outputs(self) -> dict[str, str]:
        """Outputs as GitHub reads them: NAME=VALUE, or NAME<<END, lines, END."""
        found, rest = {}, (self.folder / "output").read_text(encoding="utf-8").splitlines()
        while rest:
            line = rest.pop(0)
            if "<<" not in line:
                name, _, found[name] = line.partition("=")
                continue
            name, end = line.split("<<", 1)
            at = rest.index(end)
            found[name], rest = "\n".join(rest[:at]), rest[at + 1 :]
        return found

    @property
    def environment(self) -> dict[str, str]:
        """What GitHub gives a step, over what the tests need of this machine."""
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        return {
            **kept,
            "GITHUB_ACTIONS": "true",
            "GITHUB_OUTPUT": str(self.folder / "output"),
            "GITHUB_STEP_SUMMARY": str(self.folder / "summary"),
            "GITHUB_ENV": str(self.folder / "env"),
            "RUNNER_TEMP": str(self.folder / "temp"),
            "RUNNER_OS": "Linux",
            "RUNNER_ARCH": "X64",
            "REPOSITORY": str(self.workspace),
            "HARNESS": str(self.harness),
            "GIT_CONFIG_GLOBAL": os.devnull,
            **self.variables,
        }

    def run(self, script: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run one of the action's scripts as its step does."""
        path = SCRIPTS / script
        return subprocess.run(
            [sys.executable, str(path)] if path.suffix == ".py" else [str(path)],
            env={**self.environment, **variables},
            cwd=self.workspace,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    for name in ("workspace", "harness", "temp"):
        (tmp_path / name).mkdir()
    for name in ("output", "summary"):
        (tmp_path / name).touch()
    return Runner(tmp_path)


@pytest.fixture(scope="session")
def git() -> Callable[..., str]:
    """Run git in a folder, as nobody in particular."""

    def run(folder: Path, *arguments: object) -> str:
        who = [word for name in ("user.name", "user.email") for word in ("-c", f"{name}=nobody@example.org")]
        return subprocess.run(
            ["git", "-C", str(folder), *who, *map(str, arguments)],
            check=True,
            capture_output=True,
            text=True,
            env={**os.environ, "GIT_CONFIG_GLOBAL": os.devnull},
        ).stdout.strip()

    return run
