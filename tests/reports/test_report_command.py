import json

import pytest
from click.testing import CliRunner
from report_pages import GOLDEN
from synthetic import single, write

from attnbench.bench.cli.report import command as report


def call(*arguments):
    return CliRunner().invoke(report, [str(one) for one in arguments])


@pytest.fixture
def run_folder(tmp_path):
    return write(single(), tmp_path / "run").parent


def test_the_page_goes_beside_the_run_and_its_path_is_printed(run_folder):
    done = call(run_folder)
    assert done.exit_code == 0
    assert done.stdout.strip() == str(run_folder / "report.html")
    assert (run_folder / "report.html").read_text().startswith("<!DOCTYPE html>")


@pytest.mark.parametrize(("form", "start"), [("md", "## Attention"), ("csv", "run,"), ("json", "[")])
def test_texts_go_to_stdout_or_to_a_file(run_folder, tmp_path, form, start):
    done = call(run_folder, "--format", form)
    assert done.exit_code == 0
    assert done.stdout.startswith(start)
    assert call(run_folder, "--format", form, "-o", tmp_path / "out").stdout.strip() == str(tmp_path / "out")
    assert (tmp_path / "out").read_text() == done.stdout


def test_several_runs_and_a_baseline(run_folder):
    done = call(run_folder, GOLDEN, "--baseline", GOLDEN, "--format", "md")
    assert done.exit_code == 0
    assert "UNCHANGED" in done.stdout
    assert len(json.loads(call(run_folder, GOLDEN, "--format", "json").stdout)) > 100


def test_the_index(run_folder):
    done = call(run_folder.parent, "--format", "index")
    assert done.stdout.strip() == str(run_folder.parent / "index.html")


def test_a_damaged_line_is_named_and_skipped(run_folder):
    with (run_folder / "run.jsonl").open("a") as file:
        file.write('{"torn\n')
    done = call(run_folder, "--format", "md")
    assert done.exit_code == 0
    assert "1 damaged line" in done.stdout
    assert "line 3" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["no-such-run"], "can't read"),
        ([GOLDEN, "--baseline", "no-such-run"], "can't read"),
        ([GOLDEN, "--reference", "nobody", "--format", "md"], "no record of 'nobody'"),
        ([GOLDEN, "--format", "pdf"], "'pdf' is not one of"),
        ([GOLDEN, GOLDEN, "--format", "index"], "one folder of runs"),
        ([GOLDEN, "-o", "/proc/nowhere/report.html"], "can't write"),
    ],
)
def test_bad_input_is_one_clear_line_and_exit_2(arguments, words):
    done = call(*arguments)
    assert done.exit_code == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr


FACT = {
    "group": "triton_fused",
    "config": "forward-d128-full-bf16",
    "target": "sm_80",
    "ratio": 2.3945,
    "ctas_per_sm": 1,
}


def test_machine_code_stands_beside_published_marks_and_is_called_no_speed(tmp_path):
    facts = tmp_path / "facts.json"
    facts.write_text(json.dumps([FACT]))
    page = tmp_path / "page.html"
    done = CliRunner().invoke(report, [str(GOLDEN), "-o", str(page), "--codegen", str(facts)])
    assert done.exit_code == 0, done.output
    text = page.read_text()
    section = text[text.index('id="machine-code"') : text.index('id="records"')]
    assert "Machine code, not speeds" in section
    assert "(published)" in section
    assert "2.39" in section


def test_a_page_without_machine_code_has_no_such_section(tmp_path):
    page = tmp_path / "page.html"
    CliRunner().invoke(report, [str(GOLDEN), "-o", str(page)])
    assert 'id="machine-code"' not in page.read_text()


@pytest.mark.parametrize("text", ["", "{}", '[{"group": 1}]'])
def test_a_file_without_facts_is_one_line(tmp_path, text):
    facts = tmp_path / "facts.json"
    facts.write_text(text)
    done = CliRunner().invoke(report, [str(GOLDEN), "-o", str(tmp_path / "p.html"), "--codegen", str(facts)])
    assert done.exit_code == 2
    assert "bench codegen --json" in done.output
