"""Named baselines in a plain folder that can be committed or cached: ``FOLDER/NAME/FINGERPRINT/run.jsonl``.

A name holds one run for each hard fingerprint, so that every machine of a pool
finds its own, and none is judged by another's.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from attnbench.bench.gate.stored.judge import differences, judge
from attnbench.bench.records.schema import Run, Status
from attnbench.bench.records.store import RUN_FILE, read_run, run_file, write_run
from attnbench.bench.records.verdict import Judgement
from attnbench.reports.text import visible

FOLDER = Path("baselines")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


class BaselineError(Exception):
    """A baseline can't be found or saved; the message says what there is and what to do."""


@dataclass(frozen=True)
class Baseline:
    """What a name holds: a run for each fingerprint."""

    name: str
    runs: dict[str, Run]


def save(folder: Path, name: str, run: Run, *, force: bool = False) -> Path:
    """Keep `run` under `name` and its fingerprint; the file that was written.

    Raises BaselineError for a name that is no name of a folder, a run in which nothing
    passed, and, without `force`, where there is one of this fingerprint already.
    """
    if not NAME.fullmatch(name):
        raise BaselineError(f"{name!r} can't name a folder: use letters, digits, '.', '_' and '-'")
    if not any(record.status is Status.PASSED for record in run.records):
        raise BaselineError(f"{run.path} holds no record that passed: nothing could be judged by it")
    file = folder / name / run.header.environment.fingerprint / RUN_FILE
    if file.exists() and not force:
        raise BaselineError(f"{file} exists, of {read_run(file).header.created}; add --force to replace it")
    return write_run(run, file.parent)


def names(folder: Path) -> list[str]:
    """Names that hold a run at least, in order."""
    return sorted({file.parent.parent.name for file in folder.glob(f"*/*/{RUN_FILE}")})


def load(folder: Path, name: str) -> Baseline:
    """Every run of `name`; raises BaselineError with the names there are."""
    files = sorted((folder / name).glob(f"*/{RUN_FILE}")) if NAME.fullmatch(name) else []
    if not files:
        known = ", ".join(names(folder)) or "none"
        raise BaselineError(f"no baseline {name!r} in {folder}: there are {known}; `baseline save` makes one")
    runs = [read_run(file) for file in files]
    # The fingerprint of what the file says: a folder may have been renamed.
    return Baseline(name, {run.header.environment.fingerprint: run for run in runs})


def resolve(text: str, folder: Path) -> Run | Baseline:
    """What ``--baseline`` names: a run's folder or file, or else a baseline in `folder`."""
    path = Path(text)
    if run_file(path).is_file():
        return read_run(path)
    if path.is_dir() and any(path.glob(f"*/{RUN_FILE}")):
        return load(path.parent, path.name)
    if path.suffix == ".jsonl" or len(path.parts) != 1:
        raise BaselineError(f"there is no run at {text}, and no baseline has a name like that")
    return load(folder, text)


def judge_by(candidate: Run, against: Run | Baseline) -> Judgement:
    """`candidate` against a run, or against the one that a baseline holds for its fingerprint.

    Where it holds none, the judgement is that against the nearest: INCOMPARABLE, with
    the fields that differ, and what there is.
    """
    if isinstance(against, Run):
        return judge(candidate, against)
    mine = candidate.header.environment.fingerprint
    if mine in against.runs:
        found = against.runs[mine]
        return judge(candidate, found, baseline_name=f"{against.name} of {found.header.created}")
    nearest = min(against.runs.values(), key=lambda run: (len(differences(candidate, run)), run.header.created))
    judged = judge(candidate, nearest, baseline_name=f"{against.name}, the nearest of {len(against.runs)}")
    there = "; ".join(summary_line(run) for run in against.runs.values())
    note = (
        f"Baseline {against.name} has no run of this machine ({mine}); it has {there}. "
        f"Save one: python -m bench baseline save {against.name} RUN"
    )
    return msgspec.structs.replace(judged, notes=(note, *judged.notes))


def disturbed(run: Run) -> int:
    """How many of its times were taken on a disturbed machine."""
    return sum(bool(one.measurement and one.conditions and one.conditions.disturbance) for one in run.records)


def summary_line(run: Run) -> str:
    """One line about a run: its fingerprint, its machine, its date."""
    machine = run.header.environment
    return f"{machine.fingerprint} ({visible(machine.device_name)}, {run.header.created})"


def described(name: str, run: Run) -> Iterator[str]:
    """What ``baseline show`` prints of one run: the machine, the sweep, how its records ended."""
    header, machine = run.header, run.header.environment
    ended = {status: sum(record.status is status for record in run.records) for status in Status}
    timed = sum(record.measurement is not None for record in run.records)
    yield f"{name}/{machine.fingerprint}"
    yield f"  made {header.created}" + (f" of {machine.commit}" if machine.commit else "")
    yield f"  machine {visible(machine.device_name)}"
    yield f"  sweep {header.sweep}, seed {header.seed}: {len(header.cases)} cases, {', '.join(header.implementations)}"
    counts = ", ".join(f"{count} {status}" for status, count in ended.items() if count)
    yield f"  {len(run.records)} records: {counts}; {timed} timed" + (
        f"; {len(run.missing)} are missing" if run.missing else ""
    )
    yield from (f"  {field} = {visible(value)}" for field, value in sorted(machine.must_match.items()))
