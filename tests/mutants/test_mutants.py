"""Every planted defect is caught by the check that it names, and the same kernel without it passes."""

from functools import cache

import pytest

from attnbench.bench.agreement.check import check
from attnbench.bench.agreement.oracle import Oracle
from attnbench.bench.registry.user_file import load_user_file
from attnbench.impls.contract import parse_case
from tests.mutants.matrix import COLUMNS, columns, kill, killers
from tests.mutants.table import MUTANTS, module


@pytest.fixture(scope="module")
def oracle():
    return Oracle()


@cache
def mended(path, case, oracle):
    return check(load_user_file(path), parse_case(case), oracle).agreement


FOUND = {}


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: f"{m.file}-{m.name}")
def test_is_caught_by_the_check_that_it_names(mutant, oracle):
    FOUND[mutant] = kill(mutant, oracle)
    assert mutant.by in FOUND[mutant]


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: f"{m.file}-{m.name}")
def test_passes_when_mended(mutant, oracle):
    assert killers(mended(mutant.mended, mutant.case, oracle)) == ()


def test_there_are_at_least_fifty_and_each_defect_of_each_kernel_is_in_the_table():
    assert len(MUTANTS) >= 50
    for file in {mutant.file for mutant in MUTANTS}:
        assert {m.name for m in MUTANTS if m.file == file} == set(module(file).DEFECTS)


def test_kill_matrix_is_printed_and_each_column_kills(capsys):
    if len(FOUND) < len(MUTANTS):
        pytest.skip("the matrix is that of a whole run")
    with capsys.disabled():
        print()
        for mutant, found in FOUND.items():
            hit = columns(found)
            print(f"{mutant.file + ' ' + mutant.name:36}", *("x" if hit[c] else "." for c in COLUMNS))
    assert all(any(columns(found)[c] for found in FOUND.values()) for c in COLUMNS)


def test_the_published_tutorials_mistake_is_named_in_words_that_help():
    mutant = MUTANTS[0]
    assert mutant.name == "tutorial_triangle"
    found = check(load_user_file(mutant.path), parse_case(mutant.case), Oracle()).agreement.failures
    hint = next(f.hint for f in found if f.output == "out" and f.family == "normal")
    for words in ("triangle is inverted", "HIDDEN", "sees only later keys", "last row", "NaN", "tril"):
        assert words in hint
