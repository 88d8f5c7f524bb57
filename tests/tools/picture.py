"""``python -m tests.tools.picture``: the README's picture of a report, from the committed golden run.

Needs playwright and a Chromium (``ATTNBENCH_CHROMIUM`` names one that isn't on the path).
"""

import os
import shutil
import tempfile
from pathlib import Path

import click

from attnbench.bench.records.store import StoreError, read_run
from attnbench.reports.html import write_report

ROOT = Path(__file__).parents[1]
RUN = ROOT / "tests" / "data" / "golden-run"
PICTURE = ROOT / "docs" / "report.png"
WIDTH, HEIGHT = 1200, 1500
LONGEST_WAIT_MS = 60_000


@click.command()
@click.argument("run", type=click.Path(path_type=Path), default=RUN)
@click.option("-o", "--output", type=click.Path(path_type=Path), default=PICTURE, help="Where the PNG goes.")
def picture(run: Path, output: Path) -> None:
    """Draw the head of the report of RUN (default: the golden run)."""
    chromium = os.environ.get("ATTNBENCH_CHROMIUM") or shutil.which("chromium")
    if chromium is None:
        raise click.UsageError("no chromium on the path; set ATTNBENCH_CHROMIUM to one")
    try:
        with tempfile.TemporaryDirectory() as folder:
            page = Path(folder) / "report.html"
            write_report([read_run(run)], page)
            output.parent.mkdir(parents=True, exist_ok=True)
            _draw(page, output, chromium)
    except StoreError as error:
        raise click.UsageError(str(error)) from error
    click.echo(output)


def _draw(page: Path, output: Path, chromium: str) -> None:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        tab = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="light")
        tab.goto(page.as_uri())
        tab.wait_for_selector("html[data-ready]", timeout=LONGEST_WAIT_MS)
        tab.screenshot(path=output)
        browser.close()


if __name__ == "__main__":
    picture()
