import functools
import os
import shutil
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))  # so that tests can import the generator of runs

from report_pages import FLAGS, GOLDEN, PAGES, RESET, Opened

from attnbench.bench.records.store import read_run


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
