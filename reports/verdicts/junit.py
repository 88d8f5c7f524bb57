"""A judgement as JUnit XML.

What fails is a ``<failure>``. UNDECIDED and INCOMPARABLE are an
``<error>``, since the command ends with 4 and no CI system may read it as passed.
NEW and MISSING are ``<skipped>`` unless they were asked to fail; what was accepted
passes, with the reason in its ``<system-out>``.
"""

from xml.etree import ElementTree as ET

from attnbench.bench.records.verdict import ABSENT, OPEN, Finding, Judgement
from attnbench.reports.text import visible
from attnbench.reports.verdicts import sentences

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
    cases = [_case(one, failing=one in judgement.failing) for one in judgement.findings]
    if judgement.invalid_reason or not judgement.findings:
        cases.append(_whole(judgement))
    for name, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        suite.set(name, str(sum(case.find(tag) is not None for case in cases)))
    suite.set("tests", str(len(cases)))
    suite.set("time", "0")
    suite.extend(cases)
    out = ET.SubElement(suite, "system-out")
    out.text = visible(f"{sentences.headline(judgement)}. {'; '.join(sentences.beside(judgement))}")
    return suite


def _case(finding: Finding, *, failing: bool) -> ET.Element:
    case = ET.Element(
        "testcase",
        classname=visible(finding.implementation),
        name=visible(f"{finding.case} [{finding.about.value}]"),
        time="0",
    )
    tag = _tag(finding, failing=failing)
    message = visible(sentences.sentence(finding))
    if tag:
        element = ET.SubElement(case, tag, message=message)
        if tag != "skipped":
            element.set("type", finding.verdict)
            element.text = visible(f"{message} {finding.repeat}")
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
