"""Committed facts to compare with: one JSON file for a kernel, a target and a Triton version."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from attnbench.bench.codegen.facts import Facts

FOLDER = Path(__file__).parent / "baselines"
SCHEMA = 1


class BaselineError(ValueError):
    """A baseline that can't be used; the message says which, and what to do."""


class Baseline(msgspec.Struct, frozen=True, kw_only=True):
    """The facts of one kernel for one target, made by one Triton version."""

    schema: int = SCHEMA
    group: str
    target: str
    triton: str
    facts: tuple[Facts, ...]


def file_name(group: str, target: str, triton: str) -> str:
    """``triton_fused/sm_90-triton-3.7.1.json``; a user's ``FILE.py:KERNEL`` becomes a plain folder name."""
    return f"{group.replace(':', '-').replace('/', '-')}/{target}-triton-{triton}.json"


def load(folder: Path, facts: Sequence[Facts]) -> tuple[Facts, ...]:
    """The baseline's facts for every kernel, target and Triton version that `facts` has.

    Raises:
        BaselineError: there is none for one of them, or it can't be read.
    """
    found: list[Facts] = []
    for name, (group, target, triton) in _files(facts).items():
        path = folder / name
        if not path.is_file():
            others = sorted(p.name for p in path.parent.glob(f"{target}-*.json"))
            there = f" (there is {', '.join(others)}: another Triton makes other code)" if others else ""
            raise BaselineError(
                f"no baseline for {group} on {target} with Triton {triton} in {folder}{there}; "
                f"make it with --rebaseline and commit it"
            )
        found.extend(_read(path).facts)
    return tuple(found)


def save(folder: Path, facts: Sequence[Facts]) -> list[Path]:
    """Write the facts as baselines, keeping configurations that were not looked at this time; the files written."""
    written = []
    for name, (group, target, triton) in _files(facts).items():
        path = folder / name
        fresh = {f.config: f for f in facts if (f.group, f.target) == (group, target)}
        kept = {f.config: f for f in _read(path).facts} if path.is_file() else {}
        merged = kept | fresh
        ordered = tuple(merged[config] for config in sorted(merged))
        baseline = Baseline(group=group, target=target, triton=triton, facts=ordered)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(msgspec.json.format(msgspec.json.encode(baseline), indent=1) + b"\n")
        written.append(path)
    return written


def read_facts(path: Path) -> tuple[Facts, ...]:
    """Facts from a file that ``--json`` or ``--rebaseline`` wrote.

    Raises:
        BaselineError: it is neither.
    """
    try:
        data = path.read_bytes()
        if data.lstrip().startswith(b"["):
            return msgspec.json.decode(data, type=tuple[Facts, ...])
    except msgspec.DecodeError as error:
        raise BaselineError(f"{path} holds no facts: {error}") from error
    return _read(path).facts


def _read(path: Path) -> Baseline:
    try:
        baseline = msgspec.json.decode(path.read_bytes(), type=Baseline)
    except msgspec.DecodeError as error:
        raise BaselineError(f"{path} is not a codegen baseline: {error}") from error
    if baseline.schema > SCHEMA:
        raise BaselineError(f"{path} has schema {baseline.schema}, this version reads up to {SCHEMA}")
    return baseline


def _files(facts: Iterable[Facts]) -> dict[str, tuple[str, str, str]]:
    """The file of each kernel, target and Triton version."""
    names: dict[str, tuple[str, str, str]] = {}
    versions = {f.triton for f in facts if f.triton}
    for each in facts:
        for triton in {each.triton} if each.triton else versions or {installed_triton()}:
            names[file_name(each.group, each.target, triton)] = (each.group, each.target, triton)
    return names


def installed_triton() -> str:
    """The version of the Triton that is installed."""
    from importlib.metadata import version

    return version("triton")
