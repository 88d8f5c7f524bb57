"""Stored runs judged: every kind of finding, and every way in which nothing may be said."""

import msgspec
import pytest

from attnbench.bench.gate.stored.judge import COARSE_NOTE, judge
from attnbench.bench.gate.stored.times import by_interval
from attnbench.bench.records.schema import Agreement, KnownLimit, Status
from attnbench.bench.records.verdict import About, Verdict
from tests.bench.gate.stored_runs import CASES, comparison, environment, full, on, record, run

R, I, U, D = Verdict.REGRESSED, Verdict.IMPROVED, Verdict.UNCHANGED, Verdict.UNDECIDED
PASSED, WRONG = Status.PASSED, Status.WRONG
BROKEN = (Status.ERROR, Status.CRASHED, Status.TIMEOUT, Status.OUT_OF_MEMORY)
REFUSED = (Status.UNSUPPORTED, Status.UNAVAILABLE)


def one(now, before):
    """The judgement of a single record, and its findings by what they are about."""
    judged = judge(run(now), run(before))
    return judged, {finding.about: finding for finding in judged.findings}


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(1.2, 1.3, R), (0.7, 0.8, I), (0.97, 1.03, U), (0.85, 1.05, U), (1.05, 1.2, D), (0.5, 2, D), (1.101, 1.2, R)],
)
def test_verdicts_from_intervals(low, high, expected):
    assert by_interval(low, high)[0] is expected


def test_alike_runs_are_unchanged_and_pass():
    judged = judge(full(), full())
    assert {finding.verdict for finding in judged.findings} == {U}
    assert len(judged.findings) == 6
    assert (judged.verdict, judged.exit_code) == (U, 0)
    assert COARSE_NOTE in judged.notes


@pytest.mark.parametrize(
    ("ns", "verdict", "code"), [(1500, R, 1), (600, I, 0), (1050, U, 0), (1095, D, 4), (1200, R, 1)]
)
def test_slower_and_faster(ns, verdict, code):
    judged, found = one(record(timing={"ns": ns}), record())
    time = found[About.TIME]
    assert time.verdict is verdict
    assert time.ratio == pytest.approx(ns / 1000)
    assert time.low < time.ratio < time.high
    assert judged.exit_code == code


@pytest.mark.parametrize("before", [PASSED, *BROKEN, *REFUSED])
def test_a_case_that_became_wrong_fails_with_the_command_that_repeats_it(before):
    judged, found = one(record(status=WRONG, seed=3), record(status=before))
    assert found[About.WRONG].verdict is R
    assert found[About.WRONG].repeat == (
        "python -m bench check --impl fast --case b1-h2-s16-d8-causal-fp32 --seed 3"
    )
    assert judged.exit_code == 1


@pytest.mark.parametrize("now", [*BROKEN, *REFUSED])
def test_a_case_that_no_longer_runs_fails(now):
    judged, found = one(record(status=now), record())
    assert found[About.STATUS].verdict is R
    assert now in found[About.STATUS].reason
    assert f"because of {now}" in found[About.STATUS].reason
    assert judged.exit_code == 1


@pytest.mark.parametrize("before", [WRONG, *BROKEN, *REFUSED])
def test_a_case_that_passes_again_is_better(before):
    judged, (found,) = (judged := judge(run(record()), run(record(status=before)))), judged.findings
    assert found.verdict is I
    assert judged.exit_code == 0


@pytest.mark.parametrize("status", [WRONG, *BROKEN])
def test_what_fails_as_before_is_no_regression_beside_one_that_passes(status):
    both = [record(CASES[1], "plain"), record(status=status)]
    assert judge(run(*both), run(*both)).exit_code == 0


@pytest.mark.parametrize("now", [WRONG, *BROKEN, *REFUSED])
@pytest.mark.parametrize("before", [WRONG, *BROKEN, *REFUSED])
def test_where_nothing_passed_nothing_passes(now, before):
    judged = judge(run(record(status=now)), run(record(status=before)))
    assert judged.invalid_reason
    assert judged.exit_code in {1, 4}


def test_the_error_that_grew_is_told_though_it_is_within_its_budget():
    judged, found = one(record(share=0.6), record(share=0.2))
    assert found[About.ACCURACY].verdict is R
    assert found[About.ACCURACY].ratio == pytest.approx(3)
    assert "60% of its budget" in found[About.ACCURACY].reason
    assert found[About.TIME].verdict is U, "its time is another finding"
    assert judged.exit_code == 1


@pytest.mark.parametrize(("now", "before"), [(0.3, 0.2), (0.09, 0.001), (0.2, 0.2)])
def test_errors_that_are_no_ones_concern(now, before):
    _, found = one(record(share=now), record(share=before))
    assert About.ACCURACY not in found


def test_a_worse_family_is_found_among_others():
    better = comparison(0.05, family="one_hot")
    _, found = one(
        record(comparisons=(comparison(0.5), better)),
        record(comparisons=(comparison(0.2), comparison(0.9, family="one_hot"))),
    )
    assert found[About.ACCURACY].verdict is R
    assert "normal" in found[About.ACCURACY].reason


def test_an_error_that_fell_is_better():
    _, found = one(record(share=0.05), record(share=0.9))
    assert found[About.ACCURACY].verdict is I


def test_a_budget_that_was_widened_is_told():
    judged, found = one(
        record(comparisons=(comparison(0.1, budget=4e-5),)), record(comparisons=(comparison(0.4, budget=1e-5),))
    )
    assert "more is let through" in found[About.ACCURACY].reason
    assert judged.exit_code == 1


def test_a_family_on_which_it_is_now_declared_to_fail_is_told():
    limit = KnownLimit(family="poison", reason="0 * NaN", seen=True)
    spoilt = Agreement(comparisons=(comparison(), comparison(3, family="poison")), known_limits=(limit,))
    before = record(comparisons=(comparison(), comparison(family="poison")))
    judged, found = one(record(agreement=spoilt), before)
    assert "fails on poison inputs now" in found[About.ACCURACY].reason
    assert judged.exit_code == 1
    assert judge(run(record(agreement=spoilt)), run(record(agreement=spoilt))).exit_code == 0


def test_other_seeds_are_other_inputs():
    judged = judge(run(record(share=0.9, seed=1), seed=1), run(record(share=0.2)))
    assert judged.exit_code == 0
    assert any("Seeds differ" in note for note in judged.notes)


@pytest.mark.parametrize("field", ["peak_bytes", "saved_bytes"])
def test_memory_that_grew_is_its_own_finding(field):
    judged, found = one(record(timing={field: 2_000_000}), record(timing={field: 1_000_000}))
    assert found[About.MEMORY].verdict is R
    assert found[About.MEMORY].ratio == 2
    assert "1,000,000 to 2,000,000 bytes" in found[About.MEMORY].reason
    assert judged.exit_code == 1


@pytest.mark.parametrize(("now", "before"), [(1_040_000, 1_000_000), (3000, 1000), (None, 5)])
def test_memory_that_an_allocator_rounds_is_none(now, before):
    _, found = one(record(timing={"peak_bytes": now}), record(timing={"peak_bytes": before}))
    assert About.MEMORY not in found


def test_memory_from_nothing_is_a_regression_without_a_ratio():
    _, found = one(record(timing={"peak_bytes": 100_000}), record(timing={"peak_bytes": 0}))
    assert found[About.MEMORY].verdict is R
    assert found[About.MEMORY].ratio is None


@pytest.mark.parametrize("side", [0, 1])
def test_a_disturbed_time_decides_nothing(side):
    pair = [{"timing": {"ns": 3000}}, {}]
    pair[side]["disturbance"] = "other processes took 40% of the CPUs"
    judged, found = one(*(record(**fields) for fields in pair))
    assert found[About.TIME].verdict is D
    assert "other processes took 40%" in found[About.TIME].reason
    assert judged.exit_code == 4


@pytest.mark.parametrize(
    ("probe", "then", "now", "moved"),
    [
        ("probe_us", (160, 161), (160, 162), False),
        ("probe_us", (160, 161), (175, 176), True),
        ("probe_us", (160, 160), (160, 175), True),
        ("shared_probe_us", (40, 41), (43, 41), False),
        ("shared_probe_us", (40, 41), (97, 93), True),
    ],
)
def test_a_machine_that_changed_its_speed_is_not_compared_with_itself(probe, then, now, moved):
    before, after = (record(probes=tuple({probe: us} for us in both)) for both in (then, now))
    _, found = one(after, before)
    assert found[About.TIME].verdict is (Verdict.INCOMPARABLE if moved else Verdict.UNCHANGED)
    assert ("the machine changed its speed" in found[About.TIME].reason) is moved


def test_a_disturbance_slows_so_that_a_disturbed_case_that_is_not_slower_is_told_so():
    _, found = one(record(disturbance="a neighbour"), record())
    assert found[About.TIME].verdict is U
    assert "though disturbed: a neighbour" in found[About.TIME].reason
    _, found = one(record(), record(disturbance="a neighbour"))
    assert found[About.TIME].verdict is D, "a slowness of the baseline may hide that of the candidate"


def test_a_few_samples_decide_nothing():
    _, found = one(record(timing={"ns": 3000, "samples": 4}), record())
    assert found[About.TIME].verdict is D
    assert "4 samples" in found[About.TIME].reason


@pytest.mark.parametrize(
    ("field", "value"), [("clock", "cuda_event"), ("cache", "flushed"), ("threads", 2), ("timed_region", "fwd+bwd")]
)
def test_times_that_mean_different_things_are_incomparable(field, value):
    judged, found = one(record(timing={field: value}), record())
    assert found[About.TIME].verdict is Verdict.INCOMPARABLE
    assert str(value) in found[About.TIME].reason
    assert judged.exit_code == 4


def test_a_time_that_is_gone_decides_nothing_and_one_that_came_is_new():
    gone, found = one(record(timing=None), record())
    assert found[About.TIME].verdict is D
    assert gone.exit_code == 4
    came, found = one(record(), record(timing=None))
    assert found[About.TIME].verdict is Verdict.NEW
    assert came.exit_code == 0
    _, found = one(record(timing={"samples": 0}), record())
    assert found[About.TIME].verdict is D


def test_what_was_only_checked_is_judged_by_its_result():
    judged = judge(run(record(timing=None)), run(record(timing=None)))
    assert [one.verdict for one in judged.findings] == [U]
    assert judged.exit_code == 0


def test_another_machine_is_incomparable_and_every_field_is_named_with_both_values():
    there = on(full(timing={"ns": 100}), environment(cpu="Another CPU", method="def", driver="570"))
    judged = judge(full(), there)
    assert {finding.verdict for finding in judged.findings} == {Verdict.INCOMPARABLE}
    for words in (
        "cpu is Another CPU in the baseline and Made-up CPU in the candidate",
        "method is def in the baseline and abc in the candidate",
        "driver is 570 in the baseline and absent in the candidate",
    ):
        assert words in judged.invalid_reason
    assert (judged.verdict, judged.exit_code) == (Verdict.INCOMPARABLE, 4)
    assert all(finding.ratio is None for finding in judged.findings)


def test_a_wrong_result_on_another_machine_is_no_failure_either():
    there = on(run(record()), environment(cpu="Another CPU"))
    assert judge(run(record(status=WRONG)), there).exit_code == 4


def test_soft_differences_are_notes():
    other = environment()
    other = msgspec.structs.replace(other, informational={"host": "there", "kernel": "6.1"})
    judged = judge(full(), on(full(), other))
    assert judged.exit_code == 0
    assert any("host there then, here now" in note for note in judged.notes)
    assert not any("kernel" in note for note in judged.notes)


def test_new_and_missing_are_named_and_fail_only_if_asked():
    now, before = run(record(CASES[0]), record(CASES[1])), run(record(CASES[0]), record(CASES[2]))
    judged = judge(now, before)
    found = {finding.case: finding.verdict for finding in judged.findings}
    assert found == {CASES[0].id: U, CASES[1].id: Verdict.NEW, CASES[2].id: Verdict.MISSING}
    assert judged.exit_code == 0
    for asked in (Verdict.NEW, Verdict.MISSING):
        assert msgspec.structs.replace(judged, required=(asked,)).exit_code == 1


def test_a_new_case_that_is_wrong_says_so():
    judged = judge(run(record(CASES[0]), record(CASES[1], status=WRONG)), run(record(CASES[0])))
    (new,) = [one for one in judged.findings if one.verdict is Verdict.NEW]
    assert "WRONG: because of WRONG" in new.reason


def test_runs_without_a_common_case_judge_nothing():
    judged = judge(run(record(CASES[1]), cases=()), run(record(CASES[2]), cases=()))
    assert "no case and implementation in common" in judged.invalid_reason
    assert judged.exit_code == 4


def test_an_unfinished_run_is_undecided_where_it_stopped():
    judged = judge(run(record(CASES[0]), cases=CASES[:2]), run(record(CASES[0]), record(CASES[1])))
    (gap,) = [one for one in judged.findings if one.about is About.PRESENCE]
    assert (gap.case, gap.verdict) == (CASES[1].id, D)
    assert judged.exit_code == 4


def test_empty_runs_judge_nothing():
    for now, before in ((run(), run()), (run(record()), run(cases=())), (run(), run(record()))):
        assert judge(now, before).exit_code == 4


def test_damage_and_identity_are_noted():
    damaged = msgspec.structs.replace(full(), damaged=("line 7: torn",))
    judged = judge(damaged, full())
    assert any("line 7: torn" in note for note in judged.notes)
    assert any("one and the same run" in note for note in judged.notes)


def test_refused_on_both_sides_is_no_finding():
    both = [record(CASES[0]), record(CASES[1], status=Status.UNSUPPORTED)]
    assert len(judge(run(*both), run(*both)).findings) == 1


def test_two_stored_runs_have_no_trials():
    found = judge(run(record(timing={"ns": 3000})), run(record(timing={"ns": 1000}))).findings
    assert [one.about for one in found if one.ratio is not None] == [About.TIME]
    assert {one.trials for one in found} == {0}
