"""Terminal, Markdown, CSV and JSON: the same numbers, and nothing from outside acts."""

import csv
import io
import json

import pandas as pd
import pytest
from rich.console import Console
from synthetic import NASTY, all_wrong, empty, nasty, plausible, single

from attnbench.bench.gate.stored.judge import judge
from attnbench.bench.units import show
from attnbench.reports import markdown, tables
from attnbench.reports.data import table
from attnbench.reports.terminal import render_run

RUNS = [nasty, empty, single, all_wrong]


def printed(run, baseline=None, width=200):
    console = Console(file=io.StringIO(), width=width, no_color=True)
    render_run(run, console, baseline)
    return console.file.getvalue()


@pytest.mark.parametrize("make", RUNS)
@pytest.mark.parametrize("width", [60, 200])
def test_every_run_prints(make, width):
    assert "Wrong" in printed(make(), width=width)


def test_the_fastest_correct_one_is_marked_and_comes_first(golden):
    lines = printed(golden).splitlines()
    starts = [place for place, line in enumerate(lines) if line.startswith("b1-")]
    assert len(starts) == len({record.case.id for record in golden.records})
    # The case's id, the headings, and then the fastest.
    assert all("* fastest" in lines[place + 2] for place in starts)


def test_names_are_no_markup_for_the_terminal():
    drawn, _, _ = printed(nasty()).partition("Wrong\n")
    assert "[bold]rich[/bold]" in drawn


def test_the_speed_up_is_against_the_one_that_was_asked_for():
    run = single()
    assert "1.00x" in printed(run, "additive_mask")
    assert "x " not in printed(run, "no such name").splitlines()[1].replace("additive_mask", "")


def test_the_terminal_shows_the_record_s_number():
    run = single()
    assert show(run.records[0].measurement.median_ns, "time") in printed(run)


@pytest.mark.parametrize("make", RUNS)
def test_every_run_has_markdown(make):
    assert markdown.render([make()], [judge(make(), nasty())]).startswith("## Attention benchmark")


def test_markdown_holds_no_live_html():
    text = markdown.render([nasty()])
    outside = "".join(text.split("`")[::2])
    assert "<script" not in outside
    assert NASTY.replace("<", "&lt;").replace(">", "&gt;") in outside


def test_markdown_tables_keep_their_columns():
    rows = [line.replace("\\|", "") for line in markdown.render([nasty()]).splitlines() if line.startswith("| ")]
    assert {row.count("|") for row in rows} == {6}


def test_markdown_lists_what_changed(golden):
    text = markdown.render([golden], [judge(golden, plausible(3, factor=0.7))])
    assert "🔺 REGRESSED" in text
    assert "`sdpa_flash`" in text


@pytest.mark.parametrize("make", RUNS)
def test_tables_hold_every_record_exactly(make):
    run = make()
    rows = table([run])
    lines = list(csv.DictReader(io.StringIO(tables.to_csv([run]))))
    objects = json.loads(tables.to_json([run]))
    assert len(lines) == len(objects) == len(run.records)
    for line, one, record, median in zip(lines, objects, run.records, rows["median_ns"], strict=True):
        assert one["case"] == line["case"] == record.case.id
        assert one["implementation"] == record.implementation == line["implementation"].removeprefix("'")
        if pd.notna(median):
            assert float(line["median_ns"]) == one["median_ns"] == median


def test_a_spreadsheet_runs_nothing():
    cells = [cell for line in csv.reader(io.StringIO(tables.to_csv([nasty()]))) for cell in line]
    assert not [cell for cell in cells if cell.startswith(("=", "+", "@"))]
    assert "'=cmd|' /C calc'!A1" in cells


def test_no_run_is_an_empty_table():
    assert json.loads(tables.to_json([])) == []
    assert tables.to_csv([]).startswith("run,")
