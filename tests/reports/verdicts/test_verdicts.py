"""Every form of a judgement says what its exit code says, whatever it holds."""

import json
import string
import xml.etree.ElementTree as ET

from hypothesis import given, settings
from hypothesis import strategies as st

from attnbench.bench.records.verdict import About, Finding, Judgement, Verdict, worst_first
from attnbench.reports.verdicts import annotations, as_json, junit, markdown, page

words = st.text(st.characters(), max_size=30) | st.text("`|<>&:%,\r\n\x00\u202e\ud800#[]" + string.digits)
ratios = st.none() | st.floats(0, 1e6)
findings = st.builds(
    Finding,
    case=words,
    implementation=words,
    about=st.sampled_from(About),
    verdict=st.sampled_from(Verdict),
    reason=words,
    ratio=ratios,
    low=ratios,
    high=ratios,
    allowed=st.sampled_from(["", "known"]),
    repeat=words,
)
judgements = st.builds(
    Judgement,
    baseline=words,
    candidate=words,
    findings=st.lists(findings, max_size=30).map(worst_first),
    notes=st.lists(words, max_size=2).map(tuple),
    invalid_reason=st.just("") | words,
    required=st.sets(st.sampled_from([Verdict.NEW, Verdict.MISSING])).map(tuple),
)


@given(judgements)
def test_junit_is_xml_and_counts_a_failure_or_an_error_exactly_where_the_exit_code_is_not_0(judged):
    root = ET.fromstring(junit.render(judged))
    counted = int(root.get("failures")) + int(root.get("errors"))
    assert bool(counted) == bool(judged.exit_code)
    assert bool(int(root.get("failures"))) == (judged.exit_code == 1)


@given(judgements)
def test_annotations_are_commands_and_nothing_else(judged):
    lines = list(annotations.render(judged))
    assert len(lines) <= annotations.MOST
    for line in lines:
        level, title, message = (
            line.removeprefix("::").split(" ", 1)[0],
            *line.partition("title=")[2].split("::", 1),
        )
        assert level in {"error", "warning"}
        assert not set("\r\n,:") & set(title)
        assert not set("\r\n") & set(message)
    assert any(line.startswith("::error") for line in lines) == (judged.exit_code == 1)


@given(judgements)
def test_a_table_of_markdown_keeps_its_columns_and_holds_no_html(judged):
    text = markdown.render(judged)
    rows = [line.replace("\\\\", "").replace("\\|", "") for line in text.splitlines() if line.startswith("| ")]
    assert {row.count("|") for row in rows} <= {9}
    outside = "".join(text.split("`")[::2])
    for tag in ("<details>", "<summary>", "</summary>", "</details>"):
        outside = outside.replace(tag, "")
    assert "<" not in outside


@given(judgements)
def test_json_holds_the_verdict(judged):
    told = json.loads(as_json.render(judged))
    assert (told["verdict"], told["exit_code"]) == (judged.verdict, judged.exit_code)
    assert [one["fails"] for one in told["findings"]] == [one in judged.failing for one in judged.findings]


@given(judgements)
@settings(max_examples=30, deadline=None)  # a page takes tens of milliseconds, a template's first use more
def test_a_page_says_the_verdict_and_holds_each_finding_once(judged):
    text = page.render(judged).encode().decode()
    assert f">{judged.verdict}: " in text
    assert text.count('<th scope="row"') == len(judged.findings)
    assert text.count("<script") == 1
