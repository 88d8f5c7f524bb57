"""A static page over a folder of runs: newest first, each with its report and its verdict in numbers."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from attnbench.bench.records.schema import Run
from attnbench.bench.records.store import RUN_FILE, StoreError, read_run
from attnbench.reports.html import environment, inline, joined
from attnbench.reports.text import moment, plain

INDEX_FILE = "index.html"
REPORT_FILE = "report.html"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One run of the folder, or the reason why it could not be read."""

    folder: str
    created: str = ""
    made: str = ""
    sweep: str = ""
    machine: str = ""
    revision: str = ""
    records: int = 0
    wrong: int = 0
    failed: int = 0
    missing: int = 0
    links: tuple[str, ...] = ()
    problem: str = ""


def write_index(folder: Path) -> Path:
    """Write ``FOLDER/index.html`` over every ``run.jsonl`` below it; links are relative, so the folder can move."""
    if not folder.is_dir():
        raise NotADirectoryError(f"{folder} is not a folder of runs")
    entries = sorted(_entries(folder), key=lambda entry: entry.created, reverse=True)
    page = (
        environment()
        .get_template("index.html.j2")
        .render(entries=entries, styles=inline("base.css"), script=joined("theme"))
    )
    path = folder / INDEX_FILE
    path.write_text(page, encoding="utf-8")
    return path


def _entries(folder: Path) -> Iterator[Entry]:
    for file in sorted(folder.rglob(RUN_FILE)):
        place = file.parent
        name = place.relative_to(folder).as_posix()
        files = (place / REPORT_FILE, file)
        links = tuple(found.relative_to(folder).as_posix() for found in files if found.exists())
        try:
            run = read_run(file)
        except StoreError as error:
            yield Entry(folder=name, links=links, problem=plain(str(error)))
        else:
            yield _entry(name, run, links)


def _entry(name: str, run: Run, links: tuple[str, ...]) -> Entry:
    machine = run.header.environment
    statuses = [record.status.value for record in run.records]
    return Entry(
        folder=name,
        created=run.header.created,
        made=moment(run.header.created),
        sweep=run.header.sweep,
        machine=f"{machine.device_name} ({machine.device})",
        revision=machine.commit[:10] + ("+" if machine.dirty else ""),
        records=len(statuses),
        wrong=statuses.count("WRONG"),
        failed=sum(status in ("ERROR", "CRASHED", "TIMEOUT", "OUT_OF_MEMORY") for status in statuses),
        missing=len(run.missing),
        links=links,
        problem=f"{len(run.damaged)} damaged lines were skipped" if run.damaged else "",
    )
