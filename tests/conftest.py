"""What tests share: the command line as a user calls it."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

SLOW = {
    "bench/cli/test_conventions.py": "whole commands, a worker for each kernel",
    "bench/cli/test_declared.py": "whole commands, a worker for each kernel",
    "bench/cli/test_door.py": "whole default checks",
    "bench/codegen/test_planted.py": "compiles kernels",
    "bench/gate/test_compare.py": "whole comparisons, three processes a trial",
    "bench/gate/test_pytest_gate.py": "sessions within the session, which pytest-benchmark does not time under xdist",
    "bench/gate/test_reaper.py": "processes that are killed",
    "bench/gate/test_selfcheck.py": "real trials",
    "bench/test_interpreter.py": "Triton's interpreter",
    "bench/test_pytest_bench.py": "sessions of pytest",
    "bench/test_run.py": "whole runs",
    "impls/test_features.py": "every feature of every implementation, compiled ones too",
    "impls/test_flash_attn2.py": "Triton's interpreter",
    "impls/test_triton_fused.py": "Triton's interpreter",
    "mutants/": "every planted defect that the default suite tries",
    "reports/test_page.py": "a browser",
    "reports/verdicts/test_page.py": "a browser",
    "soundness/": "hundreds of honest comparisons",
}
"""Files that ``tox -e quick`` leaves out, each with what takes its time."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of :data:`SLOW`."""
    for item in items:
        place = item.path.relative_to(ROOT / "tests").as_posix() if item.path.is_relative_to(ROOT / "tests") else ""
        if place.startswith(tuple(SLOW)):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def bench() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run ``python -m bench ...`` as a user does; `cwd` defaults to the checkout."""

    def run(*arguments: object, cwd: Path = ROOT, timeout: float = 200) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "bench", *map(str, arguments)],
            cwd=cwd,
            env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200"},
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    return run


@pytest.fixture(scope="session")
def fresh() -> Callable[[str], str]:
    """Run a line of Python in a process of its own and return what it printed."""

    def run(code: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=100, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    return run


@pytest.fixture(scope="session")
def kernels() -> Path:
    """Folder of kernels as strangers write them: right ones, wrong ones, and hostile ones."""
    return ROOT / "tests" / "kernels"
