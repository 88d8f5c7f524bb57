"""``bench gate`` and ``bench baseline`` from their front door: what they print, what they write, how they end."""

import json
import os
import stat
import xml.etree.ElementTree as ET
from datetime import date, timedelta

import msgspec
import pytest
from click.testing import CliRunner

from attnbench.bench.__main__ import main
from attnbench.bench.gate.allow import AllowError, read_allow
from attnbench.bench.records.schema import Status
from attnbench.bench.records.store import read_run
from tests.bench.gate.stored_runs import CASES, environment, full, on, record, run, write

HOSTILE = "</script><script>|`::error::##[error]x\x00\x1b[31m\nline"
ALLOW = """
[[allow]]
case = "b1-h2-*"
implementation = "fast"
about = "{about}"
reason = "the safe softmax of change 123"
expires = {expires}
"""


@pytest.fixture(autouse=True)
def outside_of_actions(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for name in ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture
def runs(tmp_path):
    write(full(), tmp_path / "before")
    write(full(timing={"ns": 1500}), tmp_path / "slower")
    write(full(timing={"ns": 1090}), tmp_path / "doubtful")
    write(full(status=Status.WRONG), tmp_path / "wrong")
    write(on(full(), environment(cpu="Another CPU")), tmp_path / "elsewhere")
    return tmp_path


def call(*arguments):
    return CliRunner().invoke(main, [str(one) for one in arguments])


def gate(candidate, *arguments, baseline="before"):
    return call("gate", candidate, "--baseline", baseline, *arguments)


def allow(path, about="time", expires="2999-01-01"):
    path.write_text(ALLOW.format(about=about, expires=expires))
    return path


@pytest.mark.parametrize(
    ("candidate", "code", "words"),
    [
        ("before", 0, "UNCHANGED: nothing got worse"),
        ("slower", 1, "REGRESSED: something got worse"),
        ("wrong", 1, "was PASSED, is WRONG"),
        ("doubtful", 4, "UNDECIDED"),
        ("elsewhere", 4, "cpu is Made-up CPU in the baseline and Another CPU in the candidate"),
    ],
)
def test_the_exit_code_and_the_last_word(runs, candidate, code, words):
    done = gate(candidate)
    assert done.exit_code == code, done.output
    assert words in done.output


def test_the_worst_comes_first_with_ratio_and_interval(runs):
    lines = gate("slower").output.splitlines()
    assert lines[1].split()[:4] == ["REGRESSED", "time", "fast", CASES[0].id]
    assert "1.50x" in lines[1]
    assert "1.47 to 1.53x" in lines[1]
    assert "6 findings: 3 REGRESSED, 3 UNCHANGED" in lines


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["no-such-run"], "can't read no-such-run"),
        (["before", "--fail-on", "slow"], "--fail-on takes new and missing"),
        (["before", "--allow", "none.toml"], "can't read none.toml"),
        (["before", "--json", "before/run.jsonl/x.json"], "can't write"),
    ],
)
def test_what_cant_be_used_is_one_line_and_exit_2(runs, arguments, words):
    done = gate(*arguments)
    assert done.exit_code == 2
    assert words in done.output


def test_an_unknown_baseline_names_those_there_are(runs):
    call("baseline", "save", "main", "before")
    done = gate("before", baseline="mian")
    assert done.exit_code == 2
    assert "no baseline 'mian' in baselines: there are main" in done.output


def test_json_holds_everything(runs):
    done = gate("slower", "--json", "-")
    told = json.loads(done.stdout)
    assert (told["schema"], told["verdict"], told["exit_code"]) == (1, "REGRESSED", 1)
    assert len(told["findings"]) == 6
    first = told["findings"][0]
    assert (first["about"], first["fails"], first["trials"]) == ("time", True, 0)
    assert first["low"] < first["ratio"] < first["high"]
    assert told["command"] == "python -m bench gate slower --baseline before"
    assert "REGRESSED" in done.stderr, "the table stays readable beside it"


def suites(path):
    root = ET.parse(path).getroot()
    assert root.tag == "testsuites"
    (suite,) = root
    cases = suite.findall("testcase")
    order = ["properties", *["testcase"] * len(cases), "system-out", "system-err"]
    assert [child.tag for child in suite] == [tag for tag in order if tag in {"testcase", "system-out"}]
    for name, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        assert int(suite.get(name)) == sum(case.find(tag) is not None for case in cases) == int(root.get(name))
    assert int(suite.get("tests")) == len(cases)
    assert all(case.get("classname") and case.get("name") and float(case.get("time")) == 0 for case in cases)
    return int(suite.get("failures")), int(suite.get("errors")), int(suite.get("skipped"))


@pytest.mark.parametrize(
    ("candidate", "expected"),
    [("before", (0, 0, 0)), ("slower", (3, 0, 0)), ("doubtful", (0, 3, 0)), ("elsewhere", (0, 7, 0))],
)
def test_junit_counts_what_ci_must_not_pass(runs, candidate, expected):
    gate(candidate, "--junit", "out/j.xml")
    assert suites("out/j.xml") == expected


def test_a_page_holds_the_verdict(runs):
    result = gate("slower", "--html", "deep/page.html")
    text = (runs / "deep" / "page.html").read_text(encoding="utf-8")
    assert result.exit_code == 1
    assert '<h1 id="verdict-title" class="bad">REGRESSED: something got worse</h1>' in text
    assert "page:" not in result.stderr


def test_junit_skips_new_and_missing_until_asked(runs):
    write(run(record(CASES[0])), runs / "less")
    assert gate("less", "--junit", "j.xml").exit_code == 0
    assert suites("j.xml") == (0, 0, 5)
    assert gate("less", "--junit", "j.xml", "--fail-on", "new,missing").exit_code == 1
    assert suites("j.xml") == (5, 0, 0)


def test_hostile_names_stay_text_everywhere(runs):
    now, before = (
        run(record(name=HOSTILE, timing={"ns": ns}), record(CASES[1], HOSTILE, status=Status.ERROR, reason=HOSTILE))
        for ns in (3000, 1000)
    )
    write(now, runs / "now")
    write(before, runs / "then")
    done = gate(
        "now", "--junit", "j.xml", "--markdown", "m.md", "--html", "p.html", "--annotations", baseline="then"
    )
    assert (runs / "p.html").read_text(encoding="utf-8").count("<script>") == 1
    assert suites("j.xml") == (1, 0, 0)
    markdown = (runs / "m.md").read_text()
    assert "<script" not in "".join(markdown.split("`")[::2])
    rows = [line.replace("\\|", "") for line in markdown.splitlines() if line.startswith("| ")]
    assert {row.count("|") for row in rows} == {9}
    commands = [line for line in done.output.splitlines() if line.lstrip().startswith(("::", "##["))]
    assert len(commands) == 1
    assert commands[0].startswith("::error title=REGRESSED time%3A ")
    others = [line for line in done.output.splitlines() if line not in commands]
    assert not any("::" in line or "##[" in line for line in others), "folded anywhere, no line begins a command"
    assert "\x1b" not in done.output
    assert "\x00" not in done.output


def test_annotations_are_ten_at_most_and_the_worst_come_first(runs):
    many = [record(case, f"k{i}") for case in CASES for i in range(5)]
    worse = [record(case, f"k{i}", timing={"ns": 1200 + 100 * i}) for case in CASES for i in range(5)]
    write(run(*many), runs / "then")
    write(run(*worse), runs / "now")
    lines = [
        one for one in gate("now", "--annotations", baseline="then").output.splitlines() if one.startswith("::")
    ]
    assert len(lines) == 10
    assert "k4" in lines[0]
    assert "6 more" in lines[-1]


def test_accepted_and_open_findings_are_warnings(runs):
    allowed = gate("slower", "--annotations", "--allow", allow(runs / "a.toml")).output
    assert allowed.count("::warning ") == 3
    assert gate("doubtful", "--annotations").output.count("::warning ") == 3
    assert "::" not in gate("before", "--annotations").output


def test_github_gets_annotations_and_the_summary_without_being_asked(runs, monkeypatch):
    summary = runs / "summary.md"
    summary.write_text("what another step wrote\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    assert "::error" not in gate("slower").output
    assert summary.read_text() == "what another step wrote\n", "outside of Actions nothing is added unasked"
    gate("slower", "--markdown", summary)
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    assert "::error" in gate("slower").output
    assert "::error" not in gate("slower", "--no-annotations", "--markdown", "own.md").output
    text = summary.read_text()
    assert text.startswith("what another step wrote\n## 🔺 REGRESSED")
    assert text.count("## 🔺 REGRESSED") == 2
    assert (runs / "own.md").read_text().startswith("## 🔺 REGRESSED")


def test_an_accepted_finding_passes_and_stays_in_sight(runs):
    done = gate("slower", "--allow", allow(runs / "a.toml"), "--junit", "j.xml")
    assert done.exit_code == 0, done.output
    assert "accepted: the safe softmax of change 123" in done.output
    assert "3 REGRESSED (3 accepted)" in done.output
    assert suites("j.xml") == (0, 0, 0)


def test_a_wrong_result_can_be_accepted_and_is_shown(runs):
    done = gate("wrong", "--allow", allow(runs / "a.toml", "wrong"))
    assert done.exit_code == 0
    assert "is WRONG" in done.output


def test_entries_of_another_kind_accept_nothing_and_are_named(runs):
    done = gate("slower", "--allow", allow(runs / "a.toml", "memory"))
    assert done.exit_code == 1
    assert "nothing of this kind was found, so it can go: memory of fast" in done.output


def test_an_expired_entry_accepts_nothing_and_is_named(runs):
    yesterday = date.today() - timedelta(days=2)  # noqa: DTZ011  # two days: expired in every zone
    done = gate("slower", "--allow", allow(runs / "a.toml", expires=yesterday.isoformat()))
    assert done.exit_code == 1
    assert f"expired on {yesterday}" in done.output


def test_what_cant_be_told_cant_be_accepted(runs):
    assert gate("doubtful", "--allow", allow(runs / "a.toml")).exit_code == 4


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (ALLOW.format(about="time", expires="2999-01-01") + "until = 1\n", "entry 1: Object contains unknown field"),
        (ALLOW.format(about="speed", expires="2999-01-01"), "entry 1: Invalid enum value 'speed'"),
        (ALLOW.format(about="time", expires='"soon"'), "entry 1: Invalid RFC3339"),
        ('[[allow]]\ncase = "*"\n', "entry 1: Object missing required field `implementation`"),
        (ALLOW.format(about="time", expires="2999-01-01").replace("the safe softmax of change 123", " "), "say in `reason`"),
        ("[allow]\n", "two brackets"),
        ("allowed = 1\n", "unknown key 'allowed'"),
        ("[[", "is no TOML"),
    ],
)  # fmt: skip
def test_a_bad_allow_file_is_told_by_file_and_entry(tmp_path, text, words):
    path = tmp_path / "a.toml"
    path.write_text(text)
    with pytest.raises(AllowError) as told:
        read_allow(path)
    assert str(told.value).startswith(str(path))
    assert words in str(told.value)


def test_a_baseline_is_saved_shown_and_compared_by_its_own_machine(runs):
    for made in ("before", "elsewhere"):
        assert call("baseline", "save", "main", made).exit_code == 0
    assert len(list((runs / "baselines" / "main").iterdir())) == 2
    shown = call("baseline", "show", "main").output
    assert "cpu = Another CPU" in shown
    assert "6 records: 6 PASSED; 6 timed" in shown
    assert call("baseline", "list").output.count("main  ") == 2
    assert call("baseline", "compare", "main", "before").exit_code == 0
    assert call("baseline", "compare", "main", "slower").exit_code == 1
    assert gate("slower", baseline="main").exit_code == 1
    assert gate("slower", baseline="baselines/main").exit_code == 1, "its folder names it too"


def test_a_machine_without_a_baseline_is_told_what_there_is_and_what_differs(runs):
    call("baseline", "save", "main", "elsewhere")
    done = call("baseline", "compare", "main", "before")
    assert done.exit_code == 4
    assert "has no run of this machine" in done.output
    assert read_run(runs / "elsewhere").header.environment.fingerprint in done.output
    assert "cpu is Another CPU in the baseline and Made-up CPU in the candidate" in done.output


def test_the_nearest_machine_is_the_one_with_the_fewest_differences(runs):
    far = write(on(full(), environment(cpu="C", torch="1", threads="9")), runs / "far")
    for made in (far, "elsewhere"):
        call("baseline", "save", "main", made)
    done = call("baseline", "compare", "main", "before")
    assert "Another CPU" in done.output
    assert "torch is" not in done.output


def test_a_baseline_is_replaced_by_force_alone(runs):
    call("baseline", "save", "main", "before")
    refused = call("baseline", "save", "main", "slower")
    assert refused.exit_code == 2
    assert "add --force" in refused.output
    assert call("baseline", "compare", "main", "before").exit_code == 0
    assert call("baseline", "save", "main", "slower", "--force").exit_code == 0
    assert call("baseline", "compare", "main", "slower").exit_code == 0


@pytest.mark.parametrize("name", ["../main", "a/b", "", ".hidden", "-x y"])
def test_a_baseline_has_the_name_of_a_folder(runs, name):
    done = call("baseline", "save", "--", name, "before")
    assert done.exit_code == 2
    assert not (runs / "baselines").exists()


def test_a_run_in_which_nothing_passed_is_no_baseline(runs):
    write(run(record(status=Status.ERROR)), runs / "broken")
    done = call("baseline", "save", "main", "broken")
    assert done.exit_code == 2
    assert "no record that passed" in done.output


def test_an_unfinished_baseline_is_said_to_be_one(runs):
    write(run(record(), cases=CASES), runs / "half")
    assert "2 planned records are missing" in call("baseline", "save", "main", "half").output


def test_a_disturbed_baseline_is_said_to_be_one(runs):
    write(full(disturbance="a neighbour"), runs / "noisy")
    assert "3 times were disturbed" in call("baseline", "save", "main", "noisy").output


def test_what_is_saved_is_whole_or_not_there(runs, monkeypatch):
    """A failure while writing leaves the old baseline and no other file."""
    call("baseline", "save", "main", "before")
    (folder,) = (runs / "baselines" / "main").iterdir()
    content = (folder / "run.jsonl").read_bytes()

    def full_disk(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    done = call("baseline", "save", "main", "slower", "--force")
    assert done.exit_code == 2
    assert "No space left" in done.output
    assert [one.name for one in folder.iterdir()] == ["run.jsonl"]
    assert (folder / "run.jsonl").read_bytes() == content


def test_what_is_saved_is_readable_by_others(runs):
    file = call("baseline", "save", "main", "before").stdout.strip()
    assert stat.S_IMODE((runs / file).stat().st_mode) == 0o666 & ~_umask()
    assert msgspec.structs.replace(read_run(runs / "before"), path="") == msgspec.structs.replace(
        read_run(runs / file), path=""
    )


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_the_report_says_the_same_verdicts(runs):
    done = call("report", "slower", "--baseline", "before", "--format", "md")
    assert "3 REGRESSED and 3 UNCHANGED" in done.output
    assert "🔺 REGRESSED" in done.output
