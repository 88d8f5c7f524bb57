"""How the page does with very many records; prints each figure beside its bound and fails where one is missed.

Run by ``tox -e report-scale``; the figures are of the machine that runs it.
"""

import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import synthetic

from attnbench.bench.records.store import read_run

MIB = 2**20
BUILD = "import sys; from attnbench.bench.cli.report import command; command(sys.argv[1:])"
FILTER = """() => {
  const took = [];
  for (const button of document.querySelectorAll("#legend button")) {
    const start = performance.now();
    button.click();
    document.body.offsetHeight;
    took.push(performance.now() - start);
  }
  return Math.max(...took);
}"""
FIRST_CONTENT = "performance.getEntriesByName('first-contentful-paint')[0].startTime"


def build(run_folder: Path, page: Path) -> dict[str, float]:
    """Seconds, peak MiB and the size of the file in MB, in a process of its own."""
    start = time.perf_counter()
    subprocess.run(
        [sys.executable, "-c", BUILD, str(run_folder), "-o", str(page)], check=True, stdout=subprocess.DEVNULL
    )
    took = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024 / MIB
    return {"build_s": took, "build_MiB": peak, "file_MB": page.stat().st_size / 1e6}


def view(page: Path) -> dict[str, float]:
    """Seconds to the first content and until all is drawn, and the slowest answer to a filter in milliseconds."""
    from playwright.sync_api import sync_playwright
    from report_pages import FLAGS

    chromium = os.environ.get("ATTNBENCH_CHROMIUM") or shutil.which("chromium")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=list(FLAGS))
        tab = browser.new_page()
        start = time.perf_counter()
        tab.goto(page.as_uri())
        tab.wait_for_selector("html[data-ready]", timeout=60_000)
        ready = time.perf_counter() - start
        tab.wait_for_function(f"{FIRST_CONTENT} > 0")
        first = tab.evaluate(FIRST_CONTENT) / 1e3
        tab.locator("#curves").scroll_into_view_if_needed()
        tab.wait_for_timeout(1500)
        slowest = tab.evaluate(FILTER)
        browser.close()
    return {"first_content_s": first, "ready_s": ready, "filter_ms": slowest}


def report(records: int, bounds: dict[str, float]) -> bool:
    """Print every figure of a run of `records`; True where all bounds hold."""
    with tempfile.TemporaryDirectory() as name:
        folder, page = Path(name), Path(name) / "report.html"
        synthetic.write(synthetic.large(records), folder)
        assert len(read_run(folder).records) == records
        found = build(folder, page) | view(page)
    good = True
    for key, value in found.items():
        bound = bounds.get(key)
        kept = bound is None or value < bound
        good &= kept
        told = "" if bound is None else f"below {bound:g}{'' if kept else '  MISSED'}"
        print(f"{records:>7,}  {key:<16}{value:>9.2f}  {told}")
    return good


if __name__ == "__main__":
    at_10_000 = {"build_s": 10, "build_MiB": 1024, "file_MB": 8, "first_content_s": 3, "filter_ms": 300}
    results = [report(10_000, at_10_000), report(100_000, {})]
    sys.exit(0 if all(results) else 1)
