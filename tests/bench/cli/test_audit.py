"""``audit``: a case that would pass a wrong answer is named, one that notices all is not."""

import pytest
import torch

from attnbench.bench.agreement.audit import unnoticed
from attnbench.bench.agreement.oracle import Oracle
from attnbench.bench.sweeps import load_sweep
from attnbench.impls.contract import parse_case

NORMAL = ("normal",)


@pytest.fixture(scope="module")
def oracle():
    return Oracle()


def test_a_case_that_would_pass_an_answer_is_named_with_it_and_exit_1(bench):
    done = bench("audit", "--case", "b1-h2-s64-d32-full-cap0.001-bf16", "--case", "b1-h2-s64-d32-full-bf16")
    assert done.returncode == 1
    assert "out: uniform weights pass at " in done.stdout
    assert "2 cases, 1 would pass a wrong answer" in done.stdout


def test_cases_that_notice_all_are_exit_0(bench):
    done = bench("audit", "--case", "b2-h4-kv2-s20-d16-causal-fp32-bwd")
    assert done.returncode == 0, done.stdout
    assert "1 cases, 0 would pass" in done.stdout


@pytest.mark.parametrize(
    "case", ["b1-h1-s1-d8-full-fp32", "b3-h4-q5-k1-d8-full-bf16-bwd", "b1-h2-q8-k4-d8-window:0:0-fp32"]
)
def test_an_answer_that_is_right_on_this_case_is_no_finding(case, oracle):
    assert unnoticed(parse_case(case), oracle, 0, NORMAL) == {}


def test_an_answer_must_pass_every_family_to_be_unnoticed(oracle):
    case = parse_case("b1-h2-s64-d32-full-scale0.0001-bf16")
    assert ("out", "uniform weights") in unnoticed(case, oracle, 0, NORMAL)
    assert unnoticed(case, oracle, 0, ("normal", "needle")) == {}


@pytest.mark.parametrize("sweep", ["smoke", "trust"])
def test_small_sweeps_that_come_along_notice_every_answer(sweep, oracle):
    torch.set_num_threads(1)
    blind = {case.id: found for case in load_sweep(sweep).cases if (found := unnoticed(case, oracle, 0, NORMAL))}
    assert blind == {}
