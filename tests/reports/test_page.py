import csv
import json
import re

import pytest
import synthetic
from report_pages import PAGES
from synthetic import NASTY

from attnbench.bench.records.repeat import repeat_command
from attnbench.bench.units import interval, show
from attnbench.reports.choices import ranked
from attnbench.reports.data import table


def shown_records(page):
    return int(re.match(r"[\d,]+", page.locator("#shown").inner_text())[0].replace(",", ""))


def plotted(page, section="curves"):
    """Names of the lines that the first drawn panel of a section shows."""
    page.locator(f"#{section}-panels .plot").first.scroll_into_view_if_needed()
    page.wait_for_function("id => document.querySelector(`#${id}-panels .plot`).data", arg=section)
    traces = page.locator(f"#{section}-panels .plot").first.evaluate(
        "plot => plot.data.map((t) => [t.name, t.mode])"
    )
    return [name for name, mode in traces if mode != "lines"]


def downloaded(page, folder):
    """The records that the page gives as JSON, in the table's order."""
    with page.expect_download() as waiting:
        page.locator("#json").click()
    waiting.value.save_as(folder / "records.json")
    return json.loads((folder / "records.json").read_text())


@pytest.mark.parametrize("name", PAGES)
def test_every_run_gives_a_page_that_never_complains(open_page, name):
    page = open_page(name)
    for section in page.locator("main > section").all():
        section.scroll_into_view_if_needed()
    page.wait_for_timeout(150)
    assert page.locator("h1").inner_text()


def test_hostile_names_are_shown_as_text(open_page):
    page = open_page("nasty")
    assert NASTY in page.locator("h1").inner_text()
    assert page.locator("#legend .name", has_text=NASTY).first.is_visible()
    page.locator("#table td button").first.click()
    assert page.locator("dialog").is_visible()
    assert page.evaluate("document.querySelectorAll('script').length") == page.evaluate(
        "document.querySelectorAll('head > script, body > script').length"
    )


def test_the_numbers_in_the_page_are_those_of_the_records(golden_page, golden):
    page = golden_page
    rows = ranked(table([golden]))
    best = rows[rows["rank"] == 0].iloc[0]
    page.locator("#search").fill(best["case"])
    first = page.locator("#table tbody tr").first
    assert best["implementation"] in first.inner_text()
    assert show(best["median_ns"], "time") in first.inner_text()


def test_the_page_shows_every_number_as_python_does(open_page):
    page = open_page("figures")
    lines = {}
    for _ in range(1 + len(synthetic.FIGURES) // 50):
        for line in page.locator("#table tbody tr").all_inner_texts():
            cells = line.split("\t")
            lines[cells[0].partition(" ")[2]] = cells
        if page.locator("#pages button", has_text="Next").is_enabled():
            page.locator("#pages button", has_text="Next").click()
    rows = table([synthetic.figures()])
    assert len(lines) == len(rows) == len(synthetic.FIGURES)
    for row in rows.itertuples():
        cells = lines[row.implementation]
        assert cells[3].removesuffix(" ◂") == show(row.median_ns, "time")
        assert cells[4] == interval(row.low_ns, row.high_ns, "time")
        assert cells[6] == show(row.tflop_s, "rate")
        assert cells[7] == show(row.peak_bytes, "bytes")
        assert cells[8] == show(row.first_call_ns, "time")
        assert cells[9] == show(row.share_of_budget, "plain")


def test_a_filter_acts_on_everything(golden_page):
    page = golden_page
    before, cells = shown_records(page), page.locator("#winners td button").count()
    lines = plotted(page)
    page.locator("#legend button[data-impl=sdpa_flash]").click()
    assert shown_records(page) < before
    assert "sdpa_flash" not in page.locator("#winners").inner_text()
    assert "sdpa_flash" not in page.locator("#errors").inner_text()
    assert "sdpa_flash" not in page.locator("#matrix").inner_text()
    assert set(plotted(page)) == set(lines) - {"sdpa_flash"}
    page.locator("details[data-facet=mask] summary").click()
    page.locator("input[data-key=mask][data-value=causal]").uncheck()
    assert page.locator("#winners td button").count() < cells
    assert "causal" not in page.locator("#winners").inner_text()


def test_a_declared_limit_is_known_and_not_called_wrong(golden_page):
    rows = golden_page.locator("#errors tbody tr")
    cells = rows.filter(has_text="masked_fill").locator("td").all_inner_texts()
    assert cells[-1] == "known"
    wrong = rows.filter(has_text="softmax_then_mask").locator("td.over").all_inner_texts()
    assert wrong == ["✕ 11.7"]


def test_the_address_restores_a_view(open_page):
    page = open_page("golden")
    page.locator("#legend button[data-impl=masked_fill]").click()
    page.locator("details[data-facet=dtype] summary").click()
    page.locator("input[data-key=dtype][data-value=fp32]").uncheck()
    page.locator("#search").fill("h32")
    page.locator("[data-sort=median_ns]").click()
    page.locator("#curves-controls label", has_text="Peak memory").click()
    fragment, rows = page.evaluate("location.hash"), page.locator("#table tbody").inner_text()
    again = open_page("golden", fragment)
    assert again.locator("#table tbody").inner_text() == rows
    assert again.locator("#legend button[data-impl=masked_fill]").get_attribute("aria-pressed") == "false"
    assert again.locator("input[name=measure]:checked").get_attribute("value") == "memory"
    assert not again.locator("input[data-key=dtype][data-value=fp32]").is_checked()
    again.locator("#reset").click()
    assert again.locator("#legend button[data-impl=masked_fill]").get_attribute("aria-pressed") == "true"


def test_older_runs_wait_behind_the_filter(open_page):
    page = open_page("two runs")
    before = shown_records(page)
    assert page.locator("#history-panels .panel").count()
    page.locator("details[data-facet=run] summary").click()
    page.locator("input[data-key=run][data-value='0']").check()
    assert shown_records(page) > before
    fragment = page.evaluate("location.hash")
    assert shown_records(open_page("two runs", fragment)) == shown_records(page)


def test_downloads_hold_the_right_numbers(golden_page, tmp_path, golden):
    page = golden_page
    page.evaluate("location.hash = '#impl=sdpa_flash'")
    page.locator("#shown", has_text=" of ").wait_for()
    rows = table([golden])
    wanted = rows[rows["implementation"] == "sdpa_flash"].set_index("case")["median_ns"]
    found = downloaded(page, tmp_path)
    assert len(found) == len(wanted)
    for row in found:
        if row["median_ns"] is not None:
            assert row["median_ns"] == pytest.approx(wanted[row["case"]], rel=1e-5)
    with page.expect_download() as waiting:
        page.locator("#csv").click()
    waiting.value.save_as(tmp_path / "records.csv")
    lines = list(csv.DictReader((tmp_path / "records.csv").read_text().splitlines()))
    assert [line["case"] for line in lines] == [row["case"] for row in found]
    assert [float(line["median_ns"]) for line in lines if line["median_ns"]] == [
        row["median_ns"] for row in found if row["median_ns"] is not None
    ]


@pytest.mark.parametrize("form", ["SVG", "PNG"])
def test_a_chart_saves_as_a_picture(golden_page, tmp_path, form):
    page = golden_page
    plotted(page)
    with page.expect_download() as waiting:
        page.locator("#curves-panels .panel button", has_text=form).first.click()
    waiting.value.save_as(tmp_path / "chart")
    content = (tmp_path / "chart").read_bytes()
    assert content.startswith(b"\x89PNG" if form == "PNG" else b"<svg")


def test_a_speed_up_is_the_ratio_of_medians_with_both_intervals(open_page, golden):
    page = open_page("golden", "#measure=speedup&ref=masked_fill")
    rows = ranked(table([golden])).set_index(["case", "implementation"])
    case = golden.records[0].case.id
    mine, other = rows.loc[(case, "sdpa_flash")], rows.loc[(case, "masked_fill")]
    page.locator("#search").fill(f"{case}")
    line = page.locator("#table tbody tr", has_text="sdpa_flash").first.inner_text()
    assert show(other["median_ns"] / mine["median_ns"], "ratio") in line
    plotted(page)
    bands = page.locator("#curves-panels .plot").first.evaluate("p => p.data.filter((t) => t.fill).map((t) => t.y)")
    ends = {(round(band[0], 4), round(band[-1], 4)) for band in bands}
    assert (round(other["low_ns"] / mine["high_ns"], 4), round(other["high_ns"] / mine["low_ns"], 4)) in ends


def test_sorting_orders_by_number_and_says_so(golden_page, tmp_path):
    page = golden_page
    page.locator("[data-sort=median_ns]").click()
    values = [row["median_ns"] for row in downloaded(page, tmp_path)]
    known = [value for value in values if value is not None]
    assert len(known) > 50
    assert values == sorted(known) + [None] * (len(values) - len(known))
    assert page.locator("th[aria-sort=ascending]").inner_text().startswith("median")
    page.locator("[data-sort=median_ns]").click()
    assert page.locator("th[aria-sort=descending]").count() == 1


def test_a_record_opens_at_its_head(open_page):
    page = open_page("golden")
    page.set_viewport_size({"width": 800, "height": 400})
    page.locator("#table td button").first.click()
    dialog = page.locator("dialog")
    assert dialog.evaluate("one => one.scrollHeight > one.clientHeight && one.scrollTop === 0")
    assert page.locator("#detail-title").is_visible()
    assert page.evaluate("document.activeElement.id") == "detail-title"


def test_a_record_says_how_to_time_it_and_how_to_check_it(golden_page, golden):
    page = golden_page
    record = next(one for one in golden.records if one.measurement)
    page.locator("#search").fill(f"{record.case.id}")
    page.locator("#table tbody tr", has_text=record.implementation).locator("button").first.click()
    for term, verb in (("time it again", "run"), ("check it again", "check")):
        told = page.locator(f"dialog dt:has-text('{term}') + dd").inner_text()
        assert told == repeat_command(record, golden.header.environment, verb)
    page.locator("dialog form button").click()
    untimed = next(one for one in golden.records if one.status == "UNSUPPORTED")
    page.locator("#search").fill(untimed.case.id)
    page.locator("#table tbody tr", has_text=untimed.implementation).locator("button").first.click()
    assert page.locator("dialog dt:has-text('check it again')").count() == 1
    assert page.locator("dialog dt:has-text('time it again')").count() == 0


def test_everything_is_reached_by_keyboard(open_page):
    page = open_page("golden")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.locator("#legend button").first.focus()
    page.keyboard.press("Space")
    assert page.locator("#legend button").first.get_attribute("aria-pressed") == "false"
    page.locator("details[data-facet=phase] summary").focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    assert page.locator("details[data-facet=phase].active").count() == 1
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.tagName") == "SUMMARY"
    page.locator("#table td button").first.focus()
    page.keyboard.press("Enter")
    assert page.locator("dialog[open]").count() == 1
    page.keyboard.press("Escape")
    assert page.locator("dialog[open]").count() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_system_chooses_light_or_dark_and_the_reader_may_too(open_page, scheme):
    page = open_page("single", color_scheme=scheme)
    background = "getComputedStyle(document.body).backgroundColor"
    before = page.evaluate(background)
    assert page.evaluate("document.documentElement.dataset.theme") == scheme
    page.locator("#theme").click()
    assert page.evaluate(background) != before
    page.reload()
    assert page.evaluate("document.documentElement.dataset.theme") != scheme


@pytest.mark.parametrize("name", ["golden", "nasty"])
def test_nothing_runs_over_the_side(open_page, name):
    page = open_page(name)
    for width in (1400, 800, 380):
        page.set_viewport_size({"width": width, "height": 900})
        page.wait_for_timeout(50)
        assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("name", ["golden", "nasty", "empty"])
def test_axe_finds_nothing(open_page, name):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python carries axe")
    page = open_page(name)
    for _ in ("light", "dark"):
        found = axe.Axe().run(page).response["violations"]
        assert [(one["id"], [node["html"][:120] for node in one["nodes"][:3]]) for one in found] == []
        page.locator("#theme").click()


def test_on_paper_it_is_light_whole_and_no_wider_than_a_sheet(open_page):
    page = open_page("golden", color_scheme="dark")
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    page.emulate_media(media="print")
    assert page.evaluate("document.documentElement.dataset.theme") == "light"
    assert page.locator(".plot").count() == page.locator(".plot.js-plotly-plot").count()
    assert page.locator("#winners button").first.is_visible()
    assert page.locator("#table td button").first.is_visible()
    assert not page.locator("#csv").is_visible()
    widths = page.locator(".plot .main-svg").evaluate_all("all => all.map((one) => one.clientWidth)")
    assert max(widths) <= 700
    assert len(page.pdf()) > 10_000
    page.evaluate("window.dispatchEvent(new Event('afterprint'))")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
