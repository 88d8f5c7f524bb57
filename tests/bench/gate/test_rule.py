"""The gate's rule as others call it: from log-ratios of trials to verdicts."""

from dataclasses import replace
from math import exp, inf, isfinite, log, nan

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats.mstats import trimmed_mean_ci

from attnbench.bench.gate.stats import (
    CONFIRMING,
    RULE,
    Rule,
    alarmed,
    confirm,
    decide,
    estimate,
    flagged,
    shifted_together,
)
from attnbench.bench.records.verdict import Verdict

MIRROR = {Verdict.REGRESSED: Verdict.IMPROVED, Verdict.IMPROVED: Verdict.REGRESSED}
SD = 0.009


def drawn(percent, count=24, sd=SD, seed=0):
    return (np.random.default_rng(seed).normal(scale=sd, size=count) + log(1 + percent / 100)).tolist()


def sequential(trials, rule=RULE):
    """The decision as a caller gets it who asks after each trial."""
    for count in range(len(trials) + 1):
        if (decision := decide(trials[:count], rule)) is not None:
            return decision
    return None


# Sets of trials as they come: some scatter about some shift, and at times an outlier.
shifts = st.floats(-0.12, 0.12)
scattered = st.builds(
    lambda shift, sd, seed, outlier: [outlier + shift, *(np.array(drawn(0, 23, sd, seed)) + shift)],
    shifts,
    st.sampled_from([0.0, 0.002, 0.009, 0.02]),
    st.integers(0, 10_000),
    st.sampled_from([0.0, 0.0, 0.2, -0.2]),
)


class TestDecide:
    @pytest.mark.parametrize(
        ("percent", "verdict"),
        [(0, "UNCHANGED"), (3, "REGRESSED"), (5, "REGRESSED"), (10, "REGRESSED"), (-3, "IMPROVED")],
    )
    @pytest.mark.parametrize("seed", range(10))
    def test_says_what_is_true_and_names_its_numbers(self, percent, verdict, seed):
        decision = sequential(drawn(percent, seed=seed))
        assert decision.verdict is Verdict(verdict)
        assert decision.trials in RULE.looks
        assert decision.low < decision.ratio < decision.high
        assert decision.ratio == pytest.approx(1 + percent / 100, abs=0.015)
        assert f"in {decision.trials} trials" in decision.reason

    def test_a_true_1_percent_is_never_an_improvement_and_hardly_a_regression(self):
        said = [sequential(drawn(1, seed=seed)).verdict for seed in range(300)]
        assert Verdict.IMPROVED not in said
        assert said.count(Verdict.REGRESSED) <= 3

    def test_looks_only_at_its_looks(self):
        trials = drawn(10)
        assert [decide(trials[:count]) for count in range(6)] == [None] * 6
        assert decide(trials[:6]).trials == 6
        wide = [0.0, 0.05] * 12
        answered = [count for count in range(24) if decide(wide[:count]) is not None]
        assert answered == []
        assert decide(wide).verdict is Verdict.UNDECIDED

    def test_between_looks_later_launches_count_for_nothing(self):
        trials = drawn(3)
        first = sequential(trials)
        assert all(decide([*trials[: first.trials], *[-1.0] * more]) == first for more in range(8))

    def test_more_launches_than_the_last_look_change_nothing(self):
        wide = [0.0, 0.05] * 12
        assert decide([*wide, 5.0, 5.0]) == decide(wide)

    @given(scattered)
    def test_swapping_the_sides_mirrors_all(self, trials):
        here, there = sequential(trials), sequential([-value for value in trials])
        assert there.verdict is MIRROR.get(here.verdict, here.verdict)
        assert there.trials == here.trials
        assert (1 / there.ratio, 1 / there.high, 1 / there.low) == pytest.approx((here.ratio, here.low, here.high))

    @given(scattered, st.randoms(use_true_random=False))
    def test_at_one_look_the_order_counts_for_nothing(self, trials, random):
        rule = replace(RULE, looks=(24,))
        shuffled = random.sample(trials, len(trials))
        here, there = decide(trials, rule), decide(shuffled, rule)
        assert there.verdict is here.verdict
        assert (there.ratio, there.low, there.high) == pytest.approx((here.ratio, here.low, here.high))

    @given(scattered, st.floats(0.1, 10))
    def test_scaling_the_figures_and_the_bounds_alike_changes_no_verdict(self, trials, factor):
        scaled = replace(
            RULE, slower=RULE.slower * factor, same=RULE.same * factor, least_sd=RULE.least_sd * factor
        )
        here, there = sequential(trials), sequential([value * factor for value in trials], scaled)
        assert (there.verdict, there.trials) == (here.verdict, here.trials)

    @given(scattered)
    def test_a_verdict_follows_from_its_interval(self, trials):
        decision = sequential(trials)
        if decision.verdict is Verdict.REGRESSED:
            assert decision.low > 1.01
        elif decision.verdict is Verdict.IMPROVED:
            assert decision.high < 1 / 1.01
        elif decision.verdict is Verdict.UNCHANGED:
            assert 1 / 1.025 < decision.low < decision.high < 1.025
        else:
            assert decision.trials == RULE.looks[-1]

    @given(scattered, st.floats(0.001, 0.1))
    def test_slower_everywhere_is_never_judged_faster(self, trials, more):
        rule = replace(RULE, looks=(24,))
        order = [Verdict.IMPROVED, Verdict.UNCHANGED, Verdict.REGRESSED]
        here, there = decide(trials, rule).verdict, decide([value + more for value in trials], rule).verdict
        if Verdict.UNDECIDED not in {here, there}:
            assert order.index(there) >= order.index(here)

    def test_an_outlier_costs_launches_and_no_verdict(self):
        assert sequential([0.5, *drawn(0, 23)]).verdict is Verdict.UNCHANGED
        assert sequential([-0.5, *drawn(5, 23)]).verdict is Verdict.REGRESSED

    def test_identical_figures_are_not_certainty(self):
        same = decide([0.0] * 6)
        assert same.verdict is Verdict.UNCHANGED
        assert 1.005 < same.high < 1.025
        assert decide([log(1.05)] * 6).verdict is Verdict.REGRESSED
        assert decide([log(1.02)] * 6) is None

    def test_six_that_fell_into_one_mode_by_luck_are_not_certainty(self):
        assert decide([0.0205, 0.0195, 0.02, 0.0201, 0.0199, 0.02]) is None

    @pytest.mark.parametrize("bad", [nan, inf, -inf])
    @pytest.mark.parametrize("ask", [decide, estimate, flagged])
    def test_refuses_what_is_no_measurement(self, bad, ask):
        with pytest.raises(ValueError, match="trial 3 of 7 has the log-ratio"):
            ask([0.0, 0.0, bad, *[0.0] * 4])

    def test_extremes_stay_finite_in_words(self):
        for trials in ([1e3] * 6, [-1e3] * 6, [1e3, -1e3] * 12, [1e-300] * 6):
            decision = sequential(trials)
            assert len(decision.reason) < 160
            assert not np.isnan([decision.ratio, decision.low, decision.high]).any()
        assert decide([1e3] * 6).verdict is Verdict.REGRESSED


class TestEstimate:
    @pytest.mark.parametrize("count", range(2, 25))
    def test_is_undecided_with_an_interval(self, count):
        decision = estimate(drawn(3, count))
        assert decision.verdict is Verdict.UNDECIDED
        assert decision.trials == count
        assert 0 < decision.low < decision.ratio < decision.high
        assert isfinite(decision.high)

    def test_one_launch_has_no_interval_and_none_no_ratio(self):
        one, none = estimate([log(1.2)]), estimate([])
        assert (one.ratio, one.low, one.high, one.trials) == (pytest.approx(1.2), 0.0, inf, 1)
        assert (none.ratio, none.low, none.high, none.trials) == (1.0, 0.0, inf, 0)
        assert "no interval" in one.reason
        assert none.reason == "no trial"

    def test_its_interval_narrows_as_launches_come_in(self):
        widths = [estimate(drawn(0, count)).high - estimate(drawn(0, count)).low for count in (2, 3, 6, 12, 24)]
        assert widths == sorted(widths, reverse=True)

    @pytest.mark.parametrize(("count", "cut"), [(6, 1e-9), (10, 0.1), (20, 0.1)])
    def test_its_interval_is_that_of_the_trimmed_mean(self, count, cut):
        trials = drawn(2, count, sd=0.02, seed=7)
        low, high = trimmed_mean_ci(trials, limits=(cut, cut), alpha=2 * RULE.alpha / len(RULE.looks))
        decision = estimate(trials)
        # Yuen divides by h (h - 1) / (n - 1), SciPy by n (1 - 2 trim)^2: 1.4% apart at 10 trials.
        assert log(decision.high / decision.low) == pytest.approx(high - low, rel=0.02)
        assert log(decision.ratio) == pytest.approx((low + high) / 2)


class TestRule:
    @pytest.mark.parametrize(
        "wrong",
        [
            dict(slower=0.03),
            dict(slower=0),
            dict(alpha=0),
            dict(beta=1),
            dict(trim=0.5),
            dict(least_sd=0),
            dict(looks=()),
            dict(looks=(8, 6)),
            dict(looks=(2, 4)),
        ],
    )
    def test_refuses_what_can_not_hold(self, wrong):
        with pytest.raises(ValueError, match="the rule needs"):
            Rule(**wrong)

    def test_is_the_documented_one(self):
        assert (exp(RULE.slower), exp(RULE.same)) == pytest.approx((1.01, 1.025))
        assert (RULE.alpha, RULE.beta, RULE.looks) == (0.001, 0.01, (6, 8, 10, 12, 16, 20, 24))


class TestConfirm:
    def test_finds_the_slow_and_the_fast_one_and_no_other(self):
        cases = {"slow": drawn(4, seed=1), "fast": drawn(-4, seed=2), "same": drawn(0, seed=3)}
        said = confirm(cases)
        assert {name: one.verdict for name, one in said.items()} == {
            "slow": Verdict.REGRESSED,
            "fast": Verdict.IMPROVED,
            "same": Verdict.UNCHANGED,
        }
        assert said["slow"].low > 1.01
        assert said["fast"].high < 1 / 1.01
        assert confirm({}) == {}

    def test_one_alone_is_confirmed_by_twelve_and_three_need_sixteen(self):
        cases = {str(seed): drawn(5, seed=seed) for seed in range(3)}
        assert confirm({"0": cases["0"][:12]})["0"].verdict is Verdict.REGRESSED
        at = {
            count: {one.verdict for one in confirm({n: v[:count] for n, v in cases.items()}).values()}
            for count in (12, 16)
        }
        assert at == {12: {Verdict.UNDECIDED}, 16: {Verdict.REGRESSED}}
        twelve = confirm({name: values[:12] for name, values in cases.items()})["0"]
        assert "not yet among all that were flagged" in twelve.reason

    @given(scattered, st.integers(0, 3))
    @settings(max_examples=40)
    def test_once_regressed_more_launches_of_any_case_take_nothing_back(self, other, place):
        slow, count = drawn(4, seed=5), CONFIRMING[place]
        before = confirm({"slow": slow[:16], "other": other[:count]})["slow"].verdict
        after = confirm({"slow": slow[:16], "other": other})["slow"].verdict
        assert before is Verdict.REGRESSED
        assert after is Verdict.REGRESSED

    def test_once_regressed_more_launches_of_the_case_take_nothing_back(self):
        trials = [*drawn(4, 12), *drawn(0, 12, seed=1)]
        for count in CONFIRMING:
            decision = confirm({"a": trials[:count]})["a"]
            assert decision.verdict is Verdict.REGRESSED
            assert decision.low > 1.01

    def test_slower_by_less_than_1_percent_is_no_regression_however_sure(self):
        assert confirm({"a": [0.009] * 24})["a"].verdict is Verdict.UNCHANGED
        assert confirm({"a": [-0.009] * 24})["a"].verdict is Verdict.UNCHANGED

    @given(scattered)
    @settings(max_examples=40)
    def test_swapping_the_sides_mirrors_all(self, trials):
        here = confirm({"a": trials})["a"]
        there = confirm({"a": [-value for value in trials]})["a"]
        assert there.verdict is MIRROR.get(here.verdict, here.verdict)
        assert (1 / there.high, 1 / there.low) == pytest.approx((here.low, here.high), rel=1e-6)

    def test_launches_between_its_looks_count_for_nothing(self):
        trials = drawn(2)
        assert confirm({"a": trials[:15]}) == confirm({"a": trials[:12]})
        assert confirm({"a": trials[:11]})["a"].verdict is Verdict.UNDECIDED
        assert confirm({"a": []})["a"].reason == "no trial"
        assert confirm({"a": [*trials, 9.0]}) == confirm({"a": trials})

    def test_refuses_what_is_no_measurement(self):
        with pytest.raises(ValueError, match="trial 2 of 2"):
            confirm({"a": [0.0, nan]})


class TestFlagged:
    def test_is_about_the_median_beyond_1_percent_either_way(self):
        assert flagged([0.011] * 4 + [-0.5] * 2)
        assert flagged([-0.011] * 6)
        assert not flagged([0.009] * 4 + [0.5] * 2)
        assert not flagged([])

    def test_passes_few_equal_cases_and_all_slow_ones(self):
        equal = sum(flagged(drawn(0, 6, seed=seed)) for seed in range(500))
        slow = sum(flagged(drawn(3, 6, seed=seed)) for seed in range(500))
        assert equal < 25
        assert slow == 500


class TestSentinel:
    def test_keeps_quiet_where_the_baseline_equals_itself(self):
        assert not any(
            alarmed({str(case): drawn(0, 8, seed=100 * s + case) for case in range(20)}) for s in range(10)
        )
        assert alarmed({}) == ""
        assert alarmed({"a": [], "b": [0.5]}) == ""

    @pytest.mark.parametrize(("percent", "word"), [(5, "REGRESSED"), (-5, "IMPROVED")])
    def test_names_the_case_that_differs_from_itself(self, percent, word):
        why = alarmed({"steady": drawn(0), "moved": drawn(percent)})
        assert "the baseline differs from itself" in why
        assert f"moved {word}" in why
        assert "steady" not in why

    def test_sees_over_all_cases_what_none_shows_alone(self):
        why = alarmed({str(case): drawn(2.5, 2, seed=case) for case in range(16)})
        assert "all 16 cases by +2" in why


class TestShiftedTogether:
    @pytest.mark.parametrize(("percent", "word"), [(2, "slower"), (-2, "faster")])
    def test_notes_a_shift_of_most(self, percent, word):
        cases = {str(case): [log(1 + percent / 100)] * 6 for case in range(9)} | {"odd": [0.0] * 6}
        assert f"9 of 10 cases are {word} by more than 1.0%" in shifted_together(cases)

    def test_says_nothing_of_few_or_of_some(self):
        slow, same = [0.03] * 6, [0.0] * 6
        assert shifted_together({str(case): slow for case in range(4)}) == ""
        assert shifted_together({str(case): slow if case < 7 else same for case in range(10)}) == ""
        assert shifted_together({str(case): slow if case % 2 else [-0.03] * 6 for case in range(10)}) == ""
        assert shifted_together({}) == ""
