import pytest
from synthetic import environment, plausible, shape

from bench.records.schema import Run
from impls.contract import Causal
from reports.compare import compare, differences, verdict

CASES = [shape(8, 8, 64, n, n, dtype="fp32", mask=Causal()) for n in (128, 256)]


@pytest.mark.parametrize(
    ("now", "before", "low", "high", "expected"),
    [
        ("PASSED", "PASSED", 1.2, 1.3, "REGRESSED"),
        ("PASSED", "PASSED", 0.7, 0.8, "IMPROVED"),
        ("PASSED", "PASSED", 0.97, 1.03, "UNCHANGED"),
        ("PASSED", "PASSED", 1.05, 1.2, "UNDECIDED"),
        ("WRONG", "PASSED", float("nan"), float("nan"), "REGRESSED"),
        ("PASSED", "WRONG", float("nan"), float("nan"), "IMPROVED"),
        ("UNAVAILABLE", "PASSED", float("nan"), float("nan"), "MISSING"),
        ("PASSED", "UNSUPPORTED", float("nan"), float("nan"), "NEW"),
        ("PASSED", None, float("nan"), float("nan"), "NEW"),
        (None, "PASSED", float("nan"), float("nan"), "MISSING"),
    ],
)
def test_verdicts(now, before, low, high, expected):
    assert verdict(now, before, low, high, incomparable=False) == expected


def test_a_slower_run_is_told_with_its_ratio():
    both = compare(plausible(1, cases=CASES, factor=1.5), plausible(2, cases=CASES)).set_index("implementation")
    flash = both.loc["sdpa_flash"]
    assert set(flash["verdict"]) == {"REGRESSED"}
    assert flash["ratio"].between(1.4, 1.6).all()
    assert (flash["low"] < flash["ratio"]).all()
    assert (flash["ratio"] < flash["high"]).all()
    assert set(both.loc["masked_fill", "verdict"]) <= {"UNCHANGED", "UNDECIDED"}


def test_two_machines_are_not_compared():
    there = plausible(2, cases=CASES, machine=environment("other"))
    here = plausible(1, cases=CASES)
    assert set(compare(here, there)["verdict"]) == {"INCOMPARABLE"}
    assert differences(here, there) == ["cpu: other in the baseline, Example CPU (made-up numbers) here"]


def test_what_only_one_side_has():
    here, there = plausible(1, cases=CASES[:1]), plausible(2, cases=CASES)
    assert set(compare(here, there)["verdict"]) >= {"MISSING"}
    assert set(compare(there, here)["verdict"]) >= {"NEW"}
    nothing = Run(header=here.header, records=())
    assert len(compare(nothing, there)) == len(there.records)
