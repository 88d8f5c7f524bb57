import subprocess
import sys
from pathlib import Path

import pytest
from report_pages import GOLDEN
from synthetic import SPEEDS, Status, all_wrong, empty, environment, model_cases, nasty, plausible, single

from attnbench.reports.summary import Summary, summary
from attnbench.reports.text import moment


def said(summed: Summary, title: str) -> str:
    return "\n".join(
        line for paragraph in summed.paragraphs for line in paragraph.lines if paragraph.title == title
    )


def test_the_golden_run_is_summed_up_as_it_was_read_and_approved(golden):
    text = "\n".join(
        f"{p.title}{' !' if p.bad else ''}\n" + "\n".join(p.lines) for p in summary([golden]).paragraphs
    )
    assert text + "\n" == (GOLDEN / "words.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("make", [nasty, empty, single, all_wrong])
def test_every_run_has_words_for_every_question(make):
    for paragraph in summary([make()]).paragraphs:
        assert paragraph.lines
        assert all(line and "\n" not in line and "nan" not in line.split() for line in paragraph.lines)


def test_no_run_at_all_has_words():
    assert said(summary([]), "Compared") == "No run was given."


def test_what_is_wrong_is_named_with_the_command_that_repeats_it():
    run = plausible(cases=model_cases()[:2], speeds=SPEEDS[:1], fault=lambda *_: (Status.WRONG, "out differs"))
    text = said(summary([run]), "Wrong")
    assert "`additive_mask` disagrees on 2 of 2 cases" in text
    assert "11.7 times its budget" in text
    assert f"python -m bench check --impl additive_mask --case {run.records[0].case.id} --seed 0" in text


def test_the_words_speak_of_the_newest_run_of_each_machine():
    cases = model_cases()[:2]
    old = plausible(1, cases=cases, speeds=SPEEDS[:1], created="2026-01-01T00:00:00+00:00")
    new = plausible(2, cases=cases, speeds=SPEEDS[1:2], created="2026-01-02T00:00:00+00:00")
    other = plausible(3, cases=cases, speeds=SPEEDS[:1], machine=environment("other"))
    assert summary([new, old, other]).current == (0, 2)
    text = said(summary([new, old]), "Use")
    assert "masked_fill" in text
    assert "additive_mask" not in text


def test_a_timed_gpu_is_not_denied():
    run = plausible(cases=model_cases()[:1], machine=environment("GPU", device="cuda"))
    assert "No GPU" not in said(summary([run]), "Trust")
    assert "No GPU was timed" in said(summary([single()]), "Trust")


def test_a_reference_without_records_is_refused_with_the_names_there_are():
    with pytest.raises(ValueError, match=r"no record of 'sdpa'.*additive_mask"):
        summary([single()], reference_implementation="sdpa")


def test_a_declared_limit_is_told_with_its_reason():
    text = said(summary([single()]), "Trust")
    assert "`additive_mask` is known to fail on `poison` inputs and did: weight 0 times NaN is NaN." in text


def test_a_disturbed_machine_is_told_once():
    run = nasty()
    text = said(summary([run]), "Trust")
    assert text.lower().count("disturbed") == 1
    assert "Disturbed while timed: 1 record" in text


def test_times_are_told_in_one_zone():
    assert moment("2026-03-02T11:30:00+02:00") == "2026-03-02 09:30 UTC"
    assert moment("yesterday") == "yesterday"


def test_reports_load_without_torch():
    loaded = (
        "import sys, attnbench.reports.html, reports.terminal, reports.index, reports.markdown, bench.cli.report"
    )
    code = f"{loaded}\nassert not {{'torch', 'triton'}} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])
