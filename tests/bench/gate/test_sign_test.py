"""The exact sign-flip test and Holm's correction, against counting everything by hand."""

from itertools import product
from math import inf

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attnbench.bench.gate.stats import holm, sign_flip_p
from attnbench.bench.gate.stats.sign_test import sign_flip_bound

tenths = st.integers(-10, 10).map(lambda value: value / 10)
few = st.lists(tenths, min_size=1, max_size=9)


def brute_p(values, shift):
    """All 2^n signs, one by one, in whole thousandths."""
    excess = [round(1000 * (value - shift)) for value in values]
    sums = [
        sum(s * e for s, e in zip(signs, excess, strict=True)) for signs in product((1, -1), repeat=len(excess))
    ]
    return sum(one >= sum(excess) for one in sums) / len(sums)


class TestSignFlip:
    @given(few, tenths)
    @settings(max_examples=300)
    def test_is_exact_with_ties_against_the_alternative(self, values, shift):
        assert sign_flip_p(values, shift) == brute_p(values, shift)

    def test_known_values(self):
        assert sign_flip_p([1.0] * 12, 0.0) == 2**-12
        assert sign_flip_p([0.0] * 5, 0.0) == 1.0
        assert sign_flip_p([0.1, 0.2, -0.3], 0.0) == 5 / 8
        assert sign_flip_p([1, 2, 3, -0.5], 0.0) == 2 / 16
        # Darwin's maize, Fisher 1935: 863 of 2^15 sums in one tail are as large.
        darwin = [49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48]
        assert sign_flip_p(darwin, 0) == 863 / 2**15

    @given(few, st.floats(-1, 1), st.floats(0, 1))
    def test_rises_with_the_shift(self, values, shift, more):
        assert sign_flip_p(values, shift) <= sign_flip_p(values, shift + more)

    def test_is_uniform_at_most_where_nothing_is_true(self):
        ps = np.array([sign_flip_p(np.random.default_rng(seed).normal(size=12), 0.0) for seed in range(2000)])
        for level in (0.5, 0.1, 0.05):
            assert (ps <= level).mean() == pytest.approx(level, abs=4 * (level * (1 - level) / 2000) ** 0.5)

    @pytest.mark.parametrize("count", [0, 25])
    def test_refuses_what_it_can_not_count(self, count):
        with pytest.raises(ValueError, match="takes 1 to 24"):
            sign_flip_p([0.1] * count, 0.0)

    @given(few, st.sampled_from([0.01, 0.05, 0.125, 0.25, 0.5]))
    def test_its_bound_is_where_the_test_stops_rejecting(self, values, level):
        bound = sign_flip_bound(values, level)
        if bound == -inf:
            assert sign_flip_p(values, min(values) - 1) > level
        else:
            assert sign_flip_p(values, bound) <= level < sign_flip_p(values, bound + 1e-5)


def brute_holm(p_values, alpha):
    """By closed testing: a hypothesis falls when each set that holds it has a member below alpha / size."""
    count = len(p_values)
    sets = [members for members in product((False, True), repeat=count) if any(members)]

    def falls(members):
        return min(p for p, inside in zip(p_values, members, strict=True) if inside) <= alpha / sum(members)

    return [all(falls(members) for members in sets if members[place]) for place in range(count)]


class TestHolm:
    def test_a_textbook_example(self):
        # https://en.wikipedia.org/wiki/Holm%E2%80%93Bonferroni_method: H1 and H4 fall at 0.05.
        assert holm([0.01, 0.04, 0.03, 0.005], 0.05) == [True, False, False, True]

    @given(st.lists(st.sampled_from([0.001, 0.009, 0.01, 0.012, 0.02, 0.03, 0.05, 0.2, 1.0]), max_size=6))
    def test_is_the_closed_test(self, p_values):
        assert holm(p_values, 0.05) == brute_holm(p_values, 0.05)

    def test_of_nothing_is_nothing(self):
        assert holm([], 0.05) == []
