"""The command that repeats a record carries its device and its variables, through whichever door it is read."""

import csv
import io
import json
import random
import shlex
import subprocess

import pytest
import synthetic
from hypothesis import given, settings
from hypothesis import strategies as st

from attnbench.bench.cli.session import verdict_lines
from attnbench.bench.gate.stored.judge import judge
from attnbench.bench.records import environment as machine
from attnbench.bench.records.repeat import repeat_command, shell_word
from attnbench.bench.records.schema import Run
from attnbench.bench.records.verdict import About
from attnbench.reports import tables
from attnbench.reports.summary import summary
from attnbench.reports.verdicts import junit, page

CHECK = (
    "python -m bench check --impl softmax_then_mask --case b1-h32-kv8-s512-d128-window:255:0-bf16 "
    "--seed 0 --device cuda"
)
TIME = CHECK.replace(" check ", " run ").replace("softmax_then_mask", "sdpa_flash")


@pytest.fixture(scope="module")
def wrong():
    return synthetic.cuda()


def test_the_terminal_of_a_check(wrong):
    assert f"  repeat: {CHECK}" in verdict_lines(wrong.records, wrong.header.environment)


def test_tables_and_the_words_of_a_report(wrong):
    lines = csv.DictReader(io.StringIO(tables.to_csv([wrong])))
    assert CHECK in [line["command"] for line in lines]
    assert CHECK in [one["command"] for one in json.loads(tables.to_json([wrong]))]
    assert any(f"`{CHECK}`" in line for part in summary([wrong]).paragraphs for line in part.lines)


def test_a_gate_s_finding_and_its_page(wrong):
    right = Run(header=wrong.header, records=synthetic.cuda(fault=None).records, path="runs/before")
    judged = judge(wrong, right)
    assert [one.repeat for one in judged.failing if one.about is About.WRONG] == [CHECK]
    assert CHECK in page.render(judged)
    assert CHECK in junit.render(judged)


def test_a_gate_s_finding_about_time_says_how_to_time_it():
    judged = judge(synthetic.cuda(factor=2.0, fault=None), synthetic.cuda(fault=None))
    assert [one.repeat for one in judged.failing if one.about is About.TIME] == [TIME]


def test_the_page_of_a_report(open_page):
    page = open_page("cuda")
    assert page.locator("#failures code.cmd").all_inner_texts() == [CHECK]
    page.locator("#table tr", has_text="softmax_then_mask").locator("button").click()
    assert page.locator("dialog dt:has-text('check it again') + dd").inner_text() == CHECK
    page.keyboard.press("Escape")
    page.locator("#table tr", has_text="sdpa_flash").locator("button").click()
    assert page.locator("dialog dt:has-text('time it again') + dd").inner_text() == TIME


def test_words_are_quoted_for_a_shell():
    record = synthetic.record(random.Random(1), synthetic.model_cases()[0], synthetic.Speed("my f.py:it's", 1, 1))
    command = shlex.split(repeat_command(record, synthetic.environment(device="cuda")))
    assert command[command.index("--impl") + 1] == "my f.py:it's"
    assert command[-2:] == ["--device", "cuda"]


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1))
@settings(max_examples=60)
def test_a_shell_reads_the_word_and_a_terminal_shows_all_of_it(text):
    word = shell_word(text)
    assert word.isprintable()
    done = subprocess.run(
        ["bash", "-c", f"printf %s {word}"], capture_output=True, check=True, env={"LC_ALL": "C.UTF-8"}
    )
    assert done.stdout.decode() == text


def test_what_ran_in_triton_s_interpreter_is_repeated_there(monkeypatch):
    for name in ("TRITON_INTERPRET", "FLASH_ATTENTION_TRITON_AMD_ENABLE"):
        monkeypatch.delenv(name, raising=False)
    record = synthetic.single().records[0]
    facts = {"torch": "2.13.0", "threads": "2"}
    assert repeat_command(record, machine.environment("cpu", facts)).startswith("python ")
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    assert repeat_command(record, machine.environment("cpu", facts)).startswith("TRITON_INTERPRET=1 python ")
