"""A judgement as JUnit XML.

What fails is a ``<failure>``. What can't be told (UNDECIDED, INCOMPARABLE) is an
``<error>``, since the command ends with 4 and no CI system may read it as passed.
NEW and MISSING are ``<skipped>`` unless they were asked to fail; what was accepted
passes, with the reason in its ``<system-out>``.
"""

from xml.etree import ElementTree as ET

from attnbench.bench.records.verdict import ABSENT, OPEN, Finding, Judgement
from attnbench.reports.text import visible
from attnbench.reports.verdicts import words

SUITE = "attnbench gate"


def render(judgement: Judgement) -> str:
    """The file's text; it counts a failure or an error exactly where the exit code is not 0."""
    root = ET.Element("testsuites", name=SUITE)
    suite = suite_of(judgement)
    for name in ("tests", "failures", "errors", "skipped"):
        root.set(name, suite.get(name, "0"))
    root.append(suite)
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def suite_of(judgement: Judgement) -> ET.Element:
    """One ``<testsuite>`` with a test case a finding."""
    suite = ET.Element("testsuite", name=SUITE)
    told = [_case(one, failing=one in judgement.failing) for one in judgement.findings]
    if judgement.invalid_reason or not judgement.findings:
        told.append(_whole(judgement))
    for name, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        suite.set(name, str(sum(case.find(tag) is not None for case in told)))
    suite.set("tests", str(len(told)))
    suite.set("time", "0")
    suite.extend(told)
    out = ET.SubElement(suite, "system-out")
    out.text = visible(f"{words.headline(judgement)}. {'; '.join(words.beside(judgement))}")
    return suite


def _case(finding: Finding, *, failing: bool) -> ET.Element:
    case = ET.Element(
        "testcase",
        classname=visible(finding.implementation),
        name=visible(f"{finding.case} [{words.ABOUT[finding.about]}]"),
        time="0",
    )
    tag = _tag(finding, failing=failing)
    message = visible(words.sentence(finding))
    if tag:
        said = ET.SubElement(case, tag, message=message)
        if tag != "skipped":
            said.set("type", finding.verdict)
            said.text = visible(f"{message} {finding.repeat}")
    else:
        ET.SubElement(case, "system-out").text = message
    return case


def _tag(finding: Finding, *, failing: bool) -> str:
    if failing:
        return "failure"
    if finding.allowed:
        return ""
    if finding.verdict in OPEN:
        return "error"
    return "skipped" if finding.verdict in ABSENT else ""


def _whole(judgement: Judgement) -> ET.Element:
    """The case that stands for the judgement where nothing could be decided at all."""
    case = ET.Element("testcase", classname="gate", name="decides", time="0")
    message = visible(judgement.invalid_reason or "nothing was judged")
    ET.SubElement(case, "error", message=message, type=judgement.verdict).text = message
    return case
