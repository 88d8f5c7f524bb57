"""A slice of the defects in features: caught in both plantings, honest when mended, pairs right one by one.

``tox -e mutants`` tries all of them.
"""

import os

import msgspec
import pytest

from attnbench.bench.agreement.check import check
from attnbench.bench.agreement.oracle import Oracle
from attnbench.bench.registry.user_file import load_user_file
from attnbench.impls.contract import Causal, Dense, parse_case
from tests.mutants.features import FEATURES
from tests.mutants.matrix import killers
from tests.mutants.table import MUTANTS, module

EVERY = os.environ.get("ATTNBENCH_MUTANTS") == "all"
SLICE = [mutant for mutant in FEATURES if mutant.case][:: 1 if EVERY else 8]
PAIRS = [mutant for mutant in FEATURES if mutant.pair][:: 1 if EVERY else 4]

PLAIN = {
    "softcap": {"softcap": None},
    "scale": {"scale": None},
    "additive": {"bias": "none"},
    "alibi": {"bias": "none"},
    "sinks": {"sinks": False},
    "causal": {"mask": parse_case("b1-h1-s1-d8-full").mask},
    "window": {"mask": Causal()},
    "prefix": {"mask": Causal()},
    **{layout: {"layout": Dense()} for layout in ("cache", "paged", "padded", "packed")},
}
"""What a case without a feature has in its place."""


@pytest.fixture(scope="module")
def oracle():
    return Oracle()


def found(path, case, oracle):
    return killers(check(load_user_file(path), case, oracle).agreement)


@pytest.mark.parametrize("mutant", SLICE, ids=lambda m: f"{m.file}-{m.name}")
def test_is_caught_in_both_plantings_and_passes_when_mended(mutant, oracle):
    case = parse_case(mutant.case)
    for path in mutant.plantings:
        assert mutant.by in found(path, case, oracle)
    for path in (mutant.mended, f"{mutant.path}__mended"):
        assert found(path, case, oracle) == ()


def without(case, feature):
    """The same case without one of its features."""
    match feature:
        case "gqa":
            changes = {"kv_heads": case.q_heads}
        case "v_head_dim":
            changes = {"v_head_dim": case.head_dim}
        case "one query":
            changes = {"q_len": 5}
        case "q_len != kv_len":
            changes = {"q_len": case.kv_len}
        case _:
            changes = PLAIN[feature]
    return msgspec.structs.replace(case, **changes)


@pytest.mark.parametrize("mutant", PAIRS, ids=lambda m: f"{m.file}-{m.name}")
def test_each_feature_of_a_pair_is_right_without_the_other(mutant, oracle):
    for feature in mutant.pair:
        assert found(mutant.path, without(parse_case(mutant.case), feature), oracle) == ()


def test_at_least_sixty_defects_are_planted_twice_and_each_is_in_the_table():
    assert len(FEATURES) >= 60
    assert all(mutant.twice for mutant in FEATURES)
    for file in {mutant.file for mutant in FEATURES}:
        assert {m.name for m in FEATURES if m.file == file} == set(module(file).DEFECTS)
    assert len({mutant.path for mutant in (*MUTANTS, *FEATURES)}) == len(MUTANTS) + len(FEATURES)
