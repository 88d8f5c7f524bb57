"""The gate's own record: experiments of known truth, counted, and promises that can be broken."""

import json

import pytest

from attnbench.bench.gate.paired.selfcheck import CASE, Experiment, Rate, planned, promises
from attnbench.bench.records.schema import as_json
from attnbench.bench.records.verdict import Verdict
from attnbench.impls.contract import parse_case

WORDS = ("gate-selfcheck", "--same", "4", "--barely", "2", "--slower", "2")


def experiment(number, percent, noisy, verdict=None, wall_s=5.0):
    truth = Verdict.REGRESSED if percent > 1 else Verdict.UNCHANGED
    return Experiment(
        number=number,
        slower_percent=percent,
        noisy=noisy,
        verdict=verdict or truth,
        ratio=1 + percent / 100,
        low=0.99,
        high=1.2,
        trials=6,
        wall_s=wall_s,
        others={"mean:5%": noisy, "median:5%": False, "min:5%": False},
    )


@pytest.fixture
def folder(tmp_path):
    """Writes the experiments of the whole plan, some of them changed."""

    def write(**changes):
        lines = [
            as_json(experiment(*planned_one, **changes.get(f"of_{planned_one[1]}", {}))) for planned_one in plan()
        ]
        (tmp_path / "experiments.jsonl").write_bytes(b"\n".join(lines) + b"\n")
        return tmp_path

    return write


def plan(seed=0):
    return planned(4, 2, 2, seed)


def test_every_trial_is_planned_once_and_half_of_each_truth_is_noisy():
    experiments = planned(300, 40, 100, 0)
    assert [number for number, _, _ in experiments] == list(range(640))
    for percent, count in ((0, 300), (1, 40), (3, 100), (5, 100), (10, 100)):
        noise = [noisy for _, found, noisy in experiments if found == percent]
        assert (len(noise), sum(noise)) == (count, count // 2)
    assert experiments != planned(300, 40, 100, 1)


def test_the_kernel_has_as_many_equal_parts_as_the_slowdowns_count_in():
    case = parse_case(CASE)
    assert case.batch * case.q_heads == 100


def test_wilsons_interval_is_the_published_one():
    """0 of 300 and 97 of 100: Brown, Cai and DasGupta (2001), formula 4."""
    assert Rate(count=0, of=300).interval == pytest.approx((0.0, 0.012642), abs=1e-5)
    assert Rate(count=97, of=100).interval == pytest.approx((0.915480, 0.989736), abs=1e-5)


def test_kept_promises_end_with_0_and_both_tables(bench, folder, tmp_path):
    markdown = tmp_path / "rates.md"
    done = bench(*WORDS, "--out", str(folder()), "--resume", "--markdown", str(markdown))
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("kept") == 6
    assert "BROKEN" not in done.stdout
    assert "2/2 (34.2-100.0%)" in done.stdout
    assert markdown.read_text().count("| A/A | none |") == 2


@pytest.mark.parametrize(
    ("changes", "broken"),
    [
        ({"of_0": {"verdict": Verdict.REGRESSED}}, "A/A: 4 of 4 called"),
        ({"of_0": {"verdict": Verdict.IMPROVED}}, "A/A: 4 of 4 called"),
        ({"of_1": {"verdict": Verdict.IMPROVED}}, "+1%: 2 of 2 called"),
        ({"of_3": {"verdict": Verdict.UNDECIDED}}, "+3%: 0 of 2 found"),
        ({"of_5": {"verdict": Verdict.UNCHANGED}}, "+5%: 0 of 2 found"),
        ({"of_10": {"verdict": Verdict.UNCHANGED}}, "+10%: 0 of 2 found"),
        ({"of_5": {"wall_s": 500.0}}, "mean time to a decision"),
    ],
)
def test_a_broken_promise_is_named_and_ends_with_1(changes, broken, bench, folder):
    done = bench(*WORDS, "--out", str(folder(**changes)), "--resume")
    assert done.returncode == 1
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("BROKEN")]
    assert broken in line


def test_at_97_of_100_the_promise_of_3_percent_is_kept_and_at_96_it_is_not():
    def found(count):
        experiments = [
            experiment(i, 3, False, Verdict.REGRESSED if i < count else Verdict.UNDECIDED) for i in range(100)
        ]
        return dict(promises(experiments))

    assert all(found(97).values())
    assert [words for words, held in found(96).items() if not held] == ["+3%: 96 of 100 found (at least 97%)"]


def test_a_real_trial_is_held_kept_and_not_held_again(bench, tmp_path):
    words = ("gate-selfcheck", "--same", "1", "--barely", "0", "--slower", "0", "--out", str(tmp_path))
    done = bench(*words)
    assert done.returncode in (0, 1), done.stderr  # 1: a busy machine takes longer to decide than is promised
    (line,) = (tmp_path / "experiments.jsonl").read_text().splitlines()
    assert json.loads(line)["verdict"] in ("UNCHANGED", "UNDECIDED")
    assert json.loads(line)["trials"] >= 6
    again = bench(*words, "--resume")
    assert again.returncode == done.returncode
    assert (tmp_path / "experiments.jsonl").read_text().splitlines() == [line]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--same", "0", "--barely", "0", "--slower", "0"), "not all 0"),
        (("--same", "-1"), "0 or more"),
        (("--resume",), "--resume needs --out"),
    ],
)
def test_bad_numbers_are_refused(words, told, bench):
    done = bench("gate-selfcheck", *words)
    assert (done.returncode, told in done.stderr) == (2, True)


def test_trials_of_another_plan_are_not_gone_on_with(bench, folder):
    done = bench(*WORDS, "--seed", "1", "--out", str(folder()), "--resume")
    assert done.returncode == 2
    assert "another seed" in done.stderr
    done = bench(*WORDS, "--out", str(folder()))
    assert (done.returncode, "--resume" in done.stderr) == (2, True)
