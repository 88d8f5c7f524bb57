"""The hash of the measuring code: it moves with what measures, and with nothing else."""

import shutil
from pathlib import Path

import pytest

from attnbench.bench.timing import harness as module
from attnbench.bench.timing.harness import MEASURING, harness


@pytest.fixture
def copy(tmp_path):
    source = Path(module.__file__).parents[1]
    shutil.copytree(source, tmp_path / "bench", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path / "bench"


@pytest.mark.parametrize("name", MEASURING)
def test_a_change_of_measuring_code_is_another_harness(copy, name):
    assert harness(copy) == harness()
    (copy / name).write_text((copy / name).read_text() + "\n")
    assert harness(copy) != harness()


def test_code_that_only_tells_and_line_ends_are_none_of_it(copy):
    (copy / "cli" / "run.py").write_text("")
    (copy / "case_run.py").write_bytes((copy / "case_run.py").read_bytes().replace(b"\n", b"\r\n"))
    assert harness(copy) == harness()
