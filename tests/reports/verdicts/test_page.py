"""The page of a judgement in a browser: what it shows, and what it must not do."""

import math
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from report_pages import Opened

from attnbench.bench.gate.stats import RULE
from attnbench.bench.records.trial import Trial
from attnbench.bench.records.verdict import About, Finding, Judgement, Verdict, worst_first
from attnbench.reports.verdicts.page import render
from attnbench.reports.verdicts.plot import BOUNDS, WIDTH, change, plot

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"
VERDICTS = (Verdict.REGRESSED, Verdict.IMPROVED, Verdict.UNCHANGED, Verdict.UNDECIDED)


def trial(case, number, phase="screen", ratio=1.0, again=True, disturbance=""):
    a = (1000.0, 1010.0)
    return Trial(
        case=case,
        number=number,
        phase=phase,
        a_ns=a,
        b_ns=tuple(ns * ratio * (1 + number / 1000) for ns in a),
        again_ns=tuple(ns * (1 + number / 2000) for ns in a) if again else (),
        calls=1,
        disturbance=disturbance,
    )


def timed(case, verdict=Verdict.UNCHANGED, ratio=1.0, **rest):
    around = {} if ratio is None else {"low": ratio * 0.99, "high": ratio * 1.01}
    values = {"implementation": "mine", "trials": 6, "ratio": ratio} | around | rest
    return Finding(case=case, about=About.TIME, verdict=verdict, reason="so it was measured", **values)


def judgement(*findings, **rest):
    return Judgement(
        baseline=rest.pop("baseline", "main"), candidate="HEAD", findings=worst_first(list(findings)), **rest
    )


def many(count):
    """A judgement over `count` cases with every verdict, hostile names and accepted findings, and its trials."""
    findings, trials = [], []
    for number in range(count):
        case = f"b1-h{number}-{HOSTILE if number == 0 else 'full'}"
        ratio = (1.04, 0.6, 1.0, 3.1)[number % 4]
        findings.append(
            timed(
                case,
                VERDICTS[number % 4],
                ratio,
                implementation=HOSTILE,
                allowed=HOSTILE if number % 8 == 4 else "",
                repeat=f"python -m bench compare main HEAD --case '{case}'",
            )
        )
        trials += [trial(case, one, ratio=ratio, disturbance=HOSTILE) for one in range(1, 7)]
        trials += [trial(case, one, "confirm", ratio, again=False) for one in range(1, 4 * (number % 2))]
    findings.append(
        Finding(case="c", implementation="d", about=About.PRESENCE, verdict=Verdict.NEW, reason=HOSTILE)
    )
    return judgement(*findings, baseline=HOSTILE, notes=(HOSTILE,), invalid_reason=HOSTILE, command=HOSTILE), trials


PAGES = {
    "one": (judgement(timed("only")), [trial("only", 1)]),
    "many": many(24),
    "stored": (judgement(timed("only", trials=1)), []),
    "empty": (judgement(invalid_reason="nothing was compared"), []),
}


@pytest.fixture
def open_judgement(browser, tmp_path):
    """Opens the page of a judgement; at the end none may have complained or asked the network."""
    opened = []

    def go(judged, trials=(), **context):
        path = tmp_path / "page.html"
        path.write_text(render(judged, trials), encoding="utf-8")
        opened.append(Opened(browser, **context))
        opened[-1].page.goto(path.as_uri())
        return opened[-1].page

    yield go
    for one in opened:
        one.context.close()
    assert [fault for one in opened for fault in one.faults] == []


@pytest.mark.parametrize("name", PAGES)
def test_axe_finds_nothing_in_either_theme(open_judgement, name):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python carries axe")
    page = open_judgement(*PAGES[name], color_scheme="light")
    for theme in ("light", "dark"):
        assert page.evaluate("document.documentElement.dataset.theme") == theme
        found = axe.Axe().run(page).response["violations"]
        assert [(one["id"], [node["html"][:120] for node in one["nodes"][:3]]) for one in found] == []
        page.locator("#theme").click()


def test_every_launch_is_a_mark_of_its_kind_and_no_other(open_judgement):
    judged, trials = PAGES["many"]
    page = open_judgement(judged, trials)
    for row, finding in zip(page.locator(".findings tbody tr").all(), judged.findings, strict=True):
        mine = [one for one in trials if one.case == finding.case]
        kinds = {kind: row.locator(f"svg .{kind}").count() for kind in ("screen", "confirm", "again")}
        assert kinds == {
            "screen": sum(one.phase == "screen" for one in mine),
            "confirm": sum(one.phase == "confirm" for one in mine),
            "again": sum(bool(one.again_ns) for one in mine),
        }


def test_hostile_names_are_text_and_run_nothing(open_judgement):
    page = open_judgement(*PAGES["many"])
    assert page.evaluate("document.scripts.length") == 1
    assert page.locator("img").count() == 0
    assert "<script>alert(1)</script>" in page.locator(".findings tbody tr").first.inner_text()


def test_what_fails_comes_first_with_the_command_that_repeats_it(open_judgement):
    judged, trials = PAGES["many"]
    page = open_judgement(judged, trials)
    assert page.locator("h1").inner_text() == "REGRESSED: something got worse"
    said = page.locator("[data-words=Failing] > ul > li, [data-words=Failing] details li")
    assert said.count() == len(judged.failing)
    assert said.locator("pre").all_text_contents() == [one.repeat for one in judged.failing]
    assert page.locator(".accepted").count() == sum(bool(one.allowed) for one in judged.findings)


@pytest.mark.parametrize("name", PAGES)
def test_nothing_runs_over_the_side(open_judgement, name):
    page = open_judgement(*PAGES[name])
    for width in (1400, 1001, 800, 400):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        table = page.locator(".scroll")
        if width != 1001 and table.count():  # just above the breakpoint the table may scroll
            assert table.evaluate("one => one.scrollWidth <= one.clientWidth")


def test_a_page_of_500_is_small_and_whole(open_judgement):
    judged, trials = many(499)
    text = render(judged, trials)
    assert len(text) < 4_000_000
    page = open_judgement(judged, trials)
    assert page.locator(".findings tbody tr").count() == 500


def test_on_paper_it_is_light(open_judgement):
    page = open_judgement(*PAGES["many"], color_scheme="dark")
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    colours = page.evaluate(
        "[...document.querySelectorAll('h1, svg .screen, svg .again')]"
        ".map(x => getComputedStyle(x)).map(s => s.stroke === 'none' ? s.color : s.stroke)"
    )
    for colour in set(colours):
        assert sum(map(int, re.findall(r"\d+", colour)[:3])) < 450
    assert len(page.pdf()) > 10_000


def test_stored_runs_have_an_interval_and_no_bounds_of_trials(open_judgement):
    page = open_judgement(*PAGES["stored"])
    assert page.locator(".findings svg .interval").count() == 1
    assert page.locator("svg .beyond, svg .within, svg .screen").count() == 0


def test_the_picture_is_told_in_words(open_judgement):
    page = open_judgement(*PAGES["one"])
    told = page.get_by_role("img", name="Change of time: only")
    assert told.count() == 1
    assert told.locator("desc").text_content() == (
        "the candidate's time is +0%; interval -1% to +1%; screening: 1 trial, +0.1% to +0.1%; "
        "A against itself: 1 trial, +0.05% to +0.05%"
    )


def test_launches_without_a_finding_about_time_are_named(open_judgement):
    page = open_judgement(judgement(timed("only")), [trial("only", 1), trial("broke", 1), trial("broke", 2)])
    assert "2 trials of cases without a finding about time are not drawn" in page.locator("#findings").inner_text()


def test_the_bounds_are_those_of_the_rule():
    assert [math.log(ratio) for ratio in BOUNDS] == pytest.approx([RULE.slower, RULE.same])


ratios = st.none() | st.floats(0, 1e300)


@given(ratios, ratios, ratios, st.lists(st.floats(1e-3, 1e6), max_size=4))
@settings(max_examples=100)
def test_a_picture_stays_inside_its_frame_and_keeps_the_order(ratio, low, high, taken):
    trials = [trial("c", number, ratio=one) for number, one in enumerate(taken, 1)]
    drawn = plot(timed("c", ratio=ratio, low=low, high=high), trials)
    if drawn is None:
        assert not taken
        return
    assert sum(dot.kind == "screen" for dot in drawn.dots) == len(taken)
    inside = [dot.x for dot in drawn.dots] + [x for _, x in drawn.bounds] + list(drawn.bar or ())
    assert all(
        0 <= x <= WIDTH and 0 < y < drawn.height for x in inside for y in [dot.y for dot in drawn.dots] or [1]
    )
    shown = [dot.x for dot in drawn.dots if dot.kind == "screen"]
    ordered = sorted(range(len(taken)), key=lambda at: trials[at].log_ratio)
    assert [shown[at] for at in ordered] == sorted(shown)


@pytest.mark.parametrize(("ratio", "told"), [(1.05, "+5%"), (0.617, "-38.3%"), (1.0, "+0%"), (12.3, "12.3x")])
def test_a_change_is_signed_and_a_large_one_a_factor(ratio, told):
    assert change(math.log(ratio)) == told
