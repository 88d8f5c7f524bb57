"""What all judging commands share: output files, accepted findings, and the exit code."""

import functools
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TextIO, TypeVar

import click

from attnbench.bench.cli.exits import UsageError

if TYPE_CHECKING:
    from attnbench.bench.gate.allow import Entry
    from attnbench.bench.records.trial import Trial
    from attnbench.bench.records.verdict import Judgement, Verdict

F = TypeVar("F", bound=Callable[..., Any])
STDOUT = Path("-")
LOG_WIDTH = 180


@dataclass(frozen=True, kw_only=True)
class Judging:
    """The values of :func:`judging_options`, read and validated before anything is measured."""

    json: Path | None = None
    markdown: Path | None = None
    junit: Path | None = None
    html: Path | None = None
    annotations: bool = False
    allowed: "tuple[Entry, ...]" = ()
    required: "tuple[Verdict, ...]" = ()


def judging_options(command: F) -> F:
    """Add ``--json``, ``--markdown``, ``--junit``, ``--html``, ``--annotations``, ``--allow`` and ``--fail-on``.

    They arrive as one keyword argument, ``judging``: pass it to :func:`finish`. An invalid
    file or value ends the command with 2 before its body begins.
    """

    @functools.wraps(command)
    def wrapped(*arguments: Any, **options: Any) -> Any:
        chosen = {name: options.pop(name) for name in ("json", "markdown", "junit", "html", "annotations")}
        chosen["allowed"] = _allowed(options.pop("allow"))
        chosen["required"] = _required(options.pop("fail_on"))
        if chosen["annotations"] is None:
            chosen["annotations"] = os.environ.get("GITHUB_ACTIONS") == "true"
        return command(*arguments, judging=Judging(**chosen), **options)

    added: Any = wrapped
    for option in reversed(_OPTIONS):
        added = option(added)
    found: F = added
    return found


_FILE = click.Path(path_type=Path, dir_okay=False)
_OPTIONS = (
    click.option(
        "--allow", type=_FILE, metavar="FILE", help="Accepted findings, each with a reason and a last day."
    ),
    click.option("--fail-on", metavar="new,missing", help="Fail on cases that only one side has."),
    click.option("--json", type=_FILE, metavar="FILE|-", help="Write the judgement as JSON; - is stdout."),
    click.option(
        "--markdown",
        type=_FILE,
        metavar="FILE",
        help="Write Markdown; appended to $GITHUB_STEP_SUMMARY, also without this option in GitHub Actions.",
    ),
    click.option("--junit", type=_FILE, metavar="FILE", help="Write JUnit XML."),
    click.option("--html", type=_FILE, metavar="FILE", help="Write a page that needs no network."),
    click.option(
        "--annotations/--no-annotations",
        default=None,
        help="Print GitHub's workflow commands, ten at most. [default: in GitHub Actions]",
    ),
)


def _allowed(path: Path | None) -> "tuple[Entry, ...]":
    if path is None:
        return ()
    from attnbench.bench.gate.allow import AllowError, read_allow

    try:
        return read_allow(path)
    except AllowError as error:
        raise UsageError(str(error)) from error


def _required(text: str | None) -> "tuple[Verdict, ...]":
    from attnbench.bench.gate.allow import AllowError, asked

    try:
        return asked(text or "")
    except AllowError as error:
        raise UsageError(f"--fail-on {error}") from error


def finish(
    judgement: "Judgement", judging: Judging, trials: "Sequence[Trial]" = (), page: Path | None = None
) -> NoReturn:
    """Apply the allow file, print the table, write every output, and end with the judgement's exit code.

    The page draws `trials`; it is also written to `page`, whose path is printed last, on stderr.
    0 nothing got worse, 1 something did, 2 an output can't be written, 4 undecided or incomparable.
    """
    from attnbench.bench.gate.allow import settled

    judged = settled(judgement, judging.allowed, judging.required, datetime.now(UTC).date())
    show(judged, judging)
    try:
        _write(judged, judging)
        _write_pages(judged, trials, (judging.html, page))
    except OSError as error:
        raise UsageError(f"can't write {error.filename}: {error.strerror or error}") from error
    if page:
        click.echo(f"page: {page}", err=True)
    raise SystemExit(judged.exit_code)


def show(judged: "Judgement", judging: Judging) -> None:
    """The table and the annotations: on stdout, or on stderr where stdout holds the JSON."""
    from rich.console import Console

    from attnbench.reports.verdicts import annotations, terminal

    stream = sys.stderr if judging.json == STDOUT else sys.stdout
    terminal.render(judged, Console(file=stream, highlight=False, width=_width(stream)))
    for line in annotations.render(judged) if judging.annotations else ():
        click.echo(line, file=stream)


def _width(stream: TextIO) -> int | None:
    """None, which is the terminal's own width; a wide one where there is no terminal, as in the log of a CI job."""
    return None if stream.isatty() or "COLUMNS" in os.environ else LOG_WIDTH


def _write(judged: "Judgement", judging: Judging) -> None:
    from attnbench.bench.records.files import write_whole
    from attnbench.reports.verdicts import as_json, junit, markdown

    if judging.json == STDOUT:
        click.echo(as_json.render(judged), nl=False)
    elif judging.json:
        write_whole(judging.json, as_json.render(judged))
    if judging.junit:
        write_whole(judging.junit, junit.render(judged))
    for path, append in _markdown_files(judging):
        if append:
            with path.open("a", encoding="utf-8") as file:
                file.write(markdown.render(judged))
        else:
            write_whole(path, markdown.render(judged))


def _write_pages(judged: "Judgement", trials: "Sequence[Trial]", paths: tuple[Path | None, ...]) -> None:
    from attnbench.bench.records.files import write_whole

    wanted = [path for path in paths if path]
    if not wanted:
        return
    from attnbench.reports.verdicts import page

    text = page.render(judged, trials)
    for path in wanted:
        write_whole(path, text)


def _markdown_files(judging: Judging) -> Iterator[tuple[Path, bool]]:
    """Files for the Markdown, and whether it is appended: to a step's summary it is, other files are overwritten."""
    summary = os.environ.get("GITHUB_STEP_SUMMARY")
    if judging.markdown:
        yield judging.markdown, bool(summary) and judging.markdown.absolute() == Path(summary or "").absolute()
    elif summary and os.environ.get("GITHUB_ACTIONS") == "true":
        yield Path(summary), True
