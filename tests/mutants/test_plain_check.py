"""A slice of ``python -m tests.mutants.door``: the cases that a default check makes show a planted defect."""

from pathlib import Path

import pytest

from attnbench.bench.agreement.oracle import Oracle
from attnbench.bench.registry.user_file import load_user_file
from attnbench.impls.contract import parse_case
from tests.mutants.door import Door, plantings
from tests.soundness.strangers import EVERYTHING

EVERY_SO_MANY = 23
UNSEEN = {
    "accumulator_low": "only values of 1 over thousands of keys show it",
    "head_dim_tail_of_8": "the cases keep to multiples of 8, which many kernels require",
}
"""Defects that a default check does not show, each with why; docs/agreement.md names them."""


def param(path, mutant):
    reason = UNSEEN.get(mutant.name)
    marks = [pytest.mark.xfail(reason=reason)] if reason else []
    return pytest.param(path, mutant, id=Path(path).name, marks=marks)


SLICE = [param(path, mutant) for path, mutant in plantings().items() if mutant.case][::EVERY_SO_MANY]


@pytest.fixture(scope="module")
def door(tmp_path_factory):
    return Door(Oracle(tmp_path_factory.mktemp("expected")))


@pytest.mark.parametrize(("path", "mutant"), SLICE)
def test_the_default_check_shows_a_planted_defect(path, mutant, door):
    assert door.first_failure(load_user_file(path), parse_case(mutant.case))


@pytest.mark.parametrize("path", EVERYTHING, ids=lambda path: Path(path).stem)
def test_the_default_check_flags_no_honest_kernel_that_declares_everything(path, door):
    kernel = load_user_file(path)
    some = door.asks(kernel)[len(path) % 40 :: 40]
    assert [wrong for _, wrong in door.judged(kernel, some) if wrong] == []


def test_the_command_shows_one_and_stops_there(bench):
    path = next(path for path in plantings() if path.endswith("features.py:sinks_ignored__alone"))
    done = bench("check", "--impl", path, "--exitfirst")
    assert done.returncode == 1
    assert "WRONG" in done.stdout
    assert "sinks" in done.stdout
