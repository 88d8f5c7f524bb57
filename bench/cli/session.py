"""What ``check`` and ``run`` share: finding implementations, starting workers, showing progress, summing up."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from shlex import join
from typing import Any, TypeVar

import click

from attnbench.bench.cli.exits import EXIT_NOTHING, UsageError
from attnbench.bench.cli.progress import bar
from attnbench.bench.cli.sweep_options import sweep_options
from attnbench.bench.program import program
from attnbench.bench.records.environment import environment
from attnbench.bench.records.repeat import repeat_command
from attnbench.bench.records.schema import Environment, Header, Peaks, Record, Status
from attnbench.bench.registry.declarations import NO_OPTIONS, Options
from attnbench.bench.status import WorkerFailure
from attnbench.bench.sweeps import Sweep
from attnbench.bench.units import show
from attnbench.bench.workers.answers import Description, Unusable
from attnbench.bench.workers.interpreter import MENDED, RAN
from attnbench.bench.workers.process import Pool, Worker, pool
from attnbench.bench.workers.setting import Setting
from attnbench.impls.contract import ANY_DEVICE
from attnbench.impls.contract.conventions import spelled

DEVICE_HELP = "cpu, cuda (NVIDIA's, and AMD's with ROCm), xpu (Intel's) or mps (Apple's)."
SET_UP_TIMEOUT_S = 120.0
CASE_TIMEOUT_S = 120.0
TOLD_IN_FULL = 8
"""Ways to be wrong that are told with reason and command; further ones by their cases alone."""


A = TypeVar("A")
F = TypeVar("F", bound=Callable[..., Any])


def common_options(command: F) -> F:
    """The options of every command that runs implementations over a sweep."""
    for option in (
        click.option(
            "--timeout",
            "timeout_s",
            type=float,
            help="Seconds a step of a case may take. [default: the sweep's, or 120]",
        ),
        click.option("--seed", default=0, show_default=True, help="Seed of the inputs and of the order."),
        click.option("--device", default="cpu", show_default=True, help=DEVICE_HELP),
        click.option(
            "--impl",
            "names",
            multiple=True,
            metavar="NAME|FILE.py:FUNCTION",
            help="An implementation, or your own function; repeatable. Without it: the sweep's own that run here, or all.",
        ),
    ):
        command = option(command)
    return sweep_options(command)


@dataclass(frozen=True)
class Session:
    """Workers for the implementations that can run here, and the machine they run on."""

    pool: Pool
    implementations: tuple[Description, ...]
    environment: Environment

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the implementations, in order."""
        return tuple(one.name for one in self.implementations)

    def _features(self) -> dict[str, dict[str, str]]:
        """For each implementation and feature the reason why it can't on this device, '' where it can."""
        rows = usable(self.pool.oracle.features(self.names))
        device = self.environment.device
        return {row.name: {name: cell.reason or "" for name, cell in row.cells[device].items()} for row in rows}

    def header(self, sweep: Sweep, seed: int, peaks: Peaks | None) -> Header:
        """The first line of a run of `sweep`."""
        return Header(
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            sweep=sweep.name,
            cases=tuple(case.id for case in sweep.cases),
            implementations=self.names,
            seed=seed,
            environment=self.environment,
            command=join([*program(), *sys.argv[1:]]),
            peaks=peaks,
            features=self._features(),
        )


class Peaking:
    """The measured peaks of the device for the dtypes of a sweep, from the cache where they are known."""

    def __init__(self, pool: Pool, environment: Environment, sweep: Sweep) -> None:
        self.pool, self.environment = pool, environment
        self.dtypes = tuple(sorted({case.dtype for case in sweep.cases} | {"fp32"}))
        self.known: Peaks | None = None

    def __call__(self, again: bool) -> Peaks | None:
        """The peaks; with `again`, the better of those and of a new measurement. None where that fails, for memory, say."""
        if self.known is None or again:
            try:
                self.known = self.pool.oracle.peaks(self.environment, self.dtypes, again=again)
            except WorkerFailure:  # without peaks nothing is called impossible, and the report draws no roof
                return self.known
        return self.known


@contextmanager
def session(
    names: Sequence[str], device: str, sweep: Sweep, timeout_s: float | None, options: Options = NO_OPTIONS
) -> Iterator[Session]:
    """Find the implementations and start the oracle's worker.

    Without names these are the sweep's own, or all, as far as they run on `device`.

    Without a time-out the sweep's own limit holds. Raises UsageError for a name or a device that isn't there.
    """
    refuse_device(device)
    refuse_timeout(timeout_s)
    limit_s = timeout_s or sweep.limits.case_seconds or CASE_TIMEOUT_S
    with pool(device, limit_s, Setting(options=options)) as workers:
        workers.describe_later(names)
        found = described(workers.oracle, tuple(dict.fromkeys(names or sweep.implementations)))
        here = environment_of(workers)
        chosen = tuple(one for one in found if names or (device in one.devices and not one.unavailable))
        yield Session(workers, chosen, here)


def refuse_device(device: str) -> None:
    """Raise UsageError for a device that nothing here knows."""
    if device not in ANY_DEVICE:
        raise UsageError(f"unknown device {device!r}: there are {', '.join(ANY_DEVICE)}")


def refuse_timeout(timeout_s: float | None) -> None:
    """Raise UsageError for a time limit that isn't above 0."""
    if timeout_s is not None and timeout_s <= 0:
        raise UsageError(f"--timeout must be more than 0 seconds, not {timeout_s:g}")


def described(worker: Worker, names: tuple[str, ...]) -> tuple[Description, ...]:
    """Descriptions of these implementations; of all without a name. Raises UsageError for an unknown one."""
    answer = _answered(lambda: worker.describe(names, timeout_s=SET_UP_TIMEOUT_S))
    return tuple(map(usable, answer))


def usable(answer: A | Unusable) -> A:
    """The answer. Raises UsageError with the worker's words where a name or the device can't be used."""
    if isinstance(answer, Unusable):
        raise UsageError(answer.message)
    return answer


def environment_of(workers: Pool) -> Environment:
    """The machine. Raises UsageError where the device isn't there."""
    facts = usable(_answered(lambda: workers.oracle.machine(timeout_s=SET_UP_TIMEOUT_S)))
    workers.uuid = facts.get("uuid", "")
    return environment(workers.device, facts)


def _answered(request: Callable[[], A]) -> A:
    try:
        return request()
    except WorkerFailure as error:
        raise UsageError(f"can't look at the implementations: {error}") from error


def record_line(record: Record) -> str:
    """One line about a record."""
    line = f"{record.case.id}  {record.implementation}  {record.status}"
    if record.measurement is not None:
        line += f"  {show(record.measurement.median_ns, 'time')}"
    return line + (f"  {record.reason}" if record.reason else "")


@contextmanager
def progress(total: int | None, what: str, done: int = 0) -> Iterator[Callable[[Record], None]]:
    """A bar over records, on stderr."""
    with bar(total, what, record_line, done=done, alarming=lambda record: record.status.is_failure) as advance:

        def step(record: Record) -> None:
            advance(record, f"{record.case.id} {record.implementation}")

        yield step


def exit_code(records: Sequence[Record]) -> int:
    """0 all agree, 1 some disagree or broke, 3 nothing was checked."""
    if any(record.status.is_failure for record in records):
        return 1
    return 0 if any(record.status is Status.PASSED for record in records) else EXIT_NOTHING


def reported_lines(records: Sequence[Record]) -> Iterator[str]:
    """What was tried, what is reported of each implementation without making it wrong, and declared limits seen."""
    judged = [record for record in records if record.agreement is not None]
    agreements = [record.agreement for record in judged if record.agreement is not None]
    families = dict.fromkeys(family for agreement in agreements for family in agreement.families)
    checks = dict.fromkeys(check.name for agreement in agreements for check in agreement.checks)
    if judged:
        inputs = f"inputs {', '.join(families)}; " if families else ""
        yield f"tried: {inputs}{', '.join(checks)}"
    found: dict[str, int] = {}
    for record, agreement in zip(judged, agreements, strict=True):
        reported = [check for check in agreement.checks if not check.ok and not check.required]
        notes = [check.detail if check.detail.startswith(check.name) else f"no {check.name}" for check in reported]
        notes += [note for note in record.notes if note.startswith((RAN, MENDED))]
        notes += [f"fails on {x.family} inputs as declared ({x.reason})" for x in agreement.known_limits if x.seen]
        for note in notes:
            line = f"{record.implementation}: {note}"
            found[line] = found.get(line, 0) + 1
    for line, count in found.items():
        yield f"note: {line}, on {count} case{'' if count == 1 else 's'}"


def verdict_lines(records: Sequence[Record], here: Environment, options: Sequence[str] = ()) -> Iterator[str]:
    """What is wrong, each with the command that repeats it; then one line that sums up.

    `options` are words of this command that a repetition needs too.
    """
    wrong = [record for record in records if record.status.is_failure]
    ways = _alike(wrong)
    for alike in ways[:TOLD_IN_FULL]:
        yield from _told_once(alike, here, options)
    for first, *others in ways[TOLD_IN_FULL:]:
        yield f"{first.status} {first.implementation} on {', '.join(record.case.id for record in (first, *others))}"
    refusals: dict[str, int] = {}
    for record in records:
        if record.status.is_refusal:
            line = f"{record.implementation} can't: {record.reason}"
            refusals[line] = refusals.get(line, 0) + 1
    passed = sum(record.status is Status.PASSED for record in records)
    broke = sum(record.status.is_failure and record.status is not Status.WRONG for record in records)
    refused = len(records) - passed - len(wrong)
    if not passed and not wrong:
        yield f"nothing was checked: {refused} refused"
        yield from (f"  {line}" for line in refusals)
        return
    yield from (f"{line} ({count} case{'' if count == 1 else 's'})" for line, count in refusals.items())
    yield f"{passed} agree, {len(wrong) - broke} disagree, {broke} broke, {refused} can't be done" + (
        "" if wrong else " - every result is within the oracle's budget"
    )
    yield from _under(records)


def _under(records: Sequence[Record]) -> Iterator[str]:
    """Which conventions other than the default agreeing results follow, as they were declared."""
    found: dict[str, dict[str, str]] = {}
    for record in records:
        if record.status is Status.PASSED and record.agreement is not None:
            found.setdefault(record.implementation, {}).update(record.agreement.conventions)
    yield from (f"{name} agrees, under: {spelled(under)}" for name, under in found.items() if under)


def _alike(records: Sequence[Record]) -> list[list[Record]]:
    """Records in groups that went wrong in one and the same way."""
    groups: dict[tuple[str, str, str, tuple[str, ...]], list[Record]] = {}
    for record in records:
        key = (record.implementation, record.status, record.reason, record.traceback)
        groups.setdefault(key, []).append(record)
    return list(groups.values())


def _told_once(alike: Sequence[Record], here: Environment, options: Sequence[str]) -> Iterator[str]:
    """The first of some records that went wrong alike, and the cases of the others."""
    first, *others = alike
    yield f"{first.status} {first.implementation} on {first.case.id}"
    yield f"  {first.reason}"
    yield from (f"    at {frame}" for frame in first.traceback)
    if others:
        yield f"  the same on {', '.join(record.case.id for record in others)}"
    yield f"  repeat: {repeat_command(first, here, options=options)}"
