"""The course of a comparison over trials of known truth: no process is started."""

import math
import random

import pytest

from attnbench.bench.gate.paired.side_by_side import InMemory, SideBySide
from attnbench.bench.gate.paired.take_trial import SideFailed, TrialSide
from attnbench.bench.gate.stats import RULE
from attnbench.bench.records.schema import Status
from attnbench.bench.records.trial import Trial
from attnbench.bench.records.verdict import About, Verdict
from attnbench.bench.status import RemoteError
from attnbench.impls.contract import parse_case

A, B = TrialSide("A", "x", "x"), TrialSide("B", "y", "y")
CASES = [parse_case(f"b1-h1-s{16 * n}-d16-full-fp32") for n in range(1, 13)]


class Machine:
    """Trials whose truth is known: percent slower by case, and A against itself."""

    def __init__(self, slower=None, aa_control=0.0, sd=0.004, seed=0):
        self.slower, self.aa_control, self.sd = slower or {}, aa_control, sd
        self.random, self.taken = random.Random(seed), []

    def take(self, case, number, phase):
        self.taken.append((case.id, number, phase))
        b, again = (
            100 * math.exp(shift + self.random.gauss(0, self.sd))
            for shift in (math.log1p(self.slower.get(case.id, 0) / 100), self.aa_control)
        )
        return Trial(case=case.id, number=number, phase=phase, a_ns=(100.0,), b_ns=(b,), again_ns=(again,), calls=1)


def measured(cases, machine, **options):
    found = SideBySide(cases, machine.take, **options)
    assert [(one.case, one.number, one.phase) for one in found.measure()] == machine.taken
    return found


def verdicts(found):
    return {one.case: one.verdict for one in found.findings("y", B)}


@pytest.mark.parametrize(
    ("percent", "verdict"),
    [(0, Verdict.UNCHANGED), (5, Verdict.REGRESSED), (10, Verdict.REGRESSED), (-8, Verdict.IMPROVED)],
)
def test_one_case_is_decided_as_its_launches_come_in(percent, verdict):
    machine = Machine({CASES[0].id: percent})
    found = measured(CASES[:1], machine)
    assert verdicts(found) == {CASES[0].id: verdict}
    assert {phase for _, _, phase in machine.taken} == {"screen"}
    assert RULE.looks[0] <= len(machine.taken) <= RULE.looks[-1]


def test_of_many_cases_only_what_stands_out_is_measured_again_with_fresh_trials():
    slow = CASES[3].id
    machine = Machine({slow: 6})
    found = measured(CASES, machine)
    assert verdicts(found) == {
        case.id: Verdict.REGRESSED if case.id == slow else Verdict.UNCHANGED for case in CASES
    }
    assert {case for case, _, phase in machine.taken if phase == "confirm"} == {slow}
    assert found.decisions[slow].trials >= 12


def test_what_screening_saw_by_chance_is_not_what_it_is_judged_by():
    """A case that stood out in screening alone is judged by its fresh trials alone."""
    lucky = CASES[0].id

    class Chance(Machine):
        def take(self, case, number, phase):
            self.slower = {lucky: 8} if phase == "screen" else {}
            return super().take(case, number, phase)

    assert verdicts(measured(CASES, Chance()))[lucky] is Verdict.UNCHANGED


def test_a_launch_of_every_case_comes_before_the_next_of_any():
    machine = Machine()
    measured(CASES[:3], machine)
    assert [number for _, number, _ in machine.taken[:9]] == [1, 1, 1, 2, 2, 2, 3, 3, 3]


def test_nothing_is_decided_where_the_baseline_differs_from_itself():
    found = measured(CASES[:1], Machine({CASES[0].id: 10}, aa_control=0.08))
    assert verdicts(found) == {CASES[0].id: Verdict.UNDECIDED}
    (finding,) = found.findings("y", B)
    assert "the baseline differs from itself" in finding.reason
    assert finding.ratio == pytest.approx(1.1, abs=0.02)


def test_a_spent_budget_leaves_the_rest_undecided():
    machine = Machine()
    found = measured(CASES[:2], machine, over=lambda: len(machine.taken) >= 5)
    assert len(machine.taken) == 5
    assert found.stopped
    assert set(verdicts(found).values()) == {Verdict.UNDECIDED}


def test_no_launch_at_all_is_told_without_numbers_that_mean_nothing():
    found = measured(CASES[:1], Machine(), over=lambda: True)
    (finding,) = found.findings("y", B)
    assert (finding.verdict, finding.trials) == (Verdict.UNDECIDED, 0)
    assert (finding.ratio, finding.low, finding.high) == (None, None, None)


@pytest.mark.parametrize(("side", "verdict"), [(A, Verdict.INCOMPARABLE), (B, Verdict.REGRESSED)])
def test_a_side_that_breaks_ends_its_case_and_no_other(side, verdict):
    class Breaking(Machine):
        def take(self, case, number, phase):
            if case is CASES[1] and number == 3:
                raise SideFailed(side, RemoteError(Status.CRASHED, "the worker was killed by SIGSEGV"))
            return super().take(case, number, phase)

    machine = Breaking()
    found = SideBySide(CASES[:3], machine.take)
    list(found.measure())
    findings = {one.case: one for one in found.findings("y", B)}
    assert findings[CASES[1].id].verdict is verdict
    assert findings[CASES[1].id].about is About.STATUS
    assert "SIGSEGV" in findings[CASES[1].id].reason
    assert findings[CASES[0].id].verdict is findings[CASES[2].id].verdict is Verdict.UNCHANGED


def test_a_launch_that_was_lost_is_the_one_that_is_taken_again():
    machine = Machine()
    first = measured(CASES[:1], machine)
    lost = InMemory([one for one in first.keeping.kept if one.number != 2])
    second = Machine()
    list(SideBySide(CASES[:1], second.take, lost).measure())
    assert second.taken == [(CASES[0].id, 2, "screen")]


def test_a_case_that_breaks_stays_in_the_family_that_is_confirmed():
    """Three that stood out can't be confirmed by twelve trials each; nor can the two that are left of them."""

    class Breaking(Machine):
        def take(self, case, number, phase):
            if case is CASES[2] and phase == "confirm" and number == 3:
                raise SideFailed(B, RemoteError(Status.CRASHED, "it crashed"))
            return super().take(case, number, phase)

    found = SideBySide(CASES[:6], Breaking({case.id: 8 for case in CASES[:3]}).take)
    list(found.measure())
    assert [found.decisions[case.id].trials for case in CASES[:2]] == [16, 16]
    assert CASES[2].id not in found.decisions


def test_kept_launches_are_not_taken_again():
    machine = Machine()
    first = measured(CASES[:2], machine, over=lambda: len(machine.taken) >= 5)
    second = Machine()
    again = SideBySide(CASES[:2], second.take, first.keeping)
    list(again.measure())
    assert not set(second.taken) & set(machine.taken)
    assert {one.number for one in again.trials()} == set(range(1, 7))
