"""The page: one self-contained file with the sentences, the charts and every record."""

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

import jinja2
from markupsafe import Markup, escape

from attnbench.bench.records.schema import Run
from attnbench.bench.records.verdict import Judgement
from attnbench.bench.units import listed
from attnbench.reports.machine_code import Fact, rows
from attnbench.reports.modules import script
from attnbench.reports.payload import as_script, payload
from attnbench.reports.pictures import pictures
from attnbench.reports.summary import summary
from attnbench.reports.text import plain

STYLES = ("base.css", "charts.css", "report.css")
SHOWN_LINES = 8

HEADINGS = {
    "Wrong": "Is anything wrong?",
    "Use": "What to use",
    "Not run": "What could not be run",
    "Trust": "How far to trust this",
    "Baseline": "Against the baseline",
}
SECTIONS = (
    ("answer", "Answer"),
    ("map", "Fastest"),
    ("curves", "Length"),
    ("gqa", "GQA"),
    ("roofline", "Roofline"),
    ("agreement", "Agreement"),
    ("support", "Support"),
    ("masks", "Masks"),
    ("baseline", "Baseline"),
    ("history", "History"),
    ("machine-code", "Machine code"),
    ("records", "Records"),
    ("machine", "Machine"),
)
ROOFLINE = (
    "FLOPs and bytes are the least that the case needs, the same for every implementation; "
    "of points at nearly one intensity the best is shown."
)
BASELINE = (
    "Time over the baseline's time, right of 1 is slower; the bar is the interval. "
    "Triangles are changes, circles are none, open circles are undecided."
)


def write_report(
    runs: Sequence[Run],
    path: Path,
    *,
    against: Sequence[Judgement] = (),
    reference_implementation: str | None = None,
    machine_code: Sequence[Fact] = (),
) -> None:
    """Write the page about `runs` to `path`, making its folder.

    `against` adds comparisons, a judgement for each run; `reference_implementation` is what speed-ups are
    against; `machine_code` adds the facts of compiled kernels. Raises ValueError for a
    reference that no record has, OSError where the file can't be written.
    """
    page = render(
        runs, against=against, reference_implementation=reference_implementation, machine_code=machine_code
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page, encoding="utf-8")


def render(
    runs: Sequence[Run],
    *,
    against: Sequence[Judgement] = (),
    reference_implementation: str | None = None,
    machine_code: Sequence[Fact] = (),
) -> str:
    """The page as text."""
    said = summary(runs, against=against, reference_implementation=reference_implementation)
    values = payload(said, runs, against)
    masks = pictures(runs)
    shown = {
        "masks": bool(masks),
        "baseline": bool(against),
        "history": bool(values["history"]),
        "gqa": bool(values["gqa"]),
        "machine-code": bool(machine_code),
    }
    machines = list(dict.fromkeys(plain(run.header.environment.device_name) for run in runs))
    return (
        environment()
        .get_template("report.html.j2")
        .render(
            title=f"Attention on {listed(machines)}" if machines else "Attention, without a run",
            said=said,
            headings=HEADINGS,
            shown_lines=SHOWN_LINES,
            sections=[(anchor, name) for anchor, name in SECTIONS if shown.get(anchor, True)],
            runs=runs,
            labels=values["runs"],
            masks=masks,
            baseline=bool(against),
            shows=shown,
            machine_code=rows(list(machine_code)),
            features=features(runs),
            aggregated=values["aggregation"],
            roofline_note=ROOFLINE,
            baseline_note=BASELINE,
            styles=Markup("\n").join(inline(name) for name in STYLES),
            theme=joined("theme"),
            script=joined("main"),
            plotly=plotly_script(),
            payload=Markup(as_script(values)),  # noqa: S704  # as_script leaves no "<"
        )
    )


def features(runs: Sequence[Run]) -> dict[str, dict[str, str]]:
    """For each feature and implementation the reason why it can't, '' where it can; of several runs the last one's."""
    found: dict[str, dict[str, str]] = {}
    for run in runs:
        for name, answers in run.header.features.items():
            for feature, reason in answers.items():
                found.setdefault(feature, {})[plain(name)] = plain(reason)
    return found


def environment() -> jinja2.Environment:
    """Templates that escape everything and refuse a name they don't know."""
    made = jinja2.Environment(
        loader=jinja2.PackageLoader("attnbench.reports"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["words"] = with_code
    return made


def with_code(text: str) -> Markup:
    """Text for HTML in which `backticks` become code elements; everything in it is escaped."""
    parts = text.split("`")
    if len(parts) % 2 == 0:
        return escape(text)
    marked = [Markup("<code>{}</code>").format(part) if odd % 2 else escape(part) for odd, part in enumerate(parts)]
    return Markup("").join(marked)


def inline(name: str) -> Markup:
    """A file of ``static/`` as it is; it is ours and holds no data."""
    return Markup(files("attnbench.reports").joinpath("static", name).read_text(encoding="utf-8"))  # noqa: S704  # our own file


def joined(name: str) -> Markup:
    """The module `name` of ``static/`` and those that it imports, as one script; they are ours and hold no data."""
    return Markup(script(name))  # noqa: S704  # our own files


def plotly_script() -> Markup:
    """plotly.js from the plotly package, safe inside a script element."""
    text = files("plotly").joinpath("package_data", "plotly.min.js").read_text(encoding="utf-8")
    return Markup(text.replace("</script", "<\\/script"))  # noqa: S704  # the plotly package's own file
