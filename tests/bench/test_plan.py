"""Cases made from what is declared: what they cover, that they are legal and the same each time."""

from itertools import combinations
from random import Random

import pytest

from attnbench.bench.sweeps.covering import covering, unmet
from attnbench.bench.sweeps.declared import axes_for, long_rows
from attnbench.bench.sweeps.plan import Plan
from attnbench.impls.contract import EVERYTHING, parse_case

DTYPES = ("fp32", "bf16", "fp16")
SIMPLE = frozenset({"gqa", "q_len != kv_len", "v_head_dim", "strided", "backward", "causal", "scale"})


def none_refused(cases):
    return [None] * len(cases)


def plan(features=SIMPLE, dtypes=DTYPES, refusals=none_refused, **more):
    return Plan(frozenset(features), dtypes, refusals, **more)


def cases_of(made, refused=()):
    return [ask.case for ask in (*made.alone(), *made.together(refused))]


def test_a_covering_array_meets_each_pair_in_fewer_rows_than_there_are_pairs():
    axes = {name: tuple("abcd") for name in "pqrst"}
    demands = [
        frozenset({(one, a), (other, b)}) for one, other in combinations(axes, 2) for a in "abcd" for b in "abcd"
    ]
    rows = covering(axes, demands, lambda _: 1.0, Random(0))
    assert unmet(demands, [row.items() for row in rows]) == []
    assert 16 <= len(rows) <= 40


def test_what_cant_stand_together_is_left_out_and_the_rest_met():
    axes = {"p": ("a", "b"), "q": ("a", "b")}
    demands = [frozenset({("p", one), ("q", other)}) for one in "ab" for other in "ab"]
    rows = covering(axes, demands, lambda row: None if row["p"] == row["q"] == "b" else 1.0, Random(0))
    assert unmet(demands, [row.items() for row in rows]) == [frozenset({("p", "b"), ("q", "b")})]


@pytest.mark.parametrize("depth", ["quick", "standard", "deep"])
@pytest.mark.parametrize("features", [frozenset(), SIMPLE, EVERYTHING], ids=["nothing", "simple", "everything"])
def test_cases_need_nothing_that_is_not_declared_and_are_read_back_from_their_ids(features, depth):
    cases = cases_of(plan(features, depth=depth))
    assert all(case.features <= features for case in cases)
    assert [parse_case(case.id) for case in cases] == cases


@pytest.mark.parametrize("depth", ["quick", "standard", "deep"])
def test_every_declared_feature_and_dtype_is_tried_alone_and_with_others(depth):
    made = plan(EVERYTHING, depth=depth)
    cases = cases_of(made)
    for feature in EVERYTHING:
        assert any(case.features == {feature} for case in cases), feature
        assert any(case.features > {feature} for case in cases), feature
    assert {case.dtype for case in cases} == set(DTYPES)


def test_every_pair_of_features_stands_in_a_case_forward_and_backward():
    cases = cases_of(plan(EVERYTHING))
    held = {"cache", "paged"}
    apart = [{"causal", "window", "prefix", "blocks"}, {"padded", "packed", *held}, {"alibi", "additive"}]
    never = [{"packed", "additive"}, {"backward"} | held]
    for pair in combinations(sorted(EVERYTHING - {"backward"}), 2):
        if any(len(group & set(pair)) == 2 for group in apart) or set(pair) in never:
            continue
        found = [case for case in cases if set(pair) <= case.features and case.q_len * case.kv_len >= 600]
        assert any(case.direction == "fwd" for case in found), pair
        assert held & set(pair) or any(case.direction == "bwd" for case in found), pair


def test_shapes_tell_rows_heads_tiles_and_widths_apart():
    cases = cases_of(plan())
    assert any(case.batch >= 3 for case in cases)
    assert any(case.q_heads > 8 and case.groups == 1 for case in cases)
    assert {3, 5, 7} <= {case.groups for case in cases}
    assert {40, 72, 80, 96} <= {case.head_dim for case in cases}
    assert {(True, False), (False, True)} <= {(c.q_len > c.kv_len, c.q_len < c.kv_len) for c in cases}
    assert any(case.kv_len > 1 and case.kv_len % 32 == 1 for case in cases)
    assert any(case.kv_len >= 4096 and case.dtype == "bf16" for case in cases)


def test_the_same_seed_gives_the_same_cases_and_another_one_others():
    first, again, other = (plan(EVERYTHING, seed=seed) for seed in (3, 3, 4))
    assert cases_of(first) == cases_of(again)
    assert {case.id for case in cases_of(first)} != {case.id for case in cases_of(other)}


def test_neighbours_have_lengths_that_no_list_holds():
    listed = set(axes_for(SIMPLE, DTYPES)["lengths"]) | {row["lengths"] for row in long_rows(SIMPLE, DTYPES)}
    assert {f"{case.q_len}:{case.kv_len}" for case in cases_of(plan())} - listed - {"129:129", "70:33"}


def test_what_is_refused_beforehand_is_not_asked_and_its_partners_are():
    def no_wide_heads(cases):
        return ["takes head_dim up to 64" if case.head_dim > 64 else None for case in cases]

    made = plan(EVERYTHING, refusals=no_wide_heads)
    cases = cases_of(made)
    assert max(case.head_dim for case in cases) == 64
    assert set(made.refused.values()) == {"takes head_dim up to 64"}
    assert any({"softcap", "window"} <= case.features for case in cases)


def test_what_was_refused_alone_when_it_ran_is_not_asked_together_with_the_rest():
    made = plan()
    refused = [ask.case.id for ask in made.alone() if ask.case.direction != "fwd"]
    assert refused
    assert {ask.case.direction for ask in made.together(refused)} == {"fwd"}


def test_an_implementation_that_does_nothing_plain_is_asked_what_it_does():
    def decoding_alone(cases):
        return [
            None if case.layout.feature == "cache" and case.q_len == 1 else "one query, a cache" for case in cases
        ]

    cases = cases_of(plan(EVERYTHING, refusals=decoding_alone))
    assert cases
    assert all(case.layout.feature == "cache" and case.q_len == 1 for case in cases)
    assert any(case.softcap for case in cases)
