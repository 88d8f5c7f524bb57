"""The pages that the browser tests open, and a page that is watched while it is open."""

from pathlib import Path

import synthetic

from attnbench.bench.gate.stored.judge import judge
from attnbench.bench.records.store import read_run
from attnbench.reports.html import write_report

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
GOLDEN = Path(__file__).parents[1] / "data" / "golden-run"


def golden_with_baseline(path):
    write_report(
        [read_run(GOLDEN)], path, against=[judge(read_run(GOLDEN), synthetic.plausible(3, factor=0.7, cases=SHORT))]
    )


SHORT = synthetic.model_cases((128, 512))
PAGES = {
    "golden": golden_with_baseline,
    "nasty": lambda path: write_report([synthetic.nasty()], path),
    "empty": lambda path: write_report([synthetic.empty()], path),
    "nothing": lambda path: write_report([], path),
    "cuda": lambda path: write_report([synthetic.cuda()], path),
    "figures": lambda path: write_report([synthetic.figures()], path),
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


RESET = """() => {
  history.replaceState(null, "", location.pathname);
  for (const menu of document.querySelectorAll("details[data-facet]")) menu.open = false;
  document.getElementById("detail").close();
  document.activeElement.blur();
  scrollTo(0, 0);
  window.dispatchEvent(new Event("hashchange"));
}"""
