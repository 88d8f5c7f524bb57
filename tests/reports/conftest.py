import functools
import os
import shutil
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))  # so that tests can import the generator of runs

import synthetic

from bench.records.store import read_run
from reports.html import write_report

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
GOLDEN = Path(__file__).parents[1] / "data" / "golden-run"


@pytest.fixture(scope="session")
def golden():
    return read_run(GOLDEN)


@pytest.fixture(scope="session")
def browser():
    found = os.environ.get("ATTNBENCH_CHROMIUM") or shutil.which("chromium")
    if not found:
        if os.environ.get("ATTNBENCH_REQUIRE_BROWSER") == "1":
            pytest.fail("no chromium: set ATTNBENCH_CHROMIUM to its path, or install the chromium package")
        pytest.skip("no chromium here; ATTNBENCH_CHROMIUM names one")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=found, args=list(FLAGS))
        yield started
        started.close()


def golden_with_baseline(path):
    write_report([read_run(GOLDEN)], path, baseline=synthetic.plausible(3, factor=0.7, cases=SHORT))


SHORT = synthetic.model_cases((128, 512))
PAGES = {
    "golden": golden_with_baseline,
    "nasty": lambda path: write_report([synthetic.nasty()], path),
    "empty": lambda path: write_report([synthetic.empty()], path),
    "nothing": lambda path: write_report([], path),
    "single": lambda path: write_report([synthetic.single()], path),
    "all wrong": lambda path: write_report([synthetic.all_wrong()], path),
    "two runs": lambda path: write_report(
        [
            synthetic.plausible(1, cases=SHORT, created="2026-03-01T09:30:00+00:00"),
            synthetic.plausible(2, cases=SHORT, created="2026-03-02T09:30:00+00:00"),
            synthetic.plausible(3, cases=SHORT, machine=synthetic.environment("Another example CPU")),
        ],
        path,
    ),
}


@pytest.fixture(scope="session")
def page_file(tmp_path_factory):
    """The file of a page by its name, built once."""
    folder = tmp_path_factory.mktemp("pages")

    @functools.cache
    def build(name):
        path = folder / f"{name.replace(' ', '-')}.html"
        PAGES[name](path)
        return path

    return build


class Opened:
    """A page in the browser, and what it must not do: complain, ask the network, open a dialog."""

    def __init__(self, browser, **context):
        self.context = browser.new_context(accept_downloads=True, **context)
        self.page = self.context.new_page()
        self.page.set_default_timeout(10_000)
        self.faults = []
        self.page.on("console", lambda said: self.faults.append(f"console: {said.text}"))
        self.page.on("pageerror", lambda error: self.faults.append(f"error: {error}"))
        self.page.on("dialog", lambda dialog: (self.faults.append("dialog"), dialog.dismiss()))
        self.page.on("request", self._request)

    def _request(self, request):
        if not request.url.startswith(("file:", "data:", "blob:")):
            self.faults.append(f"request: {request.url}")

    def go(self, path, fragment=""):
        self.page.goto(f"{path.as_uri()}{fragment}")
        self.page.wait_for_selector("html[data-ready]")
        return self.page


@pytest.fixture
def open_page(browser, page_file):
    """Opens a page by its name; at the end no page may have complained."""
    opened = []

    def go(name, fragment="", **context):
        opened.append(Opened(browser, **context))
        return opened[-1].go(page_file(name), fragment)

    yield go
    for one in opened:
        one.context.close()
    assert [fault for one in opened for fault in one.faults] == []


RESET = """() => {
  history.replaceState(null, "", location.pathname);
  AB.expanded.clear();
  AB.readAddress();
  document.getElementById("search").value = "";
  for (const menu of document.querySelectorAll("details[data-facet]")) menu.open = false;
  document.getElementById("detail").close();
  document.activeElement.blur();
  scrollTo(0, 0);
  AB.update();
}"""


@pytest.fixture(scope="session")
def shared_golden(browser, page_file):
    one = Opened(browser)
    one.go(page_file("golden"))
    yield one
    one.context.close()


@pytest.fixture
def golden_page(shared_golden):
    """The golden page as if just opened; tests that need no fresh page share it, since opening takes a second."""
    shared_golden.faults.clear()
    shared_golden.page.evaluate(RESET)
    yield shared_golden.page
    assert shared_golden.faults == []
